//! Programs the owner runs inside the lab: the connection itself is their standard input and output, so nothing is copied.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cluster::Place;
use crate::fault::{FaultSet, Layer};

/// What is to run.
pub(super) struct Program {
    /// Program and arguments; absent = the agent's session.
    pub(super) argv: Option<Vec<String>>,
    /// Further environment.
    pub(super) env: BTreeMap<String, String>,
}

/// Starts a program in a place with `connection` as its standard input and output. It is killed when the peer closes the connection.
///
/// # Errors
/// The program does not start.
pub(super) fn start(place: &Place, program: Program, faults: &FaultSet, kubeconfig: &str, connection: &OwnedFd) -> io::Result<Child> {
    let mut command = match program.argv.as_deref() {
        None | Some([]) => {
            let mut command = Command::new("/proc/self/exe");
            command.args(["__agent", "session"]);
            command.envs(faults.for_agent(Layer::Capture));
            command
        }
        Some([name, arguments @ ..]) => {
            let mut command = Command::new(name);
            command.args(arguments).env("KUBECONFIG", kubeconfig);
            command
        }
    };
    command.envs(program.env).stdin(connection.try_clone()?).stdout(connection.try_clone()?).stderr(errors()?);
    command.process_group(place.group.unwrap_or(0));
    place.netns.run(|| command.spawn())?
}

/// Waits in a thread until the program ends or the peer hangs up, whichever comes first, and ends the other.
pub(super) fn watch(mut child: Child, connection: OwnedFd) -> io::Result<()> {
    std::thread::Builder::new().name("session".to_owned()).spawn(move || {
        let pidfd = crate::sys::pidfd(child.id());
        if let Ok(pidfd) = &pidfd {
            // Without any event asked for, poll still reports that the peer has closed both directions.
            let mut both = [PollFd::new(connection.as_fd(), PollFlags::empty()), PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            while poll(&mut both, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
        }
        let _ = child.kill();
        let _ = child.wait();
    })?;
    Ok(())
}

fn errors() -> io::Result<Stdio> {
    Ok(File::options().create(true).append(true).open("sessions.log")?.into())
}
