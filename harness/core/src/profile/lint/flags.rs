//! What the rules look at: a flag set on a topology.

use serde_json::Value;

use super::{Finding, Object, Place, Severity};
use crate::docs::shell;
use crate::scenario::model::{GatewayApi, Lab};
use crate::values::Values;
use crate::version::Version;

/// What is done with a flag set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// `cilium install`.
    #[default]
    Install,
    /// `cilium upgrade`.
    Upgrade,
}

/// A flag set: of a profile, of a values file, of a command in a document.
#[derive(Debug, Clone, Default)]
pub struct FlagSet {
    /// What it is called in places: `scenarios/profiles/l2-1.16.2.yaml: asWritten`.
    pub name: String,
    /// Chart version; absent = it says none, and rules that differ from version to version keep silent.
    pub cilium: Option<Version>,
    /// What is done with it.
    pub action: Action,
    /// What a shell reads after each `--set`, as it stands; empty where no shell reads it.
    pub words: Vec<String>,
    /// What comes of them, by dotted key.
    pub values: Values,
    /// What an upgrade does with the values of the installation before it.
    pub before: Before,
    /// Gateway API definitions that go with it, if that is known.
    pub gateway_api: Option<GatewayApi>,
}

/// What an upgrade does with the values of the installation before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Before {
    /// It does not say.
    #[default]
    Unsaid,
    /// `--reuse-values` or `--reset-then-reuse-values`.
    Keep,
    /// `--reset-values`.
    Reset,
}

/// What a flag set is installed on, and with.
#[derive(Debug, Clone, Default)]
pub struct Topology<'a> {
    /// Nodes and networks.
    pub lab: Lab,
    /// Objects that are applied after the installation.
    pub objects: &'a [Object],
    /// Version of the `cilium` CLI; absent = not known.
    pub cli: Option<Version>,
}

/// What a rule looks at.
pub(super) struct Subject<'a> {
    pub(super) flags: &'a FlagSet,
    pub(super) topology: &'a Topology<'a>,
    /// Each value as it is given, in order; several may have the same key.
    pub(super) given: Vec<Given>,
}

/// A value as it is given.
pub(super) struct Given {
    pub(super) key: String,
    /// Its text, as Helm gets it.
    pub(super) value: String,
    /// What a shell makes of it, if one reads it.
    pub(super) shell: Option<ReadByShell>,
}

/// What a shell makes of the word after `--set`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadByShell {
    /// How many words it becomes; the first alone follows `--set`.
    pub(super) words: usize,
    /// Whether files may take its place.
    pub(super) pattern: bool,
}

impl Given {
    /// What a shell passes of a word as it is written.
    fn of_word(word: &str) -> Option<Given> {
        let script = shell::script(&format!("--set {word}"), &[1]);
        let read = script.commands.first()?.words.get(1)?;
        let (key, value) = read.values.first()?.split_once('=')?;
        let shell = Some(ReadByShell { words: read.values.len(), pattern: read.pattern });
        Some(Given { key: key.trim().to_owned(), value: value.trim().to_owned(), shell })
    }
}

impl<'a> Subject<'a> {
    pub(super) fn new(flags: &'a FlagSet, topology: &'a Topology<'a>) -> Subject<'a> {
        let given = if flags.words.is_empty() {
            flags.values.iter().map(|(key, value)| Given { key: key.clone(), value: text(value), shell: None }).collect()
        } else {
            flags.words.iter().filter_map(|word| Given::of_word(word)).collect()
        };
        Subject { flags, topology, given }
    }

    /// Whether a value is given with this text.
    pub(super) fn is(&self, key: &str, wanted: &str) -> bool {
        self.flags.values.get(key).is_some_and(|value| text(value) == wanted)
    }

    /// Whether a value may be this: it is given, or it is the chart's default, which is `false` for every switch here, or an upgrade keeps
    /// what was given before.
    pub(super) fn may_be(&self, key: &str, wanted: &str) -> bool {
        let kept = self.flags.action == Action::Upgrade && self.flags.before != Before::Reset;
        self.flags.values.get(key).map_or(kept || wanted == "false", |value| text(value) == wanted)
    }

    pub(super) fn since(&self, version: Version) -> bool {
        self.flags.cilium.is_some_and(|cilium| cilium >= version)
    }

    pub(super) fn nodes(&self) -> u32 {
        self.topology.lab.control_planes + self.topology.lab.workers
    }

    /// Texts of a list, or of a text with commas or blanks between.
    pub(super) fn names(&self, key: &str) -> Vec<String> {
        match self.flags.values.get(key) {
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(Value::String(text)) => text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn objects(&self, kind: &'static str) -> impl Iterator<Item = &'a Object> {
        self.topology.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// A finding about values.
    pub(super) fn about<const N: usize>(&self, rule: &'static str, severity: Severity, keys: [&str; N]) -> Draft {
        let place = Place::Values { flags: self.flags.name.clone(), keys: keys.map(str::to_owned).to_vec() };
        Draft { rule, severity, place }
    }
}

/// A finding that still lacks its words.
pub(super) struct Draft {
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    pub(super) place: Place,
}

impl Draft {
    pub(super) fn says(self, happens: impl Into<String>, cure: impl Into<String>, source: impl Into<String>) -> Finding {
        let Draft { rule, severity, place } = self;
        Finding { rule, severity, place, happens: happens.into(), cure: cure.into(), source: source.into() }
    }
}

/// A value as `--set` would have it.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
