//! Certificates of a run: an authority made for it, and a leaf for each certificate the scenario names.
//!
//! Keys live in memory and in the lab's Secrets, nowhere else: the types that hold them have no `Debug` that shows them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use plumb_core::evidence::CertFact;
use plumb_core::scenario::model::{Cert, Signer, Validity};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

/// The Secret in which a fault of the TLS layer finds the run's authority.
const AUTHORITY_SECRET: (&str, &str) = ("kube-system", "plumb-run-authority");

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make certificate `{name}`: {source}")]
pub struct CertError {
    name: String,
    source: rcgen::Error,
}

/// A certificate with its key.
pub struct Leaf {
    /// Chain as served, PEM.
    pub cert_pem: String,
    /// What evidence says of it.
    pub fact: CertFact,
    key_pem: String,
}

impl Leaf {
    /// The private key, PEM: for a Secret or a server's configuration, nothing else.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("fact", &self.fact).finish_non_exhaustive()
    }
}

/// Every certificate of a run.
#[derive(Debug)]
pub struct Certs {
    authority: Leaf,
    leafs: BTreeMap<String, Leaf>,
}

impl Certs {
    /// Makes the authority and every certificate.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn make(wanted: &BTreeMap<String, Cert>, now_unix_s: i64) -> Result<Certs, CertError> {
        let now = OffsetDateTime::from_unix_timestamp(now_unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let failed = |name: &str| {
            let name = name.to_owned();
            move |source| CertError { name, source }
        };
        let (run, authority) = authority("Plumbline run authority", now).map_err(failed("run authority"))?;
        let (foreign, _) = self::authority("Plumbline foreign authority", now).map_err(failed("foreign authority"))?;
        let mut leafs = BTreeMap::new();
        for (name, cert) in wanted {
            let issuer = if cert.signer == Signer::Run { &run } else { &foreign };
            leafs.insert(name.clone(), leaf(cert, issuer, now).map_err(failed(name))?);
        }
        Ok(Certs { authority, leafs })
    }

    /// PEM of what clients of the run trust.
    pub fn roots_pem(&self) -> &str {
        &self.authority.cert_pem
    }

    /// A certificate by its name.
    pub fn leaf(&self, name: &str) -> Option<&Leaf> {
        self.leafs.get(name)
    }

    /// What evidence says of all of them.
    pub fn facts(&self) -> BTreeMap<String, CertFact> {
        self.leafs.iter().map(|(name, leaf)| (name.clone(), leaf.fact.clone())).collect()
    }

    /// The Secrets to apply; the authority's only when a fault of the TLS layer needs it.
    pub fn secrets(&self, wanted: &BTreeMap<String, Cert>, authority: AuthoritySecret) -> Vec<Value> {
        let mut secrets = Vec::new();
        for (name, cert) in wanted {
            if let (Some(secret), Some(leaf)) = (&cert.secret, self.leafs.get(name)) {
                let (namespace, name) = secret.split_once('/').unwrap_or(("default", secret));
                secrets.push(secret_of(namespace, name, leaf));
            }
        }
        if authority == AuthoritySecret::Give {
            secrets.push(secret_of(AUTHORITY_SECRET.0, AUTHORITY_SECRET.1, &self.authority));
        }
        secrets
    }
}

/// Whether the lab gets the run's authority with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthoritySecret {
    /// A fault of the TLS layer is on: it forges certificates.
    Give,
    /// Nobody needs it.
    Withhold,
}

fn secret_of(namespace: &str, name: &str, leaf: &Leaf) -> Value {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"tls.crt": base64(&leaf.cert_pem), "tls.key": base64(&leaf.key_pem)},
    })
}

fn authority(name: &str, now: OffsetDateTime) -> Result<(Issuer<'static, KeyPair>, Leaf), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = common_name(name);
    (params.not_before, params.not_after) = (now - Duration::days(2), now + Duration::days(2));
    let certificate = params.self_signed(&key)?;
    let leaf = minted(&certificate, &key, &params, &[]);
    Ok((Issuer::new(params, key), leaf))
}

fn leaf(cert: &Cert, issuer: &Issuer<'_, KeyPair>, now: OffsetDateTime) -> Result<Leaf, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(cert.sans.clone())?;
    params.distinguished_name = common_name(cert.sans.first().map_or("plumbline", String::as_str));
    let hour = Duration::hours(1);
    (params.not_before, params.not_after) = match cert.validity {
        Validity::Current => (now - hour, now + hour * 23),
        Validity::Expired => (now - hour * 25, now - hour),
    };
    let certificate = params.signed_by(&key, issuer)?;
    Ok(minted(&certificate, &key, &params, &cert.sans))
}

fn minted(certificate: &rcgen::Certificate, key: &KeyPair, params: &CertificateParams, sans: &[String]) -> Leaf {
    let sha256: String = digest(&SHA256, certificate.der()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let fact = CertFact { sha256, not_after: params.not_after.unix_timestamp(), sans: sans.to_vec() };
    Leaf { cert_pem: certificate.pem(), fact, key_pem: key.serialize_pem() }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use x509_parser::prelude::{FromDer, X509Certificate};

    fn cert(validity: Validity, signer: Signer) -> Cert {
        Cert { sans: vec!["a.example".into(), "10.0.0.1".into()], secret: Some("web/tls".into()), validity, signer }
    }

    #[test]
    fn the_secret_of_the_authority_is_given_only_to_a_fault() {
        let wanted = BTreeMap::from([("a".to_owned(), cert(Validity::Current, Signer::Run))]);
        let certs = Certs::make(&wanted, 1_800_000_000).unwrap();
        let names =
            |with| certs.secrets(&wanted, with).iter().map(|s| s["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(AuthoritySecret::Withhold), ["tls"]);
        assert_eq!(names(AuthoritySecret::Give), ["tls", "plumb-run-authority"]);
        assert!(!format!("{certs:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn validity_and_signer_are_as_asked() {
        let now = 1_800_000_000;
        let wanted = BTreeMap::from([
            ("current".to_owned(), cert(Validity::Current, Signer::Run)),
            ("expired".to_owned(), cert(Validity::Expired, Signer::Run)),
            ("foreign".to_owned(), cert(Validity::Current, Signer::Foreign)),
        ]);
        let certs = Certs::make(&wanted, now).unwrap();
        let issuer = |name: &str| {
            let (_, pem) = x509_parser::pem::parse_x509_pem(certs.leaf(name).unwrap().cert_pem.as_bytes()).unwrap();
            X509Certificate::from_der(&pem.contents).unwrap().1.issuer().to_string()
        };
        assert_eq!(issuer("current"), "CN=Plumbline run authority");
        assert_eq!(issuer("foreign"), "CN=Plumbline foreign authority");
        assert!(certs.leaf("expired").unwrap().fact.not_after < now && certs.leaf("current").unwrap().fact.not_after > now);
    }
}
