//! A node as the supervisor holds it: its namespace, its process, and what can be done to it from outside.
//!
//! Everything that runs on a node is in the process group of the node's process: its Pods, which inherit it, and sessions opened
//! there. Pausing, killing and waiting therefore speak to the group. The API server is no process of a node: a control plane that
//! is paused still serves it, one that is stopped does not.

use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::SupervisorError;
use super::topology::Topology;
use crate::net::netns::Netns;
use crate::net::plan::NodePlan;

/// How long a node's process may take until its node is ready.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long the kernel may take to stop or end processes.
const EFFECT_LIMIT: Duration = Duration::from_secs(5);

/// A node.
#[derive(Debug)]
pub(super) struct Machine {
    /// Its addresses.
    pub(super) plan: NodePlan,
    state: State,
}

#[derive(Debug)]
enum State {
    Off,
    On(Box<Running>),
}

/// A node that has power.
#[derive(Debug)]
struct Running {
    netns: Netns,
    process: Option<Process>,
    paused: bool,
}

#[derive(Debug)]
struct Process {
    child: Child,
    group: Pid,
    /// Its end would be the end of the node's process.
    _stdin: tokio::process::ChildStdin,
}

impl Machine {
    /// Power on: namespace and interfaces, no process yet.
    pub(super) async fn plug(plan: NodePlan, topology: &Topology) -> Result<Machine, SupervisorError> {
        let netns = topology.plug(plan.index as u32, &plan.nics).await?;
        Ok(Machine { plan, state: State::On(Box::new(Running { netns, process: None, paused: false })) })
    }

    /// Its namespace, while it has power.
    pub(super) fn netns(&self) -> Option<&Netns> {
        match &self.state {
            State::On(running) => Some(&running.netns),
            State::Off => None,
        }
    }

    /// The process group of everything on it, and its process's id, while it runs.
    pub(super) fn group(&self) -> Option<Pid> {
        match &self.state {
            State::On(running) => running.process.as_ref().map(|process| process.group),
            State::Off => None,
        }
    }

    /// Whether it is paused.
    pub(super) fn paused(&self) -> bool {
        matches!(&self.state, State::On(running) if running.paused)
    }

    /// Starts its process. [`Machine::ready`] waits for it.
    pub(super) fn boot(&mut self) -> Result<NodeReady, SupervisorError> {
        let name = self.plan.name.clone();
        let State::On(running) = &mut self.state else {
            return Err(SupervisorError::Node { name, reason: "it has no power".to_owned() });
        };
        let log_file = log_file(&name);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_file);
        let log = log.map_err(SupervisorError::io(format!("open {log_file}")))?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["__refnode", ".", &name]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let runtime = tokio::runtime::Handle::current();
        let spawned = running.netns.run(|| {
            let _guard = runtime.enter();
            command.spawn()
        });
        let mut child = spawned.and_then(|spawned| spawned).map_err(SupervisorError::io(format!("start the process of node {name}")))?;
        let (Some(pid), Some(stdin), Some(stdout)) = (child.id(), child.stdin.take(), child.stdout.take()) else {
            return Err(SupervisorError::Node { name, reason: "it ended at once".to_owned() });
        };
        let group = Pid::from_raw(pid.cast_signed());
        running.process = Some(Process { child, group, _stdin: stdin });
        Ok(NodeReady { name, stdout: BufReader::new(stdout) })
    }

    /// Freezes every process on it.
    pub(super) async fn pause(&mut self) -> Result<(), SupervisorError> {
        self.signal(Signal::SIGSTOP)?;
        if let Some(group) = self.group() {
            settled(group, |state| matches!(state, 'T' | 't' | 'Z' | 'X')).await?;
        }
        self.set_paused(true);
        Ok(())
    }

    /// Thaws every process on it.
    pub(super) fn resume(&mut self) -> Result<(), SupervisorError> {
        self.signal(Signal::SIGCONT)?;
        self.set_paused(false);
        Ok(())
    }

    /// Power cut: off the wire, then every process killed and gone.
    pub(super) async fn cut(&mut self, topology: &Topology) -> Result<(), SupervisorError> {
        if !matches!(self.state, State::On(_)) {
            return Ok(());
        }
        topology.unplug(self.plan.index as u32, &self.plan.nics).await?;
        self.end().await
    }

    /// Every process on it killed and gone, and its namespace let go.
    pub(super) async fn end(&mut self) -> Result<(), SupervisorError> {
        let State::On(running) = std::mem::replace(&mut self.state, State::Off) else { return Ok(()) };
        if let Some(mut process) = running.process {
            let _ = killpg(process.group, Signal::SIGKILL);
            let _ = process.child.wait().await;
            settled(process.group, |state| matches!(state, 'Z' | 'X')).await?;
        }
        Ok(())
    }

    /// Power on again, without a process yet.
    pub(super) async fn restore(&mut self, topology: &Topology) -> Result<(), SupervisorError> {
        *self = Machine::plug(self.plan.clone(), topology).await?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), SupervisorError> {
        let name = &self.plan.name;
        let group = self.group().ok_or_else(|| SupervisorError::Node { name: name.clone(), reason: "it does not run".to_owned() })?;
        killpg(group, signal).map_err(|error| SupervisorError::io(format!("send {signal} to node {name}"))(error.into()))
    }

    fn set_paused(&mut self, paused: bool) {
        if let State::On(running) = &mut self.state {
            running.paused = paused;
        }
    }
}

/// A node's process that was started.
pub(super) struct NodeReady {
    name: String,
    stdout: BufReader<tokio::process::ChildStdout>,
}

impl NodeReady {
    /// Waits until the node says that it is ready.
    pub(super) async fn wait(mut self) -> Result<(), SupervisorError> {
        let mut line = String::new();
        let heard = tokio::time::timeout(READY_LIMIT, self.stdout.read_line(&mut line)).await;
        match heard {
            Ok(Ok(read)) if read > 0 => Ok(()),
            Ok(_) => Err(self.failed("its process ended")),
            Err(_) => Err(self.failed("it is not ready in time")),
        }
    }

    fn failed(&self, what: &str) -> SupervisorError {
        let log = std::fs::read_to_string(log_file(&self.name)).unwrap_or_default();
        let tail = log.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("; ");
        SupervisorError::Node { name: self.name.clone(), reason: format!("{what}: {tail}") }
    }
}

/// Where a node's process complains.
pub(super) fn log_file(name: &str) -> String {
    format!("node-{name}.log")
}

/// Waits until every process of a group is in a state. The kernel acts on signals when it next schedules a process, which is
/// at once; there is nothing to be woken by, so this looks again and again, for a moment.
async fn settled(group: Pid, fits: impl Fn(char) -> bool) -> Result<(), SupervisorError> {
    let began = Instant::now();
    while !states(group).map_err(SupervisorError::io("read /proc"))?.into_iter().all(&fits) {
        if killpg(group, None) == Err(Errno::ESRCH) {
            return Ok(());
        }
        if began.elapsed() > EFFECT_LIMIT {
            let source = io::Error::new(io::ErrorKind::TimedOut, "a process does not change its state");
            return Err(SupervisorError::Io { operation: "stop a node's processes".to_owned(), source });
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// The state letters of every process of a group.
fn states(group: Pid) -> io::Result<Vec<char>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process may end while this looks; it is settled then.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut fields = rest.split_ascii_whitespace();
        let (Some(state), _, Some(of)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if of.parse() == Ok(group.as_raw()) {
            found.extend(state.chars().next());
        }
    }
    Ok(found)
}
