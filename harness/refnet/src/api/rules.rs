//! What a write may and may not do to an object, whatever its kind.

use serde_json::{Value, json};

use super::apply::Ownership;
use super::kinds::Kind;
use super::names;
use super::object::{is_deleting, items, meta, meta_mut, text};
use super::request::FieldValidation;
use super::status::{ApiError, Cause};
use super::write::{Options, Place};

/// apiVersion, kind, name and namespace must be those of the path.
pub(crate) fn envelope(place: &Place, object: &Value) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the object provided is unrecognized (must be a map)"));
    }
    let wanted = place.api_version();
    let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' and 'apiVersion' must be set in the data"));
    }
    if kind != place.kind.kind || api_version.split_once('/').map_or("", |(g, _)| g) != place.kind.group {
        let message =
            format!("{kind} in version {api_version:?} cannot be handled as a {}: no kind {kind:?} is registered for it", place.kind.kind);
        return Err(ApiError::bad_request(message));
    }
    if api_version != wanted {
        let message = format!("the API version in the data ({api_version}) does not match the expected API version ({wanted})");
        return Err(ApiError::bad_request(message));
    }
    if object.get("metadata").is_some_and(|m| !m.is_object() && !m.is_null()) {
        return Err(ApiError::bad_request("metadata must be a map"));
    }
    let namespace = meta(object, "namespace");
    if place.kind.namespaced && !namespace.is_empty() && namespace != place.namespace {
        return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    let name = meta(object, "name");
    if !place.name.is_empty() && !name.is_empty() && name != place.name {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", place.name);
        return Err(ApiError::bad_request(message));
    }
    Ok(())
}

/// Strict decoding by the kind's schema: unknown fields are refused, warned of or dropped, wrong types always refused.
pub(crate) fn decode(place: &Place, object: &mut Value, options: &mut Options) -> Result<(), ApiError> {
    let findings = place.version().schema().check(object);
    let (kind, version) = (&place.kind.kind, &place.version);
    if !findings.types.is_empty() && !place.kind.custom {
        let first = &findings.types[0];
        let message = format!("{kind} in version {version:?} cannot be handled as a {kind}: json: {}: {}", first.field, first.message);
        return Err(ApiError::bad_request(message));
    }
    if !findings.unknown.is_empty() {
        let each = findings.unknown.iter().map(|field| format!("unknown field {field:?}")).collect::<Vec<_>>();
        match options.validation {
            FieldValidation::Strict => {
                let message =
                    format!("{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}", each.join(", "));
                return Err(ApiError::bad_request(message));
            }
            FieldValidation::Warn => options.warnings.extend(each),
            FieldValidation::Ignore => {}
        }
    }
    let mut causes = findings.types;
    // Required fields of built-in statuses are zero values in the real API's own types: their absence is no mistake there.
    causes.extend(findings.values.into_iter().filter(|c| place.kind.custom || !c.field.starts_with("status")));
    if causes.is_empty() {
        return Ok(());
    }
    let name = if place.name.is_empty() { meta(object, "name") } else { &place.name };
    Err(ApiError::invalid(&place.kind.group, kind, name, causes))
}

/// Names, labels, annotations, finalizers.
pub(crate) fn check_metadata(place: &Place, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    let name = meta(object, "name");
    if old.is_none() {
        let kind = place.kind.kind.as_str();
        let (valid, rule) = match (place.kind.group.as_str(), kind) {
            ("", "Namespace") => (names::is_label(name), names::LABEL_RULE),
            ("", "Service") => (
                names::is_letter_label(name),
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            ),
            _ => (names::is_subdomain(name), names::SUBDOMAIN_RULE),
        };
        if !valid {
            causes.push(Cause::invalid("metadata.name", &json!(name), rule));
        }
    }
    for (key, value) in object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten() {
        if !names::is_qualified(key) {
            causes.push(Cause::invalid(
                "metadata.labels",
                &json!(key),
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            ));
        }
        if !value.as_str().is_some_and(names::is_label_value) {
            causes.push(Cause::invalid("metadata.labels", value, "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
    }
    let mut total = 0;
    for (key, value) in object.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten() {
        if !names::is_qualified(&key.to_ascii_lowercase()) {
            causes.push(Cause::invalid(
                "metadata.annotations",
                &json!(key),
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            ));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > 256 * 1024 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".to_owned(),
            message: "Too long: may not be more than 262144 bytes".to_owned(),
        });
    }
    let finalizers = items(object, "/metadata/finalizers");
    for finalizer in finalizers {
        if !finalizer.as_str().is_some_and(names::is_qualified) {
            causes.push(Cause::invalid("metadata.finalizers", finalizer, "must be a qualified name"));
        }
    }
    if let Some(old) = old.filter(|old| is_deleting(old)) {
        let before = items(old, "/metadata/finalizers");
        if finalizers.iter().any(|f| !before.contains(f)) {
            causes.push(Cause::forbidden("metadata.finalizers", "no new finalizers can be added if the object is being deleted"));
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(&place.kind.group, &place.kind.kind, name, causes)) }
}

/// A status write changes nothing but the status, any other write everything but.
pub(crate) fn keep_separate(place: &Place, old: &Value, new: &mut Value) {
    if !place.kind.status {
        return;
    }
    if place.subresource == "status" {
        let status = new.get("status").cloned();
        let fields = new.pointer("/metadata/managedFields").cloned();
        let mut kept = old.clone();
        if let Some(map) = kept.as_object_mut() {
            match status {
                Some(status) => map.insert("status".to_owned(), status),
                None => map.shift_remove("status"),
            };
        }
        if let Some(fields) = fields {
            meta_mut(&mut kept).insert("managedFields".to_owned(), fields);
        }
        *new = kept;
    } else if let Some(map) = new.as_object_mut() {
        match old.get("status") {
            Some(status) => map.insert("status".to_owned(), status.clone()),
            None => map.shift_remove("status"),
        };
    }
}

/// The server's own metadata stays as it is.
pub(crate) fn keep_metadata(place: &Place, old: &Value, new: &mut Value) {
    let metadata = meta_mut(new);
    let own =
        ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generateName"];
    for key in own {
        match old.get("metadata").and_then(|m| m.get(key)) {
            Some(value) => metadata.insert(key.to_owned(), value.clone()),
            None => metadata.shift_remove(key),
        };
    }
    metadata.shift_remove("selfLink");
    metadata.insert("name".to_owned(), json!(place.name));
    if place.kind.namespaced {
        metadata.insert("namespace".to_owned(), json!(place.namespace));
    } else {
        metadata.shift_remove("namespace");
    }
    for empty in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let hollow = |v: &Value| v.as_object().is_some_and(serde_json::Map::is_empty) || v.as_array().is_some_and(Vec::is_empty);
        if metadata.get(empty).is_some_and(hollow) {
            metadata.shift_remove(empty);
        }
    }
}

/// managedFields a client has sent; an empty list gives up everything (a way out that the reference describes).
pub(crate) fn given_ownership(object: &Value) -> Option<Ownership> {
    object.pointer("/metadata/managedFields").filter(|v| v.is_array()).map(|_| Ownership::read(object))
}

pub(crate) fn set_ownership(object: &mut Value, ownership: &Ownership) {
    let fields = ownership.to_json();
    let metadata = meta_mut(object);
    if fields.as_array().is_some_and(|list| !list.is_empty()) {
        metadata.insert("managedFields".to_owned(), fields);
    } else {
        metadata.shift_remove("managedFields");
    }
}

/// Whether two states say the same but for versions and ownership.
pub(crate) fn same_content(old: &Value, new: &Value) -> bool {
    let count = |v: &Value| v.as_object().map_or(0, serde_json::Map::len);
    let same_metadata = || {
        let skip = |key: &str| key == "managedFields" || key == "resourceVersion";
        let (a, b) = (old.get("metadata").and_then(Value::as_object), new.get("metadata").and_then(Value::as_object));
        match (a, b) {
            (Some(a), Some(b)) => {
                a.iter().filter(|(k, _)| !skip(k)).all(|(k, v)| b.get(k) == Some(v))
                    && b.keys().filter(|k| !skip(k)).all(|k| a.contains_key(k))
            }
            (a, b) => a.is_none() && b.is_none(),
        }
    };
    let members = old.as_object().into_iter().flatten();
    count(old) == count(new) && members.filter(|(k, _)| *k != "metadata").all(|(k, v)| new.get(k) == Some(v)) && same_metadata()
}

/// Whether what is wanted has changed: anything but metadata and status.
pub(crate) fn spec_changed(old: &Value, new: &Value) -> bool {
    let members = |v: &Value| v.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect::<Vec<_>>();
    let mut keys = members(old);
    keys.extend(members(new));
    keys.iter().filter(|key| !matches!(key.as_str(), "metadata" | "status")).any(|key| old.get(key) != new.get(key))
}

/// Objects are kept in their kind's storage version; other versions differ in nothing but the name.
pub(crate) fn to_storage(kind: &Kind, object: &mut Value) {
    object["apiVersion"] = json!(kind.api_version(&kind.storage().name));
}
