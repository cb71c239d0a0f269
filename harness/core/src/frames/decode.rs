//! Bytes to packets. Reads at most what is there; a header that is cut is [`Undecodable`], a payload that is cut is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{Arp, Kind, Packet, Tunnel, WireGuardMessage};
use crate::probe::CaptureOp;

/// What a frame begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header (LINKTYPE_ETHERNET, 1).
    #[default]
    Ethernet,
    /// An IPv4 or IPv6 header (LINKTYPE_RAW, 101), as on a TUN device.
    RawIp,
}

/// A header is cut, or contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decode {0}")]
pub struct Undecodable(&'static str);

/// Turns frames into packets; holds which UDP ports are tunnels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoder {
    link: LinkType,
    vxlan_ports: Vec<u16>,
    wireguard_ports: Vec<u16>,
}

/// Decodes one Ethernet frame with the tunnel ports of a capture; see [`Decoder::decode`].
///
/// # Errors
/// A header is cut or contradicts itself.
pub fn decode_frame<'a>(bytes: &'a [u8], op: &CaptureOp) -> Result<Packet<'a>, Undecodable> {
    Decoder::new(op, LinkType::Ethernet).decode(bytes)
}

impl Decoder {
    /// A decoder with the tunnel ports of a capture.
    pub fn new(op: &CaptureOp, link: LinkType) -> Decoder {
        Decoder { link, vxlan_ports: op.vxlan_ports.clone(), wireguard_ports: op.wireguard_ports.clone() }
    }

    /// Decodes one frame, which may be cut at a snap length.
    ///
    /// # Errors
    /// A header is cut or contradicts itself.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Packet<'a>, Undecodable> {
        match self.link {
            LinkType::Ethernet => self.ethernet(bytes, Depth::Outer),
            LinkType::RawIp => self.ip(bytes, Depth::Outer),
        }
    }

    fn ethernet<'a>(&self, bytes: &'a [u8], depth: Depth) -> Result<Packet<'a>, Undecodable> {
        let mut ethertype = be16(bytes, 12).ok_or(Undecodable("an Ethernet header that is cut"))?;
        let mut at = 14;
        // 802.1Q and 802.1ad tags; more than four is not a network.
        for _ in 0..4 {
            if !matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
                break;
            }
            ethertype = be16(bytes, at + 2).ok_or(Undecodable("an 802.1Q tag that is cut"))?;
            at += 4;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        match ethertype {
            0x0800 | 0x86dd => self.ip(rest, depth),
            0x0806 => arp(bytes, rest),
            _ => Ok(bare(Kind::Other, rest)),
        }
    }

    fn ip<'a>(&self, bytes: &'a [u8], depth: Depth) -> Result<Packet<'a>, Undecodable> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => self.ipv4(bytes, depth),
            Some(6) => self.ipv6(bytes, depth),
            Some(_) => Err(Undecodable("an IP header of another version than 4 and 6")),
            None => Err(Undecodable("an IP header that is cut")),
        }
    }

    fn ipv4<'a>(&self, bytes: &'a [u8], depth: Depth) -> Result<Packet<'a>, Undecodable> {
        let header: &[u8; 20] = first(bytes).ok_or(Undecodable("an IPv4 header that is cut"))?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        if header_len < 20 {
            return Err(Undecodable("an IPv4 header shorter than 20 bytes"));
        }
        let rest = bytes.get(header_len..).ok_or(Undecodable("an IPv4 header that is cut"))?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        // A total length of 0 is what TCP segmentation offload leaves in super-frames.
        let payload_len = if total < header_len { rest.len() } else { total - header_len };
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
        let ends = Ends {
            source: IpAddr::V4(Ipv4Addr::new(header[12], header[13], header[14], header[15])),
            destination: IpAddr::V4(Ipv4Addr::new(header[16], header[17], header[18], header[19])),
        };
        self.transport(header[9], cut(rest, payload_len), payload_len, fragment, ends, depth)
    }

    fn ipv6<'a>(&self, bytes: &'a [u8], depth: Depth) -> Result<Packet<'a>, Undecodable> {
        let header: &[u8; 40] = first(bytes).ok_or(Undecodable("an IPv6 header that is cut"))?;
        let mut rest = bytes.get(40..).unwrap_or_default();
        let said = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut payload_len = if said == 0 { rest.len() } else { said };
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&header[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        let ends = Ends { source: address(8), destination: address(24) };
        rest = cut(rest, payload_len);
        let mut next = header[6];
        let mut fragment = false;
        // Extension headers (RFC 8200 section 4); a chain longer than eight is treated as opaque.
        for _ in 0..8 {
            let len = match next {
                0 | 43 | 60 => (usize::from(*rest.get(1).ok_or(CUT_EXTENSION)?) + 1) * 8,
                51 => (usize::from(*rest.get(1).ok_or(CUT_EXTENSION)?) + 2) * 4,
                44 => {
                    fragment |= be16(rest, 2).ok_or(CUT_EXTENSION)? & 0xfff8 != 0;
                    8
                }
                _ => break,
            };
            next = *rest.first().ok_or(CUT_EXTENSION)?;
            rest = rest.get(len..).ok_or(CUT_EXTENSION)?;
            payload_len = payload_len.saturating_sub(len);
            if fragment {
                break;
            }
        }
        self.transport(next, rest, payload_len, fragment, ends, depth)
    }

    fn transport<'a>(
        &self,
        protocol: u8,
        bytes: &'a [u8],
        len: usize,
        later_fragment: bool,
        ends: Ends,
        depth: Depth,
    ) -> Result<Packet<'a>, Undecodable> {
        let mut packet = bare(Kind::Other, bytes);
        packet.source = Some(ends.source);
        packet.destination = Some(ends.destination);
        packet.payload_len = len;
        packet.later_fragment = later_fragment;
        if later_fragment {
            return Ok(packet);
        }
        match protocol {
            1 => packet.kind = Kind::Icmp,
            58 => packet.kind = Kind::Icmp6,
            50 => packet.kind = Kind::Esp,
            6 => {
                let words = bytes.get(12).ok_or(Undecodable("a TCP header that is cut"))? >> 4;
                let header_len = usize::from(words) * 4;
                if header_len < 20 {
                    return Err(Undecodable("a TCP header shorter than 20 bytes"));
                }
                packet.kind = Kind::Tcp;
                packet.payload = bytes.get(header_len..).unwrap_or_default();
                packet.payload_len = len.saturating_sub(header_len);
            }
            17 => {
                let said = be16(bytes, 4).ok_or(Undecodable("a UDP header that is cut"))?;
                packet.kind = Kind::Udp;
                packet.payload_len = if said < 8 { len.saturating_sub(8) } else { usize::from(said) - 8 };
                packet.payload = cut(bytes.get(8..).unwrap_or_default(), packet.payload_len);
            }
            _ => return Ok(packet),
        }
        if matches!(packet.kind, Kind::Tcp | Kind::Udp) {
            packet.source_port = be16(bytes, 0);
            packet.destination_port = be16(bytes, 2);
        }
        if packet.kind == Kind::Udp {
            self.tunnels(&mut packet, depth);
        }
        Ok(packet)
    }

    fn tunnels(&self, packet: &mut Packet<'_>, depth: Depth) {
        let is = |ports: &[u16], port: Option<u16>| port.is_some_and(|port| ports.contains(&port));
        if depth == Depth::Outer && is(&self.vxlan_ports, packet.destination_port) && packet.payload.len() >= 8 {
            let vni = u32::from_be_bytes([0, packet.payload[4], packet.payload[5], packet.payload[6]]);
            let inner = self.ethernet(&packet.payload[8..], Depth::Inner).ok().map(Box::new);
            packet.kind = Kind::Vxlan;
            packet.tunnel = Some(Tunnel { vni, inner });
        } else if is(&self.wireguard_ports, packet.source_port) || is(&self.wireguard_ports, packet.destination_port) {
            packet.wireguard = wireguard(packet.payload, packet.payload_len);
            if packet.wireguard.is_some() {
                packet.kind = Kind::WireGuard;
            }
        }
    }
}

const CUT_EXTENSION: Undecodable = Undecodable("an IPv6 extension header that is cut");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outer,
    Inner,
}

struct Ends {
    source: IpAddr,
    destination: IpAddr,
}

/// The message type is the first octet, followed by three zero octets (WireGuard paper, section 5.4).
fn wireguard(payload: &[u8], len: usize) -> Option<WireGuardMessage> {
    let kind: &[u8; 4] = first(payload)?;
    match (kind, len) {
        ([1, 0, 0, 0], 148) => Some(WireGuardMessage::Initiation),
        ([2, 0, 0, 0], 92) => Some(WireGuardMessage::Response),
        ([3, 0, 0, 0], 64) => Some(WireGuardMessage::Cookie),
        ([4, 0, 0, 0], 32) => Some(WireGuardMessage::Keepalive),
        ([4, 0, 0, 0], len) if len > 32 => Some(WireGuardMessage::Data),
        _ => None,
    }
}

fn arp<'a>(frame: &[u8], bytes: &'a [u8]) -> Result<Packet<'a>, Undecodable> {
    let body: &[u8; 28] = first(bytes).ok_or(Undecodable("an ARP frame that is cut"))?;
    let mut packet = bare(Kind::Arp, bytes);
    // Hardware type Ethernet, protocol IPv4, lengths 6 and 4; other ARP is counted and not read.
    if body[..6] != [0, 1, 8, 0, 6, 4] {
        return Ok(packet);
    }
    let mac = |bytes: &[u8], at: usize| {
        let mut mac = [0; 6];
        mac.copy_from_slice(&bytes[at..at + 6]);
        mac
    };
    let ip = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
    let arp = Arp {
        operation: u16::from_be_bytes([body[6], body[7]]),
        eth_src: mac(frame, 6),
        eth_dst: mac(frame, 0),
        sender_mac: mac(body, 8),
        sender_ip: ip(14),
        target_mac: mac(body, 18),
        target_ip: ip(24),
    };
    packet.source = Some(IpAddr::V4(arp.sender_ip));
    packet.destination = Some(IpAddr::V4(arp.target_ip));
    packet.arp = Some(arp);
    Ok(packet)
}

fn bare(kind: Kind, payload: &[u8]) -> Packet<'_> {
    Packet {
        kind,
        source: None,
        destination: None,
        source_port: None,
        destination_port: None,
        later_fragment: false,
        payload,
        payload_len: payload.len(),
        tunnel: None,
        wireguard: None,
        arp: None,
    }
}

fn first<const N: usize>(bytes: &[u8]) -> Option<&[u8; N]> {
    bytes.first_chunk()
}

fn cut(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
