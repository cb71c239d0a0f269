//! Values that say nothing, are gone or not there yet, are of the wrong type, or need another one.

use serde_json::Value;

use super::flags::{Subject, text};
use super::{Found, Severity};
use crate::mistakes::nearest;
use crate::profile::known::{ChartValue, Kind, known};

/// Values a chart takes and does nothing with.
pub(super) fn without_effect(subject: &Subject<'_>, found: &mut Found) {
    for idle in &known().chart.idle {
        if !idle.cilium.as_ref().is_none_or(|range| subject.flags.cilium.is_some_and(|cilium| range.holds(cilium))) {
            continue;
        }
        // A switch that is off, and says so, promises nothing.
        let says = |key: &&String| subject.flags.values.get(*key).is_some_and(|value| text(value) != "false");
        let keys: Vec<String> = idle.keys.iter().filter(says).cloned().collect();
        let served = idle.needs.iter().filter_map(|need| need.split_once('=')).any(|(key, value)| subject.may_be(key, value));
        if keys.is_empty() || served {
            continue;
        }
        let mut draft = subject.about("value-without-effect", idle.severity, []);
        draft.place = super::Place::Values { flags: subject.flags.name.clone(), keys };
        found.push(draft.says(&idle.happens, &idle.cure, &idle.source));
    }
}

/// Values the chart of this version does not have, or does not take.
pub(super) fn of_this_version(subject: &Subject<'_>, found: &mut Found) {
    let chart = &known().chart;
    for (key, value) in &subject.flags.values {
        let plain = key.split('[').next().unwrap_or(key);
        let Some(entry) = chart.value(plain) else {
            found.extend(unknown(subject, plain));
            continue;
        };
        found.extend(gone_or_new(subject, key, entry));
        // An element of a list has no type of its own here.
        if plain == key {
            found.extend(wrong_type(subject, key, value, entry));
        }
    }
}

fn unknown(subject: &Subject<'_>, key: &str) -> Option<super::Finding> {
    let chart = &known().chart;
    let family = chart.families.iter().find(|family| key.strip_prefix(family.as_str()).is_some_and(|rest| rest.starts_with('.')))?;
    // A map of a family, whose own values are known one by one.
    let inner = format!("{key}.");
    if chart.values.iter().any(|value| value.key.starts_with(&inner)) {
        return None;
    }
    let known = chart.values.iter().map(|value| value.key.as_str()).filter(|known| known.starts_with(family.as_str()));
    let cure = nearest(key, known).map_or_else(|| "leave it out".to_owned(), |near| format!("did you mean {near}?"));
    let draft = subject.about("value-unknown", Severity::Error, [key]);
    Some(draft.says("no chart from 1.16 to 1.20 has such a value, and Helm ignores it without a word", cure, &chart.source))
}

fn gone_or_new(subject: &Subject<'_>, key: &str, entry: &ChartValue) -> Option<super::Finding> {
    let cilium = subject.flags.cilium?;
    let draft = subject.about("value-gone", Severity::Warning, [key]);
    let instead = entry.instead.clone();
    if let Some(until) = entry.until.filter(|until| cilium >= *until) {
        let happens = format!("the chart has no such value since {until}, and Helm ignores it without a word");
        return Some(draft.says(happens, instead.unwrap_or_default(), &known().chart.source));
    }
    let since = entry.since.filter(|since| cilium < *since)?;
    let happens = format!("the chart has this value since {since}; in {cilium} Helm ignores it without a word");
    let cure = instead.unwrap_or_else(|| format!("leave it out, or Cilium {since}"));
    Some(super::Finding { rule: "value-too-new", ..draft.says(happens, cure, &known().chart.source) })
}

fn wrong_type(subject: &Subject<'_>, key: &str, value: &Value, entry: &ChartValue) -> Option<super::Finding> {
    if entry.key != key || entry.type_until.is_some_and(|until| subject.since(until)) {
        return None;
    }
    let (fits, wanted) = match entry.kind {
        Kind::Any | Kind::Tree => (true, ""),
        Kind::Boolean => (value.is_boolean(), "true or false"),
        Kind::Integer => (value.is_i64(), "a whole number"),
        Kind::List => (value.is_array(), "a list"),
        Kind::Map => (value.is_object(), "a map"),
        Kind::Port => (value.is_i64() || value.is_string(), "a port"),
        Kind::String => (value.is_string(), "a text"),
    };
    // Null takes the value out of the release, whatever its type.
    if fits || value.is_null() {
        return None;
    }
    let cure = entry.instead.clone().unwrap_or_else(|| format!("give {key} {wanted}"));
    let draft = subject.about("value-type", Severity::Error, [key]);
    Some(draft.says(format!("the chart's schema refuses {value}: {key} is {wanted}"), cure, &known().chart.source))
}

/// L2 announcements and Gateways need it.
pub(super) fn kube_proxy_replacement(subject: &Subject<'_>, found: &mut Found) {
    const KEY: &str = "kubeProxyReplacement";
    for feature in ["l2announcements.enabled", "gatewayAPI.enabled"] {
        let served = subject.may_be(KEY, "true") || (feature == "gatewayAPI.enabled" && subject.is("nodePort.enabled", "true"));
        if subject.is(feature, "true") && !served {
            found.push(subject.about("kube-proxy-replacement-missing", Severity::Error, [feature, KEY]).says(
                "it needs kubeProxyReplacement=true and is off without it, with a line in a log",
                "kubeProxyReplacement=true",
                "Cilium 1.16 l2-announcements.rst; cilium 1.17.1: operator/pkg/gateway-api/cell.go",
            ));
        }
    }
    if let Some(value) = subject.flags.values.get(KEY).filter(|value| !["true", "false"].contains(&text(value).as_str())) {
        found.push(subject.about("kube-proxy-replacement-value", Severity::Error, [KEY]).says(
            format!("the chart takes true or false alone, not {}", text(value)),
            "kubeProxyReplacement=true",
            "chart 1.16.2: templates/cilium-configmap.yaml:71",
        ));
    }
}
