//! A node cut off from the API or from the other nodes by the packet filter of its own namespace, and healed.
//!
//! That nothing answers afterwards counts only because it did before: who is cut off is asked first.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use plumb_core::evidence::{Disrupted, Disruption, Fact, Trouble};
use plumb_core::probe::{CutOp, CutPeer, CutPower, Done, L4Op, Op, PingOp, PingOutcome};
use plumb_core::scenario::model::{CutFrom, PartitionAction, PartitionStep};

use super::super::scene::Scene;
use super::{AT_ONCE, Standing, Victim, ask, author_trouble, awake, confused, control_plane, disrupted, lab_trouble};

/// Where the API server listens on a control plane, as kubeadm has it; the reference network does the same.
const API_PORT: u16 = 6443;
/// How long whoever is on the same wire may take to answer.
const ANSWER_MS: u64 = 1_000;

/// The pause before somebody who did not answer is asked again.
const PACE: Duration = Duration::from_millis(50);

pub(in super::super) async fn partition(scene: &Scene, step: &PartitionStep, id: &str) -> Result<(), Trouble> {
    let whom = in_words(step.from);
    let operation = match step.action {
        PartitionAction::Cut => format!("cut node {} off from {whom}", step.node),
        PartitionAction::Heal => format!("heal the wires from node {} to {whom}", step.node),
    };
    let victim = awake(scene, &step.node, &operation).await?;
    let standing = Standing::Cut { node: victim.clone(), from: step.from };
    let disrupted = match step.action {
        PartitionAction::Cut => cut(scene, &victim, step.from, &operation).await?,
        PartitionAction::Heal => {
            if scene.standing().find(|other| *other == standing).is_none() {
                return Err(author_trouble(&operation, "no earlier step has cut them".into()));
            }
            let healed = heal(scene, &victim, step.from, &operation).await?;
            scene.standing().done(&standing);
            healed
        }
    };
    scene.record(Some(id), Fact::Disrupted(disrupted));
    Ok(())
}

fn in_words(from: CutFrom) -> &'static str {
    match from {
        CutFrom::Api => "the API server",
        CutFrom::Nodes => "the other nodes",
    }
}

async fn cut(scene: &Scene, victim: &Victim, from: CutFrom, operation: &str) -> Result<Disrupted, Trouble> {
    let peers = peers(scene, victim, from, operation)?;
    let asked = asked(scene, victim, from);
    for peer in &asked {
        if !answers(scene, victim, *peer, from, operation).await? {
            return Err(lab_trouble(operation, format!("{peer} does not answer before anything is cut")));
        }
    }
    let op = CutOp { name: name(from).to_owned(), power: CutPower::Cut, from: peers };
    let Done::Cut(report) = ask(scene, victim, Op::Cut(op), AT_ONCE, operation).await? else { return Err(confused(operation)) };
    scene.standing().push(Standing::Cut { node: victim.clone(), from });
    let mut details = Vec::new();
    for peer in &asked {
        if answers(scene, victim, *peer, from, operation).await? {
            return Err(lab_trouble(operation, format!("{peer} still answers: packets go past the node's packet filter")));
        }
        details.push(format!("{peer} answered before and not since"));
    }
    let what = Disruption::Partition { from, action: PartitionAction::Cut };
    Ok(disrupted(scene, &victim.logical, what, report.at_ns, details))
}

pub(super) async fn heal(scene: &Scene, victim: &Victim, from: CutFrom, operation: &str) -> Result<Disrupted, Trouble> {
    let op = CutOp { name: name(from).to_owned(), power: CutPower::Heal, from: Vec::new() };
    let Done::Cut(report) = ask(scene, victim, Op::Cut(op), AT_ONCE, operation).await? else { return Err(confused(operation)) };
    let mut details = vec![format!("{} packets were dropped", report.dropped)];
    for peer in asked(scene, victim, from) {
        let again = async {
            while !answers(scene, victim, peer, from, operation).await? {
                tokio::time::sleep(PACE).await;
            }
            Ok::<_, Trouble>(())
        };
        match tokio::time::timeout(AT_ONCE, again).await {
            Ok(done) => done?,
            Err(_) => return Err(lab_trouble(operation, format!("{peer} does not answer within {} ms", AT_ONCE.as_millis()))),
        }
        details.push(format!("{peer} answers again"));
    }
    let what = Disruption::Partition { from, action: PartitionAction::Heal };
    Ok(disrupted(scene, &victim.logical, what, report.at_ns, details))
}

fn name(from: CutFrom) -> &'static str {
    match from {
        CutFrom::Api => "api",
        CutFrom::Nodes => "nodes",
    }
}

/// Whose packets are dropped.
fn peers(scene: &Scene, victim: &Victim, from: CutFrom, operation: &str) -> Result<Vec<CutPeer>, Trouble> {
    if from == CutFrom::Api && control_plane(scene, &victim.logical) {
        return Err(author_trouble(operation, "the API server runs on it: pause the API instead".into()));
    }
    let mut peers: Vec<CutPeer> = Vec::new();
    for (_, facts) in others(scene, victim, from) {
        let own = facts.address.parse::<IpAddr>().into_iter();
        let networks = &scene.plan.scenario.lab.networks;
        let links = facts.links.iter().filter(|link| from == CutFrom::Nodes && networks.contains(&link.name));
        let linked = links.flat_map(|link| &link.addresses).filter_map(|text| text.split('/').next()?.parse().ok());
        let port = (from == CutFrom::Api).then_some(API_PORT);
        let more: Vec<CutPeer> = own.chain(linked).map(|address| CutPeer { address, port }).collect();
        peers.extend(more.into_iter().filter(|peer| !link_local(peer.address)));
    }
    peers.sort_by_key(|peer| peer.address);
    peers.dedup();
    Ok(peers)
}

/// Who is asked whether the wire is cut: the address of each node there is, or the API server of each control plane.
fn asked(scene: &Scene, victim: &Victim, from: CutFrom) -> Vec<SocketAddr> {
    let addresses = others(scene, victim, from).filter_map(|(_, facts)| facts.address.parse::<IpAddr>().ok());
    addresses.map(|address| SocketAddr::new(address, API_PORT)).collect()
}

fn others<'a>(
    scene: &'a Scene,
    victim: &'a Victim,
    from: CutFrom,
) -> impl Iterator<Item = (&'a String, &'a plumb_core::evidence::NodeFacts)> {
    let gone = |logical: &str| {
        let newest = scene.recorder.last(|fact| match fact {
            Fact::Node { node, action, .. } if node == logical => Some(*action),
            _ => None,
        });
        matches!(newest, Some(plumb_core::scenario::model::NodeAction::Stop | plumb_core::scenario::model::NodeAction::Pause))
    };
    let nodes = scene.facts.nodes.iter().filter(move |(logical, _)| **logical != victim.logical && !gone(logical));
    nodes.filter(move |(_, facts)| from == CutFrom::Nodes || facts.control_plane)
}

fn link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether somebody answers: the API server by taking a connection, a node by ICMP. Whoever sends what its own packet filter drops may be
/// told so; that is no answer.
async fn answers(scene: &Scene, victim: &Victim, peer: SocketAddr, from: CutFrom, operation: &str) -> Result<bool, Trouble> {
    let (count, interval_ms, timeout_ms) = (1, 0, ANSWER_MS);
    let op = match from {
        CutFrom::Api => Op::Tcp(L4Op { target: peer, source: None, payload: "?".into(), count, interval_ms, timeout_ms }),
        CutFrom::Nodes => {
            Op::Ping(PingOp { target: peer.ip(), source: None, size: 0, dont_fragment: false, count, interval_ms, timeout_ms })
        }
    };
    match ask(scene, victim, op, Duration::from_millis(ANSWER_MS) + AT_ONCE, operation).await? {
        // What the server thinks of one question mark is not asked.
        Done::L4(report) => Ok(report.attempts.iter().any(|attempt| attempt.local.is_some())),
        Done::Ping(report) => Ok(report.attempts.iter().any(|attempt| matches!(attempt.outcome, PingOutcome::Reply { .. }))),
        _ => Err(confused(operation)),
    }
}
