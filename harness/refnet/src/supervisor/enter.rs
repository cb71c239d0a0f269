//! Into the lab's own namespaces, while the process has one thread: user (when not allowed otherwise), pid, mount, network.
//!
//! Three processes come of it: the outer one waits, the first of the new pid namespace only reaps, and the supervisor works.
//! Whichever of them dies, the kernel ends every process of the lab.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getgid, getuid};

use crate::sys::fork_single_threaded;

/// What stands in the way. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub(super) enum EnterError {
    /// Neither root's way nor a user namespace.
    #[error("enter a user namespace: {0}")]
    User(Errno),
    /// The maps of the user namespace.
    #[error("map this user to root in the user namespace, {file}: {source}")]
    Map {
        /// Which file of /proc/self.
        file: &'static str,
        /// What came back.
        source: std::io::Error,
    },
    /// The other namespaces.
    #[error("enter pid, mount and network namespaces: {0}")]
    Namespaces(Errno),
    /// No process.
    #[error("fork: {0}")]
    Fork(Errno),
}

/// Runs `work` as a process inside new namespaces; returns its exit status when the lab has ended.
pub(super) fn run_inside(work: impl FnOnce() -> ExitCode) -> Result<ExitCode, EnterError> {
    namespaces()?;
    let outer = nix::unistd::getpid();
    // Changing credentials above has cleared what the owner asked for between fork and exec.
    let _ = set_pdeathsig(Signal::SIGKILL);
    match fork_single_threaded().map_err(EnterError::Fork)? {
        ForkResult::Parent { child } => Ok(wait_for(child)),
        ForkResult::Child => {
            let _ = set_pdeathsig(Signal::SIGKILL);
            // Outside this pid namespace the parent has no number: 0 means it lives, and it cannot be asked otherwise.
            let _ = outer;
            private_mounts();
            Ok(first_process(work))
        }
    }
}

/// The first process of the pid namespace: reaps whatever is orphaned, and ends everything when the supervisor ends.
fn first_process(work: impl FnOnce() -> ExitCode) -> ExitCode {
    match fork_single_threaded() {
        Err(error) => {
            super::complain(&format!("fork: {error}"));
            ExitCode::FAILURE
        }
        Ok(ForkResult::Child) => work(),
        Ok(ForkResult::Parent { child }) => {
            close_standard_streams();
            wait_for(child)
        }
    }
}

/// The owner waits for the end of the lab's standard output and input: only the supervisor may hold them.
fn close_standard_streams() {
    let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = nix::unistd::dup2_stdin(&null);
    let _ = nix::unistd::dup2_stdout(&null);
}

fn wait_for(child: Pid) -> ExitCode {
    loop {
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return ExitCode::from(code.to_le_bytes()[0]),
            Ok(WaitStatus::Signaled(pid, ..)) if pid == child => return ExitCode::from(137),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

fn namespaces() -> Result<(), EnterError> {
    let wanted = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    match unshare(wanted) {
        Ok(()) => return Ok(()),
        Err(Errno::EPERM) => {}
        Err(error) => return Err(EnterError::Namespaces(error)),
    }
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(EnterError::User)?;
    write("setgroups", "deny")?;
    write("uid_map", &format!("0 {uid} 1"))?;
    write("gid_map", &format!("0 {gid} 1"))?;
    unshare(wanted).map_err(EnterError::Namespaces)
}

fn write(file: &'static str, text: &str) -> Result<(), EnterError> {
    std::fs::write(format!("/proc/self/{file}"), text).map_err(|source| EnterError::Map { file, source })
}

/// Nothing mounted here is seen outside, and /proc and /sys show this lab. Where the kernel refuses the latter (masked /proc in a
/// container), the old ones stay and the lab works without.
fn private_mounts() {
    let none = None::<&str>;
    let _ = mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), quiet, none);
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), quiet, none);
}
