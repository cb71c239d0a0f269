//! A cluster that is ready, and as it is written down for others that use it later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plumb_core::evidence::NodeFacts;
use plumb_core::probe::Link;
use plumb_core::profile::in_place;
use plumb_core::values::Values;
use serde::{Deserialize, Serialize};

use super::KindError;
use super::cluster::{READY, Spec, target};
use super::facts::connect;
use super::ground::Ground;
use crate::cilium::{self, Digests, Expect, Installation};
use crate::clock;
use crate::docker::Engine;
use crate::parts::Given;

/// Limit for a cluster that is used again to say that it is ready.
const WELL: Duration = Duration::from_secs(20);

/// A cluster as it is written down, for others that use it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name in kind and Docker.
    pub name: String,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// Interface, network and subnet (CIDR) of each of its networks.
    pub networks: Vec<(String, String, String)>,
    /// As [`Made::system`].
    pub system: String,
    /// As [`Made::cilium`].
    pub cilium: String,
    /// As [`Made::expect`].
    pub expect: Expect,
    /// The `cilium` CLI it was installed with.
    pub cilium_cli: PathBuf,
    /// Whether images are named without digests.
    pub digests_off: bool,
    /// As [`Made::nodes`].
    pub nodes: BTreeMap<String, NodeFacts>,
    /// As [`Made::client_links`].
    pub client_links: Vec<Link>,
    /// As [`Made::agent_image`].
    pub agent_image: String,
    /// As [`Made::values`].
    pub values: Values,
}

/// A cluster that is ready.
pub struct Made {
    /// Its networks and its client.
    pub ground: Ground,
    /// Its kubeconfig, private to this user.
    pub kubeconfig: PathBuf,
    /// A client for its API.
    pub client: kube::Client,
    /// What runs there, in words.
    pub system: String,
    /// Cilium version that runs.
    pub cilium: String,
    /// What of Cilium must be ready.
    pub expect: Expect,
    /// Cilium as it was installed.
    pub installation: Installation,
    /// Nodes by logical name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Links of the outside client.
    pub client_links: Vec<Link>,
    /// The agent's image, as Pods name it.
    pub agent_image: String,
    /// Helm values that are in force.
    pub values: Values,
    /// Milliseconds by phase; phases overlap.
    pub phases_ms: BTreeMap<String, u64>,
    /// What kind and the cilium CLI said, by name.
    pub texts: BTreeMap<String, String>,
}

impl Made {
    /// Written down.
    pub fn record(&self) -> Record {
        Record {
            name: self.ground.name().to_owned(),
            kubeconfig: self.kubeconfig.clone(),
            networks: self.ground.networks(),
            system: self.system.clone(),
            cilium: self.cilium.clone(),
            expect: self.expect.clone(),
            cilium_cli: self.installation.target.program.clone(),
            digests_off: self.installation.digests == Digests::Off,
            nodes: self.nodes.clone(),
            client_links: self.client_links.clone(),
            agent_image: self.agent_image.clone(),
            values: self.values.clone(),
        }
    }

    /// One that was written down and is still there.
    ///
    /// # Errors
    /// Docker or the API is not.
    pub async fn adopt(record: &Record, given: &Given) -> Result<Made, KindError> {
        let engine = Engine::connect().await?;
        let ground = Ground::adopt(engine, &record.name, &record.networks)
            .ok_or_else(|| KindError::Missing(format!("read the record of cluster {}: a subnet in it is none", record.name)))?;
        Ok(Made {
            ground,
            kubeconfig: record.kubeconfig.clone(),
            client: connect(&record.kubeconfig).await?,
            system: record.system.clone(),
            cilium: record.cilium.clone(),
            expect: record.expect.clone(),
            installation: Installation {
                target: target(&record.name, &record.kubeconfig, &record.cilium_cli),
                given: given.clone(),
                digests: if record.digests_off { Digests::Off } else { Digests::Keep },
                nodes: record.nodes.len(),
            },
            nodes: record.nodes.clone(),
            client_links: record.client_links.clone(),
            agent_image: record.agent_image.clone(),
            values: record.values.clone(),
            phases_ms: BTreeMap::new(),
            texts: BTreeMap::new(),
        })
    }

    /// Brings Cilium to the values a run asks for, where others are in force.
    ///
    /// # Errors
    /// See [`KindError`]: these values take another cluster, or Cilium did not take them. It is of no use then.
    pub async fn bring_to(&mut self, spec: &Spec) -> Result<(), KindError> {
        let other = || KindError::Missing(format!("use cluster {} again: its values cannot be changed in place", self.ground.name()));
        let change = in_place(&self.values, &spec.values).ok_or_else(other)?;
        if change.changed.is_empty() {
            return Ok(());
        }
        let began = clock::monotonic_ns();
        let ran = self.installation.change(&self.client, &spec.cilium, &spec.values, &change.restart, READY).await?;
        self.values = spec.values.clone();
        self.phases_ms.insert("change".into(), clock::monotonic_ns().saturating_sub(began) / 1_000_000);
        let changed = change.changed.join("\n");
        self.texts.insert("cilium-change".into(), format!("{changed}\n$ {}\n{}{}", ran.argv_line, ran.stdout, ran.stderr));
        Ok(())
    }

    /// Whether its nodes and Cilium on them are ready, as a new cluster's must be.
    pub async fn is_well(&self) -> bool {
        cilium::ready(&self.client, &self.expect, WELL).await.is_ok()
    }
}
