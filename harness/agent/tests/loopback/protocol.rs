//! The session itself: hostile input, requests side by side, ends of every kind; and pod mode.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plumb_core::probe::{Body, CaptureOp, Done, HttpOp, LoadKind, LoadOp, Op, PROTOCOL, ServeProtocol};

use crate::peers;
use crate::support::{Agent, get, serve};

#[test]
fn hello_says_who_and_where() {
    let mut agent = Agent::start();
    let Done::Hello(hello) = agent.ask(Op::Hello) else { panic!() };
    assert_eq!((hello.protocol, hello.pid), (PROTOCOL, agent.child.id()));
    assert!(!hello.boot_id.is_empty() && hello.unix_ns > hello.monotonic_ns);
}

#[test]
fn hostile_lines_are_answered_and_survived() {
    let mut agent = Agent::start();
    agent.raw(b"\n\r\n{\"id\":70,\"op\":{\"nonsense\":1}}\n\xff\xfe\n{\"id\":71,\"op\":\"hello\",\"more\":1}\n");
    agent.raw(&vec![b'['; 100_000]);
    agent.raw(b"\n");
    agent.raw(&vec![b'x'; 17 * 1024 * 1024]);
    agent.raw(b"\n{\"id\":72,\"op\":{\"capture\":{\"interface\":\"no/such\\u0000if\"}}}\n");
    assert!(matches!(agent.next(70), Body::Failed(_)));
    assert!(matches!(agent.next(71), Body::Failed(_)));
    for part in ["expected", "invalid type", "over 16777216 bytes"] {
        let Body::Failed(error) = agent.next(0) else { panic!() };
        assert!(error.message.contains(part), "{part}: {error:?}");
    }
    assert!(matches!(agent.next(72), Body::Failed(_)));
    assert!(matches!(agent.ask(Op::Hello), Done::Hello(_)));
}

#[test]
fn boundless_wishes_are_refused_or_bounded() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    for (op, what) in [
        (HttpOp { concurrency: u32::MAX, count: u32::MAX, ..get(target) }, "concurrency"),
        (HttpOp { body_bytes: u32::MAX, ..get(target) }, "bodyBytes"),
    ] {
        assert!(agent.refused(Op::Http(op)).message.contains(what));
    }
    agent.answer(HttpOp { timeout_ms: u64::MAX, ..get(target) });
    agent.answer(HttpOp { rate_per_s: Some(1e-300), ..get(target) });
    agent.raw(b"{\"id\":90,\"op\":{\"http\":{\"target\":\"127.0.0.1:1\",\"host\":\"a\",\"ratePerS\":1e999}}}\n");
    assert!(matches!(agent.next(90), Body::Failed(_)));
}

#[test]
fn requests_run_side_by_side() {
    let mut agent = Agent::start();
    let slow = agent.send(Op::Http(HttpOp { timeout_ms: 20_000, ..get(peers::silent()) }));
    assert!(matches!(agent.ask(Op::Hello), Done::Hello(_)));
    agent.raw(format!("{{\"id\":{slow},\"op\":\"hello\"}}\n").as_bytes());
    let Body::Failed(error) = agent.next(slow) else { panic!() };
    assert_eq!(error.message, "a request with this id is running");
}

#[test]
fn a_stop_answers_after_what_it_stopped() {
    let mut agent = Agent::start();
    let (server, _) = agent.serve(serve(ServeProtocol::Http));
    agent.end(server);
    // Stopping what has ended is no mistake: it may have ended by itself.
    assert!(matches!(agent.ask(Op::Stop { of: server }), Done::Stop));
    assert_eq!(agent.refused(Op::Stop { of: 999 }).message, "no request has the id 999");
}

#[test]
fn a_stopped_server_refuses_new_connections() {
    let mut agent = Agent::start();
    let (server, target) = agent.serve(serve(ServeProtocol::Http));
    agent.answer(get(target));
    agent.end(server);
    let (_, report) = agent.http(get(target));
    assert_eq!(report.answered, 0);
}

#[test]
fn the_end_of_input_ends_everything_soon() {
    let mut agent = Agent::start();
    let (_, target) = agent.serve(serve(ServeProtocol::Http));
    agent.begin(Op::Load(LoadOp { target, kind: LoadKind::Tcp, interval_ms: 5, timeout_ms: 60_000 }));
    agent.send(Op::Http(HttpOp { timeout_ms: 60_000, ..get(peers::silent()) }));
    let begun = Instant::now();
    assert!(agent.close().success());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn an_agent_ends_when_nobody_reads_its_answers() {
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_plumb-agent")).arg("session").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let line = b"{\"id\":1,\"op\":\"hello\"}\n";
    std::io::Write::write_all(&mut stdin, line).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status:?}");
    drop(stdin);
}

#[test]
fn unknown_interfaces_are_named() {
    let mut agent = Agent::start();
    let capture = CaptureOp {
        interface: "nosuch0".into(),
        filter: Vec::new(),
        snaplen: 256,
        canaries: Vec::new(),
        vxlan_ports: Vec::new(),
        wireguard_ports: Vec::new(),
        pcapng_bytes_max: 0,
    };
    assert_eq!(agent.refused(Op::Capture(capture)).operation, "look up interface nosuch0");
}

fn pod(config: &str) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_plumb-agent"))
        .args(["serve", "--config-env", "PLUMB_SERVE"])
        .env("PLUMB_SERVE", config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_pod_serves_several_ports_and_ends_on_sigterm_without_a_word() {
    let (first, second) = (peers::nobody(), peers::nobody());
    let ops = [first, second].map(|listen| plumb_core::probe::ServeOp { listen, ..serve(ServeProtocol::Http) });
    let mut child = pod(&serde_json::to_string(&ops).unwrap());
    let mut agent = Agent::start();
    for target in [first, second] {
        let deadline = Instant::now() + Duration::from_secs(20);
        while agent.http(get(target)).1.answered == 0 {
            assert!(Instant::now() < deadline, "the pod does not serve {target}");
        }
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn a_pod_that_cannot_start_says_why_and_keeps_its_key() {
    for (config, status, why) in [
        ("[]", 2, "lists no server"),
        ("[{\"keyPem\":\"SECRET\"}]", 2, "understand the configuration"),
        (r#"[{"listen":"192.0.2.77:80","protocol":"http","backend":"a"}]"#, 1, "listen on 192.0.2.77:80"),
    ] {
        let output = pod(config).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(why) && !said.contains("SECRET") && output.stdout.is_empty(), "{said}");
    }
}
