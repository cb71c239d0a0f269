//! What was found, as a plan needs it: the facts of a cluster become a [`Running`], with the reasons why it cannot be tried now.

use std::collections::BTreeSet;

use plumb_core::running::{Installed, Running};
use plumb_core::scenario::node_names;
use plumb_core::version::Version;

use crate::cluster::facts::{CiliumSeen, Facts, NodeSeen};

/// What a plan depends on.
pub fn running(facts: &Facts) -> Running {
    let installed = match &facts.cilium {
        _ if facts.is_reference() => Installed::Reference { values: facts.reference.clone() },
        Some(cilium) => {
            Installed::Cilium { version: cilium.version().and_then(|version| Version::parse(version).ok()), config: cilium.config.clone() }
        }
        None => Installed::Nothing,
    };
    let count = |control_plane: bool| facts.nodes.iter().filter(|node| node.control_plane == control_plane).count();
    Running {
        system: facts.system(),
        installed,
        control_planes: u32::try_from(count(true)).unwrap_or(u32::MAX),
        workers: u32::try_from(count(false)).unwrap_or(u32::MAX),
        gateway: facts.gateway.clone(),
        troubles: troubles(facts),
    }
}

/// The nodes that play the parts a lab asks for, each with the name scenarios have for it; a part nobody can play is left out.
pub fn cast(nodes: &[NodeSeen], control_planes: u32, workers: u32) -> Vec<(String, NodeSeen)> {
    let names = node_names(control_planes, workers);
    let (heads, hands) = names.split_at((control_planes as usize).min(names.len()));
    let of = |control_plane: bool| nodes.iter().filter(move |node| node.control_plane == control_plane);
    let pairs = heads.iter().zip(of(true)).chain(hands.iter().zip(of(false)));
    pairs.map(|(name, node)| (name.clone(), node.clone())).collect()
}

/// Why it cannot be tried now, whatever is asked.
fn troubles(facts: &Facts) -> Vec<String> {
    let mut troubles = Vec::new();
    let unready = facts.nodes.iter().filter(|node| !node.ready).map(|node| node.name.as_str());
    troubles.extend(named("the kubelet does not say it is ready on", unready));
    if let Some(cilium) = facts.cilium.as_ref().filter(|_| !facts.is_reference()) {
        of_cilium(cilium, &facts.nodes, &mut troubles);
    }
    troubles
}

fn of_cilium(cilium: &CiliumSeen, nodes: &[NodeSeen], troubles: &mut Vec<String>) {
    if cilium.versions.len() > 1 {
        let versions: Vec<&str> = cilium.versions.iter().map(String::as_str).collect();
        troubles.push(format!("an upgrade is under way: agents of Cilium {} run", versions.join(" and ")));
    }
    let without =
        |has: &BTreeSet<String>| -> Vec<&str> { nodes.iter().map(|node| node.name.as_str()).filter(|name| !has.contains(*name)).collect() };
    troubles.extend(named("no Cilium agent is ready on", without(&cilium.ready)));
    if cilium.config.get("enable-wireguard").is_some_and(|value| value == "true") {
        troubles.extend(named("no WireGuard key is published by", without(&cilium.keyed)));
    }
}

/// `what a, b and 3 more`; nothing of none.
fn named<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const SHOWN: usize = 3;
    let names: Vec<&str> = names.into_iter().collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("{what} {shown}")),
        (false, more) => Some(format!("{what} {shown} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, control_plane: bool, ready: bool) -> NodeSeen {
        NodeSeen { name: name.into(), control_plane, address: String::new(), pod_cidr: String::new(), ready }
    }

    fn facts(cilium: Option<CiliumSeen>) -> Facts {
        Facts {
            kubernetes: "v1.32.2".into(),
            nodes: vec![node("cp", true, true), node("a", false, true), node("b", false, true)],
            cilium,
            reference: Default::default(),
            gateway: Default::default(),
            gateway_release: None,
        }
    }

    fn cilium(versions: &[&str], ready: &[&str], config: &[(&str, &str)]) -> CiliumSeen {
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        CiliumSeen {
            namespace: "kube-system".into(),
            versions: set(versions),
            config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ready: set(ready),
            keyed: BTreeSet::new(),
        }
    }

    #[test]
    fn a_cluster_at_rest_has_no_trouble_and_its_version() {
        let running = running(&facts(Some(cilium(&["v1.17.1"], &["cp", "a", "b"], &[]))));
        assert_eq!(running.troubles, Vec::<String>::new());
        assert_eq!((running.version(), running.control_planes, running.workers), (Some(Version(1, 17, 1)), 1, 2));
    }

    #[test]
    fn a_cluster_in_the_middle_of_something_says_of_what() {
        let cilium = cilium(&["v1.17.1", "v1.18.0"], &["cp"], &[("enable-wireguard", "true")]);
        let mut facts = facts(Some(cilium));
        facts.nodes[2].ready = false;
        assert_eq!(
            running(&facts).troubles,
            [
                "the kubelet does not say it is ready on b",
                "an upgrade is under way: agents of Cilium v1.17.1 and v1.18.0 run",
                "no Cilium agent is ready on a, b",
                "no WireGuard key is published by cp, a, b",
            ]
        );
    }

    #[test]
    fn parts_are_cast_in_order_and_what_nobody_can_play_is_left_out() {
        let nodes = facts(None).nodes;
        let names = |control_planes, workers| -> Vec<(String, String)> {
            cast(&nodes, control_planes, workers).into_iter().map(|(part, node)| (part, node.name)).collect()
        };
        let pair = |part: &str, node: &str| (part.to_owned(), node.to_owned());
        assert_eq!(names(1, 2), [pair("control-plane", "cp"), pair("worker", "a"), pair("worker2", "b")]);
        assert_eq!(names(1, 1), [pair("control-plane", "cp"), pair("worker", "a")]);
        assert_eq!(names(1, 3).len(), 3);
        assert_eq!(names(3, 0), [pair("control-plane", "cp")]);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(named("x", ["a", "b", "c", "d", "e"]).as_deref(), Some("x a, b, c and 2 more"));
        assert_eq!(named("x", []), None);
    }
}
