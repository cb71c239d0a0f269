//! `downtime`: the longest gap of a load or of an ARP watch, in milliseconds with its resolution.

use super::finding::Finding;
use super::holds::Answers;
use super::phrases;
use super::run::Run;
use crate::probe::LoadReport;
use crate::scenario::model::{Downtime, Watch};
use crate::statistics::{Gap, longest_gap};
use crate::steps::span_ms;

/// So many lost samples at the very end may be the stopping of the watch itself.
const TAIL: u64 = 2;

pub(super) fn downtime(run: &Run<'_>, step: &Downtime) -> Finding {
    let what = match run.watch(&step.of) {
        Some(Watch::Arp(_)) => "ARP",
        _ => "the service",
    };
    let (load, arp) = (run.load(&step.of), run.arp_watch(&step.of));
    let rests: Vec<_> = load.observations().chain(arp.observations()).collect();
    let broken = load.broken.is_some().then(|| load.gap(&step.of)).flatten();
    let finding = match (&load.report, &arp.report) {
        (Some((_, report)), _) => {
            let gap = of_load(report);
            let stalled_ms = stalled_ms(report, &gap);
            decide(run, step, what, &Away { gap, stalled_ms }, broken)
        }
        (None, Some((_, (address, report)))) => {
            let answers = Answers::of(*address, report);
            let samples: Vec<(u64, bool)> = answers.questions.iter().map(|(at, macs)| (*at, !macs.is_empty())).collect();
            let lost = (answers.dropped > 0).then(|| format!("{}: `{}` dropped {}", phrases::LOST, step.of, answers.dropped));
            decide(run, step, what, &Away { gap: longest_gap(&samples, answers.to_ns), stalled_ms: 0 }, broken.or(lost))
        }
        (None, None) => Finding::unknown("nothing recorded", load.gap(&step.of).unwrap_or_default()),
    };
    finding.resting_on(rests)
}

fn of_load(report: &LoadReport) -> Gap {
    let mut samples: Vec<(u64, bool)> = report
        .samples
        .iter()
        .map(|sample| (sample.at_ns, sample.rtt_us.is_some() && sample.status.is_none_or(|status| status < 500)))
        .collect();
    samples.sort_unstable();
    let after = samples.last().map_or(0, |last| last.0.saturating_add(report.interval_ms.saturating_mul(1_000_000)));
    longest_gap(&samples, report.to_ns.unwrap_or(after).max(samples.last().map_or(0, |last| last.0)))
}

/// How long something was away.
struct Away {
    gap: Gap,
    /// How much of the gap the backend did not run, by its own word.
    stalled_ms: u64,
}

/// How much of a gap the backend that answered next says it did not run. Both ends of its word are the client's clock: when the answer
/// came, less what it says it was ago. An answer that never came says nothing.
fn stalled_ms(report: &LoadReport, gap: &Gap) -> u64 {
    let until_ns = gap.from_ns.saturating_add(gap.ns);
    let after = report.samples.iter().filter(|sample| sample.at_ns >= until_ns).min_by_key(|sample| sample.at_ns);
    let Some((sample, rtt_us)) = after.and_then(|sample| Some((sample, sample.rtt_us?))) else { return 0 };
    let answered_ns = sample.at_ns.saturating_add(rtt_us.saturating_mul(1_000));
    let ns = |ms: u64| ms.saturating_mul(1_000_000);
    let within = sample.stalled.iter().map(|stall| {
        let to_ns = answered_ns.saturating_sub(ns(stall.ago_ms));
        let from_ns = to_ns.saturating_sub(ns(stall.ms));
        to_ns.min(until_ns).saturating_sub(from_ns.max(gap.from_ns))
    });
    within.fold(0, u64::saturating_add) / 1_000_000
}

fn decide(run: &Run<'_>, step: &Downtime, what: &str, away: &Away, doubt: Option<String>) -> Finding {
    let Away { gap, stalled_ms } = away;
    let (min, max) = (step.min.as_ref().map_or(0, span_ms), span_ms(&step.max));
    let (ms, resolution) = (gap.ms(), gap.resolution_ms());
    let mut seen = format!(
        "longest gap {ms} ms (known to {resolution} ms) from {} ms of the run on; {} of {} samples lost",
        run.run_ms(gap.from_ns),
        gap.lost_in_all,
        gap.samples
    );
    if *stalled_ms > 0 {
        seen.push_str(&format!("; the backend did not run for {stalled_ms} ms of it"));
    }
    if gap.samples == 0 {
        return Finding::unknown(seen, format!("{}: `{}` sent nothing", phrases::NEVER_THERE, step.of));
    }
    // A gap lies between two times of presence, or begins with one. What was never there is for other checks to say.
    if gap.lost_in_all == gap.samples {
        return Finding::unknown(seen, format!("{} of `{}`: there was nothing to be away", phrases::NEVER_THERE, step.of));
    }
    // A gap may be shorter than measured by its resolution: only what is longer for certain fails.
    if ms > max.saturating_add(resolution) {
        // What the backend did not run through says nothing of the network: without it the rest must still be too long.
        if ms.saturating_sub(*stalled_ms) <= max.saturating_add(resolution) {
            return Finding::unknown(seen, format!("{} for {stalled_ms} ms of the {ms} ms without an answer", phrases::STARVED));
        }
        let because = format!("{what} was {} {ms} ms (known to {resolution} ms), longer than {max} ms", phrases::AWAY);
        return Finding::fail(seen, because);
    }
    if let Some(doubt) = doubt {
        return Finding::unknown(seen, doubt);
    }
    if gap.open && gap.lost > TAIL {
        return Finding::unknown(seen, format!("{what} {} ({} samples)", phrases::STILL_AWAY, gap.lost));
    }
    if ms > max {
        let because = format!("{what} was {} {ms} ms, which {resolution} ms of resolution do not tell from {max} ms", phrases::AWAY);
        return Finding::unknown(seen, because);
    }
    if gap.blind_ms() > max.max(1) {
        return Finding::unknown(seen, format!("the watch itself paused for {} ms, longer than {max} ms", gap.blind_ms()));
    }
    if ms.saturating_add(resolution) < min {
        let because = format!("{}: the longest gap is {ms} ms, a real one has {min} ms at least", phrases::NO_DISRUPTION);
        return Finding::unknown(seen, because);
    }
    Finding::pass(seen, format!("{what} was {} {ms} ms (known to {resolution} ms), at most {max} ms", phrases::AWAY))
}
