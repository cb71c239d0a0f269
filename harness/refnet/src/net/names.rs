//! Names of interfaces and files of /proc/sys the lab uses.

use std::io;

/// The overlay device, as Cilium names it.
pub const VXLAN: &str = "cilium_vxlan";
/// Holds the node's address of the Pod network.
pub const HOST: &str = "cilium_host";
/// The far end of [`HOST`].
pub const HOST_PEER: &str = "cilium_net";
/// What is to be encrypted is routed here.
pub const WIREGUARD: &str = "cilium_wg0";
/// The far end of [`WIREGUARD`], read and written by the user-space WireGuard.
pub const WIREGUARD_PEER: &str = "wg0x";
/// UDP port of the overlay.
pub const VXLAN_PORT: u16 = 8472;
/// UDP port of WireGuard.
pub const WIREGUARD_PORT: u16 = 51871;
/// Mark of packets that are to leave in the clear: WireGuard's own.
pub const ENCRYPTED_MARK: u32 = 0x1e00;

/// Writes a setting of the calling thread's network namespace, for example `net/ipv4/ip_forward`.
///
/// # Errors
/// There is no such setting, or /proc/sys is read-only.
pub fn sysctl(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/{name}"), value)
        .map_err(|error| io::Error::new(error.kind(), format!("write /proc/sys/{name}: {error}")))
}

/// What every namespace of the lab wants: no source checks (replies may come another way), forwarding, no IPv6 addresses by itself.
///
/// # Errors
/// /proc/sys is read-only.
pub fn quiet_namespace() -> io::Result<()> {
    for (name, value) in [
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/ping_group_range", "0 0"),
        ("net/ipv4/ip_unprivileged_port_start", "0"),
    ] {
        sysctl(name, value)?;
    }
    for (name, value) in [
        ("net/ipv6/conf/default/addr_gen_mode", "1"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv6/conf/default/router_solicitations", "0"),
    ] {
        // A kernel without IPv6 is quiet already.
        let _ = sysctl(name, value);
    }
    Ok(())
}
