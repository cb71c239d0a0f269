//! A cluster that already runs, adopted: `plumb run --provider kubeconfig` against a reference lab that is somebody else's. Green, red,
//! skipped with reasons, killed, refused; and each time nothing of ours is left and nothing of theirs is changed.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod lab;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, holds};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plumb_engine::cluster::{ResourceRef, manifest};
use plumb_engine::parts::Given;
use plumb_engine::provider;
use plumb_refnet::spec::{LabSpec, NodeSpec};
use serde_json::json;

/// First word of this program as whoever goes into a lab and runs another there.
const INSIDE: &str = "__inside";
/// A scenario that needs a client on the nodes' network and nothing else.
const FROM_OUTSIDE: &str = "tls-terminate";
/// The scenario that needs neither a client nor a second network.
const SCENARIO: &str = "encrypt-pods-only";
/// The scenario that needs a second network and free addresses on it, and what those are here: the interface is called otherwise.
const ANNOUNCED: &str = "l2-announce";
const NAMED: &str = "net0=ens19,10.10.0.220-10.10.0.230";
/// How long anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, lab, vantage, program @ ..] = words.as_slice()
        && verb == INSIDE
    {
        return inside(Path::new(lab), vantage, program);
    }
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(2);
    let trials = vec![
        Trial::ignorable_test("an_adopted_cluster_shows_its_promise_and_is_left_as_it_was", || here(green)),
        Trial::ignorable_test("an_adopted_cluster_that_leaks_is_red", || here(red)),
        Trial::ignorable_test("what_it_cannot_do_or_is_not_is_skipped_with_the_reason", || here(skipped)),
        Trial::ignorable_test("an_owner_that_is_killed_leaves_no_object", || here(killed)),
        Trial::ignorable_test("a_name_that_is_taken_is_named_and_stays_its_owners", || here(taken)),
        Trial::ignorable_test("a_cluster_that_cannot_be_reached_is_named_with_its_cure", || here(unreachable)),
        Trial::ignorable_test("a_machine_beside_the_cluster_is_its_outside_client", || here(outside)),
        Trial::ignorable_test("a_machine_that_is_a_node_or_reaches_none_is_no_outside_client", || here(not_outside)),
        Trial::ignorable_test("an_address_is_announced_on_the_network_that_was_named", || here(announced)),
        Trial::ignorable_test("a_network_that_is_not_as_it_was_named_is_refused_with_everything_that_is_wrong", || here(not_as_named)),
        Trial::ignorable_test("sweep_looks_into_a_cluster_only_when_told_to", || here(swept)),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

fn here(test: fn()) -> Result<Completion, Failed> {
    let missing = provider::unavailable("refnet", &Given::default());
    if !missing.is_empty() {
        return Ok(Completion::ignored_with(missing.join("; ")));
    }
    test();
    Ok(Completion::Completed)
}

/// `plumb` that has ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn says(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for text in texts {
            assert!(self.out.contains(text) || self.err.contains(text), "`{text}` is not in:\n{}{}", self.out, self.err);
        }
    }
}

fn command(lab: &Lab, words: &[&str]) -> Command {
    let mut command = apart(lab, env!("CARGO_BIN_EXE_plumb").as_ref());
    command.args(words);
    command
}

/// A program that knows nothing of whoever runs the tests.
fn apart(lab: &Lab, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLUMB_") || name == "KUBECONFIG");
    for (name, _) in ours {
        command.env_remove(name);
    }
    command.env("HOME", lab.folder.path());
    command
}

fn plumb(lab: &Lab, words: &[&str]) -> Ended {
    ended(command(lab, words))
}

fn ended(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// `plumb run` of a scenario in the cluster.
fn words<'a>(lab: &'a Lab, scenario: &'a str, out: &'a Path) -> Vec<&'a str> {
    let kubeconfig = lab.kubeconfig.to_str().unwrap();
    let fixed = ["run", scenario, "--provider", "kubeconfig", "--kubeconfig", kubeconfig, "--agent-image", "plumb-agent", "--out"];
    fixed.into_iter().chain([out.to_str().unwrap()]).collect()
}

fn run(lab: &Lab, scenario: &str) -> Ended {
    let out = lab.out();
    plumb(lab, &words(lab, scenario, &out))
}

fn only_run(lab: &Lab) -> PathBuf {
    let runs: Vec<PathBuf> = std::fs::read_dir(lab.out()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

fn green() {
    let lab = Lab::start(SCENARIO, None);
    // What its owner has there, in a place the run looks into.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "default"},
        "stringData": {"password": "hunter2-of-the-owner"}});
    lab.owner_applies(secret);
    let ended = run(&lab, SCENARIO);
    ended.says(0, &["found, not made: reference network (not Cilium)", "12 checks"]);
    assert!(ended.out.starts_with("REFERENCE NETWORK, NOT CILIUM: "), "{}", ended.out);
    assert_eq!(lab.left(), Vec::<String>::new());
    let run = only_run(&lab);
    let ledger = std::fs::read_to_string(run.join("ledger.jsonl")).unwrap();
    for object in ["\"name\":\"plumbline\"", "\"name\":\"plumb-agent\"", "\"name\":\"pod-a\""] {
        let lines: Vec<&str> = ledger.lines().filter(|line| line.contains(object)).collect();
        assert!(lines.first().is_some_and(|line| line.contains("making")) && lines.last().unwrap().contains("gone"), "{object}: {ledger}");
    }
    // Objects and logs are there, the owner's secrets and the credentials are not.
    let objects = std::fs::read_to_string(run.join("blobs/objects.json")).unwrap();
    assert!(objects.contains("pod-a") && objects.contains("plumb-agent"), "{objects}");
    let kubeconfig = std::fs::read_to_string(&lab.kubeconfig).unwrap();
    let key = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("client-key-data: ")).unwrap().to_owned();
    for hidden in ["hunter2", "aHVudGVyMi1vZi10aGUtb3duZXI", key.as_str()] {
        assert_eq!(holds(&run, hidden), None);
    }
    assert_eq!(plumb_engine::redact::leaks(&run).unwrap(), Vec::<PathBuf>::new());
    let judged = plumb(&lab, &["judge", run.to_str().unwrap()]);
    judged.says(0, &[]);
    assert_eq!(judged.out, std::fs::read_to_string(run.join("verdict.json")).unwrap());
}

fn red() {
    let lab = Lab::start(SCENARIO, Some("encryption-off"));
    let ended = run(&lab, SCENARIO);
    ended.says(1, &["REFERENCE NETWORK, NOT CILIUM", "FAIL    pod-pod-hidden-at-worker"]);
    assert_eq!(lab.left(), Vec::<String>::new());
}

fn skipped() {
    // It was made with node encryption.
    let lab = Lab::start("encrypt-matrix", None);
    run(&lab, SCENARIO).says(4, &["skipped kubeconfig::encrypt-pods-only", "encryption.nodeEncryption=false is not in force: it is true"]);
    run(&lab, "weights-90-10").says(4, &["kubeconfig has no outside client (--client-here makes this machine one)"]);
    run(&lab, "l2-failover").says(4, &["kubeconfig has no second network", "kubeconfig has no way to stop a node"]);
    let kubeconfig = lab.kubeconfig.to_str().unwrap();
    let asked = ["run", SCENARIO, "--provider", "kubeconfig"];
    plumb(&lab, &[&asked[..], &["--kubeconfig", kubeconfig]].concat()).says(4, &["no image of the agent was given (--agent-image"]);
    plumb(&lab, &[&asked[..], &["--agent-image", "x"]].concat()).says(4, &["there is no kubeconfig", "--kubeconfig"]);
    assert!(!lab.out().exists(), "a run folder though nothing ran");
    assert_eq!(lab.left(), Vec::<String>::new());
}

fn killed() {
    let lab = Lab::start(SCENARIO, None);
    let out = lab.out();
    let mut child = command(&lab, &words(&lab, SCENARIO, &out)).spawn().unwrap();
    // Its agents are there, its backends are coming.
    until("the backends", || lab.left().iter().any(|object| object == "deployment pod-a"));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the end of every object", || lab.left().is_empty());
    // What was asked of the API a moment before the end may come after it; the janitor looks for that, too.
    let ledger = only_run(&lab).join("ledger.jsonl");
    assert!(!plumb_engine::ledger::outstanding(&ledger).unwrap().is_empty(), "it was killed after its end");
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {} s", LIMIT.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn taken() {
    let lab = Lab::start(SCENARIO, None);
    lab.owner_applies(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pod-a", "namespace": "default"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 1234}]}}));
    let ended = run(&lab, SCENARIO);
    ended.says(2, &["service/default/pod-a: it is there already and not this run's", "take it away or rename it yourself"]);
    assert_eq!(lab.left(), Vec::<String>::new());
    let service = lab.with(async |cluster| cluster.read(&ResourceRef::parse("service/pod-a").unwrap()).await).unwrap().unwrap();
    assert_eq!((&service["spec"]["ports"][0]["port"], &service["spec"]["selector"]["app"]), (&json!(1234), &json!("theirs")));
    // The place of the agents as well.
    lab.owner_applies(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "plumbline"}}));
    run(&lab, SCENARIO).says(2, &["namespace/plumbline: it is there already and not this run's"]);
    assert_eq!(lab.left(), ["namespace plumbline"]);
}

fn unreachable() {
    let lab = Lab::start(SCENARIO, None);
    let kubeconfig = lab.kubeconfig.to_str().unwrap();
    let asked = |kubeconfig: &str, more: &[&str]| {
        let words = ["run", SCENARIO, "--provider", "kubeconfig", "--agent-image", "plumb-agent", "--kubeconfig", kubeconfig];
        plumb(&lab, &[&words[..], more].concat())
    };
    asked(kubeconfig, &["--context", "refnett"]).says(3, &["find the context `refnett`", "did you mean `refnet`?"]);
    asked("/nowhere/kubeconfig", &[]).says(3, &["read the kubeconfig /nowhere/kubeconfig", "--kubeconfig"]);
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let other = lab.folder.path().join("other");
    let port: String = text.lines().find_map(|line| line.trim().strip_prefix("server: https://127.0.0.1:")).unwrap().to_owned();
    // A port nobody has: it was ours and is given back.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(&other, text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{dead}"))).unwrap();
    asked(other.to_str().unwrap(), &[])
        .says(2, &["reach the API at https://127.0.0.1", "context refnet", "kubectl --context refnet get nodes"]);
    // A cluster that was made anew: the authority in the kubeconfig is not its own.
    let stranger = Lab::start(SCENARIO, None);
    let theirs = std::fs::read_to_string(&stranger.kubeconfig).unwrap();
    let authority = |text: &str| text.lines().find(|line| line.contains("certificate-authority-data")).unwrap().to_owned();
    std::fs::write(&other, text.replace(&authority(&text), &authority(&theirs))).unwrap();
    asked(other.to_str().unwrap(), &[]).says(2, &["reach the API at", "not by the authority of this kubeconfig"]);
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// Runs a program at a vantage point of a lab, to its end.
fn inside(lab: &Path, vantage: &str, program: &[String]) -> ExitCode {
    plumb_refnet::lab::door(lab, vantage).unwrap().enter().unwrap();
    let status = Command::new(&program[0]).args(&program[1..]).status().unwrap();
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(99))
}

/// `plumb run` of a scenario by a machine at a vantage point of the lab, which it also is the outside client of.
fn run_at(lab: &Lab, vantage: &str, scenario: &str, networks: &[&str]) -> Ended {
    let (own, out) = (std::env::current_exe().unwrap(), lab.out());
    let inside = ["--client-here".to_owned(), "--scenarios".to_owned(), scenarios()];
    let networks = networks.iter().flat_map(|network| ["--network".to_owned(), (*network).to_owned()]);
    let mut words: Vec<String> = words(lab, scenario, &out).into_iter().map(str::to_owned).chain(inside).chain(networks).collect();
    // The API's own address: the port of this machine is not there.
    let at = words.iter().position(|word| word == "--kubeconfig").unwrap();
    words[at + 1] = lab.own_kubeconfig();
    let mut command = apart(lab, &own);
    command.arg(INSIDE).arg(lab.lab_folder()).arg(vantage).arg(env!("CARGO_BIN_EXE_plumb")).args(words);
    ended(command)
}

fn scenarios() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").canonicalize().unwrap().display().to_string()
}

fn outside() {
    for (fault, code, says) in [(None, 0, "shown in"), (Some("cert-wrong"), 1, "FAIL    bookinfo-terminated")] {
        let lab = Lab::start(FROM_OUTSIDE, fault);
        let ended = run_at(&lab, "client", FROM_OUTSIDE, &[]);
        ended.says(code, &["REFERENCE NETWORK, NOT CILIUM", says]);
        assert_eq!(lab.left(), Vec::<String>::new());
        // Of the machine only the link towards the nodes is told.
        let evidence = std::fs::read_to_string(only_run(&lab).join("evidence.jsonl")).unwrap();
        let facts = evidence.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fact"].get("lab").cloned());
        let links = facts.unwrap()["client"].as_array().unwrap().clone();
        assert_eq!(links.iter().map(|link| link["name"].as_str().unwrap()).collect::<Vec<_>>(), ["eth0"]);
    }
}

fn not_outside() {
    let lab = Lab::start(FROM_OUTSIDE, None);
    let ended = run_at(&lab, "node/worker", FROM_OUTSIDE, &[]);
    ended.says(2, &["it has the address", "of node worker", "hint: run plumb on a machine that is no node"]);
    // This machine is in none of the lab's networks.
    let out = lab.out();
    let ended = plumb(&lab, &[&words(&lab, FROM_OUTSIDE, &out)[..], &["--client-here"]].concat());
    ended.says(
        2,
        &["the agent on these nodes does not echo what is sent there: ", "worker2 (10.9.0.4:", "hint: run plumb where the nodes'"],
    );
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// What the scenario calls `net0` is `ens19` there.
fn renamed(spec: &mut LabSpec) {
    let names = spec.networks.iter_mut().map(|network| &mut network.interface).chain(&mut spec.client);
    names.filter(|name| *name == "net0").for_each(|name| "ens19".clone_into(name));
    if let Some(serde_json::Value::Array(devices)) = spec.values.get_mut("devices") {
        devices.iter_mut().filter(|device| *device == "net0").for_each(|device| *device = "ens19".into());
    }
}

fn announced() {
    for (fault, code, says) in [(None, 0, "shown in"), (Some("arp-two-answerers"), 1, "FAIL    holder-answers-on-net0")] {
        let lab = Lab::changed(ANNOUNCED, fault, renamed);
        let ended = run_at(&lab, "client", ANNOUNCED, &[NAMED]);
        ended.says(code, &["REFERENCE NETWORK, NOT CILIUM", says]);
        assert_eq!(lab.left(), Vec::<String>::new());
        let evidence = std::fs::read_to_string(only_run(&lab).join("evidence.jsonl")).unwrap();
        let facts = evidence.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fact"].get("lab").cloned());
        let expected = json!({"interface": "ens19", "client": "ens19", "addresses": ["10.10.0.220", "10.10.0.230"]});
        assert_eq!(facts.unwrap()["networks"]["net0"], expected);
    }
    // And on the node network.
    let lab = Lab::start("gateway-needs-address", None);
    run_at(&lab, "client", "gateway-needs-address", &["eth0=eth0,10.9.0.220-10.9.0.229"]).says(0, &["shown in"]);
    assert_eq!(lab.left(), Vec::<String>::new());
}

fn not_as_named() {
    let lab = Lab::changed(ANNOUNCED, None, |spec| {
        renamed(spec);
        // One more than the scenario has a part for.
        spec.nodes.push(NodeSpec { name: "worker3".into(), control_plane: false });
    });
    let lacks = [
        "kubeconfig has no second network net0 (--network names its interface)",
        "kubeconfig has no virtual address on net0 (--network names",
    ];
    run_at(&lab, "client", ANNOUNCED, &[]).says(4, &lacks);
    run_at(&lab, "client", ANNOUNCED, &["net0=ens19"]).says(4, &lacks[1..]);
    let mistakes = ["--network net0: there is no `=` in it", "--network net0=a,b: `b` is no IPv4 address", "hint: NETWORK=INTERFACE"];
    run_at(&lab, "client", ANNOUNCED, &["net0", "net0=a,b"]).says(3, &mistakes);
    let wrong = ["node control-plane has no interface net0 to be on net0; it has", "node worker2 has no interface net0"];
    run_at(&lab, "client", ANNOUNCED, &["net0=net0,10.10.0.220-10.10.0.230"]).says(2, &wrong);
    let wrong =
        ["10.10.1.1, kept for Services on net0, is not in the subnet of its nodes there (10.10.0.0/24)", "is an address of node worker"];
    run_at(&lab, "client", ANNOUNCED, &["net0=ens19,10.10.0.3-10.10.1.1"]).says(2, &wrong);
    // The owner's own pool.
    let spec = json!({"blocks": [{"start": "10.10.0.225", "stop": "10.10.0.240"}]});
    lab.owner_applies(
        json!({"apiVersion": "cilium.io/v2alpha1", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "theirs"}, "spec": spec}),
    );
    run_at(&lab, "client", ANNOUNCED, &[NAMED])
        .says(2, &["meets CiliumLoadBalancerIPPool theirs of the cluster (10.10.0.225 to 10.10.0.240)"]);
    // An address that somebody has who plays no part.
    let wrong = ["10.10.0.5, kept for Services on net0, is in use: ", " answers ARP for it"];
    run_at(&lab, "client", ANNOUNCED, &["net0=ens19,10.10.0.5-10.10.0.30"]).says(2, &wrong);
    // Where nobody answers at all, silence is no sign that an address is free (arp_ignore, ip-sysctl.rst: 8 = do not reply for all).
    for node in ["control-plane", "worker", "worker2", "worker3"] {
        let mut command = apart(&lab, &std::env::current_exe().unwrap());
        command.arg(INSIDE).arg(lab.lab_folder()).arg(format!("node/{node}"));
        command.args(["sh", "-c", "echo 8 >/proc/sys/net/ipv4/conf/ens19/arp_ignore"]);
        ended(command).says(0, &[]);
    }
    let wrong = ["no node answers ARP on net0 for its own address (10.10.0.2, 10.10.0.3, 10.10.0.4), asked from ens19 of this machine"];
    run_at(&lab, "client", ANNOUNCED, &["net0=ens19,10.10.0.210-10.10.0.219"]).says(2, &wrong);
    assert_eq!(lab.left(), Vec::<String>::new());
}

fn swept() {
    let lab = Lab::start(SCENARIO, None);
    let object = |name: &str, owner: &str, expires: &str| {
        let labels = json!({"plumbline.owner": owner, "plumbline.expires": expires});
        let map = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default", "labels": labels}});
        manifest(map, &format!("run-of-{name}")).unwrap()
    };
    lab.with(async |cluster| {
        cluster.apply(&object("dead", "1.1.abcdef012345", "1000")).await.unwrap();
        cluster.apply(&object("elsewhere", "1.1.abcdef012345", "99999999999")).await.unwrap();
    });
    lab.owner_applies(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "default"}}));
    let all = ["secret dead".to_owned(), "secret elsewhere".to_owned()];
    plumb(&lab, &["sweep"]).says(0, &["no cluster that runs was looked into; --cluster"]);
    assert_eq!(lab.left(), all);
    let kubeconfig = lab.kubeconfig.to_str().unwrap();
    plumb(&lab, &["sweep", "--kubeconfig", kubeconfig]).says(3, &["--cluster"]);
    let ended = plumb(&lab, &["sweep", "--cluster", "--kubeconfig", kubeconfig]);
    ended.says(0, &["looked into context refnet of", "secret/default/dead of run run-of-dead: removed", "objects of run run-of-elsewhere"]);
    assert_eq!(lab.left(), all[1..]);
    let theirs = lab.with(async |cluster| cluster.read(&ResourceRef::parse("secret/theirs").unwrap()).await).unwrap();
    assert!(theirs.is_some());
}
