//! Labs by hand, and labs of runs that stay: each is kept by a process of its own that made it, and is written down for whoever looks
//! into it or ends it. In reading order: [`start`] asks for one, [`keeper`] is the process that makes and keeps it, [`door`] leads into
//! it, [`down`] ends it, [`list`] names all there are.
//!
//! The keeper is watched by its janitor like every process that makes labs, so a lab never outlives it.

pub mod door;
pub mod down;
pub mod keeper;
pub mod list;
pub mod start;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ledger::{self, LedgerError, SweepOutcome, Swept};
use crate::process::{Identity, PidFd};
use crate::provider::kind::lease::{self, Lease};
use crate::run::Kept;

/// Folder of the labs that stay, within the runtime folder.
pub(crate) const PLACE: &str = "labs";
/// What is written down of one, in its own folder there.
const RECORD: &str = "lab.json";
/// What the keeper complains of while nobody listens.
pub(crate) const LOG: &str = "keeper.log";

/// A lab that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Who makes the network.
    pub provider: String,
    /// What it was made for, as it could be typed.
    pub made_by: String,
    /// The process that keeps it.
    pub keeper: Identity,
    /// When it was asked for, seconds since 1970.
    pub made_s: i64,
    /// Its run folder, once it has one.
    pub run: Option<PathBuf>,
    /// What it is at.
    pub state: State,
}

/// What a lab is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is being made for whoever asked.
    Making,
    /// A run of a scenario is in it.
    InUse,
    /// It is there.
    Up(Box<Kept>),
    /// It is being taken away.
    Ending,
}

/// Why a name is not to be had, or what is written of a lab not to be read. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum LabsError {
    /// It is no name.
    #[error("call a lab `{name}`: expected at most 40 of a-z, 0-9 and -, and none of client, node, pod")]
    NoName {
        /// What was given.
        name: String,
    },
    /// Somebody has it.
    #[error("make the lab `{name}`: there is one of that name{}\nhint: plumb down {name}, or give this one another name with --name", .made_by.as_ref().map(|by| format!(", made by `{by}`")).unwrap_or_default())]
    Taken {
        /// The name.
        name: String,
        /// What it was made by.
        made_by: Option<String>,
    },
    /// There is none.
    #[error("find a lab{}: {}", .name.as_ref().map(|name| format!(" named `{name}`")).unwrap_or_default(), .there)]
    None {
        /// The name that was given.
        name: Option<String>,
        /// What there is, and what to do.
        there: String,
    },
    /// The place where labs are written down.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A lease.
    #[error(transparent)]
    Lease(#[from] lease::LeaseError),
    /// A file.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Where labs that stay are written down.
fn place() -> Result<PathBuf, LabsError> {
    let place = ledger::runtime_folder()?.join(PLACE);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&place);
    made.map_err(|source| LabsError::File { operation: "create", path: place.clone(), source })?;
    Ok(place)
}

/// Every lab that stays, by name.
///
/// # Errors
/// The place cannot be read.
pub fn all() -> Result<Vec<Record>, LabsError> {
    let place = place()?;
    let entries = fs::read_dir(&place).map_err(|source| LabsError::File { operation: "read", path: place.clone(), source })?;
    let mut all: Vec<Record> = entries.flatten().filter_map(|entry| read(&entry.path())).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// A lab by name; the only one when none is given.
///
/// # Errors
/// There is none, or more than one to choose from.
pub fn find(name: Option<&str>) -> Result<Record, LabsError> {
    let mut all = all()?;
    let names = all.iter().map(|lab| lab.name.as_str()).collect::<Vec<_>>().join(", ");
    let none = |there: String| LabsError::None { name: name.map(str::to_owned), there };
    if all.is_empty() {
        return Err(none("no lab is up\nhint: plumb up makes one".to_owned()));
    }
    match name {
        Some(name) => match all.iter().position(|lab| lab.name == name) {
            Some(at) => Ok(all.swap_remove(at)),
            None => Err(none(format!("there is {names}\nhint: plumb labs says what is up"))),
        },
        None if all.len() == 1 => Ok(all.swap_remove(0)),
        None => Err(none(format!("there are {names}\nhint: name the one that is meant"))),
    }
}

fn read(folder: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()
}

impl Record {
    /// The folder in which it is written down; it is the keeper's alone, so nobody who comes later can have the same.
    pub(crate) fn folder(&self) -> Result<PathBuf, LabsError> {
        Ok(place()?.join(format!("{}~{}-{}", self.name, self.keeper.pid, self.keeper.start)))
    }

    /// Writes it down, so that a reader sees the old one or the new one.
    fn write(&self) -> Result<(), LabsError> {
        let folder = self.folder()?;
        let path = folder.join(RECORD);
        let failed = |source| LabsError::File { operation: "write", path: path.clone(), source };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let new = folder.join(format!("{RECORD}.new"));
        ledger::write_private(&new, &text)?;
        fs::rename(&new, &path).map_err(failed)
    }
}

/// A time as people write it, in UTC: `2026-11-25 23:59 UTC`.
pub fn clock_time(unix_s: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let time = time::OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    time.format(&format).unwrap_or_default()
}

/// The right to a name, held as long as the lab is there.
pub(crate) struct Name {
    path: PathBuf,
    _lease: Lease,
}

impl Name {
    /// Takes a name.
    fn take(name: &str) -> Result<Name, LabsError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(fits) || ["client", "node", "pod"].contains(&name) {
            return Err(LabsError::NoName { name: name.chars().take(60).collect() });
        }
        let path = place()?.join(format!("{name}.lease"));
        match lease::try_take(&path)? {
            Some(lease) => Ok(Name { path, _lease: lease }),
            None => {
                let made_by = all()?.into_iter().find(|lab| lab.name == name).map(|lab| lab.made_by);
                Err(LabsError::Taken { name: name.to_owned(), made_by })
            }
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // While it is held: whoever asks for it sees that its file is gone and takes another.
        let _ = fs::remove_file(&self.path);
    }
}

/// How long a keeper has to begin taking its lab away when it expired, in seconds, before it counts as stuck.
const GRACE_S: i64 = 15;

/// Ends keepers that are stuck, whose janitors then take their labs away, and removes what is written of labs whose keeper is dead; the
/// labs themselves are found by their own labels.
pub(crate) fn sweep(runtime: &Path, now_s: i64) -> Vec<Swept> {
    let mut swept = Vec::new();
    for entry in fs::read_dir(runtime.join(PLACE)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lease") {
            if let Ok(Some(_free)) = lease::try_take(&path) {
                let _ = fs::remove_file(&path);
            }
            continue;
        }
        let Some(record) = read(&path) else { continue };
        let expired = matches!(&record.state, State::Up(kept) if now_s >= kept.until_s.saturating_add(GRACE_S));
        if !record.keeper.alive() {
            let _ = fs::remove_dir_all(&path);
        } else if expired {
            let killed = PidFd::open(record.keeper).and_then(|keeper| keeper.kill());
            let failed = |source| LedgerError::Io { operation: "end the keeper of", path: path.clone(), source };
            let outcome = killed.map_or_else(|source| SweepOutcome::Failed(failed(source)), |()| SweepOutcome::Removed);
            swept.push(Swept { what: format!("lab {}, which expired", record.name), outcome });
        }
    }
    swept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_plain_and_no_vantage_point() {
        for name in ["", "client", "pod", "A", "a/b", "..", "a b", &"a".repeat(41)] {
            assert!(matches!(Name::take(name), Err(LabsError::NoName { .. })), "{name}");
        }
    }

    #[test]
    fn a_name_is_had_by_one_at_a_time() {
        let name = format!("test-{}", std::process::id());
        let held = Name::take(&name);
        assert!(held.is_ok());
        assert!(matches!(Name::take(&name), Err(LabsError::Taken { .. })));
        drop(held);
        assert!(Name::take(&name).is_ok());
    }
}
