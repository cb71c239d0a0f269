//! What is observed once, and what must be true of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendProtocol, Id, NodeRef, Span, Vantage};
use crate::probe::FailureClass;

/// Where a probe goes. Exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A Gateway: its address, or in host network mode the address of a node (see `via`), by `name` or `namespace/name`.
    Gateway(#[schemars(extend("x-plumb" = "object"))] String),
    /// The address a Service has been given, by `name` or `namespace/name`.
    Service(#[schemars(extend("x-plumb" = "object"))] String),
    /// The ClusterIP of a Service.
    ClusterIp(#[schemars(extend("x-plumb" = "object"))] String),
    /// The Pod of a backend (`<backend>` or `<backend>/<n>`), by its own address.
    Pod(#[schemars(extend("x-plumb" = "pod"))] String),
    /// A node's address on the node network.
    Node(#[schemars(extend("x-plumb" = "node"))] String),
    /// An address as it is.
    Address(#[schemars(extend("x-plumb" = "address"))] String),
}

/// HTTP requests, one after another; for shares see `distribution`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// Names the check.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Option<Id>,
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// Where to.
    pub to: Target,
    /// Port.
    pub port: u16,
    /// In host network mode: through which node; absent = a worker chosen by the seed.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "node"))]
    pub via: Option<String>,
    /// `Host` header; also the SNI when `tls` names none.
    pub host: String,
    /// Path.
    #[serde(default = "slash")]
    pub path: String,
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// TLS; absent = plain.
    #[serde(default)]
    pub tls: Option<TlsSettings>,
    /// HTTP version: `1.1` (default) or `2`.
    #[serde(default)]
    pub version: Option<String>,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Limit of one request.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "span"))]
    pub timeout: Option<Span>,
    /// What must be true of each; absent = only observe.
    #[serde(default)]
    pub expect: Option<HttpExpect>,
}

/// TLS as a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Server name to send; absent = the host; empty text = none at all.
    pub sni: Option<String>,
    /// Protocols to offer by ALPN.
    pub alpn: Vec<String>,
    /// Highest version to offer: `1.2` or `1.3`.
    pub max_version: Option<String>,
}

/// What must be true of an answer. All given keys must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HttpExpect {
    /// Status code.
    pub status: Option<u16>,
    /// Backend id in the echo.
    #[schemars(extend("x-plumb" = "backend"))]
    pub backend: Option<String>,
    /// Where the TLS session ends and which certificate is served.
    pub tls: Option<TlsExpect>,
    /// Response headers that must have exactly this value; `*` = any value.
    pub headers: BTreeMap<String, String>,
    /// Request headers as the backend saw them; `*` = any value.
    pub seen_headers: BTreeMap<String, String>,
    /// HTTP version the backend saw, for example `HTTP/1.1`.
    pub seen_version: Option<String>,
    /// It must fail, in one of these ways.
    pub fails: Vec<FailureClass>,
}

/// Where a TLS session ends. Proved by exported keying material (RFC 5705, RFC 8446 section 7.5), not by headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsExpect {
    /// Where it ends.
    pub ends_at: Option<TlsEnd>,
    /// The certificate (by name) whose leaf must be served, compared by SHA-256.
    #[schemars(extend("x-plumb" = "cert"))]
    pub leaf: Option<String>,
    /// The chain must be valid for the host under the run's authority.
    pub trusted: Option<bool>,
    /// ALPN outcome; `none` = nothing negotiated.
    pub alpn: Option<String>,
    /// A capture (id) of the second hop, in the same run: for `gateway` the canary must be seen in the clear there, for `backend` TLS
    /// records and never the canary.
    #[schemars(extend("x-plumb" = "capture"))]
    pub second_hop: Option<Id>,
}

/// Where a TLS session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TlsEnd {
    /// At the Gateway: the backend has no session, or one with other keys.
    Gateway,
    /// At the backend: client and backend export the same keys.
    Backend,
}

/// A TLS handshake without a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsProbe {
    /// Names the check.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Option<Id>,
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// Where to.
    pub to: Target,
    /// Port.
    pub port: u16,
    /// In host network mode: through which node.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "node"))]
    pub via: Option<String>,
    /// TLS settings; `sni` is required (empty text = none at all).
    pub tls: TlsSettings,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// What must be true.
    #[serde(default)]
    pub expect: Option<TlsProbeExpect>,
}

/// What must be true of a handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsProbeExpect {
    /// The certificate (by name) whose leaf must be served.
    #[schemars(extend("x-plumb" = "cert"))]
    pub leaf: Option<String>,
    /// The chain must be valid.
    pub trusted: Option<bool>,
    /// It must fail, in one of these ways.
    pub fails: Vec<FailureClass>,
}

/// TCP or UDP echo with a canary as its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L4Probe {
    /// Names the check, and the canary it carries.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Option<Id>,
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// Where to.
    pub to: Target,
    /// Port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: BackendProtocol,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// What must be true of each.
    #[serde(default)]
    pub expect: Option<L4Expect>,
}

/// What must be true of an echo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct L4Expect {
    /// It must come back.
    pub answered: Option<bool>,
    /// It must fail, in one of these ways.
    pub fails: Vec<FailureClass>,
}

/// ICMP echo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PingProbe {
    /// Names the check.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Option<Id>,
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// Where to.
    pub to: Target,
    /// Bytes of ICMP payload.
    #[serde(default)]
    pub size: Option<u16>,
    /// Forbid fragmentation.
    #[serde(default)]
    pub dont_fragment: bool,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// `reply`, `fragmentationNeeded`, `ttlExceeded`, `unreachable` or `timeout`.
    #[serde(default)]
    pub expect: Option<String>,
}

/// ARP who-has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArpProbe {
    /// Names the check.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Option<Id>,
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// On which network.
    #[schemars(extend("x-plumb" = "network"))]
    pub network: String,
    /// Whose address.
    pub to: Target,
    /// How many questions.
    #[serde(default = "five")]
    pub count: u32,
    /// What must be true.
    #[serde(default)]
    pub expect: Option<ArpExpect>,
}

/// What must be true of ARP answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ArpExpect {
    /// How many different MAC addresses answer.
    pub answerers: Option<u32>,
    /// Every question is answered.
    pub every: Option<bool>,
    /// The answering MAC is that of the lease holder's interface on this network: the Service whose lease.
    pub holder_of: Option<String>,
    /// Answers go to the asker alone.
    pub unicast: Option<bool>,
}

/// An object's conditions and fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusProbe {
    /// Names the check.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Option<Id>,
    /// `kind/name` or `kind/namespace/name`.
    #[schemars(extend("x-plumb" = "resource"))]
    pub resource: String,
    /// What must be true.
    #[serde(default)]
    pub expect: Option<StatusExpect>,
}

/// What must be true of an object. A status is a claim to compare with, not proof.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StatusExpect {
    /// Conditions of `.status.conditions` by type: `True`, `False`, `Unknown`, with a reason as `False/NoMatchingParent`.
    pub conditions: BTreeMap<String, String>,
    /// Fields by JSON pointer (RFC 6901) and their value; `null` = absent.
    pub fields: BTreeMap<String, serde_json::Value>,
    /// Fields by JSON pointer that must be lists or maps of exactly this length (absent counts as 0).
    pub lengths: BTreeMap<String, u64>,
    /// The object must not exist.
    pub absent: Option<bool>,
}

/// The L2 announcement lease of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseProbe {
    /// Names the check.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-lease"))]
    pub id: Option<Id>,
    /// The Service, by `name` or `namespace/name`.
    pub service: String,
    /// What must be true.
    #[serde(default)]
    pub expect: Option<LeaseExpect>,
}

/// What must be true of a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaseExpect {
    /// There is a holder (true) or none (false, also when the lease does not exist).
    pub held: Option<bool>,
    /// The holder is one of these nodes.
    #[schemars(extend("x-plumb" = "node"))]
    pub holder: Vec<NodeRef>,
    /// The holder is not the one an earlier lease step (id) saw.
    #[schemars(extend("x-plumb" = "lease"))]
    pub not_as_in: Option<Id>,
    /// The holder is the one an earlier lease step (id) saw.
    #[schemars(extend("x-plumb" = "lease"))]
    pub as_in: Option<Id>,
    /// `spec.leaseDurationSeconds`.
    pub duration_seconds: Option<u32>,
}

#[allow(clippy::large_enum_variant, reason = "a scenario holds a few dozen of these; boxing would only clutter the format")]
/// A probe inside `eventually` and `consistently`. Its own `id` is not given: the step's is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Probe {
    /// See [`HttpProbe`].
    Http(HttpProbe),
    /// See [`TlsProbe`].
    Tls(TlsProbe),
    /// See [`L4Probe`].
    L4(L4Probe),
    /// See [`PingProbe`].
    Ping(PingProbe),
    /// See [`ArpProbe`].
    Arp(ArpProbe),
    /// See [`StatusProbe`]; waited for by watching.
    Status(StatusProbe),
    /// See [`LeaseProbe`]; waited for by watching.
    Lease(LeaseProbe),
}

fn one() -> u32 {
    1
}

fn five() -> u32 {
    5
}

fn client() -> Vantage {
    "client".into()
}

fn slash() -> String {
    "/".into()
}

fn get() -> String {
    "GET".into()
}
