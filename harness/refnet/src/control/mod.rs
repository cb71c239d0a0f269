//! The cluster's controllers, one task each in the supervisor: they read mirrors of the API and write only what differs.

mod daemonsets;
mod deployments;
mod endpoints;
mod gateways;
mod lbipam;
mod pools;
mod scheduler;
mod write;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fault::FaultSet;
use crate::gateway::objects::resource_of;
use crate::gateway::source::Source;
use crate::mirror::{Mirror, Pulse};
use crate::settings::Settings;

/// Pause before a step that failed is tried again without anything having changed.
const RETRY: Duration = Duration::from_millis(50);

/// Why the controllers ended before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A controller's task panicked or was aborted.
    #[error("run a controller")]
    Task(#[source] tokio::task::JoinError),
    /// Every watch has ended.
    #[error("watch the cluster's objects: every watch has ended")]
    Watch,
}

/// What every controller sees.
#[derive(Clone)]
struct Cluster {
    client: Client,
    settings: Settings,
    faults: FaultSet,
    seed: u64,
    source: Source,
    pods: Mirror<Pod>,
    deployments: Mirror<Deployment>,
    daemon_sets: Mirror<DaemonSet>,
    pools: Mirror<DynamicObject>,
    pulse: Pulse,
}

impl Cluster {
    fn synced(&self) -> bool {
        self.source.synced() && self.pods.synced() && self.deployments.synced() && self.daemon_sets.synced() && self.pools.synced()
    }
}

/// A controller: looks at the whole cluster and brings its part nearer to what is wanted.
trait Controller: Send + 'static {
    /// One step; on an error the next comes soon.
    fn step(&mut self, cluster: &Cluster) -> impl Future<Output = Result<(), kube::Error>> + Send;
}

/// Runs every controller until `cancel`. `seed` decides every choice that is free.
///
/// # Errors
/// When a controller's task panicked, or every watch has ended.
pub async fn run(client: Client, settings: Settings, faults: FaultSet, seed: u64, cancel: CancellationToken) -> Result<(), ControlError> {
    let pulse = Pulse::new();
    let pools = resource_of("cilium.io", pools::VERSION, "CiliumLoadBalancerIPPool", "ciliumloadbalancerippools");
    let cluster = Cluster {
        source: Source::follow(&client, &settings.tls_route, &pulse, &cancel),
        pods: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
        deployments: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
        daemon_sets: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
        pools: Mirror::follow(Api::all_with(client.clone(), &pools), pulse.clone(), cancel.clone()),
        client,
        settings,
        faults,
        seed,
        pulse,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(drive(scheduler::Scheduler::default(), cluster.clone(), cancel.clone()));
    tasks.spawn(drive(deployments::Deployments::default(), cluster.clone(), cancel.clone()));
    tasks.spawn(drive(daemonsets::DaemonSets::default(), cluster.clone(), cancel.clone()));
    tasks.spawn(drive(endpoints::Endpoints, cluster.clone(), cancel.clone()));
    tasks.spawn(drive(lbipam::LbIpam::default(), cluster.clone(), cancel.clone()));
    if cluster.settings.gateway {
        tasks.spawn(drive(gateways::Gateways::default(), cluster, cancel));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(ControlError::Task)??;
    }
    Ok(())
}

async fn drive(mut controller: impl Controller, cluster: Cluster, cancel: CancellationToken) -> Result<(), ControlError> {
    let mut changes = cluster.pulse.listen();
    let mut settled = true;
    loop {
        let changed = async {
            match settled {
                // The pause is the specification: what failed is tried again soon, but not at once.
                false => tokio::time::timeout(RETRY, changes.changed()).await.unwrap_or(Ok(())),
                true => changes.changed().await,
            }
        };
        let Some(changed) = cancel.run_until_cancelled(changed).await else { return Ok(()) };
        changed.map_err(|_| ControlError::Watch)?;
        if !cluster.synced() {
            continue;
        }
        let Some(outcome) = cancel.run_until_cancelled(controller.step(&cluster)).await else { return Ok(()) };
        settled = outcome.is_ok();
    }
}
