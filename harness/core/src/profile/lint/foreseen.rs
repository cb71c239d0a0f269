//! What is known of a plan before anything is made.

use super::{Before, Finding, FlagSet, Object, Severity, Topology, lint_flags};
use crate::plan::Plan;
use crate::version::Version;

/// What breaks the installation a plan makes, or a promise of it, as far as the flag lint knows: errors alone, each once. A provider that
/// installs nothing has none.
pub fn foreseen(plan: &Plan) -> Vec<Finding> {
    if plan.provider != "kind" {
        return Vec::new();
    }
    let installed = plan.installed();
    let flags = FlagSet {
        name: format!("profile {}", installed.profile.name),
        cilium: Version::parse(&installed.profile.cilium).ok(),
        values: installed.values.clone(),
        before: Before::Reset,
        gateway_api: plan.scenario.install.gateway_api.clone().or_else(|| installed.profile.gateway_api.clone()),
        ..FlagSet::default()
    };
    // Manifests that are no YAML are told when they are applied.
    let read = |(file, text): (&String, &String)| Object::read(file, 1, text).unwrap_or_default();
    let objects: Vec<Object> = plan.manifests.iter().flat_map(read).collect();
    let topology = Topology { lab: plan.scenario.lab.clone(), objects: &objects, cli: None };
    lint_flags(&flags, &topology).into_iter().filter(|finding| finding.severity == Severity::Error).collect()
}
