//! Small questions to an object's metadata.

use serde_json::{Map, Value, json};

/// A metadata text, empty when absent.
pub(crate) fn meta<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a JSON pointer, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items at a JSON pointer, none when absent.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The metadata, made when absent. The object must be a map.
pub(crate) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    child(object, "metadata")
}

/// A member that is a map, made when absent or something else.
pub(crate) fn child<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let member = &mut object[key];
    if !member.is_object() {
        *member = json!({});
    }
    as_map(member)
}

/// A map; the caller has made it one.
pub(crate) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map just above"),
    }
}

/// Sets a default.
pub(crate) fn default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), value.into());
    }
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

pub(crate) fn has_finalizers(object: &Value) -> bool {
    !items(object, "/metadata/finalizers").is_empty()
}

/// Uids of the owners.
pub(crate) fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    items(object, "/metadata/ownerReferences").iter().filter_map(|o| o.get("uid").and_then(Value::as_str))
}

/// A random uid (RFC 9562 version 4).
pub(crate) fn new_uid(random: &dyn ring::rand::SecureRandom) -> String {
    let mut bytes = [0u8; 16];
    // Without randomness uids would repeat; the system's generator does not fail on Linux once it is up.
    if random.fill(&mut bytes).is_err() {
        bytes = std::array::from_fn(|i| u8::try_from(i).unwrap_or(0));
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
