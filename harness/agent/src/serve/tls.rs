//! TLS as a server: a certificate that was given, and what of the session goes into the echo.

use std::sync::Arc;

use plumb_core::probe::{EXPORTER_LABEL, OpError, ServeOp, ServeProtocol, ServerTls};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::client::tls::{exported, sha256, version_text};

/// A way to accept TLS with one certificate.
#[derive(Clone)]
pub(super) struct Acceptor {
    acceptor: TlsAcceptor,
    leaf_sha256: Arc<str>,
}

/// The acceptor a server needs; `None` without a certificate.
///
/// # Errors
/// One of certificate and key is missing or unreadable, or they do not belong together.
pub(super) fn acceptor(op: &ServeOp) -> Result<Option<Acceptor>, OpError> {
    let failed = |message: String| OpError { operation: format!("set up TLS on {}", op.listen), message };
    let (cert, key) = match (&op.cert_pem, &op.key_pem) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        _ => return Err(failed("certificate and key go together: one of them is missing".into())),
    };
    if op.protocol == ServeProtocol::UdpEcho {
        return Err(failed("UDP echo does not speak TLS".into()));
    }
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(format!("the certificate is not PEM: {error}")))?;
    let leaf = chain.first().ok_or_else(|| failed("the certificate PEM holds no certificate".into()))?;
    let leaf_sha256 = sha256(leaf).into();
    // The reason stays out of the message: it must not carry anything of the key.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| failed("the private key is not PEM".into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed(error.to_string()))?;
    if op.protocol == ServeProtocol::Http {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(Some(Acceptor { acceptor: Arc::new(config).into(), leaf_sha256 }))
}

impl Acceptor {
    /// Shakes hands; the stream and what the server saw of the session.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<(TlsStream<TcpStream>, ServerTls)> {
        let stream = self.acceptor.accept(stream).await?;
        let session = stream.get_ref().1;
        let seen = ServerTls {
            sni: session.server_name().map(Into::into),
            alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            version: session.protocol_version().map(version_text).unwrap_or_default(),
            exported: exported("server", |output| session.export_keying_material(output, EXPORTER_LABEL, None)),
            leaf_sha256: self.leaf_sha256.to_string(),
        };
        Ok((stream, seen))
    }
}
