//! A small run made of values: a lab of three nodes, a scenario with the steps a test gives, observations as JSON.

use std::collections::BTreeMap;

use plumb_core::evidence::Observation;
use plumb_core::plan::{Budgets, Disposition, PLAN, Plan};
use plumb_core::verdict::{CheckVerdict, Outcome, Verdict, judge};
use serde_json::{Value, json};

/// A plan with these steps.
pub(crate) fn plan(steps: &Value) -> Plan {
    let scenario = json!({
        "format": 1, "title": "t", "intent": "i", "covers": [], "install": {"profile": "p"},
        "backends": {
            "pod-a": {"port": 7000, "protocol": "tcp", "node": "worker"},
            "pod-b": {"port": 7000, "protocol": "tcp", "node": "worker2"}
        },
        "steps": steps,
    });
    let profile = json!({"format": 1, "name": "p", "title": "t", "source": "s", "cilium": "1.17.1", "asWritten": [], "asMeant": {}});
    Plan {
        version: PLAN,
        trial: "refnet::test".into(),
        name: "test".into(),
        provider: "refnet".into(),
        scenario: serde_json::from_value(scenario).unwrap(),
        manifests: BTreeMap::new(),
        profile: serde_json::from_value(profile).unwrap(),
        before: None,
        adopted: None,
        values: BTreeMap::new(),
        unmodelled: Vec::new(),
        variants: Vec::new(),
        fault: None,
        seed: 1,
        budgets: Budgets::for_provider("refnet"),
        disposition: Disposition::Run,
    }
}

fn link(name: &str, mac: &str) -> Value {
    json!({"name": name, "index": 2, "mac": mac, "up": true, "mtu": 1500, "addresses": []})
}

fn node(name: &str, n: u8) -> Value {
    json!({
        "name": format!("plumb-{name}"), "controlPlane": n == 2, "address": format!("10.9.0.{n}"), "podCidr": format!("10.244.{n}.0/24"),
        "links": [link("eth0", &format!("02:00:00:00:00:0{n}")), link("net0", &format!("02:00:00:00:01:0{n}"))],
    })
}

/// The facts every run begins with.
pub(crate) fn beginning() -> Vec<(Option<String>, Value)> {
    let lab = json!({
        "provider": "refnet", "system": "reference network 0.1.0", "cilium": null, "client": [link("net0", "02:00:00:00:01:c8")],
        "nodes": {"control-plane": node("control-plane", 2), "worker": node("worker", 3), "worker2": node("worker2", 4)},
        "unmodelled": [], "faults": [], "phasesMs": {},
    });
    let certs = json!({"demo": {"sha256": "aa".repeat(32), "notAfter": 1, "sans": ["demo.test"]}});
    vec![
        (None, json!({"began": {"version": 1, "plumb": "0.1.0", "unixS": 1, "monotonicNs": 1}})),
        (None, json!({"lab": lab})),
        (None, json!({"certs": certs})),
    ]
}

/// Numbers facts as an evidence file does.
pub(crate) fn observations(facts: Vec<(Option<String>, Value)>) -> Vec<Observation> {
    let numbered = facts.into_iter().enumerate().map(|(n, (step, fact))| {
        json!({"seq": n + 1, "atNs": n * 1_000_000, "step": step, "fact": fact, "blobs": [format!("blobs/{}.txt", n + 1)]})
    });
    numbered.map(|value| serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))).collect()
}

/// A whole run: the beginning, these facts by step, the end.
pub(crate) fn verdict(steps: &Value, facts: &[(&str, Value)]) -> Verdict {
    let mut all = beginning();
    all.extend(facts.iter().map(|(step, fact)| (Some((*step).to_owned()), fact.clone())));
    all.push((None, json!("ended")));
    judge(&plan(steps), &observations(all))
}

/// The verdict of one check must have this outcome and this text in its reason.
pub(crate) fn check(what: &str, steps: &Value, facts: &[(&str, Value)], id: &str, outcome: Outcome, because: &str) -> CheckVerdict {
    let verdict = verdict(steps, facts);
    assert_eq!(verdict.troubles, Vec::<String>::new(), "{what}");
    let check = verdict.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("{what}: no check {id}: {verdict:#?}"));
    assert_eq!(check.outcome, outcome, "{what}: {check:#?}");
    assert!(check.because.contains(because), "{what}: expected `{because}` in {check:#?}");
    assert!(!check.expected.is_empty() && !check.seen.is_empty(), "{what}: {check:#?}");
    check.clone()
}

/// A probe's observation.
pub(crate) fn probe(attempt: u32, seen: Value) -> Value {
    json!({"probe": {"attempt": attempt, "canary": null, "target": "target", "seen": seen}})
}

/// How a wait ended.
pub(crate) fn waited(held: bool) -> Value {
    json!({"waited": {"held": held, "attempts": 3, "tookMs": 120, "limitMs": 5000, "last": ["a", "b"]}})
}

/// One answer over HTTP; the rest of the answer is merged in.
pub(crate) fn answer(status: u16, backend: Option<&str>, client_tls: Value, server_tls: Value) -> Value {
    let echo = backend.map(|backend| {
        json!({"backend": backend, "pod": "p", "node": "plumb-worker2", "seen": {
            "peer": "10.9.0.3:1", "local": "10.244.4.2:80", "version": "HTTP/1.1", "method": "GET", "path": "/",
            "headers": {"x-forwarded-proto": "https"}, "tls": server_tls}})
    });
    let answer = json!({"status": status, "headers": [["x-plumb-revision", "r1"]], "echo": echo, "body": null, "tls": client_tls});
    http(&json!({"answer": answer}))
}

/// One request with this outcome.
pub(crate) fn http(outcome: &Value) -> Value {
    json!({"http": [{"n": 0, "atNs": 1, "phases": {"connectUs": 1, "tlsUs": null, "firstByteUs": 1, "totalUs": 3},
        "local": null, "outcome": outcome}]})
}

/// A request that failed.
pub(crate) fn failed(class: &str) -> Value {
    json!({"failed": {"class": class, "phase": "connect", "alert": null, "detail": "d"}})
}

/// A client's TLS session.
pub(crate) fn session(exported: &str, leaf: &str, trust: Value) -> Value {
    json!({"version": "1.3", "alpn": "h2", "cipher": "c", "exported": exported, "trust": trust,
        "chain": [{"sha256": leaf, "subject": "CN=x", "issuer": "CN=ca", "sans": ["demo.test"], "notBefore": 0, "notAfter": 9}]})
}

/// A server's TLS session.
pub(crate) fn server(exported: &str) -> Value {
    json!({"sni": "demo.test", "alpn": null, "version": "1.3", "exported": exported, "leafSha256": "aa"})
}
