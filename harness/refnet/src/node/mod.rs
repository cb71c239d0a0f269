//! A node's process, `<exe> __refnode <dir> <name>`, in the node's network namespace: datapath, WireGuard, kubelet, L2 announcer,
//! Gateway and Service proxies. It talks to the API over the lab's own wire with its own certificate.

pub(crate) mod credentials;
pub(crate) mod registry;

mod datapath;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::net::netlink::NetError;
use crate::net::plan::{NodePlan, Plan};
use crate::settings::{NodeContext, Settings};
use crate::spec::LabSpec;

/// What stops a node from coming up or going on. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
enum NodeError {
    /// The lab's files.
    #[error("read the lab's {file}: {reason}")]
    Files {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The datapath.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Any other operation on this machine.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What came back.
        source: std::io::Error,
    },
    /// The API.
    #[error("{operation}: {source}")]
    Api {
        /// What was tried.
        operation: &'static str,
        /// What came back.
        source: Box<kube::Error>,
    },
}

/// Everything the parts of a node share.
pub(crate) struct Node {
    /// The whole lab's addresses.
    pub(crate) plan: Plan,
    /// This node's.
    pub(crate) own: NodePlan,
    /// Settings, faults and seed.
    pub(crate) context: NodeContext,
}

/// Runs a node until it is told to end or its supervisor goes away.
pub fn main(dir: &Path, name: &str) -> ExitCode {
    match run(dir, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("failed to {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line in the node's log.
pub(crate) fn log(line: &str) {
    // A log that cannot be written must not stop a node.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn run(dir: &Path, name: &str) -> Result<(), NodeError> {
    std::env::set_current_dir(dir).map_err(|source| NodeError::Io { operation: "enter the lab's directory", source })?;
    let node = read(name)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| NodeError::Io { operation: "start the runtime", source })?;
    runtime.block_on(async {
        let gone = supervisor_gone();
        tokio::select! {
            result = serve(node) => result,
            _ = gone => Ok(()),
        }
    })
}

fn read(name: &str) -> Result<Node, NodeError> {
    let wrong = |reason: String| NodeError::Files { file: "spec.json", reason };
    let text = std::fs::read("spec.json").map_err(|error| wrong(error.to_string()))?;
    let spec: LabSpec = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let plan = Plan::of(&spec).map_err(|error| wrong(error.to_string()))?;
    let settings = Settings::from_values(&spec.values).map_err(|mistakes| wrong(mistakes.join("; ")))?;
    let own = plan.node(name).cloned().ok_or_else(|| wrong(format!("there is no node {name}")))?;
    let context = own.context(&spec, &settings);
    Ok(Node { plan, own, context })
}

async fn serve(node: Node) -> Result<(), NodeError> {
    datapath::build(&node).await?;
    announce()?;
    std::future::pending().await
}

/// Tells the supervisor that the node is ready.
fn announce() -> Result<(), NodeError> {
    let mut stdout = std::io::stdout().lock();
    let said = writeln!(stdout, "ready").and_then(|()| stdout.flush());
    said.map_err(|source| NodeError::Io { operation: "say that the node is ready", source })
}

/// Resolves when standard input ends: the supervisor is no more.
fn supervisor_gone() -> tokio::sync::oneshot::Receiver<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        let _ = tell.send(());
    });
    told
}
