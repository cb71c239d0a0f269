//! Subresources besides `/status`: binding a Pod to a node, scaling, and those that are refused with a reason.

use http::{Method, Response};
use serde_json::{Value, json};

use super::object::{as_map, child, items, meta, text};
use super::request::Call;
use super::service::Body;
use super::status::{ApiError, Cause};
use super::write::{How, Options, Place};
use super::{Inner, body, merge, respond};

pub(crate) fn answer(inner: &Inner, call: &Call, place: &Place, name: &str, options: Options) -> Result<Response<Body>, ApiError> {
    let kind = (place.kind.group.as_str(), place.kind.kind.as_str());
    match (kind, name) {
        (("", "Pod"), "binding") if call.method == Method::POST => bind(inner, call, place, options),
        (("apps", "Deployment" | "ReplicaSet"), "scale") => scale(inner, call, place, options),
        (("", "Pod"), "attach" | "portforward" | "eviction" | "ephemeralcontainers" | "resize" | "proxy")
        | (("", "ServiceAccount"), "token")
        | (("", "Service" | "Node"), "proxy") => Err(ApiError::not_implemented(format!(
            "the reference network has no {name} of {}: Pods are agent processes of the lab, reached through the lab itself",
            place.kind.plural
        ))),
        _ => Err(ApiError::no_path()),
    }
}

/// What a scheduler does.
fn bind(inner: &Inner, call: &Call, place: &Place, mut options: Options) -> Result<Response<Body>, ApiError> {
    let binding = body::object(call)?;
    let node = text(&binding, "/target/name").to_owned();
    if node.is_empty() {
        return Err(ApiError::invalid("", "Binding", &place.name, vec![Cause::required("target.name", "")]));
    }
    let mut store = inner.lock();
    let old = store.get(place.shelf, &place.key()).cloned().ok_or_else(|| place.not_found())?;
    let bound = text(&old, "/spec/nodeName");
    if !bound.is_empty() {
        let why = format!("pod {} is already assigned to node {bound:?}", place.name);
        return Err(ApiError::conflict("", "pods/binding", &place.name, &why));
    }
    let mut new = Value::clone(&old);
    child(&mut new, "spec").insert("nodeName".to_owned(), json!(node));
    let done = store.update(place, &old, new, How::Update, &mut options)?;
    if !options.dry_run {
        let mut scheduled = Value::clone(&done.object);
        let mut conditions = items(&scheduled, "/status/conditions").to_vec();
        conditions.retain(|c| c["type"] != "PodScheduled");
        conditions.push(json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": options.now}));
        child(&mut scheduled, "status").insert("conditions".to_owned(), json!(conditions));
        let status = Place { subresource: "status", ..place.clone() };
        store.update(&status, &done.object, scheduled, How::Update, &mut options)?;
    }
    Ok(respond::json(201, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})))
}

/// `autoscaling/v1` Scale of a workload.
fn scale(inner: &Inner, call: &Call, place: &Place, mut options: Options) -> Result<Response<Body>, ApiError> {
    let mut store = inner.lock();
    let old = store.get(place.shelf, &place.key()).cloned().ok_or_else(|| place.not_found())?;
    let mut wanted = scale_of(&old);
    match call.method {
        Method::GET => return Ok(respond::json(200, &wanted)),
        Method::PUT => wanted = body::object(call)?,
        Method::PATCH => match body::patch_kind(call)? {
            body::Patch::Json => merge::json_patch(&mut wanted, body::decode(call, false)?)?,
            body::Patch::Merge | body::Patch::Strategic => merge::merge_patch(&mut wanted, &body::decode(call, false)?),
            body::Patch::Apply => return Err(body::unsupported_patch(call)),
        },
        _ => return Err(ApiError::method_not_allowed()),
    }
    let version = meta(&wanted, "resourceVersion");
    if !version.is_empty() && version != meta(&old, "resourceVersion") {
        return Err(ApiError::conflict(
            &place.kind.group,
            &place.kind.plural,
            &place.name,
            "the object has been modified; please apply your changes to the latest version and try again",
        ));
    }
    let replicas = wanted.pointer("/spec/replicas").and_then(Value::as_i64).filter(|n| (0..=100_000).contains(n));
    let Some(replicas) = replicas else {
        return Err(ApiError::invalid(
            "autoscaling",
            "Scale",
            &place.name,
            vec![Cause::invalid("spec.replicas", &wanted["spec"]["replicas"], "must be a non-negative integer")],
        ));
    };
    let mut new = Value::clone(&old);
    as_map(&mut new["spec"]).insert("replicas".to_owned(), json!(replicas));
    let done = store.update(place, &old, new, How::Update, &mut options)?;
    Ok(respond::json(200, &scale_of(&done.object)))
}

fn scale_of(object: &Value) -> Value {
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector =
        labels.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",");
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta(object, "name"), "namespace": meta(object, "namespace"), "uid": meta(object, "uid"),
            "resourceVersion": meta(object, "resourceVersion"), "creationTimestamp": meta(object, "creationTimestamp"),
        },
        "spec": {"replicas": object.pointer("/spec/replicas").cloned().unwrap_or(json!(1))},
        "status": {"replicas": object.pointer("/status/replicas").cloned().unwrap_or(json!(0)), "selector": selector},
    })
}
