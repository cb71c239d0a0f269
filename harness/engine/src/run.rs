//! One run from a plan to a verdict on disk: folder, ledger, lab, steps, collection, end. Nothing is deleted before the evidence is on
//! disk, also when the run is stopped, late or out of disk.

pub mod keep;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use plumb_core::evidence::{Fact, Observation, Trouble, Whose};
use plumb_core::plan::Plan;
use plumb_core::verdict::{self, Verdict};
use plumb_refnet::fault::{Fault, Layer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::certs::{AuthoritySecret, Certs};
use crate::cluster::{Cluster, Watched, collect, manifest};
use crate::folder::{FolderError, RunFolder};
use crate::ledger::{Ledger, LedgerError, Line, Making, Resource};
use crate::parts::Given;
use crate::provider::kind::Sharing;
use crate::provider::{Lab, ProviderError};
use crate::recorder::Recorder;
use crate::steps::{RunHooks, Scene, carry_out, undo};
use crate::{backends, clock, redact};

pub use keep::{Keep, Kept};

/// A run that could not begin, or whose verdict could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What goes on in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The run has a folder.
    Began {
        /// Where.
        folder: PathBuf,
    },
    /// A phase began: `lab`, `backends`, `steps`, `collect`, `close`.
    Phase(&'static str),
    /// It waits for others.
    Waiting {
        /// For what, in words.
        what: String,
    },
    /// A step began.
    Step {
        /// Its id.
        id: String,
        /// Its verb.
        verb: String,
    },
    /// The verdict is on disk and the lab is kept.
    Kept(Box<Kept>),
}

/// Hears what goes on.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// Whether the lab is kept after the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleanup {
    /// It is closed.
    Close,
    /// It is kept until the run is stopped or the lab expires.
    Keep(Keep),
}

/// How a run is set up, beside what its plan says.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Whether the lab is kept.
    pub cleanup: Cleanup,
    /// Parts of a real lab that the user gives.
    pub given: Given,
    /// Whether a cluster may be one that others use before and after.
    pub sharing: Sharing,
}

impl From<Cleanup> for Setup {
    fn from(cleanup: Cleanup) -> Setup {
        Setup { cleanup, given: Given::default(), sharing: Sharing::Alone }
    }
}

/// How a run is stopped: once, with a reason.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Stop {
    /// Stops the run; the first reason counts.
    pub fn because(&self, reason: impl Into<String>) {
        // Somebody was first.
        let _ = self.reason.set(reason.into());
        self.token.cancel();
    }

    /// Resolves when it is to stop.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Why, if somebody said so.
    pub fn reason(&self) -> Option<String> {
        self.reason.get().cloned()
    }

    /// Whether it is to stop.
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The same stop for another run: stopping this one stops that one, not the other way round.
    pub fn child(&self) -> Stop {
        Stop { token: self.token.child_token(), reason: Arc::clone(&self.reason) }
    }
}

/// A run that ended.
#[derive(Debug)]
pub struct Closed {
    /// Where everything of it is.
    pub folder: PathBuf,
    /// What was decided.
    pub plan: Arc<Plan>,
    /// What was observed.
    pub observations: Vec<Observation>,
    /// What it says.
    pub verdict: Verdict,
    /// Why `verdict.json` could not be written, if so.
    pub unwritten: Option<String>,
    /// What went wrong with a kept lab after the verdict.
    pub afterwards: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Runs a trial.
///
/// # Errors
/// Only when the run folder or the ledger cannot be made: then nothing was made at all. Everything later is in the verdict.
pub async fn run(plan: Plan, out: &Path, setup: &Setup, stop: &Stop, listener: Listener) -> Result<Closed, RunError> {
    let began = clock::monotonic_ns();
    let folder = RunFolder::create(out)?;
    folder.write("plan.json", plan.to_json().as_bytes())?;
    let ledger = Ledger::create(&folder)?;
    if let Cleanup::Keep(keep) = &setup.cleanup {
        ledger.write(&Line::Expires { at_s: keep.at_the_latest(&plan) })?;
        ledger.write(&Line::Making(Resource::Folder { folder: keep.folder.clone() }))?;
    }
    let stop = stop.child();
    let recorder = Arc::new(Recorder::begin(folder.clone(), stop.token.clone())?);
    listener(Event::Began { folder: folder.path().to_owned() });
    let plan = Arc::new(plan);
    let clocks = clock::watch(Arc::clone(&recorder));
    let hooks = RunHooks { stop: stop.token.clone(), listener: Arc::clone(&listener) };
    let stays = perform(&plan, &recorder, &ledger, setup, &stop, hooks).await;
    clocks.end();
    if stop.is_stopped() {
        let by = match (recorder.broken(), stop.reason.get()) {
            (Some(broken), _) => format!("a run folder that cannot be written: {broken}"),
            (None, Some(reason)) => reason.clone(),
            (None, None) => "its owner".into(),
        };
        recorder.record(None, Fact::Interrupted { by });
    }
    recorder.record(None, Fact::Ended);
    let observations = recorder.observations();
    let verdict = verdict::judge(&plan, &observations);
    let unwritten = folder.write("verdict.json", verdict_json(&verdict).as_bytes()).err().map(|error| error.to_string());
    let took = Duration::from_nanos(clock::monotonic_ns().saturating_sub(began));
    let afterwards = match (stays, &setup.cleanup) {
        (Some(lab), Cleanup::Keep(keep)) => keep::keep(lab, keep, &plan, &folder, &ledger, &stop, &listener).await,
        _ => Vec::new(),
    };
    Ok(Closed { folder: folder.path().to_owned(), plan, observations, verdict, unwritten, afterwards, took })
}

/// `verdict.json`: the same verdict gives the same bytes.
pub fn verdict_json(verdict: &Verdict) -> String {
    // A verdict is made of texts and numbers, which JSON always takes.
    let mut text = serde_json::to_string_pretty(verdict).unwrap_or_default();
    text.push('\n');
    text
}

/// Makes the lab, carries the steps out, collects and closes; the lab, where it is to stay. Whatever goes wrong is recorded.
async fn perform(plan: &Arc<Plan>, recorder: &Arc<Recorder>, ledger: &Ledger, setup: &Setup, stop: &Stop, hooks: RunHooks) -> Option<Lab> {
    let listener = Arc::clone(&hooks.listener);
    let fail = |trouble: Trouble| {
        recorder.record(None, Fact::StepFailed(trouble));
    };
    listener(Event::Phase("lab"));
    let made = tokio::select! {
        made = Lab::make(plan, recorder, setup, ledger, &listener) => made,
        () = stop.token.cancelled() => {
            salvage(recorder, ledger).await;
            clean_up(ledger, &fail);
            return None;
        }
    };
    let lab = match made {
        Ok(lab) => lab,
        Err(error) => {
            fail(error.trouble("make the lab"));
            salvage(recorder, ledger).await;
            clean_up(ledger, &fail);
            return None;
        }
    };
    recorder.record(None, Fact::Lab(lab.facts()));
    let lab = match set_scene(plan, recorder, lab, hooks) {
        Ok(scene) => play(*scene, stop, &listener).await,
        Err((lab, trouble)) => {
            fail(trouble);
            lab
        }
    };
    if matches!(setup.cleanup, Cleanup::Keep(_)) && !stop.is_stopped() {
        return Some(lab);
    }
    listener(Event::Phase("close"));
    if let Err(trouble) = close(lab, plan, ledger).await {
        fail(trouble);
    }
    None
}

async fn close(lab: Lab, plan: &Plan, ledger: &Ledger) -> Result<(), Trouble> {
    let limit = Duration::from_millis(plan.budgets.close_ms) + Duration::from_secs(20);
    match tokio::time::timeout(limit, lab.close(ledger)).await {
        Ok(closed) => closed.map_err(|error| error.trouble("close the lab")),
        Err(_) => Err(lab_trouble("close the lab", format!("it did not end within {} ms", limit.as_millis()))),
    }
}

/// Puts on disk what a lab that never came up can still tell.
async fn salvage(recorder: &Arc<Recorder>, ledger: &Ledger) {
    for (name, text) in crate::provider::salvage(ledger.path()).await {
        let blobs = recorder.blob(&format!("{name}.log"), redact::text(&text).as_bytes());
        recorder.record_with(None, Fact::Collected { what: name }, blobs);
    }
}

/// Takes away what a lab that never came up has left, and what is made of it still.
fn clean_up(ledger: &Ledger, fail: &dyn Fn(Trouble)) {
    let trouble = |error: LedgerError| fail(ProviderError::from(error).trouble("take away what was made"));
    match crate::ledger::take_away(ledger.path(), Making::CutShort) {
        Ok(left) => left.into_iter().for_each(|(_, error)| trouble(error)),
        Err(error) => trouble(error),
    }
}

fn set_scene(plan: &Arc<Plan>, recorder: &Arc<Recorder>, lab: Lab, hooks: RunHooks) -> Result<Box<Scene>, (Lab, Trouble)> {
    let client = match lab.client() {
        Ok(client) => client,
        Err(error) => return Err((lab, error.trouble("connect to the API"))),
    };
    let certs = match Certs::make(&plan.scenario.certs, clock::unix_s()) {
        Ok(certs) => certs,
        Err(error) => {
            let trouble = Trouble { whose: Whose::Author, operation: "make certificates".into(), message: error.to_string() };
            return Err((lab, trouble));
        }
    };
    recorder.record(None, Fact::Certs(certs.facts()));
    let cluster = Cluster::new(client, Duration::from_millis(plan.budgets.api_ms));
    let cluster = match lab.claim() {
        Some(claim) => cluster.claiming(claim),
        None => cluster,
    };
    Ok(Box::new(Scene::new(Arc::clone(plan), Arc::clone(recorder), lab, cluster, certs, hooks)))
}

/// Everything between a lab that is ready and its end.
async fn play(scene: Scene, stop: &Stop, listener: &Listener) -> Lab {
    listener(Event::Phase("backends"));
    let limit = scene.plan.budgets.trial_ms;
    let late = {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(limit)).await;
            stop.because(format!("the limit of the trial, {limit} ms"));
        })
    };
    let prepared = tokio::select! {
        prepared = furnish(&scene) => prepared,
        () = stop.token.cancelled() => Ok(()),
    };
    match prepared {
        Ok(()) => {
            listener(Event::Phase("steps"));
            // Whatever halted it has been recorded.
            let _ = carry_out(&scene, &scene.plan.scenario.steps).await;
        }
        Err(trouble) => {
            scene.record(None, Fact::StepFailed(trouble));
        }
    }
    late.abort();
    // What was broken is whole again before it is collected from: an API that is frozen tells nothing.
    undo(&scene).await;
    listener(Event::Phase("collect"));
    let limit = Duration::from_millis(scene.plan.budgets.collect_ms);
    if tokio::time::timeout(limit, gather(&scene)).await.is_err() {
        let what = format!("not everything: collection took longer than {} ms", limit.as_millis());
        scene.record(None, Fact::Collected { what });
    }
    scene.strike()
}

/// Applies Secrets and backends and waits until they are ready.
async fn furnish(scene: &Scene) -> Result<(), Trouble> {
    let scenario = &scene.plan.scenario;
    let forges = |name: &String| name.parse::<Fault>().is_ok_and(|fault| fault.layer() == Layer::Tls);
    let authority = if scene.plan.fault.as_ref().is_some_and(forges) { AuthoritySecret::Give } else { AuthoritySecret::Withhold };
    let mut objects: Vec<Value> = scene.certs.secrets(&scenario.certs, authority);
    for (id, backend) in &scenario.backends {
        let leaf = backend.cert.as_ref().and_then(|name| scene.certs.leaf(name));
        let node = backend.node.as_ref().map(|node| scene.facts.nodes.get(node).map_or(node.as_str(), |facts| facts.name.as_str()));
        let made = backends::objects(id, backend, leaf, node, scene.lab.agent_image())
            .map_err(|error| lab_trouble("describe a backend", error.to_string()))?;
        objects.extend(made);
    }
    let namespace = |object: &Value| object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default").to_owned();
    let namespaces: std::collections::BTreeSet<String> = objects.iter().map(namespace).collect();
    let run = scene.recorder.folder().id();
    for namespace in namespaces.iter().filter(|name| !["default", "kube-system"].contains(&name.as_str())) {
        scene.cluster.ensure_namespace(namespace, run).await.map_err(|error| error.trouble("create a namespace"))?;
    }
    let applied = join_all(objects.into_iter().map(|object| async move {
        let object = manifest(object, run).map_err(|error| error.trouble("apply a backend"))?;
        scene.cluster.apply(&object).await.map_err(|error| as_lab(error.trouble(&format!("apply {}", object.object))))
    }));
    applied.await.into_iter().collect::<Result<Vec<()>, Trouble>>()?;
    let ready = join_all(scenario.backends.iter().map(|(id, backend)| async move {
        let limit = Duration::from_millis(scene.plan.budgets.backends_ms);
        let deployment =
            crate::cluster::ResourceRef { kind: "deployment".into(), namespace: Some(backend.namespace.clone()), name: id.clone() };
        let operation = format!("wait for backend {id}");
        let look = |object: Option<Value>| match backends::rolled_out(object.as_ref()) {
            Ok(()) => Watched::Yes(()),
            Err(blocked) => Watched::NotYet(blocked),
        };
        let ended = scene.cluster.wait(&deployment, limit, look).await.map_err(|error| as_lab(error.trouble(&operation)))?;
        ended.map_err(|end| lab_trouble(&operation, format!("not ready within {} ms: {}", limit.as_millis(), end.last.join("; then "))))
    }));
    ready.await.into_iter().collect::<Result<Vec<()>, Trouble>>().map(drop)
}

/// What goes wrong while the lab is furnished is the lab's, whoever said no.
fn as_lab(trouble: Trouble) -> Trouble {
    Trouble { whose: Whose::Lab, ..trouble }
}

fn lab_trouble(operation: &str, message: String) -> Trouble {
    Trouble { whose: Whose::Lab, operation: operation.to_owned(), message }
}

/// Objects (Secrets redacted) and logs, for readers.
async fn gather(scene: &Scene) {
    let limit = Duration::from_millis(scene.plan.budgets.api_ms);
    let objects = collect::objects(scene.cluster.client(), &scene.lab.namespaces(), limit).await;
    let text = serde_json::to_string_pretty(&objects.by_kind).unwrap_or_default();
    let blobs = scene.recorder.blob("objects.json", text.as_bytes());
    scene.recorder.record_with(None, Fact::Collected { what: "objects of the API".into() }, blobs);
    for missing in objects.missing {
        scene.record(None, Fact::Collected { what: format!("not everything: {missing}") });
    }
    match scene.lab.collect().await {
        Ok(texts) => {
            for (name, text) in texts {
                let blobs = scene.recorder.blob(&format!("{name}.log"), redact::text(&text).as_bytes());
                scene.recorder.record_with(None, Fact::Collected { what: name }, blobs);
            }
        }
        Err(error) => {
            scene.record(None, Fact::Collected { what: format!("no logs: {error}") });
        }
    }
}
