//! Facts of a cluster as its API tells them: which Kubernetes, which nodes, which Cilium with which configuration, which definitions
//! are served. Reads and changes nothing; what follows from a fact is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, PartialObjectMeta};
use kube::{Client, ResourceExt};
use plumb_core::values::Values;
use plumb_core::version::Version;
use plumb_refnet::spec::{VALUES_KEY, VALUES_MAP};

use super::{ApiError, Call};

/// Group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// What the version of the reference network's API ends with.
const REFERENCE: &str = "plumbline.refnet";
/// Label of a control plane's node.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// Annotation of a CiliumNode with the node's WireGuard key (pkg/annotation/k8s.go).
const WIREGUARD_KEY: &str = "network.cilium.io/wg-pub-key";
/// Label of the agents' Pods, the same in every release.
const AGENTS: &str = "k8s-app=cilium";

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `gitVersion` of the API server.
    pub kubernetes: String,
    /// Nodes, control planes first, then by name.
    pub nodes: Vec<NodeSeen>,
    /// Cilium; `None` = no agent runs there.
    pub cilium: Option<CiliumSeen>,
    /// Helm values the reference network says are in force; empty on any other cluster.
    pub reference: Values,
    /// Definitions of the Gateway API by plural name, with the versions that are served.
    pub gateway: BTreeMap<String, Vec<String>>,
    /// Release of the Gateway API the definitions are of, for example `v1.2.0`; `None` = they do not say, or there are none.
    pub gateway_release: Option<String>,
}

/// A node as the API has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// Name.
    pub name: String,
    /// Carries the control plane's label.
    pub control_plane: bool,
    /// Its InternalIP.
    pub address: String,
    /// Its first Pod CIDR, where Kubernetes hands them out.
    pub pod_cidr: String,
    /// Whether its kubelet says it is ready.
    pub ready: bool,
}

/// Cilium as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CiliumSeen {
    /// Namespace of its agents.
    pub namespace: String,
    /// Versions of the agents that run, by the tag of their image or by the chart: more than one while an upgrade is under way.
    pub versions: BTreeSet<String>,
    /// The ConfigMap `cilium-config`, which may be newer than the agents that run.
    pub config: BTreeMap<String, String>,
    /// Agents that are ready, by node.
    pub ready: BTreeSet<String>,
    /// Nodes that have published a WireGuard key.
    pub keyed: BTreeSet<String>,
}

impl Facts {
    /// Whether this is the reference network, which is not Cilium.
    pub fn is_reference(&self) -> bool {
        self.kubernetes.ends_with(REFERENCE)
    }

    /// What runs there, for a report: `Cilium v1.17.1 on Kubernetes v1.32.2`.
    pub fn system(&self) -> String {
        if self.is_reference() {
            return format!("reference network (not Cilium), adopted as a cluster that runs; its API says {}", self.kubernetes);
        }
        match &self.cilium {
            Some(cilium) => format!("{} on Kubernetes {}", cilium.name(), self.kubernetes),
            None => format!("Kubernetes {} without Cilium", self.kubernetes),
        }
    }
}

impl CiliumSeen {
    /// `Cilium v1.17.1`, or with every version where there are several.
    fn name(&self) -> String {
        let versions: Vec<&str> = self.versions.iter().map(String::as_str).collect();
        match versions.as_slice() {
            [] => "Cilium of an unknown version".to_owned(),
            versions => format!("Cilium {}", versions.join(" and ")),
        }
    }

    /// The one version that runs.
    pub fn version(&self) -> Option<&str> {
        self.versions.first().filter(|_| self.versions.len() == 1).map(String::as_str)
    }
}

/// Reads all of it; each call to the API within `limit`.
///
/// # Errors
/// The API did not answer, or does not let the caller read nodes, Pods or `cilium-config`.
pub async fn read(client: &Client, limit: Duration) -> Result<Facts, ApiError> {
    let kubernetes = within(&call("read", "the API's version"), limit, client.apiserver_version()).await?.git_version;
    let nodes = nodes(client, limit).await?;
    let cilium = cilium(client, limit).await?;
    let reference = if kubernetes.ends_with(REFERENCE) { reference(client, limit).await? } else { Values::new() };
    let gateway = served(client, GATEWAY_GROUP, limit).await?;
    let gateway_release = if gateway.is_empty() { None } else { gateway_release(client, limit).await? };
    Ok(Facts { kubernetes, nodes, cilium, reference, gateway, gateway_release })
}

/// The nodes, control planes first, then by name.
///
/// # Errors
/// See [`ApiError`].
pub async fn nodes(client: &Client, limit: Duration) -> Result<Vec<NodeSeen>, ApiError> {
    let listed = within(&call("list", "node/*"), limit, Api::<Node>::all(client.clone()).list(&ListParams::default())).await?;
    let mut nodes: Vec<NodeSeen> = listed.items.iter().map(node).collect();
    nodes.sort_by_key(|node| (!node.control_plane, natural(&node.name)));
    Ok(nodes)
}

fn node(node: &Node) -> NodeSeen {
    let status = node.status.clone().unwrap_or_default();
    let address = status.addresses.unwrap_or_default().into_iter().find(|address| address.type_ == "InternalIP");
    let ready = status.conditions.unwrap_or_default().iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    NodeSeen {
        name: node.name_any(),
        control_plane: node.labels().contains_key(CONTROL_PLANE),
        address: address.map(|address| address.address).unwrap_or_default(),
        pod_cidr: node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone()).unwrap_or_default(),
        ready,
    }
}

/// Text and number apart, so that `worker2` comes before `worker10`.
fn natural(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_owned(), name[stem.len()..].parse().unwrap_or(0))
}

/// Cilium, where its agents run; `None` when there are none.
///
/// # Errors
/// See [`ApiError`].
pub async fn cilium(client: &Client, limit: Duration) -> Result<Option<CiliumSeen>, ApiError> {
    let agents = Api::<Pod>::all(client.clone());
    let agents = within(&call("list", "pod/*/cilium"), limit, agents.list(&ListParams::default().labels(AGENTS))).await?.items;
    let Some(namespace) = agents.first().and_then(ResourceExt::namespace) else { return Ok(None) };
    let what = Call { operation: "read", object: format!("configmap/{namespace}/cilium-config") };
    let config = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let config = within(&what, limit, config.get_opt("cilium-config")).await?.and_then(|map| map.data).unwrap_or_default();
    let node = |pod: &&Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    Ok(Some(CiliumSeen {
        versions: agents.iter().filter_map(version).collect(),
        ready: agents.iter().filter(|pod| is_ready(pod)).filter_map(|pod| node(&pod)).collect(),
        keyed: keyed(client, limit).await?,
        namespace,
        config,
    }))
}

/// The values the reference network publishes; none where it does not.
async fn reference(client: &Client, limit: Duration) -> Result<Values, ApiError> {
    let what = Call { operation: "read", object: format!("configmap/kube-system/{VALUES_MAP}") };
    let map = Api::<ConfigMap>::namespaced(client.clone(), "kube-system");
    let data = within(&what, limit, map.get_opt(VALUES_MAP)).await?.and_then(|map| map.data).unwrap_or_default();
    let text = data.get(VALUES_KEY).map_or("{}", String::as_str);
    let call =
        |error: serde_json::Error| ApiError::Call { operation: what.operation, object: what.object.clone(), message: error.to_string() };
    serde_json::from_str(text).map_err(call)
}

/// Version of an agent's Pod.
fn version(agent: &Pod) -> Option<String> {
    let containers = &agent.spec.as_ref()?.containers;
    let image = containers.iter().find(|container| container.name == "cilium-agent").or(containers.first())?.image.as_deref()?;
    version_of(image, agent.labels())
}

/// Version of Cilium by the image of an agent, `v1.17.1` of `quay.io/cilium/cilium:v1.17.1@sha256:...`, or by the chart it was installed
/// with where the tag is none: an image of a branch is called `quay.io/cilium/cilium-ci:latest`.
pub(crate) fn version_of(image: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    let name = image.split('@').next().unwrap_or(image);
    let tag = name.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag);
    let chart = labels.get("helm.sh/chart").and_then(|chart| chart.strip_prefix("cilium-"));
    let is_version = |text: &&str| Version::parse(text).is_ok();
    tag.filter(is_version).or(chart.filter(is_version)).or(tag).map(str::to_owned)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Nodes that have published a WireGuard key; none where CiliumNodes are not served.
async fn keyed(client: &Client, limit: Duration) -> Result<BTreeSet<String>, ApiError> {
    let kind = GroupVersionKind::gvk("cilium.io", "v2", "CiliumNode");
    let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    match within(&call("list", "ciliumnode/*"), limit, api.list_metadata(&ListParams::default())).await {
        Ok(list) => {
            Ok(list.items.iter().filter(|node| node.annotations().contains_key(WIREGUARD_KEY)).map(ResourceExt::name_any).collect())
        }
        Err(ApiError::Refused { code: 404, .. }) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Kinds of a group by plural name, with the versions that are served; empty when the group is not there.
///
/// # Errors
/// See [`ApiError`].
pub async fn served(client: &Client, group: &str, limit: Duration) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let what = Call { operation: "discover", object: group.to_owned() };
    let found = match tokio::time::timeout(limit, kube::discovery::group(client, group)).await {
        Ok(Ok(found)) => found,
        Ok(Err(kube::Error::Discovery(_))) => return Ok(BTreeMap::new()),
        Ok(Err(error)) => return Err(what.error(error)),
        Err(_) => return Err(what.late(limit)),
    };
    let mut served: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for version in found.versions() {
        for (resource, _) in found.versioned_resources(version) {
            served.entry(resource.plural).or_default().push(version.to_owned());
        }
    }
    Ok(served)
}

/// What the definition of Gateways says of its release.
async fn gateway_release(client: &Client, limit: Duration) -> Result<Option<String>, ApiError> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let name = format!("gateways.{GATEWAY_GROUP}");
    let what = Call { operation: "read", object: format!("customresourcedefinition/{name}") };
    let found = within(&what, limit, api.get_metadata_opt(&name)).await?;
    Ok(found.and_then(|definition| definition.annotations().get(&format!("{GATEWAY_GROUP}/bundle-version")).cloned()))
}

fn call(operation: &'static str, object: &str) -> Call {
    Call { operation, object: object.to_owned() }
}

async fn within<T>(what: &Call, limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(what.error(error)),
        Err(_) => Err(what.late(limit)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use plumb_refnet::api::{ApiConfig, ApiServer};
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::Cluster;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn world(objects: &[Value]) -> Client {
        let server = ApiServer::new(ApiConfig { crds: vec!["gateways".into(), "httproutes".into()] }).unwrap();
        let cluster = Cluster::new(server.client(), LIMIT);
        for object in objects {
            cluster.apply(&crate::cluster::manifest(object.clone(), "run").unwrap()).await.unwrap();
        }
        server.client()
    }

    fn node(name: &str, control_plane: bool) -> Value {
        let labels = if control_plane { json!({CONTROL_PLANE: ""}) } else { json!({}) };
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {"podCIDR": "10.244.0.0/24"}})
    }

    fn agent(name: &str, node: &str, image: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": "cilium"}},
            "spec": {"nodeName": node, "containers": [{"name": "cilium-agent", "image": image}]}})
    }

    #[tokio::test]
    async fn nodes_come_in_the_order_people_count_them() {
        let client = world(&["kind-worker10", "kind-worker", "kind-worker2"].map(|name| node(name, false))).await;
        Cluster::new(client.clone(), LIMIT)
            .apply(&crate::cluster::manifest(node("kind-control-plane", true), "run").unwrap())
            .await
            .unwrap();
        let nodes = nodes(&client, LIMIT).await.unwrap();
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["kind-control-plane", "kind-worker", "kind-worker2", "kind-worker10"]);
        assert!(nodes[0].control_plane && !nodes[1].control_plane && !nodes[0].ready);
        assert_eq!(nodes[0].pod_cidr, "10.244.0.0/24");
    }

    #[test]
    fn the_version_is_that_of_the_image_or_of_the_chart() {
        let of = |image: &str, chart: &str| version_of(image, &[("helm.sh/chart".to_owned(), chart.to_owned())].into());
        assert_eq!(of("quay.io/cilium/cilium:v1.17.1@sha256:8969", "cilium-1.16.0").as_deref(), Some("v1.17.1"));
        assert_eq!(of("reg:5000/cilium/cilium:v1.20.0-rc.1", "").as_deref(), Some("v1.20.0-rc.1"));
        assert_eq!(of("quay.io/cilium/cilium-ci:latest", "cilium-1.20.0-dev").as_deref(), Some("1.20.0-dev"));
        assert_eq!(of("reg:5000/cilium/cilium", "cilium-1.19.2").as_deref(), Some("1.19.2"));
        assert_eq!(of("reg:5000/cilium/cilium:mine", "tetragon-1.1.0").as_deref(), Some("mine"));
        assert_eq!(of("reg:5000/cilium/cilium", ""), None);
    }

    #[tokio::test]
    async fn cilium_is_known_by_what_its_agents_run() {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": {"enable-wireguard": "true"}});
        let image = "registry.example:5000/cilium/cilium:v1.17.1@sha256:8d72";
        let client = world(&[config, agent("cilium-a", "worker", image)]).await;
        let facts = read(&client, LIMIT).await.unwrap();
        let cilium = facts.cilium.as_ref().unwrap();
        assert_eq!((cilium.namespace.as_str(), cilium.version()), ("kube-system", Some("v1.17.1")));
        assert_eq!(cilium.config["enable-wireguard"], "true");
        let newer = crate::cluster::manifest(agent("cilium-b", "worker2", "quay.io/cilium/cilium:v1.18.0"), "run").unwrap();
        Cluster::new(client.clone(), LIMIT).apply(&newer).await.unwrap();
        let cilium = super::cilium(&client, LIMIT).await.unwrap().unwrap();
        assert_eq!((cilium.version(), cilium.name().as_str()), (None, "Cilium v1.17.1 and v1.18.0"));
    }

    #[tokio::test]
    async fn the_reference_network_is_never_taken_for_cilium() {
        let facts = read(&world(&[]).await, LIMIT).await.unwrap();
        assert!(facts.is_reference() && facts.cilium.is_none());
        assert!(facts.system().starts_with("reference network (not Cilium)"), "{}", facts.system());
        assert_eq!(facts.gateway.keys().collect::<Vec<_>>(), ["gateways", "httproutes"]);
    }

    #[tokio::test]
    async fn a_group_nobody_serves_is_empty_and_no_error() {
        let client = ApiServer::new(ApiConfig::default()).unwrap().client();
        assert!(served(&client, GATEWAY_GROUP, LIMIT).await.unwrap().is_empty());
    }
}
