//! A TLS session and the certificates of its chain, described.

use std::net::IpAddr;

use plumb_core::probe::{Certificate, EXPORTER_LABEL, TlsSession, Trust};
use rustls::ClientConnection;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

use super::tls::{exported, hex, sha256, version_text};

/// What there is to know of a session whose handshake has ended.
pub(super) fn describe(session: &ClientConnection, trust: impl FnOnce(&[CertificateDer<'_>]) -> Trust) -> TlsSession {
    let chain = session.peer_certificates().unwrap_or_default();
    let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
    TlsSession {
        version: session.protocol_version().map(version_text).unwrap_or_default(),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        // rustls marks the suites of TLS 1.3, IANA does not.
        cipher: suite.replacen("TLS13_", "TLS_", 1),
        exported: exported("client", |output| session.export_keying_material(output, EXPORTER_LABEL, None)),
        chain: chain.iter().map(|der| certificate(der)).collect(),
        trust: trust(chain),
    }
}

fn certificate(der: &[u8]) -> Certificate {
    let mut described =
        Certificate { sha256: sha256(der), subject: String::new(), issuer: String::new(), sans: Vec::new(), not_before: 0, not_after: 0 };
    // What cannot be parsed still has its fingerprint.
    if let Ok((_, parsed)) = X509Certificate::from_der(der) {
        described.subject = name_text(parsed.subject());
        described.issuer = name_text(parsed.issuer());
        described.not_before = parsed.validity().not_before.timestamp();
        described.not_after = parsed.validity().not_after.timestamp();
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            described.sans = names.value.general_names.iter().filter_map(san).collect();
        }
    }
    described
}

fn san(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// RFC 4514: the last part first, the short names of its section 3, special characters escaped.
fn name_text(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let values: Vec<String> = rdn
                .iter()
                .map(|attribute| {
                    let kind = attribute.attr_type().to_id_string();
                    let value = attribute.as_str().map_or_else(|_| format!("#{}", hex(attribute.as_slice())), escaped);
                    format!("{}={value}", short_name(&kind).unwrap_or(&kind))
                })
                .collect();
            values.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (index, character) in value.chars().enumerate() {
        let at_an_end = (index == 0 && matches!(character, ' ' | '#')) || (index == last && character == ' ');
        if character == '\0' {
            text.push_str("\\00");
            continue;
        }
        if at_an_end || matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn a_certificate_is_described_by_its_names_and_times() {
        let mut params = CertificateParams::new(vec!["app.example.com".into(), "10.9.0.1".into(), "fd00::1".into()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Plumb, Line");
        params.distinguished_name.push(DnType::CommonName, "app");
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let described = certificate(cert.der());
        assert_eq!(described.subject, "CN=app,O=Plumb\\, Line");
        assert_eq!(described.sans, ["app.example.com", "10.9.0.1", "fd00::1"]);
        assert_eq!(described.not_after, 1_924_992_000);
        assert_eq!(described.sha256.len(), 64);
    }

    #[test]
    fn what_is_no_certificate_has_a_fingerprint_only() {
        let described = certificate(b"junk");
        assert_eq!((described.sha256, described.subject.as_str()), (sha256(b"junk"), ""));
    }

    #[test]
    fn special_characters_are_escaped_as_rfc_4514_says() {
        assert_eq!(escaped(" #a+b "), "\\ #a\\+b\\ ");
        assert_eq!(escaped("#a"), "\\#a");
        assert_eq!(escaped(""), "");
    }
}
