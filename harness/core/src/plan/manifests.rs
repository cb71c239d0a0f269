//! Looks at manifests before they are applied: each document is YAML and says what it is.

use crate::mistakes::{Mistake, Mistakes};
use crate::plan::placeholders;
use crate::scenario::tree::{self, Kind, Node};

/// Checks every document of a manifest.
///
/// # Errors
/// Every mistake, with its place.
pub(super) fn check(name: &str, text: &str) -> Result<(), Mistakes> {
    let refuse = |list| Err(Mistakes::new(name, text, list));
    let documents = match tree::read_all(&masked(text)) {
        Ok(documents) => documents,
        Err(mistake) => return refuse(vec![mistake]),
    };
    let mut mistakes = Vec::new();
    if documents.iter().all(Node::is_null) {
        mistakes.push(tree::Place { line: 1, column: 1, span: 0..0 }.mistake("the manifest holds no object", None));
    }
    for document in documents.iter().filter(|document| !document.is_null()) {
        object(document, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(()) } else { refuse(mistakes) }
}

/// Kinds of the objects in a manifest.
pub(super) fn kinds(text: &str) -> Vec<String> {
    let documents = tree::read_all(&masked(text)).unwrap_or_default();
    documents.iter().filter_map(|document| document.get("kind")?.text().map(str::to_owned)).collect()
}

fn object(document: &Node, mistakes: &mut Vec<Mistake>) {
    if !matches!(document.kind, Kind::Map(_)) {
        mistakes.push(document.place.mistake(format!("a document of the manifest is {}, expected an object", document.describe()), None));
        return;
    }
    let place = document.entries().first().map_or(&document.place, |(key, _)| &key.place);
    for key in ["apiVersion", "kind"] {
        match document.get(key) {
            None => mistakes.push(place.mistake(format!("the object has no `{key}`"), None)),
            Some(node) if node.text().is_none() => {
                mistakes.push(node.place.mistake(format!("`{key}` is {}, expected a text", node.describe()), None));
            }
            Some(_) => {}
        }
    }
    let name = document.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    if name.is_none_or(str::is_empty) {
        mistakes.push(place.mistake("the object has no `metadata.name`", None));
    }
}

/// The text with placeholders replaced by letters, byte for byte, so that they are plain texts to YAML and places stay true.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = text.to_owned();
    for (range, _) in placeholders::find(text).unwrap_or_default() {
        let letters = "x".repeat(range.len());
        masked.replace_range(range, &letters);
    }
    masked
}
