//! TLS as a client: any chain is accepted, so that there is a session to look at, and whether it would have been trusted is found
//! out beside it. Handshake signatures are verified: without them a chain says nothing about the peer.

use std::net::IpAddr;
use std::sync::Arc;

use plumb_core::probe::{ClientTls, OpError, TlsSession, Trust};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::of_io;
use super::session;
use plumb_core::probe::Failure;

/// Length of exported keying material.
pub(crate) const EXPORTED_BYTES: usize = 32;

/// A way to shake hands, made once an operation.
pub(crate) struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
    check: Option<(Arc<WebPkiServerVerifier>, ServerName<'static>)>,
}

impl TlsClient {
    /// Prepares handshakes. `alpn` takes the place of an empty list of the settings.
    ///
    /// # Errors
    /// A name, the roots or the version cannot be understood.
    pub(crate) fn new(tls: &ClientTls, target: IpAddr, alpn: &[&str]) -> Result<Self, OpError> {
        let failed = |message: String| OpError { operation: "set up TLS".into(), message };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(tls.max_version.as_deref()).map_err(failed)?)
            .map_err(|error| failed(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyChain(Arc::clone(&provider))))
            .with_no_client_auth();
        // Each handshake is a whole one: a resumed session shows no chain.
        config.resumption = Resumption::disabled();
        config.enable_sni = tls.sni.is_some();
        config.alpn_protocols = if tls.alpn.is_empty() {
            alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
        } else {
            tls.alpn.iter().map(|name| name.clone().into_bytes()).collect()
        };
        let name = match &tls.sni {
            Some(sni) => name_of(sni).map_err(failed)?,
            None => ServerName::IpAddress(target.into()),
        };
        let verify_name = match &tls.verify_name {
            Some(text) => name_of(text).map_err(failed)?,
            None => name.clone(),
        };
        let check = match &tls.roots_pem {
            None => None,
            Some(pem) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(pem).map_err(failed)?), provider)
                    .build()
                    .map_err(|error| failed(error.to_string()))?;
                Some((verifier, verify_name))
            }
        };
        Ok(Self { connector: Arc::new(config).into(), name, check })
    }

    /// Shakes hands on an open connection.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| of_io(&error, "tls"))
    }

    /// What there is to know of a session.
    pub(crate) fn session(&self, stream: &TlsStream<TcpStream>) -> TlsSession {
        session::describe(stream.get_ref().1, |chain| self.trust(chain))
    }

    fn trust(&self, chain: &[CertificateDer<'_>]) -> Trust {
        let Some((verifier, name)) = &self.check else { return Trust::NotChecked };
        let Some((leaf, rest)) = chain.split_first() else { return Trust::Untrusted("no certificate was served".into()) };
        match verifier.verify_server_cert(leaf, rest, name, &[], UnixTime::now()) {
            Ok(_) => Trust::Trusted,
            Err(error) => Trust::Untrusted(error.to_string()),
        }
    }
}

/// Accepts every chain, but only from a peer that holds the leaf's key.
#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn versions(max: Option<&str>) -> Result<&'static [&'static SupportedProtocolVersion], String> {
    static UP_TO_1_3: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    static UP_TO_1_2: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    match max {
        None | Some("1.3") => Ok(&UP_TO_1_3),
        Some("1.2") => Ok(&UP_TO_1_2),
        Some(other) => Err(format!("maxVersion is `{other}`, expected `1.2` or `1.3`")),
    }
}

fn name_of(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| format!("`{text}` is no server name"))
}

fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("the roots are not PEM: {error}"))?;
        store.add(certificate).map_err(|error| format!("a root cannot be used: {error}"))?;
    }
    if store.is_empty() { Err("the roots hold no certificate".into()) } else { Ok(store) }
}

/// Runs an exporter; hex. It refuses only before the handshake has ended; should it do so, the text names the end, so that two ends
/// without keys never look like one session.
pub(crate) fn exported<T>(end: &str, export: impl FnOnce([u8; EXPORTED_BYTES]) -> Result<[u8; EXPORTED_BYTES], T>) -> String {
    export([0; EXPORTED_BYTES]).map_or_else(|_| format!("none at the {end}"), |keys| hex(&keys))
}

/// `1.2` or `1.3`.
pub(crate) fn version_text(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "1.2".into(),
        ProtocolVersion::TLSv1_3 => "1.3".into(),
        other => format!("{other:?}"),
    }
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_named() {
        let target: IpAddr = [127, 0, 0, 1].into();
        let message = |tls: ClientTls| TlsClient::new(&tls, target, &[]).err().map(|error| error.message).unwrap_or_default();
        assert!(message(ClientTls { max_version: Some("1.1".into()), ..Default::default() }).contains("1.1"));
        assert!(message(ClientTls { sni: Some("no name".into()), ..Default::default() }).contains("no name"));
        assert!(message(ClientTls { roots_pem: Some("nothing".into()), ..Default::default() }).contains("no certificate"));
    }
}
