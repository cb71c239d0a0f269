//! The node's kubelet: registers the Node, and makes every Pod bound to it run: a namespace, an agent process a container, a status
//! that says what is true, an end with grace.

mod container;
mod environment;
mod network;
mod pod;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::network::Network;
use super::{Node, NodeError, registry};

/// Who wrote what, in `managedFields`.
const MANAGER: &str = "kubelet";
/// What every node runs on.
const OS: &str = "linux";

/// What the Pods of a node share.
struct Kubelet {
    client: Client,
    node: Arc<Node>,
    network: Network,
    pods: Mutex<registry::Pods>,
}

/// What is asked of a Pod's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Run.
    Run,
    /// End within so many seconds.
    End(u64),
    /// The object is gone: end at once.
    Gone,
}

/// A Pod's task.
struct Task {
    uid: String,
    wish: watch::Sender<Wish>,
}

/// Registers the Node: addresses, labels, Pod CIDR, Ready.
pub(super) async fn register(client: &Client, node: &Node) -> Result<(), NodeError> {
    let nodes = Api::<KubeNode>::all(client.clone());
    let params = PatchParams::apply(MANAGER).force();
    let failed = |source| NodeError::Api { operation: "register the Node", source: Box::new(source) };
    nodes.patch(&node.own.name, &params, &Patch::Apply(object(node))).await.map_err(failed)?;
    nodes.patch_status(&node.own.name, &params, &Patch::Apply(ready(node))).await.map_err(failed)?;
    Ok(())
}

/// Runs the Pods of this node until `cancel`; they end with the process.
pub(super) async fn run(client: Client, node: Arc<Node>, cancel: CancellationToken) -> Result<(), NodeError> {
    let network = Network::open(&node)?;
    let own = format!("spec.nodeName={}", node.own.name);
    let pods = Api::<Pod>::all(client.clone());
    let kubelet = Arc::new(Kubelet { client, node, network, pods: Mutex::default() });
    let mut events = std::pin::pin!(watcher(pods, watcher::Config::default().fields(&own)).default_backoff());
    let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    let tracker = TaskTracker::new();
    while let Some(Some(event)) = cancel.run_until_cancelled(events.next()).await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.insert(key(&pod));
                heed(&kubelet, &mut tasks, &tracker, pod);
            }
            Ok(watcher::Event::InitDone) => {
                for (_, task) in tasks.extract_if(.., |key, _| !listed.contains(key)) {
                    task.wish.send_replace(Wish::Gone);
                }
            }
            Ok(watcher::Event::Apply(pod)) => heed(&kubelet, &mut tasks, &tracker, pod),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(task) = tasks.remove(&key(&pod)) {
                    task.wish.send_replace(Wish::Gone);
                }
            }
            Err(error) => super::log(&format!("watch Pods: {error}")),
        }
    }
    Ok(())
}

/// Starts a Pod's task, or tells it what is wanted now.
fn heed(kubelet: &Arc<Kubelet>, tasks: &mut BTreeMap<String, Task>, tracker: &TaskTracker, pod: Pod) {
    let key = key(&pod);
    let uid = pod.uid().unwrap_or_default();
    let wish = match &pod.metadata.deletion_timestamp {
        None => Wish::Run,
        Some(_) => Wish::End(pod.metadata.deletion_grace_period_seconds.map_or(0, |s| u64::try_from(s).unwrap_or(0))),
    };
    match tasks.get(&key) {
        Some(task) if task.uid == uid => {
            task.wish.send_if_modified(|now| *now != wish && std::mem::replace(now, wish) != wish);
            return;
        }
        // Another Pod of the same name: the old one is gone.
        Some(task) => {
            task.wish.send_replace(Wish::Gone);
        }
        None => {}
    }
    let finished =
        pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    if finished && wish == Wish::Run {
        return;
    }
    let (sender, receiver) = watch::channel(wish);
    tracker.spawn(pod::run(kubelet.clone(), pod, receiver));
    tasks.insert(key, Task { uid, wish: sender });
}

impl Kubelet {
    /// Makes a Pod's namespace known to the supervisor, or forgets it.
    fn note(&self, pod: &str, descriptor: Option<i32>) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        match descriptor {
            Some(descriptor) => pods.insert(pod.to_owned(), descriptor),
            None => pods.remove(pod),
        };
        if let Err(error) = registry::write(&self.node.own.name, &pods) {
            super::log(&format!("write the registry of Pods: {error}"));
        }
    }
}

fn key(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

fn object(node: &Node) -> Value {
    let name = &node.own.name;
    let mut labels = json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": OS,
        "kubernetes.io/arch": std::env::consts::ARCH,
    });
    let mut taints = json!([]);
    if node.own.control_plane {
        labels["node-role.kubernetes.io/control-plane"] = json!("");
        // A lab of one node must run its Pods somewhere.
        if node.plan.nodes.len() > 1 {
            taints = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
        }
    }
    let cidr = node.own.pod_cidr();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr], "taints": taints},
    })
}

fn ready(node: &Node) -> Value {
    let now = status::now();
    let name = &node.own.name;
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the node's process runs",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    });
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node.own.address().to_string()},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [condition],
            "capacity": {"pods": "250"}, "allocatable": {"pods": "250"},
            "nodeInfo": {
                "architecture": std::env::consts::ARCH, "operatingSystem": OS, "osImage": "reference network (not Cilium)",
                "kubeletVersion": concat!("refnet-", env!("CARGO_PKG_VERSION")), "kubeProxyVersion": "", "kernelVersion": kernel(),
                "containerRuntimeVersion": "process://1", "machineID": name, "systemUUID": name, "bootID": name,
            },
        },
    })
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
