//! One netlink socket in one namespace, and the few requests the lab makes of it. Interface numbers are chosen by the caller, so
//! that nothing is made and then looked up.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{InfoBridge, InfoData, InfoKind, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RulePortRange};
use rtnetlink::packet_route::{AddressFamily, IpProtocol};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder, RuleAddRequest};
use tokio::task::JoinHandle;

use super::netns::Netns;
use super::plan::Mac;

/// A request the kernel refused. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No socket or no namespace.
    #[error("open netlink: {0}")]
    Open(#[from] io::Error),
    /// A request.
    #[error("{what}: {source}")]
    Request {
        /// What was asked for, in the words of `ip`.
        what: String,
        /// What came back.
        source: Box<rtnetlink::Error>,
    },
    /// There is no such interface.
    #[error("find interface {0}")]
    NoLink(String),
}

/// A netlink socket in a namespace.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

/// One end of a veth pair.
#[derive(Debug, Clone)]
pub struct VethEnd<'a> {
    /// Name.
    pub name: &'a str,
    /// Interface number; absent = the kernel's choice.
    pub index: Option<u32>,
    /// Hardware address; absent = the kernel's choice.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Namespace it is made in; absent = that of the socket.
    pub netns: Option<&'a Netns>,
    /// Number of the bridge it is a port of.
    pub bridge: Option<u32>,
    /// Whether neighbours are asked for.
    pub arp: bool,
}

impl<'a> VethEnd<'a> {
    /// An end with everything left to the kernel.
    pub fn named(name: &'a str, mtu: u32) -> VethEnd<'a> {
        VethEnd { name, index: None, mac: None, mtu, netns: None, bridge: None, arp: true }
    }

    fn message(&self, state: LinkState) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index.unwrap_or(0);
        if state == LinkState::Up {
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
        }
        if !self.arp {
            message.header.flags |= LinkFlags::Noarp;
            message.header.change_mask |= LinkFlags::Noarp;
        }
        let list = &mut message.attributes;
        list.push(LinkAttribute::IfName(self.name.to_owned()));
        list.push(LinkAttribute::Mtu(self.mtu));
        list.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        list.extend(self.netns.map(|netns| LinkAttribute::NetNsFd(netns.raw())));
        list.extend(self.bridge.map(LinkAttribute::Controller));
        message
    }
}

/// A route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Destination network.
    pub to: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// Interface number.
    pub dev: u32,
    /// Next hop, reached on the interface whatever its addresses.
    pub via: Option<Ipv4Addr>,
    /// Source address of what starts here.
    pub src: Option<Ipv4Addr>,
    /// Table; absent = main.
    pub table: Option<u32>,
}

/// Which packets a rule takes, and where they look their route up.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Lower comes first.
    pub priority: u32,
    /// Table.
    pub table: u32,
    /// What it takes.
    pub takes: Takes,
}

/// Which packets a rule takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// With this mark.
    Mark(u32),
    /// UDP to this port.
    UdpTo(u16),
    /// TCP to this port.
    TcpTo(u16),
    /// TCP from this port.
    TcpFrom(u16),
    /// To this address.
    To(Ipv4Addr),
}

impl Netlink {
    /// A socket in the namespace of this process. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// No socket.
    pub fn here() -> Result<Netlink, NetError> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Netlink { handle, connection: tokio::spawn(connection) })
    }

    /// A socket in another namespace. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// No socket, or no way in.
    pub fn inside(netns: &Netns) -> Result<Netlink, NetError> {
        let runtime = tokio::runtime::Handle::current();
        netns.run(|| {
            let _guard = runtime.enter();
            Netlink::here()
        })?
    }

    /// Makes a bridge that is up.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_bridge(&self, name: &str, index: u32, mac: Mac) -> Result<(), NetError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(InfoData::Bridge(vec![
                    InfoBridge::MulticastSnooping(false),
                    InfoBridge::StpState(rtnetlink::packet_route::link::BridgeStpState::Disabled),
                ])),
            ]),
        ];
        self.add_link(message, || format!("ip link add {name} type bridge")).await
    }

    /// Makes a veth pair. The near end is up; the kernel makes the far end first and cannot open it before it has a peer, so it is down.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_veth(&self, near: &VethEnd<'_>, far: &VethEnd<'_>) -> Result<(), NetError> {
        let mut message = near.message(LinkState::Up);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far.message(LinkState::Down)))),
        ]));
        self.add_link(message, || format!("ip link add {} type veth peer name {}", near.name, far.name)).await
    }

    /// Makes a VXLAN device that learns nothing and is up.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_vxlan(&self, name: &str, vni: u32, port: u16, local: Ipv4Addr, mac: Mac, mtu: u32) -> Result<u32, NetError> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vxlan),
                LinkInfo::Data(InfoData::Vxlan(vec![
                    InfoVxlan::Id(vni),
                    InfoVxlan::Local(local),
                    InfoVxlan::Port(port),
                    InfoVxlan::Learning(false),
                ])),
            ]),
        ];
        self.add_link(message, || format!("ip link add {name} type vxlan")).await?;
        self.index(name).await
    }

    /// The number of an interface.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn index(&self, name: &str) -> Result<u32, NetError> {
        let found = self.handle.link().get().match_name(name.to_owned()).execute().try_next().await;
        match found {
            Ok(Some(link)) => Ok(link.header.index),
            _ => Err(NetError::NoLink(name.to_owned())),
        }
    }

    /// Sets an interface up or down.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn set_up(&self, index: u32, state: LinkState) -> Result<(), NetError> {
        let message = LinkUnspec::new_with_index(index);
        let message = if state == LinkState::Up { message.up() } else { message.down() };
        self.handle.link().set(message.build()).execute().await.map_err(refused(|| format!("ip link set {index} {state:?}")))
    }

    /// Removes an interface; a veth takes its peer along.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn remove_link(&self, index: u32) -> Result<(), NetError> {
        self.handle.link().del(index).execute().await.map_err(refused(|| format!("ip link del {index}")))
    }

    /// Gives an interface an address; one that is there already is fine.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<(), NetError> {
        self.handle
            .address()
            .add(index, IpAddr::V4(address), prefix)
            .replace()
            .execute()
            .await
            .map_err(refused(|| format!("ip addr add {address}/{prefix} dev {index}")))
    }

    /// Takes an address from an interface; one that is not there is fine.
    ///
    /// # Errors
    /// The kernel refused to list or to remove.
    pub async fn remove_address(&self, index: u32, address: Ipv4Addr) -> Result<(), NetError> {
        let failed = || format!("ip addr del {address} dev {index}");
        let mut found = self.handle.address().get().set_link_index_filter(index).set_address_filter(IpAddr::V4(address)).execute();
        while let Some(message) = found.try_next().await.map_err(refused(failed))? {
            self.handle.address().del(message).execute().await.map_err(refused(failed))?;
        }
        Ok(())
    }

    /// Adds or replaces a route.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_route(&self, route: Route) -> Result<(), NetError> {
        let what =
            || format!("ip route replace {}/{} dev {} via {:?} table {:?}", route.to, route.prefix, route.dev, route.via, route.table);
        let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(route.to, route.prefix)
            .output_interface(route.dev)
            .kind(RouteType::Unicast);
        builder = match route.via {
            Some(via) => builder.gateway(via).onlink().scope(RouteScope::Universe),
            None => builder.scope(RouteScope::Link),
        };
        if let Some(src) = route.src {
            builder = builder.pref_source(src);
        }
        if let Some(table) = route.table {
            builder = builder.table_id(table);
        }
        self.handle.route().add(builder.build()).replace().execute().await.map_err(refused(what))
    }

    /// Adds or replaces a permanent neighbour.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_neighbour(&self, index: u32, address: Ipv4Addr, mac: Mac) -> Result<(), NetError> {
        self.handle
            .neighbours()
            .add(index, IpAddr::V4(address))
            .link_layer_address(&mac)
            .state(NeighbourState::Permanent)
            .replace()
            .execute()
            .await
            .map_err(refused(|| format!("ip neigh replace {address} dev {index}")))
    }

    /// Says behind which underlay address an overlay hardware address is.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_forwarding(&self, index: u32, mac: Mac, underlay: Ipv4Addr) -> Result<(), NetError> {
        self.handle
            .neighbours()
            .add_bridge(index, &mac)
            .destination(IpAddr::V4(underlay))
            .flags(NeighbourFlags::Own)
            .state(NeighbourState::Permanent)
            .replace()
            .execute()
            .await
            .map_err(refused(|| format!("bridge fdb replace dev {index} dst {underlay}")))
    }

    /// Adds a policy rule.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn add_rule(&self, rule: Rule) -> Result<(), NetError> {
        let mut request = self.handle.rule().add().v4().priority(rule.priority).table_id(rule.table).action(RuleAction::ToTable);
        request = match rule.takes {
            Takes::Mark(mark) => request.fw_mark(mark),
            Takes::To(address) => request.destination_prefix(address, 32),
            Takes::UdpTo(port) => with_port(request, IpProtocol::Udp, RuleAttribute::DestinationPortRange(one(port))),
            Takes::TcpTo(port) => with_port(request, IpProtocol::Tcp, RuleAttribute::DestinationPortRange(one(port))),
            Takes::TcpFrom(port) => with_port(request, IpProtocol::Tcp, RuleAttribute::SourcePortRange(one(port))),
        };
        request.message_mut().header.family = AddressFamily::Inet;
        request.execute().await.map_err(refused(|| format!("ip rule add {rule:?}")))
    }

    async fn add_link(&self, message: LinkMessage, what: impl Fn() -> String) -> Result<(), NetError> {
        self.handle.link().add(message).execute().await.map_err(refused(what))
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Carries frames.
    Up,
    /// Does not.
    Down,
}

fn one(port: u16) -> RulePortRange {
    RulePortRange { start: port, end: port }
}

fn with_port(mut request: RuleAddRequest<Ipv4Addr>, protocol: IpProtocol, port: RuleAttribute) -> RuleAddRequest<Ipv4Addr> {
    request.message_mut().attributes.extend([RuleAttribute::IpProtocol(protocol), port]);
    request
}

fn refused(what: impl Fn() -> String) -> impl Fn(rtnetlink::Error) -> NetError {
    move |source| NetError::Request { what: what(), source: Box::new(source) }
}
