//! Agents at the vantage points of a kind cluster, each through one long command in a container: the outside client's own, on a node
//! in the node, for a Pod in its node within the Pod's network namespace.

use std::time::Duration;

use serde_json::Value;

use crate::docker::{DockerError, Engine};
use crate::session::Session;

/// The agent in containers and nodes.
const SESSION: [&str; 2] = ["/plumb/agent", "session"];
/// Limit for a question to a node's container runtime.
const QUESTION: Duration = Duration::from_secs(20);

/// There is no agent there.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Docker said no.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The node's container runtime does not know the Pod.
    #[error("find the sandbox of pod {namespace}/{name} on {node}: crictl knows {found} that are ready")]
    NoSandbox {
        /// The node.
        node: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// How many it knows.
        found: usize,
    },
    /// The answer of the container runtime is not understood.
    #[error("read what crictl on {node} says of a sandbox: {source}")]
    Answer {
        /// The node.
        node: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// A session in a container.
///
/// # Errors
/// See [`AgentError`].
pub async fn in_container(engine: &Engine, container: &str, vantage: &str) -> Result<Session, AgentError> {
    let streams = engine.open(container, &SESSION).await?;
    Ok(Session::over(vantage, streams.output, streams.input))
}

/// A session in the network namespace of a Pod on a node. Its tools are the node's, its interfaces and addresses the Pod's.
///
/// # Errors
/// See [`AgentError`].
pub async fn in_pod(engine: &Engine, node: &str, namespace: &str, name: &str, vantage: &str) -> Result<Session, AgentError> {
    let Some(path) = network_of(engine, node, namespace, name).await? else { return in_container(engine, node, vantage).await };
    let enter = format!("--net={path}");
    let streams = engine.open(node, &["nsenter", &enter, SESSION[0], SESSION[1]]).await?;
    Ok(Session::over(vantage, streams.output, streams.input))
}

/// Path of a Pod's network namespace in its node; `None` when it is on the host network.
///
/// # Errors
/// See [`AgentError`].
pub async fn network_of(engine: &Engine, node: &str, namespace: &str, name: &str) -> Result<Option<String>, AgentError> {
    let exact = format!("^{name}$");
    let list = ["crictl", "pods", "--quiet", "--state", "ready", "--namespace", namespace, "--name", &exact];
    let listed = engine.succeed(node, &list, QUESTION).await?;
    let ids: Vec<&str> = listed.split_whitespace().collect();
    let [id] = ids[..] else {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        return Err(AgentError::NoSandbox { node: node.to_owned(), namespace, name, found: ids.len() });
    };
    let inspected = engine.succeed(node, &["crictl", "inspectp", "--output", "json", id], QUESTION).await?;
    let inspected: Value = serde_json::from_str(&inspected).map_err(|source| AgentError::Answer { node: node.to_owned(), source })?;
    Ok(network_path(&inspected))
}

/// The path in what `crictl inspectp` says (containerd puts the runtime specification there, OCI runtime-spec `linux.namespaces`).
fn network_path(inspected: &Value) -> Option<String> {
    let namespaces = inspected.pointer("/info/runtimeSpec/linux/namespaces")?.as_array()?;
    let network = namespaces.iter().find(|namespace| namespace["type"] == "network")?;
    network["path"].as_str().filter(|path| !path.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pods_network_is_found_and_that_of_a_host_is_none() {
        let spec = |namespaces: Value| json!({"info": {"runtimeSpec": {"linux": {"namespaces": namespaces}}}});
        let pod = spec(json!([{"type": "pid"}, {"type": "network", "path": "/var/run/netns/cni-1"}, {"type": "mount"}]));
        assert_eq!(network_path(&pod).as_deref(), Some("/var/run/netns/cni-1"));
        assert_eq!(network_path(&spec(json!([{"type": "pid"}]))), None);
        assert_eq!(network_path(&json!({})), None);
    }
}
