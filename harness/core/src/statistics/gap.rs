//! How long something was away, from samples that came back or not.

/// The longest time without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gap {
    /// From the first sample that was lost to the next one that was answered (or to the end), nanoseconds. The true silence is at
    /// most `resolution_ns` longer or shorter.
    pub ns: u64,
    /// How well it is known: the longest time between two samples at or in the gap; over everything when there is no gap.
    pub resolution_ns: u64,
    /// Samples lost in it.
    pub lost: u64,
    /// When it began.
    pub from_ns: u64,
    /// It was not over when watching ended.
    pub open: bool,
    /// Samples lost in all.
    pub lost_in_all: u64,
    /// Samples in all.
    pub samples: u64,
    /// The longest time between two samples, or from the last one to the end: a pause of the watch itself hides what happened in it.
    pub blind_ns: u64,
}

impl Gap {
    /// The gap in whole milliseconds, rounded.
    pub fn ms(&self) -> u64 {
        self.ns.saturating_add(500_000) / 1_000_000
    }

    /// The resolution in whole milliseconds, rounded up.
    pub fn resolution_ms(&self) -> u64 {
        self.resolution_ns.div_ceil(1_000_000)
    }

    /// The blind time in whole milliseconds, rounded up.
    pub fn blind_ms(&self) -> u64 {
        self.blind_ns.div_ceil(1_000_000)
    }
}

/// The longest run of lost samples: (when it was sent, whether it was answered), in the order they were sent; `until_ns` is when
/// watching ended.
pub fn longest_gap(samples: &[(u64, bool)], until_ns: u64) -> Gap {
    let distance = |from: usize, to: usize| samples.get(to).map_or(until_ns, |next| next.0).saturating_sub(samples[from].0);
    let mut longest = Gap::default();
    let mut at = 0;
    while at < samples.len() {
        if samples[at].1 {
            at += 1;
            continue;
        }
        let lost = samples[at..].iter().take_while(|sample| !sample.1).count();
        let end = at + lost;
        let ns = distance(at, end);
        if ns > longest.ns || longest.lost == 0 {
            // The silence began between the last answered sample and the first lost one.
            let first_step = at.saturating_sub(1);
            let last_step = if end < samples.len() { end } else { end - 1 };
            let resolution_ns = (first_step..last_step).map(|n| distance(n, n + 1)).max().unwrap_or(0);
            longest = Gap { ns, resolution_ns, lost: lost as u64, from_ns: samples[at].0, open: end == samples.len(), ..Gap::default() };
        }
        at = end;
    }
    longest.samples = samples.len() as u64;
    longest.lost_in_all = samples.iter().filter(|sample| !sample.1).count() as u64;
    longest.blind_ns = (0..samples.len()).map(|n| distance(n, n + 1)).max().unwrap_or(0);
    if longest.lost == 0 {
        longest.resolution_ns = longest.blind_ns;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(pattern: &str) -> Vec<(u64, bool)> {
        pattern.chars().enumerate().map(|(n, c)| (n as u64 * 20_000_000, c == '+')).collect()
    }

    #[test]
    fn the_longest_run_of_losses_is_the_gap() {
        let gap = longest_gap(&samples("++--+++-----++-+"), 400_000_000);
        assert_eq!((gap.ms(), gap.lost, gap.lost_in_all, gap.open), (100, 5, 8, false));
        assert_eq!((gap.from_ns, gap.resolution_ms()), (140_000_000, 20));
    }

    #[test]
    fn nothing_lost_is_no_gap_with_a_resolution() {
        let gap = longest_gap(&samples("+++++"), 100_000_000);
        assert_eq!((gap.ms(), gap.lost, gap.resolution_ms()), (0, 0, 20));
    }

    #[test]
    fn a_gap_that_does_not_end_is_open() {
        let gap = longest_gap(&samples("++---"), 100_000_000);
        assert_eq!((gap.ms(), gap.open), (60, true));
    }

    #[test]
    fn a_pause_of_the_watch_itself_is_seen() {
        let mut paused = samples("+++++");
        paused.iter_mut().skip(3).for_each(|sample| sample.0 += 500_000_000);
        assert_eq!(longest_gap(&paused, 700_000_000).blind_ms(), 520);
        // It stopped looking before it was told to.
        assert_eq!(longest_gap(&samples("+++++"), 900_000_000).blind_ms(), 820);
        assert_eq!(longest_gap(&[], 5).samples, 0);
    }
}
