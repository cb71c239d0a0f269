//! Objects that are applied after the installation, as far as a flag set has to do with them.

use serde_json::Value;

use super::flags::Draft;
use super::{Place, Severity};
use crate::mistakes::Mistakes;
use crate::plan::manifests::masked;
use crate::plan::placeholders::{Placeholder, substitute};
use crate::scenario::tree::{self, Node};

/// An object of a manifest or of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// File and line it begins in: `manifests/gateway.yaml:1`.
    pub place: String,
    value: Value,
}

impl Object {
    /// The objects of YAML text, with or without a scenario's placeholders; documents that are no objects are left out. `first_line` is
    /// the line the text begins in.
    ///
    /// # Errors
    /// Text that is no YAML.
    pub fn read(file: &str, first_line: usize, text: &str) -> Result<Vec<Object>, Mistakes> {
        // Which interfaces a policy is for is looked at here: where nodes are made, a network's interface has its name.
        let known = |placeholder: &Placeholder| match placeholder {
            Placeholder::Interface(network) => network.clone(),
            other => other.to_string(),
        };
        let text = &substitute(text, |placeholder| Some(known(placeholder))).unwrap_or_else(|_| text.to_owned());
        let documents = tree::read_all(&masked(text)).map_err(|mistake| Mistakes::new(file, text, vec![mistake]))?;
        let object = |node: &Node| {
            let line = node.entries().first()?.0.place.line;
            Some(Object { place: format!("{file}:{}", first_line + line - 1), value: node.to_value() })
        };
        Ok(documents.iter().filter_map(object).filter(|object| !object.kind().is_empty()).collect())
    }

    /// `kind`, or nothing.
    pub fn kind(&self) -> &str {
        self.at("kind")
    }

    /// `apiVersion`, or nothing.
    pub fn api_version(&self) -> &str {
        self.at("apiVersion")
    }

    /// `Kind/name`.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.kind(), self.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default())
    }

    /// The namespace it is put into.
    pub(super) fn namespace(&self) -> &str {
        self.value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default")
    }

    /// What stands at a JSON pointer.
    pub(super) fn get(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer)
    }

    /// The items of the list at a JSON pointer.
    pub(super) fn list(&self, pointer: &str) -> &[Value] {
        self.value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A finding about a field.
    pub(super) fn about(&self, rule: &'static str, severity: Severity, field: impl Into<String>) -> Draft {
        Draft { rule, severity, place: Place::Object { file: self.place.clone(), object: self.label(), field: field.into() } }
    }

    fn at(&self, key: &str) -> &str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}
