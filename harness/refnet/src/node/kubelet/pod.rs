//! A Pod from its first sight to its removal: network, containers, status, end.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::container::{self, News};
use super::environment::Addresses;
use super::network::Sandbox;
use super::status::{ContainerState, Doing};
use super::{Kubelet, Wish, key, status};

/// News of containers that wait to be told to the API.
const NEWS_MAX: usize = 64;

/// Runs a Pod until it is gone.
pub(super) async fn run(kubelet: Arc<Kubelet>, pod: Pod, wish: watch::Receiver<Wish>) {
    let pod = Arc::new(pod);
    let mut telling = Telling::new(kubelet.clone(), pod.clone());
    if *wish.borrow() == Wish::Run {
        match network(&kubelet, &pod).await {
            Ok(sandbox) => {
                telling.address = Some(sandbox.address);
                live(&kubelet, &pod, &sandbox, wish.clone(), &mut telling).await;
                kubelet.note(&key(&pod), None);
                kubelet.network.unplug(sandbox).await;
            }
            Err(error) => {
                let message = error.to_string();
                for state in &mut telling.containers {
                    state.doing = Doing::Waiting { reason: "CreatePodSandboxError", message: message.clone() };
                }
                telling.tell().await;
            }
        }
    }
    let mut wish = wish;
    // A Pod that has ended for good stays until somebody deletes it.
    let _ = wish.wait_for(|wish| *wish != Wish::Run).await;
    remove(&kubelet, &pod).await;
}

async fn network(kubelet: &Kubelet, pod: &Pod) -> Result<Sandbox, crate::node::NodeError> {
    let host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let sandbox = if host { kubelet.network.host() } else { kubelet.network.plug().await? };
    kubelet.note(&key(pod), Some(kubelet.network.descriptor(&sandbox)));
    Ok(sandbox)
}

/// From the first container's start to the last one's end.
async fn live(kubelet: &Arc<Kubelet>, pod: &Arc<Pod>, sandbox: &Sandbox, wish: watch::Receiver<Wish>, telling: &mut Telling) {
    let (sender, mut news) = mpsc::channel::<News>(NEWS_MAX);
    let mut containers = JoinSet::new();
    let wanted = pod.spec.as_ref().map(|spec| spec.containers.clone()).unwrap_or_default();
    for (number, container) in wanted.into_iter().enumerate() {
        let place = container::Place {
            kubelet: kubelet.clone(),
            pod: pod.clone(),
            netns: sandbox.netns.clone(),
            addresses: Addresses { pod: sandbox.address, host: kubelet.node.own.address() },
            restarts: telling.containers[number].restarts,
        };
        containers.spawn(container::run(place, number, container, wish.clone(), sender.clone()));
    }
    drop(sender);
    telling.tell().await;
    while let Some(first) = news.recv().await {
        telling.hear(first);
        // Everything that is known by now goes into one status.
        while let Ok(more) = news.try_recv() {
            telling.hear(more);
        }
        telling.tell().await;
    }
    containers.join_all().await;
}

/// Tells the API what the Pod does.
struct Telling {
    kubelet: Arc<Kubelet>,
    pod: Arc<Pod>,
    started: String,
    address: Option<std::net::Ipv4Addr>,
    containers: Vec<ContainerState>,
}

impl Telling {
    fn new(kubelet: Arc<Kubelet>, pod: Arc<Pod>) -> Telling {
        let before = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten()).collect::<Vec<_>>();
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let containers = containers.map(|container| ContainerState {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            restarts: before.iter().find(|known| known.name == container.name).map_or(0, |known| known.restart_count + 1),
            doing: Doing::Waiting { reason: "ContainerCreating", message: String::new() },
        });
        let containers = containers.collect();
        Telling { kubelet, pod, started: status::now(), address: None, containers }
    }

    fn hear(&mut self, (number, restarts, doing): News) {
        if let Some(state) = self.containers.get_mut(number) {
            state.restarts = restarts;
            state.doing = doing;
        }
    }

    /// A status the API refuses or cannot take now is said again with the next news; a Pod that is gone has none.
    async fn tell(&self) {
        let namespace = self.pod.namespace().unwrap_or_default();
        let pods = Api::<Pod>::namespaced(self.kubelet.client.clone(), &namespace);
        let status = status::of(&self.pod, &self.started, self.kubelet.node.own.address(), self.address, &self.containers);
        // The uid keeps a status from landing on another Pod of the same name.
        let patch = json!({"metadata": {"uid": self.pod.uid()}, "status": status});
        let told = pods.patch_status(&self.pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
        if let Err(error) = told.map(drop).or_else(gone) {
            crate::node::log(&format!("write the status of Pod {}: {error}", key(&self.pod)));
        }
    }
}

/// The end the API waits for.
async fn remove(kubelet: &Kubelet, pod: &Pod) {
    let pods = Api::<Pod>::namespaced(kubelet.client.clone(), &pod.namespace().unwrap_or_default());
    let preconditions = Preconditions { uid: pod.uid(), ..Preconditions::default() };
    let params = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(preconditions), ..DeleteParams::default() };
    if let Err(error) = pods.delete(&pod.name_any(), &params).await.map(drop).or_else(gone) {
        crate::node::log(&format!("remove Pod {}: {error}", key(pod)));
    }
}

/// The Pod is not there any more, or another one of its name is: nothing to do.
fn gone(error: kube::Error) -> Result<(), kube::Error> {
    match error {
        kube::Error::Api(status) if status.code == 404 || status.code == 409 => Ok(()),
        other => Err(other),
    }
}
