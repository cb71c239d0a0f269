//! TLS handshakes, TCP and UDP echoes, ICMP echoes.

use super::super::context::Context;
use super::super::phrases;
use super::{Blocker, broken, enough, failure, http};
use crate::probe::{L4Report, PingOutcome, PingReport, TlsOutcome, TlsReport};
use crate::scenario::model::{L4Probe, PingProbe, TlsProbe};

pub(super) fn tls(probe: &TlsProbe, report: &TlsReport, context: &Context) -> Result<(), Blocker> {
    enough(report.attempts.len(), probe.count)?;
    let Some(expect) = &probe.expect else { return Ok(()) };
    for attempt in &report.attempts {
        match &attempt.outcome {
            TlsOutcome::Failed(seen) => failure(seen, &expect.fails)?,
            TlsOutcome::Session(session) if !expect.fails.is_empty() => {
                let leaf = session.chain.first().map_or("no certificate", |leaf| leaf.subject.as_str());
                let promised = super::classes(&expect.fails);
                return broken(format!("{}: a session with {leaf}, expected {promised}", phrases::ANSWERED));
            }
            TlsOutcome::Session(session) => http::chain(expect.leaf.as_deref(), expect.trusted, session, context)?,
        }
    }
    Ok(())
}

pub(super) fn l4(probe: &L4Probe, report: &L4Report) -> Result<(), Blocker> {
    enough(report.attempts.len(), probe.count)?;
    let Some(expect) = &probe.expect else { return Ok(()) };
    let must_fail = !expect.fails.is_empty() || expect.answered == Some(false);
    for attempt in &report.attempts {
        match (&attempt.failure, attempt.rtt_us) {
            (None, Some(_)) if must_fail => return broken(format!("{}: the payload came back", phrases::ANSWERED)),
            (None, Some(_)) => {}
            (Some(_), _) if expect.answered == Some(false) && expect.fails.is_empty() => {}
            (Some(seen), _) => failure(seen, &expect.fails)?,
            (None, None) => return broken(format!("{}: the payload did not come back", phrases::FAILED)),
        }
    }
    Ok(())
}

pub(super) fn ping(probe: &PingProbe, report: &PingReport) -> Result<(), Blocker> {
    enough(report.attempts.len(), probe.count)?;
    let Some(wanted) = probe.expect.as_deref() else { return Ok(()) };
    for attempt in &report.attempts {
        let seen = match &attempt.outcome {
            PingOutcome::Reply { .. } => "reply",
            PingOutcome::FragmentationNeeded { .. } => "fragmentationNeeded",
            PingOutcome::TtlExceeded => "ttlExceeded",
            PingOutcome::Unreachable { .. } => "unreachable",
            PingOutcome::Timeout => "timeout",
        };
        if seen != wanted {
            return broken(format!("{} {seen}, expected {wanted}", phrases::PING));
        }
    }
    Ok(())
}
