//! Sets of fields, as managedFields have them (FieldsV1 of the Kubernetes reference): what an object has, what changed between two.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::schema::{List, NodeId, Schema, Shape};

/// A set of field paths, as a tree. Steps are written as in FieldsV1: `f:name`, `k:{"name":"a"}`, `v:"a"`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldSet {
    /// The path itself is in the set, not only what is below it.
    pub(crate) member: bool,
    pub(crate) children: BTreeMap<String, FieldSet>,
}

/// A list whose items cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("{path}: element {index}: associative list with keys has an element that omits key field {key:?}")]
    Missing { path: String, index: usize, key: String },
    #[error("{path}: duplicate entries for key {key}")]
    Duplicate { path: String, key: String },
}

impl FieldSet {
    fn leaf() -> FieldSet {
        FieldSet { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// From FieldsV1.
    pub(crate) fn from_json(value: &Value) -> FieldSet {
        let Some(map) = value.as_object() else { return FieldSet::default() };
        if map.is_empty() {
            return FieldSet::leaf();
        }
        let mut set = FieldSet { member: map.contains_key("."), children: BTreeMap::new() };
        for (step, below) in map.iter().filter(|(step, _)| *step != ".") {
            set.children.insert(canonical(step), FieldSet::from_json(below));
        }
        set
    }

    /// As FieldsV1.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, below) in &self.children {
            map.insert(step.clone(), below.to_json());
        }
        Value::Object(map)
    }

    pub(crate) fn add(&mut self, other: &FieldSet) {
        self.member |= other.member;
        for (step, below) in &other.children {
            self.children.entry(step.clone()).or_default().add(below);
        }
    }

    /// Takes out the members of `other`.
    pub(crate) fn subtract(&mut self, other: &FieldSet) {
        self.member &= !other.member;
        for (step, below) in &other.children {
            if let Some(mine) = self.children.get_mut(step) {
                mine.subtract(below);
                if mine.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    /// Takes out the members of `other` and everything below them.
    pub(crate) fn cut(&mut self, other: &FieldSet) {
        for (step, below) in &other.children {
            if below.member && below.children.is_empty() {
                self.children.remove(step);
            } else if let Some(mine) = self.children.get_mut(step) {
                mine.cut(below);
                if below.member {
                    mine.member = false;
                }
                if mine.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    /// Every member as a path.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, at: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        if self.member {
            out.push(at.clone());
        }
        for (step, below) in &self.children {
            at.push(step.clone());
            below.collect(at, out);
            at.pop();
        }
    }

    /// What is known at a path.
    pub(crate) fn at(&self, path: &[String]) -> Option<&FieldSet> {
        path.iter().try_fold(self, |set, step| set.children.get(step))
    }
}

/// FieldsV1 keys are compared as text: brings `k:` steps into one form.
fn canonical(step: &str) -> String {
    match step.strip_prefix("k:").and_then(|text| serde_json::from_str::<BTreeMap<String, Value>>(text).ok()) {
        Some(keys) => format!("k:{}", serde_json::to_string(&keys).unwrap_or_default()),
        None => step.to_owned(),
    }
}

/// A path as people write it: `.spec.listeners[name="a"].port`.
pub(crate) fn display(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        if let Some(name) = step.strip_prefix("f:") {
            out.push('.');
            out.push_str(name);
        } else if let Some(keys) = step.strip_prefix("k:").and_then(|k| serde_json::from_str::<BTreeMap<String, Value>>(k).ok()) {
            let keys = keys.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
            out.push_str(&format!("[{keys}]"));
        } else {
            out.push_str(&format!("[={}]", step.trim_start_matches("v:")));
        }
    }
    out
}

/// The `k:` step of a list item.
pub(crate) fn item_key(item: &Value, keys: &[String]) -> Result<String, String> {
    let mut found = BTreeMap::new();
    for key in keys {
        let value = match item.get(key) {
            Some(value) => value.clone(),
            // The one defaulted key there is.
            None if key == "protocol" => Value::from("TCP"),
            None => return Err(key.clone()),
        };
        found.insert(key, value);
    }
    Ok(format!("k:{}", serde_json::to_string(&found).unwrap_or_default()))
}

/// The `v:` step of a scalar in a set.
pub(crate) fn value_key(item: &Value) -> String {
    format!("v:{item}")
}

/// Every field an object has.
pub(crate) fn fields_of(schema: &Schema, id: Option<NodeId>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match (value, id.map(|id| schema.node(id))) {
        (_, Some(node)) if node.atomic => set.member = true,
        (Value::Object(map), _) if !map.is_empty() => {
            for (name, member) in map {
                let below = fields_of(schema, id.and_then(|id| schema.member(id, name)), member);
                set.children.insert(format!("f:{name}"), below);
            }
        }
        (Value::Array(items), Some(node)) if !items.is_empty() => match &node.shape {
            Shape::Array { items: item_id, list: List::Map(keys), .. } => {
                for item in items {
                    let Ok(key) = item_key(item, keys) else { continue };
                    let mut below = fields_of(schema, Some(*item_id), item);
                    below.member = true;
                    set.children.insert(key, below);
                }
            }
            Shape::Array { list: List::Set, .. } => {
                set.children.extend(items.iter().map(|item| (value_key(item), FieldSet::leaf())));
            }
            _ => set.member = true,
        },
        _ => set.member = true,
    }
    set
}

/// Checks that every keyed list of an object can be told apart.
pub(crate) fn check_keys(schema: &Schema, id: NodeId, value: &Value, path: &mut Vec<String>) -> Result<(), KeyError> {
    let node = schema.node(id);
    if node.atomic {
        return Ok(());
    }
    match (value, &node.shape) {
        (Value::Object(map), _) => {
            for (name, member) in map {
                if let Some(id) = schema.member(id, name) {
                    path.push(format!("f:{name}"));
                    check_keys(schema, id, member, path)?;
                    path.pop();
                }
            }
        }
        (Value::Array(items), Shape::Array { items: item_id, list: List::Map(keys), .. }) => {
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let key = item_key(item, keys).map_err(|key| KeyError::Missing { path: display(path), index, key })?;
                if !seen.insert(key.clone()) {
                    return Err(KeyError::Duplicate { path: display(path), key: display(&[key]) });
                }
                path.push(key);
                check_keys(schema, *item_id, item, path)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// What changed between two states: fields added or with another value, and fields that are gone.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    pub(crate) changed: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Difference {
    pub(crate) fn between(schema: &Schema, id: Option<NodeId>, old: &Value, new: &Value) -> Difference {
        let mut difference = Difference::default();
        if old == new {
            return difference;
        }
        let node = id.map(|id| schema.node(id));
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !node.is_some_and(|n| n.atomic) && !old.is_empty() && !new.is_empty() => {
                for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                    let below = id.and_then(|id| schema.member(id, name));
                    difference.member(schema, below, &format!("f:{name}"), old.get(name), new.get(name), false);
                }
            }
            (Value::Array(old), Value::Array(new)) if !old.is_empty() && !new.is_empty() => match node.map(|n| &n.shape) {
                Some(Shape::Array { items, list: List::Map(keys), .. }) => {
                    let (old, new) = (keyed(old, |i| item_key(i, keys).ok()), keyed(new, |i| item_key(i, keys).ok()));
                    difference.items(schema, Some(*items), &old, &new);
                }
                Some(Shape::Array { list: List::Set, .. }) => {
                    let (old, new) = (keyed(old, |i| Some(value_key(i))), keyed(new, |i| Some(value_key(i))));
                    difference.items(schema, None, &old, &new);
                }
                _ => difference.changed.member = true,
            },
            _ => {
                difference.changed = fields_of(schema, id, new);
                let mut gone = fields_of(schema, id, old);
                gone.subtract(&difference.changed);
                difference.removed = gone;
            }
        }
        difference
    }

    fn items(&mut self, schema: &Schema, id: Option<NodeId>, old: &BTreeMap<String, &Value>, new: &BTreeMap<String, &Value>) {
        for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
            self.member(schema, id, key, old.get(key).copied(), new.get(key).copied(), true);
        }
    }

    fn member(&mut self, schema: &Schema, id: Option<NodeId>, step: &str, old: Option<&Value>, new: Option<&Value>, is_item: bool) {
        let whole = |value: &Value| {
            let mut set = fields_of(schema, id, value);
            set.member |= is_item;
            set
        };
        let (changed, removed) = match (old, new) {
            (Some(old), Some(new)) => {
                let below = Difference::between(schema, id, old, new);
                (below.changed, below.removed)
            }
            (None, Some(new)) => (whole(new), FieldSet::default()),
            (Some(old), None) => (FieldSet::default(), whole(old)),
            (None, None) => return,
        };
        if !changed.is_empty() {
            self.changed.children.insert(step.to_owned(), changed);
        }
        if !removed.is_empty() {
            self.removed.children.insert(step.to_owned(), removed);
        }
    }
}

fn keyed(items: &[Value], key: impl Fn(&Value) -> Option<String>) -> BTreeMap<String, &Value> {
    items.iter().filter_map(|item| Some((key(item)?, item))).collect()
}

/// The value at a path, if it is there.
pub(crate) fn value_at<'a>(schema: &Schema, root: NodeId, value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let (mut at, mut id) = (value, Some(root));
    for step in path {
        if let Some(name) = step.strip_prefix("f:") {
            id = id.and_then(|id| schema.member(id, name));
            at = at.get(name)?;
        } else {
            let (keys, items) = match id.map(|id| &schema.node(id).shape) {
                Some(Shape::Array { items, list: List::Map(keys), .. }) => (Some(keys), Some(*items)),
                _ => (None, None),
            };
            id = items;
            at = at.as_array()?.iter().find(|item| match keys {
                Some(keys) => item_key(item, keys).is_ok_and(|key| key == *step),
                None => value_key(item) == *step,
            })?;
        }
    }
    Some(at)
}
