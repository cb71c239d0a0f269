//! The observations of a run, found by step and watch.

use super::context::Context;
use super::phrases;
use crate::evidence::{Fact, Observation, ProbeFact, Seen, Trouble, Waited, Whose};
use crate::plan::Plan;
use crate::probe::{ArpReport, CaptureSummary, LoadReport};
use crate::scenario::model::{Target, Watch};
use crate::steps::{self, Named};

/// What every rule looks at.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) context: Context,
    pub(super) observations: &'a [Observation],
    pub(super) steps: Vec<Named<'a>>,
}

/// What a watch left behind.
pub(super) struct Watched<'a, T> {
    /// Its number and what it saw, if it ended well or left something anyway.
    pub(super) report: Option<(&'a Observation, T)>,
    /// Why it is not whole.
    pub(super) broken: Option<(&'a Observation, &'a Trouble)>,
}

impl<'a, T> Watched<'a, T> {
    /// Why nothing can be concluded from what it did not see; nothing when it is whole.
    pub(super) fn gap(&self, id: &str) -> Option<String> {
        match (&self.broken, &self.report) {
            (Some((_, trouble)), _) => Some(format!("{}: `{id}`: {}: {}", phrases::BROKEN_WATCH, trouble.operation, trouble.message)),
            (None, None) => Some(format!("{} `{id}`", phrases::NO_WATCH)),
            (None, Some(_)) => None,
        }
    }

    /// The observations it consists of.
    pub(super) fn observations(&self) -> impl Iterator<Item = &'a Observation> + use<'a, T> {
        let report = self.report.as_ref().map(|(observation, _)| *observation);
        report.into_iter().chain(self.broken.map(|(observation, _)| observation))
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(plan: &'a Plan, observations: &'a [Observation]) -> Run<'a> {
        Run { plan, context: Context::of(observations), observations, steps: steps::walk(&plan.scenario.steps) }
    }

    /// Observations of a step or watch, in order.
    pub(super) fn of(&self, id: &str) -> impl Iterator<Item = &'a Observation> + use<'a> {
        let id = id.to_owned();
        self.observations.iter().filter(move |observation| observation.step.as_deref() == Some(id.as_str()))
    }

    /// Probes of a step, in order.
    pub(super) fn probes(&self, id: &str) -> Vec<(&'a Observation, &'a ProbeFact)> {
        let probe = |observation: &'a Observation| match &observation.fact {
            Fact::Probe(probe) => Some((observation, probe)),
            _ => None,
        };
        self.of(id).filter_map(probe).collect()
    }

    /// How the wait of a step ended.
    pub(super) fn waited(&self, id: &str) -> Option<(&'a Observation, &'a Waited)> {
        self.of(id).find_map(|observation| match &observation.fact {
            Fact::Waited(waited) => Some((observation, waited)),
            _ => None,
        })
    }

    /// An agent's time in milliseconds since the run began (agents of one machine share the clock the run began by).
    pub(super) fn run_ms(&self, agent_ns: u64) -> u64 {
        let began_ns = self.observations.iter().find_map(|observation| match &observation.fact {
            Fact::Began(began) => Some(began.monotonic_ns),
            _ => None,
        });
        agent_ns.checked_sub(began_ns.unwrap_or(0)).unwrap_or(agent_ns) / 1_000_000
    }

    /// When something was observed, seconds since 1970.
    pub(super) fn unix_s(&self, observation: &Observation) -> Result<i64, String> {
        let began = self.observations.iter().find_map(|observation| match &observation.fact {
            Fact::Began(began) => Some(began.unix_s),
            _ => None,
        });
        let began = began.ok_or_else(|| "the evidence does not say when the run began".to_owned())?;
        Ok(began.saturating_add(i64::try_from(observation.at_ns / 1_000_000_000).unwrap_or(i64::MAX)))
    }

    /// Why a step could not be carried out.
    pub(super) fn failed(&self, id: &str) -> Option<(&'a Observation, &'a Trouble)> {
        self.of(id).find_map(|observation| match &observation.fact {
            Fact::StepFailed(trouble) => Some((observation, trouble)),
            _ => None,
        })
    }

    pub(super) fn capture(&self, id: &str) -> Watched<'a, &'a CaptureSummary> {
        self.watched(id, |fact| match fact {
            Fact::Capture(summary) => Some(summary),
            _ => None,
        })
    }

    pub(super) fn arp_watch(&self, id: &str) -> Watched<'a, (std::net::Ipv4Addr, &'a ArpReport)> {
        self.watched(id, |fact| match fact {
            Fact::ArpWatch { address, report } => Some((*address, report)),
            _ => None,
        })
    }

    pub(super) fn load(&self, id: &str) -> Watched<'a, &'a LoadReport> {
        self.watched(id, |fact| match fact {
            Fact::Load(report) => Some(report),
            _ => None,
        })
    }

    fn watched<T>(&self, id: &str, pick: impl Fn(&'a Fact) -> Option<T>) -> Watched<'a, T> {
        let mut watched = Watched { report: None, broken: None };
        for observation in self.of(id) {
            match &observation.fact {
                Fact::WatchBroken(trouble) => watched.broken = Some((observation, trouble)),
                fact => {
                    if let Some(report) = pick(fact) {
                        watched.report = Some((observation, report));
                    }
                }
            }
        }
        watched
    }

    /// A watch of the scenario.
    pub(super) fn watch(&self, id: &str) -> Option<&'a Watch> {
        steps::watches(&self.plan.scenario.steps).into_iter().find(|(own, _)| *own == id).map(|(_, watch)| watch)
    }

    /// Whether any ARP question of this run was answered: the control of every ARP silence.
    pub(super) fn arp_control(&self) -> Option<&'a Observation> {
        self.observations.iter().find(|observation| match &observation.fact {
            Fact::ArpWatch { report, .. } => report.frames.iter().any(|frame| frame.operation == 2),
            Fact::Probe(ProbeFact { seen: Seen::Arp { report, .. }, .. }) => report.frames.iter().any(|frame| frame.operation == 2),
            _ => false,
        })
    }

    /// The logical name of the node a vantage point is on, where the scenario says it.
    pub(super) fn node_of_vantage(&self, vantage: &str) -> Option<String> {
        match vantage.split_once('/') {
            Some(("node", name)) => Some(name.to_owned()),
            Some(("pod", pod)) => self.node_of_backend(pod),
            _ => None,
        }
    }

    /// The logical name of the node a target is on, where the scenario says it.
    pub(super) fn node_of_target(&self, target: &Target) -> Option<String> {
        match target {
            Target::Node(name) => Some(name.clone()),
            Target::Pod(pod) => self.node_of_backend(pod),
            Target::Service(service) | Target::ClusterIp(service) => {
                let name = service.rsplit('/').next().unwrap_or(service);
                let serves = |(id, backend): &(&String, &crate::scenario::model::Backend)| {
                    let own = backend.service.as_ref().and_then(|service| service.name.as_deref());
                    own.unwrap_or(id.as_str()) == name
                };
                self.plan.scenario.backends.iter().find(serves).and_then(|(_, backend)| backend.node.clone())
            }
            Target::Gateway(_) | Target::Address(_) => None,
        }
    }

    fn node_of_backend(&self, pod: &str) -> Option<String> {
        let backend = pod.split('/').next().unwrap_or(pod);
        self.plan.scenario.backends.get(backend).and_then(|backend| backend.node.clone())
    }

    /// What makes the run as a whole unknown.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if let crate::plan::Disposition::Skip(reasons) = &self.plan.disposition {
            troubles.push(format!("the plan says not to run this: {}", reasons.join("; ")));
        }
        match self.observations.first().map(|observation| &observation.fact) {
            None => troubles.push("there is no evidence at all".to_owned()),
            Some(Fact::Began(_)) => {}
            Some(_) => troubles.push("the evidence does not begin with its first line".to_owned()),
        }
        if let Some((n, _)) = self.observations.iter().enumerate().find(|(n, observation)| observation.seq != *n as u64 + 1) {
            troubles.push(format!("the evidence has a gap before observation {}", self.observations[n].seq));
        }
        for observation in self.observations {
            match &observation.fact {
                Fact::ClockJump { by_ms } => troubles.push(format!("the wall clock jumped by {by_ms} ms during the run")),
                Fact::Interrupted { by } => troubles.push(format!("the run was interrupted by {by}")),
                Fact::StepFailed(trouble) if observation.step.is_none() => troubles.push(in_words(trouble)),
                _ => {}
            }
        }
        if !self.observations.is_empty() && !self.observations.iter().any(|observation| observation.fact == Fact::Ended) {
            troubles.push("the evidence ends early: its last line is missing".to_owned());
        }
        troubles
    }

    /// What happened that no check is about.
    pub(super) fn remarks(&self) -> Vec<String> {
        let remark = |observation: &Observation| match &observation.fact {
            Fact::Replaced { cluster, why } => Some(format!(
                "the shared cluster {cluster} did not take the values of this run in place and was replaced by a new one: {why}"
            )),
            _ => None,
        };
        self.observations.iter().filter_map(remark).collect()
    }
}

/// Whose trouble it is, what was tried and what came back.
pub(super) fn in_words(trouble: &Trouble) -> String {
    let whose = match trouble.whose {
        Whose::Author => "the scenario's mistake",
        Whose::Environment => "the machine's trouble",
        Whose::Product => "the product's trouble",
        Whose::Lab => "the lab's trouble",
    };
    format!("{} ({whose}): {}: {}", phrases::NOT_CARRIED_OUT, trouble.operation, trouble.message)
}
