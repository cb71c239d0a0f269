//! The keeper of one lab, `<exe> __lab`: it makes the lab as a run does, in a session of its own, and keeps it when the run is over.
//!
//! Its standard input holds a [`Request`] in the first line; then it belongs to whoever asked, who may say `stop <reason>`, or `keep`
//! once the lab is up. When it ends before `keep`, nobody wants the lab. On its standard output it says what goes on ([`Said`]).

use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plumb_core::plan::Plan;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::{LabsError, Name, Record, State};
use crate::parts::Given;
use crate::process::Identity;
use crate::provider::kind::Sharing;
use crate::run::{Cleanup, Event, Keep, Kept, Setup, Stop};
use crate::{clock, ledger, suite};

/// What somebody asks a keeper for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Name of the lab.
    pub name: String,
    /// What it is made for, as it could be typed.
    pub made_by: String,
    /// What is to be run in it.
    pub plan: Plan,
    /// Where run folders go.
    pub out: PathBuf,
    /// Parts of a real lab that the user gives.
    pub given: Given,
    /// How long it is kept after the last step, in seconds.
    pub keep_s: u64,
}

/// What a keeper says, one JSON value a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    /// There is a run folder.
    Began(PathBuf),
    /// A phase began.
    Phase(String),
    /// It waits for others, and for what.
    Waiting(String),
    /// A step began.
    Step {
        /// Its id.
        id: String,
        /// Its verb.
        verb: String,
    },
    /// The lab is up, and the verdict is in the run folder.
    Up(Box<Kept>),
    /// The name is not to be had, or the run could not begin: nothing was made.
    Refused(String),
    /// It is over, and the lab is gone.
    Over {
        /// Why `verdict.json` could not be written, if so.
        unwritten: Option<String>,
    },
}

/// What is said on the keeper's standard input, after the request.
pub(crate) const KEEP: &str = "keep";
/// The beginning of the other thing that is said there.
pub(crate) const STOP: &str = "stop ";

/// `__lab`: the keeper's own life.
pub(crate) fn main() -> ExitCode {
    // Before anything else: Ctrl-C is for whoever asked, who says what is to become of the lab.
    let _ = nix::unistd::setsid();
    let mut line = String::new();
    let request = match io::stdin().lock().read_line(&mut line).map_err(io::Error::other) {
        Ok(_) => serde_json::from_str::<Request>(&line).map_err(io::Error::other),
        Err(error) => Err(error),
    };
    match request
        .map_err(|error| format!("read what lab is wanted: {error}"))
        .and_then(|request| keep(request).map_err(|error| error.to_string()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&Said::Refused(error));
            ExitCode::FAILURE
        }
    }
}

/// Says something. Nobody listens any longer once the lab was handed over.
fn say(said: &Said) {
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    let mut out = io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

fn keep(request: Request) -> Result<(), Box<dyn std::error::Error>> {
    let _name = Name::take(&request.name)?;
    let state = if request.plan.scenario.checks().is_empty() { State::Making } else { State::InUse };
    let record = Record {
        name: request.name,
        provider: request.plan.provider.clone(),
        made_by: request.made_by,
        keeper: Identity::own(),
        made_s: clock::unix_s(),
        run: None,
        state,
    };
    let folder = record.folder()?;
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|source| LabsError::File {
        operation: "create",
        path: folder.clone(),
        source,
    })?;
    let written = Written::begin(record)?;
    let stop = Stop::default();
    heed_signals(&stop)?;
    heed_starter(&stop, &folder);
    let cleanup = Cleanup::Keep(Keep { span: Duration::from_secs(request.keep_s), folder: folder.clone() });
    let setup = Setup { cleanup, given: request.given, sharing: Sharing::Alone };
    let hears = Arc::clone(&written);
    let listener = Arc::new(move |event| hears.hear(event));
    let ran = suite::run_here(request.plan, &request.out, &setup, &stop, listener);
    // Gone with the lab already where the lab's ledger claims it.
    let _ = fs::remove_dir_all(&folder);
    let closed = ran?;
    if let Ok(ledger) = ledger::Ledger::reopen(&closed.folder.join("ledger.jsonl")) {
        let _ = ledger.write(&ledger::Line::Gone(ledger::Resource::Folder { folder }));
    }
    say(&Said::Over { unwritten: closed.unwritten });
    Ok(())
}

/// What is written down of the lab, as it changes.
struct Written(Mutex<Record>);

impl Written {
    fn begin(record: Record) -> Result<Arc<Written>, LabsError> {
        record.write()?;
        Ok(Arc::new(Written(Mutex::new(record))))
    }

    fn hear(&self, event: Event) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = match event {
            Event::Began { folder } => {
                record.run = Some(folder.clone());
                Said::Began(folder)
            }
            Event::Kept(kept) => {
                record.state = State::Up(kept.clone());
                Said::Up(kept)
            }
            Event::Phase(phase) => {
                if matches!(record.state, State::Up(_)) {
                    record.state = State::Ending;
                }
                Said::Phase(phase.to_owned())
            }
            Event::Waiting { what } => Said::Waiting(what),
            Event::Step { id, verb } => Said::Step { id, verb },
        };
        if !matches!(said, Said::Step { .. }) {
            // It can be ended without; whoever looks for it finds it by its label.
            let _ = record.write();
        }
        drop(record);
        say(&said);
    }
}

/// `plumb down` says it by SIGTERM.
fn heed_signals(stop: &Stop) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminate = {
        let _entered = runtime.enter();
        signal(SignalKind::terminate())?
    };
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            while terminate.recv().await.is_some() {
                stop.because("plumb down");
            }
        });
    })?;
    Ok(())
}

/// Listens to whoever asked, until the lab is handed over or not wanted.
fn heed_starter(stop: &Stop, folder: &std::path::Path) {
    let (stop, log) = (stop.clone(), folder.join(super::LOG));
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match line.strip_prefix(STOP) {
                Some(reason) => stop.because(reason),
                None if line == KEEP => return let_go(&log),
                None => {}
            }
        }
        stop.because("whoever asked for the lab is gone");
    });
}

/// Lets go of whoever asked: of the pipes they wait for, and of the terminal they may close.
fn let_go(log: &std::path::Path) {
    let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = nix::unistd::dup2_stdin(&null);
    let _ = nix::unistd::dup2_stdout(&null);
    if let Ok(log) = fs::OpenOptions::new().create(true).append(true).open(log) {
        let _ = nix::unistd::dup2_stderr(&log);
    }
}
