//! What is served: groups, versions and resources, plain and aggregated.

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::request::Form;
use super::respond;
use super::service::Body;
use super::status::ApiError;

/// Says which Kubernetes the built-in types are of, and whose server this is.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.0-plumbline.refnet", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
    })
}

/// `/api...` and `/apis...` down to a version.
pub(crate) fn answer(kinds: &[Arc<Kind>], form: Form, segments: &[&str]) -> Result<Response<Body>, ApiError> {
    match (form, segments) {
        (Form::Discovery(version), ["api" | "apis"]) => {
            let media_type = match version {
                "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            };
            let wanted = groups(kinds).into_iter().filter(|group| group.is_empty() == (segments[0] == "api"));
            let items = wanted.map(|group| aggregated(kinds, &group)).collect::<Vec<_>>();
            let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items});
            Ok(respond::bytes(200, media_type, list.to_string()))
        }
        (_, ["api"]) => Ok(respond::value(
            200,
            form,
            &json!({
                "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
            }),
        )),
        (_, ["apis"]) => {
            let all = groups(kinds).into_iter().filter(|g| !g.is_empty()).map(|group| group_of(kinds, &group)).collect::<Vec<_>>();
            Ok(respond::value(200, form, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all})))
        }
        (_, ["apis", group]) if groups(kinds).iter().any(|g| g == group) => {
            let mut value = group_of(kinds, group);
            value["kind"] = json!("APIGroup");
            value["apiVersion"] = json!("v1");
            Ok(respond::value(200, form, &value))
        }
        (_, ["api", version]) => resources(kinds, form, "", version),
        (_, ["apis", group, version]) => resources(kinds, form, group, version),
        _ => Err(ApiError::no_path()),
    }
}

/// Groups in order of their first kind; core is "".
fn groups(kinds: &[Arc<Kind>]) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for kind in kinds {
        if !groups.contains(&kind.group) {
            groups.push(kind.group.clone());
        }
    }
    groups
}

/// Versions of a group, stable ones first, newer before older.
pub(crate) fn versions(kinds: &[Arc<Kind>], group: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group) {
        for version in &kind.versions {
            if !versions.contains(&version.name) {
                versions.push(version.name.clone());
            }
        }
    }
    versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    versions
}

/// v2 > v1 > v1beta1 > v1alpha2: stability, then the numbers.
fn priority(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or_default();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().unwrap_or(0);
    let tail = &rest[digits..];
    let (level, minor) = if let Some(n) = tail.strip_prefix("beta") {
        (1, n)
    } else if let Some(n) = tail.strip_prefix("alpha") {
        (0, n)
    } else {
        (2, "")
    };
    (level, major, minor.parse().unwrap_or(0))
}

fn group_of(kinds: &[Arc<Kind>], group: &str) -> Value {
    let versions = versions(kinds, group);
    let entry = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({
        "name": group,
        "versions": versions.iter().map(entry).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(entry),
    })
}

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Subresources with the kind they speak.
fn subresources(kind: &Kind) -> Vec<(&'static str, Value, Vec<&'static str>)> {
    let mut all = Vec::new();
    let own = json!({"group": kind.group, "kind": kind.kind});
    if kind.status {
        all.push(("status", own, vec!["get", "patch", "update"]));
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => all.push(("binding", json!({"group": "", "version": "v1", "kind": "Binding"}), vec!["create"])),
        ("apps", "Deployment" | "ReplicaSet") => {
            all.push(("scale", json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}), vec!["get", "patch", "update"]));
        }
        _ => {}
    }
    all
}

fn resources(kinds: &[Arc<Kind>], form: Form, group: &str, version: &str) -> Result<Response<Body>, ApiError> {
    let mut list = Vec::new();
    let mut group_version = version.to_owned();
    for kind in kinds.iter().filter(|kind| kind.group == group && kind.version(version).is_some()) {
        group_version = kind.api_version(version);
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": VERBS,
        });
        if !kind.short.is_empty() {
            resource["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        list.push(resource);
        for (name, of, verbs) in subresources(kind) {
            let mut entry = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced, "kind": of["kind"], "verbs": verbs,
            });
            if of.get("version").is_some() {
                entry["group"] = of["group"].clone();
                entry["version"] = of["version"].clone();
            }
            list.push(entry);
        }
    }
    if list.is_empty() {
        return Err(ApiError::no_path());
    }
    let value = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list});
    Ok(respond::value(200, form, &value))
}

fn aggregated(kinds: &[Arc<Kind>], group: &str) -> Value {
    let versions = versions(kinds, group).into_iter().map(|version| {
        let mut list = Vec::new();
        for kind in kinds.iter().filter(|kind| kind.group == group && kind.version(&version).is_some()) {
            let subresources = subresources(kind).into_iter().map(|(name, of, verbs)| {
                let version = of.get("version").cloned().unwrap_or(json!(version));
                json!({"subresource": name, "responseKind": {"group": of["group"], "version": version, "kind": of["kind"]}, "verbs": verbs})
            });
            let subresources = subresources.collect::<Vec<_>>();
            let mut resource = json!({
                "resource": kind.plural, "singularResource": kind.singular, "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
                "responseKind": {"group": kind.group, "version": version, "kind": kind.kind}, "verbs": VERBS,
                "shortNames": kind.short, "categories": kind.categories,
            });
            if !subresources.is_empty() {
                resource["subresources"] = json!(subresources);
            }
            list.push(resource);
        }
        json!({"version": version, "freshness": "Current", "resources": list})
    });
    json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions.collect::<Vec<_>>()})
}
