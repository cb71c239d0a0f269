//! Whether one observation meets an expectation. Used by live waits and by the judge, so that both mean the same.

mod arp;
mod http;
mod object;
mod transport;

pub(super) use arp::Answers;

use std::fmt;

use crate::evidence::{ProbeFact, Seen};
use crate::probe::{Failure, FailureClass};
use crate::steps::ProbeRef;

use super::context::Context;
use super::phrases;

/// What keeps an expectation from being met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// It is not met; why.
    Broken(String),
    /// The observation does not tell; why.
    Undecided(String),
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocker::Broken(why) | Blocker::Undecided(why) => f.write_str(why),
        }
    }
}

/// Whether the observation meets the probe's `expect`; without one, whether the probe could be made.
///
/// # Errors
/// What keeps it from being met.
pub fn holds(probe: ProbeRef<'_>, fact: &ProbeFact, context: &Context) -> Result<(), Blocker> {
    match &fact.seen {
        Seen::Trouble(trouble) => return undecided(format!("{}: {}", trouble.operation, trouble.message)),
        // A promise that something fails is not kept by having no place to send it to.
        Seen::NoTarget(why) => return broken(format!("there is nothing to probe: {why}")),
        _ => {}
    }
    match (probe, &fact.seen) {
        (ProbeRef::Http(probe), Seen::Http(results)) => http::results(probe, results, context),
        (ProbeRef::Http(probe), Seen::HttpTally(report)) => http::tally(probe, report),
        (ProbeRef::Tls(probe), Seen::Tls(report)) => transport::tls(probe, report, context),
        (ProbeRef::L4(probe), Seen::L4(report)) => transport::l4(probe, report),
        (ProbeRef::Ping(probe), Seen::Ping(report)) => transport::ping(probe, report),
        (ProbeRef::Arp(probe), Seen::Arp { address, report, lease }) => {
            arp::arp(probe, &Answers::of(*address, report), lease.as_ref(), context)
        }
        (ProbeRef::Status(probe), Seen::Object(object)) => object::status(probe, object),
        (ProbeRef::Lease(probe), Seen::Lease(lease)) => object::lease(probe, lease, context),
        _ => undecided("the observation is of another kind than the probe"),
    }
}

fn broken<T>(why: impl Into<String>) -> Result<T, Blocker> {
    Err(Blocker::Broken(why.into()))
}

fn undecided<T>(why: impl Into<String>) -> Result<T, Blocker> {
    Err(Blocker::Undecided(why.into()))
}

/// Whether there are as many results as were asked for; fewer tell nothing of the missing ones.
fn enough(seen: usize, asked: u32) -> Result<(), Blocker> {
    if seen == 0 || (seen as u64) < u64::from(asked) {
        return undecided(format!("only {seen} of {asked} results are there"));
    }
    Ok(())
}

/// Whether a failure is one of the promised ones.
fn failure(failure: &Failure, promised: &[FailureClass]) -> Result<(), Blocker> {
    let seen = failure_in_words(failure);
    if promised.is_empty() {
        broken(format!("{}: {seen}", phrases::FAILED))
    } else if promised.contains(&failure.class) {
        Ok(())
    } else {
        broken(format!("{}: {seen}, expected {}", phrases::FAILED_OTHERWISE, classes(promised)))
    }
}

pub(super) fn failure_in_words(failure: &Failure) -> String {
    let alert = failure.alert.as_deref().map(|alert| format!(" {alert}")).unwrap_or_default();
    let detail = if failure.detail.is_empty() { String::new() } else { format!(" ({})", failure.detail) };
    format!("{}{alert} during {}{detail}", class(failure.class), failure.phase)
}

pub(super) fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Refused => "refused",
        FailureClass::Reset => "reset",
        FailureClass::Closed => "closed",
        FailureClass::Timeout => "timeout",
        FailureClass::Unreachable => "unreachable",
        FailureClass::Alert => "alert",
        FailureClass::Protocol => "protocol",
    }
}

pub(super) fn classes(promised: &[FailureClass]) -> String {
    promised.iter().map(|promised| class(*promised)).collect::<Vec<_>>().join(" or ")
}
