//! Verdicts: what the evidence says of each check. Pure; the same plan and observations give the same bytes.
//!
//! [`holds`] says of one observation whether an expectation is met and is what live waits use too. The phrases a
//! reason is made of are in [`phrases`].

mod context;
mod holds;
pub mod phrases;

pub use context::Context;
pub use holds::{Blocker, holds};

use serde::{Deserialize, Serialize};

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
