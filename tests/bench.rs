//! What labs, waits and the suite cost, as rows of a Markdown table: `ci/bench.sh` runs this and the agent's benchmarks and puts them
//! together.
//!
//! The programs measured are those of this build: `cargo test --test e2e` is what people run. Figures of time are the best of some rounds
//! with the worst beside it; what is compared with something else is compared within one round.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use plumb_core::evidence::{Fact, Seen};
use plumb_core::verdict::Outcome;
use plumb_engine::cluster::{Cluster, ResourceRef, Watched, manifest};
use plumb_engine::library::{Ask, Library};
use plumb_engine::run::{Cleanup, Setup, Stop};
use plumb_engine::suite::run_here;
use plumb_refnet::fault::FaultSet;
use plumb_refnet::lab::LabHandle;
use plumb_refnet::spec::{LabSpec, NetworkSpec, NodeSpec};
use serde_json::{Value, json};

const ROUNDS: usize = 3;
const LABS: usize = 8;
const CHANGES: u64 = 500;

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [e2e, plumb] = arguments.as_slice() else {
        say("usage: bench E2E PLUMB (paths of the built programs; ci/bench.sh knows them)");
        return ExitCode::from(3);
    };
    match measure(Path::new(e2e), Path::new(plumb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed to {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(e2e: &Path, plumb: &Path) -> Result<()> {
    suite(e2e)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        lab("a lab of 3 nodes ready", &[]).await?;
        let values = [("encryption.enabled", json!(true)), ("encryption.type", json!("wireguard")), ("gatewayAPI.enabled", json!(true))];
        lab("the same with WireGuard and Gateway", &values).await?;
        noticed().await
    })?;
    split()?;
    list(plumb)
}

/// The suite against its longest scenario, and its memory.
fn suite(e2e: &Path) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let out = tempfile::tempdir().context("make a folder")?;
        let began = Instant::now();
        let mut child =
            Command::new(e2e).arg("refnet::").env("PLUMB_OUT", out.path()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (done, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let sampler = std::thread::spawn({
            let (done, most, e2e) = (Arc::clone(&done), Arc::clone(&most), e2e.canonicalize()?);
            move || {
                while !done.load(Ordering::Relaxed) {
                    most.fetch_max(pss_kb(&e2e), Ordering::Relaxed);
                    // The pace of samples.
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        });
        let mut text = String::new();
        std::io::Read::read_to_string(child.stdout.as_mut().context("read the suite's output")?, &mut text)?;
        let status = child.wait()?;
        let wall = began.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        let _ = sampler.join();
        ensure!(status.success(), "run the suite: it ended with {status}\n{text}");
        rounds.push((wall, longest(&text)?, most.load(Ordering::Relaxed)));
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (wall, (name, seconds), _) = &rounds[0];
    let ratios: Vec<String> = rounds.iter().map(|(wall, (_, seconds), _)| format!("{:.2}", wall / seconds)).collect();
    row(
        "suite, wall",
        &format!("{wall:.1} s"),
        &format!("its longest scenario, {name}: {seconds:.1} s"),
        &ratios.join(", "),
        "<= 1.5, <= 60 s",
    );
    let memory: Vec<String> = rounds.iter().map(|(.., kb)| format!("{:.2}", *kb as f64 / (1 << 20) as f64)).collect();
    row("suite, memory (sum of PSS, sampled)", &format!("{} GiB", memory.join(", ")), "", "", "<= 1 GiB");
    Ok(())
}

/// The longest scenario of what `e2e` says it has proved: `  refnet::l2-failover (9 checks, 8.2 s; ...)`.
fn longest(text: &str) -> Result<(String, f64)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("  refnet::"));
    let times = lines.filter_map(|line| {
        let (name, rest) = line.split_once(" (")?;
        let seconds = rest.split_once(" s;")?.0.rsplit(' ').next()?;
        Some((name.to_owned(), seconds.parse::<f64>().ok()?))
    });
    times.max_by(|a, b| a.1.total_cmp(&b.1)).context("find a scenario's time in what the suite says")
}

/// The memory of all processes of a program, each page counted once, in KiB.
fn pss_kb(program: &Path) -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let ours = processes.filter(|process| std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program));
    ours.filter_map(|process| {
        let text = std::fs::read_to_string(process.join("smaps_rollup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse::<u64>().ok()
    })
    .sum()
}

async fn lab(what: &str, values: &[(&str, Value)]) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..LABS {
        let dir = tempfile::tempdir().context("make a folder")?;
        let began = Instant::now();
        let lab = LabHandle::start(&spec(values), dir.path()).await?;
        rounds.push((began.elapsed().as_secs_f64(), lab.ready().phases_ms.clone()));
        lab.close().await?;
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (best, phases) = &rounds[0];
    let phases: Vec<String> = phases.iter().map(|(phase, ms)| format!("{phase} {ms}")).collect();
    let (median, worst) = (rounds[LABS / 2].0, rounds[LABS - 1].0);
    row(what, &format!("{best:.2} s (median {median:.2}, worst {worst:.2}; ms until: {})", phases.join(", ")), "", "", "<= 0.3 s");
    Ok(())
}

fn spec(values: &[(&str, Value)]) -> LabSpec {
    let node = |name: &str| NodeSpec { name: name.to_owned(), control_plane: name == "control-plane" };
    LabSpec {
        nodes: ["control-plane", "worker", "worker2"].map(node).into(),
        networks: vec![NetworkSpec { interface: "eth0".into(), subnet: [10, 9, 0, 0].into() }],
        client: vec!["eth0".into()],
        values: values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        crds: ["gatewayclasses", "gateways", "httproutes", "referencegrants", "experimental/tlsroutes"].map(str::to_owned).into(),
        faults: FaultSet::default(),
        seed: 1,
    }
}

/// From before a change is sent to a lab's API until the engine's wait has seen it.
async fn noticed() -> Result<()> {
    let dir = tempfile::tempdir().context("make a folder")?;
    let lab = LabHandle::start(&spec(&[]), dir.path()).await?;
    let (writer, waiter) =
        (Cluster::new(lab.kube_client()?, Duration::from_secs(5)), Cluster::new(lab.kube_client()?, Duration::from_secs(5)));
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bench", "namespace": "default"}, "data": {"n": "0"}});
    writer.apply(&manifest(object, "bench")?).await?;
    let resource = ResourceRef::parse("configmap/default/bench").context("name the object")?;
    let mut sent = BTreeMap::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut seen = Vec::new();
    let look = |state: Option<Value>| {
        let n = state.as_ref().and_then(|state| state.pointer("/data/n")?.as_str()?.parse::<u64>().ok()).unwrap_or_default();
        seen.push((n, Instant::now()));
        let _ = tell.send(n);
        if n == CHANGES { Watched::Yes(()) } else { Watched::NotYet(n.to_string()) }
    };
    let change = async {
        for n in 1..=CHANGES {
            // The next change only when this one was seen: a watch may leave out states in between.
            while told.recv().await.is_some_and(|known| known + 1 < n) {}
            sent.insert(n, Instant::now());
            writer.merge(&resource, &json!({"data": {"n": n.to_string()}})).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let (waited, changed) = tokio::join!(waiter.wait(&resource, Duration::from_secs(120), look), change);
    changed?;
    if let Err(end) = waited? {
        bail!("see every change: stopped at {}", end.newest());
    }
    lab.close().await?;
    let mut delays: Vec<f64> = seen.iter().filter_map(|(n, at)| Some(at.duration_since(*sent.get(n)?).as_secs_f64() * 1e3)).collect();
    delays.sort_by(f64::total_cmp);
    ensure!(delays.len() as u64 == CHANGES, "see every change: {} of {CHANGES} were seen", delays.len());
    let at = |share: f64| delays[((delays.len() as f64 * share).ceil() as usize).clamp(1, delays.len()) - 1];
    let figure = format!("p99 {:.1} ms (p50 {:.1}, worst {:.1} of {CHANGES}; the write itself is in it)", at(0.99), at(0.5), at(1.0));
    row("condition true -> noticed", &figure, "", "", "p99 <= 20 ms");
    Ok(())
}

/// How long each split of `weights-90-10` takes from the step's beginning to its sample.
fn split() -> Result<()> {
    let library = Library::find(None)?;
    let entry = library.scenario("weights-90-10")?;
    let mut best: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let out = tempfile::tempdir().context("make a folder")?;
        let plan = library.plan(&entry, &Ask { provider: "refnet", seed: 1, ..Ask::default() })?;
        let closed = run_here(plan, out.path(), &Setup::from(Cleanup::Close), &Stop::default(), Arc::new(|_| {}))?;
        ensure!(closed.verdict.outcome == Outcome::Pass, "prove weights-90-10: it is {:?}", closed.verdict.outcome);
        let mut began = BTreeMap::new();
        for observation in &closed.observations {
            let Some(step) = &observation.step else { continue };
            match &observation.fact {
                Fact::StepBegan => drop(began.insert(step.clone(), observation.at_ns)),
                Fact::Probe(probe) if matches!(probe.seen, Seen::HttpTally(_)) => {
                    let from = began.get(step).context("find a step's beginning")?;
                    let seconds = (observation.at_ns - from) as f64 / 1e9;
                    best.entry(step.clone()).and_modify(|known| *known = known.min(seconds)).or_insert(seconds);
                }
                _ => {}
            }
        }
    }
    ensure!(!best.is_empty(), "find a split in weights-90-10");
    let slowest = best.values().copied().fold(0.0, f64::max);
    let all: Vec<String> = best.iter().map(|(step, seconds)| format!("{step} {seconds:.2}")).collect();
    row("a split decided, 2000 requests", &format!("{slowest:.2} s ({})", all.join(", ")), "", "", "<= 1 s");
    Ok(())
}

/// `plumb list` after the kernel was asked to forget the program and the scenarios.
fn list(plumb: &Path) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        forget(plumb)?;
        for folder in ["scenarios"].map(PathBuf::from) {
            forget_all(&folder)?;
        }
        let began = Instant::now();
        let status = Command::new(plumb).arg("list").stdout(Stdio::null()).status().context("run plumb list")?;
        ensure!(status.success(), "run plumb list: {status}");
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    row("`plumb list`, cold", &format!("{:.0} ms (worst {:.0})", times[0], times[ROUNDS - 1]), "", "", "<= 100 ms");
    Ok(())
}

fn forget_all(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { forget_all(&path)? } else { forget(&path)? }
    }
    Ok(())
}

/// Asks the kernel to drop a file's pages. It keeps those that somebody else has mapped.
fn forget(file: &Path) -> Result<()> {
    let opened = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
    opened.sync_all()?;
    nix::fcntl::posix_fadvise(&opened, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

fn row(what: &str, figure: &str, against: &str, ratio: &str, aim: &str) {
    say(&format!("| {what} | {figure} | {against} | {ratio} | {aim} |"));
}

#[allow(clippy::print_stdout, reason = "a benchmark's output is for people")]
fn say(text: &str) {
    println!("{text}");
}
