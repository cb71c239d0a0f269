//! Dotted Helm values as a values file. Texts are always quoted, because YAML 1.1 readers take `on`, `1e3` or `0777` for something
//! else; everything else stands as it is.

use std::fmt::Write as _;

use plumb_core::values::{Values, flatten};
use serde_json::{Map, Value};

/// The values as YAML: dotted keys become maps (`\.` is a dot within a key), `list[0]` an item of a list, and types stay what they are.
/// As with `--set`, an index into a list that stands there replaces that item, and items before it that nobody gave are null.
pub fn rendered(values: &Values) -> String {
    let mut root = Value::Object(Map::new());
    for (key, value) in flatten(values) {
        *place(&mut root, &steps(&key)) = value;
    }
    let mut text = String::new();
    match &root {
        Value::Object(map) if map.is_empty() => text.push_str("{}\n"),
        Value::Object(map) => write_map(&mut text, map, 0),
        _ => {}
    }
    text
}

/// One step into values.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn steps(key: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut part = String::new();
    let mut rest = key.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => part.extend(rest.next()),
            '.' => finish(&mut steps, &mut part),
            '[' => match index(rest.as_str()) {
                Some((number, after)) => {
                    finish(&mut steps, &mut part);
                    steps.push(Step::Index(number));
                    rest = after.chars();
                }
                None => part.push(c),
            },
            c => part.push(c),
        }
    }
    finish(&mut steps, &mut part);
    steps
}

/// Ends a key; after an index there is none to end.
fn finish(steps: &mut Vec<Step>, part: &mut String) {
    if !part.is_empty() || steps.is_empty() {
        steps.push(Step::Key(std::mem::take(part)));
    }
}

/// `0].b` is index 0, and `.b` follows. An index beyond sense is text.
fn index(text: &str) -> Option<(usize, &str)> {
    const INDEX_MAX: usize = 65_535;
    let (number, after) = text.split_once(']')?;
    number.parse().ok().filter(|number| *number <= INDEX_MAX).map(|number| (number, after))
}

/// The place of a value; what stands in the way gives way.
fn place<'a>(mut at: &'a mut Value, steps: &[Step]) -> &'a mut Value {
    for step in steps {
        at = match step {
            Step::Key(key) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                let map = at.as_object_mut().expect("it was made a map just now");
                map.entry(key.as_str()).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if !at.is_array() {
                    *at = Value::Array(Vec::new());
                }
                let list = at.as_array_mut().expect("it was made a list just now");
                if list.len() <= *index {
                    list.resize(index + 1, Value::Null);
                }
                &mut list[*index]
            }
        };
    }
    at
}

fn write_map(text: &mut String, map: &Map<String, Value>, depth: usize) {
    for (key, value) in map {
        let _ = write!(text, "{:1$}{2}:", "", depth * 2, name(key));
        write_value(text, value, depth + 1);
    }
}

fn write_list(text: &mut String, list: &[Value], depth: usize) {
    for item in list {
        let _ = write!(text, "{:1$}-", "", depth * 2);
        write_value(text, item, depth + 1);
    }
}

/// A value after `key:` or `-`: scalars and empty collections on the same line, others below, one step further in.
fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_map(text, map, depth);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            write_list(text, list, depth);
        }
        scalar => {
            let _ = writeln!(text, " {}", quoted(scalar));
        }
    }
}

/// A JSON scalar is a YAML scalar of the same type, and a JSON text is a YAML text in double quotes, but for what YAML does not take
/// as it is: control characters and its own line breaks (YAML 1.1, section 5.1; YAML 1.2, section 5.1).
fn quoted(scalar: &Value) -> String {
    let bare = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    scalar.to_string().chars().fold(String::new(), |mut text, c| {
        let _ = if bare(c) { write!(text, "\\u{:04x}", u32::from(c)) } else { text.write_char(c) };
        text
    })
}

/// A key, quoted unless every reader takes it as it is.
fn name(key: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !WORDS.contains(&key.to_ascii_lowercase().as_str());
    if plain { key.to_owned() } else { quoted(&Value::from(key)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn check(values: Value) -> String {
        rendered(&serde_json::from_value(values).unwrap())
    }

    #[test]
    fn a_flag_set_keeps_its_types() {
        insta::assert_snapshot!(check(json!({
            "kubeProxyReplacement": true,
            "k8sServicePort": 6443,
            "l2announcements.enabled": true,
            "l2announcements.leaseDuration": "3s",
            "devices": ["eth0", "net0"],
            "gatewayAPI.gatewayClass.create": "true",
            "gatewayAPI.hostNetwork.nodes.matchLabels": {},
            "envoy.securityContext.capabilities.envoy": ["NET_ADMIN", "SYS_ADMIN"],
            "extraHostPathMounts": [{"name": "wg", "hostPath": "/var/run/wireguard", "readOnly": false}],
            "affinity": null,
            "nodeSelector.kubernetes\\.io/os": "linux",
            "extraConfig.node-encryption-opt-out-labels": "",
            "on": "off",
        })), @r#"
        affinity: null
        devices:
          - "eth0"
          - "net0"
        envoy:
          securityContext:
            capabilities:
              envoy:
                - "NET_ADMIN"
                - "SYS_ADMIN"
        extraConfig:
          node-encryption-opt-out-labels: ""
        extraHostPathMounts:
          -
            name: "wg"
            hostPath: "/var/run/wireguard"
            readOnly: false
        gatewayAPI:
          gatewayClass:
            create: "true"
          hostNetwork:
            nodes:
              matchLabels: {}
        k8sServicePort: 6443
        kubeProxyReplacement: true
        l2announcements:
          enabled: true
          leaseDuration: "3s"
        nodeSelector:
          "kubernetes.io/os": "linux"
        "on": "off"
        "#);
    }

    #[test]
    fn an_index_is_an_item_of_a_list_as_helm_takes_it() {
        assert_eq!(check(json!({"a.list[0]": "x"})), "a:\n  list:\n    - \"x\"\n");
        assert_eq!(check(json!({"a": ["p", "q"], "a[1]": "x"})), "a:\n  - \"p\"\n  - \"x\"\n");
        assert_eq!(check(json!({"a[1].b": 1})), "a:\n  - null\n  -\n    b: 1\n");
        assert_eq!(check(json!({"a[x]": 1, "b[99999999]": 2})), "\"a[x]\": 1\n\"b[99999999]\": 2\n");
        assert_eq!(check(json!({})), "{}\n");
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let texts = ["true", "0777", "1e3", "~", "- a", "a: b", "#c", "tab\tquote\" \\ \u{7f}\u{2028}ü", "line\nbreak", "", " x "];
        let values = json!({"t": texts, "n": -7, "f": 0.5, "deep": {"a.b": {"yes": texts[7]}}, "e": [[], {}, [[1]]]});
        let options = serde_saphyr::options! { strict_booleans: false, legacy_octal_numbers: true };
        let read: Value = serde_saphyr::from_str_with_options(&check(values.clone()), options).unwrap();
        let back = flatten(&serde_json::from_value(read).unwrap());
        assert_eq!(back, flatten(&serde_json::from_value(values).unwrap()));
    }
}
