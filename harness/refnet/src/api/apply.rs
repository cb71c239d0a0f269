//! Server-side apply: merging what a manager wants into what is there, conflicts with what others own, and managedFields
//! (KEP-555 and the Kubernetes reference "Server-Side Apply").

use serde_json::{Value, json};

use super::fields::{Difference, FieldSet, check_keys, display, fields_of, item_key, value_at, value_key};
use super::schema::{List, NodeId, Schema, Shape};
use super::status::{ApiError, Cause};

/// Who writes, and through what.
#[derive(Debug, Clone)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    /// `Apply` or `Update`.
    pub(crate) operation: &'static str,
    pub(crate) api_version: &'a str,
    /// Empty, or `status`.
    pub(crate) subresource: &'a str,
    /// RFC 3339.
    pub(crate) time: &'a str,
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    name: String,
    operation: String,
    api_version: String,
    subresource: String,
    time: String,
    pub(crate) fields: FieldSet,
}

/// Everybody's fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ownership(pub(crate) Vec<Entry>);

impl Ownership {
    pub(crate) fn read(object: &Value) -> Ownership {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ownership(
            entries
                .into_iter()
                .flatten()
                .map(|entry| Entry {
                    name: text(entry, "manager"),
                    operation: text(entry, "operation"),
                    api_version: text(entry, "apiVersion"),
                    subresource: text(entry, "subresource"),
                    time: text(entry, "time"),
                    fields: FieldSet::from_json(entry.get("fieldsV1").unwrap_or(&Value::Null)),
                })
                .collect(),
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        self.0
            .iter()
            .filter(|entry| !entry.fields.is_empty())
            .map(|entry| {
                let mut value = json!({
                    "manager": entry.name, "operation": entry.operation, "apiVersion": entry.api_version,
                    "time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": entry.fields.to_json(),
                });
                if !entry.subresource.is_empty() {
                    value["subresource"] = json!(entry.subresource);
                }
                value
            })
            .collect()
    }

    /// Whether two say the same, whenever it was said.
    pub(crate) fn same_fields(&self, other: &Ownership) -> bool {
        let timeless = |all: &Ownership| {
            let mut all = all.0.iter().filter(|e| !e.fields.is_empty()).cloned().collect::<Vec<_>>();
            all.iter_mut().for_each(|entry| entry.time.clear());
            all.sort_by(|a, b| (&a.name, &a.operation, &a.subresource).cmp(&(&b.name, &b.operation, &b.subresource)));
            all
        };
        timeless(self) == timeless(other)
    }

    fn is(entry: &Entry, manager: &Manager<'_>) -> bool {
        entry.name == manager.name && entry.operation == manager.operation && entry.subresource == manager.subresource
    }

    fn entry(&mut self, manager: &Manager<'_>) -> &mut Entry {
        let at = self.0.iter().position(|entry| Ownership::is(entry, manager)).unwrap_or_else(|| {
            self.0.push(Entry {
                name: manager.name.to_owned(),
                operation: manager.operation.to_owned(),
                api_version: manager.api_version.to_owned(),
                subresource: manager.subresource.to_owned(),
                time: manager.time.to_owned(),
                fields: FieldSet::default(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// After an update: what changed now belongs to who changed it, what is gone belongs to nobody.
    pub(crate) fn updated(&mut self, schema: &Schema, manager: &Manager<'_>, old: &Value, new: &Value) {
        let mut difference = Difference::between(schema, Some(schema.root()), &strip(old), &strip(new));
        difference.changed.member = false;
        for entry in &mut self.0 {
            if !Ownership::is(entry, manager) {
                entry.fields.subtract(&difference.changed);
            }
            entry.fields.cut(&difference.removed);
        }
        if !difference.changed.is_empty() {
            let entry = self.entry(manager);
            entry.fields.add(&difference.changed);
            entry.time = manager.time.to_owned();
            entry.api_version = manager.api_version.to_owned();
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }
}

/// The object without what nobody owns.
fn strip(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("apiVersion");
        map.shift_remove("kind");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in SYSTEM_METADATA {
                metadata.shift_remove(*key);
            }
            if metadata.is_empty() {
                map.shift_remove("metadata");
            }
        }
    }
    object
}

/// Metadata that is the server's.
const SYSTEM_METADATA: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Whether an apply may take fields from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    Yes,
    No,
}

/// Merges `wanted` into `live`; the answer has its managedFields in `ownership`.
pub(crate) fn apply(
    schema: &Schema,
    live: &Value,
    wanted: &Value,
    manager: &Manager<'_>,
    has_status: bool,
    force: Force,
    ownership: &mut Ownership,
) -> Result<Value, ApiError> {
    let root = schema.root();
    check_keys(schema, root, wanted, &mut Vec::new())
        .map_err(|error| ApiError::bad_request(format!("failed to create typed patch object: {error}")))?;
    let mut wanted = strip(wanted);
    if let Some(map) = wanted.as_object_mut() {
        match manager.subresource {
            "" if has_status => {
                map.shift_remove("status");
            }
            "status" => map.retain(|key, _| key == "status"),
            _ => {}
        }
    }
    let mut fields = fields_of(schema, Some(root), &wanted);
    fields.member = false;
    let mut merged = live.clone();
    merge(schema, Some(root), &mut merged, &wanted);

    let conflicts = conflicts(schema, live, &merged, &fields, manager, ownership);
    if !conflicts.is_empty() && force == Force::No && !were_applied_by_the_client(schema, live, manager, &conflicts) {
        return Err(ApiError::apply_conflict(conflicts.into_iter().map(|conflict| conflict.cause).collect()));
    }
    // Forced: what was taken is no longer theirs.
    let changed = Difference::between(schema, Some(root), &strip(live), &strip(&merged)).changed;
    for entry in ownership.0.iter_mut().filter(|entry| !Ownership::is(entry, manager)) {
        entry.fields.subtract(&changed);
    }
    let entry = ownership.entry(manager);
    let mut dropped = std::mem::replace(&mut entry.fields, fields.clone());
    if dropped != fields {
        entry.time = manager.time.to_owned();
    }
    entry.api_version = manager.api_version.to_owned();
    dropped.subtract(&fields);
    let mut kept = FieldSet::default();
    for entry in &ownership.0 {
        kept.add(&entry.fields);
    }
    remove(schema, Some(root), &mut merged, &dropped, &kept);
    ownership.0.retain(|entry| !entry.fields.is_empty());
    Ok(merged)
}

/// A field that is to be set and belongs to somebody else.
struct Conflict {
    path: Vec<String>,
    with: String,
    cause: Cause,
}

/// What `kubectl apply` set in the client, `kubectl apply --server-side` may take over: the object's own annotation says that it is
/// the same hand.
fn were_applied_by_the_client(schema: &Schema, live: &Value, manager: &Manager<'_>, conflicts: &[Conflict]) -> bool {
    let annotation = live.pointer("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration").and_then(Value::as_str);
    let Some(applied) = annotation.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
    if manager.name != "kubectl" || super::merge::within_bounds(&applied).is_err() {
        return false;
    }
    let fields = fields_of(schema, Some(schema.root()), &strip(&applied));
    conflicts.iter().all(|c| c.with == "kubectl-client-side-apply" && fields.at(&c.path).is_some_and(|set| set.member))
}

fn conflicts(
    schema: &Schema,
    live: &Value,
    merged: &Value,
    fields: &FieldSet,
    manager: &Manager<'_>,
    ownership: &Ownership,
) -> Vec<Conflict> {
    let mut found = Vec::new();
    for path in fields.paths() {
        let (old, new) = (value_at(schema, schema.root(), live, &path), value_at(schema, schema.root(), merged, &path));
        // An item of a keyed list is a member too, but what it holds is compared field by field.
        let is_item = path.last().is_some_and(|step| step.starts_with("k:"));
        if old.is_none() || old == new || is_item {
            continue;
        }
        for entry in ownership.0.iter().filter(|entry| entry.name != manager.name || entry.operation != manager.operation) {
            if entry.fields.at(&path).is_some_and(|set| set.member) {
                let using = if entry.operation == "Update" { format!(" using {}", entry.api_version) } else { String::new() };
                let message = format!("conflict with {:?}{using}", entry.name);
                let cause = Cause { reason: "FieldManagerConflict", field: display(&path), message };
                found.push(Conflict { path: path.clone(), with: entry.name.clone(), cause });
            }
        }
    }
    found
}

fn merge(schema: &Schema, id: Option<NodeId>, live: &mut Value, wanted: &Value) {
    let node = id.map(|id| schema.node(id));
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) if !node.is_some_and(|n| n.atomic) => {
            for (name, member) in wanted {
                let below = id.and_then(|id| schema.member(id, name));
                match live.get_mut(name) {
                    Some(there) => merge(schema, below, there, member),
                    None => {
                        live.insert(name.clone(), member.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(wanted)) => match node.map(|n| &n.shape) {
            Some(Shape::Array { items, list: List::Map(keys), .. }) => {
                for item in wanted {
                    let key = item_key(item, keys);
                    match live.iter_mut().find(|there| key.is_ok() && item_key(there, keys) == key) {
                        Some(there) => merge(schema, Some(*items), there, item),
                        None => live.push(item.clone()),
                    }
                }
            }
            Some(Shape::Array { list: List::Set, .. }) => {
                for item in wanted.iter() {
                    if !live.contains(item) {
                        live.push(item.clone());
                    }
                }
            }
            _ => live.clone_from(wanted),
        },
        (live, wanted) => *live = wanted.clone(),
    }
}

/// Takes out what its manager no longer wants and nobody else has.
fn remove(schema: &Schema, id: Option<NodeId>, value: &mut Value, dropped: &FieldSet, kept: &FieldSet) {
    let nothing = FieldSet::default();
    for (step, below) in &dropped.children {
        let others = kept.children.get(step).unwrap_or(&nothing);
        let goes = below.member && others.is_empty();
        match value {
            Value::Object(map) => {
                let Some(name) = step.strip_prefix("f:") else { continue };
                let member = id.and_then(|id| schema.member(id, name));
                if goes {
                    map.shift_remove(name);
                } else if let Some(there) = map.get_mut(name) {
                    remove(schema, member, there, below, others);
                    if others.is_empty() && is_hollow(there) {
                        map.shift_remove(name);
                    }
                }
            }
            Value::Array(list) => {
                let (keys, items) = match id.map(|id| &schema.node(id).shape) {
                    Some(Shape::Array { items, list: List::Map(keys), .. }) => (Some(keys), Some(*items)),
                    _ => (None, None),
                };
                let at = list.iter().position(|item| match keys {
                    Some(keys) => item_key(item, keys).is_ok_and(|key| key == *step),
                    None => value_key(item) == *step,
                });
                match at {
                    Some(at) if goes => {
                        list.remove(at);
                    }
                    Some(at) => remove(schema, items, &mut list[at], below, others),
                    None => {}
                }
            }
            _ => {}
        }
    }
}

fn is_hollow(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
