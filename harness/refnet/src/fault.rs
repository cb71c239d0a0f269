//! Faults: switches of the reference network, each of which breaks one promise, so that every assertion is seen to fail.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Which part of the lab a fault lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The encrypted overlay between nodes.
    Encryption,
    /// The lab's own capture: the controls must catch it.
    Capture,
    /// The Gateway's choice of a backend.
    Weights,
    /// The Gateway's TLS.
    Tls,
    /// Routes, addresses, headers.
    Gateway,
    /// The lab's own servers: the controls must tell them from the network.
    Backend,
    /// ARP and leases.
    L2,
}

macro_rules! faults {
    ($($variant:ident $name:literal $layer:ident $breaks:literal;)*) => {
        /// A switch that breaks one promise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Fault {
            $(#[doc = $breaks] #[serde(rename = $name)] $variant,)*
        }

        impl Fault {
            /// Every fault, in the order of the table.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)*];

            /// Name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }

            /// What it breaks, one sentence.
            pub fn breaks(self) -> &'static str {
                match self { $(Fault::$variant => $breaks,)* }
            }

            /// Where it lives.
            pub fn layer(self) -> Layer {
                match self { $(Fault::$variant => Layer::$layer,)* }
            }
        }
    };
}

faults! {
    EncryptionOff "encryption-off" Encryption "Traffic between nodes crosses the underlay in the clear though encryption is asked for.";
    EncryptionOneWay "encryption-one-way" Encryption "Only one direction between two nodes is encrypted: the node whose name sorts last sends in the clear.";
    EncryptionPodToNodeLeaks "encryption-pod-to-node-leaks" Encryption "Traffic from a Pod to a remote node's own address is in the clear, everything else is encrypted.";
    EncryptionFirstPacketsLeak "encryption-first-packets-leak" Encryption "The first packets of each flow leave in the clear, as before the peer is known.";
    EncryptionTerminatingPodLeaks "encryption-terminating-pod-leaks" Encryption "A Pod that is being deleted sends in the clear (CVE-2025-32793).";
    EncryptionRepliesLeak "encryption-replies-leak" Encryption "Requests are encrypted, replies are not (cilium issue 46864).";
    EncryptionNodesToo "encryption-nodes-too" Encryption "Traffic to every node's own address is encrypted, though node encryption is off or the node is a control plane, which opts out of it.";
    EncryptionSameNodeLeaks "encryption-same-node-leaks" Encryption "What Pods of one node say to one another also leaves on the wire, in the clear.";
    CaptureBlind "capture-blind" Capture "The capture sees nothing at all.";
    CaptureWrongInterface "capture-wrong-interface" Capture "The capture listens on another interface than it says.";
    CaptureDrops "capture-drops" Capture "The capture loses frames.";
    WeightsSwapped "weights-swapped" Weights "The heaviest and the lightest backend get each other's share.";
    Weights8515 "weights-85-15" Weights "Five points of a hundred go from the heaviest to the lightest backend.";
    WeightsSticky "weights-sticky-by-client" Weights "Every request of a client goes to the same backend.";
    WeightsZeroLeaks "weights-zero-leaks" Weights "A backend of weight 0 gets one request in 200.";
    TlsTerminatesPassthrough "tls-terminates-passthrough" Tls "A Passthrough listener terminates with a certificate of its own and speaks TLS to the backend.";
    TlsPassesThroughTerminate "tls-passes-through-terminate" Tls "A Terminate listener passes the TLS bytes on to the backend.";
    TlsManInTheMiddle "tls-man-in-the-middle" Tls "Somebody with a certificate the client trusts sits between client and backend of a Passthrough listener.";
    CertWrong "cert-wrong" Tls "The Gateway serves a certificate that is not the Secret's, for the right name and from the right authority.";
    CertExpired "cert-expired" Tls "The Gateway serves an expired certificate for the right name.";
    CertOtherHost "cert-other-host" Tls "The Gateway serves a valid certificate for another host.";
    SniDefaultCertificate "sni-default-certificate" Tls "An unknown server name gets a default certificate in place of a refusal.";
    RouteStaleOnOneNode "route-stale-on-one-node" Gateway "One node goes on with the revision of a route it saw first.";
    RouteWithoutGrant "route-without-grant" Gateway "A route reaches a Service of another namespace without a ReferenceGrant.";
    GatewayNoAddress "gateway-no-address" Gateway "LB-IPAM gives no address though a pool has one.";
    AddressWithoutPool "address-without-pool" Gateway "LB-IPAM gives an address while there is no pool.";
    GatewayProgrammedNotListening "gateway-programmed-not-listening" Gateway "The Gateway says Programmed while nothing listens.";
    ForwardedProtoMissing "forwarded-proto-missing" Gateway "X-Forwarded-Proto does not reach the backend.";
    BackendStarved "backend-starved" Backend "A backend gets no processor for four seconds while a load is on it: not the network is away, its own server is.";
    BackendWrongId "backend-wrong-id" Gateway "A request goes to another backend than the route says.";
    ArpTwoAnswerers "arp-two-answerers" L2 "A second node answers ARP for the address all the time.";
    ArpTwoAfterPause "arp-two-after-pause" L2 "After a takeover the former holder answers for one second beside the new one (seen on real Cilium after unpause).";
    ArpNotLeaseHolder "arp-not-lease-holder" L2 "A node that does not hold the lease answers, the holder does not.";
    ArpNoGratuitous "arp-no-gratuitous" L2 "A takeover is not announced.";
    ArpHeldButSilent "arp-held-but-silent" L2 "The lease is held and renewed and nobody answers (cilium issue 48626).";
    ArpUntilTouched "arp-until-touched" L2 "An address has neither lease nor answer until its Service is touched (seen on real Cilium 1.20-dev).";
    FailoverTwiceTooSlow "failover-twice-too-slow" L2 "A takeover lasts twice as long as it may: a candidate, a former holder among them, waits three lease durations longer than it should.";
    ArpWrongInterface "arp-wrong-interface" L2 "The address is answered on an interface the policy does not name, and not on the one it does.";
    ArpLinkLossReleases "arp-link-loss-releases" L2 "The holder lets its lease go when the announced interface loses its link, so that another node announces.";
    ArpLinkBackSlow "arp-link-back-slow" L2 "After its link came back the holder answers only sixteen seconds later.";
    AgentRestartDropsAddress "agent-restart-drops-address" L2 "An agent that was killed and started again renews its leases and answers for none of them.";
    AgentRestartKeepsStale "agent-restart-keeps-stale" L2 "An agent that was killed and started again answers for addresses whose lease another node has by now (seen on real Cilium 1.17, fixed by e6ff2e7e2b).";
    AgentRestartStopsTraffic "agent-restart-stops-traffic" L2 "What a node forwards depends on its agent: for three seconds after one was killed, Services and Gateway do not answer there.";
    ApiLossStopsTraffic "api-loss-stops-traffic" Gateway "What a node forwards depends on the API: while the API does not answer, Gateway and Services do not either.";
    ApiLossFreezesRoutes "api-loss-freezes-routes" Gateway "Once the API was away a node's Gateway goes on with the routes it knew before.";
}

impl std::str::FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Fault::ALL.iter().copied().find(|f| f.name() == s).ok_or_else(|| UnknownFault { name: s.to_owned() })
    }
}

/// There is no fault of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("find a fault named `{name}`; `plumb faults` lists them")]
pub struct UnknownFault {
    /// The name that was given.
    pub name: String,
}

/// The faults that are switched on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultSet(BTreeSet<Fault>);

impl FaultSet {
    /// The variable by which an agent of the lab is told of a fault that lives in it.
    pub(crate) fn for_agent(&self, layer: Layer) -> Option<(&'static str, &'static str)> {
        self.iter().find(|fault| fault.layer() == layer).map(|fault| ("PLUMB_AGENT_FAULT", fault.name()))
    }

    /// Whether this one is on.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// The ones that are on, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = Fault> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Fault> for FaultSet {
    fn from_iter<I: IntoIterator<Item = Fault>>(iter: I) -> Self {
        FaultSet(iter.into_iter().collect())
    }
}
