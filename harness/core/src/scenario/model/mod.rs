//! The scenario format, version 1, as it stands in a file.
//!
//! Keys are camelCase as in Kubernetes; verbs are single words. Every verb is one struct here, one arm of [`Step`], one
//! judge in `verdict` and one action in the engine. A step that carries an expectation is a *check*: its `id` names it in
//! verdicts and in the faults that must turn it red. `x-plumb` says in the schema what a text means; `scenario::parse` checks it
//! by that (see `scenario::meaning`), so a new field with a known meaning needs nothing else.

mod cilium;

mod disruptions;

mod expectations;

mod probes;

mod steps;

pub use cilium::*;
pub use disruptions::*;
pub use expectations::*;
pub use probes::*;
pub use steps::*;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// How long a Pod that is being deleted goes on (`lifecycle.preStop.sleep`, whole seconds; Kubernetes 1.30 and newer).
    #[serde(default)]
    #[schemars(extend("x-plumb" = "span"))]
    pub lingers: Option<Span>,
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

/// A fault and what it must turn red.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultCase {
    /// Name of the fault (`plumb faults`).
    #[schemars(extend("x-plumb" = "fault"))]
    pub fault: String,
    /// The checks (ids) that must turn from green, and steps that can then not be carried out; everything else stays as it is.
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

/// What runs in a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum System {
    /// Cilium itself.
    Cilium,
    /// The embedded reference network.
    Reference,
}

/// When a variant holds: every given key must.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct When {
    /// `refnet`, `kind`, `kubeconfig`. A reference network that was found, not made, counts as `refnet`.
    #[schemars(extend("x-plumb" = "provider"))]
    pub provider: Option<String>,
    /// What runs there, whoever made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Profile name.
    pub profile: Option<String>,
    /// Cilium version range, for example `>=1.18, <1.20`.
    #[schemars(extend("x-plumb" = "version-range"))]
    pub cilium: Option<String>,
}

fn one() -> u32 {
    1
}

fn default_namespace() -> String {
    "default".into()
}
