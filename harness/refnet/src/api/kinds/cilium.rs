//! Kinds of Cilium that the documentation uses: nodes, LoadBalancer pools, L2 announcement policies.

use serde_json::{Value, json};

use super::column::Column;
use super::{Kind, SchemaSource, Version, schema};
use crate::api::schema::Schema;

/// The kinds.
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        make(
            "CiliumNode",
            "ciliumnodes",
            &["cn", "ciliumn"],
            &["v2"],
            node(),
            vec![
                Column::name(),
                Column::path("CiliumInternalIP", r#".spec.addresses[?(@.type=="CiliumInternalIP")].ip"#),
                Column::path("InternalIP", r#".spec.addresses[?(@.type=="InternalIP")].ip"#),
                Column::age(),
            ],
        ),
        make(
            "CiliumLoadBalancerIPPool",
            "ciliumloadbalancerippools",
            &["ippools", "ippool", "lbippool", "lbippools"],
            &["v2", "v2alpha1"],
            pool(),
            vec![
                Column::name(),
                Column::path("Disabled", ".spec.disabled").boolean(),
                Column::path("Conflicting", r#".status.conditions[?(@.type=="cilium.io/PoolConflict")].status"#),
                Column::path("IPs Available", r#".status.conditions[?(@.type=="cilium.io/IPsAvailable")].message"#),
                Column::age(),
            ],
        ),
        make(
            "CiliumL2AnnouncementPolicy",
            "ciliuml2announcementpolicies",
            &["l2announcement"],
            &["v2alpha1"],
            policy(),
            vec![Column::name(), Column::age()],
        ),
    ]
}

fn make(kind: &str, plural: &str, short: &[&str], versions: &[&str], schema: SchemaSource, columns: Vec<Column>) -> Kind {
    let versions = versions.iter().map(|v| Version { name: (*v).to_owned(), schema: schema.clone(), columns: columns.clone() }).collect();
    Kind {
        group: "cilium.io".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_ascii_lowercase(),
        short: short.iter().map(|s| (*s).to_owned()).collect(),
        categories: vec!["cilium".to_owned()],
        namespaced: false,
        status: true,
        generation: true,
        custom: true,
        selectable: &[],
        versions,
    }
}

fn node() -> SchemaSource {
    schema!(Schema::from_openapi("CiliumNode", &node_document()))
}

fn pool() -> SchemaSource {
    schema!(Schema::from_openapi("CiliumLoadBalancerIPPool", &pool_document()))
}

fn policy() -> SchemaSource {
    schema!(Schema::from_openapi("CiliumL2AnnouncementPolicy", &policy_document()))
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// A label selector in the form Cilium's definitions have it.
fn selector(description: &str) -> Value {
    json!({
        "type": "object", "description": description, "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
            "matchExpressions": {"type": "array", "items": {
                "type": "object", "required": ["key", "operator"],
                "properties": {
                    "key": text(), "values": texts(),
                    "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                },
            }},
        },
    })
}

fn conditions() -> Value {
    json!({"type": "array", "items": {
        "type": "object", "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"}, "message": text(), "reason": text(), "type": text(),
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        },
    }})
}

fn pool_document() -> Value {
    json!({
        "type": "object", "required": ["spec"],
        "description": "Addresses that LoadBalancer Services are given.",
        "properties": {
            "spec": {"type": "object", "properties": {
                "allowFirstLastIPs": {"type": "string", "enum": ["Yes", "No"], "description": "Whether the first and last address of a cidr are given out."},
                "blocks": {"type": "array", "description": "Ranges of addresses.", "items": {"type": "object", "properties": {
                    "cidr": {"type": "string", "description": "A prefix."},
                    "start": {"type": "string", "description": "First address."},
                    "stop": {"type": "string", "description": "Last address; absent = only the first."},
                }}},
                "disabled": {"type": "boolean", "default": false, "description": "No new address is given from it."},
                "serviceSelector": selector("Services that may have an address of it."),
            }},
            "status": {"type": "object", "properties": {"conditions": conditions()}},
        },
    })
}

fn policy_document() -> Value {
    json!({
        "type": "object",
        "description": "Which Services are announced by ARP, from which nodes and interfaces.",
        "properties": {
            "spec": {"type": "object", "properties": {
                "externalIPs": {"type": "boolean", "description": "Announce spec.externalIPs of Services. Not unless set."},
                "loadBalancerIPs": {"type": "boolean", "description": "Announce LoadBalancer addresses of Services. Not unless set."},
                "interfaces": {"type": "array", "items": {"type": "string"}, "description": "Regular expressions of interface names; none = every interface."},
                "nodeSelector": selector("Nodes that announce; absent = every node."),
                "serviceSelector": selector("Services that are announced; absent = every Service."),
            }},
            "status": {"type": "object", "properties": {"conditions": conditions()}},
        },
    })
}

fn node_document() -> Value {
    json!({
        "type": "object", "required": ["spec"],
        "description": "A node as its Cilium agent sees it.",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                "addresses": {"type": "array", "items": {"type": "object", "properties": {"ip": text(), "type": text()}}},
                "alibaba-cloud": {"type": "object"}, "azure": {"type": "object"}, "eni": {"type": "object"},
                "bootid": text(), "instance-id": text(), "nodeidentity": {"type": "integer"},
                "encryption": {"type": "object", "properties": {"key": {"type": "integer"}}},
                "health": {"type": "object", "properties": {"ipv4": text(), "ipv6": text()}},
                "ingress": {"type": "object", "properties": {"ipv4": text(), "ipv6": text()}},
                "ipam": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"podCIDRs": texts()}},
            }},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    })
}
