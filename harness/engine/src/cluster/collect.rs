//! What is gathered from a cluster before anything is deleted: logs of containers, the one before a restart too, and objects with
//! Secrets redacted. It never fails as a whole: what could not be had is named beside what was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, LogParams};
use kube::discovery::{Discovery, Scope};
use kube::{Client, ResourceExt};
use serde_json::{Map, Value};

use super::chain;
use crate::redact;

/// How much of a log is kept: its last lines, and of them so many bytes.
const LOG_LINES: i64 = 20_000;
const LOG_BYTES: i64 = 8 << 20;
/// Calls side by side: a cluster in use has other things to do.
const AT_ONCE: usize = 4;
/// Groups of which every kind is gathered.
const GROUPS: [&str; 2] = ["cilium.io", super::facts::GATEWAY_GROUP];
/// How the labels of what we make begin.
const OURS: &str = "plumbline.";
/// Kinds that hold more than names: passwords in variables, keys.
const TELLING: [&str; 4] = ["Pod", "Deployment", "DaemonSet", "Secret"];
/// Built-in kinds that are gathered, by group and kind.
const KINDS: [(&str, &str); 12] = [
    ("", "Node"),
    ("", "Pod"),
    ("", "Service"),
    ("", "Endpoints"),
    ("", "Secret"),
    ("", "Event"),
    ("", "Namespace"),
    ("apps", "Deployment"),
    ("apps", "DaemonSet"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("coordination.k8s.io", "Lease"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

/// Texts by name, and what could not be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// What was gathered, redacted.
    pub texts: BTreeMap<String, String>,
    /// What was not, each with its reason.
    pub missing: Vec<String>,
}

impl Collected {
    /// The texts, with what is missing as one of them (`not-collected`).
    pub fn into_texts(self) -> BTreeMap<String, String> {
        let mut texts = self.texts;
        if !self.missing.is_empty() {
            texts.insert("not-collected".into(), self.missing.join("\n") + "\n");
        }
        texts
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Collected) -> Collected {
        self.texts.extend(other.texts);
        self.missing.extend(other.missing);
        self
    }
}

/// Objects by kind (lower case), and what could not be had.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    /// Lists of objects, redacted.
    pub by_kind: Map<String, Value>,
    /// What was not had, each with its reason.
    pub missing: Vec<String>,
}

/// Which namespaces are looked into. Objects without a namespace are always gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// All: the cluster is ours.
    All,
    /// These alone, and of what may hold secrets of others only what is ours or Cilium's: the cluster is somebody's.
    Only(BTreeSet<String>),
}

impl Namespaces {
    fn has(&self, namespace: Option<&str>) -> bool {
        match (self, namespace) {
            (Namespaces::Only(names), Some(namespace)) => names.contains(namespace),
            _ => true,
        }
    }
}

/// Whether a Pod is one of Cilium's: agent, operator, Envoy, relay.
pub fn is_cilium(pod: &Pod) -> bool {
    let label = |name: &str| pod.labels().get(name).map(String::as_str).unwrap_or_default();
    label("app.kubernetes.io/part-of") == "cilium" || label("k8s-app").starts_with("cilium") || label("io.cilium/app") == "operator"
}

/// Whether a Pod is one of ours: an agent or a backend.
pub fn is_plumbline(pod: &Pod) -> bool {
    pod.labels().keys().any(|key| key.starts_with(OURS))
}

/// Whether an object may be shown. Secrets and what Pods are made from hold more than names, so in somebody's cluster only our own and
/// Cilium's are.
fn is_shown(kind: &str, object: &DynamicObject, namespaces: &Namespaces) -> bool {
    if *namespaces == Namespaces::All || !TELLING.contains(&kind) {
        return true;
    }
    let label = |name: &str| object.labels().get(name).map(String::as_str).unwrap_or_default();
    let cilium = label("app.kubernetes.io/part-of") == "cilium" || label("k8s-app").starts_with("cilium");
    object.labels().keys().any(|key| key.starts_with(OURS)) || (cilium && kind != "Secret")
}

/// Logs of every container of the Pods that are chosen, and of the container before it where one was restarted. Each call within
/// `limit`.
pub async fn logs(client: &Client, choose: impl Fn(&Pod) -> bool, limit: Duration) -> Collected {
    let mut collected = Collected::default();
    let pods = match within(limit, Api::<Pod>::all(client.clone()).list(&ListParams::default())).await {
        Ok(pods) => pods.items,
        Err(error) => {
            collected.missing.push(format!("logs: list the Pods: {error}"));
            return collected;
        }
    };
    let wanted: Vec<Wanted> = pods.iter().filter(|pod| choose(pod)).flat_map(containers).collect();
    let mut read = futures::stream::iter(wanted.into_iter().map(|wanted| async move {
        let text = wanted.read(client, limit).await;
        (wanted.name(), text)
    }))
    .buffer_unordered(AT_ONCE);
    while let Some((name, text)) = read.next().await {
        match text {
            Ok(text) => drop(collected.texts.insert(name, redact::text(&text))),
            Err(error) => collected.missing.push(format!("log of {name}: {error}")),
        }
    }
    collected.missing.sort();
    collected
}

/// A log to read.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
}

impl Wanted {
    fn name(&self) -> String {
        format!("{}.{}.{}{}", self.namespace, self.pod, self.container, if self.previous { ".previous" } else { "" })
    }

    async fn read(&self, client: &Client, limit: Duration) -> Result<String, String> {
        let parameters = LogParams {
            container: Some(self.container.clone()),
            previous: self.previous,
            timestamps: true,
            tail_lines: Some(LOG_LINES),
            limit_bytes: Some(LOG_BYTES),
            ..LogParams::default()
        };
        within(limit, Api::<Pod>::namespaced(client.clone(), &self.namespace).logs(&self.pod, &parameters)).await
    }
}

/// What there is to read of a Pod: containers that were started once, and what ran in them before.
fn containers(pod: &Pod) -> Vec<Wanted> {
    let status = pod.status.clone().unwrap_or_default();
    let statuses = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
    let begun = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        status.restart_count > 0 || state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    let mut wanted = Vec::new();
    for status in statuses.filter(begun) {
        for previous in [false, true] {
            if !previous || status.restart_count > 0 {
                wanted.push(Wanted {
                    namespace: pod.namespace().unwrap_or_default(),
                    pod: pod.name_any(),
                    container: status.name.clone(),
                    previous,
                });
            }
        }
    }
    wanted
}

/// Nodes, workloads, Services, events, leases, and every object of Cilium's and the Gateway API's groups. Each call within `limit`.
pub async fn objects(client: &Client, namespaces: &Namespaces, limit: Duration) -> Objects {
    let mut objects = Objects::default();
    let groups: BTreeSet<&str> = GROUPS.into_iter().chain(KINDS.iter().map(|(group, _)| *group)).collect();
    let groups: Vec<&str> = groups.into_iter().collect();
    let discovery = Discovery::new(client.clone()).filter(&groups).run();
    let discovery = match tokio::time::timeout(limit, discovery).await {
        Ok(Ok(discovery)) => discovery,
        Ok(Err(error)) => {
            objects.missing.push(format!("objects: discover their kinds: {}", chain(&error)));
            return objects;
        }
        Err(_) => {
            objects.missing.push(format!("objects: discover their kinds: no answer within {} ms", limit.as_millis()));
            return objects;
        }
    };
    let kinds: Vec<(ApiResource, Scope)> = discovery
        .groups()
        .flat_map(|group| group.resources_by_stability())
        .filter(|(resource, _)| GROUPS.contains(&resource.group.as_str()) || is_gathered(resource))
        .map(|(resource, capabilities)| (resource, capabilities.scope))
        .collect();
    let mut lists = futures::stream::iter(kinds.into_iter().map(|(resource, scope)| async move {
        let listed = list(client, &resource, &scope, namespaces, limit).await;
        (resource, listed)
    }))
    .buffer_unordered(AT_ONCE);
    while let Some((resource, listed)) = lists.next().await {
        match listed {
            Ok(listed) if listed.is_empty() => {}
            Ok(listed) => drop(objects.by_kind.insert(resource.kind.to_ascii_lowercase(), Value::Array(listed))),
            Err(error) => objects.missing.push(format!("objects of kind {}: {error}", resource.kind)),
        }
    }
    objects.by_kind.sort_keys();
    objects.missing.sort();
    objects
}

fn is_gathered(resource: &ApiResource) -> bool {
    KINDS.iter().any(|(group, kind)| *group == resource.group && *kind == resource.kind)
}

async fn list(
    client: &Client,
    resource: &ApiResource,
    scope: &Scope,
    namespaces: &Namespaces,
    limit: Duration,
) -> Result<Vec<Value>, String> {
    let apis: Vec<Api<DynamicObject>> = match (scope, namespaces) {
        // Another's Secrets are not even asked for.
        (Scope::Namespaced, Namespaces::Only(names)) => {
            names.iter().map(|name| Api::namespaced_with(client.clone(), name, resource)).collect()
        }
        _ => vec![Api::all_with(client.clone(), resource)],
    };
    // Not even asked for.
    let ours = resource.kind == "Secret" && *namespaces != Namespaces::All;
    let parameters = if ours { ListParams::default().labels(super::RUN_LABEL) } else { ListParams::default() };
    let mut found = Vec::new();
    for api in apis {
        let listed = within(limit, api.list(&parameters)).await?;
        let shown = |object: &&DynamicObject| namespaces.has(object.namespace().as_deref()) && is_shown(&resource.kind, object, namespaces);
        for object in listed.items.iter().filter(shown) {
            let mut object = serde_json::to_value(object).map_err(|error| error.to_string())?;
            // A list says its kind once and its items need not, but redaction goes by the kind.
            object["kind"] = Value::String(resource.kind.clone());
            object["apiVersion"] = Value::String(resource.api_version.clone());
            found.push(redact::object(object));
        }
    }
    Ok(found)
}

async fn within<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http::{Request, Response};
    use http_body_util::Full;
    use kube::client::Body;
    use plumb_refnet::api::{ApiConfig, ApiServer};
    use serde_json::json;

    use super::*;
    use crate::cluster::{Cluster, manifest};

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn secrets_are_redacted_and_other_peoples_are_not_asked_for() {
        let server = ApiServer::new(ApiConfig { crds: vec!["gateways".into()] }).unwrap();
        let cluster = Cluster::new(server.client(), LIMIT);
        for namespace in ["ours", "theirs"] {
            cluster.ensure_namespace(namespace, "run").await.unwrap();
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": namespace},
                "data": {"tls.key": "c2VjcmV0"}});
            cluster.apply(&manifest(secret, "run").unwrap()).await.unwrap();
        }
        let only = Namespaces::Only(["ours".to_owned()].into());
        let objects = objects(&server.client(), &only, LIMIT).await;
        assert_eq!(objects.missing, Vec::<String>::new());
        let secrets = objects.by_kind["secret"].as_array().unwrap();
        assert_eq!(secrets.len(), 1);
        assert_eq!(secrets[0]["metadata"]["namespace"], "ours");
        assert_eq!(secrets[0]["data"]["tls.key"], redact::REDACTED);
        assert!(objects.by_kind.contains_key("customresourcedefinition"), "{:?}", objects.by_kind.keys());
    }

    /// An API with one Pod, restarted once, whose logs hold a key.
    fn fake() -> Client {
        let service = tower::service_fn(|request: Request<Body>| async move {
            let uri = request.uri().to_string();
            let (code, text) = if uri.starts_with("/api/v1/pods") {
                let state = json!({"running": {}});
                let status = |name: &str, restarts: i32| {
                    json!({"name": name, "ready": true, "restartCount": restarts, "image": "i",
                    "imageID": "", "state": state})
                };
                let labels = json!({"k8s-app": "cilium"});
                let pod = json!({"metadata": {"name": "cilium-a", "namespace": "kube-system", "labels": labels},
                    "status": {"containerStatuses": [status("cilium-agent", 1), status("side", 0)]}});
                let other = json!({"metadata": {"name": "theirs", "namespace": "x"}, "status": pod["status"]});
                (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod, other]}).to_string())
            } else if uri.contains("container=side") {
                let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
                    "reason": "InternalError", "message": "no log"});
                (500, status.to_string())
            } else {
                let previous = uri.contains("previous=true");
                (200, format!("previous {previous}\n-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nend\n"))
            };
            let response = Response::builder().status(code).header("content-type", "application/json");
            Ok::<_, std::convert::Infallible>(response.body(Full::new(bytes::Bytes::from(text))).unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn the_log_before_a_restart_is_read_and_a_log_that_cannot_be_read_is_named() {
        let collected = logs(&fake(), is_cilium, LIMIT).await;
        let texts: Vec<(&str, &str)> = collected.texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(
            texts,
            [
                ("kube-system.cilium-a.cilium-agent", "previous false\n[redacted]\nend\n"),
                ("kube-system.cilium-a.cilium-agent.previous", "previous true\n[redacted]\nend\n")
            ]
        );
        assert_eq!(collected.missing.len(), 1);
        assert!(collected.missing[0].starts_with("log of kube-system.cilium-a.side: "), "{:?}", collected.missing);
        assert!(collected.into_texts().contains_key("not-collected"));
    }
}
