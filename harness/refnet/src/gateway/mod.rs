//! The Gateway: what Gateways and routes mean ([`model`]), and the proxy that does it, in every node process.
//!
//! The data plane decides nothing about statuses, and the model opens no socket.

pub mod certs;
pub mod choice;
pub mod config;
pub mod hostname;
pub mod matching;
pub mod model;
pub mod objects;
pub mod source;

mod hello;
mod live;
mod proxy;
mod sockets;
mod stream;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::mirror::{Key, Pulse};
use crate::settings::NodeContext;
use live::Node;
use model::World;
use objects::HttpRouteSpec;
use sockets::Sockets;
use source::Source;

/// Pause before a socket that could not be bound is tried again.
const BIND_RETRY: Duration = Duration::from_millis(50);

/// Why the Gateway's data plane ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Every watch has ended.
    #[error("watch the cluster's objects: every watch has ended")]
    Watch,
}

/// Serves every Gateway of class `cilium` in this process's network namespace until `cancel`. Addresses of Gateways are made local by
/// [`crate::service`]; a socket does not wait for that.
///
/// # Errors
/// When every watch has ended though nobody cancelled.
pub async fn run(client: kube::Client, ctx: NodeContext, cancel: CancellationToken) -> Result<(), GatewayError> {
    if !ctx.settings.gateway {
        cancel.cancelled().await;
        return Ok(());
    }
    let pulse = Pulse::new();
    let mut changes = pulse.listen();
    let source = Source::follow(&client, &ctx.settings.tls_route, &pulse, &cancel);
    let node = Arc::new(Node::new(&ctx.name, ctx.seed, ctx.faults.clone(), ctx.settings.alpn));
    let mut sockets = Sockets::new(Arc::clone(&node), cancel.clone());
    let mut memory = FirstSeen::default();
    let mut unbound = false;
    loop {
        let changed = async {
            match unbound {
                // The pause is the specification: another program may hold the port for a while.
                true => tokio::time::timeout(BIND_RETRY, changes.changed()).await.unwrap_or(Ok(())),
                false => changes.changed().await,
            }
        };
        let Some(changed) = cancel.run_until_cancelled(changed).await else { return Ok(()) };
        changed.map_err(|_| GatewayError::Watch)?;
        if !source.synced() || crate::node::api_watch::is_stale() {
            continue;
        }
        let mut world = source.world(host_network(&ctx), &ctx.faults);
        memory.hold(&node, &mut world);
        let mut config = model::translate(&world).config;
        if ctx.faults.has(Fault::GatewayProgrammedNotListening) {
            config.sockets.clear();
        }
        unbound = !sockets.apply(config, &world.secrets).is_empty();
    }
}

/// Where listeners bind in host network mode: every address, or, on a node whose own address is a loopback one (a lab without
/// namespaces), that address alone.
fn host_network(ctx: &NodeContext) -> Option<Ipv4Addr> {
    let bind = if ctx.address.is_loopback() { ctx.address } else { Ipv4Addr::UNSPECIFIED };
    ctx.settings.host_network.then_some(bind)
}

/// The first revision of each route, for the fault in which one node goes on with it.
#[derive(Debug, Default)]
struct FirstSeen(BTreeMap<Key, HttpRouteSpec>);

impl FirstSeen {
    /// On the node that goes stale (the worker whose name sorts last), puts the first revision of each route in place of the newest.
    fn hold(&mut self, node: &Node, world: &mut World) {
        if !node.faults.has(Fault::RouteStaleOnOneNode) || stale_node(world).as_deref() != Some(&node.name) {
            return;
        }
        for route in &mut world.http_routes {
            let key = (route.namespace().to_owned(), route.name().to_owned());
            route.spec = self.0.entry(key).or_insert_with(|| route.spec.clone()).clone();
        }
    }
}

fn stale_node(world: &World) -> Option<String> {
    let is_worker = |labels: Option<&BTreeMap<String, String>>| {
        labels.is_none_or(|labels| !labels.contains_key("node-role.kubernetes.io/control-plane"))
    };
    let names = |workers: bool| {
        let chosen = world.nodes.iter().filter(|node| !workers || is_worker(node.metadata.labels.as_ref()));
        chosen.filter_map(|node| node.metadata.name.clone()).max()
    };
    names(true).or_else(|| names(false))
}
