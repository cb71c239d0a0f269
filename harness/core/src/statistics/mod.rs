//! Exact tests with stated errors: one sample, one look, no retry.
//!
//! [`Split`] decides whether requests split by weight; [`interval`] bounds a rate; [`Gap`] measures how long something was away and
//! how well that is known. How often each is wrong is shown by a seeded simulation in `tests/statistics.rs`, figures in
//! `STATISTICS.md`. Nothing here knows of clocks or chance: numbers come in.

mod binomial;
mod gap;
mod random;
mod split;

pub use binomial::{Interval, clopper_pearson, lower_tail, mass, upper_tail, wilson, zero_upper_bound};
pub use gap::{Gap, longest_gap};
pub use random::SplitMix;
pub use split::{ALPHA, BadSplit, POWER, Region, Split, SplitOutcome, ZERO_CONFIDENCE, ZERO_LEAK};
