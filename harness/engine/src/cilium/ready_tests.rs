#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

use std::task::Poll;

use futures::future::FutureExt;
use plumb_refnet::api::{ApiConfig, ApiServer};
use serde_json::json;

use crate::cluster::{Cluster, Manifest, ResourceRef};

const LONG: Duration = Duration::from_secs(30);

/// A cluster whose objects a test writes, status and all.
struct Scene {
    server: ApiServer,
    cluster: Cluster,
}

impl Scene {
    fn new() -> Scene {
        let server = ApiServer::new(ApiConfig { crds: vec!["gatewayclasses".into()] }).unwrap();
        let cluster = Cluster::new(server.client(), LONG);
        Scene { server, cluster }
    }

    /// Creates or changes an object, and then its status.
    async fn put(&self, value: Value) {
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

    async fn status(&self, resource: &ResourceRef, mut status: Value) {
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

    async fn node(&self, name: &str, ready: &str) {
        let conditions = json!([{"type": "Ready", "status": ready, "reason": "r", "message": "m"}]);
        self.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"conditions": conditions}})).await;
    }

    async fn daemon_set(&self, name: &str, image: &str, status: Value) {
        let template = json!({"metadata": {"labels": {"k8s-app": name}}, "spec": {"containers": [{"name": name, "image": image}]}});
        let spec = json!({"selector": {"matchLabels": {"k8s-app": name}}, "template": template});
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        self.put(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec, "status": status})).await;
    }

    async fn operator(&self, status: Value) {
        let labels = json!({"name": "cilium-operator"});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "cilium-operator", "image": "operator:1"}]}});
        let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
        let metadata = json!({"name": "cilium-operator", "namespace": NAMESPACE});
        self.put(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status})).await;
    }

    async fn class(&self, status: &str) {
        let condition = json!({"type": "Accepted", "status": status, "reason": "Pending", "message": "Waiting", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let spec = json!({"controllerName": "io.cilium/gateway-controller"});
        let (api, kind) = ("gateway.networking.k8s.io/v1", "GatewayClass");
        let resource = ResourceRef { kind: kind.into(), namespace: None, name: "cilium".into() };
        self.put(json!({"apiVersion": api, "kind": kind, "metadata": {"name": "cilium"}, "spec": spec})).await;
        self.status(&resource, json!({"conditions": [condition]})).await;
    }

    async fn pod(&self, name: &str, status: Value) {
        let spec = json!({"nodeName": "worker", "containers": [{"name": "cilium-agent", "image": "cilium:1"}]});
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        self.put(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})).await;
    }

    /// Everything is there but what a test takes away.
    async fn whole(&self) {
        self.node("control-plane", "True").await;
        self.node("worker", "True").await;
        self.daemon_set("cilium", "cilium:1", rolled(2, 2)).await;
        self.daemon_set("cilium-envoy", "envoy:1", rolled(2, 2)).await;
        self.operator(json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})).await;
        self.class("True").await;
    }

    async fn late(&self) -> String {
        let ended = ready(&self.server.client(), &expect(), Duration::from_millis(700)).await;
        ended.unwrap_err().to_string()
    }
}

fn rolled(desired: i32, available: i32) -> Value {
    json!({
        "desiredNumberScheduled": desired, "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
        "updatedNumberScheduled": desired, "numberAvailable": available,
    })
}

fn expect() -> Expect {
    Expect { nodes: 2, gateway_class: true }
}

#[tokio::test]
async fn everything_there_is_ready_with_its_images_and_times() {
    let scene = Scene::new();
    scene.whole().await;
    let facts = ready(&scene.server.client(), &expect(), LONG).await.unwrap();
    assert_eq!(facts.nodes, 2);
    let images = [("cilium", "cilium:1"), ("cilium-envoy", "envoy:1"), ("cilium-operator", "operator:1")];
    assert_eq!(facts.images, images.map(|(name, image)| (name.to_owned(), image.to_owned())).into());
    assert_eq!(facts.parts_ms.keys().collect::<Vec<_>>(), ["agents", "envoy", "gatewayClass", "nodes", "operator"]);
}

#[tokio::test]
async fn each_part_that_lacks_is_named() {
    let scene = Scene::new();
    assert!(scene.late().await.contains("DaemonSet cilium is not there"));
    scene.whole().await;
    scene.daemon_set("cilium", "cilium:1", rolled(2, 1)).await;
    let said = scene.late().await;
    assert_eq!(said, "wait for Cilium: not ready after 700 ms: DaemonSet cilium: 2 of 2 Pods as it says now, 1 available");
    scene.daemon_set("cilium", "cilium:1", rolled(1, 1)).await;
    assert!(scene.late().await.contains("DaemonSet cilium wants 1 Pods for 2 nodes"));
    scene.daemon_set("cilium", "cilium:1", rolled(2, 2)).await;
    scene.node("worker", "False").await;
    assert!(scene.late().await.contains("not Ready: worker"));
    scene.node("worker", "True").await;
    scene.daemon_set("cilium-envoy", "envoy:1", rolled(2, 0)).await;
    assert!(scene.late().await.contains("DaemonSet cilium-envoy: 2 of 2 Pods as it says now, 0 available"));
    scene.daemon_set("cilium-envoy", "envoy:1", rolled(2, 2)).await;
    scene.operator(json!({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1})).await;
    assert!(scene.late().await.contains("Deployment cilium-operator: 1 of 1 Pods as it says now, 1 available, 2 in all"));
    scene.operator(json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})).await;
    scene.class("Unknown").await;
    assert!(scene.late().await.contains("GatewayClass cilium: Accepted=Unknown Pending: Waiting"));
}

#[tokio::test]
async fn readiness_is_seen_when_the_last_part_comes() {
    let scene = Scene::new();
    scene.whole().await;
    scene.node("worker", "False").await;
    let client = scene.server.client();
    let expect = expect();
    let mut waiting = std::pin::pin!(ready(&client, &expect, LONG));
    assert!(matches!(futures::poll!(&mut waiting), Poll::Pending));
    let (facts, ()) = tokio::join!(waiting, scene.node("worker", "True"));
    facts.unwrap();
}

#[tokio::test]
async fn a_new_generation_is_not_ready_before_it_is_rolled_out() {
    let scene = Scene::new();
    scene.whole().await;
    // As `cilium upgrade` leaves it: the template is another, the status is of before.
    let resource = ResourceRef { kind: "DaemonSet".into(), namespace: Some(NAMESPACE.into()), name: "cilium".into() };
    let template = json!({"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}});
    scene.cluster.merge(&resource, &template).await.unwrap();
    assert!(scene.late().await.contains("DaemonSet cilium: its change is not noticed yet"));
}

#[tokio::test]
async fn a_crash_loop_ends_the_wait_at_once() {
    let scene = Scene::new();
    scene.whole().await;
    scene.daemon_set("cilium-envoy", "envoy:1", rolled(2, 0)).await;
    let crash = json!({
        "name": "cilium-agent", "image": "cilium:1", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}},
    });
    scene.pod("cilium-abc", json!({"phase": "Running", "containerStatuses": [crash]})).await;
    let error = ready(&scene.server.client(), &expect(), LONG).await.unwrap_err();
    let NotReady::Broken { trouble, .. } = &error else { panic!("{error}") };
    assert_eq!((trouble.container.as_str(), trouble.exit_code, trouble.restarts), ("cilium-agent", Some(137), 3));
    let said = error.to_string();
    let begins = "wait for Cilium: container cilium-agent of pod kube-system/cilium-abc on worker: CrashLoopBackOff, exit code 137";
    assert!(said.starts_with(begins), "{said}");
}

/// A client of a server that keeps logs, which the reference network's does not: `previous` of a container, or what it says now.
fn with_logs(server: &ApiServer, previous: &'static str, now: &'static str) -> Client {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let server = server.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let server = server.clone();
        async move {
            if !request.uri().path().ends_with("/log") {
                return server.service().oneshot(request).await;
            }
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("container=cilium-agent") && query.contains("tailLines=12"), "{query}");
            let text = if query.contains("previous=true") { previous } else { now };
            Ok(http::Response::new(http_body_util::Full::new(bytes::Bytes::from(text)).boxed_unsync()))
        }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn the_last_words_are_those_of_the_run_that_ended_without_keys() {
    let scene = Scene::new();
    let crash = json!({"name": "cilium-agent", "image": "cilium:1", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}});
    scene.pod("cilium-abc", json!({"phase": "Running", "containerStatuses": [crash]})).await;
    let key = "level=info\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nlevel=fatal msg=no\n";
    let error = ready(&with_logs(&scene.server, key, "now"), &expect(), LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("restarts; the last it said:\nlevel=info\n[redacted]\nlevel=fatal msg=no"), "{error}");
    let error = ready(&with_logs(&scene.server, "", "now"), &expect(), LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("the last it said:\nnow"), "{error}");
    let error = ready(&with_logs(&scene.server, "", ""), &expect(), LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("the last it said: nothing"), "{error}");
}

#[tokio::test]
async fn a_foreign_pod_that_crashes_does_not_end_the_wait() {
    let scene = Scene::new();
    scene.whole().await;
    let crash = json!({"name": "coredns", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    scene.pod("coredns-abc", json!({"phase": "Running", "containerStatuses": [crash]})).await;
    assert!(ready(&scene.server.client(), &expect(), LONG).now_or_never().is_none());
    ready(&scene.server.client(), &expect(), LONG).await.unwrap();
}

#[test]
fn what_is_expected_follows_from_the_values() {
    let of = |values: Value| Expect::of(&serde_json::from_value(values).unwrap(), 3).gateway_class;
    assert!(of(json!({"gatewayAPI.enabled": true})));
    assert!(!of(json!({"gatewayAPI.enabled": false})));
    assert!(!of(json!({"gatewayAPI.enabled": true, "gatewayAPI.gatewayClass.create": "false"})));
    assert!(!of(json!({})));
}
