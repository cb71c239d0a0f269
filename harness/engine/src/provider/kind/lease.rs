//! Leases on what runs share, on disk: a file that is locked (`flock(2)`) while somebody holds it. The kernel lets go of it with its
//! holder, `SIGKILL` included, so a lease is never left behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// How often a lease that somebody else holds is asked for again: a lock cannot be waited for and given up at the same time.
const EVERY: Duration = Duration::from_millis(100);

/// A lease could not be asked for.
#[derive(Debug, thiserror::Error)]
#[error("lock {}: {source}", path.display())]
pub struct LeaseError {
    path: PathBuf,
    source: io::Error,
}

/// A lease that is held until it is dropped.
#[derive(Debug)]
pub struct Lease {
    _file: Flock<File>,
    /// The file, where it goes with the lease.
    goes: Option<PathBuf>,
}

impl Lease {
    /// The same, whose file goes with it: nothing but its lock is of any use, and somebody who waits makes another.
    #[must_use]
    pub fn with_its_file(mut self, path: &Path) -> Lease {
        self.goes = Some(path.to_owned());
        self
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(path) = &self.goes {
            // While it is locked: nobody has locked the file that goes. What cannot be removed can be locked by the next.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Takes a lease if nobody holds it; `None` when somebody does.
///
/// # Errors
/// The file cannot be made or locked.
pub fn try_take(path: &Path) -> Result<Option<Lease>, LeaseError> {
    let failed = |source| LeaseError { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        // Whoever ends what is shared removes the file while holding it: what was locked may be a file that nobody finds any more.
        Ok(file) if is_at(&file, path) => Ok(Some(Lease { _file: file, goes: None })),
        Ok(_) | Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

/// Waits for a lease. Dropped, it waits no longer.
///
/// # Errors
/// As [`try_take`].
pub async fn take(path: &Path) -> Result<Lease, LeaseError> {
    take_any(std::slice::from_ref(&path.to_owned())).await
}

/// Waits for any one of several leases.
///
/// # Errors
/// As [`try_take`].
pub async fn take_any(paths: &[PathBuf]) -> Result<Lease, LeaseError> {
    loop {
        for path in paths {
            if let Some(lease) = try_take(path)? {
                return Ok(lease);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Memory one cluster takes: three nodes with Cilium on them (2 GiB in a real run) and what its Pods need.
const CLUSTER_MB: usize = 3 * 1024;

/// How many clusters may exist at a time on this machine: as many as fit into its memory, at most one for each processor and four in
/// all, because kubeadm on a machine that has none left takes longer than its own limits.
pub fn clusters_at_once(memory_mb: usize, processors: usize) -> usize {
    (memory_mb / CLUSTER_MB).min(processors).clamp(1, 4)
}

/// Waits for a place for a cluster on this machine; it is taken while the lease is held. Whoever keeps a cluster that nobody uses is
/// told by a file that somebody waits.
///
/// # Errors
/// As [`try_take`].
pub async fn take_slot(folder: &Path) -> Result<Lease, LeaseError> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let slots: Vec<PathBuf> = (0..clusters_at_once(memory_mb(), processors)).map(|n| folder.join(format!("slot-{n}"))).collect();
    for path in &slots {
        if let Some(lease) = try_take(path)? {
            return Ok(lease);
        }
    }
    let _waiting = wait_visibly(folder)?;
    take_any(&slots).await
}

/// The lock that says that somebody waits. Who looks whether somebody does may hold a new file for a moment: then another name.
fn wait_visibly(folder: &Path) -> Result<Lease, LeaseError> {
    loop {
        let waiting = folder.join(format!("{WAITING}{}-{}", std::process::id(), crate::clock::monotonic_ns()));
        if let Some(lease) = try_take(&waiting)? {
            return Ok(lease.with_its_file(&waiting));
        }
    }
}

/// How the names of the files begin that those lock who wait for a place.
const WAITING: &str = "waiting-";

/// Whether somebody waits for a place. Files of those who wait no longer are removed.
pub fn somebody_waits(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let waiting = files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WAITING)));
    waiting.fold(false, |found, path| match try_take(&path) {
        Ok(None) => true,
        _ => {
            // Nobody holds it: whoever waited has a place, or is gone.
            let _ = std::fs::remove_file(&path);
            found
        }
    })
}

/// The memory of this machine. Not what is free: the number of slots must be the same for everybody who asks.
fn memory_mb() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok()).map_or(0, |kb| kb / 1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_lease_is_held_by_one_at_a_time_and_ends_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let held = try_take(&path).unwrap();
        assert!(held.is_some());
        assert!(try_take(&path).unwrap().is_none());
        drop(held);
        assert!(try_take(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_lease_whose_file_goes_is_had_by_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let held = try_take(&path).unwrap().unwrap().with_its_file(&path);
        let mut waiting = std::pin::pin!(take(&path));
        assert!(tokio::time::timeout(EVERY * 2, &mut waiting).await.is_err());
        drop(held);
        let next = waiting.await.unwrap();
        assert!(path.exists() && try_take(&path).unwrap().is_none());
        drop(next.with_its_file(&path));
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_is_no_lease() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let old = File::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_at(&old, &path));
        File::create(&path).unwrap();
        assert!(!is_at(&old, &path));
        assert!(try_take(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn the_first_lease_that_is_free_is_taken_and_waiting_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["slot-0", "slot-1"].iter().map(|name| folder.path().join(name)).collect();
        let first = take_any(&paths).await.unwrap();
        let second = take_any(&paths).await.unwrap();
        let third = tokio::time::timeout(EVERY * 3, take_any(&paths)).await;
        assert!(third.is_err(), "three leases on two files");
        drop(first);
        assert!(take_any(&paths).await.is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_place_is_seen_while_it_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(lease)) = tokio::time::timeout(EVERY * 2, take_slot(folder.path())).await {
            held.push(lease);
        }
        assert!(!held.is_empty() && !somebody_waits(folder.path()), "who gave up waits no longer");
        let mut waiting = std::pin::pin!(take_slot(folder.path()));
        assert!(tokio::time::timeout(EVERY * 2, &mut waiting).await.is_err());
        assert!(somebody_waits(folder.path()));
        held.pop();
        assert!(waiting.await.is_ok());
        assert!(!somebody_waits(folder.path()));
    }

    #[test]
    fn whoever_waits_is_seen_though_somebody_looks_all_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    somebody_waits(folder.path());
                }
            });
            for n in 0..500 {
                let waiting = wait_visibly(folder.path()).unwrap();
                assert!(somebody_waits(folder.path()), "wait {n} is not seen");
                drop(waiting);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn a_machine_makes_as_many_clusters_as_fit() {
        let cases = [((24_000, 2), 2), ((7_000, 4), 2), ((1_000, 8), 1), ((64_000, 32), 4), ((16_000, 1), 1)];
        for ((memory, processors), count) in cases {
            assert_eq!(clusters_at_once(memory, processors), count, "{memory} MB, {processors} processors");
        }
    }
}
