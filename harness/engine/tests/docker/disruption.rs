//! What the agent does to a container when a scenario asks for trouble: as in a node, there is no other program to do it with.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use plumb_core::probe::{
    CutOp, CutPeer, CutPower, Done, LinkOp, LinkPower, LinkReport, Op, PingOp, PingOutcome, ProcessReport, ProcessSignal, SignalOp,
};
use plumb_engine::docker::tar_of_file;
use plumb_engine::session::Session;

use crate::{LIMIT, Laid, Named, agent, ensure, run};

pub(crate) const TRIALS: &[Named] = &[
    ("a_link_set_down_and_up_has_its_addresses_and_routes_again", || run(link())),
    ("a_cut_drops_packets_of_one_address_until_it_is_healed", || run(cut())),
    ("one_process_stands_still_while_the_others_of_its_container_run", || run(stopped())),
    ("a_killed_process_is_gone_and_the_one_in_its_place_is_another", || run(killed())),
];

async fn ask(session: &Session, op: Op) -> Result<Done, String> {
    Ok(session.ask(op, LIMIT).await.map_err(|error| error.to_string())?.done)
}

async fn set(session: &Session, interface: &str, power: LinkPower, restore: &[LinkReport]) -> Result<LinkReport, String> {
    let restore = restore.iter().flat_map(|report| report.objects.clone()).collect();
    match ask(session, Op::Link(LinkOp { interface: interface.into(), power, restore })).await? {
        Done::Link(report) => Ok(report),
        other => Err(format!("{other:?}")),
    }
}

fn words(report: &LinkReport) -> Vec<&str> {
    report.objects.iter().map(|object| object.words.as_str()).collect()
}

async fn link() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let session = lab.session(&lab.ground.client()).await;
    let gateway = lab.ground.network("eth0").unwrap().subnet.gateway();
    let default = format!("route default via {gateway} dev eth0");
    for interface in ["eth0", "net0"] {
        let down = set(&session, interface, LinkPower::Down, &[]).await?;
        let Done::Links(links) = ask(&session, Op::Links).await? else { return Err("no links".into()) };
        ensure(links.iter().any(|link| link.name == interface && !link.up), || format!("{interface} is not down: {links:?}"))?;
        ensure(links.iter().any(|link| link.name != interface && link.name != "lo" && link.up), || {
            format!("the other is down: {links:?}")
        })?;
        let up = set(&session, interface, LinkPower::Up, std::slice::from_ref(&down)).await?;
        if words(&down).contains(&default.as_str()) {
            ensure(words(&up).contains(&default.as_str()), || format!("{default} had to be brought back: {:?}", words(&up)))?;
        }
        // What it has now is what it had.
        let again = set(&session, interface, LinkPower::Down, &[]).await?;
        ensure(words(&again) == words(&down), || format!("{interface} had {:?} and has {:?}", words(&down), words(&again)))?;
        set(&session, interface, LinkPower::Up, &[again]).await?;
    }
    for interface in ["eth0", "net0"] {
        let gateway = lab.ground.network(interface).unwrap().subnet.gateway();
        ensure(reaches(&session, gateway).await, || format!("{gateway} is not reached after {interface} came back"))?;
    }
    Ok(())
}

/// Whether an address answers; what is dropped on the way out may be told to the sender.
async fn reaches(session: &Session, address: Ipv4Addr) -> bool {
    let op =
        PingOp { target: IpAddr::V4(address), source: None, size: 0, dont_fragment: false, count: 2, interval_ms: 100, timeout_ms: 500 };
    match session.ask(Op::Ping(op), LIMIT).await.map(|outcome| outcome.done) {
        Ok(Done::Ping(report)) => report.attempts.iter().any(|attempt| matches!(attempt.outcome, PingOutcome::Reply { .. })),
        _ => false,
    }
}

async fn cut() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let session = lab.session(&lab.ground.client()).await;
    let gateway = |interface: &str| lab.ground.network(interface).unwrap().subnet.gateway();
    let (cut_off, other) = (gateway("net0"), gateway("eth0"));
    ensure(reaches(&session, cut_off).await && reaches(&session, other).await, || "nothing is reached before".into())?;
    let peer = CutPeer { address: IpAddr::V4(cut_off), port: None };
    let op = |power, from| Op::Cut(CutOp { name: "test".into(), power, from });
    ask(&session, op(CutPower::Cut, vec![peer])).await?;
    ensure(!reaches(&session, cut_off).await, || format!("{cut_off} is reached though it is cut off"))?;
    ensure(reaches(&session, other).await, || format!("{other} is cut off too"))?;
    // A session of its own can heal it: nothing has to be remembered.
    let session = lab.session(&lab.ground.client()).await;
    let Done::Cut(healed) = ask(&session, op(CutPower::Heal, Vec::new())).await? else { return Err("no report".into()) };
    ensure(healed.dropped > 0, || "no packet was counted".into())?;
    ensure(reaches(&session, cut_off).await, || format!("{cut_off} is not reached after it was healed"))
}

/// A lab in whose client a copy of the agent runs under another name, with a session to it.
async fn with_program(name: &str) -> Result<(Laid, Session), String> {
    let lab = Laid::with_client(&["eth0"]).await;
    let client = lab.ground.client();
    let archive = tar_of_file(&format!("plumb/{name}"), &agent().bytes);
    lab.engine().upload(&client, archive.into()).await.map_err(|error| error.to_string())?;
    let session = start(&lab, name).await?;
    Ok((lab, session))
}

async fn start(lab: &Laid, name: &str) -> Result<Session, String> {
    let program = format!("/plumb/{name}");
    let streams = lab.engine().open(&lab.ground.client(), &[&program, "session"]).await.map_err(|error| error.to_string())?;
    let session = Session::over(name, streams.output, streams.input);
    session.hello(LIMIT).await.map_err(|error| error.to_string())?;
    Ok(session)
}

async fn signal(session: &Session, process: &str, signal: ProcessSignal) -> Result<ProcessReport, String> {
    match ask(session, Op::Signal(SignalOp { process: process.into(), signal, limit_ms: 5_000 })).await? {
        Done::Processes(report) => Ok(report),
        other => Err(format!("{other:?}")),
    }
}

async fn stopped() -> Result<(), String> {
    let (lab, victim) = with_program("victim").await?;
    let bystander = lab.session(&lab.ground.client()).await;
    let report = signal(&bystander, "victim", ProcessSignal::Stop).await?;
    ensure(report.processes.len() == 1, || format!("{report:?}"))?;
    let silent = victim.ask(Op::Links, Duration::from_millis(500)).await;
    ensure(silent.is_err(), || "it answered while it stood still".into())?;
    ask(&bystander, Op::Links).await?;
    signal(&bystander, "victim", ProcessSignal::Continue).await?;
    ask(&victim, Op::Links).await.map(drop)
}

async fn killed() -> Result<(), String> {
    let (lab, victim) = with_program("victim").await?;
    let bystander = lab.session(&lab.ground.client()).await;
    let killed = signal(&bystander, "victim", ProcessSignal::Kill).await?;
    ensure(victim.ask(Op::Links, LIMIT).await.is_err(), || "its session goes on".into())?;
    let list = Op::Processes { process: "victim".into() };
    let Done::Processes(gone) = ask(&bystander, list.clone()).await? else { return Err("no report".into()) };
    ensure(gone.processes.is_empty(), || format!("it is still there: {gone:?}"))?;
    let _again = start(&lab, "victim").await?;
    let Done::Processes(now) = ask(&bystander, list).await? else { return Err("no report".into()) };
    ensure(now.processes.len() == 1 && now.processes != killed.processes, || format!("{now:?} after {killed:?}"))?;
    let nobody = signal(&bystander, "nobody", ProcessSignal::Kill).await.unwrap_err();
    ensure(nobody.contains("no process of this name"), || nobody.clone())
}
