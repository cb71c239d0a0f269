//! The table of faults: every scenario on the reference network with every fault, as tests `faults::<scenario>`.
//!
//! `cargo test --test faults [FILTER]`, or with nextest. Not part of `cargo test --workspace`: it is some 510 runs. A trial runs its
//! scenario without a fault and then with each, and compares with what the scenario declares: the declared checks red (or unknown) for
//! the declared reason, everything else as without the fault, and every check turned by some fault. The table goes to
//! `$PLUMB_OUT/faults.md`, else to `target/plumb-faults/faults.md`; runs that differ stay beside it, the others are taken away.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plumb_core::fault_table::{self, Cell};
use plumb_core::plan::{Disposition, Plan};
use plumb_core::verdict::Outcome;
use plumb_engine::library::{Ask, Entry, Library, LibraryError};
use plumb_engine::provider;
use plumb_engine::run::{Cleanup, Closed, Setup, Stop};
use plumb_engine::suite::{labs_at_once, run_here, side_by_side};

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let mut args = Arguments::from_args();
    let (library, names) = match Library::find(None).and_then(|library| library.names().map(|names| (library, names))) {
        Ok(found) => found,
        Err(error) => {
            say(&format!("failed to {error}"));
            return ExitCode::from(3);
        }
    };
    // Half of what the suite takes: what is faulty waits less, and a starved lab is not as declared. nextest runs trials as processes side
    // by side, as many as there are processors: each takes its part.
    let labs = labs_at_once().div_ceil(if std::env::var_os("NEXTEST").is_some() { 4 } else { 2 });
    let stage = Arc::new(Stage { library, out: out(), labs: Permits::new(labs), cells: Mutex::default() });
    let began = Instant::now();
    let trials = names.into_iter().map(|name| {
        let stage = Arc::clone(&stage);
        Trial::ignorable_test(format!("faults::{name}"), move || stage.perform(&name))
    });
    let trials: Vec<Trial> = trials.collect();
    // What limits them is the number of labs, which they share.
    args.test_threads.get_or_insert(trials.len());
    let listing = args.list;
    let conclusion = libtest_mimic::run(&args, trials);
    if !listing {
        stage.tell(began);
    }
    conclusion.exit_code()
}

/// What all trials share.
struct Stage {
    library: Library,
    out: PathBuf,
    labs: Permits,
    cells: Mutex<Vec<Cell>>,
}

impl Stage {
    fn perform(&self, name: &str) -> Result<Completion, Failed> {
        let entry = self.library.scenario(name).map_err(|error| Failed::from(error.to_string()))?;
        let plans = self.plans(&entry).map_err(|error| Failed::from(error.to_string()))?;
        if let Some(Disposition::Skip(reasons)) = plans.first().map(|plan| &plan.disposition) {
            return Ok(Completion::ignored_with(reasons.join("; ")));
        }
        let ended = side_by_side(&plans, self.labs.all, &Stop::default(), |plan| self.labs.with(|| self.run(plan)));
        let (mut runs, mut complaints) = (Vec::new(), Vec::new());
        for (plan, ended) in plans.iter().zip(ended) {
            match ended {
                Some(Ok(closed)) => runs.push(closed),
                Some(Err(error)) => complaints.push(format!("with {}: {error}", fault(plan))),
                None => complaints.push(format!("with {}: not begun", fault(plan))),
            }
        }
        let cells = compare(&runs, &mut complaints);
        let checks = entry.scenario.promises().into_iter().map(str::to_owned).collect();
        let never = fault_table::never_turned(&[(name.to_owned(), checks)], &cells);
        complaints.extend(never.into_iter().map(|check| format!("no fault turns {check}")));
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).extend(cells);
        if complaints.is_empty() { Ok(Completion::Completed) } else { Err(Failed::from(complaints.join("\n"))) }
    }

    /// The scenario without a fault first, then with each.
    fn plans(&self, entry: &Entry) -> Result<Vec<Plan>, LibraryError> {
        let unavailable = provider::unavailable("refnet", &plumb_engine::parts::Given::default());
        let faults = std::iter::once(None).chain(plumb_core::capability::FAULTS.iter().copied().map(Some));
        let ask = |fault| Ask { provider: "refnet", fault, seed: 1, unavailable: &unavailable, ..Ask::default() };
        faults.map(|fault| self.library.plan(entry, &ask(fault))).collect()
    }

    fn run(&self, plan: &Plan) -> Result<Closed, String> {
        let setup = Setup::from(Cleanup::Close);
        let closed = run_here(plan.clone(), &self.out, &setup, &Stop::default(), Arc::new(|_| {}));
        closed.map_err(|error| format!("failed to {error}"))
    }

    fn tell(&self, began: Instant) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cells.sort_by_key(|cell| (plumb_core::capability::FAULTS.iter().position(|name| *name == cell.fault), cell.scenario.clone()));
        let file = self.out.join("faults.md");
        let written = std::fs::create_dir_all(&self.out).and_then(|()| std::fs::write(&file, fault_table::markdown(&cells)));
        let kept = written.map_or_else(|error| format!("not written ({error})"), |()| file.display().to_string());
        say(&format!("{} runs with a fault in {:.0} s; the table: {kept}", cells.len(), began.elapsed().as_secs_f64()));
    }
}

/// Every run with a fault against the one without. What agrees is taken away from the disk.
fn compare(runs: &[Closed], complaints: &mut Vec<String>) -> Vec<Cell> {
    let Some(without) = runs.iter().find(|run| run.plan.fault.is_none()) else { return Vec::new() };
    let mut cells = Vec::new();
    for with in runs {
        let differences = match &with.plan.fault {
            None if with.verdict.outcome == Outcome::Pass => Vec::new(),
            None => vec![format!("it is not green: {}", why(with))],
            Some(fault) => {
                let cell = fault_table::compare(&with.plan.name, &with.plan.scenario, fault, &without.verdict, &with.verdict);
                cells.push(cell);
                cells.last().map(|cell| cell.differences.clone()).unwrap_or_default()
            }
        };
        if differences.is_empty() {
            take_away(&with.folder, complaints);
        }
        let place = with.folder.display();
        complaints.extend(differences.into_iter().map(|line| format!("with {}: {line} ({place})", fault(&with.plan))));
    }
    cells
}

fn fault(plan: &Plan) -> &str {
    plan.fault.as_deref().unwrap_or("no fault")
}

fn why(closed: &Closed) -> String {
    let checks = closed.verdict.checks.iter().filter(|check| check.outcome != Outcome::Pass);
    let checks = checks.map(|check| format!("{}: {}", check.id, check.because));
    closed.verdict.troubles.iter().cloned().chain(checks).collect::<Vec<_>>().join("; ")
}

fn take_away(folder: &Path, complaints: &mut Vec<String>) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        complaints.push(format!("failed to remove {}: {error}", folder.display()));
    }
}

/// So many labs at a time, however many trials there are.
struct Permits {
    all: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Permits {
    fn new(all: usize) -> Permits {
        Permits { all, free: Mutex::new(all), freed: Condvar::new() }
    }

    fn with<R>(&self, act: impl FnOnce() -> R) -> R {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        let done = act();
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        done
    }
}

/// `$PLUMB_OUT`, else a folder beside what cargo builds: the binary is in `<target>/<profile>/deps/`.
fn out() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::env::var_os("PLUMB_OUT").map_or_else(|| target.join("plumb-faults"), PathBuf::from)
}

#[allow(clippy::print_stdout, reason = "a test binary's output is for people")]
fn say(text: &str) {
    println!("{text}");
}
