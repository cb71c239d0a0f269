//! A cluster without nodes: its objects are what a test writes, status and all, on the reference network's API.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use plumb_refnet::api::{ApiConfig, ApiServer};
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::cluster::{Cluster, Manifest, ResourceRef};

const LONG: Duration = Duration::from_secs(30);

/// A cluster whose objects a test writes, status and all.
pub(super) struct Scene {
    pub(super) server: ApiServer,
    pub(super) cluster: Cluster,
}

impl Scene {
    pub(super) fn new() -> Scene {
        let server = ApiServer::new(ApiConfig { crds: vec!["gatewayclasses".into()] }).unwrap();
        let cluster = Cluster::new(server.client(), LONG);
        Scene { server, cluster }
    }

    /// Creates or changes an object, and then its status.
    pub(super) async fn put(&self, value: Value) {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
        let mut object = value.clone();
        let status = object.as_object_mut().unwrap().remove("status");
        self.cluster.apply(&Manifest { object: format!("{kind}/{name}"), value: object }).await.unwrap();
        let resource = ResourceRef { kind, namespace, name };
        if let Some(status) = status {
            self.status(&resource, status).await;
        }
    }

    pub(super) async fn status(&self, resource: &ResourceRef, mut status: Value) {
        let seen = self.cluster.read(resource).await.unwrap().unwrap();
        if seen["metadata"]["generation"].is_number() && resource.kind != "Pod" && resource.kind != "Node" {
            status["observedGeneration"] = seen["metadata"]["generation"].clone();
        }
        let (group, version) = seen["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", seen["apiVersion"].as_str().unwrap()));
        let kind = GroupVersionKind::gvk(group, version, &resource.kind);
        let kind = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match &resource.namespace {
            Some(namespace) => Api::namespaced_with(self.server.client(), namespace, &kind),
            None => Api::all_with(self.server.client(), &kind),
        };
        let patch = kube::api::Patch::Merge(json!({"status": status}));
        api.patch_status(&resource.name, &kube::api::PatchParams::default(), &patch).await.unwrap();
    }

    pub(super) async fn node(&self, name: &str, ready: &str) {
        let conditions = json!([{"type": "Ready", "status": ready, "reason": "r", "message": "m"}]);
        self.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"conditions": conditions}})).await;
    }

    pub(super) async fn daemon_set(&self, name: &str, image: &str, status: Value) {
        let template = json!({"metadata": {"labels": {"k8s-app": name}}, "spec": {"containers": [{"name": name, "image": image}]}});
        let spec = json!({"selector": {"matchLabels": {"k8s-app": name}}, "template": template});
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        self.put(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec, "status": status})).await;
    }

    pub(super) async fn operator(&self, status: Value) {
        let labels = json!({"name": "cilium-operator"});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "cilium-operator", "image": "operator:1"}]}});
        let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
        let metadata = json!({"name": "cilium-operator", "namespace": NAMESPACE});
        self.put(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status})).await;
    }

    pub(super) async fn class(&self, status: &str) {
        let condition = json!({"type": "Accepted", "status": status, "reason": "Pending", "message": "Waiting", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let spec = json!({"controllerName": "io.cilium/gateway-controller"});
        let (api, kind) = ("gateway.networking.k8s.io/v1", "GatewayClass");
        let resource = ResourceRef { kind: kind.into(), namespace: None, name: "cilium".into() };
        self.put(json!({"apiVersion": api, "kind": kind, "metadata": {"name": "cilium"}, "spec": spec})).await;
        self.status(&resource, json!({"conditions": [condition]})).await;
    }

    pub(super) async fn pod(&self, name: &str, status: Value) {
        let spec = json!({"nodeName": "worker", "containers": [{"name": "cilium-agent", "image": "cilium:1"}]});
        let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": {"k8s-app": "cilium"}});
        self.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})).await;
    }

    /// Everything is there but what a test takes away.
    pub(super) async fn whole(&self) {
        self.node("control-plane", "True").await;
        self.node("worker", "True").await;
        self.daemon_set("cilium", "cilium:1", rolled(2, 2)).await;
        self.daemon_set("cilium-envoy", "envoy:1", rolled(2, 2)).await;
        self.operator(json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})).await;
        self.class("True").await;
    }
}

/// Status of a DaemonSet that is rolled out as it says now.
pub(super) fn rolled(desired: i32, available: i32) -> Value {
    json!({
        "desiredNumberScheduled": desired, "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
        "updatedNumberScheduled": desired, "numberAvailable": available,
    })
}
