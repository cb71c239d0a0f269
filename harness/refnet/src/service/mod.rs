//! Services: cluster addresses, external addresses and LoadBalancer addresses become proxies in this node's network namespace.
//!
//! Every node serves every Service, whoever answers ARP for its address, as with kube-proxy replacement. Addresses of Gateways are
//! made local here too; the Gateway's data plane listens on them. ICMP to a Service address is not modelled.

mod frontends;

mod proxy;

mod vip;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::frontends::endpoints;
use self::frontends::{Frontend, Protocol, Wanted};
use self::vip::Vips;
use crate::chance::Chance;
use crate::mirror::{Mirror, Pulse};
use crate::settings::NodeContext;
use crate::socket;

/// Pause before a frontend that could not listen is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Why the Service proxy ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No netlink socket.
    #[error("open a netlink socket for local addresses")]
    Netlink(#[source] std::io::Error),
}

/// Serves every Service until `cancel`, but those of Gateways.
///
/// # Errors
/// When there is no netlink socket.
pub async fn run(client: kube::Client, ctx: NodeContext, cancel: CancellationToken) -> Result<(), ServiceError> {
    let vips = Vips::open().map_err(ServiceError::Netlink)?;
    let pulse = Pulse::new();
    let mut changes = pulse.listen();
    let services = Mirror::<Service>::follow(Api::all(client.clone()), pulse.clone(), cancel.clone());
    let slices = Mirror::<EndpointSlice>::follow(Api::all(client), pulse, cancel.clone());
    let mut node = Node { vips, open: BTreeMap::new(), chance: Arc::new(Chance::new(ctx.seed, &format!("service {}", ctx.name))) };
    let mut settled = true;
    loop {
        let change = async {
            match settled {
                true => changes.changed().await,
                // An address may still be on its way to `lo`, or a port be taken for a moment.
                false => tokio::time::timeout(AGAIN, changes.changed()).await.unwrap_or(Ok(())),
            }
        };
        let Some(Ok(())) = cancel.run_until_cancelled(change).await else { break };
        let (services, slices) = (services.all(), slices.all());
        let slices: Vec<&EndpointSlice> = slices.iter().map(Arc::as_ref).collect();
        settled = node.serve(frontends::wanted(services.iter().map(Arc::as_ref), &slices)).await;
    }
    Ok(())
}

struct Node {
    vips: Vips,
    open: BTreeMap<Frontend, Open>,
    chance: Arc<Chance>,
}

/// A frontend that listens; dropping it ends listening.
struct Open {
    endpoints: watch::Sender<Vec<SocketAddr>>,
    _cancel: tokio_util::sync::DropGuard,
}

impl Node {
    /// Makes exactly this served; whether all of it is.
    async fn serve(&mut self, wanted: Wanted) -> bool {
        self.open.retain(|frontend, _| wanted.frontends.contains_key(frontend));
        self.vips.set(&wanted.addresses).await;
        let mut whole = true;
        for (frontend, endpoints) in wanted.frontends {
            if let Some(open) = self.open.get(&frontend) {
                open.endpoints.send_if_modified(|now| std::mem::replace(now, endpoints.clone()) != endpoints);
                continue;
            }
            match listen(frontend, endpoints, self.chance.clone()) {
                Ok(open) => {
                    self.open.insert(frontend, open);
                }
                Err(_) => whole = false,
            }
        }
        whole
    }
}

fn listen(frontend: Frontend, endpoints: Vec<SocketAddr>, chance: Arc<Chance>) -> std::io::Result<Open> {
    let (sender, receiver) = watch::channel(endpoints);
    let cancel = CancellationToken::new();
    match frontend.protocol {
        Protocol::Tcp => {
            let listener = socket::listen(frontend.address)?;
            tokio::spawn(proxy::tcp(listener, receiver, chance, cancel.clone()));
        }
        Protocol::Udp => {
            let socket = socket::bind_udp(frontend.address)?;
            tokio::spawn(proxy::udp(socket, receiver, chance, cancel.clone()));
        }
    }
    Ok(Open { endpoints: sender, _cancel: cancel.drop_guard() })
}
