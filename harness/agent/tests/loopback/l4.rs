//! TCP, UDP, ping and loads.

use std::net::SocketAddr;

use plumb_core::probe::{
    Done, FailureClass, L4Attempt, L4Op, LoadKind, LoadOp, LoadSample, Op, PingOp, PingOutcome, ServeOp, ServeProtocol,
};

use crate::peers;
use crate::support::{Agent, serve};

fn l4(target: SocketAddr) -> L4Op {
    L4Op { target, source: None, payload: "plumb payload".into(), count: 1, interval_ms: 0, timeout_ms: 300 }
}

fn attempts(agent: &mut Agent, op: Op) -> Vec<L4Attempt> {
    match agent.ask(op) {
        Done::L4(report) => report.attempts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tcp_and_udp_come_back_over_both_families() {
    let mut agent = Agent::start();
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let listen: SocketAddr = listen.parse().unwrap();
        let (_, tcp) = agent.serve(ServeOp { listen, ..serve(ServeProtocol::TcpEcho) });
        let (_, udp) = agent.serve(ServeOp { listen, ..serve(ServeProtocol::UdpEcho) });
        for op in [Op::Tcp(L4Op { count: 3, ..l4(tcp) }), Op::Udp(L4Op { count: 3, ..l4(udp) })] {
            let all = attempts(&mut agent, op);
            assert!(all.len() == 3 && all.iter().all(|one| one.rtt_us.is_some() && one.local.is_some()), "{all:?}");
        }
    }
}

#[test]
fn udp_answers_come_from_the_address_that_was_asked() {
    let mut agent = Agent::start();
    for (listen, asked) in [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "127.0.0.7"), ("[::]:0", "::1")] {
        let (_, server) = agent.serve(ServeOp { listen: listen.parse().unwrap(), ..serve(ServeProtocol::UdpEcho) });
        let target = SocketAddr::new(asked.parse().unwrap(), server.port());
        let all = attempts(&mut agent, Op::Udp(l4(target)));
        assert!(all[0].rtt_us.is_some(), "{listen} {asked}: {all:?}");
    }
}

#[test]
fn a_payload_larger_than_any_buffer_comes_back() {
    let mut agent = Agent::start();
    let (_, target) = agent.serve(serve(ServeProtocol::TcpEcho));
    let op = L4Op { payload: "x".repeat(8_000_000), timeout_ms: 20_000, ..l4(target) };
    assert!(attempts(&mut agent, Op::Tcp(op))[0].rtt_us.is_some());
}

#[test]
fn tcp_and_udp_failures_are_told_apart() {
    let mut agent = Agent::start();
    let silent_udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed_udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (Op::Tcp(l4(peers::nobody())), FailureClass::Refused),
        (Op::Tcp(l4(peers::resetting())), FailureClass::Reset),
        (Op::Tcp(l4(peers::saying(b""))), FailureClass::Closed),
        (Op::Tcp(l4(peers::saying(b"something else"))), FailureClass::Protocol),
        (Op::Tcp(l4(peers::silent())), FailureClass::Timeout),
        (Op::Udp(l4(silent_udp.local_addr().unwrap())), FailureClass::Timeout),
        (Op::Udp(l4(closed_udp)), FailureClass::Refused),
    ];
    for (op, class) in cases {
        let failure = attempts(&mut agent, op.clone())[0].failure.clone().unwrap();
        assert_eq!(failure.class, class, "{op:?}: {failure:?}");
    }
}

#[test]
fn loopback_answers_pings_of_any_size() {
    let mut agent = Agent::start();
    let Done::Hello(hello) = agent.ask(Op::Hello) else { panic!() };
    if !hello.abilities.contains(&"icmp".to_owned()) {
        return;
    }
    for target in ["127.0.0.1", "::1"] {
        for size in [0, 56, 1400, 60_000] {
            let target = target.parse().unwrap();
            let op = PingOp { target, source: None, size, dont_fragment: false, count: 2, interval_ms: 1, timeout_ms: 1000 };
            let Done::Ping(report) = agent.ask(Op::Ping(op)) else { panic!() };
            assert_eq!(report.attempts.len(), 2);
            assert!(report.attempts.iter().all(|one| matches!(one.outcome, PingOutcome::Reply { .. })), "{target} {size}: {report:?}");
        }
    }
}

/// Runs a load until so much time has passed, as seen by a rate-limited batch next to it.
fn load_for(agent: &mut Agent, op: LoadOp, ms: u64) -> Vec<LoadSample> {
    let (id, _) = agent.begin(Op::Load(op));
    // How long the load runs is what is specified here.
    std::thread::sleep(std::time::Duration::from_millis(ms));
    match agent.end(id).1 {
        Done::Load(report) => report.samples,
        other => panic!("{other:?}"),
    }
}

fn load(target: SocketAddr, kind: LoadKind) -> LoadOp {
    LoadOp { target, kind, interval_ms: 20, timeout_ms: 1000 }
}

fn http_kind(path: &str) -> LoadKind {
    LoadKind::Http { host: "app.example.com".into(), path: path.into() }
}

#[test]
fn loads_of_every_kind_are_answered() {
    let mut agent = Agent::start();
    let (_, tcp) = agent.serve(serve(ServeProtocol::TcpEcho));
    let (_, udp) = agent.serve(serve(ServeProtocol::UdpEcho));
    let http = agent.serve_http();
    for op in [load(tcp, LoadKind::Tcp), load(udp, LoadKind::Udp), load(http, http_kind("/"))] {
        let samples = load_for(&mut agent, op.clone(), 300);
        assert!(samples.len() >= 8, "{op:?}: {} samples", samples.len());
        assert!(samples.iter().all(|sample| sample.rtt_us.is_some()), "{op:?}: {samples:?}");
        assert!(samples.windows(2).all(|pair| pair[0].at_ns < pair[1].at_ns));
    }
}

#[test]
fn slow_answers_do_not_delay_the_next_probe() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let samples = load_for(&mut agent, load(target, http_kind("/?delayMs=400")), 600);
    assert!(samples.len() >= 15, "{} samples", samples.len());
    assert!(samples.iter().all(|sample| sample.rtt_us.is_some_and(|rtt| rtt >= 400_000)), "{samples:?}");
}

#[test]
fn a_server_that_did_not_run_says_so_in_the_answer_after_the_loss() {
    let (mut server, mut client) = (Agent::start(), Agent::start());
    let target = server.serve_http();
    let process = nix::unistd::Pid::from_raw(server.child.id().cast_signed());
    let (id, _) = client.begin(Op::Load(LoadOp { timeout_ms: 200, ..load(target, http_kind("/")) }));
    // How long it is away is what is specified here.
    let pause = |ms: u64| std::thread::sleep(std::time::Duration::from_millis(ms));
    pause(300);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGSTOP).unwrap();
    pause(1_000);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGCONT).unwrap();
    pause(500);
    let Done::Load(report) = client.end(id).1 else { panic!("no report") };
    let lost = report.samples.iter().filter(|sample| sample.rtt_us.is_none()).count();
    assert!(lost >= 20, "{lost} of {} lost", report.samples.len());
    let telling: Vec<usize> = (0..report.samples.len()).filter(|at| !report.samples[*at].stalled.is_empty()).collect();
    assert!(!telling.is_empty(), "nobody says that it stood still");
    for at in telling {
        assert!(at > 0 && report.samples[at - 1].rtt_us.is_none(), "sample {at} follows no loss");
    }
    let told = report.samples.iter().flat_map(|sample| &sample.stalled).map(|stall| stall.ms).max();
    assert!(told.is_some_and(|ms| (800..5_000).contains(&ms)), "{told:?} ms");
}

#[test]
fn what_a_load_loses_is_told_with_its_reason() {
    let mut agent = Agent::start();
    let http = agent.serve_http();
    let lost = |samples: Vec<LoadSample>, failure, status| {
        assert!(!samples.is_empty());
        for sample in samples {
            assert_eq!((sample.rtt_us, sample.failure, sample.status), (None, failure, status));
        }
    };
    lost(load_for(&mut agent, load(peers::nobody(), LoadKind::Tcp), 100), Some(FailureClass::Refused), None);
    lost(load_for(&mut agent, load(http, http_kind("/?status=503")), 100), None, Some(503));
    let short = LoadOp { timeout_ms: 50, ..load(peers::silent(), LoadKind::Tcp) };
    lost(load_for(&mut agent, short, 100), Some(FailureClass::Timeout), None);
    let error = agent.refused(Op::Load(LoadOp { interval_ms: 0, ..load(http, LoadKind::Tcp) }));
    assert_eq!(error.operation, "schedule a load");
}
