//! Captures: what is seen, what is filtered, what is dropped, and that a spoiled capture shows.

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use base64::Engine as _;
use plumb_core::probe::{Canary, CaptureOp, CaptureSummary, Done, FrameFilter, Item, L4Op, Op, ServeOp, ServeProtocol};

use crate::support::{Agent, serve};
use crate::wires::wires;

pub(crate) const TESTS: [(&str, fn()); 8] = [
    ("capture_of_a_flood_drops_nothing", capture_of_a_flood_drops_nothing),
    ("capture_sees_a_canary_in_both_directions", capture_sees_a_canary_in_both_directions),
    ("capture_keeps_only_what_the_filter_lets_through", capture_keeps_only_what_the_filter_lets_through),
    ("capture_counts_lengths_on_the_wire", capture_counts_lengths_on_the_wire),
    ("capture_reads_all_that_was_queued_before_it_answers", capture_reads_all_that_was_queued_before_it_answers),
    ("capture_to_a_full_file_says_so", capture_to_a_full_file_says_so),
    ("tcpdump_reads_what_a_capture_wrote", tcpdump_reads_what_a_capture_wrote),
    ("faulty_captures_are_blind_elsewhere_or_drop", faulty_captures_are_blind_elsewhere_or_drop),
];

const CANARY: &str = "plumb-canary-0123456789abcdef";

fn capture() -> CaptureOp {
    CaptureOp {
        interface: "e0".into(),
        filter: vec![FrameFilter { protocol: Some(17), host: Some([10, 9, 0, 3].into()), ..Default::default() }],
        snaplen: 256,
        canaries: vec![Canary { name: "payload".into(), text: CANARY.into() }],
        vxlan_ports: vec![8472],
        wireguard_ports: vec![51871],
        pcapng_bytes_max: 1024 * 1024,
    }
}

fn end(agent: &mut Agent, id: u64) -> (Vec<u8>, CaptureSummary) {
    let (items, done) = agent.end(id);
    let mut file = Vec::new();
    for item in items {
        let Item::Pcapng { base64 } = item else { panic!("{item:?}") };
        file.extend(base64::engine::general_purpose::STANDARD.decode(base64).unwrap());
    }
    match done {
        Done::Capture(summary) => (file, summary),
        other => panic!("{other:?}"),
    }
}

/// Echoes a payload so many times from `a` to `b` while an agent of `a` captures.
fn captured(mut watcher: Agent, op: CaptureOp, payload: &str, count: u32) -> (Vec<u8>, CaptureSummary) {
    let wires = wires();
    let mut far = wires.b.agent();
    let (_, target) = far.serve(ServeOp { listen: "10.9.0.3:0".parse().unwrap(), ..serve(ServeProtocol::UdpEcho) });
    let (id, _) = watcher.begin(Op::Capture(op));
    let mut near = wires.a.agent();
    let l4 = L4Op { target, source: None, payload: payload.into(), count, interval_ms: 0, timeout_ms: 5_000 };
    let Done::L4(report) = near.ask(Op::Udp(l4)) else { panic!() };
    assert!(report.attempts.iter().all(|attempt| attempt.rtt_us.is_some()), "{report:?}");
    end(&mut watcher, id)
}

fn capture_sees_a_canary_in_both_directions() {
    let (file, summary) = captured(wires().a.agent(), capture(), CANARY, 5);
    assert_eq!((summary.frames, summary.dropped, summary.undecodable), (10, 0, 0), "{summary:?}");
    assert_eq!((summary.canaries[0].clear, summary.canaries[0].vxlan), (10, 0), "{summary:?}");
    assert_eq!(summary.kinds["udp"].frames, 10);
    assert!(summary.pcapng_complete && !file.is_empty());
    let first = &summary.canaries[0].first[0];
    assert!(first.number == 1 && first.at_ns >= summary.from_ns && first.at_ns <= summary.to_ns, "{summary:?}");
}

fn capture_keeps_only_what_the_filter_lets_through() {
    let only_icmp = CaptureOp { filter: vec![FrameFilter { protocol: Some(1), ..Default::default() }], ..capture() };
    let (_, summary) = captured(wires().a.agent(), only_icmp, CANARY, 3);
    assert_eq!((summary.frames, summary.canaries[0].clear), (0, 0), "{summary:?}");
}

fn capture_counts_lengths_on_the_wire() {
    let (_, summary) = captured(wires().a.agent(), CaptureOp { snaplen: 64, ..capture() }, &"y".repeat(1000), 2);
    // Ethernet, IPv4 and UDP headers around the payload, there and back.
    assert_eq!((summary.frames, summary.bytes, summary.truncated), (4, 4 * 1042, 4), "{summary:?}");
}

fn capture_reads_all_that_was_queued_before_it_answers() {
    let wires = wires();
    let mut watcher = wires.a.agent();
    let (id, _) = watcher.begin(Op::Capture(CaptureOp { pcapng_bytes_max: 0, ..capture() }));
    wires.a.inside(|| {
        let socket = std::net::UdpSocket::bind("10.9.0.2:0").unwrap();
        for _ in 0..20_000 {
            // Nobody listens there, and the kernel says so now and then; a datagram that was not sent is sent again.
            while socket.send_to(CANARY.as_bytes(), "10.9.0.3:9").is_err() {}
        }
    });
    let (_, summary) = end(&mut watcher, id);
    assert_eq!((summary.frames, summary.dropped, summary.canaries[0].clear), (20_000, 0, 20_000), "{summary:?}");
}

/// Segments of 64 KiB, each of which a receive buffer without privileges would be full of after a few.
fn capture_of_a_flood_drops_nothing() {
    let wires = wires();
    let mut far = wires.b.agent();
    let (_, target) = far.serve(ServeOp { listen: "10.9.0.3:0".parse().unwrap(), ..serve(ServeProtocol::TcpEcho) });
    let mut watcher = wires.a.agent();
    let (id, _) = watcher.begin(Op::Capture(CaptureOp { filter: Vec::new(), pcapng_bytes_max: 0, ..capture() }));
    let l4 = L4Op { target, source: None, payload: "z".repeat(8_000_000), count: 4, interval_ms: 0, timeout_ms: 60_000 };
    let Done::L4(report) = wires.a.agent().ask(Op::Tcp(l4)) else { panic!() };
    assert!(report.attempts.iter().all(|attempt| attempt.rtt_us.is_some()), "{:?}", report.attempts);
    let (_, summary) = end(&mut watcher, id);
    assert!(summary.dropped == 0 && summary.bytes > 64_000_000, "{summary:?}");
}

fn capture_to_a_full_file_says_so() {
    let (file, summary) = captured(wires().a.agent(), CaptureOp { pcapng_bytes_max: 600, ..capture() }, CANARY, 20);
    assert!(!summary.pcapng_complete && file.len() <= 600 && summary.frames == 40, "{} bytes, {summary:?}", file.len());
}

/// Started outside of the namespaces: inside, where it believes to be root, tcpdump cannot become somebody else as it wants to.
static READER: Mutex<Option<io::Result<Child>>> = Mutex::new(None);

/// Starts a tcpdump that waits for a file on its standard input.
pub(crate) fn start_reader() {
    let mut command = Command::new("tcpdump");
    command.args(["-n", "-t", "-r", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    *READER.lock().unwrap() = Some(command.spawn());
}

fn tcpdump_reads_what_a_capture_wrote() {
    let (bytes, summary) = captured(wires().a.agent(), capture(), CANARY, 7);
    let mut reader = match READER.lock().unwrap().take().unwrap() {
        Ok(reader) => reader,
        Err(error) if std::env::var_os("PLUMB_REQUIRE").is_none_or(|tools| !tools.to_string_lossy().contains("tcpdump")) => {
            eprintln!("not compared: tcpdump: {error}");
            return;
        }
        Err(error) => panic!("tcpdump: {error}"),
    };
    reader.stdin.take().unwrap().write_all(&bytes).unwrap();
    let read = reader.wait_with_output().unwrap();
    let lines = String::from_utf8(read.stdout).unwrap();
    assert_eq!(lines.lines().count() as u64, summary.frames, "{lines}{}", String::from_utf8_lossy(&read.stderr));
    assert!(lines.lines().all(|line| line.starts_with("IP 10.9.0.") && line.contains("UDP, length 29")), "{lines}");
}

fn faulty_captures_are_blind_elsewhere_or_drop() {
    let wires = wires();
    for fault in ["capture-blind", "capture-wrong-interface"] {
        let (_, summary) = captured(wires.a.faulty_agent(fault), capture(), CANARY, 5);
        assert_eq!((summary.canaries[0].clear, summary.dropped), (0, 0), "{fault}: {summary:?}");
        assert_eq!(summary.interface, "e0", "{fault}");
    }
    let (_, summary) = captured(wires.a.faulty_agent("capture-drops"), capture(), CANARY, 50);
    assert!(summary.dropped > 0 && summary.frames < 100, "{summary:?}");
    assert_eq!(summary.frames + summary.dropped, 100, "{summary:?}");
}
