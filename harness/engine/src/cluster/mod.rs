//! The Kubernetes API as the engine uses it: objects of any kind as JSON, named as scenarios name them, each call with a limit.
//!
//! Waits are watches. kube-rs types stop here. It must not know what an object is for.

mod claim;
pub mod collect;
pub mod exec;
pub mod facts;
mod kinds;
pub mod removal;
mod watch;

use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use plumb_core::evidence::{Trouble, Whose};
use serde_json::Value;

pub use claim::{Claim, Enter, ObjectId};
pub use kinds::{Kinds, ResourceRef};
pub use watch::{WaitEnd, Watched};

/// The name under which fields are owned (server-side apply).
pub const FIELD_MANAGER: &str = "plumbline";

/// Label of every object a run makes: its id, in small letters.
pub const RUN_LABEL: &str = "plumbline.run";

/// Why the API did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// It refused.
    #[error("{operation} {object}: {code} {reason}: {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// `kind/namespace/name`.
        object: String,
        /// HTTP status code.
        code: u16,
        /// Reason of the Status.
        reason: String,
        /// Message of the Status.
        message: String,
    },
    /// The call did not get through.
    #[error("{operation} {object}: {message}")]
    Call {
        /// What was asked.
        operation: &'static str,
        /// `kind/namespace/name`.
        object: String,
        /// What came back.
        message: String,
    },
    /// What was to be sent is no object.
    #[error("understand a manifest: {0}")]
    Manifest(String),
    /// Somebody else's object has the name.
    #[error(
        "{operation} {object}: it is there already and not this run's{by}, so it is left as it is\nhint: take it away or rename it yourself, or use another cluster"
    )]
    Taken {
        /// What was to be done.
        operation: &'static str,
        /// `kind/namespace/name`.
        object: String,
        /// Whose it is, where that is known.
        by: String,
    },
    /// What is about to be made could not be entered, so it was not made.
    #[error("enter {object} in the ledger: {message}")]
    NotEntered {
        /// `kind/namespace/name`.
        object: String,
        /// Why not.
        message: String,
    },
}

impl ApiError {
    /// As evidence.
    pub fn trouble(&self, operation: &str) -> Trouble {
        let whose = match self {
            ApiError::Refused { .. } => Whose::Product,
            ApiError::Call { .. } => Whose::Lab,
            ApiError::Manifest(_) => Whose::Author,
            ApiError::Taken { .. } | ApiError::NotEntered { .. } => Whose::Environment,
        };
        Trouble { whose, operation: operation.to_owned(), message: self.to_string() }
    }
}

/// The API of one lab.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kinds: std::sync::Arc<Kinds>,
    limit: Duration,
    /// The run's claim, where the cluster is somebody's.
    claim: Option<Claim>,
}

/// An object to apply, with its name as evidence has it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// `kind/namespace/name`.
    pub object: String,
    /// The object.
    pub value: Value,
}

impl Cluster {
    /// Wraps a client; `limit` is that of one call.
    pub fn new(client: Client, limit: Duration) -> Cluster {
        Cluster { kinds: std::sync::Arc::new(Kinds::new(client.clone())), client, limit, claim: None }
    }

    /// The same in a cluster that is somebody's: only what the claim's run made is changed or deleted.
    #[must_use]
    pub fn claiming(self, claim: Claim) -> Cluster {
        Cluster { claim: Some(claim), ..self }
    }

    /// The client it wraps.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the API says within a limit which version it is.
    pub async fn answers(&self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, self.client.apiserver_version()).await, Ok(Ok(_)))
    }

    /// Server-side apply with the engine's field manager, forced: the scenario's word goes before anybody's. With a claim, only on what
    /// is the run's own; a name that is free is taken without force, so that somebody who takes it in the same moment keeps it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn apply(&self, manifest: &Manifest) -> Result<(), ApiError> {
        let what = Call { operation: "apply", object: manifest.object.clone() };
        let (api, id) = self.api_for(&manifest.value, &what).await?;
        let (parameters, value) = (PatchParams::apply(FIELD_MANAGER), &manifest.value);
        let Some(claim) = &self.claim else {
            return self.call(&what, api.patch(&id.name, &parameters.force(), &Patch::Apply(value))).await.map(drop);
        };
        let parameters = match self.look(claim, &api, &id, &what).await? {
            claim::Found::Free => parameters,
            claim::Found::Own => parameters.force(),
        };
        self.call(&what, api.patch(&id.name, &parameters, &Patch::Apply(claim.mark(value)))).await.map(drop)
    }

    /// Creates a namespace, labelled with the run, unless it is there. With a claim, one that is there must be the run's own.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn ensure_namespace(&self, name: &str, run: &str) -> Result<(), ApiError> {
        let labels = serde_json::json!({RUN_LABEL: run.to_ascii_lowercase()});
        let value = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        let what = Call { operation: "create", object: format!("namespace/{name}") };
        let (api, id) = self.api_for(&value, &what).await?;
        let value = match &self.claim {
            Some(claim) => match self.look(claim, &api, &id, &what).await? {
                claim::Found::Own => return Ok(()),
                claim::Found::Free => claim.mark(&value),
            },
            None => value,
        };
        let object = serde_json::from_value(value).map_err(|error| ApiError::Manifest(error.to_string()))?;
        match self.call(&what, api.create(&PostParams::default(), &object)).await {
            // Made by somebody in the same moment; with a claim that is somebody else's.
            Err(ApiError::Refused { code: 409, .. }) => self.own(&api, name, &what).await,
            other => other.map(drop),
        }
    }

    /// Merge patch (RFC 7396).
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn merge(&self, resource: &ResourceRef, patch: &Value) -> Result<Value, ApiError> {
        let what = Call { operation: "patch", object: resource.to_string() };
        let api = self.api(resource, &what).await?;
        self.own(&api, &resource.name, &what).await?;
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let object = self.call(&what, api.patch(&resource.name, &parameters, &Patch::Merge(patch))).await?;
        value(&object)
    }

    /// Deletes an object; returns once the API has taken the request, not when the object is gone.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(&self, resource: &ResourceRef, grace_period_seconds: Option<u32>) -> Result<(), ApiError> {
        let what = Call { operation: "delete", object: resource.to_string() };
        let api = self.api(resource, &what).await?;
        self.own(&api, &resource.name, &what).await?;
        let parameters = DeleteParams { grace_period_seconds, ..DeleteParams::default() };
        self.call(&what, api.delete(&resource.name, &parameters)).await.map(drop)
    }

    /// Reads an object; `None` when there is none, or no such kind.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn read(&self, resource: &ResourceRef) -> Result<Option<Value>, ApiError> {
        let what = Call { operation: "read", object: resource.to_string() };
        let api = match self.api(resource, &what).await {
            Err(ApiError::Refused { code: 404, .. }) => return Ok(None),
            other => other?,
        };
        match self.call(&what, api.get_opt(&resource.name)).await? {
            Some(object) => value(&object).map(Some),
            None => Ok(None),
        }
    }

    /// Objects of a kind in a namespace (or in all), by label selector.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list(&self, kind: &str, namespace: Option<&str>, selector: &str) -> Result<Vec<Value>, ApiError> {
        let resource = ResourceRef { kind: kind.to_owned(), namespace: namespace.map(str::to_owned), name: "*".into() };
        let what = Call { operation: "list", object: resource.to_string() };
        let found = self.kinds.named(kind, self.limit).await.map_err(|error| what.error(error))?;
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) if found.namespaced => Api::namespaced_with(self.client.clone(), namespace, &found.resource),
            _ => Api::all_with(self.client.clone(), &found.resource),
        };
        let list = self.call(&what, api.list(&ListParams::default().labels(selector))).await?;
        list.items.iter().map(value).collect()
    }

    async fn api(&self, resource: &ResourceRef, what: &Call) -> Result<Api<DynamicObject>, ApiError> {
        let found = self.kinds.named(&resource.kind, self.limit).await.map_err(|error| what.error(error))?;
        Ok(found.api(&self.client, resource.namespace.as_deref()))
    }

    async fn api_for(&self, object: &Value, what: &Call) -> Result<(Api<DynamicObject>, ObjectId), ApiError> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (Some(version), Some(kind), Some(name)) = (text("/apiVersion"), text("/kind"), text("/metadata/name")) else {
            return Err(ApiError::Manifest("an object needs apiVersion, kind and metadata.name".into()));
        };
        let found = self.kinds.pinned(version, kind, self.limit).await.map_err(|error| what.error(error))?;
        let namespace = text("/metadata/namespace");
        Ok((found.api(&self.client, namespace), ObjectId::of(&found, namespace, name)))
    }

    async fn call<T>(&self, what: &Call, call: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(what.error(error)),
            Err(_) => Err(what.late(self.limit)),
        }
    }
}

/// What is asked of the API, for messages.
#[derive(Debug)]
struct Call {
    operation: &'static str,
    object: String,
}

impl Call {
    fn error(&self, error: kube::Error) -> ApiError {
        let Call { operation, object } = self;
        match error {
            kube::Error::Api(status) => {
                ApiError::Refused { operation, object: object.clone(), code: status.code, reason: status.reason, message: status.message }
            }
            other => ApiError::Call { operation, object: object.clone(), message: chain(&other) },
        }
    }

    fn late(&self, limit: Duration) -> ApiError {
        let message = format!("no answer within {} ms", limit.as_millis());
        ApiError::Call { operation: self.operation, object: self.object.clone(), message }
    }
}

/// An error with its causes, joined by `: `, without those a message already has in it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn value(object: &DynamicObject) -> Result<Value, ApiError> {
    serde_json::to_value(object).map_err(|error| ApiError::Manifest(error.to_string()))
}

/// Reads a manifest of one or more documents. Objects without a namespace get `default` unless their kind has none
/// (the API ignores it there). Each object is labelled with the run.
///
/// # Errors
/// [`ApiError::Manifest`] with what is wrong and where.
pub fn manifests(text: &str, run: &str) -> Result<Vec<Manifest>, ApiError> {
    let options = serde_saphyr::options! { strict_booleans: false, legacy_octal_numbers: true };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| ApiError::Manifest(error.to_string()))?;
    documents.into_iter().filter(|document| !document.is_null()).map(|document| manifest(document, run)).collect()
}

/// One object, labelled with the run.
///
/// # Errors
/// [`ApiError::Manifest`] when it has no kind or name.
pub fn manifest(mut value: Value, run: &str) -> Result<Manifest, ApiError> {
    let kind = value.get("kind").and_then(Value::as_str).map(str::to_ascii_lowercase);
    let kind = kind.ok_or_else(|| ApiError::Manifest("a document has no kind".into()))?;
    let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.ok_or_else(|| ApiError::Manifest(format!("a {kind} has no metadata")))?;
    let name = metadata.get("name").and_then(Value::as_str).map(str::to_owned);
    let name = name.ok_or_else(|| ApiError::Manifest(format!("a {kind} has no metadata.name")))?;
    if let Some(labels) = metadata.entry("labels").or_insert_with(|| Value::Object(Default::default())).as_object_mut() {
        labels.insert(RUN_LABEL.into(), Value::String(run.to_ascii_lowercase()));
    }
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or("default");
    Ok(Manifest { object: format!("{kind}/{namespace}/{name}"), value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_manifest_of_two_documents_gives_two_labelled_objects() {
        let text =
            "kind: Service\napiVersion: v1\nmetadata: {name: a, namespace: x}\n---\n---\nkind: Pod\napiVersion: v1\nmetadata: {name: b}\n";
        let objects = manifests(text, "20261123T1Z-aa").unwrap();
        assert_eq!(objects.iter().map(|m| m.object.as_str()).collect::<Vec<_>>(), ["service/x/a", "pod/default/b"]);
        assert_eq!(objects[0].value["metadata"]["labels"]["plumbline.run"], "20261123t1z-aa");
    }

    #[test]
    fn a_manifest_without_a_name_is_the_authors_trouble() {
        let error = manifests("kind: Pod\nmetadata: {}\n", "r").unwrap_err();
        assert_eq!(error.to_string(), "understand a manifest: a pod has no metadata.name");
        assert_eq!(error.trouble("apply").whose, Whose::Author);
    }
}
