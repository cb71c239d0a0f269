//! Real Cilium in a real cluster: installed, upgraded and taken away by its own `cilium` CLI, watched until it is ready, read back.
//!
//! The argv is built here and never pasted from a document; the values go in one file, so that what a list or a text means does not
//! hang on a shell. This module must not decide which version or values a trial needs (a plan says that) nor judge what it reads.

mod chart;
mod command;
pub mod definitions;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_cluster;
mod installation;
mod live;
mod pods;
mod ready;
#[cfg(test)]
#[path = "real_tests.rs"]
mod real;
mod state;
mod values;
mod verbs;

use std::path::{Path, PathBuf};

use plumb_core::values::Values;
use serde::Serialize;

pub use chart::chart_version;
pub use installation::{Installation, InstallationError, read_config};
pub use live::{Change, Difference, compare, live_values};
pub use ready::{Expect, NotReady, PodTrouble, ReadyFacts, ready};
pub use values::rendered;
pub use verbs::{install, install_argv, uninstall, uninstall_argv, upgrade, upgrade_argv};

/// Namespace Cilium is installed in.
pub const NAMESPACE: &str = "kube-system";

/// What `--chart-directory` or `--version` gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chart {
    /// Folder of an unpacked chart; nothing is downloaded.
    Directory(PathBuf),
    /// A release: the CLI has its chart within, or downloads it from `helm.cilium.io`.
    Version(String),
}

/// Where to install, and with what program.
#[derive(Debug, Clone)]
pub struct Target {
    /// The `cilium` CLI.
    pub program: PathBuf,
    /// Kubeconfig; the CLI gets it as `KUBECONFIG`, because older releases have no option for it.
    pub kubeconfig: PathBuf,
    /// Context in it. The CLI knows kind by a name that begins with `kind-`.
    pub context: String,
    /// Private scratch: the values file is written there.
    pub folder: PathBuf,
}

impl Target {
    /// The values file of this target.
    fn values_file(&self) -> PathBuf {
        self.folder.join("values.yaml")
    }
}

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// From which chart.
    pub chart: Chart,
    /// Version that must be: `1.17.14`.
    pub version: String,
    /// Helm values, dotted keys.
    pub values: Values,
    /// How the chart names images.
    pub digests: Digests,
}

/// How the chart names images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digests {
    /// `repository:tag@sha256:...`, as published.
    #[default]
    Keep,
    /// `repository:tag`, pulled only where it is not there: images that came from archives have no digest the kubelet would find, and it
    /// would try to pull them.
    Off,
}

/// A command of the CLI that was run and ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ran {
    /// Ready to paste into a shell.
    pub argv_line: String,
    /// What it wrote.
    pub stdout: String,
    /// What it wrote beside.
    pub stderr: String,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// The CLI did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CiliumError {
    /// The values file cannot be written.
    #[error("write the Helm values {}: {source}", path.display())]
    Values {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The chart folder cannot be used.
    #[error("use the chart {}: {message}", path.display())]
    Chart {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it, and the cure.
        message: String,
    },
    /// There is no chart and none may be fetched.
    #[error("find the chart of Cilium {version}: nothing may leave this machine\nhint: give the folder of the unpacked chart with --chart")]
    NoChart {
        /// Which version.
        version: String,
    },
    /// The program did not start.
    #[error("start `{argv_line}`: {source}{}", start_hint(source))]
    Start {
        /// The command, ready to paste.
        argv_line: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended badly.
    #[error("`{argv_line}` ended with {status} after {took_ms} ms: {end}")]
    Failed {
        /// The command, ready to paste.
        argv_line: String,
        /// `exit status: 1`, `signal: 9`.
        status: String,
        /// The end of what it said.
        end: String,
        /// How long it took, milliseconds.
        took_ms: u64,
    },
    /// It did not end; it was killed with everything it had started.
    #[error("`{argv_line}` had not ended after {limit_ms} ms and was killed; the last it said: {end}")]
    Late {
        /// The command, ready to paste.
        argv_line: String,
        /// The limit, milliseconds.
        limit_ms: u64,
        /// The end of what it had said.
        end: String,
    },
}

fn start_hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::NotFound => "\nhint: give the cilium CLI with --cilium-cli",
        std::io::ErrorKind::PermissionDenied => "\nhint: the file must be executable",
        _ => "",
    }
}

/// A path as an argument; paths that are no UTF-8 lose what is not.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
