//! YAML text as a tree in which every key and every value knows its place.
//!
//! Shared by scenarios and profiles. It bounds what hostile input can cost (size, depth, nodes, aliases) and leaves judging what
//! the values mean to its callers. YAML 1.2 booleans only: `no` and `on` are texts.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};

use crate::mistakes::Mistake;

/// Largest file, in bytes.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// Where something stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) span: Range<usize>,
}

impl Place {
    fn of(location: &Location) -> Place {
        let span = location.span();
        let start = span.byte_offset().unwrap_or(0) as usize;
        let len = span.byte_len().unwrap_or(0) as usize;
        Place { line: (location.line() as usize).max(1), column: (location.column() as usize).max(1), span: start..start + len }
    }

    /// A mistake here.
    pub(crate) fn mistake(&self, message: impl Into<String>, hint: Option<String>) -> Mistake {
        Mistake { line: self.line, column: self.column, span: self.span.clone(), message: message.into(), hint }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Node {
    /// The value of a key of a map; the first where it is there twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.name == key).map(|(_, node)| node)
    }

    /// Entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number as a whole one, if it is one.
    pub(crate) fn whole(&self) -> Option<u64> {
        match &self.kind {
            Kind::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Whether there is nothing.
    pub(crate) fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// What it is, in words for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("`{value}`"),
            Kind::Number(number) => format!("the number `{number}`"),
            Kind::Text(text) => format!("the text `{}`", shorten(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }

    /// The value without its places.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Kind::Map(entries) => Value::Object(entries.iter().map(|(k, v)| (k.name.clone(), v.to_value())).collect()),
        }
    }
}

/// A text short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    const CHARS: usize = 60;
    let line: String = text.chars().take(CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CHARS).is_some() { format!("{line}...") } else { line }
}

/// Reads one document.
///
/// # Errors
/// Text that is not YAML, is too large, or holds more than one document.
pub(crate) fn read(text: &str) -> Result<Node, Mistake> {
    sound(text)?;
    serde_saphyr::from_str_with_options::<Node>(text, options()).map_err(|error| malformed(&error))
}

/// Reads every document; empty ones are left out.
///
/// # Errors
/// As [`read`], except that there may be many.
pub(crate) fn read_all(text: &str) -> Result<Vec<Node>, Mistake> {
    sound(text)?;
    serde_saphyr::from_multiple_with_options::<Node>(text, options()).map_err(|error| malformed(&error))
}

const TOP: Place = Place { line: 1, column: 1, span: 0..0 };

fn sound(text: &str) -> Result<(), Mistake> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes, at most {BYTES_MAX} are read", text.len());
        return Err(TOP.mistake(message, None));
    }
    if let Some(at) = text.find('\0') {
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = Place { line, column, span: at..at + 1 };
        return Err(place.mistake("the file holds a NUL byte, expected text", None));
    }
    Ok(())
}

fn options() -> serde_saphyr::Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = 48;
    budget.max_nodes = 50_000;
    budget.max_events = 200_000;
    budget.max_aliases = 500;
    budget.max_anchors = 500;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.strict_booleans = true;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = 50_000;
    options.alias_limits.max_replay_stack_depth = 16;
    options
}

fn malformed(error: &serde_saphyr::Error) -> Mistake {
    let place = error.location().map(|at| Place::of(&at)).unwrap_or(TOP);
    place.mistake(format!("read the file as YAML: {}", first_line(&error.without_snippet().to_string())), None)
}

/// The parser's words without the place it appends; ours is put beside it.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.rfind(" at line ").map_or(line, |at| &line[..at]);
    line.trim_end_matches([':', ' ']).to_owned()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Node { place: Place::of(&spanned.referenced), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Kind, E> {
        Err(E::custom(format!("the number {value} is too large")))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Kind, E> {
        Err(E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        serde_json::Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let place = Place::of(&key.referenced);
            let node = map.next_value::<Node>()?;
            entries.push((Key { name: key.value, place }, node));
        }
        Ok(Kind::Map(entries))
    }
}
