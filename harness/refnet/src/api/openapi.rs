//! OpenAPI v3 for `kubectl apply` and `kubectl explain`, from the same schemas that objects are held against.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::discovery;
use super::kinds::Kind;
use super::schema::{List, NodeId, Rest, Schema, Shape};
use super::status::ApiError;

/// `/openapi/v3`: one document a group and version.
pub(crate) fn index(kinds: &[Arc<Kind>]) -> Value {
    let mut paths = Map::new();
    let mut groups: Vec<&str> = Vec::new();
    for kind in kinds {
        if !groups.contains(&kind.group.as_str()) {
            groups.push(&kind.group);
        }
    }
    for group in groups {
        for version in discovery::versions(kinds, group) {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}")}));
        }
    }
    json!({"paths": paths})
}

/// The definitions and paths of everything that is served, for older clients that want one document.
pub(crate) fn everything(kinds: &[Arc<Kind>]) -> (Map<String, Value>, Map<String, Value>) {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in kinds {
        for version in &kind.versions {
            let name = component_of(kind, &version.name, version.schema());
            describe(version.schema(), kind, &version.name, &name, &mut schemas);
            add_paths(kind, &version.name, &name, &mut paths);
        }
    }
    (paths, schemas)
}

/// The document of one group and version.
pub(crate) fn document(kinds: &[Arc<Kind>], segments: &[&str]) -> Result<String, ApiError> {
    let (group, version) = match segments {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(ApiError::no_path()),
    };
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in kinds.iter().filter(|kind| kind.group == group) {
        let Some(found) = kind.version(version) else { continue };
        let name = component_of(kind, version, found.schema());
        describe(found.schema(), kind, version, &name, &mut schemas);
        add_paths(kind, version, &name, &mut paths);
    }
    if paths.is_empty() {
        return Err(ApiError::no_path());
    }
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Plumbline reference network", "version": "v1.34.0"},
        "paths": paths, "components": {"schemas": schemas},
    })
    .to_string())
}

/// Built-in kinds keep the names of their types; others are named by group, version and kind.
fn component_of(kind: &Kind, version: &str, schema: &Schema) -> String {
    match &schema.node(schema.root()).name {
        Some(name) if !kind.custom => name.clone(),
        _ => {
            let mut parts: Vec<&str> = kind.group.split('.').collect();
            parts.reverse();
            format!("{}.{version}.{}", parts.join("."), kind.kind)
        }
    }
}

fn add_paths(kind: &Kind, version: &str, component: &str, paths: &mut Map<String, Value>) {
    let base = if kind.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", kind.group) };
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let gvk = json!({"group": kind.group, "version": version, "kind": kind.kind});
    let reference = json!({"$ref": format!("#/components/schemas/{component}")});
    let content = json!({"application/json": {"schema": reference}});
    let response = json!({"200": {"description": "OK", "content": content}});
    let parameter = |name: &str, kind: &str| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}});
    let write = [parameter("dryRun", "string"), parameter("fieldManager", "string"), parameter("fieldValidation", "string")];
    let mut patch = write.to_vec();
    patch.push(parameter("force", "boolean"));
    let operation = |action: &str, parameters: &[Value]| json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk, "parameters": parameters, "responses": response});
    let with_body = |mut operation: Value| {
        operation["requestBody"] = json!({"content": content});
        operation
    };
    let in_path = |names: &[&str]| {
        let all =
            names.iter().map(|n| json!({"name": n, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}));
        all.collect::<Vec<_>>()
    };
    let mut one = vec!["name"];
    let mut many = Vec::new();
    if kind.namespaced {
        one.push("namespace");
        many.push("namespace");
    }
    paths.insert(
        format!("{base}{scope}/{}", kind.plural),
        json!({"parameters": in_path(&many), "get": operation("list", &[]), "post": with_body(operation("post", &write))}),
    );
    let mut named = json!({
        "parameters": in_path(&one), "get": operation("get", &[]), "put": with_body(operation("put", &write)),
        "delete": operation("delete", &write[..1]), "patch": operation("patch", &patch),
    });
    named["patch"]["requestBody"] = json!({"content": {"application/apply-patch+yaml": {"schema": {"type": "object"}}, "application/merge-patch+json": {"schema": {"type": "object"}}}});
    paths.insert(format!("{base}{scope}/{}/{{name}}", kind.plural), named);
}

fn describe(schema: &Schema, kind: &Kind, version: &str, name: &str, schemas: &mut Map<String, Value>) {
    let mut root = body(schema, schema.root(), schemas);
    root["x-kubernetes-group-version-kind"] = json!([{"group": kind.group, "version": version, "kind": kind.kind}]);
    schemas.insert(name.to_owned(), root);
}

/// A reference to a named definition, or the schema itself.
fn reference(schema: &Schema, id: NodeId, schemas: &mut Map<String, Value>) -> Value {
    let Some(name) = &schema.node(id).name else { return body(schema, id, schemas) };
    if !schemas.contains_key(name) {
        // Marked first: definitions may refer to themselves.
        schemas.insert(name.clone(), Value::Null);
        let value = body(schema, id, schemas);
        schemas.insert(name.clone(), value);
    }
    json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "default": {}})
}

fn body(schema: &Schema, id: NodeId, schemas: &mut Map<String, Value>) -> Value {
    let node = schema.node(id);
    let mut out = Map::new();
    if !node.description.is_empty() {
        out.insert("description".to_owned(), json!(node.description));
    }
    let kind = match &node.shape {
        Shape::Any => None,
        Shape::Object { properties, rest } => {
            if !properties.is_empty() {
                let members = properties.iter().map(|(name, id)| (name.clone(), reference(schema, *id, schemas)));
                let members = members.collect::<Map<_, _>>();
                out.insert("properties".to_owned(), Value::Object(members));
            }
            if let Rest::Values(id) = rest {
                let values = reference(schema, *id, schemas);
                out.insert("additionalProperties".to_owned(), values);
            }
            Some("object")
        }
        Shape::Array { items, list, merge_key } => {
            if let Some(key) = merge_key {
                out.insert("x-kubernetes-patch-strategy".to_owned(), json!("merge"));
                if !key.is_empty() {
                    out.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
                }
            }
            let items = reference(schema, *items, schemas);
            out.insert("items".to_owned(), items);
            let (name, keys) = match list {
                List::Atomic => ("atomic", None),
                List::Set => ("set", None),
                List::Map(keys) => ("map", Some(keys)),
            };
            out.insert("x-kubernetes-list-type".to_owned(), json!(name));
            if let Some(keys) = keys {
                out.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
            }
            Some("array")
        }
        Shape::String => Some("string"),
        Shape::Integer => Some("integer"),
        Shape::Number => Some("number"),
        Shape::Boolean => Some("boolean"),
        Shape::IntOrString => {
            out.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
            None
        }
    };
    if let Some(kind) = kind {
        out.insert("type".to_owned(), json!(kind));
    }
    if !node.required.is_empty() {
        out.insert("required".to_owned(), json!(node.required));
    }
    if !node.limits.allowed.is_empty() {
        out.insert("enum".to_owned(), json!(node.limits.allowed));
    }
    if let Some(format) = &node.limits.format {
        out.insert("format".to_owned(), json!(format));
    }
    if let Some(default) = &node.default {
        out.insert("default".to_owned(), default.clone());
    }
    Value::Object(out)
}
