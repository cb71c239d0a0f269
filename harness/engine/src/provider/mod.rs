//! The provider seam: whoever makes a lab hands the engine the same things, and the engine asks for nothing else.
//!
//! Those are a client for the API, agents at vantage points, actions on nodes, facts, collection and an explicit end. One that is not
//! there says why.

pub mod entrance;
pub mod kind;
pub mod kubeconfig;
pub mod refnet;

use std::collections::BTreeMap;
use std::time::Duration;

use plumb_core::capability::Capability;
use plumb_core::evidence::{LabFacts, Trouble, Whose};
use plumb_core::plan::Plan;
use plumb_core::scenario::model::{ApiAction, NodeAction};

use crate::ledger::{self, Ledger, LedgerError, Making};
use crate::parts::Given;
use crate::recorder::Recorder;
use crate::run::{Event, Listener, Setup};
use crate::session::Session;

pub use self::entrance::Entrance;

/// Every provider's name, in the order of lists.
pub const PROVIDERS: [&str; 3] = ["refnet", "kind", "kubeconfig"];

/// A lab could not be made or asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The reference network said no.
    #[error(transparent)]
    Refnet(#[from] plumb_refnet::lab::LabError),
    /// A cluster made by kind was not made or not asked.
    #[error(transparent)]
    Kind(Box<kind::KindError>),
    /// A cluster that runs was not adopted or not asked.
    #[error(transparent)]
    Kubeconfig(Box<kubeconfig::AdoptError>),
    /// The ledger could not be written, or what it claims not be taken away.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// The janitor could not be set to work.
    #[error(transparent)]
    Janitor(#[from] crate::janitor::JanitorError),
    /// The plan cannot be carried out by this provider.
    #[error("make a lab from the plan: {0}")]
    Plan(String),
    /// It was not ready in time.
    #[error("make a lab: it was not ready within {} ms", .0.as_millis())]
    Late(Duration),
    /// There is no such provider here.
    #[error("make a lab: {0}")]
    Absent(String),
}

impl From<kind::KindError> for ProviderError {
    fn from(error: kind::KindError) -> ProviderError {
        ProviderError::Kind(Box::new(error))
    }
}

impl From<kubeconfig::AdoptError> for ProviderError {
    fn from(error: kubeconfig::AdoptError) -> ProviderError {
        ProviderError::Kubeconfig(Box::new(error))
    }
}

impl ProviderError {
    /// As evidence.
    pub fn trouble(&self, operation: &str) -> Trouble {
        let whose = match self {
            ProviderError::Plan(_) => Whose::Author,
            ProviderError::Ledger(_) | ProviderError::Janitor(_) | ProviderError::Absent(_) => Whose::Environment,
            ProviderError::Refnet(_) | ProviderError::Late(_) => Whose::Lab,
            ProviderError::Kind(error) => error.whose(),
            ProviderError::Kubeconfig(error) => error.whose(),
        };
        Trouble { whose, operation: operation.to_owned(), message: crate::cluster::chain(self) }
    }
}

/// What was found of a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it can do; `None` = there is no provider of this name.
    pub capability: Option<Capability>,
    /// Why it is not there; empty = it is.
    pub unavailable: Vec<String>,
}

/// A provider that was asked for and cannot be used, though it is not merely absent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// What was given is wrong.
    #[error("{0}")]
    Mistake(String),
    /// What was given is right, and does not answer or does not let us.
    #[error("{0}")]
    Trouble(String),
}

/// Looks for a provider with the parts that are given. It is really tried.
///
/// # Errors
/// See [`Unfit`].
pub fn find(provider: &str, given: &Given) -> Result<Found, Unfit> {
    match provider {
        "kubeconfig" => kubeconfig::find(given),
        other => Ok(Found { capability: capability(other), unavailable: unavailable(other, given) }),
    }
}

/// Why a provider is not there, with the parts that are given. It is really tried; an empty answer means that it is.
pub fn unavailable(provider: &str, given: &Given) -> Vec<String> {
    match provider {
        "refnet" => match plumb_refnet::lab::availability() {
            Ok(()) => Vec::new(),
            Err(missing) => vec![format!("refnet is not there: {}; to change that: {}", missing.what, missing.cure)],
        },
        "kind" => kind::unavailable(given),
        "kubeconfig" => match kubeconfig::find(given) {
            Ok(found) => found.unavailable,
            Err(unfit) => vec![format!("kubeconfig is not there: failed to {}", one_line(&unfit.to_string()))],
        },
        other => vec![format!("{other} is no provider: expected one of {}", PROVIDERS.join(", "))],
    }
}

/// How long something that is waited for may take before it is said.
const UNSAID: Duration = Duration::from_secs(1);

/// Waits for what others have; who listens hears of it when it takes longer than a moment.
async fn told<T>(listener: &Listener, what: &str, waited: impl Future<Output = T>) -> T {
    let mut waited = std::pin::pin!(waited);
    match tokio::time::timeout(UNSAID, &mut waited).await {
        Ok(done) => done,
        Err(_) => {
            listener(Event::Waiting { what: what.to_owned() });
            let done = waited.await;
            // What is waited for is there: what comes now is the making of the lab.
            listener(Event::Phase("lab"));
            done
        }
    }
}

fn one_line(reason: &str) -> String {
    reason.replace("\nhint: ", "; ").replace('\n', " ")
}

/// Does something asynchronous for somebody who is not, on a thread of its own: the caller may be in a runtime already.
fn waited_for<T: Send, F: Future<Output = T>>(work: impl FnOnce() -> F + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("the kernel gives a thread an epoll descriptor").block_on(work())
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// What is wrong with the parts that are given for a plan, as can be told before anything is made.
pub fn mistakes(plan: &Plan, given: &Given) -> Vec<String> {
    if plan.provider == "kind" { kind::mistakes(plan, given) } else { Vec::new() }
}

/// What a provider can do.
pub fn capability(provider: &str) -> Option<Capability> {
    Capability::named(provider)
}

/// Takes away everything a ledger claims, each whatever came of those before, and says so in it.
///
/// # Errors
/// Something of it is still there: the first of it.
pub(crate) async fn take_away(ledger: &std::path::Path, making: Making) -> Result<(), LedgerError> {
    let ledger = ledger.to_owned();
    let removing = tokio::task::spawn_blocking(move || ledger::take_away(&ledger, making)).await;
    let left = removing.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    left.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// What can still be read of a lab that a ledger claims and nobody holds, by name: before it is taken away.
pub async fn salvage(ledger: &std::path::Path) -> BTreeMap<String, String> {
    let mut texts = kind::salvage(ledger).await;
    texts.extend(kubeconfig::salvage(ledger).await);
    texts.extend(refnet::salvage(ledger));
    texts
}

/// Limit for reading what is about to be taken away, where nobody else sets one.
const SALVAGE: Duration = Duration::from_secs(180);

/// As [`salvage`], for a process without a runtime.
pub fn salvage_blocking(ledger: &std::path::Path) -> BTreeMap<String, String> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            // A dead engine or API must not keep what else there is from being taken away.
            let salvaged = tokio::time::timeout(SALVAGE, salvage(ledger)).await;
            salvaged.unwrap_or_else(|_| {
                BTreeMap::from([("nodes".to_owned(), format!("not asked: no answer within {} s\n", SALVAGE.as_secs()))])
            })
        }),
        Err(error) => BTreeMap::from([("nodes".to_owned(), format!("not asked: {error}\n"))]),
    }
}

/// A lab that runs.
pub enum Lab {
    /// The reference network.
    Refnet(Box<refnet::RefnetLab>),
    /// A cluster made by kind.
    Kind(Box<kind::KindLab>),
    /// A cluster that was found.
    Kubeconfig(Box<kubeconfig::KubeconfigLab>),
}

/// A place a program can run in, as the lab knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The outside client.
    Client,
    /// A node, by its Kubernetes name.
    Node(String),
    /// A Pod.
    Pod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Client => f.write_str("client"),
            Place::Node(name) => write!(f, "node/{name}"),
            Place::Pod { namespace, name } => write!(f, "pod/{namespace}/{name}"),
        }
    }
}

impl Lab {
    /// Makes the lab of a plan, entered in the ledger first. The plan's limit does not count the time in which it waits for others; for
    /// what, the listener hears.
    ///
    /// # Errors
    /// See [`ProviderError`]; what is left then is in the ledger, and [`salvage`] reads it.
    pub async fn make(plan: &Plan, recorder: &Recorder, setup: &Setup, ledger: &Ledger, listener: &Listener) -> Result<Lab, ProviderError> {
        let run = recorder.folder();
        let limit = Duration::from_millis(plan.budgets.lab_ms);
        match plan.provider.as_str() {
            "refnet" => {
                let made = tokio::time::timeout(limit, refnet::RefnetLab::make(plan, run.id(), ledger)).await;
                Ok(Lab::Refnet(Box::new(made.map_err(|_| ProviderError::Late(limit))??)))
            }
            "kind" => Ok(Lab::Kind(Box::new(Box::pin(kind::KindLab::make(plan, recorder, setup, ledger, listener, limit)).await?))),
            "kubeconfig" => {
                let made = Box::pin(kubeconfig::KubeconfigLab::make(plan, run, setup, ledger, listener, limit));
                Ok(Lab::Kubeconfig(Box::new(made.await?)))
            }
            other => Err(ProviderError::Absent(unavailable(other, &setup.given).join("; "))),
        }
    }

    /// A client for its API.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub fn client(&self) -> Result<kube::Client, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.client(),
            Lab::Kind(lab) => Ok(lab.client()),
            Lab::Kubeconfig(lab) => Ok(lab.client()),
        }
    }

    /// What it is, for evidence.
    pub fn facts(&self) -> LabFacts {
        match self {
            Lab::Refnet(lab) => lab.facts(),
            Lab::Kind(lab) => lab.facts(),
            Lab::Kubeconfig(lab) => lab.facts(),
        }
    }

    /// An agent at a place.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn agent(&self, place: &Place) -> Result<Session, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.agent(place).await,
            Lab::Kind(lab) => lab.agent(place).await,
            Lab::Kubeconfig(lab) => lab.agent(place).await,
        }
    }

    /// Does something to a node (Kubernetes name); `CLOCK_MONOTONIC` when it took effect.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn node(&self, node: &str, action: NodeAction) -> Result<u64, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.node(node, action).await,
            Lab::Kind(lab) => lab.node(node, action).await,
            Lab::Kubeconfig(_) => Err(ProviderError::Plan(format!("node {node} is somebody's: nothing is done to it"))),
        }
    }

    /// Pauses the API server alone, or lets it go on; `CLOCK_MONOTONIC` when it took effect.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn api(&self, action: ApiAction) -> Result<u64, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.api(action).await,
            Lab::Kind(lab) => lab.api(action).await,
            Lab::Kubeconfig(_) => Err(ProviderError::Plan("the API server is somebody's: nothing is done to it".into())),
        }
    }

    /// The name of the process on each node that announces and configures: Cilium's agent, or what stands for it.
    pub fn agent_process(&self) -> &'static str {
        match self {
            Lab::Refnet(_) => plumb_refnet::node::AGENT_PROCESS,
            Lab::Kind(_) | Lab::Kubeconfig(_) => kind::AGENT_PROCESS,
        }
    }

    /// The n-th address kept for Services on a network.
    pub fn virtual_address(&self, network: &str, n: u32) -> Option<String> {
        match self {
            Lab::Refnet(lab) => lab.virtual_address(network, n),
            Lab::Kind(lab) => lab.virtual_address(network, n),
            Lab::Kubeconfig(lab) => lab.virtual_address(network, n),
        }
    }

    /// The agent's image, as Pods of the lab name it.
    pub fn agent_image(&self) -> &str {
        match self {
            Lab::Refnet(_) => refnet::AGENT_IMAGE,
            Lab::Kind(lab) => lab.agent_image(),
            Lab::Kubeconfig(lab) => lab.agent_image(),
        }
    }

    /// Logs and state, by name.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn collect(&self) -> Result<BTreeMap<String, String>, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.collect().await,
            Lab::Kind(lab) => Ok(lab.collect().await),
            Lab::Kubeconfig(lab) => Ok(lab.collect().await),
        }
    }

    /// Cilium as this program installed it, where it may upgrade or restart it.
    pub fn installation(&self) -> Option<crate::cilium::Installation> {
        match self {
            Lab::Refnet(_) | Lab::Kubeconfig(_) => None,
            Lab::Kind(lab) => Some(lab.installation()),
        }
    }

    /// The run's claim, where the cluster is somebody's and only what the run made may be changed.
    pub fn claim(&self) -> Option<crate::cluster::Claim> {
        match self {
            Lab::Refnet(_) | Lab::Kind(_) => None,
            Lab::Kubeconfig(lab) => Some(lab.claim()),
        }
    }

    /// Namespaces whose objects are gathered as evidence.
    pub fn namespaces(&self) -> crate::cluster::collect::Namespaces {
        match self {
            Lab::Refnet(_) | Lab::Kind(_) => crate::cluster::collect::Namespaces::All,
            Lab::Kubeconfig(lab) => lab.namespaces(),
        }
    }

    /// How to look into it while it is kept; what that needs is written into `folder`, private to this user.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn entrance(&self, folder: &std::path::Path) -> Result<Entrance, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.entrance(folder).await,
            Lab::Kind(lab) => Ok(lab.entrance()),
            Lab::Kubeconfig(lab) => Ok(lab.entrance()),
        }
    }

    /// Resolves when it has ended by itself or by somebody else's hand; never for one that cannot be watched.
    pub async fn ended(&self) {
        match self {
            Lab::Refnet(lab) => lab.ended().await,
            Lab::Kind(_) | Lab::Kubeconfig(_) => std::future::pending().await,
        }
    }

    /// Ends it and takes everything of it away; then the ledger says it is gone.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn close(self, ledger: &Ledger) -> Result<(), ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.close(ledger).await,
            Lab::Kind(lab) => lab.close(ledger).await,
            Lab::Kubeconfig(lab) => lab.close(ledger).await,
        }
    }
}
