//! Who takes part in encryption, and what it needs.

use super::flags::{Action, Subject};
use super::{Found, Severity};

/// Node encryption: who takes part.
pub(super) fn node_encryption(subject: &Subject<'_>, found: &mut Found) {
    const KEY: &str = "encryption.nodeEncryption";
    if !subject.is(KEY, "true") {
        return;
    }
    if !subject.may_be("encryption.type", "wireguard") {
        found.push(subject.about("node-encryption-type", Severity::Error, [KEY, "encryption.type"]).says(
            "node encryption exists for WireGuard alone, and the default type is ipsec",
            "encryption.enabled=true and encryption.type=wireguard",
            "Cilium 1.17 encryption-wireguard.rst; chart 1.17.1: values.yaml",
        ));
    }
    let workers = subject.topology.lab.workers;
    if workers < 2 {
        found.push(subject.about("node-encryption-one-worker", Severity::Warning, [KEY]).says(
            format!("with {workers} worker no traffic between nodes is encrypted: the control plane opts out by its label"),
            "two workers",
            "Cilium 1.17 encryption-wireguard.rst, opting out; cilium 1.17.1: pkg/wireguard/agent/agent.go:149",
        ));
    }
}

/// The Secret with the keys must be there first.
pub(super) fn ipsec(subject: &Subject<'_>, found: &mut Found) {
    // An upgrade finds the Secret of the installation.
    if subject.flags.action == Action::Upgrade || !subject.is("encryption.enabled", "true") {
        return;
    }
    let (said, default) = (subject.is("encryption.type", "ipsec"), !subject.flags.values.contains_key("encryption.type"));
    if !said && !default {
        return;
    }
    let severity = if said { Severity::Note } else { Severity::Warning };
    let why = if said { "" } else { "the type is not given, and the default is ipsec: " };
    let secret = subject.names("encryption.ipsec.secretName").first().cloned().unwrap_or_else(|| "cilium-ipsec-keys".to_owned());
    found.push(subject.about("ipsec-secret", severity, ["encryption.type"]).says(
        format!("{why}the agents mount Secret {secret} of Cilium's namespace and do not start before it is there"),
        format!("make Secret {secret} with the key `keys` before the installation"),
        "chart 1.17.1: templates/cilium-agent/daemonset.yaml:957; Cilium 1.17 encryption-ipsec.rst",
    ));
}
