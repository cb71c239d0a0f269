//! Networks of an adopted cluster: what each is called on its nodes and here, and whether the addresses its user keeps for Services can be
//! had there. Everything that is wrong is said at once, before a scenario begins.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures::future::{join, join_all};
use plumb_core::evidence::NetworkFacts;
use plumb_core::networks::NamedNetwork;
use plumb_core::probe::{ArpOp, Done, Link, Op};
use plumb_core::scenario::model::Lab;
use serde_json::Value;

use super::outside::ClientError;
use crate::session::Session;

/// Whoever has an address answers one of so many questions, so far apart, and so long after the last (RFC 5227 section 2.1.1 waits longer,
/// for machines that both begin).
const QUESTIONS: u32 = 3;
const INTERVAL_MS: u64 = 100;
const WINDOW_MS: u64 = 500;
/// Limit for all of them.
const ANSWER: Duration = Duration::from_secs(30);
/// How many addresses of a range are asked for: scenarios take the first.
const ASKED: u32 = 32;

/// A node of the cast.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// Its name in Kubernetes.
    pub name: &'a str,
    /// Its address there.
    pub address: &'a str,
    /// Its links.
    pub links: &'a [Link],
}

/// The addresses by which nodes are on the networks that were named.
pub(super) fn addresses(named: &[NamedNetwork], nodes: &[Seen<'_>]) -> Vec<(String, IpAddr)> {
    let on = |node: &Seen<'_>, named: &NamedNetwork| -> Vec<(String, IpAddr)> {
        let link = node.links.iter().find(|link| link.name == named.interface);
        let blocks = link.map(blocks).unwrap_or_default();
        blocks.into_iter().map(|block| (node.name.to_owned(), IpAddr::V4(block.address))).collect()
    };
    nodes.iter().flat_map(|node| named.iter().flat_map(move |named| on(node, named))).collect()
}

/// What the networks of a lab are here. A node network that was not named is the one by which every node has its address, where they agree.
///
/// # Errors
/// Everything that is not as it was named, in words.
pub(super) fn facts(
    named: &[NamedNetwork],
    lab: &Lab,
    nodes: &[Seen<'_>],
    client: Option<&[Link]>,
) -> Result<BTreeMap<String, NetworkFacts>, Vec<String>> {
    let (mut facts, mut wrong) = (BTreeMap::new(), Vec::new());
    for network in &lab.networks {
        let client = client.filter(|_| lab.client.contains(network));
        match named.iter().find(|named| named.network == *network) {
            Some(named) => {
                let found = of_named(named, nodes, client, &mut wrong);
                facts.insert(network.clone(), found);
            }
            None if lab.networks.first() == Some(network) => {
                facts.extend(of_node_network(nodes, client).map(|found| (network.clone(), found)));
            }
            // The planner knows that it is not there.
            None => {}
        }
    }
    if wrong.is_empty() { Ok(facts) } else { Err(wrong) }
}

fn of_named(named: &NamedNetwork, nodes: &[Seen<'_>], client: Option<&[Link]>, wrong: &mut Vec<String>) -> NetworkFacts {
    let NamedNetwork { network, interface, addresses } = named;
    let mut on = Vec::new();
    for node in nodes {
        match node.links.iter().find(|link| link.name == *interface) {
            // Without a subnet nothing can be asked there, and what was not asked must not count as free.
            Some(link) if link.up && blocks(link).is_empty() => {
                wrong.push(format!("{interface}, by which nodes are said to be on {network}, has no IPv4 address on node {}", node.name));
            }
            Some(link) if link.up => on.extend(blocks(link)),
            Some(_) => wrong.push(format!("{interface}, by which nodes are said to be on {network}, is down on node {}", node.name)),
            None => {
                let has: Vec<&str> = node.links.iter().map(|link| link.name.as_str()).filter(|name| is_wire(name)).take(8).collect();
                wrong.push(format!("node {} has no interface {interface} to be on {network}; it has {}", node.name, has.join(", ")));
            }
        }
    }
    let subnets = || {
        let mut subnets: Vec<String> = on.iter().map(Block::subnet).collect();
        subnets.sort();
        subnets.dedup();
        if subnets.is_empty() { "none with an IPv4 address".to_owned() } else { subnets.join(", ") }
    };
    let here = client.map(|links| link_in(links, &on).map(|link| link.name.clone()));
    if here == Some(None) && !on.is_empty() {
        wrong.push(format!("this machine has no address in the subnet of {network} ({}), and cannot ask by ARP there", subnets()));
    }
    let kept = |address: Ipv4Addr| addresses.is_some_and(|(first, last)| (first..=last).contains(&address));
    if let Some((first, last)) = addresses
        && let Some(out) = [first, last].into_iter().find(|address| !on.iter().any(|block| block.has(**address)))
        && !on.is_empty()
    {
        wrong.push(format!("{out}, kept for Services on {network}, is not in the subnet of its nodes there ({})", subnets()));
    }
    for node in nodes {
        let own = node.links.iter().flat_map(blocks).map(|block| block.address).find(|address| kept(*address));
        wrong.extend(own.map(|address| format!("{address}, kept for Services on {network}, is an address of node {}", node.name)));
    }
    NetworkFacts { interface: interface.clone(), client: here.flatten(), addresses: *addresses }
}

/// Whether an interface may be a node's way to others: no loopback, none of Cilium's own and none of a Pod's.
fn is_wire(name: &str) -> bool {
    name != "lo" && !["cilium_", "lxc"].iter().any(|own| name.starts_with(own))
}

fn of_node_network(nodes: &[Seen<'_>], client: Option<&[Link]>) -> Option<NetworkFacts> {
    let by = |node: &Seen<'_>| {
        let address: Ipv4Addr = node.address.parse().ok()?;
        let found = node.links.iter().find_map(|link| Some((link, blocks(link).into_iter().find(|block| block.address == address)?)))?;
        Some((found.0.name.clone(), found.1))
    };
    let found = nodes.iter().map(by).collect::<Option<Vec<_>>>()?;
    let (interface, _) = found.first()?;
    if found.iter().any(|(other, _)| other != interface) {
        return None;
    }
    let on: Vec<Block> = found.iter().map(|(_, block)| *block).collect();
    let client = client.and_then(|links| link_in(links, &on)).map(|link| link.name.clone());
    Some(NetworkFacts { interface: interface.clone(), client, addresses: None })
}

/// Sees by ARP that nobody has the addresses that are kept for Services, and that nodes answer for theirs there: without that, silence says
/// nothing. Gives what is not so, in words.
///
/// # Errors
/// The agent of this machine did not answer.
pub(super) async fn taken(
    networks: &BTreeMap<String, NetworkFacts>,
    nodes: &[Seen<'_>],
    client: &Session,
) -> Result<Vec<String>, ClientError> {
    let asked = networks.iter().filter_map(|(network, facts)| Some((network, facts, facts.client.as_ref()?, facts.addresses?)));
    let wrong = asked.map(async |(network, facts, here, (first, last))| {
        let last = u32::from(last).min(u32::from(first).saturating_add(ASKED - 1));
        let kept = (u32::from(first)..=last).map(Ipv4Addr::from);
        let on = |node: &Seen<'_>| node.links.iter().filter(|link| link.name == facts.interface).flat_map(blocks).collect::<Vec<_>>();
        let own: Vec<Ipv4Addr> = nodes.iter().flat_map(on).map(|block| block.address).collect();
        let of_nodes = join_all(own.iter().map(|address| who_has(client, here, *address)));
        let (of_nodes, of_others) =
            join(of_nodes, join_all(kept.map(async |address| (address, who_has(client, here, address).await)))).await;
        let mut wrong = Vec::new();
        if of_nodes.into_iter().collect::<Result<Vec<_>, _>>()?.iter().all(Option::is_none) {
            let own: Vec<String> = own.iter().map(Ipv4Addr::to_string).collect();
            wrong.push(format!(
                "no node answers ARP on {network} for its own address ({}), asked from {here} of this machine",
                own.join(", ")
            ));
        }
        for (address, answer) in of_others {
            let in_use = |mac| format!("{address}, kept for Services on {network}, is in use: {mac} answers ARP for it");
            wrong.extend(answer?.map(in_use));
        }
        Ok::<_, ClientError>(wrong)
    });
    let wrong = join_all(wrong).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(wrong.into_iter().flatten().collect())
}

/// Who answers ARP for an address, by its hardware address.
async fn who_has(client: &Session, interface: &str, target: Ipv4Addr) -> Result<Option<String>, ClientError> {
    let (interface, count) = (interface.to_owned(), QUESTIONS);
    let op = ArpOp { interface, target, source: None, count, interval_ms: INTERVAL_MS, window_ms: WINDOW_MS };
    Ok(match client.ask(Op::Arp(op), ANSWER).await?.done {
        Done::Arp(report) => report.frames.into_iter().find(|frame| frame.sender_ip == target).map(|frame| frame.sender_mac),
        _ => None,
    })
}

/// Addresses that a pool of the cluster's own gives out already: of two pools with an address in common the one
/// that was added last is marked `Conflicting` and gives out nothing more
/// (Cilium, Network > LoadBalancer IP Address Management, "Conflicts").
pub(super) fn pooled(networks: &BTreeMap<String, NetworkFacts>, pools: &[Value]) -> Vec<String> {
    let ours = networks.iter().filter_map(|(network, facts)| Some((network, facts.addresses?)));
    let both = ours.flat_map(|(network, (first, last))| {
        pools.iter().filter_map(move |pool| {
            let meets = ranges(pool).into_iter().find(|(low, high)| *low <= last && first <= *high)?;
            let name = pool.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let (low, high) = meets;
            Some(format!(
                "{first} to {last}, kept for Services on {network}, meets CiliumLoadBalancerIPPool {name} of the cluster ({low} to {high})"
            ))
        })
    });
    both.collect()
}

/// The IPv4 addresses of a pool: `blocks` of 1.15 and later, `cidrs` before; each a CIDR or from one to another.
fn ranges(pool: &Value) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let lists = ["/spec/blocks", "/spec/cidrs"].into_iter().filter_map(|list| pool.pointer(list)?.as_array()).flatten();
    let text = |block: &Value, key: &str| block.get(key).and_then(Value::as_str).map(str::to_owned);
    let range = |block: &Value| match (text(block, "cidr"), text(block, "start")) {
        (Some(cidr), _) => {
            let block = Block::parse(&cidr)?;
            let low = u32::from(block.address) & block.mask();
            Some((Ipv4Addr::from(low), Ipv4Addr::from(low | !block.mask())))
        }
        (None, Some(start)) => {
            let low = start.parse().ok()?;
            Some((low, text(block, "stop").map_or(Some(low), |stop| stop.parse().ok())?))
        }
        (None, None) => None,
    };
    lists.filter_map(range).collect()
}

/// An address with its subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    address: Ipv4Addr,
    prefix: u8,
}

impl Block {
    fn parse(cidr: &str) -> Option<Block> {
        let (address, prefix) = cidr.split_once('/')?;
        Some(Block { address: address.parse().ok()?, prefix: prefix.parse().ok().filter(|prefix| *prefix <= 32)? })
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    fn has(&self, other: Ipv4Addr) -> bool {
        u32::from(self.address) & self.mask() == u32::from(other) & self.mask()
    }

    fn subnet(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(u32::from(self.address) & self.mask()), self.prefix)
    }
}

fn blocks(link: &Link) -> Vec<Block> {
    link.addresses.iter().filter_map(|cidr| Block::parse(cidr)).collect()
}

/// The link with an address in the subnet of one of these.
fn link_in<'a>(links: &'a [Link], of: &[Block]) -> Option<&'a Link> {
    links.iter().find(|link| blocks(link).iter().any(|own| of.iter().any(|block| block.has(own.address) && block.prefix == own.prefix)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn link(name: &str, address: &str) -> Link {
        Link { name: name.into(), index: 2, mac: None, up: true, mtu: 1500, addresses: vec![address.into(), "fe80::1/64".into()] }
    }

    fn node(n: u8) -> Vec<Link> {
        vec![
            link("lo", "127.0.0.1/8"),
            link("cilium_host", "10.244.0.1/32"),
            link("ens18", &format!("10.0.0.{n}/24")),
            link("ens19", &format!("192.168.7.{n}/24")),
        ]
    }

    fn lab() -> Lab {
        let both = || vec!["eth0".to_owned(), "net0".to_owned()];
        Lab { networks: both(), client: both(), ..Lab::default() }
    }

    fn looked(named: &[&str], client: &[Link]) -> Result<BTreeMap<String, NetworkFacts>, Vec<String>> {
        let named = NamedNetwork::parse_all(named.iter().copied()).unwrap();
        let (a, b) = (node(2), node(3));
        let nodes = [Seen { name: "a", address: "10.0.0.2", links: &a }, Seen { name: "b", address: "10.0.0.3", links: &b }];
        facts(&named, &lab(), &nodes, Some(client))
    }

    fn here() -> Vec<Link> {
        vec![link("wlan0", "172.16.0.9/24"), link("lan", "10.0.0.9/24"), link("vlan7", "192.168.7.9/24")]
    }

    #[test]
    fn a_network_has_its_names_on_nodes_and_here() {
        let facts = looked(&["net0=ens19,192.168.7.240-192.168.7.250"], &here()).unwrap();
        let names = |network: &str| (facts[network].interface.as_str(), facts[network].client.as_deref());
        // The node network was not named: it is where nodes have their addresses.
        assert_eq!((names("eth0"), names("net0")), (("ens18", Some("lan")), ("ens19", Some("vlan7"))));
        assert_eq!(facts["net0"].addresses, Some((Ipv4Addr::new(192, 168, 7, 240), Ipv4Addr::new(192, 168, 7, 250))));
        let named = NamedNetwork::parse_all(["net0=ens19"]).unwrap();
        let a = node(2);
        let found = addresses(&named, &[Seen { name: "a", address: "10.0.0.2", links: &a }]);
        assert_eq!(found, [("a".to_owned(), IpAddr::from([192, 168, 7, 2]))]);
    }

    #[test]
    fn everything_that_is_not_as_named_is_said() {
        let wrong = looked(&["net0=ens20"], &here()).unwrap_err();
        assert_eq!(wrong[0], "node a has no interface ens20 to be on net0; it has ens18, ens19");
        assert_eq!(wrong.len(), 2);
        let wrong = looked(&["net0=ens19,192.168.7.3-192.168.8.1"], &here()[..2]).unwrap_err();
        assert_eq!(
            wrong,
            [
                "this machine has no address in the subnet of net0 (192.168.7.0/24), and cannot ask by ARP there",
                "192.168.8.1, kept for Services on net0, is not in the subnet of its nodes there (192.168.7.0/24)",
                "192.168.7.3, kept for Services on net0, is an address of node b",
            ]
        );
        let mut down = node(2);
        down[3].up = false;
        let named = NamedNetwork::parse_all(["net0=ens19"]).unwrap();
        let nodes = [Seen { name: "a", address: "10.0.0.2", links: &down }];
        assert!(facts(&named, &lab(), &nodes, None).unwrap_err()[0].contains("is down on node a"));
        let mut bare = node(2);
        bare[3].addresses = vec!["fe80::1/64".into()];
        let nodes = [Seen { name: "a", address: "10.0.0.2", links: &bare }];
        assert!(facts(&named, &lab(), &nodes, None).unwrap_err()[0].contains("has no IPv4 address on node a"));
    }

    #[test]
    fn a_pool_of_the_clusters_own_with_one_of_the_addresses_is_named() {
        let networks = looked(&["net0=ens19,192.168.7.240-192.168.7.250"], &here()).unwrap();
        let pool = |blocks: Value| serde_json::json!({"metadata": {"name": "theirs"}, "spec": {"blocks": blocks}});
        let meets = |blocks: Value| pooled(&networks, &[pool(blocks)]).len();
        assert_eq!(
            meets(serde_json::json!([{"cidr": "10.0.0.0/8"}, {"cidr": "fd00::/64"}, {"start": "192.168.7.230", "stop": "192.168.7.239"}])),
            0
        );
        assert_eq!(meets(serde_json::json!([{"cidr": "192.168.7.250/31"}])), 1);
        assert_eq!(meets(serde_json::json!([{"start": "192.168.7.251"}, {"start": "192.168.7.100", "stop": "192.168.7.240"}])), 1);
        assert_eq!(meets(serde_json::json!([{"cidr": "0.0.0.0/0"}])), 1);
        let old = serde_json::json!({"metadata": {"name": "old"}, "spec": {"cidrs": [{"cidr": "192.168.7.248/29"}]}});
        assert_eq!(
            pooled(&networks, &[old]),
            [
                "192.168.7.240 to 192.168.7.250, kept for Services on net0, meets CiliumLoadBalancerIPPool old of the cluster (192.168.7.248 to 192.168.7.255)"
            ]
        );
    }

    #[test]
    fn a_node_network_on_which_nodes_do_not_agree_keeps_its_name() {
        let (a, mut b) = (node(2), node(3));
        b[2].name = "bond0".into();
        let nodes = [Seen { name: "a", address: "10.0.0.2", links: &a }, Seen { name: "b", address: "10.0.0.3", links: &b }];
        assert_eq!(facts(&[], &lab(), &nodes, None), Ok(BTreeMap::new()));
        // A host route is a subnet of its own.
        assert!(Block { address: Ipv4Addr::new(10, 0, 0, 1), prefix: 32 }.has(Ipv4Addr::new(10, 0, 0, 1)));
        assert!(Block { address: Ipv4Addr::new(10, 0, 0, 1), prefix: 0 }.has(Ipv4Addr::new(1, 0, 0, 1)));
    }
}
