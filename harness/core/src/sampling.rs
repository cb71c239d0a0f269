//! Waits without a clock: what to observe next and when to stop. The caller observes, tells the time, and obeys.
//!
//! [`Wait`] is told each observation's outcome ([`crate::verdict::holds`]) and the time, and answers with a [`Decision`]. Times are
//! nanoseconds since the run began. What it remembers for a bad end is the last five different states.

mod silence;

use std::collections::VecDeque;

use crate::evidence::Waited;
use crate::verdict::Blocker;

pub use silence::Silence;

/// How many different last states are kept.
const STATES: usize = 5;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Observe again: now when something changed, else at this time.
    Continue {
        /// When the next observation or call of [`Wait::on_time`] is due.
        next_at_ns: u64,
    },
    /// It is over and it held.
    Held,
    /// It is over and it did not hold: the limit was reached (eventually) or it broke (consistently).
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Eventually,
    Consistently,
}

/// One wait.
#[derive(Debug, Clone)]
pub struct Wait {
    mode: Mode,
    began_ns: u64,
    limit_ns: u64,
    every_ns: u64,
    attempts: u32,
    ended: Option<(u64, Decision)>,
    last: VecDeque<String>,
}

impl Wait {
    /// A wait that ends when it holds for the first time, or at the limit. `every_ns` is the pace where nothing can be watched.
    pub fn eventually(began_ns: u64, limit_ns: u64, every_ns: u64) -> Wait {
        Wait::new(Mode::Eventually, began_ns, limit_ns, every_ns)
    }

    /// A wait that ends when it does not hold, or after `for_ns`.
    pub fn consistently(began_ns: u64, for_ns: u64, every_ns: u64) -> Wait {
        Wait::new(Mode::Consistently, began_ns, for_ns, every_ns)
    }

    fn new(mode: Mode, began_ns: u64, limit_ns: u64, every_ns: u64) -> Wait {
        let every_ns = every_ns.max(1);
        Wait { mode, began_ns, limit_ns, every_ns, attempts: 0, ended: None, last: VecDeque::new() }
    }

    /// Takes the outcome of one observation that was complete at this time.
    pub fn on_observation(&mut self, at_ns: u64, outcome: &Result<(), Blocker>) -> Decision {
        if let Some((_, decision)) = self.ended {
            return decision;
        }
        self.attempts += 1;
        let state = outcome.as_ref().err().map_or_else(|| "held".to_owned(), ToString::to_string);
        if self.last.back() != Some(&state) {
            self.last.push_back(state);
        }
        if self.last.len() > STATES {
            self.last.pop_front();
        }
        match (self.mode, outcome) {
            (Mode::Eventually, Ok(())) if at_ns <= self.end_ns() => self.end(at_ns, Decision::Held),
            (Mode::Consistently, Err(_)) => self.end(at_ns, Decision::Expired),
            _ => self.on_time(at_ns),
        }
    }

    /// Looks at the clock alone.
    pub fn on_time(&mut self, now_ns: u64) -> Decision {
        if let Some((_, decision)) = self.ended {
            return decision;
        }
        if now_ns < self.end_ns() {
            return Decision::Continue { next_at_ns: (now_ns + self.every_ns).min(self.end_ns()) };
        }
        match self.mode {
            Mode::Eventually => self.end(now_ns, Decision::Expired),
            // Nothing was observed: that nothing broke says nothing.
            Mode::Consistently if self.attempts == 0 => self.end(now_ns, Decision::Expired),
            Mode::Consistently => self.end(now_ns, Decision::Held),
        }
    }

    /// How it ended, for the evidence; while it runs, how it stands.
    pub fn waited(&self, now_ns: u64) -> Waited {
        let (at_ns, decision) = self.ended.unwrap_or((now_ns, Decision::Expired));
        Waited {
            held: decision == Decision::Held,
            attempts: self.attempts,
            took_ms: at_ns.saturating_sub(self.began_ns) / 1_000_000,
            limit_ms: self.limit_ns / 1_000_000,
            last: self.last.iter().cloned().collect(),
        }
    }

    fn end_ns(&self) -> u64 {
        self.began_ns.saturating_add(self.limit_ns)
    }

    fn end(&mut self, at_ns: u64, decision: Decision) -> Decision {
        self.ended = Some((at_ns, decision));
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(text: &str) -> Result<(), Blocker> {
        Err(Blocker::Broken(text.into()))
    }

    #[test]
    fn eventually_ends_with_the_first_observation_that_holds() {
        let mut wait = Wait::eventually(100, 1_000, 50);
        assert_eq!(wait.on_observation(110, &no("no address")), Decision::Continue { next_at_ns: 160 });
        assert_eq!(wait.on_observation(170, &Ok(())), Decision::Held);
        assert_eq!(wait.on_time(9_999), Decision::Held);
        assert!(wait.waited(9_999).held);
        assert_eq!(wait.waited(9_999).attempts, 2);
    }

    #[test]
    fn eventually_expires_at_its_limit_and_says_what_blocked_it() {
        let mut wait = Wait::eventually(0, 1_000, 400);
        assert_eq!(wait.on_observation(800, &no("a")), Decision::Continue { next_at_ns: 1_000 });
        for state in ["a", "b", "c", "d", "e", "e", "f"] {
            wait.on_observation(900, &no(state));
        }
        assert_eq!(wait.on_time(1_000), Decision::Expired);
        assert_eq!(wait.waited(1_000).last, ["b", "c", "d", "e", "f"]);
        assert!(!wait.waited(1_000).held);
    }

    #[test]
    fn an_observation_after_the_limit_does_not_hold() {
        let mut wait = Wait::eventually(0, 1_000, 100);
        assert_eq!(wait.on_observation(1_001, &Ok(())), Decision::Expired);
    }

    #[test]
    fn consistently_breaks_at_once_and_holds_at_its_end() {
        let mut wait = Wait::consistently(0, 1_000, 100);
        assert_eq!(wait.on_observation(10, &Ok(())), Decision::Continue { next_at_ns: 110 });
        assert_eq!(wait.clone().on_observation(20, &no("404")), Decision::Expired);
        assert_eq!(wait.on_time(1_000), Decision::Held);
        assert_eq!(Wait::consistently(0, 1_000, 100).on_time(1_000), Decision::Expired);
    }
}
