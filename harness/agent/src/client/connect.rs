//! A TCP connection to an explicit address, from an explicit address where that matters.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;

use plumb_core::probe::OpError;
use tokio::net::{TcpSocket, TcpStream};

use super::failure::{Trouble, is_local, of_io};
use crate::sys;

/// Opens a connection with TCP_NODELAY.
pub(crate) async fn connect(target: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, Trouble> {
    let local = |operation: String, error: io::Error| Trouble::Local(OpError { operation, message: error.to_string() });
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| local("open a TCP socket".into(), error))?;
    socket.set_nodelay(true).map_err(|error| local("set TCP_NODELAY".into(), error))?;
    if let Some(source) = source {
        // The port is chosen at connect, when the peer is known; else few thousand connections use all ports up.
        let late = sys::set_integer(socket.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
        late.and_then(|()| socket.bind(SocketAddr::new(source, 0))).map_err(|error| local(format!("bind to {source}"), error))?;
    }
    socket.connect(target).await.map_err(|error| {
        if is_local(&error) { local(format!("connect to {target}"), error) } else { Trouble::Network(of_io(&error, "connect")) }
    })
}
