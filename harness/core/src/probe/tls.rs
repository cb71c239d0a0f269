//! TLS as both ends see it, and how connections fail.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Phases;

/// TLS as a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTls {
    /// The server name to send; absent = send none.
    #[serde(default)]
    pub sni: Option<String>,
    /// Protocols to offer by ALPN, in order; empty = no extension.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// PEM of the authorities to check the chain against. The outcome is reported in [`TlsSession::trust`], never enforced: the session goes on.
    #[serde(default)]
    pub roots_pem: Option<String>,
    /// The name to check the leaf for; absent = the SNI.
    #[serde(default)]
    pub verify_name: Option<String>,
    /// The highest version to offer: `1.2` or `1.3` (default).
    #[serde(default)]
    pub max_version: Option<String>,
}

/// A TLS session as its server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// The server name the client sent.
    pub sni: Option<String>,
    /// The protocol that was chosen.
    pub alpn: Option<String>,
    /// `1.2` or `1.3`.
    pub version: String,
    /// Exported keying material ([`EXPORTER_LABEL`](super::EXPORTER_LABEL)), hex.
    pub exported: String,
    /// SHA-256 of the leaf certificate it served, hex.
    pub leaf_sha256: String,
}

/// A TLS session as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSession {
    /// `1.2` or `1.3`.
    pub version: String,
    /// The protocol that was chosen.
    pub alpn: Option<String>,
    /// IANA name of the suite.
    pub cipher: String,
    /// Exported keying material ([`EXPORTER_LABEL`](super::EXPORTER_LABEL)), hex.
    pub exported: String,
    /// The chain as served, leaf first.
    pub chain: Vec<Certificate>,
    /// Whether the chain would have been accepted.
    pub trust: Trust,
}

/// A certificate as it was served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
    /// Subject (RFC 4514).
    pub subject: String,
    /// Issuer (RFC 4514).
    pub issuer: String,
    /// DNS names and addresses of subjectAltName.
    pub sans: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// Outcome of checking a chain; the session was kept whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trust {
    /// No roots were given.
    NotChecked,
    /// Accepted for the name.
    Trusted,
    /// Refused, and why, in rustls's words.
    Untrusted(String),
}

/// A connection or request that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What kind.
    pub class: FailureClass,
    /// `connect`, `tls`, `request`, `response`.
    pub phase: String,
    /// The description of a TLS alert, for example `unrecognized_name` (RFC 8446 section 6).
    pub alert: Option<String>,
    /// In words.
    pub detail: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureClass {
    /// RST to the SYN.
    Refused,
    /// RST later on.
    Reset,
    /// The peer closed without an answer.
    Closed,
    /// No answer within the limit.
    Timeout,
    /// ICMP or routing error.
    Unreachable,
    /// A TLS alert from the peer.
    Alert,
    /// The peer did not speak the protocol.
    Protocol,
}

/// TLS handshakes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsOp {
    /// Where the connection goes.
    pub target: SocketAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// TLS settings.
    pub tls: ClientTls,
    /// How many handshakes, one after another.
    #[serde(default = "one")]
    pub count: u32,
    /// Limit of one, in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
}

/// What an [`Op::Tls`](super::Op::Tls) saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsReport {
    /// One an attempt.
    pub attempts: Vec<TlsAttempt>,
}

/// One handshake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsAttempt {
    /// When it began.
    pub at_ns: u64,
    /// How long each phase took.
    pub phases: Phases,
    /// The session or the failure.
    pub outcome: TlsOutcome,
}

/// How a handshake ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsOutcome {
    /// A session.
    Session(Box<TlsSession>),
    /// None.
    Failed(Failure),
}

fn one() -> u32 {
    1
}

fn five_seconds() -> u64 {
    5_000
}
