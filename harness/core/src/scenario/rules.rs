//! Rules that hold for a whole object of a scenario: exactly-one keys, limits that must be in order, labs that cannot be.
//!
//! One function a definition of the model, named by the definition. Each looks at the tree, so it reports with a place and works
//! beside other mistakes.

use super::model::FORMAT;
use super::tree::{Kind, Node};
use super::world::World;
use crate::mistakes::Mistake;

/// A control plane, workers and the client share a /24 with the virtual addresses.
const NODES_MAX: u64 = 64;

type Out<'a> = &'a mut Vec<Mistake>;

/// Applies the rules of the definition `name`.
pub(super) fn check(name: &str, node: &Node, world: &World, out: Out<'_>) {
    if !matches!(node.kind, Kind::Map(_)) {
        return;
    }
    match name {
        "Scenario" => scenario(node, out),
        "Lab" => lab(node, out),
        "Cert" => not_empty(node, "sans", "a certificate needs at least one name", out),
        "Backend" => backend(node, out),
        "Apply" => exactly_one(node, &["file", "manifest"], out),
        "Place" => place(node, out),
        "During" => during(node, out),
        "CaptureWatch" => capture(node, world, out),
        "ArpWatch" | "ArpProbe" => on_network(node, world, out),
        "TlsProbe" => server_name(node, out),
        "HttpExpect" => answer_or_failure(node, &["status", "backend", "tls", "headers", "seenHeaders", "seenVersion"], out),
        "TlsProbeExpect" => answer_or_failure(node, &["leaf", "trusted"], out),
        "L4Expect" => answer_or_failure(node, &["answered"], out),
        "TlsExpect" | "ArpExpect" | "StatusExpect" | "LeaseExpect" | "ConfigExpect" => some_key(node, out),
        "Eventually" | "Consistently" => inner_probe(node, out),
        "Never" => never(node, out),
        "Count" => count(node, out),
        "Distribution" => distribution(node, out),
        "Downtime" => ordered_spans(node, out),
        "FaultCase" => fault_case(node, out),
        "Variant" => at_least_one(node, &["replace", "drop", "values"], out),
        "When" => some_key(node, out),
        "GatewayApi" => gateway_api(node, out),
        _ => {}
    }
    if matches!(name, "HttpProbe" | "TlsProbe" | "L4Probe" | "PingProbe" | "ArpProbe") {
        positive(node, "count", out);
        positive(node, "port", out);
    }
}

fn scenario(node: &Node, out: Out<'_>) {
    format_version(node, u64::from(FORMAT), out);
    let intent = node.get("intent").and_then(|intent| Some((intent, intent.text()?)));
    if let Some((intent, text)) = intent.filter(|(_, text)| !text.starts_with("Passes if and only if")) {
        let begins: String = text.chars().take(30).collect();
        let message = format!("`intent` begins with `{}`", super::tree::shorten(&begins));
        out.push(intent.place.mistake(message, Some("begin with `Passes if and only if`".to_owned())));
    }
    for key in ["steps", "covers"] {
        not_empty(node, key, &format!("`{key}` is empty: there is nothing to say about it"), out);
    }
}

/// A file of another format version is not read any further by people either: say so first.
pub(super) fn format_version(node: &Node, known: u64, out: Out<'_>) {
    if let Some(format) = node.get("format")
        && let Some(version) = format.whole()
        && version != known
    {
        let hint = (version > known).then(|| "a newer release of plumb reads it".to_owned());
        out.push(format.place.mistake(format!("`format` is {version}, this program reads {known}"), hint));
    }
}

fn lab(node: &Node, out: Out<'_>) {
    let count = |key: &str, default: u64| node.get(key).map_or(Some(default), Node::whole);
    let control_planes = count("controlPlanes", 1);
    let workers = count("workers", 2);
    if control_planes == Some(0) {
        let place = &node.get("controlPlanes").unwrap_or(node).place;
        out.push(place.mistake("a lab without a control plane has no API", None));
    }
    let nodes = control_planes.unwrap_or(1).saturating_add(workers.unwrap_or(2));
    if nodes > NODES_MAX {
        out.push(node.place.mistake(format!("the lab has {nodes} nodes, at most {NODES_MAX} can be made"), None));
    }
    not_empty(node, "networks", "a lab without a network joins nothing", out);
    for key in ["networks", "client"] {
        let Some(list) = node.get(key) else { continue };
        let mut seen: Vec<&str> = Vec::new();
        for item in list.items() {
            let Some(name) = item.text() else { continue };
            if seen.contains(&name) {
                out.push(item.place.mistake(format!("`{key}` names `{name}` twice"), None));
            }
            seen.push(name);
        }
        if seen.len() > 8 {
            out.push(list.place.mistake(format!("`{key}` has {} networks, at most 8 can be made", seen.len()), None));
        }
    }
}

fn backend(node: &Node, out: Out<'_>) {
    positive(node, "port", out);
    positive(node, "replicas", out);
    let Some(service) = node.get("service") else { return };
    let Some(kind) = service.get("type") else { return };
    if let Some(text) = kind.text()
        && !["ClusterIP", "LoadBalancer", "None"].contains(&text)
    {
        let message = format!("`type` is `{}`, expected one of `ClusterIP`, `LoadBalancer`, `None`", super::tree::shorten(text));
        out.push(kind.place.mistake(message, None));
    }
}

fn place(node: &Node, out: &mut Vec<Mistake>) {
    at_least_one(node, &["node", "replicas"], out);
    let Some(until) = node.get("until").filter(|until| until.text() == Some("leaving")) else { return };
    if node.get("replicas").and_then(Node::whole) != Some(0) {
        let hint = Some("write `replicas: 0`".to_owned());
        out.push(until.place.mistake("which Pods leave is only known when all of them do", hint));
    }
}

fn during(node: &Node, out: Out<'_>) {
    not_empty(node, "steps", "nothing happens while it is watched", out);
    if let Some(watch) = node.get("watch")
        && watch.entries().is_empty()
    {
        out.push(watch.place.mistake("nothing is watched", None));
    }
}

/// Interfaces of a vantage point: the lab's networks, Cilium's own on nodes, `eth0` in pods.
fn capture(node: &Node, world: &World, out: Out<'_>) {
    let (Some(on), Some(interface)) = (node.get("on").and_then(Node::text), node.get("interface")) else { return };
    let Some(name) = interface.text() else { return };
    let owned = |list: &[String]| list.iter().any(|network| network == name);
    let (there, known) = match on.split('/').next() {
        Some("client") => (owned(&world.client), world.client.clone()),
        Some("node") => {
            let mut known = world.networks.clone();
            known.extend(["cilium_vxlan", "cilium_wg0"].map(str::to_owned));
            (owned(&world.networks) || name.starts_with("cilium_") || name.starts_with("lxc"), known)
        }
        Some("pod") => (name == "eth0", vec!["eth0".to_owned()]),
        _ => return,
    };
    if !there {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        out.push(super::meaning::unknown(&format!("interface on `{on}`"), name, &interface.place, &known));
    }
}

/// Whoever asks by ARP must be on the network.
fn on_network(node: &Node, world: &World, out: Out<'_>) {
    let from = node.get("from").and_then(Node::text).unwrap_or("client");
    let Some(network) = node.get("network") else { return };
    let Some(name) = network.text() else { return };
    let is_known = world.networks.iter().any(|known| known == name);
    if from == "client" {
        if world.client.is_empty() && node.get("from").is_none() {
            out.push(node.place.mistake("it asks from `client`, and there is no outside client in this lab", None));
        } else if is_known && !world.client.is_empty() && !world.client.iter().any(|known| known == name) {
            out.push(network.place.mistake(format!("the client is not on network `{name}`"), Some("add it to `lab.client`".to_owned())));
        }
    } else if from.starts_with("pod/") {
        out.push(network.place.mistake("a pod is not on a network of the lab, it cannot ask by ARP there", None));
    }
}

fn server_name(node: &Node, out: Out<'_>) {
    if let Some(tls) = node.get("tls")
        && tls.get("sni").is_none()
    {
        out.push(tls.place.mistake("`tls` has no `sni`", Some("a server name, or \"\" to send none at all".to_owned())));
    }
}

fn answer_or_failure(node: &Node, answers: &[&str], out: Out<'_>) {
    some_key(node, out);
    let Some((fails, _)) = node.entries().iter().find(|(key, value)| key.name == "fails" && !value.items().is_empty()) else { return };
    if let Some((key, _)) = node.entries().iter().find(|(key, _)| answers.contains(&key.name.as_str())) {
        let message = format!("`fails` and `{}` cannot both be expected", key.name);
        out.push(fails.place.mistake(message, None));
    }
}

fn inner_probe(node: &Node, out: Out<'_>) {
    let Some((_, probe)) = node.get("probe").and_then(|probe| probe.entries().first()) else { return };
    if let Some((key, _)) = probe.entries().iter().find(|(key, _)| key.name == "id") {
        out.push(key.place.mistake("the probe inside has an `id`", Some("the step's own id names it".to_owned())));
    }
    if matches!(probe.kind, Kind::Map(_)) && probe.get("expect").is_none_or(Node::is_null) {
        let place = probe.entries().first().map_or(&probe.place, |(key, _)| &key.place);
        out.push(place.mistake("the probe inside has no `expect`: there is nothing to wait for", None));
    }
}

fn never(node: &Node, out: Out<'_>) {
    let (Some(hidden), Some(seen)) = (node.get("in"), node.get("seenIn")) else { return };
    if hidden.text().is_some() && hidden.text() == seen.text() {
        out.push(seen.place.mistake("`seenIn` is the capture that must not have it", Some("name one where it must be visible".to_owned())));
    }
}

fn count(node: &Node, out: Out<'_>) {
    exactly_one(node, &["canary", "gratuitous", "answerers"], out);
    at_least_one(node, &["min", "max"], out);
    for key in ["gratuitous", "answerers"] {
        if let Some(flag) = node.get(key)
            && flag.kind == Kind::Bool(false)
        {
            out.push(flag.place.mistake(format!("`{key}: false` counts nothing"), Some("write true or leave it out".to_owned())));
        }
    }
    if let (Some(min), Some(max)) = (node.get("min"), node.get("max"))
        && let (Some(low), Some(high)) = (min.whole(), max.whole())
        && low > high
    {
        out.push(max.place.mistake(format!("`max` is {high}, less than `min` {low}"), None));
    }
}

fn distribution(node: &Node, out: Out<'_>) {
    for key in ["weights", "against"] {
        let Some(weights) = node.get(key).filter(|node| !node.is_null()) else { continue };
        if weights.entries().is_empty() {
            out.push(weights.place.mistake(format!("`{key}` is empty"), None));
        } else if weights.entries().iter().all(|(_, weight)| weight.whole() == Some(0)) {
            out.push(weights.place.mistake(format!("`{key}` are all 0: no request may go anywhere"), None));
        }
    }
    for key in ["alpha", "power"] {
        let Some(value) = node.get(key) else { continue };
        if let Kind::Number(number) = &value.kind
            && !number.as_f64().is_some_and(|p| p > 0.0 && p < 1.0)
        {
            out.push(value.place.mistake(format!("`{key}` is {number}, expected a probability between 0 and 1"), None));
        }
    }
    positive(node, "samples", out);
    if let Some(samples) = node.get("samples")
        && samples.whole().is_some_and(|n| n > 1_000_000)
    {
        out.push(samples.place.mistake("`samples` is more than a million", None));
    }
}

fn ordered_spans(node: &Node, out: Out<'_>) {
    let span = |key: &str| node.get(key).and_then(Node::text).and_then(|text| crate::duration::parse(text).ok());
    if let (Some(min), Some(max)) = (span("min"), span("max"))
        && min > max
    {
        let place = &node.get("max").unwrap_or(node).place;
        out.push(place.mistake("`max` is less than `min`", None));
    }
}

fn fault_case(node: &Node, out: Out<'_>) {
    not_empty(node, "turns", "a fault that turns no check proves nothing", out);
    if let Some(because) = node.get("because")
        && because.text().is_some_and(|text| text.trim().len() < 4)
    {
        out.push(because.place.mistake("`because` is too short to tell one reason from another", None));
    }
}

fn gateway_api(node: &Node, out: Out<'_>) {
    if let Some(version) = node.get("version")
        && let Some(text) = version.text()
        && let Err(bad) = crate::version::Version::parse(text)
    {
        out.push(version.place.mistake(bad.to_string(), None));
    }
    for item in node.get("crds").map(Node::items).unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        let plural = text.strip_prefix("experimental/").or_else(|| text.strip_prefix("standard/")).unwrap_or(text);
        if plural.is_empty() || !plural.chars().all(|c| c.is_ascii_lowercase()) {
            let message = format!(
                "`{}` is not a definition: expected a plural such as httproutes or experimental/tlsroutes",
                super::tree::shorten(text)
            );
            out.push(item.place.mistake(message, None));
        }
    }
}

fn given<'a>(node: &Node, keys: &[&'a str]) -> Vec<&'a str> {
    keys.iter().copied().filter(|key| node.get(key).is_some_and(|value| !value.is_null())).collect()
}

fn names(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

fn exactly_one(node: &Node, keys: &[&str], out: Out<'_>) {
    let given = given(node, keys);
    if given.len() != 1 {
        let seen = if given.is_empty() { "none".to_owned() } else { names(&given) };
        out.push(first_key(node).mistake(format!("exactly one of {} is expected, here is {seen}", names(keys)), None));
    }
}

fn at_least_one(node: &Node, keys: &[&str], out: Out<'_>) {
    if given(node, keys).is_empty() {
        out.push(first_key(node).mistake(format!("at least one of {} is expected, here is none", names(keys)), None));
    }
}

fn some_key(node: &Node, out: Out<'_>) {
    if node.entries().iter().all(|(_, value)| value.is_null()) {
        out.push(node.place.mistake("it is empty: nothing can break it", None));
    }
}

fn not_empty(node: &Node, key: &str, message: &str, out: Out<'_>) {
    if let Some(list) = node.get(key)
        && matches!(list.kind, Kind::List(_))
        && list.items().is_empty()
    {
        out.push(list.place.mistake(message, None));
    }
}

fn positive(node: &Node, key: &str, out: Out<'_>) {
    if let Some(value) = node.get(key)
        && value.whole() == Some(0)
    {
        out.push(value.place.mistake(format!("`{key}` is 0, expected at least 1"), None));
    }
}

fn first_key(node: &Node) -> &super::tree::Place {
    node.entries().first().map_or(&node.place, |(key, _)| &key.place)
}
