//! Steps that break something of the lab beside whole nodes, and the way back: what still stands after the last step is undone before
//! anything is collected, also when the run failed, was late or was stopped.
//!
//! A step ends when its effect was seen, not when it was asked for. One that has no effect (no such interface, a node that is frozen) is the
//! lab's trouble: what comes after would rest on it.

mod link;
mod partition;
mod process;

use std::time::Duration;

use plumb_core::evidence::{Disrupted, Disruption, Fact, Trouble, Whose};
use plumb_core::probe::{Done, KernelObject, Op};
use plumb_core::scenario::model::{CutFrom, NodeAction};

pub(super) use self::link::link;
pub(super) use self::partition::partition;
pub(super) use self::process::{agent, api};
use super::act::trouble;
use super::scene::Scene;
use crate::provider::Place;

/// How long an agent may take for what is done at once.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Something that is broken now, with what is needed to undo it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// A link is down.
    Link { node: Victim, interface: String, had: Vec<KernelObject> },
    /// A node is cut off.
    Cut { node: Victim, from: CutFrom },
    /// The API server stands still.
    Api,
}

/// The node something is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Victim {
    /// Logical name.
    pub logical: String,
    /// Name in Kubernetes.
    pub name: String,
}

/// The node a step means. The control plane is no victim where a role was meant: with it gone no lease moves, and the test says nothing.
pub(super) async fn victim(scene: &Scene, reference: &str, operation: &str) -> Result<Victim, Trouble> {
    let logical = scene.node(reference).await.map_err(|missing| trouble(missing, operation))?;
    let name = scene.kubernetes_name(&logical).map_err(|missing| trouble(missing, operation))?;
    if control_plane(scene, &logical) && (reference.starts_with("holder:") || reference.starts_with("other:")) {
        let message = format!(
            "{reference} is the control plane, {logical}: with it gone no lease can move; keep it out by the policy's nodeSelector"
        );
        return Err(author_trouble(operation, message));
    }
    Ok(Victim { logical, name })
}

/// The same, of a node on which an agent can do something now.
async fn awake(scene: &Scene, reference: &str, operation: &str) -> Result<Victim, Trouble> {
    let victim = victim(scene, reference, operation).await?;
    let newest = scene.recorder.last(|fact| match fact {
        Fact::Node { node, action, .. } if *node == victim.logical => Some(*action),
        _ => None,
    });
    let state = match newest {
        Some(NodeAction::Pause) => "paused",
        Some(NodeAction::Stop) => "stopped",
        Some(NodeAction::Start | NodeAction::Resume) | None => return Ok(victim),
    };
    Err(lab_trouble(operation, format!("node {} is {state} since an earlier step: nothing can be done on it", victim.logical)))
}

fn control_plane(scene: &Scene, logical: &str) -> bool {
    scene.facts.nodes.get(logical).is_some_and(|facts| facts.control_plane)
}

fn disrupted(scene: &Scene, node: &str, what: Disruption, at_ns: u64, details: Vec<String>) -> Disrupted {
    Disrupted { node: node.to_owned(), what, effect_ns: scene.recorder.run_ns(at_ns), details }
}

/// Undoes whatever still stands, the newest first. What cannot be undone is told: the lab ends soon, and takes it along.
pub async fn undo(scene: &Scene) {
    loop {
        let newest = scene.standing().pop();
        let Some(standing) = newest else { return };
        let undone = match &standing {
            Standing::Link { node, interface, had } => {
                link::up(scene, node, interface, had.clone(), &format!("set {interface} of node {} up again", node.logical)).await
            }
            Standing::Cut { node, from } => partition::heal(scene, node, *from, &format!("heal the wires of node {}", node.logical)).await,
            Standing::Api => process::resume(scene, "let the API server go on").await,
        };
        match undone {
            Ok(disrupted) => scene.record(None, Fact::Disrupted(disrupted)),
            Err(trouble) => {
                let what = format!("not undone before the lab ends: {}: {}", trouble.operation, trouble.message);
                scene.record(None, Fact::Collected { what })
            }
        };
    }
}

async fn ask(scene: &Scene, victim: &Victim, op: Op, limit: Duration, operation: &str) -> Result<Done, Trouble> {
    let agent = scene.agent(&Place::Node(victim.name.clone())).await?;
    Ok(agent.ask(op, limit).await.map_err(|error| error.trouble(operation))?.done)
}

fn confused(operation: &str) -> Trouble {
    lab_trouble(operation, "the agent answered another question".into())
}

fn lab_trouble(operation: &str, message: String) -> Trouble {
    Trouble { whose: Whose::Lab, operation: operation.to_owned(), message }
}

fn author_trouble(operation: &str, message: String) -> Trouble {
    Trouble { whose: Whose::Author, operation: operation.to_owned(), message }
}

/// What is broken now, the newest last.
#[derive(Debug, Default)]
pub(super) struct Broken(Vec<Standing>);

impl Broken {
    fn push(&mut self, standing: Standing) {
        self.0.push(standing);
    }

    fn pop(&mut self) -> Option<Standing> {
        self.0.pop()
    }

    fn find(&self, is_it: impl Fn(&Standing) -> bool) -> Option<Standing> {
        self.0.iter().rev().find(|standing| is_it(standing)).cloned()
    }

    /// Whether the API server stands still.
    pub(super) fn api_is_paused(&self) -> bool {
        self.0.contains(&Standing::Api)
    }

    fn done(&mut self, of: &Standing) {
        self.0.retain(|standing| standing != of);
    }

    /// A node that had no power has its links as they are made, and its kernel forgot the rest.
    pub(super) fn forget(&mut self, logical: &str) {
        self.0.retain(|standing| match standing {
            Standing::Link { node, .. } | Standing::Cut { node, .. } => node.logical != logical,
            Standing::Api => true,
        });
    }
}
