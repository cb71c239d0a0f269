//! A cluster that runs already, as far as a plan depends on it, and how it differs from what a trial asks for.
//!
//! A difference is always named. Where it would make a verdict say something of another system than the one asked for, the trial is
//! skipped; which those are stands here and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::capability::Capability;
use crate::cilium_config::promises;
use crate::scenario::model::{GatewayApi, Scenario, Step};
use crate::scenario::node_names;
use crate::values::Values;
use crate::version::Version;

/// Helm values that name, place or tune something and change no promise that is looked at: a difference is named and nothing else.
const NAMED_ONLY: &[&str] = &[
    "cluster.name",
    "devices",
    "encryption.wireguard.persistentKeepalive",
    "envoy.securityContext.capabilities.keepCapNetBindService",
    "ipam.mode",
    "tunnelProtocol",
];

/// What runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// In words: `Cilium v1.17.1 on Kubernetes v1.32.2`.
    pub system: String,
    /// What it goes by.
    pub installed: Installed,
    /// Nodes with the control plane's label.
    pub control_planes: u32,
    /// The others.
    pub workers: u32,
    /// Gateway API definitions by plural name, with the versions that are served.
    pub gateway: BTreeMap<String, Vec<String>>,
    /// Why it cannot be tried now, whatever is asked: agents that are not ready, an upgrade under way.
    pub troubles: Vec<String>,
}

/// What a cluster goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Installed {
    /// There is no Cilium.
    #[default]
    Nothing,
    /// Cilium: its version, and its ConfigMap `cilium-config`.
    Cilium {
        /// Version, where its agents say one and the same.
        version: Option<Version>,
        /// Configuration.
        config: BTreeMap<String, String>,
    },
    /// The reference network, which says itself which Helm values are in force.
    Reference {
        /// Those values.
        values: Values,
    },
}

/// What a trial asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Version of Cilium.
    pub version: Version,
    /// Helm values in force.
    pub values: &'a Values,
    /// Gateway API definitions.
    pub gateway_api: Option<&'a GatewayApi>,
    /// Kinds its manifests hold.
    pub kinds: &'a BTreeSet<String>,
    /// The scenario.
    pub scenario: &'a Scenario,
}

/// How what runs differs from what is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// All of them, for the report.
    pub named: Vec<String>,
    /// Those for which the trial is skipped.
    pub skips: Vec<String>,
}

impl Running {
    /// Version of Cilium, where there is one.
    pub fn version(&self) -> Option<Version> {
        match &self.installed {
            Installed::Cilium { version, .. } => *version,
            Installed::Nothing | Installed::Reference { .. } => None,
        }
    }

    /// Whether it is the reference network.
    pub fn is_reference(&self) -> bool {
        matches!(self.installed, Installed::Reference { .. })
    }

    /// Names of its nodes as scenarios call them.
    pub fn nodes(&self) -> Vec<String> {
        node_names(self.control_planes, self.workers)
    }

    /// Compares it with what is asked for.
    pub fn differences(&self, asked: &Asked<'_>) -> Differences {
        let mut differences = Differences { named: Vec::new(), skips: self.troubles.clone() };
        match &self.installed {
            Installed::Nothing => differences.skips.push("no Cilium runs in the cluster".to_owned()),
            Installed::Cilium { version, config } => {
                differences.version(*version, asked);
                differences.config(config, asked.values);
            }
            Installed::Reference { values } => differences.reference(values, asked.values),
        }
        differences.definitions(&self.gateway, asked);
        let nodes = self.nodes();
        for missing in node_names(asked.scenario.lab.control_planes, asked.scenario.lab.workers) {
            if !nodes.contains(&missing) && is_used(asked.scenario, &missing) {
                differences.skip(format!("the cluster has no node to be {missing}: it has {}", counted(self)));
            }
        }
        differences
    }
}

impl Differences {
    fn skip(&mut self, what: String) {
        self.named.push(what.clone());
        self.skips.push(what);
    }

    /// Variants go by the version that runs, so another version is no reason to skip, unless a step looks at it.
    fn version(&mut self, version: Option<Version>, asked: &Asked<'_>) {
        let Some(version) = version.filter(|version| *version != asked.version) else { return };
        let what = format!("Cilium {version} runs, the profile is for {}", asked.version);
        let looks = |step: &&Step| matches!(step, Step::Config(probe) if probe.expect.as_ref().is_some_and(|expect| expect.promised));
        if asked.scenario.every_step().into_iter().any(|step| looks(&step)) { self.skip(what) } else { self.named.push(what) }
    }

    fn config(&mut self, config: &BTreeMap<String, String>, values: &Values) {
        for promise in promises(values).0 {
            if let Some(found) = promise.broken_by(config) {
                let wanted = promise.value.as_deref().unwrap_or("off");
                let what = format!("{} is not in force: `{}` is {found} in cilium-config, expected {wanted}", promise.helm, promise.key);
                let helm = promise.helm.split('=').next().unwrap_or_default();
                if NAMED_ONLY.contains(&helm) { self.named.push(what) } else { self.skip(what) }
            }
        }
    }

    fn reference(&mut self, runs: &Values, asked: &Values) {
        let is_off = |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value == "false" || value == "";
        let modelled = Capability::refnet();
        for (key, wanted) in asked.iter().filter(|(key, value)| modelled.models(key, value)) {
            let found = runs.get(key).unwrap_or(&Value::Null);
            if text(found) != text(wanted) && !(is_off(found) && is_off(wanted)) {
                let found = if found.is_null() { "not set".to_owned() } else { text(found) };
                let what = format!("{key}={} is not in force: it is {found}", text(wanted));
                if NAMED_ONLY.contains(&key.as_str()) { self.named.push(what) } else { self.skip(what) }
            }
        }
    }

    /// A definition that is missing matters when a manifest holds such an object.
    fn definitions(&mut self, served: &BTreeMap<String, Vec<String>>, asked: &Asked<'_>) {
        let used: BTreeSet<String> = asked.kinds.iter().map(|kind| plural(kind)).collect();
        for name in asked.gateway_api.map(|api| api.crds.as_slice()).unwrap_or_default() {
            let name = name.rsplit('/').next().unwrap_or(name);
            if !served.contains_key(name) {
                let what = format!("the definition of {name} is not installed");
                if used.contains(name) { self.skip(what) } else { self.named.push(what) }
            }
        }
    }
}

fn counted(running: &Running) -> String {
    let counted = |n: u32, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!("{} and {}", counted(running.control_planes, "control plane"), counted(running.workers, "worker"))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Plural of a kind as the Gateway API forms it.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match (kind.strip_suffix('y'), kind.ends_with('s')) {
        (Some(stem), _) => format!("{stem}ies"),
        (None, true) => format!("{kind}es"),
        (None, false) => format!("{kind}s"),
    }
}

/// Whether a scenario speaks of a node: as a vantage point, a target, a place for a backend or in a placeholder.
fn is_used(scenario: &Scenario, node: &str) -> bool {
    fn speaks(value: &Value, node: &str) -> bool {
        let of = |text: &str| {
            let after = |prefix: &str| text.strip_prefix(prefix).is_some_and(|rest| rest.split('/').next() == Some(node));
            text == node || after("node/") || text.contains(&format!(":{node}}}"))
        };
        match value {
            Value::String(text) => of(text),
            Value::Array(list) => list.iter().any(|value| speaks(value, node)),
            Value::Object(map) => map.values().any(|value| speaks(value, node)),
            _ => false,
        }
    }
    let value = |part: Result<Value, serde_json::Error>| part.is_ok_and(|part| speaks(&part, node));
    value(serde_json::to_value(&scenario.steps)) || value(serde_json::to_value(&scenario.backends))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    const SCENARIO: &str = r#"format: 1
title: t
intent: Passes if and only if it does.
covers:
  - {document: cni-cilium, section: HTTPS, promise: p}
lab: {workers: 3, networks: [eth0], client: []}
install: {profile: small}
backends:
  echo: {port: 8080, node: worker2}
steps:
  - l4: {id: ask, from: node/worker, to: {pod: echo}, port: 8080, protocol: tcp, expect: {answered: true}}
"#;

    fn running(config: Value) -> Running {
        let installed = Installed::Cilium { version: Some(Version(1, 18, 2)), config: serde_json::from_value(config).unwrap() };
        let gateway = [("gateways".to_owned(), vec!["v1".to_owned()])].into();
        Running { system: "s".into(), installed, control_planes: 0, workers: 2, gateway, troubles: Vec::new() }
    }

    fn check(running: &Running, values: Value, kinds: &[&str]) -> Differences {
        let scenario = crate::scenario::parse("s.yaml", SCENARIO).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let api = GatewayApi { version: "v1.2.0".into(), crds: vec!["gateways".into(), "experimental/tlsroutes".into()] };
        running.differences(&Asked {
            version: Version(1, 17, 1),
            values: &serde_json::from_value(values).unwrap(),
            gateway_api: Some(&api),
            kinds: &kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            scenario: &scenario,
        })
    }

    #[test]
    fn another_version_and_an_unused_definition_are_named_and_no_reason_to_skip() {
        let found = check(&running(json!({"kube-proxy-replacement": "true"})), json!({"kubeProxyReplacement": true}), &["Gateway"]);
        assert_eq!(found.named, ["Cilium 1.18.2 runs, the profile is for 1.17.1", "the definition of tlsroutes is not installed"]);
        // The scenario never speaks of a control plane, nor of its third worker.
        assert_eq!(found.skips, Vec::<String>::new());
    }

    #[test]
    fn a_promise_that_is_not_in_force_skips_and_one_that_only_tunes_is_named() {
        let config = json!({"enable-wireguard": "true", "encrypt-node": "false", "devices": "ens5"});
        let asked =
            json!({"encryption.enabled": true, "encryption.type": "wireguard", "encryption.nodeEncryption": true, "devices": ["eth0"]});
        let found = check(&running(config), asked, &[]);
        assert_eq!(
            found.skips,
            ["encryption.nodeEncryption=true is not in force: `encrypt-node` is false in cilium-config, expected true"]
        );
        assert!(found.named.iter().any(|what| what.starts_with("devices=")), "{:?}", found.named);
        // What must be off and is on matters as much.
        let on = check(&running(json!({"encrypt-node": "true"})), json!({"encryption.nodeEncryption": false}), &[]);
        assert_eq!(on.skips.len(), 1);
    }

    #[test]
    fn an_object_that_cannot_be_made_and_a_node_that_is_not_there_skip() {
        let found = check(&running(json!({})), json!({}), &["TLSRoute"]);
        assert_eq!(found.skips, ["the definition of tlsroutes is not installed"]);
        let small = Running { workers: 1, control_planes: 1, ..running(json!({})) };
        let found = check(&small, json!({}), &[]);
        assert_eq!(found.skips, ["the cluster has no node to be worker2: it has 1 control plane and 1 worker"]);
    }

    #[test]
    fn the_reference_network_is_compared_by_the_values_it_names() {
        let values = |on: bool| Installed::Reference { values: [("encryption.nodeEncryption".to_owned(), json!(on))].into() };
        let asked = json!({"encryption.nodeEncryption": true, "operator.replicas": 2, "l2announcements.enabled": false});
        let found = |on: bool| check(&Running { installed: values(on), ..running(json!({})) }, asked.clone(), &[]).skips;
        assert_eq!(found(true), Vec::<String>::new());
        assert_eq!(found(false), ["encryption.nodeEncryption=true is not in force: it is false"]);
    }

    #[test]
    fn a_cluster_without_cilium_or_in_the_middle_of_something_is_not_tried() {
        let bare = Running { installed: Installed::Nothing, troubles: vec!["1 of 3 agents is ready".into()], ..running(json!({})) };
        assert_eq!(check(&bare, json!({}), &[]).skips, ["1 of 3 agents is ready", "no Cilium runs in the cluster"]);
    }
}
