//! Whose an object is. In a cluster that is somebody's a run changes and deletes only what it made itself: an object is its own when it
//! carries the run's label, or stands in the care of one that does. What is about to be made is entered before it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::GroupVersion;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kinds::Kind;
use super::{ApiError, Call, Cluster, RUN_LABEL};

/// How far up owners are followed: a Pod stands in the care of a ReplicaSet, which stands in that of a Deployment.
const OWNERS: usize = 3;

/// An object by all that is needed to find it again, without asking what the API serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// Group and version: `apps/v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Plural of the kind, as in paths.
    pub plural: String,
    /// Namespace; absent = its kind has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectId {
    pub(super) fn of(kind: &Kind, namespace: Option<&str>, name: &str) -> ObjectId {
        ObjectId {
            api_version: kind.resource.api_version.clone(),
            kind: kind.resource.kind.clone(),
            plural: kind.resource.plural.clone(),
            namespace: kind.namespaced.then(|| namespace.unwrap_or("default").to_owned()),
            name: name.to_owned(),
        }
    }

    /// The objects it is one of.
    pub fn api(&self, client: &kube::Client) -> Api<DynamicObject> {
        let version: GroupVersion = self.api_version.parse().unwrap_or_else(|_| GroupVersion::gv("", "v1"));
        let resource = ApiResource {
            group: version.group,
            version: version.version,
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        };
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind.to_ascii_lowercase();
        match &self.namespace {
            Some(namespace) => write!(f, "{kind}/{namespace}/{}", self.name),
            None => write!(f, "{kind}/{}", self.name),
        }
    }
}

/// Takes down what is about to be made; an error means that it must not be.
pub type Enter = Arc<dyn Fn(&ObjectId) -> Result<(), String> + Send + Sync>;

/// By what right a run changes things.
#[derive(Clone)]
pub struct Claim {
    run: String,
    labels: BTreeMap<String, String>,
    enter: Enter,
}

impl Claim {
    /// A run's claim: its objects carry `labels` and the run's own, and each is entered first.
    pub fn new(run: &str, labels: BTreeMap<String, String>, enter: Enter) -> Claim {
        Claim { run: run.to_ascii_lowercase(), labels, enter }
    }

    /// Whether labels are those of an object of the run.
    fn is_on(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(RUN_LABEL) == Some(&self.run)
    }

    /// The object with the claim's labels on it.
    pub(super) fn mark(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
            && let Some(labels) = metadata.entry("labels").or_insert_with(|| Value::Object(Default::default())).as_object_mut()
        {
            let own = [(RUN_LABEL.to_owned(), self.run.clone())];
            labels.extend(self.labels.clone().into_iter().chain(own).map(|(key, value)| (key, Value::String(value))));
        }
        object
    }

    pub(super) fn enter(&self, object: &ObjectId) -> Result<(), ApiError> {
        (self.enter)(object).map_err(|message| ApiError::NotEntered { object: object.to_string(), message })
    }

    /// That somebody else has it.
    pub(super) fn taken(&self, what: &Call, labels: &BTreeMap<String, String>) -> ApiError {
        let by = labels.get(RUN_LABEL).map(|run| format!(" (run {run} made it)")).unwrap_or_default();
        ApiError::Taken { operation: what.operation, object: what.object.clone(), by }
    }
}

/// What is found where something is to be applied.
pub(super) enum Found {
    /// Nothing: the name is free, and entered now.
    Free,
    /// An object of the run.
    Own,
}

impl Cluster {
    /// Looks whether a name is free or the run's own.
    pub(super) async fn look(&self, claim: &Claim, api: &Api<DynamicObject>, id: &ObjectId, what: &Call) -> Result<Found, ApiError> {
        match self.call(what, api.get_metadata_opt(&id.name)).await? {
            None => claim.enter(id).map(|()| Found::Free),
            Some(found) if claim.is_on(found.labels()) => Ok(Found::Own),
            Some(found) => Err(claim.taken(what, found.labels())),
        }
    }

    /// Refuses to change what is not the run's. That there is no such object is for the call itself to say.
    pub(super) async fn own(&self, api: &Api<DynamicObject>, name: &str, what: &Call) -> Result<(), ApiError> {
        let Some(claim) = &self.claim else { return Ok(()) };
        let Some(first) = self.call(what, api.get_metadata_opt(name)).await? else { return Ok(()) };
        let mut object: PartialObjectMeta<DynamicObject> = first.clone();
        for _ in 0..=OWNERS {
            if claim.is_on(object.labels()) {
                return Ok(());
            }
            let Some(owner) = object.owner_references().first().cloned() else { break };
            let kind = self.kinds.pinned(&owner.api_version, &owner.kind, self.limit).await.map_err(|error| what.error(error))?;
            let api = kind.api(&self.client, first.namespace().as_deref());
            match self.call(what, api.get_metadata_opt(&owner.name)).await? {
                Some(found) if found.uid().as_deref() == Some(owner.uid.as_str()) => object = found,
                _ => break,
            }
        }
        Err(claim.taken(what, first.labels()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;
    use std::time::Duration;

    use plumb_refnet::api::{ApiConfig, ApiServer};
    use serde_json::json;

    use super::*;
    use crate::cluster::{ResourceRef, manifest};

    const LIMIT: Duration = Duration::from_secs(10);

    /// An API with an object of somebody's, a cluster that claims, and what was entered.
    async fn world() -> (Cluster, Cluster, Arc<Mutex<Vec<String>>>) {
        let server = ApiServer::new(ApiConfig::default()).unwrap();
        let theirs = Cluster::new(server.client(), LIMIT);
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "default"}, "data": {"a": "1"}});
        let bare = crate::cluster::Manifest { object: "configmap/default/theirs".into(), value: map };
        theirs.apply(&bare).await.unwrap();
        let entered = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&entered);
        let enter: Enter = Arc::new(move |id: &ObjectId| {
            list.lock().unwrap().push(id.to_string());
            if id.name == "unwritten" { Err("no space left".into()) } else { Ok(()) }
        });
        let ours = theirs.clone().claiming(Claim::new("Run-1", [("plumbline.owner".to_owned(), "me".to_owned())].into(), enter));
        (theirs, ours, entered)
    }

    fn map(name: &str) -> crate::cluster::Manifest {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "2"}});
        manifest(map, "Run-1").unwrap()
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_named_and_left_as_it_was() {
        let (theirs, ours, entered) = world().await;
        let error = ours.apply(&map("theirs")).await.unwrap_err();
        assert!(error.to_string().starts_with("apply configmap/default/theirs: it is there already and not this run's"), "{error}");
        let resource = ResourceRef::parse("configmap/theirs").unwrap();
        assert!(matches!(ours.merge(&resource, &json!({"data": {"a": "3"}})).await, Err(ApiError::Taken { .. })));
        assert!(matches!(ours.delete(&resource, None).await, Err(ApiError::Taken { .. })));
        assert!(matches!(ours.ensure_namespace("kube-public", "Run-1").await, Err(ApiError::Taken { .. })));
        assert_eq!(theirs.read(&resource).await.unwrap().unwrap()["data"]["a"], "1");
        assert!(entered.lock().unwrap().is_empty(), "what was not to be made was not entered");
    }

    #[tokio::test]
    async fn what_is_made_is_entered_once_labelled_and_may_be_changed_again() {
        let (theirs, ours, entered) = world().await;
        ours.apply(&map("ours")).await.unwrap();
        ours.apply(&map("ours")).await.unwrap();
        let resource = ResourceRef::parse("configmap/ours").unwrap();
        ours.merge(&resource, &json!({"data": {"b": "4"}})).await.unwrap();
        let object = theirs.read(&resource).await.unwrap().unwrap();
        assert_eq!(
            (&object["metadata"]["labels"]["plumbline.run"], &object["metadata"]["labels"]["plumbline.owner"]),
            (&json!("run-1"), &json!("me"))
        );
        ours.delete(&resource, None).await.unwrap();
        assert_eq!(*entered.lock().unwrap(), ["configmap/default/ours"]);
    }

    #[tokio::test]
    async fn what_cannot_be_entered_is_not_made() {
        let (theirs, ours, _) = world().await;
        let error = ours.apply(&map("unwritten")).await.unwrap_err();
        assert_eq!(error.to_string(), "enter configmap/default/unwritten in the ledger: no space left");
        assert!(theirs.read(&ResourceRef::parse("configmap/unwritten").unwrap()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_stands_in_the_care_of_the_runs_object_is_the_runs() {
        let (theirs, ours, _) = world().await;
        ours.apply(&map("ours")).await.unwrap();
        let owner = theirs.read(&ResourceRef::parse("configmap/ours").unwrap()).await.unwrap().unwrap();
        let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "ours", "uid": owner["metadata"]["uid"]}]);
        let child = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "child", "namespace": "default", "ownerReferences": reference}});
        theirs.apply(&crate::cluster::Manifest { object: "configmap/default/child".into(), value: child }).await.unwrap();
        ours.merge(&ResourceRef::parse("configmap/child").unwrap(), &json!({"data": {"b": "4"}})).await.unwrap();
    }
}
