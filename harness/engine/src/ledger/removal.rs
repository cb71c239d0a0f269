//! Taking away what a ledger claims.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;

use super::{Ledger, LedgerError, Line, Resource, outstanding};
use crate::cluster::ObjectId;
use crate::docker;
use crate::process::{Identity, PidFd};
use crate::provider::kind::layers;
use crate::provider::kubeconfig::access::Access;
use crate::provider::kubeconfig::sweep as adopted;

/// Whether what a ledger claims was made to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    /// Everything that was asked for has been answered.
    Done,
    /// Whoever made it died or was stopped: Docker or an API may be making still what it was asked for.
    CutShort,
}

/// How long Docker may take to make what it was asked for by somebody who waits no longer, and how often that is looked for.
const LATE: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_millis(500);

/// Takes away what a ledger claims, each whatever came of those before, and says so in it; what could not be, and why.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn take_away(ledger: &Path, making: Making) -> Result<Vec<(Resource, LedgerError)>, LedgerError> {
    let claimed = outstanding(ledger)?;
    let removed = match making {
        Making::Done => remove_all(claimed),
        Making::CutShort => remove_all_and_late(claimed),
    };
    let mut left = Vec::new();
    let written = Ledger::reopen(ledger)?;
    for (resource, outcome) in removed {
        match outcome {
            Ok(()) => written.write(&Line::Gone(resource))?,
            Err(error) => left.push((resource, error)),
        }
    }
    Ok(left)
}

/// Takes resources away, and for some time what comes into being after it was looked for.
pub fn remove_all_and_late(resources: Vec<Resource>) -> Vec<(Resource, Result<(), LedgerError>)> {
    let late: Vec<Resource> = resources.iter().filter(|resource| resource.may_come_late()).cloned().collect();
    let mut removed = remove_all(resources);
    let until = Instant::now() + LATE;
    while !late.is_empty() && Instant::now() < until {
        std::thread::sleep(EVERY);
        removed.retain(|(resource, _)| !resource.may_come_late());
        removed.extend(remove_all(late.clone()));
    }
    removed
}

/// Takes a resource away, whatever state it is in.
///
/// # Errors
/// When something of it is still there afterwards.
pub fn remove(resource: &Resource) -> Result<(), LedgerError> {
    match resource {
        Resource::RefnetLab { folder } => remove_refnet_lab(folder),
        Resource::Folder { folder } => remove_folder(folder),
        Resource::DockerNetwork { name } => Ok(docker::blocking(async |engine| engine.remove_network(name).await)?),
        Resource::DockerContainer { name } => Ok(docker::blocking(async |engine| engine.remove_container(name).await)?),
        Resource::DockerImage { reference } => Ok(docker::blocking(async |engine| engine.remove_image(reference).await)?),
        Resource::KindCluster { name, network } => Ok(docker::blocking(async |engine| engine.remove_kind_cluster(name, network).await)?),
        Resource::NodeStores { volume, cluster, image } => {
            Ok(docker::blocking(async |engine| layers::remove_copies(&engine, volume, cluster, image).await)?)
        }
        Resource::ClusterObject { access, run, object } => {
            let left = adopted::remove(access, run, std::slice::from_ref(object));
            left.into_iter().next().map_or(Ok(()), |left| Err(still_there(left)))
        }
    }
}

/// Takes resources away, each whatever came of those before; objects of one cluster go together, because their ends take time.
pub fn remove_all(resources: Vec<Resource>) -> Vec<(Resource, Result<(), LedgerError>)> {
    let mut clusters: Vec<((Access, String), Vec<ObjectId>)> = Vec::new();
    let mut done = Vec::new();
    for resource in resources {
        match resource {
            Resource::ClusterObject { access, run, object } => {
                let cluster = (access, run);
                match clusters.iter_mut().find(|(known, _)| *known == cluster) {
                    Some((_, objects)) => objects.push(object),
                    None => clusters.push((cluster, vec![object])),
                }
            }
            other => {
                let removed = remove(&other);
                done.push((other, removed));
            }
        }
    }
    for ((access, run), objects) in clusters {
        let mut left = adopted::remove(&access, &run, &objects);
        done.extend(objects.into_iter().map(|object| {
            let at = left.iter().position(|(one, _)| *one == object);
            let outcome = at.map_or(Ok(()), |at| Err(still_there(left.swap_remove(at))));
            (Resource::ClusterObject { access: access.clone(), run: run.clone(), object }, outcome)
        }));
    }
    done
}

fn still_there((object, message): (ObjectId, String)) -> LedgerError {
    LedgerError::Cluster { object: object.to_string(), message }
}

fn remove_refnet_lab(folder: &Path) -> Result<(), LedgerError> {
    let failed = |operation, source| LedgerError::Io { operation, path: folder.to_owned(), source };
    for process in processes_of(folder) {
        let Ok(handle) = PidFd::open(process) else { continue };
        handle.kill().map_err(|source| failed("end the processes of", source))?;
        let ended = handle.wait(PollTimeout::from(5_000u16)).map_err(|source| failed("wait for the processes of", source))?;
        if !ended {
            return Err(failed("end the processes of", io::Error::from(io::ErrorKind::TimedOut)));
        }
    }
    remove_folder(folder)
}

fn remove_folder(folder: &Path) -> Result<(), LedgerError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LedgerError::Io { operation: "remove", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Processes that serve a lab: those with its folder as an argument. The supervisor comes first; with it the kernel ends the rest.
fn processes_of(folder: &Path) -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id() as i32;
    let mut found: Vec<Identity> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = command.split(|byte| *byte == 0).skip(1);
            words.next().is_some_and(|verb| verb.starts_with(b"__ref")) && words.next() == Some(folder.as_os_str().as_encoded_bytes())
        })
        .filter_map(Identity::of)
        .collect();
    found.sort_by_key(|process| process.start);
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::{Label, make_lab_folder, runtime_folder};
    use super::*;

    /// A folder that is not one of ours cannot be taken away; what was made before it goes all the same, and the ledger says so.
    #[test]
    fn what_cannot_be_taken_away_keeps_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ledger.jsonl");
        let ledger = Ledger::create_at(&path, "run").unwrap();
        let ours = runtime_folder().unwrap().join(format!("plumb-removal-test-{}", std::process::id()));
        let label = Label::own("run", None);
        let stubborn = Resource::Folder { folder: "/dev/null/nothing".into() };
        ledger.write(&Line::Making(Resource::Folder { folder: ours.clone() })).unwrap();
        make_lab_folder(&ours, &label).unwrap();
        ledger.write(&Line::Making(stubborn.clone())).unwrap();
        let left = take_away(&path, Making::Done).unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].0, stubborn);
        assert!(!ours.exists());
        assert_eq!(outstanding(&path).unwrap(), [stubborn]);
    }
}
