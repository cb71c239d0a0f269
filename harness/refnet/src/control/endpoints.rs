//! EndpointSlices: one for each Service with a selector, from the Pods that are ready. Pods that are being deleted are out at once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::write::{digest, ignore_gone, is_code};
use super::{Cluster, Controller};

/// The EndpointSlice controller.
#[derive(Debug)]
pub(super) struct Endpoints;

impl Controller for Endpoints {
    async fn step(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        let pods = cluster.pods.all();
        // One that cannot be written keeps nobody else waiting.
        let mut outcome = Ok(());
        for service in cluster.source.services().all() {
            if let Some(wanted) = slice(&service, &pods) {
                outcome = outcome.and(write(cluster, &service, wanted).await);
            }
        }
        outcome
    }
}

/// Makes the slice of a Service, or brings it up to date.
async fn write(cluster: &Cluster, service: &Service, wanted: Value) -> Result<(), kube::Error> {
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let name = slice_name(service);
    let api: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), &namespace);
    let read: EndpointSlice = serde_json::from_value(wanted.clone()).map_err(kube::Error::SerdeError)?;
    match cluster.source.slices().find(&namespace, &name) {
        None => match api.create(&PostParams::default(), &read).await {
            Err(error) if !is_code(&error, 409) => ignore_gone(error),
            _ => Ok(()),
        },
        Some(known) if read.endpoints != known.endpoints || read.ports != known.ports => {
            let patch = json!({"endpoints": wanted.get("endpoints"), "ports": wanted.get("ports")});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ()).or_else(ignore_gone)
        }
        Some(_) => Ok(()),
    }
}

fn slice_name(service: &Service) -> String {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    format!("{name}-{}", digest(name, 5))
}

/// The slice of a Service; `None` when it has no selector.
fn slice(service: &Service, pods: &[Arc<Pod>]) -> Option<Value> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    if service.metadata.deletion_timestamp.is_some() || spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let chosen: Vec<_> = pods
        .iter()
        .filter(|pod| pod.metadata.namespace == service.metadata.namespace && is_ready(pod))
        .filter(|pod| {
            let labels = pod.metadata.labels.as_ref();
            selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
        })
        .collect();
    let endpoints: Vec<_> = chosen.iter().filter_map(|pod| endpoint(pod)).collect();
    let ports: Vec<_> = spec.ports.iter().flatten().filter_map(|port| target(port, chosen.first().copied())).collect();
    let name = service.metadata.name.as_deref()?;
    Some(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(service),
            "namespace": service.metadata.namespace,
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": name, "uid": service.metadata.uid.as_deref().unwrap_or_default(),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn endpoint(pod: &Pod) -> Option<Value> {
    let address = pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())?;
    Some(json!({
        "addresses": [address],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": pod.spec.as_ref()?.node_name,
        "targetRef": {"kind": "Pod", "name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
    }))
}

/// A port of the slice; a named target is looked up in a Pod, and is left out while there is none.
fn target(port: &ServicePort, pod: Option<&Arc<Pod>>) -> Option<Value> {
    let number = match &port.target_port {
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = pod.and_then(|pod| pod.spec.as_ref()).map(|spec| spec.containers.as_slice()).unwrap_or_default();
            let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
            ports.find(|entry| entry.name.as_deref() == Some(name))?.container_port
        }
    };
    let name = port.name.as_deref().unwrap_or_default();
    Some(json!({"name": name, "port": number, "protocol": port.protocol.as_deref().unwrap_or("TCP")}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn pod(name: &str, extra: Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "default", "labels": {"app": "echo"}},
            "spec": {"nodeName": "worker", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"podIP": format!("10.244.1.{}", name.len()), "conditions": [{"type": "Ready", "status": "True"}]},
        });
        json_patch::merge(&mut pod, &extra);
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn only_ready_pods_that_stay_are_endpoints() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "echo", "namespace": "default", "uid": "s"},
            "spec": {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": "http"}]},
        }))
        .unwrap();
        let pods = [
            pod("a", json!({})),
            pod("bb", json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})),
            pod("ccc", json!({"metadata": {"deletionTimestamp": "2026-11-23T00:00:00Z"}})),
            pod("dddd", json!({"metadata": {"labels": {"app": "other"}}})),
            pod("eeeee", json!({"metadata": {"namespace": "other"}})),
        ];
        let slice: EndpointSlice = serde_json::from_value(slice(&service, &pods).unwrap()).unwrap();
        let addresses: Vec<_> = slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.clone()).collect();
        assert_eq!(addresses, ["10.244.1.1"]);
        assert_eq!(slice.ports.unwrap()[0].port, Some(8080));
    }
}
