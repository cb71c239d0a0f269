//! A document about an installation: the commands in it, what a shell would really run, and what that installs.
//!
//! Pure: the text comes in, [`Document`] goes out. Commands and objects are only read, never run; values files that a document names are
//! not looked at, and variables stay as they are written.

pub mod shell;

mod commands;
mod compare;
mod definitions;
mod install;
mod markdown;
mod meant;
mod objects;
mod reader;

pub use compare::Difference;
pub(crate) use install::values_of_words;

use serde::Serialize;

use crate::profile::{Finding, Profile};
use crate::values::Values;
use crate::version::Version;

/// Version of the JSON form of [`Document`].
pub const FORMAT: u32 = 1;

/// What a document says and what comes of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// What the document is called.
    pub file: String,
    /// The commands a shell runs when every block is pasted, in order.
    pub commands: Vec<Ran>,
    /// The installations and upgrades of Cilium that are meant.
    pub installations: Vec<Installation>,
    /// What is wrong, by severity, then by line.
    pub findings: Vec<Finding>,
}

/// A command a shell runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ran {
    /// Line it begins in.
    pub line: usize,
    /// Its words, its name first; variables and substitutions as they are written.
    pub argv: Vec<String>,
    /// Whether there can be no such program: its name is a flag.
    pub not_found: bool,
}

/// An installation or upgrade of Cilium.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Line it begins in.
    pub line: usize,
    /// The command as it is meant, in one line.
    pub command: String,
    /// Cilium version, if it says one.
    pub version: Option<String>,
    /// The values it means.
    pub means: Values,
    /// The values a shell passes.
    pub passes: Values,
    /// The profile it is nearest to, of the same version and kind.
    pub profile: Option<String>,
    /// What differs from that profile as written.
    pub differs: Vec<Difference>,
}

/// Reads a document. `profiles` are compared with, `cli` is the version of the `cilium` CLI it is read for, if that is known.
pub fn read(file: &str, text: &str, profiles: &[Profile], cli: Option<Version>) -> Document {
    reader::read(file, text, profiles, cli)
}

#[cfg(test)]
mod tests;
