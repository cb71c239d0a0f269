//! The one program that serves and probes inside a network namespace, container or pod. It observes and never judges: what it
//! says is defined by [`plumb_core::probe`], word by word. In reading order: a session takes requests and runs operations side
//! by side; an operation is a server, a client or something that reads frames; a pod runs servers only. `interface` names and switches the
//! interfaces of a container, in which there may be no other program.
//!
//! Standard output carries the protocol and nothing else. The agent ends when its client goes away.

pub mod session;

pub mod serve;

mod client;

mod icmp;

mod interface;

mod links;

mod disruption;

mod packet;

mod hello;

mod fault;

mod clock;

mod sys;

use std::ffi::OsString;
use std::process::ExitCode;

pub use clock::monotonic_ns;
pub use serve::Server;
pub use session::line::parse_line;

/// Runs a session on standard input and output until standard input ends. Exit status: 0 when it ended that way, 1 when the
/// runtime could not be made.
pub fn session_main() -> ExitCode {
    match session::run(std::io::stdin(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fatal(&format!("start the session's runtime: {error}"), 1),
    }
}

/// Runs the servers of a pod until SIGTERM. Arguments (after `serve`): `--config-env NAME` or `--config FILE`, each holding a
/// JSON list of [`plumb_core::probe::ServeOp`]. Exit status: 0 after SIGTERM, 1 when a server could not be started, 2 for a
/// bad command line or configuration. Prints nothing on standard output, and on standard error only why it could not start.
pub fn serve_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match serve::pod::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fatal(&error.to_string(), error.exit_status()),
    }
}

/// Does nothing until SIGTERM or SIGINT: what a Pod runs in which agents are only started by others. Exit status: 0 after the signal,
/// 1 when it cannot wait for one.
pub fn wait_main() -> ExitCode {
    use nix::sys::signal::{SigSet, Signal};
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGINT);
    // Blocked, they also reach a process that is the first of its namespace, to which nobody else could send them.
    match ends.thread_block().and_then(|()| ends.wait()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fatal(&format!("wait for a signal: {error}"), 1),
    }
}

/// Changes an interface of this network namespace. Arguments (after `interface`): `name ADDRESS NAME`, `up NAME` or `down NAME`.
/// Exit status: 0 when it is as asked (also when it was so before), 1 when the system refused, 2 for a bad command line.
pub fn interface_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match interface::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fatal(&error.to_string(), error.exit_status()),
    }
}

/// One line on standard error, where a container runtime looks for the reason.
fn fatal(message: &str, status: u8) -> ExitCode {
    use std::io::Write as _;
    // Nobody may be reading; the exit status says enough then.
    let _ = writeln!(std::io::stderr(), "plumb-agent: failed to {message}");
    ExitCode::from(status)
}
