//! L2 announcements over whole nodes: one answers, it holds the lease, and another takes over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use libtest_mimic::Trial;
use plumb_core::probe::{ArpOp, Done, Op, ProcessSignal, SignalOp};
use plumb_core::scenario::model::NodeAction;
use serde_json::{Value, json};

use crate::world::{World, spec, trial};

const ADDRESS: &str = "10.10.0.220";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("holder_of_the_lease_answers_and_another_takes_over", holder_of_the_lease_answers_and_another_takes_over),
        trial("a_killed_agent_is_started_again_and_answers", a_killed_agent_is_started_again_and_answers),
    ]
}

/// Announcements with a lease of this long.
fn announcing(lease: &str) -> [(&'static str, Value); 5] {
    [
        ("l2announcements.enabled", json!(true)),
        ("l2announcements.leaseDuration", json!(lease)),
        ("l2announcements.leaseRenewDeadline", json!("800ms")),
        ("l2announcements.leaseRetryPeriod", json!("200ms")),
        ("devices", json!(["eth0", "net0"])),
    ]
}

async fn a_killed_agent_is_started_again_and_answers() {
    // Long enough for a busy machine to start a process in.
    let world = World::start(&spec(&announcing("20s"), &[])).await;
    announced(&world).await;
    let (first, macs) = settled(&world, None).await;
    let mut agent = world.agent(&format!("node/{first}")).await;
    let process = plumb_refnet::node::AGENT_PROCESS.to_owned();
    let kill = SignalOp { process: process.clone(), signal: ProcessSignal::Kill, limit_ms: 5_000 };
    let Done::Processes(killed) = agent.ask(Op::Signal(kill)).await else { panic!("not a report") };
    assert_eq!(killed.processes.len(), 1, "other nodes have agents too, and namespaces of their own");
    let limit = Instant::now() + Duration::from_secs(12);
    loop {
        let Done::Processes(now) = agent.ask(Op::Processes { process: process.clone() }).await else { panic!("not a report") };
        if now.processes.len() == 1 && now.processes != killed.processes {
            break;
        }
        assert!(Instant::now() < limit, "it is not started again: {now:?}");
    }
    assert_eq!(settled(&world, None).await, (first, macs));
    world.close().await;
}

async fn holder_of_the_lease_answers_and_another_takes_over() {
    let world = World::start(&spec(&announcing("2s"), &[])).await;
    announced(&world).await;
    let (first, macs) = settled(&world, None).await;
    assert_eq!(macs, BTreeSet::from([mac(&world, &first)]), "{first} holds the lease");
    let cut = Instant::now();
    world.lab.node(&first, NodeAction::Stop).await.unwrap();
    let (second, macs) = settled(&world, Some(&first)).await;
    assert_eq!(macs, BTreeSet::from([mac(&world, &second)]), "{second} holds the lease");
    assert!(cut.elapsed() > Duration::from_secs(1), "a lease is waited out");
    world.close().await;
}

/// A Service with an external address, and a policy for it on `net0` of the workers.
async fn announced(world: &World) {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "web", "labels": {"color": "red"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], "externalIPs": [ADDRESS]},
    }))
    .unwrap();
    Api::<Service>::default_namespaced(world.client.clone()).create(&PostParams::default(), &service).await.unwrap();
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("cilium.io", "v2alpha1", "CiliumL2AnnouncementPolicy"),
        "ciliuml2announcementpolicies",
    );
    let policy = json!({
        "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumL2AnnouncementPolicy", "metadata": {"name": "red"},
        "spec": {
            "serviceSelector": {"matchLabels": {"color": "red"}},
            "nodeSelector": {"matchExpressions": [{"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}]},
            "interfaces": ["^net0$"], "externalIPs": true,
        },
    });
    let policies = Api::<DynamicObject>::all_with(world.client.clone(), &kind);
    policies.patch("red", &PatchParams::apply("test"), &Patch::Apply(policy)).await.unwrap();
}

/// Waits until somebody other than `but` holds the lease and the address is answered; who, and by which hardware addresses.
async fn settled(world: &World, but: Option<&str>) -> (String, BTreeSet<String>) {
    let leases = Api::<Lease>::namespaced(world.client.clone(), "kube-system");
    let limit = Instant::now() + Duration::from_secs(12);
    let mut client = world.agent("client").await;
    loop {
        assert!(Instant::now() < limit, "nobody took over: {:?}", leases.list(&Default::default()).await);
        let lease = leases.get_opt("cilium-l2announce-default-web").await.unwrap();
        let holder =
            lease.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty() && Some(holder.as_str()) != but);
        let op: ArpOp = serde_json::from_value(json!({"interface": "net0", "target": ADDRESS})).unwrap();
        let Done::Arp(report) = client.ask(Op::Arp(op)).await else { panic!("not an ARP report") };
        let replies = report.frames.into_iter().filter(|frame| frame.operation == 2);
        let answers: BTreeSet<String> = replies.map(|frame| frame.sender_mac).collect();
        if let Some(holder) = holder.filter(|_| !answers.is_empty()) {
            return (holder, answers);
        }
    }
}

fn mac(world: &World, node: &str) -> String {
    let links = &world.lab.ready().nodes[node].links;
    links.iter().find(|link| link.name == "net0").and_then(|link| link.mac.clone()).unwrap()
}
