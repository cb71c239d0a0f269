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
        (Some((_, report)), _) => decide(run, step, what, &of_load(report), broken),
        (None, Some((_, (address, report)))) => {
            let answers = Answers::of(*address, report);
            let samples: Vec<(u64, bool)> = answers.questions.iter().map(|(at, macs)| (*at, !macs.is_empty())).collect();
            let lost = (answers.dropped > 0).then(|| format!("{}: `{}` dropped {}", phrases::LOST, step.of, answers.dropped));
            decide(run, step, what, &longest_gap(&samples, answers.to_ns), broken.or(lost))
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
    let until = samples.last().map_or(0, |last| last.0.saturating_add(report.interval_ms.saturating_mul(1_000_000)));
    longest_gap(&samples, until)
}

fn decide(run: &Run<'_>, step: &Downtime, what: &str, gap: &Gap, doubt: Option<String>) -> Finding {
    let (min, max) = (step.min.as_ref().map_or(0, span_ms), span_ms(&step.max));
    let (ms, resolution) = (gap.ms(), gap.resolution_ms());
    let seen = format!(
        "longest gap {ms} ms (known to {resolution} ms) from {} ms of the run on; {} of {} samples lost",
        run.run_ms(gap.from_ns),
        gap.lost_in_all,
        gap.samples
    );
    if gap.samples == 0 {
        return Finding::unknown(seen, format!("{}: `{}` sent nothing", phrases::NEVER_THERE, step.of));
    }
    // A gap lies between two times of presence, or begins with one. What was never there is for other checks to say.
    if gap.lost_in_all == gap.samples {
        return Finding::unknown(seen, format!("{} of `{}`: there was nothing to be away", phrases::NEVER_THERE, step.of));
    }
    // A gap may be shorter than measured by its resolution: only what is longer for certain fails.
    if ms > max.saturating_add(resolution) {
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
