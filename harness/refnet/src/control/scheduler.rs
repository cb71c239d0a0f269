//! Binds Pods to nodes: of the ready nodes a Pod may go to, the one with the fewest Pods of its owner, then the fewest in all.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, Toleration};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::write::{ignore_gone, is_code, now};
use super::{Cluster, Controller};
use crate::labels::{Labels, require};

/// Label and taint of control planes.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The scheduler.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    /// Bindings the mirror may not have seen yet, by the Pod's uid.
    bound: BTreeMap<String, String>,
}

impl Controller for Scheduler {
    async fn step(&mut self, cluster: &Cluster) -> Result<(), kube::Error> {
        let pods = cluster.pods.all();
        let nodes = cluster.source.nodes().all();
        self.bound.retain(|uid, _| pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid) && node_of(pod).is_none()));
        // A Pod that cannot be bound keeps nobody else waiting.
        let mut outcome = Ok(());
        for pod in &pods {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            if node_of(pod).is_some() || pod.metadata.deletion_timestamp.is_some() || self.bound.contains_key(&uid) {
                continue;
            }
            match self.choose(pod, &pods, &nodes) {
                Some(node) => {
                    let bound = bind(cluster, pod, &node).await;
                    if bound.is_ok() {
                        self.bound.insert(uid, node);
                    }
                    outcome = outcome.and(bound);
                }
                None if !says_unschedulable(pod) => outcome = outcome.and(refuse(cluster, pod, nodes.len()).await),
                None => {}
            }
        }
        outcome
    }
}

impl Scheduler {
    fn choose(&self, pod: &Pod, pods: &[Arc<Pod>], nodes: &[Arc<Node>]) -> Option<String> {
        let place =
            |other: &Arc<Pod>| node_of(other).map(str::to_owned).or_else(|| self.bound.get(other.metadata.uid.as_deref()?).cloned());
        let names = nodes.iter().filter(|node| admits(node, pod)).filter_map(|node| node.metadata.name.clone());
        names.min_by_key(|name| {
            let there: Vec<_> = pods.iter().filter(|other| place(other).as_deref() == Some(name)).collect();
            let siblings = there.iter().filter(|other| owner(other).is_some() && owner(other) == owner(pod)).count();
            (siblings, there.len(), name.clone())
        })
    }
}

/// Binds a Pod to a node. One that is bound already, by its author perhaps, is left as it is.
async fn bind(cluster: &Cluster, pod: &Pod, node: &str) -> Result<(), kube::Error> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    let bound: Result<serde_json::Value, _> = api(cluster, pod).create_subresource("binding", name, &PostParams::default(), &binding).await;
    match bound {
        Err(error) if !is_code(&error, 409) => ignore_gone(error),
        _ => Ok(()),
    }
}

/// Says that there is no node for a Pod.
async fn refuse(cluster: &Cluster, pod: &Pod, nodes: usize) -> Result<(), kube::Error> {
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": now(),
        "message": format!("0/{nodes} nodes are available to this Pod"),
    });
    let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    api(cluster, pod).patch_status(name, &PatchParams::default(), &patch).await.map(|_| ()).or_else(ignore_gone)
}

fn api(cluster: &Cluster, pod: &Pod) -> Api<Pod> {
    Api::namespaced(cluster.client.clone(), pod.metadata.namespace.as_deref().unwrap_or("default"))
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

fn owner(pod: &Pod) -> Option<&str> {
    pod.metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn says_unschedulable(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
}

/// Whether a Pod may go to a node.
pub(super) fn admits(node: &Node, pod: &Pod) -> bool {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let Some(spec) = &pod.spec else { return false };
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let near = required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_holds(term, &labels, name)));
    is_ready(node) && selected && near && tolerated(node, &labels, tolerations)
}

fn is_ready(node: &Node) -> bool {
    let open = node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true));
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    open && conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A control plane keeps Pods out even where its taint was not written down.
fn tolerated(node: &Node, labels: &Labels, tolerations: &[Toleration]) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let hard = taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
    let mut taints: Vec<_> = hard.map(|taint| (taint.key.as_str(), taint.value.as_deref().unwrap_or(""), taint.effect.as_str())).collect();
    if labels.contains_key(CONTROL_PLANE) && !taints.iter().any(|(key, ..)| *key == CONTROL_PLANE) {
        taints.push((CONTROL_PLANE, "", "NoSchedule"));
    }
    taints.iter().all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, *taint)))
}

fn tolerates(toleration: &Toleration, (key, value, effect): (&str, &str, &str)) -> bool {
    let effect_fits = toleration.effect.as_deref().is_none_or(|asked| asked.is_empty() || asked == effect);
    let exists = toleration.operator.as_deref() == Some("Exists");
    effect_fits
        && match toleration.key.as_deref().filter(|asked| !asked.is_empty()) {
            None => exists,
            Some(asked) => asked == key && (exists || toleration.value.as_deref().unwrap_or("") == value),
        }
}

fn term_holds(term: &NodeSelectorTerm, labels: &Labels, name: &str) -> bool {
    let (expressions, fields) = (term.match_expressions.as_deref().unwrap_or_default(), term.match_fields.as_deref().unwrap_or_default());
    let field = "metadata.name";
    let by_field = fields.iter().all(|rule| rule.key == field) && require(fields, &Labels::from([(field.to_owned(), name.to_owned())]));
    let says_something = !expressions.is_empty() || !fields.is_empty();
    says_something && require(expressions, labels) && by_field
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::Value;

    use super::*;

    fn node(name: &str, extra: Value) -> Node {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        json_patch::merge(&mut node, &extra);
        serde_json::from_value(node).unwrap()
    }

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).unwrap()
    }

    #[test]
    fn pods_go_only_where_they_may() {
        let control_plane = json!({"metadata": {"labels": {CONTROL_PLANE: ""}}});
        let toleration = json!({"tolerations": [{"key": CONTROL_PLANE, "operator": "Exists"}], "containers": []});
        let affinity = |values: &[&str]| {
            json!({"containers": [], "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": values}]}]
            }}}})
        };
        let cases = [
            ("any node", json!({}), json!({"containers": []}), true),
            ("not ready", json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}), json!({"containers": []}), false),
            ("cordoned", json!({"spec": {"unschedulable": true}}), json!({"containers": []}), false),
            ("control plane", control_plane.clone(), json!({"containers": []}), false),
            ("tolerated control plane", control_plane, toleration, true),
            ("selected", json!({}), json!({"containers": [], "nodeSelector": {"kubernetes.io/hostname": "worker"}}), true),
            ("not selected", json!({}), json!({"containers": [], "nodeSelector": {"kubernetes.io/hostname": "worker2"}}), false),
            ("near", json!({}), affinity(&["worker", "worker2"]), true),
            ("not near", json!({}), affinity(&["worker2"]), false),
        ];
        for (name, extra, spec, expected) in cases {
            assert_eq!(admits(&node("worker", extra), &pod(spec)), expected, "{name}");
        }
    }

    #[test]
    fn pods_of_an_owner_are_spread() {
        let nodes: Vec<_> = ["worker", "worker2"].map(|name| Arc::new(node(name, json!({})))).into();
        let owned = |uid: &str, place: Option<&str>| {
            let object = json!({
                "metadata": {"name": uid, "uid": uid, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true}]},
                "spec": {"containers": [], "nodeName": place},
            });
            Arc::new(serde_json::from_value::<Pod>(object).unwrap())
        };
        let pods = vec![owned("a", Some("worker")), owned("b", None)];
        assert_eq!(Scheduler::default().choose(&pods[1], &pods, &nodes).as_deref(), Some("worker2"));
        let mut scheduler = Scheduler::default();
        scheduler.bound.insert("b".into(), "worker2".into());
        let pods = vec![owned("a", Some("worker")), owned("b", None), owned("c", None)];
        assert_eq!(scheduler.choose(&pods[2], &pods, &nodes).as_deref(), Some("worker"));
    }
}
