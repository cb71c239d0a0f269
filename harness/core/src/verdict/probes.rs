//! Probes with an expectation: made once, until they hold, or all the time.

use super::finding::Finding;
use super::holds::{Blocker, holds};
use super::phrases;
use super::run::Run;
use super::words;
use crate::evidence::{Fact, Observation, ProbeFact};
use crate::scenario::model::{Consistently, Eventually, HttpProbe, Role, TlsEnd};
use crate::steps::ProbeRef;

/// A probe that was made once.
pub(super) fn single(run: &Run<'_>, id: &str, probe: ProbeRef<'_>) -> Finding {
    let probes = run.probes(id);
    let Some((observation, fact)) = probes.last() else {
        return Finding::unknown("nothing recorded", phrases::NO_EVIDENCE);
    };
    let seen = words::seen(fact, &run.context);
    match holds(probe, fact, &run.context) {
        Err(blocker) => blocked(seen, blocker).resting_on([*observation]),
        Ok(()) => controlled(run, id, probe, Finding::pass(seen.clone(), seen)).resting_on([*observation]),
    }
}

fn blocked(seen: String, blocker: Blocker) -> Finding {
    match blocker {
        Blocker::Broken(why) => Finding::fail(seen, why),
        Blocker::Undecided(why) => Finding::unknown(seen, why),
    }
}

/// A probe that is made until it holds.
pub(super) fn eventually(run: &Run<'_>, step: &Eventually) -> Finding {
    let probe = ProbeRef::from(&step.probe);
    let probes = run.probes(&step.id);
    let waited = run.waited(&step.id);
    let rests: Vec<&Observation> = probes.iter().rev().take(3).map(|(observation, _)| *observation).collect();
    let rests = rests.into_iter().chain(waited.map(|(observation, _)| observation));
    let last = probes.last().map(|(_, fact)| (words::seen(fact, &run.context), holds(probe, fact, &run.context)));
    let finding = match (waited, last) {
        (None, None) => Finding::unknown("nothing recorded", phrases::NO_EVIDENCE),
        (None, Some((seen, _))) => Finding::unknown(seen, format!("{}: the wait did not end", phrases::NO_EVIDENCE)),
        (Some((_, waited)), None) => {
            Finding::unknown(waited.last.join("; "), format!("{}: the wait recorded no probe", phrases::NO_EVIDENCE))
        }
        (Some((_, waited)), Some((seen, Ok(())))) if waited.held => {
            let because = format!("{seen} after {} ms", waited.took_ms);
            controlled(run, &step.id, probe, Finding::pass(seen, because))
        }
        (Some((_, waited)), Some((seen, Err(blocker)))) if waited.held => {
            let because = format!("the wait says that it held, the evidence says: {blocker}");
            Finding::unknown(format!("{seen} after {} ms", waited.took_ms), because)
        }
        (Some((_, waited)), Some((seen, outcome))) => {
            let blocker = outcome.err();
            let why = match &blocker {
                Some(blocker) => blocker.to_string(),
                None => phrases::LATE.to_owned(),
            };
            let seen = if waited.last.len() > 1 { format!("{seen}; states before: {}", waited.last.join("; ")) } else { seen };
            match (step.role, blocker) {
                (Role::Setup, _) => Finding::unknown(seen, format!("{} {}: {why}", phrases::NOT_READY, step.within)),
                (Role::Promise, Some(Blocker::Undecided(_))) => Finding::unknown(
                    seen,
                    format!("{} {}, and the lab's own trouble is in the way: {why}", phrases::NOT_WITHIN, step.within),
                ),
                // No attempt begins after the limit: this one began in time and the lab was slow to carry it out, or the product to answer.
                (Role::Promise, None) => {
                    Finding::unknown(seen, format!("{} of {}, by an attempt that began before it", phrases::LATE, step.within))
                }
                (Role::Promise, _) => Finding::fail(seen, format!("{} {}: {why}", phrases::NOT_WITHIN, step.within)),
            }
        }
    };
    finding.resting_on(rests)
}

/// A probe that must hold all the time.
pub(super) fn consistently(run: &Run<'_>, step: &Consistently) -> Finding {
    let probe = ProbeRef::from(&step.probe);
    let probes = run.probes(&step.id);
    let waited = run.waited(&step.id);
    let rests = probes.iter().map(|(observation, _)| *observation).chain(waited.map(|(observation, _)| observation));
    let rests: Vec<&Observation> = rests.collect();
    let judged: Vec<(&ProbeFact, Result<(), Blocker>)> = probes.iter().map(|(_, fact)| (*fact, holds(probe, fact, &run.context))).collect();
    let broke = judged.iter().find(|(_, outcome)| matches!(outcome, Err(Blocker::Broken(_))));
    if let Some((fact, Err(blocker))) = broke {
        let seen = words::seen(fact, &run.context);
        let because = format!("{} ({}): attempt {}: {blocker}", phrases::NOT_ALWAYS, step.r#for, fact.attempt);
        return Finding::fail(seen, because).resting_on(rests);
    }
    let undecided = judged.iter().find_map(|(fact, outcome)| outcome.as_ref().err().map(|blocker| (fact, blocker)));
    let finding = match (judged.last(), undecided, waited) {
        (None, _, _) => Finding::unknown("nothing recorded", phrases::NO_EVIDENCE),
        (Some(_), Some((fact, blocker)), _) => {
            Finding::unknown(words::seen(fact, &run.context), format!("attempt {}: {blocker}", fact.attempt))
        }
        (Some((fact, _)), None, None) => {
            Finding::unknown(words::seen(fact, &run.context), format!("{}: the wait did not end", phrases::NO_EVIDENCE))
        }
        (Some((fact, _)), None, Some((_, waited))) => {
            let seen = format!("{} attempts in {} ms, the last: {}", waited.attempts, waited.took_ms, words::seen(fact, &run.context));
            if waited.held {
                let because = format!("held all the time: {seen}");
                controlled(run, &step.id, probe, Finding::pass(seen, because))
            } else {
                let because =
                    format!("the wait says that it {}, no attempt on record does: {}", phrases::NOT_ALWAYS, waited.last.join("; "));
                Finding::unknown(seen, because)
            }
        }
    };
    finding.resting_on(rests)
}

/// What a pass needs besides the probe itself: the second hop, and a control for ARP silence.
fn controlled(run: &Run<'_>, id: &str, probe: ProbeRef<'_>, finding: Finding) -> Finding {
    match probe {
        ProbeRef::Http(probe) => second_hop(run, id, probe, finding),
        ProbeRef::Arp(probe) if probe.expect.as_ref().is_some_and(|expect| expect.answerers == Some(0)) => match run.arp_control() {
            Some(control) => finding.resting_on([control]),
            None => Finding::unknown(finding.seen, phrases::NO_ARP_CONTROL),
        },
        _ => finding,
    }
}

fn second_hop(run: &Run<'_>, id: &str, probe: &HttpProbe, finding: Finding) -> Finding {
    let tls = probe.expect.as_ref().and_then(|expect| expect.tls.as_ref());
    let Some((tls, watch)) = tls.and_then(|tls| Some((tls, tls.second_hop.as_ref()?))) else { return finding };
    let watched = run.capture(watch);
    let rests: Vec<&Observation> = watched.observations().collect();
    let Some((_, summary)) = &watched.report else {
        let why = watched.gap(watch).unwrap_or_default();
        return Finding::unknown(finding.seen, why).resting_on(rests);
    };
    let hits = summary.canaries.iter().find(|hits| hits.name == id).map(|hits| hits.frames());
    let records = summary.tls_records.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    let seen = format!(
        "{}; second hop `{watch}` ({}): payload in {} of {} frames, {records} TLS records",
        finding.seen,
        summary.interface,
        hits.unwrap_or(0),
        summary.frames
    );
    let gap =
        watched.gap(watch).or_else(|| (summary.dropped > 0).then(|| format!("{}: `{watch}` dropped {}", phrases::LOST, summary.dropped)));
    let blind = (summary.frames == 0).then(|| format!("{}: `{watch}` ({})", phrases::BLIND, summary.interface));
    let judged = match (tls.ends_at.unwrap_or(TlsEnd::Gateway), hits) {
        (_, None) => Finding::unknown(seen, format!("`{watch}` did not look for the payload of `{id}`")),
        (TlsEnd::Gateway, Some(0)) => match gap.or(blind) {
            Some(why) => Finding::unknown(seen, why),
            None => Finding::fail(seen, format!("{} `{watch}`", phrases::SECOND_HOP_HIDDEN)),
        },
        (TlsEnd::Backend, Some(hits)) if hits > 0 => {
            Finding::fail(seen, format!("{}: {hits} frames on the second hop `{watch}`", phrases::CLEAR))
        }
        (TlsEnd::Backend, Some(_)) => match gap.or(blind) {
            Some(why) => Finding::unknown(seen, why),
            None if records == 0 => Finding::unknown(seen, format!("{}: no TLS records on `{watch}`", phrases::NO_CIPHERTEXT)),
            None => Finding { seen, ..finding },
        },
        (TlsEnd::Gateway, Some(_)) => Finding { seen, ..finding },
    };
    judged.resting_on(rests)
}

/// A manifest the API had to refuse.
pub(super) fn refused(run: &Run<'_>, id: &str, wanted: &str) -> Finding {
    let mut accepted = None;
    let mut refused = None;
    for observation in run.of(id) {
        match &observation.fact {
            Fact::Applied { object } => accepted = Some((observation, object)),
            Fact::Refused { object, code, reason, message } => refused = Some((observation, object, *code, reason, message)),
            _ => {}
        }
    }
    match (refused, accepted) {
        (Some((observation, object, code, reason, message)), _) => {
            let seen = format!("{object}: {code} {reason}: {message}");
            let finding = if message.contains(wanted) {
                Finding::pass(seen.clone(), format!("the API refused {seen}"))
            } else if code >= 500 {
                Finding::unknown(seen.clone(), format!("the API was in trouble: {seen}"))
            } else {
                Finding::fail(seen, format!("{}: {message}, expected `{wanted}`", phrases::REFUSED_OTHERWISE))
            };
            finding.resting_on([observation])
        }
        (None, Some((observation, object))) => {
            Finding::fail(format!("{object} accepted"), format!("{}: {object}", phrases::ACCEPTED)).resting_on([observation])
        }
        (None, None) => Finding::unknown("nothing recorded", phrases::NO_EVIDENCE),
    }
}
