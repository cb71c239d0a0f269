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
        let id = step.id().map(str::to_owned).unwrap_or_else(|| format!("{}-{}", step.verb(), named.len() + 1));
        named.push(Named { id, step });
        if let Step::During(during) = step {
            collect(&during.steps, named);
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
