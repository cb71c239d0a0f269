//! From a request to an answer. Takes the store's lock once per request, so that whatever a request reads and writes is one step.

use std::sync::Arc;

use http::{Method, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::apply::{self, Force, Ownership};
use super::remove::DeleteOptions;
use super::request::{Call, FieldValidation, Form, ResourcePath, Target};
use super::rules::envelope;
use super::selector::Selector;
use super::service::Body;
use super::status::ApiError;
use super::store::Store;
use super::subresource;
use super::watch::{self, Watch};
use super::write::{How, Options, Place, Written};
use super::{Inner, body, discovery, merge, openapi, openapi_v2, respond};

/// Answers a request; a refusal is an answer.
pub(crate) fn handle(inner: &Arc<Inner>, call: &Call, stopped: &CancellationToken) -> Response<Body> {
    let answer = match Target::parse(&call.path) {
        Ok(Target::Plain(segments)) => plain(inner, call, &segments),
        Ok(Target::Resource(path)) => resource(inner, call, &path, stopped),
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| respond::refusal(&error))
}

fn plain(inner: &Inner, call: &Call, segments: &[String]) -> Result<Response<Body>, ApiError> {
    if call.method != Method::GET {
        return Err(ApiError::method_not_allowed());
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Ok(respond::bytes(200, "text/plain; charset=utf-8", "ok")),
        ["version"] => Ok(respond::json(200, &discovery::version())),
        ["openapi", "v2"] if call.accept.contains("proto-openapi") => {
            Ok(respond::bytes(200, openapi_v2::MEDIA_TYPE, openapi_v2::document(&inner.kinds())))
        }
        ["openapi", "v3"] => Ok(respond::json(200, &openapi::index(&inner.kinds()))),
        ["openapi", "v3", rest @ ..] => openapi::document(&inner.kinds(), rest).map(|text| respond::bytes(200, "application/json", text)),
        ["api" | "apis", ..] => discovery::answer(&inner.kinds(), Form::negotiate(&call.accept)?, &segments),
        [] => Ok(respond::json(
            200,
            &json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
        )),
        _ => Err(ApiError::no_path()),
    }
}

/// What a request is about: the kind must be served in that version, and the namespace fit its scope.
fn place(store: &Store, path: &ResourcePath) -> Result<Place, ApiError> {
    let shelf = store.find(&path.group, &path.plural).ok_or_else(ApiError::no_path)?;
    let kind = store.shelves[shelf].kind.clone();
    kind.version(&path.version).ok_or_else(ApiError::no_path)?;
    if path.namespace.is_some() && !kind.namespaced || path.namespace.is_none() && kind.namespaced && path.name.is_some() {
        return Err(ApiError::no_path());
    }
    Ok(Place {
        shelf,
        kind,
        version: path.version.clone(),
        namespace: path.namespace.clone().unwrap_or_default(),
        name: path.name.clone().unwrap_or_default(),
        subresource: "",
    })
}

fn options(call: &Call) -> Result<Options, ApiError> {
    Ok(Options {
        manager: call.manager()?,
        validation: call.field_validation()?,
        dry_run: call.dry_run()?,
        now: super::rfc3339(time::OffsetDateTime::now_utc().unix_timestamp()),
        warnings: Vec::new(),
    })
}

fn resource(inner: &Arc<Inner>, call: &Call, path: &ResourcePath, stopped: &CancellationToken) -> Result<Response<Body>, ApiError> {
    let form = Form::negotiate(&call.accept)?;
    let mut place = place(&inner.lock(), path)?;
    match path.subresource.as_deref() {
        None => {}
        Some("status") if place.kind.status => place.subresource = "status",
        Some(other) => return subresource::answer(inner, call, &place, other, options(call)?),
    }
    let named = path.name.is_some();
    match (&call.method, named) {
        (&Method::GET, false) if call.query.flag("watch") => watching(inner, call, path, place, form, stopped),
        (&Method::GET, false) => list(inner, call, path, &place, form),
        (&Method::GET, true) => {
            let object = inner.lock().get(place.shelf, &place.key()).cloned().ok_or_else(|| place.not_found())?;
            Ok(respond::object(&place.kind, &place.version, form, 200, &object))
        }
        (&Method::POST, false) if place.kind.namespaced == path.namespace.is_some() => create(inner, call, &place, form),
        (&Method::PUT, true) => replace(inner, call, &place, form),
        (&Method::PATCH, true) => patch(inner, call, &place, form),
        (&Method::DELETE, true) if place.subresource.is_empty() => delete(inner, call, &place, form),
        (&Method::DELETE, false) => delete_collection(inner, call, path, &place, form),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn selector(call: &Call, place: &Place) -> Result<Selector, ApiError> {
    Selector::parse(call.query.first("labelSelector"), call.query.first("fieldSelector"), place.kind.selectable)
}

fn list(inner: &Inner, call: &Call, path: &ResourcePath, place: &Place, form: Form) -> Result<Response<Body>, ApiError> {
    let selector = selector(call, place)?;
    call.query.number("resourceVersion")?;
    call.query.number("limit")?;
    let (revision, objects) = {
        let store = inner.lock();
        let found = store.select(place.shelf, path.namespace.as_deref(), &selector).map(|(_, object)| object.clone()).collect::<Vec<_>>();
        (store.revision(), found)
    };
    let objects = objects.iter().map(|object| respond::in_version(&place.kind, &place.version, object)).collect::<Vec<_>>();
    Ok(respond::list(&place.kind, &place.version, form, revision, &objects))
}

fn watching(
    inner: &Arc<Inner>,
    call: &Call,
    path: &ResourcePath,
    place: Place,
    form: Form,
    stopped: &CancellationToken,
) -> Result<Response<Body>, ApiError> {
    let selector = selector(call, &place)?;
    let watch = Watch { shelf: place.shelf, kind: place.kind, version: place.version, namespace: path.namespace.clone(), selector, form };
    watch::start(inner, call, watch, stopped)
}

/// The answer to a write.
pub(super) fn written(place: &Place, form: Form, written: &Written, options: &Options) -> Response<Body> {
    let code = if written.created { 201 } else { 200 };
    respond::with_warnings(respond::object(&place.kind, &place.version, form, code, &written.object), &options.warnings)
}

fn create(inner: &Inner, call: &Call, place: &Place, form: Form) -> Result<Response<Body>, ApiError> {
    let object = body::object(call)?;
    let mut options = options(call)?;
    let done = inner.lock().create(place, object, How::Update, &mut options)?;
    Ok(written(place, form, &done, &options))
}

fn replace(inner: &Inner, call: &Call, place: &Place, form: Form) -> Result<Response<Body>, ApiError> {
    let object = body::object(call)?;
    let mut options = options(call)?;
    let mut store = inner.lock();
    let old = store.get(place.shelf, &place.key()).cloned().ok_or_else(|| place.not_found())?;
    let done = store.update(place, &old, object, How::Update, &mut options)?;
    drop(store);
    Ok(written(place, form, &done, &options))
}

fn patch(inner: &Inner, call: &Call, place: &Place, form: Form) -> Result<Response<Body>, ApiError> {
    let kind = body::patch_kind(call)?;
    let patch = body::decode(call, kind.is_yaml())?;
    let mut options = options(call)?;
    let mut store = inner.lock();
    let old = store.get(place.shelf, &place.key()).cloned();
    let done = match (kind, old) {
        (body::Patch::Apply, old) => {
            if call.query.first("fieldManager").is_none_or(str::is_empty) {
                let cause = super::status::Cause::required("fieldManager", "is required for apply patch");
                return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![cause]));
            }
            let force = if call.query.flag("force") { Force::Yes } else { Force::No };
            apply_patch(&mut store, place, old.as_ref(), patch, force, &mut options)?
        }
        (_, None) => return Err(place.not_found()),
        (kind, Some(old)) => {
            let mut new = Value::clone(&respond::in_version(&place.kind, &place.version, &old));
            match kind {
                body::Patch::Json => merge::json_patch(&mut new, patch)?,
                body::Patch::Strategic if place.kind.custom => return Err(body::unsupported_patch(call)),
                body::Patch::Strategic => merge::strategic_merge(place.version().schema(), &mut new, &patch)?,
                body::Patch::Merge | body::Patch::Apply => {
                    if !patch.is_object() {
                        return Err(ApiError::bad_request("a merge patch must be an object"));
                    }
                    merge::merge_patch(&mut new, &patch);
                }
            }
            merge::within_bounds(&new)?;
            store.update(place, &old, new, How::Update, &mut options)?
        }
    };
    drop(store);
    Ok(written(place, form, &done, &options))
}

fn apply_patch(
    store: &mut Store,
    place: &Place,
    old: Option<&Arc<Value>>,
    mut wanted: Value,
    force: Force,
    options: &mut Options,
) -> Result<Written, ApiError> {
    envelope(place, &wanted)?;
    if wanted.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let version = super::object::meta(&wanted, "resourceVersion").to_owned();
    if let Some(old) = old.filter(|old| !version.is_empty() && version != super::object::meta(old, "resourceVersion")) {
        let why = format!(
            "the object has been modified; please apply your changes to the latest version and try again ({})",
            super::object::meta(old, "resourceVersion")
        );
        return Err(ApiError::conflict(&place.kind.group, &place.kind.plural, &place.name, &why));
    }
    let schema = place.version().schema();
    // Only what is there is looked at: what is missing may be somebody else's, and the whole is checked once it is merged.
    let findings = schema.check_part(&mut wanted);
    if let Some(unknown) = findings.unknown.first() {
        let named = format!("{}/{}; {}, Kind={}", place.namespace, place.name, place.api_version(), place.kind.kind);
        match options.validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => options.warnings.extend(findings.unknown.iter().map(|field| format!("unknown field {field:?}"))),
            FieldValidation::Strict => {
                let message = format!("failed to create typed patch object ({named}): .{unknown}: field not declared in schema");
                return Err(ApiError::bad_request(message));
            }
        }
    }
    if !findings.types.is_empty() {
        return Err(place.invalid(findings.types));
    }
    if old.is_none() && place.subresource == "status" {
        return Err(place.not_found());
    }
    let live = match old {
        Some(old) => Value::clone(&respond::in_version(&place.kind, &place.version, old)),
        None => json!({"apiVersion": place.api_version(), "kind": place.kind.kind, "metadata": {"name": place.name}}),
    };
    let mut ownership = Ownership::read(&live);
    let merged = {
        let api_version = place.api_version();
        let manager = options.manager(place, "Apply", &api_version);
        apply::apply(schema, &live, &wanted, &manager, place.kind.status, force, &mut ownership)?
    };
    match old {
        Some(old) => store.update(place, old, merged, How::Apply(ownership), options),
        None => store.create(place, merged, How::Apply(ownership), options),
    }
}

fn delete_options(call: &Call) -> Result<DeleteOptions, ApiError> {
    let given = if call.body.is_empty() { Value::Null } else { body::decode(call, false)? };
    DeleteOptions::read(&given, &call.query, call.dry_run()?)
}

fn delete(inner: &Inner, call: &Call, place: &Place, form: Form) -> Result<Response<Body>, ApiError> {
    let options = delete_options(call)?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let deleted = inner.lock().delete(place, &options, now)?;
    if !deleted.gone || place.kind.kind == "Pod" {
        return Ok(respond::object(&place.kind, &place.version, form, 200, &deleted.object));
    }
    let details = json!({
        "name": place.name, "group": place.kind.group, "kind": place.kind.plural, "uid": super::object::meta(&deleted.object, "uid"),
    });
    Ok(respond::json(200, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})))
}

fn delete_collection(inner: &Inner, call: &Call, path: &ResourcePath, place: &Place, form: Form) -> Result<Response<Body>, ApiError> {
    if place.kind.namespaced && path.namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let selector = selector(call, place)?;
    let options = delete_options(call)?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let mut store = inner.lock();
    let keys: Vec<_> = store.select(place.shelf, path.namespace.as_deref(), &selector).map(|(key, _)| key.clone()).collect();
    let mut gone = Vec::new();
    for (namespace, name) in keys {
        let place = Place { namespace, name, ..place.clone() };
        match store.delete(&place, &options, now) {
            Ok(deleted) => gone.push(deleted.object),
            // It went with another one.
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let revision = store.revision();
    drop(store);
    let gone = gone.iter().map(|object| respond::in_version(&place.kind, &place.version, object)).collect::<Vec<_>>();
    Ok(respond::list(&place.kind, &place.version, form, revision, &gone))
}
