//! Whose the objects in an adopted cluster are, whether their owner still lives, and what is taken away of those whose does not: by the
//! ledger for whoever has it, by label where nothing else is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, ListParams, PartialObjectMeta};
use kube::discovery::{Discovery, verbs};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use super::access::Access;
use super::{AdoptError, NAMESPACE};
use crate::clock;
use crate::cluster::{ApiError, Cluster, Manifest, ObjectId, RUN_LABEL, chain, removal};
use crate::docker::{EXPIRY_LABEL, OWNER_LABEL};
use crate::ledger::{LedgerError, SweepOutcome, Swept};
use crate::parts::Given;
use crate::process::Identity;

/// Limit for what is taken away to be gone: Pods have some seconds of grace, namespaces wait for what is in them.
const GONE: Duration = Duration::from_secs(110);
/// How often a place that somebody else has is looked at: they are on another machine, and need minutes.
const EVERY: Duration = Duration::from_secs(1);
/// Lists side by side.
const AT_ONCE: usize = 4;

/// Who made an object: a process on a machine, and until when it is theirs if that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    process: Identity,
    /// The machine, by the beginning of its boot id: after the next boot no process of this one is left.
    machine: String,
    expires: i64,
}

/// What is known of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It runs, here.
    Runs,
    /// It does not, or its time is over.
    Over,
    /// It is on another machine, and its time is not over.
    Elsewhere,
}

impl Owner {
    pub(super) fn own(expires: i64) -> Owner {
        Owner { process: Identity::own(), machine: machine(), expires }
    }

    /// As labels of objects of Kubernetes, which take no colon.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let owner = format!("{}.{}.{}", self.process.pid, self.process.start, self.machine);
        BTreeMap::from([(OWNER_LABEL.to_owned(), owner), (EXPIRY_LABEL.to_owned(), self.expires.to_string())])
    }

    /// From labels; `None` when they are not of this provider.
    pub(super) fn read(labels: &BTreeMap<String, String>) -> Option<Owner> {
        let mut parts = labels.get(OWNER_LABEL)?.splitn(3, '.');
        let process = Identity { pid: parts.next()?.parse().ok()?, start: parts.next()?.parse().ok()? };
        let machine = parts.next()?.to_owned();
        let expires = labels.get(EXPIRY_LABEL)?.parse().ok()?;
        Some(Owner { process, machine, expires })
    }

    pub(super) fn life(&self, now: i64) -> Life {
        match (self.machine == machine(), self.expires <= now) {
            (true, _) if self.process.alive() => Life::Runs,
            (true, _) | (false, true) => Life::Over,
            (false, false) => Life::Elsewhere,
        }
    }
}

fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

/// Makes the namespace that only one run can have. Where a run of another machine has it, its end is waited for.
///
/// # Errors
/// It is not a run's, or a dead one's, or the limit is reached: who has it, and the cure.
pub(super) async fn take_place(cluster: &Cluster, client: &Client, namespace: Value, limit: Duration) -> Result<(), AdoptError> {
    let until = tokio::time::Instant::now() + limit;
    loop {
        let manifest = Manifest { object: format!("namespace/{NAMESPACE}"), value: namespace.clone() };
        let taken = match cluster.apply(&manifest).await {
            Ok(()) => return Ok(()),
            Err(error @ ApiError::Taken { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        let api = Api::<k8s_openapi::api::core::v1::Namespace>::all(client.clone());
        let Ok(found) = api.get_metadata_opt(NAMESPACE).await else { return Err(taken.into()) };
        let Some(found) = found else { continue };
        let run = found.labels().get(RUN_LABEL).cloned().unwrap_or_default();
        match Owner::read(found.labels()).map(|owner| owner.life(clock::unix_s())) {
            // One that is on its way out is waited for, whoever's it was.
            _ if found.metadata.deletion_timestamp.is_some() => {}
            None => return Err(taken.into()),
            Some(Life::Over) => {
                let hint = "hint: `plumb sweep --cluster` takes away what it left there";
                return Err(AdoptError::InUse(format!("take the namespace {NAMESPACE}: run {run} left it, and that run is dead\n{hint}")));
            }
            Some(Life::Runs | Life::Elsewhere) => {}
        }
        if tokio::time::Instant::now() > until {
            let waited = limit.as_secs();
            return Err(AdoptError::InUse(format!("take the namespace {NAMESPACE}: run {run} has it, and had it for {waited} s")));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Takes objects of one run away, the agents' namespace last: while it is there, whoever comes waits. What is left, each with its reason.
pub(crate) fn remove(access: &Access, run: &str, objects: &[ObjectId]) -> Vec<(ObjectId, String)> {
    let all = |why: &str| objects.iter().map(|object| (object.clone(), why.to_owned())).collect();
    let removing = crate::provider::waited_for(|| async {
        let client = access.client().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(remove_by(&client, run, objects).await)
    });
    removing.unwrap_or_else(|why| all(&why))
}

async fn remove_by(client: &Client, run: &str, objects: &[ObjectId]) -> Vec<(ObjectId, String)> {
    let is_place = |object: &&ObjectId| object.kind == "Namespace" && object.name == NAMESPACE;
    let (place, others): (Vec<&ObjectId>, Vec<&ObjectId>) = objects.iter().partition(is_place);
    let mut left = Vec::new();
    for objects in [others, place] {
        let objects: Vec<ObjectId> = objects.into_iter().cloned().collect();
        left.extend(removal::remove(client, run, &objects, GONE).await);
    }
    left
}

/// Finds by label what dead runs left in the cluster that is meant, and takes it away.
///
/// # Errors
/// The cluster cannot be reached or asked.
pub fn sweep(given: &Given) -> Result<(String, Vec<Swept>), String> {
    let access = Access::of(given).map_err(|error| error.to_string())?;
    let swept = crate::provider::waited_for(|| async {
        let client = access.reach().await.map_err(|error| error.to_string())?;
        sweep_by(&client).await
    })?;
    Ok((access.shown(), swept))
}

async fn sweep_by(client: &Client) -> Result<Vec<Swept>, String> {
    let mut runs: BTreeMap<String, (Owner, Vec<ObjectId>)> = BTreeMap::new();
    for (id, run, owner) in labelled(client).await? {
        runs.entry(run).or_insert_with(|| (owner, Vec::new())).1.push(id);
    }
    let mut swept = Vec::new();
    for (run, (owner, objects)) in runs {
        if owner.life(clock::unix_s()) != Life::Over {
            let what = format!("{} objects of run {run}, until {} seconds after 1970", objects.len(), owner.expires);
            swept.push(Swept { what, outcome: SweepOutcome::InUse(owner.process) });
            continue;
        }
        let left = remove_by(client, &run, &objects).await;
        let why: BTreeMap<&ObjectId, &String> = left.iter().map(|(object, why)| (object, why)).collect();
        swept.extend(objects.iter().map(|object| {
            let outcome = match why.get(object) {
                Some(why) => SweepOutcome::Failed(LedgerError::Cluster { object: object.to_string(), message: (*why).clone() }),
                None => SweepOutcome::Removed,
            };
            Swept { what: format!("{object} of run {run}"), outcome }
        }));
    }
    Ok(swept)
}

/// Every object with this provider's labels, with its run and owner.
async fn labelled(client: &Client) -> Result<Vec<(ObjectId, String, Owner)>, String> {
    let discovery =
        Discovery::new(client.clone()).run().await.map_err(|error| format!("discover what the API serves: {}", chain(&error)))?;
    let mut kinds = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.supports_operation(verbs::LIST) && capabilities.supports_operation(verbs::DELETE) {
                kinds.push(resource);
            }
        }
    }
    let lists = kinds.into_iter().map(async |resource| {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client.clone(), &resource);
        let listed = api.list_metadata(&ListParams::default().labels(OWNER_LABEL)).await;
        (resource, listed)
    });
    let listed: Vec<_> = futures::stream::iter(lists).buffer_unordered(AT_ONCE).collect().await;
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for (resource, listed) in listed {
        let items = match listed {
            Ok(list) => list.items,
            // What may not be listed was not made by an account that has the rights of a run.
            Err(kube::Error::Api(status)) if [403, 404, 405].contains(&status.code) => continue,
            Err(error) => return Err(format!("list {}: {}", resource.plural, chain(&error))),
        };
        for object in items {
            let (Some(owner), Some(run)) = (Owner::read(object.labels()), object.labels().get(RUN_LABEL)) else { continue };
            // The same object is served in more than one group at times; its uid is one.
            if seen.insert(object.uid().unwrap_or_default()) {
                let id = ObjectId {
                    api_version: resource.api_version.clone(),
                    kind: resource.kind.clone(),
                    plural: resource.plural.clone(),
                    namespace: object.namespace(),
                    name: object.name_any(),
                };
                found.push((id, run.clone(), owner));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_survives_its_labels_and_others_labels_are_not_ours() {
        let owner = Owner::own(1_800_000_000);
        assert_eq!(Owner::read(&owner.labels()), Some(owner.clone()));
        assert!(
            owner
                .labels()
                .values()
                .all(|value| value.len() <= 63 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'))
        );
        // As the kind provider writes them in Docker.
        let docker = BTreeMap::from([(OWNER_LABEL.to_owned(), "12:34".to_owned())]);
        assert_eq!(Owner::read(&docker), None);
    }

    #[test]
    fn an_owner_here_is_asked_and_one_elsewhere_has_its_time() {
        let own = Owner::own(100);
        assert_eq!(own.life(200), Life::Runs, "a process that runs has no limit");
        let dead = Owner { process: Identity { pid: 1, start: 1 }, ..own.clone() };
        assert_eq!(dead.life(50), Life::Over);
        let elsewhere = Owner { machine: "another".into(), ..dead };
        assert_eq!((elsewhere.life(50), elsewhere.life(150)), (Life::Elsewhere, Life::Over));
    }
}
