//! Gateway, GatewayClass and ReferenceGrant: defaults and rules of the Gateway API reference.

use serde_json::{Value, json};

use super::{check_count, check_port};
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{as_map, child, default, items, text};
use crate::api::status::Cause;

const LISTENERS_LIMIT: usize = 64;
const CERTIFICATES_LIMIT: usize = 64;
const KINDS_LIMIT: usize = 8;
const ADDRESSES_LIMIT: usize = 16;
const GRANTS_LIMIT: usize = 16;

pub(super) fn complete(kind: &Kind, object: &mut Value) {
    if kind.kind != "Gateway" || !object.get("spec").is_some_and(Value::is_object) {
        return;
    }
    let spec = child(object, "spec");
    for address in spec.get_mut("addresses").and_then(Value::as_array_mut).into_iter().flatten().filter(|a| a.is_object()) {
        default(as_map(address), "type", "IPAddress");
    }
    for listener in spec.get_mut("listeners").and_then(Value::as_array_mut).into_iter().flatten().filter(|l| l.is_object()) {
        let routes = child(listener, "allowedRoutes");
        default(routes, "namespaces", json!({"from": "Same"}));
        if let Some(namespaces) = routes.get_mut("namespaces").filter(|n| n.is_object()) {
            default(as_map(namespaces), "from", "Same");
        }
        for kind in routes.get_mut("kinds").and_then(Value::as_array_mut).into_iter().flatten().filter(|k| k.is_object()) {
            default(as_map(kind), "group", "gateway.networking.k8s.io");
        }
        let Some(tls) = listener.get_mut("tls").filter(|t| t.is_object()) else { continue };
        let tls = as_map(tls);
        default(tls, "mode", "Terminate");
        for reference in tls.get_mut("certificateRefs").and_then(Value::as_array_mut).into_iter().flatten().filter(|r| r.is_object()) {
            let reference = as_map(reference);
            default(reference, "group", "");
            default(reference, "kind", "Secret");
        }
    }
}

pub(super) fn validate(kind: &Kind, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    match kind.kind.as_str() {
        "Gateway" => validate_gateway(object, causes),
        "GatewayClass" => {
            let path = "spec.controllerName";
            let name = text(object, "/spec/controllerName");
            if !name.split_once('/').is_some_and(|(domain, path)| names::is_subdomain(domain) && !path.is_empty()) || name.len() > 253 {
                causes.push(Cause::invalid(path, &json!(name), "must be a domain-prefixed path such as example.com/controller"));
            }
            if old.is_some_and(|old| text(old, "/spec/controllerName") != name) {
                causes.push(Cause::invalid(path, &json!(name), "Value is immutable"));
            }
            if text(object, "/spec/description").chars().count() > 64 {
                causes.push(Cause {
                    reason: "FieldValueTooLong",
                    field: "spec.description".to_owned(),
                    message: "Too long: may not be more than 64 characters".to_owned(),
                });
            }
        }
        "ReferenceGrant" => validate_grant(object, causes),
        _ => {}
    }
}

fn validate_gateway(object: &Value, causes: &mut Vec<Cause>) {
    let class = text(object, "/spec/gatewayClassName");
    if class.is_empty() || class.len() > 253 {
        causes.push(Cause::invalid("spec.gatewayClassName", &json!(class), "must be 1 to 253 characters long"));
    }
    let listeners = items(object, "/spec/listeners");
    if listeners.is_empty() {
        causes.push(Cause::invalid("spec.listeners", &json!(0), "spec.listeners in body should have at least 1 items"));
    }
    check_count(listeners, LISTENERS_LIMIT, "spec.listeners", causes);
    check_count(items(object, "/spec/addresses"), ADDRESSES_LIMIT, "spec.addresses", causes);
    for (index, address) in items(object, "/spec/addresses").iter().enumerate() {
        let value = text(address, "/value");
        if text(address, "/type") == "IPAddress" && !value.is_empty() && value.parse::<std::net::IpAddr>().is_err() {
            causes.push(Cause::invalid(
                format!("spec.addresses[{index}].value"),
                &json!(value),
                "must be an IP address when type is IPAddress",
            ));
        }
    }
    let mut names_seen: Vec<&str> = Vec::new();
    let mut distinct: Vec<(&Value, &str, &str)> = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let at = format!("spec.listeners[{index}]");
        let name = text(listener, "/name");
        if !names::is_subdomain(name) {
            causes.push(Cause::invalid(format!("{at}.name"), &json!(name), names::SUBDOMAIN_RULE));
        }
        if names_seen.contains(&name) {
            causes.push(Cause::duplicate(&at, &json!({"name": name})));
            causes.push(Cause::invalid("spec.listeners", &json!("array"), "Listener name must be unique within the Gateway"));
        }
        names_seen.push(name);
        let key = (&listener["port"], text(listener, "/protocol"), text(listener, "/hostname"));
        if distinct.contains(&key) && name != text(&listeners[0], "/name") {
            causes.push(Cause::invalid(
                "spec.listeners",
                &json!("array"),
                "Combination of port, protocol and hostname must be unique for each listener",
            ));
        }
        distinct.push(key);
        validate_listener(listener, &at, causes);
    }
}

fn validate_listener(listener: &Value, at: &str, causes: &mut Vec<Cause>) {
    check_port(listener.get("port"), &format!("{at}.port"), causes);
    let protocol = text(listener, "/protocol");
    let known = ["HTTP", "HTTPS", "TLS", "TCP", "UDP"];
    let own = protocol.split_once('/').is_some_and(|(domain, name)| names::is_subdomain(domain) && !name.is_empty());
    if !known.contains(&protocol) && !own {
        causes.push(Cause::invalid(
            format!("{at}.protocol"),
            &json!(protocol),
            "must be HTTP, HTTPS, TLS, TCP, UDP or a domain-prefixed name",
        ));
    }
    if let Some(hostname) = listener.get("hostname").and_then(Value::as_str) {
        if matches!(protocol, "TCP" | "UDP") && !hostname.is_empty() {
            causes.push(Cause::invalid("spec.listeners", &json!("array"), "hostname must not be specified for protocols ['TCP', 'UDP']"));
        } else if !names::is_hostname(hostname) {
            causes.push(Cause::invalid(
                format!("{at}.hostname"),
                &json!(hostname),
                "must be a hostname: a lowercase RFC 1123 subdomain whose first label may be \"*\", and no address",
            ));
        }
    }
    let tls = listener.get("tls");
    let (mode, references) = (text(listener, "/tls/mode"), items(listener, "/tls/certificateRefs"));
    match (protocol, tls) {
        ("HTTP" | "TCP" | "UDP", Some(_)) => {
            causes.push(Cause::invalid(
                "spec.listeners",
                &json!("array"),
                "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
            ));
        }
        ("HTTPS" | "TLS", None) => {
            causes.push(Cause::invalid(
                "spec.listeners",
                &json!("array"),
                format!("tls must be specified for protocols ['HTTPS', 'TLS'] (listener {at})"),
            ));
        }
        ("HTTPS", Some(_)) if mode != "Terminate" => {
            causes.push(Cause::invalid("spec.listeners", &json!("array"), "tls mode must be Terminate for protocol HTTPS"));
        }
        (_, Some(tls))
            if mode == "Terminate"
                && references.is_empty()
                && tls.get("options").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) =>
        {
            causes.push(Cause::invalid(
                format!("{at}.tls"),
                &json!("object"),
                "certificateRefs or options must be specified when mode is Terminate",
            ));
        }
        _ => {}
    }
    check_count(references, CERTIFICATES_LIMIT, &format!("{at}.tls.certificateRefs"), causes);
    for (index, reference) in references.iter().enumerate() {
        if text(reference, "/name").is_empty() {
            causes.push(Cause::required(format!("{at}.tls.certificateRefs[{index}].name"), ""));
        }
    }
    check_count(items(listener, "/allowedRoutes/kinds"), KINDS_LIMIT, &format!("{at}.allowedRoutes.kinds"), causes);
}

fn validate_grant(object: &Value, causes: &mut Vec<Cause>) {
    for list in ["from", "to"] {
        let entries = items(object, &format!("/spec/{list}"));
        if entries.is_empty() {
            causes.push(Cause::invalid(format!("spec.{list}"), &json!(0), format!("spec.{list} in body should have at least 1 items")));
        }
        check_count(entries, GRANTS_LIMIT, &format!("spec.{list}"), causes);
        for (index, entry) in entries.iter().enumerate() {
            if text(entry, "/kind").is_empty() {
                causes.push(Cause::required(format!("spec.{list}[{index}].kind"), ""));
            }
            if list == "from" && !names::is_label(text(entry, "/namespace")) {
                causes.push(Cause::invalid(format!("spec.from[{index}].namespace"), &entry["namespace"], names::LABEL_RULE));
            }
        }
    }
}
