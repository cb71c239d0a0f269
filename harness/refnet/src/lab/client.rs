//! A kube client whose connections go through the lab's control socket: TLS with the administrator's certificate over each.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{LabError, ask};
use crate::spec::{Control, Ready};

/// A client for the API of the lab in `dir`.
pub(super) fn connect(dir: &Path, ready: &Ready) -> Result<kube::Client, LabError> {
    let failed = |error: &dyn std::fmt::Display| LabError::Client(error.to_string());
    let base: http::Uri = ready.api.parse().map_err(|error: http::uri::InvalidUri| failed(&error))?;
    let host = base.host().ok_or_else(|| LabError::Client(format!("{} names no host", ready.api)))?.to_owned();
    let server = ServerName::try_from(host).map_err(|error| failed(&error))?;
    let tls = tls(ready).map_err(|error| failed(&error))?;
    let connector = Dial { dir: dir.to_owned(), tls: TlsConnector::from(Arc::new(tls)), server };
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let layer = kube::client::middleware::BaseUriLayer::new(base);
    Ok(kube::client::ClientBuilder::new(http, "default").with_layer(&layer).build())
}

fn tls(ready: &Ready) -> io::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(ready.ca_pem.as_bytes()) {
        roots.add(der.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let chain =
        CertificateDer::pem_slice_iter(ready.client_cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(&ready.client_key_file).map_err(io::Error::other)?;
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)
}

/// Opens connections to the API server through the control socket.
#[derive(Clone)]
struct Dial {
    dir: PathBuf,
    tls: TlsConnector,
    server: ServerName<'static>,
}

impl tower::Service<http::Uri> for Dial {
    type Response = TokioIo<ApiStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let Dial { dir, tls, server } = self.clone();
        Box::pin(async move {
            let (stream, _) = ask(&dir, &Control::DialApi).await.map_err(io::Error::other)?;
            Ok(TokioIo::new(ApiStream(tls.connect(server, stream).await?)))
        })
    }
}

/// A TLS connection to the API server.
struct ApiStream(TlsStream<UnixStream>);

impl Connection for ApiStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for ApiStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for ApiStream {
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
