//! Networks, interfaces, sessions, uploads.

use std::collections::BTreeSet;
use std::time::Duration;

use plumb_core::probe::{Done, Op};
use plumb_engine::docker::subnet::Block;
use plumb_engine::docker::{Claim, Client, DockerError, Egress};

use crate::{LIMIT, Laid, Named, agent, ensure, run};

pub(crate) const TRIALS: &[Named] = &[
    ("networks_made_side_by_side_overlap_nothing", || run(side_by_side())),
    ("a_virtual_address_is_never_handed_out", || run(never_handed_out())),
    ("the_client_has_interfaces_named_by_their_networks", || run(named_interfaces())),
    ("a_session_carries_more_than_a_frame_and_says_why_it_ended", || run(session())),
    ("an_uploaded_program_runs", || run(upload())),
    ("a_command_has_its_status_output_errors_and_input", || run(commands())),
    ("a_name_that_is_taken_is_refused_by_name", || run(name_taken())),
];

async fn side_by_side() -> Result<(), String> {
    let labs = futures::future::join_all((0..6).map(|_| Laid::with(&["eth0", "net0"]))).await;
    let mut seen = BTreeSet::new();
    for lab in &labs {
        for interface in ["eth0", "net0"] {
            let subnet = lab.ground.network(interface).unwrap().subnet.cidr();
            ensure(Block::parse(&subnet).is_some(), || format!("{subnet} is no subnet"))?;
            ensure(seen.insert(subnet.clone()), || format!("{subnet} was given twice"))?;
        }
    }
    Ok(())
}

async fn never_handed_out() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0"]).await;
    let network = lab.ground.network("eth0").unwrap();
    let claim = Claim::own(lab.ground.name());
    let image = format!("plumb-agent:{}", lab.ground.name());
    for n in 0..8 {
        let name = format!("{}-{n}", lab.ground.name());
        let resource = plumb_engine::ledger::Resource::DockerContainer { name: name.clone() };
        lab.ledger.write(&plumb_engine::ledger::Line::Making(resource)).unwrap();
        let client = Client { name: &name, image: &image, network: &network.name, claim: &claim };
        lab.engine().start_client(&client).await.map_err(|error| error.to_string())?;
        let found = lab.engine().container(&name).await.map_err(|error| error.to_string())?;
        let host = found.networks[&network.name].address.octets()[3];
        ensure(host < 128, || format!("Docker handed out host number {host}"))?;
    }
    ensure(network.subnet.virtual_address(0).is_some_and(|address| address.octets()[3] >= 128), || "the range is not kept".into())
}

async fn named_interfaces() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let session = lab.session(&lab.ground.client()).await;
    let Done::Links(links) = session.ask(Op::Links, LIMIT).await.unwrap().done else { return Err("no links".into()) };
    for interface in ["eth0", "net0"] {
        let network = lab.ground.network(interface).unwrap();
        let link = links.iter().find(|link| link.name == interface).ok_or_else(|| format!("no {interface} in {links:?}"))?;
        let found = lab.engine().container(&lab.ground.client()).await.unwrap().networks[&network.name].clone();
        let address = format!("{}/{}", found.address, found.prefix);
        ensure(link.up && link.addresses.contains(&address), || format!("{interface} is {link:?}, expected {address}"))?;
    }
    let filter = lab.engine().succeed(&lab.ground.client(), &["/plumb/agent", "interface", "name", "127.0.0.1", "lo"], LIMIT).await;
    ensure(filter.is_ok(), || format!("{filter:?}"))
}

async fn session() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0"]).await;
    let session = lab.session(&lab.ground.client()).await;
    let hello = session.hello(LIMIT).await.unwrap();
    ensure(hello.abilities.contains(&"packet".to_owned()), || format!("the client may do only {:?}", hello.abilities))?;
    let asked = futures::future::join_all((0..200).map(|_| session.ask(Op::Links, LIMIT))).await;
    ensure(asked.iter().all(Result::is_ok), || format!("{:?}", asked.iter().find(|one| one.is_err())))?;
    let streams = lab.engine().open(&lab.ground.client(), &["/plumb/agent", "serve"]).await.unwrap();
    let ended = plumb_engine::session::Session::over("client", streams.output, streams.input);
    let error = ended.hello(LIMIT).await.unwrap_err().to_string();
    ensure(error.contains("failed to read the command line"), || format!("it said: {error}"))
}

async fn upload() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0"]).await;
    let archive = plumb_engine::docker::tar_of_file("elsewhere/deep/agent", &agent().bytes);
    lab.engine().upload(&lab.ground.client(), archive.into()).await.map_err(|error| error.to_string())?;
    let ran = lab.engine().succeed(&lab.ground.client(), &["/elsewhere/deep/agent", "interface", "up", "lo"], LIMIT).await;
    ran.map(drop).map_err(|error| error.to_string())
}

async fn commands() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0"]).await;
    let client = lab.ground.client();
    let request = b"{\"id\":1,\"op\":\"hello\"}\n".as_slice();
    let ran = lab.engine().run(&client, &["/plumb/agent", "session"], Some(request), LIMIT).await.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure(ran.status == 0 && said.contains("\"id\":1"), || format!("{ran:?}"))?;
    let error = lab.engine().succeed(&client, &["/plumb/agent", "interface", "up", "nosuch0"], LIMIT).await.unwrap_err().to_string();
    let expected = format!("run `/plumb/agent interface up nosuch0` in {client}: exit status 1: plumb-agent: failed to set nosuch0 up: ");
    ensure(error.starts_with(&expected), || error.clone())?;
    // Its input is closed, so it ends at once.
    let ended = lab.engine().run(&client, &["/plumb/agent", "session"], None::<tokio::io::Empty>, Duration::from_secs(20)).await;
    ensure(ended.as_ref().is_ok_and(|ended| ended.status == 0), || format!("{ended:?}"))
}

async fn name_taken() -> Result<(), String> {
    let lab = Laid::with(&["eth0"]).await;
    let again = lab.engine().make_network(lab.ground.name(), Egress::None, &Claim::own("x")).await;
    match again {
        Err(DockerError::Refused { status: 409, operation, .. }) => {
            ensure(operation.contains(lab.ground.name()), || format!("it does not name it: {operation}"))
        }
        other => Err(format!("{other:?}")),
    }
}
