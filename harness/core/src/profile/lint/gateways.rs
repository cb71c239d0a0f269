//! Gateways: the host network, the ports they share there, and the definitions the operator wants.

use std::collections::BTreeMap;

use serde_json::Value;

use super::flags::Subject;
use super::{Found, Object, Severity};
use crate::profile::known::known;
use crate::version::Version;

const HOST_NETWORK: &str = "gatewayAPI.hostNetwork.enabled";
const KEEP: &str = "envoy.securityContext.capabilities.keepCapNetBindService";

/// Host network against LoadBalancer and L2, and privileged ports.
pub(super) fn host_network(subject: &Subject<'_>, found: &mut Found) {
    const SOURCE: &str = "Cilium 1.17 host-network-mode.rst; cilium 1.17.1: operator/pkg/model/translation/gateway-api/translator.go:106";
    if !subject.is(HOST_NETWORK, "true") {
        return;
    }
    if subject.is("l2announcements.enabled", "true") {
        found.push(subject.about("host-network-excludes-l2", Severity::Warning, [HOST_NETWORK, "l2announcements.enabled"]).says(
            "Gateways on the host network get no LoadBalancer Service, so they have no address to announce; the two exclude each other \
             for the whole cluster",
            "install one of the two at a time",
            SOURCE,
        ));
    }
    for gateway in subject.objects("Gateway").filter(|gateway| !gateway.list("/spec/addresses").is_empty()) {
        found.push(gateway.about("host-network-ignores-address", Severity::Warning, "spec.addresses").says(
            "on the host network a Gateway has no LoadBalancer Service, and the address it asks for is given to nobody",
            format!("leave it out, or {HOST_NETWORK}=false"),
            SOURCE,
        ));
    }
    if subject.may_be(KEEP, "true") {
        return;
    }
    let privileged: Vec<String> =
        listeners(subject).filter(|(_, _, port)| *port < 1024).map(|(gateway, _, port)| format!("{} on {port}", gateway.label())).collect();
    let (severity, whose) = match privileged.is_empty() {
        true => (Severity::Note, String::new()),
        false => (Severity::Warning, format!(": {}", privileged.join(", "))),
    };
    found.push(subject.about("host-network-privileged-port", severity, [HOST_NETWORK, KEEP]).says(
        format!("listeners below port 1024 need NET_BIND_SERVICE to be granted and kept{whose}"),
        format!("{KEEP}=true and NET_BIND_SERVICE beside the others in envoy.securityContext.capabilities.envoy, or ports above 1023"),
        "Cilium 1.17 host-network-mode.rst",
    ));
}

/// Two Gateways on one port of the host network.
pub(super) fn one_port(subject: &Subject<'_>, found: &mut Found) {
    if !subject.is(HOST_NETWORK, "true") {
        return;
    }
    let mut first: BTreeMap<u64, &Object> = BTreeMap::new();
    for (gateway, n, port) in listeners(subject) {
        let holder = *first.entry(port).or_insert(gateway);
        if (holder.namespace(), holder.label()) == (gateway.namespace(), gateway.label()) {
            continue;
        }
        found.push(gateway.about("host-network-one-port", Severity::Error, format!("spec.listeners[{n}].port")).says(
            format!(
                "on the host network every Gateway listens on every node: port {port} is {}'s ({}), and Envoy cannot bind it again; only its \
                 log says so",
                holder.label(),
                holder.place
            ),
            "another port, or one Gateway with both listeners",
            "Cilium 1.17 host-network-mode.rst; cilium 1.17.1: operator/pkg/model/translation/envoy_listener.go:118",
        ));
    }
}

/// Definitions Cilium's operator looks for when it starts.
pub(super) fn definitions(subject: &Subject<'_>, found: &mut Found) {
    const KEY: &str = "gatewayAPI.enabled";
    if !subject.is(KEY, "true") {
        return;
    }
    let (Some(api), Some(controller)) = (&subject.flags.gateway_api, subject.flags.cilium.and_then(controller)) else { return };
    let has = |name: &&String| api.crds.iter().any(|crd| crd.rsplit('/').next() == Some(name.as_str()));
    let missing = |list: &[String]| list.iter().filter(|name| !has(name)).cloned().collect::<Vec<_>>();
    let required = missing(&controller.required);
    if !required.is_empty() {
        found.push(subject.about("gateway-definitions-missing", Severity::Error, [KEY]).says(
            format!("without {} the operator switches the Gateway API off when it starts, with a line in its log", required.join(", ")),
            "apply the definitions first, wait until they are established, then install",
            &controller.source,
        ));
    }
    let wanted = missing(&controller.wanted);
    if !wanted.is_empty() {
        found.push(subject.about("gateway-definitions-missing", Severity::Error, [KEY]).says(
            format!(
                "{} are optional by the documentation, but without them every Gateway waits for its controller for ever",
                wanted.join(", ")
            ),
            format!("apply {} too (experimental channel)", wanted.join(", ")),
            &controller.source,
        ));
    }
}

/// Every listener's port, with its Gateway and its number there.
fn listeners<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (&'a Object, usize, u64)> {
    subject.objects("Gateway").flat_map(|gateway| {
        let listeners = gateway.list("/spec/listeners").iter().enumerate();
        listeners.filter_map(move |(n, listener)| listener.get("port").and_then(Value::as_u64).map(|port| (gateway, n, port)))
    })
}

/// What this Cilium's operator wants of the Gateway API.
pub(super) fn controller(cilium: Version) -> Option<&'static crate::profile::known::Controller> {
    known().gateway_api.controllers.iter().find(|controller| controller.cilium.holds(cilium))
}
