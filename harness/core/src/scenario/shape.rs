//! Holds a tree against a JSON Schema made by schemars and collects every mistake with its place: unknown and missing keys, wrong
//! types, unknown verbs, duplicate keys, numbers out of range.
//!
//! It knows the part of JSON Schema that schemars writes for our models and no more. What a text means is asked of a [`Meaning`].

use std::fmt;

use serde_json::Value;

use super::meaning::list;
use super::tree::{Key, Kind, Node, Place, shorten};
use crate::mistakes::{Mistake, nearest};

/// What is asked while walking: the meaning of texts, and rules that hold for a whole object.
pub(crate) trait Meaning {
    /// A text, or a key, that the schema marks with `x-plumb` or `x-plumb-keys`.
    fn text(&mut self, mark: &str, text: &str, place: &Place, mistakes: &mut Vec<Mistake>);
    /// A value of the definition `name` of the schema is entered.
    fn enter(&mut self, name: &str, node: &Node, mistakes: &mut Vec<Mistake>);
    /// It is left again.
    fn leave(&mut self, name: &str);
}

/// What a value is called in a message; made into a text only where there is one.
#[derive(Clone, Copy)]
enum What<'a> {
    File,
    Key(&'a str),
    Item(&'a What<'a>),
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::File => f.write_str("the file"),
            What::Key(name) => write!(f, "`{}`", shorten(name)),
            What::Item(list) => write!(f, "an item of {list}"),
        }
    }
}

/// Walks a tree beside its schema.
pub(crate) struct Walk<'a, M> {
    schema: &'a Value,
    meaning: M,
    mistakes: Vec<Mistake>,
}

impl<'a, M: Meaning> Walk<'a, M> {
    /// Holds `root` against `schema`; the root definition is entered under the schema's title.
    pub(crate) fn run(schema: &'a Value, root: &Node, meaning: M) -> (M, Vec<Mistake>) {
        let mut walk = Walk { schema, meaning, mistakes: Vec::new() };
        let title = schema["title"].as_str().unwrap_or_default();
        walk.meaning.enter(title, root, &mut walk.mistakes);
        walk.node(schema, root, What::File);
        walk.meaning.leave(title);
        (walk.meaning, walk.mistakes)
    }

    fn wrong(&mut self, place: &Place, message: String, hint: Option<String>) {
        self.mistakes.push(place.mistake(message, hint));
    }

    fn node(&mut self, schema: &'a Value, node: &Node, what: What<'_>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            let target = &self.schema["$defs"][name];
            self.meaning.enter(name, node, &mut self.mistakes);
            self.node(target, node, what);
            self.meaning.leave(name);
        } else if let Some(choices) = schema["oneOf"].as_array().filter(|_| schema["properties"].is_null()) {
            self.choice(choices, node, what);
        } else if let Some(choices) = schema["anyOf"].as_array() {
            // schemars writes Option<T> as anyOf [T, null].
            let inner = choices.iter().find(|choice| choice["type"] != "null");
            match inner {
                Some(inner) if !node.is_null() => self.node(inner, node, what),
                _ => {}
            }
        } else {
            self.plain(schema, node, what);
        }
    }

    fn plain(&mut self, schema: &'a Value, node: &Node, what: What<'_>) {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => return self.duplicates(node),
        };
        let fits = |wanted: &str| match (&node.kind, wanted) {
            (Kind::Null, "null") | (Kind::Bool(_), "boolean") | (Kind::Number(_), "number") => true,
            (Kind::Number(number), "integer") => number.is_u64() || number.is_i64(),
            (Kind::Text(_), "string") | (Kind::List(_), "array") | (Kind::Map(_), "object") => true,
            _ => false,
        };
        if !types.iter().any(|wanted| fits(wanted)) {
            let hint = match (&node.kind, types.contains(&"string"), types.contains(&"array")) {
                (Kind::Number(_) | Kind::Bool(_), true, _) => Some("put it in quotes".to_owned()),
                (Kind::Text(text), ..) if types.contains(&"boolean") && matches!(text.as_str(), "yes" | "no" | "on" | "off") => {
                    Some("write true or false".to_owned())
                }
                (Kind::Text(_) | Kind::Map(_), _, true) => Some("write a list: [a, b] or lines that begin with `- `".to_owned()),
                _ => None,
            };
            let expected = expected(&types);
            return self.wrong(&node.place, format!("{what} is {}, expected {expected}", node.describe()), hint);
        }
        match &node.kind {
            Kind::Text(text) => {
                self.options(schema, text, node, what);
                self.mark(schema, text, &node.place);
            }
            Kind::Number(number) => self.bounds(schema, number, node, what),
            Kind::List(items) => {
                for item in items {
                    self.node(&schema["items"], item, What::Item(&what));
                    if let Some(text) = item.text() {
                        self.mark(schema, text, &item.place);
                    }
                }
            }
            Kind::Map(entries) => self.map(schema, entries, node, what),
            _ => {}
        }
    }

    fn mark(&mut self, schema: &Value, text: &str, place: &Place) {
        if let Some(mark) = schema["x-plumb"].as_str() {
            self.meaning.text(mark, text, place, &mut self.mistakes);
        }
    }

    fn options(&mut self, schema: &Value, text: &str, node: &Node, what: What<'_>) {
        let Some(options) = schema["enum"].as_array() else { return };
        let known: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
        self.one_of(&known, text, node, what);
    }

    fn one_of(&mut self, known: &[&str], text: &str, node: &Node, what: What<'_>) {
        if known.contains(&text) {
            return;
        }
        let hint = nearest(text, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let message = format!("{what} is `{}`, expected one of {}", shorten(text), list(known));
        self.wrong(&node.place, message, hint);
    }

    fn bounds(&mut self, schema: &Value, number: &serde_json::Number, node: &Node, what: What<'_>) {
        let format_max = match schema["format"].as_str() {
            Some("uint8") => Some(255.0),
            Some("uint16") => Some(65_535.0),
            Some("uint32") => Some(f64::from(u32::MAX)),
            _ => None,
        };
        let min = schema["minimum"].as_f64();
        let max = schema["maximum"].as_f64().or(format_max);
        let value = number.as_f64().unwrap_or(f64::NAN);
        if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
            let range = match (min, max) {
                (Some(min), Some(max)) => format!("from {min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => String::new(),
            };
            self.wrong(&node.place, format!("{what} is {number}, expected a number {range}"), None);
        }
    }

    fn map(&mut self, schema: &'a Value, entries: &[(Key, Node)], node: &Node, what: What<'_>) {
        self.repeated(entries);
        let properties = schema["properties"].as_object();
        let known: Vec<&str> = properties.map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default();
        let rest = &schema["additionalProperties"];
        for (key, value) in entries {
            if let Some(property) = properties.and_then(|p| p.get(&key.name)) {
                self.node(property, value, What::Key(&key.name));
                continue;
            }
            if *rest == Value::Bool(false) {
                self.unknown_key(key, &known, what);
                continue;
            }
            if let Some(mark) = schema["x-plumb-keys"].as_str() {
                self.meaning.text(mark, &key.name, &key.place, &mut self.mistakes);
            }
            self.node(rest, value, What::Key(&key.name));
        }
        for wanted in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !entries.iter().any(|(key, _)| key.name == wanted) {
                let place = entries.first().map_or(&node.place, |(key, _)| &key.place);
                self.wrong(place, format!("{what} has no `{wanted}`"), describe(&schema["properties"][wanted]));
            }
        }
    }

    fn unknown_key(&mut self, key: &Key, known: &[&str], what: What<'_>) {
        let hint = match nearest(&key.name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", list(known)),
        };
        self.wrong(&key.place, format!("{what} has no key `{}`", shorten(&key.name)), Some(hint));
    }

    fn repeated(&mut self, entries: &[(Key, Node)]) {
        let mut seen = std::collections::BTreeMap::new();
        for (key, _) in entries {
            if let Some(first) = seen.insert(key.name.as_str(), key.place.line) {
                let message = format!("the key `{}` is there twice, first on line {first}", shorten(&key.name));
                self.wrong(&key.place, message, None);
            }
        }
    }

    /// Free values (`true` in the schema) still must not have a key twice.
    fn duplicates(&mut self, node: &Node) {
        self.repeated(node.entries());
        for (_, value) in node.entries() {
            self.duplicates(value);
        }
        for item in node.items() {
            self.duplicates(item);
        }
    }

    /// An enum: texts of which one must be it, or maps of which exactly one key must be there.
    fn choice(&mut self, choices: &'a [Value], node: &Node, what: What<'_>) {
        let words: Vec<&str> = choices.iter().flat_map(words).collect();
        if !words.is_empty() {
            return match node.text() {
                Some(text) => self.one_of(&words, text, node, what),
                None => self.wrong(&node.place, format!("{what} is {}, expected one of {}", node.describe(), list(&words)), None),
            };
        }
        let tag = |choice: &'a Value| choice["required"][0].as_str();
        let tags: Vec<&str> = choices.iter().filter_map(tag).collect();
        let Kind::Map(entries) = &node.kind else {
            let message = format!("{what} is {}, expected a map with exactly one key", node.describe());
            return self.wrong(&node.place, message, Some(format!("one of {}", list(&tags))));
        };
        self.repeated(entries);
        for (key, value) in entries {
            match choices.iter().find(|choice| tag(choice) == Some(key.name.as_str())) {
                Some(choice) => self.node(&choice["properties"][&key.name], value, What::Key(&key.name)),
                None => self.unknown_key(key, &tags, what),
            }
        }
        if entries.len() != 1 {
            let place = entries.get(1).map_or(&node.place, |(key, _)| &key.place);
            let message = format!("{what} has {} keys, expected exactly one", entries.len());
            let hint = (entries.is_empty()).then(|| format!("one of {}", list(&tags)));
            self.wrong(place, message, hint);
        }
    }
}

/// Texts an alternative stands for: schemars writes `const` where a variant has a description and `enum` where it has none.
fn words(choice: &Value) -> impl Iterator<Item = &str> {
    let constant = choice["const"].as_str();
    constant.into_iter().chain(choice["enum"].as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn expected(types: &[&str]) -> String {
    let word = |name: &&str| match *name {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a map",
        _ => "nothing",
    };
    types.iter().filter(|name| **name != "null").map(word).collect::<Vec<_>>().join(" or ")
}

/// The first sentence of a key's description, as a hint where it is missing.
fn describe(schema: &Value) -> Option<String> {
    let text = schema["description"].as_str()?;
    let line = text.replace('\n', " ");
    Some(line.split(". ").next().unwrap_or(&line).trim_end_matches('.').to_owned())
}
