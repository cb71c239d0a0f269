//! Each rule on the input it is for, and on the same input cured.

#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::{Value, json};

use super::*;
use crate::scenario::model::{GatewayApi, Lab};
use crate::values::{flatten, merge, parse_set};
use crate::version::Version;

/// A flag set that is sound for most rules, with `over` on top.
fn flags(cilium: &str, over: Value) -> FlagSet {
    let mut values = flatten(&serde_json::from_value(json!({"kubeProxyReplacement": true})).unwrap());
    merge(&mut values, &serde_json::from_value(over).unwrap());
    FlagSet { name: "flags".to_owned(), cilium: Some(Version::parse(cilium).unwrap()), values, ..FlagSet::default() }
}

/// As flags of a shell command.
fn words(cilium: &str, words: &[&str]) -> FlagSet {
    let values = words.iter().map(|word| parse_set(word).unwrap()).collect();
    FlagSet { words: words.iter().map(|word| (*word).to_owned()).collect(), values, ..flags(cilium, json!({})) }
}

fn api(version: &str, crds: &[&str]) -> Option<GatewayApi> {
    Some(GatewayApi { version: version.to_owned(), crds: crds.iter().map(|crd| (*crd).to_owned()).collect() })
}

fn objects(text: &str) -> Vec<Object> {
    Object::read("o.yaml", 1, text).unwrap()
}

fn found(flags: &FlagSet, topology: &Topology<'_>) -> Vec<(&'static str, Severity, String)> {
    let text = |finding: Finding| {
        assert!(!finding.cure.is_empty() && !finding.source.is_empty() && !finding.happens.is_empty(), "{finding}");
        (finding.rule, finding.severity, finding.to_string())
    };
    lint_flags(flags, topology).into_iter().map(text).collect()
}

/// The rule fires on `bad`, with this severity and these words, and is silent on `cured`.
#[track_caller]
fn check(rule: &str, severity: Severity, words: &str, bad: (&FlagSet, &Topology<'_>), cured: (&FlagSet, &Topology<'_>)) {
    let fired = found(bad.0, bad.1);
    let hit = fired.iter().find(|(id, found, text)| *id == rule && *found == severity && text.contains(words));
    assert!(hit.is_some(), "{rule} ({severity:?}, {words}) is not in {fired:#?}");
    let left = found(cured.0, cured.1);
    assert!(left.iter().all(|(id, ..)| *id != rule), "{rule} fires on the cured input: {left:#?}");
}

/// As [`check`], on the default lab, for values.
#[track_caller]
fn values(rule: &str, severity: Severity, text: &str, bad: (&str, Value), cured: (&str, Value)) {
    let plain = Topology::default();
    check(rule, severity, text, (&flags(bad.0, bad.1), &plain), (&flags(cured.0, cured.1), &plain));
}

const V: &str = "1.17.1";

#[test]
fn sound_flags_are_silent() {
    let sound = json!({"l2announcements": {"enabled": true, "leaseDuration": "3s", "leaseRenewDeadline": "1s", "leaseRetryPeriod": "500ms"},
        "encryption": {"enabled": true, "type": "wireguard", "nodeEncryption": true}, "operator.replicas": 2, "devices": ["eth+"]});
    assert_eq!(found(&flags(V, sound), &Topology::default()), []);
}

#[test]
fn lists_in_a_shell_and_in_helm() {
    use Severity::{Error, Note, Warning};
    let plain = Topology::default();
    for (rule, severity, text, bad, cured) in [
        ("unquoted-braces", Error, "into 2 words, of which only devices=eth0", "devices={eth0,net0}", "devices=\"{eth0,net0}\""),
        ("unquoted-braces", Error, "into 2 words", "devices={eth0,net0}", "\"devices={eth0,net0}\""),
        ("unquoted-pattern", Note, "zsh refuses it", "a.b[0]=x", "'a.b[0]=x'"),
        ("comma-ends-value", Error, "after eth0, and refuses net0", "devices=eth0,net0", "devices=\"{eth0,net0}\""),
        ("list-element-replaces-list", Warning, "a.b becomes [x]", "a.b[0]=x", "a.b=\"{x,y}\""),
        (
            "list-element-replaces-list",
            Error,
            "cilium-envoy ends at once",
            "envoy.securityContext.capabilities.envoy[0]=NET_BIND_SERVICE",
            "a=b",
        ),
    ] {
        check(rule, severity, text, (&words(V, &[bad]), &plain), (&words(V, &[cured]), &plain));
    }
    let list = |list: Value| json!({"envoy.securityContext.capabilities.envoy": list});
    let whole = list(json!(["NET_ADMIN", "SYS_ADMIN", "NET_BIND_SERVICE"]));
    values("envoy-capabilities", Error, "with only NET_BIND_SERVICE", (V, list(json!(["NET_BIND_SERVICE"]))), (V, whole));
}

#[test]
fn values_a_chart_does_not_look_at() {
    use Severity::{Error, Note, Warning};
    let none = || json!({});
    let on = || json!({"externalIPs.enabled": true});
    let off = json!({"externalIPs.enabled": true, "kubeProxyReplacement": false});
    values("value-without-effect", Note, "serves external IPs by itself", ("1.16.2", on()), ("1.16.2", off));
    values("value-without-effect", Note, "kubeProxyReplacement=partial alone", (V, on()), (V, none()));
    values("value-gone", Warning, "no such value since 1.18.0", ("1.18.0", on()), (V, on()));
    let strict = || json!({"encryption": {"strictMode": {"enabled": true, "cidr": "10.244.0.0/16"}}});
    values("value-gone", Warning, "strictMode.egress.cidr", ("1.20.0", strict()), ("1.19.6", strict()));
    let egress = || json!({"encryption.strictMode.egress.enabled": true});
    values("value-too-new", Warning, "since 1.19.0; in 1.17.1", (V, egress()), ("1.20.0", egress()));
    let lease = json!({"l2announcements": {"leaseDuration": "3s"}});
    let both = json!({"l2announcements": {"enabled": true, "leaseDuration": "3s"}});
    values("value-without-effect", Warning, "no lease is taken", (V, lease.clone()), (V, both));
    values(
        "value-unknown",
        Error,
        "did you mean l2announcements.leaseDuration?",
        (V, json!({"l2announcements.leaseDurations": "3s"})),
        (V, lease),
    );
    values("value-without-effect", Error, "nothing is encrypted", (V, json!({"encryption.type": "wireguard"})), (V, none()));
    let host = |gateway: bool| json!({"gatewayAPI": {"enabled": gateway, "hostNetwork": {"enabled": true}}});
    values("value-without-effect", Warning, "the Gateway API is not enabled", (V, host(false)), (V, host(true)));
    let keep = json!({"envoy.securityContext.capabilities.keepCapNetBindService": true});
    values("value-without-effect", Note, "binds no privileged port", (V, keep), (V, none()));
    let labels = json!({"gatewayAPI.hostNetwork.nodes.matchLabels": {"a": "b"}});
    assert_eq!(found(&flags(V, labels), &Topology::default()), [], "labels below a map are its own");
}

#[test]
fn values_of_a_wrong_type_and_values_that_need_another() {
    use Severity::Error;
    let class = |create: Value| json!({"gatewayAPI.gatewayClass.create": create});
    values("value-type", Error, "is a text", (V, class(json!(true))), (V, class(json!("true"))));
    values("value-type", Error, "is a text", ("1.19.6", class(json!(true))), ("1.20.0", class(json!(true))));
    let encrypted = |on: Value| json!({"encryption": {"enabled": on, "type": "wireguard"}});
    values("value-type", Error, "refuses \"yes\"", (V, encrypted(json!("yes"))), (V, encrypted(json!(true))));
    let l2 = |kpr: Value| json!({"l2announcements.enabled": true, "kubeProxyReplacement": kpr});
    values("kube-proxy-replacement-missing", Error, "off without it", (V, l2(json!(false))), (V, l2(json!(true))));
    let partial = |value: &str| json!({"kubeProxyReplacement": value});
    values("kube-proxy-replacement-value", Error, "not partial", (V, partial("partial")), (V, partial("true")));
}

#[test]
fn what_nodes_and_interfaces_allow() {
    use Severity::{Error, Warning};
    let lab = |workers: u32| Topology { lab: Lab { workers, ..Lab::default() }, ..Topology::default() };
    let two = flags(V, json!({"operator.replicas": 2}));
    check("operator-replicas", Error, "2 operators never become ready on 1 node", (&two, &lab(0)), (&two, &lab(1)));
    let (none, one) = (flags(V, json!({})), flags(V, json!({"operator.replicas": 1})));
    check("operator-replicas", Warning, "the chart's default", (&none, &lab(0)), (&one, &lab(0)));
    let node = flags(V, json!({"encryption": {"enabled": true, "type": "wireguard", "nodeEncryption": true}}));
    check("node-encryption-one-worker", Warning, "with 1 worker no traffic", (&node, &lab(1)), (&node, &lab(2)));
    let devices = |list: Value| json!({"devices": list});
    values("device-not-there", Warning, "net0 is no interface", (V, devices(json!(["eth0", "net0"]))), (V, devices(json!(["eth+"]))));
}

#[test]
fn encryption_and_its_keys() {
    use Severity::{Error, Note, Warning};
    let typed = |kind: &str, node: bool| json!({"encryption": {"enabled": true, "type": kind, "nodeEncryption": node}});
    values("node-encryption-type", Error, "WireGuard alone", (V, typed("ipsec", true)), (V, typed("wireguard", true)));
    values("ipsec-secret", Note, "Secret cilium-ipsec-keys", (V, typed("ipsec", false)), (V, typed("wireguard", false)));
    values("ipsec-secret", Warning, "the default is ipsec", (V, json!({"encryption.enabled": true})), (V, typed("wireguard", false)));
}

#[test]
fn gateways_on_the_host_network() {
    use Severity::{Error, Note, Warning};
    let host = |more: Value| {
        let mut set = flags(V, json!({"gatewayAPI": {"enabled": true, "hostNetwork": {"enabled": true}}}));
        merge(&mut set.values, &serde_json::from_value(more).unwrap());
        set
    };
    let plain = Topology::default();
    let keep = host(json!({"envoy.securityContext.capabilities.keepCapNetBindService": true}));
    let l2 = host(json!({"l2announcements.enabled": true}));
    check("host-network-excludes-l2", Warning, "exclude each other", (&l2, &plain), (&keep, &plain));
    check("host-network-privileged-port", Note, "NET_BIND_SERVICE", (&host(json!({})), &plain), (&keep, &plain));
    let gateway = |name: &str, port: u32, more: &str| {
        format!(
            "---\nkind: Gateway\nmetadata: {{name: {name}}}\nspec: {{listeners: [{{name: a, port: 80}}, {{name: b, port: {port}}}]{more}}}\n"
        )
    };
    let two = |port: u32| objects(&format!("{}{}", gateway("a", 443, ""), gateway("b", port, "").replace("port: 80}", "port: 8080}")));
    let (same, other) = (two(443), two(8443));
    let (same, other) = (Topology { objects: &same, ..Topology::default() }, Topology { objects: &other, ..Topology::default() });
    check("host-network-one-port", Error, "port 443 is Gateway/a's (o.yaml:2)", (&keep, &same), (&keep, &other));
    let load_balancer = flags(V, json!({"gatewayAPI.enabled": true}));
    check("host-network-one-port", Error, "o.yaml:6: Gateway/b: spec.listeners[1].port", (&keep, &same), (&load_balancer, &same));
    check("host-network-privileged-port", Warning, "Gateway/a on 80, Gateway/a on 443", (&host(json!({})), &same), (&keep, &same));
    let asks = objects(&gateway("a", 443, ", addresses: [{value: 10.0.0.1}]"));
    let asks = Topology { objects: &asks, ..Topology::default() };
    check("host-network-ignores-address", Warning, "given to nobody", (&keep, &asks), (&load_balancer, &asks));
}

#[test]
fn definitions_and_routes_by_release() {
    use Severity::Error;
    let plain = Topology::default();
    let five = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"];
    let with = |more: &[&'static str]| five.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    let set = |cilium: &str, release: &str, crds: &[&str]| FlagSet {
        gateway_api: api(release, crds),
        ..flags(cilium, json!({"gatewayAPI.enabled": true}))
    };
    let (good, standard) = (set(V, "v1.2.0", &with(&["experimental/tlsroutes"])), set(V, "v1.2.0", &five));
    check("gateway-definitions-missing", Error, "every Gateway waits", (&standard, &plain), (&good, &plain));
    let two = set(V, "v1.2.0", &["gateways", "httproutes"]);
    check("gateway-definitions-missing", Error, "without gatewayclasses, grpcroutes, referencegrants", (&two, &plain), (&good, &plain));
    let (old, newest) =
        (set("1.19.6", "v1.5.0", &with(&["tlsroutes"])), set("1.20.0", "v1.6.1", &with(&["tlsroutes", "backendtlspolicies"])));
    check("tls-route-version", Error, "reads TLSRoute v1alpha2, and Gateway API 1.5.0", (&old, &plain), (&newest, &plain));
    let route = |version: &str, backends: &str| {
        objects(&format!(
            "apiVersion: gateway.networking.k8s.io/{version}\nkind: TLSRoute\nmetadata: {{name: r}}\nspec: {{rules: [{{backendRefs: [{backends}]}}]}}"
        ))
    };
    let (alpha, v1, split) = (route("v1alpha2", "{name: a}"), route("v1", "{name: a}"), route("v1alpha2", "{name: a}, {name: b}"));
    let [alpha, v1, split] = [&alpha, &v1, &split].map(|objects| Topology { objects, ..Topology::default() });
    check("tls-route-version", Error, "the API server refuses v1alpha2", (&newest, &alpha), (&newest, &v1));
    check("tls-route-version", Error, "no TLSRoute at all", (&standard, &alpha), (&good, &alpha));
    check("tls-route-weights", Error, "refuses the whole listener", (&good, &split), (&good, &alpha));
    check("tls-route-weights", Error, "each of the 2 backends", (&good, &split), (&newest, &split));
}

#[test]
fn leases_policies_and_pools() {
    use Severity::{Error, Note, Warning};
    let l2 = |lease: &str, deadline: &str, retry: &str| json!({"l2announcements": {"enabled": true, "leaseDuration": lease, "leaseRenewDeadline": deadline, "leaseRetryPeriod": retry}});
    let good = || (V, l2("3s", "1s", "500ms"));
    values("lease-timings", Warning, "longer than the renew deadline", (V, l2("1s", "1s", "500ms")), good());
    values("lease-timings", Warning, "less than a second", (V, l2("900ms", "500ms", "100ms")), good());
    values("lease-timings", Warning, "1.2 times the retry period", (V, l2("3s", "600ms", "500ms")), (V, l2("1m30s", "1.5s", "1s")));
    values("lease-time", Error, "`3` is no time to Go", (V, l2("3", "1s", "500ms")), good());
    let on = flags(V, json!({"l2announcements.enabled": true}));
    let two = Lab { networks: vec!["eth0".into(), "net0".into(), "net01".into()], ..Lab::default() };
    let policy = |spec: &str| objects(&format!("kind: CiliumL2AnnouncementPolicy\nmetadata: {{name: p}}\nspec: {{{spec}}}"));
    let cured = policy("interfaces: ['^net0$'], loadBalancerIPs: true");
    let cured = Topology { lab: two.clone(), objects: &cured, cli: None };
    for (rule, severity, text, spec) in [
        ("policy-does-nothing", Error, "both default to false", "interfaces: ['^net0$']"),
        ("policy-interface", Warning, "fits net0 and net01", "interfaces: [net0], loadBalancerIPs: true"),
        ("policy-interface", Warning, "fits no interface of this lab", "interfaces: ['^wlan'], loadBalancerIPs: true"),
        ("policy-interface", Note, "any interface with it in its name", "interfaces: [net01], loadBalancerIPs: true"),
        ("policy-interface", Error, "no regular expression", "interfaces: ['net('], loadBalancerIPs: true"),
    ] {
        let bad = policy(spec);
        check(rule, severity, text, (&on, &Topology { lab: two.clone(), objects: &bad, cli: None }), (&on, &cured));
    }
    check("policy-without-l2", Error, "nothing is announced", (&flags(V, json!({})), &cured), (&on, &cured));
    let pool = objects("apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: p}");
    let pool = Topology { objects: &pool, ..Topology::default() };
    check("pool-version", Error, "served since 1.18.0", (&on, &pool), (&flags("1.20.0", json!({})), &pool));
}

#[test]
fn what_versions_of_the_cli_drop_and_refuse() {
    use Severity::{Error, Note, Warning};
    let cli = |text: &str| Topology { cli: Some(Version::parse(text).unwrap()), ..Topology::default() };
    let upgrade = FlagSet { action: Action::Upgrade, ..flags(V, json!({})) };
    let keep = FlagSet { before: Before::Keep, ..upgrade.clone() };
    check("cli-upgrade-forgets-values", Error, "CLI 0.16.21 resets", (&upgrade, &cli("v0.16.21")), (&upgrade, &cli("v0.16.22")));
    check("cli-upgrade-forgets-values", Warning, "before 0.16.22", (&upgrade, &Topology::default()), (&keep, &Topology::default()));
    // What an upgrade keeps may hold what its own flags do not say.
    let lease = json!({"l2announcements.leaseDuration": "3s"});
    let [fresh, over] = [Before::Reset, Before::Keep].map(|before| FlagSet { before, action: Action::Upgrade, ..flags(V, lease.clone()) });
    let plain = Topology::default();
    check("value-without-effect", Warning, "no lease is taken", (&fresh, &plain), (&over, &plain));
    let policy = objects("kind: CiliumL2AnnouncementPolicy\nmetadata: {name: p}\nspec: {loadBalancerIPs: true}");
    let policy = Topology { objects: &policy, ..Topology::default() };
    check("policy-without-l2", Error, "nothing is announced", (&fresh, &policy), (&over, &policy));
    let old = flags("1.16.2", json!({}));
    check("cli-not-made-for-version", Warning, "not made for Cilium 1.16.2", (&old, &cli("0.19.7")), (&old, &cli("0.18.3")));
    let encrypted = |cilium: &str| flags(cilium, json!({"encryption": {"enabled": true, "type": "wireguard"}}));
    let (old, new) = (encrypted(V), encrypted("1.20.0"));
    check("cli-refuses-encryption-status", Note, "too old", (&old, &cli("0.18.3")), (&new, &cli("0.19.7")));
    check("cli-refuses-encryption-status", Note, "cilium-dbg", (&old, &cli("0.18.3")), (&old, &cli("0.16.24")));
    values(
        "api-server-name",
        Note,
        "called `kind`",
        (V, json!({"k8sServiceHost": "kind-control-plane"})),
        (V, json!({"k8sServiceHost": "10.0.0.1"})),
    );
}
