//! What one frame is, as values that borrow its bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The outermost kind of a packet, as counted in [`crate::probe::CaptureSummary::kinds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// RFC 826.
    Arp,
    /// ICMP for IPv4.
    Icmp,
    /// ICMP for IPv6, neighbour discovery included.
    Icmp6,
    /// TCP.
    Tcp,
    /// UDP that is none of the tunnels.
    Udp,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// WireGuard.
    WireGuard,
    /// ESP (RFC 4303).
    Esp,
    /// Anything else, later fragments included.
    Other,
}

impl Kind {
    /// Every kind, in the order of their numbers (`kind as usize`).
    pub const ALL: [Kind; 9] =
        [Kind::Arp, Kind::Icmp, Kind::Icmp6, Kind::Tcp, Kind::Udp, Kind::Vxlan, Kind::WireGuard, Kind::Esp, Kind::Other];

    /// The name it has in summaries.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Arp => "arp",
            Kind::Icmp => "icmp",
            Kind::Icmp6 => "icmp6",
            Kind::Tcp => "tcp",
            Kind::Udp => "udp",
            Kind::Vxlan => "vxlan",
            Kind::WireGuard => "wireguard",
            Kind::Esp => "esp",
            Kind::Other => "other",
        }
    }
}

/// One packet, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its outermost kind.
    pub kind: Kind,
    /// Source address of the outermost IP header, or ARP sender.
    pub source: Option<IpAddr>,
    /// Destination address of the outermost IP header, or ARP target.
    pub destination: Option<IpAddr>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// It is a fragment other than the first: it has no ports.
    pub later_fragment: bool,
    /// What follows the last header that was understood, as far as it was captured.
    pub payload: &'a [u8],
    /// Bytes of payload on the wire as the headers say; for GSO frames the same as captured.
    pub payload_len: usize,
    /// The frame inside VXLAN.
    pub tunnel: Option<Tunnel<'a>>,
    /// What kind of WireGuard message it is.
    pub wireguard: Option<WireGuardMessage>,
    /// Fields of an ARP frame.
    pub arp: Option<Arp>,
}

/// A VXLAN header and what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel<'a> {
    /// Network identifier; Cilium puts the security identity here.
    pub vni: u32,
    /// The packet inside, if it could be read.
    pub inner: Option<Box<Packet<'a>>>,
}

/// A WireGuard message by the type in its first octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireGuardMessage {
    /// Type 1.
    Initiation,
    /// Type 2.
    Response,
    /// Type 3.
    Cookie,
    /// Type 4 with a payload.
    Data,
    /// Type 4 of 32 bytes.
    Keepalive,
}

/// Fields of an ARP frame for IPv4 over Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// 1 = request, 2 = reply.
    pub operation: u16,
    /// Ethernet source.
    pub eth_src: [u8; 6],
    /// Ethernet destination.
    pub eth_dst: [u8; 6],
    /// Sender hardware address.
    pub sender_mac: [u8; 6],
    /// Sender protocol address.
    pub sender_ip: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: [u8; 6],
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// As an observation, seen at a time in nanoseconds.
    pub fn frame(&self, at_ns: u64) -> crate::probe::ArpFrame {
        crate::probe::ArpFrame {
            at_ns,
            operation: self.operation,
            eth_src: mac(self.eth_src),
            eth_dst: mac(self.eth_dst),
            sender_mac: mac(self.sender_mac),
            sender_ip: self.sender_ip,
            target_mac: mac(self.target_mac),
            target_ip: self.target_ip,
        }
    }
}

impl<'a> Packet<'a> {
    /// The packet inside the tunnel, or this one.
    pub fn innermost(&self) -> &Packet<'a> {
        match &self.tunnel {
            Some(Tunnel { inner: Some(inner), .. }) => inner.innermost(),
            _ => self,
        }
    }
}

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |f: &mut fmt::Formatter<'_>, address: Option<IpAddr>, port: Option<u16>| match (address, port) {
            (None, _) => write!(f, "?"),
            (Some(IpAddr::V6(address)), Some(port)) => write!(f, "[{address}]:{port}"),
            (Some(address), Some(port)) => write!(f, "{address}:{port}"),
            (Some(address), None) => write!(f, "{address}"),
        };
        if let Some(tunnel) = &self.tunnel {
            end(f, self.source, None)?;
            write!(f, " > ")?;
            end(f, self.destination, None)?;
            write!(f, " VXLAN {}", tunnel.vni)?;
            return match &tunnel.inner {
                Some(inner) => write!(f, " | {inner}"),
                None => Ok(()),
            };
        }
        if let Some(arp) = &self.arp {
            let verb = if arp.operation == 1 { "asks for" } else { "answers to" };
            return write!(f, "ARP {} ({}) {verb} {}", arp.sender_ip, mac(arp.sender_mac), arp.target_ip);
        }
        end(f, self.source, self.source_port)?;
        write!(f, " > ")?;
        end(f, self.destination, self.destination_port)?;
        write!(f, " {}", self.kind.name().to_uppercase())?;
        if self.later_fragment { write!(f, " (later fragment)") } else { Ok(()) }
    }
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
