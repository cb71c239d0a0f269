//! What Gateways and routes mean: from the objects of the cluster to what the data plane does and what the statuses say.
//!
//! Pure: the supervisor writes the statuses, every node serves the configuration, and both read it from the same function.

mod http;
mod listeners;
mod refs;
mod routes;
mod status;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::config::{Config, Listener};
use super::objects::{CONTROLLER, ClassSpec, GatewaySpec, GrantSpec, HttpRouteSpec, Item, TlsRouteSpec};
use crate::fault::FaultSet;

pub use status::{Condition, GatewayState, RouteState, merge_conditions, merge_parents};

/// Label of everything that is made for a Gateway.
pub const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// What the translation reads.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// GatewayClasses.
    pub classes: Vec<Item<ClassSpec>>,
    /// Gateways.
    pub gateways: Vec<Item<GatewaySpec>>,
    /// HTTPRoutes.
    pub http_routes: Vec<Item<HttpRouteSpec>>,
    /// TLSRoutes.
    pub tls_routes: Vec<Item<TlsRouteSpec>>,
    /// ReferenceGrants.
    pub grants: Vec<Item<GrantSpec>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// EndpointSlices.
    pub slices: Vec<Arc<EndpointSlice>>,
    /// Secrets.
    pub secrets: Vec<Arc<Secret>>,
    /// Namespaces.
    pub namespaces: Vec<Arc<Namespace>>,
    /// Nodes.
    pub nodes: Vec<Arc<Node>>,
    /// In host network mode, the address listeners bind (`0.0.0.0` on a node).
    pub host_network: Option<Ipv4Addr>,
    /// Faults that are switched on.
    pub faults: FaultSet,
}

/// What the objects mean.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// What the data plane does.
    pub config: Config,
    /// What is to be said of each Gateway of ours.
    pub gateways: Vec<GatewayState>,
    /// What is to be said of each HTTPRoute.
    pub http_routes: Vec<RouteState>,
    /// What is to be said of each TLSRoute.
    pub tls_routes: Vec<RouteState>,
}

/// Name of the Service that is made for a Gateway; names that would be longer than a label are shortened and told apart by a hash.
pub fn service_name(gateway: &str) -> String {
    let name = format!("cilium-gateway-{gateway}");
    if name.len() <= 63 {
        return name;
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let tail: String = hash.as_ref().iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{tail}", &name[..52])
}

/// Works out what the objects mean. The same objects in any order mean the same.
pub fn translate(world: &World) -> Translation {
    let mut world_gateways: Vec<_> = world.gateways.iter().filter(|gateway| is_ours(world, gateway)).collect();
    world_gateways.sort_by_key(|gateway| gateway.age());
    let mut gateways: Vec<_> = listeners::evaluate(world, &world_gateways);
    let http_routes = routes::attach_http(world, &mut gateways);
    let tls_routes = routes::attach_tls(world, &mut gateways);
    let mut sockets: BTreeMap<SocketAddr, Vec<Listener>> = BTreeMap::new();
    let mut states = Vec::new();
    for gateway in &mut gateways {
        let addresses = addresses(world, gateway.object);
        for listener in &mut gateway.listeners {
            if !listener.programmable() {
                continue;
            }
            let built = listener.build();
            for address in bind_addresses(world, &addresses) {
                sockets.entry(SocketAddr::new(address, listener.spec.port)).or_default().push(built.clone());
            }
        }
        states.push(status::gateway(gateway, &addresses));
    }
    let sockets = sockets.into_iter().map(|(socket, listeners)| (socket, super::config::Port { listeners })).collect();
    Translation { config: Config { sockets }, gateways: states, http_routes, tls_routes }
}

/// Whether a Gateway's class is one of ours; one of another controller, or of no class at all, is left alone.
fn is_ours(world: &World, gateway: &Item<GatewaySpec>) -> bool {
    gateway.meta.deletion_timestamp.is_none()
        && world.classes.iter().any(|class| class.name() == gateway.spec.gateway_class_name && class.spec.controller_name == CONTROLLER)
}

/// The addresses a Gateway has: its nodes' in host network mode (16 at most, as the field allows), its Service's otherwise.
fn addresses(world: &World, gateway: &Item<GatewaySpec>) -> Vec<IpAddr> {
    if world.host_network.is_some() {
        return world.nodes.iter().filter_map(|node| node_address(node)).take(16).collect();
    }
    let name = service_name(gateway.name());
    let service = world.services.iter().find(|service| {
        service.metadata.namespace.as_deref() == Some(gateway.namespace()) && service.metadata.name.as_deref() == Some(&name)
    });
    service.map(|service| load_balancer_addresses(service)).unwrap_or_default()
}

/// The addresses a load balancer gave a Service.
pub fn load_balancer_addresses(service: &Service) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_ref());
    ingress.into_iter().flatten().filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect()
}

/// A node's own address.
pub fn node_address(node: &Node) -> Option<IpAddr> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    addresses.iter().find(|address| address.type_ == "InternalIP")?.address.parse().ok()
}

fn bind_addresses(world: &World, addresses: &[IpAddr]) -> Vec<IpAddr> {
    match world.host_network {
        Some(bind) => vec![IpAddr::V4(bind)],
        None => addresses.to_vec(),
    }
}
