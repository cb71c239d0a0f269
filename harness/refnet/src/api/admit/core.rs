//! Kubernetes' own kinds.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value, json};

use super::{Taken, check_port};
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{as_map, child, default, items, meta, text};
use crate::api::status::Cause;

/// Services' addresses are the /16 from here on.
const SERVICE_NETWORK: [u8; 2] = [10, 96];

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
        "Service" => complete_service(object, old),
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

fn complete_service(object: &mut Value, old: Option<&Value>) {
    let old_address = old.map(|old| (old.pointer("/spec/clusterIP").cloned(), old.pointer("/spec/clusterIPs").cloned()));
    let spec = child(object, "spec");
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    if spec["type"] == "ExternalName" {
        return;
    }
    default(spec, "internalTrafficPolicy", "Cluster");
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", "SingleStack");
    match spec["type"].as_str() {
        Some("LoadBalancer") => {
            default(spec, "externalTrafficPolicy", "Cluster");
            default(spec, "allocateLoadBalancerNodePorts", true);
        }
        Some("NodePort") => default(spec, "externalTrafficPolicy", "Cluster"),
        _ => {
            spec.shift_remove("externalTrafficPolicy");
            spec.shift_remove("allocateLoadBalancerNodePorts");
        }
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().filter(|p| p.is_object()) {
        let number = port.get("port").cloned();
        let port = as_map(port);
        default(port, "protocol", "TCP");
        if let Some(number) = number {
            default(port, "targetPort", number);
        }
    }
    // An update that leaves the address out keeps it.
    if let Some((Some(address), addresses)) = old_address
        && spec.get("clusterIP").and_then(Value::as_str).is_none_or(str::is_empty)
    {
        spec.insert("clusterIP".to_owned(), address);
        if let Some(addresses) = addresses {
            default(spec, "clusterIPs", addresses);
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

pub(super) fn validate(kind: &Kind, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    match kind.kind.as_str() {
        "Pod" => {
            validate_pod(object.get("spec").unwrap_or(&Value::Null), "spec", causes);
            if let Some(old) = old {
                validate_pod_change(object, old, causes);
            }
        }
        "Deployment" | "ReplicaSet" | "DaemonSet" => validate_workload(object, old, causes),
        "Service" => validate_service(object, old, causes),
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

fn check_protocol(port: &Value, path: &str, causes: &mut Vec<Cause>) {
    let protocols = ["SCTP", "TCP", "UDP"];
    if let Some(protocol) = port.get("protocol").filter(|p| !p.as_str().is_some_and(|p| protocols.contains(&p))) {
        causes.push(Cause::unsupported(path, protocol, &protocols));
    }
}

fn validate_service(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let kind = text(object, "/spec/type");
    if !kinds.contains(&kind) {
        causes.push(Cause::unsupported("spec.type", &json!(kind), &kinds));
    }
    let ports = items(object, "/spec/ports");
    let headless = text(object, "/spec/clusterIP") == "None";
    if ports.is_empty() && kind != "ExternalName" && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut seen: Vec<(&Value, &str)> = Vec::new();
    let mut names_seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        check_port(port.get("port"), &format!("{at}.port"), causes);
        check_protocol(port, &format!("{at}.protocol"), causes);
        match port.get("targetPort") {
            Some(target @ Value::Number(_)) => check_port(Some(target), &format!("{at}.targetPort"), causes),
            Some(Value::String(name)) if !names::is_label(name) || name.len() > 15 => {
                causes.push(Cause::invalid(
                    format!("{at}.targetPort"),
                    &json!(name),
                    "must be no more than 15 characters and a valid port name",
                ));
            }
            _ => {}
        }
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !name.is_empty() && !names::is_label(name) {
            causes.push(Cause::invalid(format!("{at}.name"), &json!(name), names::LABEL_RULE));
        } else if !name.is_empty() && names_seen.contains(&name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
        }
        names_seen.push(name);
        let key = (&port["port"], text(port, "/protocol"));
        if seen.contains(&key) {
            causes.push(Cause::duplicate(at, port));
        }
        seen.push(key);
    }
    for (index, address) in items(object, "/spec/externalIPs").iter().enumerate() {
        if address.as_str().is_none_or(|a| a.parse::<IpAddr>().is_err()) {
            causes.push(Cause::invalid(
                format!("spec.externalIPs[{index}]"),
                address,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        }
    }
    let policies = ["Cluster", "Local"];
    if let Some(policy) = object.pointer("/spec/externalTrafficPolicy").filter(|p| !p.as_str().is_some_and(|p| policies.contains(&p))) {
        causes.push(Cause::unsupported("spec.externalTrafficPolicy", policy, &policies));
    }
    let class = |service: &Value| text(service, "/spec/loadBalancerClass").to_owned();
    if let Some(old) = old.filter(|old| text(old, "/spec/type") == "LoadBalancer" && kind == "LoadBalancer")
        && class(old) != class(object)
    {
        causes.push(Cause::invalid("spec.loadBalancerClass", &json!(class(object)), "may not change once set"));
    }
}

/// Gives a Service its address, or checks the one it asks for.
pub(in crate::api) fn cluster_address(object: &mut Value, old: Option<&Value>, taken: &Taken) -> Result<(), Vec<Cause>> {
    let kind = text(object, "/spec/type").to_owned();
    let asked = text(object, "/spec/clusterIP").to_owned();
    if kind == "ExternalName" {
        if !asked.is_empty() && asked != "None" {
            return Err(vec![Cause::invalid("spec.clusterIP", &json!(asked), "may not be set for ExternalName services")]);
        }
        return Ok(());
    }
    let before = old.map(|old| text(old, "/spec/clusterIP")).filter(|a| !a.is_empty());
    if let Some(before) = before.filter(|before| *before != asked) {
        let why = format!("field is immutable: may not change from {before:?}");
        return Err(vec![Cause::invalid("spec.clusterIP", &json!(asked), why)]);
    }
    let address = match asked.as_str() {
        "None" => "None".to_owned(),
        "" => free_address(taken)
            .map(|a| a.to_string())
            .ok_or_else(|| vec![Cause::invalid("spec.clusterIP", &json!(""), "failed to allocate an address: the range is full")])?,
        asked => {
            let parsed = asked.parse::<Ipv4Addr>().ok().filter(|a| a.octets()[..2] == SERVICE_NETWORK);
            let Some(parsed) = parsed else {
                let why = "failed to allocate IP: the provided IP is not in the valid range of 10.96.0.0/16";
                return Err(vec![Cause::invalid("spec.clusterIP", &json!(asked), why)]);
            };
            if before.is_none() && taken.contains(&parsed) {
                return Err(vec![Cause::invalid(
                    "spec.clusterIP",
                    &json!(asked),
                    "failed to allocate IP: provided IP is already allocated",
                )]);
            }
            asked.to_owned()
        }
    };
    let spec = child(object, "spec");
    spec.insert("clusterIPs".to_owned(), json!([address]));
    spec.insert("clusterIP".to_owned(), json!(address));
    Ok(())
}

/// The first address nobody has; .0.1 is the API's own by custom.
fn free_address(taken: &Taken) -> Option<Ipv4Addr> {
    let [a, b] = SERVICE_NETWORK;
    (0..=255u8).flat_map(|c| (0..=255u8).map(move |d| (c, d))).skip(10).map(|(c, d)| Ipv4Addr::new(a, b, c, d)).find(|x| !taken.contains(x))
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
