//! TLS: sessions compared from both ends, trust, alerts.

use plumb_core::probe::{
    ClientTls, Done, FailureClass, HttpAnswer, HttpOp, HttpVersion, Op, ServeProtocol, TlsAttempt, TlsOp, TlsOutcome, TlsSession, Trust,
};
use std::net::SocketAddr;

use crate::peers;
use crate::support::{Agent, Authority, client_tls, get, serve, serve_tls};

fn shake(agent: &mut Agent, target: SocketAddr, tls: ClientTls) -> TlsAttempt {
    match agent.ask(Op::Tls(TlsOp { target, source: None, tls, count: 1, timeout_ms: 400 })) {
        Done::Tls(mut report) => report.attempts.remove(0),
        other => panic!("{other:?}"),
    }
}

fn session(agent: &mut Agent, target: SocketAddr, tls: ClientTls) -> TlsSession {
    match shake(agent, target, tls).outcome {
        TlsOutcome::Session(session) => *session,
        TlsOutcome::Failed(failure) => panic!("{failure:?}"),
    }
}

fn over_tls(agent: &mut Agent, target: SocketAddr, tls: ClientTls) -> HttpAnswer {
    agent.answer(HttpOp { tls: Some(tls), ..get(target) })
}

#[test]
fn both_ends_of_one_session_export_the_same_keys() {
    let mut agent = Agent::start();
    let authority = Authority::new("ca");
    let (_, target) = agent.serve(serve_tls(ServeProtocol::Http, authority.leaf("app.example.com")));
    for version in ["1.2", "1.3"] {
        let tls = ClientTls { max_version: Some(version.into()), ..client_tls("app.example.com", &authority) };
        let answer = over_tls(&mut agent, target, tls);
        let (near, far) = (answer.tls.unwrap(), answer.echo.unwrap().seen.tls.unwrap());
        assert_eq!((near.version.as_str(), far.version.as_str()), (version, version));
        assert_eq!((near.exported.as_str(), near.exported.len()), (far.exported.as_str(), 64));
        assert_ne!(near.exported, "0".repeat(64));
        assert_eq!(near.chain[0].sha256, far.leaf_sha256);
        assert_eq!(near.trust, Trust::Trusted);
        assert_eq!(far.sni.as_deref(), Some("app.example.com"));
        assert!(near.cipher.starts_with("TLS_") && !near.cipher.contains("TLS13"), "{}", near.cipher);
    }
}

#[test]
fn a_terminating_proxy_shows_in_the_keys_and_in_the_leaf() {
    let mut agent = Agent::start();
    let (edge, inner) = (Authority::new("edge"), Authority::new("inner"));
    let (_, backend) = agent.serve(serve_tls(ServeProtocol::Http, inner.leaf("backend.example.com")));
    let (cert, key) = edge.leaf("app.example.com");
    let proxy = peers::terminating_proxy(&cert, &key, backend, &inner.pem);
    let answer = over_tls(&mut agent, proxy, client_tls("app.example.com", &edge));
    let (near, far) = (answer.tls.unwrap(), answer.echo.unwrap().seen.tls.unwrap());
    assert_ne!(near.exported, far.exported);
    assert_ne!(near.chain[0].sha256, far.leaf_sha256);
    assert_eq!(far.sni.as_deref(), Some("backend.example.com"));
}

#[test]
fn trust_is_reported_and_never_enforced() {
    let mut agent = Agent::start();
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let (_, good) = agent.serve(serve_tls(ServeProtocol::Http, authority.leaf("app.example.com")));
    let (_, expired) = agent.serve(serve_tls(ServeProtocol::Http, authority.leaf_until("app.example.com", 2021)));
    let named = |name: &str| ClientTls { verify_name: Some(name.into()), ..client_tls("app.example.com", &authority) };
    assert_eq!(session(&mut agent, good, named("app.example.com")).trust, Trust::Trusted);
    assert_eq!(session(&mut agent, good, ClientTls { sni: Some("x.example.com".into()), ..Default::default() }).trust, Trust::NotChecked);
    let cases = [
        (good, named("other.example.com"), "not valid for"),
        (good, client_tls("app.example.com", &stranger), "UnknownIssuer"),
        (expired, client_tls("app.example.com", &authority), "expired"),
    ];
    for (target, tls, why) in cases {
        match session(&mut agent, target, tls).trust {
            Trust::Untrusted(words) => assert!(words.contains(why), "{words}"),
            other => panic!("expected {why}, got {other:?}"),
        }
    }
}

#[test]
fn the_chain_is_shown_as_it_was_served() {
    let mut agent = Agent::start();
    let authority = Authority::new("ca");
    let (mut cert, key) = authority.leaf("app.example.com");
    cert.push_str(&authority.pem);
    let (_, target) = agent.serve(serve_tls(ServeProtocol::TcpEcho, (cert, key)));
    let session = session(&mut agent, target, client_tls("app.example.com", &authority));
    assert_eq!(session.chain.len(), 2);
    assert_eq!((session.chain[0].subject.as_str(), session.chain[0].issuer.as_str()), ("CN=app.example.com", "CN=ca"));
    assert_eq!(session.chain[0].sans, ["app.example.com"]);
    assert_eq!(session.chain[1].subject, "CN=ca");
}

#[test]
fn alpn_decides_the_http_version() {
    let mut agent = Agent::start();
    let authority = Authority::new("ca");
    let (_, target) = agent.serve(serve_tls(ServeProtocol::Http, authority.leaf("app.example.com")));
    let offer = |names: &[&str]| ClientTls {
        alpn: names.iter().map(|name| (*name).to_owned()).collect(),
        ..client_tls("app.example.com", &authority)
    };
    for (alpn, chosen, version) in
        [(&["h2", "http/1.1"][..], Some("h2"), "HTTP/2.0"), (&["http/1.1"][..], Some("http/1.1"), "HTTP/1.1"), (&[][..], None, "HTTP/1.1")]
    {
        let answer = over_tls(&mut agent, target, offer(alpn));
        assert_eq!(answer.tls.unwrap().alpn.as_deref(), chosen);
        assert_eq!(answer.echo.unwrap().seen.version, version);
    }
    let op = HttpOp { tls: Some(offer(&[])), version: HttpVersion::Http2, ..get(target) };
    assert_eq!(agent.answer(op).echo.unwrap().seen.version, "HTTP/2.0");
}

#[test]
fn no_name_is_sent_when_none_is_asked_for() {
    let mut agent = Agent::start();
    let (_, target) = agent.serve(serve_tls(ServeProtocol::Http, Authority::new("ca").leaf("app.example.com")));
    let answer = over_tls(&mut agent, target, ClientTls::default());
    assert_eq!(answer.echo.unwrap().seen.tls.unwrap().sni, None);
}

#[test]
fn an_alert_is_reported_by_its_name() {
    let mut agent = Agent::start();
    let authority = Authority::new("ca");
    let no_certificate = peers::without_certificate();
    for (target, name) in
        [(no_certificate, "access_denied"), (peers::alerting(112), "unrecognized_name"), (peers::alerting(40), "handshake_failure")]
    {
        let TlsOutcome::Failed(failure) = shake(&mut agent, target, client_tls("x.example.com", &authority)).outcome else { panic!() };
        assert_eq!((failure.class, failure.phase.as_str(), failure.alert.as_deref()), (FailureClass::Alert, "tls", Some(name)));
        let (_, report) = agent.http(HttpOp { tls: Some(client_tls("x.example.com", &authority)), ..get(target) });
        assert_eq!(report.tally[0].failure, Some(FailureClass::Alert));
    }
}

#[test]
fn handshake_failures_are_told_apart() {
    let mut agent = Agent::start();
    let plain = agent.serve_http();
    let cases = [
        (peers::nobody(), FailureClass::Refused, "connect"),
        (peers::resetting(), FailureClass::Reset, "tls"),
        (peers::silent(), FailureClass::Timeout, "tls"),
        (peers::saying(b""), FailureClass::Closed, "tls"),
        (plain, FailureClass::Protocol, "tls"),
    ];
    for (target, class, phase) in cases {
        let TlsOutcome::Failed(failure) = shake(&mut agent, target, ClientTls::default()).outcome else { panic!() };
        assert_eq!((failure.class, failure.phase.as_str()), (class, phase), "{failure:?}");
    }
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_refused() {
    let mut agent = Agent::start();
    let authority = Authority::new("ca");
    let ((cert, _), (_, key)) = (authority.leaf("a.example.com"), authority.leaf("b.example.com"));
    let error = agent.refused(Op::Serve(serve_tls(ServeProtocol::Http, (cert.clone(), key.clone()))));
    assert!(error.operation.starts_with("set up TLS on"), "{error:?}");
    let lone = plumb_core::probe::ServeOp { cert_pem: Some(cert), ..serve(ServeProtocol::Http) };
    assert!(agent.refused(Op::Serve(lone)).message.contains("one of them is missing"));
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let junk = (format!("-----BEGIN CERTIFICATE-----\n{body}"), key);
    let error = agent.refused(Op::Serve(serve_tls(ServeProtocol::Http, junk)));
    assert!(!error.message.contains(&body[..20]), "{error:?}");
}
