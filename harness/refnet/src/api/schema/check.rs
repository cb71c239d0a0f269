//! Strict decoding: holds an object against its schema, takes out what does not belong, and says what is wrong with the rest.

use serde_json::Value;

use super::{Limits, Node, NodeId, Rest, Schema, Shape};
use crate::api::status::Cause;

/// What is wrong with an object.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Fields the kind does not have, as `spec.foo`; they have been taken out.
    pub(crate) unknown: Vec<String>,
    /// Values of a wrong type.
    pub(crate) types: Vec<Cause>,
    /// Values that are missing, out of range or not allowed.
    pub(crate) values: Vec<Cause>,
    /// What is looked at is a part: absent fields are no matter.
    part: bool,
}

/// More mistakes than this are not listed.
const FINDINGS_LIMIT: usize = 100;

impl Schema {
    /// Checks and cleans an object: unknown fields and nulls are taken out, defaults of the schema put in.
    pub(crate) fn check(&self, object: &mut Value) -> Findings {
        let mut findings = Findings::default();
        self.visit(self.root(), object, &mut String::new(), &mut findings);
        findings
    }

    /// The same for a part of an object: nothing is put in, and nothing missed.
    pub(crate) fn check_part(&self, part: &mut Value) -> Findings {
        let mut findings = Findings { part: true, ..Findings::default() };
        self.visit(self.root(), part, &mut String::new(), &mut findings);
        findings
    }

    fn visit(&self, id: NodeId, value: &mut Value, path: &mut String, out: &mut Findings) {
        if out.unknown.len() + out.types.len() + out.values.len() > FINDINGS_LIMIT {
            return;
        }
        let node = self.node(id);
        let found = type_name(value);
        match (&node.shape, value) {
            (Shape::Any, _) | (Shape::Boolean, Value::Bool(_)) | (Shape::IntOrString, Value::String(_)) => {}
            (Shape::IntOrString, Value::Number(_)) => {}
            (Shape::Object { .. }, Value::Object(_)) if node.atomic && is_leaf_free(node) => {}
            (Shape::Object { properties, rest }, Value::Object(map)) => {
                // A null is an absent field, as in the real API's decoding.
                map.retain(|name, v| !v.is_null() || properties.get(name).is_some_and(|id| self.node(*id).nullable));
                let names: Vec<String> = map.keys().cloned().collect();
                for name in names {
                    let member = properties.get(&name).copied().or(match rest {
                        Rest::Values(id) => Some(*id),
                        Rest::Refused | Rest::Anything => None,
                    });
                    let length = path.len();
                    push_name(path, &name);
                    match (member, rest) {
                        (Some(member), _) => {
                            if let Some(value) = map.get_mut(&name).filter(|v| !v.is_null()) {
                                self.visit(member, value, path, out);
                            }
                        }
                        (None, Rest::Anything) => {}
                        (None, _) => {
                            out.unknown.push(path.clone());
                            map.shift_remove(&name);
                        }
                    }
                    path.truncate(length);
                }
                if out.part {
                    return;
                }
                for (name, member) in properties {
                    if let (Some(default), false) = (&self.node(*member).default, map.contains_key(name)) {
                        map.insert(name.clone(), default.clone());
                    }
                }
                for name in node.required.iter().filter(|name| !map.contains_key(*name)) {
                    out.values.push(Cause::required(joined(path, name), ""));
                }
            }
            (Shape::Array { items, .. }, Value::Array(list)) => {
                check_count(&node.limits, list.len(), path, out);
                for (index, item) in list.iter_mut().enumerate() {
                    let length = path.len();
                    path.push_str(&format!("[{index}]"));
                    self.visit(*items, item, path, out);
                    path.truncate(length);
                }
            }
            (Shape::String, Value::String(text)) => check_text(&node.limits, text, path, out),
            (Shape::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => check_number(&node.limits, number, path, out),
            (Shape::Number, Value::Number(number)) => check_number(&node.limits, number, path, out),
            (_, other) => {
                let message = format!("Invalid value: {found:?}: {path} in body must be of type {}: {found:?}", expected(&node.shape));
                out.types.push(Cause { reason: "FieldValueTypeInvalid", field: path.clone(), message });
                *other = Value::Null;
            }
        }
    }
}

/// An object of which nothing is known needs no visit.
fn is_leaf_free(node: &Node) -> bool {
    matches!(&node.shape, Shape::Object { properties, rest: Rest::Anything } if properties.is_empty())
}

fn check_count(limits: &Limits, count: usize, path: &str, out: &mut Findings) {
    if let Some(limit) = limits.items_max.filter(|limit| count > *limit) {
        out.values.push(Cause::too_many(path, count, limit));
    }
    if let Some(limit) = limits.items_min.filter(|limit| count < *limit) {
        let why = format!("{path} in body should have at least {limit} items");
        out.values.push(Cause::invalid(path, &Value::from(count), why));
    }
}

fn check_text(limits: &Limits, text: &str, path: &str, out: &mut Findings) {
    let value = || Value::String(text.to_owned());
    if !limits.allowed.is_empty() && !limits.allowed.iter().any(|v| v.as_str() == Some(text)) {
        let names: Vec<&str> = limits.allowed.iter().filter_map(Value::as_str).collect();
        out.values.push(Cause::unsupported(path, &value(), &names));
    }
    if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        out.values.push(Cause::invalid(path, &value(), format!("{path} in body should match '{pattern}'")));
    }
    if let Some(limit) = limits.length_max.filter(|limit| text.chars().count() > *limit) {
        let message = format!("Too long: may not be more than {limit} characters");
        out.values.push(Cause { reason: "FieldValueTooLong", field: path.to_owned(), message });
    }
    if let Some(limit) = limits.length_min.filter(|limit| text.chars().count() < *limit) {
        out.values.push(Cause::invalid(path, &value(), format!("{path} in body should be at least {limit} chars long")));
    }
    let wrong = match limits.format.as_deref() {
        Some("date-time") => time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
            .err()
            .map(|_| "must be a date and time (RFC 3339)"),
        Some("byte") => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).err().map(|_| "must be base64")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        let message = format!("Invalid value: {}: {wrong}", value());
        out.types.push(Cause { reason: "FieldValueTypeInvalid", field: path.to_owned(), message });
    }
}

fn check_number(limits: &Limits, number: &serde_json::Number, path: &str, out: &mut Findings) {
    let value = Value::Number(number.clone());
    let Some(float) = number.as_f64() else { return };
    if limits.format.as_deref() == Some("int32") && number.as_i64().is_none_or(|n| i32::try_from(n).is_err()) {
        out.types.push(Cause {
            reason: "FieldValueTypeInvalid",
            field: path.to_owned(),
            message: format!("Invalid value: {value}: must fit in 32 bits"),
        });
    }
    if let Some(limit) = limits.minimum.filter(|limit| float < *limit) {
        out.values.push(Cause::invalid(path, &value, format!("{path} in body should be greater than or equal to {limit}")));
    }
    if let Some(limit) = limits.maximum.filter(|limit| float > *limit) {
        out.values.push(Cause::invalid(path, &value, format!("{path} in body should be less than or equal to {limit}")));
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "any",
        Shape::Object { .. } => "object",
        Shape::Array { .. } => "array",
        Shape::String => "string",
        Shape::Integer => "integer",
        Shape::Number => "number",
        Shape::Boolean => "boolean",
        Shape::IntOrString => "integer or string",
    }
}
