//! Whether Cilium is ready, by watching everything at once: nodes, the agents, the operator, Envoy where it has Pods of its own, and the
//! GatewayClass. `cilium status --wait` is not asked: it polls, and it gives up or goes on for reasons it does not tell.
//!
//! What waiting cannot mend ends the wait at once, with the last words of what crashed.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt, select_all};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, LogParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use plumb_core::values::Values;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::state::{Part, State};
use super::{NAMESPACE, pods};
use crate::redact;

/// How many lines are read of a container that crashed, how many of the last are kept, how many grave ones before those, and how much of
/// each.
const LOG_READ: i64 = 400;
const LOG_LINES: usize = 12;
const LOG_GRAVE: usize = 6;
const LOG_WIDTH: usize = 400;
/// Reading a log may take so long: it is asked for when something is broken already.
const LOG_LIMIT: Duration = Duration::from_secs(10);

/// What must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expect {
    /// Nodes of the cluster, at least.
    pub nodes: usize,
    /// Whether the GatewayClass `cilium` must be accepted.
    pub gateway_class: bool,
}

impl Expect {
    /// What follows from the values that are installed.
    pub fn of(values: &Values, nodes: usize) -> Expect {
        let enabled = values.get("gatewayAPI.enabled") == Some(&Value::Bool(true));
        let create = values.get("gatewayAPI.gatewayClass.create").and_then(Value::as_str).unwrap_or("auto");
        Expect { nodes, gateway_class: enabled && create != "false" }
    }
}

/// Cilium is ready, and when each part of it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyFacts {
    /// From the call until everything was there, milliseconds.
    pub took_ms: u64,
    /// When each part was there, milliseconds from the call: `agents`, `envoy`, `gatewayClass`, `nodes`, `operator`.
    pub parts_ms: BTreeMap<String, u64>,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Image of each workload's first container, by its name: `cilium`, `cilium-envoy`, `cilium-operator`.
    pub images: BTreeMap<String, String>,
}

/// A container that will not come up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTrouble {
    /// The Pod, in `kube-system`.
    pub pod: String,
    /// Its node.
    pub node: Option<String>,
    /// The container.
    pub container: String,
    /// Its image.
    pub image: String,
    /// As the kubelet says: `CrashLoopBackOff`, `ImagePullBackOff`.
    pub reason: String,
    /// What else it says.
    pub message: Option<String>,
    /// How it ended the last time.
    pub exit_code: Option<i32>,
    /// How often it was started again.
    pub restarts: i32,
    /// Its last lines, keys taken out.
    pub log: Vec<String>,
}

impl PodTrouble {
    /// Whether a program in it ended badly; otherwise it could not even be started.
    pub fn is_crash(&self) -> bool {
        pods::has_log(self)
    }
}

impl std::fmt::Display for PodTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "container {} of pod {NAMESPACE}/{}", self.container, self.pod)?;
        if let Some(node) = &self.node {
            write!(f, " on {node}")?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}, {} restarts", self.restarts)?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if pods::has_log(self) {
            let said = if self.log.is_empty() { " nothing".to_owned() } else { format!("\n{}", self.log.join("\n")) };
            write!(f, "; the last it said:{said}")?;
        } else {
            write!(f, " (image {})", self.image)?;
        }
        Ok(())
    }
}

/// Cilium did not become ready.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    /// Something that waiting does not mend.
    #[error("wait for Cilium: {trouble}")]
    Broken {
        /// What, with its last words.
        trouble: Box<PodTrouble>,
        /// After how long, milliseconds.
        after_ms: u64,
    },
    /// The limit was reached.
    #[error("wait for Cilium: not ready after {limit_ms} ms: {}", blocked.join("; "))]
    Late {
        /// The limit, milliseconds.
        limit_ms: u64,
        /// What blocked it in the end.
        blocked: Vec<String>,
    },
}

/// Waits until Cilium is rolled out on every node, every node is Ready, and what [`Expect`] says besides is there.
///
/// # Errors
/// See [`NotReady`]; it names what blocked, and a container that crashes with its last words.
pub async fn ready(client: &Client, expect: &Expect, limit: Duration) -> Result<ReadyFacts, NotReady> {
    let began = Instant::now();
    let mut state = State::new(expect);
    let mut events = watches(client, expect);
    let mut parts_ms: BTreeMap<String, u64> = BTreeMap::new();
    let elapsed_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    while let Ok(Some(event)) = tokio::time::timeout_at(began + limit, events.next()).await {
        event(&mut state);
        let mut blocked = false;
        for part in Part::ALL {
            if state.lacks(part).is_some() {
                // What was there and is gone again is not there.
                parts_ms.remove(part.name());
                blocked = true;
            } else if state.has(part) {
                parts_ms.entry(part.name().to_owned()).or_insert_with(elapsed_ms);
            }
        }
        if !blocked {
            let (nodes, images) = state.facts();
            return Ok(ReadyFacts { took_ms: elapsed_ms(), parts_ms, nodes, images });
        }
        if let Some(trouble) = state.broken() {
            let after_ms = elapsed_ms();
            return Err(NotReady::Broken { trouble: Box::new(with_log(client, trouble).await), after_ms });
        }
    }
    Err(NotReady::Late { limit_ms: limit.as_millis() as u64, blocked: state.blocked() })
}

/// A change of what is known.
type Event = Box<dyn FnOnce(&mut State) + Send>;

/// Everything that is watched, in one stream. A watch that breaks begins again after a while.
fn watches(client: &Client, expect: &Expect) -> futures::stream::SelectAll<BoxStream<'static, Event>> {
    let client = || client.clone();
    let mut all = vec![
        watch::<DaemonSet>(Api::namespaced(client(), NAMESPACE), "DaemonSets", |state, event| state.daemon_sets.take(event)),
        watch::<Deployment>(Api::namespaced(client(), NAMESPACE), "Deployments", |state, event| state.deployments.take(event)),
        watch::<Pod>(Api::namespaced(client(), NAMESPACE), "Pods", |state, event| state.pods.take(event)),
        watch::<Node>(Api::all(client()), "Nodes", |state, event| state.nodes.take(event)),
    ];
    if expect.gateway_class {
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "GatewayClass");
        let classes: Api<DynamicObject> = Api::all_with(client(), &ApiResource::from_gvk_with_plural(&kind, "gatewayclasses"));
        all.push(watch(classes, "GatewayClasses", |state, event| state.classes.take(event)));
    }
    select_all(all)
}

fn watch<K>(api: Api<K>, what: &'static str, take: fn(&mut State, watcher::Event<K>)) -> BoxStream<'static, Event>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let event = move |event: Result<watcher::Event<K>, watcher::Error>| -> Event {
        Box::new(move |state| match event {
            Ok(event) => {
                state.broken_watches.remove(what);
                take(state, event);
            }
            Err(error) => drop(state.broken_watches.insert(what, crate::cluster::chain(&error))),
        })
    };
    events.map(event).boxed()
}

/// The last lines of what crashed: of the run that ended, or of the one that runs now.
async fn with_log(client: &Client, mut trouble: PodTrouble) -> PodTrouble {
    if !pods::has_log(&trouble) {
        return trouble;
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    for previous in [true, false] {
        let container = Some(trouble.container.clone());
        let parameters = LogParams { container, previous, tail_lines: Some(LOG_READ), ..LogParams::default() };
        let asked = tokio::time::timeout(LOG_LIMIT, api.logs(&trouble.pod, &parameters)).await;
        if let Ok(Ok(log)) = asked
            && !log.trim().is_empty()
        {
            trouble.log = last_words(&redact::text(&log));
            break;
        }
    }
    trouble
}

/// The last lines of a log, and before them the last grave ones: what made a program end is not what its other threads said meanwhile.
fn last_words(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let (before, last) = lines.split_at(lines.len().saturating_sub(LOG_LINES));
    let grave: Vec<&str> = before.iter().rev().filter(|line| is_grave(line)).take(LOG_GRAVE).copied().collect();
    let gap = (!grave.is_empty()).then_some("...");
    let words = grave.into_iter().rev().chain(gap).chain(last.iter().copied());
    words.map(|line| line.chars().take(LOG_WIDTH).collect()).collect()
}

/// As Cilium's logs mark it (logfmt of logrus and slog, and JSON), Envoy's, and the Go runtime itself.
fn is_grave(line: &str) -> bool {
    const MARKS: [&str; 10] = [
        "level=fatal",
        "level=error",
        "level=panic",
        "level=ERROR",
        "\"level\":\"fatal\"",
        "\"level\":\"error\"",
        "][critical][",
        "][error][",
        "panic: ",
        "fatal error: ",
    ];
    MARKS.iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
