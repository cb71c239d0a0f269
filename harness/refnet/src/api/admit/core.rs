//! What Kubernetes' own kinds refuse.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::check_port;
use super::service::{self, check_protocol};
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{as_map, items, meta, text};
use crate::api::status::Cause;

pub(super) fn validate(kind: &Kind, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    match kind.kind.as_str() {
        "Pod" => {
            validate_pod(object.get("spec").unwrap_or(&Value::Null), "spec", causes);
            if let Some(old) = old {
                validate_pod_change(object, old, causes);
            }
        }
        "Deployment" | "ReplicaSet" | "DaemonSet" => validate_workload(object, old, causes),
        "Service" => service::validate(object, old, causes),
        "Secret" => validate_secret(object, old, causes),
        "ConfigMap" => validate_config(object, old, causes),
        "EndpointSlice" => validate_slice(object, causes),
        "Lease" => {
            for (field, minimum) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
                let value = object.pointer(&format!("/spec/{field}"));
                if let Some(value) = value.filter(|v| v.as_i64().is_some_and(|n| n < minimum)) {
                    causes.push(Cause::invalid(format!("spec.{field}"), value, format!("must be at least {minimum}")));
                }
            }
        }
        "CustomResourceDefinition" => validate_definition(object, causes),
        "Node" => {
            for (index, taint) in items(object, "/spec/taints").iter().enumerate() {
                let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
                if !effects.contains(&text(taint, "/effect")) {
                    causes.push(Cause::unsupported(format!("spec.taints[{index}].effect"), &taint["effect"], &effects));
                }
            }
        }
        _ => {}
    }
}

fn validate_pod(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = items(spec, "/containers");
    if containers.is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut names_seen = Vec::new();
    for (list, containers) in [("containers", containers), ("initContainers", items(spec, "/initContainers"))] {
        for (index, container) in containers.iter().enumerate() {
            let at = format!("{path}.{list}[{index}]");
            let name = text(container, "/name");
            if !names::is_label(name) {
                causes.push(Cause::invalid(format!("{at}.name"), &json!(name), names::LABEL_RULE));
            }
            if names_seen.contains(&name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
            }
            names_seen.push(name);
            if text(container, "/image").is_empty() && path == "spec" {
                causes.push(Cause::required(format!("{at}.image"), ""));
            }
            for (number, port) in items(container, "/ports").iter().enumerate() {
                check_port(port.get("containerPort"), &format!("{at}.ports[{number}].containerPort"), causes);
                check_protocol(port, &format!("{at}.ports[{number}].protocol"), causes);
            }
            for (number, env) in items(container, "/env").iter().enumerate() {
                if text(env, "/name").is_empty() {
                    causes.push(Cause::required(format!("{at}.env[{number}].name"), ""));
                }
            }
        }
    }
    let policies = ["Always", "OnFailure", "Never"];
    if !policies.contains(&text(spec, "/restartPolicy")) {
        causes.push(Cause::unsupported(format!("{path}.restartPolicy"), &spec["restartPolicy"], &policies));
    }
}

/// Of a Pod that runs, little may change. A node may be set once: the lab's scheduler may patch where the real one binds.
fn validate_pod_change(object: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let comparable = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or(Value::Null);
        for key in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
            as_map(&mut spec).shift_remove(key);
        }
        if text(old, "/spec/nodeName").is_empty() {
            as_map(&mut spec).shift_remove("nodeName");
        }
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                as_map(container).shift_remove("image");
                as_map(container).shift_remove("imagePullPolicy");
            }
        }
        spec
    };
    if comparable(object) != comparable(old) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, \
                   `spec.activeDeadlineSeconds`, `spec.tolerations`, `spec.terminationGracePeriodSeconds`";
        causes.push(Cause::forbidden("spec", why));
    }
}

fn validate_workload(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    if let Some(replicas) = object.pointer("/spec/replicas").filter(|r| r.as_i64().is_some_and(|n| n < 0)) {
        causes.push(Cause::invalid("spec.replicas", replicas, "must be greater than or equal to 0"));
    }
    let selector = object.pointer("/spec/selector");
    let wanted = selector.and_then(|s| s.get("matchLabels")).and_then(Value::as_object);
    let expressions = selector.and_then(|s| s.get("matchExpressions")).and_then(Value::as_array);
    if wanted.is_none_or(Map::is_empty) && expressions.is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.selector", "empty selector is invalid"));
    }
    let labels = object.pointer("/spec/template/metadata/labels");
    for (key, value) in wanted.into_iter().flatten() {
        if labels.and_then(|l| l.get(key)) != Some(value) {
            let shown = labels.cloned().unwrap_or(json!({}));
            causes.push(Cause::invalid("spec.template.metadata.labels", &shown, "`selector` does not match template `labels`"));
            break;
        }
    }
    if old.is_some_and(|old| old.pointer("/spec/selector") != selector) {
        causes.push(Cause::invalid("spec.selector", selector.unwrap_or(&Value::Null), "field is immutable"));
    }
    validate_pod(object.pointer("/spec/template/spec").unwrap_or(&Value::Null), "spec.template.spec", causes);
}

fn validate_secret(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let data = object.get("data").and_then(Value::as_object);
    for key in data.into_iter().flatten().map(|(k, _)| k).filter(|k| !names::is_data_key(k)) {
        causes.push(Cause::invalid(
            format!("data[{key}]"),
            &json!(key),
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        ));
    }
    if text(object, "/type") == "kubernetes.io/tls" {
        for key in ["tls.crt", "tls.key"] {
            if data.is_none_or(|d| !d.contains_key(key)) {
                causes.push(Cause::required(format!("data[{key}]"), ""));
            }
        }
    }
    if old.is_some_and(|old| old.get("type") != object.get("type")) {
        causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
    }
    validate_immutable(object, old, causes);
}

fn validate_config(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for (key, _) in object.get(field).and_then(Value::as_object).into_iter().flatten() {
            if !names::is_data_key(key) {
                causes.push(Cause::invalid(
                    format!("{field}[{key}]"),
                    &json!(key),
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                ));
            }
        }
    }
    validate_immutable(object, old, causes);
}

fn validate_immutable(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let Some(old) = old.filter(|old| old["immutable"] == json!(true)) else { return };
    for field in ["data", "binaryData", "immutable"] {
        if old.get(field) != object.get(field) {
            causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
        }
    }
}

fn validate_slice(object: &Value, causes: &mut Vec<Cause>) {
    let families = ["FQDN", "IPv4", "IPv6"];
    let family = text(object, "/addressType");
    if !families.contains(&family) {
        causes.push(Cause::unsupported("addressType", &json!(family), &families));
    }
    for (index, endpoint) in items(object, "/endpoints").iter().enumerate() {
        if items(endpoint, "/addresses").is_empty() {
            causes.push(Cause::required(format!("endpoints[{index}].addresses"), "must contain at least 1 address"));
        }
        for (number, address) in items(endpoint, "/addresses").iter().enumerate() {
            let fits = match (family, address.as_str().and_then(|a| a.parse::<IpAddr>().ok())) {
                ("IPv4", Some(ip)) => ip.is_ipv4(),
                ("IPv6", Some(ip)) => ip.is_ipv6(),
                ("IPv4" | "IPv6", None) => false,
                _ => true,
            };
            if !fits {
                causes.push(Cause::invalid(
                    format!("endpoints[{index}].addresses[{number}]"),
                    address,
                    format!("must be an {family} address"),
                ));
            }
        }
    }
    for (index, port) in items(object, "/ports").iter().enumerate() {
        check_port(port.get("port"), &format!("ports[{index}].port"), causes);
        check_protocol(port, &format!("ports[{index}].protocol"), causes);
    }
}

fn validate_definition(object: &Value, causes: &mut Vec<Cause>) {
    let (group, plural) = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
    if meta(object, "name") != format!("{plural}.{group}") {
        causes.push(Cause::invalid("metadata.name", &json!(meta(object, "name")), "must be spec.names.plural+\".\"+spec.group"));
    }
    if !names::is_subdomain(group) || !group.contains('.') {
        causes.push(Cause::invalid("spec.group", &json!(group), "should be a domain with at least one dot"));
    }
    if !names::is_letter_label(plural) {
        causes.push(Cause::invalid("spec.names.plural", &json!(plural), names::LABEL_RULE));
    }
    let scopes = ["Cluster", "Namespaced"];
    if !scopes.contains(&text(object, "/spec/scope")) {
        causes.push(Cause::unsupported("spec.scope", &object["spec"]["scope"], &scopes));
    }
    let versions = items(object, "/spec/versions");
    if versions.iter().filter(|v| v["storage"] == json!(true)).count() != 1 {
        causes.push(Cause::invalid("spec.versions", &json!(versions.len()), "must have exactly one version marked as storage version"));
    }
    for (index, version) in versions.iter().enumerate() {
        if !names::is_letter_label(text(version, "/name")) {
            causes.push(Cause::invalid(format!("spec.versions[{index}].name"), &version["name"], names::LABEL_RULE));
        }
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            causes.push(Cause::required(format!("spec.versions[{index}].schema.openAPIV3Schema"), "schemas are required"));
        }
    }
    let builtin = ["apps", "discovery.k8s.io", "coordination.k8s.io", "apiextensions.k8s.io", "meta.k8s.io"];
    if builtin.contains(&group) {
        causes.push(Cause::forbidden("spec.group", "this group is the API's own"));
    }
}
