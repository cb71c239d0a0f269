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

/// How far the wall clock is ahead of `CLOCK_MONOTONIC` at one moment, and that moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallOffset {
    ahead_ns: i64,
    read_at_ns: u64,
}

impl WallOffset {
    /// Reads both clocks, the wall clock between two readings of the other: five times, and the closest two count, because a thread that
    /// is put aside between them would be that far off.
    pub(crate) fn now() -> Self {
        let readings = (0..5).map(|_| (monotonic_ns(), realtime_ns(), monotonic_ns()));
        let (before, wall, after) = readings.min_by_key(|(before, _, after)| after.saturating_sub(*before)).unwrap_or_default();
        let middle = before + after.saturating_sub(before) / 2;
        // Nanoseconds since 1970 fit into 63 bits until the year 2262.
        Self { ahead_ns: wall.cast_signed().wrapping_sub(middle.cast_signed()), read_at_ns: monotonic_ns() }
    }

    /// Wall clock to `CLOCK_MONOTONIC`, for what had been stamped when this was read; so never later than that.
    pub(crate) fn to_monotonic(self, wall_ns: u64) -> u64 {
        wall_ns.saturating_sub_signed(self.ahead_ns).min(self.read_at_ns)
    }

    /// `CLOCK_MONOTONIC` to wall clock.
    pub(crate) fn to_wall(self, monotonic_ns: u64) -> u64 {
        monotonic_ns.saturating_add_signed(self.ahead_ns)
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
        const MS: u64 = 1_000_000;
        // However long this thread is put aside between two of these, the stamp is between the readings around it.
        let (before, stamp, after) = (monotonic_ns(), realtime_ns(), monotonic_ns());
        let offset = WallOffset::now();
        let converted = offset.to_monotonic(stamp);
        assert!((before - MS..=after + MS).contains(&converted), "{converted}, read between {before} and {after}");
        assert!(offset.to_wall(converted).abs_diff(stamp) < MS);
    }

    #[test]
    fn a_frame_is_never_stamped_later_than_it_was_read() {
        let offset = WallOffset::now();
        let read = monotonic_ns();
        assert!(offset.to_monotonic(realtime_ns() + 60_000_000_000) <= read);
    }
}
