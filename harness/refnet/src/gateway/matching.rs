//! What a request must be like for a rule of an HTTPRoute, and which of several rules wins (Gateway API, HTTPRouteRule.matches).

use std::cmp::Ordering;

use regex::Regex;

use super::objects::{HttpMatchSpec, NamedMatch};

/// A compiled match.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Its path.
    pub path: Path,
    /// Its method.
    pub method: Option<String>,
    /// Its headers: all of them. Names are in lower case.
    pub headers: Vec<(String, Value)>,
    /// Its query parameters: all of them.
    pub query: Vec<(String, Value)>,
}

/// A path to compare with.
#[derive(Debug, Clone)]
pub enum Path {
    /// The whole path.
    Exact(String),
    /// Whole elements from the beginning; without a final slash.
    Prefix(String),
    /// A regular expression for the whole path.
    Regex(Regex),
}

/// A text to compare with.
#[derive(Debug, Clone)]
pub enum Value {
    /// Equal.
    Exact(String),
    /// A regular expression for the whole text.
    Regex(Regex),
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        match (self, other) {
            (Path::Exact(a), Path::Exact(b)) | (Path::Prefix(a), Path::Prefix(b)) => a == b,
            (Path::Regex(a), Path::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Exact(a), Value::Exact(b)) => a == b,
            (Value::Regex(a), Value::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

/// A request as far as it is matched.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Query without `?`.
    pub query: &'a str,
    /// Headers.
    pub headers: &'a http::HeaderMap,
}

impl Match {
    /// Compiles a match; the error says what is not a regular expression.
    ///
    /// # Errors
    /// A regular expression that is none.
    pub fn compile(spec: &HttpMatchSpec) -> Result<Match, regex::Error> {
        let value = spec.path.as_ref().and_then(|path| path.value.clone()).unwrap_or_else(|| "/".to_owned());
        let path = match spec.path.as_ref().and_then(|path| path.kind.as_deref()) {
            Some("Exact") => Path::Exact(value),
            Some("RegularExpression") => Path::Regex(whole(&value)?),
            _ => Path::Prefix(value.trim_end_matches('/').to_owned()),
        };
        let mut headers = Vec::new();
        for header in &spec.headers {
            let name = header.name.to_ascii_lowercase();
            // Of several entries with equivalent names only the first counts.
            if !headers.iter().any(|(known, _)| *known == name) {
                headers.push((name, compile_value(header)?));
            }
        }
        let mut query: Vec<(String, Value)> = Vec::new();
        for parameter in &spec.query_params {
            if !query.iter().any(|(known, _)| *known == parameter.name) {
                query.push((parameter.name.clone(), compile_value(parameter)?));
            }
        }
        Ok(Match { path, method: spec.method.clone(), headers, query })
    }

    /// Whether a request is like this.
    pub fn holds(&self, asked: Asked<'_>) -> bool {
        self.path.holds(asked.path)
            && self.method.as_deref().is_none_or(|method| method == asked.method)
            && self.headers.iter().all(|(name, value)| header(asked.headers, name).is_some_and(|text| value.holds(&text)))
            && self.query.iter().all(|(name, value)| parameter(asked.query, name).is_some_and(|text| value.holds(&text)))
    }

    /// `Less` when `self` goes before `other`: exact path, then longest prefix, then method, then more headers, then more query
    /// parameters. Regular expressions stand between exact paths and prefixes, the longer first (ours to choose).
    pub fn precedence(&self, other: &Match) -> Ordering {
        other.rank().cmp(&self.rank())
    }

    fn rank(&self) -> (u8, usize, bool, usize, usize) {
        let (kind, length) = match &self.path {
            Path::Exact(path) => (2, path.len()),
            Path::Regex(pattern) => (1, pattern.as_str().len()),
            Path::Prefix(path) => (0, path.len()),
        };
        (kind, length, self.method.is_some(), self.headers.len(), self.query.len())
    }
}

impl Path {
    fn holds(&self, path: &str) -> bool {
        match self {
            Path::Exact(exact) => exact == path,
            Path::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Path::Regex(pattern) => pattern.is_match(path),
        }
    }
}

impl Value {
    fn holds(&self, text: &str) -> bool {
        match self {
            Value::Exact(exact) => exact == text,
            Value::Regex(pattern) => pattern.is_match(text),
        }
    }
}

fn compile_value(named: &NamedMatch) -> Result<Value, regex::Error> {
    Ok(match named.kind.as_deref() {
        Some("RegularExpression") => Value::Regex(whole(&named.value)?),
        _ => Value::Exact(named.value.clone()),
    })
}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

/// All values of a header, joined as a proxy may join them.
fn header(headers: &http::HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The first value of a query parameter, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

/// `application/x-www-form-urlencoded`: `+` and percent signs.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (_, Some(byte)) => {
                plain.push(byte);
                at += 3;
            }
            (b'+', None) => {
                plain.push(b' ');
                at += 1;
            }
            (byte, None) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn compile(json: serde_json::Value) -> Match {
        Match::compile(&serde_json::from_value(json).unwrap()).unwrap()
    }

    fn holds(json: serde_json::Value, method: &str, target: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        compile(json).holds(Asked { method, path, query, headers: &map })
    }

    #[test]
    fn paths_match_by_whole_elements() {
        let prefix = |value: &str| serde_json::json!({"path": {"type": "PathPrefix", "value": value}});
        let cases = [
            ("/", "/", true),
            ("/", "/anything", true),
            ("/abc", "/abc", true),
            ("/abc", "/abc/", true),
            ("/abc", "/abc/def", true),
            ("/abc", "/abcd", false),
            ("/abc/", "/abc", true),
            ("/abc/", "/abcd", false),
            ("/abc/def", "/abc", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(holds(prefix(pattern), "GET", path, &[]), expected, "{pattern} on {path}");
        }
        assert!(holds(serde_json::json!({"path": {"type": "Exact", "value": "/one"}}), "GET", "/one", &[]));
        assert!(!holds(serde_json::json!({"path": {"type": "Exact", "value": "/one"}}), "GET", "/one/", &[]));
        assert!(holds(serde_json::json!({"path": {"type": "RegularExpression", "value": "/v[0-9]+"}}), "GET", "/v12", &[]));
        assert!(!holds(serde_json::json!({"path": {"type": "RegularExpression", "value": "/v[0-9]+"}}), "GET", "/v12/x", &[]));
    }

    #[test]
    fn headers_queries_and_methods_must_all_match() {
        let spec = serde_json::json!({
            "method": "POST",
            "headers": [{"name": "X-Env", "value": "canary"}, {"name": "x-ver", "type": "RegularExpression", "value": "v[12]"}],
            "queryParams": [{"name": "a b", "value": "c&d"}],
        });
        let good = [("x-env", "canary"), ("x-ver", "v2")];
        assert!(holds(spec.clone(), "POST", "/x?a+b=c%26d", &good));
        assert!(!holds(spec.clone(), "GET", "/x?a+b=c%26d", &good));
        assert!(!holds(spec.clone(), "POST", "/x", &good));
        assert!(!holds(spec.clone(), "POST", "/x?a+b=c%26d", &[("x-env", "canary"), ("x-ver", "v3")]));
        assert!(!holds(spec, "POST", "/x?a+b=c%26d", &[("x-ver", "v1")]));
    }

    #[test]
    fn precedence_is_that_of_the_specification() {
        let ordered = [
            serde_json::json!({"path": {"type": "Exact", "value": "/a"}}),
            serde_json::json!({"path": {"value": "/a/long/prefix"}}),
            serde_json::json!({"path": {"value": "/a"}, "method": "GET", "headers": []}),
            serde_json::json!({"path": {"value": "/a"}, "headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}),
            serde_json::json!({"path": {"value": "/a"}, "headers": [{"name": "a", "value": "1"}], "queryParams": [{"name": "q", "value": "1"}]}),
            serde_json::json!({"path": {"value": "/a"}, "headers": [{"name": "a", "value": "1"}]}),
            serde_json::json!({"path": {"value": "/a"}}),
            serde_json::json!({}),
        ];
        let compiled: Vec<_> = ordered.into_iter().map(compile).collect();
        let mut shuffled: Vec<_> = compiled.iter().rev().cloned().collect();
        shuffled.sort_by(Match::precedence);
        assert_eq!(shuffled, compiled);
    }
}
