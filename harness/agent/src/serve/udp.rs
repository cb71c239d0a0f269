//! UDP echo: datagrams come back as they are, from the address they were sent to. A machine with several addresses would otherwise answer
//! from the one its route prefers, and the client would not know the answer for one.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::sys;

/// Has the kernel say which address a datagram was sent to.
pub(super) fn tell_destinations(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        sys::set_integer(socket.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        // An IPv6 socket may serve IPv4 as well; the kernel tells both by the one option.
        sys::set_integer(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// Sends datagrams back until it is stopped.
pub(super) async fn echo(socket: UdpSocket, datagrams: Arc<AtomicU64>, stop: CancellationToken) {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)) => received,
        };
        // An error here is an ICMP message about an earlier answer; the socket is as good as before.
        let Ok(datagram) = received else { continue };
        datagrams.fetch_add(1, Ordering::Relaxed);
        let payload = &buffer[..datagram.length];
        // A lost answer is what UDP allows; its client sees it.
        let _ = socket.async_io(Interest::WRITABLE, || datagram.answer(&socket, payload)).await;
    }
}

/// Where a datagram came from and went to.
struct Datagram {
    length: usize,
    peer: SockaddrStorage,
    to: Option<Destination>,
}

enum Destination {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut pieces = [IoSliceMut::new(buffer)];
    let mut space = cmsg_space!(in_pktinfo, in6_pktinfo);
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let peer = message.address.ok_or(io::ErrorKind::InvalidData)?;
    let to = message.cmsgs()?.find_map(|control| match control {
        // The interface is left to the route: the answer may leave by another one.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Destination::V4(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ..info }))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Destination::V6(info)),
        _ => None,
    });
    Ok(Datagram { length: message.bytes, peer, to })
}

impl Datagram {
    fn answer(&self, socket: &UdpSocket, payload: &[u8]) -> io::Result<()> {
        let pieces = [IoSlice::new(payload)];
        let control = match &self.to {
            None => None,
            Some(Destination::V4(info)) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Some(Destination::V6(info)) => Some(ControlMessage::Ipv6PacketInfo(info)),
        };
        sendmsg(socket.as_raw_fd(), &pieces, control.as_slice(), MsgFlags::MSG_DONTWAIT, Some(&self.peer))?;
        Ok(())
    }
}
