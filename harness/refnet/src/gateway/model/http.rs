//! HTTPRoute rules: matches, filters, backends and limits, compiled once a translation.

use std::time::Duration;

use serde_json::Value;

use super::super::config::{Filter, HeaderChange, PathChange, Rule};
use super::super::matching::Match;
use super::super::objects::{HttpMatchSpec, HttpRouteSpec, Item};
use super::listeners::Why;
use super::{World, routes};

/// A route, compiled.
pub(super) struct Compiled {
    /// Rules without host name, each with its place and the place of its match.
    pub(super) rules: Vec<(Rule, usize, usize)>,
    /// What cannot be done as asked.
    pub(super) unsupported: Option<Why>,
    /// Which reference is wrong.
    pub(super) unresolved: Option<Why>,
}

/// Compiles every rule of a route.
pub(super) fn compile(world: &World, route: &Item<HttpRouteSpec>) -> Compiled {
    let mut compiled = Compiled { rules: Vec::new(), unsupported: None, unresolved: None };
    for (at, rule) in route.spec.rules.iter().enumerate() {
        let references: Vec<_> = rule.backend_refs.iter().collect();
        let (mut backends, wrong) = routes::shares(world, ("HTTPRoute", route.namespace()), &references);
        compiled.unresolved = compiled.unresolved.or(wrong);
        let mut read = |raw: &[Value]| match filters(raw) {
            Ok(filters) => filters,
            Err(why) => {
                compiled.unsupported.get_or_insert(why);
                Vec::new()
            }
        };
        let rule_filters = read(&rule.filters);
        for (share, reference) in backends.iter_mut().zip(&references) {
            share.filters = read(&reference.filters);
        }
        let every = [HttpMatchSpec::default()];
        let matches = if rule.matches.is_empty() { &every } else { rule.matches.as_slice() };
        for (match_at, spec) in matches.iter().enumerate() {
            match Match::compile(spec) {
                Ok(matches) => {
                    let rule = Rule {
                        id: format!("{}/{}/{at}", route.namespace(), route.name()),
                        hostname: None,
                        matches,
                        filters: rule_filters.clone(),
                        backends: backends.clone(),
                        timeout: rule.timeouts.as_ref().and_then(|limits| duration(limits.request.as_deref()?)),
                    };
                    compiled.rules.push((rule, at, match_at));
                }
                Err(error) => {
                    compiled
                        .unsupported
                        .get_or_insert(("UnsupportedValue", format!("A match of rule {at} is not a regular expression: {error}")));
                }
            }
        }
    }
    compiled
}

/// A Gateway API duration (GEP-2257): `1h2m3s4ms`; zero is no limit.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let scale = match &rest[..units] {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total += number.checked_mul(scale)?;
        rest = &rest[units..];
    }
    (total > 0).then(|| Duration::from_millis(total))
}

fn filters(raw: &[Value]) -> Result<Vec<Filter>, Why> {
    raw.iter().map(filter).collect()
}

fn filter(raw: &Value) -> Result<Filter, Why> {
    let kind = raw.get("type").and_then(Value::as_str).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match kind {
        "RequestHeaderModifier" => Ok(Filter::Request(headers(raw.get("requestHeaderModifier")))),
        "ResponseHeaderModifier" => Ok(Filter::Response(headers(raw.get("responseHeaderModifier")))),
        "RequestRedirect" => {
            let spec = raw.get("requestRedirect").unwrap_or(&Value::Null);
            Ok(Filter::Redirect {
                scheme: text(spec.get("scheme")),
                hostname: text(spec.get("hostname")),
                port: spec.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()),
                path: spec.get("path").and_then(path),
                status: spec.get("statusCode").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(302),
            })
        }
        "URLRewrite" => {
            let spec = raw.get("urlRewrite").unwrap_or(&Value::Null);
            Ok(Filter::Rewrite { hostname: text(spec.get("hostname")), path: spec.get("path").and_then(path) })
        }
        other => Err(("UnsupportedValue", format!("Filter {other} is not served"))),
    }
}

fn headers(spec: Option<&Value>) -> HeaderChange {
    let spec = spec.unwrap_or(&Value::Null);
    let pairs = |key: &str| {
        let list = spec.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let pair = |entry: &Value| Some((entry.get("name")?.as_str()?.to_ascii_lowercase(), entry.get("value")?.as_str()?.to_owned()));
        list.iter().filter_map(pair).collect()
    };
    let remove = spec.get("remove").and_then(Value::as_array).cloned().unwrap_or_default();
    let remove = remove.iter().filter_map(|name| Some(name.as_str()?.to_ascii_lowercase())).collect();
    HeaderChange { set: pairs("set"), add: pairs("add"), remove }
}

fn path(spec: &Value) -> Option<PathChange> {
    match spec.get("type").and_then(Value::as_str)? {
        "ReplaceFullPath" => Some(PathChange::Full(spec.get("replaceFullPath")?.as_str()?.to_owned())),
        "ReplacePrefixMatch" => Some(PathChange::Prefix(spec.get("replacePrefixMatch")?.as_str()?.to_owned())),
        _ => None,
    }
}
