//! What the number of nodes and their interfaces allow.

use super::flags::{Action, Subject, text};
use super::{Found, Severity};

/// Required anti-affinity: one operator a node.
pub(super) fn operator_replicas(subject: &Subject<'_>, found: &mut Found) {
    const KEY: &str = "operator.replicas";
    let nodes = subject.nodes();
    let given = subject.flags.values.get(KEY).map(|value| text(value).parse::<u32>().unwrap_or(0));
    // An upgrade keeps what was given before; a chart's own default is two.
    let wanted = given.unwrap_or(if subject.flags.action == Action::Install { 2 } else { 0 });
    if wanted <= nodes {
        return;
    }
    let whose = if given.is_some() { "" } else { " (the chart's default; the cilium CLI makes it 1 where it sees kind)" };
    found.push(subject.about("operator-replicas", if given.is_some() { Severity::Error } else { Severity::Warning }, [KEY]).says(
        format!(
            "{wanted} operators{whose} never become ready on {nodes} {}, and `cilium status --wait` never ends well: each must be on its own",
            if nodes == 1 { "node" } else { "nodes" }
        ),
        format!("operator.replicas={} at most", nodes.max(1)),
        "chart 1.16.2: values.yaml operator.affinity (required podAntiAffinity, hostNetwork); cli v0.16.19: install/helm.go",
    ));
}

/// Devices that are not there are not selected, and nobody says so.
pub(super) fn devices(subject: &Subject<'_>, found: &mut Found) {
    let networks = &subject.topology.lab.networks;
    let fits = |device: &str, network: &String| match device.strip_suffix('+') {
        Some(prefix) => network.starts_with(prefix),
        None => network == device,
    };
    for device in subject.names("devices") {
        if !networks.iter().any(|network| fits(&device, network)) {
            found.push(subject.about("device-not-there", Severity::Warning, ["devices"]).says(
                format!("{device} is no interface of this lab, and a device that is not there is left out without a word"),
                format!("name the lab's own: {}", networks.join(", ")),
                "cilium 1.16.2: pkg/datapath/linux/devices_controller.go:540",
            ));
        }
    }
}
