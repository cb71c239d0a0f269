//! TCP and UDP echoes that carry the canary, and ICMP echoes.

use std::time::Duration;

use plumb_core::evidence::Seen;
use plumb_core::probe::{Done, L4Op, Op, PingOp};
use plumb_core::scenario::model::{BackendProtocol, L4Probe, PingProbe};

use super::probe::{Attempt, Path, Patience};
use super::scene::Scene;

/// Limit of one echo, milliseconds.
const ECHO_MS: u64 = 1_000;

pub(super) async fn l4(scene: &Scene, probe: &L4Probe, id: &str, patience: Patience) -> Attempt {
    let path = Path::find(scene, &probe.from, &probe.to, None, patience).await?;
    let op = L4Op {
        target: path.socket(probe.port),
        source: None,
        payload: scene.canary(id),
        count: probe.count,
        interval_ms: 0,
        timeout_ms: ECHO_MS,
    };
    let op = if probe.protocol == BackendProtocol::Udp { Op::Udp(op) } else { Op::Tcp(op) };
    match path.ask(op, limits(probe.count), "send echoes").await?.done {
        Done::L4(report) => Ok((path.to.with_port(probe.port), Seen::L4(report))),
        other => Err(path.confused("send echoes", &other)),
    }
}

pub(super) async fn ping(scene: &Scene, probe: &PingProbe, patience: Patience) -> Attempt {
    let path = Path::find(scene, &probe.from, &probe.to, None, patience).await?;
    let op = PingOp {
        target: path.to.ip,
        source: None,
        size: probe.size.unwrap_or(56),
        dont_fragment: probe.dont_fragment,
        count: probe.count,
        interval_ms: 0,
        timeout_ms: ECHO_MS,
    };
    match path.ask(Op::Ping(op), limits(probe.count), "ping").await?.done {
        Done::Ping(report) => Ok((path.to.words(), Seen::Ping(report))),
        other => Err(path.confused("ping", &other)),
    }
}

fn limits(count: u32) -> Duration {
    Duration::from_millis(ECHO_MS.saturating_mul(u64::from(count)))
}
