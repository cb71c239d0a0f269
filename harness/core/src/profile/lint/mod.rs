//! The flag lint: what a flag set says, does not say, or says in vain, for a chart version and a lab. Pure.
//!
//! Each finding names the keys it is about and the source it rests on (a file of the chart or of Cilium at a version, or a
//! documentation page). A rule is one function in the file of its family; a new one is added to [`RULES`].

mod announcements;
mod encryption;
mod gateways;
mod lists;
mod nodes;
mod values;

use serde_json::Value;

use super::Profile;
use crate::scenario::model::Lab;
use crate::values::{Values, flatten, parse_set};
use crate::version::Version;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It says something that has no effect, or less than it seems to.
    Note,
    /// It may not do what it is meant to in this lab.
    Warning,
    /// It breaks the installation or a promise.
    Error,
}

/// Which of the two flag sets of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The flags as the document writes them.
    AsWritten,
    /// The flags that are installed.
    AsMeant,
}

/// Something a flag set should not say, or should say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which flag set.
    pub side: Side,
    /// The profile it is about.
    pub profile: String,
    /// The keys it is about.
    pub keys: Vec<String>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// What it rests on.
    pub source: &'static str,
}

impl Finding {
    /// One line, with the file and the keys first.
    pub fn line(&self) -> String {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let side = match self.side {
            Side::AsWritten => "asWritten",
            Side::AsMeant => "asMeant",
        };
        let hint = self.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let (profile, keys) = (&self.profile, self.keys.join(", "));
        format!("{severity}: scenarios/profiles/{profile}.yaml: {side}: {keys}: {}{hint} [{}]", self.message, self.source)
    }
}

/// What a rule looks at.
struct Flags<'a> {
    side: Side,
    cilium: Version,
    lab: &'a Lab,
    /// `key`, text of the value as given, in order; several may have the same key.
    given: Vec<(String, String)>,
    /// What comes of them.
    values: Values,
}

/// What a rule found, without what is the same for all of a flag set.
struct Found {
    severity: Severity,
    keys: Vec<String>,
    message: String,
    hint: Option<String>,
    source: &'static str,
}

type Rule = fn(&Flags<'_>, &mut Vec<Found>);

const RULES: &[Rule] = &[
    lists::unquoted_braces,
    lists::list_element,
    values::no_effect,
    values::removed,
    nodes::operator_replicas,
    gateways::host_network,
    values::kube_proxy_replacement,
    encryption::node_encryption,
    announcements::lease_timings,
    nodes::devices,
    lists::envoy_capabilities,
];

/// Everything that is known to be wrong with a profile in a lab, as written first, errors before notes.
pub fn lint(profile: &Profile, lab: &Lab) -> Vec<Finding> {
    let Ok(cilium) = Version::parse(&profile.cilium) else { return Vec::new() };
    let written = profile.as_written.iter().filter_map(|line| line.split_once('='));
    let written: Vec<(String, String)> = written.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
    let parsed = profile.as_written.iter().filter_map(|line| parse_set(line).ok());
    let as_written = Flags { side: Side::AsWritten, cilium, lab, values: parsed.collect(), given: written };
    let values = flatten(&profile.as_meant);
    let given = values.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    let as_meant = Flags { side: Side::AsMeant, cilium, lab, values, given };
    let mut findings = Vec::new();
    for flags in [as_written, as_meant] {
        let mut found = Vec::new();
        RULES.iter().for_each(|rule| rule(&flags, &mut found));
        found.sort_by_key(|found| std::cmp::Reverse(found.severity));
        findings.extend(found.into_iter().map(|found| Finding {
            severity: found.severity,
            side: flags.side,
            profile: profile.name.clone(),
            keys: found.keys,
            message: found.message,
            hint: found.hint,
            source: found.source,
        }));
    }
    findings
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Flags<'_> {
    fn is(&self, key: &str, wanted: &str) -> bool {
        self.values.get(key).is_some_and(|value| text(value) == wanted)
    }

    fn nodes(&self) -> u32 {
        self.lab.control_planes + self.lab.workers
    }

    fn names(&self, key: &str) -> Vec<String> {
        match self.values.get(key) {
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(Value::String(text)) => text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

fn keys<const N: usize>(keys: [&str; N]) -> Vec<String> {
    keys.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests;
