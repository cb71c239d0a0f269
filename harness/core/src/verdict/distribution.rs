//! `distribution`: requests split by weight. One sample, one exact test ([`crate::statistics::Split`]).

use std::collections::BTreeMap;

use super::finding::Finding;
use super::phrases;
use super::run::Run;
use crate::evidence::{Observation, Seen};
use crate::probe::HttpReport;
use crate::scenario::model::Distribution;
use crate::statistics::{Split, SplitOutcome, ZERO_CONFIDENCE};

pub(super) fn distribution(run: &Run<'_>, step: &Distribution) -> Finding {
    let split = match Split::of(step) {
        Ok(split) => split,
        Err(error) => return Finding::unknown("nothing tested", error.to_string()),
    };
    let probes = run.probes(&step.id);
    let rests: Vec<&Observation> = probes.iter().map(|(observation, _)| *observation).collect();
    let tallies: Vec<&HttpReport> = probes
        .iter()
        .filter_map(|(_, probe)| match &probe.seen {
            Seen::HttpTally(report) => Some(report),
            _ => None,
        })
        .collect();
    // What is smaller than the sample was sent to learn which revision is live.
    let samples: Vec<&&HttpReport> = tallies.iter().filter(|report| u64::from(report.sent) >= split.samples).collect();
    let finding = match samples.as_slice() {
        [report] => decide(step, &split, report),
        [] => match probes.iter().rev().find_map(|(_, probe)| trouble(&probe.seen)) {
            Some(why) => Finding::unknown("no sample", why),
            None if run.waited(&step.id).is_some_and(|(_, waited)| !waited.held) => unsettled(run, step),
            None => {
                let most = tallies.iter().map(|report| report.sent).max().unwrap_or(0);
                let because = match most {
                    0 => phrases::NO_EVIDENCE.to_owned(),
                    most => format!("only {most} of {} requests were sent", split.samples),
                };
                Finding::unknown("no sample", because)
            }
        },
        several => Finding::unknown("several samples", format!("{} samples were taken, the test allows one", several.len())),
    };
    finding.resting_on(rests)
}

/// Sampling never began: the marked revision did not become the only one that answers.
fn unsettled(run: &Run<'_>, step: &Distribution) -> Finding {
    let Some((observation, waited)) = run.waited(&step.id) else { return Finding::unknown("no sample", phrases::NO_EVIDENCE) };
    let last = waited.last.last().map_or("nothing was seen", String::as_str);
    // A path that answers with errors has no revision at all.
    let phrase = if last.contains("requests failed") { phrases::ERRORS } else { phrases::STALE };
    let because = format!("{phrase}: after {} ms, {last}", waited.took_ms);
    Finding::fail(format!("no sample; states before: {}", waited.last.join("; ")), because).resting_on([observation])
}

fn trouble(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Trouble(trouble) => Some(format!("{}: {}", trouble.operation, trouble.message)),
        Seen::NoTarget(why) => Some(format!("there is nothing to probe: {why}")),
        _ => None,
    }
}

fn decide(step: &Distribution, split: &Split, report: &HttpReport) -> Finding {
    let sum = |pick: &dyn Fn(&crate::probe::TallyRow) -> bool| {
        report.tally.iter().filter(|row| pick(row)).map(|row| u64::from(row.count)).sum::<u64>()
    };
    let sent = u64::from(report.sent);
    let shares = in_words(split, report);
    if sent != split.samples {
        return Finding::unknown(shares, format!("{sent} requests were sent, the test was fixed for {}", split.samples));
    }
    let is_error = |row: &crate::probe::TallyRow| row.failure.is_some() || row.status.is_none_or(|status| status >= 400);
    let errors = sum(&is_error);
    if errors > 0 {
        return Finding::fail(shares, format!("{errors} of {sent} {}: {}", phrases::ERRORS, kinds(report)));
    }
    if let Some(marker) = &step.marker {
        let stale = sum(&|row| row.marker.as_deref() != Some(marker));
        if stale > 0 {
            let other = report.tally.iter().find(|row| row.marker.as_deref() != Some(marker)).and_then(|row| row.marker.as_deref());
            let other = other.unwrap_or("none");
            return Finding::fail(shares, format!("{}: `{other}` for {stale} of {sent}, expected `{marker}`", phrases::STALE));
        }
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for row in &report.tally {
        *counts.entry(row.backend.clone().unwrap_or_else(|| "none of this run's".to_owned())).or_default() += u64::from(row.count);
    }
    if let Some((stranger, count)) = counts.iter().find(|(id, count)| **count > 0 && !split.shares.contains_key(*id)) {
        return Finding::fail(shares, format!("{}: {stranger}, {count} of {sent}", phrases::STRANGER));
    }
    let counted: u64 = counts.values().sum();
    if counted != sent {
        return Finding::unknown(shares, format!("{counted} of {sent} requests are accounted for"));
    }
    verdict(split, shares, split.test(&counts), sent)
}

fn verdict(split: &Split, shares: String, outcome: SplitOutcome, sent: u64) -> Finding {
    match outcome {
        SplitOutcome::ZeroReached { backend, count } => {
            Finding::fail(shares, format!("{}: {count} of {sent} went to {backend}", phrases::ZERO_WEIGHT))
        }
        SplitOutcome::Refused { region, count, p_value } => {
            let fits = format!("{} to {} of {sent} fit {:.1} %", region.low, region.high, region.share * 100.0);
            let because =
                format!("{}: {} got {count}, {fits} (p {}, alpha {:.0e})", phrases::SPLIT, region.backend, tiny(p_value), split.alpha);
            Finding::fail(shares, because)
        }
        SplitOutcome::Fits { .. } if split.power + 1e-9 < split.power_wanted => {
            let (has, wanted) = (split.power * 100.0, split.power_wanted * 100.0);
            Finding::unknown(shares, format!("the sample of {sent} is too small: power {has:.1} %, {wanted:.1} % was asked for"))
        }
        SplitOutcome::Fits { p_value, zero_bound } => {
            let bound = zero_bound.map_or(String::new(), |bound| {
                let (percent, confidence) = (bound * 100.0, ZERO_CONFIDENCE * 100.0);
                format!("; weight 0 gets at most {percent:.2} % ({confidence:.0} % confidence)")
            });
            let (power, alpha) = (split.power * 100.0, split.alpha);
            let because = format!("the split fits the weights (p = {p_value:.2}, alpha {alpha:.0e}, power {power:.1} %){bound}");
            Finding::pass(shares, because)
        }
    }
}

/// A p value beyond what is worth a number.
fn tiny(p_value: f64) -> String {
    if p_value < 1e-30 { "< 1e-30".to_owned() } else { format!("= {p_value:.1e}") }
}

fn in_words(split: &Split, report: &HttpReport) -> String {
    let sent = f64::from(report.sent.max(1));
    let parts: Vec<String> = split
        .shares
        .keys()
        .map(|id| {
            let rows = report.tally.iter().filter(|row| row.backend.as_deref() == Some(id));
            let count: u64 = rows.map(|row| u64::from(row.count)).sum();
            format!("{id} {count} ({:.1} %)", count as f64 / sent * 100.0)
        })
        .collect();
    format!("{} of {} requests", parts.join(", "), report.sent)
}

fn kinds(report: &HttpReport) -> String {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for row in &report.tally {
        let kind = match (row.failure, row.status) {
            (Some(class), _) => super::holds::class(class).to_owned(),
            (None, Some(status)) if status >= 400 => format!("status {status}"),
            (None, Some(_)) => continue,
            (None, None) => "neither status nor failure".to_owned(),
        };
        *kinds.entry(kind).or_default() += u64::from(row.count);
    }
    kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}
