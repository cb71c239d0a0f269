//! Takes a run's objects out of a cluster that others will use, and sees them gone.

use std::time::Duration;

use futures::future::try_join_all;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Client, Error, ResourceExt};

use super::KindError;
use crate::backends::BACKEND_LABEL;
use crate::cluster::RUN_LABEL;

/// Limit for everything to be gone: Pods have some seconds of grace, namespaces wait for what is in them.
const GONE: Duration = Duration::from_secs(90);
/// How often it is looked at. Objects of twenty kinds go together, and one list each is cheaper than a watch each.
const EVERY: Duration = Duration::from_millis(500);

/// Cilium's leases of announced Services. They stay when the Service goes (the operator takes minutes), and the next run's Service of
/// the same name would begin with the holder of this one's.
const LEASES: &str = "cilium-l2announce-";

/// A kind of objects, and the label that tells the run's.
struct Kind {
    resource: ApiResource,
    api: Api<DynamicObject>,
    selector: String,
}

/// Deletes every object that carries the run's label and waits until none is left, nor a Pod of a backend.
///
/// # Errors
/// The API said no, or something is still there.
pub(super) async fn objects(client: &Client, run: &str) -> Result<(), KindError> {
    let label = format!("{RUN_LABEL}={}", run.to_ascii_lowercase());
    let discovery = Discovery::new(client.clone()).run().await.map_err(api("discover what the API serves"))?;
    let mut kinds = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.supports_operation(verbs::LIST) && capabilities.supports_operation(verbs::DELETE) {
                // Pods of a backend carry its id, not the run's.
                let selector = if resource.kind == "Pod" { BACKEND_LABEL.to_owned() } else { label.clone() };
                kinds.push(Kind { api: Api::all_with(client.clone(), &resource), resource, selector });
            }
        }
    }
    let found = try_join_all(kinds.into_iter().map(async |kind| {
        let listed = list(&kind).await?;
        // Deleting is done one by one and by name: not every kind can be deleted as a collection across namespaces.
        try_join_all(listed.iter().map(|object| delete(client, &kind, object))).await?;
        Ok::<_, KindError>((!listed.is_empty() || kind.selector == BACKEND_LABEL).then_some(kind))
    }))
    .await?;
    leases(client).await?;
    until_gone(found.into_iter().flatten().collect()).await
}

async fn list(kind: &Kind) -> Result<Vec<DynamicObject>, KindError> {
    match kind.api.list(&ListParams::default().labels(&kind.selector)).await {
        Ok(list) => Ok(list.items),
        // Served a moment ago and no longer: a definition that a step took away.
        Err(Error::Api(status)) if status.code == 404 || status.code == 405 => Ok(Vec::new()),
        Err(error) => Err(api("list what the run left")(error)),
    }
}

async fn delete(client: &Client, kind: &Kind, object: &DynamicObject) -> Result<(), KindError> {
    let api_of: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &kind.resource),
        None => kind.api.clone(),
    };
    match api_of.delete(&object.name_any(), &DeleteParams::background()).await {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(api("delete what the run left")(error)),
        Ok(_) => Ok(()),
    }
}

async fn leases(client: &Client) -> Result<(), KindError> {
    let all: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(client.clone(), crate::cilium::NAMESPACE);
    let listed = all.list(&ListParams::default()).await.map_err(api("list the leases"))?;
    for lease in listed.items.iter().map(ResourceExt::name_any).filter(|name| name.starts_with(LEASES)) {
        match all.delete(&lease, &DeleteParams::default()).await {
            Err(Error::Api(status)) if status.code == 404 => {}
            other => _ = other.map_err(api("delete a lease"))?,
        }
    }
    Ok(())
}

async fn until_gone(kinds: Vec<Kind>) -> Result<(), KindError> {
    let began = tokio::time::Instant::now();
    loop {
        let left = try_join_all(kinds.iter().map(async |kind| {
            let named = |object: &DynamicObject| format!("{} {}", kind.resource.kind, object.name_any());
            Ok::<_, KindError>(list(kind).await?.iter().map(named).collect::<Vec<_>>())
        }))
        .await?
        .concat();
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > GONE {
            return Err(KindError::Missing(format!("take away what the run left: still there: {}", left.join(", "))));
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn api(operation: &'static str) -> impl Fn(Error) -> KindError {
    move |error| KindError::Api { operation: operation.to_owned(), source: error.into() }
}
