//! The lab's supervisor, `<exe> __refnet <dir>`: enters namespaces of its own, builds the topology, serves the API, runs the
//! cluster's controllers, starts the nodes, answers `control.sock`, and takes everything with it when it ends.

mod cluster;
mod containers;
mod control;
mod enter;
mod machine;
mod probe;
mod session;
mod topology;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::net::netlink::NetError;
use crate::net::plan::PlanError;
use crate::spec::{LabSpec, Ready};

/// In place of a directory: only try what a lab needs.
pub(crate) const PROBE: &str = "--probe";
/// What a trial run says when nothing is missing.
pub(crate) const PROBE_OK: &str = "a lab can be made here";

/// What stops a lab from coming up or going on. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
enum SupervisorError {
    /// `spec.json`.
    #[error("read spec.json: {0}")]
    Spec(String),
    /// Helm values.
    #[error("read the values: {0}")]
    Values(String),
    /// The layout.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The kernel refused a link, address or route.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The API server.
    #[error("start the API server: {0}")]
    Api(String),
    /// A node did not come up.
    #[error("start node {name}: {reason}")]
    Node {
        /// Which one.
        name: String,
        /// The end of its log.
        reason: String,
    },
    /// Any other operation on this machine.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried.
        operation: String,
        /// What came back.
        source: std::io::Error,
    },
}

impl SupervisorError {
    fn io(operation: impl Into<String>) -> impl FnOnce(std::io::Error) -> SupervisorError {
        let operation = operation.into();
        move |source| SupervisorError::Io { operation, source }
    }
}

/// Runs a lab from the spec in `dir` until it is closed, its owner goes away or it cannot go on. Must be called before the
/// process has a second thread.
pub fn main(dir: &Path) -> ExitCode {
    let trial = dir == Path::new(PROBE);
    let inside = enter::run_inside(|| if trial { report(probe::run()) } else { report(run(dir)) });
    inside.unwrap_or_else(|error| {
        complain(&error.to_string());
        ExitCode::FAILURE
    })
}

fn report(result: Result<(), SupervisorError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error, which the owner keeps as the supervisor's log.
fn complain(what: &str) {
    // Nobody may be reading; the exit status says enough then.
    let _ = writeln!(std::io::stderr(), "failed to {what}");
}

fn run(dir: &Path) -> Result<(), SupervisorError> {
    let began = Instant::now();
    // Relative from here on: the path of a Unix socket must be short.
    std::env::set_current_dir(dir).map_err(SupervisorError::io(format!("enter {}", dir.display())))?;
    let text = std::fs::read("spec.json").map_err(|error| SupervisorError::Spec(error.to_string()))?;
    let spec: LabSpec = serde_json::from_slice(&text).map_err(|error| SupervisorError::Spec(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(SupervisorError::io("start the runtime"))?;
    runtime.block_on(serve(dir, spec, began))
}

async fn serve(dir: &Path, spec: LabSpec, began: Instant) -> Result<(), SupervisorError> {
    let owner_gone = owner_gone();
    let making = async {
        let cluster = cluster::Cluster::start(dir, spec, began).await?;
        let listener = tokio::net::UnixListener::bind("control.sock").map_err(SupervisorError::io("bind control.sock"))?;
        announce(cluster.ready())?;
        control::serve(listener, cluster).await;
        Ok(())
    };
    tokio::select! {
        result = making => result,
        _ = owner_gone => Ok(()),
    }
}

/// Resolves when standard input ends: the owner closed it or is no more.
fn owner_gone() -> tokio::sync::oneshot::Receiver<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
        let _ = tell.send(());
    });
    told
}

/// Says on standard output, and in `ready.json`, that the lab is ready.
fn announce(ready: &Ready) -> Result<(), SupervisorError> {
    let mut line = serde_json::to_vec(ready).map_err(|error| SupervisorError::Spec(error.to_string()))?;
    std::fs::write("ready.json", &line).map_err(SupervisorError::io("write ready.json"))?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(SupervisorError::io("say that the lab is ready"))
}

/// Milliseconds of each phase so far.
#[derive(Debug)]
struct Phases {
    last: Instant,
    ms: BTreeMap<String, u64>,
}

impl Phases {
    fn since(began: Instant) -> Phases {
        Phases { last: began, ms: BTreeMap::new() }
    }

    fn done(&mut self, phase: &str) {
        let now = Instant::now();
        self.ms.insert(phase.to_owned(), u64::try_from((now - self.last).as_millis()).unwrap_or(u64::MAX));
        self.last = now;
    }
}
