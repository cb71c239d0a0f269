//! What the helm values in force switch on in the reference network.
//!
//! Keys that are not read here are not modelled; the planner names them in every report (`plumb_core::capability`).

use std::time::Duration;

use serde_json::Value;

use crate::fault::FaultSet;
use crate::spec::LabSpec;

/// What the helm values in force switch on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `gatewayAPI.enabled`.
    pub gateway: bool,
    /// The version of TLSRoutes that is read ([`LabSpec::tls_route`]).
    pub tls_route: String,
    /// `gatewayAPI.hostNetwork.enabled`: listeners on every node's own addresses, no LoadBalancer Service.
    pub host_network: bool,
    /// `gatewayAPI.enableAlpn`: offer `h2` and `http/1.1` where TLS is terminated.
    pub alpn: bool,
    /// `l2announcements.*`, when enabled.
    pub l2: Option<L2Settings>,
    /// `devices`; empty = every interface with an address.
    pub devices: Vec<String>,
    /// `encryption.enabled` with `encryption.type=wireguard`.
    pub wireguard: bool,
    /// `encryption.nodeEncryption`.
    pub node_encryption: bool,
}

/// Lease timings (client-go leader election: a candidate takes over when it has seen no renewal for `lease`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L2Settings {
    /// `l2announcements.leaseDuration`, default 15 s.
    pub lease: Duration,
    /// `l2announcements.leaseRenewDeadline`, default 5 s.
    pub renew_deadline: Duration,
    /// `l2announcements.leaseRetryPeriod`, default 2 s.
    pub retry: Duration,
}

impl Settings {
    /// Reads a lab's dotted values, for example `gatewayAPI.enabled: true`.
    ///
    /// # Errors
    /// Every value that is not of its kind, each with its key.
    pub fn of(spec: &LabSpec) -> Result<Settings, Vec<String>> {
        let values = &spec.values;
        let mut mistakes = Vec::new();
        let mut flag = |key: &str| match values.get(key) {
            None => false,
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) if text == "true" => true,
            Some(Value::String(text)) if text == "false" => false,
            Some(other) => {
                mistakes.push(format!("{key} is {other}, expected true or false"));
                false
            }
        };
        let gateway = flag("gatewayAPI.enabled");
        let host_network = flag("gatewayAPI.hostNetwork.enabled");
        let alpn = flag("gatewayAPI.enableAlpn");
        let l2 = flag("l2announcements.enabled");
        let encryption = flag("encryption.enabled");
        let node_encryption = flag("encryption.nodeEncryption");
        let mut span = |key: &str, default: Duration| match values.get(key) {
            None => default,
            Some(value) => value.as_str().and_then(parse_span).unwrap_or_else(|| {
                mistakes.push(format!("{key} is {value}, expected a duration such as 3s or 500ms"));
                default
            }),
        };
        let l2 = l2.then(|| L2Settings {
            lease: span("l2announcements.leaseDuration", Duration::from_secs(15)),
            renew_deadline: span("l2announcements.leaseRenewDeadline", Duration::from_secs(5)),
            retry: span("l2announcements.leaseRetryPeriod", Duration::from_secs(2)),
        });
        let wireguard = encryption && values.get("encryption.type").and_then(Value::as_str) == Some("wireguard");
        let devices = devices(values.get("devices"));
        if mistakes.is_empty() {
            Ok(Settings { gateway, tls_route: spec.tls_route(), host_network, alpn, l2, devices, wireguard, node_encryption })
        } else {
            Err(mistakes)
        }
    }
}

/// A node's part of the lab, as its process gets it.
#[derive(Debug, Clone)]
pub struct NodeContext {
    /// Name of the Kubernetes Node.
    pub name: String,
    /// Carries the control-plane label.
    pub control_plane: bool,
    /// Address on the node network.
    pub address: std::net::Ipv4Addr,
    /// Pod CIDR, a /24: the network address.
    pub pod_subnet: std::net::Ipv4Addr,
    /// Interfaces with their own address: (`eth0`, address), (`net0`, address).
    pub interfaces: Vec<(String, std::net::Ipv4Addr)>,
    /// What is switched on.
    pub settings: Settings,
    /// Faults that are switched on.
    pub faults: FaultSet,
    /// Decides every choice that is free.
    pub seed: u64,
}

/// `500ms`, `3s`, `2m`.
fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

fn devices(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        Some(Value::String(text)) => {
            text.trim_matches(['{', '}']).split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}
