//! A run as one HTML page that needs nothing else: verdict, checks, and everything that was observed, in order.

use maud::{DOCTYPE, Markup, html};

use super::{Counts, Report, remarks, word};
use crate::evidence::{Fact, Observation};
use crate::plan::Plan;
use crate::scenario::model::FaultOutcome;
use crate::verdict::{CheckVerdict, Outcome};

/// Longest text of one observation on the page, in characters; the file has the rest.
const TEXT_MAX: usize = 2_000;

const STYLE: &str = "
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1d2430;background:#fff}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .6rem}
.system{font-weight:600;color:#6b3d00;background:#fff4dd;padding:.4rem .7rem;border-radius:.3rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #e3e7ee}
th{font-weight:600;color:#5a6475}
.pass{color:#12693a}.fail{color:#b3141d;font-weight:700}.unknown{color:#8a5a00;font-weight:600}
.n{font-variant-numeric:tabular-nums;white-space:nowrap;color:#5a6475}
code,pre{font:12.5px/1.4 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;max-height:16rem;overflow:auto}
details summary{cursor:pointer}dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.4rem 0}dt{color:#5a6475}dd{margin:0}
tr:target{background:#eef4ff}a{color:#1f55b5}
";

/// Renders a run. Links are relative to the run folder, where the page lies.
pub fn run(report: &Report<'_>) -> String {
    let (plan, verdict) = (report.plan, report.verdict);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (word(verdict.outcome)) " " (verdict.trial) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                p.system { (verdict.system) }
                h1 { span class=(class(verdict.outcome)) { (word(verdict.outcome)) } " " (verdict.trial) }
                p { (plan.scenario.title) }
                (summary(report))
                h2 { "Checks" }
                table {
                    tr { th { "verdict" } th { "check" } th { "why" } th { "rests on" } }
                    @for check in &verdict.checks { (row(check, &turned_by(plan, &check.id))) }
                    @for trouble in &verdict.troubles {
                        tr { td.unknown { "unknown" } td { "the run" } td { (trouble) } td {} }
                    }
                }
                h2 { "What was observed" }
                table {
                    tr { th { "seq" } th { "ms" } th { "step" } th { "what" } }
                    @for observation in report.observations { (line(observation)) }
                }
            }
        }
    };
    page.into_string()
}

fn summary(report: &Report<'_>) -> Markup {
    let plan = report.plan;
    html! {
        dl {
            dt { "intent" } dd { (plan.scenario.intent) }
            @for limitation in &plan.scenario.limitations { dt { "limitation" } dd { (limitation) } }
            @for covered in &plan.scenario.covers {
                dt { "promise" } dd { (covered.promise) " (" (covered.document) ", " (covered.section) ")" }
            }
            dt { "profile" } dd { (plan.profile.name) ": " (plan.profile.title) }
            dt { "seed" } dd { (plan.seed) }
            dt { "checks" } dd { (Counts::of_checks(report.verdict).in_words()) }
            dt { "took" } dd { (report.took_ms()) " ms" }
            @for remark in remarks(report) { dt { "note" } dd { (remark) } }
            dt { "files" } dd {
                a href="plan.json" { "plan" } " " a href="evidence.jsonl" { "evidence" } " "
                a href="verdict.json" { "verdict" } " " a href="ledger.jsonl" { "ledger" }
            }
        }
    }
}

/// The faults of the reference network that turn a check, as its scenario declares them and the table of faults tests.
fn turned_by(plan: &Plan, check: &str) -> String {
    let cases = plan.scenario.faults.iter().filter(|case| case.turns.iter().any(|turned| turned == check));
    let words = cases.map(|case| match case.into {
        FaultOutcome::Fail => case.fault.clone(),
        FaultOutcome::Unknown => format!("{} (unknown)", case.fault),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn row(check: &CheckVerdict, turned_by: &str) -> Markup {
    html! {
        tr {
            td class=(class(check.outcome)) { (word(check.outcome)) }
            td { code { (check.id) } }
            td {
                (check.because)
                details open[check.outcome != Outcome::Pass] {
                    summary { "expected and seen" }
                    dl {
                        dt { "expected" } dd { (check.expected) }
                        dt { "seen" } dd { (check.seen) }
                        @if !turned_by.is_empty() { dt { "turned by" } dd { (turned_by) } }
                    }
                }
            }
            td.n {
                @for seq in &check.rests_on { a href={ "#o" (seq) } { (seq) } " " }
                @for file in &check.evidence { br; a href=(file) { (file) } }
            }
        }
    }
}

fn line(observation: &Observation) -> Markup {
    let value = serde_json::to_value(&observation.fact).unwrap_or_default();
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    let short: String = text.chars().take(TEXT_MAX).collect();
    let more = short.len() < text.len();
    html! {
        tr id={ "o" (observation.seq) } {
            td.n { (observation.seq) }
            td.n { (format!("{:.1}", observation.at_ns as f64 / 1e6)) }
            td { @if let Some(step) = &observation.step { code { (step) } } }
            td {
                @if short.lines().count() > 1 {
                    details {
                        summary { (name(&observation.fact)) }
                        pre { (short) @if more { "\n... the rest is in evidence.jsonl" } }
                    }
                } @else { (name(&observation.fact)) }
                @for blob in &observation.blobs { " " a href=(blob) { (blob) } }
            }
        }
    }
}

fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::Began(_) => "the run began",
        Fact::Lab(_) => "the lab is ready",
        Fact::Certs(_) => "certificates were made",
        Fact::StepBegan => "the step began",
        Fact::StepEnded => "the step ended",
        Fact::StepFailed(_) => "the step could not be carried out",
        Fact::Applied { .. } => "the API accepted an object",
        Fact::Refused { .. } => "the API refused an object",
        Fact::Probe(_) => "a probe",
        Fact::Waited(_) => "a wait ended",
        Fact::WatchBegan { .. } => "a watch is live",
        Fact::Capture(_) => "a capture ended",
        Fact::ArpWatch { .. } => "an ARP watch ended",
        Fact::Load(_) => "a load ended",
        Fact::WatchBroken(_) => "a watch did not end well",
        Fact::Node { .. } => "something was done to a node",
        Fact::Disrupted(_) => "something of the lab was broken, or is whole again",
        Fact::Replaced { .. } => "a cluster did not take other values in place and was replaced",
        Fact::Upgraded(_) => "Cilium was upgraded",
        Fact::Restarted { .. } => "a part of Cilium was restarted",
        Fact::Config(_) => "Cilium's configuration",
        Fact::ClockJump { .. } => "the wall clock jumped",
        Fact::Interrupted { .. } => "the run was interrupted",
        Fact::Collected { .. } => "collected",
        Fact::Ended => "the run ended",
    }
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Unknown => "unknown",
        Outcome::Fail => "fail",
    }
}
