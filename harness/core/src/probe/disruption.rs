//! What an agent can be asked to do to the namespace it is in: a link set down and up, packets to and from addresses dropped, a process
//! frozen, thawed or killed. Each answers when it has seen the effect, with the moment of it, and keeps nothing: what is needed to undo it
//! is in the answer or in the kernel, so that another session can.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Set a link up or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkOp {
    /// Its name.
    pub interface: String,
    /// Which.
    pub power: LinkPower,
    /// What the answer to `down` said it had; `up` brings back of it what the kernel does not.
    #[serde(default)]
    pub restore: Vec<KernelObject>,
}

/// Whether a link carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkPower {
    /// It does.
    Up,
    /// It does not, as if its cable were out and its driver knew.
    Down,
}

/// An address, a route or a permanent neighbour of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelObject {
    /// What it is.
    pub kind: KernelObjectKind,
    /// As `ip` would print it.
    pub words: String,
    /// The kernel's own message about it (rtnetlink), standard base64 with padding.
    pub message: String,
}

/// What the kernel has on a link, in the order in which it is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KernelObjectKind {
    /// An address.
    Address,
    /// A route of any table.
    Route,
    /// A permanent neighbour.
    Neighbour,
}

/// A link is as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkReport {
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// What it had before, for `down`; what had to be brought back, for `up`.
    pub objects: Vec<KernelObject>,
}

/// Drop packets from and to some addresses, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CutOp {
    /// Tells it from other cuts of the same namespace: lower-case letters.
    pub name: String,
    /// Which.
    pub power: CutPower,
    /// From whom, for [`CutPower::Cut`].
    #[serde(default)]
    pub from: Vec<CutPeer>,
}

/// Whether packets are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CutPower {
    /// They are, in silence.
    Cut,
    /// No longer.
    Heal,
}

/// Whose packets are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CutPeer {
    /// Its address.
    pub address: IpAddr,
    /// Its TCP port; absent = everything.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Packets are dropped, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CutReport {
    /// Since when, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// How many were dropped, for [`CutPower::Heal`].
    pub dropped: u64,
}

/// Send a signal to every process of a name that shares this network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignalOp {
    /// The name the kernel has of it (at most 15 bytes), for example `kube-apiserver`.
    pub process: String,
    /// Which.
    pub signal: ProcessSignal,
    /// How long its effect may take, milliseconds.
    pub limit_ms: u64,
}

/// A signal that cannot be caught or ignored, and thus has an effect that can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProcessSignal {
    /// SIGSTOP: every thread stands still.
    Stop,
    /// SIGCONT: they go on.
    Continue,
    /// SIGKILL: it is gone.
    Kill,
}

/// Processes of a name that share this network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessReport {
    /// When this was so, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// For [`Op::Processes`](super::Op::Processes) those that are there, for [`Op::Signal`](super::Op::Signal) those that had it, as they were before.
    pub processes: Vec<Process>,
}

/// A process. Its number may be given to another when it is gone; number and start together are nobody else's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// Its number in the agent's pid namespace.
    pub pid: i32,
    /// When it began, clock ticks since the machine did.
    pub started_ticks: u64,
}
