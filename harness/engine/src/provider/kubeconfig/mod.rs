//! A cluster that already runs, adopted through a kubeconfig and never made or taken away. What a run makes in it is in the ledger first
//! and goes with the run; what somebody else made is neither changed nor deleted.

pub mod access;
mod agents;
mod networks;
mod outside;
pub mod rights;
pub mod survey;
pub mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kube::Client;
use plumb_core::capability::Capability;
use plumb_core::evidence::{LabFacts, NetworkFacts, NodeFacts, Whose};
use plumb_core::networks::NamedNetwork;
use plumb_core::plan::Plan;
use plumb_core::probe::Link;
use plumb_core::scenario::model::Lab;

use self::access::{Access, AccessError};
use self::agents::AgentError;
use self::outside::ClientError;
use self::sweep::Owner;
use super::kind::lease::{self, Lease, LeaseError};
use super::{Entrance, Found, Place, ProviderError, Unfit, entrance, told};
use crate::clock;
use crate::cluster::collect::{self, Namespaces};
use crate::cluster::facts::{self, Facts, NodeSeen};
use crate::cluster::{ApiError, Claim, Cluster, Manifest, ObjectId};
use crate::folder::RunFolder;
use crate::ledger::{self, Ledger, LedgerError, Line, Making, Resource};
use crate::parts::Given;
use crate::run::{Listener, Setup};
use crate::session::Session;

/// The namespace of the agents. There is one of it, so whoever has it has the cluster to themselves: scenarios use fixed names.
pub const NAMESPACE: &str = "plumbline";
/// Namespaces that are looked into for evidence beside the run's own.
const SHARED: [&str; 2] = ["default", "kube-system"];
/// Limit for one call while a cluster is looked at.
const CALL: Duration = Duration::from_secs(15);
/// Limit for the agents to run: an image may be pulled in this time.
const AGENTS: Duration = Duration::from_secs(180);

/// The cluster was not adopted, or not asked.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It cannot be reached.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Its API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Its agents.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The outside client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The right to be the only one of this machine in it.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Its networks are not as its user named them.
    #[error("use the networks of the cluster:\n  {}\nhint: --network NETWORK=INTERFACE,FIRST-LAST names what a scenario calls a network, the nodes' interface on it, and free addresses there", .0.join("\n  "))]
    Networks(Vec<String>),
    /// Its place in the cluster is taken.
    #[error("{0}")]
    InUse(String),
    /// It is not as the plan was made for.
    #[error("adopt the cluster: {0}")]
    Changed(String),
}

impl AdoptError {
    /// Whose trouble it is. The cluster is the user's, so what it lacks is the environment's.
    pub fn whose(&self) -> Whose {
        match self {
            AdoptError::Agent(AgentError::Session(_))
            | AdoptError::Client(ClientError::Session(_))
            | AdoptError::Api(ApiError::Call { .. }) => Whose::Lab,
            _ => Whose::Environment,
        }
    }
}

/// Looks at the cluster that is meant. It is really asked, unless something that is needed was not given: then nobody is troubled.
///
/// # Errors
/// What was given cannot be used, or the cluster does not let it.
pub(super) fn find(given: &Given) -> Result<Found, Unfit> {
    let mut unavailable = Vec::new();
    if given.agent_image.is_none() {
        unavailable.push(
            "no image of the agent was given (--agent-image, PLUMB_AGENT_IMAGE); make one with `plumb images agent FILE --name REFERENCE` and put it where the nodes can pull it"
                .to_owned(),
        );
    }
    let access = match Access::of(given) {
        Ok(access) => Some(access),
        Err(error @ AccessError::None { .. }) => {
            unavailable.push(super::one_line(&error.to_string()));
            None
        }
        Err(error) => return Err(unfit(error)),
    };
    let (true, Some(access)) = (unavailable.is_empty(), access) else {
        let unavailable = unavailable.into_iter().map(|reason| format!("kubeconfig is not there: {reason}")).collect();
        return Ok(Found { capability: Some(capability(given)?), unavailable });
    };
    let capability = capability(given)?;
    let facts = super::waited_for(|| look(&access))?;
    Ok(Found { capability: Some(capability.adopting(survey::running(&facts))), unavailable })
}

/// What such a cluster can do, with what the user gives beside it.
fn capability(given: &Given) -> Result<Capability, Unfit> {
    let found = Capability::kubeconfig().with_networks(&named(given)?);
    Ok(if given.client_here { found.with_client() } else { found })
}

/// The networks the user names.
fn named(given: &Given) -> Result<Vec<NamedNetwork>, Unfit> {
    NamedNetwork::parse_all(given.networks.iter().map(String::as_str)).map_err(|wrong| Unfit::Mistake(wrong.join("\n")))
}

fn unfit(error: AccessError) -> Unfit {
    match error {
        AccessError::Mistake(text) => Unfit::Mistake(text),
        AccessError::None { .. } | AccessError::Trouble(_) => Unfit::Trouble(error.to_string()),
    }
}

/// The facts of a cluster in which the account has the rights a run needs.
async fn look(access: &Access) -> Result<Facts, Unfit> {
    let client = access.reach().await.map_err(unfit)?;
    let lacking = rights::lacking(&client).await.map_err(Unfit::Trouble)?;
    if !lacking.is_empty() {
        let list = lacking.join("\n  ");
        return Err(Unfit::Trouble(format!(
            "use {}: its account lacks these rights:\n  {list}\nhint: `plumb rights | kubectl apply -f -` makes a ClusterRole with all of them; bind the account to it",
            access.shown()
        )));
    }
    let operation = format!("look at the cluster of {}", access.shown());
    facts::read(&client, CALL).await.map_err(|error| Unfit::Trouble(format!("{operation}: {error}")))
}

/// A cluster that was adopted, while a run uses it.
pub struct KubeconfigLab {
    client: Client,
    claim: Claim,
    facts: LabFacts,
    /// The cluster as it was found, for readers.
    found: String,
    /// The agents' Pods by node.
    pods: BTreeMap<String, String>,
    image: String,
    /// Whether this machine is the outside client.
    client_here: bool,
    namespaces: BTreeSet<String>,
    entrance: Entrance,
    /// Nobody else of this machine adopts it meanwhile.
    _turn: Lease,
}

impl KubeconfigLab {
    pub(super) async fn make(
        plan: &Plan,
        run: &RunFolder,
        setup: &Setup,
        ledger: &Ledger,
        listener: &Listener,
        limit: Duration,
    ) -> Result<KubeconfigLab, ProviderError> {
        let access = Access::of(&setup.given).map_err(AdoptError::from)?;
        let image = setup.given.agent_image.clone().ok_or_else(|| ProviderError::Absent("no image of the agent was given".into()))?;
        crate::janitor::entrust(ledger.path())?;
        let turn = told(listener, "the cluster that another run uses", take_turn(&access)).await?;
        let claim = claim(&access, plan, run, ledger)?;
        let client_here = setup.given.client_here;
        // What is wrong with them was said when the cluster was looked for.
        let named = named(&setup.given).unwrap_or_default();
        let adoption = Adoption { plan, access: &access, image, client_here, named, claim, turn };
        let adopting = Box::pin(adopt(adoption, limit));
        tokio::time::timeout(limit, adopting).await.map_err(|_| ProviderError::Late(limit))?.map_err(ProviderError::from)
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn claim(&self) -> Claim {
        self.claim.clone()
    }

    pub(super) fn facts(&self) -> LabFacts {
        self.facts.clone()
    }

    pub(super) async fn agent(&self, place: &Place) -> Result<Session, ProviderError> {
        let vantage = place.to_string();
        let missing = |what: String| ProviderError::from(AdoptError::Changed(what));
        let (namespace, pod) = match place {
            Place::Client if self.client_here => return Ok(outside::session().map_err(AdoptError::from)?),
            Place::Client => return Err(missing("it has no outside client".to_owned())),
            Place::Node(name) => (NAMESPACE, self.pods.get(name).ok_or_else(|| missing(format!("no agent runs on node {name}")))?),
            Place::Pod { namespace, name } => (namespace.as_str(), name),
        };
        Ok(agents::session(&self.client, namespace, pod, &vantage).await.map_err(AdoptError::from)?)
    }

    pub(super) fn agent_image(&self) -> &str {
        &self.image
    }

    /// The n-th of the addresses that the user keeps for Services on a network.
    pub(super) fn virtual_address(&self, network: &str, n: u32) -> Option<String> {
        let (first, last) = self.facts.networks.get(network)?.addresses?;
        let address = Ipv4Addr::from(u32::from(first).checked_add(n)?);
        (address <= last).then(|| address.to_string())
    }

    /// Namespaces the run has something to do with. Others are nobody's business.
    pub(super) fn namespaces(&self) -> Namespaces {
        Namespaces::Only(self.namespaces.clone())
    }

    pub(super) async fn collect(&self) -> BTreeMap<String, String> {
        let own = |pod: &k8s_openapi::api::core::v1::Pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            collect::is_cilium(pod) || (self.namespaces.contains(namespace) && collect::is_plumbline(pod))
        };
        let mut texts = collect::logs(&self.client, own, CALL).await.into_texts();
        texts.insert("cluster".to_owned(), self.found.clone());
        texts
    }

    pub(super) fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    pub(super) async fn close(self, ledger: &Ledger) -> Result<(), ProviderError> {
        Ok(super::take_away(ledger.path(), Making::Done).await?)
    }
}

/// Waits until nobody else of this machine uses the cluster. Another machine is met at the namespace.
async fn take_turn(access: &Access) -> Result<Lease, ProviderError> {
    let server = access.server().await.map_err(AdoptError::from)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, server.as_bytes());
    let name: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let path = ledger::runtime_folder()?.join(format!("adopted-{name}"));
    Ok(lease::take(&path).await.map_err(AdoptError::from)?.with_its_file(&path))
}

/// The run's claim: labels that say whose an object is and until when, and the ledger it is entered in first.
fn claim(access: &Access, plan: &Plan, run: &RunFolder, ledger: &Ledger) -> Result<Claim, LedgerError> {
    let budgets = &plan.budgets;
    let whole = Duration::from_millis(budgets.lab_ms + budgets.trial_ms + budgets.collect_ms + budgets.close_ms) + AGENTS;
    // What is kept says in its ledger until when.
    let expires = ledger::expiry(ledger.path());
    let owner = Owner::own(expires.unwrap_or_else(|| clock::unix_s().saturating_add(i64::try_from(whole.as_secs()).unwrap_or(i64::MAX))));
    let entries = Ledger::reopen(ledger.path())?;
    let (access, id) = (access.clone(), run.id().to_owned());
    let enter = move |object: &ObjectId| {
        let resource = Resource::ClusterObject { access: access.clone(), run: id.clone(), object: object.clone() };
        entries.write(&Line::Making(resource)).map_err(|error| error.to_string())
    };
    Ok(Claim::new(run.id(), owner.labels(), Arc::new(enter)))
}

/// Who adopts which cluster, by what right, and for what.
struct Adoption<'a> {
    plan: &'a Plan,
    access: &'a Access,
    image: String,
    client_here: bool,
    named: Vec<NamedNetwork>,
    claim: Claim,
    turn: Lease,
}

/// Puts the agents into the cluster and asks them for the nodes' links.
async fn adopt(adoption: Adoption<'_>, limit: Duration) -> Result<KubeconfigLab, AdoptError> {
    let Adoption { plan, access, image, client_here, named, claim, turn } = adoption;
    let began = clock::monotonic_ns();
    let client = access.reach().await?;
    let facts = facts::read(&client, CALL).await?;
    let (found, text) = (survey::running(&facts), format!("{facts:#?}\n"));
    let planned = plan.adopted.as_ref().map(|adopted| adopted.system.as_str()).unwrap_or_default();
    if found.system != planned || !found.troubles.is_empty() {
        let now = std::iter::once(found.system).chain(found.troubles).collect::<Vec<_>>().join("; ");
        return Err(AdoptError::Changed(format!("it is not as it was when the trial was planned ({planned}): {now}")));
    }
    let lab = &plan.scenario.lab;
    let cast = survey::cast(&facts.nodes, lab.control_planes, lab.workers);
    let nodes: Vec<String> = cast.iter().map(|(_, node)| node.name.clone()).collect();
    let is_client = client_here && !lab.client.is_empty();
    let mut client_links = if is_client {
        let places = facts.nodes.iter().map(|node| Ok((node.name.clone(), outside::address(&node.name, &node.address)?)));
        outside::place(&places.collect::<Result<Vec<_>, ClientError>>()?).await?
    } else {
        Vec::new()
    };
    let cluster = Cluster::new(client.clone(), Duration::from_millis(plan.budgets.api_ms)).claiming(claim.clone());
    sweep::take_place(&cluster, &client, agents::namespace(), limit).await?;
    let object = format!("daemonset/{NAMESPACE}/{}", agents::NAME);
    cluster.apply(&Manifest { object, value: agents::daemon_set(&image, &nodes) }).await?;
    let pods = agents::until_ready(&client, &nodes, AGENTS).await?;
    if is_client {
        reached(&client, &cast, &pods).await?;
    }
    let agents_ms = clock::monotonic_ns().saturating_sub(began) / 1_000_000;
    let asked = cast.into_iter().map(async |(part, node)| {
        let pod = pods.get(&node.name).map(String::as_str).unwrap_or_default();
        let links = agents::links(&client, &node.name, pod).await?;
        let facts = NodeFacts { control_plane: node.control_plane, address: node.address, pod_cidr: node.pod_cidr, links, name: node.name };
        Ok::<_, AdoptError>((part, facts))
    });
    let nodes: BTreeMap<String, NodeFacts> = try_join_all(asked).await?.into_iter().collect();
    let networks = find_networks(&named, lab, &nodes, is_client.then_some(&mut client_links)).await?;
    if networks.values().any(|facts| facts.addresses.is_some()) {
        let pools = match cluster.list("ciliumloadbalancerippool", None, "").await {
            // Whose addresses nobody gives out there needs no look.
            Err(ApiError::Refused { code: 404, .. }) => Vec::new(),
            other => other?,
        };
        let pooled = networks::pooled(&networks, &pools);
        if !pooled.is_empty() {
            return Err(AdoptError::Networks(pooled));
        }
    }
    let of_backends = plan.scenario.backends.values().map(|backend| backend.namespace.clone());
    let namespaces = SHARED.into_iter().chain([NAMESPACE]).map(str::to_owned).chain(of_backends).collect();
    let facts = LabFacts {
        provider: "kubeconfig".into(),
        cilium: facts.cilium.as_ref().and_then(|cilium| cilium.version()).map(|version| version.trim_start_matches('v').to_owned()),
        system: facts.system(),
        nodes,
        client: client_links,
        networks,
        unmodelled: plan.unmodelled.clone(),
        faults: Vec::new(),
        phases_ms: BTreeMap::from([("agents".to_owned(), agents_ms)]),
    };
    let files = std::env::join_paths(&access.files).unwrap_or_default();
    let entrance = Entrance::of(&facts, entrance::Place::Found, files.into(), &[], &|_, _| None);
    Ok(KubeconfigLab { client, claim, facts, found: text, pods, image, client_here, namespaces, entrance, _turn: turn })
}

/// What the lab's networks are in this cluster and here. The client's links become those by which it is on them, too.
async fn find_networks(
    named: &[NamedNetwork],
    lab: &Lab,
    nodes: &BTreeMap<String, NodeFacts>,
    client: Option<&mut Vec<Link>>,
) -> Result<BTreeMap<String, NetworkFacts>, AdoptError> {
    let seen = nodes.values().map(|node| networks::Seen { name: &node.name, address: &node.address, links: &node.links });
    let seen: Vec<networks::Seen<'_>> = seen.collect();
    let Some(links) = client else {
        return networks::facts(named, lab, &seen, None).map_err(AdoptError::Networks);
    };
    let own = nodes.values().map(|node| Ok((node.name.clone(), outside::address(&node.name, &node.address)?)));
    let mut addresses = own.collect::<Result<Vec<_>, ClientError>>()?;
    addresses.extend(networks::addresses(named, &seen));
    *links = outside::place(&addresses).await?;
    let found = networks::facts(named, lab, &seen, Some(links)).map_err(AdoptError::Networks)?;
    let session = outside::session()?;
    session.hello(CALL).await.map_err(ClientError::from)?;
    let taken = networks::taken(&found, &seen, &session).await?;
    if taken.is_empty() { Ok(found) } else { Err(AdoptError::Networks(taken)) }
}

/// Sees that this machine reaches the nodes, by their own agents.
async fn reached(client: &Client, cast: &[(String, NodeSeen)], pods: &BTreeMap<String, String>) -> Result<(), AdoptError> {
    let sessions = cast.iter().map(async |(_, node)| {
        let address = outside::address(&node.name, &node.address)?;
        let pod = pods.get(&node.name).map(String::as_str).unwrap_or_default();
        let session = agents::session(client, NAMESPACE, pod, &format!("node/{}", node.name)).await?;
        session.hello(CALL).await.map_err(AgentError::from)?;
        Ok::<_, AdoptError>((node.name.clone(), address, session))
    });
    Ok(outside::reach(&try_join_all(sessions).await?).await?)
}

/// What agents that did not come up can tell, in clusters that a ledger claims objects of: before those are taken away.
pub(super) async fn salvage(ledger: &std::path::Path) -> BTreeMap<String, String> {
    let outstanding = ledger::outstanding(ledger).unwrap_or_default();
    let access = outstanding.into_iter().find_map(|resource| match resource {
        Resource::ClusterObject { access, .. } => Some(access),
        _ => None,
    });
    let Some(access) = access else { return BTreeMap::new() };
    let client = match access.reach().await {
        Ok(client) => client,
        Err(error) => return BTreeMap::from([("cluster".to_owned(), format!("not asked: {error}\n"))]),
    };
    let own = |pod: &k8s_openapi::api::core::v1::Pod| pod.metadata.namespace.as_deref() == Some(NAMESPACE);
    let only = Namespaces::Only([NAMESPACE.to_owned()].into());
    let (logs, objects) = tokio::join!(collect::logs(&client, own, CALL), collect::objects(&client, &only, CALL));
    let mut texts = logs.into_texts();
    let objects = serde_json::to_string_pretty(&objects.by_kind).unwrap_or_default();
    texts.insert("objects".to_owned(), objects);
    texts
}
