//! Which addresses a node may announce on which interface: CiliumL2AnnouncementPolicy against Services and the node. Pure.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use crate::labels::{Labels, selects};

/// `spec` of a CiliumL2AnnouncementPolicy (`cilium.io/v2alpha1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicySpec {
    #[serde(default)]
    pub(crate) service_selector: Option<LabelSelector>,
    #[serde(default)]
    pub(crate) node_selector: Option<LabelSelector>,
    #[serde(default)]
    pub(crate) interfaces: Vec<String>,
    #[serde(default, rename = "externalIPs")]
    pub(crate) external_ips: bool,
    #[serde(default, rename = "loadBalancerIPs")]
    pub(crate) load_balancer_ips: bool,
}

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) address: Ipv4Addr,
    pub(crate) interface: String,
}

/// What a node may announce of a Service: empty = it takes no part in the election of that Service.
///
/// As documented: both booleans are false by default and then a policy does nothing; `interfaces` are regular expressions and none
/// means every device; a selector that is absent selects everything. An expression that does not compile matches nothing.
pub(crate) fn entries(service: &Service, policies: &[PolicySpec], node_labels: &Labels, devices: &[String]) -> BTreeSet<Entry> {
    let mut entries = BTreeSet::new();
    if !announcer_may_take(service) {
        return entries;
    }
    let labels = service_labels(service);
    for policy in policies {
        if !selects(policy.service_selector.as_ref(), &labels) || !selects(policy.node_selector.as_ref(), node_labels) {
            continue;
        }
        let addresses = addresses(service, policy);
        for device in devices.iter().filter(|device| named(&policy.interfaces, device)) {
            entries.extend(addresses.iter().map(|&address| Entry { address, interface: device.clone() }));
        }
    }
    entries
}

/// `spec.loadBalancerClass` is absent or names the L2 announcer.
fn announcer_may_take(service: &Service) -> bool {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_deref());
    matches!(class, None | Some("io.cilium/l2-announcer"))
}

fn service_labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert("io.kubernetes.service.namespace".into(), service.metadata.namespace.clone().unwrap_or_default());
    labels.insert("io.kubernetes.service.name".into(), service.metadata.name.clone().unwrap_or_default());
    labels
}

fn addresses(service: &Service, policy: &PolicySpec) -> BTreeSet<Ipv4Addr> {
    let mut found = BTreeSet::new();
    if policy.external_ips {
        let texts = service.spec.as_ref().and_then(|spec| spec.external_ips.as_ref());
        found.extend(texts.into_iter().flatten().filter_map(|text| text.parse::<Ipv4Addr>().ok()));
    }
    if policy.load_balancer_ips {
        let ingress = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|lb| lb.ingress.as_ref());
        found.extend(ingress.into_iter().flatten().filter_map(|i| i.ip.as_ref()?.parse::<Ipv4Addr>().ok()));
    }
    found
}

fn named(expressions: &[String], device: &str) -> bool {
    expressions.is_empty() || expressions.iter().any(|e| regex::Regex::new(e).is_ok_and(|regex| regex.is_match(device)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "vip", "namespace": "default", "labels": {"color": "blue"}},
            "spec": {"type": "LoadBalancer", "externalIPs": ["10.9.1.240"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.9.1.220"}]}},
        }))
        .unwrap()
    }

    fn check(policy: serde_json::Value, expected: &[(&str, &str)]) {
        let policy: PolicySpec = serde_json::from_value(policy).unwrap();
        let labels = Labels::from([("kubernetes.io/hostname".into(), "worker".into())]);
        let devices = ["eth0".to_owned(), "net0".to_owned(), "net01".to_owned()];
        let seen = entries(&service(), &[policy], &labels, &devices);
        let seen: Vec<(String, &str)> = seen.iter().map(|e| (e.address.to_string(), e.interface.as_str())).collect();
        let seen: Vec<(&str, &str)> = seen.iter().map(|(a, i)| (a.as_str(), *i)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn policy_without_either_boolean_announces_nothing() {
        check(json!({"interfaces": ["^net0$"]}), &[]);
    }

    #[test]
    fn interfaces_are_regular_expressions() {
        check(json!({"interfaces": ["^net0$"], "loadBalancerIPs": true}), &[("10.9.1.220", "net0")]);
        check(json!({"interfaces": ["net0"], "loadBalancerIPs": true}), &[("10.9.1.220", "net0"), ("10.9.1.220", "net01")]);
        check(json!({"interfaces": ["("], "loadBalancerIPs": true}), &[]);
    }

    #[test]
    fn no_interfaces_means_every_device_and_booleans_choose_the_addresses() {
        check(json!({"externalIPs": true}), &[("10.9.1.240", "eth0"), ("10.9.1.240", "net0"), ("10.9.1.240", "net01")]);
    }

    #[test]
    fn selectors_choose_services_and_nodes() {
        let on = |service: serde_json::Value, node: serde_json::Value| json!({"interfaces": ["^net0$"], "loadBalancerIPs": true, "serviceSelector": service, "nodeSelector": node});
        let hit: &[(&str, &str)] = &[("10.9.1.220", "net0")];
        check(on(json!({"matchLabels": {"color": "blue"}}), json!({})), hit);
        check(on(json!({"matchLabels": {"color": "red"}}), json!({})), &[]);
        check(on(json!({"matchLabels": {"io.kubernetes.service.name": "vip"}}), json!({})), hit);
        let worker = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker"]}]});
        check(on(json!({}), worker), hit);
        let plane = json!({"matchExpressions": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]});
        check(on(json!({}), plane), &[]);
    }

    #[test]
    fn service_of_another_load_balancer_class_is_left_alone() {
        let mut other = service();
        other.spec.as_mut().unwrap().load_balancer_class = Some("example.com/lb".into());
        let policy: PolicySpec = serde_json::from_value(json!({"loadBalancerIPs": true})).unwrap();
        assert!(entries(&other, &[policy], &Labels::new(), &["net0".into()]).is_empty());
    }
}
