//! Who takes part in encryption.

use super::{Flags, Found, Severity, keys};

/// Node encryption: who takes part.
pub(super) fn node_encryption(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if !flags.is("encryption.nodeEncryption", "true") {
        return;
    }
    if !flags.is("encryption.enabled", "true") || !flags.is("encryption.type", "wireguard") {
        found.push(Found {
            severity: Severity::Error,
            keys: keys(["encryption.nodeEncryption", "encryption.enabled", "encryption.type"]),
            message: "node encryption exists for WireGuard alone, and the default type is ipsec".to_owned(),
            hint: Some("encryption.enabled=true and encryption.type=wireguard".to_owned()),
            source: "Cilium 1.17 encryption-wireguard.rst; chart 1.17.1 values.yaml",
        });
    }
    let workers = flags.lab.workers;
    if workers < 2 {
        found.push(Found {
            severity: Severity::Warning,
            keys: keys(["encryption.nodeEncryption"]),
            message: format!("with {workers} worker no traffic between nodes is encrypted: the control plane opts out by its label"),
            hint: Some("two workers".to_owned()),
            source: "Cilium 1.17 encryption-wireguard.rst, opting out; agent.go 1.17.1",
        });
    }
}
