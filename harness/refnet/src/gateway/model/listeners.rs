//! Listeners: which are valid, what they may take, and which certificates they serve.

use super::super::config::{Listener, Mode, Rule, TlsRule};
use super::super::objects::{GROUP, GatewaySpec, Item, ListenerSpec};
use super::World;
use super::refs;

/// A one-word reason and a sentence.
pub(super) type Why = (&'static str, String);

/// A Gateway while it is worked on.
#[derive(Debug)]
pub(super) struct GatewayWork<'a> {
    /// The object.
    pub(super) object: &'a Item<GatewaySpec>,
    /// Its listeners, in order.
    pub(super) listeners: Vec<ListenerWork<'a>>,
}

/// A listener while it is worked on.
#[derive(Debug)]
pub(super) struct ListenerWork<'a> {
    /// `namespace/gateway/listener`.
    pub(super) id: String,
    /// The listener as written.
    pub(super) spec: &'a ListenerSpec,
    /// Kinds of routes it takes.
    pub(super) kinds: Vec<&'static str>,
    /// Why it is not accepted.
    pub(super) refused: Option<Why>,
    /// Whether it is refused because of another listener of the Gateway.
    pub(super) conflicted: bool,
    /// Why its references are not resolved.
    pub(super) unresolved: Option<Why>,
    /// The Secrets it can serve.
    pub(super) secrets: Vec<(String, String)>,
    /// Routes that are attached to it.
    pub(super) attached: u32,
    /// Rules, each with what settles ties: the route's age, the rule, the match.
    pub(super) http: Vec<(Rule, RuleOrder)>,
    /// Rules of TLSRoutes, in the order of the routes' age.
    pub(super) tls: Vec<TlsRule>,
}

/// What settles ties between rules: the route's age, the rule, the match.
pub(super) type RuleOrder = ((Option<String>, String, String), usize, usize);

impl ListenerWork<'_> {
    /// Whether it is accepted.
    pub(super) fn accepted(&self) -> bool {
        self.refused.is_none()
    }

    /// Whether the data plane serves it.
    pub(super) fn programmable(&self) -> bool {
        self.accepted() && !(terminates(self.spec) && self.secrets.is_empty()) && !self.kinds.is_empty()
    }

    /// What the data plane does for it.
    pub(super) fn build(&mut self) -> Listener {
        self.http.sort_by(|(a, a_order), (b, b_order)| {
            use super::super::hostname::rank;
            rank(b.hostname.as_deref())
                .cmp(&rank(a.hostname.as_deref()))
                .then_with(|| a.matches.precedence(&b.matches))
                .then_with(|| a_order.cmp(b_order))
        });
        let mode = match (self.spec.protocol.as_str(), terminates(self.spec)) {
            ("HTTPS", _) => Mode::Https(self.secrets.clone()),
            ("TLS", true) => Mode::TlsTerminate(self.secrets.clone()),
            ("TLS", false) => Mode::Passthrough,
            _ => Mode::Http,
        };
        Listener {
            id: self.id.clone(),
            hostname: self.spec.hostname.clone(),
            mode,
            http: self.http.iter().map(|(rule, _)| rule.clone()).collect(),
            tls: self.tls.clone(),
        }
    }
}

/// Whether a listener terminates TLS.
fn terminates(spec: &ListenerSpec) -> bool {
    let passthrough = spec.tls.as_ref().and_then(|tls| tls.mode.as_deref()) == Some("Passthrough");
    matches!(spec.protocol.as_str(), "HTTPS" | "TLS") && !passthrough
}

/// Looks at every listener of every Gateway (older Gateways first).
pub(super) fn evaluate<'a>(world: &World, gateways: &[&'a Item<GatewaySpec>]) -> Vec<GatewayWork<'a>> {
    let mut taken: Vec<(u16, String)> = Vec::new();
    gateways
        .iter()
        .map(|gateway| {
            let owner = format!("{}/{}", gateway.namespace(), gateway.name());
            let mut listeners: Vec<_> = gateway.spec.listeners.iter().map(|spec| evaluate_one(world, gateway, &owner, spec)).collect();
            find_conflicts(&mut listeners);
            if world.host_network.is_some() {
                claim_ports(&mut listeners, &owner, &mut taken);
            }
            GatewayWork { object: gateway, listeners }
        })
        .collect()
}

fn evaluate_one<'a>(world: &World, gateway: &'a Item<GatewaySpec>, owner: &str, spec: &'a ListenerSpec) -> ListenerWork<'a> {
    let passthrough = spec.tls.as_ref().and_then(|tls| tls.mode.as_deref()) == Some("Passthrough");
    let protocol_kinds: &[&'static str] = match spec.protocol.as_str() {
        "HTTP" | "HTTPS" => &["HTTPRoute"],
        "TLS" => &["TLSRoute"],
        _ => &[],
    };
    let mut work = ListenerWork {
        id: format!("{owner}/{}", spec.name),
        spec,
        kinds: protocol_kinds.to_vec(),
        refused: None,
        conflicted: false,
        unresolved: None,
        secrets: Vec::new(),
        attached: 0,
        http: Vec::new(),
        tls: Vec::new(),
    };
    if protocol_kinds.is_empty() {
        work.refused = Some(("UnsupportedProtocol", format!("Protocol {} is not served", spec.protocol)));
    } else if spec.protocol == "HTTPS" && passthrough {
        work.refused = Some(("UnsupportedProtocol", "HTTPS listeners terminate; Passthrough needs protocol TLS".to_owned()));
    }
    if terminates(spec) {
        let (secrets, unresolved) = refs::certificates(world, gateway, spec);
        (work.secrets, work.unresolved) = (secrets, unresolved);
    }
    let asked = &spec.allowed_routes.kinds;
    if !asked.is_empty() {
        let is_known = |kind: &str| asked.iter().any(|ask| ask.kind == kind && ask.group.as_deref().unwrap_or(GROUP) == GROUP);
        work.kinds = protocol_kinds.iter().copied().filter(|kind| is_known(kind)).collect();
        let all_known =
            asked.iter().all(|ask| protocol_kinds.contains(&ask.kind.as_str()) && ask.group.as_deref().unwrap_or(GROUP) == GROUP);
        if !all_known {
            work.unresolved = Some(("InvalidRouteKinds", "A kind of allowedRoutes does not go with the protocol".to_owned()));
        }
    }
    work
}

/// Marks every listener of a Gateway that cannot stand beside another: one port with HTTP and TLS, or twice the same name on a port.
fn find_conflicts(listeners: &mut [ListenerWork<'_>]) {
    let family = |spec: &ListenerSpec| u8::from(matches!(spec.protocol.as_str(), "HTTPS" | "TLS"));
    let keys: Vec<_> = listeners
        .iter()
        .map(|work| {
            (work.spec.port, family(work.spec), work.spec.hostname.clone().unwrap_or_default().to_ascii_lowercase(), work.refused.is_some())
        })
        .collect();
    for (at, work) in listeners.iter_mut().enumerate() {
        let (port, own_family, hostname, refused) = &keys[at];
        if *refused {
            continue;
        }
        let others = || keys.iter().enumerate().filter(|(other, key)| *other != at && key.0 == *port && !key.3).map(|(_, key)| key);
        if others().any(|key| key.1 != *own_family) {
            work.conflicted = true;
            work.refused = Some(("ProtocolConflict", format!("Port {port} is used with more than one protocol")));
        } else if others().any(|key| key.2 == *hostname) {
            work.conflicted = true;
            work.refused = Some(("HostnameConflict", format!("Port {port} is used more than once for the same hostname")));
        }
    }
}

/// In host network mode a port of a node belongs to one Gateway, the oldest that asks for it.
fn claim_ports(listeners: &mut [ListenerWork<'_>], owner: &str, taken: &mut Vec<(u16, String)>) {
    for work in listeners.iter_mut().filter(|work| work.accepted()) {
        match taken.iter().find(|(port, _)| *port == work.spec.port) {
            Some((port, first)) if first != owner => {
                work.refused = Some(("PortUnavailable", format!("Port {port} of the nodes is used by Gateway {first}")));
            }
            Some(_) => {}
            None => taken.push((work.spec.port, owner.to_owned())),
        }
    }
}
