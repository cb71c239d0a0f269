//! The clocks an observation is stamped with. Everything is `CLOCK_MONOTONIC`, which all processes of one boot share; the
//! kernel stamps frames with `CLOCK_REALTIME`, so the two are related anew at each conversion and a step of the wall clock
//! spoils at most the frames that were queued while it happened.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME`, nanoseconds since 1970.
pub(crate) fn realtime_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Microseconds between two readings of [`monotonic_ns`].
pub(crate) fn micros_between(from_ns: u64, to_ns: u64) -> u64 {
    to_ns.saturating_sub(from_ns) / 1_000
}

/// How far the wall clock is ahead of `CLOCK_MONOTONIC` at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallOffset(i128);

impl WallOffset {
    /// Reads both clocks, the wall clock between two readings of the other.
    pub(crate) fn now() -> Self {
        let before = monotonic_ns();
        let wall = realtime_ns();
        let after = monotonic_ns();
        let middle = i128::from(before) + (i128::from(after) - i128::from(before)) / 2;
        Self(i128::from(wall) - middle)
    }

    /// Wall clock to `CLOCK_MONOTONIC`; never later than now, because a frame was seen before it was read.
    pub(crate) fn to_monotonic(self, wall_ns: u64) -> u64 {
        let shifted = u64::try_from(i128::from(wall_ns) - self.0).unwrap_or(0);
        shifted.min(monotonic_ns())
    }

    /// `CLOCK_MONOTONIC` to wall clock.
    pub(crate) fn to_wall(self, monotonic_ns: u64) -> u64 {
        u64::try_from(i128::from(monotonic_ns) + self.0).unwrap_or(0)
    }
}

fn read(clock: ClockId) -> u64 {
    // These two clocks always exist; a reading cannot fail on Linux.
    clock_gettime(clock).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds * 1_000_000_000 + nanos
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_converts_to_monotonic_within_a_millisecond() {
        let offset = WallOffset::now();
        let before = monotonic_ns();
        let converted = offset.to_monotonic(realtime_ns());
        assert!(converted.abs_diff(before) < 1_000_000, "{converted} against {before}");
        assert!(offset.to_wall(converted).abs_diff(realtime_ns()) < 1_000_000);
    }

    #[test]
    fn a_frame_is_never_stamped_later_than_now() {
        let offset = WallOffset::now();
        assert!(offset.to_monotonic(realtime_ns() + 60_000_000_000) <= monotonic_ns());
    }
}
