//! Every lab there is on this machine for this user: those that stay, those that runs are in, and clusters that runs share.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::{LabsError, PLACE, Record, State};
use crate::provider::kind::{keeper, shared};
use crate::{clock, ledger};

/// A lab, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name; of a run's lab the run's id.
    pub name: String,
    /// Who makes the network.
    pub provider: String,
    /// What it is at.
    pub state: String,
    /// Who made it.
    pub made_by: String,
    /// The process it belongs to.
    pub process: i32,
    /// Seconds since it was asked for.
    pub age_s: Option<i64>,
    /// Seconds until it is taken away at the latest.
    pub expires_s: Option<i64>,
    /// Its run folder.
    pub run: Option<String>,
}

/// All of them.
///
/// # Errors
/// The place where labs live cannot be read.
pub fn list() -> Result<Vec<Listed>, LabsError> {
    let (now_s, place) = (clock::unix_s(), ledger::runtime_folder()?);
    let kept = super::all()?;
    let mut all: Vec<Listed> = kept.iter().map(|record| of_record(record, now_s)).collect();
    let shared: Vec<Listed> = folders(&place.join(keeper::PLACE)).iter().filter_map(|folder| of_shared(folder, now_s)).collect();
    let keepers: Vec<i32> = kept.iter().map(|record| record.keeper.pid).chain(shared.iter().map(|one| one.process)).collect();
    for folder in folders(&place) {
        let reserved = [PLACE, keeper::PLACE].iter().any(|reserved| folder.ends_with(reserved));
        if let Some(label) = ledger::read_label(&folder).filter(|label| !reserved && !keepers.contains(&label.owner.pid)) {
            let state = if label.holds(now_s) { "in use by a run" } else { "left behind: plumb sweep" };
            all.push(Listed {
                name: label.run.clone(),
                provider: if folder.join("spec.json").exists() { "refnet" } else { "kind" }.to_owned(),
                state: state.to_owned(),
                made_by: format!("run {}", label.run),
                process: label.owner.pid,
                age_s: age(&folder, now_s),
                expires_s: label.expires.map(|at_s| at_s - now_s),
                run: None,
            });
        }
    }
    all.extend(shared);
    Ok(all)
}

fn folders(place: &Path) -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> =
        fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn of_record(record: &Record, now_s: i64) -> Listed {
    let expires_s = match &record.state {
        State::Up(kept) => Some(kept.until_s - now_s),
        _ => None,
    };
    let state = match &record.state {
        _ if !record.keeper.alive() => "left behind: plumb down".to_owned(),
        State::Making => "being made".to_owned(),
        State::InUse => "in use by a run".to_owned(),
        State::Up(_) => "up".to_owned(),
        State::Ending => "being taken away".to_owned(),
    };
    Listed {
        name: record.name.clone(),
        provider: record.provider.clone(),
        state,
        made_by: record.made_by.clone(),
        process: record.keeper.pid,
        age_s: Some(now_s - record.made_s),
        expires_s,
        run: record.run.as_ref().map(|run| run.display().to_string()),
    }
}

fn of_shared(folder: &Path, now_s: i64) -> Option<Listed> {
    let process = fs::read_to_string(folder.join(keeper::KEEPER)).ok()?.trim().parse().ok()?;
    let (known, user) = (shared::read_state(folder), shared::read_use(folder));
    Some(Listed {
        name: known.as_ref().map_or_else(|| "shared".to_owned(), |state| state.record.name.clone()),
        provider: "kind".to_owned(),
        state: user.as_ref().map_or_else(|| "shared, idle".to_owned(), |user| format!("shared, in use by run {}", user.run)),
        made_by: "plumb run --share".to_owned(),
        process,
        age_s: age(folder, now_s),
        expires_s: None,
        run: user.map(|user| user.folder.display().to_string()),
    })
}

fn age(folder: &Path, now_s: i64) -> Option<i64> {
    let meta = fs::metadata(folder).ok()?;
    let born = meta.created().or_else(|_| meta.modified()).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(now_s - i64::try_from(born.as_secs()).ok()?)
}
