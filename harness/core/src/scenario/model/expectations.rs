//! Verbs that are checks by themselves: over time, over a watch, over many requests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HttpProbe, Id, Probe, Span};

/// Probe until it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Eventually {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Id,
    /// Limit.
    #[schemars(extend("x-plumb" = "span"))]
    pub within: Span,
    /// What is probed, with its `expect`.
    pub probe: Probe,
    /// The check is a promise (default) or only readiness of the lab: then not holding is unknown, not red.
    #[serde(default)]
    pub role: Role,
}

/// What it means when something does not come true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// A promise under test was broken: fail.
    #[default]
    Promise,
    /// The lab did not get ready: unknown.
    Setup,
}

/// Probe, and it must hold all the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consistently {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Id,
    /// How long.
    #[schemars(extend("x-plumb" = "span"))]
    pub r#for: Span,
    /// Time between two probes.
    #[serde(default = "hundred_ms")]
    #[schemars(extend("x-plumb" = "span"))]
    pub every: Span,
    /// What is probed, with its `expect`.
    pub probe: Probe,
}

/// A canary must not be in a capture, in the clear or inside VXLAN. Counts only with its controls, else the verdict is unknown:
/// the probe was answered; a capture where it must be visible saw it; the ciphertext is there in matching volume; nothing was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Never {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
    /// The probe (id) whose canary it is.
    #[schemars(extend("x-plumb" = "probe"))]
    pub canary: Id,
    /// The capture (id) that must not have it.
    #[schemars(extend("x-plumb" = "capture"))]
    pub r#in: Id,
    /// The capture (id) that must have it, as positive control.
    #[schemars(extend("x-plumb" = "capture"))]
    pub seen_in: Id,
    /// What must be in `in` instead.
    #[serde(default)]
    pub instead: Ciphertext,
}

/// What must be on the wire in place of a hidden payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Ciphertext {
    /// WireGuard data messages between the two nodes.
    #[default]
    Wireguard,
    /// ESP packets.
    Esp,
    /// TLS application data records.
    Tls,
    /// Nothing: the traffic does not cross this wire at all (same node).
    Nothing,
}

/// Something in a watch must be there so many times. Exactly one of `canary`, `gratuitous`, `answerers` says what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
    /// The watch (id).
    #[schemars(extend("x-plumb" = "watch"))]
    pub r#in: Id,
    /// Frames with the canary of this probe (id), in the clear or inside VXLAN.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "probe"))]
    pub canary: Option<Id>,
    /// Gratuitous ARP frames (RFC 5227) for the address.
    #[serde(default)]
    pub gratuitous: Option<bool>,
    /// The most MAC addresses that answered one and the same question: 2 is an overlap, a takeover one after the other is 1.
    #[serde(default)]
    pub answerers: Option<bool>,
    /// At least.
    #[serde(default)]
    pub min: Option<u64>,
    /// At most.
    #[serde(default)]
    pub max: Option<u64>,
}

/// Requests must split by weight. One sample of fixed size, one exact test, no retry. Sampling begins when `marker` is the only revision
/// that answers on every path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Distribution {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-probe"))]
    pub id: Id,
    /// The request (its `expect` and `count` are not used).
    pub probe: HttpProbe,
    /// Weights by backend id.
    #[schemars(extend("x-plumb-keys" = "backend"))]
    pub weights: BTreeMap<String, u32>,
    /// Requests in all; absent = as many as the stated power needs.
    #[serde(default)]
    pub samples: Option<u32>,
    /// Probability of a false alarm.
    #[serde(default)]
    pub alpha: Option<f64>,
    /// The wrong split that must be found, by backend id; default: 5 points moved from the heaviest to the lightest.
    #[serde(default)]
    #[schemars(extend("x-plumb-keys" = "backend"))]
    pub against: Option<BTreeMap<String, u32>>,
    /// The probability of finding it; default 0.97.
    #[serde(default)]
    pub power: Option<f64>,
    /// The route revision that must have decided every request ([`crate::probe::REVISION_HEADER`]).
    #[serde(default)]
    pub marker: Option<String>,
    /// Connections: `perRequest` (default) or `keepAlive`.
    #[serde(default)]
    pub connection: ConnectionUse,
}

/// When a connection is used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionUse {
    /// A new connection for each request.
    #[default]
    PerRequest,
    /// One connection a worker.
    KeepAlive,
}

/// A service may be away only so long: the longest gap of a watch (load or ARP). Backends say with each HTTP answer when they themselves did
/// not run; a gap that is too long only with that time is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Downtime {
    /// Names the check.
    #[schemars(extend("x-plumb" = "defines-step"))]
    pub id: Id,
    /// The watch (id).
    #[schemars(extend("x-plumb" = "watch"))]
    pub of: Id,
    /// At least (a gap must be there: the disruption was real); less is unknown, because nothing was tested.
    #[serde(default)]
    #[schemars(extend("x-plumb" = "span"))]
    pub min: Option<Span>,
    /// At most.
    #[schemars(extend("x-plumb" = "span"))]
    pub max: Span,
}

fn hundred_ms() -> Span {
    "100ms".into()
}
