//! Taking away by name, for the ledger and the janitor, and by label, for what no ledger is left of.

use std::time::Duration;

use super::{Claim, DockerError, Engine};
use crate::process::{Identity, PidFd};

/// Variable by which kind is told its network; also how its processes are known when their owner is gone.
pub const KIND_NETWORK_VARIABLE: &str = "KIND_EXPERIMENTAL_DOCKER_NETWORK";
/// How the names of our clusters begin.
pub const CLUSTER_PREFIX: &str = "plumb-";

/// Something of ours that was found by its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A container.
    Container(String),
    /// A kind cluster.
    Cluster(String),
    /// A network.
    Network(String),
    /// An image.
    Image(String),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Container(name) => write!(f, "container {name}"),
            Found::Cluster(name) => write!(f, "kind cluster {name}"),
            Found::Network(name) => write!(f, "network {name}"),
            Found::Image(name) => write!(f, "image {name}"),
        }
    }
}

impl Engine {
    /// Takes a kind cluster away: the kind that is still making it, then its nodes.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn remove_kind_cluster(&self, cluster: &str, network: &str) -> Result<(), DockerError> {
        let killed = end_makers(network);
        let mut quiet = 0;
        loop {
            let nodes = self.kind_nodes(cluster).await?;
            for node in &nodes {
                self.remove_container(node).await?;
            }
            // A request of a client that was killed may still be under way in the engine: what it makes appears a moment later.
            quiet = if nodes.is_empty() { quiet + 1 } else { 0 };
            if quiet > if killed == 0 { 0 } else { 8 } {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Everything that carries our labels, in the order in which it can be taken away, with its claim. A kind cluster carries none
    /// itself; its network, which is made before it and has its name, does.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn claimed(&self) -> Result<Vec<(Found, Claim)>, DockerError> {
        let networks = self.claimed_networks().await?;
        let clusters = self.kind_clusters().await?;
        let mut found: Vec<(Found, Claim)> =
            self.claimed_containers().await?.into_iter().map(|(name, claim)| (Found::Container(name), claim)).collect();
        for cluster in clusters.into_iter().filter(|name| name.starts_with(CLUSTER_PREFIX)) {
            if let Some((_, claim)) = networks.iter().find(|(name, _)| *name == cluster) {
                found.push((Found::Cluster(cluster), claim.clone()));
            }
        }
        found.extend(networks.into_iter().map(|(name, claim)| (Found::Network(name), claim)));
        found.extend(self.claimed_images().await?.into_iter().map(|(name, claim)| (Found::Image(name), claim)));
        Ok(found)
    }

    /// Takes one of them away.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn remove_found(&self, found: &Found) -> Result<(), DockerError> {
        match found {
            Found::Container(name) => self.remove_container(name).await,
            Found::Cluster(name) => self.remove_kind_cluster(name, name).await,
            Found::Network(name) => self.remove_network(name).await,
            Found::Image(name) => self.remove_image(name).await,
        }
    }
}

/// Ends every process that was told to make a cluster on this network; how many there were. They inherit the variable from us.
fn end_makers(network: &str) -> usize {
    let wanted = format!("{KIND_NETWORK_VARIABLE}={network}");
    let own = std::process::id() as i32;
    let pids = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).filter(|pid| *pid != own);
    let told = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let makers: Vec<Identity> = pids.filter(told).filter_map(Identity::of).collect();
    // One that ended by itself in between is as good.
    makers.iter().filter_map(|maker| PidFd::open(*maker).ok()).filter(|maker| maker.kill().is_ok()).count()
}
