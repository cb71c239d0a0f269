//! Processes found by their name, and signals to them. Only what shares this network namespace counts: on a node that is the node's own
//! processes and Pods of the host's network, such as Cilium's agent and the API server, and not what merely has the same name elsewhere.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plumb_core::probe::{OpError, Process, ProcessReport, ProcessSignal, SignalOp};
use tokio::time::Instant;

use crate::clock::monotonic_ns;

/// How often it is looked whether a signal had its effect; the kernel tells nobody but parents and tracers.
const PACE: Duration = Duration::from_millis(2);

/// Answers [`plumb_core::probe::Op::Processes`].
pub(crate) fn list(name: &str) -> Result<ProcessReport, OpError> {
    let processes = named(name).map_err(|error| OpError { operation: format!("look for {name}"), message: error.to_string() })?;
    Ok(ProcessReport { at_ns: monotonic_ns(), processes })
}

/// Answers [`plumb_core::probe::Op::Signal`].
pub(crate) async fn signal(op: &SignalOp) -> Result<ProcessReport, OpError> {
    let (signal, word) = match op.signal {
        ProcessSignal::Stop => (Signal::SIGSTOP, "stop"),
        ProcessSignal::Continue => (Signal::SIGCONT, "go on with"),
        ProcessSignal::Kill => (Signal::SIGKILL, "kill"),
    };
    let failed = |message: String| OpError { operation: format!("{word} {}", op.process), message };
    let processes = list(&op.process)?.processes;
    if processes.is_empty() {
        return Err(failed("no process of this name shares the network namespace".into()));
    }
    for process in &processes {
        kill(Pid::from_raw(process.pid), signal).map_err(|error| failed(format!("process {}: {error}", process.pid)))?;
    }
    let until = Instant::now() + Duration::from_millis(op.limit_ms);
    while !processes.iter().all(|process| has_effect(process, op.signal)) {
        if Instant::now() >= until {
            return Err(failed(format!("the signal had no effect within {} ms", op.limit_ms)));
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(ProcessReport { at_ns: monotonic_ns(), processes })
}

fn named(name: &str) -> io::Result<Vec<Process>> {
    let own = fs::read_link("/proc/self/ns/net")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse::<i32>().ok()) else { continue };
        // A process may end while this looks; then it is none of those that are asked for.
        let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let Ok(namespace) = fs::read_link(entry.path().join("ns/net")) else { continue };
        if comm.trim_end() == name
            && namespace == own
            && let Some((state, started_ticks)) = stat(&entry.path().join("stat"))
            && !matches!(state, 'Z' | 'X')
        {
            found.push(Process { pid, started_ticks });
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a process is as the signal makes it.
fn has_effect(process: &Process, signal: ProcessSignal) -> bool {
    let folder = format!("/proc/{}", process.pid);
    let now = stat(&Path::new(&folder).join("stat")).filter(|(_, started)| *started == process.started_ticks);
    let threads = || fs::read_dir(Path::new(&folder).join("task")).into_iter().flatten().filter_map(Result::ok);
    let states = || threads().filter_map(|thread| Some(stat(&thread.path().join("stat"))?.0));
    match signal {
        ProcessSignal::Kill => now.is_none_or(|(state, _)| matches!(state, 'Z' | 'X')),
        ProcessSignal::Stop => now.is_some() && states().all(|state| matches!(state, 'T' | 't')),
        ProcessSignal::Continue => now.is_some() && states().all(|state| !matches!(state, 'T' | 't')),
    }
}

/// State letter and start of a process or thread (proc(5)); the name in it may hold anything, also parentheses.
fn stat(file: &Path) -> Option<(char, u64)> {
    let text = fs::read_to_string(file).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ask(process: &str, signal: ProcessSignal) -> Result<ProcessReport, OpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self::signal(&SignalOp { process: process.into(), signal, limit_ms: 5_000 }))
    }

    /// A program under a name that nobody else has.
    fn named_program(dir: &Path, name: &str) -> std::process::Child {
        let program = dir.join(name);
        fs::copy("/bin/sleep", &program).unwrap();
        std::process::Command::new(program).arg("600").spawn().unwrap()
    }

    #[test]
    fn a_process_is_stopped_goes_on_and_is_killed_and_each_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("pl-{}", std::process::id());
        let (mut one, state) = (named_program(dir.path(), &name), |pid: u32| stat(Path::new(&format!("/proc/{pid}/stat"))).unwrap().0);
        // Between fork and exec it still has our name.
        while named(&name).unwrap().is_empty() {
            std::thread::yield_now();
        }
        let stopped = ask(&name, ProcessSignal::Stop).unwrap();
        assert_eq!((stopped.processes.len(), stopped.processes[0].pid.cast_unsigned(), state(one.id())), (1, one.id(), 'T'));
        ask(&name, ProcessSignal::Continue).unwrap();
        assert_ne!(state(one.id()), 'T');
        let killed = ask(&name, ProcessSignal::Kill).unwrap();
        assert_eq!(killed.processes, stopped.processes);
        one.wait().unwrap();
        assert!(list(&name).unwrap().processes.is_empty());
    }

    #[test]
    fn a_name_that_no_process_has_is_an_error() {
        let error = ask("no-such-process", ProcessSignal::Kill).unwrap_err();
        assert_eq!(error.operation, "kill no-such-process");
        assert!(error.message.contains("no process of this name"), "{error:?}");
    }
}
