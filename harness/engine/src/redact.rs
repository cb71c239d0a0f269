//! Redaction: nothing secret reaches the run folder. It works on what is about to be written, so no caller can forget it.

use serde_json::Value;

/// What stands in the place of something secret.
pub const REDACTED: &str = "[redacted]";

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const KEY: &str = "PRIVATE KEY-----";

/// The text without any PEM private key (RFC 7468). Works on JSON text too, where line ends are escaped.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let after = &rest[begin + BEGIN.len()..];
        let label_ends = after.find("-----").map_or(after.len(), |at| at + 5);
        if !after[..label_ends].ends_with(KEY) {
            out.push_str(&rest[..begin + BEGIN.len()]);
            rest = after;
            continue;
        }
        out.push_str(&rest[..begin]);
        out.push_str(REDACTED);
        // A block that is cut off hides everything after it: rather too much than a part of a key.
        let end = after.find(END).and_then(|end| after[end..].find(KEY).map(|key| end + key + KEY.len()));
        rest = end.map_or("", |end| &after[end..]);
    }
    out.push_str(rest);
    out
}

/// The object without the contents of a Secret, and without any private key in any other.
pub fn object(mut object: Value) -> Value {
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        for field in ["data", "stringData"] {
            if let Some(Value::Object(entries)) = object.get_mut(field) {
                entries.values_mut().for_each(|value| *value = Value::String(REDACTED.into()));
            }
        }
        let applied = object.pointer_mut("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration");
        if let Some(value) = applied {
            *value = Value::String(REDACTED.into());
        }
    }
    strings(&mut object);
    object
}

fn strings(value: &mut Value) {
    match value {
        Value::String(string) if string.contains(KEY) => *string = text(string),
        Value::Array(list) => list.iter_mut().for_each(strings),
        Value::Object(map) => map.values_mut().for_each(strings),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----";

    #[test]
    fn a_private_key_is_cut_out_and_a_certificate_stays() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(text(&format!("{certificate}{PEM}\nrest")), format!("{certificate}{REDACTED}\nrest"));
        assert_eq!(text("-----BEGIN EC PRIVATE KEY-----\nhalf a k"), REDACTED);
    }

    #[test]
    fn a_secret_keeps_its_keys_and_loses_its_values() {
        let seen = object(json!({"kind": "Secret", "data": {"tls.key": "LS0t", "tls.crt": "LS0t"}}));
        assert_eq!(seen, json!({"kind": "Secret", "data": {"tls.key": REDACTED, "tls.crt": REDACTED}}));
    }

    #[test]
    fn a_key_deep_in_another_object_is_cut_out() {
        assert_eq!(object(json!({"kind": "Pod", "spec": [{"value": PEM}]})), json!({"kind": "Pod", "spec": [{"value": REDACTED}]}));
    }
}
