//! Scenarios: what a file says, as values.
//!
//! A scenario is `scenarios/<class>-<name>/scenario.yaml` with its manifests beside it. It never names a provider: the same
//! file runs on kind, on a cluster that already runs, and on the reference network. Reading order: [`model`] is the format,
//! [`parse`] reads it, [`schema`] describes it to editors. Inside, `tree` is the text with places, `shape` holds it against the
//! schema, `meaning` and `names` check what texts say and point at, `rules` what whole objects must keep.
//! This module must not touch files: text comes in, a scenario or every mistake in it goes out.

pub mod model;

mod meaning;
mod names;
mod rules;
pub(crate) mod shape;
mod steps;
pub(crate) mod tree;
mod world;

use std::sync::OnceLock;

pub use world::node_names;

use crate::mistakes::Mistakes;
use model::Scenario;

/// Reads a scenario. `source_name` is what the text is called in messages, usually its path.
///
/// # Errors
/// Every mistake of the file at once, each with its place. Text of any size and content gives an answer in bounded time.
pub fn parse(source_name: &str, text: &str) -> Result<Scenario, Mistakes> {
    let root = tree::read(text).map_err(|mistake| Mistakes::new(source_name, text, vec![mistake]))?;
    let world = world::World::of(&root);
    let (names, mut mistakes) = shape::Walk::run(schema_value(), &root, names::Names::new(&world));
    names.resolve(&mut mistakes);
    if !mistakes.is_empty() {
        return Err(Mistakes::new(source_name, text, mistakes));
    }
    serde_json::from_value(root.to_value()).map_err(|error| {
        let place = tree::Place { line: 1, column: 1, span: 0..0 };
        Mistakes::new(source_name, text, vec![place.mistake(format!("read the scenario: {error}"), None)])
    })
}

/// The JSON Schema (draft 2020-12) of scenario files, as text that ends with a line break; `scenarios/schema.json` is this.
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(schema_value()).expect("a schema is made of plain values");
    text.push('\n');
    text
}

fn schema_value() -> &'static serde_json::Value {
    static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
    SCHEMA.get_or_init(|| schemars::schema_for!(Scenario).to_value())
}

#[cfg(test)]
mod tests;
