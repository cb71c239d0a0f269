//! TLS through the data plane: who terminates, with which certificate, and what each fault does to that.

use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::lab::{Lab, ask_on, connector, der, exported, leaf, trusts};
use super::world::{Authority, Pair, gateway, route, secret};
use crate::fault::Fault;

const HOST: &str = "bookinfo.cilium.rocks";
const OTHER: &str = "hipstershop.cilium.rocks";
const NGINX: &str = "nginx.cilium.rocks";

struct Terminating {
    lab: Lab,
    authority: Authority,
    pair: Pair,
    objects: Vec<Value>,
}

async fn terminating(address: u8, fault: Option<Fault>) -> Terminating {
    let mut lab = Lab::new(address, fault);
    let authority = Authority::new();
    let pair = authority.pair(&[HOST, OTHER]);
    let mut objects = lab.backend("one", None).await;
    objects.extend(lab.backend("two", None).await);
    let tls = json!({"certificateRefs": [{"kind": "Secret", "name": "demo-cert"}]});
    objects.push(gateway(
        "tls-gateway",
        json!([
            {"name": "https-1", "protocol": "HTTPS", "port": 8443, "hostname": HOST, "tls": tls},
            {"name": "https-2", "protocol": "HTTPS", "port": 8443, "hostname": OTHER, "tls": tls},
        ]),
    ));
    let rules = |backend: &str| json!([{"backendRefs": [{"name": backend, "port": 80}]}]);
    objects.push(route("HTTPRoute", "one", "tls-gateway", json!({"hostnames": [HOST], "rules": rules("one")})));
    objects.push(route("HTTPRoute", "two", "tls-gateway", json!({"hostnames": [OTHER], "rules": rules("two")})));
    objects.push(authority.secret());
    let mut all = objects.clone();
    all.push(secret("demo-cert", &pair));
    lab.apply(&all);
    Terminating { lab, authority, pair, objects }
}

async fn passthrough(address: u8, fault: Option<Fault>) -> (Lab, Authority, Pair) {
    let mut lab = Lab::new(address, fault);
    let authority = Authority::new();
    let pair = authority.pair(&[NGINX]);
    let mut objects = lab.backend("my-nginx", Some(&pair)).await;
    objects.push(gateway("cilium-tls-gateway", json!([
        {"name": "https", "hostname": NGINX, "port": 8443, "protocol": "TLS", "tls": {"mode": "Passthrough"}, "allowedRoutes": {"namespaces": {"from": "All"}}},
    ])));
    objects.push(route(
        "TLSRoute",
        "nginx",
        "cilium-tls-gateway",
        json!({"hostnames": [NGINX], "rules": [{"backendRefs": [{"name": "my-nginx", "port": 80}]}]}),
    ));
    objects.push(authority.secret());
    lab.apply(&objects);
    (lab, authority, pair)
}

#[tokio::test]
async fn terminate_serves_the_secret_and_speaks_plain_text_to_the_backend() {
    let it = terminating(31, None).await;
    for (host, backend) in [(HOST, "one"), (OTHER, "two")] {
        let session = it.lab.session(8443, host).await.unwrap();
        assert_eq!(leaf(&session), der(&it.pair.cert));
        trusts(&it.authority.pem, &session, host).unwrap();
        let answer = ask_on(session, host, "/", "").await;
        assert_eq!((answer.status, answer.backend()), (200, backend));
        assert_eq!(answer.seen("x-forwarded-proto"), Some("https"));
        assert!(answer.echo.unwrap().seen.tls.is_none());
    }
}

#[tokio::test]
async fn alpn_is_not_offered_unless_it_is_switched_on() {
    let it = terminating(32, None).await;
    let name = ServerName::try_from(HOST).unwrap();
    let session = connector(&[b"h2", b"http/1.1"]).connect(name, it.lab.connect(8443).await).await;
    // Without ALPN on the server there is no protocol to agree on, and none is needed.
    assert_eq!(session.unwrap().get_ref().1.alpn_protocol(), None);
}

#[tokio::test]
async fn an_unknown_server_name_is_refused_by_alert() {
    let it = terminating(33, None).await;
    let error = it.lab.session(8443, "nobody.cilium.rocks").await.unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName") || error.contains("UnrecognizedName"), "{error}");
    let error = it.lab.session(8443, "127.0.0.1").await.unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName") || error.contains("UnrecognizedName"), "{error}");
}

#[tokio::test]
async fn a_new_secret_is_for_new_connections_and_open_ones_go_on() {
    let mut it = terminating(34, None).await;
    let mut open = it.lab.session(8443, HOST).await.unwrap();
    let newer = it.authority.pair(&[HOST, OTHER]);
    it.objects.push(secret("demo-cert", &newer));
    it.lab.apply(&it.objects);
    assert_eq!(leaf(&it.lab.session(8443, HOST).await.unwrap()), der(&newer.cert));
    open.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut buffer = [0; 12];
    open.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn certificate_faults_serve_what_they_say() {
    for (address, fault, complaint) in
        [(35, Fault::CertWrong, None), (36, Fault::CertExpired, Some("expired")), (37, Fault::CertOtherHost, Some("not valid for name"))]
    {
        let it = terminating(address, Some(fault)).await;
        let session = it.lab.session(8443, HOST).await.unwrap();
        assert_ne!(leaf(&session), der(&it.pair.cert), "{fault:?}");
        match (trusts(&it.authority.pem, &session, HOST), complaint) {
            (Ok(()), None) => {}
            (Err(error), Some(complaint)) => assert!(error.to_lowercase().contains(complaint), "{fault:?}: {error}"),
            (outcome, _) => panic!("{fault:?}: {outcome:?}"),
        }
        // The same forged certificate each time.
        assert_eq!(leaf(&it.lab.session(8443, HOST).await.unwrap()), leaf(&session));
    }
}

#[tokio::test]
async fn the_fault_of_the_default_certificate_answers_unknown_names() {
    let it = terminating(38, Some(Fault::SniDefaultCertificate)).await;
    let session = it.lab.session(8443, "nobody.cilium.rocks").await.unwrap();
    assert_eq!(leaf(&session), der(&it.pair.cert));
}

#[tokio::test]
async fn the_fault_of_passing_through_hands_the_bytes_to_the_backend() {
    let it = terminating(39, Some(Fault::TlsPassesThroughTerminate)).await;
    // The backend speaks plain text, so no session comes about, and no alert of the Gateway either.
    let error = it.lab.session(8443, HOST).await.unwrap_err().to_string();
    assert!(!error.contains("Unrecogni"), "{error}");
}

#[tokio::test]
async fn passthrough_is_one_session_from_client_to_backend() {
    let (lab, _, pair) = passthrough(41, None).await;
    let session = lab.session(8443, NGINX).await.unwrap();
    assert_eq!(leaf(&session), der(&pair.cert));
    let own = exported(&session);
    let seen = ask_on(session, NGINX, "/", "").await.echo.unwrap().seen;
    assert_eq!(seen.tls.unwrap().exported, own);
    let error = lab.session(8443, "other.cilium.rocks").await.unwrap_err().to_string();
    assert!(error.contains("Unrecogni"), "{error}");
}

#[tokio::test]
async fn passthrough_keeps_the_protocols_the_client_offers() {
    let (lab, ..) = passthrough(42, None).await;
    let session = connector(&[b"h2"]).connect(ServerName::try_from(NGINX).unwrap(), lab.connect(8443).await).await.unwrap();
    assert_eq!(session.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
}

#[tokio::test]
async fn somebody_in_the_middle_makes_two_sessions_of_one() {
    for (address, fault, trusted) in [(43, Fault::TlsManInTheMiddle, true), (44, Fault::TlsTerminatesPassthrough, false)] {
        let (lab, authority, pair) = passthrough(address, Some(fault)).await;
        let session = lab.session(8443, NGINX).await.unwrap();
        assert_ne!(leaf(&session), der(&pair.cert), "{fault:?}");
        assert_eq!(trusts(&authority.pem, &session, NGINX).is_ok(), trusted, "{fault:?}");
        let own = exported(&session);
        let seen = ask_on(session, NGINX, "/", "").await.echo.unwrap().seen;
        assert_ne!(seen.tls.unwrap().exported, own, "{fault:?}");
    }
}

#[tokio::test]
async fn plain_text_on_a_tls_port_gets_an_alert() {
    let it = terminating(45, None).await;
    let mut stream = it.lab.connect(8443).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, [0x15]);
}
