//! HTTP requests, what came back, and what a backend says of itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{ClientTls, Failure, FailureClass, ServerTls, TlsSession};

/// HTTP requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpOp {
    /// Where the connection goes; names are never resolved.
    pub target: SocketAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// The `Host` header or `:authority`.
    pub host: String,
    /// Path and query.
    #[serde(default = "slash")]
    pub path: String,
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Further request headers, sent as given.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// TLS settings; absent = plain TCP.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// HTTP version to speak; over TLS it is what ALPN may choose from.
    #[serde(default)]
    pub version: HttpVersion,
    /// Bytes of request body (`x` repeated); 0 = none.
    #[serde(default)]
    pub body_bytes: u32,
    /// How many requests in all.
    #[serde(default = "one")]
    pub count: u32,
    /// How many at a time.
    #[serde(default = "one")]
    pub concurrency: u32,
    /// Requests a second over all workers; absent = as fast as answers come.
    #[serde(default)]
    pub rate_per_s: Option<f64>,
    /// When a connection is used again.
    #[serde(default)]
    pub connection: Connection,
    /// Limit of one request, connect included, in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
    /// What comes back.
    #[serde(default)]
    pub detail: Detail,
}

/// HTTP version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 (prior knowledge without TLS).
    Http2,
}

/// When a connection is used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// A new connection for each request.
    #[default]
    PerRequest,
    /// One connection a worker, opened again when the peer closes it.
    KeepAlive,
}

/// How much of each request comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Detail {
    /// An [`Item::Http`](super::Item::Http) for each request, and the tally.
    #[default]
    Full,
    /// The tally only.
    Tally,
}

/// What an [`Op::Http`](super::Op::Http) saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpReport {
    /// Requests sent.
    pub sent: u32,
    /// Requests answered with any status.
    pub answered: u32,
    /// Counted by what distinguishes them.
    pub tally: Vec<TallyRow>,
    /// When the first was sent and the last ended.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
}

/// So many requests ended the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TallyRow {
    /// Status code; absent for failures.
    pub status: Option<u16>,
    /// Backend id from the echo.
    pub backend: Option<String>,
    /// Value of [`REVISION_HEADER`](super::REVISION_HEADER) in the response, or as the backend saw it in the request.
    pub marker: Option<String>,
    /// Class of a failure.
    pub failure: Option<FailureClass>,
    /// How many.
    pub count: u32,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResult {
    /// Number within the operation, from 0.
    pub n: u32,
    /// When it began.
    pub at_ns: u64,
    /// How long each phase took.
    pub phases: Phases,
    /// The client's own address, once connected.
    pub local: Option<SocketAddr>,
    /// The answer or the failure.
    pub outcome: HttpOutcome,
}

/// Durations in microseconds; absent = the phase was not reached or not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phases {
    /// TCP connect.
    pub connect_us: Option<u64>,
    /// TLS handshake.
    pub tls_us: Option<u64>,
    /// Request sent to response head.
    pub first_byte_us: Option<u64>,
    /// Everything.
    pub total_us: u64,
}

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HttpOutcome {
    /// A response.
    Answer(Box<HttpAnswer>),
    /// None.
    Failed(Failure),
}

/// A response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Response headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's echo, where the body is one of ours.
    pub echo: Option<Echo>,
    /// The first 512 bytes of any other body, lossy UTF-8.
    pub body: Option<String>,
    /// The client's TLS session.
    pub tls: Option<TlsSession>,
}

/// What one of our backends says of itself and of what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Echo {
    /// Backend id.
    pub backend: String,
    /// Pod name.
    pub pod: String,
    /// Node name.
    pub node: String,
    /// What it saw.
    pub seen: Seen,
}

/// A request as the backend saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Peer of the connection.
    pub peer: SocketAddr,
    /// Own address of the connection.
    pub local: SocketAddr,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Request headers, names in lower case, repeated ones joined with `, `. `:authority` appears as `host`.
    pub headers: BTreeMap<String, String>,
    /// The TLS session as the backend holds it; absent = the backend got plain text.
    pub tls: Option<ServerTls>,
}

fn slash() -> String {
    "/".into()
}

fn get() -> String {
    "GET".into()
}

fn one() -> u32 {
    1
}

fn five_seconds() -> u64 {
    5_000
}
