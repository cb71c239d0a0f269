//! Helm values as dotted keys: flattening nested maps, and laying one set over another as Helm does.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values by dotted key.
pub type Values = BTreeMap<String, Value>;

/// Nested maps become dotted keys; lists stay whole, empty maps too. A dot within a key is written `\.` as for `--set`.
pub fn flatten(values: &Values) -> Values {
    let mut flat = Values::new();
    for (key, value) in values {
        put(key, value, &mut flat);
    }
    flat
}

fn put(key: &str, value: &Value, flat: &mut Values) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (inner, value) in map {
                put(&format!("{key}.{}", inner.replace('.', "\\.")), value, flat);
            }
        }
        value => lay(flat, key, value),
    }
}

/// Lays `over` on `under`: maps merge, anything else replaces what stood there, lists included.
pub fn merge(under: &mut Values, over: &Values) {
    for (key, value) in flatten(over) {
        lay(under, &key, &value);
    }
}

fn lay(under: &mut Values, key: &str, value: &Value) {
    // `a: x` ends `a.b`, and `a.b: x` ends `a`: a value is a map or it is not.
    let below = format!("{key}.");
    under.retain(|known, _| !known.starts_with(&below) && !key.starts_with(&format!("{known}.")));
    under.insert(key.to_owned(), value.clone());
}

/// Reads one `key=value` as `--set` does, as far as flag sets need it: true, false, null, whole numbers, `{a,b}` lists, else text.
///
/// # Errors
/// A text without `=` or with an empty key.
pub fn parse_set(text: &str) -> Result<(String, Value), BadSet> {
    let bad = || BadSet { text: crate::scenario::tree::shorten(text) };
    let (key, value) = text.split_once('=').ok_or_else(bad)?;
    if key.trim().is_empty() {
        return Err(bad());
    }
    Ok((key.trim().to_owned(), scalar_or_list(value.trim())))
}

/// A text is no `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a value: expected key=value")]
pub struct BadSet {
    text: String,
}

fn scalar_or_list(text: &str) -> Value {
    let text = unquote(text);
    match text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        Some("") => Value::Array(Vec::new()),
        Some(inner) => Value::Array(inner.split(',').map(|item| scalar(item.trim())).collect()),
        None => scalar(text),
    }
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        // Helm keeps a leading zero as text.
        _ if text.starts_with('0') && text.len() > 1 => Value::String(text.to_owned()),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), |number| Value::Number(number.into())),
    }
}

fn unquote(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn values(value: Value) -> Values {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nested_maps_become_dotted_keys() {
        let nested = values(json!({"a": {"b": {"c": 1, "d": [1, {"e": 2}]}}, "f.g": true, "h": {}, "l": {"k8s.io/x": "y"}}));
        let flat = values(json!({"a.b.c": 1, "a.b.d": [1, {"e": 2}], "f.g": true, "h": {}, "l.k8s\\.io/x": "y"}));
        assert_eq!(flatten(&nested), flat);
    }

    #[test]
    fn later_values_win_and_end_what_cannot_stand_beside_them() {
        let mut under = values(json!({"a.b": 1, "a.c": 2, "d": 3, "ab": 4, "list": [1, 2]}));
        merge(&mut under, &values(json!({"a": {"b": 5}, "d": {"e": 6}, "list": [3]})));
        assert_eq!(under, values(json!({"a.b": 5, "a.c": 2, "d.e": 6, "ab": 4, "list": [3]})));
        merge(&mut under, &values(json!({"a": false})));
        assert_eq!(under, values(json!({"a": false, "d.e": 6, "ab": 4, "list": [3]})));
    }

    #[test]
    fn set_reads_what_helm_reads() {
        for (text, key, value) in [
            ("kubeProxyReplacement=true", "kubeProxyReplacement", json!(true)),
            ("k8sServicePort=6443", "k8sServicePort", json!(6443)),
            ("k8sServiceHost=\"kind-control-plane\"", "k8sServiceHost", json!("kind-control-plane")),
            ("devices=\"{eth0,net0}\"", "devices", json!(["eth0", "net0"])),
            ("l2announcements.leaseDuration=\"3s\"", "l2announcements.leaseDuration", json!("3s")),
            ("a=b=c", "a", json!("b=c")),
            ("zip=0123", "zip", json!("0123")),
        ] {
            assert_eq!(parse_set(text).unwrap(), (key.to_owned(), value), "{text}");
        }
        assert!(parse_set("novalue").is_err());
        assert!(parse_set("=x").is_err());
    }
}
