//! The kernel's part of a node: overlay device, the node's address among its Pods, routes to the Pods of the others, and, with
//! encryption, the way into WireGuard. Every address is known from the plan, so nothing is learned and nothing is asked for.

use std::io;

use super::{Node, NodeError};
use crate::fault::Fault;
use crate::net::names::{ENCRYPTED_MARK, HOST, HOST_PEER, VXLAN, VXLAN_PORT, WIREGUARD, WIREGUARD_PEER, quiet_namespace, sysctl};
use crate::net::netlink::{LinkState, Netlink, Route, Rule, Takes, VethEnd};
use crate::net::plan::{API_PORT, Mac, VNI};

/// MTU of the underlay.
const UNDERLAY_MTU: u32 = 1500;
/// What WireGuard adds.
const WIREGUARD_OVERHEAD: u32 = 80;
/// What VXLAN adds.
const VXLAN_OVERHEAD: u32 = 50;
/// Routing table of what is to be encrypted.
const ENCRYPT_TABLE: u32 = 201;
/// The kernel's main table.
const MAIN_TABLE: u32 = 254;
/// Hardware address of `cilium_wg0`, needed to write frames to it.
pub(crate) const WIREGUARD_MAC: Mac = [0x02, 0x60, 0, 0, 0, 1];

/// MTU of a node's Pods.
pub(crate) fn pod_mtu(wireguard: bool) -> u32 {
    UNDERLAY_MTU - VXLAN_OVERHEAD - if wireguard { WIREGUARD_OVERHEAD } else { 0 }
}

/// Builds it in the namespace of this process.
pub(super) async fn build(node: &Node) -> Result<(), NodeError> {
    interfaces(node).map_err(|source| NodeError::Io { operation: "set up the node's namespace", source })?;
    let netlink = Netlink::here()?;
    let mtu = pod_mtu(node.context.settings.wireguard);
    let own = &node.own;
    netlink.add_veth(&VethEnd::named(HOST, mtu), &VethEnd::named(HOST_PEER, mtu)).await?;
    netlink.set_up(netlink.index(HOST_PEER).await?, LinkState::Up).await?;
    let host = netlink.index(HOST).await?;
    netlink.add_address(host, own.router, 32).await?;
    let vxlan = netlink.add_vxlan(VXLAN, VNI, VXLAN_PORT, own.address(), own.vtep, mtu).await?;
    for peer in node.plan.nodes.iter().filter(|peer| peer.name != own.name) {
        netlink.add_forwarding(vxlan, peer.vtep, peer.address()).await?;
        netlink.add_neighbour(vxlan, peer.router, peer.vtep).await?;
        let via = Some(peer.router);
        netlink.add_route(Route { to: peer.pod_subnet, prefix: 24, dev: vxlan, via, src: Some(own.router), table: None }).await?;
    }
    if node.context.settings.wireguard {
        encryption(node, &netlink).await?;
    }
    Ok(())
}

/// The interfaces on the lab's networks: an address that is not an interface's own is not answered for by the kernel, because
/// addresses of Services are on `lo` and only the announcer speaks for them.
fn interfaces(node: &Node) -> io::Result<()> {
    quiet_namespace()?;
    for nic in &node.own.nics {
        sysctl(&format!("net/ipv4/conf/{}/arp_ignore", nic.interface), "1")?;
        sysctl(&format!("net/ipv4/conf/{}/arp_announce", nic.interface), "2")?;
        sysctl(&format!("net/ipv4/conf/{}/rp_filter", nic.interface), "0")?;
    }
    Ok(())
}

/// `cilium_wg0`, and the rules that send packets there. What has the mark is WireGuard's own (or a fault's) and leaves as it is.
async fn encryption(node: &Node, netlink: &Netlink) -> Result<(), NodeError> {
    let mtu = UNDERLAY_MTU - WIREGUARD_OVERHEAD;
    let near = VethEnd { arp: false, mac: Some(WIREGUARD_MAC), ..VethEnd::named(WIREGUARD, mtu) };
    let far = VethEnd { arp: false, ..VethEnd::named(WIREGUARD_PEER, mtu) };
    netlink.add_veth(&near, &far).await?;
    netlink.set_up(netlink.index(WIREGUARD_PEER).await?, LinkState::Up).await?;
    for end in [WIREGUARD, WIREGUARD_PEER] {
        crate::sys::offloads_off(end).map_err(|source| NodeError::Io { operation: "turn the offloads of cilium_wg0 off", source })?;
    }
    if node.context.faults.has(Fault::EncryptionOff) {
        return Ok(());
    }
    let device = netlink.index(WIREGUARD).await?;
    let everywhere =
        Route { to: [0, 0, 0, 0].into(), prefix: 0, dev: device, via: None, src: Some(node.own.address()), table: Some(ENCRYPT_TABLE) };
    netlink.add_route(everywhere).await?;
    netlink.add_rule(Rule { priority: 100, table: MAIN_TABLE, takes: Takes::Mark(ENCRYPTED_MARK) }).await?;
    netlink.add_rule(Rule { priority: 110, table: ENCRYPT_TABLE, takes: Takes::UdpTo(VXLAN_PORT) }).await?;
    let everything = node.context.faults.has(Fault::EncryptionNodesToo);
    if everything {
        // Keys are learned from the API.
        for takes in [Takes::TcpTo(API_PORT), Takes::TcpFrom(API_PORT)] {
            netlink.add_rule(Rule { priority: 105, table: MAIN_TABLE, takes }).await?;
        }
    }
    // A control plane opts out of node encryption, in both directions.
    if everything || (node.context.settings.node_encryption && !node.own.control_plane) {
        for peer in node.plan.nodes.iter().filter(|peer| peer.name != node.own.name && (everything || !peer.control_plane)) {
            netlink.add_rule(Rule { priority: 120, table: ENCRYPT_TABLE, takes: Takes::To(peer.address()) }).await?;
        }
    }
    Ok(())
}
