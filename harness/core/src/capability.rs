//! What a provider can do and what a scenario needs, as data, and the comparison of the two.
//!
//! The planner asks here and nowhere else; a provider that learns something changes its row.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::networks::NamedNetwork;
use crate::running::Running;
use crate::scenario::model::{GatewayApi, NodeAction, Scenario, Step, Watch};

/// What a provider can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// `refnet`, `kind`, `kubeconfig`.
    pub provider: String,
    /// Kinds of vantage points: `client`, `node`, `pod`.
    pub vantages: BTreeSet<&'static str>,
    /// What it can do to a node.
    pub node_actions: BTreeSet<Action>,
    /// What else it can break, by verb: `link`, `partition`, `agent`, `api`.
    pub disruptions: &'static [&'static str],
    /// Whether frames can be captured at its vantage points.
    pub capture: bool,
    /// Whether nodes can have further networks beside the node network.
    pub second_networks: bool,
    /// Networks its user named, and how many addresses for Services each has: of those it has no others.
    pub networks: BTreeMap<String, u32>,
    /// Whether it makes the nodes, so that a lab can ask for a number of them.
    pub makes_nodes: bool,
    /// Virtual addresses it keeps free on each network.
    pub virtual_addresses: u32,
    /// What it can do to Cilium itself, of `upgrade`, `restart` and `config` (read its configuration).
    pub cilium: &'static [&'static str],
    /// Faults it can switch on.
    pub faults: &'static [&'static str],
    /// Gateway API definitions it serves, by plural name; `None` = all, because they are installed there.
    pub gateway_kinds: Option<&'static [&'static str]>,
    /// Helm values whose effect it has; `None` = all, because the product itself runs there.
    pub modelled: Option<&'static [&'static str]>,
    /// The cluster that runs already, where it does not make one itself.
    pub running: Option<Running>,
}

/// [`NodeAction`] as a key of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Power cut.
    Stop,
    /// Power on again.
    Start,
    /// Freeze its processes.
    Pause,
    /// Thaw them.
    Resume,
}

impl From<NodeAction> for Action {
    fn from(action: NodeAction) -> Action {
        match action {
            NodeAction::Stop => Action::Stop,
            NodeAction::Start => Action::Start,
            NodeAction::Pause => Action::Pause,
            NodeAction::Resume => Action::Resume,
        }
    }
}

/// The keys the reference network reads (`harness/refnet/src/settings.rs`). Whatever else a flag set holds has no effect there and
/// is named in every report: how Cilium finds the API server, how often its operator runs, what its Envoy may do.
const REFNET_VALUES: &[&str] = &[
    "devices",
    "encryption.enabled",
    "encryption.nodeEncryption",
    "encryption.type",
    "gatewayAPI.enableAlpn",
    "gatewayAPI.enabled",
    "gatewayAPI.hostNetwork.enabled",
    "kubeProxyReplacement",
    "l2announcements.enabled",
    "l2announcements.leaseDuration",
    "l2announcements.leaseRenewDeadline",
    "l2announcements.leaseRetryPeriod",
];

/// The definitions the reference network serves (`harness/refnet/src/api/kinds/gateway.rs`).
const REFNET_GATEWAY_KINDS: &[&str] = &["gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants", "tlsroutes"];

impl Capability {
    /// The reference network.
    pub fn refnet() -> Capability {
        Capability {
            provider: "refnet".to_owned(),
            vantages: ["client", "node", "pod"].into(),
            node_actions: [Action::Stop, Action::Start, Action::Pause, Action::Resume].into(),
            disruptions: &["link", "partition", "agent", "api"],
            capture: true,
            second_networks: true,
            networks: BTreeMap::new(),
            makes_nodes: true,
            virtual_addresses: 31,
            cilium: &[],
            faults: FAULTS,
            gateway_kinds: Some(REFNET_GATEWAY_KINDS),
            modelled: Some(REFNET_VALUES),
            running: None,
        }
    }

    /// Clusters made by kind, with real Cilium.
    pub fn kind() -> Capability {
        let cilium = &["upgrade", "restart", "config"];
        Capability { provider: "kind".to_owned(), cilium, faults: &[], gateway_kinds: None, modelled: None, ..Capability::refnet() }
    }

    /// A cluster that already runs; the agent runs there as a DaemonSet and as Pods.
    pub fn kubeconfig() -> Capability {
        Capability {
            provider: "kubeconfig".to_owned(),
            vantages: ["node", "pod"].into(),
            node_actions: BTreeSet::new(),
            disruptions: &[],
            capture: true,
            second_networks: false,
            networks: BTreeMap::new(),
            makes_nodes: false,
            virtual_addresses: 0,
            // It is somebody's: nothing in it is restarted or upgraded.
            cilium: &["config"],
            faults: &[],
            gateway_kinds: None,
            modelled: None,
            running: None,
        }
    }

    /// The same with an outside client, where the user gives one.
    #[must_use]
    pub fn with_client(mut self) -> Capability {
        self.vantages.insert("client");
        self
    }

    /// The same with networks its user named.
    #[must_use]
    pub fn with_networks(mut self, networks: &[NamedNetwork]) -> Capability {
        self.networks = networks.iter().map(|named| (named.network.clone(), named.count())).collect();
        self
    }

    /// How many addresses for Services a network has.
    pub fn addresses_on(&self, network: &str) -> u32 {
        self.networks.get(network).copied().unwrap_or(self.virtual_addresses)
    }

    /// The same for a certain cluster. One that is a reference network has what a reference network has.
    #[must_use]
    pub fn adopting(self, running: Running) -> Capability {
        let Capability { gateway_kinds, modelled, .. } = Capability::refnet();
        let own = if running.is_reference() { (gateway_kinds, modelled) } else { (self.gateway_kinds, self.modelled) };
        Capability { gateway_kinds: own.0, modelled: own.1, running: Some(running), ..self }
    }

    /// The provider of this name.
    pub fn named(provider: &str) -> Option<Capability> {
        match provider {
            "refnet" => Some(Capability::refnet()),
            "kind" => Some(Capability::kind()),
            "kubeconfig" => Some(Capability::kubeconfig()),
            _ => None,
        }
    }

    /// Whether a value in force has its effect here.
    pub fn models(&self, key: &str, value: &Value) -> bool {
        let Some(modelled) = self.modelled else { return true };
        match key {
            // Services are always served without kube-proxy there; nothing else can be asked for.
            "kubeProxyReplacement" => *value == Value::Bool(true) || value.as_str() == Some("true"),
            "encryption.type" => value.as_str() == Some("wireguard"),
            _ => modelled.contains(&key),
        }
    }

    /// Values in force that have no effect here, as `key=value`.
    pub fn unmodelled(&self, values: &BTreeMap<String, Value>) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        values.iter().filter(|(key, value)| !self.models(key, value)).map(|(key, value)| format!("{key}={}", text(value))).collect()
    }

    /// The definitions of a release that are served here, and the others, as `gatewayApi.crds=<plural>`.
    pub fn served(&self, api: &GatewayApi) -> (GatewayApi, Vec<String>) {
        let plural = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let is_served = |name: &&String| self.gateway_kinds.is_none_or(|kinds| kinds.contains(&plural(name).as_str()));
        let (served, left_out): (Vec<&String>, Vec<&String>) = api.crds.iter().partition(is_served);
        let served = GatewayApi { version: api.version.clone(), crds: served.into_iter().cloned().collect() };
        (served, left_out.into_iter().map(|name| format!("gatewayApi.crds={name}")).collect())
    }

    /// Everything a scenario needs and this provider lacks, each as a reason to skip.
    pub fn lacks(&self, needs: &BTreeSet<Need>) -> Vec<String> {
        let option = |need: &Need| match (self.provider.as_str(), need) {
            ("kubeconfig", Need::Vantage("client")) => " (--client-here makes this machine one)",
            ("kubeconfig", Need::Network(_)) => " (--network names its interface)",
            ("kubeconfig", Need::VirtualAddresses { .. }) => " (--network names them)",
            _ => "",
        };
        let lacking = needs.iter().filter(|need| !self.has(need));
        lacking.map(|need| format!("{} has no {}{}", self.provider, need.words(), option(need))).collect()
    }

    fn has(&self, need: &Need) -> bool {
        match need {
            Need::Vantage(kind) => self.vantages.contains(kind),
            Need::Node(action) => self.node_actions.contains(action),
            Need::Disruption(verb) => self.disruptions.contains(verb),
            Need::Capture => self.capture,
            Need::Network(name) => self.second_networks || self.networks.contains_key(name),
            Need::VirtualAddresses { network, count } => *count <= self.addresses_on(network),
            Need::Cilium(verb) => self.cilium.contains(verb),
        }
    }
}

/// Something a scenario needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A kind of vantage point.
    Vantage(&'static str),
    /// Something done to a node.
    Node(Action),
    /// Something else broken, by verb.
    Disruption(&'static str),
    /// Captures.
    Capture,
    /// A network beside the node network.
    Network(String),
    /// Addresses of a network that nobody else has.
    VirtualAddresses {
        /// The network.
        network: String,
        /// How many.
        count: u32,
    },
    /// A verb about Cilium itself.
    Cilium(&'static str),
}

impl Need {
    fn words(&self) -> String {
        match self {
            Need::Vantage("client") => "outside client".to_owned(),
            Need::Vantage(kind) => format!("vantage point on a {kind}"),
            Need::Node(action) => format!("way to {} a node", format!("{action:?}").to_lowercase()),
            Need::Disruption("link") => "way to set a link of a node down".to_owned(),
            Need::Disruption("partition") => "way to cut a node off".to_owned(),
            Need::Disruption("agent") => "way to kill Cilium's agent".to_owned(),
            Need::Disruption("api") => "way to pause the API server".to_owned(),
            Need::Disruption(verb) => format!("way to do what `{verb}` does"),
            Need::Capture => "capture".to_owned(),
            Need::Network(name) => format!("second network {name}"),
            Need::VirtualAddresses { network, count: 1 } => format!("virtual address on {network}"),
            Need::VirtualAddresses { network, count } => format!("{count} virtual addresses on {network}"),
            Need::Cilium("config") => "configuration of Cilium to read".to_owned(),
            Need::Cilium(verb) => format!("Cilium to {verb}"),
        }
    }
}

/// What a scenario needs, from its lab and its steps. `virtual_addresses`: how many its texts ask for, by network.
pub fn needs(scenario: &Scenario, virtual_addresses: &BTreeMap<String, u32>) -> BTreeSet<Need> {
    let mut needs: BTreeSet<Need> = scenario.lab.networks.iter().skip(1).cloned().map(Need::Network).collect();
    needs.extend(virtual_addresses.iter().map(|(network, count)| Need::VirtualAddresses { network: network.clone(), count: *count }));
    for step in scenario.every_step() {
        needs.extend(step.from().and_then(vantage));
        match step {
            Step::Node(step) => {
                needs.insert(Need::Node(step.action.into()));
            }
            Step::Link(_) | Step::Partition(_) | Step::Agent(_) | Step::Api(_) => {
                needs.insert(Need::Disruption(step.verb()));
            }
            Step::Upgrade(_) | Step::Restart(_) | Step::Config(_) => {
                needs.insert(Need::Cilium(step.verb()));
            }
            Step::During(during) => during.watch.values().for_each(|watch| of_watch(watch, &mut needs)),
            _ => {}
        }
    }
    needs
}

fn of_watch(watch: &Watch, needs: &mut BTreeSet<Need>) {
    match watch {
        Watch::Capture(capture) => {
            needs.insert(Need::Capture);
            needs.extend(vantage(&capture.on));
        }
        Watch::Arp(arp) => needs.extend(vantage(&arp.from)),
        Watch::Load(load) => needs.extend(vantage(&load.from)),
    }
}

fn vantage(text: &str) -> Option<Need> {
    match text.split('/').next() {
        Some("client") => Some(Need::Vantage("client")),
        Some("node") => Some(Need::Vantage("node")),
        Some("pod") => Some(Need::Vantage("pod")),
        _ => None,
    }
}

/// Every fault there is, in the order of the reference network's table; a test of the root package keeps the two equal.
pub const FAULTS: &[&str] = &[
    "encryption-off",
    "encryption-one-way",
    "encryption-pod-to-node-leaks",
    "encryption-first-packets-leak",
    "encryption-terminating-pod-leaks",
    "encryption-replies-leak",
    "encryption-nodes-too",
    "encryption-same-node-leaks",
    "capture-blind",
    "capture-wrong-interface",
    "capture-drops",
    "weights-swapped",
    "weights-85-15",
    "weights-sticky-by-client",
    "weights-zero-leaks",
    "tls-terminates-passthrough",
    "tls-passes-through-terminate",
    "tls-man-in-the-middle",
    "cert-wrong",
    "cert-expired",
    "cert-other-host",
    "sni-default-certificate",
    "route-stale-on-one-node",
    "route-without-grant",
    "gateway-no-address",
    "address-without-pool",
    "gateway-programmed-not-listening",
    "forwarded-proto-missing",
    "backend-starved",
    "backend-wrong-id",
    "arp-two-answerers",
    "arp-two-after-pause",
    "arp-not-lease-holder",
    "arp-no-gratuitous",
    "arp-held-but-silent",
    "arp-until-touched",
    "failover-twice-too-slow",
    "arp-wrong-interface",
    "arp-link-loss-releases",
    "arp-link-back-slow",
    "agent-restart-drops-address",
    "agent-restart-stops-traffic",
    "agent-restart-keeps-stale",
    "api-loss-stops-traffic",
    "api-loss-freezes-routes",
];
