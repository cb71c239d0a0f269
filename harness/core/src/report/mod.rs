//! Reports: a run or a suite of runs as text for a terminal, JUnit XML, HTML and a GitHub step summary. Pure, and never a judgement:
//! everything said here stands in the verdict.
//!
//! The first line of every form names the system; on the reference network it says that this is not Cilium.

pub mod github;

pub mod html;

pub mod junit;

pub mod terminal;

use crate::evidence::Observation;
use crate::plan::{Disposition, Plan};
use crate::verdict::{CheckVerdict, NOT_CILIUM, Outcome, Verdict};

/// A run that was judged.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// What was decided before.
    pub plan: &'a Plan,
    /// What was seen.
    pub observations: &'a [Observation],
    /// What it says.
    pub verdict: &'a Verdict,
    /// The run folder, as a reader would type it.
    pub folder: &'a str,
}

/// One trial of a suite.
#[derive(Debug, Clone, Copy)]
pub enum Trial<'a> {
    /// It ran.
    Ran(Report<'a>),
    /// It was skipped: its plan says why.
    Skipped(&'a Plan),
}

/// How many trials ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Unknown.
    pub unknown: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Counts {
    /// Counts trials.
    pub fn of(trials: &[Trial<'_>]) -> Counts {
        let mut counts = Counts::default();
        for trial in trials {
            match trial {
                Trial::Skipped(_) => counts.skipped += 1,
                Trial::Ran(report) => counts.add(report.verdict.outcome),
            }
        }
        counts
    }

    /// Counts the checks of one run.
    pub fn of_checks(verdict: &Verdict) -> Counts {
        let mut counts = Counts::default();
        for check in &verdict.checks {
            counts.add(check.outcome);
        }
        counts
    }

    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail => self.failed += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    /// `7 passed, 1 failed, 0 unknown, 14 skipped`.
    pub fn in_words(&self) -> String {
        let Counts { passed, failed, unknown, skipped } = self;
        format!("{passed} passed, {failed} failed, {unknown} unknown, {skipped} skipped")
    }
}

impl Report<'_> {
    /// How long it took, in milliseconds: the time of its last observation.
    pub fn took_ms(&self) -> u64 {
        self.observations.last().map_or(0, |last| last.at_ns / 1_000_000)
    }

    /// The worst check in one line, or the trouble of the whole run; `None` for a pass.
    pub fn why(&self) -> Option<String> {
        let verdict = self.verdict;
        if verdict.outcome == Outcome::Pass {
            return None;
        }
        let worst = verdict.checks.iter().find(|check| check.outcome == verdict.outcome);
        let trouble = verdict.troubles.first().cloned();
        // Nothing was seen because of the trouble: that is the reason, not the first check there is nothing of.
        let silent = |check: &&CheckVerdict| check.outcome == Outcome::Unknown && check.rests_on.is_empty() && trouble.is_some();
        Some(match worst.filter(|check| !silent(check)) {
            Some(check) => format!("{}: {}", check.id, check.because),
            None => trouble.unwrap_or_else(|| "no check was made".to_owned()),
        })
    }

    /// Where the evidence of a check lies: lines of the evidence file and further files.
    pub fn evidence(&self, check: &CheckVerdict) -> String {
        let lines: Vec<String> = check.rests_on.iter().map(ToString::to_string).collect();
        let mut places = Vec::new();
        if !lines.is_empty() {
            places.push(format!("{}/evidence.jsonl seq {}", self.folder, lines.join(", ")));
        }
        // The evidence file itself has just been named with its lines.
        let files = check.evidence.iter().filter(|file| lines.is_empty() || *file != "evidence.jsonl");
        places.extend(files.map(|file| format!("{}/{file}", self.folder)));
        places.join("; ")
    }
}

impl Trial<'_> {
    /// Its plan.
    pub fn plan(&self) -> &Plan {
        match self {
            Trial::Ran(report) => report.plan,
            Trial::Skipped(plan) => plan,
        }
    }

    /// Why it was skipped; empty when it ran.
    pub fn reasons(&self) -> &[String] {
        match (self, &self.plan().disposition) {
            (Trial::Skipped(_), Disposition::Skip(reasons)) => reasons,
            _ => &[],
        }
    }
}

/// The first line of a suite: which systems it is about, the reference network by its warning.
fn systems(trials: &[Trial<'_>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for trial in trials {
        if let Trial::Ran(report) = trial
            && !names.contains(&report.verdict.system.as_str())
        {
            names.push(&report.verdict.system);
        }
    }
    // The warning stands first, whatever else ran.
    names.sort_by_key(|name| !name.starts_with(NOT_CILIUM));
    if names.is_empty() { "nothing ran".to_owned() } else { names.join("; ") }
}

/// What variants, faults, values and happenings a reader has to know of, one line each.
fn remarks(report: &Report<'_>) -> Vec<String> {
    let plan = report.plan;
    let mut remarks = Vec::new();
    if let Some(fault) = &plan.fault {
        remarks.push(format!("fault switched on: {fault}"));
    }
    if !plan.variants.is_empty() {
        remarks.push(format!("variants in force: {}", plan.variants.join(", ")));
    }
    if let Some(adopted) = &plan.adopted {
        remarks.push(format!("found, not made: {}", adopted.system));
        remarks.extend(adopted.differences.iter().map(|difference| format!("differs from what is asked for: {difference}")));
    }
    if !plan.unmodelled.is_empty() {
        remarks.push(format!("values this provider does not model: {}", plan.unmodelled.join(", ")));
    }
    remarks.extend(crate::profile::foreseen(plan).iter().map(known_beforehand));
    remarks.extend(report.verdict.remarks.iter().cloned());
    remarks
}

/// A finding of the flag lint in one line.
fn known_beforehand(finding: &crate::profile::Finding) -> String {
    format!("known beforehand ({} in {}): {}; cure: {}", finding.rule, finding.place, finding.happens, finding.cure)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Unknown => "unknown",
        Outcome::Fail => "FAIL",
    }
}

#[cfg(test)]
mod tests;
