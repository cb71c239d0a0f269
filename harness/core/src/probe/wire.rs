//! ARP and captures: frames as they crossed an interface.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// ARP requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArpOp {
    /// Interface to ask on.
    pub interface: String,
    /// The address asked for.
    pub target: std::net::Ipv4Addr,
    /// Sender address of the request; absent = the interface's first.
    #[serde(default)]
    pub source: Option<std::net::Ipv4Addr>,
    /// How many requests; 0 = until stopped.
    #[serde(default = "one")]
    pub count: u32,
    /// Pause between two, in milliseconds.
    #[serde(default = "twenty_ms")]
    pub interval_ms: u64,
    /// How long to collect answers after the last request, in milliseconds. All answers are collected, not the first alone.
    #[serde(default = "two_hundred_ms")]
    pub window_ms: u64,
}

/// Watch ARP without asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArpWatchOp {
    /// Interface to listen on.
    pub interface: String,
    /// Only frames whose sender or target protocol address is this.
    #[serde(default)]
    pub address: Option<std::net::Ipv4Addr>,
}

/// What an [`Op::Arp`](super::Op::Arp) or [`Op::ArpWatch`](super::Op::ArpWatch) saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArpReport {
    /// Times of the requests that were sent.
    pub asked_ns: Vec<u64>,
    /// Every frame about the address that came in (own frames excluded), in order. Also sent as items while running.
    pub frames: Vec<ArpFrame>,
    /// Frames the kernel dropped before the agent read them.
    pub dropped: u64,
    /// When listening began and ended.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
}

/// One ARP frame (RFC 826; gratuitous: RFC 5227 section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArpFrame {
    /// When the kernel saw it.
    pub at_ns: u64,
    /// 1 = request, 2 = reply.
    pub operation: u16,
    /// Ethernet source, `aa:bb:cc:dd:ee:ff`.
    pub eth_src: String,
    /// Ethernet destination.
    pub eth_dst: String,
    /// Sender hardware address.
    pub sender_mac: String,
    /// Sender protocol address.
    pub sender_ip: std::net::Ipv4Addr,
    /// Target hardware address.
    pub target_mac: String,
    /// Target protocol address.
    pub target_ip: std::net::Ipv4Addr,
}

impl ArpFrame {
    /// Whether sender and target protocol address are the same: an announcement, request or reply alike (RFC 5227 section 3).
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }
}

/// Frames of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureOp {
    /// Interface to listen on, in promiscuous mode.
    pub interface: String,
    /// Only frames that match one of these; empty = all.
    #[serde(default)]
    pub filter: Vec<FrameFilter>,
    /// Bytes kept of each frame.
    #[serde(default = "snaplen")]
    pub snaplen: u32,
    /// Payloads to look for.
    #[serde(default)]
    pub canaries: Vec<Canary>,
    /// UDP ports to decode as VXLAN (RFC 7348).
    #[serde(default = "vxlan_ports")]
    pub vxlan_ports: Vec<u16>,
    /// UDP ports to decode as WireGuard.
    #[serde(default = "wireguard_ports")]
    pub wireguard_ports: Vec<u16>,
    /// Send the frames as pcapng items when it ends, up to so many bytes; 0 = do not.
    #[serde(default)]
    pub pcapng_bytes_max: u64,
}

/// A filter the kernel can apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrameFilter {
    /// EtherType, for example 2054 (ARP).
    #[serde(default)]
    pub ethertype: Option<u16>,
    /// IP protocol, for example 17 (UDP).
    #[serde(default)]
    pub protocol: Option<u8>,
    /// Either address.
    #[serde(default)]
    pub host: Option<IpAddr>,
    /// Either port.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A payload to look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// Its name in the results.
    pub name: String,
    /// The text itself; at least 16 bytes, so that chance does not find it.
    pub text: String,
}

/// What a capture saw, decoded by [`crate::frames`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureSummary {
    /// Interface it listened on.
    pub interface: String,
    /// When it began and ended.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
    /// Frames read.
    pub frames: u64,
    /// Bytes on the wire of those.
    pub bytes: u64,
    /// Frames the kernel dropped for want of room (PACKET_STATISTICS).
    pub dropped: u64,
    /// Frames cut at the snap length.
    pub truncated: u64,
    /// Frames that could not be decoded.
    pub undecodable: u64,
    /// Counted by outermost kind: `arp`, `icmp`, `icmp6`, `tcp`, `udp`, `vxlan`, `wireguard`, `esp`, `other`.
    pub kinds: BTreeMap<String, Volume>,
    /// WireGuard messages by type, and between whom.
    pub wireguard: WireGuardCount,
    /// TLS records at the start of TCP payloads, by content type: `handshake`, `applicationData`, `alert`, `changeCipherSpec`.
    pub tls_records: BTreeMap<String, u64>,
    /// One a canary asked for, in that order.
    pub canaries: Vec<CanaryHits>,
    /// Whether the pcapng file is complete.
    pub pcapng_complete: bool,
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Frames.
    pub frames: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// WireGuard messages (type field of the first octet).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireGuardCount {
    /// Type 1.
    pub initiation: u64,
    /// Type 2.
    pub response: u64,
    /// Type 3.
    pub cookie: u64,
    /// Type 4 with a payload.
    pub data: u64,
    /// Type 4 of 32 bytes.
    pub keepalive: u64,
    /// Bytes of UDP payload of type 4.
    pub data_bytes: u64,
    /// Data messages by `source>destination` address of the outer packet.
    pub pairs: BTreeMap<String, u64>,
}

/// Where a canary was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryHits {
    /// Its name.
    pub name: String,
    /// Frames with it in the clear and in no tunnel.
    pub clear: u64,
    /// Frames with it in the clear inside VXLAN.
    pub vxlan: u64,
    /// The first few frames that had it, at most 8.
    pub first: Vec<FrameRef>,
}

impl CanaryHits {
    /// Frames with it anywhere.
    pub fn frames(&self) -> u64 {
        self.clear.saturating_add(self.vxlan)
    }
}

/// Points at a frame of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameRef {
    /// Number in the capture, from 1 as Wireshark counts.
    pub number: u64,
    /// When.
    pub at_ns: u64,
    /// In words: addresses, ports, tunnel, for example `10.9.1.2 > 10.9.1.3 VXLAN 1 | 10.244.1.4:39112 > 10.244.2.7:8080 TCP`.
    pub what: String,
}

fn one() -> u32 {
    1
}

fn twenty_ms() -> u64 {
    20
}

fn two_hundred_ms() -> u64 {
    200
}

fn snaplen() -> u32 {
    256
}

fn vxlan_ports() -> Vec<u16> {
    vec![8472]
}

fn wireguard_ports() -> Vec<u16> {
    vec![51871]
}
