//! Labs by hand on the reference network: made, entered, ended, expired, and whoever is killed: nothing stays.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod world;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::Signal;
use plumb_core::evidence::{Fact, Observation};
use plumb_engine::parts::Given;
use plumb_engine::provider;
use world::{World, soon};

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(2);
    let trials = vec![
        Trial::ignorable_test("a_lab_is_made_entered_and_ended_with_its_evidence", || here(made_entered_ended)),
        Trial::ignorable_test("a_lab_has_its_scenarios_backends_when_they_are_wanted", || here(furnished)),
        Trial::ignorable_test("a_run_that_keeps_its_lab_is_judged_first_and_ends_by_down", || here(kept_by_a_run)),
        Trial::ignorable_test("a_lab_a_run_is_in_is_not_taken", || here(in_use)),
        Trial::ignorable_test("a_lab_goes_when_it_expires", || here(expires)),
        Trial::ignorable_test("a_lab_whose_keeper_is_killed_goes_and_leaves_its_logs", || here(keeper_killed)),
        Trial::ignorable_test("a_lab_whose_keeper_is_stuck_is_found_by_sweep_when_it_expired", || here(keeper_stopped)),
        Trial::ignorable_test("a_lab_nobody_waits_for_is_not_made", || here(starter_killed)),
        Trial::ignorable_test("bad_input_is_named_with_its_cure", || here(bad_input)),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

fn here(test: fn(&World) -> Result<(), String>) -> Result<Completion, Failed> {
    let missing = provider::unavailable("refnet", &Given::default());
    if !missing.is_empty() {
        return Ok(Completion::ignored_with(missing.join("; ")));
    }
    let world = World::new();
    let done = test(&world).and_then(|()| world.nothing_is_left());
    done.map(|()| Completion::Completed).map_err(Failed::from)
}

fn made_entered_ended(world: &World) -> Result<(), String> {
    let up = world.plumb(&["up"]).expect(0, "REFERENCE NETWORK, NOT CILIUM")?;
    for told in ["lab lab is up until 2", "KUBECONFIG=/", "node/worker2  10.9.0.4", "client  eth0 10.9.0.200, net0 10.10.0.200"] {
        up.says(told)?;
    }
    world.plumb(&["up"]).expect(3, "there is one of that name, made by `plumb up`\nhint: plumb down lab")?;
    world.plumb(&["labs"]).expect(0, "lab   refnet    up")?;
    let addresses = world.plumb(&["shell", "lab", "client", "--", "cat", "/proc/net/fib_trie"]).expect(0, "10.9.0.200")?;
    addresses.says_not("10.9.0.3\n")?;
    world.plumb(&["shell", "node/worker", "--", "sh", "-c", "cat /proc/net/fib_trie; exit 7"]).expect(7, "10.9.0.3")?;
    world.plumb(&["shell", "--", "sh", "-c", "grep server: $KUBECONFIG"]).expect(0, "https://127.0.0.1:")?;
    let down = world.plumb(&["down"]).expect(0, "took away reference network in ")?;
    down.says("collected ")?;
    let run = world.only_run()?;
    for file in ["kept/objects.json", "kept/ended.json", "kept/log_of_the_supervisor.log", "evidence.jsonl"] {
        if !run.join(file).is_file() {
            return Err(format!("{file} is not in {}", run.display()));
        }
    }
    // Nothing ran, which is never green.
    world.plumb(&["judge", run.to_str().unwrap()]).expect(2, "")?;
    world.plumb(&["labs"]).expect(0, "no lab is up")?;
    world.plumb(&["down"]).expect(3, "no lab is up")?;
    world.plumb(&["down", "--all"]).expect(4, "no lab is up").map(drop)
}

fn furnished(world: &World) -> Result<(), String> {
    world.plumb(&["up", "tls-terminate", "--with-backends", "--name", "web"]).expect(0, "lab web is up")?;
    let text = std::fs::read_to_string(world.only_run()?.join("evidence.jsonl")).unwrap();
    let applied = text.lines().filter_map(|line| serde_json::from_str::<Observation>(line).ok());
    if !applied.into_iter().any(|seen| matches!(seen.fact, Fact::StepEnded)) {
        return Err(format!("nothing was applied:\n{text}"));
    }
    world.plumb(&["down", "web"]).expect(0, "ended")?;
    let objects = std::fs::read_to_string(world.only_run()?.join("kept/objects.json")).unwrap();
    if objects.contains("tls-gateway") && objects.contains("bookinfo") {
        Ok(())
    } else {
        Err(format!("no Gateway or backend in\n{objects}"))
    }
}

fn kept_by_a_run(world: &World) -> Result<(), String> {
    let run = world.plumb(&["run", "tls-passthrough", "--keep", "--expire", "10m"]).expect(0, "4 checks")?;
    run.says("lab tls-passthrough is up until")?;
    let folder = world.only_run()?;
    for file in ["verdict.json", "report.html", "blobs/objects.json"] {
        if !folder.join(file).is_file() {
            return Err(format!("{file} is not in the run folder while the lab is kept"));
        }
    }
    world.plumb(&["judge", folder.to_str().unwrap()]).expect(0, "")?;
    world.plumb(&["down", "tls-passthrough"]).expect(0, "took away reference network in ")?;
    world.plumb(&["judge", folder.to_str().unwrap()]).expect(0, "").map(drop)
}

fn in_use(world: &World) -> Result<(), String> {
    let mut run = world.start(&["run", "l2-failover", "--keep"]);
    soon("the run to be in its lab", || world.plumb(&["labs"]).said.contains("in use by a run").then_some(()))?;
    world.plumb(&["down", "l2-failover"]).expect(3, "a run is in it (`plumb run l2-failover --keep`)\nhint: stop that run")?;
    world.plumb(&["down", "--all"]).expect(0, "left alone")?;
    world.plumb(&["shell", "client", "--", "true"]).expect(3, "a run is in it")?;
    run.signal(Signal::SIGINT);
    run.end()?.expect(2, "interrupted by Ctrl-C")?.says("no lab is kept")
}

fn expires(world: &World) -> Result<(), String> {
    world.plumb(&["up", "--expire", "3s"]).expect(0, "is up until")?;
    soon("the lab to expire", || world.plumb(&["labs"]).said.contains("no lab is up").then_some(()))?;
    let ended = std::fs::read_to_string(world.only_run()?.join("kept/ended.json")).map_err(|error| error.to_string())?;
    if ended.contains("it expired") && ended.contains("kept/objects.json") { Ok(()) } else { Err(ended) }
}

fn keeper_killed(world: &World) -> Result<(), String> {
    world.plumb(&["up"]).expect(0, "is up until")?;
    world::kill(world.keeper()?, Signal::SIGKILL);
    soon("the lab to go with its keeper", || world.labs_left().is_empty().then_some(()))?;
    if world.only_run()?.join("blobs/supervisor.log").is_file() { Ok(()) } else { Err("the supervisor's log was not kept".to_owned()) }
}

fn keeper_stopped(world: &World) -> Result<(), String> {
    world.plumb(&["up", "--expire", "1s"]).expect(0, "is up until")?;
    world::kill(world.keeper()?, Signal::SIGSTOP);
    // One that still has time to take its lab away itself is left alone.
    world.plumb(&["sweep"]).expect(0, "in use by process")?;
    soon("sweep to find it", || world.plumb(&["sweep"]).said.contains("lab lab, which expired: removed").then_some(()))?;
    soon("the lab to go", || world.labs_left().is_empty().then_some(()))
}

fn starter_killed(world: &World) -> Result<(), String> {
    let mut begun = 0;
    for after_ms in [30, 150, 400, 700] {
        let mut starting = world.start(&["up"]);
        // The moment is what is under test.
        std::thread::sleep(Duration::from_millis(after_ms));
        starting.signal(Signal::SIGKILL);
        // A machine that is quick enough has handed the lab over by then: it stays, as it should.
        if starting.end()?.said.contains("is up until") {
            world.plumb(&["down"]).expect(0, "took away")?;
        } else {
            begun += 1;
        }
        soon("what was begun to go", || world.labs_left().is_empty().then_some(()))?;
    }
    if begun == 0 { Err("every lab was handed over before its starter was killed".into()) } else { Ok(()) }
}

fn bad_input(world: &World) -> Result<(), String> {
    let cases: [(&[&str], &str); 9] = [
        (&["up", "--name", "Not A Name"], "expected at most 40 of a-z, 0-9 and -"),
        (&["up", "--expire", "25h"], "at most 24h"),
        (&["up", "--expire", "0s"], "a second at least"),
        (&["up", "no-such-scenario"], "hint: "),
        (&["up", "--provider", "kubeconfig"], "its cluster is there already"),
        (&["up", "--fault", "no-such-fault"], "plumb faults"),
        (&["up", "--out", "/proc/nowhere"], "hint: choose a folder you may write to with --out"),
        (&["run", "--keep"], "--keep takes one\nhint: name the scenario"),
        (&["shell", "lab", "worker"], "hint: vantage points are client, node/NAME"),
    ];
    for (arguments, message) in cases {
        world.plumb(arguments).expect(3, message)?;
    }
    Ok(())
}
