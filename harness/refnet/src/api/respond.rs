//! Answers: JSON, YAML, tables, lists, refusals.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::kinds::{Column, Kind};
use super::request::Form;
use super::service::Body;
use super::status::ApiError;

/// Warnings in one answer.
const WARNINGS_LIMIT: usize = 20;

pub(crate) fn bytes(code: u16, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

pub(crate) fn json(code: u16, value: &Value) -> Response<Body> {
    bytes(code, "application/json", value.to_string())
}

/// A `Status` as a response.
pub(crate) fn refusal(error: &ApiError) -> Response<Body> {
    json(error.code, &error.status())
}

/// One value in the form the client asked for. Kinds with columns know how to be a table.
pub(crate) fn value(code: u16, form: Form, value: &Value) -> Response<Body> {
    match form {
        Form::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => bytes(code, "application/yaml", text),
            Err(error) => refusal(&ApiError::internal(format!("write YAML: {error}"))),
        },
        _ => json(code, value),
    }
}

/// Adds `Warning` headers, which kubectl shows.
pub(crate) fn with_warnings(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in warnings.iter().take(WARNINGS_LIMIT) {
        let text: String =
            warning.chars().filter(|c| !c.is_control() && c.is_ascii()).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// An object in a version other than it is kept in.
pub(crate) fn in_version(kind: &Kind, version: &str, object: &Arc<Value>) -> Arc<Value> {
    // What was stored before its definition changed may still say another version than the storage's.
    let wanted = kind.api_version(version);
    if super::object::text(object, "/apiVersion") == wanted {
        return object.clone();
    }
    let mut copy = Value::clone(object);
    copy["apiVersion"] = json!(wanted);
    Arc::new(copy)
}

/// Metadata alone, for clients that watch nothing else.
pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata").cloned().unwrap_or(json!({}))})
}

/// A list in the form asked for.
pub(crate) fn list(kind: &Kind, version: &str, form: Form, revision: u64, objects: &[Arc<Value>]) -> Response<Body> {
    let metadata = json!({"resourceVersion": revision.to_string()});
    match form {
        Form::Table => json(200, &table(columns(kind, version), &metadata, objects)),
        Form::Metadata => {
            let items = objects.iter().map(|o| metadata_only(o)).collect::<Vec<_>>();
            json(200, &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items}))
        }
        Form::Json | Form::Yaml | Form::Discovery(_) => {
            let items = objects.iter().map(|o| Value::clone(o)).collect::<Vec<_>>();
            let list = json!({"kind": kind.list_kind(), "apiVersion": kind.api_version(version), "metadata": metadata, "items": items});
            value(200, form, &list)
        }
    }
}

/// One object in the form asked for.
pub(crate) fn object(kind: &Kind, version: &str, form: Form, code: u16, object: &Arc<Value>) -> Response<Body> {
    let object = in_version(kind, version, object);
    match form {
        Form::Table => {
            let revision = object.pointer("/metadata/resourceVersion").cloned().unwrap_or(json!(""));
            json(code, &table(columns(kind, version), &json!({"resourceVersion": revision}), std::slice::from_ref(&object)))
        }
        Form::Metadata => json(code, &metadata_only(&object)),
        Form::Json | Form::Yaml | Form::Discovery(_) => value(code, form, &object),
    }
}

pub(crate) fn columns<'a>(kind: &'a Kind, version: &str) -> &'a [Column] {
    &kind.version(version).unwrap_or_else(|| kind.storage()).columns
}

/// A `Table`: what `kubectl get` prints.
pub(crate) fn table(columns: &[Column], metadata: &Value, objects: &[Arc<Value>]) -> Value {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let definitions = columns.iter().map(|c| {
        let format = if c.name == "Name" { "name" } else { "" };
        json!({"name": c.name, "type": if c.kind == "date" { "string" } else { &c.kind }, "format": format, "description": c.description, "priority": c.priority})
    });
    let rows = objects.iter().map(|object| {
        let cells = columns.iter().map(|c| c.cell(object, now)).collect::<Vec<_>>();
        json!({"cells": cells, "object": metadata_only(object)})
    });
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>(),
    })
}
