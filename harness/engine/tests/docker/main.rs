//! What the kind provider does with Docker, on the real engine: networks, the agent's image, the outside client, commands, faults, and
//! that nothing is left. Containers of the agent's image stand in for nodes. Without Docker the tests are ignored with the reason, and
//! fail where `PLUMB_REQUIRE` names docker.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program, and its owners talk to it over their output")]

mod bench;
mod disruption;
mod faults;
mod host;
mod images;
mod keeper;
mod layers;
mod ownership;
mod wires;

use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plumb_engine::agent_program::{self, AgentProgram};
use plumb_engine::docker::{self, Claim, Engine};
use plumb_engine::folder::RunFolder;
use plumb_engine::ledger::{self, Ledger};
use plumb_engine::parts::Given;
use plumb_engine::provider::kind::ground::Ground;
use plumb_engine::session::Session;

/// Limit for one answer of an agent on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("__owner") {
        return ownership::own(Path::new(&words.next().unwrap()));
    }
    let args = Arguments::from_args();
    let missing = docker::blocking(async |_| Ok(())).err().map(|error| error.to_string());
    let required = std::env::var("PLUMB_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == "docker"));
    let faults = [faults::TRIALS, disruption::TRIALS].concat();
    let trials = [wires::TRIALS, &faults, ownership::TRIALS, host::TRIALS, images::TRIALS, bench::TRIALS, keeper::TRIALS].concat();
    let trials = trials.into_iter().map(|(name, test)| {
        let missing = missing.clone();
        Trial::ignorable_test(name, move || match missing {
            Some(reason) if required => Err(Failed::from(format!("docker is required and not there: {reason}"))),
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => test().map(|()| Completion::Completed).map_err(Failed::from),
        })
    });
    let trials = trials.chain([layers::trial(missing.clone())]).collect();
    libtest_mimic::run(&args, trials).exit_code()
}

/// A test by its name.
pub(crate) type Named = (&'static str, fn() -> Result<(), String>);

/// The agent, found or built once.
pub(crate) fn agent() -> &'static AgentProgram {
    static AGENT: OnceLock<AgentProgram> = OnceLock::new();
    AGENT.get_or_init(|| agent_program::find(&Given::from_env()).unwrap_or_else(|error| panic!("failed to {error}")))
}

/// A ground of this process with its ledger; what it holds is taken away when it is dropped.
pub(crate) struct Laid {
    pub(crate) ground: Ground,
    pub(crate) ledger: Ledger,
    _out: tempfile::TempDir,
}

/// A name nobody else has.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("plumb-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Laid {
    /// Networks with these interfaces.
    pub(crate) async fn with(interfaces: &[&str]) -> Laid {
        let out = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&RunFolder::create(out.path()).unwrap()).unwrap();
        plumb_engine::janitor::entrust(ledger.path()).unwrap();
        let name = fresh_name();
        let interfaces: Vec<String> = interfaces.iter().map(|name| (*name).to_owned()).collect();
        let engine = Engine::connect().await.unwrap();
        let ground = Ground::make(engine, &name, &interfaces, Claim::own(&name), &ledger).await.unwrap();
        Laid { ground, ledger, _out: out }
    }

    /// The same with a client on all of them.
    pub(crate) async fn with_client(interfaces: &[&str]) -> Laid {
        let laid = Laid::with(interfaces).await;
        let interfaces: Vec<String> = interfaces.iter().map(|name| (*name).to_owned()).collect();
        laid.ground.make_client(agent(), &interfaces, &laid.ledger).await.unwrap();
        laid
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.ground.engine()
    }

    /// A session with the agent in a container of it.
    pub(crate) async fn session(&self, container: &str) -> Session {
        let streams = self.engine().open(container, &["/plumb/agent", "session"]).await.unwrap();
        let session = Session::over(container, streams.output, streams.input);
        session.hello(LIMIT).await.unwrap();
        session
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        for resource in ledger::outstanding(self.ledger.path()).unwrap_or_default() {
            if let Err(error) = ledger::remove(&resource) {
                println!("left behind: failed to {error}");
            }
        }
    }
}

/// Runs a test that waits for Docker.
pub(crate) fn run<F: Future<Output = Result<(), String>>>(test: F) -> Result<(), String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// An assertion with its words.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
