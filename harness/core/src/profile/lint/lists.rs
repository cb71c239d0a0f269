//! Lists: what a shell and Helm make of them, and what Envoy cannot do without.

use serde_json::Value;

use super::flags::{Given, Subject};
use super::{Found, Severity};

const CAPABILITIES: &str = "envoy.securityContext.capabilities.envoy";

/// `--set devices={a,b}` in a shell.
pub(super) fn unquoted_braces(subject: &Subject<'_>, found: &mut Found) {
    for given in subject.given.iter().filter(|given| given.shell.is_some_and(|read| read.words > 1)) {
        let Given { key, value, shell } = given;
        let words = shell.map_or(1, |read| read.words);
        found.push(subject.about("unquoted-braces", Severity::Error, [key]).says(
            format!("bash expands the unquoted braces into {words} words, of which only {key}={value} follows --set"),
            format!("put the whole argument in quotes: --set \"{key}={{...}}\""),
            "bash manual, Brace Expansion",
        ));
    }
}

/// `--set a[0]=x` in a shell.
pub(super) fn unquoted_pattern(subject: &Subject<'_>, found: &mut Found) {
    for Given { key, value, .. } in subject.given.iter().filter(|given| given.shell.is_some_and(|read| read.pattern)) {
        found.push(subject.about("unquoted-pattern", Severity::Note, [key]).says(
            "an unquoted [ ], * or ? is a file name pattern to a shell: zsh refuses it when no file fits, and a file that fits takes its place",
            format!("write --set \"{key}={value}\""),
            "zsh manual, Filename Generation; bash manual, Filename Expansion",
        ));
    }
}

/// `--set devices=a,b`: a comma ends a value.
pub(super) fn comma_ends_value(subject: &Subject<'_>, found: &mut Found) {
    for Given { key, value, .. } in subject.given.iter().filter(|given| given.shell.is_some()) {
        let braced = value.starts_with('{');
        let Some((first, rest)) = value.split_once(',').filter(|(first, _)| !braced && !first.ends_with('\\')) else { continue };
        if rest.split(',').all(|piece| piece.contains('=')) {
            continue;
        }
        found.push(subject.about("comma-ends-value", Severity::Error, [key]).says(
            format!("Helm ends the value of {key} at the comma, after {first}, and refuses {rest}, a key without a value"),
            format!("write --set \"{key}={{{value}}}\" for a list, or a backslash before each comma for a text"),
            "Helm manual, The Format and Limitations of --set",
        ));
    }
}

/// `a.b[0]=x` makes a list of one element and forgets the chart's.
pub(super) fn list_element(subject: &Subject<'_>, found: &mut Found) {
    for Given { key, value, .. } in &subject.given {
        let Some((list, _)) = key.split_once('[') else { continue };
        let is_envoy = list == CAPABILITIES;
        let severity = if is_envoy { Severity::Error } else { Severity::Warning };
        let why = if is_envoy { "; cilium-envoy ends at once without NET_ADMIN and SYS_ADMIN or BPF, on every node" } else { "" };
        found.push(subject.about("list-element-replaces-list", severity, [key]).says(
            format!("Helm replaces lists, so {list} becomes [{value}] and the chart's own elements are gone{why}"),
            if is_envoy {
                format!("write --set \"{list}={{NET_ADMIN,SYS_ADMIN,NET_BIND_SERVICE}}\"")
            } else {
                format!("write the whole list: --set \"{list}={{{value},...}}\"")
            },
            if is_envoy {
                "chart 1.17.1: templates/cilium-envoy/daemonset.yaml; cilium/proxy: starter/main.cc:114; Cilium 1.17 host-network-mode.rst"
            } else {
                "Helm manual, The Format and Limitations of --set"
            },
        ));
    }
}

/// The whole list, but without what Envoy cannot do without.
pub(super) fn envoy_capabilities(subject: &Subject<'_>, found: &mut Found) {
    let Some(Value::Array(_)) = subject.flags.values.get(CAPABILITIES) else { return };
    let list = subject.names(CAPABILITIES);
    let has = |name: &str| list.iter().any(|given| given == name);
    if !has("NET_ADMIN") || !(has("SYS_ADMIN") || has("BPF")) {
        found.push(subject.about("envoy-capabilities", Severity::Error, [CAPABILITIES]).says(
            format!("cilium-envoy ends at once with only {}: it needs NET_ADMIN and SYS_ADMIN or BPF", list.join(", ")),
            format!("{CAPABILITIES}={{NET_ADMIN,SYS_ADMIN,NET_BIND_SERVICE}}"),
            "cilium/proxy: starter/main.cc:114",
        ));
    }
}
