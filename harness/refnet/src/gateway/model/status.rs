//! Conditions and statuses as the Gateway API has them, and how they are merged into what an object already says.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::objects::{CONTROLLER, GROUP, ParentRef};
use super::listeners::{GatewayWork, ListenerWork};

/// One condition, without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Accepted`, `Programmed`, ...
    pub kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Condition {
    /// A condition that holds.
    pub fn yes(kind: &'static str, reason: &str, message: impl Into<String>) -> Condition {
        Condition { kind, status: "True", reason: reason.to_owned(), message: message.into() }
    }

    /// A condition that does not hold.
    pub fn no(kind: &'static str, reason: &str, message: impl Into<String>) -> Condition {
        Condition { kind, status: "False", reason: reason.to_owned(), message: message.into() }
    }
}

/// What is to be said of a Gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayState {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Generation it was worked out from.
    pub generation: i64,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its listeners: name, kinds, attached routes, conditions.
    pub listeners: Vec<ListenerState>,
}

/// What is to be said of a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerState {
    /// Its name.
    pub name: String,
    /// Kinds of routes it takes.
    pub kinds: Vec<&'static str>,
    /// Routes that are attached to it.
    pub attached: u32,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// What is to be said of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteState {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Generation it was worked out from.
    pub generation: i64,
    /// One a parent of ours.
    pub parents: Vec<(ParentRef, Vec<Condition>)>,
}

impl GatewayState {
    /// The whole status; times of conditions that do not change are kept from `old`.
    pub fn status(&self, old: &Value, now: &str) -> Value {
        let addresses: Vec<_> = self.addresses.iter().map(|address| json!({"type": "IPAddress", "value": address.to_string()})).collect();
        let listeners: Vec<_> = self
            .listeners
            .iter()
            .map(|listener| {
                let entries = old.get("listeners").and_then(Value::as_array);
                let was = entries.into_iter().flatten().find(|entry| entry.get("name").and_then(Value::as_str) == Some(&listener.name));
                let was = was.and_then(|entry| entry.get("conditions")).unwrap_or(&Value::Null);
                let kinds: Vec<_> = listener.kinds.iter().map(|kind| json!({"group": GROUP, "kind": kind})).collect();
                json!({
                    "name": listener.name,
                    "supportedKinds": kinds,
                    "attachedRoutes": listener.attached,
                    "conditions": merge_conditions(was, &listener.conditions, self.generation, now),
                })
            })
            .collect();
        json!({
            "addresses": addresses,
            "conditions": merge_conditions(old.get("conditions").unwrap_or(&Value::Null), &self.conditions, self.generation, now),
            "listeners": listeners,
        })
    }
}

/// Puts conditions into a list: a type that is there already keeps its time unless its status changes; types we do not set are kept.
pub fn merge_conditions(old: &Value, new: &[Condition], generation: i64, now: &str) -> Vec<Value> {
    let empty = Vec::new();
    let old = old.as_array().unwrap_or(&empty);
    let kind_of = |entry: &Value| entry.get("type").and_then(Value::as_str).map(str::to_owned);
    let render = |condition: &Condition| {
        let was = old.iter().find(|entry| kind_of(entry).as_deref() == Some(condition.kind));
        let same = was.filter(|entry| entry.get("status").and_then(Value::as_str) == Some(condition.status));
        let since = same.and_then(|entry| entry.get("lastTransitionTime")).and_then(Value::as_str).unwrap_or(now);
        json!({
            "type": condition.kind,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": since,
        })
    };
    let foreign = old.iter().filter(|entry| !new.iter().any(|condition| kind_of(entry).as_deref() == Some(condition.kind)));
    // `Conflicted` is ours alone and only said while it holds.
    let foreign = foreign.filter(|entry| kind_of(entry).as_deref() != Some("Conflicted")).cloned();
    new.iter().map(render).chain(foreign).collect()
}

/// The parents of a route's status: ours as worked out, those of other controllers as they are.
pub fn merge_parents(old: &Value, state: &RouteState, now: &str) -> Vec<Value> {
    let empty = Vec::new();
    let old = old.get("parents").and_then(Value::as_array).unwrap_or(&empty);
    let is_ours = |entry: &&Value| entry.get("controllerName").and_then(Value::as_str) == Some(CONTROLLER);
    let ours = state.parents.iter().map(|(parent, conditions)| {
        let reference = serde_json::to_value(parent).unwrap_or(Value::Null);
        let was = old.iter().filter(is_ours).find(|entry| entry.get("parentRef") == Some(&reference));
        let was = was.and_then(|entry| entry.get("conditions")).unwrap_or(&Value::Null);
        json!({
            "parentRef": reference,
            "controllerName": CONTROLLER,
            "conditions": merge_conditions(was, conditions, state.generation, now),
        })
    });
    old.iter().filter(|entry| !is_ours(entry)).cloned().chain(ours).collect()
}

/// What is to be said of a Gateway whose routes have been attached.
pub(super) fn gateway(work: &GatewayWork<'_>, addresses: &[IpAddr]) -> GatewayState {
    let broken = work.listeners.iter().any(|listener| !listener.programmable());
    let refused = !work.listeners.is_empty() && work.listeners.iter().all(|listener| !listener.accepted());
    let accepted = if refused {
        Condition::no("Accepted", "ListenersNotValid", "No listener is valid")
    } else if broken {
        Condition::yes("Accepted", "ListenersNotValid", "Gateway successfully scheduled, some listeners are not valid")
    } else {
        Condition::yes("Accepted", "Accepted", "Gateway successfully scheduled")
    };
    let programmed = if refused {
        Condition::no("Programmed", "Invalid", "No listener is valid")
    } else if addresses.is_empty() {
        Condition::no("Programmed", "AddressNotAssigned", "Gateway waiting for address")
    } else {
        Condition::yes("Programmed", "Programmed", "Gateway successfully reconciled")
    };
    GatewayState {
        namespace: work.object.namespace().to_owned(),
        name: work.object.name().to_owned(),
        generation: work.object.generation(),
        conditions: vec![accepted, programmed],
        addresses: addresses.to_vec(),
        listeners: work.listeners.iter().map(listener).collect(),
    }
}

fn listener(work: &ListenerWork<'_>) -> ListenerState {
    let accepted = match &work.refused {
        Some((reason, message)) => Condition::no("Accepted", reason, message.clone()),
        None => Condition::yes("Accepted", "Accepted", "Listener Accepted"),
    };
    let resolved = match &work.unresolved {
        Some((reason, message)) => Condition::no("ResolvedRefs", reason, message.clone()),
        None => Condition::yes("ResolvedRefs", "ResolvedRefs", "Resolved Refs"),
    };
    let programmed = if work.programmable() {
        Condition::yes("Programmed", "Programmed", "Listener Programmed")
    } else {
        Condition::no("Programmed", "Invalid", "Listener not programmed")
    };
    let mut conditions = vec![accepted, programmed, resolved];
    if let (true, Some((reason, message))) = (work.conflicted, &work.refused) {
        conditions.push(Condition::yes("Conflicted", reason, message.clone()));
    }
    ListenerState { name: work.spec.name.clone(), kinds: work.kinds.clone(), attached: work.attached, conditions }
}
