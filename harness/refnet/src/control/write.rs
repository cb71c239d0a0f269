//! Writes that change something, and nothing else: statuses are compared with what is known before they are sent.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::mirror::Key;

/// What was written last, until the mirror has seen it: without this a status would be written twice, with two times.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<(String, Key), (u64, Value)>);

/// An object whose status may be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// Its kind.
    pub(super) resource: &'a ApiResource,
    /// Namespace, empty for cluster-scoped kinds.
    pub(super) namespace: &'a str,
    /// Name.
    pub(super) name: &'a str,
    /// Resource version the mirror has.
    pub(super) version: Option<&'a str>,
}

impl Written {
    /// The newest status that is known: the mirror's, or the one written since.
    pub(super) fn newest<'a>(&'a self, subject: Subject<'_>, mirrored: &'a Value) -> &'a Value {
        let seen = subject.version.and_then(|version| version.parse::<u64>().ok()).unwrap_or_default();
        match self.0.get(&key(subject)) {
            Some((version, status)) if *version > seen => status,
            _ => mirrored,
        }
    }

    /// Writes a status unless it says what is known already. An object that is gone is nobody's trouble.
    pub(super) async fn status(&mut self, client: &Client, subject: Subject<'_>, known: &Value, status: &Value) -> Result<(), kube::Error> {
        let says = |name: &String, value: &Value| known.get(name).unwrap_or(&Value::Null) == value;
        if status.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| says(name, value))) {
            return Ok(());
        }
        let api: Api<DynamicObject> = match subject.namespace {
            "" => Api::all_with(client.clone(), subject.resource),
            namespace => Api::namespaced_with(client.clone(), namespace, subject.resource),
        };
        match api.patch_status(subject.name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await {
            Ok(object) => {
                let version = object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default();
                let status = object.data.get("status").cloned().unwrap_or(Value::Null);
                self.0.insert(key(subject), (version, status));
                Ok(())
            }
            Err(error) => ignore_gone(error),
        }
    }
}

fn key(subject: Subject<'_>) -> (String, Key) {
    (subject.resource.plural.clone(), (subject.namespace.to_owned(), subject.name.to_owned()))
}

/// An object that is gone needs no write any more.
pub(super) fn ignore_gone(error: kube::Error) -> Result<(), kube::Error> {
    if is_code(&error, 404) { Ok(()) } else { Err(error) }
}

/// Whether the API answered with this status code.
pub(super) fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The time as Kubernetes writes it, to the second.
pub(super) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

/// The first hexadecimal digits of the SHA-256 of a text.
pub(super) fn digest(text: &str, digits: usize) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..digits.min(hex.len())].to_owned()
}
