//! Trouble that is not the product's: a full disk, a clock that jumps, evidence cut off, an agent or a whole lab killed, an API that is
//! gone or does not answer. Each time `plumb` itself says unknown, with the cause, and what was gathered is kept and can be judged again.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program that is also the one that makes a small disk")]

mod broken;
mod disk;
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plumb_core::evidence;
use plumb_core::verdict::{CheckVerdict, Outcome, Verdict};
use plumb_engine::parts::Given;
use plumb_engine::provider;
use world::{Ended, Running, judge, lab_processes, library_with, wait_until};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let Some(code) = plumb_engine::entry::dispatch().or_else(|| disk::dispatch(&words)) {
        return code;
    }
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(2);
    let trials = vec![
        Trial::ignorable_test("a_full_disk_makes_the_run_unknown_and_keeps_whole_lines", || here(full_disk)),
        Trial::ignorable_test("a_jump_of_the_clock_makes_the_run_unknown", || here(clock_jump)),
        Trial::ignorable_test("evidence_cut_anywhere_is_never_green", || here(cut_evidence)),
        Trial::ignorable_test("an_agent_killed_while_it_probes_makes_that_check_unknown", || here(agent_killed)),
        Trial::ignorable_test("a_lab_killed_while_it_probes_leaves_its_evidence_and_nothing_else", || here(lab_killed)),
        Trial::ignorable_test("an_api_that_is_gone_is_not_the_products_fault", || here(api_gone)),
        Trial::ignorable_test("an_api_that_does_not_answer_is_not_the_products_fault", || here(api_hangs)),
        Trial::ignorable_test("a_step_that_breaks_nothing_makes_the_run_unknown", || here(broken::without_effect)),
        Trial::ignorable_test("what_is_left_broken_is_undone_before_it_is_collected", || here(broken::left_broken)),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

/// What a test needs and this machine lacks, as an error that ignores it.
enum Amiss {
    Lacks(String),
    Wrong(String),
}

impl From<String> for Amiss {
    fn from(wrong: String) -> Amiss {
        Amiss::Wrong(wrong)
    }
}

fn here(test: fn() -> Result<(), Amiss>) -> Result<Completion, Failed> {
    let missing = provider::unavailable("refnet", &Given::default());
    if !missing.is_empty() {
        return Ok(Completion::ignored_with(missing.join("; ")));
    }
    match test() {
        Ok(()) => Ok(Completion::Completed),
        Err(Amiss::Lacks(what)) => Ok(Completion::ignored_with(what)),
        Err(Amiss::Wrong(what)) => Err(Failed::from(what)),
    }
}

/// The run is unknown, and `cause` is in what `plumb` printed.
fn unknown_because(ended: &Ended, cause: &str) -> Result<(), String> {
    if ended.code == 2 && ended.said.contains(cause) {
        return Ok(());
    }
    Err(format!("exit status {}, expected 2 and `{cause}` in:\n{}", ended.code, ended.said))
}

fn check<'a>(verdict: &'a Verdict, id: &str) -> Result<&'a CheckVerdict, String> {
    verdict.checks.iter().find(|check| check.id == id).ok_or_else(|| format!("no verdict of {id}"))
}

/// The check has this outcome, and the verdict says `because`.
fn is(verdict: &Verdict, id: &str, outcome: Outcome, because: &str) -> Result<(), String> {
    let check = check(verdict, id)?;
    if check.outcome == outcome && check.because.contains(because) {
        return Ok(());
    }
    Err(format!("{id} is {:?}: {}; expected {outcome:?} and `{because}`", check.outcome, check.because))
}

fn full_disk() -> Result<(), Amiss> {
    let kept = tempfile::tempdir().unwrap();
    // Room for the plan and for some of what l2-announce sees, not for all of it.
    let ended = disk::run_on_a_small_disk(96 << 10, kept.path(), &["run", "l2-announce"]).map_err(Amiss::Lacks)?;
    unknown_because(&ended, "No space left on device")?;
    let folder = world::only_run(kept.path())?;
    let text = std::fs::read(folder.join("evidence.jsonl")).unwrap();
    let reading = evidence::read(&text).map_err(|error| error.to_string())?;
    if reading.trouble.is_some() || reading.observations.len() < 3 {
        return Err(format!("{} observations are kept, {:?}", reading.observations.len(), reading.trouble).into());
    }
    let (code, verdict) = judge(&folder)?;
    match (code, verdict.outcome, verdict.troubles.iter().any(|trouble| trouble.contains("ends early"))) {
        (2, Outcome::Unknown, true) => Ok(()),
        other => Err(format!("judged again: {other:?}, {:?}", verdict.troubles).into()),
    }
}

fn clock_jump() -> Result<(), Amiss> {
    let library = world::faketime().ok_or_else(|| Amiss::Lacks("no libfaketime; to change that: apt-get install libfaketime".into()))?;
    let out = tempfile::tempdir().unwrap();
    let clock = out.path().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    let variables = [
        ("LD_PRELOAD", library.as_os_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.as_os_str()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
        // The file is read for every look at the clock: this run may be over in a second.
        ("FAKETIME_NO_CACHE", "1".as_ref()),
    ];
    let runs = out.path().join("runs");
    // Nothing here depends on stamps of the kernel, which does not believe in the other time.
    let mut running = Running::start(&runs, &["run", "weights-90-10"], &variables);
    running.wait_for_step("zero-gets-nothing")?;
    std::fs::write(&clock, "+3600").unwrap();
    let ended = running.end()?;
    unknown_because(&ended, "the wall clock jumped by 3")?;
    let (code, verdict) = judge(&ended.folder)?;
    if code != 2 {
        return Err(format!("judged again: exit status {code}, {:?}", verdict.troubles).into());
    }
    // What was seen is still judged.
    is(&verdict, "share-kept-alive", Outcome::Pass, "")?;
    Ok(())
}

fn cut_evidence() -> Result<(), Amiss> {
    let out = tempfile::tempdir().unwrap();
    let ended = Running::start(&out.path().join("runs"), &["run", "tls-passthrough"], &[]).end()?;
    if ended.code != 0 {
        return Err(format!("it is not green to begin with:\n{}", ended.said).into());
    }
    let whole = std::fs::read(ended.folder.join("evidence.jsonl")).unwrap();
    let cut = out.path().join("cut");
    std::fs::create_dir(&cut).unwrap();
    std::fs::copy(ended.folder.join("plan.json"), cut.join("plan.json")).unwrap();
    let mut passed = 0;
    for at in (0..16).map(|n| whole.len() * n / 16 + n).chain([whole.len() - 2]) {
        std::fs::write(cut.join("evidence.jsonl"), &whole[..at]).unwrap();
        let (code, verdict) = judge(&cut)?;
        let early = verdict.troubles.iter().any(|trouble| trouble.contains("ends early") || trouble.contains("no evidence"));
        if code != 2 || !early {
            return Err(format!("cut at {at} of {}: exit status {code}, {:?}", whole.len(), verdict.troubles).into());
        }
        let now = verdict.checks.iter().filter(|check| check.outcome == Outcome::Pass).count();
        if now < passed {
            return Err(format!("cut at {at}: {now} checks pass, {passed} did with less evidence").into());
        }
        passed = now;
    }
    // Only the end is missing: every check is as it was.
    if passed == 4 { Ok(()) } else { Err(format!("{passed} checks pass with all but the last line").into()) }
}

fn agent_killed() -> Result<(), Amiss> {
    let out = tempfile::tempdir().unwrap();
    let mut running = Running::start(&out.path().join("runs"), &["run", "weights-90-10"], &[]);
    running.wait_for_step("share-on-worker")?;
    let sessions = lab_processes(&running.folder()?, &["__agent", "session"]);
    if sessions.is_empty() {
        return Err(String::from("the lab has no agent session").into());
    }
    for pid in sessions {
        world::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    let ended = running.end()?;
    unknown_because(&ended, "share-on-worker")?;
    let (_, verdict) = judge(&ended.folder)?;
    is(&verdict, "zero-gets-nothing", Outcome::Pass, "")?;
    is(&verdict, "share-on-worker", Outcome::Unknown, "the agent on client")?;
    Ok(())
}

fn lab_killed() -> Result<(), Amiss> {
    let out = tempfile::tempdir().unwrap();
    let mut running = Running::start(&out.path().join("runs"), &["run", "weights-90-10"], &[]);
    running.wait_for_step("share-on-worker")?;
    let folder = running.folder()?;
    for pid in lab_processes(&folder, &["__refnet"]) {
        world::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    let ended = running.end()?;
    unknown_because(&ended, "share-on-worker")?;
    let (_, verdict) = judge(&ended.folder)?;
    is(&verdict, "zero-gets-nothing", Outcome::Pass, "")?;
    is(&verdict, "share-on-worker", Outcome::Unknown, "")?;
    let lab = plumb_engine::ledger::runtime_folder().unwrap().join(folder.file_name().unwrap());
    if lab.exists() || !lab_processes(&folder, &[]).is_empty() {
        return Err(format!("{} is left", lab.display()).into());
    }
    Ok(())
}

/// A node that is there, one that is switched off, and questions to an API that went with it.
const API_GONE: &str = r"
format: 1
title: The API goes with its control plane
intent: Passes if and only if what needs the API is answered without it, which cannot be
covers: [{document: none, section: none, promise: none}]
lab: {workers: 2, networks: [eth0], client: [eth0]}
install: {profile: gateway-1.17.1}
backends:
  host-b: {protocol: tcp, port: 7100, node: worker2, hostNetwork: true, service: {type: None}}
steps:
  - status: {id: asked-before, resource: deployment/host-b, expect: {fields: {/spec/replicas: 1}}}
  - node: {id: power-cut, node: control-plane, action: stop}
  - l4: {id: needs-no-api, from: node/worker, to: {node: worker2}, port: 7100, protocol: tcp, expect: {answered: true}}
  - eventually: {id: asked-without, within: 1s, probe: {status: {resource: deployment/host-b, expect: {absent: true}}}}
";

fn api_gone() -> Result<(), Amiss> {
    let out = tempfile::tempdir().unwrap();
    let library = library_with(out.path(), "api-gone", API_GONE);
    let running = Running::start(&out.path().join("runs"), &["--scenarios", library.to_str().unwrap(), "run", "api-gone"], &[]);
    let ended = running.end()?;
    unknown_because(&ended, "asked-without")?;
    let (_, verdict) = judge(&ended.folder)?;
    is(&verdict, "asked-before", Outcome::Pass, "")?;
    is(&verdict, "needs-no-api", Outcome::Pass, "")?;
    is(&verdict, "asked-without", Outcome::Unknown, "the lab's trouble")?;
    Ok(())
}

/// A wait that sees a state, and then nothing more because the API is held.
const API_HANGS: &str = r"
format: 1
title: The API is held in the middle of a wait
intent: Passes if and only if a Deployment that nobody makes is there, which cannot be
covers: [{document: none, section: none, promise: none}]
lab: {workers: 1, networks: [eth0], client: [eth0]}
install: {profile: gateway-1.17.1}
backends:
  web: {port: 8080}
steps:
  - eventually: {id: nobody-comes, within: 2s, probe: {status: {resource: deployment/nobody, expect: {fields: {/spec/replicas: 1}}}}}
";

fn api_hangs() -> Result<(), Amiss> {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let out = tempfile::tempdir().unwrap();
    let library = library_with(out.path(), "api-hangs", API_HANGS);
    let arguments = ["--scenarios", library.to_str().unwrap(), "run", "api-hangs"];
    let mut running = Running::start(&out.path().join("runs"), &arguments, &[]);
    // The state it saw: without the hold this would be a failure.
    running.wait_for("\"object\":null")?;
    let supervisors = lab_processes(&running.folder()?, &["__refnet"]);
    supervisors.iter().for_each(|pid| world::kill(*pid, SIGSTOP));
    let failed = running.wait_for("stepFailed");
    supervisors.iter().for_each(|pid| world::kill(*pid, SIGCONT));
    failed?;
    let ended = running.end()?;
    unknown_because(&ended, "nobody-comes")?;
    let (_, verdict) = judge(&ended.folder)?;
    is(&verdict, "nobody-comes", Outcome::Unknown, "no answer within")?;
    Ok(())
}

/// How long anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// `plumb` as cargo has built it.
fn plumb() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_plumb"))
}

/// Looks until it is there.
fn soon<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T, String> {
    wait_until(LIMIT, look).ok_or_else(|| format!("{what}: not within {} s", LIMIT.as_secs()))
}
