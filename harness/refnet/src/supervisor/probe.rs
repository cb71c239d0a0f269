//! A trial run: everything a lab asks of the kernel, once, in namespaces that vanish with this process.

use std::io::Write as _;

use super::{PROBE_OK, SupervisorError};
use crate::net::names::quiet_namespace;
use crate::net::netlink::{Netlink, Rule, Takes, VethEnd};
use crate::net::netns::Netns;
use crate::packet::{ETHERTYPE_ARP, Framing, PacketSocket};

/// Tries; says [`PROBE_OK`] on standard output when nothing is missing.
pub(super) fn run() -> Result<(), SupervisorError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SupervisorError::io("start the runtime"))?;
    runtime.block_on(kernel())?;
    writeln!(std::io::stdout(), "{PROBE_OK}").map_err(SupervisorError::io("say so"))
}

async fn kernel() -> Result<(), SupervisorError> {
    quiet_namespace().map_err(SupervisorError::io("set up a network namespace"))?;
    let other = Netns::create().map_err(SupervisorError::io("make a network namespace"))?;
    let netlink = Netlink::here()?;
    netlink.add_bridge("br0", 10, [2, 1, 0, 0, 0, 1]).await?;
    let near = VethEnd { bridge: Some(10), ..VethEnd::named("p0", 1500) };
    let far = VethEnd { netns: Some(&other), ..VethEnd::named("eth0", 1500) };
    netlink.add_veth(&near, &far).await?;
    netlink.add_vxlan("vx0", 2, 8472, [10, 9, 0, 2].into(), [2, 3, 0, 0, 0, 1], 1450).await?;
    netlink.add_rule(Rule { priority: 100, table: 201, takes: Takes::UdpTo(8472) }).await?;
    PacketSocket::open("p0", ETHERTYPE_ARP, Framing::Ethernet).map_err(SupervisorError::io("open a packet socket (AF_PACKET)"))?;
    Ok(())
}
