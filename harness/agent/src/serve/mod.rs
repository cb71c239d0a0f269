//! Servers: HTTP with the echo, TCP and UDP echo, TLS where a certificate is given. IPv4 and IPv6.

mod http;
pub mod pod;
mod stalls;
mod stream;
mod tls;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plumb_core::probe::{Done, OpError, ServeOp, ServeProtocol};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::session::Context;

/// How long requests in flight may take once a server is told to stop.
const GRACE: Duration = Duration::from_secs(1);
/// Connections the kernel keeps until they are accepted; the kernel takes less where `somaxconn` says so.
const BACKLOG: u32 = 4096;

/// A server that listens. It stops when it is dropped; [`Server::stop`] waits for what is in flight.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server; it listens when this returns. Needs a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound, or certificate and key are missing, unreadable or do not belong together.
    pub async fn start(op: &ServeOp) -> Result<Self, OpError> {
        let tls = tls::acceptor(op)?;
        let failed = |error: io::Error| OpError { operation: format!("listen on {}", op.listen), message: error.to_string() };
        let connections = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let (address, task) = if op.protocol == ServeProtocol::UdpEcho {
            let socket = UdpSocket::bind(op.listen).await.map_err(failed)?;
            udp::tell_destinations(&socket).map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            (address, tokio::spawn(udp::echo(socket, Arc::clone(&connections), stop.clone())))
        } else {
            let listener = listen(op.listen).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let service = stream::Service::new(op, tls, &stop);
            (address, tokio::spawn(stream::accept(listener, service, Arc::clone(&connections), stop.clone())))
        };
        Ok(Self { address, connections, stop, task: Some(task) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far; for UDP, datagrams.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Stops accepting, lets requests in flight finish within a second, and says how many connections there were.
    pub async fn stop(mut self) -> u64 {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // A task that panicked has ended too, and the count is still right.
            let _ = task.await;
        }
        self.connections()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// [`plumb_core::probe::Op::Serve`] of a session.
pub(crate) async fn until_stopped(op: ServeOp, context: &Context) -> Result<Done, OpError> {
    let server = Server::start(&op).await?;
    context.started(vec![server.address()]).await;
    context.stop.cancelled().await;
    Ok(Done::Serve { connections: server.stop().await })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
