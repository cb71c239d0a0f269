//! ARP of L2 announcements: a client's capture, and logs of a prober that asked every 20 ms.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use plumb_core::frames::{Decoder, LinkType};
use plumb_core::probe::{ArpFrame, ArpReport, CaptureOp};
use plumb_core::verdict::Outcome::{self, Fail, Pass, Unknown};
use serde_json::{Value, json};

use super::world::{check, probe};
use super::{recording, text};

const MS: u64 = 1_000_000;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 17, 200, 1);

/// Milliseconds of a day from `21:02:03.838`.
fn ms(time: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().unwrap();
    let (clock, fraction) = time.split_once('.').unwrap();
    let parts: Vec<u64> = clock.split(':').map(number).collect();
    (parts[0] * 3600 + parts[1] * 60 + parts[2]) * 1_000 + number(fraction)
}

fn frame(at_ms: u64, mac: &str, gratuitous: bool) -> ArpFrame {
    let asker = Ipv4Addr::new(172, 17, 0, 5);
    ArpFrame {
        at_ns: at_ms * MS + MS / 2,
        operation: 2,
        eth_src: mac.into(),
        eth_dst: "02:42:ac:11:00:05".into(),
        sender_mac: mac.into(),
        sender_ip: ADDRESS,
        target_mac: "02:42:ac:11:00:05".into(),
        target_ip: if gratuitous { ADDRESS } else { asker },
    }
}

/// The log says when each MAC began to answer and when it answered last; between, every question was answered.
fn report(name: &str) -> ArpReport {
    let text = text(name);
    let mut began: BTreeMap<String, u64> = BTreeMap::new();
    let mut frames = Vec::new();
    let mut asked: Option<(u64, u64)> = None;
    let answered = |frames: &mut Vec<ArpFrame>, mac: &str, from: u64, to: u64, first: u64| {
        let questions = (0..).map(|n| first + n * 20).skip_while(|at| *at + 20 <= from).take_while(|at| *at <= to);
        frames.extend(questions.map(|at| frame(at.max(from), mac, false)));
    };
    for line in text.lines().filter(|line| line.contains(" arp ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = ms(words[0]);
        let (first, _) = *asked.get_or_insert((at, at));
        match words.as_slice() {
            [_, _, "GRATUITOUS", ..] => frames.push(frame(at, words[5], true)),
            [_, _, mac, "starts", ..] => drop(began.insert((*mac).to_owned(), at)),
            [_, _, mac, "stopped,", "last", "reply", last, ..] => {
                let from = began.remove(*mac).unwrap();
                answered(&mut frames, mac, from, ms(last), first);
            }
            [_, _, "silent", "at", "end", "for", span, ..] => {
                let silent: u64 = span.strip_suffix("ms").unwrap().parse().unwrap();
                asked = Some((first, at - silent));
            }
            _ => {}
        }
    }
    let (first, last) = asked.unwrap();
    for (mac, from) in began {
        answered(&mut frames, &mac, from, last, first);
    }
    frames.sort_by_key(|frame| frame.at_ns);
    let asked_ns = (0..).map(|n| first + n * 20).take_while(|at| *at <= last).map(|at| at * MS).collect();
    ArpReport { asked_ns, frames, dropped: 0, from_ns: first * MS, to_ns: last * MS }
}

fn expect(name: &str, step: Value, outcome: Outcome, because: &str) {
    let steps = json!([
        {"during": {"watch": {"asked": {"arp": {"network": "eth0", "to": {"address": ADDRESS}}}}, "steps": []}},
        step
    ]);
    let fact = json!({"arpWatch": {"address": ADDRESS, "report": report(name)}});
    check(name, &steps, &[("asked", fact)], "c", outcome, because);
}

fn away(max: &str) -> Value {
    json!({"downtime": {"id": "c", "of": "asked", "min": "1s", "max": max}})
}

fn alone() -> Value {
    json!({"count": {"id": "c", "in": "asked", "answerers": true, "min": 1, "max": 1}})
}

#[test]
fn a_killed_holder_is_away_for_as_long_as_was_measured() {
    // The log says GAP 3.127s.
    expect("l2-1.17/failover-kill.txt", away("4s"), Pass, "ARP was away for 31");
    expect("l2-1.17/failover-kill.txt", away("2s"), Fail, "longer than 2000 ms");
    expect("l2-1.17/failover-kill.txt", alone(), Pass, "1 MAC addresses answer");
}

#[test]
fn a_frozen_holder_answers_on_and_the_gap_is_shorter() {
    // The log says GAP 1.955s.
    expect("l2-1.20/failover-pause1.txt", away("6s"), Pass, "ARP was away for 19");
}

#[test]
fn a_takeover_before_the_old_holder_fell_silent_is_an_overlap_and_no_gap() {
    expect("l2-1.17/failover-pause2.txt", alone(), Fail, "2 MAC addresses answer the same question");
    expect("l2-1.17/failover-pause2.txt", away("6s"), Unknown, "no disruption was seen");
}

#[test]
fn a_thawed_holder_answers_beside_the_new_one() {
    expect("l2-1.17/unpause.txt", alone(), Fail, "2 MAC addresses answer the same question");
    expect("l2-1.17/unpause.txt", away("6s"), Pass, "ARP was away for 17");
}

#[test]
fn each_takeover_was_announced_once() {
    let once = json!({"count": {"id": "c", "in": "asked", "gratuitous": true, "min": 1, "max": 1}});
    for name in ["l2-1.17/failover-kill.txt", "l2-1.17/failover-pause2.txt", "l2-1.17/unpause.txt", "l2-1.20/failover-pause1.txt"] {
        expect(name, once.clone(), Pass, "1 gratuitous ARP frames");
    }
}

#[test]
fn answers_at_the_client_are_unicast_and_from_one_mac() {
    let op: CaptureOp = serde_json::from_value(json!({"interface": "eth0"})).unwrap();
    let decoder = Decoder::new(&op, LinkType::Ethernet);
    let recording = recording("l2-1.17/arp-client.pcap");
    let all: Vec<ArpFrame> = recording
        .frames
        .iter()
        .filter_map(|frame| decoder.decode(&frame.bytes).unwrap().arp.map(|arp| arp.frame(frame.at_ns)))
        .filter(|arp| arp.sender_ip == ADDRESS || arp.target_ip == ADDRESS)
        .collect();
    let (asked, frames): (Vec<ArpFrame>, Vec<ArpFrame>) = all.into_iter().partition(|arp| arp.operation == 1 && arp.target_ip == ADDRESS);
    let asked: Vec<u64> = asked.iter().filter(|arp| !arp.is_gratuitous()).map(|arp| arp.at_ns).collect();
    assert!(!asked.is_empty());
    let step = |expect: Value| json!([{"arp": {"id": "c", "network": "eth0", "to": {"address": ADDRESS}, "expect": expect}}]);
    let report = json!({"askedNs": asked, "frames": frames, "dropped": 0, "fromNs": 0, "toNs": asked.last()});
    let lease = json!({"name": "l", "exists": true, "holder": "plumb-worker", "durationSeconds": 3, "transitions": 0, "renewTime": null});
    let seen = probe(1, json!({"arp": {"address": ADDRESS, "report": report, "lease": lease}}));
    let good = json!({"answerers": 1, "every": true, "unicast": true});
    check("recorded", &step(good), &[("c", seen.clone())], "c", Pass, "02:42:ac:11:00:03 (which belongs to no node of this lab)");
    check("not this lab's", &step(json!({"holderOf": "echo"})), &[("c", seen)], "c", Fail, "does not hold the lease");
}
