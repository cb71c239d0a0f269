//! Values that say nothing, are gone, or need another one.

use super::{Flags, Found, Severity, keys, text};
use crate::version::Version;

/// Values a chart takes and does nothing with.
pub(super) fn no_effect(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if flags.values.contains_key("externalIPs.enabled") && flags.cilium < Version(1, 18, 0) {
        found.push(Found {
            severity: Severity::Note,
            keys: keys(["externalIPs.enabled"]),
            message: "it changes nothing: the chart renders it for kubeProxyReplacement=partial alone, which it refuses".to_owned(),
            hint: Some("leave it out; kubeProxyReplacement=true serves external IPs".to_owned()),
            source: "chart 1.16.2 templates/cilium-configmap.yaml and validate.yaml; kube_proxy_replacement.go 1.16.2",
        });
    }
    if flags.is("envoy.securityContext.capabilities.keepCapNetBindService", "true")
        && !flags.is("gatewayAPI.hostNetwork.enabled", "true")
        && !flags.is("ingressController.hostNetwork.enabled", "true")
    {
        found.push(Found {
            severity: Severity::Note,
            keys: keys(["envoy.securityContext.capabilities.keepCapNetBindService"]),
            message: "without host network Envoy binds no privileged port".to_owned(),
            hint: None,
            source: "Cilium 1.17 host-network-mode.rst",
        });
    }
}

/// Values that are gone in a version.
pub(super) fn removed(flags: &Flags<'_>, found: &mut Vec<Found>) {
    const GONE: &[(&str, Version, &str)] = &[
        ("externalIPs.enabled", Version(1, 18, 0), "kubeProxyReplacement=true serves external IPs"),
        ("encryption.wireguard.userspaceFallback", Version(1, 17, 0), "the kernel must have WireGuard"),
        ("encryption.strictMode.enabled", Version(1, 20, 0), "use encryption.strictMode.egress.enabled"),
        ("encryption.strictMode.cidr", Version(1, 20, 0), "use encryption.strictMode.egress.cidr"),
        ("encryption.ipsec.encryptedOverlay", Version(1, 20, 0), "it is always on"),
    ];
    for (key, since, instead) in GONE {
        if flags.values.contains_key(*key) && flags.cilium >= *since {
            found.push(Found {
                severity: Severity::Warning,
                keys: vec![(*key).to_owned()],
                message: format!("the chart has no such value since {since} and ignores it"),
                hint: Some((*instead).to_owned()),
                source: "charts 1.17.0, 1.18.11, 1.20.0 values.yaml; Cilium 1.17 upgrade.rst",
            });
        }
    }
}

/// L2 announcements and Gateways need it.
pub(super) fn kube_proxy_replacement(flags: &Flags<'_>, found: &mut Vec<Found>) {
    for feature in ["l2announcements.enabled", "gatewayAPI.enabled"] {
        let served = flags.is("kubeProxyReplacement", "true") || (feature == "gatewayAPI.enabled" && flags.is("nodePort.enabled", "true"));
        if flags.is(feature, "true") && !served {
            found.push(Found {
                severity: Severity::Error,
                keys: keys([feature, "kubeProxyReplacement"]),
                message: "it needs kubeProxyReplacement=true and is off without it, with a line in a log".to_owned(),
                hint: Some("kubeProxyReplacement=true".to_owned()),
                source: "Cilium 1.16 l2-announcements.rst; operator gateway-api/cell.go 1.17.1",
            });
        }
    }
    if let Some(value) = flags.values.get("kubeProxyReplacement")
        && !["true", "false"].contains(&text(value).as_str())
    {
        found.push(Found {
            severity: Severity::Error,
            keys: keys(["kubeProxyReplacement"]),
            message: format!("the chart takes true or false alone, not {}", text(value)),
            hint: None,
            source: "chart 1.16.2 templates/validate.yaml",
        });
    }
}
