//! Sockets of proxies: on addresses that may not be local yet, and beside listeners on all addresses.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::sys::socket::sockopt::{IpFreebind, ReuseAddr, ReusePort};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

/// A listening TCP socket. A listener on one address does not keep out one on all (SO_REUSEPORT): the kernel prefers the narrower.
///
/// # Errors
/// What the kernel says.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    if address.is_ipv4() {
        setsockopt(&socket, IpFreebind, &true)?;
    }
    socket.bind(address)?;
    socket.listen(1024)
}

/// A UDP socket on an address, with the same rules.
///
/// # Errors
/// What the kernel says.
pub(crate) fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, ReuseAddr, &true)?;
    setsockopt(&fd, ReusePort, &true)?;
    if address.is_ipv4() {
        setsockopt(&fd, IpFreebind, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    UdpSocket::from_std(std::net::UdpSocket::from(fd))
}
