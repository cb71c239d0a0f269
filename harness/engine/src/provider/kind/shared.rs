//! A cluster that several runs use, one after the other, in this process or in others. It lies in a folder named by the hash of all
//! that made it; whoever holds the folder's lease may use it; a keeper ends it when nobody has for a while ([`super::keeper`]).
//!
//! A cluster whose user did not hand it back (it died, or could not take its objects away) is never used again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plumb_core::evidence::Fact;
use plumb_core::profile::{fixed, in_place};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::cluster::{self, Spec};
use super::keeper::{self, Keeper};
use super::lease::{self, Lease};
use super::made::{Made, Record};
use super::{KindError, clean, salvage};
use crate::docker::{Claim, Engine};
use crate::folder::RunFolder;
use crate::ledger::{self, Ledger, Making};
use crate::parts::Given;
use crate::provider::{take_away, told};
use crate::recorder::Recorder;
use crate::run::Listener;
use crate::{clock, redact};

/// How clusters are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// A run makes its own and takes it away.
    #[default]
    Alone,
    /// It may use one that is there, and leaves one behind that is taken away when nobody has used it for this time.
    For(Duration),
}

/// What is known of a shared cluster that is ready, `cluster.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The cluster.
    pub record: Record,
    /// When it was handed back, seconds since 1970.
    pub released_s: i64,
}

/// A run that makes or uses a cluster, `use.json`. While nobody holds the lease, it names one that died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// Id of the run.
    pub run: String,
    /// Its folder, for what is collected when it died.
    pub folder: PathBuf,
}

/// The right to use a shared cluster.
pub struct Held {
    folder: PathBuf,
    run: String,
    ledger: Ledger,
    _lease: Lease,
}

/// How much of the time in which a cluster must be ready goes into bringing one that is there to other values. A real one took 38 s of
/// the 85 s in which a new one was made; one that takes longer than this hangs, and a new one needs what is left.
const FOR_CHANGE: u32 = 2;

/// How the names of those logs begin that are of a cluster which did not take other values.
const REPLACED: &str = "replaced.";

/// Gets a cluster: one that is there and well, else a new one, made within `limit`. Waiting for one that others use takes as long as
/// they do.
///
/// # Errors
/// See [`KindError`].
pub async fn acquire(
    spec: &Spec,
    given: &Given,
    recorder: &Recorder,
    listener: &Listener,
    idle: Duration,
    limit: Duration,
) -> Result<(Made, Held), KindError> {
    let run = recorder.folder();
    let key = key(spec, given).await?;
    let folder = place()?.join(&key);
    let lease = told(listener, "the cluster that another run uses", hold(&folder)).await?;
    let until = Instant::now() + limit;
    match usable(&folder, given).await {
        Some(mut made) => {
            begin(&folder, run)?;
            let share = limit / FOR_CHANGE;
            let brought = tokio::time::timeout(share, Box::pin(made.bring_to(spec))).await;
            match brought.unwrap_or(Err(KindError::Unchanged(share))) {
                Ok(()) => {
                    let held = Held { ledger: reopen(&folder)?, folder, run: run.id().to_owned(), _lease: lease };
                    return Ok((made, held));
                }
                // It is of no use then, as one that is not well: it tells what it can and ends, and a new one is made.
                Err(error) => {
                    let changed = in_place(&made.values, &spec.values).map(|change| change.changed).unwrap_or_default();
                    let texts = salvage(&folder.join(keeper::LEDGER)).await;
                    replaced(recorder, made.ground.name(), &changed, &error, texts);
                }
            }
        }
        // Its user may have died a moment ago, before the keeper looked.
        None => salvage_for_user(&folder).await,
    }
    end(&folder).await?;
    let name = format!("{}{}-{}", crate::docker::sweep::CLUSTER_PREFIX, &key[..6], cluster::tail_of(run.id()));
    let ledger = Ledger::create_at(&folder.join(keeper::LEDGER), &name).map_err(super::ground::GroundError::from)?;
    begin(&folder, run)?;
    let held = Held { folder, run: run.id().to_owned(), ledger, _lease: lease };
    let waited = Instant::now();
    let keeper = told(listener, super::PLACE, Keeper::start(&held.folder, idle)).await?;
    let until = until + waited.elapsed();
    let claim = Claim { run: name.clone(), owner: keeper.identity(), expires: None };
    // What fails here is left as it is: the keeper reads what it can of it before it takes it away.
    let made = tokio::time::timeout_at(until, Box::pin(cluster::make(spec, &name, given, claim, &held.ledger))).await;
    Ok((made.map_err(|_| KindError::Late(limit))??, held))
}

/// Puts on disk that a cluster did not take the values of this run, with what it can tell of that. Another is made, but that must not
/// hide it: it may be the product that did not take them.
fn replaced(recorder: &Recorder, cluster: &str, changed: &[String], error: &KindError, texts: BTreeMap<String, String>) {
    for (name, text) in texts {
        let what = format!("{REPLACED}{name}");
        let blobs = recorder.blob(&format!("{what}.log"), redact::text(&text).as_bytes());
        recorder.record_with(None, Fact::Collected { what }, blobs);
    }
    let why = format!("{}: {}", changed.join(", "), crate::cluster::chain(error));
    recorder.record(None, Fact::Replaced { cluster: cluster.to_owned(), why });
}

impl Held {
    /// Takes the run's objects away and hands the cluster back; one that cannot be cleaned is ended.
    ///
    /// # Errors
    /// See [`KindError`]: it could not be ended either.
    pub async fn release(self, made: &Made) -> Result<(), KindError> {
        let cleaned = clean::objects(&made.client, &self.run).await;
        if cleaned.is_ok() && made.is_well().await {
            write(&self.folder, "cluster.json", &State { record: made.record(), released_s: clock::unix_s() })?;
            return remove(&self.folder.join("use.json"));
        }
        end(&self.folder).await?;
        // While the lease is held: whoever waits for it sees that its file is gone and makes another.
        fs::remove_dir_all(&self.folder).map_err(|error| KindError::Missing(format!("remove {}: {error}", self.folder.display())))
    }
}

/// Writes down who uses the cluster in a folder from now on.
fn begin(folder: &Path, run: &RunFolder) -> Result<(), KindError> {
    write(folder, "use.json", &Use { run: run.id().to_owned(), folder: run.path().to_owned() })
}

/// Writes a file so that a reader sees the old one or the new one, whenever the writer dies.
fn write(folder: &Path, name: &str, value: &impl Serialize) -> Result<(), KindError> {
    let path = folder.join(name);
    let failed = |error: std::io::Error| KindError::Missing(format!("write {}: {error}", path.display()));
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(failed)
}

fn remove(path: &Path) -> Result<(), KindError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(KindError::Missing(format!("remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn reopen(folder: &Path) -> Result<Ledger, KindError> {
    Ok(Ledger::reopen(&folder.join(keeper::LEDGER)).map_err(super::ground::GroundError::from)?)
}

/// Where shared clusters lie.
fn place() -> Result<PathBuf, KindError> {
    Ok(ledger::runtime_folder().map_err(super::ground::GroundError::from)?.join(keeper::PLACE))
}

/// Waits for the lease of a folder, which is made where it is not there.
async fn hold(folder: &Path) -> Result<Lease, KindError> {
    loop {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| KindError::Missing(format!("create {}: {error}", folder.display())))?;
        match lease::take(&folder.join(keeper::LEASE)).await {
            Ok(lease) => return Ok(lease),
            // The keeper removed it in between.
            Err(_) if !folder.exists() => {}
            Err(error) => return Err(KindError::Lease(error)),
        }
    }
}

/// What is known of the cluster in a folder; `None` when it was never ready.
pub(crate) fn read_state(folder: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(folder.join("cluster.json")).ok()?).ok()
}

/// Who makes or uses it.
pub(crate) fn read_use(folder: &Path) -> Option<Use> {
    serde_json::from_slice(&fs::read(folder.join("use.json")).ok()?).ok()
}

/// Whether the cluster in a folder was made to its end.
pub(super) fn making(folder: &Path) -> Making {
    if read_state(folder).is_some() { Making::Done } else { Making::CutShort }
}

/// Puts what a cluster can still tell into the folder of the run that died with it.
pub(super) async fn salvage_for_user(folder: &Path) {
    let Some(user) = read_use(folder) else { return };
    for (name, text) in salvage(&folder.join(keeper::LEDGER)).await {
        // The run folder of a run that died may be gone as well; the cluster goes in any case.
        let _ = fs::write(user.folder.join("blobs").join(format!("{name}.log")), redact::text(&text));
    }
}

/// The cluster in a folder whose lease is held, if it was handed back and is still well.
async fn usable(folder: &Path, given: &Given) -> Option<Made> {
    let state = read_state(folder).filter(|_| read_use(folder).is_none())?;
    let made = Made::adopt(&state.record, given).await.ok()?;
    made.is_well().await.then_some(made)
}

/// Takes the cluster in a folder away, whatever there is of it; the folder stays for the next.
async fn end(folder: &Path) -> Result<(), KindError> {
    if folder.join(keeper::LEDGER).exists() {
        let taken = take_away(&folder.join(keeper::LEDGER), making(folder)).await;
        taken.map_err(super::ground::GroundError::from)?;
    }
    for name in [keeper::LEDGER, keeper::KEEPER, "cluster.json", "use.json"] {
        remove(&folder.join(name))?;
    }
    Ok(())
}

/// The hash of everything that makes a cluster what it is, as hexadecimal digits. Values that can be changed in place do not.
async fn key(spec: &Spec, given: &Given) -> Result<String, KindError> {
    let engine = Engine::connect().await?;
    let image = match &given.node_image {
        Some(name) => engine.image(name).await?.unwrap_or_else(|| name.clone()),
        None => String::new(),
    };
    let spec = Spec { values: fixed(&spec.values), ..spec.clone() };
    let given = given.clone();
    Ok(cluster::blocking(move || {
        let mut text = format!("{spec:?}\n{image}\n{:?}\n", given.reach);
        for part in [&given.kind, &given.cilium_cli, &given.chart, &given.images, &given.crds, &given.agent].into_iter().flatten() {
            fingerprint(part, &mut text);
        }
        // The program itself: it decides what is made, and carries the agent.
        fingerprint(&std::env::current_exe().unwrap_or_default(), &mut text);
        let mut context = Context::new(&SHA256);
        context.update(text.as_bytes());
        context.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    })
    .await)
}

/// A file or folder by path, length and time of change: reading gigabytes of archives would take longer than it is worth.
fn fingerprint(path: &Path, into: &mut String) {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = fs::metadata(path) else { return };
    if meta.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| fingerprint(entry, into));
    } else {
        into.push_str(&format!("{} {} {}.{}\n", path.display(), meta.len(), meta.mtime(), meta.mtime_nsec()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_cluster_that_did_not_take_other_values_is_in_the_evidence_with_its_logs() {
        let out = tempfile::tempdir().unwrap();
        let recorder = Recorder::begin(RunFolder::create(out.path()).unwrap(), tokio_util::sync::CancellationToken::new()).unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n";
        let texts = BTreeMap::from([("control-plane.cilium".to_owned(), format!("level=fatal\n{key}"))]);
        let late = KindError::Unchanged(Duration::from_secs(9));
        replaced(&recorder, "plumb-a", &["encryption.enabled: true -> false".to_owned()], &late, texts);
        let observations = recorder.observations();
        let blob = observations.iter().find_map(|observation| observation.blobs.first()).unwrap();
        // A new cluster's log of the same name must not lie over it.
        assert_eq!(blob, "blobs/replaced.control-plane.cilium.log");
        let text = fs::read_to_string(recorder.folder().file(blob)).unwrap();
        assert!(text.starts_with("level=fatal\n") && !text.contains("abc"), "{text}");
        let why = "encryption.enabled: true -> false: change the values of the cluster: it was not ready with them within 9000 ms";
        assert_eq!(observations.last().unwrap().fact, Fact::Replaced { cluster: "plumb-a".into(), why: why.into() });
    }

    #[test]
    fn a_part_that_changes_changes_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let print = || {
            let mut text = String::new();
            fingerprint(folder.path(), &mut text);
            text
        };
        assert_eq!(print(), "");
        fs::create_dir(folder.path().join("templates")).unwrap();
        fs::write(folder.path().join("templates/a.yaml"), "a").unwrap();
        let one = print();
        assert_eq!(one, print());
        fs::write(folder.path().join("templates/a.yaml"), "ab").unwrap();
        assert_ne!(one, print());
    }
}
