//! Faults of an upgrade, which the reference network cannot have because it has no Cilium to upgrade: each breaks one promise in the
//! evidence of a real run that held, and must turn the checks it names, for the reason it names, and no other.

use std::collections::BTreeSet;

use plumb_core::evidence;
use plumb_core::plan;
use plumb_core::verdict::{Outcome, judge};
use serde_json::{Value, json};

use crate::{file, text};

const RUN: &str = "kind-1.16.2/upgrade-keeps-traffic";

/// What is broken: in which step's facts, how, and what that must turn.
struct Broken {
    what: &'static str,
    step: &'static str,
    how: fn(&mut Value),
    turns: &'static str,
    because: &'static str,
}

const FAULTS: &[Broken] = &[
    Broken {
        what: "what was there before is not the installation that is upgraded",
        step: "before",
        how: |fact| fact["config"]["config"]["enable-l2-announcements"] = json!("false"),
        turns: "before",
        because: "not in force: l2announcements.enabled=true",
    },
    Broken {
        what: "an agent crashes after the upgrade",
        step: "upgrade",
        how: |fact| {
            if fact.get("upgraded").is_some() {
                *fact = json!({"stepFailed": {"whose": "product", "operation": "upgrade Cilium", "message": "CrashLoopBackOff"}});
            }
        },
        turns: "upgrade",
        because: "CrashLoopBackOff",
    },
    Broken {
        what: "the chart's defaults take the place of values that were there (a CLI before v0.16.22)",
        step: "values-kept",
        how: |fact| fact["config"]["config"]["devices"] = json!(""),
        turns: "values-kept",
        because: "`devices` is , expected eth0 net0",
    },
    Broken {
        what: "a value nobody gave changes",
        step: "values-kept",
        how: |fact| fact["config"]["config"]["ipam"] = json!("cluster-pool"),
        turns: "values-kept",
        because: "`ipam` is cluster-pool, it was kubernetes in `before`",
    },
    Broken {
        what: "an agent of before goes on",
        step: "values-kept",
        how: |fact| fact["config"]["agents"].as_object_mut().unwrap().values_mut().for_each(|at| *at = json!(0)),
        turns: "values-kept",
        because: "agents were not restarted since the upgrade",
    },
    Broken {
        what: "the GatewayClass is there and nobody accepts it",
        step: "gateway-class",
        how: |fact| {
            if let Some(condition) = fact.pointer_mut("/probe/seen/object/status/conditions/0") {
                condition["status"] = json!("Unknown");
            }
        },
        turns: "gateway-class",
        because: "Accepted",
    },
    Broken { what: "the Service does not come back", step: "served-after", how: refuse, turns: "served-after", because: "not within 30s" },
    Broken { what: "Pods do not find one another again", step: "pods-after", how: refuse, turns: "pods-after", because: "not within 30s" },
    Broken {
        what: "Pods do not reach one another for 1.2 s",
        step: "pods",
        how: |fact| lose(fact, 60),
        turns: "pods-away",
        because: "longer than 1000 ms",
    },
    Broken {
        what: "the address is away for 9 s",
        step: "served",
        how: |fact| lose(fact, 450),
        turns: "service-away",
        because: "longer than 8000 ms",
    },
];

/// Every attempt of a wait is refused, to its end.
fn refuse(fact: &mut Value) {
    if let Some(outcome) = fact.pointer_mut("/probe/seen/http/0/outcome") {
        *outcome = json!({"failed": {"class": "refused", "phase": "connect", "alert": null, "detail": "os error 111"}});
    }
    if fact.get("waited").is_some() {
        *fact = json!({"waited": {"held": false, "attempts": 1, "tookMs": 30_000, "limitMs": 30_000, "last": ["refused"]}});
    }
}

/// So many samples of a load, from the hundredth on, get no answer.
fn lose(fact: &mut Value, samples: usize) {
    let Some(all) = fact.pointer_mut("/load/samples").and_then(Value::as_array_mut) else { return };
    assert!(all.len() > samples + 200);
    for sample in &mut all[100..100 + samples] {
        *sample = json!({"atNs": sample["atNs"], "rttUs": null, "status": null});
    }
}

#[test]
fn every_check_of_the_upgrade_is_turned_by_a_fault_in_its_evidence() {
    let plan = plan::read(&text(&format!("{RUN}/plan.json"))).unwrap();
    let lines: Vec<Value> = text(&format!("{RUN}/evidence.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sound = judge(&plan, &evidence::read(&file(&format!("{RUN}/evidence.jsonl"))).unwrap().observations);
    assert_eq!(sound.outcome, Outcome::Pass);
    let mut turned = BTreeSet::new();
    for fault in FAULTS {
        let mut broken = lines.clone();
        for line in broken.iter_mut().filter(|line| line["step"] == fault.step && line["fact"].is_object()) {
            (fault.how)(&mut line["fact"]);
        }
        assert_ne!(broken, lines, "{}: nothing was broken", fault.what);
        let evidence: String = broken.iter().map(|line| format!("{line}\n")).collect();
        let reading = evidence::read(evidence.as_bytes()).unwrap();
        assert_eq!(reading.trouble, None, "{}", fault.what);
        let verdict = judge(&plan, &reading.observations);
        for check in &verdict.checks {
            let expected = if check.id == fault.turns { (Outcome::Fail, fault.because) } else { (Outcome::Pass, "") };
            assert!(check.outcome == expected.0 && check.because.contains(expected.1), "{}: {check:#?}", fault.what);
        }
        turned.insert(fault.turns.to_owned());
    }
    let promises: BTreeSet<String> = plan.scenario.promises().into_iter().map(str::to_owned).collect();
    assert_eq!(turned, promises, "checks that nothing here turns");
}
