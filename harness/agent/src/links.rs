//! The links and addresses of this network namespace. Read with getifaddrs and ioctl, because `/sys/class/net` may show another namespace's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use plumb_core::probe::{Link, OpError};

use crate::sys;

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

/// Answers [`plumb_core::probe::Op::Links`], in order of index.
pub(crate) fn links() -> Result<Vec<Link>, OpError> {
    let all = getifaddrs().map_err(|error| OpError { operation: "list the links".into(), message: error.to_string() })?;
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    for one in all {
        let link = links.entry(one.interface_name.clone()).or_insert_with(|| Link {
            index: nix::net::if_::if_nametoindex(one.interface_name.as_str()).unwrap_or(0),
            mac: None,
            up: one.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING),
            mtu: sys::interface_mtu(&one.interface_name).unwrap_or(0),
            addresses: Vec::new(),
            name: one.interface_name,
        });
        let Some(address) = one.address else { continue };
        if let Some(hardware) = address.as_link_addr().and_then(nix::sys::socket::LinkAddr::addr) {
            link.mac = Some(mac_text(hardware));
        } else if let Some(ip) = ip_of(&address) {
            let prefix = one.netmask.as_ref().and_then(ip_of).map_or(0, ones);
            link.addresses.push(format!("{ip}/{prefix}"));
        }
    }
    let mut links: Vec<Link> = links.into_values().collect();
    links.sort_by_key(|link| link.index);
    Ok(links)
}

/// An interface frames can be sent and read on.
#[derive(Debug, Clone)]
pub(crate) struct Interface {
    /// Its index.
    pub(crate) index: u32,
    /// Its hardware address; all zeroes where it has none.
    pub(crate) mac: [u8; 6],
    /// Its first IPv4 address.
    pub(crate) address: Option<Ipv4Addr>,
    /// Frames on it begin with the IP header (a tunnel) and not with an Ethernet header.
    pub(crate) is_bare: bool,
    /// It is a loopback interface.
    pub(crate) is_loopback: bool,
}

impl Interface {
    /// Looks an interface up.
    ///
    /// # Errors
    /// There is none of that name in this namespace.
    pub(crate) fn named(name: &str) -> Result<Self, OpError> {
        let failed = |message: String| OpError { operation: format!("look up interface {name}"), message };
        let index = nix::net::if_::if_nametoindex(name).map_err(|error| failed(error.to_string()))?;
        let hardware = sys::hardware_type(name).map_err(|error| failed(error.to_string()))?;
        let is_loopback = hardware == ARPHRD_LOOPBACK;
        let is_bare = !is_loopback && hardware != ARPHRD_ETHER;
        let mut found = Self { index, mac: [0; 6], address: None, is_bare, is_loopback };
        for one in getifaddrs().map_err(|error| failed(error.to_string()))?.filter(|one| one.interface_name == name) {
            let Some(address) = one.address else { continue };
            if let Some(link) = address.as_link_addr() {
                found.mac = link.addr().unwrap_or_default();
            } else if let (Some(IpAddr::V4(ip)), None) = (ip_of(&address), found.address) {
                found.address = Some(ip);
            }
        }
        Ok(found)
    }
}

/// `aa:bb:cc:dd:ee:ff`.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(v4.ip()));
    }
    address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))
}

fn ones(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => u32::from(mask).count_ones(),
        IpAddr::V6(mask) => u128::from(mask).count_ones(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn loopback_is_listed_with_its_addresses() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(lo.index > 0 && lo.mtu > 0, "{lo:?}");
        assert!(!lo.up || lo.addresses.contains(&"127.0.0.1/8".to_owned()), "{lo:?}");
    }

    #[test]
    fn loopback_is_known_for_what_it_is() {
        let lo = Interface::named("lo").unwrap();
        assert!(lo.is_loopback && !lo.is_bare, "{lo:?}");
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error_that_names_it() {
        let error = Interface::named("nosuch0").unwrap_err();
        assert_eq!(error.operation, "look up interface nosuch0");
    }
}
