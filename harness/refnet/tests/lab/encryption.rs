//! What is seen on the underlay: ciphertext where encryption is asked for, and plain text where it is not or where a fault leaks.

use libtest_mimic::Trial;
use plumb_core::probe::{Body, Canary, CaptureOp, CaptureSummary, Done, L4Op, Op};
use plumb_refnet::fault::Fault;
use serde_json::{Value, json};

use crate::world::{World, spec, trial};

const CANARY: &str = "plumbline-canary-0123456789abcdef";

pub(crate) fn trials() -> Vec<Trial> {
    let on = |node: bool| wireguard(node);
    vec![
        trial("pods_of_two_nodes_speak_in_the_clear_without_encryption", async || {
            let seen = pair(&[], &[], Pair::PODS).await;
            assert!(seen.canaries[0].vxlan > 0 && wg(&seen) == 0, "{seen:?}");
        }),
        trial("pods_of_two_nodes_speak_in_ciphertext_only", async move || {
            let seen = pair(&on(false), &[], Pair::PODS).await;
            assert!(hidden(&seen), "{seen:?}");
        }),
        trial("nodes_speak_in_the_clear_without_node_encryption", async move || {
            let seen = pair(&on(false), &[], Pair::NODES).await;
            assert!(seen.canaries[0].clear > 0, "{seen:?}");
        }),
        trial("nodes_speak_in_ciphertext_with_node_encryption", async move || {
            let seen = pair(&on(true), &[], Pair::NODES).await;
            assert!(hidden(&seen), "{seen:?}");
        }),
        trial("pod_and_remote_node_speak_in_ciphertext_with_node_encryption", async move || {
            let seen = pair(&on(true), &[], Pair::POD_NODE).await;
            assert!(hidden(&seen), "{seen:?}");
        }),
        trial("node_and_remote_pod_speak_in_ciphertext", async move || {
            let seen = pair(&on(true), &[], Pair::NODE_POD).await;
            assert!(hidden(&seen), "{seen:?}");
        }),
        trial("control_plane_opts_out_of_node_encryption", async move || {
            let seen = pair(&on(true), &[], Pair::CONTROL).await;
            assert!(seen.canaries[0].clear > 0, "{seen:?}");
        }),
        trial("pods_on_the_control_plane_are_encrypted", async move || {
            let seen = pair(&on(true), &[], Pair { from: "pod/default/control", to: To::Pod }).await;
            assert!(hidden(&seen), "{seen:?}");
        }),
        leaks("encryption_off_is_seen", Fault::EncryptionOff, Pair::PODS),
        leaks("one_direction_in_the_clear_is_seen", Fault::EncryptionOneWay, Pair::PODS),
        leaks("pod_to_node_leak_is_seen", Fault::EncryptionPodToNodeLeaks, Pair::POD_NODE),
        leaks("first_packets_in_the_clear_are_seen", Fault::EncryptionFirstPacketsLeak, Pair::PODS),
        leaks("replies_in_the_clear_are_seen", Fault::EncryptionRepliesLeak, Pair::PODS),
        trial("pod_that_is_being_deleted_is_still_encrypted", async || {
            let seen = terminating(&[]).await;
            assert!(hidden(&seen), "{seen:?}");
        }),
        trial("pod_that_is_being_deleted_and_leaks_is_seen", async || {
            let seen = terminating(&[Fault::EncryptionTerminatingPodLeaks]).await;
            assert!(seen.canaries[0].vxlan > 0, "{seen:?}");
        }),
        trial("large_transfer_through_wireguard_arrives_whole", large_transfer),
    ]
}

/// Who speaks with whom.
#[derive(Clone, Copy)]
struct Pair {
    from: &'static str,
    to: To,
}

#[derive(Clone, Copy)]
enum To {
    Pod,
    Node(&'static str),
}

impl Pair {
    const PODS: Pair = Pair { from: "pod/default/one", to: To::Pod };
    const NODES: Pair = Pair { from: "node/worker", to: To::Node("10.9.0.4") };
    const POD_NODE: Pair = Pair { from: "pod/default/one", to: To::Node("10.9.0.4") };
    const NODE_POD: Pair = Pair { from: "node/worker", to: To::Pod };
    const CONTROL: Pair = Pair { from: "node/worker", to: To::Node("10.9.0.2") };
}

fn leaks(name: &str, fault: Fault, who: Pair) -> Trial {
    trial(name, async move || {
        let seen = pair(&wireguard(true), &[fault], who).await;
        assert!(seen.canaries[0].clear + seen.canaries[0].vxlan > 0, "{seen:?}");
    })
}

fn wireguard(node: bool) -> Vec<(&'static str, Value)> {
    vec![("encryption.enabled", json!(true)), ("encryption.type", json!("wireguard")), ("encryption.nodeEncryption", json!(node))]
}

fn hidden(seen: &CaptureSummary) -> bool {
    seen.canaries[0].clear == 0 && seen.canaries[0].vxlan == 0 && wg(seen) >= 4 && !seen.kinds.contains_key("vxlan") && seen.dropped == 0
}

fn wg(seen: &CaptureSummary) -> u64 {
    seen.kinds.get("wireguard").map_or(0, |volume| volume.frames)
}

/// A Pod speaks after it was deleted, while its grace lasts.
async fn terminating(faults: &[Fault]) -> CaptureSummary {
    let world = World::start(&spec(&wireguard(false), faults)).await;
    world.pod("one", "worker", 8080).await;
    let two = world.pod("two", "worker2", 8080).await;
    assert_eq!(world.echo("pod/default/one", &two, 8080, "are you there").await, 1);
    let pods = kube::Api::<k8s_openapi::api::core::v1::Pod>::default_namespaced(world.client.clone());
    pods.delete("one", &Default::default()).await.unwrap();
    let leaving = |pod: Option<&k8s_openapi::api::core::v1::Pod>| pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    kube::runtime::wait::await_condition(pods, "one", leaving).await.unwrap();
    let mut seen = watched(&world, "node/worker", "pod/default/one", &two, 8080).await;
    // The node hears of the deletion when its watch does: a few packets may be early.
    for _ in 0..3 {
        if !faults.is_empty() && seen.canaries[0].vxlan == 0 {
            seen = watched(&world, "node/worker", "pod/default/one", &two, 8080).await;
        }
    }
    world.close().await;
    seen
}

/// Sends a canary and back while the first node's `eth0` is watched.
async fn pair(values: &[(&str, Value)], faults: &[Fault], who: Pair) -> CaptureSummary {
    let world = World::start(&spec(values, faults)).await;
    world.pod("one", "worker", 8080).await;
    let two = world.pod("two", "worker2", 8080).await;
    if who.from.ends_with("control") {
        world.pod("control", "control-plane", 8080).await;
    }
    let target = match who.to {
        To::Pod => two,
        To::Node(address) => {
            world.host_pod("host-worker2", "worker2", 9090).await;
            world.host_pod("host-control", "control-plane", 9090).await;
            address.to_owned()
        }
    };
    let port = if matches!(who.to, To::Pod) { 8080 } else { 9090 };
    let watched = if who.from.ends_with("control") { "node/control-plane" } else { "node/worker" };
    let seen = self::watched(&world, watched, who.from, &target, port).await;
    world.close().await;
    seen
}

/// Captures `eth0` at a node while a canary goes there and back.
async fn watched(world: &World, at: &str, from: &str, target: &str, port: u16) -> CaptureSummary {
    let mut capture = world.agent(at).await;
    let canary = Canary { name: "c".to_owned(), text: CANARY.to_owned() };
    let op: CaptureOp = serde_json::from_value(json!({"interface": "eth0", "canaries": [canary], "snaplen": 2000})).unwrap();
    let id = capture.begin(Op::Capture(op)).await;
    assert!(matches!(capture.next(id).await, Body::Started(_)));
    assert_eq!(world.echo(from, target, port, CANARY).await, 1, "{} -> {target}:{port}", from);
    capture.begin(Op::Stop { of: id }).await;
    let Done::Capture(seen) = capture.end(id).await else { panic!("not a capture") };
    seen
}

/// Segments, checksums and reassembly: 300 kB each way through VXLAN in WireGuard.
async fn large_transfer() {
    let world = World::start(&spec(&wireguard(true), &[])).await;
    world.pod("one", "worker", 8080).await;
    let two = world.pod("two", "worker2", 8080).await;
    let payload = "0123456789".repeat(30_000);
    assert_eq!(world.echo("pod/default/one", &two, 8080, &payload).await, 1);
    let target = std::net::SocketAddr::new(two.parse().unwrap(), 8080);
    let op = L4Op { target, source: None, payload, count: 5, interval_ms: 0, timeout_ms: 3000 };
    let Done::L4(report) = world.agent("node/control-plane").await.ask(Op::Tcp(op)).await else { panic!("not an echo report") };
    assert!(report.attempts.iter().all(|attempt| attempt.rtt_us.is_some()), "{:?}", report.attempts);
    world.close().await;
}
