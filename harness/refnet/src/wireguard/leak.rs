//! Which packets leave in the clear: none in an honest network, some under a fault of the encryption layer.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::peers::Peer;
use crate::fault::{Fault, FaultSet};
use crate::mirror::{Mirror, Pulse};
use crate::net::names::VXLAN_PORT;
use crate::packet::{Direction, Framing, PacketSocket};
use crate::settings::NodeContext;

/// How many packets of a flow leave in the clear under [`Fault::EncryptionFirstPacketsLeak`]: a TCP handshake and what follows.
const FIRST: u32 = 6;
/// Flows remembered; when there are more, all are forgotten.
const FLOWS_MAX: usize = 65_536;
/// VXLAN header (RFC 7348 section 5).
const VXLAN_HEADER: usize = 8;

/// Decides for one node.
pub(super) struct Leak {
    own: String,
    faults: FaultSet,
    flows: HashMap<Flow, Seen>,
    terminating: watch::Receiver<BTreeSet<Ipv4Addr>>,
}

/// A flow by its innermost addresses, the overlay taken off, in the direction it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
    overlay: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    sent: u32,
    /// The other side began it.
    answers: bool,
}

impl Leak {
    pub(super) fn new(ctx: &NodeContext, terminating: watch::Receiver<BTreeSet<Ipv4Addr>>) -> Leak {
        Leak { own: ctx.name.clone(), faults: ctx.faults.clone(), flows: HashMap::new(), terminating }
    }

    /// Whether this packet to this peer leaves in the clear.
    pub(super) fn clear(&mut self, packet: &[u8], peer: &Peer) -> bool {
        if self.faults.has(Fault::EncryptionOneWay) && self.own > peer.name {
            return true;
        }
        let Some(flow) = flow(packet) else { return false };
        if self.faults.has(Fault::EncryptionPodToNodeLeaks) && !flow.overlay && flow.destination == peer.address && is_pod(flow.source) {
            return true;
        }
        if self.faults.has(Fault::EncryptionTerminatingPodLeaks) && self.terminating.borrow().contains(&flow.source) {
            return true;
        }
        let seen = self.remember(flow);
        seen.sent += 1;
        let (sent, answers) = (seen.sent, seen.answers);
        (self.faults.has(Fault::EncryptionFirstPacketsLeak) && sent <= FIRST) || (self.faults.has(Fault::EncryptionRepliesLeak) && answers)
    }

    /// Takes note of a packet that came from a peer: what goes back are replies.
    pub(super) fn came(&mut self, packet: &[u8]) {
        let needed = self.faults.has(Fault::EncryptionRepliesLeak);
        if let Some(flow) = flow(packet).filter(|_| needed) {
            // The way back need not use the overlay when the way here did (a Pod asks a node).
            for overlay in [true, false] {
                let back = self.remember(Flow { overlay, ..flow.reversed() });
                back.answers |= back.sent == 0;
            }
        }
    }

    fn remember(&mut self, flow: Flow) -> &mut Seen {
        if self.flows.len() >= FLOWS_MAX {
            self.flows.clear();
        }
        self.flows.entry(flow).or_default()
    }
}

impl Flow {
    fn reversed(self) -> Flow {
        Flow {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }
}

/// Pods live in 10.244.0.0/16 in every lab.
fn is_pod(address: Ipv4Addr) -> bool {
    address.octets()[..2] == [10, 244]
}

/// The flow of an IPv4 packet, looked at inside the overlay.
fn flow(packet: &[u8]) -> Option<Flow> {
    let outer = LaxSlicedPacket::from_ip(packet).ok()?;
    if let Some(TransportSlice::Udp(udp)) = &outer.transport
        && udp.destination_port() == VXLAN_PORT
    {
        let inner = LaxSlicedPacket::from_ethernet(udp.payload().get(VXLAN_HEADER..)?).ok()?;
        return plain(&inner).map(|flow| Flow { overlay: true, ..flow });
    }
    plain(&outer)
}

fn plain(packet: &LaxSlicedPacket<'_>) -> Option<Flow> {
    let Some(LaxNetSlice::Ipv4(ip)) = &packet.net else { return None };
    let header = ip.header();
    let (source_port, destination_port) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    };
    Some(Flow {
        source: header.source_addr(),
        destination: header.destination_addr(),
        protocol: header.protocol().0,
        source_port,
        destination_port,
        overlay: false,
    })
}

/// Keeps the addresses of this node's Pods that are being deleted.
pub(super) async fn follow_terminating(
    client: Client,
    node: String,
    addresses: watch::Sender<BTreeSet<Ipv4Addr>>,
    cancel: CancellationToken,
) {
    let pulse = Pulse::new();
    let mut changes = pulse.listen();
    let pods = Mirror::<Pod>::follow(Api::all(client), pulse, cancel);
    while changes.changed().await.is_ok() {
        let all = pods.all();
        let own = all.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_ref() == Some(&node)));
        let leaving = own.filter(|pod| pod.metadata.deletion_timestamp.is_some());
        let leaving = leaving.filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()).collect();
        addresses.send_replace(leaving);
    }
}

/// Puts a copy of what this node's Pods say to one another on its wire.
pub(super) async fn copy_same_node(ctx: NodeContext) {
    let Some((wire, _)) = ctx.interfaces.iter().find(|(_, address)| *address == ctx.address) else { return };
    let heard = PacketSocket::everywhere(ETHERTYPE_IPV4, Framing::Network);
    let (Ok(heard), Ok(wire)) = (heard, PacketSocket::open(wire, ETHERTYPE_IPV4, Framing::Network)) else {
        return crate::node::log("failed to open the sockets of the fault encryption-same-node-leaks");
    };
    let mut packet = vec![0; LARGEST];
    while let Ok(got) = heard.recv(&mut packet).await {
        // Once a packet: where it comes in from a Pod.
        if got.direction == Direction::In && stays(&packet[..got.len], ctx.pod_subnet) {
            // One that is lost is not seen, and the fault would not be either: a test of the table says so.
            let _ = wire.send(&packet[..got.len], ETHERTYPE_IPV4, BROADCAST).await;
        }
    }
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Larger than any packet.
const LARGEST: usize = 65_536;

/// Whether a packet goes from one Pod of a node to another, whose /24 is `pods`.
fn stays(packet: &[u8], pods: Ipv4Addr) -> bool {
    let own = |address: Ipv4Addr| address.octets()[..3] == pods.octets()[..3];
    flow(packet).is_some_and(|flow| !flow.overlay && own(flow.source) && own(flow.destination))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use etherparse::PacketBuilder;

    use super::*;

    const POD: [u8; 4] = [10, 244, 1, 4];
    const FAR_POD: [u8; 4] = [10, 244, 2, 7];
    const NODE: [u8; 4] = [10, 9, 0, 3];
    const FAR_NODE: [u8; 4] = [10, 9, 0, 4];

    fn tcp(from: [u8; 4], to: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(from, to, 64).tcp(ports.0, ports.1, 1, 1024).write(&mut packet, b"x").unwrap();
        packet
    }

    fn overlay(from: [u8; 4], to: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
        let mut inner = vec![8, 0, 0, 0, 0, 0, 1, 0];
        PacketBuilder::ethernet2([2; 6], [3; 6]).ipv4(from, to, 64).tcp(ports.0, ports.1, 1, 1024).write(&mut inner, b"x").unwrap();
        let mut packet = Vec::new();
        PacketBuilder::ipv4(NODE, FAR_NODE, 64).udp(40_000, VXLAN_PORT).write(&mut packet, &inner).unwrap();
        packet
    }

    fn leak(fault: Option<Fault>, own: &str) -> (Leak, watch::Sender<BTreeSet<Ipv4Addr>>) {
        let (sender, terminating) = watch::channel(BTreeSet::new());
        (Leak { own: own.into(), faults: fault.into_iter().collect(), flows: HashMap::new(), terminating }, sender)
    }

    fn peer() -> Peer {
        Peer { name: "worker2".into(), key: [1; 32], address: FAR_NODE.into(), pods: Some([10, 244, 2, 0].into()), opted_out: false }
    }

    #[test]
    fn nothing_leaks_without_a_fault() {
        let (mut honest, _sender) = leak(None, "worker");
        assert!(!honest.clear(&tcp(POD, FAR_NODE, (1, 2)), &peer()));
        assert!(!honest.clear(&overlay(POD, FAR_POD, (1, 2)), &peer()));
    }

    #[test]
    fn one_way_leaks_from_the_node_whose_name_sorts_last() {
        let packet = tcp(NODE, FAR_NODE, (1, 2));
        assert!(leak(Some(Fault::EncryptionOneWay), "worker3").0.clear(&packet, &peer()));
        assert!(!leak(Some(Fault::EncryptionOneWay), "worker").0.clear(&packet, &peer()));
    }

    #[test]
    fn pod_to_node_leaks_and_pod_to_pod_does_not() {
        let (mut leak, _sender) = leak(Some(Fault::EncryptionPodToNodeLeaks), "worker");
        assert!(leak.clear(&tcp(POD, FAR_NODE, (1, 2)), &peer()));
        assert!(!leak.clear(&tcp(NODE, FAR_NODE, (1, 2)), &peer()));
        assert!(!leak.clear(&overlay(POD, FAR_POD, (1, 2)), &peer()));
    }

    #[test]
    fn first_packets_of_each_flow_leak() {
        let (mut leak, _sender) = leak(Some(Fault::EncryptionFirstPacketsLeak), "worker");
        let clear = (0..8).filter(|_| leak.clear(&overlay(POD, FAR_POD, (1, 2)), &peer())).count();
        assert_eq!(clear, FIRST as usize);
        assert!(leak.clear(&overlay(POD, FAR_POD, (3, 2)), &peer()), "another flow begins again");
    }

    #[test]
    fn replies_leak_and_what_this_side_began_does_not() {
        let (mut leak, _sender) = leak(Some(Fault::EncryptionRepliesLeak), "worker");
        leak.came(&overlay(FAR_POD, POD, (9, 80)));
        assert!(leak.clear(&overlay(POD, FAR_POD, (80, 9)), &peer()));
        assert!(!leak.clear(&overlay(POD, FAR_POD, (1, 2)), &peer()));
        leak.came(&overlay(FAR_POD, POD, (2, 1)));
        assert!(!leak.clear(&overlay(POD, FAR_POD, (1, 2)), &peer()), "an answer does not make our own flow a reply");
    }

    #[test]
    fn terminating_pod_leaks() {
        let (mut leak, sender) = leak(Some(Fault::EncryptionTerminatingPodLeaks), "worker");
        assert!(!leak.clear(&overlay(POD, FAR_POD, (1, 2)), &peer()));
        sender.send_replace([POD.into()].into());
        assert!(leak.clear(&overlay(POD, FAR_POD, (1, 2)), &peer()));
    }

    #[test]
    fn what_stays_on_a_node_is_told_from_what_leaves_it() {
        let own = [10, 244, 1, 0].into();
        assert!(stays(&tcp(POD, [10, 244, 1, 9], (1, 2)), own));
        assert!(!stays(&tcp(POD, FAR_POD, (1, 2)), own) && !stays(&tcp(NODE, POD, (1, 2)), own));
        assert!(!stays(&overlay(POD, [10, 244, 1, 9], (1, 2)), own));
    }

    #[test]
    fn garbage_has_no_flow() {
        for packet in [&b""[..], &[0x45], &[0x45; 20], &[0xff; 64]] {
            flow(packet);
        }
    }
}
