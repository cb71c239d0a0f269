//! Probes made once, until they hold, or all the time.

use plumb_core::verdict::Outcome::{Fail, Pass, Unknown};
use serde_json::{Value, json};

use super::world::{answer, check, failed, http, probe, server, session, waited};

fn http_step(expect: Value) -> Value {
    json!([{"http": {"id": "c", "to": {"gateway": "gw"}, "port": 443, "host": "demo.test", "expect": expect}}])
}

#[test]
fn where_tls_ends_is_told_by_keys() {
    let sees =
        |client: &str, server_tls: Value| probe(1, answer(200, Some("b"), session(client, &"aa".repeat(32), json!("trusted")), server_tls));
    let cases = [
        ("gateway", sees("k1", Value::Null), Pass, "plain text at the backend"),
        ("gateway", sees("k1", server("k2")), Pass, "another session at the backend"),
        ("gateway", sees("k1", server("k1")), Fail, "TLS session ends at the backend: client and backend export the same keys"),
        ("gateway", sees("", server("k1")), Unknown, "could not export"),
        ("backend", sees("k1", server("k1")), Pass, "the same session at the backend"),
        ("backend", sees("k1", server("k2")), Fail, "TLS session ends before the backend: client and backend export different keys"),
        ("backend", sees("k1", Value::Null), Fail, "TLS session ends before the backend: the backend got plain text"),
        ("backend", probe(1, answer(200, None, session("k1", "aa", json!("trusted")), Value::Null)), Fail, "TLS session ends before"),
        ("backend", probe(1, answer(200, Some("b"), Value::Null, Value::Null)), Fail, "no TLS session"),
    ];
    for (end, fact, outcome, because) in cases {
        check(end, &http_step(json!({"tls": {"endsAt": end}})), &[("c", fact)], "c", outcome, because);
    }
}

#[test]
fn the_served_certificate_is_compared_by_fingerprint() {
    let sees = |leaf: &str, trust: Value| probe(1, answer(200, Some("b"), session("k", leaf, trust), Value::Null));
    let own = "AA".repeat(32);
    let expired = json!({"untrusted": "certificate expired"});
    let leaf = json!({"tls": {"leaf": "demo", "trusted": true}});
    check("own", &http_step(leaf.clone()), &[("c", sees(&own, json!("trusted")))], "c", Pass, "");
    check(
        "other",
        &http_step(leaf.clone()),
        &[("c", sees(&"bb".repeat(32), json!("trusted")))],
        "c",
        Fail,
        "served leaf is not that of `demo`",
    );
    check(
        "expired",
        &http_step(leaf.clone()),
        &[("c", sees(&own, expired.clone()))],
        "c",
        Fail,
        "chain is not trusted: certificate expired",
    );
    check("not checked", &http_step(leaf), &[("c", sees(&own, json!("notChecked")))], "c", Unknown, "was not checked");
    check("distrust", &http_step(json!({"tls": {"trusted": false}})), &[("c", sees(&own, expired))], "c", Pass, "");
    check(
        "unknown",
        &http_step(json!({"tls": {"leaf": "nobody"}})),
        &[("c", sees(&own, json!("trusted")))],
        "c",
        Unknown,
        "no certificate `nobody`",
    );
    check("alpn", &http_step(json!({"tls": {"alpn": "http/1.1"}})), &[("c", sees(&own, json!("trusted")))], "c", Fail, "ALPN chose h2");
}

#[test]
fn answers_are_compared_key_by_key() {
    let plain = |status, backend| probe(1, answer(status, backend, Value::Null, Value::Null));
    let ok = plain(200, Some("b"));
    let cases = [
        (json!({"status": 200, "backend": "b"}), ok.clone(), Pass, "status 200 from b"),
        (json!({"status": 200}), plain(404, None), Fail, "status 404, expected 200"),
        (json!({"backend": "a"}), ok.clone(), Fail, "the wrong backend answered: b, expected a"),
        (json!({"backend": "a"}), plain(200, None), Fail, "the wrong backend answered: none"),
        (json!({"headers": {"X-Plumb-Revision": "r1"}}), ok.clone(), Pass, ""),
        (json!({"headers": {"x-plumb-revision": "r2"}}), ok.clone(), Fail, "response header x-plumb-revision is `r1`"),
        (json!({"seenHeaders": {"X-Forwarded-Proto": "*"}}), ok.clone(), Pass, ""),
        (json!({"seenHeaders": {"X-Forwarded-For": "*"}}), ok.clone(), Fail, "request header X-Forwarded-For is missing"),
        (json!({"seenVersion": "HTTP/2.0"}), ok.clone(), Fail, "the backend saw HTTP/1.1"),
        (json!({"seenVersion": "HTTP/2.0"}), plain(200, None), Fail, "no backend of this run"),
        (json!({"status": 200}), probe(1, http(&failed("refused"))), Fail, "failed: refused"),
        (json!({"fails": ["refused", "reset"]}), probe(1, http(&failed("refused"))), Pass, "refused during connect"),
        (json!({"fails": ["refused"]}), probe(1, http(&failed("timeout"))), Fail, "failed in another way: timeout"),
        (json!({"fails": ["refused"]}), ok, Fail, "answered though it had to fail: status 200"),
        (json!({"status": 200}), probe(1, json!({"http": []})), Unknown, "only 0 of 1 results"),
        (json!({"status": 200}), probe(1, json!({"noTarget": "no address"})), Fail, "nothing to probe: no address"),
        (json!({"fails": ["refused"]}), probe(1, json!({"noTarget": "no address"})), Fail, "nothing to probe"),
        (
            json!({"status": 200}),
            probe(1, json!({"trouble": {"whose": "lab", "operation": "agent session", "message": "ended"}})),
            Unknown,
            "agent session: ended",
        ),
    ];
    for (expect, fact, outcome, because) in cases {
        check(&expect.to_string(), &http_step(expect), &[("c", fact)], "c", outcome, because);
    }
    check("nothing", &http_step(json!({"status": 200})), &[], "c", Unknown, "there is no evidence of this check");
}

#[test]
fn handshakes_echoes_and_pings_are_judged() {
    let tls =
        json!([{"tls": {"id": "c", "to": {"gateway": "gw"}, "port": 443, "tls": {"sni": "x"}, "expect": {"fails": ["alert", "reset"]}}}]);
    let attempt = |outcome: Value| probe(1, json!({"tls": {"attempts": [{"atNs": 1, "phases": {"totalUs": 1}, "outcome": outcome}]}}));
    check("refused", &tls, &[("c", attempt(failed("alert")))], "c", Pass, "alert");
    check(
        "served",
        &tls,
        &[("c", attempt(json!({"session": session("k", "bb", json!("trusted"))})))],
        "c",
        Fail,
        "answered though it had to fail",
    );
    check("none", &tls, &[("c", probe(1, json!({"tls": {"attempts": []}})))], "c", Unknown, "0 of 1 results");

    let l4 = |expect: Value| json!([{"l4": {"id": "c", "to": {"pod": "pod-b"}, "port": 1, "protocol": "udp", "expect": expect}}]);
    let back = probe(1, json!({"l4": {"attempts": [{"atNs": 1, "local": null, "rttUs": 5, "failure": null}]}}));
    let lost = failed("timeout")["failed"].clone();
    let lost = probe(1, json!({"l4": {"attempts": [{"atNs": 1, "local": null, "rttUs": null, "failure": lost}]}}));
    check("back", &l4(json!({"answered": true})), &[("c", back.clone())], "c", Pass, "payload came back");
    check("lost", &l4(json!({"answered": true})), &[("c", lost.clone())], "c", Fail, "failed: timeout");
    check("silence", &l4(json!({"answered": false})), &[("c", lost)], "c", Pass, "");
    check("noise", &l4(json!({"fails": ["timeout"]})), &[("c", back)], "c", Fail, "answered though it had to fail");
    check("nothing", &l4(json!({"answered": true})), &[], "c", Unknown, "no evidence of this check");

    let ping = json!([{"ping": {"id": "c", "to": {"node": "worker"}, "expect": "fragmentationNeeded"}}]);
    let outcome = |outcome: Value| probe(1, json!({"ping": {"attempts": [{"atNs": 1, "outcome": outcome}]}}));
    check("told", &ping, &[("c", outcome(json!({"fragmentationNeeded": {"mtu": 1420}})))], "c", Pass, "MTU 1420");
    check("lost", &ping, &[("c", outcome(json!("timeout")))], "c", Fail, "ping got timeout");
    check("other kind", &ping, &[("c", probe(1, json!({"object": null})))], "c", Unknown, "another kind");
}

#[test]
fn objects_and_leases_are_claims_that_are_compared() {
    let status = |expect: Value| json!([{"status": {"id": "c", "resource": "gateway/gw", "expect": expect}}]);
    let object = |status: &str, observed: u64| {
        probe(
            1,
            json!({"object": {"kind": "Gateway", "metadata": {"name": "gw", "generation": 2}, "status": {
            "conditions": [{"type": "Programmed", "status": status, "reason": "R", "message": "m", "observedGeneration": observed}],
            "addresses": [{"value": "10.9.0.220"}]}}}),
        )
    };
    let parents = json!({"object": {"status": {"parents": [{"conditions": [{"type": "Accepted", "status": "False", "reason": "NoMatchingParent"}]}]}}});
    let cases = [
        (json!({"conditions": {"Programmed": "True"}}), object("True", 2), Pass, "Programmed=True"),
        (json!({"conditions": {"Programmed": "True"}}), object("False", 2), Fail, "condition Programmed is False/R (m)"),
        (json!({"conditions": {"Programmed": "True/Other"}}), object("True", 2), Fail, "expected True/Other"),
        (json!({"conditions": {"Programmed": "True"}}), object("True", 1), Fail, "about generation 1, the object is at 2"),
        (json!({"conditions": {"Accepted": "True"}}), object("True", 2), Fail, "condition Accepted is missing"),
        (json!({"conditions": {"Accepted": "False/NoMatchingParent"}}), probe(1, parents), Pass, ""),
        (json!({"fields": {"/status/addresses/0/value": "10.9.0.220"}}), object("True", 2), Pass, ""),
        (json!({"fields": {"/status/addresses/0/value": null}}), object("True", 2), Fail, "field /status/addresses/0/value"),
        (json!({"lengths": {"/status/addresses": 0}}), object("True", 2), Fail, "length of /status/addresses is 1, expected 0"),
        (json!({"lengths": {"/status/nothing": 0}}), object("True", 2), Pass, ""),
        (json!({"absent": true}), probe(1, json!({"object": null})), Pass, "no such object"),
        (json!({"absent": true}), object("True", 2), Fail, "gateway/gw exists"),
        (json!({"conditions": {"Programmed": "True"}}), probe(1, json!({"object": null})), Fail, "gateway/gw does not exist"),
        (
            json!({"absent": true}),
            probe(1, json!({"trouble": {"whose": "lab", "operation": "get", "message": "api gone"}})),
            Unknown,
            "api gone",
        ),
    ];
    for (expect, fact, outcome, because) in cases {
        check(&expect.to_string(), &status(expect), &[("c", fact)], "c", outcome, because);
    }

    let lease = |holder: Value, exists: bool| {
        probe(
            1,
            json!({"lease": {"name": "kube-system/l", "exists": exists, "holder": holder, "durationSeconds": 3, "transitions": 1, "renewTime": null}}),
        )
    };
    let step = |expect: Value| json!([{"lease": {"id": "before", "service": "echo"}}, {"lease": {"id": "c", "service": "echo", "expect": expect}}]);
    let before = ("before", lease(json!("plumb-worker"), true));
    let cases = [
        (json!({"held": true, "holder": ["worker", "worker2"]}), lease(json!("plumb-worker2"), true), Pass, "held by plumb-worker2"),
        (json!({"holder": ["worker"]}), lease(json!("plumb-worker2"), true), Fail, "the holder is plumb-worker2, expected plumb-worker"),
        (json!({"notAsIn": "before"}), lease(json!("plumb-worker2"), true), Pass, ""),
        (json!({"notAsIn": "before"}), lease(json!("plumb-worker"), true), Fail, "the holder is plumb-worker, as in `before`"),
        (json!({"asIn": "before"}), lease(json!("plumb-worker"), true), Pass, ""),
        (json!({"asIn": "before"}), lease(json!("plumb-worker2"), true), Fail, "expected plumb-worker as in `before`"),
        (json!({"asIn": "before"}), lease(json!(null), true), Fail, "nobody holds the lease"),
        (json!({"asIn": "nowhere"}), lease(json!("plumb-worker"), true), Unknown, "saw no holder"),
        (json!({"notAsIn": "nowhere"}), lease(json!("plumb-worker"), true), Unknown, "saw no lease"),
        (json!({"held": true}), lease(Value::Null, true), Fail, "nobody holds the lease kube-system/l: it has no holder"),
        (json!({"held": false}), lease(Value::Null, false), Pass, ""),
        (json!({"held": false}), lease(json!("plumb-worker"), true), Fail, "the lease is held by plumb-worker"),
        (json!({"durationSeconds": 15}), lease(json!("plumb-worker"), true), Fail, "lease duration is 3 s, expected 15 s"),
    ];
    for (expect, fact, outcome, because) in cases {
        check(&expect.to_string(), &step(expect), &[before.clone(), ("c", fact)], "c", outcome, because);
    }
}

#[test]
fn eventually_is_a_promise_or_only_readiness() {
    let step = |role: &str| {
        json!([{"eventually": {"id": "c", "within": "5s", "role": role, "probe":
            {"http": {"to": {"gateway": "gw"}, "port": 80, "host": "h", "expect": {"status": 200}}}}}])
    };
    let ok = |n| ("c", probe(n, answer(200, Some("b"), Value::Null, Value::Null)));
    let not_found = |n| ("c", probe(n, answer(404, None, Value::Null, Value::Null)));
    let trouble = ("c", probe(2, json!({"trouble": {"whose": "lab", "operation": "session", "message": "gone"}})));
    let held = ("c", waited(true));
    let expired = ("c", waited(false));
    let promise = step("promise");
    check("held", &promise, &[not_found(1), ok(2), held.clone()], "c", Pass, "after 120 ms");
    check("expired", &promise, &[not_found(1), not_found(2), expired.clone()], "c", Fail, "not within 5s: status 404, expected 200");
    check("setup", &step("setup"), &[not_found(1), expired.clone()], "c", Unknown, "the lab did not get ready within 5s");
    check("trouble", &promise, &[not_found(1), trouble, expired.clone()], "c", Unknown, "the lab's own trouble is in the way");
    check("too late", &promise, &[ok(1), expired], "c", Unknown, "it held only after the limit of 5s");
    check("says held", &promise, &[not_found(1), held.clone()], "c", Unknown, "the wait says that it held");
    check("no end", &promise, &[ok(1)], "c", Unknown, "the wait did not end");
    check("no probe", &promise, &[held], "c", Unknown, "recorded no probe");
    check("nothing", &promise, &[], "c", Unknown, "there is no evidence of this check");
}

#[test]
fn consistently_breaks_with_one_attempt() {
    let step = json!([{"consistently": {"id": "c", "for": "1s", "probe":
        {"http": {"to": {"gateway": "gw"}, "port": 80, "host": "h", "expect": {"status": 200}}}}}]);
    let ok = |n| ("c", probe(n, answer(200, Some("b"), Value::Null, Value::Null)));
    let bad = ("c", probe(2, answer(503, None, Value::Null, Value::Null)));
    let trouble = ("c", probe(2, json!({"trouble": {"whose": "lab", "operation": "session", "message": "gone"}})));
    check("held", &step, &[ok(1), ok(2), ("c", waited(true))], "c", Pass, "held all the time");
    check(
        "broke",
        &step,
        &[ok(1), bad.clone(), ok(3), ("c", waited(false))],
        "c",
        Fail,
        "did not hold all the time (1s): attempt 2: status 503",
    );
    check("broke after trouble", &step, &[trouble.clone(), bad], "c", Fail, "did not hold all the time");
    check("trouble", &step, &[ok(1), trouble, ("c", waited(false))], "c", Unknown, "session: gone");
    check("says broke", &step, &[ok(1), ("c", waited(false))], "c", Unknown, "no attempt on record does");
    check("no end", &step, &[ok(1)], "c", Unknown, "the wait did not end");
}

#[test]
fn a_manifest_that_must_be_refused_is() {
    let step = json!([{"apply": {"id": "c", "manifest": "x", "expectError": "must be set"}}]);
    let refused = |code: u16, message: &str| {
        ("c", json!({"refused": {"object": "gateway/default/gw", "code": code, "reason": "Invalid", "message": message}}))
    };
    check("refused", &step, &[refused(422, "hostname must be set")], "c", Pass, "the API refused");
    check(
        "accepted",
        &step,
        &[("c", json!({"applied": {"object": "gateway/default/gw"}}))],
        "c",
        Fail,
        "the API accepted what it had to refuse",
    );
    check("otherwise", &step, &[refused(422, "unknown field")], "c", Fail, "the API refused for another reason");
    check("in trouble", &step, &[refused(500, "etcd")], "c", Unknown, "the API was in trouble");
    check("nothing", &step, &[], "c", Unknown, "no evidence of this check");
}
