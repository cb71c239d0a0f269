//! Namespaces of Pods: a veth pair each, an address out of the node's /24, routes and permanent neighbours at both ends.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::net::names::quiet_namespace;
use crate::net::netlink::{LinkState, NetError, Netlink, Route, VethEnd};
use crate::net::netns::Netns;
use crate::node::datapath::pod_mtu;
use crate::node::{Node, NodeError};

/// Number of a Pod's `eth0`.
const ETH0: u32 = 2;
/// Number of the node's end of a Pod's link, before the Pod's own is added.
const FIRST_LINK: u32 = 1000;

/// Makes Pods' namespaces.
pub(super) struct Network {
    netlink: Netlink,
    /// The node's own namespace, for the supervisor to enter.
    own: Netns,
    node: Arc<Node>,
    hosts: Mutex<Hosts>,
}

/// Which addresses are taken. They go round, so that one is not used again at once.
struct Hosts {
    taken: BTreeSet<u8>,
    last: u8,
}

/// A Pod's network.
pub(super) struct Sandbox {
    /// Its namespace; absent = the node's.
    pub(super) netns: Option<Netns>,
    /// Its address.
    pub(super) address: Ipv4Addr,
    host: Option<u8>,
}

impl Network {
    pub(super) fn open(node: &Arc<Node>) -> Result<Network, NodeError> {
        let own = Netns::current().map_err(|source| NodeError::Io { operation: "hold the node's namespace", source })?;
        let hosts = Mutex::new(Hosts { taken: BTreeSet::new(), last: 1 });
        Ok(Network { netlink: Netlink::here()?, own, node: node.clone(), hosts })
    }

    /// The node's own network, for a Pod that asks for it.
    pub(super) fn host(&self) -> Sandbox {
        Sandbox { netns: None, address: self.node.own.address(), host: None }
    }

    /// The number of the descriptor of a Pod's namespace in this process.
    pub(super) fn descriptor(&self, sandbox: &Sandbox) -> i32 {
        sandbox.netns.as_ref().unwrap_or(&self.own).raw()
    }

    /// A namespace of its own.
    pub(super) async fn plug(&self) -> Result<Sandbox, NodeError> {
        let full = || std::io::Error::other("every address of the node's Pod CIDR is taken");
        let host = self.take().ok_or_else(|| NodeError::Io { operation: "give a Pod an address", source: full() })?;
        match self.build(host).await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                self.give_back(host);
                Err(error)
            }
        }
    }

    /// Takes a Pod's link and address away.
    pub(super) async fn unplug(&self, sandbox: Sandbox) {
        if let Some(host) = sandbox.host {
            if let Err(error) = self.netlink.remove_link(FIRST_LINK + u32::from(host)).await {
                crate::node::log(&format!("remove a Pod's link: {error}"));
            }
            self.give_back(host);
        }
    }

    async fn build(&self, host: u8) -> Result<Sandbox, NodeError> {
        let netns = Netns::create().map_err(|source| NodeError::Io { operation: "make a Pod's namespace", source })?;
        let prepared = netns.run(quiet_namespace).and_then(|done| done);
        prepared.map_err(|source| NodeError::Io { operation: "set up a Pod's namespace", source })?;
        self.link(host, &netns).await?;
        Ok(Sandbox { netns: Some(netns), address: self.node.own.pod(host), host: Some(host) })
    }

    async fn link(&self, host: u8, netns: &Netns) -> Result<(), NetError> {
        let own = &self.node.own;
        let (pod_mac, node_mac) = own.pod_macs(host);
        let mtu = pod_mtu(self.node.context.settings.wireguard);
        let name = format!("lxc{host:02x}");
        let index = FIRST_LINK + u32::from(host);
        let near = VethEnd { index: Some(index), mac: Some(node_mac), ..VethEnd::named(&name, mtu) };
        let far = VethEnd { index: Some(ETH0), mac: Some(pod_mac), netns: Some(netns), ..VethEnd::named("eth0", mtu) };
        self.netlink.add_veth(&near, &far).await?;
        let address = own.pod(host);
        self.netlink.add_route(Route { to: address, prefix: 32, dev: index, via: None, src: Some(own.router), table: None }).await?;
        self.netlink.add_neighbour(index, address, pod_mac).await?;
        let inside = Netlink::inside(netns)?;
        inside.set_up(1, LinkState::Up).await?;
        inside.set_up(ETH0, LinkState::Up).await?;
        inside.add_address(ETH0, address, 32).await?;
        inside.add_neighbour(ETH0, own.router, node_mac).await?;
        let any = Ipv4Addr::UNSPECIFIED;
        inside.add_route(Route { to: own.router, prefix: 32, dev: ETH0, via: None, src: Some(address), table: None }).await?;
        inside.add_route(Route { to: any, prefix: 0, dev: ETH0, via: Some(own.router), src: Some(address), table: None }).await
    }

    fn take(&self) -> Option<u8> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (hosts.last.saturating_add(1)..=254).chain(2..=hosts.last);
        let host = after.into_iter().find(|host| !hosts.taken.contains(host))?;
        hosts.taken.insert(host);
        hosts.last = host;
        Some(host)
    }

    fn give_back(&self, host: u8) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&host);
    }
}
