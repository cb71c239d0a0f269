//! ARP who-has: every question, every answer, and the lease to compare them with.

use std::time::Duration;

use plumb_core::evidence::Seen;
use plumb_core::probe::{ArpOp, Done, Op};
use plumb_core::scenario::model::ArpProbe;

use super::probe::{Attempt, Missed, Path, Patience};
use super::scene::Scene;

/// Time between two questions, milliseconds.
const INTERVAL_MS: u64 = 20;

/// How long answers are collected after the last question, milliseconds: a second answerer may be slow.
const WINDOW_MS: u64 = 200;

pub(super) async fn arp(scene: &Scene, probe: &ArpProbe, patience: Patience) -> Attempt {
    let path = Path::find(scene, &probe.from, &probe.to, None, patience).await?;
    let address = path.ipv4()?;
    let op = ArpOp {
        interface: scene.facts.interface(&probe.from, &probe.network).to_owned(),
        target: address,
        source: None,
        count: probe.count,
        interval_ms: INTERVAL_MS,
        window_ms: WINDOW_MS,
    };
    let limits = Duration::from_millis(INTERVAL_MS.saturating_mul(u64::from(probe.count)) + WINDOW_MS);
    let words = format!("{} on {}", path.to.words(), probe.network);
    let report = match path.ask(Op::Arp(op), limits, "ask by ARP").await?.done {
        Done::Arp(report) => report,
        other => return Err(path.confused("ask by ARP", &other)),
    };
    let lease = match probe.expect.as_ref().and_then(|expect| expect.holder_of.as_deref()) {
        Some(service) => {
            let lease = scene.lease(service).await;
            Some(lease.map_err(|error| Missed::trouble(&words, error.trouble("read the lease")))?)
        }
        None => None,
    };
    Ok((words, Seen::Arp { address, report, lease }))
}
