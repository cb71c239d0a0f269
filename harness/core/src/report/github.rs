//! A suite as a GitHub step summary (Markdown): a table of trials, and a section for each that is not a pass.

use super::{Counts, Report, Trial, remarks, systems, word};
use crate::verdict::Outcome;

/// Renders trials. The text ends with a line break.
pub fn suite(trials: &[Trial<'_>]) -> String {
    let mut out = format!("**{}**\n\n| verdict | trial | what it shows |\n|---|---|---|\n", escaped(&systems(trials)));
    for trial in trials {
        let (verdict, what) = match trial {
            Trial::Ran(report) => (word(report.verdict.outcome), report.why().unwrap_or_else(|| report.plan.scenario.intent.clone())),
            Trial::Skipped(_) => ("skipped", trial.reasons().join("; ")),
        };
        out.push_str(&format!("| {verdict} | `{}` | {} |\n", trial.plan().trial, escaped(&what)));
    }
    out.push_str(&format!("\n{}\n", Counts::of(trials).in_words()));
    for trial in trials {
        match trial {
            Trial::Ran(report) if report.verdict.outcome != Outcome::Pass => out.push_str(&section(report)),
            _ => {}
        }
    }
    out
}

fn section(report: &Report<'_>) -> String {
    let mut out = format!("\n### `{}`\n\n", report.verdict.trial);
    for remark in remarks(report).iter().chain(&report.verdict.troubles) {
        out.push_str(&format!("- {}\n", escaped(remark)));
    }
    for check in report.verdict.checks.iter().filter(|check| check.outcome != Outcome::Pass) {
        out.push_str(&format!("- {} **{}**: {}\n", word(check.outcome), check.id, escaped(&check.because)));
        let lines = [("expected", check.expected.clone()), ("seen", check.seen.clone()), ("evidence", report.evidence(check))];
        for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            out.push_str(&format!("  - {name}: {}\n", escaped(text)));
        }
    }
    out
}

/// What a cell of a table cannot hold, and what Markdown or HTML would read as its own.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            _ => out.push(character),
        }
    }
    out
}
