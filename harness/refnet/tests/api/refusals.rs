//! What the API refuses, and what it says: a table.

use std::fmt::Write as _;

use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::server;

const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes";
const TLS_ROUTES: &str = "/apis/gateway.networking.k8s.io/v1alpha2/namespaces/default/tlsroutes";
const POOLS: &str = "/apis/cilium.io/v2alpha1/ciliumloadbalancerippools";
const POLICIES: &str = "/apis/cilium.io/v2alpha1/ciliuml2announcementpolicies";

fn gateway(spec: &str) -> String {
    format!("{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: g}}, spec: {spec}}}")
}

fn listener(listener: &str) -> String {
    gateway(&format!("{{gatewayClassName: cilium, listeners: [{listener}]}}"))
}

fn route(spec: &str) -> String {
    format!("{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r}}, spec: {spec}}}")
}

fn backend(backend: &str) -> String {
    route(&format!("{{rules: [{{backendRefs: [{backend}]}}]}}"))
}

fn cilium(kind: &str, spec: &str) -> String {
    format!("{{apiVersion: cilium.io/v2alpha1, kind: {kind}, metadata: {{name: c}}, spec: {spec}}}")
}

fn core(kind: &str, rest: &str) -> String {
    format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: x}}, {rest}}}")
}

fn core_path(plural: &str) -> String {
    format!("/api/v1/namespaces/default/{plural}")
}

fn gateways() -> Vec<(&'static str, String, String)> {
    let of = |name, manifest| (name, GATEWAYS.to_owned(), manifest);
    vec![
        of("unknown field", listener("{name: a, port: 80, protocol: HTTP, hostnam: x}")),
        of("wrong type", listener("{name: a, port: eighty, protocol: HTTP}")),
        of("no listeners", gateway("{gatewayClassName: cilium, listeners: []}")),
        of("no class", gateway("{listeners: [{name: a, port: 80, protocol: HTTP}]}")),
        of("listener twice", listener("{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}")),
        of("port out of range", listener("{name: a, port: 70000, protocol: HTTP}")),
        of("https without certificate", listener("{name: a, port: 443, protocol: HTTPS, tls: {mode: Terminate}}")),
        of("https without tls", listener("{name: a, port: 443, protocol: HTTPS}")),
        of("https passthrough", listener("{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}")),
        of("http with tls", listener("{name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: s}]}}")),
        of("unknown tls mode", listener("{name: a, port: 443, protocol: TLS, tls: {mode: Half}}")),
        of("unknown protocol", listener("{name: a, port: 80, protocol: GOPHER}")),
        of("hostname is an address", listener("{name: a, port: 80, protocol: HTTP, hostname: 10.0.0.1}")),
        of("hostname with two wildcards", listener("{name: a, port: 80, protocol: HTTP, hostname: '*.*.com'}")),
        of("same port and hostname", listener("{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}")),
        of("other kind", core("Pod", "spec: {}")),
        of("no apiVersion", "{kind: Gateway, metadata: {name: g}}".to_owned()),
        of("bad name", listener("{name: a, port: 80, protocol: HTTP}").replace("name: g}", "name: G_1}")),
    ]
}

fn routes() -> Vec<(&'static str, String, String)> {
    let of = |name, manifest| (name, ROUTES.to_owned(), manifest);
    vec![
        of("weight too large", backend("{name: a, port: 80, weight: 1000001}")),
        of("negative weight", backend("{name: a, port: 80, weight: -1}")),
        of("service without port", backend("{name: a}")),
        of("relative path", route("{rules: [{matches: [{path: {value: echo}}]}]}")),
        of("unknown path type", route("{rules: [{matches: [{path: {type: Prefix, value: /}}]}]}")),
        of("path with two slashes", route("{rules: [{matches: [{path: {value: /a//b}}]}]}")),
        of("bad header name", route("{rules: [{matches: [{headers: [{name: 'a b', value: c}]}]}]}")),
        of("header twice", route("{rules: [{matches: [{headers: [{name: A, value: b}, {name: a, value: c}]}]}]}")),
        of("filter without settings", route("{rules: [{filters: [{type: RequestRedirect}]}]}")),
        of("parent twice", route("{parentRefs: [{name: g}, {name: g}]}")),
        of("bad hostname", route("{hostnames: ['https://a']}")),
        of("too many rules", route(&format!("{{rules: [{}]}}", vec!["{}"; 17].join(", ")))),
        (
            "tls route without rules",
            TLS_ROUTES.to_owned(),
            "{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TLSRoute, metadata: {name: t}, spec: {hostnames: [a.b], rules: []}}"
                .to_owned(),
        ),
        (
            "tls route to nothing",
            TLS_ROUTES.to_owned(),
            "{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TLSRoute, metadata: {name: t}, spec: {rules: [{backendRefs: []}]}}"
                .to_owned(),
        ),
    ]
}

fn others() -> Vec<(&'static str, String, String)> {
    let pool = |name, blocks: &str| (name, POOLS.to_owned(), cilium("CiliumLoadBalancerIPPool", &format!("{{blocks: [{blocks}]}}")));
    let policy = |name, spec: &str| (name, POLICIES.to_owned(), cilium("CiliumL2AnnouncementPolicy", spec));
    let of = |name, kind: &str, plural: &str, rest: &str| (name, core_path(plural), core(kind, rest));
    vec![
        pool("pool: bad prefix", "{cidr: 10.0.10.0/33}"),
        pool("pool: stop before start", "{start: 10.0.0.9, stop: 10.0.0.1}"),
        pool("pool: empty block", "{}"),
        pool("pool: both forms", "{cidr: 10.0.0.0/24, start: 10.0.0.1}"),
        policy("policy: bad expression", "{interfaces: ['eth[']}"),
        policy("policy: boolean as text", "{loadBalancerIPs: 'yes'}"),
        policy("policy: bad operator", "{nodeSelector: {matchExpressions: [{key: a, operator: Is}]}}"),
        of("secret: tls without key", "Secret", "secrets", "type: kubernetes.io/tls, data: {tls.crt: YQ==}"),
        of("secret: no base64", "Secret", "secrets", "data: {a: '!'}"),
        of("pod: no containers", "Pod", "pods", "spec: {containers: []}"),
        of("pod: unknown field", "Pod", "pods", "spec: {containers: [{name: a, image: b, imagee: c}]}"),
        of("pod: container twice", "Pod", "pods", "spec: {containers: [{name: a, image: b}, {name: a, image: b}]}"),
        of("service: no ports", "Service", "services", "spec: {}"),
        of("service: ports without names", "Service", "services", "spec: {ports: [{port: 1}, {port: 2}]}"),
        of("service: foreign address", "Service", "services", "spec: {clusterIP: 192.168.0.1, ports: [{port: 1}]}"),
        (
            "label: bad value",
            core_path("configmaps"),
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {a: 'b c'}}}".to_owned(),
        ),
        (
            "deployment: selector does not match",
            "/apis/apps/v1/namespaces/default/deployments".to_owned(),
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: b}]}}}}".to_owned(),
        ),
        (
            "namespace that is not there",
            "/api/v1/namespaces/nowhere/configmaps".to_owned(),
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn invalid_manifests_are_refused_with_what_is_wrong_and_where() {
    let server = server();
    let mut shown = String::new();
    for (name, path, manifest) in gateways().into_iter().chain(routes()).chain(others()) {
        let request = http::Request::post(format!("{path}?fieldValidation=Strict"))
            .header("content-type", "application/yaml")
            .body(http_body_util::Full::new(bytes::Bytes::from(manifest)))
            .unwrap();
        let response = server.service().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let status: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status["kind"], "Status", "{name} was admitted: {status}");
        writeln!(shown, "## {name}\n{} {}: {}", status["code"], status["reason"].as_str().unwrap(), status["message"].as_str().unwrap())
            .unwrap();
        for cause in status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten() {
            writeln!(shown, "- {} {}", cause["reason"].as_str().unwrap(), cause["field"].as_str().unwrap()).unwrap();
        }
        shown.push('\n');
    }
    insta::assert_snapshot!("refusals", shown);
}
