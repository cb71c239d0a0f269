//! The columns of Kubernetes' own kinds, as `kubectl get` prints them.

use serde_json::{Value, json};

use super::column::{Column, age, find, first};

/// The columns of a kind.
pub(super) fn columns(kind: &str) -> Vec<Column> {
    match kind {
        "Node" => node_columns(),
        "Pod" => pod_columns(),
        "Event" => event_columns(),
        "Deployment" | "DaemonSet" | "ReplicaSet" => workload_columns(kind),
        "Service" => service_columns(),
        "Namespace" => vec![Column::name(), Column::path("Status", ".status.phase"), Column::age()],
        "Endpoints" => vec![Column::name(), Column::made("Endpoints", endpoint_addresses), Column::age()],
        "Secret" => {
            vec![Column::name(), Column::path("Type", ".type"), Column::made("Data", |o, _| json!(members(o, "data"))), Column::age()]
        }
        "ConfigMap" => {
            vec![Column::name(), Column::made("Data", |o, _| json!(members(o, "data") + members(o, "binaryData"))), Column::age()]
        }
        "ServiceAccount" => vec![
            Column::name(),
            Column::made("Secrets", |o, _| json!(o.get("secrets").and_then(Value::as_array).map_or(0, Vec::len))),
            Column::age(),
        ],
        "EndpointSlice" => vec![
            Column::name(),
            Column::path("AddressType", ".addressType"),
            Column::made("Ports", |o, _| listed(o, ".ports[*].port")),
            Column::made("Endpoints", |o, _| listed(o, ".endpoints[*].addresses[*]")),
            Column::age(),
        ],
        "Lease" => vec![Column::name(), Column::path("Holder", ".spec.holderIdentity"), Column::age()],
        "CustomResourceDefinition" => vec![Column::name(), Column::path("Created At", ".metadata.creationTimestamp")],
        _ => vec![Column::name(), Column::age()],
    }
}

fn service_columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::path("Type", ".spec.type"),
        Column::made("Cluster-IP", |o, _| or_none(first(o, ".spec.clusterIP"))),
        Column::made("External-IP", external_address),
        Column::made("Port(s)", service_ports),
        Column::age(),
        Column::made("Selector", |o, _| pairs(first(o, ".spec.selector"))).wide(),
    ]
}

fn event_columns() -> Vec<Column> {
    vec![
        Column::made("Last Seen", |o, now| {
            let seen = first(o, ".lastTimestamp").or(first(o, ".eventTime")).or(first(o, ".metadata.creationTimestamp"));
            json!(seen.and_then(Value::as_str).map_or("<unknown>".to_owned(), |t| age(t, now)))
        }),
        Column::path("Type", ".type"),
        Column::path("Reason", ".reason"),
        Column::made("Object", |o, _| {
            let part = |p| first(o, p).and_then(Value::as_str).unwrap_or_default();
            json!(format!("{}/{}", part(".involvedObject.kind").to_ascii_lowercase(), part(".involvedObject.name")))
        }),
        Column::path("Message", ".message"),
        Column::path("Name", ".metadata.name").wide(),
    ]
}

fn workload_columns(kind: &str) -> Vec<Column> {
    match kind {
        "Deployment" => vec![
            Column::name(),
            Column::made("Ready", |o, _| json!(format!("{}/{}", whole(o, ".status.readyReplicas"), whole(o, ".spec.replicas")))),
            Column::made("Up-to-date", |o, _| json!(whole(o, ".status.updatedReplicas"))),
            Column::made("Available", |o, _| json!(whole(o, ".status.availableReplicas"))),
            Column::age(),
            Column::made("Containers", |o, _| joined(o, ".spec.template.spec.containers[*].name")).wide(),
            Column::made("Images", |o, _| joined(o, ".spec.template.spec.containers[*].image")).wide(),
            Column::made("Selector", |o, _| pairs(first(o, ".spec.selector.matchLabels"))).wide(),
        ],
        "DaemonSet" => vec![
            Column::name(),
            Column::made("Desired", |o, _| json!(whole(o, ".status.desiredNumberScheduled"))),
            Column::made("Current", |o, _| json!(whole(o, ".status.currentNumberScheduled"))),
            Column::made("Ready", |o, _| json!(whole(o, ".status.numberReady"))),
            Column::made("Up-to-date", |o, _| json!(whole(o, ".status.updatedNumberScheduled"))),
            Column::made("Available", |o, _| json!(whole(o, ".status.numberAvailable"))),
            Column::made("Node Selector", |o, _| pairs(first(o, ".spec.template.spec.nodeSelector"))),
            Column::age(),
        ],
        _ => vec![
            Column::name(),
            Column::made("Desired", |o, _| json!(whole(o, ".spec.replicas"))),
            Column::made("Current", |o, _| json!(whole(o, ".status.replicas"))),
            Column::made("Ready", |o, _| json!(whole(o, ".status.readyReplicas"))),
            Column::age(),
        ],
    }
}

fn node_columns() -> Vec<Column> {
    fn address(object: &Value, kind: &str) -> Value {
        let list = object.pointer("/status/addresses").and_then(Value::as_array);
        let found = list.and_then(|l| l.iter().find(|a| a.get("type").and_then(Value::as_str) == Some(kind)));
        or_none(found.and_then(|a| a.get("address")))
    }
    vec![
        Column::name(),
        Column::made("Status", |o, _| {
            let ready = find(o, r#".status.conditions[?(@.type=="Ready")].status"#).first().and_then(|s| s.as_str());
            let mut text = match ready {
                Some("True") => "Ready",
                Some(_) => "NotReady",
                None => "Unknown",
            }
            .to_owned();
            if first(o, ".spec.unschedulable") == Some(&Value::Bool(true)) {
                text.push_str(",SchedulingDisabled");
            }
            json!(text)
        }),
        Column::made("Roles", |o, _| {
            let labels = o.pointer("/metadata/labels").and_then(Value::as_object);
            let roles = labels.into_iter().flatten().filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/")).collect::<Vec<_>>();
            if roles.is_empty() { json!("<none>") } else { json!(roles.join(",")) }
        }),
        Column::age(),
        Column::made("Version", |o, _| or_none(first(o, ".status.nodeInfo.kubeletVersion"))),
        Column::made("Internal-IP", |o, _| address(o, "InternalIP")).wide(),
        Column::made("External-IP", |o, _| address(o, "ExternalIP")).wide(),
        Column::made("OS-Image", |o, _| or_none(first(o, ".status.nodeInfo.osImage"))).wide(),
        Column::made("Kernel-Version", |o, _| or_none(first(o, ".status.nodeInfo.kernelVersion"))).wide(),
        Column::made("Container-Runtime", |o, _| or_none(first(o, ".status.nodeInfo.containerRuntimeVersion"))).wide(),
    ]
}

fn pod_columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::made("Ready", |o, _| {
            let total = o.pointer("/spec/containers").and_then(Value::as_array).map_or(0, Vec::len);
            let ready = find(o, ".status.containerStatuses[*].ready").into_iter().filter(|r| r.as_bool() == Some(true)).count();
            json!(format!("{ready}/{total}"))
        }),
        Column::made("Status", |o, _| {
            if first(o, ".metadata.deletionTimestamp").is_some() {
                return json!("Terminating");
            }
            let waiting = find(o, ".status.containerStatuses[*].state.waiting.reason");
            let ended = find(o, ".status.containerStatuses[*].state.terminated.reason");
            let phase = first(o, ".status.reason").or(first(o, ".status.phase"));
            waiting.first().or(ended.first()).copied().or(phase).cloned().unwrap_or(json!("Unknown"))
        }),
        Column::made("Restarts", |o, _| {
            json!(find(o, ".status.containerStatuses[*].restartCount").iter().filter_map(|n| n.as_i64()).sum::<i64>().to_string())
        }),
        Column::age(),
        Column::made("IP", |o, _| or_none(first(o, ".status.podIP"))).wide(),
        Column::made("Node", |o, _| or_none(first(o, ".spec.nodeName"))).wide(),
        Column::made("Nominated Node", |o, _| or_none(first(o, ".status.nominatedNodeName"))).wide(),
        Column::made("Readiness Gates", |_, _| json!("<none>")).wide(),
    ]
}

fn or_none(value: Option<&Value>) -> Value {
    match value {
        Some(Value::String(text)) if !text.is_empty() => json!(text),
        _ => json!("<none>"),
    }
}

fn whole(object: &Value, path: &str) -> i64 {
    first(object, path).and_then(Value::as_i64).unwrap_or(0)
}

fn members(object: &Value, key: &str) -> usize {
    object.get(key).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn pairs(value: Option<&Value>) -> Value {
    let map = value.and_then(Value::as_object);
    let text = map.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",");
    if text.is_empty() { json!("<none>") } else { json!(text) }
}

fn listed(object: &Value, path: &str) -> Value {
    let all = find(object, path);
    if all.is_empty() {
        return json!("<unset>");
    }
    let mut shown = all.iter().take(3).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(",");
    if all.len() > 3 {
        shown.push_str(&format!(" + {} more...", all.len() - 3));
    }
    json!(shown)
}

fn joined(object: &Value, path: &str) -> Value {
    json!(find(object, path).into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
}

fn external_address(object: &Value, _: i64) -> Value {
    let load_balancer = first(object, ".spec.type").and_then(Value::as_str) == Some("LoadBalancer");
    let mut all: Vec<&str> = Vec::new();
    for ingress in find(object, ".status.loadBalancer.ingress[*]").into_iter().filter(|_| load_balancer) {
        all.extend(ingress.get("ip").or(ingress.get("hostname")).and_then(Value::as_str));
    }
    all.extend(find(object, ".spec.externalIPs[*]").into_iter().filter_map(Value::as_str));
    match (all.is_empty(), load_balancer) {
        (true, true) => json!("<pending>"),
        (true, false) => json!("<none>"),
        _ => json!(all.join(",")),
    }
}

fn service_ports(object: &Value, _: i64) -> Value {
    let ports = find(object, ".spec.ports[*]").into_iter().map(|port| {
        let text = |key: &str| port.get(key).map_or_else(String::new, |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        let node = port.get("nodePort").map_or_else(String::new, |n| format!(":{n}"));
        format!("{}{node}/{}", text("port"), text("protocol"))
    });
    let text = ports.collect::<Vec<_>>().join(",");
    if text.is_empty() { json!("<none>") } else { json!(text) }
}

fn endpoint_addresses(object: &Value, _: i64) -> Value {
    let mut all = Vec::new();
    for subset in find(object, ".subsets[*]") {
        for ip in find(subset, ".addresses[*].ip") {
            let ports = find(subset, ".ports[*].port");
            let ip = ip.as_str().unwrap_or_default();
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| format!("{ip}:{port}")));
        }
    }
    if all.is_empty() {
        return json!("<none>");
    }
    let more = if all.len() > 3 { format!(" + {} more...", all.len() - 3) } else { String::new() };
    json!(format!("{}{more}", all.iter().take(3).cloned().collect::<Vec<_>>().join(",")))
}
