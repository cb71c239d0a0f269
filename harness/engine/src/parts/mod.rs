//! The parts of a lab with real Cilium that come from outside: programs, the node image, the chart, image archives, definitions.
//!
//! [`Given`] is what the user names, on the command line or in the environment; whatever is not named is looked for, or fetched
//! unless [`Reach::Offline`] forbids it. This module must not decide what a trial needs: a plan says that.

mod cache;
pub(crate) mod fetch;
pub mod images;
mod lock;
#[cfg(test)]
mod server;
pub mod tools;
mod values;

use std::path::PathBuf;

use plumb_core::values::{Values, merge};
use serde::{Deserialize, Serialize};

pub use cache::CacheError;
pub use fetch::{Download, FetchError, watch_downloads};
pub use values::{ValuesError, read_values};

/// Whether connections may leave the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// Parts that are not here are fetched.
    #[default]
    Online,
    /// Nothing leaves the machine; a part that is not here is an error that names it.
    Offline,
}

/// What the user gives in place of what would be found or fetched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// The `kind` program.
    pub kind: Option<PathBuf>,
    /// The `cilium` program.
    pub cilium_cli: Option<PathBuf>,
    /// Node image, as Docker names it.
    pub node_image: Option<String>,
    /// Folder of an unpacked Cilium chart.
    pub chart: Option<PathBuf>,
    /// Folder with image archives to load into the nodes (`*.tar`, as `docker save` writes them).
    pub images: Option<PathBuf>,
    /// Folder with the Gateway API definitions, one file each.
    pub crds: Option<PathBuf>,
    /// A static `plumb-agent`.
    pub agent: Option<PathBuf>,
    /// Kubeconfig of a cluster that already runs.
    pub kubeconfig: Option<PathBuf>,
    /// Context in it.
    pub context: Option<String>,
    /// Reference under which that cluster can pull the agent's image.
    pub agent_image: Option<String>,
    /// Networks of that cluster, as [`plumb_core::networks::NamedNetwork`] reads them.
    #[serde(default)]
    pub networks: Vec<String>,
    /// This machine is the outside client of that cluster.
    #[serde(default)]
    pub client_here: bool,
    /// Values files, the later over the earlier.
    pub values: Vec<PathBuf>,
    /// Cilium version in place of the profile's.
    pub cilium_version: Option<String>,
    /// Whether connections may leave the machine.
    pub reach: Reach,
}

impl Given {
    /// What the environment names: `PLUMB_KIND`, `PLUMB_CILIUM_CLI`, `PLUMB_NODE_IMAGE`, `PLUMB_CHART`, `PLUMB_IMAGES`, `PLUMB_CRDS`,
    /// `PLUMB_AGENT`, `PLUMB_KUBECONFIG`, `PLUMB_CONTEXT`, `PLUMB_AGENT_IMAGE`, `PLUMB_VALUES` (paths with colons between),
    /// `PLUMB_CILIUM_VERSION`, `PLUMB_NETWORKS` (with spaces between), `PLUMB_CLIENT_HERE` and `PLUMB_OFFLINE` (any value but empty or `0`).
    pub fn from_env() -> Given {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let on = |name: &str| text(name).is_some_and(|value| value != "0");
        Given {
            kind: path("PLUMB_KIND"),
            cilium_cli: path("PLUMB_CILIUM_CLI"),
            node_image: text("PLUMB_NODE_IMAGE"),
            chart: path("PLUMB_CHART"),
            images: path("PLUMB_IMAGES"),
            crds: path("PLUMB_CRDS"),
            agent: path("PLUMB_AGENT"),
            kubeconfig: path("PLUMB_KUBECONFIG"),
            context: text("PLUMB_CONTEXT"),
            agent_image: text("PLUMB_AGENT_IMAGE"),
            networks: text("PLUMB_NETWORKS").map(|list| list.split_whitespace().map(str::to_owned).collect()).unwrap_or_default(),
            client_here: on("PLUMB_CLIENT_HERE"),
            values: text("PLUMB_VALUES").map(|list| std::env::split_paths(&list).collect()).unwrap_or_default(),
            cilium_version: text("PLUMB_CILIUM_VERSION"),
            reach: if on("PLUMB_OFFLINE") { Reach::Offline } else { Reach::Online },
        }
    }

    /// What is given on a command line over what the environment names.
    #[must_use]
    pub fn or(self, other: Given) -> Given {
        Given {
            kind: self.kind.or(other.kind),
            cilium_cli: self.cilium_cli.or(other.cilium_cli),
            node_image: self.node_image.or(other.node_image),
            chart: self.chart.or(other.chart),
            images: self.images.or(other.images),
            crds: self.crds.or(other.crds),
            agent: self.agent.or(other.agent),
            kubeconfig: self.kubeconfig.or(other.kubeconfig),
            context: self.context.or(other.context),
            agent_image: self.agent_image.or(other.agent_image),
            networks: if self.networks.is_empty() { other.networks } else { self.networks },
            client_here: self.client_here || other.client_here,
            values: if self.values.is_empty() { other.values } else { self.values },
            cilium_version: self.cilium_version.or(other.cilium_version),
            reach: if self.reach == Reach::Offline { Reach::Offline } else { other.reach },
        }
    }

    /// The values files as one set.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub fn read_values(&self) -> Result<Values, Vec<ValuesError>> {
        let (mut values, mut errors) = (Values::new(), Vec::new());
        for path in &self.values {
            match read_values(path) {
                Ok(read) => merge(&mut values, &read),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(values) } else { Err(errors) }
    }
}
