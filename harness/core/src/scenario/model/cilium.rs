//! What is done to Cilium itself, and its configuration read back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Id;

/// Upgrade Cilium to the version and values of the profile. Before the first step the profile it `upgrades` is installed. Ends when the
/// new version is ready on every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upgrade {
    /// Names the step.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
}

/// Restart a part of Cilium, node by node as its workload says. Ends when all of Cilium is ready again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// Which part.
    pub part: CiliumPart,
}

/// A part of Cilium that is a workload of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CiliumPart {
    /// DaemonSet `cilium`.
    Agents,
    /// Deployment `cilium-operator`.
    Operator,
    /// DaemonSet `cilium-envoy`.
    Envoy,
}

impl CiliumPart {
    /// Kind and name of its workload.
    pub fn workload(self) -> (&'static str, &'static str) {
        match self {
            CiliumPart::Agents => ("daemonset", "cilium"),
            CiliumPart::Operator => ("deployment", "cilium-operator"),
            CiliumPart::Envoy => ("daemonset", "cilium-envoy"),
        }
    }
}

/// Read Cilium's configuration (ConfigMap `cilium-config`), its images and when its agents began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigProbe {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-config"))]
    pub id: Id,
    /// What must be true.
    #[serde(default)]
    pub expect: Option<ConfigExpect>,
}

/// What must be true of Cilium's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigExpect {
    /// Every value of the flag set that has a key in `cilium-config` stands there, the agents' image is of the profile's version, and
    /// every agent began after the last upgrade: of the flag set it upgrades, while nothing is upgraded.
    #[serde(default)]
    pub promised: bool,
    /// Keys of `cilium-config` that must be as they were in an earlier `config` step.
    #[serde(default)]
    pub unchanged: Option<Unchanged>,
}

/// Keys that must be as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unchanged {
    /// The earlier `config` step (id).
    #[schemars(extend("x-plumb" = "config"))]
    pub since: Id,
    /// Keys of `cilium-config`.
    pub keys: Vec<String>,
}
