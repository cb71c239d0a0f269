//! Addresses of Services made local: a /32 (or /128) on `lo`. The kernel does not answer ARP for them (`arp_ignore=1`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures::TryStreamExt;

/// The Service addresses this node has made local.
pub(super) struct Vips {
    netlink: rtnetlink::Handle,
    loopback: u32,
    claimed: BTreeSet<IpAddr>,
}

impl Vips {
    /// Must be called in a tokio runtime, in the node's network namespace.
    ///
    /// # Errors
    /// No netlink socket, or no `lo`.
    pub(super) fn open() -> std::io::Result<Vips> {
        let (connection, netlink, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let loopback = nix::net::if_::if_nametoindex("lo")?;
        Ok(Vips { netlink, loopback, claimed: BTreeSet::new() })
    }

    /// Makes exactly these local; what cannot be done now is tried again at the next call.
    pub(super) async fn set(&mut self, wanted: &BTreeSet<IpAddr>) {
        for address in self.claimed.difference(wanted).copied().collect::<Vec<_>>() {
            if self.release(address).await.is_ok() {
                self.claimed.remove(&address);
            }
        }
        for address in wanted.difference(&self.claimed).copied().collect::<Vec<_>>() {
            if self.claim(address).await.is_ok() {
                self.claimed.insert(address);
            }
        }
    }

    async fn claim(&self, address: IpAddr) -> Result<(), rtnetlink::Error> {
        match self.netlink.address().add(self.loopback, address, bits(address)).execute().await {
            // A node that was started again finds its addresses there.
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::EEXIST => Ok(()),
            other => other,
        }
    }

    async fn release(&self, address: IpAddr) -> Result<(), rtnetlink::Error> {
        let mut found = self.netlink.address().get().set_address_filter(address).set_link_index_filter(self.loopback).execute();
        while let Some(message) = found.try_next().await? {
            self.netlink.address().del(message).execute().await?;
        }
        Ok(())
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
