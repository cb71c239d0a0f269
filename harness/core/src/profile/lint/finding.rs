//! What a rule found.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It says something that has no effect, or that a reader should know.
    Note,
    /// It may not do what it is meant to.
    Warning,
    /// It breaks the installation or a promise.
    Error,
}

impl Severity {
    /// In one lowercase word.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Values of a flag set.
    #[serde(rename_all = "camelCase")]
    Values {
        /// What the flag set is called: `scenarios/profiles/l2-1.16.2.yaml: asWritten`.
        flags: String,
        /// Their dotted keys.
        keys: Vec<String>,
    },
    /// A field of an object.
    #[serde(rename_all = "camelCase")]
    Object {
        /// File and line of the object.
        file: String,
        /// `Kind/name`.
        object: String,
        /// The field's path: `spec.listeners[0].port`.
        field: String,
    },
    /// A line of a document.
    #[serde(rename_all = "camelCase")]
    Line {
        /// The document.
        file: String,
        /// Its line, from 1.
        line: usize,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Values { flags, keys } if keys.is_empty() => f.write_str(flags),
            Place::Values { flags, keys } => write!(f, "{flags}: {}", keys.join(", ")),
            Place::Object { file, object, field } => write!(f, "{file}: {object}: {field}"),
            Place::Line { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

/// Something that should not be said, or should be said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable id of the rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What really happens, in one sentence.
    pub happens: String,
    /// What would be right.
    pub cure: String,
    /// What it rests on: a file of the chart or of Cilium at a version, a documentation page, an issue.
    pub source: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {}: {}", self.severity.word(), self.rule, self.place)?;
        writeln!(f, "    {}", self.happens)?;
        writeln!(f, "    cure    {}", self.cure)?;
        write!(f, "    source  {}", self.source)
    }
}
