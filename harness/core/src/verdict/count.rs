//! `count`: something in a watch must be there so many times.

use super::finding::Finding;
use super::holds::Answers;
use super::phrases;
use super::run::Run;
use crate::scenario::model::Count;

pub(super) fn count(run: &Run<'_>, step: &Count) -> Finding {
    match &step.canary {
        Some(canary) => payloads(run, step, canary),
        None => arp(run, step),
    }
}

fn payloads(run: &Run<'_>, step: &Count, canary: &str) -> Finding {
    let watched = run.capture(&step.r#in);
    let rests: Vec<_> = watched.observations().chain(run.probes(canary).into_iter().map(|(observation, _)| observation)).collect();
    let gap = watched.gap(&step.r#in);
    let finding = match &watched.report {
        None => Finding::unknown("nothing recorded", gap.unwrap_or_default()),
        Some((_, summary)) => match summary.canaries.iter().find(|hits| hits.name == canary) {
            None => Finding::unknown("nothing looked for", format!("`{}` did not look for the payload of `{canary}`", step.r#in)),
            Some(hits) => {
                let seen = format!(
                    "{} {} on {} ({} in the clear, {} inside VXLAN)",
                    hits.frames(),
                    phrases::PAYLOADS,
                    summary.interface,
                    hits.clear,
                    hits.vxlan
                );
                let doubt = gap.or_else(|| match (summary.dropped, summary.frames) {
                    (0, 0) => Some(format!("{}: `{}` ({})", phrases::BLIND, step.r#in, summary.interface)),
                    (0, _) => None,
                    (dropped, _) => Some(format!("{}: `{}` dropped {dropped}", phrases::LOST, step.r#in)),
                });
                bounded(step, hits.frames(), seen, doubt)
            }
        },
    };
    finding.resting_on(rests)
}

fn arp(run: &Run<'_>, step: &Count) -> Finding {
    let watched = run.arp_watch(&step.r#in);
    let rests: Vec<_> = watched.observations().collect();
    let gap = watched.gap(&step.r#in);
    let finding = match &watched.report {
        None => Finding::unknown("nothing recorded", gap.unwrap_or_default()),
        Some((_, (address, report))) => {
            let answers = Answers::of(*address, report);
            let lost = (answers.dropped > 0).then(|| format!("{}: `{}` dropped {}", phrases::LOST, step.r#in, answers.dropped));
            let (count, seen) = if step.gratuitous == Some(true) {
                let macs: Vec<String> = answers.gratuitous.iter().map(|(_, mac)| run.context.mac_in_words(mac)).collect();
                let from = if macs.is_empty() { String::new() } else { format!(" from {}", macs.join(", ")) };
                (answers.gratuitous.len() as u64, format!("{} {} for {address}{from}", answers.gratuitous.len(), phrases::GRATUITOUS))
            } else {
                let most = answers.questions.iter().max_by_key(|(_, macs)| macs.len());
                let macs: Vec<String> = most.into_iter().flat_map(|(_, macs)| macs).map(|mac| run.context.mac_in_words(mac)).collect();
                let at = most.map_or(0, |(at, _)| run.run_ms(*at));
                let words =
                    format!("{} {} the same question for {address} at {at} ms of the run: {}", macs.len(), phrases::MACS, macs.join(", "));
                (answers.overlap() as u64, words)
            };
            // That no two answer is shown only where somebody was heard to answer.
            let deaf = || (answers.macs.is_empty() && run.arp_control().is_none()).then(|| phrases::NO_ARP_CONTROL.to_owned());
            let unheard = if step.answerers == Some(true) && step.min.unwrap_or(0) == 0 { deaf() } else { None };
            bounded(step, count, seen, gap.or(lost).or(unheard))
        }
    };
    finding.resting_on(rests)
}

/// More may have been there than was seen, never less: a doubt spares whatever is too few, and takes the proof from `max`.
fn bounded(step: &Count, count: u64, seen: String, doubt: Option<String>) -> Finding {
    let (min, max) = (step.min.unwrap_or(0), step.max.unwrap_or(u64::MAX));
    if count > max {
        return Finding::fail(seen.clone(), format!("{seen}, expected at most {max}"));
    }
    if let Some(doubt) = doubt
        && (count < min || step.max.is_some())
    {
        return Finding::unknown(seen, doubt);
    }
    if count < min {
        return Finding::fail(seen.clone(), format!("{seen}, expected at least {min}"));
    }
    Finding::pass(seen.clone(), seen)
}
