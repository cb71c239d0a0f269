//! This machine as the outside client of an adopted cluster (`--client-here`): an agent in a process of its own, and what is known of
//! its place.
//!
//! A client that is a node is not outside, and one whose packets do not reach the nodes proves nothing of Cilium, whoever answers in
//! their place: networks with a transparent proxy answer for every address. So each node's own agent must echo what this machine sends
//! to the node's address; both are settled before a scenario begins.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use plumb_core::probe::{Done, L4Op, Link, Op, ServeOp, ServeProtocol};

use crate::session::{Session, SessionError};

/// The vantage point, as evidence names it.
const CLIENT: &str = "client";
/// Limit for one answer of an agent.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a node's echo may take.
const REACH: Duration = Duration::from_secs(3);

/// This machine cannot be the client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent.
    #[error("start the agent on this machine: {0}")]
    Start(#[source] io::Error),
    /// The agent.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It is a node of the cluster.
    #[error(
        "use this machine as the outside client: it has the address {address} of node {node}, and what a node asks does not come from outside\nhint: run plumb on a machine that is no node, or without --client-here: scenarios that need a client are skipped then"
    )]
    IsNode {
        /// The node.
        node: String,
        /// Its address.
        address: IpAddr,
    },
    /// What it sends does not come back from nodes.
    #[error(
        "use this machine as the outside client: the agent on {} does not echo what is sent there: {}\nhint: run plumb where the nodes' network can be reached and no firewall or proxy stands between, or without --client-here: scenarios that need a client are skipped then",
        if nodes.len() == 1 { "a node" } else { "these nodes" },
        nodes.join(", ")
    )]
    Away {
        /// The nodes, with the addresses and ports that were tried, and why not.
        nodes: Vec<String>,
    },
}

/// The address of a node, by which it is asked.
///
/// # Errors
/// The cluster knows none: a node that cannot be asked is not one that is reached.
pub(super) fn address(node: &str, text: &str) -> Result<IpAddr, ClientError> {
    text.parse().map_err(|_| ClientError::Away { nodes: vec![format!("{node} (the cluster says its address is `{text}`)")] })
}

/// A session with an agent in a process of this machine. It ends when the session does, or this process.
///
/// # Errors
/// It cannot be started.
pub(super) fn session() -> Result<Session, ClientError> {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0("plumb").args(["__agent", "session"]);
    // A signal to this process's group (Ctrl-C) is for this process to handle.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = tokio::process::Command::from(command).spawn().map_err(ClientError::Start)?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(ClientError::Start(io::Error::other("its pipes are missing")));
    };
    // The end of its input ends it, however this process does.
    tokio::spawn(async move { child.wait().await });
    Ok(Session::over(CLIENT, output, input))
}

/// The links by which this machine reaches the nodes (name and address of each), none of which it is.
///
/// # Errors
/// See [`ClientError`].
pub(super) async fn place(nodes: &[(String, IpAddr)]) -> Result<Vec<Link>, ClientError> {
    let session = session()?;
    session.hello(ANSWER).await?;
    let links = links(&session).await?;
    if let Some((node, address)) = nodes.iter().find(|(_, address)| links.iter().any(|link| has(link, *address))) {
        return Err(ClientError::IsNode { node: node.clone(), address: *address });
    }
    let sources: Vec<IpAddr> = nodes.iter().filter_map(|(_, address)| source(*address).ok()).collect();
    // Its other links are nobody's business.
    Ok(links.into_iter().filter(|link| sources.iter().any(|source| has(link, *source))).collect())
}

/// Sees that what this machine sends to the nodes reaches them, by their own agents (name, address and session of each).
///
/// # Errors
/// See [`ClientError`]; every node that it does not reach is named.
pub(super) async fn reach(nodes: &[(String, IpAddr, Session)]) -> Result<(), ClientError> {
    if nodes.is_empty() {
        return Err(ClientError::Away { nodes: vec!["no node was asked".to_owned()] });
    }
    let client = session()?;
    client.hello(ANSWER).await?;
    let asked = nodes.iter().map(async |(name, address, agent)| {
        let heard = echo(&client, *address, agent).await?;
        Ok::<_, ClientError>(heard.err().map(|why| format!("{name} ({why})")))
    });
    let away: Vec<Option<String>> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let away: Vec<String> = away.into_iter().flatten().collect();
    if away.is_empty() { Ok(()) } else { Err(ClientError::Away { nodes: away }) }
}

/// Whether a node's agent echoes what the client sends to the node's address; why not.
async fn echo(client: &Session, node: IpAddr, agent: &Session) -> Result<Result<(), String>, SessionError> {
    let serve = ServeOp {
        listen: SocketAddr::new(node, 0),
        protocol: ServeProtocol::TcpEcho,
        backend: "reach".to_owned(),
        pod: String::new(),
        node: String::new(),
        cert_pem: None,
        key_pem: None,
    };
    let serving = agent.start(Op::Serve(serve), ANSWER).await?;
    let Some(target) = serving.started().and_then(|started| started.listening.first().copied()) else {
        return Ok(Err(format!("{node}: its agent listens nowhere")));
    };
    let timeout_ms = u64::try_from(REACH.as_millis()).unwrap_or(u64::MAX);
    let tcp = L4Op { target, source: None, payload: format!("plumb {target}"), count: 1, interval_ms: 0, timeout_ms };
    let report = client.ask(Op::Tcp(tcp), ANSWER).await?.done;
    serving.stop(ANSWER).await?;
    let attempt = match report {
        Done::L4(report) => report.attempts.into_iter().next(),
        _ => None,
    };
    Ok(match attempt.map(|attempt| (attempt.rtt_us, attempt.failure)) {
        Some((Some(_), _)) => Ok(()),
        Some((None, Some(failure))) => Err(format!("{target}: {} during {}", failure.detail, failure.phase)),
        _ => Err(format!("{target}: nothing came back")),
    })
}

async fn links(session: &Session) -> Result<Vec<Link>, ClientError> {
    match session.ask(Op::Links, ANSWER).await?.done {
        Done::Links(links) => Ok(links),
        other => Err(SessionError::Protocol { agent: CLIENT.to_owned(), message: format!("asked for links it answered {other:?}") }.into()),
    }
}

fn has(link: &Link, address: IpAddr) -> bool {
    link.addresses.iter().any(|cidr| cidr.split('/').next().and_then(|text| text.parse().ok()) == Some(address))
}

/// The address this machine has towards another: the kernel's choice of a route, for which nothing is sent.
fn source(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((to, 9))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_cannot_be_asked_is_not_reached() {
        assert!(address("worker", "10.9.0.3").is_ok());
        let none = address("worker", "").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(none.contains("worker (the cluster says its address is ``)"), "{none}");
        assert!(matches!(reach(&[]).await, Err(ClientError::Away { .. })));
    }
}
