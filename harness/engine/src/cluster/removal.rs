//! Takes objects away and sees them gone: those of one run, by name, each only while it carries the run's label. What is somebody else's
//! under the same name is left alone.

use std::time::Duration;

use futures::StreamExt as _;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, PartialObjectMeta, Preconditions, PropagationPolicy};
use kube::{Client, Error};
use tokio::time::Instant;

use super::facts::GATEWAY_GROUP;
use super::{ObjectId, RUN_LABEL, chain};

/// Calls side by side.
const AT_ONCE: usize = 8;
/// Limit for one call.
const CALL: Duration = Duration::from_secs(15);
/// How often what is on its way out is looked at. A dozen kinds go together; a watch each would need a right more on each of them.
const EVERY: Duration = Duration::from_millis(200);
/// Where Cilium keeps the leases of announced Services, and how their names begin. They stay minutes after their Service, and the next
/// one of the same name would begin with the holder of this one.
const LEASES: (&str, &str) = ("kube-system", "cilium-l2announce-");

/// Deletes the objects and waits until all are gone: what is left, each with its reason.
pub async fn remove(client: &Client, run: &str, objects: &[ObjectId], limit: Duration) -> Vec<(ObjectId, String)> {
    let until = Instant::now() + limit;
    let run = run.to_ascii_lowercase();
    let deletions = objects.iter().map(async |object| (object.clone(), delete(client, &run, object).await));
    let asked: Vec<_> = futures::stream::iter(deletions).buffer_unordered(AT_ONCE).collect().await;
    let (mut leaving, mut left) = (Vec::new(), Vec::new());
    for (object, deleted) in asked {
        match deleted {
            Ok(follows) => leaving.extend(follows.into_iter().map(|(id, uid)| (object.clone(), id, uid))),
            Err(why) => left.push((object, why)),
        }
    }
    while !leaving.is_empty() {
        let looks = leaving.into_iter().map(async |(object, id, uid)| {
            let still = is_there(client, &id, &uid).await;
            (object, id, uid, still)
        });
        let looked: Vec<_> = futures::stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        let late = Instant::now() > until;
        leaving = Vec::new();
        for (object, id, uid, still) in looked {
            match still {
                Ok(None) => {}
                Ok(Some(why)) | Err(why) if late => left.push((object, format!("{id} is still there after {} s: {why}", limit.as_secs()))),
                Ok(Some(_)) | Err(_) => leaving.push((object, id, uid)),
            }
        }
        if !leaving.is_empty() {
            tokio::time::sleep(EVERY).await;
        }
    }
    forget_leases(client, objects).await;
    left
}

/// Asks for an object's deletion; the objects whose end is to be seen, with their uids. None when there is nothing of the run.
async fn delete(client: &Client, run: &str, id: &ObjectId) -> Result<Vec<(ObjectId, String)>, String> {
    let api = id.api(client);
    let Some(found) = read(&api, &id.name).await? else { return Ok(Vec::new()) };
    let uid = found.uid().unwrap_or_default();
    if found.labels().get(RUN_LABEL).map(String::as_str) != Some(run) {
        return Ok(Vec::new());
    }
    let mut follows = vec![(id.clone(), uid.clone())];
    follows.extend(made_for(client, id, &uid).await?);
    // A workload is gone when its Pods are.
    let policy = if id.api_version == "apps/v1" { PropagationPolicy::Foreground } else { PropagationPolicy::Background };
    let preconditions = Preconditions { uid: Some(uid), resource_version: None };
    let parameters = DeleteParams { propagation_policy: Some(policy), preconditions: Some(preconditions), ..DeleteParams::default() };
    match within(api.delete(&id.name, &parameters)).await? {
        Ok(_) => Ok(follows),
        // Gone, or another's by now.
        Err(Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(Vec::new()),
        Err(error) => Err(chain(&error)),
    }
}

/// What Cilium makes for an object and takes away a moment after it: the Service of a Gateway.
async fn made_for(client: &Client, id: &ObjectId, uid: &str) -> Result<Vec<(ObjectId, String)>, String> {
    if id.kind != "Gateway" || !id.api_version.starts_with(GATEWAY_GROUP) {
        return Ok(Vec::new());
    }
    let service = service(id.namespace.clone(), &gateway_service(&id.name));
    let found = read(&service.api(client), &service.name).await?;
    let found = found.filter(|found| found.owner_references().iter().any(|owner| owner.uid == uid));
    Ok(found.into_iter().map(|found| (service.clone(), found.uid().unwrap_or_default())).collect())
}

fn gateway_service(gateway: &str) -> String {
    format!("cilium-gateway-{gateway}")
}

fn service(namespace: Option<String>, name: &str) -> ObjectId {
    let (kind, plural) = ("Service".to_owned(), "services".to_owned());
    ObjectId { api_version: "v1".into(), kind, plural, namespace, name: name.to_owned() }
}

/// Why an object with this uid is still there; `None` when it is gone.
async fn is_there(client: &Client, id: &ObjectId, uid: &str) -> Result<Option<String>, String> {
    let found = read(&id.api(client), &id.name).await?;
    Ok(found.filter(|found| found.uid().as_deref() == Some(uid)).map(|found| blocked(&found.metadata)))
}

fn blocked(metadata: &ObjectMeta) -> String {
    match metadata.finalizers.as_deref() {
        Some(finalizers) if !finalizers.is_empty() => format!("it waits for {}", finalizers.join(", ")),
        _ => "it is being deleted".to_owned(),
    }
}

/// Takes the leases away that Cilium held for Services that are gone. The operator does so too, later; so that it cannot be done now is
/// no error.
async fn forget_leases(client: &Client, objects: &[ObjectId]) {
    let names = objects.iter().filter_map(|id| {
        let namespace = id.namespace.as_deref()?;
        match (id.kind.as_str(), id.api_version.as_str()) {
            ("Service", "v1") => Some(format!("{}{namespace}-{}", LEASES.1, id.name)),
            ("Gateway", version) if version.starts_with(GATEWAY_GROUP) => {
                Some(format!("{}{namespace}-{}", LEASES.1, gateway_service(&id.name)))
            }
            _ => None,
        }
    });
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(client.clone(), LEASES.0);
    for name in names {
        let _ = within(leases.delete(&name, &DeleteParams::default())).await;
    }
}

/// An object's metadata; `None` when there is none, or no such kind any longer.
async fn read(api: &Api<DynamicObject>, name: &str) -> Result<Option<PartialObjectMeta<DynamicObject>>, String> {
    within(api.get_metadata_opt(name)).await?.map_err(|error| chain(&error))
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<kube::Result<T>, String> {
    let late = |_| format!("no answer within {} s", CALL.as_secs());
    tokio::time::timeout(CALL, call).await.map_err(late)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use plumb_refnet::api::{ApiConfig, ApiServer};
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::{Cluster, ResourceRef, manifest};

    fn id(name: &str) -> ObjectId {
        let (kind, plural) = ("ConfigMap".to_owned(), "configmaps".to_owned());
        ObjectId { api_version: "v1".into(), kind, plural, namespace: Some("default".into()), name: name.into() }
    }

    async fn world(objects: &[(&str, &str, Value)]) -> (Client, Cluster) {
        let client = ApiServer::new(ApiConfig::default()).unwrap().client();
        let cluster = Cluster::new(client.clone(), CALL);
        for (name, run, finalizers) in objects {
            let metadata = json!({"name": name, "namespace": "default", "finalizers": finalizers});
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
            cluster.apply(&manifest(map, run).unwrap()).await.unwrap();
        }
        (client, cluster)
    }

    #[tokio::test]
    async fn only_what_carries_the_runs_label_goes_and_what_is_gone_is_no_error() {
        let (client, cluster) = world(&[("ours", "Run-1", json!([])), ("another", "run-2", json!([]))]).await;
        let left = remove(&client, "Run-1", &[id("ours"), id("another"), id("nobody")], Duration::from_secs(5)).await;
        assert_eq!(left, []);
        let names = cluster.list("configmap", Some("default"), "").await.unwrap();
        assert_eq!(names.iter().map(|map| map["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>(), ["another"]);
    }

    #[tokio::test]
    async fn what_stays_is_named_with_what_it_waits_for() {
        let (client, cluster) = world(&[("held", "run", json!(["example.org/held"])), ("free", "run", json!([]))]).await;
        let left = remove(&client, "run", &[id("held"), id("free")], Duration::from_millis(300)).await;
        assert_eq!(left.len(), 1);
        assert!(left[0].1.contains("configmap/default/held") && left[0].1.contains("example.org/held"), "{left:?}");
        assert!(cluster.read(&ResourceRef::parse("configmap/free").unwrap()).await.unwrap().is_none());
    }
}
