//! Kinds that come from a CustomResourceDefinition, and the definitions of those that are there from the start.

use std::sync::Arc;

use serde_json::{Value, json};

use super::column::{Column, Source};
use super::{Kind, SchemaSource, Version};
use crate::api::schema::Schema;

/// Marks the schema of a definition whose kind is compiled in; its OpenAPI is at `/openapi/v3`.
const COMPILED_IN: &str = "compiled into the reference network; served at /openapi/v3";

/// The definition of a compiled-in kind.
pub(crate) fn definition_of(kind: &Kind, channel: &str, now: &str) -> Value {
    let versions: Vec<Value> = kind
        .versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            let mut value = json!({
                "name": version.name, "served": true, "storage": index == 0,
                "schema": {"openAPIV3Schema": {"type": "object", "description": COMPILED_IN, "x-kubernetes-preserve-unknown-fields": true}},
            });
            if kind.status {
                value["subresources"] = json!({"status": {}});
            }
            value
        })
        .collect();
    let mut annotations = json!({});
    if kind.group == "gateway.networking.k8s.io" {
        annotations = json!({"gateway.networking.k8s.io/channel": channel});
    }
    let names = json!({
        "plural": kind.plural, "singular": kind.singular, "kind": kind.kind, "listKind": kind.list_kind(),
        "shortNames": kind.short, "categories": kind.categories,
    });
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.definition_name(), "annotations": annotations},
        "spec": {
            "group": kind.group, "names": names, "versions": versions, "conversion": {"strategy": "None"},
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        },
    });
    definition["status"] = established(&definition, now);
    definition
}

/// The status of a definition that is served.
pub(crate) fn established(definition: &Value, now: &str) -> Value {
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let stored = versions.into_iter().flatten().filter(|v| v["storage"] == json!(true)).map(|v| v["name"].clone()).collect::<Vec<_>>();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    json!({
        "acceptedNames": definition.pointer("/spec/names").cloned().unwrap_or(json!({})),
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    })
}

/// The kind of a definition. `None` when it is a compiled-in one's, which needs no other.
pub(crate) fn from_definition(definition: &Value) -> Option<Kind> {
    let spec = definition.get("spec")?;
    let text = |path: &str| spec.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |path: &str| {
        let values = spec.pointer(path).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let mut versions = Vec::new();
    let mut status = false;
    let title = text("/names/kind");
    for version in spec.get("versions").and_then(Value::as_array)? {
        if version["served"] != json!(true) {
            continue;
        }
        let document = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or(json!({}));
        if document["description"] == json!(COMPILED_IN) {
            return None;
        }
        status |= version.pointer("/subresources/status").is_some();
        let made = Version {
            name: version["name"].as_str().unwrap_or_default().to_owned(),
            schema: SchemaSource::Compiled(Arc::new(Schema::from_openapi(&title, &document))),
            columns: columns(version.get("additionalPrinterColumns").and_then(Value::as_array)),
        };
        let at = if version["storage"] == json!(true) { 0 } else { versions.len() };
        versions.insert(at, made);
    }
    let singular = text("/names/singular");
    Some(Kind {
        group: text("/group"),
        plural: text("/names/plural"),
        singular: if singular.is_empty() { title.to_ascii_lowercase() } else { singular },
        kind: title,
        short: list("/names/shortNames"),
        categories: list("/names/categories"),
        namespaced: text("/scope") == "Namespaced",
        status,
        generation: true,
        custom: true,
        selectable: &[],
        versions,
    })
    .filter(|kind| !kind.versions.is_empty())
}

fn columns(given: Option<&Vec<Value>>) -> Vec<Column> {
    let mut columns = vec![Column::name()];
    for column in given.into_iter().flatten() {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let path = text("jsonPath");
        columns.push(Column {
            name: text("name"),
            source: if text("type") == "date" { Source::Age(path) } else { Source::Path(path) },
            kind: text("type"),
            description: text("description"),
            priority: column["priority"].as_i64().unwrap_or(0),
        });
    }
    if columns.len() == 1 {
        columns.push(Column::age());
    }
    columns
}
