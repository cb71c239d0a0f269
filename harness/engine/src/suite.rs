//! Trials side by side: their names, and a run on a thread of its own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use plumb_core::plan::Plan;

use crate::run::{Closed, Listener, RunError, Setup, Stop};

/// A trial by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// `refnet`, `kind`, `kubeconfig`.
    pub provider: String,
    /// Folder name of the scenario.
    pub scenario: String,
    /// Profile, where it is not the scenario's own.
    pub profile: Option<String>,
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.provider, self.scenario)?;
        self.profile.as_ref().map_or(Ok(()), |profile| write!(f, "@{profile}"))
    }
}

/// Runs a plan on a thread and with a runtime of its own, so that labs side by side do not wait for each other.
///
/// # Errors
/// See [`RunError`].
///
/// # Panics
/// When the kernel refuses a thread or its epoll descriptor.
pub fn run_here(plan: Plan, out: &Path, setup: &Setup, stop: &Stop, listener: Listener) -> Result<Closed, RunError> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the kernel gives a thread an epoll descriptor");
        runtime.block_on(crate::run::run(plan, out, setup, stop, listener))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("run".into()).stack_size(STACK).spawn_scoped(scope, run);
        match thread.expect("the kernel gives another thread").join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Stack of a run's thread: the futures of a run are deep, and a debug build keeps every one of their steps on it.
const STACK: usize = 16 << 20;

/// Does something with each item, `jobs` at a time, in the order given; the results keep that order. `None` = the stop came first.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], jobs: usize, stop: &Stop, act: impl Fn(&T) -> R + Sync) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), Some(slot)) = (items.get(at), slots.get(at)) else { return };
                    if stop.is_stopped() {
                        return;
                    }
                    let done = act(item);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                }
            });
        }
    });
    slots.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// How many labs fit side by side: they wait four times as long as they work, so four for each processor, within the memory
/// that is free, and seven at most: that many take a GiB.
pub fn labs_at_once() -> usize {
    const LAB_MB: usize = 160;
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let free_mb = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kb| kb / 1024)
    });
    (cores * 4).min(free_mb.unwrap_or(1_024) / LAB_MB).clamp(1, 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_their_items() {
        let items: Vec<u32> = (0..50).collect();
        let done = side_by_side(&items, 4, &Stop::default(), |item| item * 2);
        assert_eq!(done, items.iter().map(|item| Some(item * 2)).collect::<Vec<_>>());
        assert!(side_by_side(&[] as &[u32], 4, &Stop::default(), |item| *item).is_empty());
    }

    #[test]
    fn nothing_begins_after_a_stop() {
        let stop = Stop::default();
        let done = side_by_side(&[1, 2, 3], 1, &stop, |item| {
            stop.because("enough");
            *item
        });
        assert_eq!(done, [Some(1), None, None]);
    }
}
