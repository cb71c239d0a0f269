//! Steps as a tree: names of verbs, ids, and a walk that goes into `during`.

use super::model::{Probe, Role, Scenario, Step};

impl Step {
    /// The verb, as in a file.
    pub fn verb(&self) -> &'static str {
        match self {
            Step::Apply(_) => "apply",
            Step::Patch(_) => "patch",
            Step::Delete(_) => "delete",
            Step::Place(_) => "place",
            Step::Node(_) => "node",
            Step::Link(_) => "link",
            Step::Partition(_) => "partition",
            Step::Agent(_) => "agent",
            Step::Api(_) => "api",
            Step::Upgrade(_) => "upgrade",
            Step::Restart(_) => "restart",
            Step::During(_) => "during",
            Step::Http(_) => "http",
            Step::Tls(_) => "tls",
            Step::L4(_) => "l4",
            Step::Ping(_) => "ping",
            Step::Arp(_) => "arp",
            Step::Status(_) => "status",
            Step::Lease(_) => "lease",
            Step::Config(_) => "config",
            Step::Eventually(_) => "eventually",
            Step::Consistently(_) => "consistently",
            Step::Never(_) => "never",
            Step::Count(_) => "count",
            Step::Distribution(_) => "distribution",
            Step::Downtime(_) => "downtime",
        }
    }

    /// The id, if it has one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Step::Apply(step) => step.id.as_deref(),
            Step::Patch(step) => step.id.as_deref(),
            Step::Delete(step) => step.id.as_deref(),
            Step::Place(step) => step.id.as_deref(),
            Step::Node(step) => step.id.as_deref(),
            Step::Link(step) => step.id.as_deref(),
            Step::Partition(step) => step.id.as_deref(),
            Step::Agent(step) => step.id.as_deref(),
            Step::Api(step) => step.id.as_deref(),
            Step::Upgrade(step) => Some(&step.id),
            Step::Restart(step) => step.id.as_deref(),
            Step::During(_) => None,
            Step::Http(step) => step.id.as_deref(),
            Step::Tls(step) => step.id.as_deref(),
            Step::L4(step) => step.id.as_deref(),
            Step::Ping(step) => step.id.as_deref(),
            Step::Arp(step) => step.id.as_deref(),
            Step::Status(step) => step.id.as_deref(),
            Step::Lease(step) => step.id.as_deref(),
            Step::Config(step) => Some(&step.id),
            Step::Eventually(step) => Some(&step.id),
            Step::Consistently(step) => Some(&step.id),
            Step::Never(step) => Some(&step.id),
            Step::Count(step) => Some(&step.id),
            Step::Distribution(step) => Some(&step.id),
            Step::Downtime(step) => Some(&step.id),
        }
    }

    /// Whether it expects something, so that a verdict speaks of it.
    pub fn is_check(&self) -> bool {
        match self {
            Step::Apply(step) => step.expect_error.is_some(),
            Step::Patch(_) | Step::Delete(_) | Step::Place(_) | Step::Node(_) | Step::During(_) => false,
            Step::Link(_) | Step::Partition(_) | Step::Agent(_) | Step::Api(_) | Step::Restart(_) => false,
            // That Cilium comes up again, as the document says, is a promise of its own.
            Step::Upgrade(_) => true,
            Step::Http(step) => step.expect.is_some(),
            Step::Tls(step) => step.expect.is_some(),
            Step::L4(step) => step.expect.is_some(),
            Step::Ping(step) => step.expect.is_some(),
            Step::Arp(step) => step.expect.is_some(),
            Step::Status(step) => step.expect.is_some(),
            Step::Lease(step) => step.expect.is_some(),
            Step::Config(step) => step.expect.is_some(),
            Step::Eventually(_) | Step::Consistently(_) => true,
            Step::Never(_) | Step::Count(_) | Step::Distribution(_) | Step::Downtime(_) => true,
        }
    }

    /// The vantage point it probes from, also inside `eventually`, `consistently` and `distribution`.
    pub fn from(&self) -> Option<&str> {
        match self {
            Step::Http(step) => Some(&step.from),
            Step::Tls(step) => Some(&step.from),
            Step::L4(step) => Some(&step.from),
            Step::Ping(step) => Some(&step.from),
            Step::Arp(step) => Some(&step.from),
            Step::Eventually(step) => step.probe.from(),
            Step::Consistently(step) => step.probe.from(),
            Step::Distribution(step) => Some(&step.probe.from),
            _ => None,
        }
    }
}

impl Probe {
    /// The vantage point it probes from; objects and leases are read from the API.
    pub fn from(&self) -> Option<&str> {
        match self {
            Probe::Http(probe) => Some(&probe.from),
            Probe::Tls(probe) => Some(&probe.from),
            Probe::L4(probe) => Some(&probe.from),
            Probe::Ping(probe) => Some(&probe.from),
            Probe::Arp(probe) => Some(&probe.from),
            Probe::Status(_) | Probe::Lease(_) => None,
        }
    }
}

impl Scenario {
    /// Every step, those inside `during` after the `during` itself, in order.
    pub fn every_step(&self) -> Vec<&Step> {
        let mut all = Vec::new();
        collect(&self.steps, &mut all);
        all
    }

    /// Whether it breaks something of the lab, or changes Cilium itself: then no other run can use a cluster with it or after it.
    pub fn is_disruptive(&self) -> bool {
        let breaks = |step: &Step| matches!(step, Step::Node(_) | Step::Link(_) | Step::Partition(_) | Step::Agent(_) | Step::Api(_));
        self.changes_cilium() || self.every_step().into_iter().any(breaks)
    }

    /// Whether it changes Cilium itself, so that no other run can use the cluster with it or after it.
    pub fn changes_cilium(&self) -> bool {
        self.every_step().into_iter().any(|step| matches!(step, Step::Upgrade(_) | Step::Restart(_)))
    }

    /// Ids of the checks, in order.
    pub fn checks(&self) -> Vec<&str> {
        self.every_step().into_iter().filter(|step| step.is_check()).filter_map(Step::id).collect()
    }

    /// The checks that say something of a promise, so that a fault must turn them: all but readiness of the lab.
    pub fn promises(&self) -> Vec<&str> {
        let readiness = |step: &Step| matches!(step, Step::Eventually(step) if step.role == Role::Setup);
        self.every_step().into_iter().filter(|step| step.is_check() && !readiness(step)).filter_map(Step::id).collect()
    }
}

fn collect<'a>(steps: &'a [Step], all: &mut Vec<&'a Step>) {
    for step in steps {
        all.push(step);
        if let Step::During(during) = step {
            collect(&during.steps, all);
        }
    }
}
