//! A node's agent, `<exe> __refagent <dir> <name> <generation>`: the L2 announcer in a process of its own, as Cilium's agent is one, so that
//! it can be killed without the node. What forwards packets stays with the node, as Cilium's does with the kernel.
//!
//! The node starts it again when a signal has ended it, as a kubelet does. One that ends by itself has met trouble, which is the node's.

use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Node, NodeError, chain, connect, log, read, supervisor_gone};
use crate::fault::Fault;

/// The name of its process.
pub const PROCESS: &str = "refnet-agent";

/// For how long a node forwards nothing after its agent was killed, under the fault that is named after it.
const DEAF: Duration = Duration::from_secs(3);

static DEAF_NOW: AtomicBool = AtomicBool::new(false);

/// Whether traffic is refused because the node's agent was killed just now.
pub(super) fn refuses() -> bool {
    DEAF_NOW.load(Ordering::Relaxed)
}

/// How long it may take to give its leases back.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the agent of a node does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgentError {
    /// It does not start.
    #[error("start the agent: {0}")]
    Start(std::io::Error),
    /// It ended by itself.
    #[error("keep the agent running: it ended with {0}")]
    Ended(ExitStatus),
}

/// Keeps an agent running until `cancel`, then lets it end gracefully.
pub(super) async fn keep(node: &Node, cancel: &CancellationToken) -> Result<(), AgentError> {
    for generation in 0u32.. {
        let mut child = start(&node.own.name, generation).map_err(AgentError::Start)?;
        // Waiting for a child closes its input, whose end would be the agent's.
        let _input = child.stdin.take();
        let ended = tokio::select! {
            ended = child.wait() => ended.map_err(AgentError::Start)?,
            () = cancel.cancelled() => {
                end(child).await;
                return Ok(());
            }
        };
        if ended.code().is_some() {
            return Err(AgentError::Ended(ended));
        }
        if node.context.faults.has(Fault::AgentRestartStopsTraffic) {
            DEAF_NOW.store(true, Ordering::Relaxed);
            tokio::spawn(async {
                tokio::time::sleep(DEAF).await;
                DEAF_NOW.store(false, Ordering::Relaxed);
            });
        }
        log(&format!("the agent was ended by a signal ({ended}) and is started again"));
    }
    Ok(())
}

fn start(name: &str, generation: u32) -> std::io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    // The end of its input tells it that the node is no more.
    command.args(["__refagent", ".", name, &generation.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}

async fn end(mut child: Child) {
    if let Some(pid) = child.id() {
        // It may have ended by itself just now.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGTERM);
    }
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Runs an agent until it is told to end or its node goes away.
pub fn main(dir: &Path, name: &str, generation: u32) -> ExitCode {
    // By this name it is found and killed.
    let _ = nix::sys::prctl::set_name(c"refnet-agent");
    match run(dir, name, generation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("failed to {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path, name: &str, generation: u32) -> Result<(), NodeError> {
    std::env::set_current_dir(dir).map_err(|source| NodeError::Io { operation: "enter the lab's directory", source })?;
    let mut node = read(name)?;
    if generation > 0 {
        node.context.faults = node.context.faults.iter().chain(node.context.faults.iter().filter_map(of_a_second_life)).collect();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| NodeError::Io { operation: "start the runtime", source })?;
    runtime.block_on(async {
        let gone = supervisor_gone();
        tokio::select! {
            result = announce(Arc::new(node)) => result,
            _ = gone => Ok(()),
        }
    })
}

/// What an agent that was started again does wrong all the time, under a fault of its restart.
fn of_a_second_life(fault: Fault) -> Option<Fault> {
    match fault {
        Fault::AgentRestartDropsAddress => Some(Fault::ArpHeldButSilent),
        Fault::AgentRestartKeepsStale => Some(Fault::ArpTwoAnswerers),
        _ => None,
    }
}

async fn announce(node: Arc<Node>) -> Result<(), NodeError> {
    let client = connect(&node)?;
    let cancel = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(|source| NodeError::Io { operation: "listen for SIGTERM", source })?;
    let announcing = crate::l2::run(client, node.context.clone(), cancel.clone());
    tokio::pin!(announcing);
    let ended = tokio::select! {
        ended = &mut announcing => ended,
        _ = terminate.recv() => {
            // A graceful end gives leases back.
            cancel.cancel();
            announcing.await
        }
    };
    ended.map_err(|error| NodeError::Announcer(Box::new(error)))
}
