//! What is asked of a cluster that runs: its API, its nodes, the version on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use plumb_core::evidence::NodeFacts;
use plumb_core::probe::{Done, Link, Op};

use super::ground::Ground;
use super::{KindError, agents};
use crate::cluster::facts::version_of;

/// Limit for one answer of an agent while the cluster comes up and the machine is busy.
const ANSWER: Duration = Duration::from_secs(30);

fn api(operation: &str) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> KindError {
    let operation = operation.to_owned();
    move |source| KindError::Api { operation: operation.clone(), source }
}

/// A client for the API behind a kubeconfig.
pub async fn connect(kubeconfig: &Path) -> Result<kube::Client, KindError> {
    let operation = "connect to the cluster's API";
    let read = kube::config::Kubeconfig::read_from(kubeconfig).map_err(|error| api(operation)(error.into()))?;
    let config = kube::Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| api(operation)(error.into()))?;
    // It listens on this machine's loopback address; a proxy could not reach that.
    config.proxy_url = None;
    kube::Client::try_from(config).map_err(|error| api(operation)(error.into()))
}

/// Nodes by logical name.
pub(super) async fn node_facts(
    ground: &Ground,
    client: &kube::Client,
    cluster: &str,
    logical: &[String],
) -> Result<BTreeMap<String, NodeFacts>, KindError> {
    let listed = Api::<Node>::all(client.clone()).list(&Default::default()).await;
    let listed = listed.map_err(|error| api("list the nodes")(error.into()))?;
    let facts = logical.iter().map(async |node| {
        let name = format!("{cluster}-{node}");
        let session = agents::in_container(ground.engine(), &name, &format!("node/{name}")).await?;
        let links = links(&session).await?;
        let found = listed.items.iter().find(|one| one.metadata.name.as_deref() == Some(&name));
        let found = found.ok_or_else(|| KindError::Missing(format!("find node {name}: the API has no such node")))?;
        let address = found.status.iter().flat_map(|status| status.addresses.iter().flatten()).find(|one| one.type_ == "InternalIP");
        let facts = NodeFacts {
            control_plane: found.metadata.labels.iter().flatten().any(|(key, _)| key == "node-role.kubernetes.io/control-plane"),
            address: address.map(|one| one.address.clone()).unwrap_or_default(),
            pod_cidr: found.spec.as_ref().and_then(|spec| spec.pod_cidr.clone()).unwrap_or_default(),
            links,
            name,
        };
        Ok::<_, KindError>((node.clone(), facts))
    });
    join_all(facts).await.into_iter().collect()
}

/// What links there are where an agent is.
pub(super) async fn links(session: &crate::session::Session) -> Result<Vec<Link>, KindError> {
    match session.ask(Op::Links, ANSWER).await?.done {
        Done::Links(links) => Ok(links),
        other => Err(KindError::Missing(format!("ask an agent for its links: it answered {other:?}"))),
    }
}

/// The node a Pod runs on.
pub async fn node_of_pod(client: &kube::Client, namespace: &str, name: &str) -> Result<String, KindError> {
    let found = Api::<Pod>::namespaced(client.clone(), namespace).get(name).await;
    let found = found.map_err(|error| api(&format!("read pod {namespace}/{name}"))(error.into()))?;
    let node = found.spec.and_then(|spec| spec.node_name);
    node.ok_or_else(|| KindError::Missing(format!("find the node of pod {namespace}/{name}: it was not scheduled yet")))
}

/// The version that the agents' image has, or the chart they were installed with.
pub(super) async fn running_version(client: &kube::Client) -> Result<String, KindError> {
    let found = Api::<DaemonSet>::namespaced(client.clone(), "kube-system").get("cilium").await;
    let found = found.map_err(|error| api("read DaemonSet kube-system/cilium")(error.into()))?;
    let labels = found.metadata.labels.unwrap_or_default();
    let pod = found.spec.and_then(|spec| spec.template.spec);
    let container = pod.into_iter().flat_map(|pod| pod.containers).find(|container| container.name == "cilium-agent");
    let image = container.and_then(|container| container.image).unwrap_or_default();
    let version = version_of(&image, &labels).unwrap_or_else(|| "of an image without a version".into());
    Ok(version.trim_start_matches('v').to_owned())
}
