//! Steps about Cilium itself: upgrade it, restart a part of it, read its configuration.

use plumb_core::evidence::{Fact, Trouble, Whose};
use plumb_core::plan::Installed;
use plumb_core::scenario::model::{ConfigProbe, Restart, Step, Upgrade};

use super::scene::Scene;
use crate::cilium::{Installation, read_config};

pub(super) async fn upgrade(scene: &Scene, step: &Upgrade) -> Result<(), Trouble> {
    let to = scene.plan.goal();
    let operation = format!("upgrade Cilium to {}", to.profile.cilium);
    let installation = installation(scene, &operation)?;
    let upgraded = installation.upgrade(&client(scene, &operation)?, to, scene.limit(|budgets| budgets.lab_ms)).await;
    let upgraded = upgraded.map_err(|error| error.trouble(&operation))?;
    scene.record(Some(&step.id), Fact::Upgraded(upgraded));
    Ok(())
}

pub(super) async fn restart(scene: &Scene, step: &Restart, id: &str) -> Result<(), Trouble> {
    let (kind, name) = step.part.workload();
    let operation = format!("restart {kind} {name}");
    let installation = installation(scene, &operation)?;
    let limit = scene.limit(|budgets| budgets.lab_ms);
    let ready_ms = installation.restart(&client(scene, &operation)?, step.part, now(scene), limit).await;
    let ready_ms = ready_ms.map_err(|error| error.trouble(&operation))?;
    scene.record(Some(id), Fact::Restarted { part: step.part, ready_ms });
    Ok(())
}

pub(super) async fn config(scene: &Scene, step: &ConfigProbe) -> Result<(), Trouble> {
    let operation = "read Cilium's configuration";
    let reading = tokio::time::timeout(scene.limit(|budgets| budgets.api_ms), read_config(&client(scene, operation)?)).await;
    let late = || Trouble { whose: Whose::Lab, operation: operation.into(), message: "the API did not answer in time".into() };
    let fact = reading.map_err(|_| late())?.map_err(|error| error.trouble(operation))?;
    scene.record(Some(&step.id), Fact::Config(fact));
    Ok(())
}

/// The flag set that runs now: that of the plan once an upgrade has begun.
fn now(scene: &Scene) -> Installed<'_> {
    let upgrades: Vec<String> =
        scene.plan.scenario.every_step().into_iter().filter(|step| matches!(step, Step::Upgrade(_))).map(|step| scene.id(step)).collect();
    let begun = |step: &Option<String>| step.as_ref().is_some_and(|step| upgrades.contains(step));
    let upgraded = scene.recorder.observations().iter().any(|observation| begun(&observation.step));
    if upgraded { scene.plan.goal() } else { scene.plan.installed() }
}

fn installation(scene: &Scene, operation: &str) -> Result<Installation, Trouble> {
    let absent = || Trouble {
        whose: Whose::Lab,
        operation: operation.to_owned(),
        message: format!("there is no Cilium on {} that this program installed", scene.plan.provider),
    };
    scene.lab.installation().ok_or_else(absent)
}

fn client(scene: &Scene, operation: &str) -> Result<kube::Client, Trouble> {
    scene.lab.client().map_err(|error| error.trouble(operation))
}
