//! Verdicts: what the evidence says of each check. Pure; the same plan and observations give the same bytes.
//!
//! [`holds`] says of one observation whether an expectation is met and is what live waits use too. The phrases a
//! reason is made of are in [`phrases`].

mod config;
mod context;
mod count;
mod distribution;
mod downtime;
mod finding;
mod holds;
mod never;
pub mod phrases;
mod probes;
mod run;
mod words;

pub use context::Context;
pub use holds::{Blocker, holds};

use serde::{Deserialize, Serialize};

use crate::evidence::{Fact, Observation, Whose};
use crate::plan::Plan;
use crate::scenario::model::Step;
use crate::steps::{Named, ProbeRef};
use finding::Finding;
use run::Run;

/// What the first line of a report on the reference network begins with.
pub const NOT_CILIUM: &str = "REFERENCE NETWORK, NOT CILIUM";

/// What the system of a lab or of a cluster that was found begins with where it is the reference network.
const REFERENCE: &str = "reference network";

/// Judges a run. The observations are those of its evidence file, whole or not.
pub fn judge(plan: &Plan, observations: &[Observation]) -> Verdict {
    let run = Run::new(plan, observations);
    let checks: Vec<CheckVerdict> = run.steps.iter().filter_map(|named| check(&run, named)).collect();
    let troubles = run.troubles();
    let worst = checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Unknown);
    let outcome = if troubles.is_empty() { worst } else { worst.max(Outcome::Unknown) };
    Verdict { version: VERDICT, trial: plan.trial.clone(), outcome, system: system(&run), checks, troubles, remarks: run.remarks() }
}

fn system(run: &Run<'_>) -> String {
    let system = &run.context.lab.system;
    // What was found before the run is what there is to say of a lab that never came up.
    let found = run.plan.adopted.as_ref().map(|adopted| adopted.system.as_str()).unwrap_or_default();
    let system = if system.is_empty() { found } else { system };
    let is_reference = run.plan.provider == "refnet" || system.starts_with(REFERENCE);
    match (is_reference, system.is_empty()) {
        (true, true) => NOT_CILIUM.to_owned(),
        (true, false) => format!("{NOT_CILIUM}: {system}"),
        (false, true) => format!("unknown system on {}", run.plan.provider),
        (false, false) => system.to_owned(),
    }
}

/// The verdict of a check; of another step only when it could not be carried out.
fn check(run: &Run<'_>, named: &Named<'_>) -> Option<CheckVerdict> {
    let found = if named.step.is_check() { Some(rule(run, named)) } else { refused_unexpectedly(run, named) };
    let finding = match (run.failed(&named.id), found) {
        (None, found) => found?,
        // What the evidence proves is not undone by the trouble that came after it.
        (Some(_), Some(found)) if found.outcome == Outcome::Fail => found,
        (Some((observation, trouble)), found) => {
            let outcome = if trouble.whose == Whose::Product { Outcome::Fail } else { Outcome::Unknown };
            let seen = found.map_or_else(|| trouble.message.clone(), |found| found.seen);
            Finding::new(outcome, seen, run::in_words(trouble)).resting_on([observation])
        }
    };
    Some(finding.named(&named.id, words::expected(named.step)))
}

fn rule(run: &Run<'_>, named: &Named<'_>) -> Finding {
    match named.step {
        Step::Apply(step) => probes::refused(run, &named.id, step.expect_error.as_deref().unwrap_or_default()),
        Step::Eventually(step) => probes::eventually(run, step),
        Step::Consistently(step) => probes::consistently(run, step),
        Step::Never(step) => never::never(run, step),
        Step::Count(step) => count::count(run, step),
        Step::Distribution(step) => distribution::distribution(run, step),
        Step::Downtime(step) => downtime::downtime(run, step),
        Step::Config(step) => config::config(run, step),
        Step::Upgrade(step) => upgraded(run, &step.id),
        other => match ProbeRef::of(other) {
            Some(probe) => probes::single(run, &named.id, probe),
            None => Finding::unknown("nothing to judge", phrases::NO_EVIDENCE),
        },
    }
}

/// An upgrade that came to its end; one that did not is a step that failed.
fn upgraded(run: &Run<'_>, id: &str) -> Finding {
    let found = run.of(id).find_map(|observation| match &observation.fact {
        Fact::Upgraded(upgraded) => Some((observation, upgraded)),
        _ => None,
    });
    let Some((observation, upgraded)) = found else { return Finding::unknown("nothing recorded", phrases::NO_EVIDENCE) };
    let ready_ms = upgraded.parts_ms.values().copied().max().unwrap_or(0);
    let seen = format!("Cilium {} ready {ready_ms} ms after the command, which took {} ms", upgraded.to, upgraded.took_ms);
    Finding::pass(seen.clone(), seen).resting_on([observation])
}

/// A step that only acts and whose object the API refused.
fn refused_unexpectedly(run: &Run<'_>, named: &Named<'_>) -> Option<Finding> {
    run.of(&named.id).find_map(|observation| match &observation.fact {
        Fact::Refused { object, code, reason, message } => {
            let seen = format!("{object}: {code} {reason}: {message}");
            let because = format!("the API refused {seen}");
            Some(Finding::unknown(seen, because).resting_on([observation]))
        }
        _ => None,
    })
}

/// Version of the verdict format.
pub const VERDICT: u32 = 1;

/// pass < unknown < fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The promise held, and its controls were there.
    Pass,
    /// The evidence does not decide: the lab's trouble, not the product's.
    Unknown,
    /// The promise was broken.
    Fail,
}

/// What a run showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// [`VERDICT`].
    pub version: u32,
    /// `<provider>::<scenario>[@<profile>]`.
    pub trial: String,
    /// The worst of the checks; [`Outcome::Unknown`] when there is none.
    pub outcome: Outcome,
    /// What system it is about; begins with `REFERENCE NETWORK, NOT CILIUM` on refnet.
    pub system: String,
    /// One a check, in the order of the scenario.
    pub checks: Vec<CheckVerdict>,
    /// What makes the run as a whole unknown: interruption, clock jump, evidence that ends early.
    pub troubles: Vec<String>,
    /// What happened that no check is about and a reader must know of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// What the evidence says of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckVerdict {
    /// The check's id.
    pub id: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// What was expected, in words.
    pub expected: String,
    /// What was seen, in words.
    pub seen: String,
    /// Why this outcome, in one line; for faults this is what `because` is looked for in.
    pub because: String,
    /// Observations (seq) it rests on, controls included.
    pub rests_on: Vec<u64>,
    /// Files with the evidence.
    pub evidence: Vec<String>,
}
