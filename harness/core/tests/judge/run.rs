//! The run as a whole: what is missing, broken or contradicts itself makes it unknown; what is proven stays proven.

use plumb_core::verdict::Outcome::{self, Fail, Pass, Unknown};
use plumb_core::verdict::{NOT_CILIUM, judge};
use serde_json::{Value, json};

use super::world::{answer, beginning, check, observations, plan, probe, verdict};

fn steps() -> Value {
    json!([
        {"apply": {"file": "manifests/gateway.yaml"}},
        {"http": {"id": "c", "to": {"gateway": "gw"}, "port": 80, "host": "h", "expect": {"status": 200}}},
        {"http": {"to": {"gateway": "gw"}, "port": 80, "host": "h", "expect": {"status": 200}}}
    ])
}

fn ok() -> Value {
    probe(1, answer(200, Some("b"), Value::Null, Value::Null))
}

fn bad() -> Value {
    probe(1, answer(404, None, Value::Null, Value::Null))
}

fn whole(first: Value, extra: Option<Value>, ended: bool) -> (Outcome, Vec<String>) {
    let mut facts = beginning();
    facts.push((Some("c".into()), first));
    facts.push((Some("http-3".into()), ok()));
    facts.extend(extra.map(|fact| (None, fact)));
    facts.extend(ended.then(|| (None, json!("ended"))));
    let verdict = judge(&plan(&steps()), &observations(facts));
    (verdict.outcome, verdict.troubles)
}

#[test]
fn the_worst_check_is_the_verdict() {
    let both = |c: Value| verdict(&steps(), &[("c", c), ("http-3", ok())]).outcome;
    assert_eq!(both(ok()), Pass);
    assert_eq!(both(bad()), Fail);
    assert_eq!(verdict(&steps(), &[("c", ok())]).outcome, Unknown);
    assert_eq!(verdict(&steps(), &[("c", bad())]).outcome, Fail);
}

#[test]
fn trouble_of_the_run_makes_a_pass_unknown_and_leaves_a_failure() {
    let cases = [
        (None, false, "ends early"),
        (Some(json!({"clockJump": {"by_ms": 4000}})), true, "jumped by 4000 ms"),
        (Some(json!({"interrupted": {"by": "SIGINT"}})), true, "interrupted by SIGINT"),
        (
            Some(json!({"stepFailed": {"whose": "environment", "operation": "make lab", "message": "no user namespaces"}})),
            true,
            "no user namespaces",
        ),
    ];
    for (extra, ended, trouble) in cases {
        let (outcome, troubles) = whole(ok(), extra.clone(), ended);
        assert_eq!(outcome, Unknown, "{trouble}");
        assert!(troubles.iter().any(|text| text.contains(trouble)), "{trouble}: {troubles:?}");
        assert_eq!(whole(bad(), extra, ended).0, Fail, "{trouble}");
    }
    assert_eq!(whole(ok(), None, true), (Pass, vec![]));
}

#[test]
fn a_step_that_fails_is_judged_by_whose_fault_it_is() {
    let failed = |whose: &str| json!({"stepFailed": {"whose": whose, "operation": "apply gateway", "message": "refused"}});
    for (whose, outcome) in [("product", Fail), ("author", Unknown), ("environment", Unknown), ("lab", Unknown)] {
        let facts = [("apply-1", failed(whose)), ("c", ok()), ("http-3", ok())];
        check(whose, &steps(), &facts, "apply-1", outcome, "the step could not be carried out");
        check(whose, &steps(), &[("c", failed(whose))], "c", outcome, "apply gateway: refused");
    }
    check("proven before", &steps(), &[("c", bad()), ("c", failed("lab"))], "c", Fail, "status 404");
}

#[test]
fn steps_without_an_id_go_by_their_place() {
    let found = verdict(&steps(), &[("c", ok()), ("http-3", ok())]);
    let ids: Vec<&str> = found.checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["c", "http-3"]);
}

#[test]
fn a_run_without_checks_or_evidence_is_unknown() {
    assert_eq!(verdict(&json!([]), &[]).outcome, Unknown);
    assert_eq!(verdict(&json!([{"apply": {"file": "f"}}]), &[]).outcome, Unknown);
    let nothing = judge(&plan(&steps()), &[]);
    assert_eq!(nothing.outcome, Unknown);
    assert!(nothing.troubles[0].contains("no evidence at all"));
}

#[test]
fn evidence_with_a_gap_is_unknown() {
    let mut facts = beginning();
    facts.push((Some("c".into()), ok()));
    facts.push((Some("http-3".into()), ok()));
    facts.push((None, json!("ended")));
    let mut seen = observations(facts);
    seen.remove(1);
    let verdict = judge(&plan(&steps()), &seen);
    assert_eq!(verdict.outcome, Unknown);
    assert!(verdict.troubles[0].contains("gap before observation 3"), "{:?}", verdict.troubles);
}

#[test]
fn the_reference_network_never_passes_for_cilium() {
    let verdict = verdict(&steps(), &[("c", ok())]);
    assert!(verdict.system.starts_with(NOT_CILIUM), "{}", verdict.system);
    assert!(judge(&plan(&steps()), &[]).system.starts_with(NOT_CILIUM));
}

#[test]
fn the_same_evidence_gives_the_same_bytes() {
    let facts = [("c", bad()), ("http-3", ok())];
    let text = || serde_json::to_string(&verdict(&steps(), &facts)).unwrap();
    assert_eq!(text(), text());
}

#[test]
fn a_cluster_that_was_replaced_is_said_and_decides_nothing() {
    let replaced = json!({"replaced": {"cluster": "plumb-a", "why": "encryption.enabled: true -> false: the agent crashes"}});
    for (of_check, outcome) in [(ok(), Pass), (bad(), Fail)] {
        let mut facts = beginning();
        facts.insert(1, (None, replaced.clone()));
        facts.push((Some("c".into()), of_check));
        facts.push((Some("http-3".into()), ok()));
        facts.push((None, json!("ended")));
        let verdict = judge(&plan(&steps()), &observations(facts));
        assert_eq!((verdict.outcome, verdict.troubles), (outcome, vec![]));
        let [remark] = &verdict.remarks[..] else { panic!("{:?}", verdict.remarks) };
        assert!(remark.contains("plumb-a") && remark.ends_with("true -> false: the agent crashes"), "{remark}");
    }
}
