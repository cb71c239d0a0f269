//! AF_PACKET sockets: whole frames of one interface, for the ARP responder and the user-space WireGuard.
//!
//! One of the crate's places with `unsafe`: no crate wraps binding a packet socket to an interface and a protocol.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;

/// Every protocol.
pub const ETHERTYPE_ALL: u16 = libc::ETH_P_ALL as u16;

/// Whether frames come with their link-layer header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Ethernet header included (`SOCK_RAW`).
    Ethernet,
    /// From the network header on (`SOCK_DGRAM`).
    Network,
}

/// A packet socket bound to one interface and one protocol.
#[derive(Debug)]
pub struct PacketSocket {
    fd: AsyncFd<OwnedFd>,
    index: i32,
    framing: Framing,
}

/// Where a frame was going when the socket saw it (`sll_pkttype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It came in.
    In,
    /// This host sent it.
    Out,
}

/// A frame's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// In or out.
    pub direction: Direction,
    /// EtherType.
    pub ethertype: u16,
}

impl PacketSocket {
    /// Opens a socket for `ethertype` on `interface`. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// There is no such interface, or the process lacks CAP_NET_RAW in this network namespace.
    pub fn open(interface: &str, ethertype: u16, framing: Framing) -> io::Result<PacketSocket> {
        PacketSocket::bound(nix::net::if_::if_nametoindex(interface)? as i32, ethertype, framing)
    }

    /// Opens one that hears every interface of this network namespace, those that come later too; nothing can be sent by it.
    ///
    /// # Errors
    /// The process lacks CAP_NET_RAW there.
    pub fn everywhere(ethertype: u16, framing: Framing) -> io::Result<PacketSocket> {
        // `sll_ifindex` 0 matches any interface (packet(7)).
        PacketSocket::bound(0, ethertype, framing)
    }

    fn bound(index: i32, ethertype: u16, framing: Framing) -> io::Result<PacketSocket> {
        let kind = match framing {
            Framing::Ethernet => libc::SOCK_RAW,
            Framing::Network => libc::SOCK_DGRAM,
        };
        // Protocol 0 receives nothing, so that no frame of another interface is queued before the bind below.
        // SAFETY: socket(2) takes no pointers; a negative result is checked before the descriptor is owned.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is a fresh descriptor nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = link_address(index, ethertype, [0; 6]);
        // SAFETY: `address` is a whole sockaddr_ll that outlives the call, and its size is given.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: an OwnedFd stays the same open descriptor until the AsyncFd that owns it is dropped.
        let fd = unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)?;
        Ok(PacketSocket { fd, index, framing })
    }

    /// Receives one frame, cut to the buffer.
    ///
    /// # Errors
    /// The interface went away, or the system call failed.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.fd.async_io(Interest::READABLE, |fd| recv_from(fd, buffer)).await
    }

    /// Sends one frame: with its Ethernet header, or the network packet alone, which then goes to `hardware` as `ethertype`.
    ///
    /// # Errors
    /// The system call failed; a full queue is waited for.
    pub async fn send(&self, frame: &[u8], ethertype: u16, hardware: [u8; 6]) -> io::Result<()> {
        let address = link_address(self.index, ethertype, hardware);
        self.fd
            .async_io(Interest::WRITABLE, |fd| {
                let to: *const libc::sockaddr = match self.framing {
                    Framing::Network => (&raw const address).cast(),
                    Framing::Ethernet => std::ptr::null(),
                };
                let len = if to.is_null() { 0 } else { size_of::<libc::sockaddr_ll>() as u32 };
                // SAFETY: `frame` is readable for its length; `to` is null or a whole sockaddr_ll that lives in this frame.
                let sent = unsafe { libc::sendto(fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, to, len) };
                if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
            })
            .await
    }
}

/// The hardware address of an interface of this network namespace.
///
/// # Errors
/// There is no such interface, or it has none.
pub fn hardware_address(interface: &str) -> io::Result<[u8; 6]> {
    nix::ifaddrs::getifaddrs()?
        .filter(|address| address.interface_name == interface)
        .find_map(|address| address.address?.as_link_addr()?.addr())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("find the hardware address of {interface}")))
}

fn recv_from(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut from = link_address(0, 0, [0; 6]);
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `buffer` is writable for its length; `from` and `len` are valid for writes of the sizes given.
    let got = unsafe { libc::recvfrom(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0, (&raw mut from).cast(), &raw mut len) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    let direction = if from.sll_pkttype == libc::PACKET_OUTGOING { Direction::Out } else { Direction::In };
    Ok(Received { len: got as usize, direction, ethertype: u16::from_be(from.sll_protocol) })
}

fn link_address(index: i32, ethertype: u16, hardware: [u8; 6]) -> libc::sockaddr_ll {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&hardware);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: address,
    }
}
