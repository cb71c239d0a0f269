//! Profiles: documented flag sets as data (`scenarios/profiles/<name>.yaml`), and what is known of each flag.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::model::GatewayApi;

/// A documented flag set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Format version: 1.
    pub format: u32,
    /// Name, as in `--profile`.
    pub name: String,
    /// One line.
    pub title: String,
    /// Where it is documented.
    pub source: String,
    /// Cilium version it installs, for example `1.17.1`.
    pub cilium: String,
    /// Gateway API definitions that go with it.
    #[serde(default)]
    pub gateway_api: Option<GatewayApi>,
    /// The flags as the document writes them, one `key=value` a line as given to `--set`.
    pub as_written: Vec<String>,
    /// The flags as they are meant: what is installed. Dotted keys.
    pub as_meant: BTreeMap<String, serde_json::Value>,
    /// Why the two differ, one sentence each.
    #[serde(default)]
    pub differences: Vec<String>,
}
