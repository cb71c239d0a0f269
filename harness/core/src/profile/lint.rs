//! The flag lint: what a flag set says, does not say, or says in vain, for a chart version and a lab. Pure.
//!
//! Each finding names the keys it is about and the source it rests on (a file of the chart or of Cilium at a version, or a
//! documentation page). A rule is one function; a new one is added to [`RULES`].

use serde_json::Value;

use super::Profile;
use crate::scenario::model::Lab;
use crate::values::{Values, flatten, parse_set};
use crate::version::Version;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It says something that has no effect, or less than it seems to.
    Note,
    /// It may not do what it is meant to in this lab.
    Warning,
    /// It breaks the installation or a promise.
    Error,
}

/// Which of the two flag sets of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The flags as the document writes them.
    AsWritten,
    /// The flags that are installed.
    AsMeant,
}

/// Something a flag set should not say, or should say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which flag set.
    pub side: Side,
    /// The profile it is about.
    pub profile: String,
    /// The keys it is about.
    pub keys: Vec<String>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// What it rests on.
    pub source: &'static str,
}

impl Finding {
    /// One line, with the file and the keys first.
    pub fn line(&self) -> String {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let side = match self.side {
            Side::AsWritten => "asWritten",
            Side::AsMeant => "asMeant",
        };
        let hint = self.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let (profile, keys) = (&self.profile, self.keys.join(", "));
        format!("{severity}: scenarios/profiles/{profile}.yaml: {side}: {keys}: {}{hint} [{}]", self.message, self.source)
    }
}

/// What a rule looks at.
struct Flags<'a> {
    side: Side,
    cilium: Version,
    lab: &'a Lab,
    /// `key`, text of the value as given, in order; several may have the same key.
    given: Vec<(String, String)>,
    /// What comes of them.
    values: Values,
}

/// What a rule found, without what is the same for all of a flag set.
struct Found {
    severity: Severity,
    keys: Vec<String>,
    message: String,
    hint: Option<String>,
    source: &'static str,
}

type Rule = fn(&Flags<'_>, &mut Vec<Found>);

const RULES: &[Rule] = &[
    unquoted_braces,
    list_element,
    no_effect,
    removed,
    operator_replicas,
    host_network,
    kube_proxy_replacement,
    node_encryption,
    lease_timings,
    devices,
    envoy_capabilities,
];

/// Everything that is known to be wrong with a profile in a lab, as written first, errors before notes.
pub fn lint(profile: &Profile, lab: &Lab) -> Vec<Finding> {
    let Ok(cilium) = Version::parse(&profile.cilium) else { return Vec::new() };
    let written = profile.as_written.iter().filter_map(|line| line.split_once('='));
    let written: Vec<(String, String)> = written.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
    let parsed = profile.as_written.iter().filter_map(|line| parse_set(line).ok());
    let as_written = Flags { side: Side::AsWritten, cilium, lab, values: parsed.collect(), given: written };
    let values = flatten(&profile.as_meant);
    let given = values.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    let as_meant = Flags { side: Side::AsMeant, cilium, lab, values, given };
    let mut findings = Vec::new();
    for flags in [as_written, as_meant] {
        let mut found = Vec::new();
        RULES.iter().for_each(|rule| rule(&flags, &mut found));
        found.sort_by_key(|found| std::cmp::Reverse(found.severity));
        findings.extend(found.into_iter().map(|found| Finding {
            severity: found.severity,
            side: flags.side,
            profile: profile.name.clone(),
            keys: found.keys,
            message: found.message,
            hint: found.hint,
            source: found.source,
        }));
    }
    findings
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Flags<'_> {
    fn is(&self, key: &str, wanted: &str) -> bool {
        self.values.get(key).is_some_and(|value| text(value) == wanted)
    }

    fn nodes(&self) -> u32 {
        self.lab.control_planes + self.lab.workers
    }

    fn names(&self, key: &str) -> Vec<String> {
        match self.values.get(key) {
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(Value::String(text)) => text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

fn keys<const N: usize>(keys: [&str; N]) -> Vec<String> {
    keys.map(str::to_owned).to_vec()
}

/// `--set devices={a,b}` in a shell.
fn unquoted_braces(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if flags.side != Side::AsWritten {
        return;
    }
    for (key, value) in &flags.given {
        if value.starts_with('{') && value.contains(',') {
            found.push(Found {
                severity: Severity::Error,
                keys: vec![key.clone()],
                message: format!("bash expands the unquoted braces of {value} into several words and only the first follows --set"),
                hint: Some(format!("write --set \"{key}={value}\"")),
                source: "bash manual, Brace Expansion",
            });
        }
        if key.contains('[') {
            found.push(Found {
                severity: Severity::Note,
                keys: vec![key.clone()],
                message: "an unquoted [ ] is a file name pattern to a shell; zsh refuses it when no file fits".to_owned(),
                hint: Some("put the whole argument in quotes".to_owned()),
                source: "zsh manual, Filename Generation",
            });
        }
    }
}

/// `a.b[0]=x` makes a list of one element and forgets the chart's.
fn list_element(flags: &Flags<'_>, found: &mut Vec<Found>) {
    for (key, value) in &flags.given {
        let Some((list, _)) = key.split_once('[') else { continue };
        let is_envoy = list == "envoy.securityContext.capabilities.envoy";
        let why = if is_envoy { "; cilium-envoy ends at once without NET_ADMIN and SYS_ADMIN or BPF, on every node" } else { "" };
        found.push(Found {
            severity: if is_envoy { Severity::Error } else { Severity::Warning },
            keys: vec![key.clone()],
            message: format!("Helm replaces lists, so {list} becomes [{value}] and the chart's own elements are gone{why}"),
            hint: Some(if is_envoy {
                format!("write --set \"{list}={{NET_ADMIN,SYS_ADMIN,NET_BIND_SERVICE}}\"")
            } else {
                "write the whole list".to_owned()
            }),
            source: "chart 1.17.1 templates/cilium-envoy/daemonset.yaml; proxy starter/main.cc; Cilium 1.17 host-network-mode.rst",
        });
    }
}

/// Values a chart takes and does nothing with.
fn no_effect(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if flags.values.contains_key("externalIPs.enabled") && flags.cilium < Version(1, 18, 0) {
        found.push(Found {
            severity: Severity::Note,
            keys: keys(["externalIPs.enabled"]),
            message: "it changes nothing: the chart renders it for kubeProxyReplacement=partial alone, which it refuses".to_owned(),
            hint: Some("leave it out; kubeProxyReplacement=true serves external IPs".to_owned()),
            source: "chart 1.16.2 templates/cilium-configmap.yaml and validate.yaml; kube_proxy_replacement.go 1.16.2",
        });
    }
    if flags.is("envoy.securityContext.capabilities.keepCapNetBindService", "true")
        && !flags.is("gatewayAPI.hostNetwork.enabled", "true")
        && !flags.is("ingressController.hostNetwork.enabled", "true")
    {
        found.push(Found {
            severity: Severity::Note,
            keys: keys(["envoy.securityContext.capabilities.keepCapNetBindService"]),
            message: "without host network Envoy binds no privileged port".to_owned(),
            hint: None,
            source: "Cilium 1.17 host-network-mode.rst",
        });
    }
}

/// Values that are gone in a version.
fn removed(flags: &Flags<'_>, found: &mut Vec<Found>) {
    const GONE: &[(&str, Version, &str)] = &[
        ("externalIPs.enabled", Version(1, 18, 0), "kubeProxyReplacement=true serves external IPs"),
        ("encryption.wireguard.userspaceFallback", Version(1, 17, 0), "the kernel must have WireGuard"),
        ("encryption.strictMode.enabled", Version(1, 20, 0), "use encryption.strictMode.egress.enabled"),
        ("encryption.strictMode.cidr", Version(1, 20, 0), "use encryption.strictMode.egress.cidr"),
        ("encryption.ipsec.encryptedOverlay", Version(1, 20, 0), "it is always on"),
    ];
    for (key, since, instead) in GONE {
        if flags.values.contains_key(*key) && flags.cilium >= *since {
            found.push(Found {
                severity: Severity::Warning,
                keys: vec![(*key).to_owned()],
                message: format!("the chart has no such value since {since} and ignores it"),
                hint: Some((*instead).to_owned()),
                source: "charts 1.17.0, 1.18.11, 1.20.0 values.yaml; Cilium 1.17 upgrade.rst",
            });
        }
    }
}

/// Required anti-affinity: one operator a node.
fn operator_replicas(flags: &Flags<'_>, found: &mut Vec<Found>) {
    let wanted = match flags.values.get("operator.replicas") {
        Some(value) => text(value).parse::<u32>().unwrap_or(0),
        None => return,
    };
    if wanted > flags.nodes() {
        found.push(Found {
            severity: Severity::Error,
            keys: keys(["operator.replicas"]),
            message: format!(
                "{wanted} operators never become ready on {} nodes, and `cilium status --wait` never ends well: each must be on its own",
                flags.nodes()
            ),
            hint: Some(format!("operator.replicas={} at most", flags.nodes().max(1))),
            source: "chart 1.16.2 values.yaml operator.affinity (required podAntiAffinity, hostNetwork)",
        });
    }
}

/// Host network against LoadBalancer and L2.
fn host_network(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if !flags.is("gatewayAPI.hostNetwork.enabled", "true") {
        return;
    }
    if !flags.is("gatewayAPI.enabled", "true") {
        found.push(Found {
            severity: Severity::Warning,
            keys: keys(["gatewayAPI.hostNetwork.enabled", "gatewayAPI.enabled"]),
            message: "host network is for Gateways, and the Gateway API is not enabled".to_owned(),
            hint: Some("gatewayAPI.enabled=true".to_owned()),
            source: "chart 1.17.1 templates/cilium-configmap.yaml",
        });
    }
    if flags.is("l2announcements.enabled", "true") {
        found.push(Found {
            severity: Severity::Warning,
            keys: keys(["gatewayAPI.hostNetwork.enabled", "l2announcements.enabled"]),
            message: "Gateways on the host network get no LoadBalancer Service, so they have no address to announce; the two exclude \
                      each other for the whole cluster"
                .to_owned(),
            hint: Some("install one of the two at a time".to_owned()),
            source: "Cilium 1.17 host-network-mode.rst; translator.go 1.17.1",
        });
    }
    let keeps = flags.is("envoy.securityContext.capabilities.keepCapNetBindService", "true");
    if !keeps {
        found.push(Found {
            severity: Severity::Note,
            keys: keys(["gatewayAPI.hostNetwork.enabled", "envoy.securityContext.capabilities.keepCapNetBindService"]),
            message: "listeners below port 1024 need NET_BIND_SERVICE to be granted and kept".to_owned(),
            hint: None,
            source: "Cilium 1.17 host-network-mode.rst",
        });
    }
}

/// L2 announcements and Gateways need it.
fn kube_proxy_replacement(flags: &Flags<'_>, found: &mut Vec<Found>) {
    for feature in ["l2announcements.enabled", "gatewayAPI.enabled"] {
        let served = flags.is("kubeProxyReplacement", "true") || (feature == "gatewayAPI.enabled" && flags.is("nodePort.enabled", "true"));
        if flags.is(feature, "true") && !served {
            found.push(Found {
                severity: Severity::Error,
                keys: keys([feature, "kubeProxyReplacement"]),
                message: "it needs kubeProxyReplacement=true and is off without it, with a line in a log".to_owned(),
                hint: Some("kubeProxyReplacement=true".to_owned()),
                source: "Cilium 1.16 l2-announcements.rst; operator gateway-api/cell.go 1.17.1",
            });
        }
    }
    if let Some(value) = flags.values.get("kubeProxyReplacement")
        && !["true", "false"].contains(&text(value).as_str())
    {
        found.push(Found {
            severity: Severity::Error,
            keys: keys(["kubeProxyReplacement"]),
            message: format!("the chart takes true or false alone, not {}", text(value)),
            hint: None,
            source: "chart 1.16.2 templates/validate.yaml",
        });
    }
}

/// Node encryption: who takes part.
fn node_encryption(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if !flags.is("encryption.nodeEncryption", "true") {
        return;
    }
    if !flags.is("encryption.enabled", "true") || !flags.is("encryption.type", "wireguard") {
        found.push(Found {
            severity: Severity::Error,
            keys: keys(["encryption.nodeEncryption", "encryption.enabled", "encryption.type"]),
            message: "node encryption exists for WireGuard alone, and the default type is ipsec".to_owned(),
            hint: Some("encryption.enabled=true and encryption.type=wireguard".to_owned()),
            source: "Cilium 1.17 encryption-wireguard.rst; chart 1.17.1 values.yaml",
        });
    }
    let workers = flags.lab.workers;
    if workers < 2 {
        found.push(Found {
            severity: Severity::Warning,
            keys: keys(["encryption.nodeEncryption"]),
            message: format!("with {workers} worker no traffic between nodes is encrypted: the control plane opts out by its label"),
            hint: Some("two workers".to_owned()),
            source: "Cilium 1.17 encryption-wireguard.rst, opting out; agent.go 1.17.1",
        });
    }
}

/// Lease timings client-go does not take are changed with a line in a log.
fn lease_timings(flags: &Flags<'_>, found: &mut Vec<Found>) {
    const KEYS: [&str; 3] = ["l2announcements.leaseDuration", "l2announcements.leaseRenewDeadline", "l2announcements.leaseRetryPeriod"];
    const SOURCE: &str = "l2announcer.go 1.17.1 (lease validation); client-go leaderelection";
    if !flags.is("l2announcements.enabled", "true") {
        return;
    }
    let mut ms = |key: &str, default: u64| match flags.values.get(key) {
        None => Some(default),
        Some(value) => match crate::duration::parse(&text(value)) {
            Ok(span) => Some(span.as_millis() as u64),
            Err(bad) => {
                let (keys, hint) = (vec![key.to_owned()], None);
                found.push(Found { severity: Severity::Error, keys, message: bad.to_string(), hint, source: SOURCE });
                None
            }
        },
    };
    let (Some(lease), Some(deadline), Some(retry)) = (ms(KEYS[0], 15_000), ms(KEYS[1], 5_000), ms(KEYS[2], 2_000)) else { return };
    let mut adjusted = |named: &[&str], message: String| {
        found.push(Found {
            severity: Severity::Warning,
            keys: named.iter().map(|key| (*key).to_owned()).collect(),
            message: format!("{message}; the agent changes it silently but for a warning in its log"),
            hint: None,
            source: SOURCE,
        });
    };
    if lease < 1_000 {
        adjusted(&KEYS[..1], format!("a lease of {lease} ms is less than a second"));
    }
    if lease <= deadline {
        adjusted(&KEYS[..2], format!("a lease of {lease} ms must be longer than the renew deadline of {deadline} ms"));
    }
    if deadline * 10 <= retry * 12 {
        adjusted(&KEYS[1..], format!("a renew deadline of {deadline} ms must be longer than 1.2 times the retry period of {retry} ms"));
    }
}

/// Devices that are not there are not selected, and nobody says so.
fn devices(flags: &Flags<'_>, found: &mut Vec<Found>) {
    let devices = flags.names("devices");
    let fits = |device: &str, network: &String| match device.strip_suffix('+') {
        Some(prefix) => network.starts_with(prefix),
        None => network == device,
    };
    for device in &devices {
        if !flags.lab.networks.iter().any(|network| fits(device, network)) {
            found.push(Found {
                severity: Severity::Warning,
                keys: keys(["devices"]),
                message: format!("{device} is no interface of this lab, and a device that is not there is left out without a word"),
                hint: Some(format!("the lab has {}", flags.lab.networks.join(", "))),
                source: "devices_controller.go 1.16.2",
            });
        }
    }
}

/// The whole list, but without what Envoy cannot do without.
fn envoy_capabilities(flags: &Flags<'_>, found: &mut Vec<Found>) {
    const KEY: &str = "envoy.securityContext.capabilities.envoy";
    let Some(Value::Array(_)) = flags.values.get(KEY) else { return };
    let list = flags.names(KEY);
    let has = |name: &str| list.iter().any(|given| given == name);
    if !has("NET_ADMIN") || !(has("SYS_ADMIN") || has("BPF")) {
        found.push(Found {
            severity: Severity::Error,
            keys: keys([KEY]),
            message: format!("cilium-envoy ends at once with only {}: it needs NET_ADMIN and SYS_ADMIN or BPF", list.join(", ")),
            hint: None,
            source: "proxy starter/main.cc",
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn profile(cilium: &str, written: &[&str], meant: Value) -> Profile {
        let profile = json!({
            "format": 1, "name": "p", "title": "t", "source": "s", "cilium": cilium, "asWritten": written, "asMeant": meant
        });
        serde_json::from_value(profile).unwrap()
    }

    fn lines(profile: &Profile, lab: &Lab) -> Vec<String> {
        lint(profile, lab).iter().map(Finding::line).collect()
    }

    #[track_caller]
    fn check(cilium: &str, meant: Value, workers: u32, expected: &str) {
        let lab = Lab { workers, ..Lab::default() };
        let found = lines(&profile(cilium, &[], meant.clone()), &lab).join("\n");
        match expected {
            "" => assert_eq!(found, "", "{meant}"),
            expected => assert!(found.contains(expected), "{meant}: expected `{expected}`, got:\n{found}"),
        }
    }

    #[test]
    fn each_rule_finds_what_it_is_for_and_nothing_in_sound_flags() {
        let kpr = |mut values: Value| {
            values["kubeProxyReplacement"] = json!(true);
            values
        };
        let l2 = |lease: &str, deadline: &str, retry: &str| {
            kpr(
                json!({"l2announcements": {"enabled": true, "leaseDuration": lease, "leaseRenewDeadline": deadline, "leaseRetryPeriod": retry}}),
            )
        };
        check("1.17.1", l2("3s", "1s", "500ms"), 2, "");
        check("1.17.1", l2("1s", "1s", "500ms"), 2, "must be longer than the renew deadline");
        check("1.17.1", l2("900ms", "500ms", "100ms"), 2, "less than a second");
        check("1.17.1", l2("3s", "600ms", "500ms"), 2, "1.2 times the retry period");
        check("1.17.1", l2("3", "1s", "500ms"), 2, "`3` is not a time");
        check("1.17.1", json!({"l2announcements.enabled": true}), 2, "needs kubeProxyReplacement=true");
        check("1.17.1", json!({"kubeProxyReplacement": "partial"}), 2, "takes true or false alone");
        check("1.17.1", kpr(json!({"externalIPs.enabled": true})), 2, "it changes nothing");
        check("1.18.0", kpr(json!({"externalIPs.enabled": true})), 2, "no such value since 1.18.0");
        check("1.17.1", kpr(json!({"operator.replicas": 2})), 1, "");
        check("1.17.1", kpr(json!({"operator.replicas": 2})), 0, "2 operators never become ready on 1 nodes");
        check("1.17.1", kpr(json!({"devices": ["eth0", "net0"]})), 2, "net0 is no interface of this lab");
        check("1.17.1", kpr(json!({"devices": ["eth+"]})), 2, "");
        let encrypted = json!({"encryption": {"enabled": true, "type": "wireguard", "nodeEncryption": true}});
        check("1.17.1", encrypted.clone(), 2, "");
        check("1.17.1", encrypted, 1, "with 1 worker no traffic between nodes is encrypted");
        check("1.17.1", json!({"encryption": {"enabled": true, "nodeEncryption": true}}), 2, "the default type is ipsec");
        let host = json!({"gatewayAPI": {"enabled": true, "hostNetwork": {"enabled": true}}, "l2announcements.enabled": true});
        check("1.17.1", kpr(host), 2, "the two exclude each other");
        check("1.17.1", json!({"envoy.securityContext.capabilities.envoy": ["NET_BIND_SERVICE"]}), 2, "needs NET_ADMIN");
    }

    #[test]
    fn flags_as_a_shell_gets_them_are_looked_at_too() {
        let written = ["devices={eth0,net0}", "a.b[0]=x", "envoy.securityContext.capabilities.envoy[0]=NET_BIND_SERVICE"];
        let found = lines(&profile("1.17.1", &written, json!({})), &Lab::default()).join("\n");
        for expected in ["bash expands the unquoted braces", "a.b becomes [x]", "cilium-envoy ends at once", "zsh refuses it"] {
            assert!(found.contains(expected), "{expected} in:\n{found}");
        }
    }
}
