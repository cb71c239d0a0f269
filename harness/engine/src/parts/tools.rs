//! The programs a real lab is made with: `kind` and the `cilium` CLI. What the user gives is used as it is; else what `PATH` has, if its
//! version is known to go with the rest; else what `parts.lock` names is fetched once and kept.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use plumb_core::version::{Range, Version};

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
    kind_tool().find(given.kind.as_deref(), given.reach, &search_path(), Cache::own).await
}

/// Whether [`kind`] has a way to go, without fetching anything.
///
/// # Errors
/// See [`PartError`].
pub async fn kind_is_findable(given: &Given) -> Result<(), PartError> {
    where_kind_is(given).await.map(drop)
}

/// Where [`kind`] is or would be, without fetching it.
///
/// # Errors
/// See [`PartError`].
pub async fn where_kind_is(given: &Given) -> Result<Whereabouts, PartError> {
    let found = kind_tool().look(given.kind.as_deref(), given.reach, &search_path(), Cache::own).await?;
    Ok(found.whereabouts("kind").await)
}

/// The `cilium` CLI that goes with a version of Cilium.
///
/// # Errors
/// See [`PartError`].
pub async fn cilium_cli(given: &Given, cilium_version: &str) -> Result<PathBuf, PartError> {
    if let Some(path) = &given.cilium_cli {
        return usable(CLI.0, CLI.1, path);
    }
    cli_tool(cilium_version)?.find(None, given.reach, &search_path(), Cache::own).await
}

/// Whether [`cilium_cli`] has a way to go for a version of Cilium, or for any, without fetching anything.
///
/// # Errors
/// See [`PartError`].
pub async fn cilium_cli_is_findable(given: &Given, cilium_version: Option<&str>) -> Result<(), PartError> {
    where_cilium_cli_is(given, cilium_version).await.map(drop)
}

/// Where [`cilium_cli`] is or would be for a version of Cilium, or for any, without fetching it.
///
/// # Errors
/// See [`PartError`].
pub async fn where_cilium_cli_is(given: &Given, cilium_version: Option<&str>) -> Result<Whereabouts, PartError> {
    if let Some(path) = &given.cilium_cli {
        return Ok(Found::Here(usable(CLI.0, CLI.1, path)?).whereabouts(CLI.0).await);
    }
    let tools = match cilium_version {
        Some(version) => vec![cli_tool(version)?],
        None => Lock::own().clis().map(|(version, as_good)| cli(version, as_good, "any Cilium")).collect(),
    };
    let mut last = Err(PartError::Unknown { name: CLI.0, reason: "no release of it is known".into(), option: CLI.1 });
    for tool in tools {
        last = tool.look(None, given.reach, &search_path(), Cache::own).await;
        if last.is_ok() {
            break;
        }
    }
    Ok(last?.whereabouts(CLI.0).await)
}

fn kind_tool() -> Tool<'static> {
    let lock = Lock::own();
    let good = "a release whose node images are known".to_owned();
    let is_good = Box::new(|found| lock.knows_kind(found));
    Tool { name: "kind", option: "--kind", version: lock.kind().unwrap_or_default(), good, is_good }
}

/// Name of the CLI, and the option that gives it.
const CLI: (&str, &str) = ("cilium", "--cilium-cli");

fn cli_tool(cilium_version: &str) -> Result<Tool<'static>, PartError> {
    let reason = || format!("no CLI is known to go with Cilium {cilium_version}");
    let unknown = || PartError::Unknown { name: CLI.0, reason: reason(), option: CLI.1 };
    let cilium = Version::parse(cilium_version).map_err(|_| unknown())?;
    let (version, as_good) = Lock::own().cli(cilium).ok_or_else(unknown)?;
    Ok(cli(version, as_good, &format!("Cilium {cilium_version}")))
}

fn cli(version: &'static str, as_good: &'static Range, whom: &str) -> Tool<'static> {
    let is_good = Box::new(|found| as_good.holds(found));
    Tool { name: CLI.0, option: CLI.1, version, good: format!("one that goes with {whom}"), is_good }
}

/// The node image for a `kind` program with the newest Kubernetes that all these versions of Cilium are tested with; `None` where none is
/// known, and then kind's own choice is as good as any.
pub async fn node_image(kind: &Path, cilium_versions: &[&str]) -> Option<&'static str> {
    known_node_image(version_of("kind", kind).await.ok()?, cilium_versions)
}

/// As [`node_image`] for the `kind` that would be used, without fetching it.
pub async fn node_image_of_kind(given: &Given, cilium_versions: &[&str]) -> Option<&'static str> {
    let tool = kind_tool();
    match tool.look(given.kind.as_deref(), given.reach, &search_path(), Cache::own).await {
        Ok(Found::Here(path)) => node_image(&path, cilium_versions).await,
        _ => known_node_image(Version::parse(tool.version).ok()?, cilium_versions),
    }
}

fn known_node_image(kind: Version, cilium_versions: &[&str]) -> Option<&'static str> {
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
    /// Whether a version in `PATH` would do.
    is_good: Box<dyn Fn(Version) -> bool + Send + Sync + 'a>,
}

/// Where a program is, or is to be.
enum Found {
    /// Here.
    Here(PathBuf),
    /// To be fetched; what was seen in `PATH`.
    ToFetch(Cache, &'static Program, String),
}

/// Where a program is, or would come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is here.
    Here {
        /// Where.
        path: PathBuf,
        /// The version it says it is of; why it says none.
        version: Result<Version, String>,
    },
    /// It is to be fetched.
    ToFetch {
        /// The version.
        version: String,
        /// What was seen in `PATH`.
        seen: String,
    },
}

impl Found {
    async fn whereabouts(self, name: &str) -> Whereabouts {
        match self {
            Found::Here(path) => Whereabouts::Here { version: version_of(name, &path).await, path },
            Found::ToFetch(_, program, seen) => Whereabouts::ToFetch { version: program.version.clone(), seen },
        }
    }
}

impl Tool<'_> {
    /// Looks for it, and fetches it where it is not here.
    async fn find(
        &self,
        given: Option<&Path>,
        reach: Reach,
        search: &[PathBuf],
        cache: impl FnOnce() -> Result<Cache, CacheError>,
    ) -> Result<PathBuf, PartError> {
        match self.look(given, reach, search, cache).await? {
            Found::Here(path) => Ok(path),
            Found::ToFetch(cache, program, seen) => cache.fetched(program).await.map_err(|error| self.failed(error, seen)),
        }
    }

    /// Looks for it. Opens no connection.
    async fn look(
        &self,
        given: Option<&Path>,
        reach: Reach,
        search: &[PathBuf],
        cache: impl FnOnce() -> Result<Cache, CacheError>,
    ) -> Result<Found, PartError> {
        let Tool { name, option, version, .. } = *self;
        if let Some(path) = given {
            return usable(name, option, path).map(Found::Here);
        }
        let seen = match self.in_path(search).await {
            Ok(path) => return Ok(Found::Here(path)),
            Err(seen) => seen,
        };
        let platform = platform();
        let reason = || format!("{seen}, and no {name} {version} is known for {platform}");
        let program = Lock::own().program(name, version, platform);
        let program = program.ok_or_else(|| PartError::Unknown { name, reason: reason(), option })?;
        match cache() {
            Ok(cache) => self.kept(cache, program, reach, seen).await,
            Err(error) => Err(self.failed(error, seen)),
        }
    }

    /// The program in a cache, or that it is to be fetched into it.
    async fn kept(&self, cache: Cache, program: &'static Program, reach: Reach, seen: String) -> Result<Found, PartError> {
        let Tool { name, option, version, .. } = *self;
        let here = cache.clone();
        match tokio::task::spawn_blocking(move || here.kept(program)).await.unwrap_or_default() {
            Some(path) => Ok(Found::Here(path)),
            None if reach == Reach::Online => Ok(Found::ToFetch(cache, program, seen)),
            None => Err(PartError::Offline { name, version: version.to_owned(), seen, option }),
        }
    }

    fn failed(&self, source: CacheError, seen: String) -> PartError {
        let Tool { name, option, version, .. } = *self;
        PartError::Fetch { name, version: version.to_owned(), seen, option, source: Box::new(source) }
    }

    /// The program in `PATH` if it will do; otherwise what there is, in words.
    async fn in_path(&self, search: &[PathBuf]) -> Result<PathBuf, String> {
        let Some(path) = search.iter().map(|folder| folder.join(self.name)).find(|path| executable(path).is_ok()) else {
            return Err("there is none in PATH".into());
        };
        match version_of(self.name, &path).await {
            Ok(version) if (self.is_good)(version) => Ok(path),
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
