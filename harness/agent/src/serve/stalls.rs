//! A server's word about itself: when its process did not run though it was due. A client that heard nothing for a while learns from the
//! next answer whether the network was away, or only the server.
//!
//! A task of the server's own runtime asks to be woken every 50 ms and notes when it was late. It sees what a request would have seen: no
//! processor for the process, a frozen container, SIGSTOP, and a runtime that somebody blocks. It does not see a machine whose kernel
//! forwards nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plumb_core::probe::{STALLS_MAX, Stalled};
use tokio_util::sync::CancellationToken;

use crate::clock::monotonic_ns;
use crate::fault::ServeFault;

const TICK: Duration = Duration::from_millis(50);
/// What a busy machine does to everybody all the time is no stall.
const LATE_MIN: Duration = Duration::from_millis(50);
/// A stall that ended longer ago says nothing of the answer it would come with.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The latest stalls of a server.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    /// When each ended, and how long it was, in nanoseconds.
    latest: Mutex<VecDeque<(u64, u64)>>,
    /// When the watch is to wake next; 0 before it has begun.
    due_ns: AtomicU64,
    /// Requests of loads so far: the fault waits for them.
    of_loads: AtomicU64,
}

impl Stalls {
    /// Begins to watch; until `stop`.
    pub(super) fn watch(stop: CancellationToken) -> Arc<Self> {
        let stalls = Arc::new(Self::default());
        let watched = Arc::clone(&stalls);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = watched.look() => {}
            }
        });
        stalls
    }

    async fn look(&self) {
        loop {
            let due = monotonic_ns().saturating_add(nanos(TICK));
            self.due_ns.store(due, Ordering::Relaxed);
            // How late it wakes is what is measured.
            tokio::time::sleep(TICK).await;
            let now = monotonic_ns();
            self.note(now, now.saturating_sub(due));
        }
    }

    fn note(&self, now_ns: u64, late_ns: u64) {
        if late_ns < nanos(LATE_MIN) {
            return;
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == STALLS_MAX {
            latest.pop_front();
        }
        latest.push_back((now_ns, late_ns));
    }

    /// What an answer given now says of them, oldest first. A request may be answered before the watch has woken: that stall ends now.
    pub(super) fn told(&self) -> Vec<Stalled> {
        let now = monotonic_ns();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        while latest.front().is_some_and(|(ended, _)| now.saturating_sub(*ended) > nanos(REMEMBERED)) {
            latest.pop_front();
        }
        let ms = |ns: u64| ns / 1_000_000;
        let mut told: Vec<Stalled> =
            latest.iter().map(|(ended, length)| Stalled { ms: ms(*length), ago_ms: ms(now.saturating_sub(*ended)) }).collect();
        let due = self.due_ns.load(Ordering::Relaxed);
        if due > 0 && now.saturating_sub(due) >= nanos(LATE_MIN) {
            told.push(Stalled { ms: ms(now.saturating_sub(due)), ago_ms: 0 });
        }
        told
    }

    /// A request of a load has come: under the fault, the fiftieth finds a server that gets no processor for four seconds.
    pub(super) fn of_load(&self) {
        const FIFTIETH: u64 = 50;
        const AWAY: Duration = Duration::from_secs(4);
        if self.of_loads.fetch_add(1, Ordering::Relaxed) + 1 == FIFTIETH && ServeFault::of_process() == Some(ServeFault::Starved) {
            // The runtime is blocked on purpose.
            std::thread::sleep(AWAY);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn being_a_little_late_is_no_stall_and_old_ones_are_forgotten() {
        let (stalls, now) = (Stalls::default(), monotonic_ns());
        stalls.note(now, nanos(LATE_MIN) - 1);
        assert!(stalls.told().is_empty());
        stalls.note(now.saturating_sub(nanos(REMEMBERED) + 1), nanos(Duration::from_secs(9)));
        stalls.note(now, 1_200_000_000);
        let told = stalls.told();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].ms, 1_200);
    }

    #[test]
    fn a_blocked_runtime_is_seen_by_its_own_watch() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stop = CancellationToken::new();
            let stalls = Stalls::watch(stop.clone());
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(400));
            // An answer that is faster than the watch tells of it already.
            assert!(stalls.told().iter().any(|stall| stall.ms >= 300 && stall.ago_ms == 0), "{stalls:?}");
            // One more tick, and the watch has looked.
            tokio::time::sleep(TICK * 2).await;
            let told = stalls.told();
            assert!(told.iter().any(|stall| stall.ms >= 300), "{told:?}");
            stop.cancel();
        });
    }
}
