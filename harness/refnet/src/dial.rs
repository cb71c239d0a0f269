//! Clients for the lab's API over whatever connection leads there: TLS with a client certificate over each that is opened.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A peer that has not answered a ping for so long is gone; a node that was frozen answers when it is thawed.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_LIMIT: Duration = Duration::from_secs(4);

/// How a client speaks to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A connection for each request that is under way. WebSockets (`pods/exec`) need it.
    Http1,
    /// One connection for all: a node has some twenty watches, and a handshake is most of what one of them costs.
    Http2,
}

/// Who a client is, and whom it trusts. PEM.
pub(crate) struct Credentials<'a> {
    /// The authority's certificate.
    pub(crate) ca: &'a str,
    /// The client's certificate.
    pub(crate) certificate: &'a str,
    /// The client's key.
    pub(crate) key: &'a str,
}

/// A client for the API at `url`, by way of the connections that `dial` opens.
///
/// # Errors
/// The URL names no host, or the credentials cannot be read.
pub(crate) fn client<S, F>(
    url: &str,
    credentials: &Credentials<'_>,
    protocol: Protocol,
    dial: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> io::Result<kube::Client>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let base: http::Uri = url.parse().map_err(io::Error::other)?;
    let host = base.host().ok_or_else(|| io::Error::other(format!("{url} names no host")))?.to_owned();
    let server = ServerName::try_from(host).map_err(io::Error::other)?;
    let mut tls = tls(credentials)?;
    let mut builder = Client::builder(TokioExecutor::new());
    if protocol == Protocol::Http2 {
        tls.alpn_protocols = vec![b"h2".to_vec()];
        builder.http2_only(true).timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder.http2_keep_alive_interval(PING_EVERY).http2_keep_alive_timeout(PING_LIMIT).http2_keep_alive_while_idle(true);
    }
    let http = builder.build(Dial { dial, tls: TlsConnector::from(Arc::new(tls)), server });
    let layer = kube::client::middleware::BaseUriLayer::new(base);
    Ok(kube::client::ClientBuilder::new(http, "default").with_layer(&layer).build())
}

fn tls(credentials: &Credentials<'_>) -> io::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(credentials.ca.as_bytes()) {
        roots.add(der.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).map_err(io::Error::other)?;
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.map_err(io::Error::other)?, key)
        .map_err(io::Error::other)
}

/// Opens connections to the API server.
#[derive(Clone)]
struct Dial<D> {
    dial: D,
    tls: TlsConnector,
    server: ServerName<'static>,
}

impl<D, S, F> tower::Service<http::Uri> for Dial<D>
where
    D: Fn() -> F,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    type Response = TokioIo<ApiStream<S>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let (dialled, tls, server) = ((self.dial)(), self.tls.clone(), self.server.clone());
        Box::pin(async move { Ok(TokioIo::new(ApiStream(tls.connect(server, dialled.await?).await?))) })
    }
}

/// A TLS connection to the API server.
struct ApiStream<S>(TlsStream<S>);

impl<S> Connection for ApiStream<S> {
    fn connected(&self) -> Connected {
        match self.0.get_ref().1.alpn_protocol() {
            Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ApiStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ApiStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
