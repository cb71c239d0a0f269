//! Backends: echo servers with an id, as a Deployment and a Service each. What they serve is in their environment; a key is in a Secret.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine as _;
use plumb_core::probe::{ServeOp, ServeProtocol};
use plumb_core::scenario::model::{Backend, BackendProtocol};
use plumb_core::steps::span_ms;
use serde_json::{Map, Value, json};

use crate::certs::Leaf;

/// Label with the backend's id, on Pods and Deployments.
pub const BACKEND_LABEL: &str = "plumbline.backend";

/// The processor time a backend requests: more than it uses, and a dozen of them fit on a node of two processors beside Cilium.
const CPU: &str = "100m";

/// The variable the agent reads its servers from: a JSON list of [`ServeOp`].
pub const SERVE_VARIABLE: &str = "PLUMB_SERVE";

/// Everything to apply for a backend. `node` is the Kubernetes name of the node it must run on, `image` the agent's as the lab names it.
///
/// # Errors
/// The servers cannot be written as JSON.
pub fn objects(id: &str, backend: &Backend, leaf: Option<&Leaf>, node: Option<&str>, image: &str) -> Result<Vec<Value>, serde_json::Error> {
    let serve = serde_json::to_string(&[serve(id, backend, leaf)])?;
    let mut objects = Vec::new();
    let mut env = vec![
        json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}),
    ];
    if leaf.is_some() {
        let secret = format!("plumb-serve-{id}");
        env.push(json!({"name": SERVE_VARIABLE, "valueFrom": {"secretKeyRef": {"name": secret, "key": "serve"}}}));
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": secret, "namespace": backend.namespace},
            "data": {"serve": base64::engine::general_purpose::STANDARD.encode(&serve)},
        }));
    } else {
        env.push(json!({"name": SERVE_VARIABLE, "value": serve}));
    }
    objects.push(deployment(id, backend, node, &env, image));
    objects.extend(service(id, backend));
    Ok(objects)
}

/// What a wait for a rollout says of a Deployment: `Ok` when every replica that was asked for is available and no other is left.
///
/// # Errors
/// What is missing, in words.
pub fn rolled_out(deployment: Option<&Value>) -> Result<(), String> {
    let Some(deployment) = deployment else { return Err("the Deployment does not exist".into()) };
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64);
    let wanted = number("/spec/replicas").unwrap_or(1);
    let status = |field: &str| number(&format!("/status/{field}")).unwrap_or(0);
    if status("observedGeneration") < number("/metadata/generation").unwrap_or(0) {
        return Err("its controller has not seen the newest specification".into());
    }
    let (updated, available, all) = (status("updatedReplicas"), status("availableReplicas"), status("replicas"));
    if updated == wanted && available == wanted && all == wanted {
        Ok(())
    } else {
        Err(format!("{available} of {wanted} replicas available, {updated} up to date, {all} in all"))
    }
}

/// Name of the Service in front of a backend; `None` when it has none.
pub fn service_name(id: &str, backend: &Backend) -> Option<String> {
    match &backend.service {
        Some(service) if service.r#type.as_deref() == Some("None") => None,
        Some(service) => Some(service.name.clone().unwrap_or_else(|| id.to_owned())),
        None => Some(id.to_owned()),
    }
}

fn serve(id: &str, backend: &Backend, leaf: Option<&Leaf>) -> ServeOp {
    ServeOp {
        listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), backend.port),
        protocol: match backend.protocol {
            BackendProtocol::Http => ServeProtocol::Http,
            BackendProtocol::Tcp => ServeProtocol::TcpEcho,
            BackendProtocol::Udp => ServeProtocol::UdpEcho,
        },
        backend: id.to_owned(),
        // Filled by the agent from POD_NAME and NODE_NAME.
        pod: String::new(),
        node: String::new(),
        cert_pem: leaf.map(|leaf| leaf.cert_pem.clone()),
        key_pem: leaf.map(|leaf| leaf.key_pem().to_owned()),
    }
}

fn transport(backend: &Backend) -> &'static str {
    if backend.protocol == BackendProtocol::Udp { "UDP" } else { "TCP" }
}

fn deployment(id: &str, backend: &Backend, node: Option<&str>, env: &[Value], image: &str) -> Value {
    let mut labels: Map<String, Value> = backend.labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    labels.insert("app".into(), id.into());
    labels.insert(BACKEND_LABEL.into(), id.into());
    let mut container = json!({
        "name": "agent", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["serve", "--config-env", SERVE_VARIABLE], "env": env,
        "ports": [{"containerPort": backend.port, "protocol": transport(backend)}],
        // A Pod that requests nothing has next to no share of a processor that others want too: a backend that is starved looks like a
        // network that is away.
        "resources": {"requests": {"cpu": CPU}},
    });
    if transport(backend) == "TCP" {
        container["readinessProbe"] = json!({"tcpSocket": {"port": backend.port}, "periodSeconds": 1});
    }
    let lingers_s = backend.lingers.as_ref().map_or(0, |span| span_ms(span).div_ceil(1_000));
    if lingers_s > 0 {
        container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": lingers_s}}});
    }
    let mut spec = json!({"containers": [container], "terminationGracePeriodSeconds": 5 + lingers_s});
    if let Some(node) = node {
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        spec["tolerations"] = json!([{"operator": "Exists"}]);
    }
    if backend.host_network {
        spec["hostNetwork"] = json!(true);
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": id, "namespace": backend.namespace, "labels": {BACKEND_LABEL: id}},
        "spec": {
            "replicas": backend.replicas,
            "selector": {"matchLabels": {BACKEND_LABEL: id}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

fn service(id: &str, backend: &Backend) -> Option<Value> {
    let name = service_name(id, backend)?;
    let asked = backend.service.clone().unwrap_or_default();
    Some(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": backend.namespace, "labels": asked.labels},
        "spec": {
            "type": asked.r#type.unwrap_or_else(|| "ClusterIP".into()),
            "selector": {BACKEND_LABEL: id},
            "ports": [{"name": "main", "port": backend.port, "targetPort": backend.port, "protocol": transport(backend)}],
        },
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn backend() -> Backend {
        serde_json::from_value(json!({"port": 8080})).unwrap()
    }

    #[test]
    fn a_key_goes_into_a_secret_and_never_into_a_deployment() {
        let wanted = serde_json::from_value(json!({"c": {"sans": ["a.example"]}})).unwrap();
        let certs = crate::certs::Certs::make(&wanted, 1_800_000_000).unwrap();
        let objects = objects("echo", &backend(), certs.leaf("c"), None, "plumb-agent").unwrap();
        assert_eq!(objects[0]["kind"], "Secret");
        assert!(objects[1..].iter().all(|object| !object.to_string().contains("PRIVATE KEY")));
    }

    #[test]
    fn a_backend_has_a_share_of_the_processor() {
        let objects = objects("echo", &backend(), None, None, "i").unwrap();
        assert_eq!(objects[0].pointer("/spec/template/spec/containers/0/resources/requests/cpu"), Some(&json!("100m")));
    }

    #[test]
    fn a_backend_that_lingers_sleeps_before_its_end_and_has_the_grace_for_it() {
        let lingering: Backend = serde_json::from_value(json!({"port": 8080, "lingers": "1500ms"})).unwrap();
        let spec =
            |backend: &Backend| objects("echo", backend, None, None, "i").unwrap()[0].pointer("/spec/template/spec").unwrap().clone();
        assert_eq!(spec(&lingering).pointer("/containers/0/lifecycle/preStop/sleep/seconds"), Some(&json!(2)));
        assert_eq!(spec(&lingering)["terminationGracePeriodSeconds"], 7);
        assert_eq!(spec(&backend()).pointer("/containers/0/lifecycle"), None);
    }

    #[test]
    fn a_rollout_waits_for_the_old_pods_too() {
        let state = |all: u64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 1, "replicas": all}})
        };
        assert_eq!(rolled_out(Some(&state(1))), Ok(()));
        assert_eq!(rolled_out(Some(&state(2))), Err("1 of 1 replicas available, 1 up to date, 2 in all".into()));
        assert!(rolled_out(None).is_err());
    }
}
