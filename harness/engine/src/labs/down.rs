//! Ends a lab that stays: its keeper collects what it can still tell and takes it away; where the keeper is dead, this does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use super::{LabsError, Record, State};
use crate::ledger::{self, Making, Resource};
use crate::process::PidFd;
use crate::run::keep::{self, Ended};
use crate::{provider, redact};

/// How long a keeper may take to collect and to close, beyond the limits of a cluster's own.
const LIMIT: Duration = Duration::from_secs(600);

/// What came of a lab.
#[derive(Debug)]
pub struct Down {
    /// Its run folder.
    pub run: Option<PathBuf>,
    /// Files with what was collected, in the run folder.
    pub collected: Vec<String>,
    /// What was taken away.
    pub taken: Vec<Resource>,
    /// What is still there.
    pub left: Vec<Resource>,
    /// What went wrong on the way.
    pub troubles: Vec<String>,
}

/// A lab is not to be ended. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    /// A run is in it.
    #[error("end the lab `{name}`: a run is in it (`{made_by}`)\nhint: stop that run; its lab goes with it")]
    InUse {
        /// The lab.
        name: String,
        /// What is in it.
        made_by: String,
    },
    /// The keeper does not end.
    #[error("end the lab `{name}`: its keeper (process {pid}) has not ended within {} s\nhint: kill -9 {pid}; its janitor takes the lab away", LIMIT.as_secs())]
    Late {
        /// The lab.
        name: String,
        /// The keeper.
        pid: i32,
    },
    /// The keeper cannot be told.
    #[error("end the lab `{name}`: {source}")]
    Keeper {
        /// The lab.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// What is written of it.
    #[error(transparent)]
    Labs(#[from] LabsError),
}

/// Ends a lab.
///
/// # Errors
/// See [`DownError`].
pub fn down(record: &Record) -> Result<Down, DownError> {
    if matches!(record.state, State::InUse) && record.keeper.alive() {
        return Err(DownError::InUse { name: record.name.clone(), made_by: record.made_by.clone() });
    }
    let ledger = record.run.as_ref().map(|run| run.join("ledger.jsonl"));
    let claimed = ledger.as_deref().map(outstanding).unwrap_or_default();
    let by_keeper = end_keeper(record)?;
    let mut troubles = Vec::new();
    let mut collected = Vec::new();
    if let Some(run) = &record.run {
        match read_end(run) {
            Some(ended) => {
                collected = ended.collected;
                troubles = ended.troubles;
            }
            None if !by_keeper => collected = salvage(run),
            None => {}
        }
    }
    let left = ledger.as_deref().map(|ledger| take_away(ledger, &mut troubles)).unwrap_or_default();
    let folder = record.folder()?;
    if let Err(source) = std::fs::remove_dir_all(&folder)
        && source.kind() != std::io::ErrorKind::NotFound
    {
        troubles.push(format!("remove {}: {source}", folder.display()));
    }
    let taken = claimed.into_iter().filter(|resource| !left.contains(resource)).filter(|resource| !is_ours(resource, &folder)).collect();
    Ok(Down { run: record.run.clone(), collected, taken, left, troubles })
}

/// The folder in which a lab is written down is no part of it.
fn is_ours(resource: &Resource, own: &Path) -> bool {
    matches!(resource, Resource::Folder { folder } if folder == own)
}

fn outstanding(ledger: &Path) -> Vec<Resource> {
    ledger::outstanding(ledger).unwrap_or_default()
}

fn read_end(run: &Path) -> Option<Ended> {
    serde_json::from_slice(&std::fs::read(run.join(keep::ENDED)).ok()?).ok()
}

/// Whether it was alive, and has ended now.
fn end_keeper(record: &Record) -> Result<bool, DownError> {
    let failed = |source| DownError::Keeper { name: record.name.clone(), source };
    let keeper = match PidFd::open(record.keeper) {
        Ok(keeper) => keeper,
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    keeper.send(Signal::SIGTERM).map_err(failed)?;
    let limit = PollTimeout::try_from(LIMIT).unwrap_or(PollTimeout::MAX);
    if keeper.wait(limit).map_err(failed)? {
        return Ok(true);
    }
    Err(DownError::Late { name: record.name.clone(), pid: record.keeper.pid })
}

/// What a lab without its keeper can still tell, in the run folder.
fn salvage(run: &Path) -> Vec<String> {
    let folder = crate::folder::RunFolder::open(run);
    let texts = provider::salvage_blocking(&run.join("ledger.jsonl"));
    if std::fs::create_dir_all(run.join(keep::FOLDER)).is_err() {
        return Vec::new();
    }
    let written = texts.iter().map(|(name, text)| folder.write_into(keep::FOLDER, &format!("{name}.log"), redact::text(text).as_bytes()));
    written.filter_map(Result::ok).collect()
}

/// Takes away what a ledger still claims; what is left.
fn take_away(path: &Path, troubles: &mut Vec<String>) -> Vec<Resource> {
    match ledger::take_away(path, Making::CutShort) {
        Ok(left) => {
            troubles.extend(left.iter().map(|(_, error)| error.to_string()));
            left.into_iter().map(|(resource, _)| resource).collect()
        }
        Err(error) => {
            troubles.push(error.to_string());
            outstanding(path)
        }
    }
}
