//! ARP asked and watched.

use plumb_core::probe::{ArpOp, ArpReport, ArpWatchOp, Body, Done, Item, Op};

use crate::support::Agent;
use crate::wires::{Machine, wires};

pub(crate) const TESTS: [(&str, fn()); 4] = [
    ("arp_collects_the_answers_of_all_who_claim_the_address", arp_collects_the_answers_of_all_who_claim_the_address),
    ("arp_for_nobody_hears_nothing", arp_for_nobody_hears_nothing),
    ("arp_without_count_asks_until_stopped", arp_without_count_asks_until_stopped),
    ("arp_watch_hears_the_questions_of_others_and_not_its_own_answers", arp_watch_hears_the_questions_of_others_and_not_its_own_answers),
];

const SHARED: [u8; 4] = [10, 9, 0, 9];

fn ask(target: [u8; 4], count: u32) -> Op {
    Op::Arp(ArpOp { interface: "br0".into(), target: target.into(), source: None, count, interval_ms: 5, window_ms: 200 })
}

fn report(done: Done) -> ArpReport {
    match done {
        Done::Arp(report) => report,
        other => panic!("{other:?}"),
    }
}

fn mac_of(machine: &Machine) -> String {
    let Done::Links(links) = machine.agent().ask(Op::Links) else { panic!() };
    let link = links.into_iter().find(|link| link.name == "e0").unwrap();
    assert!(link.up && link.mtu == 1500 && link.addresses.contains(&"10.9.0.9/24".to_owned()), "{link:?}");
    link.mac.unwrap()
}

fn arp_collects_the_answers_of_all_who_claim_the_address() {
    let wires = wires();
    let mut agent = wires.router.agent();
    let report = report(agent.ask(ask(SHARED, 3)));
    assert_eq!((report.asked_ns.len(), report.dropped), (3, 0));
    let mut macs: Vec<_> = report.frames.iter().filter(|frame| frame.operation == 2).map(|frame| frame.sender_mac.clone()).collect();
    assert_eq!(macs.len(), 6, "{report:?}");
    macs.sort();
    macs.dedup();
    let mut expected = vec![mac_of(&wires.a), mac_of(&wires.b)];
    expected.sort();
    assert_eq!(macs, expected);
    for frame in &report.frames {
        assert!(frame.at_ns >= report.asked_ns[0] && frame.at_ns <= report.to_ns, "{frame:?}");
        assert!(frame.at_ns - report.asked_ns[0] < 200_000_000, "{frame:?}");
    }
}

fn arp_for_nobody_hears_nothing() {
    let report = report(wires().router.agent().ask(ask([10, 9, 0, 200], 3)));
    assert_eq!((report.asked_ns.len(), report.frames.len()), (3, 0), "{report:?}");
}

fn arp_without_count_asks_until_stopped() {
    let mut agent: Agent = wires().router.agent();
    let (id, _) = agent.begin(ask(SHARED, 0));
    for _ in 0..20 {
        assert!(matches!(agent.next(id), Body::Item(Item::Arp(_))));
    }
    let (items, done) = agent.end(id);
    let report = report(done);
    assert_eq!(report.frames.len(), items.len() + 20);
    assert!(report.asked_ns.len() >= 10, "{}", report.asked_ns.len());
}

fn arp_watch_hears_the_questions_of_others_and_not_its_own_answers() {
    let wires = wires();
    let mut watcher = wires.a.agent();
    let (id, _) = watcher.begin(Op::ArpWatch(ArpWatchOp { interface: "e0".into(), address: Some(SHARED.into()) }));
    wires.router.agent().ask(ask(SHARED, 4));
    wires.router.agent().ask(ask([10, 9, 0, 200], 4));
    let report = report(watcher.end(id).1);
    assert_eq!(report.frames.iter().map(|frame| frame.operation).collect::<Vec<_>>(), [1; 4], "{report:?}");
    assert!(report.frames.iter().all(|frame| !frame.is_gratuitous() && frame.eth_dst == "ff:ff:ff:ff:ff:ff"));
}
