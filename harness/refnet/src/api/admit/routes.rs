//! HTTPRoute, GRPCRoute and TLSRoute: defaults and rules of the Gateway API reference.

use serde_json::{Value, json};

use super::{check_count, check_port};
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{as_map, child, default, items, text};
use crate::api::status::Cause;

const PARENTS_LIMIT: usize = 32;
const HOSTNAMES_LIMIT: usize = 16;
const RULES_LIMIT: usize = 16;
const BACKENDS_LIMIT: usize = 16;
const MATCHES_LIMIT: usize = 64;
const MATCHES_OF_ALL_RULES_LIMIT: usize = 128;
const HEADERS_LIMIT: usize = 16;
const FILTERS_LIMIT: usize = 16;
const WEIGHT_LIMIT: i64 = 1_000_000;

fn is_route(kind: &Kind) -> bool {
    matches!(kind.kind.as_str(), "HTTPRoute" | "GRPCRoute" | "TLSRoute")
}

fn maps<'a>(value: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter(|v| v.is_object())
}

pub(super) fn complete(kind: &Kind, object: &mut Value) {
    if !is_route(kind) || !object.get("spec").is_some_and(Value::is_object) {
        return;
    }
    let spec = &mut object["spec"];
    for parent in maps(spec, "parentRefs") {
        let parent = as_map(parent);
        default(parent, "group", "gateway.networking.k8s.io");
        default(parent, "kind", "Gateway");
    }
    if kind.kind == "HTTPRoute" {
        default(as_map(spec), "rules", json!([{}]));
    }
    for rule in maps(spec, "rules") {
        for backend in maps(rule, "backendRefs") {
            complete_backend(backend);
        }
        for filter in maps(rule, "filters") {
            complete_filter(filter);
        }
        match kind.kind.as_str() {
            "HTTPRoute" => {
                default(as_map(rule), "matches", json!([{"path": {"type": "PathPrefix", "value": "/"}}]));
                for one in maps(rule, "matches") {
                    complete_match(one);
                }
            }
            "GRPCRoute" => {
                for one in maps(rule, "matches") {
                    if let Some(method) = one.get_mut("method").filter(|m| m.is_object()) {
                        default(as_map(method), "type", "Exact");
                    }
                    for header in maps(one, "headers") {
                        default(as_map(header), "type", "Exact");
                    }
                }
            }
            _ => {}
        }
    }
}

fn complete_backend(backend: &mut Value) {
    for filter in maps(backend, "filters") {
        complete_filter(filter);
    }
    let backend = as_map(backend);
    default(backend, "group", "");
    default(backend, "kind", "Service");
    default(backend, "weight", 1);
}

fn complete_match(one: &mut Value) {
    let path = child(one, "path");
    default(path, "type", "PathPrefix");
    default(path, "value", "/");
    for list in ["headers", "queryParams"] {
        for entry in maps(one, list) {
            default(as_map(entry), "type", "Exact");
        }
    }
}

fn complete_filter(filter: &mut Value) {
    if let Some(redirect) = filter.get_mut("requestRedirect").filter(|r| r.is_object()) {
        default(as_map(redirect), "statusCode", 302);
    }
    if let Some(backend) = filter.pointer_mut("/requestMirror/backendRef").filter(|b| b.is_object()) {
        let backend = as_map(backend);
        default(backend, "group", "");
        default(backend, "kind", "Service");
    }
}

pub(super) fn validate(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if !is_route(kind) {
        return;
    }
    validate_parents(items(object, "/spec/parentRefs"), causes);
    let hostnames = items(object, "/spec/hostnames");
    check_count(hostnames, HOSTNAMES_LIMIT, "spec.hostnames", causes);
    for (index, hostname) in hostnames.iter().enumerate() {
        if !hostname.as_str().is_some_and(names::is_hostname) {
            causes.push(Cause::invalid(
                format!("spec.hostnames[{index}]"),
                hostname,
                "must be a hostname: a lowercase RFC 1123 subdomain whose first label may be \"*\", and no address",
            ));
        }
    }
    let rules = items(object, "/spec/rules");
    check_count(rules, RULES_LIMIT, "spec.rules", causes);
    if kind.kind == "TLSRoute" && rules.is_empty() {
        causes.push(Cause::invalid("spec.rules", &json!(0), "spec.rules in body should have at least 1 items"));
    }
    let mut matches_of_all = 0;
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        let backends = items(rule, "/backendRefs");
        check_count(backends, BACKENDS_LIMIT, &format!("{at}.backendRefs"), causes);
        if kind.kind == "TLSRoute" && backends.is_empty() {
            causes.push(Cause::invalid(
                format!("{at}.backendRefs"),
                &json!(0),
                format!("{at}.backendRefs in body should have at least 1 items"),
            ));
        }
        for (number, backend) in backends.iter().enumerate() {
            validate_backend(backend, &format!("{at}.backendRefs[{number}]"), causes);
        }
        check_count(items(rule, "/filters"), FILTERS_LIMIT, &format!("{at}.filters"), causes);
        for (number, filter) in items(rule, "/filters").iter().enumerate() {
            validate_filter(filter, &format!("{at}.filters[{number}]"), causes);
        }
        if !backends.is_empty() && items(rule, "/filters").iter().any(|f| text(f, "/type") == "RequestRedirect") {
            causes.push(Cause::invalid(at.clone(), &json!("object"), "RequestRedirect filter must not be used together with backendRefs"));
        }
        let matches = items(rule, "/matches");
        matches_of_all += matches.len();
        check_count(matches, MATCHES_LIMIT, &format!("{at}.matches"), causes);
        if kind.kind == "HTTPRoute" {
            for (number, one) in matches.iter().enumerate() {
                validate_match(one, &format!("{at}.matches[{number}]"), causes);
            }
        }
    }
    if matches_of_all > MATCHES_OF_ALL_RULES_LIMIT {
        let why = "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128";
        causes.push(Cause::invalid("spec.rules", &json!("array"), why));
    }
}

fn validate_parents(parents: &[Value], causes: &mut Vec<Cause>) {
    check_count(parents, PARENTS_LIMIT, "spec.parentRefs", causes);
    let mut seen: Vec<[&Value; 6]> = Vec::new();
    for (index, parent) in parents.iter().enumerate() {
        let at = format!("spec.parentRefs[{index}]");
        if !names::is_subdomain(text(parent, "/name")) {
            causes.push(Cause::invalid(format!("{at}.name"), &parent["name"], names::SUBDOMAIN_RULE));
        }
        check_port(parent.get("port"), &format!("{at}.port"), causes);
        if parent.get("sectionName").is_some_and(|s| !s.as_str().is_some_and(names::is_subdomain)) {
            causes.push(Cause::invalid(format!("{at}.sectionName"), &parent["sectionName"], names::SUBDOMAIN_RULE));
        }
        if parent.get("namespace").is_some_and(|s| !s.as_str().is_some_and(names::is_label)) {
            causes.push(Cause::invalid(format!("{at}.namespace"), &parent["namespace"], names::LABEL_RULE));
        }
        let key = ["group", "kind", "namespace", "name", "sectionName", "port"].map(|key| &parent[key]);
        if seen.contains(&key) {
            let why = "sectionName or port must be unique when parentRefs includes 2 or more references to the same parent";
            causes.push(Cause::invalid("spec.parentRefs", &json!("array"), why));
        }
        seen.push(key);
    }
}

fn validate_backend(backend: &Value, at: &str, causes: &mut Vec<Cause>) {
    if text(backend, "/name").is_empty() {
        causes.push(Cause::required(format!("{at}.name"), ""));
    }
    check_port(backend.get("port"), &format!("{at}.port"), causes);
    if text(backend, "/group").is_empty() && text(backend, "/kind") == "Service" && backend.get("port").is_none() {
        causes.push(Cause::invalid(at, &json!("object"), "Must have port for Service reference"));
    }
    if let Some(weight) = backend.get("weight").filter(|w| !w.as_i64().is_some_and(|n| (0..=WEIGHT_LIMIT).contains(&n))) {
        let edge = if weight.as_i64().is_some_and(|n| n < 0) { "greater than or equal to 0" } else { "less than or equal to 1000000" };
        causes.push(Cause::invalid(format!("{at}.weight"), weight, format!("{at}.weight in body should be {edge}")));
    }
    if let Some(namespace) = backend.get("namespace").filter(|n| !n.as_str().is_some_and(names::is_label)) {
        causes.push(Cause::invalid(format!("{at}.namespace"), namespace, names::LABEL_RULE));
    }
    for (number, filter) in items(backend, "/filters").iter().enumerate() {
        validate_filter(filter, &format!("{at}.filters[{number}]"), causes);
    }
}

/// The settings of a filter belong to its type.
fn validate_filter(filter: &Value, at: &str, causes: &mut Vec<Cause>) {
    const SETTINGS: [(&str, &str); 7] = [
        ("RequestHeaderModifier", "requestHeaderModifier"),
        ("ResponseHeaderModifier", "responseHeaderModifier"),
        ("RequestMirror", "requestMirror"),
        ("RequestRedirect", "requestRedirect"),
        ("URLRewrite", "urlRewrite"),
        ("ExtensionRef", "extensionRef"),
        ("CORS", "cors"),
    ];
    let kind = text(filter, "/type");
    for (name, setting) in SETTINGS {
        match (kind == name, filter.get(setting)) {
            (true, None) => {
                causes.push(Cause::invalid(at, &json!("object"), format!("filter.{setting} must be specified for {name} filter.type")))
            }
            (false, Some(_)) => {
                causes.push(Cause::invalid(at, &json!("object"), format!("filter.{setting} must be nil if the filter.type is not {name}")))
            }
            _ => {}
        }
    }
    for modifier in ["requestHeaderModifier", "responseHeaderModifier"] {
        for list in ["set", "add"] {
            let entries = items(filter, &format!("/{modifier}/{list}"));
            check_count(entries, HEADERS_LIMIT, &format!("{at}.{modifier}.{list}"), causes);
            check_headers(entries, &format!("{at}.{modifier}.{list}"), causes);
        }
    }
    if let Some(code) =
        filter.pointer("/requestRedirect/statusCode").filter(|c| !c.as_i64().is_some_and(|n| matches!(n, 301 | 302 | 303 | 307 | 308)))
    {
        causes.push(Cause::unsupported(format!("{at}.requestRedirect.statusCode"), code, &["301", "302", "303", "307", "308"]));
    }
    check_port(filter.pointer("/requestRedirect/port"), &format!("{at}.requestRedirect.port"), causes);
}

fn validate_match(one: &Value, at: &str, causes: &mut Vec<Cause>) {
    let (kind, value) = (text(one, "/path/type"), text(one, "/path/value"));
    let path = format!("{at}.path");
    match kind {
        "Exact" | "PathPrefix" => {
            if !value.starts_with('/') {
                causes.push(Cause::invalid(
                    &path,
                    &json!(value),
                    "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
                ));
            }
            for wrong in ["//", "/./", "/../", "%2f", "%2F", "#"] {
                if value.contains(wrong) {
                    causes.push(Cause::invalid(
                        &path,
                        &json!(value),
                        format!("must not contain '{wrong}' when type one of ['Exact', 'PathPrefix']"),
                    ));
                }
            }
            if value.ends_with("/..") || value.ends_with("/.") {
                causes.push(Cause::invalid(
                    &path,
                    &json!(value),
                    "must not end with '/..' or '/.' when type one of ['Exact', 'PathPrefix']",
                ));
            }
        }
        "RegularExpression" if regex::RegexBuilder::new(value).size_limit(1 << 20).build().is_err() => {
            causes.push(Cause::invalid(format!("{path}.value"), &json!(value), "must be a regular expression"));
        }
        // Well formed, or refused by the schema already.
        _ => {}
    }
    if value.len() > 1024 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: format!("{path}.value"),
            message: "Too long: may not be more than 1024 bytes".to_owned(),
        });
    }
    for list in ["headers", "queryParams"] {
        let entries = items(one, &format!("/{list}"));
        check_count(entries, HEADERS_LIMIT, &format!("{at}.{list}"), causes);
        check_headers(entries, &format!("{at}.{list}"), causes);
    }
}

fn check_headers(entries: &[Value], at: &str, causes: &mut Vec<Cause>) {
    let mut seen: Vec<String> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let name = text(entry, "/name");
        if !names::is_header_name(name) {
            causes.push(Cause::invalid(format!("{at}[{index}].name"), &json!(name), "must be an HTTP field name"));
        }
        if seen.contains(&name.to_ascii_lowercase()) {
            causes.push(Cause::duplicate(format!("{at}[{index}]"), &json!({"name": name})));
        }
        seen.push(name.to_ascii_lowercase());
    }
}
