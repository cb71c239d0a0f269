//! Probes: one attempt of any kind, as a fact. A probe that cannot be made is a fact too.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use plumb_core::evidence::{ProbeFact, Seen};
use plumb_core::probe::{Done, Op};
use plumb_core::scenario::model::Target;
use plumb_core::steps::ProbeRef;

use super::scene::Scene;
use super::target::{Address, Missing};
use super::{arp, http, object, transport};
use crate::session::{Outcome, Session, SessionError};

/// What is added to the sum of an operation's own limits before the agent counts as lost.
const SLACK: Duration = Duration::from_secs(3);

/// Whether a probe waits for its target to have an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Up to the budget: the probe is made once.
    Wait,
    /// No: a wait around it tries again.
    None,
}

/// Makes one attempt.
pub(super) async fn observe(scene: &Scene, probe: ProbeRef<'_>, id: &str, attempt: u32, patience: Patience) -> ProbeFact {
    let seen = match probe {
        ProbeRef::Http(probe) => http::http(scene, probe, id, patience).await,
        ProbeRef::Tls(probe) => http::tls(scene, probe, patience).await,
        ProbeRef::L4(probe) => transport::l4(scene, probe, id, patience).await,
        ProbeRef::Ping(probe) => transport::ping(scene, probe, patience).await,
        ProbeRef::Arp(probe) => arp::arp(scene, probe, patience).await,
        ProbeRef::Status(probe) => object::status(scene, probe).await,
        ProbeRef::Lease(probe) => object::lease(scene, probe).await,
    };
    let canary = matches!(probe, ProbeRef::Http(_) | ProbeRef::L4(_)).then(|| scene.canary(id));
    let (target, seen) = seen.unwrap_or_else(|missed| missed.into_fact());
    ProbeFact { attempt, canary, target, seen }
}

/// What a probe saw, and where it went in words.
pub(super) type Attempt = Result<(String, Seen), Missed>;

/// A probe that was not made.
pub(super) struct Missed {
    target: String,
    /// Boxed: this is the error of many functions and rarely made.
    seen: Box<Seen>,
}

impl Missed {
    fn into_fact(self) -> (String, Seen) {
        (self.target, *self.seen)
    }

    /// For steps that cannot go on without it.
    pub(super) fn into_trouble(self, operation: &str) -> plumb_core::evidence::Trouble {
        match *self.seen {
            Seen::Trouble(trouble) => trouble,
            Seen::NoTarget(message) => {
                plumb_core::evidence::Trouble { whose: plumb_core::evidence::Whose::Product, operation: operation.to_owned(), message }
            }
            other => plumb_core::evidence::Trouble {
                whose: plumb_core::evidence::Whose::Lab,
                operation: operation.to_owned(),
                message: format!("{other:?}"),
            },
        }
    }

    /// The target or the vantage point is not there.
    pub(super) fn nowhere(target: &str, missing: Missing) -> Missed {
        let seen = match missing {
            Missing::NotThere(why) => Seen::NoTarget(why),
            Missing::Trouble(trouble) => Seen::Trouble(trouble),
        };
        Missed { target: target.to_owned(), seen: Box::new(seen) }
    }

    /// The agent or the API could not be asked.
    pub(super) fn trouble(target: &str, trouble: plumb_core::evidence::Trouble) -> Missed {
        Missed { target: target.to_owned(), seen: Box::new(Seen::Trouble(trouble)) }
    }
}

/// Where a probe comes from and goes to.
pub(super) struct Path {
    /// The agent that probes.
    pub agent: Arc<Session>,
    /// Where it goes.
    pub to: Address,
}

impl Path {
    /// Finds both ends.
    pub(super) async fn find(scene: &Scene, from: &str, to: &Target, via: Option<&str>, patience: Patience) -> Result<Path, Missed> {
        let words = target_in_words(to);
        let to = scene.resolve(to, via, patience).await.map_err(|missing| Missed::nowhere(&words, missing))?;
        let place = scene.place(from).await.map_err(|missing| Missed::nowhere(&to.words(), missing))?;
        let agent = scene.agent(&place).await.map_err(|trouble| Missed::trouble(&to.words(), trouble))?;
        Ok(Path { agent, to })
    }

    /// The socket address of the target.
    pub(super) fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.to.ip, port)
    }

    /// The target's IPv4 address: ARP knows no other.
    pub(super) fn ipv4(&self) -> Result<std::net::Ipv4Addr, Missed> {
        match self.to.ip {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => {
                Err(Missed::nowhere(&self.to.words(), Missing::NotThere(format!("{address} is not an IPv4 address, which ARP is for"))))
            }
        }
    }

    /// Asks the agent; `limits` is the sum of the operation's own.
    pub(super) async fn ask(&self, op: Op, limits: Duration, operation: &str) -> Result<Outcome, Missed> {
        let asked = self.agent.ask(op, limits + SLACK).await;
        asked.map_err(|error: SessionError| Missed::trouble(&self.to.words(), error.trouble(operation)))
    }

    /// An answer of another kind than the question.
    pub(super) fn confused(&self, operation: &str, done: &Done) -> Missed {
        let message = format!("the agent answered {}", serde_json::to_string(done).unwrap_or_default());
        let trouble = plumb_core::evidence::Trouble { whose: plumb_core::evidence::Whose::Lab, operation: operation.to_owned(), message };
        Missed::trouble(&self.to.words(), trouble)
    }
}

/// The target as the scenario names it.
pub(super) fn target_in_words(target: &Target) -> String {
    match target {
        Target::Gateway(name) => format!("gateway {name}"),
        Target::Service(name) => format!("service {name}"),
        Target::ClusterIp(name) => format!("cluster address of service {name}"),
        Target::Pod(name) => format!("pod of {name}"),
        Target::Node(name) => format!("node {name}"),
        Target::Address(text) => text.clone(),
    }
}
