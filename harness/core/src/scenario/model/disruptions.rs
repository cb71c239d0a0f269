//! What is done to the lab beside whole nodes: a link, the wires between nodes, Cilium's agent, the API server. Each takes effect before its
//! step is over, and what still stands after the last step is undone before anything is collected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Id, NodeRef};

/// Do something to a link of a node. Its routes go with it and come back with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkStep {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-node"))]
    pub id: Option<Id>,
    /// Which node.
    #[schemars(extend("x-plumb" = "node"))]
    pub node: NodeRef,
    /// Its interface, by the network it is on.
    #[schemars(extend("x-plumb" = "network"))]
    pub interface: String,
    /// What.
    pub action: LinkAction,
}

/// What is done to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LinkAction {
    /// It carries nothing.
    Down,
    /// It does again.
    Up,
}

/// Cut a node off from the API or from the other nodes: packets are dropped in silence in both directions, by the node's own packet filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartitionStep {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-node"))]
    pub id: Option<Id>,
    /// Which node.
    #[schemars(extend("x-plumb" = "node"))]
    pub node: NodeRef,
    /// From whom.
    pub from: CutFrom,
    /// What.
    pub action: PartitionAction,
}

/// From whom a node is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CutFrom {
    /// The API server alone: the node goes on to forward.
    Api,
    /// Every other node, on every network; the outside client still reaches it.
    Nodes,
}

/// What is done to the wires of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PartitionAction {
    /// They are cut.
    Cut,
    /// They are whole again.
    Heal,
}

/// Do something to the process of Cilium's agent on a node, past Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentStep {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-node"))]
    pub id: Option<Id>,
    /// Which node.
    #[schemars(extend("x-plumb" = "node"))]
    pub node: NodeRef,
    /// What.
    pub action: AgentAction,
}

/// What is done to Cilium's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentAction {
    /// SIGKILL, without a word to anybody; the step is over when the node's kubelet has another one running.
    Kill,
}

/// Do something to the API server alone: etcd, the other parts of the control plane and its node go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiStep {
    /// Names the step.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Option<Id>,
    /// What.
    pub action: ApiAction,
}

/// What is done to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApiAction {
    /// It stands still: connections are taken and nothing is answered.
    Pause,
    /// It goes on.
    Resume,
}
