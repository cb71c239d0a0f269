//! What a node must serve for Services, from the objects alone. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// TCP or UDP; other protocols are not proxied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// An address and port of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Frontend {
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
}

/// What a node must serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Addresses that must be local, those of Gateways included: the Gateway's data plane listens on them.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Ready endpoints by frontend; none = connections are refused.
    pub(super) frontends: BTreeMap<Frontend, Vec<SocketAddr>>,
}

/// Labels by which Cilium marks the Service of a Gateway.
const GATEWAY_LABELS: [&str; 2] = ["gateway.networking.k8s.io/gateway-name", "io.cilium.gateway/owning-gateway"];

/// Everything the node must serve.
pub(super) fn wanted<'a>(services: impl Iterator<Item = &'a Service>, slices: &[&EndpointSlice]) -> Wanted {
    let mut wanted = Wanted::default();
    for service in services {
        let addresses = addresses(service);
        wanted.addresses.extend(&addresses);
        if of_gateway(service) {
            continue;
        }
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        for port in ports.into_iter().flatten() {
            let Some(protocol) = protocol(port) else { continue };
            let Ok(number) = u16::try_from(port.port) else { continue };
            let endpoints = endpoints(service, port, slices);
            for &address in &addresses {
                let frontend = Frontend { address: SocketAddr::new(address, number), protocol };
                wanted.frontends.insert(frontend, endpoints.clone());
            }
        }
    }
    wanted
}

fn of_gateway(service: &Service) -> bool {
    let labels = service.metadata.labels.as_ref();
    labels.is_some_and(|labels| GATEWAY_LABELS.iter().any(|label| labels.contains_key(*label)))
}

/// ClusterIP, external IPs and load-balancer addresses.
fn addresses(service: &Service) -> BTreeSet<IpAddr> {
    let spec = service.spec.as_ref();
    let cluster = spec.and_then(|spec| spec.cluster_ip.clone());
    let external = spec.and_then(|spec| spec.external_ips.clone()).unwrap_or_default();
    let balancer = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|lb| lb.ingress.as_ref());
    let balancer = balancer.into_iter().flatten().filter_map(|ingress| ingress.ip.clone());
    // `None` (headless) and the empty text are no addresses.
    cluster.into_iter().chain(external).chain(balancer).filter_map(|text| text.parse().ok()).collect()
}

fn protocol(port: &ServicePort) -> Option<Protocol> {
    match port.protocol.as_deref() {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some(_) => None,
    }
}

/// Ready endpoints of a Service's port: the slices that carry its name, the port of the same name.
pub(crate) fn endpoints(service: &Service, port: &ServicePort, slices: &[&EndpointSlice]) -> Vec<SocketAddr> {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let mut found = BTreeSet::new();
    for slice in slices.iter().filter(|slice| belongs(slice, service.metadata.namespace.as_deref(), name)) {
        let same = |p: &&k8s_openapi::api::discovery::v1::EndpointPort| {
            p.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
        };
        let number = slice.ports.iter().flatten().find(same).and_then(|p| u16::try_from(p.port?).ok());
        let Some(number) = number else { continue };
        for endpoint in &slice.endpoints {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            if ready {
                found.extend(endpoint.addresses.iter().filter_map(|a| Some(SocketAddr::new(a.parse().ok()?, number))));
            }
        }
    }
    found.into_iter().collect()
}

fn belongs(slice: &EndpointSlice, namespace: Option<&str>, service: &str) -> bool {
    let label = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
    slice.metadata.namespace.as_deref() == namespace && label.is_some_and(|name| name == service)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    fn service(extra: Value) -> Service {
        let mut object = json!({
            "metadata": {"name": "echo", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        });
        json_patch::merge(&mut object, &extra);
        serde_json::from_value(object).unwrap()
    }

    fn slice(ready: bool) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": "echo-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "echo"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.244.1.4"], "conditions": {"ready": true}},
                {"addresses": ["10.244.2.7"], "conditions": {"ready": ready}},
            ],
        }))
        .unwrap()
    }

    fn check(extra: Value, ready: bool, expected: &[(&str, Protocol, &[&str])]) {
        let seen = wanted([&service(extra)].into_iter(), &[&slice(ready)]);
        let seen: Vec<_> = seen
            .frontends
            .iter()
            .map(|(f, e)| (f.address.to_string(), f.protocol, e.iter().map(ToString::to_string).collect::<Vec<_>>()))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(a, p, e)| ((*a).to_owned(), *p, e.iter().map(|&e| e.to_owned()).collect::<Vec<_>>())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn only_ready_endpoints_are_served() {
        check(json!({}), true, &[("10.96.0.9:80", Protocol::Tcp, &["10.244.1.4:8080", "10.244.2.7:8080"])]);
        check(json!({}), false, &[("10.96.0.9:80", Protocol::Tcp, &["10.244.1.4:8080"])]);
    }

    #[test]
    fn every_address_of_a_service_is_a_frontend() {
        let extra = json!({"spec": {"externalIPs": ["10.9.1.240"]}, "status": {"loadBalancer": {"ingress": [{"ip": "10.9.1.220"}]}}});
        let both: &[&str] = &["10.244.1.4:8080", "10.244.2.7:8080"];
        let tcp = Protocol::Tcp;
        check(extra, true, &[("10.9.1.220:80", tcp, both), ("10.9.1.240:80", tcp, both), ("10.96.0.9:80", tcp, both)]);
    }

    #[test]
    fn service_of_a_gateway_keeps_its_address_and_has_no_frontend() {
        let labels = json!({"metadata": {"labels": {"gateway.networking.k8s.io/gateway-name": "gw"}}});
        let seen = wanted([&service(labels)].into_iter(), &[]);
        assert_eq!(seen.frontends.len(), 0);
        assert_eq!(seen.addresses.len(), 1);
    }

    #[test]
    fn headless_service_and_foreign_protocol_are_not_served() {
        check(json!({"spec": {"clusterIP": "None"}}), true, &[]);
        check(json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "SCTP"}]}}), true, &[]);
    }

    #[test]
    fn port_without_an_endpoint_port_of_its_name_has_no_endpoints() {
        check(json!({"spec": {"ports": [{"name": "other", "port": 81}]}}), true, &[("10.96.0.9:81", Protocol::Tcp, &[])]);
    }
}
