//! What the number of nodes and their interfaces allow.

use super::{Flags, Found, Severity, keys, text};

/// Required anti-affinity: one operator a node.
pub(super) fn operator_replicas(flags: &Flags<'_>, found: &mut Vec<Found>) {
    let wanted = match flags.values.get("operator.replicas") {
        Some(value) => text(value).parse::<u32>().unwrap_or(0),
        None => return,
    };
    if wanted > flags.nodes() {
        found.push(Found {
            severity: Severity::Error,
            keys: keys(["operator.replicas"]),
            message: format!(
                "{wanted} operators never become ready on {} nodes, and `cilium status --wait` never ends well: each must be on its own",
                flags.nodes()
            ),
            hint: Some(format!("operator.replicas={} at most", flags.nodes().max(1))),
            source: "chart 1.16.2 values.yaml operator.affinity (required podAntiAffinity, hostNetwork)",
        });
    }
}

/// Devices that are not there are not selected, and nobody says so.
pub(super) fn devices(flags: &Flags<'_>, found: &mut Vec<Found>) {
    let devices = flags.names("devices");
    let fits = |device: &str, network: &String| match device.strip_suffix('+') {
        Some(prefix) => network.starts_with(prefix),
        None => network == device,
    };
    for device in &devices {
        if !flags.lab.networks.iter().any(|network| fits(device, network)) {
            found.push(Found {
                severity: Severity::Warning,
                keys: keys(["devices"]),
                message: format!("{device} is no interface of this lab, and a device that is not there is left out without a word"),
                hint: Some(format!("the lab has {}", flags.lab.networks.join(", "))),
                source: "devices_controller.go 1.16.2",
            });
        }
    }
}
