//! Cilium as it was installed in a lab, for steps that upgrade or restart it or read it back.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use plumb_core::evidence::{ConfigFact, Trouble, Upgraded, Whose};
use plumb_core::plan;
use plumb_core::scenario::model::CiliumPart;
use plumb_core::values::Values;
use serde_json::json;

use super::{Chart, CiliumError, Digests, Expect, NAMESPACE, NotReady, Ran, Target, Wanted, live_values, ready, upgrade};
use crate::cluster::{ApiError, Cluster, ResourceRef, chain};
use crate::parts::Given;

/// Label of the agents' Pods (`templates/cilium-agent/daemonset.yaml`).
const AGENTS: &str = "k8s-app=cilium";

/// Cilium as it was installed.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The CLI and where it works.
    pub target: Target,
    /// What the user gives; the chart of an upgrade is among it.
    pub given: Given,
    /// How images are named.
    pub digests: Digests,
    /// Nodes of the cluster.
    pub nodes: usize,
}

/// Cilium was not upgraded, restarted or read.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The CLI did not.
    #[error(transparent)]
    Cilium(#[from] CiliumError),
    /// It did not become ready.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The API did not.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Something in it could not be read.
    #[error("read {what}: {message}")]
    Read {
        /// What.
        what: &'static str,
        /// Why.
        message: String,
    },
}

impl InstallationError {
    /// As evidence. That Cilium crashes is the product's; what cannot be pulled, downloaded or waited for is not.
    pub fn trouble(&self, operation: &str) -> Trouble {
        let whose = match self {
            InstallationError::NotReady(NotReady::Broken { trouble, .. }) if trouble.is_crash() => Whose::Product,
            InstallationError::NotReady(NotReady::Broken { .. }) => Whose::Environment,
            InstallationError::Cilium(_) => Whose::Environment,
            InstallationError::NotReady(NotReady::Late { .. }) | InstallationError::Api(_) | InstallationError::Read { .. } => Whose::Lab,
        };
        Trouble { whose, operation: operation.to_owned(), message: chain(self) }
    }
}

impl Installation {
    /// Upgrades to a flag set and waits until it is ready on every node.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn upgrade(&self, client: &Client, to: plan::Installed<'_>, limit: Duration) -> Result<Upgraded, InstallationError> {
        let version = to.profile.cilium.clone();
        let chart = Chart::of(&self.given, &version)?;
        let wanted = Wanted { chart, version: version.clone(), values: to.values.clone(), digests: self.digests };
        let ran = upgrade(&self.target, &wanted).await?;
        let facts = ready(client, &Expect::of(to.values, self.nodes), limit).await?;
        Ok(Upgraded { to: version, command: ran.argv_line, took_ms: ran.took_ms, parts_ms: facts.parts_ms })
    }

    /// Brings it to other values in place, and waits until all of it is ready: an upgrade to the version it has, and a restart of the
    /// parts that read what changed (an upgrade restarts only what has another template). The command, as it can be pasted.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn change(
        &self,
        client: &Client,
        version: &str,
        values: &Values,
        restart: &[CiliumPart],
        limit: Duration,
    ) -> Result<Ran, InstallationError> {
        let chart = Chart::of(&self.given, version)?;
        let wanted = Wanted { chart, version: version.to_owned(), values: values.clone(), digests: self.digests };
        let ran = upgrade(&self.target, &wanted).await?;
        for part in restart {
            self.roll(client, *part, limit).await?;
        }
        ready(client, &Expect::of(values, self.nodes), limit).await?;
        Ok(ran)
    }

    /// Restarts a part as `kubectl rollout restart` does, and waits until all of Cilium is ready again; how long, milliseconds.
    ///
    /// # Errors
    /// See [`InstallationError`].
    pub async fn restart(
        &self,
        client: &Client,
        part: CiliumPart,
        now: plan::Installed<'_>,
        limit: Duration,
    ) -> Result<u64, InstallationError> {
        self.roll(client, part, limit).await?;
        Ok(ready(client, &Expect::of(now.values, self.nodes), limit).await?.took_ms)
    }

    async fn roll(&self, client: &Client, part: CiliumPart, limit: Duration) -> Result<(), InstallationError> {
        let (kind, name) = part.workload();
        let resource = ResourceRef { kind: kind.into(), namespace: Some(NAMESPACE.into()), name: name.into() };
        // Any change of the template starts a rollout; this one is different each time.
        let annotation = json!({"plumbline.restarted": crate::clock::realtime_ns().to_string()});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
        Cluster::new(client.clone(), limit).merge(&resource, &patch).await?;
        Ok(())
    }
}

/// Reads the configuration, the images, and when each agent's Pod was created.
///
/// # Errors
/// See [`InstallationError`].
pub async fn read_config(client: &Client) -> Result<ConfigFact, InstallationError> {
    let failed = |what| move |error: kube::Error| InstallationError::Read { what, message: chain(&error) };
    let config = live_values(client).await.map_err(failed("ConfigMap kube-system/cilium-config"))?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default().labels(AGENTS)).await.map_err(failed("the agents' Pods"))?;
    let created = |pod: &Pod| Some((pod.name_any(), pod.creation_timestamp()?.0.as_second()));
    Ok(ConfigFact { config, images: images(client).await?, agents: pods.iter().filter_map(created).collect() })
}

/// Image of each workload's first container.
async fn images(client: &Client) -> Result<BTreeMap<String, String>, InstallationError> {
    let failed = |what| move |error: kube::Error| InstallationError::Read { what, message: chain(&error) };
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), NAMESPACE);
    let sets = sets.list(&ListParams::default()).await.map_err(failed("the DaemonSets of kube-system"))?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployments = deployments.list(&ListParams::default()).await.map_err(failed("the Deployments of kube-system"))?;
    let of_sets = sets.into_iter().map(|set| (set.name_any(), set.spec.map(|spec| spec.template)));
    let of_deployments = deployments.into_iter().map(|one| (one.name_any(), one.spec.map(|spec| spec.template)));
    let image = |(name, template): (String, Option<k8s_openapi::api::core::v1::PodTemplateSpec>)| {
        Some((name, template?.spec?.containers.into_iter().next()?.image?))
    };
    Ok(of_sets.chain(of_deployments).filter(|(name, _)| name.starts_with("cilium")).filter_map(image).collect())
}

#[cfg(test)]
#[path = "installation_tests.rs"]
mod tests;
