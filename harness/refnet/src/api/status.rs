//! Refusals: the API's `Status` objects, with the reasons, codes and causes of the real one.

use serde_json::{Map, Value, json};

/// A refusal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) code: u16,
    /// Machine-readable reason, for example `NotFound`.
    pub(crate) reason: &'static str,
    /// Sentence for people.
    pub(crate) message: String,
    /// What it is about.
    pub(crate) details: Option<Box<Details>>,
}

/// What a refusal is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Details {
    pub(crate) name: String,
    pub(crate) group: String,
    /// Plural for not-found and conflicts, kind for invalid objects, as the real API has it.
    pub(crate) kind: String,
    pub(crate) causes: Vec<Cause>,
}

/// One mistake in an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldManagerConflict`, ...
    pub(crate) reason: &'static str,
    /// Path, for example `spec.listeners[0].port`.
    pub(crate) field: String,
    /// Sentence without the path.
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: impl std::fmt::Display) -> Cause {
        let shown = shorten(&value.to_string());
        Cause { reason: "FieldValueInvalid", field: field.into(), message: format!("Invalid value: {shown}: {why}") }
    }

    pub(crate) fn required(field: impl Into<String>, why: &str) -> Cause {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Cause { reason: "FieldValueRequired", field: field.into(), message }
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        Cause { reason: "FieldValueDuplicate", field: field.into(), message: format!("Duplicate value: {}", shorten(&value.to_string())) }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Cause {
        let list = supported.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        Cause {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!("Unsupported value: {}: supported values: {list}", shorten(&value.to_string())),
        }
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Cause {
        Cause { reason: "FieldValueForbidden", field: field.into(), message: format!("Forbidden: {why}") }
    }

    pub(crate) fn too_many(field: impl Into<String>, actual: usize, limit: usize) -> Cause {
        Cause { reason: "FieldValueTooMany", field: field.into(), message: format!("Too many: {actual}: must have at most {limit} items") }
    }
}

/// Values in messages stay readable: the rest of a long one is left out.
fn shorten(text: &str) -> String {
    const LIMIT: usize = 200;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl ApiError {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { code, reason, message: message.into(), details: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::plain(400, "BadRequest", message)
    }

    /// No such path.
    pub(crate) fn no_path() -> ApiError {
        ApiError::plain(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn not_found(group: &str, plural: &str, name: &str) -> ApiError {
        ApiError::plain(404, "NotFound", format!("{} {name:?} not found", qualified(plural, group))).about(group, plural, name)
    }

    pub(crate) fn already_exists(group: &str, plural: &str, name: &str) -> ApiError {
        ApiError::plain(409, "AlreadyExists", format!("{} {name:?} already exists", qualified(plural, group))).about(group, plural, name)
    }

    pub(crate) fn conflict(group: &str, plural: &str, name: &str, why: &str) -> ApiError {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(plural, group));
        ApiError::plain(409, "Conflict", message).about(group, plural, name)
    }

    pub(crate) fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> ApiError {
        ApiError::plain(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", qualified(plural, group))).about(group, plural, name)
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> ApiError {
        let mut each: Vec<String> = Vec::new();
        for cause in &causes {
            let text = format!("{}: {}", cause.field, cause.message);
            if !each.contains(&text) {
                each.push(text);
            }
        }
        let what = if let [one] = each.as_slice() { one.clone() } else { format!("[{}]", each.join(", ")) };
        let mut error = ApiError::plain(422, "Invalid", format!("{} {name:?} is invalid: {what}", qualified(kind, group)));
        error.details = Some(Box::new(Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), causes }));
        error
    }

    /// Another manager owns fields that are to be set.
    pub(crate) fn apply_conflict(causes: Vec<Cause>) -> ApiError {
        let mut managers: Vec<String> = Vec::new();
        for cause in &causes {
            let line = cause.message.trim_start_matches("conflict with ").to_owned();
            managers.push(format!("conflict with {line}: {}", cause.field));
        }
        let count = causes.len();
        let noun = if count == 1 { "conflict" } else { "conflicts" };
        let message = format!("Apply failed with {count} {noun}: {}", managers.join("\n"));
        let mut error = ApiError::plain(409, "Conflict", message);
        error.details = Some(Box::new(Details { causes, ..Details::default() }));
        error
    }

    pub(crate) fn method_not_allowed() -> ApiError {
        ApiError::plain(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(crate) fn too_large(limit: usize) -> ApiError {
        let message = format!("Request entity too large: limit is {limit}");
        ApiError::plain(413, "RequestEntityTooLarge", message)
    }

    pub(crate) fn media_type(given: &str, accepted: &str) -> ApiError {
        let message = format!("the body of the request was in an unknown format ({given}) - accepted media types include: {accepted}");
        ApiError::plain(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn not_acceptable(offered: &str) -> ApiError {
        ApiError::plain(406, "NotAcceptable", format!("only the following media types are accepted: {offered}"))
    }

    /// The history does not go back that far.
    pub(crate) fn expired(asked: u64, oldest: u64) -> ApiError {
        ApiError::plain(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    pub(crate) fn not_implemented(message: impl Into<String>) -> ApiError {
        ApiError::plain(501, "NotImplemented", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::plain(503, "ServiceUnavailable", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> ApiError {
        ApiError::plain(500, "InternalError", message)
    }

    pub(crate) fn with_message(self, message: String) -> ApiError {
        ApiError { message, ..self }
    }

    pub(crate) fn with_code(self, code: u16, reason: &'static str) -> ApiError {
        ApiError { code, reason, ..self }
    }

    pub(crate) fn about(mut self, group: &str, kind: &str, name: &str) -> ApiError {
        let causes = self.details.take().map(|d| d.causes).unwrap_or_default();
        self.details = Some(Box::new(Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), causes }));
        self
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            let mut map = Map::new();
            for (key, value) in [("name", &details.name), ("group", &details.group), ("kind", &details.kind)] {
                if !value.is_empty() {
                    map.insert(key.to_owned(), json!(value));
                }
            }
            if !details.causes.is_empty() {
                let causes = details.causes.iter().map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}));
                map.insert("causes".to_owned(), causes.collect());
            }
            status["details"] = Value::Object(map);
        }
        status
    }
}

/// `gateways.gateway.networking.k8s.io`, `pods`.
fn qualified(what: &str, group: &str) -> String {
    if group.is_empty() { what.to_owned() } else { format!("{what}.{group}") }
}
