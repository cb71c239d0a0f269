//! Every scenario on every provider, as tests: `<provider>::<scenario>[@<profile>]`.
//!
//! `cargo test --test e2e [FILTER]`, or with nextest, which runs one process a trial. Listing probes nothing, except for nextest. A provider that is not
//! there makes its trials ignored, with the reason; `PLUMB_REQUIRE=refnet` (a list with commas) makes that a failure. Runs go to
//! `$PLUMB_OUT`, else to `target/plumb-runs`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial as Test};
use plumb_core::plan::{Disposition, Plan};
use plumb_core::values::Values;
use plumb_core::verdict::Outcome;
use plumb_engine::library::{Ask, Library, LibraryError};
use plumb_engine::parts::Given;
use plumb_engine::provider::kind::Sharing;
use plumb_engine::provider::{self, Found, PROVIDERS};
use plumb_engine::run::{Cleanup, Closed, Setup, Stop};
use plumb_engine::suite::{Trial, labs_at_once, run_here};

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let mut args = Arguments::from_args();
    let library = match Library::find(None) {
        Ok(library) => library,
        Err(error) => return refuse(&error),
    };
    let trials = match trials(&library) {
        Ok(trials) => trials,
        Err(errors) => return refuse(&together(&errors)),
    };
    let given = Given::from_env();
    let values = match given.read_values() {
        Ok(values) => values,
        Err(errors) => return refuse(&together(&errors)),
    };
    let stage = Arc::new(Stage { library, given, values, found: PROVIDERS.map(|_| OnceLock::new()), proved: Mutex::default() });
    let tests = trials
        .into_iter()
        .map(|trial| {
            let stage = Arc::clone(&stage);
            // nextest asks for the ignored ones while listing; one that finds out only when it runs would count as passed there.
            let known_absent = nextest() && !required(&trial.provider) && !stage.unavailable(&trial.provider).is_empty();
            let name = trial.to_string();
            Test::ignorable_test(name, move || stage.perform(&trial)).with_ignored_flag(known_absent)
        })
        .collect();
    let listing = args.list;
    args.test_threads.get_or_insert_with(labs_at_once);
    let conclusion = libtest_mimic::run(&args, tests);
    if listing {
        return ExitCode::SUCCESS;
    }
    stage.tell();
    let ran = conclusion.num_passed + conclusion.num_failed;
    if ran == 0 && !nextest() {
        say("nothing was proved: no trial ran");
        return ExitCode::from(4);
    }
    conclusion.exit_code()
}

/// What all trials share.
struct Stage {
    library: Library,
    given: Given,
    values: Values,
    found: [OnceLock<Found>; PROVIDERS.len()],
    proved: Mutex<Vec<String>>,
}

impl Stage {
    fn perform(&self, trial: &Trial) -> Result<Completion, Failed> {
        let unavailable = self.unavailable(&trial.provider);
        if !unavailable.is_empty() {
            let reason = unavailable.join("; ");
            return if required(&trial.provider) { Err(Failed::from(reason)) } else { Ok(Completion::ignored_with(reason)) };
        }
        let plan = self.plan(trial).map_err(|error| Failed::from(error.to_string()))?;
        if let Disposition::Skip(reasons) = &plan.disposition {
            return Ok(Completion::ignored_with(reasons.join("; ")));
        }
        let setup = Setup { cleanup: Cleanup::Close, given: self.given.clone(), sharing: sharing() };
        let out = std::env::var_os("PLUMB_OUT").map_or_else(|| target().join("plumb-runs"), PathBuf::from);
        let closed = run_here(plan, &out, &setup, &Stop::default(), Arc::new(|_| {}));
        let closed = closed.map_err(|error| Failed::from(error.to_string()))?;
        // Every byte of it, captures included.
        let leaks = plumb_engine::redact::leaks(&closed.folder).map_err(|error| Failed::from(error.to_string()))?;
        if !leaks.is_empty() {
            return Err(Failed::from(format!("a private key can be read in {leaks:?}")));
        }
        if closed.verdict.outcome == Outcome::Pass {
            self.proved.lock().unwrap_or_else(PoisonError::into_inner).push(proof(&closed));
            return Ok(Completion::Completed);
        }
        Err(Failed::from(report(&closed)))
    }

    fn plan(&self, trial: &Trial) -> Result<Plan, LibraryError> {
        let entry = self.library.scenario(&trial.scenario)?;
        let found = self.found(&trial.provider).capability.as_ref();
        let ask = Ask { provider: &trial.provider, profile: trial.profile.as_deref(), seed: 1, found, ..Ask::default() };
        // What a machine needs for its clusters says nothing to the reference network.
        let ask = match trial.provider.as_str() {
            "refnet" => ask,
            _ => Ask { values: self.values.clone(), cilium: self.given.cilium_version.as_deref(), ..ask },
        };
        self.library.plan(&entry, &ask)
    }

    /// Why a provider is not there.
    fn unavailable(&self, provider: &str) -> &[String] {
        &self.found(provider).unavailable
    }

    /// What there is of a provider; looked for once a process.
    fn found(&self, provider: &str) -> &Found {
        let at = PROVIDERS.iter().position(|known| *known == provider).unwrap_or_default();
        // One that was asked for and does not let us is as absent here as one that is not there; `PLUMB_REQUIRE` is for more.
        let absent =
            |unfit: provider::Unfit| Found { capability: None, unavailable: vec![format!("{provider} is not there: failed to {unfit}")] };
        self.found[at].get_or_init(|| provider::find(provider, &self.given).unwrap_or_else(absent))
    }

    /// What was proved, in words.
    fn tell(&self) {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        proved.sort();
        if !proved.is_empty() {
            say(&format!("proved, each on packets of this run:\n{}", proved.concat()));
        }
    }
}

/// Trials use one another's clusters: `PLUMB_SHARE` is for how many seconds one is left to the next; 0 = each makes its own.
fn sharing() -> Sharing {
    let text = std::env::var("PLUMB_SHARE").unwrap_or_default();
    match text.parse().unwrap_or(60) {
        0 => Sharing::Alone,
        idle => Sharing::For(Duration::from_secs(idle)),
    }
}

/// Every trial there is; nothing is probed.
fn trials(library: &Library) -> Result<Vec<Trial>, Vec<LibraryError>> {
    let mut trials = Vec::new();
    let names = library.names().map_err(|error| vec![error])?;
    for entry in library.scenarios(&names)? {
        for provider in PROVIDERS {
            for profile in std::iter::once(None).chain(entry.scenario.install.also.iter().cloned().map(Some)) {
                // Waiting for somebody to take over is what takes long: those that disturb begin first.
                let long = entry.scenario.is_disruptive();
                trials.push((long, Trial { provider: provider.to_owned(), scenario: entry.name.clone(), profile }));
            }
        }
    }
    trials.sort_by_key(|(long, trial)| (PROVIDERS.iter().position(|known| *known == trial.provider), !long));
    Ok(trials.into_iter().map(|(_, trial)| trial).collect())
}

fn proof(closed: &Closed) -> String {
    let plan = &closed.plan;
    let checks = closed.verdict.checks.len();
    let mut text = format!("  {} ({checks} checks, {:.1} s; {})\n", plan.trial, closed.took.as_secs_f64(), closed.verdict.system);
    for covered in &plan.scenario.covers {
        text.push_str(&format!("    - {}\n", covered.promise));
    }
    text
}

fn report(closed: &Closed) -> String {
    let mut text = format!("{}: {}\n", closed.verdict.system, closed.plan.trial);
    for trouble in &closed.verdict.troubles {
        text.push_str(&format!("  trouble: {trouble}\n"));
    }
    for check in closed.verdict.checks.iter().filter(|check| check.outcome != Outcome::Pass) {
        let outcome = if check.outcome == Outcome::Fail { "FAIL" } else { "UNKNOWN" };
        text.push_str(&format!("  {outcome} {}: {}\n", check.id, check.because));
        text.push_str(&format!("    expected: {}\n    seen: {}\n", check.expected, check.seen));
        for file in &check.evidence {
            text.push_str(&format!("    evidence: {}\n", closed.folder.join(file).display()));
        }
    }
    text.push_str(&format!("  everything: {}\n", closed.folder.display()));
    text
}

fn required(provider: &str) -> bool {
    std::env::var("PLUMB_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == provider))
}

fn nextest() -> bool {
    std::env::var_os("NEXTEST").is_some()
}

/// The folder cargo builds in: the binary is in `<target>/<profile>/deps/`.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// Every mistake at once, as [`refuse`] says them.
fn together(errors: &[impl std::fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nfailed to ")
}

fn refuse(error: &impl std::fmt::Display) -> ExitCode {
    say(&format!("failed to {error}"));
    ExitCode::from(3)
}

#[allow(clippy::print_stdout, reason = "a test binary's output is for people")]
fn say(text: &str) {
    println!("{text}");
}
