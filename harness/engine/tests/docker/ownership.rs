//! Who owns what: labels, the sweep, and a janitor that cleans after an owner that was killed at any moment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use plumb_core::statistics::SplitMix;
use plumb_engine::docker::Engine;
use plumb_engine::docker::{self, Claim, Egress};
use plumb_engine::folder::RunFolder;
use plumb_engine::ledger::{self, Ledger, Line, Making, Resource, SweepOutcome};
use plumb_engine::process::Identity;

use crate::{Laid, Named, ensure, fresh_name, run};

pub(crate) const TRIALS: &[Named] = &[
    ("an_owner_killed_at_any_moment_leaves_no_container_network_or_image", killed_at_any_moment),
    ("sweep_takes_what_a_dead_owner_left_and_leaves_what_is_in_use", swept),
    ("everything_that_is_made_carries_our_labels", || run(labelled())),
    ("what_docker_makes_after_its_maker_was_stopped_is_taken_away", || run(made_late())),
];

/// How often an owner is killed, each time at another moment.
const KILLS: u32 = 10;
/// How long the janitor may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// An owner: lays a ground under a given name, says so, and waits to be killed.
pub(crate) fn own(_out: &Path) -> ExitCode {
    let _ = run(async {
        let laid = Laid::with_client(&["eth0", "net0"]).await;
        println!("{}", laid.ground.name());
        std::future::pending::<()>().await;
        Ok(())
    });
    ExitCode::SUCCESS
}

/// An owner that runs; killed when it is dropped.
struct Owner(std::process::Child);

impl Owner {
    fn start() -> Owner {
        // It names what it makes by its pid.
        let mut command = Command::new("/proc/self/exe");
        Owner(command.args(["__owner", "."]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn identity(&self) -> Identity {
        Identity::of(self.0.id() as i32).unwrap()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn left_of(prefix: &str) -> Result<BTreeSet<String>, String> {
    let claimed = docker::blocking(async |engine| engine.claimed().await).map_err(|error| error.to_string())?;
    Ok(claimed.into_iter().filter(|(_, claim)| claim.run.starts_with(prefix)).map(|(found, _)| found.to_string()).collect())
}

fn killed_at_any_moment() -> Result<(), String> {
    let agent = crate::agent();
    ensure(!agent.bytes.is_empty(), || "no agent".into())?;
    let mut chance = SplitMix::new(20_261_124);
    (0..KILLS).try_for_each(|_| {
        let after = Duration::from_micros((chance.unit() * 1_800_000.0) as u64);
        let owner = Owner::start();
        let identity = owner.identity();
        // The random moment is what is under test.
        std::thread::sleep(after);
        drop(owner);
        until_janitor_ended(identity)?;
        let left = left_of(&format!("plumb-test-{}-", identity.pid))?;
        ensure(left.is_empty(), || format!("killed after {after:?}: {left:?} are left"))
    })
}

fn until_janitor_ended(owner: Identity) -> Result<(), String> {
    let until = Instant::now() + LIMIT;
    let wanted = ["__janitor".to_owned(), owner.pid.to_string(), owner.start.to_string()];
    let cleans = || {
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()).any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            wanted.iter().all(|word| words.contains(&word.as_bytes()))
        })
    };
    while cleans() {
        ensure(Instant::now() < until, || "the janitor did not end".into())?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn swept() -> Result<(), String> {
    let mut owner = Owner::start();
    let mut name = String::new();
    BufReader::new(owner.0.stdout.take().unwrap()).read_line(&mut name).unwrap();
    let used = name.trim().to_owned();
    let dead = fresh_name();
    let claim = Claim { run: dead.clone(), owner: Identity { pid: 1, start: 1 }, expires: None };
    docker::blocking(async |engine| engine.make_network(&dead, Egress::None, &claim).await.map(drop)).map_err(|error| error.to_string())?;
    let found = ledger::sweep().map_err(|error| error.to_string())?;
    let of = |name: &str| found.iter().filter(|swept| swept.what.contains(name)).map(|swept| &swept.outcome).collect::<Vec<_>>();
    let in_use = of(&used).iter().all(|outcome| matches!(outcome, SweepOutcome::InUse(_)));
    let removed = of(&dead).iter().all(|outcome| matches!(outcome, SweepOutcome::Removed));
    let counts = (of(&used).len(), of(&dead).len());
    let (used_left, dead_left) = (left_of(&used)?, left_of(&dead)?);
    drop(owner);
    // Client, two networks and the image; and the one network.
    ensure(in_use && removed && counts == (4, 1), || format!("{found:?}"))?;
    ensure(used_left.len() == 4 && dead_left.is_empty(), || format!("{used_left:?} and {dead_left:?}"))?;
    let until = Instant::now() + LIMIT;
    while !left_of(&used)?.is_empty() {
        ensure(Instant::now() < until, || "the janitor left something".into())?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

async fn labelled() -> Result<(), String> {
    let lab = Laid::with_client(&["eth0", "net0"]).await;
    let claimed = lab.engine().claimed().await.map_err(|error| error.to_string())?;
    let ours: Vec<_> = claimed.iter().filter(|(_, claim)| claim.run == lab.ground.name()).collect();
    ensure(ours.len() == 4 && ours.iter().all(|(_, claim)| claim.owner == Identity::own()), || format!("{ours:?}"))
}

/// How long after it was looked for Docker ends what it was asked for.
const LATE: Duration = Duration::from_millis(1500);

/// The network stands for what Docker was asked for by a maker that waits no longer: it is not there when it is looked for first.
async fn made_late() -> Result<(), String> {
    let out = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(&RunFolder::create(out.path()).unwrap()).unwrap();
    let name = fresh_name();
    ledger.write(&Line::Making(Resource::DockerNetwork { name: name.clone() })).unwrap();
    let path = ledger.path().to_owned();
    let taking = tokio::task::spawn_blocking(move || ledger::take_away(&path, Making::CutShort));
    tokio::time::sleep(LATE).await;
    let engine = Engine::connect().await.unwrap();
    let network = engine.make_network(&name, Egress::None, &Claim::own(&name)).await;
    let left = taking.await.unwrap().map_err(|error| error.to_string())?;
    let stays = engine.claimed_networks().await.unwrap().into_iter().any(|(other, _)| other == name);
    engine.remove_network(&name).await.unwrap();
    ensure(network.is_ok(), || format!("the network was not made: {network:?}"))?;
    ensure(left.is_empty() && !stays, || format!("network {name} is still there, and {left:?}"))?;
    ensure(ledger::outstanding(ledger.path()).unwrap().is_empty(), || "the ledger still claims it".into())
}
