//! Kinds of Kubernetes itself.

use super::cells;
use super::{Kind, SchemaSource, Version, schema};
use crate::api::schema::Schema;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// A kind in short.
struct Short {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    scope: Scope,
    has: &'static [Has],
    schema: SchemaSource,
}

#[derive(PartialEq)]
enum Scope {
    Cluster,
    Namespace,
}

#[derive(PartialEq)]
enum Has {
    Status,
    Generation,
    /// Listed by `kubectl get all`.
    All,
}

impl Short {
    fn kind(self) -> Kind {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let selectable: &[&str] = match self.kind {
            "Pod" => {
                &["spec.nodeName", "status.phase", "status.podIP", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName"]
            }
            "Event" => &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
            "Secret" => &["type"],
            "Namespace" => &["status.phase"],
            "Node" => &["spec.unschedulable"],
            "Service" => &["spec.clusterIP", "spec.type"],
            "ReplicaSet" => &["status.replicas"],
            _ => &[],
        };
        Kind {
            group: self.group.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_ascii_lowercase(),
            short: owned(self.short),
            categories: if self.has.contains(&Has::All) { vec!["all".to_owned()] } else { Vec::new() },
            namespaced: self.scope == Scope::Namespace,
            status: self.has.contains(&Has::Status),
            generation: self.has.contains(&Has::Generation),
            custom: false,
            selectable,
            versions: vec![Version { name: "v1".to_owned(), schema: self.schema, columns: cells::columns(self.kind) }],
        }
    }
}

/// The kinds.
pub(super) fn kinds() -> Vec<Kind> {
    core().into_iter().chain(workloads()).map(Short::kind).collect()
}

fn core() -> Vec<Short> {
    use Has::{All, Generation, Status};
    let core = |kind, plural, short, scope, has, schema| Short { group: "", kind, plural, short, scope, has, schema };
    vec![
        core("Namespace", "namespaces", &["ns"], Scope::Cluster, &[Status], schema!(Schema::of::<Namespace>())),
        core("Node", "nodes", &["no"], Scope::Cluster, &[Status], schema!(Schema::of::<Node>())),
        core("Pod", "pods", &["po"], Scope::Namespace, &[Status, Generation, All], schema!(Schema::of::<Pod>())),
        core("Service", "services", &["svc"], Scope::Namespace, &[Status, All], schema!(Schema::of::<Service>())),
        core("Endpoints", "endpoints", &["ep"], Scope::Namespace, &[], schema!(Schema::of::<Endpoints>())),
        core("Secret", "secrets", &[], Scope::Namespace, &[], schema!(Schema::of::<Secret>())),
        core("ConfigMap", "configmaps", &["cm"], Scope::Namespace, &[], schema!(Schema::of::<ConfigMap>())),
        core("Event", "events", &["ev"], Scope::Namespace, &[], schema!(Schema::of::<Event>())),
        core("ServiceAccount", "serviceaccounts", &["sa"], Scope::Namespace, &[], schema!(Schema::of::<ServiceAccount>())),
    ]
}

fn workloads() -> Vec<Short> {
    const WORKLOAD: &[Has] = &[Has::Status, Has::Generation, Has::All];
    let of = |group, kind, plural, short, scope, has, schema| Short { group, kind, plural, short, scope, has, schema };
    let apps = |kind, plural, short, schema| of("apps", kind, plural, short, Scope::Namespace, WORKLOAD, schema);
    let (slice, lease) = (schema!(Schema::of::<EndpointSlice>()), schema!(Schema::of::<Lease>()));
    let definition = schema!(Schema::of::<CustomResourceDefinition>());
    vec![
        apps("Deployment", "deployments", &["deploy"], schema!(Schema::of::<Deployment>())),
        apps("DaemonSet", "daemonsets", &["ds"], schema!(Schema::of::<DaemonSet>())),
        apps("ReplicaSet", "replicasets", &["rs"], schema!(Schema::of::<ReplicaSet>())),
        of("discovery.k8s.io", "EndpointSlice", "endpointslices", &[], Scope::Namespace, &[Has::Generation], slice),
        of("coordination.k8s.io", "Lease", "leases", &[], Scope::Namespace, &[], lease),
        of(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            &["crd", "crds"],
            Scope::Cluster,
            &[Has::Status, Has::Generation],
            definition,
        ),
    ]
}
