//! What each kind fills in when a field is not given, and what it refuses beyond types: the defaults and rules of the Kubernetes,
//! Gateway API and Cilium references that the labs touch.

mod cilium;
mod core;
mod defaults;
mod gateway;
mod routes;
mod service;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::kinds::Kind;
use super::status::Cause;

pub(super) use service::cluster_address;

/// Addresses Services are given: 10.96.0.0/16, the first being the API's own.
pub(super) type Taken = BTreeSet<Ipv4Addr>;

/// Fills in defaults. Runs before anything is compared, so that leaving a default out changes nothing.
pub(super) fn complete(kind: &Kind, object: &mut Value, old: Option<&Value>) {
    match kind.group.as_str() {
        "" | "apps" | "discovery.k8s.io" | "apiextensions.k8s.io" => defaults::complete(kind, object, old),
        "gateway.networking.k8s.io" => {
            gateway::complete(kind, object);
            routes::complete(kind, object);
        }
        _ => {}
    }
}

/// Every mistake of an object; none = admitted.
pub(super) fn validate(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match kind.group.as_str() {
        "" | "apps" | "discovery.k8s.io" | "coordination.k8s.io" | "apiextensions.k8s.io" => core::validate(kind, object, old, &mut causes),
        "gateway.networking.k8s.io" => {
            gateway::validate(kind, object, old, &mut causes);
            routes::validate(kind, object, &mut causes);
        }
        "cilium.io" => cilium::validate(kind, object, &mut causes),
        _ => {}
    }
    causes
}

/// A port within 1-65535.
fn check_port(value: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if let Some(port) = value.filter(|port| !port.as_i64().is_some_and(|n| (1..=65_535).contains(&n))) {
        causes.push(Cause::invalid(path, port, "must be between 1 and 65535, inclusive"));
    }
}

/// At most so many items.
fn check_count(items: &[Value], limit: usize, path: &str, causes: &mut Vec<Cause>) {
    if items.len() > limit {
        causes.push(Cause::too_many(path, items.len(), limit));
    }
}
