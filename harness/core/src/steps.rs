//! Steps by name: the engine acts and the judge judges under the same ids, also where a scenario gives none.

use crate::scenario::model::{ArpProbe, HttpProbe, Id, L4Probe, LeaseProbe, PingProbe, Probe, Span, StatusProbe, Step, TlsProbe, Watch};

/// A step with the id it goes by in evidence and verdicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<'a> {
    /// The id the scenario gives, or `<verb>-<n>` with its place among all steps, nested ones included, from 1.
    pub id: Id,
    /// The step.
    pub step: &'a Step,
}

/// Every step in the order it begins; a `during` comes before its own steps.
pub fn walk(steps: &[Step]) -> Vec<Named<'_>> {
    let mut named = Vec::new();
    collect(steps, &mut named);
    named
}

/// Every watch of a scenario by id, in the order of the steps.
pub fn watches(steps: &[Step]) -> Vec<(&Id, &Watch)> {
    walk(steps)
        .into_iter()
        .flat_map(|named| match named.step {
            Step::During(during) => during.watch.iter().collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn collect<'a>(steps: &'a [Step], named: &mut Vec<Named<'a>>) {
    for step in steps {
        let id = step.given_id().cloned().unwrap_or_else(|| format!("{}-{}", step.verb(), named.len() + 1));
        named.push(Named { id, step });
        if let Step::During(during) = step {
            collect(&during.steps, named);
        }
    }
}

impl Step {
    /// The key it has in a scenario file.
    pub fn verb(&self) -> &'static str {
        match self {
            Step::Apply(_) => "apply",
            Step::Patch(_) => "patch",
            Step::Delete(_) => "delete",
            Step::Place(_) => "place",
            Step::Node(_) => "node",
            Step::During(_) => "during",
            Step::Http(_) => "http",
            Step::Tls(_) => "tls",
            Step::L4(_) => "l4",
            Step::Ping(_) => "ping",
            Step::Arp(_) => "arp",
            Step::Status(_) => "status",
            Step::Lease(_) => "lease",
            Step::Eventually(_) => "eventually",
            Step::Consistently(_) => "consistently",
            Step::Never(_) => "never",
            Step::Count(_) => "count",
            Step::Distribution(_) => "distribution",
            Step::Downtime(_) => "downtime",
        }
    }

    /// The id the scenario gives it.
    pub fn given_id(&self) -> Option<&Id> {
        match self {
            Step::Apply(step) => step.id.as_ref(),
            Step::Patch(step) => step.id.as_ref(),
            Step::Delete(step) => step.id.as_ref(),
            Step::Place(step) => step.id.as_ref(),
            Step::Node(step) => step.id.as_ref(),
            Step::During(_) => None,
            Step::Http(step) => step.id.as_ref(),
            Step::Tls(step) => step.id.as_ref(),
            Step::L4(step) => step.id.as_ref(),
            Step::Ping(step) => step.id.as_ref(),
            Step::Arp(step) => step.id.as_ref(),
            Step::Status(step) => step.id.as_ref(),
            Step::Lease(step) => step.id.as_ref(),
            Step::Eventually(step) => Some(&step.id),
            Step::Consistently(step) => Some(&step.id),
            Step::Never(step) => Some(&step.id),
            Step::Count(step) => Some(&step.id),
            Step::Distribution(step) => Some(&step.id),
            Step::Downtime(step) => Some(&step.id),
        }
    }

    /// Whether it carries an expectation: it gets a verdict of its own.
    pub fn is_check(&self) -> bool {
        match self {
            Step::Apply(step) => step.expect_error.is_some(),
            Step::Patch(_) | Step::Delete(_) | Step::Place(_) | Step::Node(_) | Step::During(_) => false,
            Step::Eventually(_) | Step::Consistently(_) | Step::Never(_) => true,
            Step::Count(_) | Step::Distribution(_) | Step::Downtime(_) => true,
            other => ProbeRef::of(other).is_some_and(|probe| probe.expects()),
        }
    }
}

/// A probe, wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProbeRef<'a> {
    /// See [`HttpProbe`].
    Http(&'a HttpProbe),
    /// See [`TlsProbe`].
    Tls(&'a TlsProbe),
    /// See [`L4Probe`].
    L4(&'a L4Probe),
    /// See [`PingProbe`].
    Ping(&'a PingProbe),
    /// See [`ArpProbe`].
    Arp(&'a ArpProbe),
    /// See [`StatusProbe`].
    Status(&'a StatusProbe),
    /// See [`LeaseProbe`].
    Lease(&'a LeaseProbe),
}

impl<'a> ProbeRef<'a> {
    /// The probe a step makes: its own, or that of its wait or distribution.
    pub fn of(step: &'a Step) -> Option<ProbeRef<'a>> {
        Some(match step {
            Step::Http(probe) => ProbeRef::Http(probe),
            Step::Tls(probe) => ProbeRef::Tls(probe),
            Step::L4(probe) => ProbeRef::L4(probe),
            Step::Ping(probe) => ProbeRef::Ping(probe),
            Step::Arp(probe) => ProbeRef::Arp(probe),
            Step::Status(probe) => ProbeRef::Status(probe),
            Step::Lease(probe) => ProbeRef::Lease(probe),
            Step::Eventually(wait) => ProbeRef::from(&wait.probe),
            Step::Consistently(wait) => ProbeRef::from(&wait.probe),
            Step::Distribution(step) => ProbeRef::Http(&step.probe),
            _ => return None,
        })
    }

    /// Whether it says what must be true.
    pub fn expects(self) -> bool {
        match self {
            ProbeRef::Http(probe) => probe.expect.is_some(),
            ProbeRef::Tls(probe) => probe.expect.is_some(),
            ProbeRef::L4(probe) => probe.expect.is_some(),
            ProbeRef::Ping(probe) => probe.expect.is_some(),
            ProbeRef::Arp(probe) => probe.expect.is_some(),
            ProbeRef::Status(probe) => probe.expect.is_some(),
            ProbeRef::Lease(probe) => probe.expect.is_some(),
        }
    }
}

impl<'a> From<&'a Probe> for ProbeRef<'a> {
    fn from(probe: &'a Probe) -> ProbeRef<'a> {
        match probe {
            Probe::Http(probe) => ProbeRef::Http(probe),
            Probe::Tls(probe) => ProbeRef::Tls(probe),
            Probe::L4(probe) => ProbeRef::L4(probe),
            Probe::Ping(probe) => ProbeRef::Ping(probe),
            Probe::Arp(probe) => ProbeRef::Arp(probe),
            Probe::Status(probe) => ProbeRef::Status(probe),
            Probe::Lease(probe) => ProbeRef::Lease(probe),
        }
    }
}

/// A time with its unit in milliseconds; what the scenario parser let through parses, anything else counts as 0.
pub fn span_ms(span: &Span) -> u64 {
    crate::duration::parse(span).map_or(0, |duration| duration.as_millis() as u64)
}
