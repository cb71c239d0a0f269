//! Routes: to which listeners they attach, what is said of each parent, and what the listeners do for them.

use std::collections::BTreeMap;

use kube::core::{Selector, SelectorExt};

use super::super::config::{Share, TlsRule};
use super::super::hostname;
use super::super::objects::{BackendRef, GROUP, Item, ListenerSpec, ParentRef};
use super::listeners::{GatewayWork, Why};
use super::status::{Condition, RouteState};
use super::{World, http, refs};

/// A listener a route attaches to, and the host names it does so for.
struct Attachment {
    gateway: usize,
    listener: usize,
    hostnames: Vec<Option<String>>,
}

/// Attaches every HTTPRoute.
pub(super) fn attach_http(world: &World, gateways: &mut [GatewayWork<'_>]) -> Vec<RouteState> {
    let mut states = Vec::new();
    for route in &world.http_routes {
        let compiled = http::compile(world, route);
        let outcome = |attached: Result<(), Why>| {
            let accepted = match (&attached, &compiled.unsupported) {
                (Err((reason, message)), _) => Condition::no("Accepted", reason, message.clone()),
                (Ok(()), Some((reason, message))) => Condition::no("Accepted", reason, message.clone()),
                (Ok(()), None) => Condition::yes("Accepted", "Accepted", "Accepted HTTPRoute"),
            };
            vec![accepted, resolved(compiled.unresolved.as_ref())]
        };
        let (state, attachments) = parents(world, gateways, route, "HTTPRoute", (&route.spec.parent_refs, &route.spec.hostnames), outcome);
        for attachment in &attachments {
            let listener = &mut gateways[attachment.gateway].listeners[attachment.listener];
            listener.attached += 1;
            for pattern in &attachment.hostnames {
                for (rule, at, match_at) in &compiled.rules {
                    let mut rule = rule.clone();
                    rule.hostname.clone_from(pattern);
                    listener.http.push((rule, (route.age(), *at, *match_at)));
                }
            }
        }
        states.extend(state);
    }
    states
}

/// Attaches every TLSRoute; of several for the same name the oldest comes first.
pub(super) fn attach_tls(world: &World, gateways: &mut [GatewayWork<'_>]) -> Vec<RouteState> {
    let mut routes: Vec<_> = world.tls_routes.iter().collect();
    routes.sort_by_key(|route| route.age());
    let mut states = Vec::new();
    for route in routes {
        let references: Vec<_> = route.spec.rules.iter().flat_map(|rule| &rule.backend_refs).collect();
        let (backends, unresolved) = shares(world, ("TLSRoute", route.namespace()), &references);
        let outcome = |attached: Result<(), Why>| {
            let accepted = match attached {
                Err((reason, message)) => Condition::no("Accepted", reason, message),
                Ok(()) => Condition::yes("Accepted", "Accepted", "Accepted TLSRoute"),
            };
            vec![accepted, resolved(unresolved.as_ref())]
        };
        let (state, attachments) = parents(world, gateways, route, "TLSRoute", (&route.spec.parent_refs, &route.spec.hostnames), outcome);
        for attachment in &attachments {
            let listener = &mut gateways[attachment.gateway].listeners[attachment.listener];
            listener.attached += 1;
            for pattern in &attachment.hostnames {
                let id = format!("{}/{}", route.namespace(), route.name());
                listener.tls.push(TlsRule { id, hostname: pattern.clone(), backends: backends.clone() });
            }
        }
        states.extend(state);
    }
    for listener in gateways.iter_mut().flat_map(|gateway| &mut gateway.listeners) {
        listener.tls.sort_by_key(|rule| std::cmp::Reverse(hostname::rank(rule.hostname.as_deref())));
    }
    states
}

/// Where a list of backend references leads, and what is wrong with the first that is wrong.
pub(super) fn shares(world: &World, route: (&str, &str), references: &[&BackendRef]) -> (Vec<Share>, Option<Why>) {
    let mut wrong = None;
    let shares = references
        .iter()
        .map(|reference| {
            let (target, why) = refs::backend(world, route, reference);
            wrong = wrong.take().or(why);
            Share { weight: reference.weight.unwrap_or(1), target, filters: Vec::new() }
        })
        .collect();
    (shares, wrong)
}

fn resolved(unresolved: Option<&Why>) -> Condition {
    match unresolved {
        Some((reason, message)) => Condition::no("ResolvedRefs", reason, message.clone()),
        None => Condition::yes("ResolvedRefs", "ResolvedRefs", "Service reference is valid"),
    }
}

/// Works out each parent of a route; a route without a parent of ours has no state, unless it still says something in our name.
fn parents<S>(
    world: &World,
    gateways: &[GatewayWork<'_>],
    route: &Item<S>,
    kind: &'static str,
    wants: (&[ParentRef], &[String]),
    outcome: impl Fn(Result<(), Why>) -> Vec<Condition>,
) -> (Option<RouteState>, Vec<Attachment>) {
    let mut said = Vec::new();
    let mut attachments: Vec<Attachment> = Vec::new();
    for parent in wants.0 {
        let namespace = parent.namespace.as_deref().unwrap_or(route.namespace());
        let is_gateway = parent.group.as_deref().unwrap_or(GROUP) == GROUP && parent.kind.as_deref().unwrap_or("Gateway") == "Gateway";
        let found = gateways.iter().position(|gateway| gateway.object.namespace() == namespace && gateway.object.name() == parent.name);
        let (true, Some(at)) = (is_gateway, found) else { continue };
        match attach(world, &gateways[at], (route.namespace(), kind), parent, wants.1) {
            Ok(listeners) => {
                for (listener, hostnames) in listeners {
                    if !attachments.iter().any(|known| known.gateway == at && known.listener == listener) {
                        attachments.push(Attachment { gateway: at, listener, hostnames });
                    }
                }
                said.push((parent.clone(), outcome(Ok(()))));
            }
            Err(why) => said.push((parent.clone(), outcome(Err(why)))),
        }
    }
    let spoke = route.status.get("parents").and_then(|parents| parents.as_array()).is_some_and(|parents| !parents.is_empty());
    let state = (!said.is_empty() || spoke).then(|| RouteState {
        namespace: route.namespace().to_owned(),
        name: route.name().to_owned(),
        generation: route.generation(),
        parents: said,
    });
    (state, attachments)
}

/// A listener by its place, and the host names a route has on it.
type Attached = (usize, Vec<Option<String>>);

/// The listeners of a Gateway a route attaches to by one parent reference, or why there is none.
fn attach(
    world: &World,
    gateway: &GatewayWork<'_>,
    route: (&str, &str),
    parent: &ParentRef,
    hostnames: &[String],
) -> Result<Vec<Attached>, Why> {
    let named = |spec: &ListenerSpec| {
        parent.section_name.as_ref().is_none_or(|section| *section == spec.name) && parent.port.is_none_or(|port| port == spec.port)
    };
    let named: Vec<_> = gateway.listeners.iter().enumerate().filter(|(_, listener)| named(listener.spec)).collect();
    if named.is_empty() {
        return Err(("NoMatchingParent", "No listener has the name or port the route asks for".to_owned()));
    }
    let allowed: Vec<_> = named
        .into_iter()
        .filter(|(_, listener)| listener.kinds.contains(&route.1) && allows(world, listener.spec, gateway.object.namespace(), route.0))
        .collect();
    if allowed.is_empty() {
        return Err(("NotAllowedByListeners", "No listener allows routes of this kind from this namespace".to_owned()));
    }
    let matching: Vec<_> = allowed
        .into_iter()
        .filter_map(|(at, listener)| {
            let own = listener.spec.hostname.as_deref();
            let shared: Vec<_> = if hostnames.is_empty() {
                vec![own.map(str::to_owned)]
            } else {
                hostnames.iter().filter_map(|name| hostname::intersect(own, name)).map(Some).collect()
            };
            (!shared.is_empty()).then_some((at, shared))
        })
        .collect();
    if matching.is_empty() {
        return Err(("NoMatchingListenerHostname", "No hostname of the route goes with a listener's".to_owned()));
    }
    Ok(matching)
}

/// Whether a listener lets routes of a namespace attach.
fn allows(world: &World, spec: &ListenerSpec, own: &str, namespace: &str) -> bool {
    let from = &spec.allowed_routes.namespaces;
    match from.from.as_deref().unwrap_or("Same") {
        "All" => true,
        "Selector" => {
            let Some(Ok(selector)) = from.selector.clone().map(Selector::try_from) else { return false };
            let found = world.namespaces.iter().find(|entry| entry.metadata.name.as_deref() == Some(namespace));
            let mut labels: BTreeMap<_, _> = found.and_then(|entry| entry.metadata.labels.clone()).unwrap_or_default();
            labels.entry("kubernetes.io/metadata.name".to_owned()).or_insert_with(|| namespace.to_owned());
            selector.matches(&labels)
        }
        _ => own == namespace,
    }
}
