//! Kinds of Kubernetes itself.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::column::{Column, age, find, first};
use super::{Kind, SchemaSource, Version, schema};
use crate::api::schema::Schema;

/// A kind in short.
struct Short {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    scope: Scope,
    has: &'static [Has],
    schema: SchemaSource,
    columns: Vec<Column>,
}

#[derive(PartialEq)]
enum Scope {
    Cluster,
    Namespace,
}

#[derive(PartialEq)]
enum Has {
    Status,
    Generation,
    /// Listed by `kubectl get all`.
    All,
}

impl Short {
    fn kind(self) -> Kind {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let selectable: &[&str] = match self.kind {
            "Pod" => {
                &["spec.nodeName", "status.phase", "status.podIP", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName"]
            }
            "Event" => &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
            "Secret" => &["type"],
            "Namespace" => &["status.phase"],
            "Node" => &["spec.unschedulable"],
            "Service" => &["spec.clusterIP", "spec.type"],
            "ReplicaSet" => &["status.replicas"],
            _ => &[],
        };
        Kind {
            group: self.group.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_ascii_lowercase(),
            short: owned(self.short),
            categories: if self.has.contains(&Has::All) { vec!["all".to_owned()] } else { Vec::new() },
            namespaced: self.scope == Scope::Namespace,
            status: self.has.contains(&Has::Status),
            generation: self.has.contains(&Has::Generation),
            custom: false,
            selectable,
            versions: vec![Version { name: "v1".to_owned(), schema: self.schema, columns: self.columns }],
        }
    }
}

/// The kinds.
pub(super) fn kinds() -> Vec<Kind> {
    core().into_iter().chain(workloads()).map(Short::kind).collect()
}

fn core() -> Vec<Short> {
    let core = |kind, plural, short, scope, has, schema, columns| Short { group: "", kind, plural, short, scope, has, schema, columns };
    let count = |name, make| Column::made(name, make);
    vec![
        core(
            "Namespace",
            "namespaces",
            &["ns"],
            Scope::Cluster,
            &[Has::Status],
            schema!(Schema::of::<Namespace>()),
            vec![Column::name(), Column::path("Status", ".status.phase"), Column::age()],
        ),
        core("Node", "nodes", &["no"], Scope::Cluster, &[Has::Status], schema!(Schema::of::<Node>()), node_columns()),
        core(
            "Pod",
            "pods",
            &["po"],
            Scope::Namespace,
            &[Has::Status, Has::Generation, Has::All],
            schema!(Schema::of::<Pod>()),
            pod_columns(),
        ),
        core(
            "Service",
            "services",
            &["svc"],
            Scope::Namespace,
            &[Has::Status, Has::All],
            schema!(Schema::of::<Service>()),
            vec![
                Column::name(),
                Column::path("Type", ".spec.type"),
                Column::made("Cluster-IP", |o, _| or_none(first(o, ".spec.clusterIP"))),
                Column::made("External-IP", external_address),
                Column::made("Port(s)", service_ports),
                Column::age(),
                Column::made("Selector", |o, _| pairs(first(o, ".spec.selector"))).wide(),
            ],
        ),
        core(
            "Endpoints",
            "endpoints",
            &["ep"],
            Scope::Namespace,
            &[],
            schema!(Schema::of::<Endpoints>()),
            vec![Column::name(), Column::made("Endpoints", endpoint_addresses), Column::age()],
        ),
        core(
            "Secret",
            "secrets",
            &[],
            Scope::Namespace,
            &[],
            schema!(Schema::of::<Secret>()),
            vec![Column::name(), Column::path("Type", ".type"), count("Data", |o, _| json!(members(o, "data"))), Column::age()],
        ),
        core(
            "ConfigMap",
            "configmaps",
            &["cm"],
            Scope::Namespace,
            &[],
            schema!(Schema::of::<ConfigMap>()),
            vec![Column::name(), count("Data", |o, _| json!(members(o, "data") + members(o, "binaryData"))), Column::age()],
        ),
        core(
            "Event",
            "events",
            &["ev"],
            Scope::Namespace,
            &[],
            schema!(Schema::of::<Event>()),
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
            ],
        ),
        core(
            "ServiceAccount",
            "serviceaccounts",
            &["sa"],
            Scope::Namespace,
            &[],
            schema!(Schema::of::<ServiceAccount>()),
            vec![
                Column::name(),
                count("Secrets", |o, _| json!(o.get("secrets").and_then(Value::as_array).map_or(0, Vec::len))),
                Column::age(),
            ],
        ),
    ]
}

fn workloads() -> Vec<Short> {
    let has: &[Has] = &[Has::Status, Has::Generation, Has::All];
    let apps =
        |kind, plural, short, schema, columns| Short { group: "apps", kind, plural, short, scope: Scope::Namespace, has, schema, columns };
    let number = |name, path: fn(&Value, i64) -> Value| Column::made(name, path);
    vec![
        apps(
            "Deployment",
            "deployments",
            &["deploy"],
            schema!(Schema::of::<Deployment>()),
            vec![
                Column::name(),
                Column::made("Ready", |o, _| json!(format!("{}/{}", whole(o, ".status.readyReplicas"), whole(o, ".spec.replicas")))),
                number("Up-to-date", |o, _| json!(whole(o, ".status.updatedReplicas"))),
                number("Available", |o, _| json!(whole(o, ".status.availableReplicas"))),
                Column::age(),
                Column::made("Containers", |o, _| joined(o, ".spec.template.spec.containers[*].name")).wide(),
                Column::made("Images", |o, _| joined(o, ".spec.template.spec.containers[*].image")).wide(),
                Column::made("Selector", |o, _| pairs(first(o, ".spec.selector.matchLabels"))).wide(),
            ],
        ),
        apps(
            "DaemonSet",
            "daemonsets",
            &["ds"],
            schema!(Schema::of::<DaemonSet>()),
            vec![
                Column::name(),
                number("Desired", |o, _| json!(whole(o, ".status.desiredNumberScheduled"))),
                number("Current", |o, _| json!(whole(o, ".status.currentNumberScheduled"))),
                number("Ready", |o, _| json!(whole(o, ".status.numberReady"))),
                number("Up-to-date", |o, _| json!(whole(o, ".status.updatedNumberScheduled"))),
                number("Available", |o, _| json!(whole(o, ".status.numberAvailable"))),
                Column::made("Node Selector", |o, _| pairs(first(o, ".spec.template.spec.nodeSelector"))),
                Column::age(),
            ],
        ),
        apps(
            "ReplicaSet",
            "replicasets",
            &["rs"],
            schema!(Schema::of::<ReplicaSet>()),
            vec![
                Column::name(),
                number("Desired", |o, _| json!(whole(o, ".spec.replicas"))),
                number("Current", |o, _| json!(whole(o, ".status.replicas"))),
                number("Ready", |o, _| json!(whole(o, ".status.readyReplicas"))),
                Column::age(),
            ],
        ),
        Short {
            group: "discovery.k8s.io",
            kind: "EndpointSlice",
            plural: "endpointslices",
            short: &[],
            scope: Scope::Namespace,
            has: &[Has::Generation],
            schema: schema!(Schema::of::<EndpointSlice>()),
            columns: vec![
                Column::name(),
                Column::path("AddressType", ".addressType"),
                Column::made("Ports", |o, _| listed(o, ".ports[*].port")),
                Column::made("Endpoints", |o, _| listed(o, ".endpoints[*].addresses[*]")),
                Column::age(),
            ],
        },
        Short {
            group: "coordination.k8s.io",
            kind: "Lease",
            plural: "leases",
            short: &[],
            scope: Scope::Namespace,
            has: &[],
            schema: schema!(Schema::of::<Lease>()),
            columns: vec![Column::name(), Column::path("Holder", ".spec.holderIdentity"), Column::age()],
        },
        Short {
            group: "apiextensions.k8s.io",
            kind: "CustomResourceDefinition",
            plural: "customresourcedefinitions",
            short: &["crd", "crds"],
            scope: Scope::Cluster,
            has: &[Has::Status, Has::Generation],
            schema: schema!(Schema::of::<CustomResourceDefinition>()),
            columns: vec![Column::name(), Column::path("Created At", ".metadata.creationTimestamp")],
        },
    ]
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
