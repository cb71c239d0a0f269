//! Accepting connections and what is done with one: HTTP or TCP echo, TLS first where there is a certificate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plumb_core::probe::{ServeOp, ServeProtocol, ServerTls};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::GRACE;
use super::http::{self, Identity};
use super::stalls::Stalls;
use super::tls::Acceptor;

/// Limit of a handshake; a peer that says nothing must not hold a connection for ever.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What is done with each connection.
#[derive(Clone)]
pub(super) struct Service {
    tls: Option<Acceptor>,
    /// For HTTP; absent = bytes come back as they are.
    identity: Option<Arc<Identity>>,
}

impl Service {
    pub(super) fn new(op: &ServeOp, tls: Option<Acceptor>, stop: &CancellationToken) -> Self {
        let identity = (op.protocol == ServeProtocol::Http).then(|| Arc::new(Identity::of(op, Stalls::watch(stop.clone()))));
        Self { tls, identity }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let Ok(local) = stream.local_addr() else { return };
        // Answers are small and must not wait for an acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let ends = http::Ends { peer: plain(peer), local: plain(local) };
        let Some(tls) = &self.tls else { return self.speak(stream, ends, None, stop).await };
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream));
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = handshake => accepted,
        };
        // A handshake that fails is the client's to report: it is the one that observes.
        if let Ok(Ok((stream, session))) = accepted {
            self.speak(stream, ends, Some(session), stop).await;
        }
    }

    async fn speak<S>(&self, stream: S, ends: http::Ends, tls: Option<ServerTls>, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match &self.identity {
            Some(identity) => http::serve(stream, Arc::clone(identity), ends, tls, stop).await,
            None => echo(stream, stop).await,
        }
    }
}

/// Accepts until it is stopped, then waits for what is in flight.
pub(super) async fn accept(listener: TcpListener, service: Service, count: Arc<AtomicU64>, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    let kill = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                count.fetch_add(1, Ordering::Relaxed);
                let (connection, kill) = (service.clone().connection(stream, peer, stop.clone()), kill.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        () = kill.cancelled() => {}
                        () = connection => {}
                    }
                });
            }
            // Out of descriptors: the next try is paced, or it would take the whole processor until one is free again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The connection was gone before it was accepted.
            Err(_) => {}
        }
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(GRACE, tracker.wait()).await.is_err() {
        kill.cancel();
        tracker.wait().await;
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, stop: CancellationToken) {
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = stream.read(&mut buffer) => read,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if stream.write_all(&buffer[..length]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    }
    // The peer may be gone already.
    let _ = stream.shutdown().await;
}

/// An IPv4 peer of an IPv6 socket as what it is.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
