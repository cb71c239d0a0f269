//! Steps that change something: objects of the API, where a backend runs, nodes.

use plumb_core::evidence::{Fact, Trouble, Whose};
use plumb_core::scenario::model::{Apply, Delete, NodeAction, NodeStep, Patch, Place, PlaceEnd};
use serde_json::{Value, json};

use super::disrupt::{self, Victim};
use super::scene::Scene;
use super::target::Missing;
use crate::backends::{self, BACKEND_LABEL};
use crate::cluster::{ApiError, ResourceRef, Watched, manifests};

pub(super) async fn apply(scene: &Scene, step: &Apply, id: &str) -> Result<(), Trouble> {
    let author = |message: String| Trouble { whose: Whose::Author, operation: "apply a manifest".into(), message };
    let text = match (&step.file, &step.manifest) {
        (Some(file), _) => scene.plan.manifests.get(file).ok_or_else(|| author(format!("the plan has no file {file}")))?,
        (None, Some(text)) => text,
        (None, None) => return Err(author("it names neither a file nor a manifest".into())),
    };
    let text = scene.fill(text).map_err(|error| author(error.to_string()))?;
    let run = scene.recorder.folder().id();
    let objects = manifests(&text, run).map_err(|error| error.trouble("apply a manifest"))?;
    for object in objects {
        match scene.cluster.apply(&object).await {
            Ok(()) => {
                scene.record(Some(id), Fact::Applied { object: object.object });
            }
            Err(ApiError::Refused { code, reason, message, .. }) => {
                scene.record(
                    Some(id),
                    Fact::Refused { object: object.object.clone(), code, reason: reason.clone(), message: message.clone() },
                );
                // A refusal that is expected is what the step is for; any other leaves the rest without its ground.
                if step.expect_error.is_none() {
                    let message = format!("{code} {reason}: {message}");
                    return Err(Trouble { whose: Whose::Author, operation: format!("apply {}", object.object), message });
                }
            }
            Err(error) => return Err(error.trouble(&format!("apply {}", object.object))),
        }
    }
    Ok(())
}

pub(super) async fn patch(scene: &Scene, step: &Patch, id: &str) -> Result<(), Trouble> {
    let resource = named(&step.resource)?;
    let touch = json!({"metadata": {"annotations": {"plumbline.touched": scene.recorder.now_ns().to_string()}}});
    let merge = step.merge.as_ref().unwrap_or(&touch);
    scene.cluster.merge(&resource, merge).await.map_err(|error| error.trouble(&format!("patch {resource}")))?;
    scene.record(Some(id), Fact::Applied { object: resource.to_string() });
    Ok(())
}

pub(super) async fn delete(scene: &Scene, step: &Delete, id: &str) -> Result<(), Trouble> {
    let resource = named(&step.resource)?;
    let deleted = scene.cluster.delete(&resource, step.grace_period_seconds).await;
    deleted.map_err(|error| error.trouble(&format!("delete {resource}")))?;
    scene.record(Some(id), Fact::Applied { object: format!("{resource} (deleted)") });
    Ok(())
}

pub(super) async fn place(scene: &Scene, step: &Place, id: &str) -> Result<(), Trouble> {
    let operation = format!("place backend {}", step.backend);
    let author = |message: String| Trouble { whose: Whose::Author, operation: operation.clone(), message };
    let backend = scene.plan.scenario.backends.get(&step.backend).ok_or_else(|| author("there is no such backend".into()))?;
    let mut spec = serde_json::Map::new();
    if let Some(node) = &step.node {
        let logical = scene.node(node).await.map_err(|missing| trouble(missing, &operation))?;
        let name = scene.kubernetes_name(&logical).map_err(|missing| trouble(missing, &operation))?;
        let selector = json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": name}, "tolerations": [{"operator": "Exists"}]}});
        spec.insert("template".into(), selector);
    }
    if let Some(replicas) = step.replicas {
        spec.insert("replicas".into(), replicas.into());
    }
    let deployment = deployment(&step.backend, &backend.namespace);
    let pods = match step.until {
        PlaceEnd::RolledOut => Vec::new(),
        PlaceEnd::Leaving => pods(scene, &step.backend, &backend.namespace).await.map_err(|error| error.trouble(&operation))?,
    };
    let merged = scene.cluster.merge(&deployment, &json!({"spec": spec})).await;
    merged.map_err(|error| error.trouble(&operation))?;
    match step.until {
        PlaceEnd::RolledOut => rolled_out(scene, &deployment, &operation).await?,
        PlaceEnd::Leaving => {
            for pod in &pods {
                leaving(scene, pod, &operation).await?;
            }
        }
    }
    scene.record(Some(id), Fact::Applied { object: deployment.to_string() });
    Ok(())
}

pub(super) async fn node(scene: &Scene, step: &NodeStep, id: &str) -> Result<(), Trouble> {
    let operation = format!("{:?} node {}", step.action, step.node).to_lowercase();
    let Victim { logical: node, name } = disrupt::victim(scene, &step.node, &operation).await?;
    let effect = scene.lab.node(&name, step.action).await.map_err(|error| error.trouble(&operation))?;
    if matches!(step.action, NodeAction::Stop | NodeAction::Start) {
        scene.standing().forget(&node);
    }
    scene.record(Some(id), Fact::Node { node, action: step.action, effect_ns: scene.recorder.run_ns(effect) });
    Ok(())
}

/// The Deployment of a backend.
pub(super) fn deployment(backend: &str, namespace: &str) -> ResourceRef {
    ResourceRef { kind: "deployment".into(), namespace: Some(namespace.to_owned()), name: backend.to_owned() }
}

/// The Pods of a backend.
async fn pods(scene: &Scene, backend: &str, namespace: &str) -> Result<Vec<ResourceRef>, ApiError> {
    let pods = scene.cluster.list("pod", Some(namespace), &format!("{BACKEND_LABEL}={backend}")).await?;
    let name = |pod: &Value| pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(pods.iter().map(|pod| ResourceRef { kind: "pod".into(), namespace: Some(namespace.to_owned()), name: name(pod) }).collect())
}

/// Waits until a Pod is being deleted.
async fn leaving(scene: &Scene, pod: &ResourceRef, operation: &str) -> Result<(), Trouble> {
    let limit = scene.limit(|budgets| budgets.backends_ms);
    let look = |object: Option<Value>| match object {
        None => Watched::Yes(Err("it is gone already; give the backend more time by `lingers`".to_owned())),
        Some(pod) if pod.pointer("/metadata/deletionTimestamp").is_some() => Watched::Yes(Ok(())),
        Some(_) => Watched::NotYet("it is not being deleted".into()),
    };
    let ended = scene.cluster.wait(pod, limit, look).await.map_err(|error| error.trouble(operation))?;
    let ended = ended.unwrap_or_else(|end| Err(format!("{} after {} ms", end.newest(), limit.as_millis())));
    ended.map_err(|why| Trouble { whose: Whose::Lab, operation: operation.to_owned(), message: format!("{pod}: {why}") })
}

/// Waits until a backend's Pods are as its Deployment says.
pub(super) async fn rolled_out(scene: &Scene, deployment: &ResourceRef, operation: &str) -> Result<(), Trouble> {
    let limit = scene.limit(|budgets| budgets.backends_ms);
    let look = |object: Option<Value>| match backends::rolled_out(object.as_ref()) {
        Ok(()) => Watched::Yes(()),
        Err(blocked) => Watched::NotYet(blocked),
    };
    let ended = scene.cluster.wait(deployment, limit, look).await.map_err(|error| error.trouble(operation))?;
    ended.map_err(|end| Trouble {
        whose: Whose::Lab,
        operation: operation.to_owned(),
        message: format!("{deployment} was not ready within {} ms: {}", limit.as_millis(), end.last.join("; then ")),
    })
}

fn named(text: &str) -> Result<ResourceRef, Trouble> {
    let bad = || Trouble {
        whose: Whose::Author,
        operation: "find an object".into(),
        message: format!("`{text}` is not kind/name or kind/namespace/name"),
    };
    ResourceRef::parse(text).ok_or_else(bad)
}

/// What it means for a step that a name has no place or address.
pub(super) fn trouble(missing: Missing, operation: &str) -> Trouble {
    match missing {
        Missing::Trouble(trouble) => trouble,
        Missing::NotThere(message) => Trouble { whose: Whose::Product, operation: operation.to_owned(), message },
    }
}
