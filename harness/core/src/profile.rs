//! Profiles: documented flag sets as data (`scenarios/profiles/<name>.yaml`), and what is known of each flag.

mod in_place;
pub(crate) mod known;
mod lint;

pub(crate) use known::known;

pub use in_place::{InPlace, fixed, in_place};
pub use lint::{Action, Before, Finding, FlagSet, Object, Place, Severity, Topology, foreseen, lint, lint_flags, tls_route_versions};

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::docs::values_of_words;
use crate::mistakes::{Mistake, Mistakes};
use crate::scenario::model::GatewayApi;
use crate::scenario::{shape, tree};
use crate::values::flatten;
use crate::version::Version;

/// Reads a profile. `source_name` is what the text is called in messages.
///
/// # Errors
/// Every mistake of the file at once, each with its place.
pub fn parse(source_name: &str, text: &str) -> Result<Profile, Mistakes> {
    let refuse = |list| Mistakes::new(source_name, text, list);
    let root = tree::read(text).map_err(|mistake| refuse(vec![mistake]))?;
    let (_, mistakes) = shape::Walk::run(schema_value(), &root, Plain);
    if !mistakes.is_empty() {
        return Err(refuse(mistakes));
    }
    serde_json::from_value(root.to_value()).map_err(|error| Mistakes::whole(source_name, format!("read the profile: {error}"), None))
}

/// The JSON Schema of profiles, as text that ends with a line break; `scenarios/profiles/schema.json` is this.
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(schema_value()).expect("a schema is made of plain values");
    text.push('\n');
    text
}

fn schema_value() -> &'static serde_json::Value {
    static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
    SCHEMA.get_or_init(|| schemars::schema_for!(Profile).to_value())
}

/// What texts of a profile mean.
struct Plain;

impl shape::Meaning for Plain {
    fn text(&mut self, mark: &str, text: &str, place: &tree::Place, mistakes: &mut Vec<Mistake>) {
        let problem = match mark {
            "set" => crate::values::parse_set(text).err().map(|bad| bad.to_string()),
            "version" => crate::version::Version::parse(text).err().map(|bad| bad.to_string()),
            _ => None,
        };
        mistakes.extend(problem.map(|message| place.mistake(message, None)));
    }

    fn enter(&mut self, name: &str, node: &tree::Node, mistakes: &mut Vec<Mistake>) {
        if let ("Profile", Some(format)) = (name, node.get("format"))
            && let Some(version) = format.whole().filter(|version| *version != u64::from(FORMAT))
        {
            mistakes.push(format.place.mistake(format!("`format` is {version}, this program reads {FORMAT}"), None));
        }
    }

    fn leave(&mut self, _name: &str) {}
}

/// Version of the format this program reads.
pub const FORMAT: u32 = 1;

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
    /// The profile that is installed before, if this one is an upgrade of a cluster that already runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrades: Option<String>,
    /// Cilium version it installs, for example `1.17.1`.
    #[schemars(extend("x-plumb" = "version"))]
    pub cilium: String,
    /// Gateway API definitions that go with it.
    #[serde(default)]
    pub gateway_api: Option<GatewayApi>,
    /// The flags as the document writes them, one `key=value` a line as given to `--set`.
    #[schemars(extend("x-plumb" = "set"))]
    pub as_written: Vec<String>,
    /// The flags as they are meant: what is installed. Dotted keys.
    pub as_meant: BTreeMap<String, serde_json::Value>,
    /// Why the two differ, one sentence each.
    #[serde(default)]
    pub differences: Vec<String>,
}

/// Which of the two flag sets of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The flags as the document writes them.
    AsWritten,
    /// The flags that are installed.
    AsMeant,
}

impl Profile {
    /// One of its flag sets, for [`lint_flags`].
    pub fn flags(&self, side: Side) -> FlagSet {
        let word = match side {
            Side::AsWritten => "asWritten",
            Side::AsMeant => "asMeant",
        };
        FlagSet {
            name: format!("scenarios/profiles/{}.yaml: {word}", self.name),
            cilium: Version::parse(&self.cilium).ok(),
            action: if self.upgrades.is_some() { Action::Upgrade } else { Action::Install },
            words: if side == Side::AsWritten { self.as_written.clone() } else { Vec::new() },
            values: if side == Side::AsWritten { values_of_words(&self.as_written) } else { flatten(&self.as_meant) },
            // What is meant is given whole, so that nothing rests on what was there before.
            before: if side == Side::AsMeant { Before::Reset } else { Before::Unsaid },
            gateway_api: self.gateway_api.clone(),
        }
    }
}
