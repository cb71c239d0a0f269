//! Mirrors of everything the translation reads.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::model::World;
use super::objects::{Item, resource};
use crate::fault::FaultSet;
use crate::mirror::{Mirror, Pulse};

/// Mirrors of everything the translation reads.
#[derive(Debug, Clone)]
pub struct Source {
    classes: Mirror<DynamicObject>,
    gateways: Mirror<DynamicObject>,
    http_routes: Mirror<DynamicObject>,
    tls_routes: Mirror<DynamicObject>,
    grants: Mirror<DynamicObject>,
    services: Mirror<Service>,
    slices: Mirror<EndpointSlice>,
    secrets: Mirror<Secret>,
    namespaces: Mirror<Namespace>,
    nodes: Mirror<Node>,
}

impl Source {
    /// Starts every watch. `tls_route` is the version TLSRoutes are read in.
    pub fn follow(client: &Client, tls_route: &str, pulse: &Pulse, cancel: &CancellationToken) -> Source {
        let dynamic = |version: &str, kind: &str, plural: &str| {
            Mirror::follow(Api::all_with(client.clone(), &resource(version, kind, plural)), pulse.clone(), cancel.clone())
        };
        Source {
            classes: dynamic("v1", "GatewayClass", "gatewayclasses"),
            gateways: dynamic("v1", "Gateway", "gateways"),
            http_routes: dynamic("v1", "HTTPRoute", "httproutes"),
            tls_routes: dynamic(tls_route, "TLSRoute", "tlsroutes"),
            grants: dynamic("v1beta1", "ReferenceGrant", "referencegrants"),
            services: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
            slices: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
            secrets: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
            namespaces: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
            nodes: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
        }
    }

    /// Whether every first list has come.
    pub fn synced(&self) -> bool {
        let dynamic = [&self.classes, &self.gateways, &self.http_routes, &self.tls_routes, &self.grants];
        dynamic.iter().all(|mirror| mirror.synced())
            && self.services.synced()
            && self.slices.synced()
            && self.secrets.synced()
            && self.namespaces.synced()
            && self.nodes.synced()
    }

    /// Mirror of the Services.
    pub fn services(&self) -> &Mirror<Service> {
        &self.services
    }

    /// Mirror of the EndpointSlices.
    pub fn slices(&self) -> &Mirror<EndpointSlice> {
        &self.slices
    }

    /// Mirror of the Nodes.
    pub fn nodes(&self) -> &Mirror<Node> {
        &self.nodes
    }

    /// Mirror of the GatewayClasses.
    pub fn classes(&self) -> &Mirror<DynamicObject> {
        &self.classes
    }

    /// A snapshot.
    pub fn world(&self, host_network: Option<Ipv4Addr>, faults: &FaultSet) -> World {
        World {
            classes: read(&self.classes),
            gateways: read(&self.gateways),
            http_routes: read(&self.http_routes),
            tls_routes: read(&self.tls_routes),
            grants: read(&self.grants),
            services: self.services.all(),
            slices: self.slices.all(),
            secrets: self.secrets.all(),
            namespaces: self.namespaces.all(),
            nodes: self.nodes.all(),
            host_network,
            faults: faults.clone(),
        }
    }
}

fn read<S: DeserializeOwned>(mirror: &Mirror<DynamicObject>) -> Vec<Item<S>> {
    mirror.all().iter().filter_map(|object| Item::read(object)).collect()
}
