//! `eventually` and `consistently`. Objects and leases are watched; other probes are made again at a pace. When to stop is decided by
//! [`plumb_core::sampling`], whether an attempt holds by [`plumb_core::verdict::holds`].

use std::time::Duration;

use plumb_core::evidence::{Fact, ProbeFact, Trouble, Waited};
use plumb_core::sampling::{Decision, Wait};
use plumb_core::scenario::model::{Consistently, Eventually, Probe};
use plumb_core::steps::{ProbeRef, span_ms};
use plumb_core::verdict::{Blocker, holds};

use super::object::{lease_fact, lease_of, object_seen};
use super::probe::{Patience, observe};
use super::scene::Scene;
use crate::cluster::{ResourceRef, Watched};

/// The first pause between two probes of a wait; each is a quarter longer than the one before, up to the longest.
const PACE_NS: u64 = 10_000_000;
const PACE_MAX_NS: u64 = 250_000_000;

pub(super) async fn eventually(scene: &Scene, step: &Eventually) -> Result<(), Trouble> {
    let limit_ms = span_ms(&step.within);
    let waited = match &step.probe {
        Probe::Status(probe) => {
            let Some(resource) = ResourceRef::parse(&probe.resource) else {
                let message = format!("`{}` is not kind/name or kind/namespace/name", probe.resource);
                return Err(Trouble { whose: plumb_core::evidence::Whose::Author, operation: "watch an object".into(), message });
            };
            watched(scene, step, &resource, limit_ms, object_seen).await?
        }
        Probe::Lease(probe) => {
            let resource = lease_of(&probe.service);
            let of = resource.clone();
            watched(scene, step, &resource, limit_ms, |object| plumb_core::evidence::Seen::Lease(lease_fact(&of, object.as_ref()))).await?
        }
        _ => {
            let wait = Wait::eventually(scene.recorder.now_ns(), limit_ms * 1_000_000, PACE_NS);
            paced(scene, &step.id, ProbeRef::from(&step.probe), wait, Pace::Slower(PACE_NS)).await
        }
    };
    scene.record(Some(&step.id), Fact::Waited(waited));
    Ok(())
}

pub(super) async fn consistently(scene: &Scene, step: &Consistently) -> Result<(), Trouble> {
    let wait = Wait::consistently(scene.recorder.now_ns(), span_ms(&step.r#for) * 1_000_000, span_ms(&step.every) * 1_000_000);
    let waited = paced(scene, &step.id, ProbeRef::from(&step.probe), wait, Pace::Even).await;
    scene.record(Some(&step.id), Fact::Waited(waited));
    Ok(())
}

/// The pace of attempts.
enum Pace {
    /// As the wait says.
    Even,
    /// Slower each time: soon noticed when soon true, and few observations when not.
    Slower(u64),
}

async fn paced(scene: &Scene, id: &str, probe: ProbeRef<'_>, mut wait: Wait, mut pace: Pace) -> Waited {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let fact = observe(scene, probe, id, attempt, Patience::None).await;
        let outcome = judge_once(scene, id, probe, fact);
        let now_ns = scene.recorder.now_ns();
        let Decision::Continue { next_at_ns } = wait.on_observation(now_ns, &outcome) else {
            return wait.waited(now_ns);
        };
        let next_at_ns = match &mut pace {
            Pace::Even => next_at_ns,
            Pace::Slower(pause_ns) => {
                let next = now_ns + *pause_ns;
                *pause_ns = (*pause_ns + *pause_ns / 4).min(PACE_MAX_NS);
                next
            }
        };
        // The pace of a wait that has nothing to watch is what this time is.
        tokio::time::sleep(Duration::from_nanos(next_at_ns.saturating_sub(now_ns))).await;
        let now_ns = scene.recorder.now_ns();
        if !matches!(wait.on_time(now_ns), Decision::Continue { .. }) {
            return wait.waited(now_ns);
        }
    }
}

/// Records an attempt and asks whether it holds.
fn judge_once(scene: &Scene, id: &str, probe: ProbeRef<'_>, fact: ProbeFact) -> Result<(), Blocker> {
    let outcome = holds(probe, &fact, &scene.context());
    scene.record(Some(id), Fact::Probe(fact));
    outcome
}

async fn watched(
    scene: &Scene,
    step: &Eventually,
    resource: &ResourceRef,
    limit_ms: u64,
    seen: impl Fn(Option<serde_json::Value>) -> plumb_core::evidence::Seen,
) -> Result<Waited, Trouble> {
    let probe = ProbeRef::from(&step.probe);
    let mut wait = Wait::eventually(scene.recorder.now_ns(), limit_ms * 1_000_000, limit_ms.max(1) * 1_000_000);
    let mut attempt = 0;
    let mut last = None;
    let look = |object: Option<serde_json::Value>| {
        let seen = seen(object);
        // The same state again (a watch that began anew) is no news.
        if last.as_ref() == Some(&seen) {
            return Watched::NotYet(String::new());
        }
        last = Some(seen.clone());
        attempt += 1;
        let fact = ProbeFact { attempt, canary: None, target: resource.to_string(), seen };
        let outcome = judge_once(scene, &step.id, probe, fact);
        match wait.on_observation(scene.recorder.now_ns(), &outcome) {
            Decision::Held => Watched::Yes(()),
            _ => Watched::NotYet(outcome.err().map(|blocker| blocker.to_string()).unwrap_or_default()),
        }
    };
    let ended = scene.cluster.wait(resource, Duration::from_millis(limit_ms), look).await;
    let now_ns = scene.recorder.now_ns();
    match ended {
        Ok(ended) => {
            if ended.is_err() {
                wait.on_time(now_ns.max(limit_ms * 1_000_000));
            }
            Ok(wait.waited(now_ns))
        }
        Err(error) => Err(error.trouble(&format!("watch {resource}"))),
    }
}
