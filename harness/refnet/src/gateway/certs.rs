//! Certificates the Gateway serves: read from Secrets, and those a fault puts in their place.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// An entry of the Secret is missing.
    #[error("find {0} in the Secret")]
    Missing(&'static str),
    /// An entry is not PEM of what it should be.
    #[error("read {what}: {message}")]
    Pem {
        /// Which entry.
        what: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("use the key with the certificate: {0}")]
    Key(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate ready to be served.
#[derive(Debug)]
pub(super) struct Served {
    /// Names of subjectAltName.
    pub(super) names: Vec<String>,
    /// Chain and key.
    pub(super) key: Arc<CertifiedKey>,
}

/// What takes a certificate's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Forgery {
    /// Right names, right authority, another key.
    Wrong,
    /// Right names, right authority, past its end.
    Expired,
    /// Right authority, another name.
    OtherHost,
    /// Right names, no authority the client knows.
    OwnAuthority,
}

/// The ring provider, once a configuration.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Whether a Secret can be served.
///
/// # Errors
/// What is wrong with it.
pub fn check(secret: &Secret) -> Result<(), CertError> {
    load(secret).map(|_| ())
}

/// Reads a Secret of type `kubernetes.io/tls`.
pub(super) fn load(secret: &Secret) -> Result<Served, CertError> {
    let entry = |name: &'static str| {
        secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.as_slice()).ok_or(CertError::Missing(name))
    };
    serve(entry("tls.crt")?, entry("tls.key")?)
}

fn serve(chain_pem: &[u8], key_pem: &[u8]) -> Result<Served, CertError> {
    let wrong = |what: &'static str| move |error: rustls_pki_types::pem::Error| CertError::Pem { what, message: error.to_string() };
    let chain = CertificateDer::pem_slice_iter(chain_pem).collect::<Result<Vec<_>, _>>().map_err(wrong("tls.crt"))?;
    let Some(leaf) = chain.first() else {
        return Err(CertError::Pem { what: "tls.crt", message: "it holds no certificate".to_owned() });
    };
    let names = names(leaf)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(wrong("tls.key"))?;
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(CertError::Key)?;
    Ok(Served { names, key: Arc::new(key) })
}

fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, CertError> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| CertError::Pem { what: "tls.crt", message: error.to_string() })?;
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let general = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    Ok(general
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect())
}

/// Makes a certificate that takes another's place. `authority` is the run's (Secret `kube-system/plumb-run-authority`); without it the
/// certificate is signed by an authority made here.
pub(super) fn forge(authority: Option<&Secret>, forgery: Forgery, names: &[String]) -> Result<Served, CertError> {
    let names = match forgery {
        Forgery::OtherHost => vec!["other-host.plumbline.invalid".to_owned()],
        _ => names.to_vec(),
    };
    let issuer = match (authority, forgery) {
        (Some(authority), Forgery::Wrong | Forgery::Expired | Forgery::OtherHost) => run_issuer(authority)?,
        _ => own_issuer()?,
    };
    let mut params = CertificateParams::new(names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("plumbline gateway", String::as_str));
    let day = time::Duration::days(1);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = match forgery {
        Forgery::Expired => (now - day * 30, now - day),
        _ => (now - day, now + day * 30),
    };
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &issuer)?;
    serve(leaf.pem().as_bytes(), key.serialize_pem().as_bytes())
}

fn own_issuer() -> Result<Issuer<'static, KeyPair>, CertError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "somebody else's authority");
    Ok(Issuer::new(params, KeyPair::generate()?))
}

/// An issuer of the same name and key as the run's authority, so that what it signs chains to the certificate clients trust.
fn run_issuer(authority: &Secret) -> Result<Issuer<'static, KeyPair>, CertError> {
    let entry = |name: &'static str| {
        authority.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.as_slice()).ok_or(CertError::Missing(name))
    };
    let wrong = |what: &'static str, message: String| CertError::Pem { what, message };
    let certificate = CertificateDer::from_pem_slice(entry("tls.crt")?).map_err(|error| wrong("tls.crt", error.to_string()))?;
    let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|error| wrong("tls.crt", error.to_string()))?;
    let mut subject = DistinguishedName::new();
    for attribute in parsed.subject().iter_attributes() {
        let oid: Vec<u64> = attribute.attr_type().iter().map(Iterator::collect).unwrap_or_default();
        let value = attribute.as_str().map_err(|error| wrong("tls.crt", error.to_string()))?;
        subject.push(DnType::from_oid(&oid), DnValue::Utf8String(value.to_owned()));
    }
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = subject;
    let key = std::str::from_utf8(entry("tls.key")?).map_err(|error| wrong("tls.key", error.to_string()))?;
    Ok(Issuer::new(params, KeyPair::from_pem(key)?))
}

/// Serves one certificate to everybody: the choice by server name has been made before.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server configuration with one certificate.
pub(super) fn server(key: &Arc<CertifiedKey>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Only(Arc::clone(key))));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
