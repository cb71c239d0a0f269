//! The provider seam: whoever makes a lab hands the engine the same things, and the engine asks for nothing else.
//!
//! Those are a client for the API, agents at vantage points, actions on nodes, facts, collection and an explicit end. Today there
//! is one implementation ([`refnet`]); the other two are named here with the reason why they are not there.

pub mod kind;
pub mod refnet;

use std::collections::BTreeMap;

use plumb_core::capability::Capability;
use plumb_core::evidence::{LabFacts, Trouble, Whose};
use plumb_core::plan::Plan;
use plumb_core::scenario::model::NodeAction;

use crate::ledger::Ledger;
use crate::parts::Given;
use crate::session::Session;

/// Every provider's name, in the order of lists.
pub const PROVIDERS: [&str; 3] = ["refnet", "kind", "kubeconfig"];

/// A lab could not be made or asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The reference network said no.
    #[error(transparent)]
    Refnet(#[from] plumb_refnet::lab::LabError),
    /// The ledger could not be written, or what it claims not be taken away.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// The janitor could not be set to work.
    #[error(transparent)]
    Janitor(#[from] crate::janitor::JanitorError),
    /// The plan cannot be carried out by this provider.
    #[error("make a lab from the plan: {0}")]
    Plan(String),
    /// There is no such provider here.
    #[error("make a lab: {0}")]
    Absent(String),
}

impl ProviderError {
    /// As evidence.
    pub fn trouble(&self, operation: &str) -> Trouble {
        let whose = match self {
            ProviderError::Plan(_) => Whose::Author,
            ProviderError::Ledger(_) | ProviderError::Janitor(_) | ProviderError::Absent(_) => Whose::Environment,
            ProviderError::Refnet(_) => Whose::Lab,
        };
        Trouble { whose, operation: operation.to_owned(), message: crate::cluster::chain(self) }
    }
}

/// Whether a provider is there, with the parts that are given. It is really tried; an empty answer means yes.
pub fn unavailable(provider: &str, _given: &Given) -> Vec<String> {
    match provider {
        "refnet" => match plumb_refnet::lab::availability() {
            Ok(()) => Vec::new(),
            Err(missing) => vec![format!("refnet is not there: {}; to change that: {}", missing.what, missing.cure)],
        },
        "kind" => vec!["kind is not there: this version has no kind provider yet (it comes with issue 4)".into()],
        "kubeconfig" => vec!["kubeconfig is not there: this version has no kubeconfig provider yet (it comes after kind, issue 4)".into()],
        other => vec![format!("{other} is no provider: expected one of {}", PROVIDERS.join(", "))],
    }
}

/// What a provider can do.
pub fn capability(provider: &str) -> Option<Capability> {
    Capability::named(provider)
}

/// A lab that runs.
pub enum Lab {
    /// The reference network.
    Refnet(Box<refnet::RefnetLab>),
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
    /// Makes the lab of a plan, entered in the ledger first.
    ///
    /// # Errors
    /// See [`ProviderError`]; nothing is left then.
    pub async fn make(plan: &Plan, run: &str, given: &Given, ledger: &Ledger) -> Result<Lab, ProviderError> {
        match plan.provider.as_str() {
            "refnet" => Ok(Lab::Refnet(Box::new(refnet::RefnetLab::make(plan, run, ledger).await?))),
            other => Err(ProviderError::Absent(unavailable(other, given).join("; "))),
        }
    }

    /// A client for its API.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub fn client(&self) -> Result<kube::Client, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.client(),
        }
    }

    /// What it is, for evidence.
    pub fn facts(&self) -> LabFacts {
        match self {
            Lab::Refnet(lab) => lab.facts(),
        }
    }

    /// An agent at a place.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn agent(&self, place: &Place) -> Result<Session, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.agent(place).await,
        }
    }

    /// Does something to a node (Kubernetes name); `CLOCK_MONOTONIC` when it took effect.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn node(&self, node: &str, action: NodeAction) -> Result<u64, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.node(node, action).await,
        }
    }

    /// The n-th address kept for Services on a network.
    pub fn virtual_address(&self, network: &str, n: u32) -> Option<String> {
        match self {
            Lab::Refnet(lab) => lab.virtual_address(network, n),
        }
    }

    /// Logs and state, by name.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn collect(&self) -> Result<BTreeMap<String, String>, ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.collect().await,
        }
    }

    /// Cilium as this program installed it, where it may upgrade or restart it.
    pub fn installation(&self) -> Option<crate::cilium::Installation> {
        match self {
            Lab::Refnet(_) => None,
        }
    }

    /// How to look into it while it is kept.
    pub fn entrance(&self) -> String {
        match self {
            Lab::Refnet(lab) => lab.entrance(),
        }
    }

    /// Ends it and takes everything of it away; then the ledger says it is gone.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn close(self, ledger: &Ledger) -> Result<(), ProviderError> {
        match self {
            Lab::Refnet(lab) => lab.close(ledger).await,
        }
    }
}
