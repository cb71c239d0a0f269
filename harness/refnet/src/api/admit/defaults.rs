//! What Kubernetes' own kinds fill in.

use serde_json::{Map, Value, json};

use super::service;
use crate::api::kinds::Kind;
use crate::api::object::{as_map, child, default, meta, text};

pub(super) fn complete(kind: &Kind, object: &mut Value, old: Option<&Value>) {
    match kind.kind.as_str() {
        "Namespace" => {
            let name = meta(object, "name").to_owned();
            child(child_value(object, "metadata"), "labels").insert("kubernetes.io/metadata.name".to_owned(), json!(name));
            default(child(object, "spec"), "finalizers", json!(["kubernetes"]));
            default(child(object, "status"), "phase", "Active");
        }
        "Pod" => {
            complete_pod(child(object, "spec"));
            let status = child(object, "status");
            default(status, "phase", "Pending");
            default(status, "qosClass", "BestEffort");
        }
        "Service" => service::complete(object, old),
        "Secret" => complete_secret(as_map(object)),
        "Deployment" => {
            let spec = child(object, "spec");
            default(spec, "replicas", 1);
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "progressDeadlineSeconds", 600);
            default(spec, "strategy", json!({"type": "RollingUpdate"}));
            if spec["strategy"]["type"] == "RollingUpdate" {
                default(as_map(&mut spec["strategy"]), "rollingUpdate", json!({"maxSurge": "25%", "maxUnavailable": "25%"}));
            }
            complete_template(spec);
        }
        "ReplicaSet" => {
            let spec = child(object, "spec");
            default(spec, "replicas", 1);
            complete_template(spec);
        }
        "DaemonSet" => {
            let spec = child(object, "spec");
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}));
            complete_template(spec);
        }
        "EndpointSlice" => {
            for port in object.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                let port = as_map(port);
                default(port, "name", "");
                default(port, "protocol", "TCP");
            }
        }
        "CustomResourceDefinition" => complete_definition(child(object, "spec")),
        _ => {}
    }
}

/// A member as a value, made a map when absent.
fn child_value<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    child(object, key);
    &mut object[key]
}

fn complete_template(spec: &mut Map<String, Value>) {
    if let Some(template) = spec.get_mut("template").filter(|t| t.is_object()) {
        complete_pod(child(template, "spec"));
    }
}

fn complete_pod(spec: &mut Map<String, Value>) {
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "securityContext", json!({}));
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter(|c| c.is_object()) {
            let container = as_map(container);
            let latest = container
                .get("image")
                .and_then(Value::as_str)
                .is_some_and(|i| i.ends_with(":latest") || !i.rsplit('/').next().unwrap_or(i).contains([':', '@']));
            default(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
            default(container, "terminationMessagePath", "/dev/termination-log");
            default(container, "terminationMessagePolicy", "File");
            default(container, "resources", json!({}));
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().filter(|p| p.is_object()) {
                let number = port.get("containerPort").cloned();
                let port = as_map(port);
                default(port, "protocol", "TCP");
                if let (true, Some(number)) = (host_network, number) {
                    default(port, "hostPort", number);
                }
            }
        }
    }
}

fn complete_secret(secret: &mut Map<String, Value>) {
    use base64::Engine as _;
    default(secret, "type", "Opaque");
    if let Some(Value::Object(plain)) = secret.shift_remove("stringData") {
        let mut data = secret.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        for (key, value) in plain {
            data.insert(key, json!(base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default())));
        }
        secret.insert("data".to_owned(), Value::Object(data));
    }
}

fn complete_definition(spec: &mut Map<String, Value>) {
    default(spec, "conversion", json!({"strategy": "None"}));
    if let Some(names) = spec.get_mut("names").filter(|n| n.is_object()) {
        let kind = text(names, "/kind").to_owned();
        let names = as_map(names);
        default(names, "singular", kind.to_ascii_lowercase());
        default(names, "listKind", format!("{kind}List"));
    }
}
