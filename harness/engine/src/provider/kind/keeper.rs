//! The keeper of a shared cluster: a process of its own, `<exe> __keeper <folder> <idle seconds>`, the owner of everything of the
//! cluster in Docker. It outlives the run that started it and ends the cluster when
//!
//! - nobody has used it for the idle time, or somebody else waits for the place it takes on this machine;
//! - its user or its maker died: then what can still be read of it goes to that run's folder first.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::Instant;

use super::lease::{self, Lease};
use super::{KindError, shared};
use crate::process::Identity;
use crate::provider::take_away;
use crate::{clock, ledger};

/// Folder of the shared clusters within the runtime folder.
pub const PLACE: &str = "clusters";
/// The file that is locked by whoever uses a cluster.
pub const LEASE: &str = "lease";
/// The ledger that claims the cluster.
pub const LEDGER: &str = "ledger.jsonl";
/// The file that says which process keeps the cluster.
pub const KEEPER: &str = "keeper";

/// The file that says what could not be taken away, while that is so.
const TROUBLE: &str = "trouble";

/// How long it goes on with what cannot be taken away, and how soon it asks again: an engine that is busy or starts anew answers later.
const PATIENCE: Patience = Patience { limit: Duration::from_secs(60), again: Duration::from_secs(2) };

#[derive(Clone, Copy)]
struct Patience {
    limit: Duration,
    again: Duration,
}

/// How long somebody must have waited before a cluster goes for them: longer than they take to see a place that another keeper gave back.
const PRESSED: Duration = Duration::from_secs(2);

/// How often it looks whether the cluster is still wanted. It bounds how late one is ended, nothing else.
const EVERY: Duration = Duration::from_millis(500);

/// The starter's end.
pub struct Keeper {
    identity: Identity,
}

impl Keeper {
    /// Starts a keeper for a folder whose lease the caller holds, and waits until it has a place for a cluster on this machine.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(folder: &Path, idle: Duration) -> Result<Keeper, KindError> {
        let failed = |message: String| KindError::Missing(format!("start the keeper of a cluster: {message}"));
        let mut command = std::process::Command::new("/proc/self/exe");
        command.arg0("plumb").arg("__keeper").arg(folder).arg(idle.as_secs().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = tokio::process::Command::from(command).spawn().map_err(|error| failed(error.to_string()))?;
        let identity = child.id().and_then(|pid| Identity::of(pid as i32)).ok_or_else(|| failed("it ended at once".into()))?;
        // By whoever holds the lease, so that no keeper whose starter is gone can claim what another has by now.
        fs::write(folder.join(KEEPER), identity.pid.to_string()).map_err(|error| failed(error.to_string()))?;
        let output = child.stdout.take().ok_or_else(|| failed("it has no output".into()))?;
        let mut answer = String::new();
        BufReader::new(output).read_line(&mut answer).await.map_err(|error| failed(error.to_string()))?;
        if answer == "ok\n" { Ok(Keeper { identity }) } else { Err(failed(format!("it answered {answer:?}"))) }
    }

    /// Who it is: the owner of what it keeps.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

/// `__keeper <folder> <idle seconds>`: the keeper's own life.
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let (Some(folder), Some(idle)) = (args.next().map(PathBuf::from), args.next().and_then(|text| text.parse().ok())) else {
        return ExitCode::from(3);
    };
    let Ok(place) = ledger::runtime_folder() else { return ExitCode::FAILURE };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let slot = tokio::select! {
            slot = lease::take_slot(&place) => slot.ok(),
            () = starter_is_gone() => None,
        };
        let said = std::io::stdout().write_all(b"ok\n").and_then(|()| std::io::stdout().flush());
        let (Some(_slot), Ok(())) = (slot, said) else {
            // Nothing was made. Whoever wants the folder by now holds its lease.
            if let Ok(Some(_lease)) = lease::try_take(&folder.join(LEASE))
                && claims_mine(&folder)
            {
                let _ = fs::remove_dir_all(&folder);
            }
            return ExitCode::FAILURE;
        };
        match keep(&folder, idle, &place).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    })
}

/// Resolves when nobody reads this process's output any more: whoever started it has ended, or does not want the cluster any longer.
async fn starter_is_gone() {
    let output = std::io::stdout();
    loop {
        // Without any event asked for, poll still reports that the reading end is closed.
        let mut one = [PollFd::new(output.as_fd(), PollFlags::empty())];
        if poll(&mut one, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits until the cluster is not wanted any longer and takes it away.
async fn keep(folder: &Path, idle: i64, place: &Path) -> Result<(), ledger::LedgerError> {
    let mut pressed_since = None;
    loop {
        let pressed = lease::somebody_waits(place) && !another_goes_first(folder, is_kept);
        pressed_since = pressed.then(|| pressed_since.unwrap_or_else(Instant::now));
        let waited_for = pressed_since.is_some_and(|since| since.elapsed() >= PRESSED);
        if let Ok(Some(lease)) = lease::try_take(&folder.join(LEASE))
            && is_due(folder, idle, waited_for)
        {
            return end(folder, lease, PATIENCE).await;
        }
        // The cluster was ended by its user, and perhaps another keeper keeps the next one.
        if !claims_mine(folder) {
            return Ok(());
        }
        // Not while the lease is held: whoever wants to use the cluster would wait as long.
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether the cluster, which nobody uses now, is to be ended.
fn is_due(folder: &Path, idle: i64, waited_for: bool) -> bool {
    match shared::read_state(folder).filter(|_| shared::read_use(folder).is_none()) {
        // Never ready, or never handed back.
        None => true,
        Some(state) => waited_for || clock::unix_s() >= state.released_s.saturating_add(idle),
    }
}

/// Whether there is an idle cluster that was handed back before this one: who waits needs one place, not all of them.
fn another_goes_first(folder: &Path, is_kept: impl Fn(&Path) -> bool) -> bool {
    let rank = |folder: &Path| {
        let state = shared::read_state(folder).filter(|_| shared::read_use(folder).is_none())?;
        Some((state.released_s, folder.to_owned()))
    };
    let Some(own) = rank(folder) else { return false };
    let others = folder.parent().into_iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
    others.filter(|other| other != folder).any(|other| rank(&other).is_some_and(|rank| rank < own) && is_kept(&other))
}

/// Whether the keeper of the cluster in a folder is there to end it.
fn is_kept(folder: &Path) -> bool {
    let pid = fs::read_to_string(folder.join(KEEPER)).unwrap_or_default();
    let command = fs::read(Path::new("/proc").join(pid.trim()).join("cmdline")).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"__keeper") && words.next() == Some(folder.as_os_str().as_encoded_bytes())
}

/// Whether the folder still holds a cluster whose owner this process is.
fn claims_mine(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join(KEEPER)).unwrap_or_default();
    text == std::process::id().to_string()
}

async fn end(folder: &Path, lease: Lease, patience: Patience) -> Result<(), ledger::LedgerError> {
    shared::salvage_for_user(folder).await;
    let until = Instant::now() + patience.limit;
    // A maker that died at once had claimed nothing yet.
    while folder.join(LEDGER).exists()
        && let Err(error) = take_away(&folder.join(LEDGER), shared::making(folder)).await
    {
        // For whoever looks why something is still there: this process has nobody to tell.
        let _ = fs::write(folder.join(TROUBLE), format!("{}\n", crate::cluster::chain(&error)));
        if Instant::now() >= until {
            return Err(error);
        }
        tokio::time::sleep(patience.again).await;
    }
    // While the lease is held: whoever waits for it sees that its file is gone and makes another.
    let removed = fs::remove_dir_all(folder);
    drop(lease);
    match removed {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ledger::LedgerError::Io { operation: "remove", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::ledger::{Ledger, Line, Resource};

    /// A cluster's folder whose ledger claims what cannot be taken away while a file stands where its folder should be.
    fn stubborn() -> (tempfile::TempDir, std::path::PathBuf, Lease) {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("cluster");
        fs::create_dir(&folder).unwrap();
        let obstacle = place.path().join("obstacle");
        fs::write(&obstacle, "").unwrap();
        let ledger = Ledger::create_at(&folder.join(LEDGER), "run").unwrap();
        ledger.write(&Line::Making(Resource::Folder { folder: obstacle.join("inside") })).unwrap();
        let lease = lease::try_take(&folder.join(LEASE)).unwrap().unwrap();
        (place, folder, lease)
    }

    #[test]
    fn the_cluster_that_is_idle_the_longest_goes_first() {
        let place = tempfile::tempdir().unwrap();
        let idle = |name: &str, released_s: i64| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            let record = serde_json::json!({
                "name": name, "kubeconfig": "/none", "networks": [], "system": "", "cilium": "",
                "expect": {"nodes": 0, "gatewayClass": false}, "ciliumCli": "", "digestsOff": false,
                "nodes": {}, "clientLinks": [], "agentImage": "", "values": {},
            });
            fs::write(folder.join("cluster.json"), serde_json::json!({"record": record, "releasedS": released_s}).to_string()).unwrap();
            folder
        };
        let (older, newer, twin) = (idle("b", 100), idle("c", 200), idle("d", 200));
        let made = place.path().join("a");
        fs::create_dir(&made).unwrap();
        let first = |folder: &Path| another_goes_first(folder, |_| true);
        assert!(!first(&older) && first(&newer) && first(&twin) && !first(&made));
        // Two of the same second do not wait for one another.
        fs::write(older.join("use.json"), serde_json::json!({"run": "run", "folder": "/none"}).to_string()).unwrap();
        assert!(!first(&newer) && first(&twin), "one that is in use does not go");
        // One whose keeper is gone is nobody's to end.
        assert!(!another_goes_first(&twin, |other| other != newer));
        assert!(!is_kept(&older));
    }

    #[tokio::test]
    async fn what_cannot_be_taken_away_yet_is_asked_for_again() {
        let (place, folder, lease) = stubborn();
        let (obstacle, trouble) = (place.path().join("obstacle"), folder.join(TROUBLE));
        let engine = tokio::spawn(async move {
            let said = loop {
                match fs::read_to_string(&trouble) {
                    Ok(said) if said.ends_with('\n') => break said,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            fs::remove_file(obstacle).unwrap();
            said
        });
        let patience = Patience { limit: Duration::from_secs(60), again: Duration::from_millis(20) };
        end(&folder, lease, patience).await.unwrap();
        assert!(engine.await.unwrap().starts_with("remove "), "it does not say what could not be taken away");
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_taken_away_at_all_is_left_with_the_reason() {
        let (_place, folder, lease) = stubborn();
        let patience = Patience { limit: Duration::from_millis(200), again: Duration::from_millis(20) };
        let began = Instant::now();
        end(&folder, lease, patience).await.unwrap_err();
        assert!(began.elapsed() >= patience.limit, "{:?}", began.elapsed());
        assert!(folder.join(LEDGER).exists() && folder.join(TROUBLE).exists());
    }
}
