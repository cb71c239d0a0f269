//! The `cilium` command: what its versions drop, refuse or are not made for, and what it finds out by itself.

use super::flags::{Action, Before, Subject, text};
use super::{Found, Severity};
use crate::profile::known::known;

/// `cilium upgrade --set` keeps or forgets every earlier value, by the version of the CLI.
pub(super) fn upgrade_forgets(subject: &Subject<'_>, found: &mut Found) {
    let cli = &known().cli;
    let given = subject.topology.cli;
    if subject.flags.action != Action::Upgrade || subject.flags.before != Before::Unsaid || subject.flags.values.is_empty() {
        return;
    }
    if given.is_some_and(|given| given >= cli.keeps_values_since) {
        return;
    }
    let (severity, which) = match given {
        Some(given) => (Severity::Error, format!("cilium CLI {given} resets")),
        None => (Severity::Warning, format!("a cilium CLI before {} resets", cli.keeps_values_since)),
    };
    found.push(subject.about("cli-upgrade-forgets-values", severity, []).says(
        format!(
            "{which} every value that is not given again to the chart's default: what the installation said of devices, leases, encryption, \
             ipam.mode and cluster.name is lost, and changing ipam.mode breaks the network of Pods that run"
        ),
        format!("pin a CLI from {} on, which keeps them, or say --reset-then-reuse-values, or give every value again", cli.keeps_values_since),
        &cli.keeps_values_source,
    ));
}

/// A CLI that is not made for this Cilium.
pub(super) fn made_for(subject: &Subject<'_>, found: &mut Found) {
    let (Some(cli), Some(cilium)) = (subject.topology.cli, subject.flags.cilium) else { return };
    if let Some(made) = known().cli.made.iter().find(|made| made.cli.holds(cli) && !made.cilium.holds(cilium)) {
        found.push(subject.about("cli-not-made-for-version", Severity::Warning, []).says(
            format!("cilium CLI {cli} is not made for Cilium {cilium}, by its own words"),
            "an older CLI: v0.18.3 is made for 1.15 and newer, and carries the charts of 1.16.2 and 1.17.1",
            &made.source,
        ));
    }
}

/// `cilium encryption status` refuses older Cilium.
pub(super) fn encryption_status(subject: &Subject<'_>, found: &mut Found) {
    let status = &known().cli.encryption_status;
    let (Some(cli), Some(cilium)) = (subject.topology.cli, subject.flags.cilium) else { return };
    if subject.is("encryption.enabled", "true") && cli >= status.since && status.refuses.holds(cilium) {
        found.push(subject.about("cli-refuses-encryption-status", Severity::Note, ["encryption.enabled"]).says(
            format!("`cilium encryption status` of CLI {cli} refuses Cilium {cilium}: \"Cilium version is too old\""),
            "kubectl -n kube-system exec ds/cilium -- cilium-dbg encrypt status",
            &status.source,
        ));
    }
}

/// A name that only one cluster has.
pub(super) fn api_server_name(subject: &Subject<'_>, found: &mut Found) {
    const KEY: &str = "k8sServiceHost";
    let Some(name) = subject.flags.values.get(KEY).map(text).filter(|name| name.ends_with("-control-plane")) else { return };
    let cluster = name.trim_end_matches("-control-plane");
    found.push(subject.about("api-server-name", Severity::Note, [KEY]).says(
        format!("{name} exists only where the kind cluster is called `{cluster}`; elsewhere no agent reaches the API server"),
        "leave k8sServiceHost and k8sServicePort out: the cilium CLI finds both on a kind cluster without kube-proxy",
        "cli v0.16.19: install/autodetect.go:106",
    ));
}
