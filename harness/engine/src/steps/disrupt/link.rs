//! A link set down and up by the agent on its node. What went with it is in the answer to `down`, and comes back with `up`.

use plumb_core::evidence::{Disrupted, Disruption, Fact, Trouble};
use plumb_core::probe::{Done, KernelObject, LinkOp, LinkPower, Op};
use plumb_core::scenario::model::{LinkAction, LinkStep};

use super::super::scene::Scene;
use super::{AT_ONCE, Standing, Victim, ask, author_trouble, awake, confused, disrupted};

pub(in super::super) async fn link(scene: &Scene, step: &LinkStep, id: &str) -> Result<(), Trouble> {
    let (word, interface) = (if step.action == LinkAction::Down { "down" } else { "up" }, step.interface.as_str());
    let operation = format!("set {interface} of node {} {word}", step.node);
    let victim = awake(scene, &step.node, &operation).await?;
    let disrupted = match step.action {
        LinkAction::Down => down(scene, &victim, interface, &operation).await?,
        LinkAction::Up => {
            let is_it = |standing: &Standing| matches!(standing, Standing::Link { node, interface: name, .. } if *node == victim && name == interface);
            let standing = scene.standing().find(is_it);
            let Some(Standing::Link { had, .. }) = &standing else {
                return Err(author_trouble(&operation, "no earlier step has set it down".into()));
            };
            let disrupted = up(scene, &victim, interface, had.clone(), &operation).await?;
            standing.iter().for_each(|standing| scene.standing().done(standing));
            disrupted
        }
    };
    scene.record(Some(id), Fact::Disrupted(disrupted));
    Ok(())
}

async fn down(scene: &Scene, victim: &Victim, interface: &str, operation: &str) -> Result<Disrupted, Trouble> {
    let op = LinkOp { interface: interface.to_owned(), power: LinkPower::Down, restore: Vec::new() };
    let Done::Link(report) = ask(scene, victim, Op::Link(op), AT_ONCE, operation).await? else { return Err(confused(operation)) };
    let details = report.objects.iter().map(|object| format!("had {}", object.words)).collect();
    scene.standing().push(Standing::Link { node: victim.clone(), interface: interface.to_owned(), had: report.objects });
    let what = Disruption::Link { interface: interface.to_owned(), action: LinkAction::Down };
    Ok(disrupted(scene, &victim.logical, what, report.at_ns, details))
}

pub(super) async fn up(
    scene: &Scene,
    victim: &Victim,
    interface: &str,
    had: Vec<KernelObject>,
    operation: &str,
) -> Result<Disrupted, Trouble> {
    let op = LinkOp { interface: interface.to_owned(), power: LinkPower::Up, restore: had };
    let Done::Link(report) = ask(scene, victim, Op::Link(op), AT_ONCE, operation).await? else { return Err(confused(operation)) };
    let details = report.objects.iter().map(|object| format!("brought back {}", object.words)).collect();
    let what = Disruption::Link { interface: interface.to_owned(), action: LinkAction::Up };
    Ok(disrupted(scene, &victim.logical, what, report.at_ns, details))
}
