//! Packets in and out: reads what the rules bring, seals it for its peer, and opens what peers send.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use nix::sys::socket::{MsgFlags, SockaddrIn, sendto, setsockopt, sockopt};
use tokio::net::UdpSocket;
use tokio::time::{Interval, MissedTickBehavior};

use super::WireGuardError;
use super::leak::Leak;
use super::peers::Peer;
use crate::net::names::{ENCRYPTED_MARK, WIREGUARD, WIREGUARD_PEER, WIREGUARD_PORT};
use crate::packet::{Direction, Framing, PacketSocket, hardware_address};
use crate::settings::NodeContext;
use crate::sys::raw_ipv4;

const ETHERTYPE_IPV4: u16 = 0x0800;
/// How often timers of the protocol are looked at (boringtun asks for 100 ms or more often).
const TICK: Duration = Duration::from_millis(100);
/// Larger than any packet and its seal.
const BUFFER: usize = 65_536 + 148;

/// The encryption of a node.
pub(super) struct Tunnel {
    secret: StaticSecret,
    peers: Vec<(Peer, Tunn)>,
    leak: Leak,
    wires: Wires,
    packet: Vec<u8>,
    datagram: Vec<u8>,
    scratch: Vec<u8>,
    tick: Interval,
}

/// The three ways a packet can go.
struct Wires {
    /// Far end of `cilium_wg0`.
    link: PacketSocket,
    /// Hardware address of `cilium_wg0`, so that its kernel takes what is put in.
    hardware: [u8; 6],
    /// UDP 51871, marked.
    sealed: UdpSocket,
    /// Whole packets in the clear, marked: for faults alone.
    clear: OwnedFd,
}

impl Tunnel {
    /// Opens the sockets; the link must be there.
    pub(super) fn open(ctx: &NodeContext, secret: StaticSecret, leak: Leak) -> Result<Tunnel, WireGuardError> {
        let io = |operation| move |source| WireGuardError::Io { operation, source };
        let link = PacketSocket::open(WIREGUARD_PEER, ETHERTYPE_IPV4, Framing::Network).map_err(io("read the encryption link"))?;
        let sealed = sealed(ctx.address).map_err(io("open UDP port 51871"))?;
        let clear = raw_ipv4(ENCRYPTED_MARK).map_err(io("open a raw socket"))?;
        let hardware = hardware_address(WIREGUARD).map_err(io("find the hardware address of the encryption link"))?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let buffer = || vec![0; BUFFER];
        let wires = Wires { link, hardware, sealed, clear };
        Ok(Tunnel { secret, peers: Vec::new(), leak, wires, packet: buffer(), datagram: buffer(), scratch: buffer(), tick })
    }

    /// Knows exactly these peers; sessions with those that stay are kept.
    pub(super) fn set_peers(&mut self, wanted: &[Peer]) {
        let mut known = std::mem::take(&mut self.peers);
        for (number, peer) in (1u32..).zip(wanted) {
            let kept = known.iter().position(|(k, _)| k.name == peer.name && k.key == peer.key);
            let tunn = match kept {
                Some(at) => known.swap_remove(at).1,
                None => Tunn::new(self.secret.clone(), PublicKey::from(peer.key), None, None, number, None),
            };
            self.peers.push((peer.clone(), tunn));
        }
    }

    /// Works until something breaks; dropping the future between packets loses nothing.
    pub(super) async fn work(&mut self) -> Result<(), WireGuardError> {
        loop {
            let Tunnel { wires, packet, datagram, tick, .. } = self;
            tokio::select! {
                got = wires.link.recv(packet) => {
                    let got = got.map_err(|source| WireGuardError::Io { operation: "read the encryption link", source })?;
                    if got.direction == Direction::In {
                        self.seal(got.len).await;
                    }
                }
                // Errors here are ICMP answers to earlier datagrams: WireGuard's timers deal with peers that are away.
                got = wires.sealed.recv_from(datagram) => if let Ok((len, from)) = got {
                    self.open_sealed(len, from.ip()).await;
                },
                _ = tick.tick() => self.timers().await,
            }
        }
    }

    async fn seal(&mut self, len: usize) {
        let packet = &self.packet[..len];
        let Some(IpAddr::V4(to)) = Tunn::dst_address(packet) else { return };
        // Packets of the overlay and to nodes alike go to a node's address.
        let Some((peer, tunn)) = self.peers.iter_mut().find(|(peer, _)| peer.address == to) else { return };
        if self.leak.clear(packet, peer) {
            self.wires.send_clear(packet, to);
            return;
        }
        if let TunnResult::WriteToNetwork(sealed) = tunn.encapsulate(packet, &mut self.scratch) {
            self.wires.send_sealed(sealed, peer.address).await;
        }
    }

    async fn open_sealed(&mut self, len: usize, from: IpAddr) {
        let Some((peer, tunn)) = self.peers.iter_mut().find(|(peer, _)| IpAddr::V4(peer.address) == from) else { return };
        let mut datagram = &self.datagram[..len];
        loop {
            match tunn.decapsulate(Some(from), datagram, &mut self.scratch) {
                TunnResult::WriteToNetwork(sealed) => {
                    self.wires.send_sealed(sealed, peer.address).await;
                    // Asked again with nothing, it gives out what was queued for the handshake.
                    datagram = &[];
                }
                TunnResult::WriteToTunnelV4(packet, source) => {
                    if peer.allows(source) {
                        self.leak.came(packet);
                        // A full queue of the link loses the packet, as links do.
                        let _ = self.wires.link.send(packet, ETHERTYPE_IPV4, self.wires.hardware).await;
                    }
                    return;
                }
                TunnResult::WriteToTunnelV6(..) | TunnResult::Done | TunnResult::Err(_) => return,
            }
        }
    }

    async fn timers(&mut self) {
        for (peer, tunn) in &mut self.peers {
            if let TunnResult::WriteToNetwork(sealed) = tunn.update_timers(&mut self.scratch) {
                self.wires.send_sealed(sealed, peer.address).await;
            }
        }
    }
}

impl Wires {
    async fn send_sealed(&self, sealed: &[u8], to: Ipv4Addr) {
        // What cannot be sent is lost; the protocol above asks again.
        let _ = self.sealed.send_to(sealed, (to, WIREGUARD_PORT)).await;
    }

    fn send_clear(&self, packet: &[u8], to: Ipv4Addr) {
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
        // As above: a raw socket that is full drops.
        let _ = sendto(self.clear.as_raw_fd(), packet, &to, MsgFlags::MSG_DONTWAIT);
    }
}

fn sealed(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(SocketAddr::from((address, WIREGUARD_PORT)))?;
    setsockopt(&socket, sockopt::Mark, &ENCRYPTED_MARK)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
