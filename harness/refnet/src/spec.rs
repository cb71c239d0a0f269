//! What a reference lab is made from, and how its owner talks to it.
//!
//! A lab is one process tree: `<exe> __refnet <dir>` (the supervisor), which enters its own user (when not root), pid, mount and
//! network namespaces, builds the topology, serves the Kubernetes API, runs the cluster's controllers, and starts one process a
//! node, which starts one agent a Pod. When the supervisor dies, whatever the reason, the kernel ends everything in it.
//! The owner talks to it over a Unix socket `<dir>/control.sock` (directory 0700): one [`Control`] a connection, as one JSON line.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::fault::FaultSet;

/// ConfigMap of `kube-system` with the Helm values in force, and the key of the JSON in it.
pub const VALUES_MAP: &str = "refnet-values";
/// See [`VALUES_MAP`].
pub const VALUES_KEY: &str = "values.json";

/// What a reference lab is made from; `<dir>/spec.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabSpec {
    /// Nodes, the control plane first. Names are those of the Kubernetes Nodes: `control-plane`, `worker`, `worker2`.
    pub nodes: Vec<NodeSpec>,
    /// Networks every node is on, by interface name, the node network first.
    pub networks: Vec<NetworkSpec>,
    /// Interface names of the networks the outside client is on; empty = no client.
    pub client: Vec<String>,
    /// Helm values in force, dotted keys.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Gateway API definitions to serve, each as [`Definition`] reads it: `httproutes`, `experimental/tlsroutes`, `tlsroutes@v1`.
    pub crds: Vec<String>,
    /// Faults that are switched on.
    pub faults: FaultSet,
    /// Decides every choice that is free.
    pub seed: u64,
}

impl LabSpec {
    /// The version TLSRoutes are read in: the preferred one of those that are served.
    pub fn tls_route(&self) -> String {
        let asked = self.crds.iter().map(|text| Definition::read(text)).find(|asked| asked.plural == "tlsroutes");
        asked.and_then(|asked| asked.versions.first().copied()).unwrap_or(TLS_ROUTE).to_owned()
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// Name of the Kubernetes Node.
    pub name: String,
    /// Carries `node-role.kubernetes.io/control-plane`.
    pub control_plane: bool,
}

/// A network: a bridge, and a veth into each node and the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSpec {
    /// Interface name in the nodes and in the client: `eth0`, `net0`.
    pub interface: String,
    /// First address of its /24, for example `10.9.0.0`. Nodes get .2, .3, ..., the client .200; LB pools live at .220-.250.
    pub subnet: Ipv4Addr,
}

/// What the supervisor says on its standard output when the lab is ready: one JSON line. Also `<dir>/ready.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// URL of the API inside the lab, for example `https://10.9.0.2:6443`.
    pub api: String,
    /// Authority of the API's certificate, PEM.
    pub ca_pem: String,
    /// The administrator's certificate, PEM.
    pub client_cert_pem: String,
    /// File with the administrator's key, inside the lab's directory. Never copied out of it.
    pub client_key_file: String,
    /// File with a kubeconfig for programs run inside the lab.
    pub kubeconfig: String,
    /// Nodes as they were made.
    pub nodes: BTreeMap<String, plumb_core::evidence::NodeFacts>,
    /// The client's links.
    pub client: Vec<plumb_core::probe::Link>,
    /// How long each phase took, milliseconds.
    pub phases_ms: BTreeMap<String, u64>,
}

/// What the owner asks; the first line of a connection to `control.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Control {
    /// Run a program in a place; after the answer line the connection is its standard input and output (an agent session when `argv` is
    /// absent). When the connection ends, the program is ended.
    Open {
        /// `client`, `node/<name>`, `pod/<namespace>/<pod>`.
        vantage: String,
        /// Program and arguments; absent = the agent's session.
        argv: Option<Vec<String>>,
        /// Further environment.
        env: BTreeMap<String, String>,
    },
    /// The way into a place: with the answer line come descriptors of its user, pid, mount and network namespaces.
    Enter {
        /// As in [`Control::Open`].
        vantage: String,
    },
    /// After the answer line the connection is one to the API server's port (TLS is spoken over it).
    DialApi,
    /// Do something to a node.
    Node {
        /// Name.
        node: String,
        /// What.
        action: plumb_core::scenario::model::NodeAction,
    },
    /// Do something to the API server.
    Api {
        /// What.
        action: plumb_core::scenario::model::ApiAction,
    },
    /// Logs and state for collection: answer has them as name -> text.
    Collect,
    /// End the lab; the answer comes when everything in it has ended.
    Close,
}

/// The answer to a [`Control`]: one JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Done.
    Ok {
        /// `CLOCK_MONOTONIC` when it took effect, nanoseconds.
        at_ns: u64,
        /// For [`Control::Collect`].
        #[serde(default)]
        texts: BTreeMap<String, String>,
    },
    /// Not done.
    Error {
        /// What was tried and what came back.
        message: String,
    },
}

/// Version of TLSRoutes where none is named: the experimental channel of every release has it.
const TLS_ROUTE: &str = "v1alpha2";

/// A Gateway API definition as it is asked for: `[<channel>/]<plural>[@<version>,...]`, the preferred version first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition<'a> {
    /// `httproutes`.
    pub plural: &'a str,
    /// `standard` or `experimental`.
    pub channel: &'a str,
    /// Versions that are served; empty = all that are known.
    pub versions: Vec<&'a str>,
}

impl<'a> Definition<'a> {
    /// Takes it apart.
    pub fn read(text: &'a str) -> Definition<'a> {
        let (name, versions) = text.split_once('@').unwrap_or((text, ""));
        let (channel, plural) = name.split_once('/').unwrap_or(("standard", name));
        let mut versions: Vec<&str> = versions.split(',').filter(|version| !version.is_empty()).collect();
        if versions.is_empty() && plural == "tlsroutes" {
            versions.push(TLS_ROUTE);
        }
        Definition { plural, channel, versions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_names_its_channel_and_its_versions() {
        let read = |text| Definition::read(text);
        let expected = |channel, plural, versions| Definition { plural, channel, versions };
        assert_eq!(read("httproutes"), expected("standard", "httproutes", vec![]));
        assert_eq!(read("experimental/tlsroutes"), expected("experimental", "tlsroutes", vec!["v1alpha2"]));
        assert_eq!(read("tlsroutes@v1"), expected("standard", "tlsroutes", vec!["v1"]));
        assert_eq!(read("experimental/tlsroutes@v1,v1alpha2"), expected("experimental", "tlsroutes", vec!["v1", "v1alpha2"]));
    }
}
