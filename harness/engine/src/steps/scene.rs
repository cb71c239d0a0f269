//! The scene: everything a step may use, and the one way to record what it saw.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plumb_core::evidence::{Fact, LabFacts, Observation, Trouble, Whose};
use plumb_core::plan::Plan;
use plumb_core::sampling::Silence;
use plumb_core::scenario::model::Step;
use plumb_core::steps::walk;
use plumb_core::verdict::Context;
use ring::digest::{SHA256, digest};
use tokio_util::sync::CancellationToken;

use super::disrupt::Broken;
use crate::certs::Certs;
use crate::cluster::Cluster;
use crate::provider::{Lab, Place};
use crate::recorder::Recorder;
use crate::run::{Event, Listener};
use crate::session::Session;

/// Everything a step may use.
pub struct Scene {
    /// What was decided.
    pub plan: Arc<Plan>,
    /// Where observations go.
    pub recorder: Arc<Recorder>,
    /// The lab.
    pub lab: Lab,
    /// Its API.
    pub cluster: Cluster,
    /// Certificates of the run.
    pub certs: Certs,
    /// The lab as it was made.
    pub facts: LabFacts,
    ids: HashMap<usize, String>,
    context: Mutex<Context>,
    sessions: tokio::sync::Mutex<HashMap<Place, Arc<Session>>>,
    silence: Mutex<Silence>,
    broken: Mutex<Broken>,
    /// What the API said last of what places and addresses rest on.
    said: Mutex<HashMap<String, serde_json::Value>>,
    stop: CancellationToken,
    listener: Listener,
}

impl Scene {
    /// Sets the scene.
    pub fn new(plan: Arc<Plan>, recorder: Arc<Recorder>, lab: Lab, cluster: Cluster, certs: Certs, run: RunHooks) -> Scene {
        let facts = lab.facts();
        // A step is known by its place in the plan, which does not move while the scene holds it.
        let ids = walk(&plan.scenario.steps).into_iter().map(|named| (address(named.step), named.id)).collect();
        let context = Mutex::new(Context::of(&recorder.observations()));
        let RunHooks { stop, listener } = run;
        Scene {
            plan,
            recorder,
            lab,
            cluster,
            certs,
            facts,
            ids,
            context,
            sessions: Default::default(),
            silence: Default::default(),
            broken: Mutex::default(),
            said: Mutex::default(),
            stop,
            listener,
        }
    }

    /// The id a step goes by.
    pub(super) fn id(&self, step: &Step) -> String {
        self.ids.get(&address(step)).cloned().unwrap_or_else(|| step.verb().to_owned())
    }

    /// Records a fact of a step.
    pub fn record(&self, step: Option<&str>, fact: Fact) -> u64 {
        self.record_with(step, fact, Vec::new())
    }

    /// Records a fact with blobs.
    pub(super) fn record_with(&self, step: Option<&str>, fact: Fact, blobs: Vec<String>) -> u64 {
        if matches!(fact, Fact::Probe(_) | Fact::Lab(_) | Fact::Certs(_)) {
            let seen = Observation { seq: 0, at_ns: 0, step: step.map(str::to_owned), fact: fact.clone(), blobs: Vec::new() };
            self.context.lock().unwrap_or_else(PoisonError::into_inner).learn(&seen);
        }
        self.recorder.record_with(step, fact, blobs)
    }

    /// What expectations are compared with.
    pub(super) fn context(&self) -> std::sync::MutexGuard<'_, Context> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What earlier splits know of paths that answer nothing.
    pub(super) fn silence(&self) -> std::sync::MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is broken now.
    pub(super) fn standing(&self) -> std::sync::MutexGuard<'_, Broken> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the API says of `key`; while a step has it paused, what it said last. A place does not move while nobody can move it.
    pub(super) async fn said<E>(&self, key: &str, ask: impl Future<Output = Result<serde_json::Value, E>>) -> Result<serde_json::Value, E> {
        if self.standing().api_is_paused()
            && let Some(said) = self.said.lock().unwrap_or_else(PoisonError::into_inner).get(key)
        {
            return Ok(said.clone());
        }
        let said = ask.await?;
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), said.clone());
        Ok(said)
    }

    /// Tells whoever listens that a step began.
    pub(super) fn say(&self, id: &str, verb: &str) {
        (self.listener)(Event::Step { id: id.to_owned(), verb: verb.to_owned() });
    }

    /// Ends when the run is to stop.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The canary of a probe.
    pub(super) fn canary(&self, probe: &str) -> String {
        canary(self.recorder.folder().id(), probe)
    }

    /// Limits by their plan, as durations.
    pub(super) fn limit(&self, of: impl Fn(&plumb_core::plan::Budgets) -> u64) -> Duration {
        Duration::from_millis(of(&self.plan.budgets))
    }

    /// Whether Gateways listen on the nodes' own addresses.
    pub(super) fn host_network(&self) -> bool {
        match self.plan.values.get("gatewayAPI.hostNetwork.enabled") {
            Some(serde_json::Value::Bool(on)) => *on,
            Some(serde_json::Value::String(text)) => text == "true",
            _ => false,
        }
    }

    /// The agent at a place; a session that is over is opened again.
    pub(super) async fn agent(&self, place: &Place) -> Result<Arc<Session>, Trouble> {
        let mut sessions = self.sessions.lock().await;
        if let Some(session) = sessions.get(place)
            && !session.is_over()
        {
            return Ok(Arc::clone(session));
        }
        let operation = format!("open an agent session on {place}");
        let limit = self.limit(|budgets| budgets.session_ms);
        let opened = tokio::time::timeout(limit, self.lab.agent(place)).await;
        let session = match opened {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return Err(error.trouble(&operation)),
            Err(_) => {
                let message = format!("no answer within {} ms", limit.as_millis());
                return Err(Trouble { whose: Whose::Lab, operation, message });
            }
        };
        session.hello(limit).await.map_err(|error| error.trouble(&operation))?;
        let session = Arc::new(session);
        sessions.insert(place.clone(), Arc::clone(&session));
        Ok(session)
    }

    /// Ends every session and hands the lab back.
    pub fn strike(self) -> Lab {
        self.lab
    }
}

/// How a run is stopped and who listens to it.
pub struct RunHooks {
    /// Cancelled when the run is to stop.
    pub stop: CancellationToken,
    /// Hears what goes on.
    pub listener: Listener,
}

fn address(step: &Step) -> usize {
    std::ptr::from_ref(step) as usize
}

/// A text that chance does not produce, different in each run and probe: 42 bytes that a header and a payload can carry.
pub fn canary(run: &str, probe: &str) -> String {
    let digest = digest(&SHA256, format!("plumbline canary {run} {probe}").as_bytes());
    let hex: String = digest.as_ref()[..20].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("pl{hex}")
}

#[cfg(test)]
mod tests {
    use super::canary;

    #[test]
    fn canaries_differ_by_run_and_probe_and_are_long_enough() {
        let one = canary("run", "probe");
        assert!(one.len() >= 24 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, canary("run", "probe2"));
        assert_ne!(one, canary("run2", "probe"));
        assert_eq!(one, canary("run", "probe"));
    }
}
