//! Bridges in the supervisor's namespace, and machines (nodes and the outside client) with an interface on each of their networks.

use plumb_core::probe::Link;

use super::SupervisorError;
use crate::net::names::{quiet_namespace, sysctl};
use crate::net::netlink::{LinkState, Netlink, VethEnd};
use crate::net::netns::Netns;
use crate::net::plan::Nic;
use crate::spec::LabSpec;

/// MTU of the underlay.
const MTU: u32 = 1500;
/// Number of the first bridge in the supervisor's namespace; ports come after all bridges.
const FIRST_BRIDGE: u32 = 10;
/// Number of the first port.
const FIRST_PORT: u32 = 100;
/// Number of a machine's first interface; 1 is `lo`.
const FIRST_NIC: u32 = 2;

/// The networks.
#[derive(Debug)]
pub(super) struct Topology {
    netlink: Netlink,
    networks: u32,
}

impl Topology {
    /// Makes a bridge for each network in this process's namespace.
    pub(super) async fn build(spec: &LabSpec) -> Result<Topology, SupervisorError> {
        quiet_namespace().map_err(SupervisorError::io("set up the lab's namespace"))?;
        // Bridges carry frames between machines; this namespace is none of them and must not route.
        sysctl("net/ipv4/ip_forward", "0").map_err(SupervisorError::io("set up the lab's namespace"))?;
        let netlink = Netlink::here()?;
        for (number, network) in (0..).zip(&spec.networks) {
            let mac = [0x02, 0x01, 0, number as u8, 0, 1];
            netlink.add_bridge(&format!("br-{}", network.interface), FIRST_BRIDGE + number, mac).await?;
        }
        Ok(Topology { netlink, networks: spec.networks.len() as u32 })
    }

    /// Makes a machine's namespace with its interfaces. `number` is unique among the lab's machines and stays with it.
    pub(super) async fn plug(&self, number: u32, nics: &[Nic]) -> Result<Netns, SupervisorError> {
        let netns = Netns::create().map_err(SupervisorError::io("make a network namespace"))?;
        let prepared = netns.run(quiet_namespace).map_err(SupervisorError::io("enter a network namespace"))?;
        prepared.map_err(SupervisorError::io("set up a network namespace"))?;
        let inside = Netlink::inside(&netns)?;
        inside.set_up(1, LinkState::Up).await?;
        for (at, nic) in (0..).zip(nics) {
            let port = format!("p{number}{}", nic.interface);
            let near = VethEnd {
                index: Some(self.port(number, nic)),
                bridge: Some(FIRST_BRIDGE + nic.network as u32),
                ..VethEnd::named(&port, MTU)
            };
            let far =
                VethEnd { index: Some(FIRST_NIC + at), mac: Some(nic.mac), netns: Some(&netns), ..VethEnd::named(&nic.interface, MTU) };
            self.netlink.add_veth(&near, &far).await?;
            inside.set_up(FIRST_NIC + at, LinkState::Up).await?;
            inside.add_address(FIRST_NIC + at, nic.address, 24).await?;
        }
        Ok(netns)
    }

    /// Cuts a machine off: its interfaces vanish at once.
    pub(super) async fn unplug(&self, number: u32, nics: &[Nic]) -> Result<(), SupervisorError> {
        for nic in nics {
            self.netlink.remove_link(self.port(number, nic)).await?;
        }
        Ok(())
    }

    fn port(&self, number: u32, nic: &Nic) -> u32 {
        FIRST_PORT + number * self.networks + nic.network as u32
    }
}

/// A machine's interfaces as evidence has them.
pub(super) fn links(nics: &[Nic]) -> Vec<Link> {
    (0..)
        .zip(nics)
        .map(|(at, nic)| Link {
            name: nic.interface.clone(),
            index: FIRST_NIC + at,
            mac: Some(nic.mac.map(|byte| format!("{byte:02x}")).join(":")),
            up: true,
            mtu: MTU,
            addresses: vec![format!("{}/24", nic.address)],
        })
        .collect()
}
