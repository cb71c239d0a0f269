//! What is done, in order: verbs that act, and watches that run meanwhile.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AgentStep, ApiStep, ArpProbe, BackendProtocol, ConfigProbe, Consistently, Count, Distribution, Downtime, Eventually, HttpProbe,
    L4Probe, LeaseProbe, LinkStep, Never, PartitionStep, PingProbe, Restart, StatusProbe, Target, TlsProbe, Upgrade,
};

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
    /// Do something to a link of a node.
    Link(LinkStep),
    /// Cut a node off from the API or from the other nodes.
    Partition(PartitionStep),
    /// Do something to Cilium's agent on a node.
    Agent(AgentStep),
    /// Do something to the API server.
    Api(ApiStep),
    /// Upgrade Cilium.
    Upgrade(Upgrade),
    /// Restart a part of Cilium.
    Restart(Restart),
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
    /// Cilium's configuration.
    Config(ConfigProbe),
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

/// A node: its name (`worker2`), `holder:<service>` (the lease holder when the step begins), `other:<service>` (a worker that is not) or
/// `of:<step>` (the node an earlier step acted on).
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
    /// When the step is over.
    #[serde(default)]
    pub until: PlaceEnd,
}

/// When a backend counts as placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlaceEnd {
    /// Every replica that is asked for is available and no other is left.
    #[default]
    RolledOut,
    /// Every Pod it had is being deleted, and none is gone; needs `replicas: 0`, and a backend that `lingers`.
    Leaving,
}

/// Do something to a node. `stop` ends it as a power cut does; `pause` freezes its processes and leaves its kernel running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeStep {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-node"))]
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

fn client() -> Vantage {
    "client".into()
}

fn twenty_ms() -> Span {
    "20ms".into()
}
