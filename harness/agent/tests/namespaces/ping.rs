//! Path MTU, and what has no route.

use plumb_core::probe::{Done, Failure, FailureClass, L4Op, Op, PingAttempt, PingOp, PingOutcome};

use crate::support::Agent;
use crate::wires::{NARROW_MTU, wires};

pub(crate) const TESTS: [(&str, fn()); 4] = [
    ("ping_finds_the_mtu_of_the_path_each_time_anew", ping_finds_the_mtu_of_the_path_each_time_anew),
    ("ping_finds_the_mtu_of_the_own_link", ping_finds_the_mtu_of_the_own_link),
    ("pings_of_different_sizes_do_not_take_each_others_answers", pings_of_different_sizes_do_not_take_each_others_answers),
    ("what_has_no_route_is_unreachable", what_has_no_route_is_unreachable),
];

/// IPv4 and ICMP header.
const HEADERS: u16 = 28;

fn op(target: &str, size: u16, dont_fragment: bool, count: u32) -> Op {
    let target = target.parse().unwrap();
    Op::Ping(PingOp { target, source: None, size, dont_fragment, count, interval_ms: 0, timeout_ms: 1_000 })
}

fn ping(agent: &mut Agent, op: Op) -> Vec<PingAttempt> {
    match agent.ask(op) {
        Done::Ping(report) => report.attempts,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn is_answered(agent: &mut Agent, target: &str) -> bool {
    matches!(ping(agent, op(target, 0, false, 1))[0].outcome, PingOutcome::Reply { .. })
}

fn ping_finds_the_mtu_of_the_path_each_time_anew() {
    let mut agent = wires().a.agent();
    let fits = NARROW_MTU as u16 - HEADERS;
    for attempt in ping(&mut agent, op("10.8.0.1", fits, true, 2)) {
        assert!(matches!(attempt.outcome, PingOutcome::Reply { .. }), "{attempt:?}");
    }
    for attempt in ping(&mut agent, op("10.8.0.1", fits + 1, true, 3)) {
        assert_eq!(attempt.outcome, PingOutcome::FragmentationNeeded { mtu: Some(NARROW_MTU) });
    }
    let attempts = ping(&mut agent, op("10.8.0.1", fits + 1, false, 1));
    assert!(matches!(attempts[0].outcome, PingOutcome::Reply { .. }), "{attempts:?}");
}

fn ping_finds_the_mtu_of_the_own_link() {
    let mut agent = wires().a.agent();
    assert_eq!(ping(&mut agent, op("10.9.0.3", 1473, true, 1))[0].outcome, PingOutcome::FragmentationNeeded { mtu: Some(1500) });
    assert!(matches!(ping(&mut agent, op("10.9.0.3", 1472, true, 1))[0].outcome, PingOutcome::Reply { .. }));
}

fn pings_of_different_sizes_do_not_take_each_others_answers() {
    let mut agent = wires().a.agent();
    let small = agent.send(op("10.8.0.1", 100, true, 50));
    let large = agent.send(op("10.8.0.1", 1400, true, 50));
    for (id, large) in [(small, false), (large, true)] {
        let (_, Ok(Done::Ping(report))) = agent.finish(id) else { panic!() };
        for attempt in report.attempts {
            assert_eq!(matches!(attempt.outcome, PingOutcome::FragmentationNeeded { .. }), large, "{attempt:?}");
        }
    }
}

fn what_has_no_route_is_unreachable() {
    let mut agent = wires().router.agent();
    let nowhere = "203.0.113.1";
    let attempts = ping(&mut agent, op(nowhere, 0, false, 1));
    assert!(matches!(attempts[0].outcome, PingOutcome::Unreachable { .. }), "{attempts:?}");
    let target = format!("{nowhere}:80").parse().unwrap();
    let l4 = L4Op { target, source: None, payload: "x".into(), count: 1, interval_ms: 0, timeout_ms: 1_000 };
    // Without a neighbour the kernel gives up after three questions, a second apart.
    let absent = L4Op { target: "10.9.0.201:80".parse().unwrap(), timeout_ms: 10_000, ..l4.clone() };
    for op in [Op::Tcp(l4.clone()), Op::Udp(l4), Op::Tcp(absent)] {
        let Done::L4(report) = agent.ask(op) else { panic!() };
        assert!(matches!(&report.attempts[0].failure, Some(Failure { class: FailureClass::Unreachable, .. })), "{report:?}");
    }
}
