//! `plumb soak`: the same trial many times, and its failure rate with an interval. Nothing is retried; flaky is a result.

use std::path::Path;

use plumb_core::statistics::clopper_pearson;
use plumb_core::verdict::Outcome;
use plumb_engine::library::Library;

use super::trials::{self, Ended};
use crate::args::Soak;
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

pub(crate) fn soak(scenarios: Option<&Path>, soak: &Soak) -> anyhow::Result<Exit> {
    let library = Library::find(scenarios)?;
    let entries = trials::entries(&library, std::slice::from_ref(&soak.name))?;
    let mut plans = Vec::new();
    for run in 0..soak.runs {
        // Every run makes other choices, and every choice can be made again: `plumb run --seed`.
        let choice = crate::args::Choice { seed: soak.choice.seed + u64::from(run), ..soak.choice.clone() };
        plans.extend(trials::plans(&library, &entries, &choice, soak.fault.as_deref())?);
    }
    let progress = Progress::new();
    progress.show_downloads();
    let show = |ended: &Ended| {
        let folder = ended.folder();
        if let plumb_core::report::Trial::Ran(report) = ended.trial(&folder)
            && let Some(why) = report.why()
        {
            progress.say(&format!("seed {}: {why} ({folder})", report.plan.seed));
        }
    };
    let ended = trials::perform(plans, &soak.choice, &progress, &show)?;
    output::say(&summary(&ended));
    Ok(super::run::exit(&ended))
}

fn summary(ended: &[Ended]) -> String {
    let outcomes: Vec<Outcome> = ended
        .iter()
        .filter_map(|ended| match ended {
            Ended::Ran(closed) => Some(closed.verdict.outcome),
            Ended::Skipped(_) | Ended::NotBegun(_) => None,
        })
        .collect();
    let n = outcomes.len() as u64;
    if n == 0 {
        let reasons = ended.first().map(|ended| ended.trial("").reasons().join("; ")).unwrap_or_default();
        return format!("nothing ran: {reasons}");
    }
    let rate = |outcome: Outcome, name: &str| {
        let k = outcomes.iter().filter(|&&seen| seen == outcome).count() as u64;
        let interval = clopper_pearson(k, n, CONFIDENCE);
        let percent = |share: f64| share * 100.0;
        let share = percent(k as f64 / n as f64);
        format!("{name} {k} of {n}: {share:.1} %, 95 % interval {:.1} to {:.1} %", percent(interval.low), percent(interval.high))
    };
    let left = ended.iter().filter(|ended| matches!(ended, Ended::NotBegun(_))).count();
    format!("{}\n{}\nnot begun {left}", rate(Outcome::Fail, "failed"), rate(Outcome::Unknown, "unknown"))
}
