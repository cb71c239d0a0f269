//! `never`, `count` of payloads and the second hop: what was not seen counts only with its controls.

use plumb_core::verdict::Outcome::{Fail, Pass, Unknown};
use serde_json::{Value, json};

use super::world::{answer, check, probe, server, session};

/// A capture that saw the payload so often, with so many WireGuard data messages each way between worker and worker2.
fn capture(interface: &str, clear: u64, vxlan: u64, data: (u64, u64)) -> Value {
    let first =
        if clear + vxlan > 0 { json!([{"number": 7, "atNs": 5, "what": "10.9.0.3 > 10.9.0.4 VXLAN 1 | a > b TCP"}]) } else { json!([]) };
    json!({"capture": {
        "interface": interface, "fromNs": 0, "toNs": 9, "frames": 100, "bytes": 9000, "dropped": 0, "truncated": 0, "undecodable": 0,
        "kinds": {"esp": {"frames": data.0, "bytes": 1}},
        "wireguard": {"initiation": 1, "response": 1, "cookie": 0, "data": data.0 + data.1, "keepalive": 0, "dataBytes": 1,
            "pairs": {"10.9.0.3>10.9.0.4": data.0, "10.9.0.4>10.9.0.3": data.1, "10.9.0.3>10.9.0.2": 50, "10.9.0.2>10.9.0.3": 50}},
        "tlsRecords": {}, "canaries": [{"name": "sent", "clear": clear, "vxlan": vxlan, "first": first}], "pcapngComplete": true,
    }})
}

fn with(mut capture: Value, key: &str, value: Value) -> Value {
    capture["capture"][key] = value;
    capture
}

fn steps(check: Value) -> Value {
    json!([
        {"during": {
            "watch": {
                "wire": {"capture": {"on": "node/worker", "interface": "eth0"}},
                "overlay": {"capture": {"on": "node/worker", "interface": "cilium_vxlan"}}
            },
            "steps": [{"l4": {"id": "sent", "from": "pod/pod-a", "to": {"pod": "pod-b"}, "port": 7000, "protocol": "tcp", "count": 2}}]
        }},
        check
    ])
}

fn echoes(came_back: bool) -> Value {
    let attempt = if came_back {
        json!({"atNs": 1, "local": null, "rttUs": 80, "failure": null})
    } else {
        json!({"atNs": 1, "local": null, "rttUs": null, "failure": {"class": "timeout", "phase": "connect", "alert": null, "detail": ""}})
    };
    probe(1, json!({"l4": {"attempts": [attempt, attempt]}}))
}

#[test]
fn an_absence_counts_only_with_its_controls() {
    let never = steps(json!({"never": {"id": "hidden", "canary": "sent", "in": "wire", "seenIn": "overlay"}}));
    let (sent, overlay) = (("sent", echoes(true)), ("overlay", capture("cilium_vxlan", 4, 0, (0, 0))));
    let wire = |clear, vxlan, data| ("wire", capture("eth0", clear, vxlan, data));
    let lost = |summary: (&'static str, Value)| (summary.0, with(summary.1, "dropped", json!(3)));
    let broken = json!({"watchBroken": {"whose": "lab", "operation": "agent session", "message": "ended"}});
    let cases = [
        ("all controls there", vec![sent.clone(), wire(0, 0, (9, 8)), overlay.clone()], Pass, "not readable on eth0"),
        ("readable in vxlan", vec![sent.clone(), wire(0, 2, (9, 8)), overlay.clone()], Fail, "payload readable inside VXLAN: 2 frames"),
        ("readable in the clear", vec![sent.clone(), wire(1, 0, (9, 8)), overlay.clone()], Fail, "payload in the clear: 1 frames"),
        ("readable though frames were lost", vec![sent.clone(), lost(wire(1, 0, (9, 8)))], Fail, "payload in the clear"),
        ("readable though nothing else is there", vec![wire(1, 0, (0, 0))], Fail, "payload in the clear"),
        ("frames lost", vec![sent.clone(), lost(wire(0, 0, (9, 8))), overlay.clone()], Unknown, "the capture lost frames"),
        ("no ciphertext", vec![sent.clone(), wire(0, 0, (0, 0)), overlay.clone()], Unknown, "no ciphertext between the two nodes"),
        ("one direction only", vec![sent.clone(), wire(0, 0, (9, 0)), overlay.clone()], Unknown, "no ciphertext between the two nodes"),
        ("less ciphertext", vec![sent.clone(), wire(0, 0, (1, 1)), overlay.clone()], Unknown, "too little ciphertext between"),
        (
            "control blind",
            vec![sent.clone(), wire(0, 0, (9, 8)), ("overlay", capture("cilium_vxlan", 0, 0, (0, 0)))],
            Unknown,
            "the control capture did not see the payload",
        ),
        (
            "control lost frames",
            vec![sent.clone(), wire(0, 0, (9, 8)), lost(("overlay", capture("cilium_vxlan", 0, 0, (0, 0))))],
            Unknown,
            "the capture lost frames: 3 dropped",
        ),
        (
            "capture blind",
            vec![sent.clone(), ("wire", with(capture("eth0", 0, 0, (9, 8)), "frames", json!(0))), overlay.clone()],
            Unknown,
            "the capture saw nothing at all",
        ),
        ("not answered", vec![("sent", echoes(false)), wire(0, 0, (9, 8)), overlay.clone()], Unknown, "was not answered"),
        ("never sent", vec![wire(0, 0, (9, 8)), overlay.clone()], Unknown, "was not answered"),
        ("capture broken", vec![sent.clone(), ("wire", broken), overlay.clone()], Unknown, "the watch did not end well"),
        ("capture missing", vec![sent.clone(), overlay.clone()], Unknown, "there is no evidence of the watch"),
        ("control missing", vec![sent.clone(), wire(0, 0, (9, 8))], Unknown, "there is no evidence of the watch"),
        (
            "not looked for",
            vec![sent.clone(), ("wire", with(capture("eth0", 0, 0, (9, 8)), "canaries", json!([]))), overlay],
            Unknown,
            "did not look for",
        ),
    ];
    for (what, facts, outcome, because) in cases {
        check(what, &never, &facts, "hidden", outcome, because);
    }
}

#[test]
fn what_stands_in_place_of_the_payload_is_as_asked() {
    let (sent, overlay) = (("sent", echoes(true)), ("overlay", capture("cilium_vxlan", 4, 0, (0, 0))));
    let tls = |n: u64| ("wire", with(capture("eth0", 0, 0, (0, 0)), "tlsRecords", json!({"applicationData": n})));
    let cases = [
        ("esp", ("wire", capture("eth0", 0, 0, (4, 0))), Pass, "4 ESP packets are there instead"),
        ("esp", ("wire", capture("eth0", 0, 0, (3, 0))), Unknown, "too little ciphertext"),
        ("tls", tls(4), Pass, "4 TLS application data records"),
        ("tls", tls(0), Unknown, "no ciphertext between the two nodes"),
        ("nothing", ("wire", capture("eth0", 0, 0, (0, 0))), Pass, "100 other frames crossed it"),
        ("nothing", ("wire", capture("eth0", 0, 1, (0, 0))), Fail, "payload readable inside VXLAN"),
    ];
    for (instead, wire, outcome, because) in cases {
        let never = steps(json!({"never": {"id": "hidden", "canary": "sent", "in": "wire", "seenIn": "overlay", "instead": instead}}));
        check(instead, &never, &[sent.clone(), wire, overlay.clone()], "hidden", outcome, because);
    }
}

#[test]
fn a_pass_rests_on_its_controls() {
    let never = steps(json!({"never": {"id": "hidden", "canary": "sent", "in": "wire", "seenIn": "overlay"}}));
    let facts = [("sent", echoes(true)), ("wire", capture("eth0", 0, 0, (9, 8))), ("overlay", capture("cilium_vxlan", 4, 0, (0, 0)))];
    let found = check("pass", &never, &facts, "hidden", Pass, "");
    assert_eq!(found.rests_on, [4, 5, 6]);
    assert_eq!(found.evidence.len(), 3);
}

#[test]
fn payloads_are_counted() {
    let count = |bounds: Value| {
        let mut step = json!({"id": "counted", "in": "wire", "canary": "sent"});
        step.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        steps(json!({"count": step}))
    };
    let at_least = count(json!({"min": 2}));
    let at_most = count(json!({"max": 0}));
    let wire = |clear| ("wire", capture("eth0", clear, 0, (0, 0)));
    let lost = |clear| ("wire", with(capture("eth0", clear, 0, (0, 0)), "dropped", json!(1)));
    let blind = ("wire", with(capture("eth0", 0, 0, (0, 0)), "frames", json!(0)));
    check("enough", &at_least, &[wire(2)], "counted", Pass, "2 frames with the payload");
    check("enough though some were lost", &at_least, &[lost(2)], "counted", Pass, "2 frames with the payload");
    check("too few", &at_least, &[wire(1)], "counted", Fail, "1 frames with the payload on eth0");
    check("too few and some were lost", &at_least, &[lost(1)], "counted", Unknown, "the capture lost frames");
    check("blind", &at_least, &[blind], "counted", Unknown, "the capture saw nothing at all");
    check("none", &at_most, &[wire(0)], "counted", Pass, "0 frames");
    check("none and some were lost", &at_most, &[lost(0)], "counted", Unknown, "the capture lost frames");
    check("too many though some were lost", &at_most, &[lost(1)], "counted", Fail, "expected at most 0");
    check("missing", &at_least, &[], "counted", Unknown, "there is no evidence of the watch");
}

#[test]
fn the_second_hop_is_read_from_frames() {
    let http = |end: &str| {
        json!([{"during": {
            "watch": {"hop": {"capture": {"on": "pod/pod-b", "interface": "eth0"}}},
            "steps": [{"http": {"id": "sent", "to": {"gateway": "gw"}, "port": 443, "host": "demo.test", "tls": {},
                "expect": {"tls": {"endsAt": end, "secondHop": "hop"}}}}]
        }}])
    };
    let trusted = json!("trusted");
    let ends_at_gateway = ("sent", probe(1, answer(200, Some("b"), session("k1", "aa", trusted.clone()), Value::Null)));
    let ends_at_backend = ("sent", probe(1, answer(200, Some("b"), session("k1", "aa", trusted), server("k1"))));
    let hop = |clear, records: u64| ("hop", with(capture("eth0", clear, 0, (0, 0)), "tlsRecords", json!({"handshake": records})));
    let lost = ("hop", with(capture("eth0", 0, 0, (0, 0)), "dropped", json!(2)));
    let (gateway, backend) = (http("gateway"), http("backend"));
    check("plain text", &gateway, &[ends_at_gateway.clone(), hop(1, 0)], "sent", Pass, "plain text at the backend");
    check("hidden", &gateway, &[ends_at_gateway.clone(), hop(0, 3)], "sent", Fail, "payload not in the clear on the second hop");
    check("lost", &gateway, &[ends_at_gateway.clone(), lost], "sent", Unknown, "the capture lost frames");
    check("no capture", &gateway, &[ends_at_gateway], "sent", Unknown, "there is no evidence of the watch");
    check("tls", &backend, &[ends_at_backend.clone(), hop(0, 3)], "sent", Pass, "the same session at the backend");
    check("readable", &backend, &[ends_at_backend.clone(), hop(1, 3)], "sent", Fail, "payload in the clear");
    check("no tls seen", &backend, &[ends_at_backend, hop(0, 0)], "sent", Unknown, "no TLS records");
}
