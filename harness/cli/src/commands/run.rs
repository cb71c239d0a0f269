//! `plumb run`: plan, run, report.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use plumb_core::mistakes::Paint;
use plumb_core::plan::{Disposition, Plan};
use plumb_core::report::{Trial, html, terminal};
use plumb_core::verdict::Outcome;
use plumb_engine::folder::RunFolder;
use plumb_engine::labs::keeper::Request;
use plumb_engine::library::Library;
use plumb_engine::run::Closed;

use super::runs::Stored;
use super::trials::{self, Ended};
use crate::args::{KEEP, Run};
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

pub(crate) fn run(scenarios: Option<&Path>, run: &Run) -> anyhow::Result<Exit> {
    let library = Library::find(scenarios)?;
    let entries = trials::entries(&library, &run.names)?;
    let plans = trials::plans(&library, &entries, &run.choice, run.fault.as_deref())?;
    if run.keep {
        return keep(plans, run);
    }
    let progress = Progress::new();
    progress.show_downloads();
    let paint = output::paint();
    let several = plans.len() > 1;
    let show = |ended: &Ended| finish(ended, several, paint, &progress);
    let ended = trials::perform(plans, &run.choice, &progress, &show)?;
    if several {
        let folders: Vec<String> = ended.iter().map(Ended::folder).collect();
        let trials: Vec<Trial<'_>> = ended.iter().zip(&folders).map(|(ended, folder)| ended.trial(folder)).collect();
        output::say(&terminal::suite(&trials, paint));
    }
    Ok(exit(&ended))
}

/// Runs one scenario in a lab that stays: the keeper of the lab runs it, so that it need not change hands.
fn keep(plans: Vec<Plan>, run: &Run) -> anyhow::Result<Exit> {
    let [plan] = <[Plan; 1]>::try_from(plans)
        .map_err(|plans| anyhow!("keep the lab of {} scenarios: --keep takes one\nhint: name the scenario", plans.len()))?;
    let progress = Progress::new();
    let paint = output::paint();
    if let Disposition::Skip(_) = plan.disposition {
        let ended = Ended::Skipped(Box::new(plan));
        finish(&ended, false, paint, &progress);
        return Ok(exit(&[ended]));
    }
    let name: String = plan.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(40).collect();
    let made_by = format!("plumb run {} --keep", plan.name);
    let (out, given) = (run.choice.out.clone(), run.choice.parts.given());
    let request = Request { name, made_by, plan, out, given, keep_s: run.expire.unwrap_or(KEEP).as_secs() };
    let started = super::up::ask(&request)?;
    let Stored { plan, observations, verdict, .. } = Stored::read(&started.run)?;
    let (plan, unwritten) = (Arc::new(plan), started.unwritten);
    let closed = Closed { folder: started.run, plan, observations, verdict, unwritten, afterwards: Vec::new(), took: Duration::ZERO };
    let folder = closed.folder.clone();
    let ended = Ended::Ran(Box::new(closed));
    finish(&ended, false, paint, &progress);
    match &started.up {
        Some(kept) => output::say(&super::up::how_to_use(&request.name, kept, &folder)),
        None => output::note("plumb: no lab is kept: there is none, or the run was stopped"),
    }
    Ok(exit(&[ended]))
}

/// Writes the page into the run folder and tells what a trial showed: all of it when it is the only one or not green.
fn finish(ended: &Ended, several: bool, paint: Paint, progress: &Progress) {
    let folder = ended.folder();
    match ended.trial(&folder) {
        Trial::Skipped(plan) => progress.say(&format!("skipped {}: {}", plan.trial, ended.trial("").reasons().join("; "))),
        Trial::Ran(report) => {
            let page = RunFolder::open(Path::new(&folder)).write("report.html", html::run(&report).as_bytes());
            if let Err(error) = page {
                output::note(&format!("plumb: failed to {error}"));
            }
            if !several || report.verdict.outcome != Outcome::Pass {
                progress.say(&terminal::run(&report, paint));
            }
            if let Some(why) = report.why() {
                progress.say(&format!("{}: {why}", report.verdict.trial));
            }
        }
    }
    if let Ended::Ran(closed) = ended
        && let Some(unwritten) = &closed.unwritten
    {
        output::note(&format!("plumb: failed to {unwritten}"));
    }
}

/// Skipped trials do not make a run green by themselves, and one that was not begun makes it unknown.
pub(super) fn exit(ended: &[Ended]) -> Exit {
    Exit::of(ended.iter().filter_map(|ended| match ended {
        Ended::Ran(closed) => Some(closed.verdict.outcome),
        Ended::NotBegun(_) => Some(Outcome::Unknown),
        Ended::Skipped(_) => None,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn plan() -> Box<plumb_core::plan::Plan> {
        let text = include_str!("../../../core/tests/recorded/files/refnet-tls-passthrough/plan.json");
        Box::new(plumb_core::plan::read(text).unwrap())
    }

    #[test]
    fn trial_that_was_not_begun_is_unknown_and_skipped_ones_alone_are_nothing() {
        assert_eq!(exit(&[Ended::NotBegun(plan())]), Exit::Unknown);
        assert_eq!(exit(&[Ended::Skipped(plan())]), Exit::NothingRan);
    }
}
