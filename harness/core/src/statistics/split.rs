//! Do requests split by weight? One sample of a size that is fixed beforehand, one exact test.
//!
//! Each backend's count is binomial under the promised weights, so each gets a region it leaves with probability at most
//! alpha / m by equal tails, where m is the number of backends tested; by the union bound a correct split is refused with
//! probability at most alpha. With two backends one count decides (m = 1) and the test is the exact binomial one. A backend of
//! weight 0 is not a matter of chance: a single request there refuses the split.

use std::collections::BTreeMap;

use super::binomial::{lower_tail, upper_tail, zero_upper_bound};
use crate::scenario::model::Distribution;

/// Probability of a false alarm where a scenario says nothing.
pub const ALPHA: f64 = 1e-6;
/// Probability of finding the wrong split where a scenario says nothing.
pub const POWER: f64 = 0.97;
/// The leak to a backend of weight 0 that is found with the stated power where a scenario names no other wrong split.
pub const ZERO_LEAK: f64 = 0.005;
/// Confidence of the bound on a weight of 0.
pub const ZERO_CONFIDENCE: f64 = 0.95;
/// Largest sample.
const SAMPLES_MAX: u64 = 200_000;

/// A split cannot be tested as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadSplit {
    /// No weights, or all 0.
    #[error("test a split without any positive weight")]
    NoWeight,
    /// Alpha or power is no probability.
    #[error("test a split with {name} {value}, expected more than 0 and less than 1")]
    NoProbability {
        /// `alpha` or `power`.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// The wrong split names other backends, or is the right one.
    #[error("test a split against {0:?}, expected other shares for the same backends")]
    Against(BTreeMap<String, u32>),
    /// No sample of acceptable size has the power.
    #[error("test a split: no sample of up to {SAMPLES_MAX} has power {power} against the wrong split")]
    TooMany {
        /// What was asked for.
        power: f64,
    },
}

/// A backend and the counts that fit its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Backend id.
    pub backend: String,
    /// Its promised share.
    pub share: f64,
    /// Smallest count that fits.
    pub low: u64,
    /// Largest count that fits.
    pub high: u64,
}

/// A test that is fixed before the first request.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Requests in the sample.
    pub samples: u64,
    /// Probability of a false alarm, at most.
    pub alpha: f64,
    /// Probability of finding the wrong split that was asked for.
    pub power_wanted: f64,
    /// Probability of finding it with this sample, at least.
    pub power: f64,
    /// Regions of the backends with a positive weight that are tested.
    pub regions: Vec<Region>,
    /// Backends of weight 0.
    pub zeros: Vec<String>,
    /// Promised shares of all backends.
    pub shares: BTreeMap<String, f64>,
    /// The wrong split it is to find.
    pub against: BTreeMap<String, f64>,
}

/// What the test says.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitOutcome {
    /// The counts fit. With a weight of 0, what its rate is at most ([`ZERO_CONFIDENCE`]).
    Fits {
        /// Two-sided, corrected for the number of backends tested; 1 when only one backend has a weight.
        p_value: f64,
        /// Upper bound of the rate of the backends of weight 0.
        zero_bound: Option<f64>,
    },
    /// A backend's count does not fit its weight.
    Refused {
        /// The one that fits worst.
        region: Region,
        /// How many it got.
        count: u64,
        /// Two-sided, corrected.
        p_value: f64,
    },
    /// A backend of weight 0 was reached.
    ZeroReached {
        /// Which.
        backend: String,
        /// How often.
        count: u64,
    },
}

impl Split {
    /// The test a `distribution` asks for: its own sample size, or the smallest with the stated power.
    ///
    /// # Errors
    /// What was asked for cannot be tested.
    pub fn of(step: &Distribution) -> Result<Split, BadSplit> {
        let alpha = probability("alpha", step.alpha.unwrap_or(ALPHA))?;
        let power = probability("power", step.power.unwrap_or(POWER))?;
        let shares = shares(&step.weights).ok_or(BadSplit::NoWeight)?;
        let alternatives = match &step.against {
            None => default_alternatives(&shares),
            Some(against) => {
                let wrong = shares_like(against, &shares).ok_or_else(|| BadSplit::Against(against.clone()))?;
                vec![wrong]
            }
        };
        if let Some(samples) = step.samples {
            return Ok(Split::sized(&shares, &alternatives, alpha, power, u64::from(samples).max(1)));
        }
        let sized = |samples: u64| Split::sized(&shares, &alternatives, alpha, power, samples);
        let mut high = 16;
        while sized(high).power < power {
            high *= 2;
            if high > SAMPLES_MAX {
                return Err(BadSplit::TooMany { power });
            }
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = low.midpoint(high);
            if sized(middle).power < power { low = middle } else { high = middle }
        }
        Ok(sized(high))
    }

    fn sized(shares: &BTreeMap<String, f64>, alternatives: &[BTreeMap<String, f64>], alpha: f64, power_wanted: f64, samples: u64) -> Split {
        let positive: Vec<(&String, f64)> = shares.iter().filter(|(_, share)| **share > 0.0).map(|(id, share)| (id, *share)).collect();
        let tested: &[(&String, f64)] = match positive.len() {
            1 => &[],
            2 => &positive[..1],
            _ => &positive,
        };
        let tail = alpha / tested.len().max(1) as f64 / 2.0;
        let regions = tested.iter().map(|(id, share)| region(id, *share, samples, tail)).collect();
        let zeros = shares.iter().filter(|(_, share)| **share == 0.0).map(|(id, _)| id.clone()).collect();
        let mut split = Split {
            samples,
            alpha,
            power_wanted,
            power: 0.0,
            regions,
            zeros,
            shares: shares.clone(),
            against: alternatives.first().cloned().unwrap_or_default(),
        };
        split.power = alternatives.iter().map(|wrong| split.power_against(wrong)).fold(1.0, f64::min);
        split
    }

    /// Probability that this test refuses when these are the true shares, at least: that of the single region most likely left.
    pub fn power_against(&self, truth: &BTreeMap<String, f64>) -> f64 {
        let share = |id: &String| truth.get(id).copied().unwrap_or(0.0);
        let left = self.regions.iter().map(|region| region.left(self.samples, share(&region.backend)));
        let reached = self.zeros.iter().map(|id| 1.0 - (1.0 - share(id)).powf(self.samples as f64));
        left.chain(reached).fold(0.0, f64::max)
    }

    /// Tests the counts by backend id; they must sum to [`Split::samples`] (the caller sees to it).
    pub fn test(&self, counts: &BTreeMap<String, u64>) -> SplitOutcome {
        let count = |id: &String| counts.get(id).copied().unwrap_or(0);
        if let Some(backend) = self.zeros.iter().find(|id| count(id) > 0) {
            return SplitOutcome::ZeroReached { backend: backend.clone(), count: count(backend) };
        }
        let n = counts.values().sum::<u64>();
        let factor = 2.0 * self.regions.len().max(1) as f64;
        let p_value = |region: &Region| {
            let k = count(&region.backend);
            (factor * lower_tail(k, n, region.share).min(upper_tail(k, n, region.share))).min(1.0)
        };
        let worst = self.regions.iter().min_by(|a, b| p_value(a).total_cmp(&p_value(b)));
        match worst {
            Some(region) if !(region.low..=region.high).contains(&count(&region.backend)) => {
                SplitOutcome::Refused { region: region.clone(), count: count(&region.backend), p_value: p_value(region) }
            }
            worst => SplitOutcome::Fits {
                p_value: worst.map_or(1.0, p_value),
                zero_bound: (!self.zeros.is_empty()).then(|| zero_upper_bound(n, ZERO_CONFIDENCE)),
            },
        }
    }
}

impl Region {
    /// Probability that the count lies outside when this is the true share.
    pub fn left(&self, samples: u64, share: f64) -> f64 {
        let below = if self.low == 0 { 0.0 } else { lower_tail(self.low - 1, samples, share) };
        below + upper_tail(self.high + 1, samples, share)
    }
}

fn region(backend: &str, share: f64, samples: u64, tail: f64) -> Region {
    // Smallest count whose lower tail exceeds the limit, largest count whose upper tail does.
    let low = first(0, samples, |k| lower_tail(k, samples, share) > tail);
    let high = samples - first(0, samples, |below| upper_tail(samples - below, samples, share) > tail);
    Region { backend: backend.to_owned(), share, low, high }
}

/// The first number for which a monotone property holds; it holds at `to`.
fn first(from: u64, to: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

fn probability(name: &'static str, value: f64) -> Result<f64, BadSplit> {
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err(BadSplit::NoProbability { name, value }) }
}

fn shares(weights: &BTreeMap<String, u32>) -> Option<BTreeMap<String, f64>> {
    let sum: u64 = weights.values().map(|weight| u64::from(*weight)).sum();
    (sum > 0).then(|| weights.iter().map(|(id, weight)| (id.clone(), f64::from(*weight) / sum as f64)).collect())
}

fn shares_like(weights: &BTreeMap<String, u32>, like: &BTreeMap<String, f64>) -> Option<BTreeMap<String, f64>> {
    let wrong = shares(weights)?;
    let known = wrong.keys().all(|id| like.contains_key(id));
    let differs = like.iter().any(|(id, share)| (wrong.get(id).copied().unwrap_or(0.0) - share).abs() > 1e-9);
    (known && differs).then_some(wrong)
}

/// Five points of a hundred moved from the heaviest to the lightest; and for each weight of 0 the leak that must be found.
fn default_alternatives(shares: &BTreeMap<String, f64>) -> Vec<BTreeMap<String, f64>> {
    let by_share = |a: &(&String, &f64), b: &(&String, &f64)| a.1.total_cmp(b.1);
    let Some((heaviest, most)) = shares.iter().max_by(by_share) else { return Vec::new() };
    let lightest = shares.iter().filter(|(id, _)| *id != heaviest).min_by(by_share);
    let moved = |to: &String, by: f64| {
        let mut wrong = shares.clone();
        wrong.entry(heaviest.clone()).and_modify(|share| *share -= by);
        wrong.entry(to.clone()).and_modify(|share| *share += by);
        wrong
    };
    let mut alternatives: Vec<_> = lightest.map(|(id, _)| moved(id, most.min(0.05))).into_iter().collect();
    alternatives.extend(shares.iter().filter(|(_, share)| **share == 0.0).map(|(id, _)| moved(id, ZERO_LEAK)));
    alternatives
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn step(text: &str) -> Distribution {
        let probe = r#""id":"d","probe":{"to":{"gateway":"gw"},"port":80,"host":"h"}"#;
        serde_json::from_str(&format!("{{{probe},{text}}}")).unwrap()
    }

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(id, n)| ((*id).to_owned(), *n)).collect()
    }

    #[test]
    fn ninety_ten_takes_a_sample_that_finds_85_15() {
        let split = Split::of(&step(r#""weights":{"a":90,"b":10}"#)).unwrap();
        assert!((1_700..=2_000).contains(&split.samples), "{}", split.samples);
        assert!(split.power >= POWER);
        assert!(split.regions[0].left(split.samples, 0.9) <= ALPHA);
        let n2000 = Split::of(&step(r#""weights":{"a":90,"b":10},"samples":2000"#)).unwrap();
        assert!(n2000.power >= POWER, "{}", n2000.power);
    }

    #[test]
    fn counts_that_fit_pass_and_others_do_not() {
        let split = Split::of(&step(r#""weights":{"a":90,"b":10},"samples":2000"#)).unwrap();
        let region = &split.regions[0];
        for (a, fits) in [
            (1_800, true),
            (region.low, true),
            (region.high, true),
            (region.low - 1, false),
            (region.high + 1, false),
            (200, false),
            (2_000, false),
        ] {
            let outcome = split.test(&counts(&[("a", a), ("b", 2_000 - a)]));
            assert_eq!(matches!(outcome, SplitOutcome::Fits { .. }), fits, "{a}: {outcome:?}");
        }
    }

    #[test]
    fn one_request_to_weight_zero_is_enough() {
        let split = Split::of(&step(r#""weights":{"a":100,"b":0}"#)).unwrap();
        assert_eq!(split.samples, 700);
        let outcome = split.test(&counts(&[("a", 699), ("b", 1)]));
        assert_eq!(outcome, SplitOutcome::ZeroReached { backend: "b".into(), count: 1 });
        let SplitOutcome::Fits { zero_bound: Some(bound), .. } = split.test(&counts(&[("a", 700)])) else { panic!("fits") };
        assert!(bound < ZERO_LEAK, "{bound}");
    }

    #[test]
    fn three_backends_share_the_false_alarm() {
        let split = Split::of(&step(r#""weights":{"a":50,"b":30,"c":20}"#)).unwrap();
        assert_eq!(split.regions.len(), 3);
        let sizes: f64 = split.regions.iter().map(|region| region.left(split.samples, region.share)).sum();
        assert!(sizes <= ALPHA, "{sizes:e}");
        let n = split.samples;
        let even = counts(&[("a", n / 3), ("b", n / 3), ("c", n - 2 * (n / 3))]);
        assert!(matches!(split.test(&even), SplitOutcome::Refused { .. }));
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        let cases = [
            r#""weights":{"a":0}"#,
            r#""weights":{"a":1,"b":1},"alpha":0.0"#,
            r#""weights":{"a":1,"b":1},"power":1.0"#,
            r#""weights":{"a":1,"b":1},"against":{"a":2,"b":2}"#,
            r#""weights":{"a":1,"b":1},"against":{"c":2}"#,
            r#""weights":{"a":1000000,"b":1000000},"against":{"a":1000001,"b":999999}"#,
        ];
        for text in cases {
            assert!(Split::of(&step(text)).is_err(), "{text}");
        }
    }
}
