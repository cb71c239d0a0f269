//! The agents in an adopted cluster: on nodes as a DaemonSet on the host network that only waits, for Pods in the backends' own
//! containers, which hold the same image. A session is one command run through the API for as long as it is used.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use plumb_core::probe::{Done, Link, Op};
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::cluster::{ApiError, exec};
use crate::session::{Session, SessionError};

/// Name of the DaemonSet, and the label of its Pods.
pub(super) const NAME: &str = "plumb-agent";
const LABEL: &str = "plumbline.agent";
/// Container of the agent, in the DaemonSet's Pods and in those of backends.
const CONTAINER: &str = "agent";
/// The agent in its image.
const SESSION: [&str; 2] = ["/plumb/agent", "session"];
/// Limit for one answer of an agent.
const ANSWER: Duration = Duration::from_secs(30);
/// What an agent on a node must be able to do: read frames, ask with raw sockets, change how an interface listens.
const ABILITIES: [&str; 1] = ["packet"];

/// There is no agent there.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// An agent.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// They did not come up.
    #[error("wait for the agents: {0}")]
    NotReady(String),
    /// It cannot do its work.
    #[error(
        "use the agent on node/{node}: it has no {lacks}, though its Pod asks for NET_RAW and NET_ADMIN\nhint: a policy of the cluster takes capabilities away; except the namespace {NAMESPACE} from it"
    )]
    Lacks {
        /// The node.
        node: String,
        /// The ability.
        lacks: String,
    },
    /// It answered something else.
    #[error("ask the agent on node/{node} for its links: it answered {answer}")]
    Answer {
        /// The node.
        node: String,
        /// What it said.
        answer: String,
    },
}

/// The namespace of the agents. Pods on the host network are refused where a namespace does not say that it has such.
pub(super) fn namespace() -> Value {
    let policy = ["enforce", "audit", "warn"].map(|mode| (format!("pod-security.kubernetes.io/{mode}"), Value::from("privileged")));
    let labels: serde_json::Map<String, Value> = policy.into_iter().collect();
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
}

/// The DaemonSet, on the nodes named and no others.
pub(super) fn daemon_set(image: &str, nodes: &[String]) -> Value {
    // One term a node: the field `metadata.name` takes one value.
    let term = |node: &String| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    let terms: Vec<Value> = nodes.iter().map(term).collect();
    let container = json!({
        "name": CONTAINER, "image": image, "imagePullPolicy": "IfNotPresent", "args": ["wait"],
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_RAW", "NET_ADMIN", "NET_BIND_SERVICE"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    });
    let spec = json!({
        "hostNetwork": true,
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 1,
        // Wherever a node is to be looked from, its taints keep others out, not us.
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}},
        "containers": [container],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {LABEL: "node"}},
            "template": {"metadata": {"labels": {LABEL: "node"}}, "spec": spec},
        },
    })
}

/// Waits until an agent runs on every node that is named; its Pods by node.
///
/// # Errors
/// The limit, or an image that cannot be had, with what each node that lacks one says.
pub(super) async fn until_ready(client: &Client, nodes: &[String], limit: Duration) -> Result<BTreeMap<String, String>, AgentError> {
    let api = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let config = watcher::Config::default().labels(&format!("{LABEL}=node"));
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    let until = tokio::time::Instant::now() + limit;
    let mut broken = None;
    loop {
        let event = match tokio::time::timeout_at(until, events.next()).await {
            Ok(Some(Ok(event))) => event,
            Ok(Some(Err(error))) => {
                broken = Some(format!("the watch broke: {}", crate::cluster::chain(&error)));
                continue;
            }
            Ok(None) | Err(_) => {
                let states = lacking(&pods, nodes).into_iter().map(|(node, state)| format!("{node}: {state}"));
                let states: Vec<String> = states.chain(broken).collect();
                return Err(AgentError::NotReady(format!("not ready within {} s: {}", limit.as_secs(), states.join("; "))));
            }
        };
        match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => drop(pods.insert(pod.name_any(), pod)),
            watcher::Event::Delete(pod) => drop(pods.remove(&pod.name_any())),
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
        if let Some((node, state)) = lacking(&pods, nodes).iter().find(|(_, state)| is_hopeless(state)) {
            let hint = "hint: every node must be able to pull what --agent-image names, or have it already";
            return Err(AgentError::NotReady(format!("{node}: {state}\n{hint}")));
        }
        let ready: BTreeMap<String, String> = pods.values().filter_map(|pod| running(pod).ok()).collect();
        if nodes.iter().all(|node| ready.contains_key(node)) {
            return Ok(ready);
        }
    }
}

/// Node and name of an agent that runs, or what it waits for.
fn running(pod: &Pod) -> Result<(String, String), (Option<String>, String)> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    if pod.metadata.deletion_timestamp.is_some() {
        return Err((node, "its Pod is being deleted".to_owned()));
    }
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    match (node, statuses.first().map(state)) {
        (Some(node), Some(Ok(()))) => Ok((node, pod.name_any())),
        (node, Some(Err(state))) => Err((node, state)),
        (node, _) => Err((node, "its container is not there yet".to_owned())),
    }
}

fn state(status: &ContainerStatus) -> Result<(), String> {
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return Ok(());
    }
    let words = |reason: Option<String>, message: Option<String>| [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    Err(match (state.waiting, state.terminated) {
        (Some(waiting), _) => words(waiting.reason, waiting.message),
        (_, Some(ended)) => format!("it ended with status {}: {}", ended.exit_code, words(ended.reason, ended.message)),
        _ => "it says nothing of its state".to_owned(),
    })
}

/// Nodes without an agent that runs, and what is known of each.
fn lacking(pods: &BTreeMap<String, Pod>, nodes: &[String]) -> Vec<(String, String)> {
    let states: Vec<_> = pods.values().map(running).collect();
    let of = |node: &String| {
        if states.iter().any(|state| matches!(state, Ok((on, _)) if on == node)) {
            return None;
        }
        let state = states.iter().find_map(|state| match state {
            Err((on, state)) if on.as_ref() == Some(node) => Some(state.clone()),
            _ => None,
        });
        Some((node.clone(), state.unwrap_or_else(|| "it has no Pod yet".to_owned())))
    };
    nodes.iter().filter_map(of).collect()
}

/// States that no waiting cures. An image that could not be pulled once is tried again by the kubelet; after that it backs off.
fn is_hopeless(state: &str) -> bool {
    ["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"].iter().any(|reason| state.starts_with(reason))
}

/// A session in a container of a Pod.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn session(client: &Client, namespace: &str, pod: &str, vantage: &str) -> Result<Session, ApiError> {
    let streams = exec::open(client, namespace, pod, CONTAINER, &SESSION).await?;
    Ok(Session::over(vantage, streams.output, streams.input))
}

/// The links of a node, from an agent that can do its work.
///
/// # Errors
/// See [`AgentError`].
pub(super) async fn links(client: &Client, node: &str, pod: &str) -> Result<Vec<Link>, AgentError> {
    let session = session(client, NAMESPACE, pod, &format!("node/{node}")).await?;
    let hello = session.hello(ANSWER).await?;
    if let Some(lacks) = ABILITIES.iter().find(|ability| !hello.abilities.iter().any(|has| has == *ability)) {
        return Err(AgentError::Lacks { node: node.to_owned(), lacks: (*lacks).to_owned() });
    }
    match session.ask(Op::Links, ANSWER).await?.done {
        Done::Links(links) => Ok(links),
        other => Err(AgentError::Answer { node: node.to_owned(), answer: format!("{other:?}") }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn pod(node: &str, state: Value) -> (String, Pod) {
        let name = format!("agent-{node}");
        let status = json!({"name": "agent", "ready": false, "restartCount": 0, "image": "i", "imageID": "", "state": state});
        let pod =
            json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": []}, "status": {"containerStatuses": [status]}});
        (name, serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn what_each_node_waits_for_is_named() {
        let nodes = ["a", "b", "c"].map(str::to_owned);
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
        let pods = BTreeMap::from([pod("a", json!({"running": {}})), pod("b", waiting)]);
        let lacking = lacking(&pods, &nodes);
        let expected = [("b", "ImagePullBackOff: Back-off pulling image \"x\""), ("c", "it has no Pod yet")];
        assert_eq!(lacking, expected.map(|(node, state)| (node.to_owned(), state.to_owned())));
        assert!(is_hopeless(&lacking[0].1) && !is_hopeless("ErrImagePull: timeout") && !is_hopeless(&lacking[1].1));
    }

    #[test]
    fn agents_are_on_the_nodes_that_are_named_whatever_taints_they_have() {
        let set = daemon_set("registry.example/agent:1", &["a".to_owned(), "b".to_owned()]);
        let spec = &set["spec"]["template"]["spec"];
        let terms = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        assert_eq!(terms.as_array().unwrap().len(), 2);
        assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
        let _: k8s_openapi::api::apps::v1::DaemonSet = serde_json::from_value(set).unwrap();
    }
}
