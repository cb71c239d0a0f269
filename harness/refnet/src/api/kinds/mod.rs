//! The kinds that are served: names, versions, scope, schema, columns. One kind has one storage, whatever its versions.

mod builtin;
mod cells;
mod cilium;
mod column;
mod custom;
mod gateway;

use std::sync::Arc;

use super::schema::Schema;
use crate::spec::Definition;

pub(crate) use column::Column;
pub(crate) use custom::{definition_of, established, from_definition};

/// A kind of object.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// Empty for core.
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Has a `/status` of its own.
    pub(crate) status: bool,
    /// Counts changes of what is wanted in `metadata.generation`.
    pub(crate) generation: bool,
    /// Comes from a CustomResourceDefinition.
    pub(crate) custom: bool,
    /// Fields besides name and namespace that lists can be selected by.
    pub(crate) selectable: &'static [&'static str],
    /// Preferred one first.
    pub(crate) versions: Vec<Version>,
}

/// One version of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) schema: SchemaSource,
    pub(crate) columns: Vec<Column>,
}

/// Where a schema comes from: a static one is compiled when it is first needed.
#[derive(Clone)]
pub(crate) enum SchemaSource {
    Static(fn() -> &'static Schema),
    Compiled(Arc<Schema>),
}

impl std::fmt::Debug for SchemaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SchemaSource::Static(_) => "Static",
            SchemaSource::Compiled(_) => "Compiled",
        })
    }
}

impl Version {
    pub(crate) fn schema(&self) -> &Schema {
        match &self.schema {
            SchemaSource::Static(get) => get(),
            SchemaSource::Compiled(schema) => schema,
        }
    }
}

impl Kind {
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == name)
    }

    /// The version objects are kept in.
    pub(crate) fn storage(&self) -> &Version {
        &self.versions[0]
    }

    /// `v1`, `apps/v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    pub(crate) fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// `gateways.gateway.networking.k8s.io`: the name of its definition.
    pub(crate) fn definition_name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }
}

/// Schema of a Rust type, compiled once for all servers of the process.
macro_rules! schema {
    ($make:expr) => {{
        fn get() -> &'static crate::api::schema::Schema {
            static SCHEMA: std::sync::LazyLock<crate::api::schema::Schema> = std::sync::LazyLock::new(|| $make);
            &SCHEMA
        }
        crate::api::kinds::SchemaSource::Static(get)
    }};
}
use schema;

/// Every kind that is there from the start. Gateway API kinds only when asked for.
pub(crate) fn served(crds: &[String]) -> Result<Vec<Kind>, super::ConfigError> {
    let mut kinds = builtin::kinds();
    kinds.extend(cilium::kinds());
    for text in crds {
        let asked = Definition::read(text);
        let unknown = || super::ConfigError::UnknownDefinition(text.clone());
        let mut kind = gateway::kind(asked.plural).ok_or_else(unknown)?;
        if !asked.versions.is_empty() {
            let known = |name: &&str| kind.version(name).cloned().ok_or_else(unknown);
            kind.versions = asked.versions.iter().map(known).collect::<Result<_, _>>()?;
        }
        if !kinds.iter().any(|k| k.group == kind.group && k.plural == kind.plural) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}
