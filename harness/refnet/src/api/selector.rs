//! Label and field selectors.

use serde_json::Value;

use super::status::ApiError;

/// Which objects a list or watch is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, Equality)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Equality {
    Same,
    Other,
}

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`. `known` are the field paths the kind can be selected by.
    pub(crate) fn parse(labels: Option<&str>, fields: Option<&str>, known: &[&str]) -> Result<Selector, ApiError> {
        let labels = labels.map_or_else(|| Ok(Vec::new()), parse_labels)?;
        let fields = fields.map_or_else(|| Ok(Vec::new()), |text| parse_fields(text, known))?;
        Ok(Selector { labels, fields })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object.pointer("/metadata/labels").and_then(|l| l.get(key)).and_then(Value::as_str);
        self.labels.iter().all(|requirement| requirement.holds(&label))
            && self.fields.iter().all(|(path, wanted, equality)| (field(object, path) == *wanted) == (*equality == Equality::Same))
    }
}

impl Requirement {
    fn holds<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>) -> bool {
        let number = |key: &str| label(key).and_then(|v| v.parse::<i64>().ok());
        match self {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::In(key, values) => label(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|v| values.iter().all(|w| w != v)),
            Requirement::Greater(key, bound) => number(key).is_some_and(|n| n > *bound),
            Requirement::Less(key, bound) => number(key).is_some_and(|n| n < *bound),
        }
    }
}

/// The text of a field, empty when it is not there.
fn field(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |at, part| at.get(part));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn parse_fields(text: &str, known: &[&str]) -> Result<Vec<(String, String, Equality)>, ApiError> {
    let mut terms = Vec::new();
    for term in text.split(',').filter(|t| !t.trim().is_empty()) {
        let (key, value, equality) = if let Some((key, value)) = term.split_once("!=") {
            (key, value, Equality::Other)
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (key, value, Equality::Same)
        } else {
            return Err(ApiError::bad_request(format!("invalid selector: {text:?}; can't understand {term:?}")));
        };
        let key = key.trim();
        if !matches!(key, "metadata.name" | "metadata.namespace") && !known.contains(&key) {
            return Err(ApiError::bad_request(format!("field label not supported: {key}")));
        }
        terms.push((key.to_owned(), value.trim().to_owned(), equality));
    }
    Ok(terms)
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, ApiError> {
    split_terms(text).into_iter().filter(|t| !t.is_empty()).map(|term| parse_label(term, text)).collect()
}

/// Splits at the commas that are not within parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(text[start..].trim());
    terms
}

fn parse_label(term: &str, whole: &str) -> Result<Requirement, ApiError> {
    let wrong = || ApiError::bad_request(format!("unable to parse requirement: {term:?} in {whole:?}"));
    let key_of = |key: &str| {
        let key = key.trim();
        if super::names::is_qualified(key) { Ok(key.to_owned()) } else { Err(wrong()) }
    };
    if let Some(key) = term.strip_prefix('!') {
        return Ok(Requirement::Absent(key_of(key)?));
    }
    if let Some((head, list)) = term.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(wrong)?;
        let values = list.split(',').map(|v| v.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        let (key, operator, rest) = (words.next(), words.next(), words.next());
        return match (key, operator, rest) {
            (Some(key), Some("in"), None) => Ok(Requirement::In(key_of(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(Requirement::NotIn(key_of(key)?, values)),
            _ => Err(wrong()),
        };
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(key_of(key)?, vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Requirement::In(key_of(key)?, vec![value.trim().to_owned()]));
    }
    for (sign, make) in [('>', Requirement::Greater as fn(String, i64) -> Requirement), ('<', Requirement::Less)] {
        if let Some((key, value)) = term.split_once(sign) {
            return Ok(make(key_of(key)?, value.trim().parse().map_err(|_| wrong())?));
        }
    }
    Ok(Requirement::Exists(key_of(term)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    #[test]
    fn every_operator_selects_what_the_documentation_says() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "front", "n": "7"}}, "spec": {"nodeName": "w"}});
        for (selector, holds) in [
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("other!=x", true),
            ("app", true),
            ("!app", false),
            ("!no", true),
            ("app in (web, db)", true),
            ("app in (db)", false),
            ("app notin (db)", true),
            ("no notin (db)", true),
            ("no in (db)", false),
            ("app=web,tier=front", true),
            ("app=web,tier=back", false),
            ("n>6", true),
            ("n<7", false),
            ("app in (web),!no", true),
            ("", true),
        ] {
            assert_eq!(Selector::parse(Some(selector), None, &[]).unwrap().matches(&object), holds, "{selector}");
        }
        for (selector, holds) in [("metadata.name=a", true), ("metadata.name!=a", false), ("spec.nodeName=w,metadata.name==a", true)] {
            assert_eq!(Selector::parse(None, Some(selector), &["spec.nodeName"]).unwrap().matches(&object), holds, "{selector}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in ["app in web", "a b", "=x", "app in (a", "(", "a>b", "-x", "a/b/c"] {
            assert!(Selector::parse(Some(selector), None, &[]).is_err(), "{selector}");
        }
        assert!(Selector::parse(None, Some("spec.other=x"), &["spec.nodeName"]).is_err());
    }
}
