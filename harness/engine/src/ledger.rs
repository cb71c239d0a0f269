//! The ledger: what a run is about to make, written and flushed before it is made, so that whoever is left can take it away.
//!
//! `ledger.jsonl` in the run folder, one JSON value a line. A provider destroys only what a ledger or a label claims. Labs of the
//! reference network live under [`runtime_folder`], each with the label `owner.json`, which [`sweep`] goes by; what Docker holds
//! carries labels there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::ObjectId;
use crate::docker::{self, DockerError};
use crate::process::Identity;
use crate::provider::kubeconfig::access::Access;

mod removal;
pub use removal::{Making, remove, remove_all, remove_all_and_late, take_away};

/// Version of the ledger format.
pub const LEDGER: u32 = 1;

/// A lab whose label cannot be read counts as left behind after this time; a moment earlier it may still be in the making.
const UNLABELLED: Duration = Duration::from_secs(60);

/// What went wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file, a folder or a process.
    #[error("{operation} {}: {source}{}", path.display(), room(source))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something Docker holds.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// An object in a cluster that was adopted.
    #[error("take away {object}: {message}")]
    Cluster {
        /// `kind/namespace/name`.
        object: String,
        /// Why not.
        message: String,
    },
}

fn room(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "\nhint: the disk is full; free some space there",
        _ => "",
    }
}

/// Something that exists outside the run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resource {
    /// A lab of the reference network: its folder, and every process that serves it.
    RefnetLab {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder of ours in [`runtime_folder`] with the private files of a lab.
    Folder {
        /// The folder.
        folder: PathBuf,
    },
    /// A network of Docker.
    DockerNetwork {
        /// Its name.
        name: String,
    },
    /// A container.
    DockerContainer {
        /// Its name.
        name: String,
    },
    /// An image that was made here.
    DockerImage {
        /// `name:tag`.
        reference: String,
    },
    /// A cluster made by kind: its nodes, and the kind that is still making them.
    KindCluster {
        /// Its name.
        name: String,
        /// The network it was told to use.
        network: String,
    },
    /// Copies of an image store for the nodes of a cluster, in a volume that stays.
    NodeStores {
        /// The volume.
        volume: String,
        /// The cluster, whose name their folder has.
        cluster: String,
        /// The image of a container that can take them away.
        image: String,
    },
    /// An object in a cluster that was adopted.
    ClusterObject {
        /// Which cluster, without its credentials.
        access: Access,
        /// Whose label it must carry to be taken away.
        run: String,
        /// Which object.
        object: ObjectId,
    },
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Resource::RefnetLab { folder } => write!(f, "reference network in {}", folder.display()),
            Resource::Folder { folder } => write!(f, "folder {}", folder.display()),
            Resource::DockerNetwork { name } => write!(f, "network {name}"),
            Resource::DockerContainer { name } => write!(f, "container {name}"),
            Resource::DockerImage { reference } => write!(f, "image {reference}"),
            Resource::KindCluster { name, .. } => write!(f, "kind cluster {name}"),
            Resource::NodeStores { volume, cluster, .. } => write!(f, "image stores of {cluster} in the volume {volume}"),
            Resource::ClusterObject { object, .. } => write!(f, "{object}"),
        }
    }
}

impl Resource {
    /// Whether it may come into being after whoever asked for it is gone: Docker and an API finish what they were asked.
    pub fn may_come_late(&self) -> bool {
        match self {
            Resource::RefnetLab { .. } | Resource::Folder { .. } => false,
            Resource::DockerNetwork { .. }
            | Resource::DockerContainer { .. }
            | Resource::DockerImage { .. }
            | Resource::KindCluster { .. }
            | Resource::NodeStores { .. }
            | Resource::ClusterObject { .. } => true,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The first line.
    Began {
        /// [`LEDGER`].
        version: u32,
        /// Id of the run.
        run: String,
        /// Who made it.
        owner: Identity,
    },
    /// It is about to be made.
    Making(Resource),
    /// It is gone.
    Gone(Resource),
    /// When nobody wants what it claims any longer; the last such line counts.
    Expires {
        /// Seconds since 1970.
        at_s: i64,
    },
}

/// A ledger that is written.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
}

impl Ledger {
    /// Makes `ledger.jsonl` in a run folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &crate::folder::RunFolder) -> Result<Ledger, LedgerError> {
        Ledger::create_at(&folder.file("ledger.jsonl"), folder.id())
    }

    /// Makes a ledger for what is not one run's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create_at(path: &Path, run: &str) -> Result<Ledger, LedgerError> {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let file = file.map_err(|source| LedgerError::Io { operation: "create", path: path.to_owned(), source })?;
        let ledger = Ledger { path: path.to_owned(), file: Mutex::new(file) };
        ledger.write(&Line::Began { version: LEDGER, run: run.to_owned(), owner: Identity::own() })?;
        Ok(ledger)
    }

    /// Writes on in a ledger that is there.
    ///
    /// # Errors
    /// When it is not, or cannot be written.
    pub fn reopen(path: &Path) -> Result<Ledger, LedgerError> {
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|source| LedgerError::Io { operation: "open", path: path.to_owned(), source })?;
        Ok(Ledger { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line and flushes it to the disk.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be made.
    pub fn write(&self, line: &Line) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::Io { operation: "write", path: self.path.clone(), source };
        let mut text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed)
    }
}

/// What a ledger claims and has not seen gone, the newest first: what was made later may stand on what was made before. A last line that is cut off is left out: it was not flushed, so nothing was made.
///
/// # Errors
/// When it cannot be read.
pub fn outstanding(path: &Path) -> Result<Vec<Resource>, LedgerError> {
    let text = fs::read(path).map_err(|source| LedgerError::Io { operation: "read", path: path.to_owned(), source })?;
    let mut claimed = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        match serde_json::from_str(line) {
            Ok(Line::Making(resource)) => claimed.push(resource),
            Ok(Line::Gone(resource)) => claimed.retain(|other| *other != resource),
            Ok(Line::Began { .. } | Line::Expires { .. }) | Err(_) => {}
        }
    }
    claimed.reverse();
    Ok(claimed)
}

/// When nobody wants what a ledger claims any longer, seconds since 1970; `None` = while its owner lives.
pub fn expiry(path: &Path) -> Option<i64> {
    let text = fs::read(path).ok()?;
    let lines = String::from_utf8_lossy(&text).into_owned();
    lines.lines().rev().find_map(|line| match serde_json::from_str(line) {
        Ok(Line::Expires { at_s }) => Some(at_s),
        _ => None,
    })
}

/// Where labs live: `$XDG_RUNTIME_DIR/plumbline`, else `/tmp/plumbline-<uid>`; mode 0700 and our own.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub fn runtime_folder() -> Result<PathBuf, LedgerError> {
    let uid = nix::unistd::geteuid();
    let usable = |folder: &PathBuf| folder.is_absolute() && fs::metadata(folder).is_ok_and(|meta| meta.uid() == uid.as_raw());
    let path = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(usable) {
        Some(folder) => folder.join("plumbline"),
        None => PathBuf::from(format!("/tmp/plumbline-{uid}")),
    };
    let failed = |operation, source| LedgerError::Io { operation, path: path.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| failed("create", source))?;
    let meta = fs::symlink_metadata(&path).map_err(|source| failed("look at", source))?;
    if !meta.is_dir() || meta.uid() != uid.as_raw() || meta.mode() & 0o077 != 0 {
        let source = io::Error::other(format!("it is not a folder of user {uid} that nobody else can enter"));
        return Err(failed("use", source));
    }
    Ok(path)
}

/// The label of a lab, `owner.json` in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// Id of the run.
    pub run: String,
    /// Who made it.
    pub owner: Identity,
    /// Seconds since 1970 after which nobody wants it, whoever still lives; `None` = while its owner lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl Label {
    /// This process's, for a run.
    pub fn own(run: &str, expires: Option<i64>) -> Label {
        Label { run: run.to_owned(), owner: Identity::own(), expires }
    }

    /// Whether somebody still wants the lab.
    pub fn holds(&self, now_s: i64) -> bool {
        self.owner.alive() && self.expires.is_none_or(|at_s| now_s < at_s)
    }
}

/// Makes the folder of a lab, with its label in it.
///
/// # Errors
/// When it cannot be made.
pub fn make_lab_folder(folder: &Path, label: &Label) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::Io { operation: "create", path: folder.to_owned(), source };
    fs::DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
    let text = serde_json::to_vec(label).map_err(|error| failed(error.into()))?;
    fs::write(folder.join("owner.json"), text).map_err(failed)
}

/// The label of the lab in a folder.
pub fn read_label(folder: &Path) -> Option<Label> {
    serde_json::from_slice(&fs::read(folder.join("owner.json")).ok()?).ok()
}

/// Writes a file that only this user can read.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &[u8]) -> Result<(), LedgerError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let failed = |source| LedgerError::Io { operation: "write", path: path.to_owned(), source };
    file.and_then(|mut file| file.write_all(text)).map_err(failed)
}

/// What [`sweep`] found in one place.
#[derive(Debug)]
pub struct Swept {
    /// The folder of a lab, or what Docker holds.
    pub what: String,
    /// What came of it.
    pub outcome: SweepOutcome,
}

/// What came of a lab that was found.
#[derive(Debug)]
pub enum SweepOutcome {
    /// Its owner is alive: left alone.
    InUse(Identity),
    /// Taken away.
    Removed,
    /// Not taken away, and why.
    Failed(LedgerError),
}

/// Takes away every lab whose owner is no longer there.
///
/// # Errors
/// When the place where labs live cannot be read.
pub fn sweep() -> Result<Vec<Swept>, LedgerError> {
    let place = runtime_folder()?;
    let failed = |source| LedgerError::Io { operation: "read", path: place.clone(), source };
    let now_s = crate::clock::unix_s();
    let mut swept = Vec::new();
    for entry in fs::read_dir(&place).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        // The shared clusters beside them are found by what Docker holds of them, and who kept labs when its lab is.
        if !folder.is_dir() || folder.ends_with(crate::provider::kind::keeper::PLACE) || folder.ends_with(crate::labs::PLACE) {
            continue;
        }
        let outcome = match read_label(&folder) {
            Some(label) if label.holds(now_s) => SweepOutcome::InUse(label.owner),
            None if young(&folder) => continue,
            _ => match remove(&Resource::RefnetLab { folder: folder.clone() }) {
                Ok(()) => SweepOutcome::Removed,
                Err(error) => SweepOutcome::Failed(error),
            },
        };
        swept.push(Swept { what: folder.display().to_string(), outcome });
    }
    swept.extend(sweep_docker(now_s));
    swept.extend(crate::labs::sweep(&place, now_s));
    Ok(swept)
}

/// What Docker holds of ours. A machine without Docker has nothing of ours there.
fn sweep_docker(now_s: i64) -> Vec<Swept> {
    let swept = docker::blocking(async |engine| {
        let mut swept = Vec::new();
        for (found, claim) in engine.claimed().await? {
            let outcome = if claim.holds(now_s) {
                SweepOutcome::InUse(claim.owner)
            } else {
                match engine.remove_found(&found).await {
                    Ok(()) => SweepOutcome::Removed,
                    Err(error) => SweepOutcome::Failed(error.into()),
                }
            };
            swept.push(Swept { what: found.to_string(), outcome });
        }
        Ok(swept)
    });
    match swept {
        Ok(swept) => swept,
        Err(DockerError::NoSocket { .. } | DockerError::Dead { .. } | DockerError::Denied { .. } | DockerError::Elsewhere { .. }) => {
            Vec::new()
        }
        Err(error) => vec![Swept { what: "what Docker holds".into(), outcome: SweepOutcome::Failed(error.into()) }],
    }
}

fn young(folder: &Path) -> bool {
    let age = fs::metadata(folder).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age < UNLABELLED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::folder::RunFolder;

    #[test]
    fn what_is_gone_or_was_cut_off_is_not_outstanding() {
        let out = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&RunFolder::create(out.path()).unwrap()).unwrap();
        let lab = |name: &str| Resource::RefnetLab { folder: out.path().join(name) };
        ledger.write(&Line::Making(lab("a"))).unwrap();
        ledger.write(&Line::Making(lab("b"))).unwrap();
        ledger.write(&Line::Gone(lab("a"))).unwrap();
        OpenOptions::new().append(true).open(ledger.path()).unwrap().write_all(b"{\"making\":{\"refn").unwrap();
        assert_eq!(outstanding(ledger.path()).unwrap(), [lab("b")]);
    }

    #[test]
    fn a_lab_is_taken_away_and_what_is_gone_already_is_no_error() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("lab");
        make_lab_folder(&folder, &Label::own("run", None)).unwrap();
        let resource = Resource::RefnetLab { folder: folder.clone() };
        remove(&resource).unwrap();
        assert!(!folder.exists());
        remove(&resource).unwrap();
    }
}
