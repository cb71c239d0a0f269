//! The keeper of a shared cluster, with a network of Docker in the cluster's place: it stays while somebody uses it or it is not idle
//! for long enough, and goes when its maker or user is gone.

use std::path::PathBuf;
use std::time::Duration;

use plumb_engine::docker::{Claim, Egress, Engine};
use plumb_engine::ledger::{self, Ledger, Line, Resource};
use plumb_engine::provider::kind::keeper::{self, Keeper};
use plumb_engine::provider::kind::lease::{self, Lease};
use plumb_engine::provider::kind::shared::State;
use serde_json::json;

use crate::{Named, ensure, fresh_name, run};

// One trial: whoever waits for a place on this machine ends a cluster that is idle, and three trials side by side wait for one another.
pub(crate) const TRIALS: &[Named] = &[("a_shared_cluster_goes_when_its_maker_or_user_died_or_nobody_wants_it", || run(three_ends()))];

async fn three_ends() -> Result<(), String> {
    maker_died().await?;
    maker_died_while_docker_worked().await?;
    user_died().await?;
    handed_back().await?;
    one_waiter_ends_one().await?;
    starter_gave_up().await
}

/// Longer than a keeper takes to look and Docker to remove a network, on a busy machine.
const GONE: Duration = Duration::from_secs(60);

/// A folder with a keeper and a network that its ledger claims.
struct Kept {
    engine: Engine,
    folder: PathBuf,
    name: String,
}

impl Kept {
    /// Made by a maker who holds the lease.
    async fn make(idle: Duration) -> (Kept, Lease) {
        let (kept, lease, claim) = Kept::claimed(idle).await;
        kept.engine.make_network(&kept.name, Egress::None, &claim).await.unwrap();
        (kept, lease)
    }

    /// Its maker holds the lease and has asked for the network, which is not there yet.
    async fn claimed(idle: Duration) -> (Kept, Lease, Claim) {
        let name = fresh_name();
        let folder = ledger::runtime_folder().unwrap().join(keeper::PLACE).join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let lease = lease::try_take(&folder.join(keeper::LEASE)).unwrap().unwrap();
        let ledger = Ledger::create_at(&folder.join(keeper::LEDGER), &name).unwrap();
        let keeper = Keeper::start(&folder, idle).await.unwrap();
        let claim = Claim { run: name.clone(), owner: keeper.identity(), expires: None };
        ledger.write(&Line::Making(Resource::DockerNetwork { name: name.clone() })).unwrap();
        let engine = Engine::connect().await.unwrap();
        (Kept { engine, folder, name }, lease, claim)
    }

    /// As `cluster.json` says of a cluster that is ready.
    fn is_ready(&self, released_s: i64) {
        let record = json!({
            "name": self.name, "kubeconfig": "/nonexistent", "networks": [], "system": "a network in its place", "cilium": "",
            "expect": {"nodes": 0, "gatewayClass": false}, "ciliumCli": "", "digestsOff": false,
            "nodes": {}, "clientLinks": [], "agentImage": "", "values": {},
        });
        let state = json!({"record": record, "releasedS": released_s});
        let state: State = serde_json::from_value(state).unwrap();
        std::fs::write(self.folder.join("cluster.json"), serde_json::to_vec(&state).unwrap()).unwrap();
    }

    async fn is_there(&self) -> bool {
        let networks = self.engine.claimed_networks().await.unwrap();
        networks.iter().any(|(name, _)| *name == self.name)
    }

    async fn is_gone(&self) -> Result<(), String> {
        let began = tokio::time::Instant::now();
        while self.is_there().await || self.folder.exists() {
            ensure(began.elapsed() < GONE, || format!("{} or its network is still there", self.folder.display()))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

async fn maker_died() -> Result<(), String> {
    let (kept, lease) = Kept::make(Duration::from_secs(3600)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure(kept.is_there().await, || "it went while its maker held it".into())?;
    drop(lease);
    kept.is_gone().await
}

/// Docker ends what the maker had asked for when the keeper has looked for it once.
async fn maker_died_while_docker_worked() -> Result<(), String> {
    let (kept, lease, claim) = Kept::claimed(Duration::from_secs(3600)).await;
    drop(lease);
    tokio::time::sleep(Duration::from_secs(2)).await;
    kept.engine.make_network(&kept.name, Egress::None, &claim).await.unwrap();
    kept.is_gone().await
}

async fn user_died() -> Result<(), String> {
    let (kept, lease) = Kept::make(Duration::from_secs(3600)).await;
    let run = tempfile::tempdir().unwrap();
    std::fs::create_dir(run.path().join("blobs")).unwrap();
    kept.is_ready(now_s());
    let user = json!({"run": "run", "folder": run.path()});
    std::fs::write(kept.folder.join("use.json"), user.to_string()).unwrap();
    drop(lease);
    kept.is_gone().await
}

async fn handed_back() -> Result<(), String> {
    let (kept, lease) = Kept::make(Duration::from_secs(4)).await;
    kept.is_ready(now_s());
    drop(lease);
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure(kept.is_there().await, || "it went before it was idle for long enough".into())?;
    // The next user holds it for longer than it may be idle.
    let lease = lease::take(&kept.folder.join(keeper::LEASE)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    ensure(kept.is_there().await, || "it went while it was used".into())?;
    kept.is_ready(now_s());
    drop(lease);
    kept.is_gone().await
}

/// Of two that are idle the one that was handed back first goes for whoever waits, and the other stays.
async fn one_waiter_ends_one() -> Result<(), String> {
    let place = ledger::runtime_folder().unwrap();
    let free = async || tokio::time::timeout(Duration::from_millis(300), lease::take_slot(&place)).await.map(Result::unwrap);
    let (older, lease) = Kept::make(Duration::from_secs(3600)).await;
    older.is_ready(now_s() - 100);
    drop(lease);
    if free().await.is_err() {
        // This machine has one place.
        older.is_ready(0);
        return older.is_gone().await;
    }
    let (newer, lease) = Kept::make(Duration::from_secs(3600)).await;
    newer.is_ready(now_s() - 50);
    drop(lease);
    let mut slots = Vec::new();
    while let Ok(slot) = free().await {
        slots.push(slot);
    }
    let waited = tokio::time::timeout(GONE, lease::take_slot(&place)).await;
    ensure(waited.is_ok(), || "whoever waits got no place".into())?;
    older.is_gone().await?;
    // Longer than the other's keeper takes to end it, were it to.
    tokio::time::sleep(Duration::from_secs(4)).await;
    ensure(newer.is_there().await && newer.folder.exists(), || "both went for one who waited".into())?;
    newer.is_ready(0);
    newer.is_gone().await
}

/// A keeper that still waits for a place: it ends with its starter's interest, and what somebody else holds by then is left alone.
async fn starter_gave_up() -> Result<(), String> {
    let place = ledger::runtime_folder().unwrap();
    let mut slots = Vec::new();
    while let Ok(slot) = tokio::time::timeout(Duration::from_millis(300), lease::take_slot(&place)).await {
        slots.push(slot.unwrap());
    }
    for somebody_holds_it in [false, true] {
        let folder = place.join(keeper::PLACE).join(fresh_name());
        std::fs::create_dir_all(&folder).unwrap();
        let lease = lease::try_take(&folder.join(keeper::LEASE)).unwrap().unwrap();
        let started = tokio::time::timeout(Duration::from_secs(1), Keeper::start(&folder, Duration::from_secs(3600))).await;
        ensure(started.is_err(), || "it did not wait for a place".into())?;
        let pid = std::fs::read_to_string(folder.join(keeper::KEEPER)).unwrap();
        let process = PathBuf::from("/proc").join(pid);
        ensure(process.exists(), || "it ended at once".into())?;
        let lease = somebody_holds_it.then_some(lease);
        let began = tokio::time::Instant::now();
        // A child that nobody waited for is still listed; tokio reaps it within this runtime.
        while process.join("exe").exists() || (!somebody_holds_it && folder.exists()) {
            ensure(began.elapsed() < GONE, || format!("the keeper of {} or its folder is still there", folder.display()))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ensure(folder.exists() == somebody_holds_it, || format!("{}: held {somebody_holds_it}", folder.display()))?;
        drop(lease);
        if somebody_holds_it {
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    Ok(())
}
