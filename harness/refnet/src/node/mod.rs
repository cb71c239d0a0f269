//! A node's process, `<exe> __refnode <dir> <name>`, in the node's network namespace: datapath, WireGuard, kubelet, Gateway and Service
//! proxies; the L2 announcer is a process of its own below it. They talk to the API over the lab's own wire with the node's certificate.

pub(crate) mod credentials;
pub(crate) mod logs;
pub(crate) mod registry;

mod agent;

pub(crate) mod api_watch;

mod datapath;

mod kubelet;

pub use self::agent::{PROCESS as AGENT_PROCESS, main as agent_main};

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, ResourceExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::mirror::{Mirror, Pulse};
use crate::net::netlink::NetError;
use crate::net::plan::{NodePlan, Plan};
use crate::settings::{NodeContext, Settings};
use crate::spec::LabSpec;

/// How long the other nodes may take to publish their keys.
const KEYS_LIMIT: Duration = Duration::from_secs(20);

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
    /// The L2 announcer.
    #[error(transparent)]
    Announcer(Box<crate::l2::L2Error>),
    /// The API.
    #[error("{operation}: {source}")]
    Api {
        /// What was tried.
        operation: &'static str,
        /// What came back.
        source: Box<kube::Error>,
    },
}

/// Whether a fault keeps this node from answering for Services and Gateway.
pub(crate) fn refuses() -> bool {
    api_watch::refuses() || agent::refuses()
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
    let settings = Settings::of(&spec).map_err(|mistakes| wrong(mistakes.join("; ")))?;
    let own = plan.node(name).cloned().ok_or_else(|| wrong(format!("there is no node {name}")))?;
    let context = own.context(&spec, &settings);
    Ok(Node { plan, own, context })
}

async fn serve(node: Node) -> Result<(), NodeError> {
    datapath::build(&node).await?;
    let node = Arc::new(node);
    let client = connect(&node)?;
    let cancel = CancellationToken::new();
    let mut parts = JoinSet::new();
    encrypt(&mut parts, &client, &node, &cancel);
    kubelet::register(&client, &node).await?;
    start(&mut parts, &client, &node, &cancel);
    if node.context.settings.wireguard {
        keys_known(&client, &node).await?;
    }
    announce()?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|source| NodeError::Io { operation: "listen for SIGTERM", source })?;
    tokio::select! {
        _ = terminate.recv() => {}
        () = ended_early(&mut parts) => {}
    }
    // A graceful end gives leases back.
    cancel.cancel();
    while parts.join_next().await.is_some() {}
    Ok(())
}

/// Why a part of the node ended; `None` = it was told to.
type Ended = (&'static str, Option<String>);

fn told<E: std::error::Error>(part: &'static str, result: Result<(), E>) -> Ended {
    (part, result.err().map(|error| chain(&error)))
}

/// Starts WireGuard, before anything else: the others wait for this node's key.
fn encrypt(parts: &mut JoinSet<Ended>, client: &Client, node: &Node, cancel: &CancellationToken) {
    if node.context.settings.wireguard {
        let (client, context, cancel) = (client.clone(), node.context.clone(), cancel.clone());
        parts.spawn(async move { told("WireGuard", crate::wireguard::run(client, context, cancel).await) });
    }
}

/// Starts every other part of a node.
fn start(parts: &mut JoinSet<Ended>, client: &Client, node: &Arc<Node>, cancel: &CancellationToken) {
    let (context, with) = (&node.context, || (client.clone(), node.context.clone(), cancel.clone()));
    if context.settings.l2.is_some() {
        let (node, cancel) = (node.clone(), cancel.clone());
        parts.spawn(async move { told("agent", agent::keep(&node, &cancel).await) });
    }
    let (asking, of_api, until) = with();
    parts.spawn(async move {
        api_watch::run(asking, of_api.faults, until).await;
        ("watch of the API", None)
    });
    let (service, of_service, until) = with();
    parts.spawn(async move { told("Service proxy", crate::service::run(service, of_service, until).await) });
    if context.settings.gateway {
        let (client, context, cancel) = with();
        parts.spawn(async move { told("Gateway", crate::gateway::run(client, context, cancel).await) });
    }
    let (client, node, cancel) = (client.clone(), node.clone(), cancel.clone());
    parts.spawn(async move { told("kubelet", kubelet::run(client, node, cancel).await) });
}

/// Resolves when a part that should go on has failed; says so in the log.
async fn ended_early(parts: &mut JoinSet<Ended>) {
    while let Some(ended) = parts.join_next().await {
        match ended {
            Ok((_, None)) => {}
            Ok((part, Some(error))) => return log(&format!("failed to go on with the {part}: {error}")),
            Err(error) => return log(&format!("a part of the node panicked: {error}")),
        }
    }
    std::future::pending::<()>().await;
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// A client with the node's own certificate, over the lab's wire.
fn connect(node: &Node) -> Result<Client, NodeError> {
    let client = credentials::client(&node.own.name, &node.plan.api_url());
    client.map_err(|source| NodeError::Io { operation: "set up the client for the API", source })
}

/// Waits until every node has published its key: before that, what is to be encrypted is dropped.
async fn keys_known(client: &Client, node: &Node) -> Result<(), NodeError> {
    let (pulse, done) = (Pulse::new(), CancellationToken::new());
    let _guard = done.clone().drop_guard();
    let mut changes = pulse.listen();
    let nodes = Mirror::follow(crate::wireguard::cilium_nodes(client.clone()), pulse, done);
    let known = |name: &str| nodes.find("", name).is_some_and(|node| node.annotations().contains_key(crate::wireguard::KEY_ANNOTATION));
    let heard = tokio::time::timeout(KEYS_LIMIT, async {
        while !node.plan.nodes.iter().all(|peer| known(&peer.name)) && changes.changed().await.is_ok() {}
    });
    heard.await.map_err(|_| NodeError::Io {
        operation: "hear every node's WireGuard key",
        source: std::io::Error::new(std::io::ErrorKind::TimedOut, "a node has published none"),
    })
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
