//! HTTPS for the API: handshakes with required client certificates, one task a connection, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::ApiService;
use super::gate::Gated;

/// A handshake that takes longer is given up, so that silent clients hold nothing.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// A request head that takes longer is given up.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long requests under way may take to end when the server stops.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A listener that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("serve the API on {address}")]
pub struct ServeError {
    /// Where it was to listen.
    pub address: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// A server that runs.
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends watches, lets requests under way finish for two seconds, and closes.
    pub async fn stop(self) {
        self.stop.cancel();
        // The task neither panics nor is aborted; there is nothing to learn from how it ended.
        let _ = self.task.await;
    }
}

pub(super) fn serve(
    service: ApiService,
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: CancellationToken,
) -> Result<Serving, ServeError> {
    let address = listener.local_addr();
    let failed = |source| ServeError { address: address.as_ref().map_or_else(|_| "?".to_owned(), ToString::to_string), source };
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(accept(service.ending_with(stop.clone()), listener, TlsAcceptor::from(tls), stop.clone()));
    Ok(Serving { address, stop, task })
}

async fn accept(service: ApiService, listener: TcpListener, tls: TlsAcceptor, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(service.clone(), stream, tls.clone(), stop.clone())); }
                // Out of file descriptors or an aborted connection: the next accept may well work, after others have closed.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    let all_closed = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_LIMIT, all_closed).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(service: ApiService, stream: TcpStream, tls: TlsAcceptor, stop: CancellationToken) {
    // Without this, watch events wait 40 ms for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let stream = Gated::new(stream, service.gate());
    let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream));
    let stream = tokio::select! {
        () = stop.cancelled() => return,
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            // No certificate, a foreign one, or no TLS at all: rustls has sent its alert.
            Ok(Err(_)) | Err(_) => return,
        },
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1000);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // A client that goes away in the middle of a watch is no event.
    drop(ended);
}
