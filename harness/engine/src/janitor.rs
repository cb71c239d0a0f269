//! The janitor: a process of its own that outlives its owner, `SIGKILL` included, and takes away what the owner's ledgers claim.
//!
//! `<exe> __janitor <pid> <start>` watches the owner by pidfd. The owner writes the path of a ledger to its standard input and
//! waits for `ok` before it makes anything. It ends when the owner has ended. What a lab can still tell goes into its run folder first.
//! A lab that has expired is taken away though its owner lives: one that is stopped or stuck does not do it itself. It must not touch
//! what no ledger claims.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use nix::poll::PollTimeout;

use crate::folder::RunFolder;
use crate::ledger::{self, Making, Resource};
use crate::process::{Identity, PidFd, wait_any};
use crate::{clock, provider, redact};

/// The janitor could not be set to work; nothing may be made then.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {source}")]
pub struct JanitorError {
    operation: &'static str,
    source: io::Error,
}

/// The owner's end: one janitor a process, started with the first ledger.
struct Janitor {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

static JANITOR: OnceLock<Mutex<Option<Janitor>>> = OnceLock::new();

/// Puts a ledger into the janitor's care; it is there when this returns.
///
/// # Errors
/// When there is no janitor and none can be started.
pub fn entrust(ledger: &Path) -> Result<(), JanitorError> {
    let mut slot = JANITOR.get_or_init(|| Mutex::new(None)).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if slot.is_none() {
        *slot = Some(Janitor::start()?);
    }
    let told = slot.as_mut().map_or(Ok(()), |janitor| janitor.tell(ledger));
    told.map_err(|source| {
        *slot = None;
        JanitorError { operation: "give the ledger to the janitor", source }
    })
}

impl Janitor {
    fn start() -> Result<Janitor, JanitorError> {
        let failed = |source| JanitorError { operation: "start the janitor", source };
        let owner = Identity::own();
        let mut child = Command::new("/proc/self/exe")
            .arg0("plumb")
            .args(["__janitor", &owner.pid.to_string(), &owner.start.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A test runner that waits for its tests' output to be closed must not wait for the janitor.
            .stderr(Stdio::null())
            // A signal to the owner's group (Ctrl-C, a test runner's limit) must not reach it.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Janitor { _child: child, input, output: BufReader::new(output) }),
            _ => Err(failed(io::Error::other("its pipes are missing"))),
        }
    }

    fn tell(&mut self, ledger: &Path) -> io::Result<()> {
        self.input.write_all(ledger.as_os_str().as_encoded_bytes())?;
        self.input.write_all(b"\n")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer == "ok\n" { Ok(()) } else { Err(io::Error::other(format!("it answered {answer:?}"))) }
    }
}

/// `__janitor <pid> <start>`: the janitor's own life.
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let pid = args.next().and_then(|text| text.parse().ok());
    let start = args.next().and_then(|text| text.parse().ok());
    let (Some(pid), Some(start)) = (pid, start) else { return ExitCode::from(3) };
    let ledgers = collect(Identity { pid, start });
    ledgers.iter().for_each(|ledger| salvage(ledger));
    let outstanding: Vec<Resource> = ledgers.iter().flat_map(|ledger| ledger::outstanding(ledger).unwrap_or_default()).collect();
    let removed = ledger::remove_all_and_late(outstanding);
    if removed.iter().any(|(_, outcome)| outcome.is_err()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Puts what the labs of a ledger can still tell into the run folder beside it, which nobody else writes any longer.
fn salvage(ledger: &Path) {
    if ledger::outstanding(ledger).is_ok_and(|left| left.is_empty()) {
        return;
    }
    let Some(folder) = ledger.parent().map(RunFolder::open) else { return };
    for (name, text) in provider::salvage_blocking(ledger) {
        // The run folder may be gone with its owner; the lab goes in any case.
        let _ = folder.write_blob(&format!("{name}.log"), redact::text(&text).as_bytes());
    }
}

/// Takes away what has expired, if it is there still; the ledgers that are left to watch.
fn end_expired(ledgers: Vec<PathBuf>) -> Vec<PathBuf> {
    let now_s = clock::unix_s();
    let expired = |ledger: &PathBuf| ledger::expiry(ledger).is_some_and(|at_s| now_s >= at_s.saturating_add(GRACE_S));
    let (over, rest): (Vec<PathBuf>, Vec<PathBuf>) = ledgers.into_iter().partition(expired);
    for ledger in over {
        salvage(&ledger);
        // What is written twice, by a keeper that wakes up, says the same.
        let _ = ledger::take_away(&ledger, Making::Done);
    }
    rest
}

/// How long an owner has to take away what expired, in seconds, before it is done for it.
const GRACE_S: i64 = 120;
/// How often expiries are looked at while there are any.
const LOOK: Duration = Duration::from_secs(20);

/// Takes ledgers until the owner has ended.
fn collect(owner: Identity) -> Vec<PathBuf> {
    let mut ledgers = Vec::new();
    // An owner that is gone already made nothing: it waits for `ok` first.
    let Ok(owner) = PidFd::open(owner) else { return ledgers };
    let input = io::stdin();
    let mut input = input.lock();
    let mut output = io::stdout();
    loop {
        let expires = ledgers.iter().any(|ledger| ledger::expiry(ledger).is_some());
        let limit = if expires { PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::MAX) } else { PollTimeout::NONE };
        let ready = wait_any(&[owner.as_fd(), io::stdin().as_fd()], limit);
        let mut line = String::new();
        match ready.as_deref() {
            Ok([true, _]) | Err(_) => return ledgers,
            Ok([_, false]) => {
                ledgers = end_expired(ledgers);
                continue;
            }
            Ok(_) => {}
        }
        match input.read_line(&mut line) {
            Ok(0) | Err(_) => {
                // It closes its end only by ending; see that through.
                let _ = owner.wait(PollTimeout::NONE);
                return ledgers;
            }
            Ok(_) => {
                ledgers.push(PathBuf::from(line.trim_end_matches('\n')));
                let _ = output.write_all(b"ok\n").and_then(|()| output.flush());
            }
        }
    }
}
