//! L2 announcements: timings the agent changes by itself, policies that do nothing, and pools.

use regex::Regex;
use serde_json::Value;

use super::flags::{Subject, text};
use super::{Found, Object, Severity};
use crate::profile::known::known;

/// Lease timings client-go does not take are changed with a line in a log.
pub(super) fn lease_timings(subject: &Subject<'_>, found: &mut Found) {
    const KEYS: [&str; 3] = ["l2announcements.leaseDuration", "l2announcements.leaseRenewDeadline", "l2announcements.leaseRetryPeriod"];
    const SOURCE: &str = "cilium 1.17.1: pkg/l2announcer/l2announcer.go:661; client-go: tools/leaderelection";
    if !subject.is("l2announcements.enabled", "true") {
        return;
    }
    let mut ms = |key: &str, default: f64| match subject.flags.values.get(key).map(text) {
        None => Some(default),
        Some(value) => go_duration_ms(&value).or_else(|| {
            found.push(subject.about("lease-time", Severity::Error, [key]).says(
                format!("`{value}` is no time to Go, and the agent ends at once"),
                "a number with its unit: 3s, 500ms",
                "Go: time.ParseDuration; chart 1.16.2: templates/cilium-configmap.yaml:1101",
            ));
            None
        }),
    };
    let (Some(lease), Some(deadline), Some(retry)) = (ms(KEYS[0], 15_000.0), ms(KEYS[1], 5_000.0), ms(KEYS[2], 2_000.0)) else { return };
    let mut adjusted = |named: &[&str], message: String, cure: &str| {
        let mut draft = subject.about("lease-timings", Severity::Warning, []);
        let keys = named.iter().map(|key| (*key).to_owned()).collect();
        draft.place = super::Place::Values { flags: subject.flags.name.clone(), keys };
        found.push(draft.says(format!("{message}; the agent changes it silently but for a warning in its log"), cure, SOURCE));
    };
    if lease < 1_000.0 {
        adjusted(&KEYS[..1], format!("a lease of {lease} ms is less than a second"), "a lease of 1s or more");
    }
    if lease <= deadline {
        let message = format!("a lease of {lease} ms must be longer than the renew deadline of {deadline} ms");
        adjusted(&KEYS[..2], message, "as in the documentation's 15s, 5s, 2s: the lease three times the deadline");
    }
    if deadline * 10.0 <= retry * 12.0 {
        let message = format!("a renew deadline of {deadline} ms must be longer than 1.2 times the retry period of {retry} ms");
        adjusted(&KEYS[1..], message, "a retry period of at most half the renew deadline");
    }
}

/// A Go duration in milliseconds: numbers, each with its unit, `1m30s`, `1.5s`.
fn go_duration_ms(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [("ns", 1e-6), ("us", 1e-3), ("\u{b5}s", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3_600e3)];
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number * UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?.1;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Policies: interfaces are regular expressions, and both booleans default to false.
pub(super) fn policies(subject: &Subject<'_>, found: &mut Found) {
    const SOURCE: &str = "Cilium 1.17 l2-announcements.rst; cilium 1.17.1: pkg/l2announcer/l2announcer.go";
    for policy in subject.objects("CiliumL2AnnouncementPolicy") {
        if !subject.may_be("l2announcements.enabled", "true") {
            found.push(policy.about("policy-without-l2", Severity::Error, "spec").says(
                "L2 announcements are not enabled in this flag set: the policy is accepted and nothing is announced",
                "l2announcements.enabled=true",
                SOURCE,
            ));
        }
        let on = |field: &str| policy.get(&format!("/spec/{field}")).and_then(Value::as_bool) == Some(true);
        if !on("externalIPs") && !on("loadBalancerIPs") {
            found.push(policy.about("policy-does-nothing", Severity::Error, "spec.loadBalancerIPs, spec.externalIPs").says(
                "both default to false, and then the policy announces nothing, without a word",
                "loadBalancerIPs: true",
                SOURCE,
            ));
        }
        for (n, interface) in policy.list("/spec/interfaces").iter().enumerate() {
            policy_interface(subject, policy, n, interface.as_str().unwrap_or_default(), found);
        }
    }
}

fn policy_interface(subject: &Subject<'_>, policy: &Object, n: usize, pattern: &str, found: &mut Found) {
    const SOURCE: &str =
        "Cilium 1.17 l2-announcements.rst (interfaces are regular expressions); cilium 1.17.1: pkg/l2announcer/l2announcer.go";
    let about = |severity| policy.about("policy-interface", severity, format!("spec.interfaces[{n}]"));
    let Ok(regex) = Regex::new(pattern) else {
        let happens = format!("`{pattern}` is no regular expression; the policy gets a condition io.cilium/bad-* and announces nothing");
        found.push(about(Severity::Error).says(happens, "a regular expression, for example ^eth0$", SOURCE));
        return;
    };
    let networks = &subject.topology.lab.networks;
    let fits: Vec<&str> = networks.iter().map(String::as_str).filter(|network| regex.is_match(network)).collect();
    let draft = about(Severity::Warning);
    if fits.is_empty() {
        let happens = format!("`{pattern}` fits no interface of this lab ({}): nothing is announced there", networks.join(", "));
        found.push(draft.says(happens, "an interface that is there", SOURCE));
    } else if fits.len() > 1 && networks.iter().any(|network| network == pattern) {
        let happens = format!("`{pattern}` is a regular expression and fits {}", fits.join(" and "));
        found.push(draft.says(happens, format!("^{pattern}$"), SOURCE));
    } else if !pattern.starts_with('^') || !pattern.ends_with('$') {
        let happens = format!("`{pattern}` is a regular expression and would fit any interface with it in its name");
        let finding = draft.says(happens, format!("^{}$", pattern.trim_start_matches('^').trim_end_matches('$')), SOURCE);
        found.push(super::Finding { severity: Severity::Note, ..finding });
    }
}

/// Pools: their version, by Cilium's.
pub(super) fn pools(subject: &Subject<'_>, found: &mut Found) {
    let (since, source) = (known().announcements.pool_v2_since, &known().announcements.pool_source);
    for pool in subject.objects("CiliumLoadBalancerIPPool").filter(|pool| pool.api_version() == "cilium.io/v2") {
        if subject.flags.cilium.is_some_and(|cilium| cilium < since) {
            found.push(pool.about("pool-version", Severity::Error, "apiVersion").says(
                format!("cilium.io/v2 is served since {since}; the API server refuses the pool"),
                "cilium.io/v2alpha1",
                source,
            ));
        }
    }
}
