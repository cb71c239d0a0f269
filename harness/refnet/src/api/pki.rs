//! The lab's certificate authority: the API server's certificate, client certificates, and kubeconfigs. Keys stay in memory; who
//! writes one to a file does so inside the lab's own directory.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

/// A step of certificate making that failed.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate or key could not be made.
    #[error("make the certificate of `{subject}`")]
    Make {
        /// Common name.
        subject: String,
        /// What rcgen said.
        source: rcgen::Error,
    },
    /// The TLS configuration was refused.
    #[error("set up TLS for the API server")]
    Tls(#[from] rustls::Error),
    /// The client verifier was refused.
    #[error("set up client certificates for the API server")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A key was not what it should be.
    #[error("read the API server's key")]
    Key(#[from] rustls_pki_types::pem::Error),
    /// A kube-rs configuration could not be made.
    #[error("make a client configuration for `{url}`: {reason}")]
    Client {
        /// The API's URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The authority of one lab.
pub struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// Its key, PKCS#8 PEM. Never logged; not part of `Debug`.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

impl Pki {
    /// A new authority, valid from an hour ago for ten days.
    ///
    /// # Errors
    /// The key or certificate could not be made.
    pub fn new() -> Result<Pki, PkiError> {
        let subject = "refnet-ca";
        let mut params = params(subject, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let make = || CertifiedIssuer::self_signed(params, KeyPair::generate()?);
        Ok(Pki { authority: make().map_err(|source| PkiError::Make { subject: subject.to_owned(), source })? })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// TLS for a server reachable by these names and addresses. It refuses, in the handshake, clients without a certificate of
    /// this authority. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate, or a failure to make one.
    pub fn server_config(&self, names: &[String], addresses: &[IpAddr]) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let alternatives = names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).collect::<Vec<_>>();
        let identity = self.leaf("kube-apiserver", &[], alternatives, ExtendedKeyUsagePurpose::ServerAuth)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(identity.cert_pem.as_bytes())?],
                PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?,
            )?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A client certificate: user `common_name` in `organizations` (groups).
    ///
    /// # Errors
    /// The key or certificate could not be made.
    pub fn client(&self, common_name: &str, organizations: &[&str]) -> Result<Identity, PkiError> {
        self.leaf(common_name, organizations, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A kubeconfig with everything inline, for `kubectl` and for `kube::config::Kubeconfig`.
    pub fn kubeconfig(&self, url: &str, identity: &Identity) -> String {
        use base64::Engine as _;
        let inline = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: refnet\nclusters:\n- name: refnet\n  cluster:\n    server: {url}\n    \
             certificate-authority-data: {}\ncontexts:\n- name: refnet\n  context:\n    cluster: refnet\n    user: refnet\n    \
             namespace: default\nusers:\n- name: refnet\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
            inline(&self.ca_pem()),
            inline(&identity.cert_pem),
            inline(&identity.key_pem),
        )
    }

    /// A kube-rs configuration for HTTPS with this identity.
    ///
    /// # Errors
    /// The URL is none.
    pub fn kube_config(&self, url: &str, identity: &Identity) -> Result<kube::Config, PkiError> {
        kube_config(url, &self.ca_pem(), identity)
    }

    fn leaf(
        &self,
        common_name: &str,
        organizations: &[&str],
        alternatives: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, PkiError> {
        let make = || {
            let mut params = params(common_name, organizations);
            params.subject_alt_names = CertificateParams::new(alternatives)?.subject_alt_names;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            let cert = params.signed_by(&key, &self.authority)?;
            Ok(Identity { cert_pem: cert.pem(), key_pem: key.serialize_pem() })
        };
        make().map_err(|source| PkiError::Make { subject: common_name.to_owned(), source })
    }
}

/// A kube-rs configuration for HTTPS from PEM texts, for a process that has only those.
///
/// # Errors
/// The URL or a PEM text is none.
pub fn kube_config(url: &str, ca_pem: &str, identity: &Identity) -> Result<kube::Config, PkiError> {
    let wrong = |reason: String| PkiError::Client { url: url.to_owned(), reason };
    let uri: http::Uri = url.parse().map_err(|e: http::uri::InvalidUri| wrong(e.to_string()))?;
    let authority = CertificateDer::from_pem_slice(ca_pem.as_bytes())?;
    let mut config = kube::Config::new(uri);
    config.root_cert = Some(vec![authority.to_vec()]);
    config.default_namespace = "default".to_owned();
    // kube-rs reads inline client certificates only as base64 of PEM, as they stand in a kubeconfig.
    use base64::Engine as _;
    let inline = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    config.auth_info.client_certificate_data = Some(inline(&identity.cert_pem));
    config.auth_info.client_key_data = Some(inline(&identity.key_pem).into());
    Ok(config)
}

fn params(common_name: &str, organizations: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    for organization in organizations {
        name.push(DnType::OrganizationName, *organization);
    }
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(10);
    params
}
