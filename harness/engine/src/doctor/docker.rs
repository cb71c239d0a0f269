//! Docker: whether it answers, how it keeps images, and what addresses it has left.

use std::time::Duration;

use super::{Finding, cure_of};
use crate::docker::{self, About, DockerError};
use crate::parts::Given;

/// What everything here stops that stops anything.
const KIND: &str = "every scenario on kind";
/// Networks a lab may need: one for the nodes, and those of the client.
const NETWORKS_OF_A_LAB: usize = 3;
/// Limit for all its answers.
const LIMIT: Duration = Duration::from_secs(10);

/// What was read of an engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// What it says of itself.
    pub about: About,
    /// Whether it has the node image that was given.
    pub node_image: Option<bool>,
}

/// Reads it, or why it does not answer.
pub(super) fn read(given: &Given) -> Result<Reading, DockerError> {
    docker::blocking(async |engine| {
        let ask = async {
            let node_image = match &given.node_image {
                Some(image) => Some(engine.image(image).await?.is_some()),
                None => None,
            };
            Ok(Reading { about: engine.about().await?, node_image })
        };
        let late = |_| Err(DockerError::Late { operation: "ask Docker about itself".into(), limit: LIMIT });
        tokio::time::timeout(LIMIT, ask).await.unwrap_or_else(late)
    })
}

/// What it means.
pub(super) fn judge(reading: &Result<Reading, DockerError>) -> Vec<Finding> {
    let about = match reading {
        Ok(reading) => &reading.about,
        Err(error) => {
            let (seen, cure) = cure_of(error, "restart it (systemctl restart docker), and see journalctl -u docker");
            return vec![Finding::lacking("Docker", seen, KIND, cure)];
        }
    };
    let seen = format!("engine {}, API {}, storage driver {}, cgroups {}", about.version, about.api, about.driver, about.cgroups);
    vec![Finding::there("Docker", seen), store(about), lab_subnets(about), pools(about)]
}

fn store(about: &About) -> Finding {
    const WHAT: &str = "Docker image store";
    if about.containerd_images {
        return Finding::there(WHAT, "containerd: docker load keeps digests");
    }
    Finding::lacking(
        WHAT,
        format!("Docker's own ({}): docker load drops digests", about.driver),
        "node images named by digest without a registry, and nothing else: give --node-image without one, or change the store",
        "set {\"features\": {\"containerd-snapshotter\": true}} in /etc/docker/daemon.json (Docker 24 or newer) and restart it",
    )
}

fn lab_subnets(about: &About) -> Finding {
    let seen = format!("{} free /24 for networks of labs", about.lab_subnets);
    if about.lab_subnets < NETWORKS_OF_A_LAB {
        return Finding::lacking("subnets of labs", seen, KIND, "plumb sweep; docker network prune");
    }
    Finding::there("subnets of labs", seen)
}

fn pools(about: &About) -> Finding {
    let seen = format!("{} subnets left in Docker's address pools", about.pool_subnets);
    if about.pool_subnets == 0 {
        let stops = "networks that name no subnet, such as kind create cluster by hand; labs choose their own";
        return Finding::lacking("Docker address pools", seen, stops, "docker network prune");
    }
    Finding::there("Docker address pools", seen)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn good() -> About {
        About {
            version: "28.2.2".into(),
            api: "1.50".into(),
            driver: "overlayfs".into(),
            containerd_images: true,
            cgroups: "2".into(),
            root: "/var/lib/docker".into(),
            lab_subnets: 2_000,
            pool_subnets: 30,
        }
    }

    #[test]
    fn a_good_engine_lacks_nothing() {
        let findings = judge(&Ok(Reading { about: good(), node_image: None }));
        assert_eq!(findings.len(), 4);
        assert!(findings.iter().all(|finding| finding.state.is_there()), "{findings:?}");
    }

    #[test]
    fn an_engine_without_room_says_so() {
        let about = About { containerd_images: false, lab_subnets: 2, pool_subnets: 0, ..good() };
        let findings = judge(&Ok(Reading { about, node_image: None }));
        let lacking: Vec<&str> = findings.iter().filter(|finding| !finding.state.is_there()).map(|finding| finding.what.as_str()).collect();
        assert_eq!(lacking, ["Docker image store", "subnets of labs", "Docker address pools"]);
    }

    #[test]
    fn an_engine_that_is_not_there_is_one_lack_with_its_own_cure() {
        let findings = judge(&Err(DockerError::NoSocket { path: "/var/run/docker.sock".into() }));
        let [Finding { state: State::Lacking { seen, cure, .. }, .. }] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(seen, "connect to Docker: there is no socket /var/run/docker.sock");
        assert!(cure.starts_with("install Docker Engine"), "{cure}");
    }
}
