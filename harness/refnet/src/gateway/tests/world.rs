//! Objects as a cluster would hold them, from JSON.

use std::net::SocketAddr;
use std::sync::Arc;

use kube::core::DynamicObject;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::gateway::model::World;
use crate::gateway::objects::Item;

/// A world with class `cilium`, namespaces `default` and `other`, and these objects. What has no namespace is in `default`.
pub(in crate::gateway) fn world(objects: &[Value]) -> World {
    let mut world = World::default();
    let class = json!({"kind": "GatewayClass", "metadata": {"name": "cilium"}, "spec": {"controllerName": "io.cilium/gateway-controller"}});
    let namespaces = ["default", "other"].map(|name| json!({"kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}}));
    for object in namespaces.iter().chain([&class]).chain(objects) {
        let mut object = object.clone();
        if object["metadata"].get("namespace").is_none() {
            object["metadata"]["namespace"] = json!("default");
        }
        object["metadata"]["generation"] = json!(3);
        add(&mut world, &object);
    }
    world
}

fn add(world: &mut World, object: &Value) {
    fn typed<T: serde::de::DeserializeOwned>(object: &Value) -> Arc<T> {
        Arc::new(serde_json::from_value(object.clone()).unwrap())
    }
    fn item<S: serde::de::DeserializeOwned>(object: &Value) -> Item<S> {
        let mut object = object.clone();
        object["apiVersion"] = json!("gateway.networking.k8s.io/v1");
        Item::read(&serde_json::from_value::<DynamicObject>(object).unwrap()).unwrap()
    }
    match object["kind"].as_str().unwrap() {
        "GatewayClass" => world.classes.push(item(object)),
        "Gateway" => world.gateways.push(item(object)),
        "HTTPRoute" => world.http_routes.push(item(object)),
        "TLSRoute" => world.tls_routes.push(item(object)),
        "ReferenceGrant" => world.grants.push(item(object)),
        "Service" => world.services.push(typed(object)),
        "EndpointSlice" => world.slices.push(typed(object)),
        "Secret" => world.secrets.push(typed(object)),
        "Namespace" => world.namespaces.push(typed(object)),
        "Node" => world.nodes.push(typed(object)),
        other => panic!("no kind {other} here"),
    }
}

/// A Gateway of class `cilium`.
pub(in crate::gateway) fn gateway(name: &str, listeners: Value) -> Value {
    json!({"kind": "Gateway", "metadata": {"name": name, "uid": name}, "spec": {"gatewayClassName": "cilium", "listeners": listeners}})
}

/// A route of a kind that attaches to a Gateway.
pub(in crate::gateway) fn route(kind: &str, name: &str, parent: &str, spec: Value) -> Value {
    let mut route = json!({"kind": kind, "metadata": {"name": name}, "spec": {"parentRefs": [{"name": parent}]}});
    json_patch::merge(&mut route["spec"], &spec);
    route
}

/// A Service with port 80 and its slice.
pub(in crate::gateway) fn service(name: &str, namespace: &str, endpoints: &[SocketAddr]) -> Vec<Value> {
    let mut objects = vec![json!({
        "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 80}]},
    })];
    for (at, endpoint) in endpoints.iter().enumerate() {
        objects.push(json!({
            "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-{at}"), "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"port": endpoint.port()}],
            "endpoints": [{"addresses": [endpoint.ip().to_string()], "conditions": {"ready": true}}],
        }));
    }
    objects
}

/// The Service of a Gateway with an address.
pub(in crate::gateway) fn gateway_service(gateway: &str, address: &str) -> Value {
    json!({
        "kind": "Service", "metadata": {"name": format!("cilium-gateway-{gateway}")},
        "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    })
}

/// An authority for one test.
pub(in crate::gateway) struct Authority {
    /// Its certificate, PEM.
    pub(in crate::gateway) pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub(in crate::gateway) struct Pair {
    /// Certificate.
    pub(in crate::gateway) cert: String,
    /// Key.
    pub(in crate::gateway) key: String,
}

impl Authority {
    /// A fresh one.
    pub(in crate::gateway) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "run authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let key_pem = key.serialize_pem();
        Authority { pem, key_pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for names.
    pub(in crate::gateway) fn pair(&self, names: &[&str]) -> Pair {
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate().unwrap();
        Pair { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// The Secret in which faults find the authority.
    pub(in crate::gateway) fn secret(&self) -> Value {
        let mut object = secret("plumb-run-authority", &Pair { cert: self.pem.clone(), key: self.key_pem.clone() });
        object["metadata"]["namespace"] = json!("kube-system");
        object
    }
}

/// A Secret with a certificate.
pub(in crate::gateway) fn secret(name: &str, pair: &Pair) -> Value {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({
        "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "data": {"tls.crt": encode(&pair.cert), "tls.key": encode(&pair.key)},
    })
}
