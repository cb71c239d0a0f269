//! Processes by identity: a pid alone may have been given to another process, a pid with its start time has not.
//!
//! The one place of this crate with `unsafe`: `pidfd_open` and `pidfd_send_signal` (Linux 5.3) have no wrapper in nix, and what a signal
//! does is changed for a whole process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::{Deserialize, Serialize};

/// A process, not only its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks after boot.
    pub start: u64,
}

impl Identity {
    /// This process.
    pub fn own() -> Identity {
        let pid = std::process::id() as i32;
        Identity { pid, start: start_of(pid).unwrap_or_default() }
    }

    /// The process that has this number now; `None` when there is none.
    pub fn of(pid: i32) -> Option<Identity> {
        Some(Identity { pid, start: start_of(pid)? })
    }

    /// Whether it still runs. A zombie does not.
    pub fn alive(&self) -> bool {
        start_of(self.pid) == Some(self.start)
    }
}

/// A handle that stays with one process even when its number is used again.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens it. An [`Identity`] that is not alive any longer gives `ESRCH`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(identity: Identity) -> io::Result<PidFd> {
        // SAFETY: the call takes two integers and returns a new descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, identity.pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // Only now is the number pinned; before, it could have gone to another process.
        if identity.alive() { Ok(PidFd(fd)) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    }

    /// Ends the process at once (`SIGKILL`).
    ///
    /// # Errors
    /// What the kernel says; that it has ended already is not an error.
    pub fn kill(&self) -> io::Result<()> {
        self.send(Signal::SIGKILL)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// What the kernel says; that it has ended already is not an error.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        let nothing: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is a pidfd we own, and a null siginfo is allowed.
        let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal as libc::c_int, nothing, 0) };
        let error = io::Error::last_os_error();
        if done == 0 || error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
    }

    /// Waits until the process has ended, at most so long; whether it has.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&self, limit: PollTimeout) -> io::Result<bool> {
        Ok(wait_any(&[self.0.as_fd()], limit)?[0])
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Ignores a signal, or lets it do what it does by default.
pub fn dispose(which: Signal, how: SigHandler) {
    if matches!(how, SigHandler::SigIgn | SigHandler::SigDfl) {
        // SAFETY: neither runs any code of ours in a signal handler.
        let _ = unsafe { signal(which, how) };
    }
}

/// Waits until one of the descriptors can be read (or has ended); which ones.
///
/// # Errors
/// What the kernel says.
pub fn wait_any(descriptors: &[std::os::fd::BorrowedFd<'_>], limit: PollTimeout) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut polled, limit) {
            Ok(_) => return Ok(polled.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Start time of a process that is not a zombie.
fn start_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses; the fields follow the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_number_with_another_start_time_is_another_process() {
        let own = Identity::own();
        assert!(own.alive());
        assert!(!Identity { start: own.start + 1, ..own }.alive());
        assert_eq!(PidFd::open(Identity { start: own.start + 1, ..own }).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn the_end_of_a_process_is_seen_through_its_handle() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let handle = PidFd::open(Identity::of(child.id() as i32).unwrap()).unwrap();
        assert!(!handle.wait(PollTimeout::ZERO).unwrap());
        handle.kill().unwrap();
        assert!(handle.wait(PollTimeout::from(5_000u16)).unwrap());
        child.wait().unwrap();
    }
}
