//! OpenAPI v2 as protobuf, the only form in which kubectl before 1.27 (Debian's is 1.20) takes it. The messages are gnostic's
//! `openapi.v2`; the few fields kubectl reads are written by hand.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::openapi;

/// What it is called in answers: clients ask for `spec.v2@v1.0+protobuf`, but "@" may not stand in a media type and they refuse it.
pub(crate) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    /// A length-delimited field.
    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Message {
        if text.is_empty() { self } else { self.bytes(field, text.as_bytes()) }
    }

    fn message(self, field: u64, message: &Message) -> Message {
        self.bytes(field, &message.0)
    }
}

/// The document of everything that is served.
pub(crate) fn document(kinds: &[Arc<Kind>]) -> Vec<u8> {
    let (paths, schemas) = openapi::everything(kinds);
    let definitions = schemas.iter().fold(Message::default(), |all, (name, value)| all.message(1, &named(name, value)));
    let items = paths.iter().fold(Message::default(), |all, (path, value)| match value.get("patch") {
        Some(patch) => {
            let item = Message::default().message(8, &operation(patch));
            all.message(2, &Message::default().text(1, path).message(2, &item))
        }
        None => all,
    });
    let info = Message::default().text(1, "Plumbline reference network").text(2, "v1.34.0");
    Message::default().text(1, "2.0").message(2, &info).message(8, &items).message(9, &definitions).0
}

/// `NamedSchema`.
fn named(name: &str, value: &Value) -> Message {
    Message::default().text(1, name).message(2, &schema(value))
}

/// `Schema`.
fn schema(value: &Value) -> Message {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let reference = value.pointer("/allOf/0/$ref").or(value.get("$ref")).and_then(Value::as_str);
    if let Some(name) = reference.and_then(|r| r.rsplit('/').next()) {
        return Message::default().text(1, &format!("#/definitions/{name}"));
    }
    let int_or_string = value.get("x-kubernetes-int-or-string").is_some();
    let (kind, format) = if int_or_string { ("string", "int-or-string") } else { (text("type"), text("format")) };
    let mut message = Message::default().text(2, format).text(4, text("description"));
    for required in value.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        message = message.text(19, required);
    }
    if let Some(values) = value.get("additionalProperties") {
        message = message.message(21, &Message::default().message(1, &schema(values)));
    }
    if !kind.is_empty() {
        message = message.message(22, &Message::default().text(1, kind));
    }
    if let Some(items) = value.get("items") {
        message = message.message(23, &Message::default().message(1, &schema(items)));
    }
    if let Some(properties) = value.get("properties").and_then(Value::as_object) {
        let all = properties.iter().fold(Message::default(), |all, (name, value)| all.message(1, &named(name, value)));
        message = message.message(25, &all);
    }
    extensions(value.as_object(), 31, message)
}

/// `Operation`: its parameters' names and its extensions are what clients look at.
fn operation(value: &Value) -> Message {
    let mut message = Message::default();
    for name in value.get("parameters").and_then(Value::as_array).into_iter().flatten().filter_map(|p| p["name"].as_str()) {
        let query = Message::default().text(2, "query").text(4, name);
        let parameter = Message::default().message(2, &Message::default().message(3, &query));
        message = message.message(8, &Message::default().message(1, &parameter));
    }
    extensions(value.as_object(), 13, message)
}

/// `NamedAny` for every extension; its value is YAML, of which JSON is a part.
fn extensions(value: Option<&Map<String, Value>>, field: u64, message: Message) -> Message {
    let all = value.into_iter().flatten().filter(|(name, _)| name.starts_with("x-kubernetes-") && *name != "x-kubernetes-int-or-string");
    all.fold(message, |message, (name, value)| {
        let any = Message::default().text(2, &value.to_string());
        message.message(field, &Message::default().text(1, name).message(2, &any))
    })
}
