//! Gateways on the host network.

use super::{Flags, Found, Severity, keys};

/// Host network against LoadBalancer and L2.
pub(super) fn host_network(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if !flags.is("gatewayAPI.hostNetwork.enabled", "true") {
        return;
    }
    if !flags.is("gatewayAPI.enabled", "true") {
        found.push(Found {
            severity: Severity::Warning,
            keys: keys(["gatewayAPI.hostNetwork.enabled", "gatewayAPI.enabled"]),
            message: "host network is for Gateways, and the Gateway API is not enabled".to_owned(),
            hint: Some("gatewayAPI.enabled=true".to_owned()),
            source: "chart 1.17.1 templates/cilium-configmap.yaml",
        });
    }
    if flags.is("l2announcements.enabled", "true") {
        found.push(Found {
            severity: Severity::Warning,
            keys: keys(["gatewayAPI.hostNetwork.enabled", "l2announcements.enabled"]),
            message: "Gateways on the host network get no LoadBalancer Service, so they have no address to announce; the two exclude \
                      each other for the whole cluster"
                .to_owned(),
            hint: Some("install one of the two at a time".to_owned()),
            source: "Cilium 1.17 host-network-mode.rst; translator.go 1.17.1",
        });
    }
    let keeps = flags.is("envoy.securityContext.capabilities.keepCapNetBindService", "true");
    if !keeps {
        found.push(Found {
            severity: Severity::Note,
            keys: keys(["gatewayAPI.hostNetwork.enabled", "envoy.securityContext.capabilities.keepCapNetBindService"]),
            message: "listeners below port 1024 need NET_BIND_SERVICE to be granted and kept".to_owned(),
            hint: None,
            source: "Cilium 1.17 host-network-mode.rst",
        });
    }
}
