//! Redaction: nothing secret reaches the run folder. It works on what is about to be written, so no caller can forget it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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

/// Files under a folder in which a private key can be read, as PEM or inside base64 at any alignment: there must be none.
///
/// # Errors
/// A file cannot be read.
pub fn leaks(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let needles = needles();
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path)?;
                if needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_slice())) {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
}

/// The mark of a private key in clear, and as it looks in base64 when it begins at each of the three places of a group.
fn needles() -> Vec<Vec<u8>> {
    let encoded = (0..3usize).map(|before| {
        let text = [&b"   "[..before], KEY.as_bytes()].concat();
        let encoded = STANDARD_NO_PAD.encode(&text).into_bytes();
        // The first and last group hold bits of what is around it.
        let from = if before == 0 { 0 } else { 4 };
        let until = text.len() / 3 * 4;
        encoded[from..until].to_vec()
    });
    std::iter::once(KEY.as_bytes().to_vec()).chain(encoded).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
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

    #[test]
    fn a_key_is_found_in_clear_and_in_base64_at_any_place() {
        for before in ["", "x", "xy"] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("blobs")).unwrap();
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{PEM} and more"));
            fs::write(folder.path().join("blobs/a"), format!("..{encoded}..")).unwrap();
            fs::write(folder.path().join("b"), format!("..{PEM}..")).unwrap();
            fs::write(folder.path().join("c"), "-----BEGIN CERTIFICATE-----").unwrap();
            let mut found = leaks(folder.path()).unwrap();
            found.sort();
            assert_eq!(found, [folder.path().join("b"), folder.path().join("blobs/a")], "after `{before}`");
        }
    }
}
