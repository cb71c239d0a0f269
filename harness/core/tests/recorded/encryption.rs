//! Marked flows from one worker, with WireGuard and without.

use plumb_core::frames::Summary;
use plumb_core::probe::{Canary, CaptureOp, CaptureSummary};
use plumb_core::verdict::Outcome::{self, Fail, Pass, Unknown};
use plumb_core::verdict::{CheckVerdict, judge};
use serde_json::{Value, json};

use super::world::{observations, plan};
use super::{recording, text};

/// Flow, marker, from, to; in the order of `wgtest.txt`.
const FLOWS: [(&str, &str, &str, &str); 6] = [
    ("pod-pod", "MARK-POD2POD-W2", "pod/here", "pod/there"),
    ("pod-pod-control", "MARK-POD2POD-CP", "pod/here", "pod/control"),
    ("pod-node", "MARK-POD2HOST-W2", "pod/here", "node/worker2"),
    ("node-node", "MARK-HOST2HOST-W2", "node/worker", "node/worker2"),
    ("node-control", "MARK-HOST2HOST-CP", "node/worker", "node/control-plane"),
    ("node-pod", "MARK-HOST2POD-W2", "node/worker", "pod/there"),
];

/// Addresses of control plane, worker and worker2 on the day.
struct Day {
    folder: &'static str,
    addresses: [&'static str; 3],
}

const WIREGUARD_17: Day = Day { folder: "wireguard-1.17", addresses: ["172.17.0.4", "172.17.0.3", "172.17.0.2"] };
const WIREGUARD_20: Day = Day { folder: "wireguard-1.20", addresses: ["172.17.0.2", "172.17.0.4", "172.17.0.3"] };
const PLAINTEXT_17: Day = Day { folder: "plaintext-1.17", addresses: ["172.17.0.4", "172.17.0.3", "172.17.0.2"] };

fn summary(folder: &str, interface: &str) -> CaptureSummary {
    let canaries = FLOWS.iter().map(|(flow, marker, ..)| Canary { name: (*flow).into(), text: (*marker).into() });
    let op = CaptureOp {
        interface: interface.into(),
        filter: Vec::new(),
        snaplen: 262_144,
        canaries: canaries.chain([Canary { name: "service".into(), text: "MARK-SVC".into() }]).collect(),
        vxlan_ports: vec![8472],
        wireguard_ports: vec![51871],
        pcapng_bytes_max: 0,
    };
    let recording = recording(&format!("{folder}/{interface}.pcap"));
    assert!(recording.whole, "{folder}/{interface}");
    let mut summary = Summary::on_link(&op, recording.link);
    for frame in &recording.frames {
        summary.frame(&frame.bytes, frame.wire_len, frame.at_ns);
    }
    summary.finish(0)
}

fn target(place: &str) -> Value {
    let (kind, name) = place.split_once('/').unwrap();
    json!({kind: name})
}

fn scenario(check: &Value) -> Value {
    let flows: Vec<Value> = FLOWS
        .iter()
        .map(|(flow, _, from, to)| json!({"l4": {"id": flow, "from": from, "to": target(to), "port": 8080, "protocol": "tcp"}}))
        .collect();
    let capture = |interface: &str| json!({"capture": {"on": "node/worker", "interface": interface}});
    json!([
        {"during": {"watch": {"eth0": capture("eth0"), "vxlan": capture("cilium_vxlan"), "wg0": capture("cilium_wg0")}, "steps": flows}},
        check
    ])
}

/// Which flows were answered: in `wgtest.txt` each has a line of its own, followed by its answers.
fn answers(folder: &str) -> Vec<Value> {
    let text = text(&format!("{folder}/wgtest.txt"));
    let mut lines = text.lines().peekable();
    let mut facts = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains(" -> ") && !line.contains("ClusterIP") {
            let answered = lines.peek().is_some_and(|answer| answer.contains("MARK-") || *answer == "hi");
            let failure = (!answered).then(|| json!({"class": "timeout", "phase": "connect", "alert": null, "detail": ""}));
            let attempt = json!({"atNs": 1, "local": null, "rttUs": answered.then_some(1), "failure": failure});
            facts.push(json!({"probe": {"attempt": 1, "target": line, "seen": {"l4": {"attempts": [attempt]}}}}));
        }
    }
    assert_eq!(facts.len(), FLOWS.len());
    facts
}

/// Judges one check on the recording; captures are changed by `with` before.
fn judged(day: &Day, check: &Value, with: impl Fn(&mut CaptureSummary)) -> CheckVerdict {
    let node = |name: &str, n: usize| json!({"name": format!("r-{name}"), "controlPlane": n == 0, "address": day.addresses[n], "podCidr": "", "links": []});
    let lab = json!({
        "provider": "kind", "system": "Cilium", "cilium": null, "client": [], "unmodelled": [], "faults": [], "phasesMs": {},
        "nodes": {"control-plane": node("control-plane", 0), "worker": node("worker", 1), "worker2": node("worker2", 2)},
    });
    let mut facts =
        vec![(None, json!({"began": {"version": 1, "plumb": "recorded", "unixS": 1, "monotonicNs": 1}})), (None, json!({"lab": lab}))];
    facts.extend(FLOWS.iter().zip(answers(day.folder)).map(|((flow, ..), fact)| (Some((*flow).to_owned()), fact)));
    for interface in ["eth0", "vxlan", "wg0"] {
        if day.folder == PLAINTEXT_17.folder && interface == "wg0" {
            continue;
        }
        let mut summary = summary(day.folder, interface);
        with(&mut summary);
        facts.push((Some(interface.to_owned()), json!({"capture": summary})));
    }
    facts.push((None, json!("ended")));
    let mut plan = plan(&scenario(check));
    plan.scenario.backends = serde_json::from_value(json!({
        "here": {"port": 8080, "node": "worker"}, "there": {"port": 8080, "node": "worker2"}, "control": {"port": 8080, "node": "control-plane"}
    }))
    .unwrap();
    let verdict = judge(&plan, &observations(facts));
    verdict.checks.into_iter().find(|check| check.id == "c").unwrap()
}

fn hidden(flow: &str, seen_in: &str) -> Value {
    json!({"never": {"id": "c", "canary": flow, "in": "eth0", "seenIn": seen_in}})
}

fn expect(day: &Day, check: &Value, outcome: Outcome, because: &str) {
    let found = judged(day, check, |_| {});
    assert_eq!(found.outcome, outcome, "{}: {found:#?}", day.folder);
    assert!(found.because.contains(because), "{}: expected `{because}` in {found:#?}", day.folder);
}

#[test]
fn the_decoder_finds_what_grep_found() {
    for day in [WIREGUARD_17, WIREGUARD_20, PLAINTEXT_17] {
        let markers = text(&format!("{}/markers.txt", day.folder));
        let mut compared = 0;
        for line in markers.lines().filter(|line| line.starts_with("MARK-")) {
            let (marker, rest) = line.split_once(" in ").unwrap();
            let (interface, count) = rest.split_once(": ").unwrap();
            let flow = FLOWS.iter().find(|(_, own, ..)| *own == marker).map_or("service", |(flow, ..)| flow);
            let summary = summary(day.folder, interface);
            let hits = summary.canaries.iter().find(|hits| hits.name == flow).unwrap();
            assert_eq!((hits.clear + hits.vxlan).to_string(), count, "{}: {line}", day.folder);
            compared += 1;
        }
        assert!(compared >= 14, "{}: {compared}", day.folder);
    }
}

#[test]
fn with_wireguard_payloads_are_hidden_and_the_control_sees_them() {
    for day in [WIREGUARD_17, WIREGUARD_20] {
        for (flow, seen_in) in [("pod-pod", "vxlan"), ("pod-pod", "wg0"), ("pod-pod-control", "vxlan"), ("pod-node", "wg0")] {
            expect(&day, &hidden(flow, seen_in), Pass, "not readable on eth0");
        }
        for flow in ["node-node", "node-pod"] {
            expect(&day, &hidden(flow, "wg0"), Pass, "WireGuard data messages between");
        }
    }
}

#[test]
fn the_control_planes_own_address_opts_out_of_node_encryption() {
    for day in [WIREGUARD_17, WIREGUARD_20] {
        expect(&day, &hidden("node-control", "wg0"), Fail, "payload in the clear");
        expect(&day, &json!({"count": {"id": "c", "in": "eth0", "canary": "node-control", "min": 1}}), Pass, "1 frames with the payload");
        expect(&day, &json!({"count": {"id": "c", "in": "wg0", "canary": "node-control", "max": 0}}), Pass, "0 frames with the payload");
    }
}

#[test]
fn without_encryption_every_payload_is_readable() {
    for flow in ["pod-pod", "pod-pod-control", "node-pod"] {
        expect(&PLAINTEXT_17, &hidden(flow, "vxlan"), Fail, "payload readable inside VXLAN");
    }
    for flow in ["pod-node", "node-node", "node-control"] {
        expect(&PLAINTEXT_17, &hidden(flow, "vxlan"), Fail, "payload in the clear");
    }
}

#[test]
fn a_control_that_cannot_see_the_flow_proves_nothing() {
    // Traffic between node addresses never crosses the overlay device.
    expect(&WIREGUARD_17, &hidden("node-node", "vxlan"), Unknown, "the control capture did not see the payload");
}

#[test]
fn a_recording_that_lost_frames_proves_no_absence_but_still_a_presence() {
    let lost = |summary: &mut CaptureSummary| summary.dropped = 1;
    let absence = judged(&WIREGUARD_17, &hidden("pod-pod", "vxlan"), lost);
    assert_eq!(absence.outcome, Unknown, "{absence:#?}");
    assert!(absence.because.contains("the capture lost frames"), "{absence:#?}");
    assert_eq!(judged(&PLAINTEXT_17, &hidden("pod-pod", "vxlan"), lost).outcome, Fail);
}

#[test]
fn ciphertext_between_other_nodes_does_not_count() {
    let elsewhere = |summary: &mut CaptureSummary| {
        summary.wireguard.pairs.retain(|pair, _| !pair.contains(WIREGUARD_17.addresses[2]));
    };
    let found = judged(&WIREGUARD_17, &hidden("pod-pod", "vxlan"), elsewhere);
    assert_eq!(found.outcome, Unknown, "{found:#?}");
    assert!(found.because.contains("no ciphertext between the two nodes"), "{found:#?}");
}
