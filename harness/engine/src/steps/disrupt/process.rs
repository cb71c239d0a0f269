//! Processes past Kubernetes: Cilium's agent killed, the API server frozen alone.

use std::time::Duration;

use plumb_core::evidence::{Disrupted, Disruption, Fact, Trouble};
use plumb_core::probe::{Done, Op, Process, ProcessSignal, SignalOp};
use plumb_core::scenario::model::{AgentAction, AgentStep, ApiAction, ApiStep};

use super::super::scene::Scene;
use super::{AT_ONCE, Standing, Victim, ask, author_trouble, awake, confused, disrupted, lab_trouble};

/// How often it is looked for the process in the killed one's place.
const PACE: Duration = Duration::from_millis(50);
/// How long an API server that runs may take to answer who it is, on a busy machine.
const API_ANSWER: Duration = Duration::from_secs(5);
/// How long one that stands still is asked: longer than it takes on any machine that is fit for a lab.
const API_SILENCE: Duration = Duration::from_secs(1);
/// How long it may take to answer again.
const API_BACK: Duration = Duration::from_secs(60);

pub(in super::super) async fn agent(scene: &Scene, step: &AgentStep, id: &str) -> Result<(), Trouble> {
    let AgentAction::Kill = step.action;
    let process = scene.lab.agent_process();
    let operation = format!("kill {process} of node {}", step.node);
    let victim = awake(scene, &step.node, &operation).await?;
    let signal = SignalOp { process: process.to_owned(), signal: ProcessSignal::Kill, limit_ms: 5_000 };
    let Done::Processes(killed) = ask(scene, &victim, Op::Signal(signal), AT_ONCE, &operation).await? else {
        return Err(confused(&operation));
    };
    let limit = scene.limit(|budgets| budgets.backends_ms);
    let again = tokio::time::timeout(limit, another(scene, &victim, process, &killed.processes, &operation)).await;
    let (again, at_ns) = match again {
        Ok(again) => again?,
        Err(_) => {
            return Err(lab_trouble(&operation, format!("it is gone, and no other runs in its place within {} ms", limit.as_millis())));
        }
    };
    let pids = |processes: &[Process]| processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ");
    let after_ms = at_ns.saturating_sub(killed.at_ns) / 1_000_000;
    let details =
        vec![format!("process {} is gone, process {} runs in its place after {after_ms} ms", pids(&killed.processes), pids(&again))];
    let disrupted = disrupted(scene, &victim.logical, Disruption::AgentKilled, killed.at_ns, details);
    scene.record(Some(id), Fact::Disrupted(disrupted));
    Ok(())
}

/// Waits until a process of the name runs that is none of those that were killed. Only parents are told of a start, so it is looked for.
async fn another(
    scene: &Scene,
    victim: &Victim,
    process: &str,
    killed: &[Process],
    operation: &str,
) -> Result<(Vec<Process>, u64), Trouble> {
    loop {
        let op = Op::Processes { process: process.to_owned() };
        let Done::Processes(now) = ask(scene, victim, op, AT_ONCE, operation).await? else { return Err(confused(operation)) };
        if !now.processes.is_empty() && now.processes.iter().all(|process| !killed.contains(process)) {
            return Ok((now.processes, now.at_ns));
        }
        tokio::time::sleep(PACE).await;
    }
}

pub(in super::super) async fn api(scene: &Scene, step: &ApiStep, id: &str) -> Result<(), Trouble> {
    let stands = scene.standing().find(|standing| *standing == Standing::Api).is_some();
    let disrupted = match (step.action, stands) {
        (ApiAction::Pause, false) => pause(scene, "pause the API server").await?,
        (ApiAction::Pause, true) => return Err(author_trouble("pause the API server", "an earlier step has paused it".into())),
        (ApiAction::Resume, false) => return Err(author_trouble("let the API server go on", "no earlier step has paused it".into())),
        (ApiAction::Resume, true) => {
            let resumed = resume(scene, "let the API server go on").await?;
            scene.standing().done(&Standing::Api);
            resumed
        }
    };
    scene.record(Some(id), Fact::Disrupted(disrupted));
    Ok(())
}

async fn pause(scene: &Scene, operation: &str) -> Result<Disrupted, Trouble> {
    if !scene.cluster.answers(API_ANSWER).await {
        return Err(lab_trouble(operation, format!("it does not answer within {} ms before it is paused", API_ANSWER.as_millis())));
    }
    let at_ns = scene.lab.api(ApiAction::Pause).await.map_err(|error| error.trouble(operation))?;
    scene.standing().push(Standing::Api);
    if scene.cluster.answers(API_SILENCE).await {
        return Err(lab_trouble(operation, "it still answers".into()));
    }
    let details = vec![format!("it answered before, and did not within {} ms", API_SILENCE.as_millis())];
    Ok(disrupted(scene, &first_control_plane(scene), Disruption::Api { action: ApiAction::Pause }, at_ns, details))
}

pub(super) async fn resume(scene: &Scene, operation: &str) -> Result<Disrupted, Trouble> {
    let at_ns = scene.lab.api(ApiAction::Resume).await.map_err(|error| error.trouble(operation))?;
    let back = async {
        while !scene.cluster.answers(API_ANSWER).await {
            tokio::time::sleep(PACE).await;
        }
    };
    if tokio::time::timeout(API_BACK, back).await.is_err() {
        return Err(lab_trouble(operation, format!("it does not answer within {} ms", API_BACK.as_millis())));
    }
    let details = vec!["it answers again".to_owned()];
    Ok(disrupted(scene, &first_control_plane(scene), Disruption::Api { action: ApiAction::Resume }, at_ns, details))
}

fn first_control_plane(scene: &Scene) -> String {
    let first = scene.facts.nodes.iter().find(|(_, facts)| facts.control_plane);
    first.map(|(logical, _)| logical.clone()).unwrap_or_default()
}
