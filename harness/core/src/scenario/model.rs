//! The scenario format, version 1, as it stands in a file.
//!
//! Keys are camelCase as in Kubernetes; verbs are single words. Every verb is one struct here, one arm of [`Step`], one
//! judge in `verdict` and one action in the engine. A step that carries an expectation is a *check*: its `id` names it in
//! verdicts and in the faults that must turn it red. `x-plumb` says in the schema what a text means; `scenario::parse` checks it
//! by that (see `scenario::meaning`), so a new field with a known meaning needs nothing else.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::FailureClass;

/// Version of the format this program reads.
pub const FORMAT: u32 = 1;

/// A whole scenario file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Format version: 1.
    pub format: u32,
    /// One line for lists and reports.
    pub title: String,
    /// "Passes if and only if ..."
    pub intent: String,
    /// What a pass does not say.
    #[serde(default)]
    pub limitations: Vec<String>,
    /// The promises it tests.
    pub covers: Vec<Covers>,
    /// Nodes, networks and the outside client.
    #[serde(default)]
    pub lab: Lab,
    /// What is installed before the first step.
    pub install: Install,
    /// Certificates, by name.
    #[serde(default)]
    #[schemars(extend("x-plumb-keys" = "cert-name"))]
    pub certs: BTreeMap<String, Cert>,
    /// Backends, by id.
    #[serde(default)]
    #[schemars(extend("x-plumb-keys" = "backend-name"))]
    pub backends: BTreeMap<String, Backend>,
    /// What is done and observed, in order.
    pub steps: Vec<Step>,
    /// The faults that must turn it red, and which check each turns red.
    #[serde(default)]
    pub faults: Vec<FaultCase>,
    /// Where the documentation and a provider, version or flag set differ.
    #[serde(default)]
    pub variants: Vec<Variant>,
}

/// A promise of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Covers {
    /// Document, for example `cni-cilium`.
    pub document: String,
    /// Section heading.
    pub section: String,
    /// The promise, in one sentence.
    pub promise: String,
}

/// Nodes, networks and the outside client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Lab {
    /// Control-plane nodes; named `control-plane`, `control-plane2`, ...
    pub control_planes: u32,
    /// Worker nodes; named `worker`, `worker2`, ...
    pub workers: u32,
    /// Networks every node is on. The first is the node network, `eth0`; further ones are second NICs such as `net0`.
    #[schemars(extend("x-plumb" = "interface-name"))]
    pub networks: Vec<String>,
    /// Networks the outside client is on; empty = no client.
    #[schemars(extend("x-plumb" = "network"))]
    pub client: Vec<String>,
}

impl Default for Lab {
    fn default() -> Self {
        Lab { control_planes: 1, workers: 2, networks: vec!["eth0".into()], client: vec!["eth0".into()] }
    }
}

/// What is installed before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Install {
    /// Profile by name (`scenarios/profiles/<name>.yaml`); `--profile` chooses another of `also`.
    pub profile: String,
    /// Further profiles this scenario is meant for.
    #[serde(default)]
    pub also: Vec<String>,
    /// Gateway API definitions; absent = those of the profile.
    #[serde(default)]
    pub gateway_api: Option<GatewayApi>,
    /// Helm values on top of the profile's, as dotted keys or nested maps.
    #[serde(default)]
    pub values: BTreeMap<String, serde_json::Value>,
}

/// Gateway API definitions, independent of the Cilium version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayApi {
    /// Release, for example `v1.2.0`.
    pub version: String,
    /// Plural names, each with its channel: `httproutes` or `experimental/tlsroutes`.
    pub crds: Vec<String>,
}

/// A certificate, made for the run by a certificate authority of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cert {
    /// DNS names and addresses of subjectAltName.
    pub sans: Vec<String>,
    /// The Secret (`kubernetes.io/tls`) to put it in, as `name` or `namespace/name`; absent = no Secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// Validity relative to now.
    #[serde(default)]
    pub validity: Validity,
    /// Whether the run's authority signed it.
    #[serde(default)]
    pub signer: Signer,
}

/// Validity relative to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Validity {
    /// From an hour ago for a day.
    #[default]
    Current,
    /// Ended an hour ago.
    Expired,
}

/// Who signed a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Signer {
    /// The authority clients of the run trust.
    #[default]
    Run,
    /// An authority nobody trusts.
    Foreign,
}

/// Echo servers with an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// What they speak.
    #[serde(default)]
    pub protocol: BackendProtocol,
    /// Port of the container and of the Service.
    pub port: u16,
    /// How many.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Namespace.
    #[serde(default = "default_namespace")]
    #[schemars(extend("x-plumb" = "namespace"))]
    pub namespace: String,
    /// Certificate to serve with; absent = plain.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "cert"))]
    pub cert: Option<String>,
    /// Node to run on; absent = the scheduler's choice.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "node-name"))]
    pub node: Option<String>,
    /// On the node's own network (`hostNetwork`).
    #[serde(default)]
    pub host_network: bool,
    /// Service in front of it; absent = a ClusterIP Service named as the backend.
    #[serde(default)]
    pub service: Option<BackendService>,
    /// Further labels of the Pods.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The Service in front of a backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackendService {
    /// Name; absent = the backend's id.
    pub name: Option<String>,
    /// `ClusterIP` (default), `LoadBalancer` or `None` (no Service at all).
    pub r#type: Option<String>,
    /// Labels of the Service.
    pub labels: BTreeMap<String, String>,
}

/// What a backend speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BackendProtocol {
    /// HTTP/1.1 and HTTP/2, echoing as JSON.
    #[default]
    Http,
    /// TCP echo.
    Tcp,
    /// UDP echo.
    Udp,
}

/// One thing that is done or observed. `{verb: {...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Server-side apply of a manifest.
    Apply(Apply),
    /// Change an object in place.
    Patch(Patch),
    /// Delete an object.
    Delete(Delete),
    /// Move or scale a backend.
    Place(Place),
    /// Do something to a node.
    Node(NodeStep),
    /// Watch while other steps run.
    During(During),
    /// HTTP requests.
    Http(HttpProbe),
    /// A TLS handshake.
    Tls(TlsProbe),
    /// TCP or UDP echo.
    L4(L4Probe),
    /// ICMP echo.
    Ping(PingProbe),
    /// ARP who-has, every answer collected.
    Arp(ArpProbe),
    /// An object's conditions and fields.
    Status(StatusProbe),
    /// The L2 announcement lease of a Service.
    Lease(LeaseProbe),
    /// Probe until it holds.
    Eventually(Eventually),
    /// Probe, and it must hold all the time.
    Consistently(Consistently),
    /// A canary must not be in a capture.
    Never(Never),
    /// Something in a watch must be there so many times.
    Count(Count),
    /// Requests must split by weight.
    Distribution(Distribution),
    /// A service may be away only so long.
    Downtime(Downtime),
}

/// Name of a step or watch: lower-case words with hyphens, unique in the scenario.
pub type Id = String;

/// A place to probe from: `client`, `node/<name>`, `pod/<backend>` or `pod/<backend>/<n>`.
pub type Vantage = String;

/// A node: its name (`worker2`), `holder:<service>` (the lease holder when the step begins) or `other:<service>` (a worker that is not).
pub type NodeRef = String;

/// A time with its unit: `500ms`, `3s`, `2m`.
pub type Span = String;

/// Server-side apply of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Apply {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// File beside the scenario, for example `manifests/gateway.yaml`.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "file"))]
    pub file: Option<String>,
    /// Or the manifest itself.
    #[serde(default)]
    pub manifest: Option<String>,
    /// The API must refuse it with a message that has this text.
    #[serde(default)]
    pub expect_error: Option<String>,
}

/// Change an object in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// `kind/name` or `kind/namespace/name`.
    #[schemars(extend("x-plumb" = "resource"))]
    pub resource: String,
    /// JSON merge patch (RFC 7396); absent = touch it with an annotation.
    #[serde(default)]
    pub merge: Option<serde_json::Value>,
}

/// Delete an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delete {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// `kind/name` or `kind/namespace/name`.
    #[schemars(extend("x-plumb" = "resource"))]
    pub resource: String,
    /// Seconds of grace.
    #[serde(default)]
    pub grace_period_seconds: Option<u32>,
}

/// Move or scale a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// Which backend.
    #[schemars(extend("x-plumb" = "backend"))]
    pub backend: String,
    /// Onto which node.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "node"))]
    pub node: Option<NodeRef>,
    /// How many replicas.
    #[serde(default)]
    pub replicas: Option<u32>,
}

/// Do something to a node. `stop` ends it as a power cut does; `pause` freezes its processes and leaves its kernel running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeStep {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// Which node.
    #[schemars(extend("x-plumb" = "node"))]
    pub node: NodeRef,
    /// What.
    pub action: NodeAction,
}

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NodeAction {
    /// Power cut.
    Stop,
    /// Power on again.
    Start,
    /// Freeze its processes.
    Pause,
    /// Thaw them.
    Resume,
}

/// Watches that run while steps run. Every watch is live before the first step and ends after the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct During {
    /// What is watched, by id.
    #[schemars(extend("x-plumb-keys" = "defines-watch"))]
    pub watch: BTreeMap<Id, Watch>,
    /// What happens meanwhile.
    pub steps: Vec<Step>,
}

/// A watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Watch {
    /// Frames of an interface, canaries searched.
    Capture(CaptureWatch),
    /// Ask for an address by ARP all the time, every answer collected; announcements are seen too.
    Arp(ArpWatch),
    /// Continuous traffic with sequence numbers.
    Load(LoadWatch),
}

/// Frames of an interface. The canaries are those of all probes in the same `during`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureWatch {
    /// Where: `node/<name>`, `client` or `pod/<backend>`.
    #[schemars(extend("x-plumb" = "vantage"))]
    pub on: Vantage,
    /// Interface, for example `eth0` (underlay), `cilium_vxlan`, `cilium_wg0`.
    pub interface: String,
}

/// Ask for an address by ARP all the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArpWatch {
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// On which network.
    #[schemars(extend("x-plumb" = "network"))]
    pub network: String,
    /// Whose address.
    pub to: Target,
    /// Time between two questions.
    #[serde(default = "twenty_ms")]
    #[schemars(extend("x-plumb" = "span"))]
    pub interval: Span,
}

/// Continuous traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadWatch {
    /// From where.
    #[serde(default = "client")]
    #[schemars(extend("x-plumb" = "vantage"))]
    pub from: Vantage,
    /// Where to.
    pub to: Target,
    /// Port.
    pub port: u16,
    /// What is sent.
    #[serde(default)]
    pub protocol: BackendProtocol,
    /// Host header for HTTP.
    #[serde(default)]
    pub host: Option<String>,
    /// Time between two.
    #[serde(default = "twenty_ms")]
    #[schemars(extend("x-plumb" = "span"))]
    pub interval: Span,
}

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

/// Probe until it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Eventually {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Id,
    /// Limit.
    #[schemars(extend("x-plumb" = "span"))]
    pub within: Span,
    /// What is probed, with its `expect`.
    pub probe: Probe,
    /// The check is a promise (default) or only readiness of the lab: then not holding is unknown, not red.
    #[serde(default)]
    pub role: Role,
}

/// What it means when something does not come true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// A promise under test was broken: fail.
    #[default]
    Promise,
    /// The lab did not get ready: unknown.
    Setup,
}

/// Probe, and it must hold all the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consistently {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Id,
    /// How long.
    #[schemars(extend("x-plumb" = "span"))]
    pub r#for: Span,
    /// Time between two probes.
    #[serde(default = "hundred_ms")]
    #[schemars(extend("x-plumb" = "span"))]
    pub every: Span,
    /// What is probed, with its `expect`.
    pub probe: Probe,
}

/// A canary must not be in a capture, in the clear or inside VXLAN. Counts only with its controls, else the verdict is unknown:
/// the probe was answered; a capture where it must be visible saw it; the ciphertext is there in matching volume; nothing was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Never {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
    /// The probe (id) whose canary it is.
    #[schemars(extend("x-plumb" = "probe"))]
    pub canary: Id,
    /// The capture (id) that must not have it.
    #[schemars(extend("x-plumb" = "capture"))]
    pub r#in: Id,
    /// The capture (id) that must have it, as positive control.
    #[schemars(extend("x-plumb" = "capture"))]
    pub seen_in: Id,
    /// What must be in `in` instead.
    #[serde(default)]
    pub instead: Ciphertext,
}

/// What must be on the wire in place of a hidden payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Ciphertext {
    /// WireGuard data messages between the two nodes.
    #[default]
    Wireguard,
    /// ESP packets.
    Esp,
    /// TLS application data records.
    Tls,
    /// Nothing: the traffic does not cross this wire at all (same node).
    Nothing,
}

/// Something in a watch must be there so many times. Exactly one of `canary`, `gratuitous`, `answerers` says what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
    /// The watch (id).
    #[schemars(extend("x-plumb" = "watch"))]
    pub r#in: Id,
    /// Frames with the canary of this probe (id), in the clear or inside VXLAN.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "probe"))]
    pub canary: Option<Id>,
    /// Gratuitous ARP frames (RFC 5227) for the address.
    #[serde(default)]
    pub gratuitous: Option<bool>,
    /// The most MAC addresses that answered one and the same question: 2 is an overlap, a takeover one after the other is 1.
    #[serde(default)]
    pub answerers: Option<bool>,
    /// At least.
    #[serde(default)]
    pub min: Option<u64>,
    /// At most.
    #[serde(default)]
    pub max: Option<u64>,
}

/// Requests must split by weight. One sample of fixed size, one exact test, no retry. Sampling begins when `marker` is the only revision
/// that answers on every path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Distribution {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Id,
    /// The request (its `expect` and `count` are not used).
    pub probe: HttpProbe,
    /// Weights by backend id.
    #[schemars(extend("x-plumb-keys" = "backend"))]
    pub weights: BTreeMap<String, u32>,
    /// Requests in all; absent = as many as the stated power needs.
    #[serde(default)]
    pub samples: Option<u32>,
    /// Probability of a false alarm.
    #[serde(default)]
    pub alpha: Option<f64>,
    /// The wrong split that must be found, by backend id; default: 5 points moved from the heaviest to the lightest.
    #[serde(default)]
    #[schemars(extend("x-plumb-keys" = "backend"))]
    pub against: Option<BTreeMap<String, u32>>,
    /// The probability of finding it; default 0.97.
    #[serde(default)]
    pub power: Option<f64>,
    /// The route revision that must have decided every request ([`crate::probe::REVISION_HEADER`]).
    #[serde(default)]
    pub marker: Option<String>,
    /// Connections: `perRequest` (default) or `keepAlive`.
    #[serde(default)]
    pub connection: crate::scenario::model::ConnectionUse,
}

/// When a connection is used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionUse {
    /// A new connection for each request.
    #[default]
    PerRequest,
    /// One connection a worker.
    KeepAlive,
}

/// A service may be away only so long: the longest gap of a watch (load or ARP).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Downtime {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
    /// The watch (id).
    #[schemars(extend("x-plumb" = "watch"))]
    pub of: Id,
    /// At least (a gap must be there: the disruption was real); less is unknown, because nothing was tested.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "span"))]
    pub min: Option<Span>,
    /// At most.
    #[schemars(extend("x-plumb" = "span"))]
    pub max: Span,
}

/// A fault and what it must turn red.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultCase {
    /// Name of the fault (`plumb faults`).
    #[schemars(extend("x-plumb" = "fault"))]
    pub fault: String,
    /// The checks (ids) that must turn from green; everything else stays as it is.
    #[schemars(extend("x-plumb" = "check"))]
    pub turns: Vec<Id>,
    /// `fail` (default) or `unknown` (the control caught it).
    #[serde(default)]
    pub into: FaultOutcome,
    /// A part of the reason the verdict must give.
    pub because: String,
}

/// What a fault makes of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FaultOutcome {
    /// Red.
    #[default]
    Fail,
    /// The control caught it.
    Unknown,
}

/// Where a provider, version or flag set differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// Its name in reports.
    pub name: String,
    /// When it holds.
    pub when: When,
    /// Why, with the source.
    pub because: String,
    /// Steps (by id) that take the place of the ones with the same id.
    #[serde(default)]
    pub replace: Vec<Step>,
    /// Checks (by id) that are not made.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "check"))]
    pub drop: Vec<Id>,
    /// Helm values on top.
    #[serde(default)]
    pub values: BTreeMap<String, serde_json::Value>,
}

/// When a variant holds: every given key must.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct When {
    /// `refnet`, `kind`, `kubeconfig`.
    pub provider: Option<String>,
    /// Profile name.
    pub profile: Option<String>,
    /// Cilium version range, for example `>=1.18, <1.20`.
    #[schemars(extend("x-plumb" = "version-range"))]
    pub cilium: Option<String>,
}

fn one() -> u32 {
    1
}
fn five() -> u32 {
    5
}
fn default_namespace() -> String {
    "default".into()
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
fn twenty_ms() -> Span {
    "20ms".into()
}
fn hundred_ms() -> Span {
    "100ms".into()
}
