//! ARP: who answers, how many, whether it is the lease holder; announcements; gaps.

use plumb_core::verdict::Outcome::{Fail, Pass, Unknown};
use serde_json::{Value, json};

use super::world::{check, probe};

const WORKER: &str = "02:00:00:00:01:03";
const WORKER2: &str = "02:00:00:00:01:04";
const MS: u64 = 1_000_000;

fn frame(at_ms: u64, mac: &str, gratuitous: bool, to: &str) -> Value {
    let target = if gratuitous { "10.9.1.220" } else { "10.9.1.200" };
    json!({"atNs": at_ms * MS + 20_000, "operation": 2, "ethSrc": mac, "ethDst": to, "senderMac": mac, "senderIp": "10.9.1.220",
        "targetMac": to, "targetIp": target})
}

fn reply(at_ms: u64, mac: &str) -> Value {
    frame(at_ms, mac, false, "02:00:00:00:01:c8")
}

/// Questions every 20 ms from 0 on, and these frames.
fn report(questions: u64, frames: Vec<Value>, dropped: u64) -> Value {
    let asked: Vec<u64> = (0..questions).map(|n| n * 20 * MS).collect();
    json!({"askedNs": asked, "frames": frames, "dropped": dropped, "fromNs": 0, "toNs": questions * 20 * MS})
}

fn seen(frames: Vec<Value>, holder: Value) -> Value {
    let lease =
        json!({"name": "kube-system/l", "exists": true, "holder": holder, "durationSeconds": 3, "transitions": 1, "renewTime": null});
    probe(1, json!({"arp": {"address": "10.9.1.220", "report": report(3, frames, 0), "lease": lease}}))
}

fn step(expect: Value) -> Value {
    json!([{"arp": {"id": "c", "network": "net0", "to": {"address": "10.9.1.220"}, "count": 3, "expect": expect}}])
}

#[test]
fn the_answering_mac_is_compared_with_the_lease() {
    let by = |macs: &[&str]| -> Vec<Value> { (0..3).flat_map(|n| macs.iter().map(move |mac| reply(n * 20, mac))).collect() };
    let holder = json!("plumb-worker");
    let one = json!({"answerers": 1, "every": true, "holderOf": "echo", "unicast": true});
    let broadcast = (0..3).map(|n| frame(n * 20, WORKER, false, "ff:ff:ff:ff:ff:ff")).collect();
    let cases = [
        (one.clone(), seen(by(&[WORKER]), holder.clone()), Pass, "02:00:00:00:01:03 (worker's net0) answers ARP"),
        (one.clone(), seen(by(&[WORKER2]), holder.clone()), Fail, "02:00:00:00:01:04 (worker2's net0) answers and does not hold the lease"),
        (one.clone(), seen(by(&["02:00:00:00:00:03"]), holder.clone()), Fail, "(worker's eth0) answers and does not hold"),
        (one.clone(), seen(by(&["02:ff:ff:ff:ff:01"]), holder.clone()), Fail, "which belongs to no node of this lab"),
        (one.clone(), seen(by(&[WORKER, WORKER2]), holder.clone()), Fail, "2 MAC addresses answer, expected 1"),
        (one.clone(), seen(vec![], holder.clone()), Fail, "nobody answers ARP on net0"),
        (one.clone(), seen(vec![reply(0, WORKER), reply(40, WORKER)], holder.clone()), Fail, "1 of 3 questions went without an answer"),
        (one.clone(), seen(vec![reply(0, WORKER), reply(40, WORKER), reply(41, WORKER)], holder.clone()), Pass, ""),
        (one.clone(), seen(by(&[WORKER]), Value::Null), Fail, "nobody holds the lease of echo, yet ARP is answered by"),
        (one.clone(), seen(broadcast, holder.clone()), Fail, "3 answers were not unicast"),
        (json!({"answerers": 2}), seen(by(&[WORKER, WORKER2]), holder), Pass, ""),
        (
            one,
            probe(1, json!({"arp": {"address": "10.9.1.220", "report": report(3, by(&[WORKER]), 0), "lease": null}})),
            Unknown,
            "the lease of echo was not looked at",
        ),
    ];
    for (expect, fact, outcome, because) in cases {
        check(because, &step(expect), &[("c", fact)], "c", outcome, because);
    }
}

#[test]
fn silence_counts_only_when_arp_was_heard_elsewhere() {
    let silent = |dropped| probe(1, json!({"arp": {"address": "10.9.1.220", "report": report(3, vec![], dropped), "lease": null}}));
    let heard =
        ("elsewhere", probe(1, json!({"arp": {"address": "10.9.1.221", "report": report(1, vec![reply(0, WORKER)], 0), "lease": null}})));
    let none = step(json!({"answerers": 0}));
    check("with control", &none, &[heard.clone(), ("c", silent(0))], "c", Pass, "nobody answers");
    check("without control", &none, &[("c", silent(0))], "c", Unknown, "no other ARP question was answered in this run");
    check("frames lost", &none, &[heard, ("c", silent(4))], "c", Unknown, "the capture lost frames");
    check("somebody", &none, &[("c", seen(vec![reply(0, WORKER)], Value::Null))], "c", Fail, "1 MAC addresses answer, expected none");
}

fn watch(check: Value) -> Value {
    json!([
        {"during": {"watch": {"asked": {"arp": {"network": "net0", "to": {"address": "10.9.1.220"}}}}, "steps": []}},
        check
    ])
}

fn watched(questions: u64, frames: Vec<Value>, dropped: u64) -> (&'static str, Value) {
    ("asked", json!({"arpWatch": {"address": "10.9.1.220", "report": report(questions, frames, dropped)}}))
}

#[test]
fn announcements_are_counted() {
    let once = watch(json!({"count": {"id": "c", "in": "asked", "gratuitous": true, "min": 1, "max": 1}}));
    let announcement = |at| frame(at, WORKER2, true, "ff:ff:ff:ff:ff:ff");
    check("once", &once, &[watched(5, vec![reply(0, WORKER), announcement(30)], 0)], "c", Pass, "from 02:00:00:00:01:04 (worker2's net0)");
    check("never", &once, &[watched(5, vec![reply(0, WORKER)], 0)], "c", Fail, "0 gratuitous ARP frames");
    check("twice", &once, &[watched(5, vec![announcement(1), announcement(2)], 1)], "c", Fail, "2 gratuitous ARP frames");
    check("lost", &once, &[watched(5, vec![], 1)], "c", Unknown, "the capture lost frames");
    check("missing", &once, &[], "c", Unknown, "there is no evidence of the watch");
}

#[test]
fn two_answers_to_one_question_are_an_overlap() {
    let alone = watch(json!({"count": {"id": "c", "in": "asked", "answerers": true, "min": 1, "max": 1}}));
    let takeover = vec![reply(0, WORKER), reply(20, WORKER), reply(60, WORKER2), reply(80, WORKER2)];
    let overlap = vec![reply(0, WORKER), reply(20, WORKER), reply(20, WORKER2), reply(40, WORKER2)];
    check("takeover", &alone, &[watched(5, takeover.clone(), 0)], "c", Pass, "1 MAC addresses answer the same question");
    check("overlap", &alone, &[watched(5, overlap, 0)], "c", Fail, "2 MAC addresses answer the same question for 10.9.1.220 at ");
    check("lost", &alone, &[watched(5, takeover, 2)], "c", Unknown, "the capture lost frames");
    check("silence", &alone, &[watched(5, vec![], 0)], "c", Fail, "0 MAC addresses answer the same question");
}

#[test]
fn that_no_two_answer_is_not_shown_by_silence() {
    let no_two = watch(json!({"count": {"id": "c", "in": "asked", "answerers": true, "max": 1}}));
    check("silence", &no_two, &[watched(5, vec![], 0)], "c", Unknown, "no other ARP question was answered in this run");
    let elsewhere = ("elsewhere", watched(1, vec![reply(0, WORKER)], 0).1);
    check("silence with a control", &no_two, &[elsewhere, watched(5, vec![], 0)], "c", Pass, "0 MAC addresses");
}

#[test]
fn the_gap_of_an_arp_watch_is_bounded() {
    let away = watch(json!({"downtime": {"id": "c", "of": "asked", "min": "100ms", "max": "400ms"}}));
    // Answers to every question except those from 200 ms on for so long.
    let silent_for = |ms: u64| {
        let frames = (0..100).map(|n| n * 20).filter(|at| !(200..200 + ms).contains(at)).map(|at| reply(at, WORKER)).collect();
        watched(100, frames, 0)
    };
    check("within", &away, &[silent_for(300)], "c", Pass, "ARP was away for 300 ms (known to 20 ms)");
    check("too long", &away, &[silent_for(600)], "c", Fail, "away for 600 ms (known to 20 ms), longer than 400 ms");
    check("not told apart", &away, &[silent_for(420)], "c", Unknown, "do not tell from 400 ms");
    check("nothing happened", &away, &[silent_for(0)], "c", Unknown, "no disruption was seen");
    let never_back = (0..90).map(|n| reply(n * 20, WORKER)).collect();
    check("never back", &away, &[watched(100, never_back, 0)], "c", Unknown, "was still away when the watch ended");
    check("never there", &away, &[watched(15, vec![], 0)], "c", Unknown, "nothing was answered at all of `asked`");
    check("never there, for long", &away, &[watched(100, vec![], 0)], "c", Unknown, "nothing was answered at all of `asked`");
    check("never asked", &away, &[watched(0, vec![], 0)], "c", Unknown, "nothing was answered at all: `asked` sent nothing");
    let dead = watched(100, vec![reply(0, WORKER)], 0);
    check("dead", &away, &[dead], "c", Fail, "longer than 400 ms");
}
