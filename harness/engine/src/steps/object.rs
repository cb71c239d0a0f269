//! Objects of the API and the leases of L2 announcement.

use plumb_core::evidence::{LeaseFact, Seen};
use plumb_core::scenario::model::{LeaseProbe, StatusProbe};
use serde_json::Value;

use super::probe::{Attempt, Missed};
use super::scene::Scene;
use super::target::Missing;
use crate::cluster::{ApiError, ResourceRef};
use crate::redact;

pub(super) async fn status(scene: &Scene, probe: &StatusProbe) -> Attempt {
    let resource = resource(&probe.resource)?;
    let object = scene.cluster.read(&resource).await;
    let object = object.map_err(|error| Missed::trouble(&probe.resource, error.trouble("read the object")))?;
    Ok((resource.to_string(), object_seen(object)))
}

pub(super) async fn lease(scene: &Scene, probe: &LeaseProbe) -> Attempt {
    let lease = scene.lease(&probe.service).await;
    let lease = lease.map_err(|error| Missed::trouble(&probe.service, error.trouble("read the lease")))?;
    Ok((format!("lease {}", lease.name), Seen::Lease(lease)))
}

/// An object as evidence has it.
pub(super) fn object_seen(object: Option<Value>) -> Seen {
    Seen::Object(object.map_or(Value::Null, redact::object))
}

/// The lease of a Service as an object of the API (named as Cilium names it: `cilium-l2announce-<namespace>-<name>`).
pub(super) fn lease_of(service: &str) -> ResourceRef {
    let (namespace, name) = service.split_once('/').unwrap_or(("default", service));
    ResourceRef { kind: "lease".into(), namespace: Some("kube-system".into()), name: format!("cilium-l2announce-{namespace}-{name}") }
}

/// A lease as evidence has it.
pub(super) fn lease_fact(resource: &ResourceRef, object: Option<&Value>) -> LeaseFact {
    let name = format!("{}/{}", resource.namespace.as_deref().unwrap_or("default"), resource.name);
    let Some(object) = object else { return LeaseFact { name, ..LeaseFact::default() } };
    let text = |field: &str| object.pointer(&format!("/spec/{field}")).and_then(Value::as_str).map(str::to_owned);
    let number = |field: &str| object.pointer(&format!("/spec/{field}")).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    LeaseFact {
        name,
        exists: true,
        holder: text("holderIdentity").filter(|holder| !holder.is_empty()),
        duration_seconds: number("leaseDurationSeconds"),
        transitions: number("leaseTransitions"),
        renew_time: text("renewTime"),
    }
}

/// Reads `kind/name` or `kind/namespace/name`.
pub(super) fn resource(text: &str) -> Result<ResourceRef, Missed> {
    let bad = || Missed::nowhere(text, Missing::NotThere(format!("`{text}` is not kind/name or kind/namespace/name")));
    ResourceRef::parse(text).ok_or_else(bad)
}

impl Scene {
    /// The lease of a Service as it stands.
    pub(super) async fn lease(&self, service: &str) -> Result<LeaseFact, ApiError> {
        let resource = lease_of(service);
        let object = self.cluster.read(&resource).await?;
        Ok(lease_fact(&resource, object.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lease_without_a_holder_is_read_as_one() {
        let resource = lease_of("web/lb");
        assert_eq!(resource.name, "cilium-l2announce-web-lb");
        let object = json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 3}});
        let lease = lease_fact(&resource, Some(&object));
        assert_eq!((lease.exists, lease.holder, lease.duration_seconds), (true, None, Some(3)));
        assert!(!lease_fact(&resource, None).exists);
    }
}
