//! The controllers on an API in this process; the kubelet is played by the tests, the data plane is the real one.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::wait::await_condition;
use plumb_core::probe::{ServeOp, ServeProtocol};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::{ApiConfig, ApiServer};
use crate::fault::{Fault, FaultSet};
use crate::settings::{NodeContext, Settings};

const LIMIT: Duration = Duration::from_secs(5);

struct Lab {
    client: Client,
    cancel: CancellationToken,
    _drop: DropGuard,
}

fn settings(host_network: bool) -> Settings {
    Settings {
        gateway: true,
        tls_route: "v1alpha2".to_owned(),
        host_network,
        alpn: false,
        l2: None,
        devices: Vec::new(),
        wireguard: false,
        node_encryption: false,
    }
}

impl Lab {
    async fn start(host_network: bool, fault: Option<Fault>) -> Lab {
        let crds = ["gatewayclasses", "gateways", "httproutes", "referencegrants", "experimental/tlsroutes"].map(str::to_owned);
        let client = ApiServer::new(ApiConfig { crds: crds.into() }).unwrap().client();
        let cancel = CancellationToken::new();
        tokio::spawn(super::run(client.clone(), settings(host_network), fault.into_iter().collect(), 5, cancel.clone()));
        let lab = Lab { client, cancel: cancel.clone(), _drop: cancel.drop_guard() };
        for (name, address) in [("control-plane", "10.9.0.2"), ("worker", "10.9.0.3"), ("worker2", "10.9.0.4")] {
            let labels = if name == "control-plane" { json!({"node-role.kubernetes.io/control-plane": ""}) } else { json!({}) };
            lab.apply(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})).await;
            let status =
                json!({"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": address}]});
            lab.say("v1", "Node", "nodes", ("", name), status).await;
        }
        lab
    }

    fn api(&self, version: &str, kind: &str, plural: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, short) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource {
            group: group.into(),
            version: short.into(),
            api_version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    async fn apply(&self, object: Value) {
        let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let plural = match kind {
            "GatewayClass" => "gatewayclasses".to_owned(),
            other => format!("{}s", other.to_lowercase()),
        };
        let namespaced = !matches!(kind, "Node" | "CiliumLoadBalancerIPPool" | "GatewayClass");
        let api = self.api(version, kind, &plural, if namespaced { "default" } else { "" });
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    }

    async fn say(&self, version: &str, kind: &str, plural: &str, (namespace, name): (&str, &str), status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api(version, kind, plural, namespace).patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until an object is as it should be; says what it was last when it does not become so.
    async fn wait(
        &self,
        (version, kind, plural): (&str, &str, &str),
        (namespace, name): (&str, &str),
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = self.api(version, kind, plural, namespace);
        let condition = |object: Option<&DynamicObject>| object.is_some_and(|object| is(&serde_json::to_value(object).unwrap()));
        let found = tokio::time::timeout(LIMIT, await_condition(api.clone(), name, condition)).await;
        match found {
            Ok(object) => serde_json::to_value(object.unwrap()).unwrap(),
            Err(_) => panic!("{kind} {name} did not become so: {:#}", json!(api.get_opt(name).await.unwrap())),
        }
    }

    async fn pods(&self) -> Vec<DynamicObject> {
        self.api("v1", "Pod", "pods", "default").list(&Default::default()).await.unwrap().items
    }

    /// Plays the kubelet once: bound Pods run and are ready, Pods that are to go are gone. Returns how many run.
    async fn kubelet(&self) -> usize {
        let mut running = 0;
        for pod in self.pods().await {
            let name = pod.metadata.name.clone().unwrap();
            let bound = pod.data.pointer("/spec/nodeName").is_some();
            if pod.metadata.deletion_timestamp.is_some() {
                let now = kube::api::DeleteParams::default().grace_period(0);
                let _ = self.api("v1", "Pod", "pods", "default").delete(&name, &now).await;
            } else if bound {
                running += 1;
                let status = json!({"phase": "Running", "podIP": format!("10.244.1.{running}"), "conditions": [{"type": "Ready", "status": "True"}]});
                self.say("v1", "Pod", "pods", ("default", &name), status).await;
            }
        }
        running
    }
}

const GATEWAY: (&str, &str, &str) = ("gateway.networking.k8s.io/v1", "Gateway", "gateways");
const ROUTE: (&str, &str, &str) = ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes");
const SERVICE: (&str, &str, &str) = ("v1", "Service", "services");

fn says(object: &Value, pointer: &str, kind: &str, status: &str, reason: &str) -> bool {
    let conditions = object.pointer(pointer).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|entry| entry["type"] == kind && entry["status"] == status && entry["reason"] == reason)
}

fn http_gateway(port: u16) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "gw", "namespace": "default"},
        "spec": {"gatewayClassName": "cilium", "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}]},
    })
}

fn http_route(backend: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "default"},
        "spec": {"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": [{"name": backend, "port": 80}]}]},
    })
}

fn pool() -> Value {
    json!({
        "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "pool"},
        "spec": {"blocks": [{"start": "10.9.0.220", "stop": "10.9.0.221"}]},
    })
}

#[tokio::test]
async fn a_gateway_waits_for_an_address_and_is_programmed_when_a_pool_has_one() {
    let lab = Lab::start(false, None).await;
    lab.wait(("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses"), ("", "cilium"), |class| {
        says(class, "/status/conditions", "Accepted", "True", "Accepted")
    })
    .await;
    lab.apply(http_gateway(80)).await;
    lab.wait(GATEWAY, ("default", "gw"), |gateway| says(gateway, "/status/conditions", "Programmed", "False", "AddressNotAssigned")).await;
    lab.wait(SERVICE, ("default", "cilium-gateway-gw"), |service| {
        says(service, "/status/conditions", "io.cilium/lb-ipam-request-satisfied", "False", "no_pool")
    })
    .await;
    lab.apply(pool()).await;
    let gateway =
        lab.wait(GATEWAY, ("default", "gw"), |gateway| says(gateway, "/status/conditions", "Programmed", "True", "Programmed")).await;
    assert_eq!(gateway.pointer("/status/addresses/0/value"), Some(&json!("10.9.0.220")));
    let service = lab.wait(SERVICE, ("default", "cilium-gateway-gw"), |_| true).await;
    assert_eq!(service.pointer("/metadata/labels/gateway.networking.k8s.io~1gateway-name"), Some(&json!("gw")));
    assert!(says(&service, "/status/conditions", "io.cilium/lb-ipam-request-satisfied", "True", "satisfied"));
    lab.wait(("cilium.io/v2", "CiliumLoadBalancerIPPool", "ciliumloadbalancerippools"), ("", "pool"), |pool| {
        let conditions = pool.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|entry| entry["type"] == "cilium.io/IPsUsed" && entry["message"] == "1")
    })
    .await;
}

#[tokio::test]
async fn the_fault_of_the_missing_address_gives_none() {
    let lab = Lab::start(false, Some(Fault::GatewayNoAddress)).await;
    lab.apply(pool()).await;
    lab.apply(http_gateway(80)).await;
    lab.wait(GATEWAY, ("default", "gw"), |gateway| says(gateway, "/status/conditions", "Programmed", "False", "AddressNotAssigned")).await;
    let service = lab.wait(SERVICE, ("default", "cilium-gateway-gw"), |_| true).await;
    assert_eq!(service.pointer("/status/loadBalancer/ingress"), None);
}

#[tokio::test]
async fn the_fault_of_the_unfounded_address_gives_one_without_a_pool_and_a_real_one_with_it() {
    let lab = Lab::start(false, Some(Fault::AddressWithoutPool)).await;
    lab.apply(http_gateway(80)).await;
    let given = |text: &str| {
        let text = text.to_owned();
        move |service: &Value| {
            service.pointer("/status/loadBalancer/ingress/0/ip").and_then(Value::as_str).is_some_and(|ip| ip.starts_with(&text))
        }
    };
    lab.wait(SERVICE, ("default", "cilium-gateway-gw"), given("192.0.2.")).await;
    lab.apply(pool()).await;
    lab.wait(SERVICE, ("default", "cilium-gateway-gw"), |service| !given("192.0.2.")(service) && given("")(service)).await;
}

#[tokio::test]
async fn route_statuses_follow_at_once_and_are_written_once() {
    let lab = Lab::start(true, None).await;
    lab.apply(http_gateway(8088)).await;
    lab.wait(GATEWAY, ("default", "gw"), |gateway| says(gateway, "/status/conditions", "Programmed", "True", "Programmed")).await;
    let since = Instant::now();
    lab.apply(http_route("nobody")).await;
    lab.wait(ROUTE, ("default", "r"), |route| says(route, "/status/parents/0/conditions", "ResolvedRefs", "False", "BackendNotFound"))
        .await;
    let took = since.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    lab.apply(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nobody", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}))
        .await;
    let route = lab
        .wait(ROUTE, ("default", "r"), |route| says(route, "/status/parents/0/conditions", "ResolvedRefs", "True", "ResolvedRefs"))
        .await;
    assert_eq!(route.pointer("/status/parents/0/conditions/0/observedGeneration"), route.pointer("/metadata/generation"));
    let gateway = lab.wait(GATEWAY, ("default", "gw"), |gateway| gateway["status"]["listeners"][0]["attachedRoutes"] == 1).await;
    // A change that is none of the route's business writes nothing on it.
    lab.apply(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "else", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}))
        .await;
    lab.apply(pool()).await;
    lab.wait(("cilium.io/v2", "CiliumLoadBalancerIPPool", "ciliumloadbalancerippools"), ("", "pool"), |pool| pool.get("status").is_some())
        .await;
    let address = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    lab.apply(address).await;
    let given = lab.wait(SERVICE, ("default", "lb"), |service| service.pointer("/status/loadBalancer/ingress").is_some()).await;
    lab.apply(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb2", "namespace": "default"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}))
        .await;
    let other = lab.wait(SERVICE, ("default", "lb2"), |service| service.pointer("/status/loadBalancer/ingress").is_some()).await;
    assert_ne!(given.pointer("/status/loadBalancer/ingress"), other.pointer("/status/loadBalancer/ingress"));
    let still = lab.wait(SERVICE, ("default", "lb"), |_| true).await;
    assert_eq!(still["metadata"]["resourceVersion"], given["metadata"]["resourceVersion"]);
    let after = lab.wait(ROUTE, ("default", "r"), |_| true).await;
    assert_eq!(after["metadata"]["resourceVersion"], route["metadata"]["resourceVersion"]);
    let again = lab.wait(GATEWAY, ("default", "gw"), |_| true).await;
    assert_eq!(again["metadata"]["resourceVersion"], gateway["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_deployment_is_bound_ready_scaled_and_rolled() {
    let lab = Lab::start(false, None).await;
    let deployment = |replicas: u32, image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "echo", "namespace": "default"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "echo"}}, "template": {
                "metadata": {"labels": {"app": "echo"}}, "spec": {"containers": [{"name": "c", "image": image}]},
            }},
        })
    };
    lab.apply(deployment(2, "plumb/one")).await;
    lab.apply(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": "default"},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": 8080}]}}))
        .await;
    settle(&lab, 2, "plumb/one").await;
    let nodes: std::collections::BTreeSet<_> =
        lab.pods().await.iter().map(|pod| pod.data.pointer("/spec/nodeName").unwrap().as_str().unwrap().to_owned()).collect();
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["worker", "worker2"]);
    let slices = lab.api("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", "default");
    let full = async {
        loop {
            let items = slices.list(&Default::default()).await.unwrap().items;
            if items.iter().any(|slice| slice.data["endpoints"].as_array().is_some_and(|endpoints| endpoints.len() == 2)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, full).await.unwrap();
    lab.apply(deployment(1, "plumb/one")).await;
    settle(&lab, 1, "plumb/one").await;
    lab.apply(deployment(2, "plumb/two")).await;
    settle(&lab, 2, "plumb/two").await;
}

/// Plays the kubelet until the Deployment is done and its Pods are these.
async fn settle(lab: &Lab, replicas: usize, image: &str) {
    let done = async {
        loop {
            lab.kubelet().await;
            let pods = lab.pods().await;
            let all_new = pods.iter().all(|pod| pod.data.pointer("/spec/containers/0/image") == Some(&json!(image)));
            let status = lab.api("apps/v1", "Deployment", "deployments", "default").get("echo").await.unwrap().data["status"].clone();
            if pods.len() == replicas && all_new && status["readyReplicas"] == replicas && status["replicas"] == replicas {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(LIMIT, done).await.is_err() {
        panic!("{replicas} Pods of {image} did not come about: {:#}", json!(lab.pods().await));
    }
}

#[tokio::test]
async fn from_a_route_to_a_backend_through_api_controllers_and_data_plane() {
    let lab = Lab::start(true, None).await;
    let address = Ipv4Addr::new(127, 77, 1, 1);
    let ctx = NodeContext {
        name: "worker".into(),
        control_plane: false,
        address,
        pod_subnet: Ipv4Addr::new(10, 244, 1, 0),
        interfaces: Vec::new(),
        settings: settings(true),
        faults: FaultSet::default(),
        seed: 1,
    };
    tokio::spawn(crate::gateway::run(lab.client.clone(), ctx, lab.cancel.clone()));
    let mut servers = Vec::new();
    for name in ["one", "two"] {
        let op = ServeOp {
            listen: "127.0.0.1:0".parse().unwrap(),
            protocol: ServeProtocol::Http,
            backend: name.into(),
            pod: String::new(),
            node: String::new(),
            cert_pem: None,
            key_pem: None,
        };
        let server = plumb_agent::Server::start(&op).await.unwrap();
        lab.apply(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}))
            .await;
        lab.apply(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "", "port": server.address().port()}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        }))
        .await;
        servers.push(server);
    }
    lab.apply(http_gateway(8088)).await;
    let mut slowest = Duration::ZERO;
    for (round, backend) in ["one", "two", "one", "two"].into_iter().enumerate() {
        lab.apply(http_route(backend)).await;
        let since = Instant::now();
        let answered = async {
            while get(IpAddr::V4(address), 8088).await.is_none_or(|body| !body.contains(&format!("\"backend\":\"{backend}\""))) {}
        };
        tokio::time::timeout(LIMIT, answered).await.unwrap();
        if round > 0 {
            slowest = slowest.max(since.elapsed());
        }
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

async fn get(address: IpAddr, port: u16) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect((address, port)).await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut body = String::new();
    stream.read_to_string(&mut body).await.ok()?;
    Some(body)
}
