//! What is known of a cluster while Cilium comes up, and what it still lacks. Nothing here asks anything.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Resource;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::pods;
use super::ready::{Expect, PodTrouble};

/// What has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Every node is Ready.
    Nodes,
    /// The agents run as their DaemonSet says now.
    Agents,
    /// The operator runs as its Deployment says now.
    Operator,
    /// Envoy, where it has a DaemonSet.
    Envoy,
    /// The GatewayClass is accepted.
    GatewayClass,
}

impl Part {
    /// In the order they come up.
    pub(super) const ALL: [Part; 5] = [Part::Agents, Part::Operator, Part::Nodes, Part::Envoy, Part::GatewayClass];

    /// Name in facts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Nodes => "nodes",
            Part::Agents => "agents",
            Part::Operator => "operator",
            Part::Envoy => "envoy",
            Part::GatewayClass => "gatewayClass",
        }
    }
}

/// Objects of a kind, as a watch tells them.
#[derive(Debug)]
pub(super) struct Kept<K> {
    objects: BTreeMap<String, K>,
    /// Objects of a list that is not complete yet.
    coming: BTreeMap<String, K>,
    /// Whether a list was complete once.
    complete: bool,
}

impl<K: Resource> Kept<K> {
    fn new() -> Kept<K> {
        Kept { objects: BTreeMap::new(), coming: BTreeMap::new(), complete: false }
    }

    /// Takes a change in.
    pub(super) fn take(&mut self, event: Event<K>) {
        let name = |object: &K| object.meta().name.clone().unwrap_or_default();
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => drop(self.coming.insert(name(&object), object)),
            Event::InitDone => {
                self.objects = std::mem::take(&mut self.coming);
                self.complete = true;
            }
            Event::Apply(object) => drop(self.objects.insert(name(&object), object)),
            Event::Delete(object) => drop(self.objects.remove(&name(&object))),
        }
    }
}

/// Everything that is known.
pub(super) struct State {
    expect: Expect,
    pub(super) daemon_sets: Kept<DaemonSet>,
    pub(super) deployments: Kept<Deployment>,
    pub(super) pods: Kept<Pod>,
    pub(super) nodes: Kept<Node>,
    pub(super) classes: Kept<DynamicObject>,
    /// Watches that are broken now, and why.
    pub(super) broken_watches: BTreeMap<&'static str, String>,
}

impl State {
    /// Nothing is known.
    pub(super) fn new(expect: &Expect) -> State {
        State {
            expect: expect.clone(),
            daemon_sets: Kept::new(),
            deployments: Kept::new(),
            pods: Kept::new(),
            nodes: Kept::new(),
            classes: Kept::new(),
            broken_watches: BTreeMap::new(),
        }
    }

    /// What a part lacks; `None` when it is there or not asked for.
    pub(super) fn lacks(&self, part: Part) -> Option<String> {
        match part {
            Part::Nodes => self.nodes_lack(),
            Part::Agents => match self.daemon_sets.objects.get("cilium") {
                Some(agents) => daemon_set_lacks(agents, self.nodes.objects.len()),
                None => Some("DaemonSet cilium is not there".into()),
            },
            Part::Operator => match self.deployments.objects.get("cilium-operator") {
                Some(operator) => deployment_lacks(operator),
                None => Some("Deployment cilium-operator is not there".into()),
            },
            Part::Envoy => self.daemon_sets.objects.get("cilium-envoy").and_then(|envoy| daemon_set_lacks(envoy, 0)),
            Part::GatewayClass => self.expect.gateway_class.then(|| class_lacks(self.classes.objects.get("cilium"))).flatten(),
        }
    }

    /// Whether a part is one this cluster has.
    pub(super) fn has(&self, part: Part) -> bool {
        match part {
            Part::Envoy => self.daemon_sets.objects.contains_key("cilium-envoy"),
            Part::GatewayClass => self.expect.gateway_class,
            _ => true,
        }
    }

    /// What waiting will not mend. Pods of an older revision that are on their way out do not count.
    pub(super) fn broken(&self) -> Option<PodTrouble> {
        self.own_pods().filter(|pod| pod.metadata.deletion_timestamp.is_none()).find_map(pods::broken)
    }

    /// Everything that is lacking, in words.
    pub(super) fn blocked(&self) -> Vec<String> {
        let watches = self.broken_watches.iter().map(|(what, why)| format!("the watch of {what} is broken: {why}"));
        let parts = Part::ALL.into_iter().filter_map(|part| self.lacks(part));
        watches.chain(parts).chain(self.own_pods().filter_map(pods::lacks)).collect()
    }

    /// Number of nodes, and the image of each workload's first container.
    pub(super) fn facts(&self) -> (usize, BTreeMap<String, String>) {
        let sets = self.daemon_sets.objects.iter().filter_map(|(name, set)| Some((name, &set.spec.as_ref()?.template)));
        let deployments = self.deployments.objects.iter().filter_map(|(name, one)| Some((name, &one.spec.as_ref()?.template)));
        let image = |(name, template): (&String, &k8s_openapi::api::core::v1::PodTemplateSpec)| {
            Some((name.clone(), template.spec.as_ref()?.containers.first()?.image.clone()?))
        };
        let images = sets.chain(deployments).filter(|(name, _)| name.starts_with("cilium")).filter_map(image).collect();
        (self.nodes.objects.len(), images)
    }

    fn own_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.objects.iter().filter(|(name, _)| name.starts_with("cilium")).map(|(_, pod)| pod)
    }

    fn nodes_lack(&self) -> Option<String> {
        if !self.nodes.complete || !self.daemon_sets.complete || !self.pods.complete {
            return Some("the cluster is not read yet".into());
        }
        let (there, wanted) = (self.nodes.objects.len(), self.expect.nodes);
        if there < wanted {
            return Some(format!("{there} of {wanted} nodes have joined"));
        }
        let ready = |node: &Node| {
            let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let unready: Vec<&str> = self.nodes.objects.iter().filter(|(_, node)| !ready(node)).map(|(name, _)| name.as_str()).collect();
        (!unready.is_empty()).then(|| format!("not Ready: {}", unready.join(", ")))
    }
}

/// What a DaemonSet lacks to be rolled out, as `kubectl rollout status` reads it, on at least so many nodes.
fn daemon_set_lacks(set: &DaemonSet, nodes: usize) -> Option<String> {
    let name = set.metadata.name.as_deref().unwrap_or("?");
    let Some(status) = &set.status else { return Some(format!("DaemonSet {name} has no status yet")) };
    if status.observed_generation < set.metadata.generation {
        return Some(format!("DaemonSet {name}: its change is not noticed yet"));
    }
    let desired = status.desired_number_scheduled;
    let (updated, available) = (status.updated_number_scheduled.unwrap_or(0), status.number_available.unwrap_or(0));
    if desired < 1 || usize::try_from(desired).is_ok_and(|desired| desired < nodes) {
        return Some(format!("DaemonSet {name} wants {desired} Pods for {nodes} nodes"));
    }
    let lacking = updated < desired || available < desired;
    lacking.then(|| format!("DaemonSet {name}: {updated} of {desired} Pods as it says now, {available} available"))
}

/// What a Deployment lacks to be rolled out, as `kubectl rollout status` reads it.
fn deployment_lacks(deployment: &Deployment) -> Option<String> {
    let name = deployment.metadata.name.as_deref().unwrap_or("?");
    let Some(status) = &deployment.status else { return Some(format!("Deployment {name} has no status yet")) };
    if status.observed_generation < deployment.metadata.generation {
        return Some(format!("Deployment {name}: its change is not noticed yet"));
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let available = status.available_replicas.unwrap_or(0);
    let lacking = updated < wanted || all > updated || available < updated;
    lacking.then(|| format!("Deployment {name}: {updated} of {wanted} Pods as it says now, {available} available, {all} in all"))
}

/// What the GatewayClass lacks.
fn class_lacks(class: Option<&DynamicObject>) -> Option<String> {
    let Some(class) = class else {
        return Some("GatewayClass cilium is not there (the chart makes it only where the definitions were there first)".into());
    };
    let conditions = class.data.pointer("/status/conditions").and_then(Value::as_array);
    let accepted = conditions.into_iter().flatten().find(|condition| condition["type"] == "Accepted");
    match accepted {
        Some(accepted) if accepted["status"] == "True" => None,
        Some(accepted) => {
            let word = |key: &str| accepted[key].as_str().unwrap_or("?").to_owned();
            Some(format!("GatewayClass cilium: Accepted={} {}: {}", word("status"), word("reason"), word("message")))
        }
        None => Some("GatewayClass cilium has no condition Accepted".into()),
    }
}
