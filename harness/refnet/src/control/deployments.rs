//! Deployments: makes and removes their Pods (no ReplicaSets between) and says how far they are.
//!
//! A change of the template rolls: one Pod more than wanted at a time, and an old one goes only when enough are ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::write::{Subject, Written, digest, ignore_gone, is_code, now};
use super::{Cluster, Controller};
use crate::gateway::model::{Condition, merge_conditions};

/// Label with the hash of the template a Pod was made from.
const HASH: &str = "pod-template-hash";

/// The Deployment controller.
#[derive(Debug, Default)]
pub(super) struct Deployments {
    written: Written,
    /// By Deployment uid: how many Pods were ever made, and those the mirror has not seen yet.
    made: BTreeMap<String, Made>,
    /// Pods that were asked to go, by uid, until the mirror shows it.
    gone: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Made {
    count: u64,
    unseen: BTreeSet<String>,
}

/// What is to be done for a Deployment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Moves {
    create: usize,
    remove: Vec<String>,
}

impl Controller for Deployments {
    async fn step(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        let pods = cluster.pods.all();
        self.gone
            .retain(|uid| pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid) && pod.metadata.deletion_timestamp.is_none()));
        // One that cannot be brought on keeps nobody else waiting.
        let mut outcome = Ok(());
        for deployment in cluster.deployments.all() {
            if deployment.metadata.deletion_timestamp.is_none() {
                outcome = outcome.and(self.reconcile(cluster, &deployment, &pods).await);
            }
        }
        outcome
    }
}

impl Deployments {
    async fn reconcile(&mut self, cluster: &Cluster, deployment: &Deployment, pods: &[Arc<Pod>]) -> Result<(), kube::Error> {
        let Some(uid) = deployment.metadata.uid.clone() else { return Ok(()) };
        let own: Vec<_> = pods.iter().filter(|pod| is_owned(pod, &uid)).cloned().collect();
        let made = self.made.entry(uid.clone()).or_default();
        made.unseen.retain(|name| !pods.iter().any(|pod| pod.metadata.name.as_deref() == Some(name)));
        let unseen = made.unseen.len();
        let alive: Vec<_> = own.iter().filter(|pod| is_alive(pod, &self.gone)).cloned().collect();
        let hash = template_hash(deployment);
        let moves = plan(deployment, &hash, &alive, unseen);
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or("default");
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        for _ in 0..moves.create {
            self.create(cluster, deployment, &hash, &api).await?;
        }
        let finished = own.iter().filter(|pod| is_finished(pod) && pod.metadata.deletion_timestamp.is_none());
        let finished: Vec<_> = finished.filter_map(|pod| pod.metadata.name.clone()).collect();
        for name in moves.remove.iter().chain(&finished) {
            api.delete(name, &DeleteParams::default()).await.map(|_| ()).or_else(ignore_gone)?;
            let uid = own.iter().find(|pod| pod.metadata.name.as_deref() == Some(name)).and_then(|pod| pod.metadata.uid.clone());
            self.gone.extend(uid);
        }
        self.say(cluster, deployment, &hash, &alive).await
    }

    async fn create(&mut self, cluster: &Cluster, deployment: &Deployment, hash: &str, api: &Api<Pod>) -> Result<(), kube::Error> {
        let uid = deployment.metadata.uid.clone().unwrap_or_default();
        let made = self.made.entry(uid.clone()).or_default();
        made.count += 1;
        let deployment_name = deployment.metadata.name.as_deref().unwrap_or_default();
        let name = format!("{deployment_name}-{hash}-{}", digest(&format!("{uid} {} {}", cluster.seed, made.count), 5));
        let pod: Pod = serde_json::from_value(pod(deployment, hash, &name)).map_err(kube::Error::SerdeError)?;
        made.unseen.insert(name.clone());
        match api.create(&PostParams::default(), &pod).await {
            Ok(_) => Ok(()),
            // The name is taken, by a supervisor before this one perhaps: the next number is tried.
            Err(error) => {
                made.unseen.remove(&name);
                if is_code(&error, 409) { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn say(&mut self, cluster: &Cluster, deployment: &Deployment, hash: &str, alive: &[Arc<Pod>]) -> Result<(), kube::Error> {
        let resource = ApiResource::erase::<Deployment>(&());
        let (namespace, name) =
            (deployment.metadata.namespace.as_deref().unwrap_or("default"), deployment.metadata.name.as_deref().unwrap_or_default());
        let subject = Subject { resource: &resource, namespace, name, version: deployment.metadata.resource_version.as_deref() };
        let mirrored = serde_json::to_value(&deployment.status).unwrap_or(Value::Null);
        let known = self.written.newest(subject, &mirrored).clone();
        let status = status(deployment, hash, alive, &known);
        self.written.status(&cluster.client, subject, &known, &status).await
    }
}

pub(super) fn is_owned(pod: &Pod, uid: &str) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid && owner.controller == Some(true))
}

pub(super) fn is_finished(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Failed" || phase == "Succeeded")
}

pub(super) fn is_alive(pod: &Pod, gone: &BTreeSet<String>) -> bool {
    let leaving = pod.metadata.deletion_timestamp.is_some() || pod.metadata.uid.as_ref().is_some_and(|uid| gone.contains(uid));
    !leaving && !is_finished(pod)
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_current(pod: &Pod, hash: &str) -> bool {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(HASH)).is_some_and(|label| label == hash)
}

fn template_hash(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    digest(&serde_json::to_string(&template).unwrap_or_default(), 9)
}

fn wanted(deployment: &Deployment) -> usize {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(replicas).unwrap_or_default()
}

/// Works out what is to be done. `unseen` Pods of the current template were made and are not in `alive` yet.
fn plan(deployment: &Deployment, hash: &str, alive: &[Arc<Pod>], unseen: usize) -> Moves {
    let wanted = wanted(deployment);
    let recreate = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()).and_then(|s| s.type_.as_deref()) == Some("Recreate");
    let (mut current, mut old): (Vec<_>, Vec<_>) = alive.iter().partition(|pod| is_current(pod, hash));
    let names = |pods: &[&Arc<Pod>]| pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect::<Vec<_>>();
    let current_all = current.len() + unseen;
    if recreate && !old.is_empty() {
        return Moves { create: 0, remove: names(&old) };
    }
    let surge = usize::from(!old.is_empty());
    let room = (wanted + surge).saturating_sub(current_all + old.len());
    let create = wanted.saturating_sub(current_all).min(room);
    // Those that are not ready go first, then the youngest.
    let worth = |pod: &&Arc<Pod>| (is_ready(pod), std::cmp::Reverse(pod.metadata.creation_timestamp.clone()), pod.metadata.name.clone());
    let mut remove = Vec::new();
    if current_all > wanted {
        current.sort_by_key(worth);
        remove.extend(names(&current[..(current_all - wanted).min(current.len())]));
    }
    let ready = alive.iter().filter(|pod| is_ready(pod)).count();
    old.sort_by_key(worth);
    let mut spare = ready.saturating_sub(wanted);
    for pod in old {
        if !is_ready(pod) {
            remove.extend(pod.metadata.name.clone());
        } else if spare > 0 {
            spare -= 1;
            remove.extend(pod.metadata.name.clone());
        }
    }
    Moves { create, remove }
}

fn pod(deployment: &Deployment, hash: &str, name: &str) -> Value {
    let template = serde_json::to_value(deployment.spec.as_ref().map(|spec| &spec.template)).unwrap_or(Value::Null);
    let mut labels = template.pointer("/metadata/labels").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    labels[HASH] = json!(hash);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": deployment.metadata.namespace,
            "labels": labels,
            "annotations": template.pointer("/metadata/annotations").cloned().unwrap_or(Value::Null),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.metadata.name, "uid": deployment.metadata.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": template.get("spec").cloned().unwrap_or(Value::Null),
    })
}

fn status(deployment: &Deployment, hash: &str, alive: &[Arc<Pod>], known: &Value) -> Value {
    let wanted = wanted(deployment);
    let ready = alive.iter().filter(|pod| is_ready(pod)).count();
    let current: Vec<_> = alive.iter().filter(|pod| is_current(pod, hash)).collect();
    let done = current.len() == wanted && alive.len() == wanted && ready == wanted;
    let available = if ready >= wanted {
        Condition::yes("Available", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        Condition::no("Available", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let progressing = if done {
        Condition::yes("Progressing", "NewReplicaSetAvailable", "Deployment has successfully progressed.")
    } else {
        Condition::yes("Progressing", "ReplicaSetUpdated", "Deployment is progressing.")
    };
    let old = known.get("conditions").unwrap_or(&Value::Null);
    let generation = deployment.metadata.generation.unwrap_or_default();
    let mut conditions = merge_conditions(old, &[available, progressing], generation, &now());
    for condition in &mut conditions {
        // The conditions of a Deployment carry no generation of their own.
        if let Some(fields) = condition.as_object_mut() {
            fields.remove("observedGeneration");
        }
    }
    json!({
        "observedGeneration": generation,
        "replicas": alive.len(),
        "updatedReplicas": current.len(),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": wanted.saturating_sub(ready),
        "conditions": conditions,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn deployment(replicas: i32, image: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "echo", "namespace": "default", "uid": "d"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": "echo"}},
                "template": {"metadata": {"labels": {"app": "echo"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
            },
        }))
        .unwrap()
    }

    fn pods(of: &Deployment, names: &[(&str, bool)]) -> Vec<Arc<Pod>> {
        let make = |(name, ready): &(&str, bool)| {
            let mut object = pod(of, &template_hash(of), name);
            let ready = if *ready { "True" } else { "False" };
            object["status"] = json!({"conditions": [{"type": "Ready", "status": ready}]});
            Arc::new(serde_json::from_value(object).unwrap())
        };
        names.iter().map(make).collect()
    }

    fn check(of: &Deployment, alive: &[Arc<Pod>], unseen: usize, create: usize, remove: &[&str]) {
        let moves = plan(of, &template_hash(of), alive, unseen);
        assert_eq!(moves, Moves { create, remove: remove.iter().map(|name| (*name).to_owned()).collect() });
    }

    #[test]
    fn pods_are_made_until_there_are_enough() {
        let of = deployment(3, "a");
        check(&of, &[], 0, 3, &[]);
        check(&of, &[], 3, 0, &[]);
        check(&of, &pods(&of, &[("x", true)]), 1, 1, &[]);
        check(&of, &pods(&of, &[("x", true), ("y", true), ("z", false)]), 0, 0, &[]);
    }

    #[test]
    fn scaling_down_removes_those_that_are_not_ready_first() {
        let of = deployment(1, "a");
        check(&of, &pods(&of, &[("x", true), ("y", false)]), 0, 0, &["y"]);
        check(&deployment(0, "a"), &pods(&of, &[("x", true)]), 0, 0, &["x"]);
    }

    #[test]
    fn a_new_template_rolls_without_losing_ready_pods() {
        let (old, new) = (deployment(2, "a"), deployment(2, "b"));
        let mut alive = pods(&old, &[("x", true), ("y", true)]);
        check(&new, &alive, 0, 1, &[]);
        alive.extend(pods(&new, &[("n1", false)]));
        check(&new, &alive, 0, 0, &[]);
        let mut alive = pods(&old, &[("x", true), ("y", true)]);
        alive.extend(pods(&new, &[("n1", true)]));
        check(&new, &alive, 0, 0, &["x"]);
        let mut alive = pods(&old, &[("y", true)]);
        alive.extend(pods(&new, &[("n1", true)]));
        check(&new, &alive, 0, 1, &[]);
    }

    #[test]
    fn status_counts_what_is_ready() {
        let of = deployment(2, "a");
        let said = status(&of, &template_hash(&of), &pods(&of, &[("x", true), ("y", false)]), &Value::Null);
        assert_eq!((said["replicas"].as_u64(), said["readyReplicas"].as_u64()), (Some(2), Some(1)));
        assert_eq!(said.pointer("/conditions/0/status").and_then(Value::as_str), Some("False"));
    }
}
