//! Choices that are free, made from the seed: the same seed and the same name give the same choices. Not for secrets.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of choices (SplitMix64), shared between tasks.
#[derive(Debug)]
pub struct Chance(AtomicU64);

impl Chance {
    /// For one purpose, named.
    pub fn new(seed: u64, purpose: &str) -> Chance {
        Chance(AtomicU64::new(purpose.bytes().fold(seed, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))))
    }

    /// Uniform over all values.
    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1.
    pub fn unit(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of so many, from 0; `None` of none.
    pub fn index(&self, len: usize) -> Option<usize> {
        // The bias of the remainder is below 2^-32 for every list that fits into memory here.
        usize::try_from(self.next().checked_rem(u64::try_from(len).ok()?)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_and_purpose_choose_the_same_and_others_do_not() {
        let draw = |seed, purpose| Chance::new(seed, purpose).next();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn indices_are_even_and_nothing_is_chosen_of_nothing() {
        let chance = Chance::new(1, "even");
        let hits = (0..10_000).filter(|_| chance.index(2) == Some(0)).count();
        assert!((4_800..=5_200).contains(&hits), "{hits} of 10000");
        assert_eq!(chance.index(0), None);
        assert!((0..100).all(|_| (0.0..1.0).contains(&chance.unit())));
    }
}
