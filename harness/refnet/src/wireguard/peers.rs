//! Who the peers are, from the CiliumNodes alone. Pure.

use std::net::Ipv4Addr;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use super::KEY_ANNOTATION;

/// A node with this label opts out of node encryption, its own and towards it; its Pods' traffic is still encrypted.
pub(super) const OPT_OUT_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) key: [u8; 32],
    pub(super) address: Ipv4Addr,
    /// Network address of its Pods' /24.
    pub(super) pods: Option<Ipv4Addr>,
    /// It has opted out of node encryption.
    pub(super) opted_out: bool,
}

impl Peer {
    /// Whether packets from this source may come from this peer (WireGuard's AllowedIPs).
    pub(super) fn allows(&self, source: Ipv4Addr) -> bool {
        source == self.address || self.pods.is_some_and(|pods| pods.octets()[..3] == source.octets()[..3])
    }
}

/// Every node but `own` that has an address and a key, by name.
pub(super) fn peers<'a>(nodes: impl Iterator<Item = &'a DynamicObject>, own: &str) -> Vec<Peer> {
    let mut peers: Vec<Peer> = nodes.filter(|node| node.name_any() != own).filter_map(peer).collect();
    peers.sort_by(|a, b| a.name.cmp(&b.name));
    peers
}

fn peer(node: &DynamicObject) -> Option<Peer> {
    let key = node.annotations().get(KEY_ANNOTATION)?;
    let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).ok()?;
    let text = |pointer: &str| node.data.pointer(pointer).and_then(Value::as_str);
    let pods = text("/spec/ipam/podCIDRs/0").and_then(|cidr| cidr.strip_suffix("/24")?.parse().ok());
    Some(Peer {
        name: node.name_any(),
        key: key.try_into().ok()?,
        address: text("/spec/addresses/0/ip")?.parse().ok()?,
        pods,
        opted_out: node.labels().contains_key(OPT_OUT_LABEL),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn node(name: &str, labels: Value, key: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
            "metadata": {"name": name, "labels": labels, "annotations": {KEY_ANNOTATION: key}},
            "spec": {"addresses": [{"type": "InternalIP", "ip": "10.9.0.3"}], "ipam": {"podCIDRs": ["10.244.1.0/24"]}},
        }))
        .unwrap()
    }

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=";

    #[test]
    fn other_nodes_with_a_key_are_peers_and_the_control_plane_has_opted_out() {
        let nodes =
            [node("worker2", json!({}), KEY), node("worker", json!({}), KEY), node("control-plane", json!({OPT_OUT_LABEL: ""}), KEY)];
        let peers = peers(nodes.iter(), "worker");
        let seen: Vec<(&str, bool)> = peers.iter().map(|p| (p.name.as_str(), p.opted_out)).collect();
        assert_eq!(seen, [("control-plane", true), ("worker2", false)]);
    }

    #[test]
    fn node_without_a_whole_key_is_no_peer() {
        assert_eq!(peers([node("worker2", json!({}), "AAAA")].iter(), "worker"), []);
    }

    #[test]
    fn peer_may_speak_for_itself_and_its_pods_alone() {
        let peer = peers([node("worker2", json!({}), KEY)].iter(), "worker").remove(0);
        let allows = |text: &str| peer.allows(text.parse().unwrap());
        assert!(allows("10.9.0.3") && allows("10.244.1.77"));
        assert!(!allows("10.9.0.4") && !allows("10.244.2.77"));
    }
}
