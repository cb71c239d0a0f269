//! Evidence: what was observed, one JSON value a line in `evidence.jsonl`, append only.
//!
//! The engine writes observations; the judge reads them. An observation never says whether it is good.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::probe;

/// Version of the evidence format; readers refuse a newer one.
pub const EVIDENCE: u32 = 1;

/// What an evidence file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Every observation up to the first line that cannot be read.
    pub observations: Vec<Observation>,
    /// Why reading stopped before the end: a line that is cut or damaged. The judge finds the run unknown then, because the last
    /// line is missing; this says what happened.
    pub trouble: Option<String>,
}

/// The evidence is of a format this program does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read evidence of format version {found}, this program reads up to {EVIDENCE}")]
pub struct NewerEvidence {
    /// Version in the file.
    pub found: u64,
}

/// Reads an evidence file. It may end in the middle of a line, or hold bytes that are no text: what comes before counts.
///
/// # Errors
/// The file says that it is of a newer format.
pub fn read(bytes: &[u8]) -> Result<Reading, NewerEvidence> {
    let mut reading = Reading::default();
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    for (n, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        if n == 0
            && let Some(found) = newer(line)
        {
            return Err(NewerEvidence { found });
        }
        match serde_json::from_slice(line) {
            Ok(observation) => reading.observations.push(observation),
            Err(error) => {
                reading.trouble = Some(format!("line {} of the evidence cannot be read: {error}", n + 1));
                break;
            }
        }
    }
    Ok(reading)
}

/// The version in a first line, when it is newer than this program; found also where the rest of the line has changed.
fn newer(line: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let found = value.pointer("/fact/began/version")?.as_u64()?;
    (found > u64::from(EVIDENCE)).then_some(found)
}

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// From 1, without gaps.
    pub seq: u64,
    /// Nanoseconds since the run began (`CLOCK_MONOTONIC`).
    pub at_ns: u64,
    /// The step or watch (id) it belongs to; absent = the lab itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What was observed.
    pub fact: Fact,
    /// Files under the run folder with the rest of it, for example `blobs/underlay.pcapng`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<String>,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    /// The first line: format and clocks.
    Began(Began),
    /// The lab as it was made.
    Lab(LabFacts),
    /// Certificates of the run.
    Certs(BTreeMap<String, CertFact>),
    /// A step began.
    StepBegan,
    /// A step ended as far as acting goes.
    StepEnded,
    /// A step could not be carried out. Whose trouble it is decides between fail and unknown.
    StepFailed(Trouble),
    /// The API accepted an object.
    Applied {
        /// `kind/namespace/name`.
        object: String,
    },
    /// The API refused an object.
    Refused {
        /// `kind/namespace/name`.
        object: String,
        /// HTTP status code.
        code: u16,
        /// Reason of the Status.
        reason: String,
        /// Message of the Status.
        message: String,
    },
    /// A probe's attempt inside `eventually` or `consistently`, or the only one.
    Probe(ProbeFact),
    /// How a wait ended.
    Waited(Waited),
    /// A watch is live.
    WatchBegan {
        /// Vantage and interface, in words.
        on: String,
        /// `CLOCK_MONOTONIC` of the agent, relative to the run like `at_ns`.
        live_ns: u64,
    },
    /// A capture ended.
    Capture(probe::CaptureSummary),
    /// An ARP watch ended.
    ArpWatch {
        /// The address asked for.
        address: std::net::Ipv4Addr,
        /// Frames and questions.
        report: probe::ArpReport,
    },
    /// A load ended.
    Load(probe::LoadReport),
    /// A watch did not end well: what it saw is not whole.
    WatchBroken(Trouble),
    /// Something was done to a node.
    Node {
        /// Logical name.
        node: String,
        /// What was done.
        action: crate::scenario::model::NodeAction,
        /// When it took effect, nanoseconds since the run began.
        effect_ns: u64,
    },
    /// Something else of the lab was broken, or is whole again.
    Disrupted(Disrupted),
    /// A cluster that others had used did not take the values of this run in place: another was made.
    Replaced {
        /// Its name.
        cluster: String,
        /// What was changed and what went wrong.
        why: String,
    },
    /// Cilium was upgraded and is ready.
    Upgraded(Upgraded),
    /// A part of Cilium was restarted and all of it is ready.
    Restarted {
        /// Which part.
        part: crate::scenario::model::CiliumPart,
        /// Until all was ready, milliseconds.
        ready_ms: u64,
    },
    /// Cilium's configuration.
    Config(ConfigFact),
    /// The wall clock moved against the monotonic one while the run went on.
    ClockJump {
        /// By how much, milliseconds.
        by_ms: i64,
    },
    /// The run was interrupted (signal, limit).
    Interrupted {
        /// By what.
        by: String,
    },
    /// Collected for readers, not for the judge.
    Collected {
        /// What, for example `agent log of worker`.
        what: String,
    },
    /// The last line: nothing is missing after it.
    Ended,
}

/// Format and clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Began {
    /// [`EVIDENCE`].
    pub version: u32,
    /// Version of the program.
    pub plumb: String,
    /// Seconds since 1970.
    pub unix_s: i64,
    /// `CLOCK_MONOTONIC` at the beginning, nanoseconds: agent times minus this are run times.
    pub monotonic_ns: u64,
}

/// The lab as it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabFacts {
    /// `refnet`, `kind`, `kubeconfig`.
    pub provider: String,
    /// What runs there, for example `reference network 0.1.0 (not Cilium)` or `Cilium v1.17.1`.
    pub system: String,
    /// Cilium version, where there is one.
    pub cilium: Option<String>,
    /// Nodes by logical name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// The outside client's links.
    pub client: Vec<probe::Link>,
    /// Networks whose interface is called otherwise than the network, or whose addresses for Services the user named: only where nodes
    /// were found, not made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, NetworkFacts>,
    /// Values of the profile this provider does not model.
    pub unmodelled: Vec<String>,
    /// Faults switched on.
    pub faults: Vec<String>,
    /// How long each phase of making it took, milliseconds.
    pub phases_ms: BTreeMap<String, u64>,
}

/// A network of nodes that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkFacts {
    /// The interface by which nodes are on it.
    pub interface: String,
    /// The interface by which the outside client is on it, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// First and last address there for Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl LabFacts {
    /// What a network's interface is called at a vantage point (`client`, `node/...`); in Pods every name is their own.
    pub fn interface<'a>(&'a self, vantage: &str, network: &'a str) -> &'a str {
        let facts = self.networks.get(network);
        let named = match vantage.split('/').next() {
            Some("client") => facts.and_then(|facts| facts.client.as_deref()),
            Some("node") => facts.map(|facts| facts.interface.as_str()),
            _ => None,
        };
        named.unwrap_or(network)
    }
}

/// A node as it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Name of the Kubernetes Node (the lease holder's identity).
    pub name: String,
    /// Carries the control-plane label.
    pub control_plane: bool,
    /// Node address.
    pub address: String,
    /// Pod CIDR.
    pub pod_cidr: String,
    /// Links of its namespace.
    pub links: Vec<probe::Link>,
}

/// What was broken, or is whole again. It was seen to be so, which is more than that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disrupted {
    /// Logical name of the node it is about.
    pub node: String,
    /// What.
    pub what: Disruption,
    /// When it took effect, nanoseconds since the run began.
    pub effect_ns: u64,
    /// What else is known of it, in words: what went with a link, what showed that packets are lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// What can be broken and made whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disruption {
    /// A link is down, or up again.
    Link {
        /// Its interface.
        interface: String,
        /// Which.
        action: crate::scenario::model::LinkAction,
    },
    /// A node is cut off, or no longer.
    Partition {
        /// From whom.
        from: crate::scenario::model::CutFrom,
        /// Which.
        action: crate::scenario::model::PartitionAction,
    },
    /// The process of Cilium's agent was killed, and another runs in its place.
    AgentKilled,
    /// The API server stands still, or goes on.
    Api {
        /// Which.
        action: crate::scenario::model::ApiAction,
    },
}

/// A certificate of the run. Never the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertFact {
    /// SHA-256 of the leaf's DER, lower-case hex.
    pub sha256: String,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Names in it.
    pub sans: Vec<String>,
}

/// Something that went wrong besides the network under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// Whose it is.
    pub whose: Whose,
    /// What was tried.
    pub operation: String,
    /// What came back, causes chained with `: `.
    pub message: String,
}

/// Whose trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Whose {
    /// The scenario's author: bad input.
    Author,
    /// The machine: no permission, no memory, no disk, no kernel feature.
    Environment,
    /// The product under test.
    Product,
    /// This program.
    Lab,
}

/// One attempt of a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeFact {
    /// Attempt number, from 1.
    pub attempt: u32,
    /// The canary it carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// Where it went, in words: `worker (10.9.0.3:443)`.
    pub target: String,
    /// What was seen.
    pub seen: Seen,
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen {
    /// HTTP requests.
    Http(Vec<probe::HttpResult>),
    /// A batch, counted.
    HttpTally(probe::HttpReport),
    /// Handshakes.
    Tls(probe::TlsReport),
    /// Echoes.
    L4(probe::L4Report),
    /// ICMP echoes.
    Ping(probe::PingReport),
    /// ARP answers.
    Arp {
        /// The address asked for.
        address: std::net::Ipv4Addr,
        /// Questions and answers.
        report: probe::ArpReport,
        /// The lease when the questions had been asked, where the check compares with it.
        lease: Option<LeaseFact>,
    },
    /// An object; `null` = it does not exist. Secrets are redacted.
    Object(serde_json::Value),
    /// A lease.
    Lease(LeaseFact),
    /// The target has no address yet, or the vantage point is not there; why.
    NoTarget(String),
    /// The probe could not be carried out.
    Trouble(Trouble),
}

/// An upgrade of Cilium.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgraded {
    /// Version it was upgraded to.
    pub to: String,
    /// The command, ready to paste.
    pub command: String,
    /// How long the command took, milliseconds.
    pub took_ms: u64,
    /// From its end until each part was ready, milliseconds.
    pub parts_ms: BTreeMap<String, u64>,
}

/// Cilium's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigFact {
    /// ConfigMap `cilium-config`.
    pub config: BTreeMap<String, String>,
    /// Image of each workload by its name: `cilium`, `cilium-envoy`, `cilium-operator`.
    pub images: BTreeMap<String, String>,
    /// When each agent's Pod was created, seconds since 1970.
    pub agents: BTreeMap<String, i64>,
}

/// An L2 announcement lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseFact {
    /// `namespace/name`; the object may not exist.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// `spec.holderIdentity`, if not empty.
    pub holder: Option<String>,
    /// `spec.leaseDurationSeconds`.
    pub duration_seconds: Option<u32>,
    /// `spec.leaseTransitions`.
    pub transitions: Option<u32>,
    /// `spec.renewTime` (RFC 3339).
    pub renew_time: Option<String>,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waited {
    /// It held (eventually) or never stopped holding (consistently).
    pub held: bool,
    /// Attempts or watch events looked at.
    pub attempts: u32,
    /// How long, milliseconds.
    pub took_ms: u64,
    /// The limit, milliseconds.
    pub limit_ms: u64,
    /// What blocked it, in words: the last states seen, newest last, at most 5.
    pub last: Vec<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn file() -> String {
        let began = Began { version: EVIDENCE, plumb: "0.1.0".into(), unix_s: 1, monotonic_ns: 2 };
        let facts = [Fact::Began(began), Fact::StepBegan, Fact::ClockJump { by_ms: -3 }, Fact::Ended];
        let line = |(n, fact): (usize, Fact)| {
            let observation = Observation { seq: n as u64 + 1, at_ns: 5, step: None, fact, blobs: Vec::new() };
            serde_json::to_string(&observation).unwrap() + "\n"
        };
        facts.into_iter().enumerate().map(line).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        let reading = read(file().as_bytes()).unwrap();
        assert_eq!(reading.observations.len(), 4);
        assert_eq!(reading.trouble, None);
        assert_eq!(reading.observations[3].fact, Fact::Ended);
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_lines() {
        let file = file();
        for cut in 0..file.len() {
            let reading = read(&file.as_bytes()[..cut]).unwrap();
            let whole = file[..cut].matches('\n').count();
            assert!((whole..=whole + 1).contains(&reading.observations.len()), "cut at {cut}");
            let at_a_line = cut == 0 || file[..cut].ends_with('\n') || file[cut..].starts_with('\n');
            assert_eq!(reading.trouble.is_none(), at_a_line, "cut at {cut}: {:?}", reading.trouble);
        }
    }

    #[test]
    fn bytes_that_are_no_text_stop_the_reading() {
        let mut file = file().into_bytes();
        file.extend([0xff, 0xfe, b'\n']);
        file.extend(b"{}\n");
        let reading = read(&file).unwrap();
        assert_eq!(reading.observations.len(), 4);
        assert!(reading.trouble.unwrap().starts_with("line 5 "));
    }

    #[test]
    fn a_newer_format_is_refused() {
        let line = r#"{"seq":1,"fact":{"began":{"version":2,"entirely":"different"}}}"#;
        assert_eq!(read(line.as_bytes()).unwrap_err(), NewerEvidence { found: 2 });
    }
}
