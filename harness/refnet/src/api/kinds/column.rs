//! Columns of tables: where a cell comes from. Paths are the subset of JSONPath that printer columns use.

use serde_json::Value;

/// A column of `kubectl get`.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `string`, `integer`, `boolean`, `date`.
    pub(crate) kind: String,
    pub(crate) description: String,
    /// 0 = always shown, 1 = with `-o wide`.
    pub(crate) priority: i64,
    pub(crate) source: Source,
}

/// Where a cell comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// `.status.addresses[*].value`.
    Path(String),
    /// Made from the whole object; the second argument is the time of the answer, seconds since 1970.
    Made(fn(&Value, i64) -> Value),
    /// Time since a moment.
    Age(String),
}

impl Column {
    pub(crate) fn path(name: &str, path: &str) -> Column {
        Column::new(name, Source::Path(path.to_owned()))
    }

    pub(crate) fn made(name: &str, make: fn(&Value, i64) -> Value) -> Column {
        Column::new(name, Source::Made(make))
    }

    pub(crate) fn name() -> Column {
        Column::path("Name", ".metadata.name")
    }

    pub(crate) fn age() -> Column {
        Column::new("Age", Source::Age(".metadata.creationTimestamp".to_owned()))
    }

    pub(crate) fn wide(self) -> Column {
        Column { priority: 1, ..self }
    }

    pub(crate) fn boolean(self) -> Column {
        Column { kind: "boolean".to_owned(), ..self }
    }

    fn new(name: &str, source: Source) -> Column {
        Column { name: name.to_owned(), kind: "string".to_owned(), description: String::new(), priority: 0, source }
    }

    pub(crate) fn cell(&self, object: &Value, now: i64) -> Value {
        match &self.source {
            Source::Made(make) => make(object, now),
            Source::Age(path) => Value::from(first(object, path).and_then(Value::as_str).map_or("<unknown>".to_owned(), |t| age(t, now))),
            Source::Path(path) => match find(object, path).as_slice() {
                [] => Value::Null,
                [Value::String(text)] if self.kind == "date" => Value::from(age(text, now)),
                [one @ (Value::String(_) | Value::Number(_) | Value::Bool(_))] => match (self.kind.as_str(), one) {
                    ("string", Value::String(_)) | ("integer" | "number" | "boolean", _) => (*one).clone(),
                    _ => Value::from(one.to_string()),
                },
                // Several values, or a list: as the real printer shows them.
                many if path.contains("[*]") => Value::from(many.iter().map(|v| plain(v)).collect::<Vec<_>>().join(",")),
                many => Value::from(many[0].to_string()),
            },
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The first value at a path.
pub(crate) fn first<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    find(object, path).first().copied()
}

/// Every value at a path: `.a.b`, `[0]`, `[*]`, `[?(@.type=="Ready")]`, `.a\.b`, `['a']`.
pub(crate) fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut at = vec![object];
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let Some(end) = tail.find(']') else { return Vec::new() };
            let (inside, after) = (&tail[..end], &tail[end + 1..]);
            at = at.into_iter().flat_map(|v| bracket(v, inside)).collect();
            rest = after;
        } else {
            let tail = rest.strip_prefix('.').unwrap_or(rest);
            let mut name = String::new();
            let mut chars = tail.char_indices();
            let mut end = tail.len();
            while let Some((index, c)) = chars.next() {
                match c {
                    '\\' => name.extend(chars.next().map(|(_, c)| c)),
                    '.' | '[' => {
                        end = index;
                        break;
                    }
                    c => name.push(c),
                }
            }
            if end == 0 && tail.len() == rest.len() {
                return Vec::new();
            }
            if !name.is_empty() {
                at = at.into_iter().filter_map(|v| v.get(&name)).collect();
            }
            rest = &tail[end..];
        }
    }
    at.retain(|v| !v.is_null());
    at
}

fn bracket<'a>(value: &'a Value, inside: &str) -> Vec<&'a Value> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if inside == "*" {
        return items.iter().collect();
    }
    if let Ok(index) = inside.parse::<usize>() {
        return items.get(index).into_iter().collect();
    }
    if let Some(filter) = inside.strip_prefix("?(@.").and_then(|f| f.strip_suffix(')')) {
        let Some((path, wanted)) = filter.split_once("==") else { return Vec::new() };
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        return items.iter().filter(|item| first(item, path.trim()).is_some_and(|v| plain(v) == wanted)).collect();
    }
    value.get(inside.trim_matches(['\'', '"'])).into_iter().collect()
}

/// How kubectl writes a duration: `5s`, `3m20s`, `2d3h`.
pub(crate) fn age(moment: &str, now: i64) -> String {
    let Ok(then) = time::OffsetDateTime::parse(moment, &time::format_description::well_known::Rfc3339) else {
        return "<invalid>".to_owned();
    };
    let seconds = now - then.unix_timestamp();
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let s = seconds.max(0);
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86_400);
    let pair = |big: i64, unit: char, small: i64, sub: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{sub}") }
    };
    match s {
        0..120 => format!("{s}s"),
        120..600 => pair(minutes, 'm', s % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, 'y', days % 365, 'd'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_what_printer_columns_ask_for() {
        let object = json!({"a": {"b.c": 1}, "l": [{"type": "Ready", "s": "True"}, {"type": "X", "s": "False"}]});
        for (path, found) in [
            (r".a.b\.c", vec![json!(1)]),
            (".a['b.c']", vec![json!(1)]),
            (".l[*].type", vec![json!("Ready"), json!("X")]),
            (".l[1].s", vec![json!("False")]),
            (r#".l[?(@.type=="Ready")].s"#, vec![json!("True")]),
            (".no.where", vec![]),
            (".l[", vec![]),
        ] {
            assert_eq!(find(&object, path), found.iter().collect::<Vec<_>>(), "{path}");
        }
    }
}
