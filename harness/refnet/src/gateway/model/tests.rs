//! Statuses and configurations from objects, as tables.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::super::config::{Mode, Target};
use super::super::tests::world::{Authority, gateway, gateway_service, route, secret, service, world};
use super::{Translation, World, merge_parents, service_name, translate};

/// `type=status/reason` of a list of conditions.
fn words(conditions: &[super::Condition]) -> Vec<String> {
    conditions.iter().map(|condition| format!("{}={}/{}", condition.kind, condition.status, condition.reason)).collect()
}

/// The conditions of a listener.
fn listener(translation: &Translation, at: usize) -> Vec<String> {
    words(&translation.gateways[0].listeners[at].conditions)
}

/// The Accepted and ResolvedRefs reasons of a route's first parent.
fn parent(translation: &Translation) -> (String, String) {
    let route = translation.http_routes.first().or(translation.tls_routes.first()).unwrap();
    let reasons: Vec<_> = route.parents[0].1.iter().map(|condition| condition.reason.clone()).collect();
    (reasons[0].clone(), reasons[1].clone())
}

fn http(extra: Value) -> Value {
    let mut listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    json_patch::merge(&mut listener, &extra);
    gateway("gw", json!([listener]))
}

#[test]
fn a_gateway_is_programmed_once_it_has_an_address() {
    let without = translate(&world(&[http(json!({}))]));
    assert_eq!(words(&without.gateways[0].conditions), ["Accepted=True/Accepted", "Programmed=False/AddressNotAssigned"]);
    assert!(without.config.sockets.is_empty());
    let with = translate(&world(&[http(json!({})), gateway_service("gw", "10.9.1.220")]));
    assert_eq!(words(&with.gateways[0].conditions), ["Accepted=True/Accepted", "Programmed=True/Programmed"]);
    assert_eq!(with.config.sockets.keys().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.1.220:80"]);
    assert_eq!(listener(&with, 0), ["Accepted=True/Accepted", "Programmed=True/Programmed", "ResolvedRefs=True/ResolvedRefs"]);
}

#[test]
fn host_network_uses_the_nodes_addresses_and_binds_all() {
    let node = |name: &str, address: &str| json!({"kind": "Node", "metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}});
    let mut world = world(&[http(json!({})), node("a", "10.9.0.2"), node("b", "10.9.0.3")]);
    world.host_network = Some(std::net::Ipv4Addr::UNSPECIFIED);
    let translation = translate(&world);
    assert_eq!(translation.gateways[0].addresses.len(), 2);
    assert_eq!(translation.config.sockets.keys().map(ToString::to_string).collect::<Vec<_>>(), ["0.0.0.0:80"]);
}

#[test]
fn a_gateway_of_another_class_is_left_alone() {
    let mut foreign = http(json!({}));
    foreign["spec"]["gatewayClassName"] = json!("somebody");
    let class = json!({"kind": "GatewayClass", "metadata": {"name": "somebody"}, "spec": {"controllerName": "example.com/other"}});
    let translation = translate(&world(&[foreign, class, route("HTTPRoute", "r", "gw", json!({}))]));
    assert!(translation.gateways.is_empty() && translation.http_routes.is_empty());
}

#[test]
fn listeners_that_cannot_stand_side_by_side_are_conflicted() {
    let tls = json!({"mode": "Passthrough"});
    let cases = [
        (json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 80, "protocol": "HTTP"}]), Some("HostnameConflict")),
        (
            json!([{"name": "a", "port": 80, "protocol": "HTTP", "hostname": "a.test"}, {"name": "b", "port": 80, "protocol": "HTTP", "hostname": "A.test"}]),
            Some("HostnameConflict"),
        ),
        (
            json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 80, "protocol": "TLS", "tls": tls}]),
            Some("ProtocolConflict"),
        ),
        (
            json!([{"name": "a", "port": 80, "protocol": "HTTP", "hostname": "a.test"}, {"name": "b", "port": 80, "protocol": "HTTP", "hostname": "b.test"}]),
            None,
        ),
        (json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 81, "protocol": "HTTP"}]), None),
    ];
    for (listeners, expected) in cases {
        let translation = translate(&world(&[gateway("gw", listeners.clone())]));
        let conflict = translation.gateways[0].listeners[0].conditions.iter().find(|condition| condition.kind == "Conflicted");
        assert_eq!(conflict.map(|condition| condition.reason.as_str()), expected, "{listeners}");
    }
    let translation = translate(&world(&[gateway("gw", json!([{"name": "a", "port": 80, "protocol": "SCTP"}]))]));
    assert_eq!(listener(&translation, 0)[..2], ["Accepted=False/UnsupportedProtocol", "Programmed=False/Invalid"]);
}

#[test]
fn in_host_network_mode_the_second_gateway_on_a_port_is_refused() {
    let mut late = http(json!({}));
    late["metadata"]["name"] = json!("gx");
    let mut world = world(&[late, http(json!({}))]);
    world.host_network = Some(std::net::Ipv4Addr::UNSPECIFIED);
    let translation = translate(&world);
    let states: Vec<_> = translation.gateways.iter().map(|state| words(&state.listeners[0].conditions)[0].clone()).collect();
    assert_eq!(states, ["Accepted=True/Accepted", "Accepted=False/PortUnavailable"]);
}

#[test]
fn certificate_references_are_checked() {
    let authority = Authority::new();
    let (one, two) = (authority.pair(&["a.test"]), authority.pair(&["a.test"]));
    let mixed = super::super::tests::world::Pair { cert: one.cert.clone(), key: two.key.clone() };
    let mut far = secret("far", &one);
    far["metadata"]["namespace"] = json!("other");
    let grant = json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "other"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default"}], "to": [{"group": "", "kind": "Secret"}],
    }});
    let objects = [secret("good", &one), secret("mixed", &mixed), far];
    let cases = [
        (json!([{"name": "good"}]), false, "ResolvedRefs", true),
        (json!([{"name": "missing"}]), false, "InvalidCertificateRef", false),
        (json!([{"name": "mixed"}]), false, "InvalidCertificateRef", false),
        (json!([{"name": "good", "kind": "ConfigMap"}]), false, "InvalidCertificateRef", false),
        (json!([]), false, "InvalidCertificateRef", false),
        (json!([{"name": "far", "namespace": "other"}]), false, "RefNotPermitted", false),
        (json!([{"name": "far", "namespace": "other"}]), true, "ResolvedRefs", true),
        (json!([{"name": "missing"}, {"name": "good"}]), false, "InvalidCertificateRef", true),
    ];
    for (references, granted, reason, programmed) in cases {
        let listener_spec = json!([{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": references}}]);
        let mut all = vec![gateway("gw", listener_spec)];
        all.extend(objects.clone());
        all.extend(granted.then(|| grant.clone()));
        let said = listener(&translate(&world(&all)), 0);
        assert!(said[2].ends_with(reason), "{references}: {said:?}");
        assert_eq!(said[1] == "Programmed=True/Programmed", programmed, "{references}: {said:?}");
    }
}

#[test]
fn routes_attach_or_say_why_not() {
    let other = json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "other"}}}});
    let cases = [
        (json!({}), json!({}), "default", "Accepted"),
        (json!({}), json!({"parentRefs": [{"name": "gw", "sectionName": "nope"}]}), "default", "NoMatchingParent"),
        (json!({}), json!({"parentRefs": [{"name": "gw", "port": 81}]}), "default", "NoMatchingParent"),
        (json!({}), json!({}), "other", "NotAllowedByListeners"),
        (json!({"allowedRoutes": {"namespaces": {"from": "All"}}}), json!({}), "other", "Accepted"),
        (json!({"allowedRoutes": other}), json!({}), "other", "Accepted"),
        (json!({"allowedRoutes": other}), json!({}), "default", "NotAllowedByListeners"),
        (json!({"allowedRoutes": {"kinds": [{"kind": "TLSRoute"}]}}), json!({}), "default", "NotAllowedByListeners"),
        (json!({"hostname": "a.test"}), json!({"hostnames": ["b.test"]}), "default", "NoMatchingListenerHostname"),
        (json!({"hostname": "*.test"}), json!({"hostnames": ["b.test"]}), "default", "Accepted"),
        (json!({}), json!({"rules": [{"filters": [{"type": "RequestMirror"}]}]}), "default", "UnsupportedValue"),
    ];
    for (listener_spec, spec, namespace, expected) in cases {
        let mut one = route("HTTPRoute", "r", "gw", spec.clone());
        one["metadata"]["namespace"] = json!(namespace);
        one["spec"]["parentRefs"][0]["namespace"] = json!("default");
        let translation = translate(&world(&[http(listener_spec), one]));
        assert_eq!(parent(&translation).0, expected, "{spec} from {namespace}");
        let attached = translation.gateways[0].listeners[0].attached;
        assert_eq!(attached, u32::from(matches!(expected, "Accepted" | "UnsupportedValue")), "{spec}");
    }
}

#[test]
fn a_route_of_a_kind_the_protocol_does_not_know_is_not_allowed() {
    let translation = translate(&world(&[http(json!({})), route("TLSRoute", "r", "gw", json!({}))]));
    assert_eq!(parent(&translation).0, "NotAllowedByListeners");
    let invalid = http(json!({"allowedRoutes": {"kinds": [{"kind": "TLSRoute"}, {"kind": "HTTPRoute"}]}}));
    let translation = translate(&world(&[invalid]));
    assert_eq!(listener(&translation, 0)[2], "ResolvedRefs=False/InvalidRouteKinds");
    assert_eq!(translation.gateways[0].listeners[0].kinds, ["HTTPRoute"]);
}

#[test]
fn backend_references_are_checked() {
    let grant = json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "other"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default"}],
        "to": [{"group": "", "kind": "Service", "name": "far"}],
    }});
    let cases = [
        (json!({"name": "near", "port": 80}), false, "ResolvedRefs"),
        (json!({"name": "nobody", "port": 80}), false, "BackendNotFound"),
        (json!({"name": "near", "port": 81}), false, "BackendNotFound"),
        (json!({"name": "near", "kind": "Bucket", "group": "example.com"}), false, "InvalidKind"),
        (json!({"name": "far", "namespace": "other", "port": 80}), false, "RefNotPermitted"),
        (json!({"name": "far", "namespace": "other", "port": 80}), true, "ResolvedRefs"),
        (json!({"name": "farther", "namespace": "other", "port": 80}), true, "RefNotPermitted"),
    ];
    for (reference, granted, reason) in cases {
        let mut all = vec![http(json!({})), route("HTTPRoute", "r", "gw", json!({"rules": [{"backendRefs": [reference.clone()]}]}))];
        all.extend(["near"].iter().flat_map(|name| service(name, "default", &["10.244.1.4:8080".parse().unwrap()])));
        all.extend(["far", "farther"].iter().flat_map(|name| service(name, "other", &[])));
        all.extend(granted.then(|| grant.clone()));
        let translation = translate(&world(&all));
        assert_eq!(parent(&translation), ("Accepted".to_owned(), reason.to_owned()), "{reference}");
    }
}

#[test]
fn rules_are_in_the_order_of_the_specification() {
    let rules = |path: &str, name: &str| json!([{"matches": [{"path": {"value": path}}], "backendRefs": [{"name": name, "port": 80}]}]);
    let mut late = route("HTTPRoute", "a-late", "gw", json!({"rules": rules("/", "late")}));
    late["metadata"]["creationTimestamp"] = json!("2026-11-23T12:00:01Z");
    let mut early = route("HTTPRoute", "z-early", "gw", json!({"rules": rules("/", "early")}));
    early["metadata"]["creationTimestamp"] = json!("2026-11-23T12:00:00Z");
    let all = [
        http(json!({})),
        gateway_service("gw", "10.9.1.220"),
        late,
        early,
        route("HTTPRoute", "host", "gw", json!({"hostnames": ["a.test"], "rules": rules("/", "host")})),
        route("HTTPRoute", "wild", "gw", json!({"hostnames": ["*.test"], "rules": rules("/long", "wild")})),
        route("HTTPRoute", "long", "gw", json!({"rules": rules("/long", "long")})),
    ];
    let order = |world: &World| -> Vec<String> {
        let config = translate(world).config;
        let port = config.sockets.values().next().unwrap().clone();
        port.listeners[0].http.iter().map(|rule| rule.id.clone()).collect()
    };
    let mut world = world(&all);
    let expected = ["default/host/0", "default/wild/0", "default/long/0", "default/z-early/0", "default/a-late/0"];
    assert_eq!(order(&world), expected);
    world.http_routes.reverse();
    assert_eq!(order(&world), expected);
}

#[test]
fn a_tls_route_becomes_a_passthrough_with_weights() {
    let listeners =
        json!([{"name": "https", "port": 443, "protocol": "TLS", "hostname": "nginx.cilium.rocks", "tls": {"mode": "Passthrough"}}]);
    let backends = json!([{"name": "a", "port": 80, "weight": 90}, {"name": "b", "port": 80, "weight": 10}]);
    let mut all = vec![
        gateway("gw", listeners),
        gateway_service("gw", "10.9.1.220"),
        route("TLSRoute", "nginx", "gw", json!({"hostnames": ["nginx.cilium.rocks"], "rules": [{"backendRefs": backends}]})),
    ];
    all.extend(service("a", "default", &["10.244.1.4:8443".parse().unwrap()]));
    all.extend(service("b", "default", &[]));
    let translation = translate(&world(&all));
    let listener = &translation.config.sockets.values().next().unwrap().listeners[0];
    assert_eq!(listener.mode, Mode::Passthrough);
    assert_eq!(listener.tls[0].backends.iter().map(|share| share.weight).collect::<Vec<_>>(), [90, 10]);
    let endpoints = vec!["10.244.1.4:8443".parse().unwrap()];
    assert_eq!(listener.tls[0].backends[0].target, Target::Service { name: "default/a:80".into(), endpoints });
}

#[test]
fn statuses_keep_times_and_other_controllers() {
    let translation = translate(&world(&[http(json!({})), route("HTTPRoute", "r", "gw", json!({}))]));
    let old = json!({"parents": [
        {"parentRef": {"name": "x"}, "controllerName": "example.com/other", "conditions": []},
        {"parentRef": {"name": "gw"}, "controllerName": "io.cilium/gateway-controller", "conditions": [
            {"type": "Accepted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "ResolvedRefs", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]},
    ]});
    let parents = merge_parents(&old, &translation.http_routes[0], "2026-11-23T00:00:00Z");
    assert_eq!(parents[0], old["parents"][0]);
    let times: Vec<_> =
        parents[1]["conditions"].as_array().unwrap().iter().map(|condition| condition["lastTransitionTime"].clone()).collect();
    assert_eq!(times, ["2026-01-01T00:00:00Z", "2026-11-23T00:00:00Z"]);
    assert_eq!(parents[1]["conditions"][0]["observedGeneration"], 3);
    let state = &translation.gateways[0];
    let first = state.status(&Value::Null, "2026-11-23T00:00:00Z");
    assert_eq!(state.status(&first, "2026-11-24T00:00:00Z"), first);
}

#[test]
fn long_names_are_shortened_and_stay_apart() {
    assert_eq!(service_name("gw"), "cilium-gateway-gw");
    let (a, b) = (service_name(&"a".repeat(63)), service_name(&format!("{}b", "a".repeat(62))));
    assert!(a.len() <= 63 && a != b);
}
