//! HTTP as a client and as a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plumb_core::probe::{
    Connection, Detail, Done, Failure, FailureClass, HttpOp, HttpOutcome, HttpVersion, Op, REVISION_HEADER, ServeOp, ServeProtocol,
};

use crate::peers;
use crate::support::{Agent, Authority, get, serve, serve_tls};

fn failure_of(agent: &mut Agent, op: HttpOp) -> Failure {
    match agent.http(op).0.remove(0) {
        HttpOutcome::Failed(failure) => failure,
        HttpOutcome::Answer(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn an_answer_tells_who_answered_and_what_was_seen() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let headers = [("X-Custom".to_owned(), "1".to_owned())].into();
    let answer = agent.answer(HttpOp { path: "/a/b?q=1".into(), method: "POST".into(), body_bytes: 100_000, headers, ..get(target) });
    let echo = answer.echo.unwrap();
    assert_eq!((answer.status, echo.backend.as_str(), echo.pod.as_str(), echo.node.as_str()), (200, "backend-1", "pod-1", "node-1"));
    assert_eq!((echo.seen.method.as_str(), echo.seen.path.as_str(), echo.seen.version.as_str()), ("POST", "/a/b?q=1", "HTTP/1.1"));
    assert_eq!((echo.seen.headers["host"].as_str(), echo.seen.headers["x-custom"].as_str()), ("app.example.com", "1"));
    assert_eq!((echo.seen.local, echo.seen.tls), (target, None));
    assert!(answer.tls.is_none());
}

#[test]
fn phases_and_the_own_address_are_reported() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let id = agent.send(Op::Http(get(target)));
    let (items, _) = agent.finish(id);
    let [plumb_core::probe::Item::Http(result)] = &items[..] else { panic!("{items:?}") };
    let HttpOutcome::Answer(answer) = &result.outcome else { panic!("{result:?}") };
    assert_eq!(result.local, Some(answer.echo.as_ref().unwrap().seen.peer));
    assert!(result.phases.connect_us.is_some() && result.phases.first_byte_us.is_some() && result.phases.tls_us.is_none());
    assert!(result.phases.total_us >= result.phases.first_byte_us.unwrap());
}

#[test]
fn http2_without_tls_is_spoken_by_prior_knowledge() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let echo = agent.answer(HttpOp { version: HttpVersion::Http2, ..get(target) }).echo.unwrap();
    assert_eq!((echo.seen.version.as_str(), echo.seen.headers["host"].as_str()), ("HTTP/2.0", "app.example.com"));
}

#[test]
fn ipv6_works_like_ipv4() {
    let mut agent = Agent::start();
    let (_, target) = agent.serve(ServeOp { listen: "[::1]:0".parse().unwrap(), ..serve(ServeProtocol::Http) });
    assert!(agent.answer(get(target)).echo.unwrap().seen.peer.is_ipv6());
}

#[test]
fn the_source_address_is_the_one_that_was_asked_for() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let echo = agent.answer(HttpOp { source: Some([127, 0, 0, 9].into()), ..get(target) }).echo.unwrap();
    assert_eq!(echo.seen.peer.ip().to_string(), "127.0.0.9");
    let error = agent.refused(Op::Http(HttpOp { source: Some([192, 0, 2, 77].into()), ..get(target) }));
    assert_eq!(error.operation, "bind to 192.0.2.77");
}

fn connections_for(op: impl Fn(SocketAddr) -> HttpOp) -> u64 {
    let mut agent = Agent::start();
    let (server, target) = agent.serve(serve(ServeProtocol::Http));
    let op = op(target);
    let count = op.count;
    let (_, report) = agent.http(op);
    assert_eq!((report.sent, report.answered), (count, count), "{report:?}");
    match agent.end(server).1 {
        Done::Serve { connections } => connections,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_request_has_its_own_connection_unless_kept_alive() {
    let batch = |target| HttpOp { count: 40, concurrency: 4, detail: Detail::Tally, ..get(target) };
    assert_eq!(connections_for(batch), 40);
    assert_eq!(connections_for(|target| HttpOp { connection: Connection::KeepAlive, ..batch(target) }), 4);
    assert_eq!(connections_for(|target| HttpOp { connection: Connection::KeepAlive, version: HttpVersion::Http2, ..batch(target) }), 4);
}

#[test]
fn a_connection_the_peer_closed_is_opened_again() {
    // Says keep-alive and closes all the same.
    let target = peers::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let mut agent = Agent::start();
    let op = HttpOp { count: 10, rate_per_s: Some(100.0), connection: Connection::KeepAlive, detail: Detail::Tally, ..get(target) };
    let (_, report) = agent.http(op);
    assert_eq!(report.answered, 10, "{report:?}");
}

#[test]
fn a_rate_is_kept() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let begun = Instant::now();
    agent.http(HttpOp { count: 21, concurrency: 4, rate_per_s: Some(100.0), ..get(target) });
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    let error = agent.refused(Op::Http(HttpOp { rate_per_s: Some(0.0), ..get(target) }));
    assert_eq!(error.operation, "pace the requests");
}

#[test]
fn a_tally_counts_by_status_backend_and_revision() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let headers = [(REVISION_HEADER.to_owned(), "rev-7".to_owned())].into();
    let (items, report) = agent.http(HttpOp { count: 5, detail: Detail::Tally, headers, path: "/?status=503".into(), ..get(target) });
    assert!(items.is_empty());
    let [row] = &report.tally[..] else { panic!("{report:?}") };
    assert_eq!((row.status, row.backend.as_deref(), row.marker.as_deref(), row.count), (Some(503), Some("backend-1"), Some("rev-7"), 5));
    let marked = peers::saying(b"HTTP/1.1 200 OK\r\nX-Plumb-Revision: 9\r\ncontent-length: 0\r\n\r\n");
    let (_, report) = agent.http(get(marked));
    assert_eq!(report.tally[0].marker.as_deref(), Some("9"));
}

#[test]
fn failures_are_told_apart() {
    let mut agent = Agent::start();
    let quick = |target| HttpOp { timeout_ms: 300, ..get(target) };
    let cases = [
        (peers::nobody(), FailureClass::Refused, "connect"),
        (peers::resetting(), FailureClass::Reset, "request"),
        (peers::silent(), FailureClass::Timeout, "request"),
        (peers::saying(b""), FailureClass::Closed, "request"),
        (peers::saying(b"SSH-2.0-OpenSSH\r\n"), FailureClass::Protocol, "request"),
        (peers::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), FailureClass::Closed, "response"),
    ];
    for (target, class, phase) in cases {
        let failure = failure_of(&mut agent, quick(target));
        assert_eq!((failure.class, failure.phase.as_str()), (class, phase), "{failure:?}");
        let (_, report) = agent.http(HttpOp { detail: Detail::Tally, ..quick(target) });
        assert_eq!((report.answered, report.tally[0].failure), (0, Some(class)), "{report:?}");
    }
}

#[test]
fn http2_failures_are_told_apart() {
    let mut agent = Agent::start();
    let h2 = |target| HttpOp { version: HttpVersion::Http2, timeout_ms: 300, ..get(target) };
    let cases = [
        (peers::nobody(), FailureClass::Refused),
        (peers::resetting(), FailureClass::Reset),
        (peers::silent(), FailureClass::Timeout),
        (peers::saying(b""), FailureClass::Closed),
    ];
    for (target, class) in cases {
        let failure = failure_of(&mut agent, h2(target));
        assert_eq!(failure.class, class, "{failure:?}");
    }
}

#[test]
fn a_foreign_body_is_shown_in_part() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let answer = agent.answer(HttpOp { path: "/?bytes=2000".into(), ..get(target) });
    assert_eq!((answer.echo, answer.body.map(|body| body.len())), (None, Some(512)));
}

#[test]
fn bad_requests_are_the_authors_and_not_the_networks() {
    let mut agent = Agent::start();
    let target = peers::nobody();
    let bad = |op| Op::Http(op);
    assert!(agent.refused(bad(HttpOp { method: "GE T".into(), ..get(target) })).operation.contains("method `GE T`"));
    assert!(agent.refused(bad(HttpOp { path: "/a b".into(), ..get(target) })).operation.contains("path `/a b`"));
    assert!(agent.refused(bad(HttpOp { host: "a b".into(), ..get(target) })).operation.contains("host `a b`"));
}

#[test]
fn a_stopped_batch_answers_with_what_it_has() {
    let mut agent = Agent::start();
    let target = agent.serve_http();
    let id = agent.send(Op::Http(HttpOp { count: 1_000_000, rate_per_s: Some(200.0), ..get(target) }));
    for _ in 0..3 {
        agent.next(id);
    }
    let (_, done) = agent.end(id);
    let Done::Http(report) = done else { panic!("{done:?}") };
    assert!(report.answered >= 3 && report.sent < 1_000_000, "{report:?}");
}

#[test]
fn an_independent_client_is_answered_in_both_versions() {
    let mut agent = Agent::start();
    let authority = Authority::new("ca");
    let (_, target) = agent.serve(serve_tls(ServeProtocol::Http, authority.leaf("app.example.com")));
    // The only user of reqwest in this process.
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    for (http1_only, expected) in [(true, "HTTP/1.1"), (false, "HTTP/2.0")] {
        let mut builder = reqwest::Client::builder().tls_certs_only([root.clone()]).resolve("app.example.com", target);
        if http1_only {
            builder = builder.http1_only();
        }
        let url = format!("https://app.example.com:{}/path", target.port());
        let body = runtime.block_on(async { builder.build().unwrap().get(url).send().await.unwrap().bytes().await.unwrap() });
        let echo: plumb_core::probe::Echo = serde_json::from_slice(&body).unwrap();
        assert_eq!((echo.seen.version.as_str(), echo.seen.path.as_str()), (expected, "/path"));
        assert_eq!(echo.seen.tls.unwrap().sni.as_deref(), Some("app.example.com"));
    }
}
