//! `distribution` and `downtime` of a load: numbers with their errors.

use plumb_core::verdict::Outcome::{Fail, Pass, Unknown};
use serde_json::{Value, json};

use super::world::{check, probe};

fn row(backend: Option<&str>, marker: Option<&str>, status: Option<u16>, failure: Option<&str>, count: u32) -> Value {
    json!({"status": status, "backend": backend, "marker": marker, "failure": failure, "count": count})
}

fn tally(rows: &[Value]) -> (&'static str, Value) {
    let sent: u64 = rows.iter().map(|row| row["count"].as_u64().unwrap()).sum();
    ("c", probe(1, json!({"httpTally": {"sent": sent, "answered": sent, "tally": rows, "fromNs": 0, "toNs": 9}})))
}

fn ok(backend: &str, count: u32) -> Value {
    row(Some(backend), Some("r2"), Some(200), None, count)
}

fn step(weights: Value, more: Value) -> Value {
    let mut step = json!({"id": "c", "probe": {"to": {"gateway": "gw"}, "port": 80, "host": "h"}, "weights": weights, "marker": "r2"});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([{"distribution": step}])
}

#[test]
fn a_split_is_tested_once_with_stated_errors() {
    let split = step(json!({"a": 90, "b": 10}), json!({"samples": 2000}));
    let stale = row(Some("b"), Some("r1"), Some(200), None, 3);
    let cases = [
        ("fits", vec![tally(&[ok("a", 1790), ok("b", 210)])], Pass, "the split fits the weights"),
        ("85/15", vec![tally(&[ok("a", 1700), ok("b", 300)])], Fail, "the split does not fit the weights: a got 1700"),
        ("swapped", vec![tally(&[ok("a", 200), ok("b", 1800)])], Fail, "the split does not fit the weights"),
        ("sticky", vec![tally(&[ok("a", 2000)])], Fail, "the split does not fit the weights"),
        ("stale", vec![tally(&[ok("a", 1797), ok("b", 200), stale])], Fail, "another revision of the route answered: `r1` for 3 of 2000"),
        (
            "errors",
            vec![tally(&[ok("a", 1800), ok("b", 198), row(None, None, None, Some("reset"), 1), row(None, None, Some(503), None, 1)])],
            Fail,
            "2 of 2000 requests came to nothing: 1 reset, 1 status 503",
        ),
        ("stranger", vec![tally(&[ok("a", 1800), ok("c", 200)])], Fail, "a backend without weight answered: c, 200 of 2000"),
        ("too few", vec![tally(&[ok("a", 90), ok("b", 10)])], Unknown, "only 100 of 2000 requests were sent"),
        ("nothing", vec![], Unknown, "there is no evidence of this check"),
        ("probed first", vec![tally(&[ok("a", 9), ok("b", 1)]), tally(&[ok("a", 1790), ok("b", 210)])], Pass, "the split fits the weights"),
        (
            "retried",
            vec![tally(&[ok("a", 1700), ok("b", 300)]), tally(&[ok("a", 1790), ok("b", 210)])],
            Unknown,
            "2 samples were taken, the test allows one",
        ),
    ];
    for (what, facts, outcome, because) in cases {
        check(what, &split, &facts, "c", outcome, because);
    }
}

#[test]
fn a_revision_that_is_never_the_only_one_fails() {
    let split = step(json!({"a": 90, "b": 10}), json!({"samples": 2000}));
    let waited = |last: &str| ("c", json!({"waited": {"held": false, "attempts": 9, "tookMs": 20_000, "limitMs": 20_000, "last": [last]}}));
    let stale = waited("on worker2 20 requests got status 200 from revision r1, expected revision r2");
    let failing = waited("on worker2 20 requests failed (Some(Refused)), expected revision r2");
    check("stale", &split, std::slice::from_ref(&stale), "c", Fail, "another revision of the route answered: after 20000 ms, on worker2");
    check("failing", &split, &[failing], "c", Fail, "requests came to nothing: after 20000 ms");
    let trouble = probe(1, json!({"trouble": {"whose": "lab", "operation": "session", "message": "gone"}}));
    check("trouble", &split, &[stale, ("c", trouble)], "c", Unknown, "session: gone");
}

#[test]
fn weight_zero_gets_a_bound_or_a_failure() {
    let split = step(json!({"a": 100, "b": 0}), json!({"samples": 2000}));
    check("none", &split, &[tally(&[ok("a", 2000)])], "c", Pass, "weight 0 gets at most 0.15 % (95 % confidence)");
    check("leak", &split, &[tally(&[ok("a", 1990), ok("b", 10)])], "c", Fail, "weight 0 was reached: 10 of 2000 went to b");
    check("short", &split, &[tally(&[ok("a", 10)])], "c", Unknown, "only 10 of 2000");
}

#[test]
fn three_backends_are_tested_together() {
    let split = step(json!({"a": 50, "b": 30, "c": 20}), json!({"samples": 12_000}));
    let n = |share: f64| (12_000.0 * share) as u32;
    check("fits", &split, &[tally(&[ok("a", n(0.5)), ok("b", n(0.3)), ok("c", n(0.2))])], "c", Pass, "the split fits");
    check("more", &split, &[tally(&[ok("a", 6001), ok("b", 3600), ok("c", 2400)])], "c", Unknown, "the test was fixed for 12000");
    check("even", &split, &[tally(&[ok("a", 4000), ok("b", 4000), ok("c", 4000)])], "c", Fail, "the split does not fit the weights");
}

#[test]
fn a_sample_without_power_proves_nothing() {
    let split = step(json!({"a": 90, "b": 10}), json!({"samples": 100}));
    check("small", &split, &[tally(&[ok("a", 90), ok("b", 10)])], "c", Unknown, "the sample of 100 is too small");
    check("small but plain", &split, &[tally(&[ok("a", 10), ok("b", 90)])], "c", Fail, "the split does not fit the weights");
}

#[test]
fn the_gap_of_a_load_is_bounded() {
    let away = json!([
        {"during": {"watch": {"served": {"load": {"to": {"service": "echo"}, "port": 80}}}, "steps": []}},
        {"downtime": {"id": "c", "of": "served", "max": "200ms"}}
    ]);
    let load = |lost: std::ops::Range<u64>, status: u16| {
        let samples: Vec<Value> = (0..100u64)
            .map(|n| {
                let failed = lost.contains(&n);
                let rtt = (!failed || status >= 500).then_some(300);
                json!({"atNs": n * 20_000_000, "rttUs": rtt, "status": if failed { status } else { 200 }})
            })
            .collect();
        ("served", json!({"load": {"samples": samples, "intervalMs": 20}}))
    };
    let broken = ("served", json!({"watchBroken": {"whose": "lab", "operation": "agent session", "message": "ended"}}));
    check("nothing lost", &away, &[load(0..0, 0)], "c", Pass, "the service was away for 0 ms");
    check("short", &away, &[load(10..15, 0)], "c", Pass, "away for 100 ms (known to 20 ms), at most 200 ms");
    check("long", &away, &[load(10..50, 0)], "c", Fail, "away for 800 ms (known to 20 ms), longer than 200 ms");
    check("errors count as lost", &away, &[load(10..50, 503)], "c", Fail, "away for 800 ms");
    check("stopped with a sample under way", &away, &[load(99..100, 0)], "c", Pass, "");
    check("still away", &away, &[load(92..100, 0)], "c", Unknown, "was still away when the watch ended");
    check("broken", &away, &[load(0..0, 0), broken.clone()], "c", Unknown, "the watch did not end well");
    check("broken but proven", &away, &[load(10..50, 0), broken], "c", Fail, "longer than 200 ms");
    check("nothing", &away, &[], "c", Unknown, "there is no evidence of the watch");
    // It ended well and sent nothing for the last second: what was away then was not seen.
    let early = ("served", {
        let (_, mut report) = load(0..0, 0);
        report["load"]["toNs"] = json!(3_000_000_000u64);
        report
    });
    check("stopped looking", &away, &[early], "c", Unknown, "the watch itself paused for 1020 ms, longer than 200 ms");
}

/// Samples 10 to 49 are lost, 200 ms to 1000 ms of the run; the next answer comes at 1000.3 ms.
#[test]
fn what_a_backend_did_not_run_through_is_not_the_networks() {
    let away = json!([
        {"during": {"watch": {"served": {"load": {"to": {"service": "echo"}, "port": 80}}}, "steps": []}},
        {"downtime": {"id": "c", "of": "served", "max": "200ms"}}
    ]);
    let load = |stalled: Value| {
        let samples: Vec<Value> = (0..100u64)
            .map(|n| match n {
                10..50 => json!({"atNs": n * 20_000_000, "rttUs": null}),
                50 => json!({"atNs": n * 20_000_000, "rttUs": 300, "status": 200, "stalled": stalled}),
                _ => json!({"atNs": n * 20_000_000, "rttUs": 300, "status": 200}),
            })
            .collect();
        ("served", json!({"load": {"samples": samples, "intervalMs": 20}}))
    };
    let starved = "the backend itself did not run for 700 ms of the 800 ms without an answer";
    check("whole", &away, &[load(json!([{"ms": 700, "agoMs": 1}]))], "c", Unknown, starved);
    let pieces = json!([{"ms": 300, "agoMs": 500}, {"ms": 400, "agoMs": 50}]);
    check("in pieces", &away, &[load(pieces)], "c", Unknown, starved);
    // 500 ms of silence are left, and more than 200 are not allowed.
    check("too little", &away, &[load(json!([{"ms": 300, "agoMs": 1}]))], "c", Fail, "away for 800 ms");
    check("before the gap", &away, &[load(json!([{"ms": 700, "agoMs": 900}]))], "c", Fail, "away for 800 ms");
    check("half before the gap", &away, &[load(json!([{"ms": 700, "agoMs": 600}]))], "c", Fail, "away for 800 ms");
    check("numbers of a liar", &away, &[load(json!([{"ms": u64::MAX, "agoMs": u64::MAX}]))], "c", Fail, "away for 800 ms");
}
