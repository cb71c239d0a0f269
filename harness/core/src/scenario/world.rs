//! What a scenario file declares, read leniently from its tree so that references can be checked even where other parts are wrong.

use std::collections::BTreeMap;

use super::model::Lab;
use super::tree::{Node, Place};

/// What references can point at.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Node names in order.
    pub(super) nodes: Vec<String>,
    /// Networks of the lab.
    pub(super) networks: Vec<String>,
    /// Networks of the outside client.
    pub(super) client: Vec<String>,
    /// Replicas by backend id.
    pub(super) backends: BTreeMap<String, u64>,
    /// Certificates.
    pub(super) certs: Vec<String>,
}

impl World {
    pub(super) fn of(root: &Node) -> World {
        let lab = root.get("lab");
        let default = Lab::default();
        let number =
            |key: &str, default: u32| lab.and_then(|lab| lab.get(key)).and_then(Node::whole).unwrap_or(u64::from(default)).min(64) as u32;
        let names = |key: &str, default: &[String]| match lab.and_then(|lab| lab.get(key)) {
            None => default.to_vec(),
            Some(list) => list.items().iter().filter_map(Node::text).map(str::to_owned).collect(),
        };
        World {
            nodes: node_names(number("controlPlanes", default.control_planes), number("workers", default.workers)),
            networks: names("networks", &default.networks),
            client: names("client", &default.client),
            backends: keys(root, "backends").map(|(name, node)| (name, node.get("replicas").and_then(Node::whole).unwrap_or(1))).collect(),
            certs: keys(root, "certs").map(|(name, _)| name).collect(),
        }
    }
}

fn keys<'a>(root: &'a Node, key: &str) -> impl Iterator<Item = (String, &'a Node)> {
    root.get(key).map(Node::entries).unwrap_or_default().iter().map(|(k, node)| (k.name.clone(), node))
}

/// Names of the nodes, control planes first: `control-plane`, `control-plane2`, ..., `worker`, `worker2`, ...
pub fn node_names(control_planes: u32, workers: u32) -> Vec<String> {
    let named = |role: &str, count: u32| -> Vec<String> {
        (1..=count).map(|n| if n == 1 { role.to_owned() } else { format!("{role}{n}") }).collect()
    };
    let mut names = named("control-plane", control_planes);
    names.extend(named("worker", workers));
    names
}

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) id: String,
    pub(super) place: Place,
    /// `step`, `node`, `probe`, `lease`, `config`, `watch`.
    pub(super) class: &'static str,
    /// For watches: `capture`, `arp`, `load`.
    pub(super) watch: Option<String>,
    /// Whether it stands in a variant's `replace`.
    pub(super) replaces: bool,
}

/// A text that points at an id, looked up when every id is known.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) wants: Wants,
    pub(super) id: String,
    pub(super) place: Place,
}

/// What an id must stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Watch,
    Capture,
    Probe,
    Lease,
    Config,
    NodeStep,
    /// A check, or a step that acts and that a fault may keep from being carried out.
    Check,
}
