//! Each rule on the input it is for, and on the same input cured.

#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use serde_json::json;

fn profile(cilium: &str, written: &[&str], meant: Value) -> Profile {
    let profile = json!({
        "format": 1, "name": "p", "title": "t", "source": "s", "cilium": cilium, "asWritten": written, "asMeant": meant
    });
    serde_json::from_value(profile).unwrap()
}

fn lines(profile: &Profile, lab: &Lab) -> Vec<String> {
    lint(profile, lab).iter().map(Finding::line).collect()
}

#[track_caller]
fn check(cilium: &str, meant: Value, workers: u32, expected: &str) {
    let lab = Lab { workers, ..Lab::default() };
    let found = lines(&profile(cilium, &[], meant.clone()), &lab).join("\n");
    match expected {
        "" => assert_eq!(found, "", "{meant}"),
        expected => assert!(found.contains(expected), "{meant}: expected `{expected}`, got:\n{found}"),
    }
}

#[test]
fn each_rule_finds_what_it_is_for_and_nothing_in_sound_flags() {
    let kpr = |mut values: Value| {
        values["kubeProxyReplacement"] = json!(true);
        values
    };
    let l2 = |lease: &str, deadline: &str, retry: &str| {
        kpr(
            json!({"l2announcements": {"enabled": true, "leaseDuration": lease, "leaseRenewDeadline": deadline, "leaseRetryPeriod": retry}}),
        )
    };
    check("1.17.1", l2("3s", "1s", "500ms"), 2, "");
    check("1.17.1", l2("1s", "1s", "500ms"), 2, "must be longer than the renew deadline");
    check("1.17.1", l2("900ms", "500ms", "100ms"), 2, "less than a second");
    check("1.17.1", l2("3s", "600ms", "500ms"), 2, "1.2 times the retry period");
    check("1.17.1", l2("3", "1s", "500ms"), 2, "`3` is not a time");
    check("1.17.1", json!({"l2announcements.enabled": true}), 2, "needs kubeProxyReplacement=true");
    check("1.17.1", json!({"kubeProxyReplacement": "partial"}), 2, "takes true or false alone");
    check("1.17.1", kpr(json!({"externalIPs.enabled": true})), 2, "it changes nothing");
    check("1.18.0", kpr(json!({"externalIPs.enabled": true})), 2, "no such value since 1.18.0");
    check("1.17.1", kpr(json!({"operator.replicas": 2})), 1, "");
    check("1.17.1", kpr(json!({"operator.replicas": 2})), 0, "2 operators never become ready on 1 nodes");
    check("1.17.1", kpr(json!({"devices": ["eth0", "net0"]})), 2, "net0 is no interface of this lab");
    check("1.17.1", kpr(json!({"devices": ["eth+"]})), 2, "");
    let encrypted = json!({"encryption": {"enabled": true, "type": "wireguard", "nodeEncryption": true}});
    check("1.17.1", encrypted.clone(), 2, "");
    check("1.17.1", encrypted, 1, "with 1 worker no traffic between nodes is encrypted");
    check("1.17.1", json!({"encryption": {"enabled": true, "nodeEncryption": true}}), 2, "the default type is ipsec");
    let host = json!({"gatewayAPI": {"enabled": true, "hostNetwork": {"enabled": true}}, "l2announcements.enabled": true});
    check("1.17.1", kpr(host), 2, "the two exclude each other");
    check("1.17.1", json!({"envoy.securityContext.capabilities.envoy": ["NET_BIND_SERVICE"]}), 2, "needs NET_ADMIN");
}

#[test]
fn flags_as_a_shell_gets_them_are_looked_at_too() {
    let written = ["devices={eth0,net0}", "a.b[0]=x", "envoy.securityContext.capabilities.envoy[0]=NET_BIND_SERVICE"];
    let found = lines(&profile("1.17.1", &written, json!({})), &Lab::default()).join("\n");
    for expected in ["bash expands the unquoted braces", "a.b becomes [x]", "cilium-envoy ends at once", "zsh refuses it"] {
        assert!(found.contains(expected), "{expected} in:\n{found}");
    }
}
