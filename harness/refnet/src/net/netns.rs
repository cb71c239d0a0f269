//! Network namespaces without a name: a descriptor keeps one, and closing the last ends it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace; clones are the same one.
#[derive(Debug, Clone)]
pub struct Netns(Arc<OwnedFd>);

impl Netns {
    /// A new, empty one.
    ///
    /// # Errors
    /// The process may not make one, or the limit of this user is reached.
    pub fn create() -> io::Result<Netns> {
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET)?;
                File::open("/proc/thread-self/ns/net")
            });
            made.join().map_err(|_| io::Error::other("the thread that makes a namespace panicked"))?
        })
        .map(|file| Netns(Arc::new(file.into())))
    }

    /// The one this process is in.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn current() -> io::Result<Netns> {
        Netns::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The one a file of /proc stands for.
    ///
    /// # Errors
    /// There is no such file.
    pub fn open(path: &Path) -> io::Result<Netns> {
        Ok(Netns(Arc::new(File::open(path)?.into())))
    }

    /// Runs `work` on a thread that is in it; sockets made and processes started there stay in it.
    ///
    /// # Errors
    /// The thread cannot be made or moved.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let inside = std::thread::Builder::new().spawn_scoped(scope, || {
                setns(&*self.0, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })?;
            inside.join().map_err(|_| io::Error::other("the thread inside a namespace panicked"))?
        })
    }

    /// The descriptor's number, as netlink wants it.
    pub fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
