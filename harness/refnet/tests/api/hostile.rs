//! Requests nobody means well with: an answer each, no panic, nothing unbounded.

use http_body_util::{BodyExt, Full};
use plumb_refnet::api::fuzz_request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Method, target, headers, body, and the code that is expected.
type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, Vec<u8>, u16);

async fn answer(method: &str, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Value) {
    answer_on(&server(), method, target, headers, body).await
}

pub(crate) async fn answer_on(
    server: &plumb_refnet::api::ApiServer,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (u16, Value) {
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = server.service().oneshot(request.body(Full::new(bytes::Bytes::from(body))).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn each_kind_of_nonsense_has_its_refusal() {
    let json_type = ("content-type", "application/json");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let wide = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x".repeat(4 << 20)}}).to_string();
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(20_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(b'b'..=b'i').map(|c| format!("{0}: &{0} [{1}]\n", c as char, format!("*{},", (c - 1) as char).repeat(9))).collect::<String>();
    let cases: Vec<Case<'_>> = vec![
        ("POST", MAPS, vec![json_type], b"{".to_vec(), 400),
        ("POST", MAPS, vec![json_type], b"\xff\xfe".to_vec(), 400),
        ("POST", MAPS, vec![json_type], b"".to_vec(), 400),
        ("POST", MAPS, vec![json_type], b"[]".to_vec(), 400),
        ("POST", MAPS, vec![json_type], deep.clone().into_bytes(), 400),
        ("POST", MAPS, vec![("content-type", "application/yaml")], deep.into_bytes(), 400),
        ("POST", MAPS, vec![("content-type", "application/yaml")], bomb.into_bytes(), 400),
        ("POST", MAPS, vec![("content-type", "application/yaml")], b"a: [".to_vec(), 400),
        ("POST", MAPS, vec![json_type], many.into_bytes(), 400),
        ("POST", MAPS, vec![json_type], wide.into_bytes(), 413),
        ("POST", MAPS, vec![("content-type", "application/vnd.kubernetes.protobuf")], b"k8s\0".to_vec(), 415),
        ("POST", MAPS, vec![("content-type", "text/html")], b"<p>".to_vec(), 415),
        ("GET", MAPS, vec![("accept", "application/vnd.kubernetes.protobuf")], vec![], 406),
        ("GET", "/api/v1/namespaces/%2e%2e/pods", vec![], vec![], 400),
        ("GET", "/api/v1/namespaces/a%2fb/pods", vec![], vec![], 400),
        ("GET", "/api/v1/namespaces/%zz/pods", vec![], vec![], 400),
        ("GET", "/api/v1/namespaces/%ff/pods", vec![], vec![], 400),
        ("GET", "/api/v2/pods", vec![], vec![], 404),
        ("GET", "/apis/nope/v1/things", vec![], vec![], 404),
        ("GET", "//", vec![], vec![], 200),
        ("GET", "/api/v1/pods?labelSelector=a%20b", vec![], vec![], 400),
        ("GET", "/api/v1/pods?fieldSelector=spec.secret%3Da", vec![], vec![], 400),
        ("GET", "/api/v1/pods?watch=true&resourceVersion=x", vec![], vec![], 400),
        ("BREW", MAPS, vec![], vec![], 405),
        ("PUT", MAPS, vec![json_type], b"{}".to_vec(), 405),
        ("DELETE", "/api/v1/configmaps", vec![], vec![], 405),
        ("DELETE", "/api/v1/namespaces/kube-system", vec![], vec![], 403),
        ("PATCH", "/api/v1/namespaces/default/configmaps/a", vec![json_type], b"{}".to_vec(), 415),
        ("GET", "/api/v1/namespaces/default/pods/a/log", vec![], vec![], 501),
    ];
    for (method, target, headers, body, expected) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let (code, status) = answer(method, target, &headers, body).await;
        assert_eq!(code, expected, "{method} {target} {headers:?} {shown}: {status}");
        if code >= 400 {
            assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(expected)), "{method} {target}");
        }
    }
}

#[tokio::test]
async fn a_patch_that_doubles_itself_is_stopped() {
    let server = server();
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let (code, _) = answer_on(&server, "POST", MAPS, &[("content-type", "application/json")], made.to_string().into_bytes()).await;
    assert_eq!(code, 201);
    let doubling = (0..200).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/x{n}")})).collect::<Value>();
    let headers = [("content-type", "application/json-patch+json")];
    let (code, status) = answer_on(&server, "PATCH", &format!("{MAPS}/a"), &headers, doubling.to_string().into_bytes()).await;
    assert_eq!(code, 400, "{status}");
}

#[test]
fn mutated_requests_are_answered_without_a_panic() {
    let seeds: Vec<Vec<u8>> = [
        "POST /api/v1/namespaces/default/configmaps\ncontent-type: application/json\n\n{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}",
        "PATCH /apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/g?fieldManager=f&force=true\ncontent-type: application/apply-patch+yaml\n\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {gatewayClassName: c, listeners: [{name: a, port: 80, protocol: HTTP}]}\n\0GET /apis/gateway.networking.k8s.io/v1/gateways?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\naccept: application/json;as=Table;v=v1;g=meta.k8s.io\n\n",
        "GET /api/v1/pods?labelSelector=a+in+(b,c),!d&fieldSelector=spec.nodeName%3Dx\naccept: */*\n\n",
        "PATCH /api/v1/namespaces/default\ncontent-type: application/json-patch+json\n\n[{\"op\":\"add\",\"path\":\"/metadata/labels/x\",\"value\":\"y\"},{\"op\":\"test\",\"path\":\"/kind\",\"value\":\"Namespace\"}]\0DELETE /api/v1/namespaces/default/configmaps?labelSelector=a\n\n{\"propagationPolicy\":\"Foreground\"}",
        "PATCH /api/v1/namespaces/default\ncontent-type: application/strategic-merge-patch+json\n\n{\"metadata\":{\"$patch\":\"merge\",\"finalizers\":[\"a.b/c\"],\"$setElementOrder/finalizers\":[\"a.b/c\"],\"$deleteFromPrimitiveList/finalizers\":[\"x\"]}}",
        "GET /openapi/v3/api/v1\n\n",
    ]
    .map(|s| s.as_bytes().to_vec())
    .to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    for seed in &seeds {
        fuzz_request(seed);
    }
    // `PLUMB_FUZZ_ROUNDS` for a long run.
    let rounds = std::env::var("PLUMB_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    for round in 0..rounds {
        let mut data = seeds[round % (seeds.len() - 1)].clone();
        for _ in 0..=random(6) {
            let at = random(data.len());
            match random(4) {
                0 => data[at] = u8::try_from(random(256)).unwrap(),
                1 => drop(data.drain(at..data.len().min(at + random(12)))),
                2 => data.splice(at..at, [b"{\"", b"[[", b"%2", b"\xff\0"][random(4)].iter().copied()).for_each(drop),
                _ => {
                    let copy = data[at..data.len().min(at + random(40))].to_vec();
                    data.extend(copy);
                }
            }
            if data.is_empty() {
                break;
            }
        }
        fuzz_request(&data);
    }
}
