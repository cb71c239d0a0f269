//! The programs a real lab is made with: `kind` and the `cilium` CLI. What the user gives is used as it is; else what `PATH` has, if its
//! version is known to go with the rest; else what `parts.lock` names is fetched once and kept.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use plumb_core::version::Version;

use super::cache::{Cache, CacheError};
use super::lock::{Lock, Program};
use super::{Given, Reach};

/// A program that is asked for its version must answer in this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A program is not there.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// What was given is no program.
    #[error("use {name} at {}: {reason}\nhint: {option} takes the program itself", path.display())]
    Unusable {
        /// Which.
        name: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// The option that gives it.
        option: &'static str,
    },
    /// It would have to be fetched, and nothing may leave the machine.
    #[error("find {name} {version}: {seen}, none was fetched before, and nothing may leave this machine\nhint: give it with {option}")]
    Offline {
        /// Which.
        name: &'static str,
        /// The version that would be fetched.
        version: String,
        /// What was found in `PATH`.
        seen: String,
        /// The option that gives it.
        option: &'static str,
    },
    /// It could not be fetched.
    #[error("fetch {name} {version} ({seen}): {source}\nhint: give it with {option}")]
    Fetch {
        /// Which.
        name: &'static str,
        /// The version.
        version: String,
        /// What was found in `PATH`.
        seen: String,
        /// The option that gives it.
        option: &'static str,
        /// Why.
        source: Box<CacheError>,
    },
    /// Nothing is known that would do.
    #[error("find {name}: {reason}\nhint: give it with {option}")]
    Unknown {
        /// Which.
        name: &'static str,
        /// Why nothing is known.
        reason: String,
        /// The option that gives it.
        option: &'static str,
    },
}

/// The `kind` program.
///
/// # Errors
/// See [`PartError`].
pub async fn kind(given: &Given) -> Result<PathBuf, PartError> {
    let lock = Lock::own();
    let version = lock.kind().unwrap_or_default();
    let tool = Tool { name: "kind", option: "--kind", version, good: "a release whose node images are known".into() };
    let is_good = |found| lock.knows_kind(found);
    tool.find(given, given.kind.as_deref(), &search_path(), Cache::own, is_good).await
}

/// The `cilium` CLI that goes with a version of Cilium.
///
/// # Errors
/// See [`PartError`].
pub async fn cilium_cli(given: &Given, cilium_version: &str) -> Result<PathBuf, PartError> {
    let (name, option) = ("cilium", "--cilium-cli");
    if let Some(path) = &given.cilium_cli {
        return usable(name, option, path);
    }
    let unknown = || PartError::Unknown { name, reason: format!("no CLI is known to go with Cilium {cilium_version}"), option };
    let cilium = Version::parse(cilium_version).map_err(|_| unknown())?;
    let (version, as_good) = Lock::own().cli(cilium).ok_or_else(unknown)?;
    let tool = Tool { name, option, version, good: format!("one that goes with Cilium {cilium_version}") };
    tool.find(given, None, &search_path(), Cache::own, |found| as_good.holds(found)).await
}

/// The node image for a `kind` program with the newest Kubernetes that all these versions of Cilium are tested with; `None` where none is
/// known, and then kind's own choice is as good as any.
pub async fn node_image(kind: &Path, cilium_versions: &[&str]) -> Option<&'static str> {
    let kind = version_of("kind", kind).await.ok()?;
    let cilium: Option<Vec<Version>> = cilium_versions.iter().map(|text| Version::parse(text).ok()).collect();
    Lock::own().node_image(kind, &cilium?)
}

/// A program to look for.
struct Tool<'a> {
    name: &'static str,
    option: &'static str,
    /// The version that is fetched.
    version: &'a str,
    /// Which version in `PATH` would do, in words.
    good: String,
}

impl Tool<'_> {
    async fn find(
        &self,
        given: &Given,
        path: Option<&Path>,
        search: &[PathBuf],
        cache: impl FnOnce() -> Result<Cache, CacheError>,
        is_good: impl Fn(Version) -> bool,
    ) -> Result<PathBuf, PartError> {
        let Tool { name, option, version, .. } = *self;
        if let Some(path) = path {
            return usable(name, option, path);
        }
        let seen = match self.in_path(search, is_good).await {
            Ok(path) => return Ok(path),
            Err(seen) => seen,
        };
        let platform = platform();
        let reason = || format!("{seen}, and no {name} {version} is known for {platform}");
        let program = Lock::own().program(name, version, platform);
        let program = program.ok_or_else(|| PartError::Unknown { name, reason: reason(), option })?;
        self.fetch(given.reach, program, seen, cache).await
    }

    async fn fetch(
        &self,
        reach: Reach,
        program: &Program,
        seen: String,
        cache: impl FnOnce() -> Result<Cache, CacheError>,
    ) -> Result<PathBuf, PartError> {
        let Tool { name, option, version, .. } = *self;
        let failed = |source: CacheError, seen: &str| PartError::Fetch {
            name,
            version: version.to_owned(),
            seen: seen.to_owned(),
            option,
            source: Box::new(source),
        };
        let cache = cache().map_err(|error| failed(error, &seen))?;
        match reach {
            Reach::Offline => {
                let (kept, program) = (cache, program.clone());
                let kept = tokio::task::spawn_blocking(move || kept.kept(&program)).await.unwrap_or_default();
                kept.ok_or_else(|| PartError::Offline { name, version: version.to_owned(), seen, option })
            }
            Reach::Online => cache.fetched(program).await.map_err(|error| failed(error, &seen)),
        }
    }

    /// The program in `PATH` if it will do; otherwise what there is, in words.
    async fn in_path(&self, search: &[PathBuf], is_good: impl Fn(Version) -> bool) -> Result<PathBuf, String> {
        let Some(path) = search.iter().map(|folder| folder.join(self.name)).find(|path| executable(path).is_ok()) else {
            return Err("there is none in PATH".into());
        };
        match version_of(self.name, &path).await {
            Ok(version) if is_good(version) => Ok(path),
            Ok(Version(major, minor, patch)) => {
                Err(format!("{} is of version {major}.{minor}.{patch}, expected {}", path.display(), self.good))
            }
            Err(reason) => Err(format!("{} does not say its version: {reason}", path.display())),
        }
    }
}

/// Folders in which programs are looked for.
fn search_path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// This machine as releases name it.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => other,
    }
}

/// The version a program says it is of.
async fn version_of(name: &str, path: &Path) -> Result<Version, String> {
    let arguments: &[&str] = if name == "cilium" { &["version", "--client"] } else { &["version"] };
    let mut command = tokio::process::Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let answered = tokio::time::timeout(ANSWER_LIMIT, command.output()).await;
    let output = answered.map_err(|_| "it did not answer".to_owned())?.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    // `kind v0.29.0 go1.24.2 linux/amd64`; `cilium-cli: v0.18.3 compiled with ...`, because the agent has a `cilium` of its own.
    let marker = if name == "cilium" { "cilium-cli:" } else { "kind" };
    let line = said.lines().find_map(|line| line.trim().strip_prefix(marker));
    let word = line.and_then(|rest| rest.split_whitespace().next()).ok_or_else(|| format!("it is no {name}"))?;
    Version::parse(word).map_err(|bad| bad.to_string())
}

fn usable(name: &'static str, option: &'static str, path: &Path) -> Result<PathBuf, PartError> {
    match executable(path) {
        Ok(()) => Ok(path.to_owned()),
        Err(reason) => Err(PartError::Unusable { name, path: path.to_owned(), reason, option }),
    }
}

fn executable(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    match meta {
        meta if !meta.is_file() => Err("it is no file".into()),
        meta if meta.permissions().mode() & 0o111 == 0 => Err("it is not executable".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
