//! Namespaces, links and addresses; the life and death of a lab.

use libtest_mimic::Trial;

use crate::world::{World, spec, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("every_machine_reaches_every_other", async || every_machine_reaches_every_other().await)]
}

async fn every_machine_reaches_every_other() {
    let world = World::start(&spec(&[], &[])).await;
    let phases = &world.lab.ready().phases_ms;
    assert!(["topology", "api", "nodes"].iter().all(|phase| phases.contains_key(*phase)), "{phases:?}");
    for from in ["client", "node/control-plane", "node/worker", "node/worker2"] {
        let mut agent = world.agent(from).await;
        for to in ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.200", "10.10.0.3", "10.10.0.200"] {
            assert_eq!(agent.ping(to, 1).await, 1, "{from} -> {to}");
        }
    }
    for (from, to) in [("node/worker", "10.244.2.1"), ("node/worker2", "10.244.0.1"), ("node/control-plane", "10.244.1.1")] {
        assert_eq!(world.ping(from, to, 1).await, 1, "{from} -> {to}");
    }
    world.close().await;
}
