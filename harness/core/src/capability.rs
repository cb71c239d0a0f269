//! What a provider can do and what a scenario needs. Data and pure comparison.

/// A fault and where it can be switched on; the names are those of the reference network (`plumb faults`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultName {
    /// Name on the command line.
    pub name: &'static str,
}

/// Every fault there is, in the order of the reference network's table; a test of the root package keeps the two equal.
pub const FAULTS: &[FaultName] = &[
    FaultName { name: "encryption-off" },
    FaultName { name: "encryption-one-way" },
    FaultName { name: "encryption-pod-to-node-leaks" },
    FaultName { name: "encryption-first-packets-leak" },
    FaultName { name: "encryption-terminating-pod-leaks" },
    FaultName { name: "encryption-replies-leak" },
    FaultName { name: "capture-blind" },
    FaultName { name: "capture-wrong-interface" },
    FaultName { name: "capture-drops" },
    FaultName { name: "weights-swapped" },
    FaultName { name: "weights-85-15" },
    FaultName { name: "weights-sticky-by-client" },
    FaultName { name: "weights-zero-leaks" },
    FaultName { name: "tls-terminates-passthrough" },
    FaultName { name: "tls-passes-through-terminate" },
    FaultName { name: "tls-man-in-the-middle" },
    FaultName { name: "cert-wrong" },
    FaultName { name: "cert-expired" },
    FaultName { name: "cert-other-host" },
    FaultName { name: "sni-default-certificate" },
    FaultName { name: "route-stale-on-one-node" },
    FaultName { name: "route-without-grant" },
    FaultName { name: "gateway-no-address" },
    FaultName { name: "gateway-programmed-not-listening" },
    FaultName { name: "forwarded-proto-missing" },
    FaultName { name: "backend-wrong-id" },
    FaultName { name: "arp-two-answerers" },
    FaultName { name: "arp-two-after-pause" },
    FaultName { name: "arp-not-lease-holder" },
    FaultName { name: "arp-no-gratuitous" },
    FaultName { name: "arp-held-but-silent" },
    FaultName { name: "arp-until-touched" },
    FaultName { name: "failover-twice-too-slow" },
    FaultName { name: "arp-wrong-interface" },
];
