//! How to look into a lab that stays: what a person or another process needs to know of it, written down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use plumb_core::evidence::LabFacts;
use serde::{Deserialize, Serialize};

/// The way into a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entrance {
    /// What runs there, in words.
    pub system: String,
    /// Where it is.
    pub place: Place,
    /// Kubeconfig for programs on this machine. Private to this user.
    pub kubeconfig: PathBuf,
    /// Nodes by logical name.
    pub nodes: BTreeMap<String, Node>,
    /// Addresses of the outside client by interface; empty = no client.
    pub client: BTreeMap<String, String>,
    /// First and last address kept for Services, by network.
    pub virtual_addresses: BTreeMap<String, (String, String)>,
}

/// Where a lab is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// In network namespaces.
    Namespaces {
        /// Folder of the lab.
        folder: PathBuf,
    },
    /// Wherever it was found.
    Found,
    /// In Docker.
    Docker {
        /// Name of the cluster; nodes are containers.
        cluster: String,
        /// Container of the outside client.
        client: String,
    },
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its address there.
    pub address: String,
}

impl Entrance {
    pub(super) fn of(facts: &LabFacts, place: Place, kubeconfig: PathBuf, networks: &[String], kept: Kept<'_>) -> Entrance {
        let first = |addresses: &[String]| addresses.first().map(|cidr| cidr.split('/').next().unwrap_or(cidr).to_owned());
        let client = facts.client.iter().filter(|link| networks.contains(&link.name));
        let range = |network: &String| {
            let mut all = (0..=u32::from(u8::MAX)).map_while(|n| kept(network, n));
            let low = all.next()?;
            Some((network.clone(), (low.clone(), all.last().unwrap_or(low))))
        };
        Entrance {
            system: facts.system.clone(),
            place,
            kubeconfig,
            nodes: facts
                .nodes
                .iter()
                .map(|(logical, node)| (logical.clone(), Node { name: node.name.clone(), address: node.address.clone() }))
                .collect(),
            client: client.filter_map(|link| Some((link.name.clone(), first(&link.addresses)?))).collect(),
            virtual_addresses: networks.iter().filter_map(range).collect(),
        }
    }
}

/// The n-th address kept for Services on a network.
pub(super) type Kept<'a> = &'a dyn Fn(&str, u32) -> Option<String>;
