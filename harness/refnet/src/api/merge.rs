//! JSON merge patch (RFC 7386), JSON patch (RFC 6902) within bounds, and strategic merge patch with its directives.

use serde_json::{Map, Value};

use super::schema::{NodeId, Schema, Shape};
use super::status::ApiError;

/// Operations in one JSON patch.
const OPERATIONS_LIMIT: usize = 1000;
/// Depth of any object.
pub(crate) const DEPTH_LIMIT: usize = 120;
/// Values in an object.
const VALUES_LIMIT: usize = 200_000;
/// Items in one list: merging by key looks at each pair.
const ITEMS_LIMIT: usize = 5_000;
/// Values looked at while one JSON patch is applied, all operations together.
const WORK_LIMIT: usize = 3_000_000;

/// RFC 7386.
pub(crate) fn merge_patch(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// RFC 6902. The answer names the operation that does not fit.
pub(crate) fn json_patch(target: &mut Value, body: Value) -> Result<(), ApiError> {
    let patch: json_patch::Patch =
        serde_json::from_value(body).map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > OPERATIONS_LIMIT {
        let message = format!("the allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {}", patch.0.len());
        return Err(ApiError::too_large(OPERATIONS_LIMIT).with_message(message));
    }
    let mut work = 0;
    for operation in patch.0 {
        use json_patch::PatchOperation::{Add, Copy, Move, Remove, Replace, Test};
        let path = match &operation {
            Add(o) => o.path.to_string(),
            Copy(o) => o.path.to_string(),
            Move(o) => o.path.to_string(),
            Remove(o) => o.path.to_string(),
            Replace(o) => o.path.to_string(),
            Test(o) => o.path.to_string(),
        };
        if path.matches('/').count() > DEPTH_LIMIT {
            return Err(ApiError::bad_request("a path of the patch is too deep"));
        }
        json_patch::patch(target, &[operation]).map_err(|error| {
            ApiError::bad_request(format!("{error}"))
                .with_code(422, "Invalid")
                .with_message(format!("the server rejected our request: {error}"))
        })?;
        // A copy into itself doubles: the size is looked at before the next one.
        work += count_within_bounds(target)?;
        if work > WORK_LIMIT {
            let message = "the JSON patch has too many operations for an object of this size".to_owned();
            return Err(ApiError::too_large(WORK_LIMIT).with_message(message));
        }
    }
    Ok(())
}

/// Refuses objects that are too deep or have too many values, without recursion.
pub(crate) fn within_bounds(value: &Value) -> Result<(), ApiError> {
    count_within_bounds(value).map(|_| ())
}

fn count_within_bounds(value: &Value) -> Result<usize, ApiError> {
    let (mut stack, mut count) = (vec![(value, 0usize)], 0usize);
    while let Some((value, depth)) = stack.pop() {
        count += 1;
        if depth > DEPTH_LIMIT || count > VALUES_LIMIT {
            return Err(ApiError::bad_request(format!("the object is deeper than {DEPTH_LIMIT} or has more than {VALUES_LIMIT} values")));
        }
        match value {
            Value::Array(items) if items.len() > ITEMS_LIMIT => {
                return Err(ApiError::bad_request(format!("a list has more than {ITEMS_LIMIT} items")));
            }
            Value::Array(items) => stack.extend(items.iter().map(|v| (v, depth + 1))),
            Value::Object(map) => stack.extend(map.values().map(|v| (v, depth + 1))),
            _ => {}
        }
    }
    Ok(count)
}

/// Kubernetes' strategic merge patch: lists of objects merge by key, with `$patch`, `$retainKeys`, `$deleteFromPrimitiveList` and
/// `$setElementOrder`.
pub(crate) fn strategic_merge(schema: &Schema, target: &mut Value, patch: &Value) -> Result<(), ApiError> {
    if !patch.is_object() {
        return Err(ApiError::bad_request("a strategic merge patch must be an object"));
    }
    merge_node(schema, Some(schema.root()), target, patch)
}

fn merge_node(schema: &Schema, id: Option<NodeId>, target: &mut Value, patch: &Value) -> Result<(), ApiError> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_object(schema, id, target, patch),
        (Value::Array(target), Value::Array(patch)) => merge_list(schema, id, target, patch),
        (target, patch) => {
            *target = without_directives(patch);
            Ok(())
        }
    }
}

fn merge_object(schema: &Schema, id: Option<NodeId>, target: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), ApiError> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            if let Value::Object(map) = without_directives(&Value::Object(patch.clone())) {
                *target = map;
            }
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch type: {other:?}"))),
    }
    if let Some(keys) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|name, _| keys.iter().any(|k| k.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(list) = target.get_mut(field).and_then(Value::as_array_mut) {
                list.retain(|item| !gone.contains(item));
            }
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let below = id.and_then(|id| schema.member(id, name));
        match target.get_mut(name) {
            _ if value.is_null() => {
                target.shift_remove(name);
            }
            Some(there) => merge_node(schema, below, there, value)?,
            None => {
                // Directives inside a new value still mean something: merge into an empty one of its kind.
                let mut fresh = match value {
                    Value::Object(_) => Value::Object(Map::new()),
                    Value::Array(_) => Value::Array(Vec::new()),
                    other => other.clone(),
                };
                merge_node(schema, below, &mut fresh, value)?;
                target.insert(name.clone(), fresh);
            }
        }
    }
    for (name, order) in patch {
        if let (Some(field), Some(order)) = (name.strip_prefix("$setElementOrder/"), order.as_array()) {
            let below = id.and_then(|id| schema.member(id, field));
            if let Some(list) = target.get_mut(field).and_then(Value::as_array_mut) {
                reorder(list, order, merge_key(schema, below));
            }
        }
    }
    Ok(())
}

fn merge_key(schema: &Schema, id: Option<NodeId>) -> Option<&'static str> {
    match id.map(|id| &schema.node(id).shape) {
        Some(Shape::Array { merge_key, .. }) => *merge_key,
        _ => None,
    }
}

fn merge_list(schema: &Schema, id: Option<NodeId>, target: &mut Vec<Value>, patch: &[Value]) -> Result<(), ApiError> {
    let items = match id.map(|id| &schema.node(id).shape) {
        Some(Shape::Array { items, .. }) => Some(*items),
        _ => None,
    };
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        *target = patch.iter().filter(|item| directive(item).is_none()).map(without_directives).collect();
        return Ok(());
    }
    match merge_key(schema, id) {
        None => *target = patch.iter().map(without_directives).collect(),
        Some("") => {
            for item in patch {
                if !target.contains(item) {
                    target.push(item.clone());
                }
            }
        }
        Some(key) => {
            for item in patch {
                let Some(value) = item.get(key) else {
                    return Err(ApiError::bad_request(format!("map: {item} does not contain declared merge key: {key}")));
                };
                let at = target.iter().position(|there| there.get(key) == Some(value));
                match (at, directive(item).as_deref()) {
                    (Some(at), Some("delete")) => {
                        target.remove(at);
                    }
                    (None, Some("delete")) => {}
                    (Some(at), _) => merge_node(schema, items, &mut target[at], item)?,
                    (None, _) => target.push(without_directives(item)),
                }
            }
        }
    }
    Ok(())
}

/// Brings items into the order the client has them in; those it does not know stay behind.
fn reorder(list: &mut [Value], order: &[Value], key: Option<&str>) {
    let place = |item: &Value| {
        order.iter().position(|wanted| match key.filter(|k| !k.is_empty()) {
            Some(key) => wanted.get(key) == item.get(key),
            None => wanted == item,
        })
    };
    list.sort_by_key(|item| place(item).unwrap_or(usize::MAX));
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
            .map(|(name, value)| (name.clone(), without_directives(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_directives).collect(),
        other => other.clone(),
    }
}
