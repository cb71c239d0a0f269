//! The sockets of a node's Gateway: one accept loop an address and port, each looking at what is live on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use k8s_openapi::api::core::v1::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certs::Forgery;
use super::config::{Config, Listener, Mode, TlsRule};
use super::hello::{self, Hello, Replayed, UNRECOGNIZED_NAME};
use super::hostname;
use super::live::{Live, Node};
use super::proxy::{Proxy, Upstream, upstream};
use super::stream;
use crate::fault::Fault;
use crate::socket;

/// Every socket of a node's Gateway.
#[derive(Debug)]
pub(super) struct Sockets {
    node: Arc<Node>,
    upstream: Upstream,
    running: BTreeMap<SocketAddr, (watch::Sender<Arc<Live>>, CancellationToken)>,
    cancel: CancellationToken,
}

impl Sockets {
    /// No socket yet.
    pub(super) fn new(node: Arc<Node>, cancel: CancellationToken) -> Sockets {
        Sockets { node, upstream: upstream(), running: BTreeMap::new(), cancel }
    }

    /// Makes the sockets those of a configuration; returns those that could not be bound yet. Connections that are open stay open and
    /// use the new configuration from their next request on.
    pub(super) fn apply(&mut self, config: Config, secrets: &[Arc<Secret>]) -> Vec<SocketAddr> {
        let config = Arc::new(config);
        self.running.retain(|address, (_, cancel)| {
            let stays = config.sockets.contains_key(address);
            if !stays {
                cancel.cancel();
            }
            stays
        });
        let mut unbound = Vec::new();
        for (address, port) in &config.sockets {
            let live = Arc::new(Live::load(&self.node, &config, port, secrets));
            if let Some((sender, _)) = self.running.get(address) {
                sender.send_replace(live);
                continue;
            }
            match socket::listen(*address) {
                Ok(listener) => {
                    let (sender, receiver) = watch::channel(live);
                    let cancel = self.cancel.child_token();
                    let acceptor =
                        Acceptor { node: Arc::clone(&self.node), upstream: self.upstream.clone(), live: receiver, cancel: cancel.clone() };
                    tokio::spawn(acceptor.run(listener));
                    self.running.insert(*address, (sender, cancel));
                }
                Err(_) => unbound.push(*address),
            }
        }
        unbound
    }
}

/// The accept loop of a socket.
#[derive(Debug, Clone)]
struct Acceptor {
    node: Arc<Node>,
    upstream: Upstream,
    live: watch::Receiver<Arc<Live>>,
    cancel: CancellationToken,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let one = self.clone();
                    tokio::spawn(async move { one.serve(stream, peer).await });
                }
                // Out of descriptors, or the client went away between: the pause keeps the loop from burning a core.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        if crate::node::refuses() {
            return;
        }
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let live = Arc::clone(&self.live.borrow());
        if !live.is_tls() {
            return self.http(Replayed::fresh(stream), peer, local.port(), false).await;
        }
        let Some((hello, client)) = hello::read(stream).await else { return };
        // The newest configuration decides, not the one of the moment of the TCP handshake.
        let live = Arc::clone(&self.live.borrow());
        let sni = hello.sni.as_deref();
        match live.listener(sni) {
            Some(listener) => self.tls(&live, listener, &hello, client, peer, local.port()).await,
            None => match live.default_certificate(&self.node.faults) {
                Some((_, server)) => {
                    if let Ok(session) = TlsAcceptor::from(server).accept(client).await {
                        self.http(session, peer, local.port(), true).await;
                    }
                }
                None => client.refuse(&UNRECOGNIZED_NAME).await,
            },
        }
    }

    async fn tls(&self, live: &Live, listener: &Listener, hello: &Hello, client: Replayed, peer: SocketAddr, port: u16) {
        let sni = hello.sni.as_deref();
        match &listener.mode {
            Mode::Http => client.refuse(&UNRECOGNIZED_NAME).await,
            Mode::Https(_) if self.node.faults.has(Fault::TlsPassesThroughTerminate) => {
                let rule = listener.http.iter().find(|rule| sni.is_none_or(|sni| hostname::covers(rule.hostname.as_deref(), sni)));
                match rule.and_then(|rule| stream::destination(&self.node, live, &rule.backends, peer.ip())) {
                    Some(to) => stream::forward(client, to).await,
                    None => client.refuse(&UNRECOGNIZED_NAME).await,
                }
            }
            Mode::Https(_) | Mode::TlsTerminate(_) => {
                let Some(server) = live.certificate(listener, sni) else { return client.refuse(&UNRECOGNIZED_NAME).await };
                let Ok(session) = TlsAcceptor::from(server).accept(client).await else { return };
                if matches!(listener.mode, Mode::Https(_)) {
                    return self.http(session, peer, port, true).await;
                }
                if let Some(to) = route(listener, sni).and_then(|rule| stream::destination(&self.node, live, &rule.backends, peer.ip())) {
                    stream::relay(session, to).await;
                }
            }
            Mode::Passthrough => {
                let Some(rule) = route(listener, sni) else { return client.refuse(&UNRECOGNIZED_NAME).await };
                let Some(to) = stream::destination(&self.node, live, &rule.backends, peer.ip()) else { return };
                match interception(&self.node) {
                    Some(forgery) => stream::intercept(&self.node, live, hello, client, to, forgery).await,
                    None => stream::forward(client, to).await,
                }
            }
        }
    }

    /// Serves HTTP/1.1 and, where the client speaks it, HTTP/2 on a connection until it ends or the socket goes away.
    async fn http(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr, port: u16, secure: bool) {
        let proxy = Proxy { node: Arc::clone(&self.node), live: self.live.clone(), upstream: self.upstream.clone(), peer, port, secure };
        let service = service_fn(move |request| {
            let proxy = proxy.clone();
            async move { Ok::<_, std::convert::Infallible>(proxy.answer(request).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            // How a connection ends is the client's matter.
            _ = connection.as_mut() => return,
            () = self.cancel.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// The rule of a TLSRoute for a server name; a client that names nobody gets only a rule for all names.
fn route<'a>(listener: &'a Listener, sni: Option<&str>) -> Option<&'a TlsRule> {
    listener.tls.iter().find(|rule| match sni {
        Some(sni) => hostname::covers(rule.hostname.as_deref(), sni),
        None => rule.hostname.is_none(),
    })
}

/// Which certificate an interceptor of Passthrough shows, when a fault puts one there.
fn interception(node: &Node) -> Option<Forgery> {
    if node.faults.has(Fault::TlsManInTheMiddle) {
        Some(Forgery::Wrong)
    } else {
        node.faults.has(Fault::TlsTerminatesPassthrough).then_some(Forgery::OwnAuthority)
    }
}
