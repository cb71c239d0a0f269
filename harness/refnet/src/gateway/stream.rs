//! Connections that are passed on as bytes: TLS passthrough, TLS that is terminated for a TLSRoute, and the faults that sit between.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certs::{Forgery, provider};
use super::choice;
use super::config::{Share, Target};
use super::hello::{Hello, Replayed};
use super::live::{Live, Node, server_for};
use crate::fault::Fault;

/// Limit of a connection to a backend.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Picks a backend's address for a connection; `None` when there is nobody to send it to.
pub(super) fn destination(node: &Node, live: &Live, shares: &[Share], client: IpAddr) -> Option<SocketAddr> {
    let picked = choice::pick(shares, client, &node.chance, &node.faults)?;
    let astray = node.faults.has(Fault::BackendWrongId).then(|| choice::astray(&picked.target, shares, &live.config)).flatten();
    match astray.as_ref().unwrap_or(&picked.target) {
        Target::Service { endpoints, .. } => choice::endpoint(endpoints, &node.chance),
        Target::Invalid => None,
    }
}

/// Connects to a backend.
pub(super) async fn dial(to: SocketAddr) -> Option<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(to)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Passes a connection on as it is, its first bytes included.
pub(super) async fn forward(client: Replayed, to: SocketAddr) {
    let Some(mut upstream) = dial(to).await else { return };
    let (first, mut client) = client.into_parts();
    if upstream.write_all(&first).await.is_ok() {
        // How a connection ends is between its two ends.
        let _ = copy_bidirectional(&mut client, &mut upstream).await;
    }
}

/// Passes the bytes of a session that was terminated here on to a backend.
pub(super) async fn relay(mut client: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    let Some(mut upstream) = dial(to).await else { return };
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

/// Sits between client and backend of a Passthrough listener: two TLS sessions in place of one. Whether the client trusts the
/// certificate is the difference between the two faults.
pub(super) async fn intercept(node: &Node, live: &Live, hello: &Hello, client: Replayed, to: SocketAddr, forgery: Forgery) {
    let Some(upstream) = dial(to).await else { return };
    let Ok(connector) = trusting_client(&hello.alpn) else { return };
    let name = hello.sni.clone().and_then(|sni| ServerName::try_from(sni).ok()).unwrap_or_else(|| ServerName::from(to.ip()));
    let Ok(mut upstream) = connector.connect(name, upstream).await else { return };
    let settled = upstream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let names: Vec<_> = hello.sni.iter().cloned().collect();
    let Ok(forged) = node.forged(live.authority.as_deref(), forgery, &names) else { return };
    let Ok(server) = server_for(&forged.key, settled.as_deref()) else { return };
    let Ok(mut client) = TlsAcceptor::from(server).accept(client).await else { return };
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

/// A TLS client that believes everybody: somebody in the middle has no interest in doubt.
pub(super) fn trusting_client(alpn: &[Vec<u8>]) -> Result<TlsConnector, Error> {
    let provider = provider();
    let verifier = Arc::new(Trusting(provider.signature_verification_algorithms));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = alpn.to_vec();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Trusting(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
