//! The Gateway controller: the class, the Service of each Gateway, and the statuses of classes, Gateways and routes.

use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::write::{Subject, Written, ignore_gone, is_code, now};
use super::{Cluster, Controller};
use crate::gateway::model::{
    Condition, GATEWAY_LABEL, GatewayState, RouteState, World, merge_conditions, merge_parents, service_name, translate,
};
use crate::gateway::objects::{CONTROLLER, ClassSpec, GatewaySpec, Item, resource};

/// The Gateway controller.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    written: Written,
    /// Whether the class was made: it is made once, when its kind is first served, and not again when somebody deletes it.
    class_made: bool,
}

impl Controller for Gateways {
    async fn step(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        // What cannot be written keeps nothing else from being written.
        let mut outcome = self.make_class(cluster).await;
        let host_network = cluster.settings.host_network.then_some(Ipv4Addr::UNSPECIFIED);
        let world = cluster.source.world(host_network, &cluster.faults);
        for class in world.classes.iter().filter(|class| class.spec.controller_name == CONTROLLER) {
            outcome = outcome.and(self.say_class(cluster, class).await);
        }
        let translation = translate(&world);
        for state in &translation.gateways {
            if let Some(gateway) = named(&world.gateways, &state.namespace, &state.name) {
                outcome = outcome.and(make_service(cluster, &world, gateway).await);
                outcome = outcome.and(self.say_gateway(cluster, gateway, state).await);
            }
        }
        let http = resource("v1", "HTTPRoute", "httproutes");
        for state in &translation.http_routes {
            if let Some(route) = named(&world.http_routes, &state.namespace, &state.name) {
                outcome = outcome.and(self.say_route(cluster, &http, route, state).await);
            }
        }
        let tls = resource(&cluster.settings.tls_route, "TLSRoute", "tlsroutes");
        for state in &translation.tls_routes {
            if let Some(route) = named(&world.tls_routes, &state.namespace, &state.name) {
                outcome = outcome.and(self.say_route(cluster, &tls, route, state).await);
            }
        }
        outcome
    }
}

fn named<'a, S>(items: &'a [Item<S>], namespace: &str, name: &str) -> Option<&'a Item<S>> {
    items.iter().find(|item| item.namespace() == namespace && item.name() == name)
}

impl Gateways {
    async fn make_class(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        if self.class_made || !cluster.source.classes().served() {
            return Ok(());
        }
        let kind = resource("v1", "GatewayClass", "gatewayclasses");
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &kind);
        let class = DynamicObject::new("cilium", &kind).data(json!({
            "spec": {"controllerName": CONTROLLER, "description": "The reference network's Gateway class"},
        }));
        match api.create(&PostParams::default(), &class).await {
            Err(error) if !is_code(&error, 409) => return Err(error),
            _ => self.class_made = true,
        }
        Ok(())
    }

    async fn say_class(&mut self, cluster: &Cluster, class: &Item<ClassSpec>) -> Result<(), kube::Error> {
        let kind = resource("v1", "GatewayClass", "gatewayclasses");
        let subject = subject(&kind, class);
        let known = self.written.newest(subject, &class.status).clone();
        let accepted = Condition::yes("Accepted", "Accepted", "Valid GatewayClass");
        let old = known.get("conditions").unwrap_or(&Value::Null);
        let status = json!({"conditions": merge_conditions(old, &[accepted], class.generation(), &now())});
        self.written.status(&cluster.client, subject, &known, &status).await
    }

    async fn say_gateway(&mut self, cluster: &Cluster, gateway: &Item<GatewaySpec>, state: &GatewayState) -> Result<(), kube::Error> {
        let kind = resource("v1", "Gateway", "gateways");
        let subject = subject(&kind, gateway);
        let known = self.written.newest(subject, &gateway.status).clone();
        let status = state.status(&known, &now());
        // An absent list of addresses and an empty one are the same thing.
        let known = if known.get("addresses").is_none() && state.addresses.is_empty() { with_no_addresses(known) } else { known };
        self.written.status(&cluster.client, subject, &known, &status).await
    }

    async fn say_route<S>(
        &mut self,
        cluster: &Cluster,
        kind: &ApiResource,
        route: &Item<S>,
        state: &RouteState,
    ) -> Result<(), kube::Error> {
        let subject = subject(kind, route);
        let known = self.written.newest(subject, &route.status).clone();
        let status = json!({"parents": merge_parents(&known, state, &now())});
        self.written.status(&cluster.client, subject, &known, &status).await
    }
}

fn with_no_addresses(mut known: Value) -> Value {
    if let Some(fields) = known.as_object_mut() {
        fields.insert("addresses".to_owned(), json!([]));
    }
    known
}

fn subject<'a, S>(resource: &'a ApiResource, item: &'a Item<S>) -> Subject<'a> {
    Subject { resource, namespace: item.namespace(), name: item.name(), version: item.meta.resource_version.as_deref() }
}

/// Makes the Service of a Gateway, or brings it up to date.
async fn make_service(cluster: &Cluster, world: &World, gateway: &Item<GatewaySpec>) -> Result<(), kube::Error> {
    let wanted = service(world, gateway);
    let name = service_name(gateway.name());
    let api: Api<Service> = Api::namespaced(cluster.client.clone(), gateway.namespace());
    match cluster.source.services().find(gateway.namespace(), &name) {
        None => {
            let object: Service = serde_json::from_value(wanted).map_err(kube::Error::SerdeError)?;
            match api.create(&PostParams::default(), &object).await {
                Err(error) if !is_code(&error, 409) => Err(error),
                _ => Ok(()),
            }
        }
        Some(known) if differs(&known, &wanted) => {
            api.patch(&name, &PatchParams::default(), &Patch::Merge(wanted)).await.map(|_| ()).or_else(ignore_gone)
        }
        Some(_) => Ok(()),
    }
}

/// Whether a Service lacks something that is wanted.
fn differs(known: &Arc<Service>, wanted: &Value) -> bool {
    let known = serde_json::to_value(known.as_ref()).unwrap_or(Value::Null);
    let numbers = |object: &Value| -> Vec<Option<Value>> {
        let ports = object.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
        ports.iter().map(|port| port.get("port").cloned()).collect()
    };
    let lacks = |pointer: &str| {
        let fields = wanted.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
        fields.iter().any(|(name, value)| known.pointer(pointer).and_then(|known| known.get(name)) != Some(value))
    };
    numbers(&known) != numbers(wanted)
        || known.pointer("/spec/type") != wanted.pointer("/spec/type")
        || lacks("/metadata/labels")
        || lacks("/metadata/annotations")
}

/// The Service of a Gateway: without selector, one port for each port of its listeners.
fn service(world: &World, gateway: &Item<GatewaySpec>) -> Value {
    let mut labels = json!({"io.cilium.gateway/owning-gateway": gateway.name(), GATEWAY_LABEL: gateway.name()});
    for (name, value) in &gateway.spec.infrastructure.labels {
        labels[name] = json!(value);
    }
    let mut annotations = json!(gateway.spec.infrastructure.annotations);
    let is_address = |kind: Option<&str>| kind.is_none_or(|kind| kind == "IPAddress");
    let asked = gateway.spec.addresses.iter().filter(|address| is_address(address.kind.as_deref()));
    let asked: Vec<_> = asked.filter_map(|address| address.value.clone()).collect();
    if !asked.is_empty() {
        annotations["lbipam.cilium.io/ips"] = json!(asked.join(","));
    }
    let mut numbers: Vec<_> = gateway.spec.listeners.iter().map(|listener| listener.port).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let ports: Vec<_> = numbers.iter().map(|port| json!({"name": format!("port-{port}"), "port": port, "protocol": "TCP"})).collect();
    let mut spec = json!({"type": "ClusterIP", "ports": ports});
    if world.host_network.is_none() {
        spec["type"] = json!("LoadBalancer");
        spec["externalTrafficPolicy"] = json!("Cluster");
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(gateway.name()),
            "namespace": gateway.namespace(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": gateway.name(),
                "uid": gateway.meta.uid.as_deref().unwrap_or_default(), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    })
}
