//! Every address of a lab, from its spec alone: supervisor and node processes come to the same one without asking each other.

use std::net::Ipv4Addr;

use crate::settings::NodeContext;
use crate::spec::LabSpec;

/// Port of the Kubernetes API on the control plane's address.
pub const API_PORT: u16 = 6443;
/// VXLAN network identifier of the overlay.
pub const VNI: u32 = 2;
/// Last byte of the outside client's addresses.
const CLIENT: u8 = 200;
/// Last byte of the first node's addresses.
const FIRST_NODE: u8 = 2;
/// Nodes that fit below the addresses of the client and the pools.
const NODES_MAX: usize = 100;

/// A hardware address.
pub type Mac = [u8; 6];

/// A lab cannot look like this. Reads after "failed to".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plan the lab: {0}")]
pub struct PlanError(pub String);

/// An interface on a network of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Name inside: `eth0`.
    pub interface: String,
    /// Which network, by position in the spec.
    pub network: usize,
    /// Address; its network is a /24.
    pub address: Ipv4Addr,
    /// Hardware address.
    pub mac: Mac,
}

/// A node's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    /// Name of the Kubernetes Node.
    pub name: String,
    /// Position in the spec.
    pub index: usize,
    /// Carries the control-plane label.
    pub control_plane: bool,
    /// One for each network, the node network first.
    pub nics: Vec<Nic>,
    /// Network address of its Pods' /24.
    pub pod_subnet: Ipv4Addr,
    /// Its own address among its Pods', on `cilium_host`.
    pub router: Ipv4Addr,
    /// Hardware address of its overlay device.
    pub vtep: Mac,
}

/// A lab's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Nodes in the order of the spec.
    pub nodes: Vec<NodePlan>,
    /// The outside client's interfaces; empty = no client.
    pub client: Vec<Nic>,
}

impl Plan {
    /// Lays a lab out.
    ///
    /// # Errors
    /// No node, no network, no control plane, names that repeat or do not fit the kernel, or a network that is not a /24.
    pub fn of(spec: &LabSpec) -> Result<Plan, PlanError> {
        check(spec)?;
        let nodes = spec
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let number = index as u8;
                NodePlan {
                    name: node.name.clone(),
                    index,
                    control_plane: node.control_plane,
                    nics: (0..spec.networks.len()).map(|network| nic(spec, network, FIRST_NODE + number)).collect(),
                    pod_subnet: Ipv4Addr::new(10, 244, number, 0),
                    router: Ipv4Addr::new(10, 244, number, 1),
                    vtep: [0x02, 0x30, 0, 0, number, 1],
                }
            })
            .collect();
        let client = (0..spec.networks.len())
            .filter(|network| spec.client.contains(&spec.networks[*network].interface))
            .map(|network| nic(spec, network, CLIENT))
            .collect();
        Ok(Plan { nodes, client })
    }

    /// A node by name.
    pub fn node(&self, name: &str) -> Option<&NodePlan> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node that serves the API: the first with the control-plane label.
    pub fn api_node(&self) -> &NodePlan {
        self.nodes.iter().find(|node| node.control_plane).unwrap_or(&self.nodes[0])
    }

    /// URL of the API.
    pub fn api_url(&self) -> String {
        format!("https://{}:{API_PORT}", self.api_node().address())
    }
}

impl NodePlan {
    /// Address on the node network.
    pub fn address(&self) -> Ipv4Addr {
        self.nics[0].address
    }

    /// Its Pod CIDR in text.
    pub fn pod_cidr(&self) -> String {
        format!("{}/24", self.pod_subnet)
    }

    /// Address of its n-th Pod.
    pub fn pod(&self, host: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.pod_subnet.octets();
        Ipv4Addr::new(a, b, c, host)
    }

    /// Hardware addresses of a Pod's interface and of the node's end of it.
    pub fn pod_macs(&self, host: u8) -> (Mac, Mac) {
        let number = self.index as u8;
        ([0x02, 0x20, 0, 0, number, host], [0x02, 0x50, 0, 0, number, host])
    }

    /// What the node's process works with.
    pub fn context(&self, spec: &LabSpec, settings: &crate::settings::Settings) -> NodeContext {
        NodeContext {
            name: self.name.clone(),
            control_plane: self.control_plane,
            address: self.address(),
            pod_subnet: self.pod_subnet,
            interfaces: self.nics.iter().map(|nic| (nic.interface.clone(), nic.address)).collect(),
            settings: settings.clone(),
            faults: spec.faults.clone(),
            seed: spec.seed,
        }
    }
}

fn nic(spec: &LabSpec, network: usize, host: u8) -> Nic {
    let [a, b, c, _] = spec.networks[network].subnet.octets();
    Nic {
        interface: spec.networks[network].interface.clone(),
        network,
        address: Ipv4Addr::new(a, b, c, host),
        mac: [0x02, 0x10, 0, network as u8, 0, host],
    }
}

fn check(spec: &LabSpec) -> Result<(), PlanError> {
    let wrong = |what: String| Err(PlanError(what));
    if spec.nodes.is_empty() || spec.nodes.len() > NODES_MAX {
        return wrong(format!("{} nodes, expected 1 to {NODES_MAX}", spec.nodes.len()));
    }
    if spec.networks.is_empty() || spec.networks.len() > 16 {
        return wrong(format!("{} networks, expected 1 to 16", spec.networks.len()));
    }
    for (at, node) in spec.nodes.iter().enumerate() {
        if node.name.is_empty() || !node.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return wrong(format!("node name `{}` is not made of a-z, 0-9 and -", node.name));
        }
        if spec.nodes[..at].iter().any(|other| other.name == node.name) {
            return wrong(format!("two nodes are named `{}`", node.name));
        }
    }
    for (at, network) in spec.networks.iter().enumerate() {
        let name = &network.interface;
        let reserved = name == "lo" || name.starts_with("cilium_") || name.starts_with("lxc") || name.starts_with("wg");
        if name.is_empty() || name.len() > 11 || reserved || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return wrong(format!("interface name `{name}` is not 1 to 11 letters and digits, or taken"));
        }
        let [a, b, c, d] = network.subnet.octets();
        if d != 0 || (a == 10 && b == 244) || a == 0 || a == 127 || a >= 224 {
            return wrong(format!("{} is not the first address of a /24 outside 10.244.0.0/16", network.subnet));
        }
        let same = |other: &crate::spec::NetworkSpec| other.interface == *name || other.subnet.octets()[..3] == [a, b, c];
        if spec.networks[..at].iter().any(same) {
            return wrong(format!("network `{name}` repeats a name or a subnet"));
        }
    }
    match spec.client.iter().find(|name| !spec.networks.iter().any(|network| network.interface == **name)) {
        Some(name) => wrong(format!("the client is on network `{name}`, which does not exist")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::spec::{NetworkSpec, NodeSpec};

    fn spec(nodes: &[&str], networks: &[(&str, [u8; 4])], client: &[&str]) -> LabSpec {
        LabSpec {
            nodes: nodes.iter().map(|name| NodeSpec { name: (*name).to_owned(), control_plane: *name == "control-plane" }).collect(),
            networks: networks
                .iter()
                .map(|(interface, subnet)| NetworkSpec { interface: (*interface).to_owned(), subnet: (*subnet).into() })
                .collect(),
            client: client.iter().map(|name| (*name).to_owned()).collect(),
            values: std::collections::BTreeMap::new(),
            crds: Vec::new(),
            faults: crate::fault::FaultSet::default(),
            seed: 1,
        }
    }

    #[test]
    fn nodes_and_client_get_their_addresses_in_order() {
        let plan = Plan::of(&spec(&["control-plane", "worker"], &[("eth0", [10, 9, 0, 0]), ("net0", [10, 10, 0, 0])], &["net0"])).unwrap();
        assert_eq!(plan.nodes[1].address(), Ipv4Addr::new(10, 9, 0, 3));
        assert_eq!(plan.nodes[1].nics[1].address, Ipv4Addr::new(10, 10, 0, 3));
        assert_eq!(plan.nodes[1].pod_cidr(), "10.244.1.0/24");
        assert_eq!(plan.client[0].address, Ipv4Addr::new(10, 10, 0, 200));
        assert_eq!(plan.api_url(), "https://10.9.0.2:6443");
    }

    #[test]
    fn impossible_topologies_are_refused() {
        let eth0: &[(&str, [u8; 4])] = &[("eth0", [10, 9, 0, 0])];
        for (bad, word) in [
            (spec(&[], eth0, &[]), "0 nodes"),
            (spec(&["a"], &[], &[]), "0 networks"),
            (spec(&["a", "a"], eth0, &[]), "two nodes"),
            (spec(&["../x"], eth0, &[]), "node name"),
            (spec(&["a"], &[("cilium_wg0", [10, 9, 0, 0])], &[]), "interface name"),
            (spec(&["a"], &[("eth0", [10, 244, 0, 0])], &[]), "/24"),
            (spec(&["a"], &[("eth0", [10, 9, 0, 7])], &[]), "/24"),
            (spec(&["a"], eth0, &["net9"]), "net9"),
        ] {
            let message = Plan::of(&bad).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
