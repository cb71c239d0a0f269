//! What the engine says of itself: version, storage, cgroups, address pools.

use super::subnet::{Block, RESERVE, free};
use super::{DockerError, Engine, failed};

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// `28.2.2`.
    pub version: String,
    /// `1.41`.
    pub api: String,
    /// `overlay2`, `overlayfs`.
    pub driver: String,
    /// Whether images are kept by containerd: only then `docker load` keeps their digests.
    pub containerd_images: bool,
    /// `1`, `2`.
    pub cgroups: String,
    /// The folder it keeps everything in.
    pub root: String,
    /// How many networks of labs still find a subnet.
    pub lab_subnets: usize,
    /// How many networks that name no subnet still find one in Docker's own pools.
    pub pool_subnets: usize,
}

/// Pools where none are configured (moby, `daemon/libnetwork/ipamutils`): base, prefix of it, prefix of each network.
const POOLS: [(&str, u8); 7] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
];

impl Engine {
    /// Asks it.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn about(&self) -> Result<About, DockerError> {
        let operation = "ask Docker about itself";
        let info = self.docker.info().await.map_err(|error| failed(operation, error))?;
        let taken = self.taken().await?;
        let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        let status = info.driver_status.unwrap_or_default();
        let configured = info.default_address_pools.unwrap_or_default();
        let pools: Vec<(String, u8)> = match configured.is_empty() {
            true => POOLS.iter().map(|(base, size)| ((*base).to_owned(), *size)).collect(),
            false => configured.into_iter().filter_map(|pool| Some((pool.base?, u8::try_from(pool.size?).ok()?))).collect(),
        };
        let version = self.docker.client_version();
        Ok(About {
            version: text(info.server_version),
            api: format!("{}.{}", version.major_version, version.minor_version),
            driver: text(info.driver),
            containerd_images: is_containerd(&status),
            cgroups: info.cgroup_version.map_or_else(|| "unknown".to_owned(), |version| version.to_string()),
            root: text(info.docker_root_dir),
            lab_subnets: RESERVE.iter().map(|(address, prefix)| free(&taken, Block::new(*address, *prefix), 24)).sum(),
            pool_subnets: pools.iter().filter_map(|(base, size)| Some(free(&taken, Block::parse(base)?, *size))).sum(),
        })
    }
}

/// Whether `DriverStatus` is that of an engine whose images are containerd's (moby, `daemon/containerd/service.go`).
fn is_containerd(status: &[Vec<String>]) -> bool {
    status.iter().any(|line| matches!(line.as_slice(), [key, value] if key == "driver-type" && value.contains("containerd.snapshotter")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_store_is_told_by_the_driver() {
        let line = |key: &str, value: &str| vec![key.to_owned(), value.to_owned()];
        assert!(is_containerd(&[line("driver-type", "io.containerd.snapshotter.v1")]));
        assert!(!is_containerd(&[line("Backing Filesystem", "extfs"), line("Supports d_type", "true")]));
        assert!(!is_containerd(&[]));
    }

    #[test]
    fn an_empty_machine_has_all_of_the_default_pools() {
        let count = |taken: &[Block]| -> usize {
            POOLS.iter().map(|(base, size)| free(taken, Block::parse(base).unwrap_or(Block::new([0, 0, 0, 0].into(), 0)), *size)).sum()
        };
        assert_eq!(count(&[]), 3 + 3 * 4 + 16);
        assert_eq!(count(&[Block::new([172, 17, 0, 0].into(), 16), Block::new([192, 168, 1, 0].into(), 24)]), 29);
    }
}
