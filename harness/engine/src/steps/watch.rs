//! `during`: watches that run while steps run. All are live before the first step; each is stopped and drained after the last, also
//! when a step failed or the run is stopped.

use std::time::Duration;

use base64::Engine as _;
use futures::future::join_all;
use plumb_core::evidence::{Fact, Trouble, Whose};
use plumb_core::probe::{ArpOp, Canary, CaptureOp, Done, Item, LoadKind, LoadOp, Op};
use plumb_core::scenario::model::{BackendProtocol, During, Watch};
use plumb_core::steps::{ProbeRef, span_ms, walk};

use super::probe::{Missed, Path, Patience};
use super::scene::Scene;
use super::{Ended, carry_out};
use crate::session::{Outcome, Running};

/// Bytes kept of each frame: whole frames of the lab, so that a canary is found wherever a header stands.
const SNAPLEN: u32 = 2_048;

/// Size of the file a capture leaves.
const PCAPNG_MAX: u64 = 16 << 20;

/// A watch that is live.
struct Live<'a> {
    id: &'a str,
    kind: Kind,
    running: Running,
}

/// What has to be recorded of a watch in the end.
enum Kind {
    Capture,
    Arp(std::net::Ipv4Addr),
    Load,
}

pub(super) async fn during(scene: &Scene, during: &During) -> Result<(), Ended> {
    let canaries: Vec<Canary> = walk(&during.steps)
        .iter()
        .filter(|named| ProbeRef::of(named.step).is_some())
        .map(|named| scene.id(named.step))
        .map(|id| Canary { text: scene.canary(&id), name: id })
        .collect();
    let started = join_all(during.watch.iter().map(|(id, watch)| start(scene, id, watch, &canaries))).await;
    let mut live = Vec::new();
    let mut broken = None;
    for (id, started) in during.watch.keys().zip(started) {
        match started {
            Ok(watch) => live.push(watch),
            Err(trouble) => {
                scene.record(Some(id), Fact::WatchBroken(trouble.clone()));
                broken.get_or_insert(trouble);
            }
        }
    }
    let done = match broken {
        None => carry_out(scene, &during.steps).await.map_err(|_| Ended::Inner),
        // Without one of its watches the rest would be seen by half.
        Some(trouble) => Err(Ended::Trouble(trouble)),
    };
    let limit = scene.limit(|budgets| budgets.session_ms) + Duration::from_secs(5);
    join_all(live.into_iter().map(|watch| finish(scene, watch, limit))).await;
    done
}

async fn start<'a>(scene: &Scene, id: &'a str, watch: &Watch, canaries: &[Canary]) -> Result<Live<'a>, Trouble> {
    let limit = scene.limit(|budgets| budgets.session_ms);
    let (agent, op, kind, on) = match watch {
        Watch::Capture(watch) => {
            let operation = format!("capture on {}", watch.on);
            let place = scene.place(&watch.on).await.map_err(|missing| unmade(Missed::nowhere(&watch.on, missing), &operation))?;
            let op = CaptureOp {
                interface: scene.facts.interface(&watch.on, &watch.interface).to_owned(),
                filter: Vec::new(),
                snaplen: SNAPLEN,
                canaries: canaries.to_vec(),
                vxlan_ports: vec![8472],
                wireguard_ports: vec![51871],
                pcapng_bytes_max: PCAPNG_MAX,
            };
            (scene.agent(&place).await?, Op::Capture(op), Kind::Capture, format!("{place} {}", watch.interface))
        }
        Watch::Arp(watch) => {
            let path = Path::find(scene, &watch.from, &watch.to, None, Patience::Wait).await;
            let path = path.map_err(|missed| unmade(missed, "watch ARP"))?;
            let target = path.ipv4().map_err(|missed| unmade(missed, "watch ARP"))?;
            let interval_ms = span_ms(&watch.interval).max(1);
            let op = ArpOp {
                interface: scene.facts.interface(&watch.from, &watch.network).to_owned(),
                target,
                source: None,
                count: 0,
                interval_ms,
                window_ms: 200,
            };
            let on = format!("{} {}, asking for {}", watch.from, watch.network, path.to.words());
            (path.agent, Op::Arp(op), Kind::Arp(target), on)
        }
        Watch::Load(watch) => {
            let path = Path::find(scene, &watch.from, &watch.to, None, Patience::Wait).await;
            let path = path.map_err(|missed| unmade(missed, "start a load"))?;
            let kind = match watch.protocol {
                BackendProtocol::Http => {
                    let host = watch.host.clone().unwrap_or_else(|| path.to.ip.to_string());
                    LoadKind::Http { host, path: "/".into() }
                }
                BackendProtocol::Tcp => LoadKind::Tcp,
                BackendProtocol::Udp => LoadKind::Udp,
            };
            let op = LoadOp { target: path.socket(watch.port), kind, interval_ms: span_ms(&watch.interval).max(1), timeout_ms: 1_000 };
            let on = format!("{} to {}", watch.from, path.to.with_port(watch.port));
            (path.agent, Op::Load(op), Kind::Load, on)
        }
    };
    let running = agent.start(op, limit).await.map_err(|error| error.trouble(&format!("start watch {id}")))?;
    let live_ns = running.started().map_or(0, |started| scene.recorder.run_ns(started.at_ns));
    scene.record(Some(id), Fact::WatchBegan { on, live_ns });
    Ok(Live { id, kind, running })
}

async fn finish(scene: &Scene, watch: Live<'_>, limit: Duration) {
    let Live { id, kind, running } = watch;
    let (fact, blobs) = match running.stop(limit).await {
        Ok(outcome) => seen(scene, id, kind, outcome),
        Err(error) => (Fact::WatchBroken(error.trouble(&format!("end watch {id}"))), Vec::new()),
    };
    scene.record_with(Some(id), fact, blobs);
}

fn seen(scene: &Scene, id: &str, kind: Kind, outcome: Outcome) -> (Fact, Vec<String>) {
    match (kind, outcome.done) {
        (Kind::Capture, Done::Capture(summary)) => {
            let mut file = Vec::new();
            for item in &outcome.items {
                if let Item::Pcapng { base64 } = item {
                    file.extend(base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default());
                }
            }
            let blobs = if file.is_empty() { Vec::new() } else { scene.recorder.blob(&format!("{id}.pcapng"), &file) };
            (Fact::Capture(summary), blobs)
        }
        (Kind::Arp(address), Done::Arp(report)) => (Fact::ArpWatch { address, report }, Vec::new()),
        (Kind::Load, Done::Load(report)) => (Fact::Load(report), Vec::new()),
        (_, other) => {
            let message = format!("the agent answered {}", serde_json::to_string(&other).unwrap_or_default());
            (Fact::WatchBroken(Trouble { whose: Whose::Lab, operation: format!("end watch {id}"), message }), Vec::new())
        }
    }
}

/// A watch that cannot be begun: nothing is there to watch, or it could not be asked.
fn unmade(missed: Missed, operation: &str) -> Trouble {
    missed.into_trouble(operation)
}
