//! Steps: each verb is carried out and what was seen is recorded. One module a group of verbs; a new verb is an arm in [`one`] (or, for
//! a probe, in [`probe::observe`]) and its module. Nothing here judges: whether a wait holds is asked of [`plumb_core::verdict::holds`].

mod act;
mod arp;
mod cilium;
mod disrupt;
mod http;
mod object;
mod probe;
mod sample;
mod scene;
mod target;
mod transport;
mod wait;
mod watch;

use std::future::Future;
use std::pin::Pin;

use plumb_core::evidence::{Fact, Trouble};
use plumb_core::scenario::model::Step;
use plumb_core::steps::ProbeRef;

pub use disrupt::undo;
pub use scene::{RunHooks, Scene, canary};

/// The steps were not carried out to the end; the evidence says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halted;

/// Carries steps out in order. A step that cannot be carried out ends it: what comes after would rest on it.
pub fn carry_out<'a>(scene: &'a Scene, steps: &'a [Step]) -> Pin<Box<dyn Future<Output = Result<(), Halted>> + 'a>> {
    Box::pin(async move {
        for step in steps {
            let id = scene.id(step);
            scene.record(Some(&id), Fact::StepBegan);
            scene.say(&id, step.verb());
            // A `during` ends its own watches when the run is stopped, so it is not cut off.
            let done = match step {
                Step::During(during) => watch::during(scene, during).await,
                _ => tokio::select! {
                    done = one(scene, step, &id) => done.map_err(Ended::Trouble),
                    () = scene.stopped() => Err(Ended::Stopped),
                },
            };
            match done {
                Ok(()) => scene.record(Some(&id), Fact::StepEnded),
                Err(Ended::Trouble(trouble)) => {
                    scene.record(Some(&id), Fact::StepFailed(trouble));
                    return Err(Halted);
                }
                Err(Ended::Stopped | Ended::Inner) => return Err(Halted),
            };
        }
        Ok(())
    })
}

/// Why a step ended before its end.
enum Ended {
    /// It could not be carried out.
    Trouble(Trouble),
    /// The run is to stop.
    Stopped,
    /// A step inside it has said why.
    Inner,
}

async fn one(scene: &Scene, step: &Step, id: &str) -> Result<(), Trouble> {
    match step {
        Step::Apply(step) => act::apply(scene, step, id).await,
        Step::Patch(step) => act::patch(scene, step, id).await,
        Step::Delete(step) => act::delete(scene, step, id).await,
        Step::Place(step) => act::place(scene, step, id).await,
        Step::Node(step) => act::node(scene, step, id).await,
        Step::Link(step) => disrupt::link(scene, step, id).await,
        Step::Partition(step) => disrupt::partition(scene, step, id).await,
        Step::Agent(step) => disrupt::agent(scene, step, id).await,
        Step::Api(step) => disrupt::api(scene, step, id).await,
        Step::Upgrade(step) => cilium::upgrade(scene, step).await,
        Step::Restart(step) => cilium::restart(scene, step, id).await,
        Step::Config(step) => cilium::config(scene, step).await,
        Step::Eventually(step) => wait::eventually(scene, step).await,
        Step::Consistently(step) => wait::consistently(scene, step).await,
        Step::Distribution(step) => sample::distribution(scene, step).await,
        Step::Http(_) | Step::Tls(_) | Step::L4(_) | Step::Ping(_) | Step::Arp(_) | Step::Status(_) | Step::Lease(_) => {
            if let Some(probe) = ProbeRef::of(step) {
                let fact = probe::observe(scene, probe, id, 1, probe::Patience::Wait).await;
                scene.record(Some(id), Fact::Probe(fact));
            }
            Ok(())
        }
        // These are read from what watches saw, by the judge.
        Step::Never(_) | Step::Count(_) | Step::Downtime(_) | Step::During(_) => Ok(()),
    }
}
