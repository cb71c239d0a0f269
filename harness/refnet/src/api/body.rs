//! Request bodies: media types and their decoding.

use serde_json::Value;

use super::merge;
use super::request::Call;
use super::status::ApiError;

/// What objects may be written in.
const OBJECT_TYPES: &str = "application/json, application/yaml";
/// What patches may be written in.
const PATCH_TYPES: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, \
                           application/strategic-merge-patch+json";

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patch {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Patch {
    /// Apply patches may be YAML.
    pub(crate) fn is_yaml(self) -> bool {
        self == Patch::Apply
    }
}

fn media_type(call: &Call) -> String {
    call.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The object in a request.
pub(crate) fn object(call: &Call) -> Result<Value, ApiError> {
    let object = match media_type(call).as_str() {
        "" | "application/json" | "*/*" => decode(call, false)?,
        "application/yaml" | "application/x-yaml" | "text/yaml" => decode(call, true)?,
        other => return Err(ApiError::media_type(other, OBJECT_TYPES)),
    };
    if object.is_object() { Ok(object) } else { Err(ApiError::bad_request("the object provided is unrecognized (must be a map)")) }
}

/// The kind of patch in a request.
pub(crate) fn patch_kind(call: &Call) -> Result<Patch, ApiError> {
    match media_type(call).as_str() {
        "application/json-patch+json" => Ok(Patch::Json),
        "application/merge-patch+json" => Ok(Patch::Merge),
        "application/strategic-merge-patch+json" => Ok(Patch::Strategic),
        "application/apply-patch+yaml" => Ok(Patch::Apply),
        _ => Err(unsupported_patch(call)),
    }
}

pub(crate) fn unsupported_patch(call: &Call) -> ApiError {
    ApiError::media_type(&media_type(call), PATCH_TYPES)
}

/// JSON, or YAML where that is allowed. Depth and size are bounded by the decoders and checked again.
pub(crate) fn decode(call: &Call, yaml: bool) -> Result<Value, ApiError> {
    let text = std::str::from_utf8(&call.body).map_err(|_| ApiError::bad_request("the body is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(ApiError::bad_request("the body is empty"));
    }
    // Most YAML bodies are JSON; its decoder is the faster and stricter one.
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        Err(_) if yaml => serde_saphyr::from_str::<Value>(text)
            .map_err(|error| ApiError::bad_request(format!("error parsing YAML: {}", first_line(&error.to_string()))))?,
        Err(error) => return Err(ApiError::bad_request(format!("error decoding JSON: {error}"))),
    };
    merge::within_bounds(&value)?;
    Ok(value)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
