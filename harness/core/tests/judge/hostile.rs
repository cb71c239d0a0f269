//! Evidence somebody else wrote: damaged, out of order, with numbers no run gives. The judge must answer, whatever it says.

use plumb_core::evidence;
use plumb_core::statistics::SplitMix;
use plumb_core::verdict::judge;
use serde_json::{Value, json};

use super::world::{beginning, plan, probe, waited};

/// A scenario with every rule, and a fact for each.
fn steps() -> Value {
    let http = json!({"to": {"gateway": "gw"}, "port": 80, "host": "h", "expect": {"status": 200}});
    json!([
        {"during": {
            "watch": {
                "wire": {"capture": {"on": "node/worker", "interface": "eth0"}},
                "asked": {"arp": {"network": "net0", "to": {"address": "10.9.1.220"}}},
                "served": {"load": {"to": {"service": "echo"}, "port": 80}}
            },
            "steps": [{"l4": {"id": "sent", "from": "pod/pod-a", "to": {"pod": "pod-b"}, "port": 7, "protocol": "tcp", "expect": {"answered": true}}}]
        }},
        {"never": {"id": "never", "canary": "sent", "in": "wire", "seenIn": "wire"}},
        {"count": {"id": "count", "canary": "sent", "in": "wire", "max": 3}},
        {"count": {"id": "gratuitous", "in": "asked", "gratuitous": true, "min": 1}},
        {"downtime": {"id": "address-away", "of": "asked", "max": "1s"}},
        {"downtime": {"id": "service-away", "of": "served", "max": "1s"}},
        {"distribution": {"id": "split", "probe": http, "weights": {"a": 90, "b": 10, "c": 0}, "samples": 2000}},
        {"eventually": {"id": "soon", "within": "1s", "probe": {"http": http}}},
        {"arp": {"id": "arp", "network": "net0", "to": {"address": "10.9.1.220"}, "expect": {"answerers": 1, "every": true, "holderOf": "echo"}}}
    ])
}

fn facts() -> Vec<(Option<String>, Value)> {
    let arp = json!({"askedNs": [1, 20_000_000, 40_000_000], "dropped": 0, "fromNs": 0, "toNs": 60_000_000, "frames": [
        {"atNs": 5, "operation": 2, "ethSrc": "a", "ethDst": "b", "senderMac": "02:00:00:00:01:03", "senderIp": "10.9.1.220",
            "targetMac": "c", "targetIp": "10.9.1.200"},
        {"atNs": 9, "operation": 1, "ethSrc": "a", "ethDst": "b", "senderMac": "x", "senderIp": "10.9.1.220", "targetMac": "c",
            "targetIp": "10.9.1.220"}]});
    let lease = json!({"name": "l", "exists": true, "holder": "plumb-worker", "durationSeconds": 3, "transitions": 1, "renewTime": null});
    let row = |backend: &str, count: u32| json!({"status": 200, "backend": backend, "marker": null, "failure": null, "count": count});
    let of = |step: &str, fact: Value| (Some(step.to_owned()), fact);
    let mut facts = beginning();
    facts.extend([
        of("sent", probe(1, json!({"l4": {"attempts": [{"atNs": 1, "local": null, "rttUs": 5, "failure": null}]}}))),
        of(
            "wire",
            json!({"capture": {"interface": "eth0", "fromNs": 0, "toNs": 9, "frames": 9, "bytes": 9, "dropped": 0, "truncated": 0,
            "undecodable": 0, "kinds": {}, "wireguard": {"initiation": 1, "response": 1, "cookie": 0, "data": 4, "keepalive": 0,
            "dataBytes": 9, "pairs": {"10.9.0.3>10.9.0.4": 5, "10.9.0.4>10.9.0.3": 5}}, "tlsRecords": {"handshake": 3},
            "canaries": [{"name": "sent", "clear": 0, "vxlan": 0, "first": []}], "pcapngComplete": true}}),
        ),
        of("asked", json!({"arpWatch": {"address": "10.9.1.220", "report": arp.clone()}})),
        of("served", json!({"load": {"intervalMs": 20, "samples": [{"atNs": 1, "rttUs": 5}, {"atNs": 20_000_000, "rttUs": null}]}})),
        of(
            "split",
            probe(
                1,
                json!({"httpTally": {"sent": 2000, "answered": 2000, "fromNs": 0, "toNs": 1,
            "tally": [row("a", 1800), row("b", 200)]}}),
            ),
        ),
        of("soon", probe(1, json!({"httpTally": {"sent": 1, "answered": 1, "fromNs": 0, "toNs": 1, "tally": [row("a", 1)]}}))),
        of("soon", waited(true)),
        of("arp", probe(1, json!({"arp": {"address": "10.9.1.220", "report": arp, "lease": lease}}))),
        (None, json!("ended")),
    ]);
    facts
}

fn file() -> String {
    let line = |(n, (step, fact)): (usize, (Option<String>, Value))| {
        let mut line = json!({"seq": n + 1, "atNs": n, "step": step, "fact": fact}).to_string();
        line.push('\n');
        line
    };
    facts().into_iter().enumerate().map(line).collect()
}

#[test]
fn the_run_that_is_damaged_below_is_whole() {
    let reading = evidence::read(file().as_bytes()).unwrap();
    assert_eq!(reading.trouble, None);
    let verdict = judge(&plan(&steps()), &reading.observations);
    assert_eq!(verdict.troubles, Vec::<String>::new());
    assert_eq!(verdict.checks.len(), 9);
}

#[test]
fn numbers_no_run_gives_are_judged_without_panic() {
    let (file, plan) = (file(), plan(&steps()));
    let digits: Vec<(usize, usize)> = numbers(&file);
    let extremes = ["0", "1", "255", "65535", "4294967295", "9223372036854775807", "18446744073709551615", "-1"];
    let mut random = SplitMix::new(11);
    let mut judged = 0;
    for _ in 0..4_000 {
        let mut damaged = file.clone();
        // From the back, so that earlier places stay where they are.
        let mut chosen: Vec<usize> = (0..1 + random.next() % 3).map(|_| random.next() as usize % digits.len()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        for n in chosen.into_iter().rev() {
            let (from, to) = digits[n];
            damaged.replace_range(from..to, extremes[random.next() as usize % extremes.len()]);
        }
        if let Ok(reading) = evidence::read(damaged.as_bytes()) {
            judge(&plan, &reading.observations);
            judged += usize::from(reading.trouble.is_none());
        }
    }
    assert!(judged > 1_000, "only {judged} of the damaged files could be read to their end");
}

#[test]
fn lines_in_any_order_are_judged_without_panic() {
    let (file, plan) = (file(), plan(&steps()));
    let mut random = SplitMix::new(12);
    for _ in 0..500 {
        let mut lines: Vec<&str> = file.lines().collect();
        for _ in 0..4 {
            let (a, b) = (random.next() as usize % lines.len(), random.next() as usize % lines.len());
            lines.swap(a, b);
        }
        lines.truncate(1 + random.next() as usize % lines.len());
        if let Ok(reading) = evidence::read(lines.join("\n").as_bytes()) {
            let verdict = judge(&plan, &reading.observations);
            let whole = reading.observations.iter().enumerate().all(|(n, seen)| seen.seq == n as u64 + 1);
            assert!(whole || !verdict.troubles.is_empty());
        }
    }
}

/// Where numbers stand in the text, outside of strings.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut found, mut quoted, mut at) = (Vec::new(), false, 0);
    while at < bytes.len() {
        if bytes[at] == b'"' {
            quoted = !quoted;
        } else if !quoted && bytes[at].is_ascii_digit() {
            let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            found.push((at, end));
            at = end;
            continue;
        }
        at += 1;
    }
    found
}
