//! TCP, UDP and ICMP echo, once or as continuous traffic.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Failure, FailureClass};

/// TCP or UDP echo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L4Op {
    /// Where it goes.
    pub target: SocketAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Payload, sent as it is and expected back.
    pub payload: String,
    /// How many, one after another; TCP: a new connection each.
    #[serde(default = "one")]
    pub count: u32,
    /// Pause between two, in milliseconds.
    #[serde(default)]
    pub interval_ms: u64,
    /// Limit of one, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

/// What an [`Op::Tcp`](super::Op::Tcp) or [`Op::Udp`](super::Op::Udp) saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4Report {
    /// One an attempt.
    pub attempts: Vec<L4Attempt>,
}

/// One connection or datagram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4Attempt {
    /// When it began.
    pub at_ns: u64,
    /// Own address.
    pub local: Option<SocketAddr>,
    /// Round trip in microseconds when the payload came back whole.
    pub rtt_us: Option<u64>,
    /// Otherwise, why not.
    pub failure: Option<Failure>,
}

/// ICMP echo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PingOp {
    /// Where it goes.
    pub target: IpAddr,
    /// Source address, if it matters.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Bytes of ICMP payload (the IP packet is 28 bytes longer for IPv4, 48 for IPv6).
    #[serde(default = "ping_size")]
    pub size: u16,
    /// Forbid fragmentation.
    #[serde(default)]
    pub dont_fragment: bool,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Pause between two, in milliseconds.
    #[serde(default)]
    pub interval_ms: u64,
    /// Limit of one, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

/// What an [`Op::Ping`](super::Op::Ping) saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingReport {
    /// One an echo request.
    pub attempts: Vec<PingAttempt>,
}

/// One echo request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PingAttempt {
    /// When it was sent.
    pub at_ns: u64,
    /// What came of it.
    pub outcome: PingOutcome,
}

/// What came of one echo request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PingOutcome {
    /// An echo reply.
    #[serde(rename_all = "camelCase")]
    Reply {
        /// Round trip, microseconds. Runs recorded before this was written like every other field have `rtt_us`.
        #[serde(alias = "rtt_us")]
        rtt_us: u64,
    },
    /// Fragmentation needed (RFC 792, RFC 1191) or packet too big (RFC 4443), from the path or the own kernel.
    FragmentationNeeded {
        /// Next-hop MTU, if told.
        mtu: Option<u32>,
    },
    /// Time exceeded.
    TtlExceeded,
    /// Any other ICMP error or a local one.
    Unreachable {
        /// In words.
        detail: String,
    },
    /// Nothing within the limit.
    Timeout,
}

/// Continuous traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadOp {
    /// Where it goes.
    pub target: SocketAddr,
    /// What is sent; a fresh connection each time for TCP and HTTP.
    pub kind: LoadKind,
    /// Time between two beginnings, in milliseconds; a slow answer does not delay the next.
    #[serde(default = "twenty_ms")]
    pub interval_ms: u64,
    /// Limit of one, in milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
}

/// What a load sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadKind {
    /// `GET path` with this host.
    Http {
        /// Host header.
        host: String,
        /// Path.
        path: String,
    },
    /// TCP echo.
    Tcp,
    /// UDP echo.
    Udp,
}

/// What a load saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// One a probe, in the order they were sent.
    pub samples: Vec<LoadSample>,
    /// The interval that was asked for, milliseconds.
    pub interval_ms: u64,
    /// When it was told to stop; absent in runs recorded before this was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ns: Option<u64>,
}

/// One probe of a load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadSample {
    /// When it was sent.
    pub at_ns: u64,
    /// Round trip in microseconds; absent = lost.
    pub rtt_us: Option<u64>,
    /// Why it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureClass>,
    /// HTTP status, where there was one; a status of 500 or more counts as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// When the backend that answered had not been running, in its own words ([`STALLED_HEADER`]). Kept only of the first answer after a
    /// loss, and only of HTTP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stalled: Vec<Stalled>,
}

/// A time in which a server's process did not run, though it was due: no processor for it, a frozen container, a stopped process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stalled {
    /// How long, in milliseconds.
    pub ms: u64,
    /// How long before the answer it ended, in milliseconds.
    pub ago_ms: u64,
}

/// The header of a load's HTTP requests with the number of the probe.
pub const SEQUENCE_HEADER: &str = "x-plumb-sequence";

/// The header of an HTTP server's answers with its latest stalls, oldest first: `MS@AGO,MS@AGO`; left out when there were none.
pub const STALLED_HEADER: &str = "x-plumb-stalled";

impl Stalled {
    /// As [`STALLED_HEADER`] has it.
    pub fn to_header(stalls: &[Stalled]) -> String {
        stalls.iter().map(|stall| format!("{}@{}", stall.ms, stall.ago_ms)).collect::<Vec<_>>().join(",")
    }

    /// What a header says; what cannot be read is left out: somebody else's server may use the name.
    pub fn from_header(text: &str) -> Vec<Stalled> {
        let one = |text: &str| {
            let (ms, ago_ms) = text.trim().split_once('@')?;
            Some(Stalled { ms: ms.parse().ok()?, ago_ms: ago_ms.parse().ok()? })
        };
        text.split(',').take(STALLS_MAX).filter_map(one).collect()
    }
}

/// So many stalls are told of.
pub const STALLS_MAX: usize = 64;

fn one() -> u32 {
    1
}

fn ping_size() -> u16 {
    56
}

fn one_second() -> u64 {
    1_000
}

fn twenty_ms() -> u64 {
    20
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn stalls_survive_a_header_and_foreign_texts_are_no_stalls() {
        let stalls = [Stalled { ms: 1_500, ago_ms: 20 }, Stalled { ms: 60, ago_ms: 0 }];
        assert_eq!(Stalled::from_header(&Stalled::to_header(&stalls)), stalls);
        assert_eq!(Stalled::from_header("yes, 5@,@5,-1@3, 7@8"), [Stalled { ms: 7, ago_ms: 8 }]);
        assert_eq!(Stalled::from_header(&"1@1,".repeat(1_000)).len(), STALLS_MAX);
    }

    #[test]
    fn reply_is_written_like_every_other_field_and_read_as_it_was_written_before() {
        let reply = PingOutcome::Reply { rtt_us: 7 };
        assert_eq!(serde_json::to_string(&reply).unwrap(), r#"{"reply":{"rttUs":7}}"#);
        for text in [r#"{"reply":{"rttUs":7}}"#, r#"{"reply":{"rtt_us":7}}"#] {
            assert_eq!(serde_json::from_str::<PingOutcome>(text).unwrap(), reply, "{text}");
        }
    }
}
