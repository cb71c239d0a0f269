//! Objects of the API and leases: claims to compare with.

use serde_json::Value;

use super::super::context::Context;
use super::super::phrases;
use super::{Blocker, broken, undecided};
use crate::evidence::LeaseFact;
use crate::scenario::model::{LeaseProbe, StatusProbe};

pub(super) fn status(probe: &StatusProbe, object: &Value) -> Result<(), Blocker> {
    let Some(expect) = &probe.expect else { return Ok(()) };
    match (object.is_null(), expect.absent) {
        (true, Some(true)) => return Ok(()),
        (false, Some(true)) => return broken(format!("{} exists, expected that it does not", probe.resource)),
        (true, _) => return broken(format!("{} does not exist", probe.resource)),
        (false, _) => {}
    }
    let groups = conditions(object);
    for (kind, wanted) in &expect.conditions {
        if groups.is_empty() {
            return broken(format!("condition {kind} is missing, expected {wanted}"));
        }
        for group in &groups {
            condition(kind, wanted, group, object)?;
        }
    }
    for (pointer, wanted) in &expect.fields {
        let seen = object.pointer(pointer).unwrap_or(&Value::Null);
        if seen != wanted {
            return broken(format!("field {pointer} is {}, expected {wanted}", short(seen)));
        }
    }
    for (pointer, wanted) in &expect.lengths {
        let seen = match object.pointer(pointer) {
            None | Some(Value::Null) => 0,
            Some(Value::Array(items)) => items.len() as u64,
            Some(Value::Object(entries)) => entries.len() as u64,
            Some(other) => return broken(format!("length of {pointer}: it is {}, expected a list or a map", short(other))),
        };
        if seen != *wanted {
            return broken(format!("length of {pointer} is {seen}, expected {wanted}"));
        }
    }
    Ok(())
}

/// `.status.conditions`; where an object has none of its own, those of each parent (Gateway API routes).
fn conditions(object: &Value) -> Vec<&Vec<Value>> {
    if let Some(own) = object.pointer("/status/conditions").and_then(Value::as_array) {
        return vec![own];
    }
    let parents = object.pointer("/status/parents").and_then(Value::as_array);
    parents.into_iter().flatten().filter_map(|parent| parent.get("conditions")?.as_array()).collect()
}

fn condition(kind: &str, wanted: &str, group: &[Value], object: &Value) -> Result<(), Blocker> {
    let text = |condition: &Value, key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(seen) = group.iter().find(|condition| text(condition, "type") == kind) else {
        return broken(format!("condition {kind} is missing, expected {wanted}"));
    };
    let (status, reason) = (text(seen, "status"), text(seen, "reason"));
    let (wanted_status, wanted_reason) = match wanted.split_once('/') {
        Some((status, reason)) => (status, Some(reason)),
        None => (wanted, None),
    };
    if status != wanted_status || wanted_reason.is_some_and(|wanted| wanted != reason) {
        let message = text(seen, "message");
        let message = if message.is_empty() { message } else { format!(" ({message})") };
        return broken(format!("condition {kind} is {status}/{reason}{message}, expected {wanted}"));
    }
    let observed = seen.get("observedGeneration").and_then(Value::as_u64);
    let generation = object.pointer("/metadata/generation").and_then(Value::as_u64);
    match (observed, generation) {
        (Some(observed), Some(generation)) if observed < generation => {
            broken(format!("condition {kind} is about generation {observed}, the object is at {generation}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn lease(probe: &LeaseProbe, lease: &LeaseFact, context: &Context) -> Result<(), Blocker> {
    let Some(expect) = &probe.expect else { return Ok(()) };
    let name = &lease.name;
    let holder = lease.holder.as_deref().filter(|_| lease.exists);
    let needs_holder = expect.held == Some(true) || !expect.holder.is_empty() || expect.not_as_in.is_some() || expect.as_in.is_some();
    let Some(holder) = holder else {
        if needs_holder {
            let why = if lease.exists { "it has no holder" } else { "it does not exist" };
            return broken(format!("{} {name}: {why}", phrases::NO_HOLDER));
        }
        return duration(expect.duration_seconds, lease);
    };
    if expect.held == Some(false) {
        return broken(format!("{} by {holder}: {name}, expected by nobody", phrases::HELD));
    }
    if !expect.holder.is_empty() {
        let mut names = Vec::new();
        for node in &expect.holder {
            match context.lab.nodes.get(node) {
                Some(facts) => names.push(facts.name.as_str()),
                None => return undecided(format!("the lab has no node `{node}` to compare the holder with")),
            }
        }
        if !names.contains(&holder) {
            return broken(format!("{} {holder}, expected {}", phrases::HOLDER, names.join(" or ")));
        }
    }
    if let Some(earlier) = &expect.not_as_in {
        match context.leases.get(earlier).map(|lease| lease.holder.as_deref()) {
            None => return undecided(format!("step `{earlier}` saw no lease to compare with")),
            Some(before) if before == Some(holder) => {
                return broken(format!("{} {holder}, as in `{earlier}`, expected another", phrases::HOLDER));
            }
            Some(_) => {}
        }
    }
    if let Some(earlier) = &expect.as_in {
        match context.leases.get(earlier).map(|lease| lease.holder.as_deref()) {
            None | Some(None) => return undecided(format!("step `{earlier}` saw no holder to compare with")),
            Some(Some(before)) if before != holder => {
                return broken(format!("{} {holder}, expected {before} as in `{earlier}`", phrases::HOLDER));
            }
            Some(Some(_)) => {}
        }
    }
    duration(expect.duration_seconds, lease)
}

fn duration(wanted: Option<u32>, lease: &LeaseFact) -> Result<(), Blocker> {
    match (wanted, lease.duration_seconds) {
        (Some(wanted), Some(seen)) if wanted != seen => broken(format!("{} {seen} s, expected {wanted} s", phrases::LEASE_DURATION)),
        (Some(wanted), None) => broken(format!("{} not set, expected {wanted} s", phrases::LEASE_DURATION)),
        _ => Ok(()),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
