//! Lists: what a shell and Helm make of them, and what Envoy cannot do without.

use serde_json::Value;

use super::{Flags, Found, Severity, Side, keys};

/// `--set devices={a,b}` in a shell.
pub(super) fn unquoted_braces(flags: &Flags<'_>, found: &mut Vec<Found>) {
    if flags.side != Side::AsWritten {
        return;
    }
    for (key, value) in &flags.given {
        if value.starts_with('{') && value.contains(',') {
            found.push(Found {
                severity: Severity::Error,
                keys: vec![key.clone()],
                message: format!("bash expands the unquoted braces of {value} into several words and only the first follows --set"),
                hint: Some(format!("write --set \"{key}={value}\"")),
                source: "bash manual, Brace Expansion",
            });
        }
        if key.contains('[') {
            found.push(Found {
                severity: Severity::Note,
                keys: vec![key.clone()],
                message: "an unquoted [ ] is a file name pattern to a shell; zsh refuses it when no file fits".to_owned(),
                hint: Some("put the whole argument in quotes".to_owned()),
                source: "zsh manual, Filename Generation",
            });
        }
    }
}

/// `a.b[0]=x` makes a list of one element and forgets the chart's.
pub(super) fn list_element(flags: &Flags<'_>, found: &mut Vec<Found>) {
    for (key, value) in &flags.given {
        let Some((list, _)) = key.split_once('[') else { continue };
        let is_envoy = list == "envoy.securityContext.capabilities.envoy";
        let why = if is_envoy { "; cilium-envoy ends at once without NET_ADMIN and SYS_ADMIN or BPF, on every node" } else { "" };
        found.push(Found {
            severity: if is_envoy { Severity::Error } else { Severity::Warning },
            keys: vec![key.clone()],
            message: format!("Helm replaces lists, so {list} becomes [{value}] and the chart's own elements are gone{why}"),
            hint: Some(if is_envoy {
                format!("write --set \"{list}={{NET_ADMIN,SYS_ADMIN,NET_BIND_SERVICE}}\"")
            } else {
                "write the whole list".to_owned()
            }),
            source: "chart 1.17.1 templates/cilium-envoy/daemonset.yaml; proxy starter/main.cc; Cilium 1.17 host-network-mode.rst",
        });
    }
}

/// The whole list, but without what Envoy cannot do without.
pub(super) fn envoy_capabilities(flags: &Flags<'_>, found: &mut Vec<Found>) {
    const KEY: &str = "envoy.securityContext.capabilities.envoy";
    let Some(Value::Array(_)) = flags.values.get(KEY) else { return };
    let list = flags.names(KEY);
    let has = |name: &str| list.iter().any(|given| given == name);
    if !has("NET_ADMIN") || !(has("SYS_ADMIN") || has("BPF")) {
        found.push(Found {
            severity: Severity::Error,
            keys: keys([KEY]),
            message: format!("cilium-envoy ends at once with only {}: it needs NET_ADMIN and SYS_ADMIN or BPF", list.join(", ")),
            hint: None,
            source: "proxy starter/main.cc",
        });
    }
}
