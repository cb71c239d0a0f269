//! Clusters made by kind on Docker, with real Cilium: a plan becomes a [`cluster::Spec`], the cluster is made phase by phase, and the
//! lab is its vantage points, its nodes and its end.

pub mod agents;
mod api;
mod availability;
mod clean;
pub mod cluster;
pub mod collect;
pub mod config;
pub mod create;
pub mod facts;
pub mod ground;
pub mod images;
pub mod keeper;
pub mod layers;
pub mod lease;
pub mod made;
pub mod shared;

use std::collections::BTreeMap;
use std::time::Duration;

use plumb_core::evidence::{LabFacts, Whose};
use plumb_core::plan::Plan;
use plumb_core::probe::{Done, Op, ProcessSignal, SignalOp};
use plumb_core::scenario::model::{ApiAction, NodeAction};

pub(crate) use self::availability::registry;
pub use self::availability::unavailable;
use self::cluster::Spec;
use self::made::Made;
pub use self::shared::Sharing;
use super::{Entrance, Place, ProviderError, entrance, told};
use crate::cilium::definitions::{self, DefinitionsError};
use crate::cilium::{Chart, CiliumError, Installation};
use crate::clock;
use crate::docker::{Claim, DockerError, Engine};
use crate::ledger::{self, Ledger, Making, Resource};
use crate::parts::Given;
use crate::recorder::Recorder;
use crate::run::{Listener, Setup};
use crate::session::Session;

/// The lab was not made, or not asked.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// Docker.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The ground it stands on.
    #[error(transparent)]
    Ground(#[from] ground::GroundError),
    /// The agent that goes into it.
    #[error(transparent)]
    Agent(#[from] crate::agent_program::AgentProgramError),
    /// A part from outside.
    #[error(transparent)]
    Part(#[from] crate::parts::tools::PartError),
    /// kind.
    #[error(transparent)]
    Create(#[from] create::CreateError),
    /// Images into the nodes.
    #[error(transparent)]
    Images(#[from] images::ImagesError),
    /// Gateway API definitions.
    #[error(transparent)]
    Definitions(#[from] DefinitionsError),
    /// Cilium's installation.
    #[error(transparent)]
    Cilium(#[from] crate::cilium::CiliumError),
    /// Its values were not changed.
    #[error(transparent)]
    Installation(#[from] crate::cilium::InstallationError),
    /// Cilium is installed and does not come up.
    #[error(transparent)]
    NotReady(#[from] crate::cilium::NotReady),
    /// It took too long.
    #[error("make the cluster: it was not ready within {} ms", .0.as_millis())]
    Late(Duration),
    /// It did not take other values in time.
    #[error("change the values of the cluster: it was not ready with them within {} ms", .0.as_millis())]
    Unchanged(Duration),
    /// The right to use what is shared.
    #[error(transparent)]
    Lease(#[from] lease::LeaseError),
    /// An agent in it.
    #[error(transparent)]
    Vantage(#[from] agents::AgentError),
    /// What an agent said, or did not.
    #[error(transparent)]
    Session(#[from] crate::session::SessionError),
    /// The API.
    #[error("{operation}: {source}")]
    Api {
        /// What was tried.
        operation: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such thing in the lab.
    #[error("{0}")]
    Missing(String),
}

impl KindError {
    /// Whose trouble it is: of the machine and what is installed on it, or of the lab that was being made on it.
    pub fn whose(&self) -> Whose {
        match self {
            KindError::Agent(_) | KindError::Part(_) => Whose::Environment,
            // What was given is not what it should be.
            KindError::Cilium(CiliumError::Chart { .. } | CiliumError::NoChart { .. }) => Whose::Environment,
            KindError::Definitions(error) if !matches!(error, DefinitionsError::Api { .. } | DefinitionsError::Late { .. }) => {
                Whose::Environment
            }
            KindError::Images(error) if !matches!(error, images::ImagesError::Docker(_)) => Whose::Environment,
            KindError::Create(create::CreateError::Start { .. }) => Whose::Environment,
            KindError::Docker(error) | KindError::Ground(ground::GroundError::Docker(error)) => match error {
                DockerError::Refused { .. } | DockerError::Call { .. } | DockerError::Late { .. } | DockerError::Command { .. } => {
                    Whose::Lab
                }
                _ => Whose::Environment,
            },
            KindError::Ground(ground::GroundError::Ledger(_)) => Whose::Environment,
            _ => Whose::Lab,
        }
    }
}

/// The name of Cilium's agent as a process.
pub(super) const AGENT_PROCESS: &str = "cilium-agent";

/// The name of the API server as a process.
const API_PROCESS: &str = "kube-apiserver";

/// What a run waits for that may not make its cluster yet.
pub(super) const PLACE: &str = "a place for one more cluster on this machine";

/// A cluster made by kind, while a run uses it.
pub struct KindLab {
    made: Made,
    right: Right,
    faults: Vec<String>,
    unmodelled: Vec<String>,
}

/// By what right a run uses its cluster.
enum Right {
    /// It made it, in the place it took on this machine.
    Own { _place: lease::Lease },
    /// Others use it before and after.
    Shared(Box<shared::Held>),
}

impl KindLab {
    pub(super) async fn make(
        plan: &Plan,
        recorder: &Recorder,
        setup: &Setup,
        ledger: &Ledger,
        listener: &Listener,
        limit: Duration,
    ) -> Result<KindLab, ProviderError> {
        let (spec, given, run) = (Spec::of(plan), &setup.given, recorder.folder());
        let (made, right) = match setup.sharing {
            Sharing::For(idle) if !plan.scenario.is_disruptive() => {
                let (made, held) = shared::acquire(&spec, given, recorder, listener, idle, limit).await?;
                (made, Right::Shared(Box::new(held)))
            }
            _ => {
                crate::janitor::entrust(ledger.path())?;
                let folder = ledger::runtime_folder()?;
                let place = told(listener, PLACE, lease::take_slot(&folder)).await.map_err(KindError::from)?;
                let name = cluster::name_of(run.id());
                let claim = Claim { expires: ledger::expiry(ledger.path()), ..Claim::own(run.id()) };
                // On the heap: the state of everything that overlaps in it is large.
                let making = Box::pin(cluster::make(&spec, &name, given, claim, ledger));
                let made = tokio::time::timeout(limit, making).await.map_err(|_| KindError::Late(limit))??;
                (made, Right::Own { _place: place })
            }
        };
        Ok(KindLab { made, right, faults: plan.fault.iter().cloned().collect(), unmodelled: plan.unmodelled.clone() })
    }

    pub(super) fn client(&self) -> kube::Client {
        self.made.client.clone()
    }

    pub(super) fn facts(&self) -> LabFacts {
        LabFacts {
            provider: "kind".into(),
            system: self.made.system.clone(),
            cilium: Some(self.made.cilium.clone()),
            nodes: self.made.nodes.clone(),
            client: self.made.client_links.clone(),
            networks: BTreeMap::new(),
            unmodelled: self.unmodelled.clone(),
            faults: self.faults.clone(),
            phases_ms: self.made.phases_ms.clone(),
        }
    }

    pub(super) async fn agent(&self, place: &Place) -> Result<Session, ProviderError> {
        let (engine, vantage) = (self.made.ground.engine(), place.to_string());
        let session = match place {
            Place::Client => agents::in_container(engine, &self.made.ground.client(), &vantage).await,
            Place::Node(name) => agents::in_container(engine, name, &vantage).await,
            Place::Pod { namespace, name } => {
                let node = facts::node_of_pod(&self.made.client, namespace, name).await?;
                agents::in_pod(engine, &node, namespace, name, &vantage).await
            }
        };
        Ok(session.map_err(KindError::from)?)
    }

    /// What Docker does to the node's container. `stop` is SIGKILL to everything in it: its interfaces are gone. `pause` freezes its
    /// processes and leaves its interfaces and what BPF does on them, so a frozen node still answers ARP until the agent's liveness
    /// limit has passed (facts of a real run: up to the lease's duration).
    pub(super) async fn node(&self, node: &str, action: NodeAction) -> Result<u64, ProviderError> {
        let engine = self.made.ground.engine();
        let done = async {
            match action {
                NodeAction::Stop => engine.kill(node).await?,
                NodeAction::Pause => engine.pause(node).await?,
                NodeAction::Resume => engine.unpause(node).await?,
                NodeAction::Start => {
                    engine.start(node).await?;
                    engine.until_running(node).await?;
                    self.made.ground.name_node_interfaces(node).await?;
                }
            }
            Ok::<_, KindError>(clock::monotonic_ns())
        };
        Ok(done.await?)
    }

    /// Freezes the API server's processes on every control plane, or thaws them. etcd, the scheduler and the controllers go on, and so do
    /// the kubelets: after a minute or two of it (`livenessProbe` of kubeadm's static Pod) one of them starts the API server again.
    pub(super) async fn api(&self, action: ApiAction) -> Result<u64, ProviderError> {
        let signal = match action {
            ApiAction::Pause => ProcessSignal::Stop,
            ApiAction::Resume => ProcessSignal::Continue,
        };
        let (process, limit) = (API_PROCESS.to_owned(), Duration::from_secs(5));
        let op = Op::Signal(SignalOp { process, signal, limit_ms: limit.as_millis() as u64 });
        let done = async {
            let mut effect_ns = 0;
            for node in self.made.nodes.values().filter(|node| node.control_plane) {
                let session = agents::in_container(self.made.ground.engine(), &node.name, &node.name).await?;
                match session.ask(op.clone(), limit * 2).await?.done {
                    Done::Processes(report) => effect_ns = report.at_ns,
                    other => return Err(KindError::Missing(format!("signal {API_PROCESS}: the agent answered {other:?}"))),
                }
            }
            Ok::<_, KindError>(effect_ns)
        };
        Ok(done.await?)
    }

    pub(super) fn virtual_address(&self, network: &str, n: u32) -> Option<String> {
        Some(self.made.ground.network(network)?.subnet.virtual_address(n)?.to_string())
    }

    /// The agent's image, as Pods name it. It is in every node and must never be pulled.
    pub(super) fn agent_image(&self) -> &str {
        &self.made.agent_image
    }

    pub(super) fn installation(&self) -> Installation {
        self.made.installation.clone()
    }

    pub(super) async fn collect(&self) -> BTreeMap<String, String> {
        let mut texts = collect::collect(self.made.ground.engine(), self.made.ground.name()).await;
        texts.extend(self.made.texts.clone());
        texts
    }

    pub(super) fn entrance(&self) -> Entrance {
        let ground = &self.made.ground;
        let networks: Vec<String> = ground.networks().into_iter().map(|(interface, ..)| interface).collect();
        let place = entrance::Place::Docker { cluster: ground.name().to_owned(), client: ground.client() };
        let kept = |network: &str, n| self.virtual_address(network, n);
        Entrance::of(&self.facts(), place, self.made.kubeconfig.clone(), &networks, &kept)
    }

    pub(super) async fn close(self, ledger: &Ledger) -> Result<(), ProviderError> {
        match self.right {
            Right::Own { .. } => Ok(super::take_away(ledger.path(), Making::Done).await?),
            Right::Shared(held) => Ok(held.release(&self.made).await?),
        }
    }
}

/// What is wrong with the parts that are given for a plan, as can be told before anything is made.
pub fn mistakes(plan: &Plan, given: &Given) -> Vec<String> {
    let spec = Spec::of(plan);
    let versions = [Some(&spec.cilium), spec.upgraded_to.as_ref()].into_iter().flatten();
    let charts = versions.filter_map(|version| Chart::of(given, version).err()).map(|error| error.to_string());
    let images = given.images.iter().filter_map(|folder| images::archives(folder).err()).map(|error| error.to_string());
    let definitions = spec.gateway_api.iter().flat_map(|api| definitions::mistakes(&definitions::Source::of(given, api), &api.crds));
    charts.chain(images).chain(definitions.map(|error| error.to_string())).collect()
}

/// What can still be read of clusters that a ledger claims and nobody holds any longer: before they are taken away.
pub async fn salvage(ledger: &std::path::Path) -> BTreeMap<String, String> {
    let outstanding = ledger::outstanding(ledger).unwrap_or_default();
    let clusters = outstanding.into_iter().filter_map(|resource| match resource {
        Resource::KindCluster { name, .. } => Some(name),
        _ => None,
    });
    let mut texts = BTreeMap::new();
    for cluster in clusters {
        match Engine::connect().await {
            Ok(engine) => texts.extend(collect::collect(&engine, &cluster).await),
            Err(error) => _ = texts.insert("nodes".to_owned(), format!("not asked: {error}\n")),
        }
    }
    texts
}
