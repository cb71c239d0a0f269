//! The life of a lab: whoever is killed when, nothing is left behind. Owners are this program again, so that they can be killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program, and its owners talk to it over their output")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plumb_core::evidence::{Fact, Observation};
use plumb_core::statistics::SplitMix;
use plumb_core::verdict::Outcome;
use plumb_engine::library::{Ask, Library};
use plumb_engine::parts::Given;
use plumb_engine::process::Identity;
use plumb_engine::run::{Cleanup, Event, Keep, Stop};
use plumb_engine::{ledger, provider, suite};

/// How often the owner is killed, each time at another moment, and how many owners live at a time.
const KILLS: u64 = 50;
const AT_ONCE: u64 = 4;

/// How long the janitor may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("__owner") {
        return own(&PathBuf::from(words.next().unwrap()), words.next().as_deref() == Some("keep"));
    }
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(1);
    let trials = vec![
        Trial::ignorable_test("an_owner_killed_at_any_moment_leaves_nothing", || here(killed_at_any_moment)),
        Trial::ignorable_test("sweep_takes_what_a_dead_owner_left_and_leaves_what_is_in_use", || here(swept)),
        Trial::ignorable_test("a_run_that_is_interrupted_keeps_its_evidence_and_is_unknown", || here(interrupted)),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

fn here(test: fn() -> Result<(), String>) -> Result<Completion, Failed> {
    let missing = provider::unavailable("refnet", &Given::default());
    if !missing.is_empty() {
        return Ok(Completion::ignored_with(missing.join("; ")));
    }
    test().map(|()| Completion::Completed).map_err(Failed::from)
}

/// An owner: runs a scenario and says where.
fn own(out: &Path, keep: bool) -> ExitCode {
    let library = Library::find(None).unwrap();
    let entry = library.scenario("tls-terminate").unwrap();
    let plan = library.plan(&entry, &Ask { provider: "refnet", seed: 1, ..Ask::default() }).unwrap();
    let listener = Arc::new(|event: Event| match event {
        Event::Began { folder } => println!("{}", folder.display()),
        Event::Phase(phase) => println!("{phase}"),
        Event::Kept(_) => println!("kept"),
        Event::Waiting { .. } | Event::Step { .. } => {}
    });
    let folder = out.join("kept");
    std::fs::create_dir_all(&folder).unwrap();
    let cleanup = if keep { Cleanup::Keep(Keep { span: LIMIT * 30, folder }) } else { Cleanup::Close };
    suite::run_here(plan, out, &cleanup.into(), &Stop::default(), listener).unwrap();
    ExitCode::SUCCESS
}

struct Owner {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    identity: Identity,
}

impl Owner {
    fn start(out: &Path, keep: bool) -> Owner {
        let mut command = Command::new("/proc/self/exe");
        command.arg("__owner").arg(out).args(keep.then_some("keep")).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let identity = Identity::of(child.id() as i32).unwrap();
        Owner { child, lines, identity }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The lab's folder, once the run has one.
    fn lab(&mut self) -> PathBuf {
        let run = PathBuf::from(self.line());
        ledger::runtime_folder().unwrap().join(run.file_name().unwrap())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until its janitor has ended and says what is left of its labs.
    fn left(&self, out: &Path) -> Result<(), String> {
        let until = Instant::now() + LIMIT;
        let janitor = ["__janitor".to_owned(), self.identity.pid.to_string(), self.identity.start.to_string()];
        while !processes(&janitor).is_empty() {
            if Instant::now() > until {
                return Err("the janitor did not end".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for entry in std::fs::read_dir(out).map_err(|error| error.to_string())? {
            let lab = ledger::runtime_folder().unwrap().join(entry.unwrap().file_name());
            nothing_of(&lab)?;
        }
        Ok(())
    }
}

fn nothing_of(lab: &Path) -> Result<(), String> {
    let serving = processes(&[lab.display().to_string()]);
    if lab.exists() || !serving.is_empty() {
        return Err(format!("{} is left (exists: {}), processes {serving:?}", lab.display(), lab.exists()));
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if mounts.contains(&lab.display().to_string()) {
        return Err(format!("a mount of {} is left", lab.display()));
    }
    Ok(())
}

/// Processes with all these words on their command line.
fn processes(words: &[String]) -> Vec<i32> {
    let own = std::process::id() as i32;
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let given: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.iter().all(|word| given.contains(&word.as_bytes()))
        })
        .collect()
}

fn killed_at_any_moment() -> Result<(), String> {
    let seed = std::env::var("PLUMB_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    let each = KILLS.div_ceil(AT_ONCE);
    let threads: Vec<_> = (0..AT_ONCE)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut chance = SplitMix::new(seed + thread);
                (0..each).try_for_each(|_| {
                    // From before the janitor is there until the steps run.
                    let after = Duration::from_micros((chance.unit() * chance.unit() * 2_500_000.0) as u64);
                    kill_after(after).map_err(|left| format!("killed after {after:?} (seed {seed}): {left}"))
                })
            })
        })
        .collect();
    threads.into_iter().try_for_each(|thread| thread.join().unwrap())
}

fn kill_after(after: Duration) -> Result<(), String> {
    let out = tempfile::tempdir().unwrap();
    let mut owner = Owner::start(out.path(), false);
    // The random moment is what is under test.
    std::thread::sleep(after);
    owner.kill();
    owner.left(out.path())
}

fn swept() -> Result<(), String> {
    let out = tempfile::tempdir().unwrap();
    let mut owner = Owner::start(out.path(), true);
    let used = owner.lab();
    while owner.line() != "kept" {}
    // A lab whose owner is gone and whose janitor never was.
    let dead = ledger::runtime_folder().unwrap().join(format!("test-{}", std::process::id()));
    ledger::make_lab_folder(&dead, &ledger::Label::own("test", None)).unwrap();
    let label = ledger::Label { run: "test".into(), owner: Identity { pid: 1, start: 1 }, expires: None };
    std::fs::write(dead.join("owner.json"), serde_json::to_vec(&label).unwrap()).unwrap();
    ledger::sweep().map_err(|error| error.to_string())?;
    let (used_there, dead_there) = (used.exists(), dead.exists());
    owner.kill();
    owner.left(out.path())?;
    match (used_there, dead_there) {
        (true, false) => Ok(()),
        other => Err(format!("(in use, dead) are there after the sweep: {other:?}, expected (true, false)")),
    }
}

fn interrupted() -> Result<(), String> {
    let out = tempfile::tempdir().unwrap();
    let library = Library::find(None).unwrap();
    let entry = library.scenario("tls-terminate").unwrap();
    let plan = library.plan(&entry, &Ask { provider: "refnet", seed: 1, ..Ask::default() }).unwrap();
    let stop = Stop::default();
    let stopping = stop.clone();
    let listener = Arc::new(move |event: Event| {
        if event == Event::Phase("backends") {
            stopping.because("a signal");
        }
    });
    let closed = suite::run_here(plan, out.path(), &Cleanup::Close.into(), &stop, listener).map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(closed.folder.join("evidence.jsonl")).unwrap();
    let read: Vec<Observation> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let interrupted = read.iter().any(|seen| matches!(&seen.fact, Fact::Interrupted { by } if by == "a signal"));
    nothing_of(&ledger::runtime_folder().unwrap().join(closed.folder.file_name().unwrap()))?;
    match (closed.verdict.outcome, interrupted, read.last().map(|seen| &seen.fact)) {
        (Outcome::Unknown, true, Some(Fact::Ended)) => Ok(()),
        other => Err(format!("{other:?}: {:?}", closed.verdict.troubles)),
    }
}
