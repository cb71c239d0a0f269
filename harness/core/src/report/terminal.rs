//! A run, or the summary of a suite, as text for people. Plain unless asked for colour.

use super::{Counts, Report, Trial, remarks, systems, word};
use crate::mistakes::Paint;
use crate::verdict::{CheckVerdict, Outcome};

/// One run: the system, each check with its reason, what failed in detail, and what was shown in all.
pub fn run(report: &Report<'_>, paint: Paint) -> String {
    let (plan, verdict) = (report.plan, report.verdict);
    let mut out = format!("{}\n{} (profile {}, seed {})\n", verdict.system, verdict.trial, plan.profile.name, plan.seed);
    out.push_str(&format!("  {}\n", plan.scenario.title));
    for remark in remarks(report) {
        out.push_str(&format!("  {remark}\n"));
    }
    let width = verdict.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    for check in &verdict.checks {
        out.push_str(&format!("  {} {:width$}  {}\n", painted(check.outcome, paint), check.id, check.because));
        if check.outcome != Outcome::Pass {
            out.push_str(&detail(report, check));
        }
    }
    for trouble in &verdict.troubles {
        out.push_str(&format!("  {} {trouble}\n", painted(Outcome::Unknown, paint)));
    }
    out.push_str(&format!("  {}\n", conclusion(report)));
    out
}

fn detail(report: &Report<'_>, check: &CheckVerdict) -> String {
    let mut out = String::new();
    for (name, text) in [("expected", &check.expected), ("seen", &check.seen), ("evidence", &report.evidence(check))] {
        if !text.is_empty() {
            out.push_str(&format!("            {name:8}  {text}\n"));
        }
    }
    out
}

fn conclusion(report: &Report<'_>) -> String {
    let Counts { passed, failed, unknown, .. } = Counts::of_checks(report.verdict);
    let took = report.took_ms() as f64 / 1000.0;
    let all = passed + failed + unknown;
    match report.verdict.outcome {
        Outcome::Pass => format!("shown in {took:.1} s, {all} checks: {}", report.plan.scenario.intent),
        Outcome::Fail => format!("broken in {took:.1} s: {failed} of {all} checks failed, {unknown} unknown"),
        Outcome::Unknown => format!("undecided in {took:.1} s: {unknown} of {all} checks unknown, the lab's trouble and not the product's"),
    }
}

/// A suite: a line a trial, and the counts.
pub fn suite(trials: &[Trial<'_>], paint: Paint) -> String {
    let mut out = format!("{}\n", systems(trials));
    let width = trials.iter().map(|trial| trial.plan().trial.len()).max().unwrap_or(0);
    for trial in trials {
        match trial {
            Trial::Ran(report) => {
                let what = report.why().unwrap_or_else(|| report.plan.scenario.title.clone());
                out.push_str(&format!("  {} {:width$}  {what}\n", painted(report.verdict.outcome, paint), report.verdict.trial));
            }
            Trial::Skipped(plan) => out.push_str(&format!("  skipped {:width$}  {}\n", plan.trial, trial.reasons().join("; "))),
        }
    }
    out.push_str(&format!("{}\n", Counts::of(trials).in_words()));
    out
}

fn painted(outcome: Outcome, paint: Paint) -> String {
    let text = format!("{:7}", word(outcome));
    let code = match outcome {
        Outcome::Pass => "32",
        Outcome::Unknown => "33",
        Outcome::Fail => "1;31",
    };
    match paint {
        Paint::Plain => text,
        Paint::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
    }
}
