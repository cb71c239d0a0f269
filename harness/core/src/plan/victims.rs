//! The control plane must never be the victim of a lease test: with it gone no lease can move, whatever the announcer does.
//!
//! A step that breaks the holder of a lease is taken only where every announcement policy of the scenario keeps control planes out, so that
//! the holder cannot be one; a step that breaks a control plane by its name is not taken beside a question about a lease.

use std::collections::BTreeMap;

use super::planner::PlanError;
use crate::scenario::model::{Eventually, NodeAction, Probe, Scenario, Step};
use crate::scenario::tree::{self, Node};

/// The label of control planes.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Adds every mistake of this kind.
pub(super) fn check(scenario: &Scenario, manifests: &BTreeMap<String, String>, errors: &mut Vec<PlanError>) {
    let steps = scenario.every_step();
    let inline = steps.iter().filter_map(|step| if let Step::Apply(apply) = step { apply.manifest.as_deref() } else { None });
    let texts = manifests.values().map(String::as_str).chain(inline);
    let admitting: Vec<String> = texts.flat_map(admitting).collect();
    let asks_for_leases = steps.iter().any(|step| is_about_leases(step));
    for step in &steps {
        let Some(node) = broken(step) else { continue };
        let by = step.id().unwrap_or(step.verb()).to_owned();
        if node.starts_with("holder:") {
            for policy in &admitting {
                let why = format!("policy {policy} lets control planes hold the lease");
                let cure = format!("give its nodeSelector {{key: {CONTROL_PLANE}, operator: DoesNotExist}}");
                errors.push(PlanError::Victim { by: by.clone(), node: node.to_owned(), why, cure });
            }
        } else if node.starts_with("control-plane") && asks_for_leases {
            let why = "no lease moves without the API it serves".to_owned();
            let cure = "take a worker, or freeze the API alone".to_owned();
            errors.push(PlanError::Victim { by, node: node.to_owned(), why, cure });
        }
    }
}

/// The node a step takes from the others.
fn broken(step: &Step) -> Option<&str> {
    match step {
        Step::Node(step) if matches!(step.action, NodeAction::Stop | NodeAction::Pause) => Some(&step.node),
        Step::Link(step) => Some(&step.node),
        Step::Partition(step) => Some(&step.node),
        _ => None,
    }
}

fn is_about_leases(step: &Step) -> bool {
    let of_lease = |probe: &Probe| matches!(probe, Probe::Lease(_));
    match step {
        Step::Lease(_) => true,
        Step::Eventually(Eventually { probe, .. }) => of_lease(probe),
        Step::Consistently(step) => of_lease(&step.probe),
        _ => broken(step).is_some_and(|node| node.starts_with("holder:") || node.starts_with("other:")),
    }
}

/// Names of the announcement policies in a manifest that let a control plane announce.
fn admitting(text: &str) -> Vec<String> {
    let documents = tree::read_all(&super::manifests::masked(text)).unwrap_or_default();
    let is_policy = |document: &&Node| document.get("kind").and_then(Node::text) == Some("CiliumL2AnnouncementPolicy");
    let admits = |document: &&Node| document.get("spec").and_then(|spec| spec.get("nodeSelector")).is_none_or(admits_control_planes);
    let name = |document: &Node| document.get("metadata")?.get("name")?.text().map(str::to_owned);
    documents.iter().filter(is_policy).filter(admits).map(|document| name(document).unwrap_or_default()).collect()
}

/// Whether a label selector takes nodes that have the label of control planes. Of other labels nothing is known: they keep nobody out.
fn admits_control_planes(selector: &Node) -> bool {
    let expressions = selector.get("matchExpressions").map(Node::items).unwrap_or_default();
    !expressions.iter().any(|expression| {
        let text = |key: &str| expression.get(key).and_then(Node::text).unwrap_or_default();
        text("key") == CONTROL_PLANE && text("operator") == "DoesNotExist"
    })
}
