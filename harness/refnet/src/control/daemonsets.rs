//! DaemonSets: one Pod on every node that admits it. Each is made for its node and bound by the scheduler, as in Kubernetes. A change of
//! the template replaces them one node after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::deployments::{is_alive, is_finished, is_owned, is_ready};
use super::scheduler::admits;
use super::write::{Subject, Written, digest, ignore_gone, is_code};
use super::{Cluster, Controller};

/// Label with the hash of the template a Pod was made from.
const HASH: &str = "controller-revision-hash";
/// Taints every Pod of a DaemonSet tolerates (pkg/controller/daemon/util).
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The DaemonSet controller.
#[derive(Debug, Default)]
pub(super) struct DaemonSets {
    written: Written,
    /// How many Pods were ever made.
    made: u64,
    /// Pods that were made and the mirror has not seen yet: by name, DaemonSet (uid) and node.
    unseen: BTreeMap<String, (String, String)>,
    /// Pods that were asked to go, by uid, until the mirror shows it.
    gone: BTreeSet<String>,
}

impl Controller for DaemonSets {
    async fn step(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        let pods = cluster.pods.all();
        let nodes = cluster.source.nodes().all();
        let leaves =
            |uid: &String| pods.iter().any(|pod| pod.metadata.uid.as_ref() == Some(uid) && pod.metadata.deletion_timestamp.is_none());
        self.gone.retain(leaves);
        self.unseen.retain(|name, _| !pods.iter().any(|pod| pod.metadata.name.as_ref() == Some(name)));
        // One that cannot be brought on keeps nobody else waiting.
        let mut outcome = Ok(());
        for set in cluster.daemon_sets.all() {
            if set.metadata.deletion_timestamp.is_none() {
                outcome = outcome.and(self.reconcile(cluster, &set, &pods, &nodes).await);
            }
        }
        outcome
    }
}

impl DaemonSets {
    async fn reconcile(&mut self, cluster: &Cluster, set: &DaemonSet, pods: &[Arc<Pod>], nodes: &[Arc<Node>]) -> Result<(), kube::Error> {
        let Some(uid) = set.metadata.uid.clone() else { return Ok(()) };
        let hash = digest(&serde_json::to_string(&set.spec.as_ref().map(|spec| &spec.template)).unwrap_or_default(), 9);
        let own: Vec<Arc<Pod>> = pods.iter().filter(|pod| is_owned(pod, &uid)).cloned().collect();
        let alive: Vec<Arc<Pod>> = own.iter().filter(|pod| is_alive(pod, &self.gone)).cloned().collect();
        // On its way out it still has the node's ports.
        let taken = own.iter().filter(|pod| !is_finished(pod)).filter_map(|pod| node_of(pod));
        let made = self.unseen.values().filter(|(of, _)| *of == uid).map(|(_, node)| node.clone());
        let taken: BTreeSet<String> = taken.chain(made).collect();
        let wanted = wanted(set, nodes);
        for node in wanted.difference(&taken) {
            self.create(cluster, set, &uid, &hash, node).await?;
        }
        let finished = own.iter().filter(|pod| is_finished(pod) && pod.metadata.deletion_timestamp.is_none());
        for pod in finished.cloned().chain(to_replace(&alive, &hash, wanted.len())) {
            let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace(set));
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            api.delete(name, &DeleteParams::default()).await.map(|_| ()).or_else(ignore_gone)?;
            self.gone.extend(pod.metadata.uid.clone());
        }
        self.say(cluster, set, &alive, &hash, wanted.len()).await
    }

    async fn create(&mut self, cluster: &Cluster, set: &DaemonSet, uid: &str, hash: &str, node: &str) -> Result<(), kube::Error> {
        self.made += 1;
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let name = format!("{name}-{}", digest(&format!("{uid} {node} {} {}", cluster.seed, self.made), 5));
        let pod: Pod = serde_json::from_value(pod(set, hash, &name, node)).map_err(kube::Error::SerdeError)?;
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace(set));
        self.unseen.insert(name.clone(), (uid.to_owned(), node.to_owned()));
        match api.create(&PostParams::default(), &pod).await {
            Ok(_) => Ok(()),
            // The name is taken, by a supervisor before this one perhaps: the next number is tried.
            Err(error) => {
                self.unseen.remove(&name);
                if is_code(&error, 409) { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn say(&mut self, cluster: &Cluster, set: &DaemonSet, alive: &[Arc<Pod>], hash: &str, wanted: usize) -> Result<(), kube::Error> {
        let resource = ApiResource::erase::<DaemonSet>(&());
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let subject = Subject { resource: &resource, namespace: namespace(set), name, version: set.metadata.resource_version.as_deref() };
        let mirrored = serde_json::to_value(&set.status).unwrap_or(Value::Null);
        let known = self.written.newest(subject, &mirrored).clone();
        let status = status(set, alive, hash, wanted);
        self.written.status(&cluster.client, subject, &known, &status).await
    }
}

fn namespace(set: &DaemonSet) -> &str {
    set.metadata.namespace.as_deref().unwrap_or("default")
}

/// The node a Pod is on, or was made for.
fn node_of(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let made_for =
        required.and_then(|required| required.node_selector_terms.first()?.match_fields.as_ref()?.first()?.values.as_ref()?.first());
    spec.node_name.clone().filter(|name| !name.is_empty()).or_else(|| made_for.cloned())
}

/// Nodes that are to have a Pod.
fn wanted(set: &DaemonSet, nodes: &[Arc<Node>]) -> BTreeSet<String> {
    let Ok(any) = serde_json::from_value::<Pod>(pod(set, "", "", "")) else { return BTreeSet::new() };
    let admitted = nodes.iter().filter(|node| {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let mut pod = any.clone();
        if let Some(spec) = pod.spec.as_mut() {
            spec.affinity = serde_json::from_value(affinity(name)).ok();
        }
        admits(node, &pod)
    });
    admitted.filter_map(|node| node.metadata.name.clone()).collect()
}

/// Pods of another template that may go now: one at a time, and only while all others are there.
fn to_replace(alive: &[Arc<Pod>], hash: &str, wanted: usize) -> Option<Arc<Pod>> {
    let is_current = |pod: &Pod| pod.metadata.labels.as_ref().and_then(|labels| labels.get(HASH)).is_some_and(|label| label == hash);
    let mut old: Vec<&Arc<Pod>> = alive.iter().filter(|pod| !is_current(pod)).collect();
    old.sort_by_key(|pod| (is_ready(pod), pod.metadata.name.clone()));
    let first = *old.first()?;
    let ready = alive.iter().filter(|pod| is_ready(pod)).count();
    (!is_ready(first) || ready >= wanted).then(|| Arc::clone(first))
}

fn affinity(node: &str) -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}],
    }}})
}

fn pod(set: &DaemonSet, hash: &str, name: &str, node: &str) -> Value {
    let template = serde_json::to_value(set.spec.as_ref().map(|spec| &spec.template)).unwrap_or(Value::Null);
    let mut labels = template.pointer("/metadata/labels").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    labels[HASH] = json!(hash);
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    spec["affinity"] = affinity(node);
    let mut tolerations = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    tolerations.extend(TOLERATED.map(|(key, effect)| json!({"key": key, "operator": "Exists", "effect": effect})));
    spec["tolerations"] = Value::Array(tolerations);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": set.metadata.namespace,
            "labels": labels,
            "annotations": template.pointer("/metadata/annotations").cloned().unwrap_or(Value::Null),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "DaemonSet", "name": set.metadata.name, "uid": set.metadata.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    })
}

fn status(set: &DaemonSet, alive: &[Arc<Pod>], hash: &str, wanted: usize) -> Value {
    let ready = alive.iter().filter(|pod| is_ready(pod)).count();
    let current =
        alive.iter().filter(|pod| pod.metadata.labels.as_ref().and_then(|labels| labels.get(HASH)).is_some_and(|label| label == hash));
    json!({
        "observedGeneration": set.metadata.generation.unwrap_or_default(),
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": alive.len().min(wanted),
        "numberMisscheduled": alive.len().saturating_sub(wanted),
        "updatedNumberScheduled": current.count(),
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": wanted.saturating_sub(ready),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn set(spec: Value) -> DaemonSet {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": spec});
        let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
        serde_json::from_value(json!({"metadata": {"name": "agent", "namespace": "x", "uid": "s"}, "spec": spec})).unwrap()
    }

    fn node(name: &str, control_plane: bool) -> Arc<Node> {
        let labels = if control_plane { json!({"node-role.kubernetes.io/control-plane": ""}) } else { json!({}) };
        let status = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "status": status})).unwrap())
    }

    fn made(set: &DaemonSet, hash: &str, node: &str, ready: bool) -> Arc<Pod> {
        let mut pod = pod(set, hash, &format!("agent-{node}"), node);
        pod["status"] = json!({"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn every_node_that_admits_the_template_gets_one() {
        let nodes = [node("control-plane", true), node("worker", false), node("worker2", false)];
        let plain = set(json!({"containers": []}));
        assert_eq!(wanted(&plain, &nodes).into_iter().collect::<Vec<_>>(), ["worker", "worker2"]);
        let tolerant = set(json!({"containers": [], "tolerations": [{"operator": "Exists"}]}));
        assert_eq!(wanted(&tolerant, &nodes).len(), 3);
    }

    #[test]
    fn a_pod_counts_for_its_node_before_it_is_bound() {
        assert_eq!(node_of(&made(&set(json!({"containers": []})), "h", "worker", false)).as_deref(), Some("worker"));
    }

    #[test]
    fn a_new_template_takes_one_node_after_the_other() {
        let of = set(json!({"containers": []}));
        let pods = |a: (&str, bool), b: (&str, bool)| vec![made(&of, a.0, "worker", a.1), made(&of, b.0, "worker2", b.1)];
        let goes = |pods: &[Arc<Pod>]| to_replace(pods, "new", 2).map(|pod| pod.metadata.name.clone().unwrap());
        assert_eq!(goes(&pods(("old", true), ("old", true))).as_deref(), Some("agent-worker"));
        assert_eq!(goes(&pods(("new", false), ("old", true))), None);
        assert_eq!(goes(&pods(("new", true), ("old", true))).as_deref(), Some("agent-worker2"));
        assert_eq!(goes(&pods(("new", true), ("new", true))), None);
        assert_eq!(goes(&pods(("new", false), ("old", false))).as_deref(), Some("agent-worker2"));
    }
}
