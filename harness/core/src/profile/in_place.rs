//! Which values a running Cilium takes over: an upgrade to its own version with other values, and a restart of the parts that read them.
//!
//! A list of what may, never of what may not: a value nobody has thought about makes another cluster. Not in it are values whose old
//! state outlives the restart, such as `ipam.*`, `routingMode` and `kubeProxyReplacement` (addresses, routes and BPF maps stay), and
//! `encryption.enabled` and `encryption.type` (Pods keep the MTU they were made with).

use crate::scenario::model::CiliumPart;
use crate::values::Values;

/// A value, or all below it where it ends with a dot, and the parts that read it at their start.
const CHANGEABLE: &[(&str, &[CiliumPart])] = &[
    // ConfigMap keys that only the agent reads, at its start (templates/cilium-configmap.yaml of the charts 1.16 to 1.20).
    ("encryption.nodeEncryption", &[CiliumPart::Agents]),
    ("externalIPs.enabled", &[CiliumPart::Agents]),
    ("l2announcements.leaseDuration", &[CiliumPart::Agents]),
    ("l2announcements.leaseRenewDeadline", &[CiliumPart::Agents]),
    ("l2announcements.leaseRetryPeriod", &[CiliumPart::Agents]),
    // Both read `k8s-client-qps` and `k8s-client-burst`.
    ("k8sClientRateLimit.", &[CiliumPart::Agents, CiliumPart::Operator]),
];

/// What has to be done to a running Cilium.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InPlace {
    /// Values that differ, as `key: before -> after`.
    pub changed: Vec<String>,
    /// Parts that read one of them, in the order they are restarted.
    pub restart: Vec<CiliumPart>,
}

/// The values that make a cluster what it is: all but those that can be changed in place.
pub fn fixed(values: &Values) -> Values {
    values.iter().filter(|(key, _)| readers(key).is_none()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What brings a running Cilium from one flag set to another; `None` when that takes another cluster.
pub fn in_place(from: &Values, to: &Values) -> Option<InPlace> {
    if fixed(from) != fixed(to) {
        return None;
    }
    let mut change = InPlace::default();
    let keys: std::collections::BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    for key in keys.into_iter().filter(|key| from.get(*key) != to.get(*key)) {
        let words = |values: &Values| values.get(key).map_or_else(|| "the chart's".to_owned(), ToString::to_string);
        change.changed.push(format!("{key}: {} -> {}", words(from), words(to)));
        for part in readers(key).into_iter().flatten() {
            if !change.restart.contains(part) {
                change.restart.push(*part);
            }
        }
    }
    Some(change)
}

fn readers(key: &str) -> Option<&'static [CiliumPart]> {
    let known = CHANGEABLE.iter().find(|(known, _)| *known == key || (known.ends_with('.') && key.starts_with(known)));
    known.map(|(_, parts)| *parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn values(value: serde_json::Value) -> Values {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_value_that_is_read_at_the_start_is_changed_by_a_restart_of_its_readers() {
        let from = values(json!({"encryption.enabled": true, "encryption.nodeEncryption": true, "k8sClientRateLimit.qps": 10}));
        let to = values(json!({"encryption.enabled": true, "encryption.nodeEncryption": false, "k8sClientRateLimit.burst": 20}));
        let change = in_place(&from, &to).unwrap();
        let changed = [
            "encryption.nodeEncryption: true -> false",
            "k8sClientRateLimit.burst: the chart's -> 20",
            "k8sClientRateLimit.qps: 10 -> the chart's",
        ];
        assert_eq!(change.changed, changed);
        assert_eq!(change.restart, [CiliumPart::Agents, CiliumPart::Operator]);
        assert_eq!(fixed(&from), fixed(&to));
    }

    #[test]
    fn the_same_values_ask_for_nothing() {
        let same = values(json!({"encryption.nodeEncryption": true, "ipam.mode": "kubernetes"}));
        assert_eq!(in_place(&same, &same), Some(InPlace::default()));
    }

    #[test]
    fn what_leaves_something_behind_takes_another_cluster() {
        let base = values(json!({"encryption.nodeEncryption": true, "encryption.enabled": true}));
        for (key, value) in [
            ("encryption.enabled", json!(false)),
            ("encryption.type", json!("ipsec")),
            ("kubeProxyReplacement", json!(true)),
            ("l2announcements.enabled", json!(true)),
            ("encryption.nodeEncryptionOptOutLabels", json!("")),
            ("a.value.nobody.knows", json!(1)),
        ] {
            let mut other = base.clone();
            other.insert(key.to_owned(), value);
            assert_eq!(in_place(&base, &other), None, "{key}");
            assert_eq!(in_place(&other, &base), None, "{key}");
        }
    }
}
