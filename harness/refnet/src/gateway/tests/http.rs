//! HTTP through the data plane.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::lab::Lab;
use super::world::{gateway, route, service};
use crate::fault::Fault;

fn plain(port: u16) -> Value {
    gateway("gw", json!([{"name": "http", "port": port, "protocol": "HTTP"}]))
}

fn weighted(one: u32, two: u32) -> Value {
    let rules = json!([{"matches": [{"path": {"type": "PathPrefix", "value": "/echo"}}], "backendRefs": [
        {"name": "echo-1", "port": 80, "weight": one}, {"name": "echo-2", "port": 80, "weight": two},
    ]}]);
    route("HTTPRoute", "split", "gw", json!({"rules": rules}))
}

async fn split_lab(address: u8, fault: Option<Fault>, weights: (u32, u32)) -> (Lab, Vec<Value>) {
    let mut lab = Lab::new(address, fault);
    let mut objects = lab.backend("echo-1", None).await;
    objects.extend(lab.backend("echo-2", None).await);
    objects.push(plain(8080));
    let mut all = objects.clone();
    all.push(weighted(weights.0, weights.1));
    lab.apply(&all);
    (lab, objects)
}

#[tokio::test]
async fn requests_go_where_the_route_says_and_carry_what_a_proxy_adds() {
    let (lab, _) = split_lab(1, None, (1, 0)).await;
    let answer = lab
        .ask(8080, "any.example.com:8080", "/echo?x=1", "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: gopher\r\nKeep-Alive: 5\r\n")
        .await;
    assert_eq!((answer.status, answer.backend()), (200, "echo-1"));
    assert_eq!(answer.seen("x-forwarded-for"), Some("198.51.100.7, 127.0.0.1"));
    assert_eq!(answer.seen("x-forwarded-proto"), Some("http"));
    assert_eq!(answer.seen("host"), Some("any.example.com:8080"));
    assert_eq!(answer.seen("x-request-id").map(str::len), Some(36));
    assert_eq!((answer.seen("keep-alive"), answer.seen("connection")), (None, None));
    assert_eq!(answer.echo.unwrap().seen.path, "/echo?x=1");
    assert_eq!(lab.get(8080, "any.example.com", "/other").await.status, 404);
}

#[tokio::test]
async fn a_new_revision_counts_for_the_next_request_of_an_open_connection() {
    let (mut lab, mut objects) = split_lab(2, None, (1, 0)).await;
    let mut connection = lab.connect(8080).await;
    let mut seen = Vec::new();
    for round in 0..2 {
        connection.write_all(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut buffer = vec![0; 8192];
        let n = connection.read(&mut buffer).await.unwrap();
        seen.push(String::from_utf8_lossy(&buffer[..n]).contains("echo-2"));
        if round == 0 {
            objects.push(weighted(0, 1));
            lab.apply(&objects);
        }
    }
    assert_eq!(seen, [false, true]);
}

#[tokio::test]
async fn broken_references_and_missing_endpoints_have_their_own_codes() {
    let mut lab = Lab::new(3, None);
    let rule = |path: &str, backends: Value| json!({"matches": [{"path": {"type": "Exact", "value": path}}], "backendRefs": backends});
    let mut objects = service("empty", "default", &[]);
    objects.extend(service("far", "other", &["127.0.0.1:9".parse().unwrap()]));
    objects.push(plain(8080));
    let rules = [
        rule("/missing", json!([{"name": "nobody", "port": 80}])),
        rule("/far", json!([{"name": "far", "namespace": "other", "port": 80}])),
        rule("/empty", json!([{"name": "empty", "port": 80}])),
        rule("/zero", json!([{"name": "empty", "port": 80, "weight": 0}])),
        rule("/none", json!([])),
    ];
    objects.push(route("HTTPRoute", "r", "gw", json!({"rules": rules})));
    lab.apply(&objects);
    for (path, expected) in [("/missing", 500), ("/far", 500), ("/empty", 503), ("/zero", 500), ("/none", 500), ("/else", 404)] {
        assert_eq!(lab.get(8080, "a", path).await.status, expected, "{path}");
    }
}

#[tokio::test]
async fn filters_change_requests_responses_and_places() {
    let mut lab = Lab::new(4, None);
    let mut objects = lab.backend("echo-1", None).await;
    objects.push(plain(8080));
    let rule = |path: &str, filters: Value| json!({"matches": [{"path": {"value": path}}], "filters": filters, "backendRefs": [{"name": "echo-1", "port": 80}]});
    let headers = json!([
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-Plumb-Revision", "value": "7"}], "remove": ["X-Gone"]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "X-Answer", "value": "yes"}]}},
    ]);
    let rewrite = json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "inner.test", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}]);
    let redirect = json!([{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]);
    objects.push(route("HTTPRoute", "r", "gw", json!({"rules": [rule("/h", headers), rule("/old", rewrite), rule("/r", redirect)]})));
    lab.apply(&objects);
    let answer = lab.ask(8080, "a", "/h", "X-Gone: 1\r\n").await;
    assert_eq!((answer.seen("x-plumb-revision"), answer.seen("x-gone")), (Some("7"), None));
    assert!(answer.head.contains("x-answer: yes"), "{}", answer.head);
    let answer = lab.get(8080, "a", "/old/deep?q=1").await;
    assert_eq!(answer.seen("host"), Some("inner.test"));
    assert_eq!(answer.echo.unwrap().seen.path, "/new/deep?q=1");
    let answer = lab.get(8080, "shop.test:8080", "/r/x?y=z").await;
    assert_eq!(answer.status, 301);
    assert!(answer.head.contains("location: https://shop.test/r/x?y=z"), "{}", answer.head);
}

#[tokio::test]
async fn the_fault_of_the_forwarded_scheme_hides_it() {
    let (lab, _) = split_lab(5, Some(Fault::ForwardedProtoMissing), (1, 0)).await;
    assert_eq!(lab.ask(8080, "a", "/echo", "X-Forwarded-Proto: http\r\n").await.seen("x-forwarded-proto"), None);
}

#[tokio::test]
async fn the_fault_of_the_wrong_backend_sends_astray() {
    let (lab, _) = split_lab(6, Some(Fault::BackendWrongId), (1, 0)).await;
    assert_eq!(lab.get(8080, "a", "/echo").await.backend(), "echo-2");
}

#[tokio::test]
async fn weight_faults_reach_the_wire() {
    for (address, fault, weights, expected) in [
        (7, Fault::WeightsSwapped, (1, 0), "echo-2"),
        (8, Fault::WeightsSticky, (1, 1), ""),
        (9, Fault::WeightsZeroLeaks, (1, 0), "echo-1"),
    ] {
        let (lab, _) = split_lab(address, Some(fault), weights).await;
        let mut backends = std::collections::BTreeSet::new();
        for _ in 0..8 {
            backends.insert(lab.get(8080, "a", "/echo").await.backend().to_owned());
        }
        assert_eq!(backends.len(), 1, "{fault:?}");
        assert!(expected.is_empty() || backends.contains(expected), "{fault:?}: {backends:?}");
    }
}

#[tokio::test]
async fn the_fault_of_the_missing_grant_reaches_another_namespace() {
    for (address, fault, expected) in [(10, None, 500), (11, Some(Fault::RouteWithoutGrant), 200)] {
        let mut lab = Lab::new(address, fault);
        let backend = lab.backend("echo-1", None).await;
        let mut objects: Vec<_> = backend
            .into_iter()
            .map(|mut object| {
                object["metadata"]["namespace"] = json!("other");
                object
            })
            .collect();
        objects.push(plain(8080));
        objects.push(route(
            "HTTPRoute",
            "r",
            "gw",
            json!({"rules": [{"backendRefs": [{"name": "echo-1", "namespace": "other", "port": 80}]}]}),
        ));
        lab.apply(&objects);
        assert_eq!(lab.get(8080, "a", "/").await.status, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_goes_away_stops_listening() {
    let (mut lab, objects) = split_lab(12, None, (1, 0)).await;
    let without: Vec<_> = objects.into_iter().filter(|object| object["kind"] != "Gateway").collect();
    lab.apply(&without);
    let refused = async {
        while tokio::net::TcpStream::connect((lab.address, 8080)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), refused).await.unwrap();
}

#[test]
fn one_node_goes_stale_and_the_others_do_not() {
    use crate::gateway::FirstSeen;
    use crate::gateway::live::Node;
    use crate::gateway::tests::world::world;
    let nodes = ["control-plane", "worker", "worker2"].map(|name| {
        let labels = if name == "control-plane" { json!({"node-role.kubernetes.io/control-plane": ""}) } else { json!({}) };
        json!({"kind": "Node", "metadata": {"name": name, "labels": labels}})
    });
    let at = |one| world(&[nodes.to_vec(), vec![weighted(one, 1)]].concat());
    for (name, expected) in [("worker2", 9), ("worker", 5), ("control-plane", 5)] {
        let node = Node::new(name, 1, [Fault::RouteStaleOnOneNode].into_iter().collect(), false);
        let mut memory = FirstSeen::default();
        memory.hold(&node, &mut at(9));
        let mut now = at(5);
        memory.hold(&node, &mut now);
        assert_eq!(now.http_routes[0].spec.rules[0].backend_refs[0].weight, Some(expected), "{name}");
    }
}
