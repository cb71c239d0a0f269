//! What a rule found, before it gets the check's name.

use super::{CheckVerdict, Outcome};
use crate::evidence::Observation;

/// What a rule found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) seen: String,
    pub(super) because: String,
    pub(super) rests_on: Vec<u64>,
    pub(super) evidence: Vec<String>,
}

impl Finding {
    pub(super) fn new(outcome: Outcome, seen: impl Into<String>, because: impl Into<String>) -> Finding {
        Finding { outcome, seen: seen.into(), because: because.into(), rests_on: Vec::new(), evidence: Vec::new() }
    }

    pub(super) fn pass(seen: impl Into<String>, because: impl Into<String>) -> Finding {
        Finding::new(Outcome::Pass, seen, because)
    }

    pub(super) fn unknown(seen: impl Into<String>, because: impl Into<String>) -> Finding {
        Finding::new(Outcome::Unknown, seen, because)
    }

    pub(super) fn fail(seen: impl Into<String>, because: impl Into<String>) -> Finding {
        Finding::new(Outcome::Fail, seen, because)
    }

    /// Adds the observations it rests on, with their files.
    pub(super) fn resting_on<'a>(mut self, observations: impl IntoIterator<Item = &'a Observation>) -> Finding {
        for observation in observations {
            self.rests_on.push(observation.seq);
            self.evidence.extend(observation.blobs.iter().cloned());
        }
        self.rests_on.sort_unstable();
        self.rests_on.dedup();
        let mut known = std::collections::BTreeSet::new();
        self.evidence.retain(|file| known.insert(file.clone()));
        self
    }

    pub(super) fn named(self, id: &str, expected: String) -> CheckVerdict {
        let mut evidence = self.evidence;
        if evidence.is_empty() && !self.rests_on.is_empty() {
            evidence.push("evidence.jsonl".to_owned());
        }
        CheckVerdict {
            id: id.to_owned(),
            outcome: self.outcome,
            expected,
            seen: self.seen,
            because: self.because,
            rests_on: self.rests_on,
            evidence,
        }
    }
}
