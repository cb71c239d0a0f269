//! Clocks: run times are `CLOCK_MONOTONIC`; the wall clock is only watched, because a jump of it spoils leases and certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use plumb_core::evidence::Fact;
use tokio::task::JoinHandle;

use crate::recorder::Recorder;

/// A jump smaller than this is the slewing of a time daemon.
const JUMP_MS: i64 = 250;

/// How often the clocks are compared. It bounds how late a jump is noticed, nothing else.
const EVERY: Duration = Duration::from_millis(500);

/// How often an offset is read for one comparison.
const TRIES: u8 = 5;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_MONOTONIC) as u64
}

/// Nanoseconds since 1970.
pub fn realtime_ns() -> i64 {
    nanoseconds(ClockId::CLOCK_REALTIME)
}

/// Seconds since 1970.
pub fn unix_s() -> i64 {
    realtime_ns() / 1_000_000_000
}

fn nanoseconds(clock: ClockId) -> i64 {
    let now = clock_gettime(clock).expect("the kernel has both clocks");
    now.tv_sec() * 1_000_000_000 + now.tv_nsec()
}

/// A watch of the clocks.
pub struct Watch {
    recorder: Arc<Recorder>,
    offset: Arc<AtomicI64>,
    task: JoinHandle<()>,
}

/// Compares the clocks until it is ended, and records every jump.
pub fn watch(recorder: Arc<Recorder>) -> Watch {
    let offset = Arc::new(AtomicI64::new(offset_ms()));
    let (to, seen) = (Arc::clone(&recorder), Arc::clone(&offset));
    let task = tokio::spawn(async move {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            compare(&to, &seen);
        }
    });
    Watch { recorder, offset, task }
}

impl Watch {
    /// Compares them once more: a jump in the last moments of a run counts like any other.
    pub fn end(self) {
        self.task.abort();
        compare(&self.recorder, &self.offset);
    }
}

fn compare(recorder: &Recorder, offset: &AtomicI64) {
    if let Some(by_ms) = jump(offset, offset_ms()) {
        recorder.record(None, Fact::ClockJump { by_ms });
    }
}

/// The jump from the last offset to this one, if it is one.
fn jump(last: &AtomicI64, now: i64) -> Option<i64> {
    let by_ms = now - last.swap(now, Ordering::Relaxed);
    (by_ms.abs() >= JUMP_MS).then_some(by_ms)
}

/// How far the wall clock is ahead. A process that is put aside between two readings would see a jump where there is none, so the wall
/// clock is read between two readings of the other, and of some tries the narrowest counts.
fn offset_ms() -> i64 {
    let tries = (0..TRIES).map(|_| {
        let before = monotonic_ns() as i64;
        let wall = realtime_ns();
        let after = monotonic_ns() as i64;
        (after - before, wall - before - (after - before) / 2)
    });
    narrowest(tries) / 1_000_000
}

/// The offset whose reading took the shortest time.
fn narrowest(tries: impl Iterator<Item = (i64, i64)>) -> i64 {
    tries.min_by_key(|(width, _)| *width).map_or(0, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::{jump, narrowest};

    #[test]
    fn a_reading_that_was_interrupted_is_no_jump() {
        assert_eq!(narrowest([(600_000_000, 1_300_000_000), (90, 1_000), (80, 1_001), (700_000, 360_000)].into_iter()), 1_001);
    }

    #[test]
    fn only_a_jump_is_told_and_only_once() {
        let last = AtomicI64::new(1_000);
        assert_eq!(jump(&last, 1_010), None);
        assert_eq!(jump(&last, 4_610_010), Some(4_609_000));
        assert_eq!(jump(&last, 4_610_011), None);
        assert_eq!(jump(&last, 11), Some(-4_610_000));
    }
}
