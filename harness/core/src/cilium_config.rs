//! Where Helm values of Cilium end up: the keys of ConfigMap `cilium-config`, by which agents and operator go.
//!
//! From `templates/cilium-configmap.yaml` of the charts 1.16.2, 1.17.1 and 1.20.0. A value that is not listed here has no key of its own
//! (it shapes a workload), or nobody needed it yet: it is named as not looked at, never taken as there.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::values::Values;

/// What a flag set promises of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The Helm value it follows from, as `key=value`.
    pub helm: String,
    /// Key of `cilium-config`.
    pub key: String,
    /// What must stand there; `None` = nothing, or `false`.
    pub value: Option<String>,
}

impl Promise {
    /// What stands there in its place; `None` when it is kept.
    pub fn broken_by<'a>(&self, config: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let found = config.get(&self.key).map(String::as_str);
        match (&self.value, found) {
            (Some(wanted), Some(found)) if wanted == found => None,
            (Some(_), found) => Some(found.unwrap_or("nothing")),
            (None, None | Some("false" | "")) => None,
            (None, found) => found,
        }
    }
}

/// Everything a flag set promises, and the values that have no key.
pub fn promises(values: &Values) -> (Vec<Promise>, Vec<String>) {
    let (mut promises, mut others) = (Vec::new(), Vec::new());
    for (key, value) in values {
        let helm = format!("{key}={}", text(value));
        match rendered(key, value, values) {
            Some((key, value)) => promises.push(Promise { helm, key, value }),
            None => others.push(helm),
        }
    }
    (promises, others)
}

/// Helm values whose text stands under a key as it is, with the switch that must be on for the key to be there at all.
const PLAIN: &[(&str, &str, Option<&str>)] = &[
    ("cluster.name", "cluster-name", None),
    ("encryption.nodeEncryption", "encrypt-node", Some("encryption.enabled")),
    ("encryption.wireguard.persistentKeepalive", "wireguard-persistent-keepalive", Some("encryption.enabled")),
    ("envoy.securityContext.capabilities.keepCapNetBindService", "envoy-keep-cap-netbindservice", None),
    ("gatewayAPI.enableAlpn", "enable-gateway-api-alpn", Some("gatewayAPI.enabled")),
    ("gatewayAPI.enableAppProtocol", "enable-gateway-api-app-protocol", Some("gatewayAPI.enabled")),
    ("gatewayAPI.enableProxyProtocol", "enable-gateway-api-proxy-protocol", Some("gatewayAPI.enabled")),
    ("gatewayAPI.enabled", "enable-gateway-api", None),
    ("gatewayAPI.externalTrafficPolicy", "gateway-api-service-externaltrafficpolicy", Some("gatewayAPI.enabled")),
    ("gatewayAPI.hostNetwork.enabled", "gateway-api-hostnetwork-enabled", Some("gatewayAPI.enabled")),
    ("gatewayAPI.xffNumTrustedHops", "gateway-api-xff-num-trusted-hops", Some("gatewayAPI.enabled")),
    ("ipam.mode", "ipam", None),
    ("kubeProxyReplacement", "kube-proxy-replacement", None),
    ("l2announcements.enabled", "enable-l2-announcements", None),
    ("l2announcements.leaseDuration", "l2-announcements-lease-duration", Some("l2announcements.enabled")),
    ("l2announcements.leaseRenewDeadline", "l2-announcements-renew-deadline", Some("l2announcements.enabled")),
    ("l2announcements.leaseRetryPeriod", "l2-announcements-retry-period", Some("l2announcements.enabled")),
    ("routingMode", "routing-mode", None),
    ("tunnelProtocol", "tunnel-protocol", None),
];

fn rendered(key: &str, value: &Value, values: &Values) -> Option<(String, Option<String>)> {
    let on = |switch: &str| values.get(switch).is_some_and(|value| text(value) == "true");
    if let Some((_, there, switch)) = PLAIN.iter().find(|(helm, _, _)| *helm == key) {
        // A switch that is off stands in neither or in the word false; a value under it says nothing then.
        let wanted = Some(text(value)).filter(|text| text != "false" && switch.is_none_or(on));
        return Some(((*there).to_owned(), wanted));
    }
    if let Some(there) = key.strip_prefix("extraConfig.") {
        return Some((there.replace("\\.", "."), Some(text(value))));
    }
    match key {
        "devices" => {
            let list = value.as_array().map(|list| list.iter().map(text).collect::<Vec<_>>().join(" "));
            Some(("devices".to_owned(), Some(list.unwrap_or_else(|| text(value)))))
        }
        "encryption.enabled" => {
            let wireguard = values.get("encryption.type").is_some_and(|value| text(value) == "wireguard");
            let there = if wireguard { "enable-wireguard" } else { "enable-ipsec" };
            Some((there.to_owned(), Some("true".to_owned()).filter(|_| text(value) == "true")))
        }
        _ => None,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn check(values: Value) -> (Vec<(String, Option<String>)>, Vec<String>) {
        let (promises, others) = promises(&serde_json::from_value(values).unwrap());
        (promises.into_iter().map(|promise| (promise.key, promise.value)).collect(), others)
    }

    fn is(key: &str, value: &str) -> (String, Option<String>) {
        (key.into(), Some(value.into()))
    }

    #[test]
    fn a_flag_set_promises_the_keys_seen_on_real_clusters() {
        // Keys and values as in the recordings l2-1.17, wireguard-1.17 and gateway-1.17.
        let (found, others) = check(json!({
            "kubeProxyReplacement": true, "l2announcements.enabled": true, "l2announcements.leaseDuration": "3s",
            "devices": ["eth0", "net0"], "operator.replicas": 2, "ipam.mode": "kubernetes",
        }));
        assert_eq!(
            found,
            [
                is("devices", "eth0 net0"),
                is("ipam", "kubernetes"),
                is("kube-proxy-replacement", "true"),
                is("enable-l2-announcements", "true"),
                is("l2-announcements-lease-duration", "3s"),
            ]
        );
        assert_eq!(others, ["operator.replicas=2"]);
        let wireguard = json!({"encryption.enabled": true, "encryption.type": "wireguard", "encryption.nodeEncryption": true});
        assert_eq!(
            check(wireguard),
            (vec![is("enable-wireguard", "true"), is("encrypt-node", "true")], vec!["encryption.type=wireguard".to_owned()])
        );
        let ipsec = json!({"encryption.enabled": true, "encryption.type": "ipsec"});
        assert_eq!(check(ipsec).0, [is("enable-ipsec", "true")]);
        let extra = json!({"extraConfig.node-encryption-opt-out-labels": "", "devices": "eth+"});
        assert_eq!(check(extra).0, [is("devices", "eth+"), is("node-encryption-opt-out-labels", "")]);
    }

    #[test]
    fn what_is_off_must_not_stand_there_as_on() {
        let (found, _) = check(json!({"gatewayAPI.enabled": false, "gatewayAPI.hostNetwork.enabled": true, "encryption.enabled": false}));
        let off = |key: &str| (key.to_owned(), None);
        assert_eq!(found, [off("enable-ipsec"), off("enable-gateway-api"), off("gateway-api-hostnetwork-enabled")]);
        let promise = Promise { helm: String::new(), key: "k".into(), value: None };
        let with = |value: &str| BTreeMap::from([("k".to_owned(), value.to_owned())]);
        assert_eq!(promise.broken_by(&BTreeMap::new()), None);
        assert_eq!(promise.broken_by(&with("false")), None);
        assert_eq!(promise.broken_by(&with("true")), Some("true"));
        let promise = Promise { value: Some("3s".into()), ..promise };
        assert_eq!(promise.broken_by(&with("3s")), None);
        assert_eq!(promise.broken_by(&with("15s")), Some("15s"));
        assert_eq!(promise.broken_by(&BTreeMap::new()), Some("nothing"));
    }
}
