//! What the kernel has on a link that it does not keep, or does not bring back, when the link is set down and up: addresses (IPv6), routes
//! of every table, permanent neighbours. Each is kept as the kernel's own message, so that it comes back as it was whatever its kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use plumb_core::probe::{KernelObject, KernelObjectKind};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkDeserializable as _, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable as _,
};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteVia};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Error, Handle};

/// The table in which the kernel keeps the addresses of the machine itself.
const LOCAL: u32 = 255;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    kind: KernelObjectKind,
    message: RouteNetlinkMessage,
}

/// Everything there is on a link, in the order in which it can be brought back.
pub(super) async fn of_link(handle: &Handle, index: u32, name: &str) -> Result<Vec<(Object, String)>, Error> {
    let mut found = Vec::new();
    let addresses: Vec<AddressMessage> = handle.address().get().set_link_index_filter(index).execute().try_collect().await?;
    for address in addresses.into_iter().filter_map(address) {
        let words = format!("{} dev {name}", address_words(&address));
        found.push((Object { kind: KernelObjectKind::Address, message: RouteNetlinkMessage::NewAddress(address) }, words));
    }
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        let all: Vec<RouteMessage> = handle.route().get(query).execute().try_collect().await?;
        routes.extend(all.into_iter().filter_map(|message| route(message, index)));
    }
    // A next hop must be reachable before a route leads by way of it.
    routes.sort_by_key(has_next_hop);
    for route in routes {
        let words = format!("{} dev {name}", route_words(&route));
        found.push((Object { kind: KernelObjectKind::Route, message: RouteNetlinkMessage::NewRoute(route) }, words));
    }
    let neighbours: Vec<NeighbourMessage> = handle.neighbours().get().execute().try_collect().await?;
    for neighbour in neighbours.into_iter().filter_map(|message| neighbour(message, index)) {
        let words = format!("{} dev {name}", neighbour_words(&neighbour));
        found.push((Object { kind: KernelObjectKind::Neighbour, message: RouteNetlinkMessage::NewNeighbour(neighbour) }, words));
    }
    Ok(found)
}

impl Object {
    /// For the answer.
    pub(super) fn kept(&self, words: &str) -> KernelObject {
        let mut bytes = vec![0; self.message.buffer_len()];
        self.message.serialize(&mut bytes);
        KernelObject { kind: self.kind, words: words.to_owned(), message: STANDARD.encode(bytes) }
    }

    /// From an answer.
    pub(super) fn read(kept: &KernelObject) -> Result<Object, String> {
        let bytes = STANDARD.decode(&kept.message).map_err(|error| error.to_string())?;
        // The numbers of RTM_NEWADDR, RTM_NEWROUTE and RTM_NEWNEIGH (linux/rtnetlink.h).
        let message_type = match kept.kind {
            KernelObjectKind::Address => 20,
            KernelObjectKind::Route => 24,
            KernelObjectKind::Neighbour => 28,
        };
        let mut header = NetlinkHeader::default();
        header.message_type = message_type;
        let message = RouteNetlinkMessage::deserialize(&header, &bytes).map_err(|error| error.to_string())?;
        Ok(Object { kind: kept.kind, message })
    }

    /// Makes it in the kernel; one that is there is replaced by itself.
    pub(super) async fn make(self, handle: &Handle) -> Result<(), Error> {
        let mut request = NetlinkMessage::from(self.message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let mut handle = handle.clone();
        let mut answers = handle.request(request)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}

/// Without what says how old it is. Link-local addresses are the kernel's to make.
fn address(mut message: AddressMessage) -> Option<AddressMessage> {
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::CacheInfo(_)));
    (message.header.scope != AddressScope::Link).then_some(message)
}

/// A route over the link, without what changes by itself. IPv6 routes of the kernel and of router advertisements come back when duplicate
/// address detection and the router say so, and are not ours to make.
fn route(mut message: RouteMessage, index: u32) -> Option<RouteMessage> {
    let over = message.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Oif(oif) if *oif == index));
    let by_itself = message.header.address_family == AddressFamily::Inet6
        && (table(&message) == LOCAL || matches!(message.header.protocol, RouteProtocol::Kernel | RouteProtocol::Ra));
    message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_)));
    message.header.flags &= RouteFlags::Onlink;
    (over && !by_itself).then_some(message)
}

/// A neighbour of the link that somebody wrote down.
fn neighbour(mut message: NeighbourMessage, index: u32) -> Option<NeighbourMessage> {
    let ours = message.header.ifindex == index && message.header.state == NeighbourState::Permanent;
    let known =
        |attribute: &NeighbourAttribute| matches!(attribute, NeighbourAttribute::Destination(_) | NeighbourAttribute::LinkLayerAddress(_));
    message.attributes.retain(known);
    (ours && message.attributes.len() == 2).then_some(message)
}

fn has_next_hop(message: &RouteMessage) -> bool {
    message.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_)))
}

fn table(message: &RouteMessage) -> u32 {
    let given =
        message.attributes.iter().find_map(|attribute| if let RouteAttribute::Table(table) = attribute { Some(*table) } else { None });
    given.unwrap_or(u32::from(message.header.table))
}

fn address_words(message: &AddressMessage) -> String {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) | AddressAttribute::Address(address) => Some(address.to_string()),
        _ => None,
    });
    format!("address {}/{}", address.unwrap_or_default(), message.header.prefix_len)
}

fn route_words(message: &RouteMessage) -> String {
    let text = |address: &RouteAddress| match address {
        RouteAddress::Inet(address) => address.to_string(),
        RouteAddress::Inet6(address) => address.to_string(),
        other => format!("{other:?}"),
    };
    let mut to = "default".to_owned();
    let mut via = String::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = format!("{}/{}", text(address), message.header.destination_prefix_length),
            RouteAttribute::Gateway(address) => via = format!(" via {}", text(address)),
            RouteAttribute::Via(RouteVia::Inet6(address)) => via = format!(" via {address}"),
            _ => {}
        }
    }
    let table = match table(message) {
        main if main == u32::from(RouteHeader::RT_TABLE_MAIN) => String::new(),
        other => format!(" table {other}"),
    };
    format!("route {to}{via}{table}")
}

fn neighbour_words(message: &NeighbourMessage) -> String {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(address.to_string()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(address.to_string()),
        _ => None,
    });
    format!("neighbour {}", address.unwrap_or_default())
}
