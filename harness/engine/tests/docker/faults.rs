//! What is done to containers that stand in for nodes.

use std::time::Duration;

use plumb_core::probe::{Done, Op};
use plumb_engine::docker::Running;

use crate::{LIMIT, Laid, Named, ensure, run};

pub(crate) const TRIALS: &[Named] = &[
    ("a_paused_container_answers_nothing_until_it_goes_on", || run(paused())),
    ("a_killed_container_ends_its_session_and_comes_back_with_its_interfaces", || run(killed())),
    ("a_disconnected_container_is_cut_off_and_comes_back", || run(partitioned())),
    ("a_link_that_is_down_is_seen_down", || run(link_down())),
];

async fn paused() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0"]).await;
    let client = lab.ground.client();
    let session = lab.session(&client).await;
    lab.engine().pause(&client).await.unwrap();
    ensure(lab.engine().container(&client).await.unwrap().running == Running::Paused, || "it is not paused".into())?;
    let silent = session.ask(Op::Links, Duration::from_millis(500)).await;
    ensure(silent.is_err(), || "it answered while it was paused".into())?;
    let refused = lab.engine().run(&client, &["/plumb/agent"], None::<tokio::io::Empty>, LIMIT).await.unwrap_err().to_string();
    ensure(refused.contains("paused"), || refused.clone())?;
    lab.engine().unpause(&client).await.unwrap();
    session.ask(Op::Links, LIMIT).await.map(drop).map_err(|error| error.to_string())
}

async fn killed() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let client = lab.ground.client();
    let before = lab.engine().container(&client).await.unwrap();
    let session = lab.session(&client).await;
    lab.engine().kill(&client).await.unwrap();
    ensure(session.ask(Op::Links, LIMIT).await.is_err(), || "the session outlived its container".into())?;
    ensure(lab.engine().container(&client).await.unwrap().running == Running::No, || "it runs".into())?;
    lab.engine().start(&client).await.unwrap();
    // As a node is made whole again after a power cut.
    lab.ground.name_node_interfaces(&client).await.map_err(|error| error.to_string())?;
    let again = lab.engine().container(&client).await.unwrap();
    let net0 = &lab.ground.network("net0").unwrap().name;
    ensure(again.networks[net0].address == before.networks[net0].address, || "net0 has another address".into())?;
    let session = lab.session(&client).await;
    let Done::Links(links) = session.ask(Op::Links, LIMIT).await.unwrap().done else { return Err("no links".into()) };
    ensure(links.iter().any(|link| link.name == "net0" && link.up), || format!("{links:?}"))
}

async fn partitioned() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let client = lab.ground.client();
    let network = lab.ground.network("eth0").unwrap().clone();
    let address = lab.engine().container(&client).await.unwrap().networks[&network.name].address;
    lab.engine().disconnect_from(&network.name, &client).await.map_err(|error| error.to_string())?;
    let session = lab.session(&client).await;
    let Done::Links(links) = session.ask(Op::Links, LIMIT).await.unwrap().done else { return Err("no links".into()) };
    ensure(links.iter().all(|link| link.name != "eth0"), || format!("eth0 is still there: {links:?}"))?;
    lab.engine().connect_to(&network.name, &client, Some(address)).await.map_err(|error| error.to_string())?;
    let Done::Links(links) = session.ask(Op::Links, LIMIT).await.unwrap().done else { return Err("no links".into()) };
    let wanted = format!("{address}/24");
    ensure(links.iter().any(|link| link.up && link.addresses.contains(&wanted)), || format!("{links:?}"))
}

async fn link_down() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let client = lab.ground.client();
    let session = lab.session(&client).await;
    for (power, expected) in [("down", false), ("up", true)] {
        lab.engine().succeed(&client, &["/plumb/agent", "interface", power, "net0"], LIMIT).await.map_err(|error| error.to_string())?;
        let Done::Links(links) = session.ask(Op::Links, LIMIT).await.unwrap().done else { return Err("no links".into()) };
        let up = links.iter().find(|link| link.name == "net0").map(|link| link.up);
        ensure(up == Some(expected), || format!("after {power}: {links:?}"))?;
    }
    Ok(())
}
