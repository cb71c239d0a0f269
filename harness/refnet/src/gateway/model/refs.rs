//! References: from a listener to Secrets, from a route to Services and their endpoints, and the grants they need across namespaces.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Secret, Service};

use super::super::certs;
use super::super::config::Target;
use super::super::objects::{BackendRef, GROUP, GatewaySpec, Item, ListenerSpec};
use super::World;
use super::listeners::Why;
use crate::fault::Fault;

/// The Secrets of a listener that can be served, and what is wrong with the first that cannot.
pub(super) fn certificates(world: &World, gateway: &Item<GatewaySpec>, spec: &ListenerSpec) -> (Vec<(String, String)>, Option<Why>) {
    let references = spec.tls.as_ref().map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
    let mut good = Vec::new();
    let mut wrong: Option<Why> = None;
    for reference in references {
        let namespace = reference.namespace.as_deref().unwrap_or(gateway.namespace());
        let name = &reference.name;
        let is_secret = reference.group.as_deref().unwrap_or("").is_empty() && reference.kind.as_deref().unwrap_or("Secret") == "Secret";
        let outcome = if !is_secret {
            Err(("InvalidCertificateRef", format!("Certificate {name} is not a Secret")))
        } else if namespace != gateway.namespace()
            && !granted(world, (GROUP, "Gateway", gateway.namespace()), ("", "Secret", namespace, name))
        {
            Err(("RefNotPermitted", format!("No ReferenceGrant lets this Gateway use Secret {namespace}/{name}")))
        } else {
            match secret(world, namespace, name).map(|secret| certs::check(&secret)) {
                None => Err(("InvalidCertificateRef", format!("Secret {namespace}/{name} does not exist"))),
                Some(Err(error)) => Err(("InvalidCertificateRef", format!("Secret {namespace}/{name} cannot be served: {error}"))),
                Some(Ok(())) => Ok(()),
            }
        };
        match outcome {
            Ok(()) => good.push((namespace.to_owned(), name.clone())),
            Err(why) => wrong = wrong.or(Some(why)),
        }
    }
    if references.is_empty() {
        wrong = Some(("InvalidCertificateRef", "A listener that terminates TLS needs certificateRefs".to_owned()));
    }
    (good, wrong)
}

/// A Secret by name.
pub(super) fn secret(world: &World, namespace: &str, name: &str) -> Option<std::sync::Arc<Secret>> {
    let found = world.secrets.iter().find(|secret| {
        let meta = &secret.metadata;
        meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
    });
    found.cloned()
}

/// Where a backend reference leads, and what is wrong with it.
pub(super) fn backend(world: &World, route: (&str, &str), reference: &BackendRef) -> (Target, Option<Why>) {
    let (kind, route_namespace) = route;
    let namespace = reference.namespace.as_deref().unwrap_or(route_namespace);
    let name = &reference.name;
    let is_service = reference.group.as_deref().unwrap_or("").is_empty() && reference.kind.as_deref().unwrap_or("Service") == "Service";
    if !is_service {
        return (Target::Invalid, Some(("InvalidKind", format!("Backend {name} is not a Service"))));
    }
    let permitted = namespace == route_namespace || granted(world, (GROUP, kind, route_namespace), ("", "Service", namespace, name));
    let refusal = (!permitted).then(|| ("RefNotPermitted", format!("No ReferenceGrant lets this route use Service {namespace}/{name}")));
    if refusal.is_some() && !world.faults.has(Fault::RouteWithoutGrant) {
        return (Target::Invalid, refusal);
    }
    let service = world
        .services
        .iter()
        .find(|service| service.metadata.namespace.as_deref() == Some(namespace) && service.metadata.name.as_deref() == Some(name));
    let Some(service) = service else {
        return (Target::Invalid, refusal.or(Some(("BackendNotFound", format!("Service {namespace}/{name} does not exist")))));
    };
    let Some(port) = reference.port else {
        return (Target::Invalid, refusal.or(Some(("InvalidKind", format!("Backend {name} needs a port")))));
    };
    match endpoints(world, service, port) {
        Some(endpoints) => (Target::Service { name: format!("{namespace}/{name}:{port}"), endpoints }, refusal),
        None => (Target::Invalid, refusal.or(Some(("BackendNotFound", format!("Service {namespace}/{name} has no port {port}"))))),
    }
}

/// The ready endpoints of a port of a Service; `None` when it has no such port.
fn endpoints(world: &World, service: &Service, port: u16) -> Option<Vec<SocketAddr>> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = ports.iter().find(|entry| entry.port == i32::from(port))?;
    let slices: Vec<_> = world.slices.iter().map(std::sync::Arc::as_ref).collect();
    Some(crate::service::endpoints(service, port, &slices))
}

/// Whether a ReferenceGrant in the target's namespace lets `from` (group, kind, namespace) refer to `to` (group, kind, namespace, name).
fn granted(world: &World, from: (&str, &str, &str), to: (&str, &str, &str, &str)) -> bool {
    world.grants.iter().filter(|grant| grant.namespace() == to.2).any(|grant| {
        grant.spec.from.iter().any(|entry| (entry.group.as_str(), entry.kind.as_str(), entry.namespace.as_str()) == from)
            && grant.spec.to.iter().any(|entry| {
                (entry.group.as_str(), entry.kind.as_str()) == (to.0, to.1)
                    && entry.name.as_deref().is_none_or(|name| name.is_empty() || name == to.3)
            })
    })
}
