//! Names of a scenario become places and addresses: vantage points, nodes, targets.

use std::net::IpAddr;
use std::time::Duration;

use plumb_core::evidence::{Fact, Trouble, Whose};
use plumb_core::plan::placeholders::{self, Placeholder};
use plumb_core::scenario::model::Target;
use serde_json::Value;

use super::probe::Patience;
use super::scene::Scene;
use crate::backends::BACKEND_LABEL;
use crate::cluster::{ApiError, ResourceRef, Watched};
use crate::provider::Place;

/// Why a name has no place or address.
pub(super) enum Missing {
    /// There is none (yet); why.
    NotThere(String),
    /// It could not be asked.
    Trouble(Trouble),
}

/// An address with the words evidence has for it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// The address.
    pub ip: IpAddr,
    /// What it is, without the address: `gateway default/web`, `worker`.
    pub name: String,
}

impl Address {
    /// `worker (10.9.0.3:443)`.
    pub(super) fn with_port(&self, port: u16) -> String {
        format!("{} ({})", self.name, std::net::SocketAddr::new(self.ip, port))
    }

    /// `worker (10.9.0.3)`.
    pub(super) fn words(&self) -> String {
        format!("{} ({})", self.name, self.ip)
    }
}

impl Scene {
    /// A vantage point by its name.
    pub(super) async fn place(&self, vantage: &str) -> Result<Place, Missing> {
        match vantage.split_once('/') {
            None if vantage == "client" => Ok(Place::Client),
            Some(("node", node)) => {
                let logical = self.node(node).await?;
                Ok(Place::Node(self.node_fact(&logical)?.name.clone()))
            }
            Some(("pod", pod)) => {
                let pod = self.pod(pod).await?;
                let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok(Place::Pod { namespace: text("/metadata/namespace"), name: text("/metadata/name") })
            }
            _ => Err(Missing::NotThere(format!("`{vantage}` is no vantage point"))),
        }
    }

    /// Logical name of a node: itself, `holder:<service>`, `other:<service>` or `of:<step>`.
    pub(super) async fn node(&self, reference: &str) -> Result<String, Missing> {
        let (wanted, service) = match reference.split_once(':') {
            Some(("of", step)) => {
                let node = |fact: &Fact| match fact {
                    Fact::Node { node, .. } => Some(node.clone()),
                    Fact::Disrupted(disrupted) => Some(disrupted.node.clone()),
                    _ => None,
                };
                let later = || Trouble {
                    whose: Whose::Author,
                    operation: format!("find the node of step {step}"),
                    message: "it has not been carried out yet".into(),
                };
                return self.recorder.newest(step, node).ok_or_else(|| Missing::Trouble(later()));
            }
            Some(("holder", service)) => (Holder::Is, service),
            Some(("other", service)) => (Holder::IsNot, service),
            _ => return Ok(reference.to_owned()),
        };
        let lease = self.lease(service).await.map_err(|error| Missing::Trouble(error.trouble("read the lease")))?;
        let Some(holder) = lease.holder else { return Err(Missing::NotThere(format!("lease {} has no holder", lease.name))) };
        let mut nodes = self.facts.nodes.iter();
        let found = match wanted {
            Holder::Is => nodes.find(|(_, node)| node.name == holder),
            Holder::IsNot => nodes.find(|(_, node)| node.name != holder && !node.control_plane),
        };
        found.map(|(name, _)| name.clone()).ok_or_else(|| Missing::NotThere(format!("no node is {reference} (the holder is {holder})")))
    }

    fn node_fact(&self, logical: &str) -> Result<&plumb_core::evidence::NodeFacts, Missing> {
        self.facts.nodes.get(logical).ok_or_else(|| Missing::NotThere(format!("the lab has no node {logical}")))
    }

    /// Kubernetes name of a node by its logical name.
    pub(super) fn kubernetes_name(&self, logical: &str) -> Result<String, Missing> {
        Ok(self.node_fact(logical)?.name.clone())
    }

    /// The n-th Pod of a backend, `<backend>` or `<backend>/<n>`, in the order of names; those being deleted come last.
    async fn pod(&self, reference: &str) -> Result<Value, Missing> {
        let (id, n) = match reference.split_once('/') {
            Some((id, n)) => (id, n.parse::<usize>().unwrap_or(0)),
            None => (reference, 0),
        };
        let backend = self.plan.scenario.backends.get(id).ok_or_else(|| Missing::NotThere(format!("there is no backend {id}")))?;
        let selector = format!("{BACKEND_LABEL}={id}");
        let key = format!("pods of {id}");
        let listed = self.said(&key, async { Ok(Value::Array(self.cluster.list("pod", Some(&backend.namespace), &selector).await?)) });
        let listed = listed.await.map_err(|error: ApiError| Missing::Trouble(error.trouble("list the backend's pods")))?;
        let mut pods = listed.as_array().cloned().unwrap_or_default();
        let order = |pod: &Value| {
            let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            (pod.pointer("/metadata/deletionTimestamp").is_some(), name)
        };
        pods.sort_by_key(order);
        let count = pods.len();
        pods.into_iter().nth(n).ok_or_else(|| Missing::NotThere(format!("backend {id} has {count} pods, number {n} is asked for")))
    }

    /// The address of a target. `via` chooses the node where a Gateway listens on every node.
    pub(super) async fn resolve(&self, target: &Target, via: Option<&str>, patience: Patience) -> Result<Address, Missing> {
        match target {
            Target::Gateway(_) if self.host_network() => {
                let node = match via {
                    Some(node) => self.node(node).await?,
                    None => self.entry_nodes().into_iter().next().ok_or_else(|| Missing::NotThere("the lab has no node".into()))?,
                };
                self.node_address(&node)
            }
            Target::Gateway(name) => self.field(&ResourceRef::of("gateway", name), "/status/addresses/0/value", patience).await,
            Target::Service(name) => self.field(&ResourceRef::of("service", name), "/status/loadBalancer/ingress/0/ip", patience).await,
            Target::ClusterIp(name) => self.field(&ResourceRef::of("service", name), "/spec/clusterIP", patience).await,
            Target::Pod(reference) => {
                let pod = self.pod(reference).await?;
                let name = format!("pod {}", pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(reference));
                match pod.pointer("/status/podIP").and_then(Value::as_str).and_then(|text| text.parse().ok()) {
                    Some(ip) => Ok(Address { ip, name }),
                    None => Err(Missing::NotThere(format!("{name} has no address"))),
                }
            }
            Target::Node(reference) => {
                let node = self.node(reference).await?;
                self.node_address(&node)
            }
            Target::Address(text) => {
                let filled = self.fill(text).map_err(|error| Missing::NotThere(error.to_string()))?;
                let ip = filled.parse().map_err(|_| Missing::NotThere(format!("`{filled}` is no address")))?;
                Ok(Address { ip, name: "address".into() })
            }
        }
    }

    /// Nodes where outside traffic may enter in host network mode, in the order the seed gives: workers, or all where there are none.
    pub(super) fn entry_nodes(&self) -> Vec<String> {
        let workers: Vec<String> = self.facts.nodes.iter().filter(|(_, node)| !node.control_plane).map(|(name, _)| name.clone()).collect();
        let mut nodes = if workers.is_empty() { self.facts.nodes.keys().cloned().collect() } else { workers };
        if !nodes.is_empty() {
            let by = (self.plan.seed % nodes.len() as u64) as usize;
            nodes.rotate_left(by);
        }
        nodes
    }

    fn node_address(&self, logical: &str) -> Result<Address, Missing> {
        let address = &self.node_fact(logical)?.address;
        let ip = address.parse().map_err(|_| Missing::NotThere(format!("node {logical} has no address, but `{address}`")))?;
        Ok(Address { ip, name: logical.to_owned() })
    }

    /// An address that stands in a field of an object.
    async fn field(&self, resource: &ResourceRef, pointer: &str, patience: Patience) -> Result<Address, Missing> {
        let look = |object: Option<Value>| match &object {
            None => Watched::NotYet(format!("{resource} does not exist")),
            Some(object) => match object.pointer(pointer).and_then(Value::as_str) {
                None => Watched::NotYet(format!("{resource} has no {pointer}")),
                Some(text) => match text.parse::<IpAddr>() {
                    Ok(ip) => Watched::Yes(ip),
                    Err(_) => Watched::NotYet(format!("{resource} has `{text}` as {pointer}, which is no address")),
                },
            },
        };
        let trouble = |error: ApiError| Missing::Trouble(error.trouble(&format!("look for the address of {resource}")));
        let limit = match patience {
            Patience::Wait => self.limit(|budgets| budgets.address_ms),
            Patience::None => Duration::ZERO,
        };
        let key = format!("{resource} {pointer}");
        let found = self.said(&key, async {
            let found = if limit.is_zero() {
                match look(self.cluster.read(resource).await.map_err(trouble)?) {
                    Watched::Yes(ip) => Ok(ip),
                    Watched::NotYet(blocked) => Err(blocked),
                }
            } else {
                self.cluster.wait(resource, limit, look).await.map_err(trouble)?.map_err(|end| end.newest().to_owned())
            };
            found.map(|ip: IpAddr| Value::String(ip.to_string())).map_err(Missing::NotThere)
        });
        let found = found.await?;
        let ip = found.as_str().and_then(|text| text.parse().ok());
        ip.map(|ip| Address { ip, name: resource.to_string() }).ok_or_else(|| Missing::NotThere(format!("{found} is no address")))
    }

    /// A text with the lab's values in place of placeholders.
    pub(super) fn fill(&self, text: &str) -> Result<String, placeholders::BadPlaceholder> {
        placeholders::substitute(text, |placeholder| match placeholder {
            Placeholder::Vip { network, n } => self.lab.virtual_address(network, *n),
            Placeholder::Interface(network) => Some(self.facts.interface("node", network).to_owned()),
            Placeholder::Namespace => Some("default".into()),
            Placeholder::Node(name) => self.facts.nodes.get(name).map(|node| node.name.clone()),
            Placeholder::Address(name) => self.facts.nodes.get(name).map(|node| node.address.clone()),
            Placeholder::PoolApi | Placeholder::TlsRouteApi => None,
        })
    }
}

enum Holder {
    Is,
    IsNot,
}
