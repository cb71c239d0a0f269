//! `upgrade` and `config`: what an upgrade of Cilium came to, and whether the values that were promised are in force after it.

use plumb_core::plan::Before;
use plumb_core::verdict::Outcome::{self, Fail, Pass, Unknown};
use plumb_core::verdict::judge;
use serde_json::{Value, json};

use super::world::{beginning, observations, plan};

/// The steps of an upgrade, with the configuration read before and after.
fn steps() -> Value {
    let unchanged = json!({"since": "before", "keys": ["ipam", "cluster-name"]});
    json!([
        {"config": {"id": "before", "expect": {"promised": true}}},
        {"upgrade": {"id": "upgrade"}},
        {"config": {"id": "after", "expect": {"promised": true, "unchanged": unchanged}}},
    ])
}

/// A reading: image tag, agents' times (the run began in second 1), and keys on top of those of a sound cluster.
fn reading(tag: &str, agents: &[(&str, i64)], config: Value) -> Value {
    let mut all = json!({"ipam": "kubernetes", "cluster-name": "kind-a", "enable-l2-announcements": "true", "devices": "eth0 net0"});
    for (key, value) in config.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(key)),
            value => drop(all.as_object_mut().unwrap().insert(key.clone(), value.clone())),
        }
    }
    let agents: serde_json::Map<String, Value> = agents.iter().map(|(pod, at)| ((*pod).to_owned(), json!(at))).collect();
    json!({"config": {"config": all, "images": {"cilium": format!("quay.io/cilium/cilium:{tag}@sha256:00")}, "agents": agents}})
}

fn sound_before() -> Value {
    reading("v1.16.2", &[("cilium-a", -60)], json!({}))
}

fn sound_after() -> Value {
    reading("v1.17.1", &[("cilium-b", 40)], json!({"enable-gateway-api": "true"}))
}

/// A run in which the upgrade began 30 seconds after the run did.
fn verdict(before: Value, upgraded: Option<Value>, after: Option<Value>) -> Vec<(String, Outcome, String)> {
    let mut plan = plan(&steps());
    plan.values =
        serde_json::from_value(json!({"l2announcements.enabled": true, "devices": ["eth0", "net0"], "gatewayAPI.enabled": true})).unwrap();
    let mut older = plan.profile.clone();
    (older.name, older.cilium) = ("older".into(), "1.16.2".into());
    let mut values = plan.values.clone();
    values.remove("gatewayAPI.enabled");
    plan.before = Some(Before { profile: older, values });
    let mut facts = beginning();
    let mut add = |step: &str, fact: Value| facts.push((Some(step.to_owned()), fact));
    add("before", before);
    add("upgrade", json!("stepBegan"));
    upgraded.into_iter().for_each(|fact| add("upgrade", fact));
    after.into_iter().for_each(|fact| add("after", fact));
    facts.push((None, json!("ended")));
    let mut observations = observations(facts);
    for observation in observations.iter_mut().skip_while(|observation| observation.step.as_deref() != Some("upgrade")) {
        observation.at_ns += 30_000_000_000;
    }
    judge(&plan, &observations).checks.into_iter().map(|check| (check.id, check.outcome, check.because)).collect()
}

fn upgraded() -> Option<Value> {
    Some(
        json!({"upgraded": {"to": "1.17.1", "command": "cilium upgrade", "tookMs": 900, "partsMs": {"agents": 21_000, "operator": 9_000}}}),
    )
}

#[track_caller]
fn check(what: &str, before: Value, after: Value, id: &str, outcome: Outcome, because: &str) {
    let checks = verdict(before, upgraded(), Some(after));
    let found = checks.iter().find(|(found, _, _)| found == id).unwrap();
    assert_eq!(found.1, outcome, "{what}: {found:?}");
    assert!(found.2.contains(because), "{what}: {found:?}");
}

#[test]
fn an_upgrade_that_keeps_what_was_promised_passes() {
    let checks = verdict(sound_before(), upgraded(), Some(sound_after()));
    assert_eq!(
        checks.iter().map(|(id, outcome, _)| (id.as_str(), *outcome)).collect::<Vec<_>>(),
        [("before", Pass), ("upgrade", Pass), ("after", Pass),]
    );
    assert_eq!(checks[0].2, "2 values of older are in force");
    assert_eq!(checks[1].2, "Cilium 1.17.1 ready 21000 ms after the command, which took 900 ms");
    assert_eq!(checks[2].2, "3 values of p are in force; 2 keys as in `before`");
}

#[test]
fn values_that_an_upgrade_lost_fail() {
    // What `cilium upgrade --set` of a CLI before v0.16.22 leaves: everything else is the chart's default again.
    let lost = json!({"enable-gateway-api": "true", "enable-l2-announcements": null, "devices": null, "ipam": "cluster-pool", "cluster-name": "default"});
    let lost = reading("v1.17.1", &[("cilium-b", 40)], lost);
    for because in [
        "not in force: l2announcements.enabled=true: `enable-l2-announcements` is nothing, expected true",
        "`devices` is nothing, expected eth0 net0",
        "has changed: `ipam` is cluster-pool, it was kubernetes in `before`",
        "`cluster-name` is default",
    ] {
        check("lost", sound_before(), lost.clone(), "after", Fail, because);
    }
}

#[test]
fn agents_of_before_fail_whatever_the_configuration_says() {
    let gateway = json!({"enable-gateway-api": "true"});
    let old = reading("v1.17.1", &[("cilium-b", 40), ("cilium-a", -60)], gateway.clone());
    check("not restarted", sound_before(), old, "after", Fail, "agents were not restarted since the upgrade: cilium-a");
    let image = reading("v1.16.2", &[("cilium-b", 40)], gateway.clone());
    check(
        "image",
        sound_before(),
        image,
        "after",
        Fail,
        "the agents run another image: quay.io/cilium/cilium:v1.16.2@sha256:00, expected one tagged v1.17.1",
    );
    let longer = reading("v1.17.14", &[("cilium-b", 40)], gateway.clone());
    check("longer tag", sound_before(), longer, "after", Fail, "the agents run another image");
    let nobody = reading("v1.17.1", &[], gateway);
    check("nobody", sound_before(), nobody, "after", Unknown, "no agent was seen");
}

#[test]
fn what_was_there_before_is_held_against_the_flag_set_before() {
    let early = reading("v1.16.2", &[("cilium-a", -60)], json!({"enable-l2-announcements": "false"}));
    check("before", early, sound_after(), "before", Fail, "not in force: l2announcements.enabled=true");
    let newer = reading("v1.17.1", &[("cilium-a", -60)], json!({}));
    check("newer before", newer, sound_after(), "before", Fail, "expected one tagged v1.16.2");
}

#[test]
fn an_upgrade_without_evidence_is_unknown_and_one_the_product_failed_is_red() {
    let checks = verdict(sound_before(), None, None);
    assert_eq!((checks[1].1, checks[2].1), (Unknown, Unknown));
    let crashed = json!({"stepFailed": {"whose": "product", "operation": "upgrade Cilium to 1.17.1", "message": "wait for Cilium: CrashLoopBackOff"}});
    let checks = verdict(sound_before(), Some(crashed), None);
    assert_eq!(checks[1].1, Fail);
    assert!(checks[1].2.contains("CrashLoopBackOff"), "{checks:?}");
}
