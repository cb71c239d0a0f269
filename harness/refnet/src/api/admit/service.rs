//! Services: ports, and the cluster address that each is given.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::{Taken, check_port};
use crate::api::names;
use crate::api::object::{as_map, child, default, items, text};
use crate::api::status::Cause;

/// Services' addresses are the /16 from here on.
const SERVICE_NETWORK: [u8; 2] = [10, 96];

pub(super) fn complete(object: &mut Value, old: Option<&Value>) {
    let old_address = old.map(|old| (old.pointer("/spec/clusterIP").cloned(), old.pointer("/spec/clusterIPs").cloned()));
    let spec = child(object, "spec");
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    if spec["type"] == "ExternalName" {
        return;
    }
    default(spec, "internalTrafficPolicy", "Cluster");
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", "SingleStack");
    match spec["type"].as_str() {
        Some("LoadBalancer") => {
            default(spec, "externalTrafficPolicy", "Cluster");
            default(spec, "allocateLoadBalancerNodePorts", true);
        }
        Some("NodePort") => default(spec, "externalTrafficPolicy", "Cluster"),
        _ => {
            spec.shift_remove("externalTrafficPolicy");
            spec.shift_remove("allocateLoadBalancerNodePorts");
        }
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().filter(|p| p.is_object()) {
        let number = port.get("port").cloned();
        let port = as_map(port);
        default(port, "protocol", "TCP");
        if let Some(number) = number {
            default(port, "targetPort", number);
        }
    }
    // An update that leaves the address out keeps it.
    if let Some((Some(address), addresses)) = old_address
        && spec.get("clusterIP").and_then(Value::as_str).is_none_or(str::is_empty)
    {
        spec.insert("clusterIP".to_owned(), address);
        if let Some(addresses) = addresses {
            default(spec, "clusterIPs", addresses);
        }
    }
}

pub(super) fn validate(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let kind = text(object, "/spec/type");
    if !kinds.contains(&kind) {
        causes.push(Cause::unsupported("spec.type", &json!(kind), &kinds));
    }
    let ports = items(object, "/spec/ports");
    let headless = text(object, "/spec/clusterIP") == "None";
    if ports.is_empty() && kind != "ExternalName" && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut seen: Vec<(&Value, &str)> = Vec::new();
    let mut names_seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        check_port(port.get("port"), &format!("{at}.port"), causes);
        check_protocol(port, &format!("{at}.protocol"), causes);
        match port.get("targetPort") {
            Some(target @ Value::Number(_)) => check_port(Some(target), &format!("{at}.targetPort"), causes),
            Some(Value::String(name)) if !names::is_label(name) || name.len() > 15 => {
                causes.push(Cause::invalid(
                    format!("{at}.targetPort"),
                    &json!(name),
                    "must be no more than 15 characters and a valid port name",
                ));
            }
            _ => {}
        }
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !name.is_empty() && !names::is_label(name) {
            causes.push(Cause::invalid(format!("{at}.name"), &json!(name), names::LABEL_RULE));
        } else if !name.is_empty() && names_seen.contains(&name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
        }
        names_seen.push(name);
        let key = (&port["port"], text(port, "/protocol"));
        if seen.contains(&key) {
            causes.push(Cause::duplicate(at, port));
        }
        seen.push(key);
    }
    for (index, address) in items(object, "/spec/externalIPs").iter().enumerate() {
        if address.as_str().is_none_or(|a| a.parse::<IpAddr>().is_err()) {
            causes.push(Cause::invalid(
                format!("spec.externalIPs[{index}]"),
                address,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        }
    }
    let policies = ["Cluster", "Local"];
    if let Some(policy) = object.pointer("/spec/externalTrafficPolicy").filter(|p| !p.as_str().is_some_and(|p| policies.contains(&p))) {
        causes.push(Cause::unsupported("spec.externalTrafficPolicy", policy, &policies));
    }
    let class = |service: &Value| text(service, "/spec/loadBalancerClass").to_owned();
    if let Some(old) = old.filter(|old| text(old, "/spec/type") == "LoadBalancer" && kind == "LoadBalancer")
        && class(old) != class(object)
    {
        causes.push(Cause::invalid("spec.loadBalancerClass", &json!(class(object)), "may not change once set"));
    }
}

/// Gives a Service its address, or checks the one it asks for.
pub(in crate::api) fn cluster_address(object: &mut Value, old: Option<&Value>, taken: &Taken) -> Result<(), Vec<Cause>> {
    let kind = text(object, "/spec/type").to_owned();
    let asked = text(object, "/spec/clusterIP").to_owned();
    if kind == "ExternalName" {
        if !asked.is_empty() && asked != "None" {
            return Err(vec![Cause::invalid("spec.clusterIP", &json!(asked), "may not be set for ExternalName services")]);
        }
        return Ok(());
    }
    let before = old.map(|old| text(old, "/spec/clusterIP")).filter(|a| !a.is_empty());
    if let Some(before) = before.filter(|before| *before != asked) {
        let why = format!("field is immutable: may not change from {before:?}");
        return Err(vec![Cause::invalid("spec.clusterIP", &json!(asked), why)]);
    }
    let address = match asked.as_str() {
        "None" => "None".to_owned(),
        "" => free_address(taken)
            .map(|a| a.to_string())
            .ok_or_else(|| vec![Cause::invalid("spec.clusterIP", &json!(""), "failed to allocate an address: the range is full")])?,
        asked => {
            let parsed = asked.parse::<Ipv4Addr>().ok().filter(|a| a.octets()[..2] == SERVICE_NETWORK);
            let Some(parsed) = parsed else {
                let why = "failed to allocate IP: the provided IP is not in the valid range of 10.96.0.0/16";
                return Err(vec![Cause::invalid("spec.clusterIP", &json!(asked), why)]);
            };
            if before.is_none() && taken.contains(&parsed) {
                return Err(vec![Cause::invalid(
                    "spec.clusterIP",
                    &json!(asked),
                    "failed to allocate IP: provided IP is already allocated",
                )]);
            }
            asked.to_owned()
        }
    };
    let spec = child(object, "spec");
    spec.insert("clusterIPs".to_owned(), json!([address]));
    spec.insert("clusterIP".to_owned(), json!(address));
    Ok(())
}

/// The first address nobody has; .0.1 is the API's own by custom.
fn free_address(taken: &Taken) -> Option<Ipv4Addr> {
    let [a, b] = SERVICE_NETWORK;
    (0..=255u8).flat_map(|c| (0..=255u8).map(move |d| (c, d))).skip(10).map(|(c, d)| Ipv4Addr::new(a, b, c, d)).find(|x| !taken.contains(x))
}

/// TCP, UDP or SCTP.
pub(super) fn check_protocol(port: &Value, path: &str, causes: &mut Vec<Cause>) {
    let protocols = ["SCTP", "TCP", "UDP"];
    if let Some(protocol) = port.get("protocol").filter(|p| !p.as_str().is_some_and(|p| protocols.contains(&p))) {
        causes.push(Cause::unsupported(path, protocol, &protocols));
    }
}
