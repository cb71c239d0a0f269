//! What every provider hands over, asked of each of them in the same words: a client, agents at vantage points that answer and are
//! answered, facts without gaps, something collected, and an end that leaves nothing. A provider that is not there is ignored with its
//! reason, or a failure where `PLUMB_REQUIRE` names it.

#![allow(clippy::unwrap_used, reason = "a test program")]

#[allow(dead_code, reason = "other tests of an adopted cluster use more of it")]
#[path = "../../../cli/tests/adopted/lab.rs"]
mod lab;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use lab::Lab as Running;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plumb_core::plan::{Disposition, Plan};
use plumb_core::probe::{Done, L4Op, Link, Op, ServeOp, ServeProtocol};
use plumb_engine::backends;
use plumb_engine::cluster::{Cluster, ResourceRef, Watched, manifest};
use plumb_engine::folder::RunFolder;
use plumb_engine::ledger::{self, Ledger};
use plumb_engine::library::{Ask, Library};
use plumb_engine::parts::Given;
use plumb_engine::provider::kind::Sharing;
use plumb_engine::provider::{self, Lab, Place};
use plumb_engine::recorder::Recorder;
use plumb_engine::run::{Cleanup, Listener, Setup};
use plumb_engine::session::Session;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A scenario that every provider can hold.
const SCENARIO: &str = "encrypt-pods-only";
/// Limit for one answer of an agent, and for a Pod to be there.
const ANSWER: Duration = Duration::from_secs(30);
const POD: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(2);
    let trials = vec![
        Trial::ignorable_test("refnet_hands_over_what_every_provider_does", || on("refnet", Given::default())),
        Trial::ignorable_test("kubeconfig_hands_over_what_every_provider_does", adopted),
        Trial::ignorable_test("kind_hands_over_what_every_provider_does", || on("kind", Given::from_env())),
    ];
    libtest_mimic::run(&args, trials).exit_code()
}

/// On a reference lab that is somebody else's.
fn adopted() -> Result<Completion, Failed> {
    let missing = provider::unavailable("refnet", &Given::default());
    if !missing.is_empty() {
        return Ok(Completion::ignored_with(missing.join("; ")));
    }
    let running = Running::start(SCENARIO, None);
    let given = Given { kubeconfig: Some(running.kubeconfig.clone()), agent_image: Some("plumb-agent".into()), ..Given::default() };
    let done = on("kubeconfig", given)?;
    assert_eq!(running.left(), Vec::<String>::new());
    Ok(done)
}

fn on(provider: &str, given: Given) -> Result<Completion, Failed> {
    let found = provider::find(provider, &given).map_err(|unfit| Failed::from(unfit.to_string()))?;
    if !found.unavailable.is_empty() {
        let required = std::env::var("PLUMB_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == provider));
        let reason = found.unavailable.join("; ");
        return if required { Err(Failed::from(reason)) } else { Ok(Completion::ignored_with(reason)) };
    }
    let library = Library::find(None).unwrap();
    let entry = library.scenario(SCENARIO).unwrap();
    let ask = Ask { provider, seed: 1, found: found.capability.as_ref(), values: given.read_values().unwrap(), ..Ask::default() };
    let plan = library.plan(&entry, &Ask { cilium: given.cilium_version.as_deref(), ..ask }).unwrap();
    assert_eq!(plan.disposition, Disposition::Run);
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(conforms(plan, given));
    // The futures of a lab are deep, and a debug build keeps every one of their steps on the stack.
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(run).unwrap();
    thread.join().map(|()| Completion::Completed).map_err(|_| Failed::from("it does not hand over what every provider does (see above)"))
}

async fn conforms(plan: Plan, given: Given) {
    let out = tempfile::tempdir().unwrap();
    let run = RunFolder::create(out.path()).unwrap();
    let ledger = Ledger::create(&run).unwrap();
    let setup = Setup { cleanup: Cleanup::Close, given, sharing: Sharing::Alone };
    let listener: Listener = std::sync::Arc::new(|_| {});
    let recorder = Recorder::begin(run.clone(), CancellationToken::new()).unwrap();
    let lab = Lab::make(&plan, &recorder, &setup, &ledger, &listener).await.unwrap();
    let claimed = ledger::outstanding(ledger.path()).unwrap();
    assert!(!claimed.is_empty(), "it made something and claims nothing");

    let facts = lab.facts();
    assert_eq!(facts.provider, plan.provider);
    assert!(!facts.system.is_empty());
    assert_eq!(facts.nodes.keys().collect::<Vec<_>>(), ["control-plane", "worker", "worker2"]);
    for (name, node) in &facts.nodes {
        assert_eq!(node.control_plane, name == "control-plane");
        assert!(has(&node.links, &node.address), "{name}: {node:?}");
        assert!(!node.pod_cidr.is_empty(), "{name} has no Pod CIDR");
        let links = links(&lab.agent(&Place::Node(node.name.clone())).await.unwrap()).await;
        assert!(has(&links, &node.address), "the agent on {name} is elsewhere: {links:?}");
    }
    echoes(&lab).await;

    let client = lab.client().unwrap();
    assert!(!client.apiserver_version().await.unwrap().git_version.is_empty());
    let cluster = Cluster::new(client, ANSWER);
    let cluster = match lab.claim() {
        Some(claim) => cluster.claiming(claim),
        None => cluster,
    };
    let (name, address) = pod(&plan, &lab, &cluster, run.id()).await;
    let session = lab.agent(&Place::Pod { namespace: "default".into(), name }).await.unwrap();
    assert!(has(&links(&session).await, &address), "the agent is not in its Pod");
    drop(session);

    assert!(lab.agent(&Place::Node("nobody".into())).await.is_err());
    let collected = lab.collect().await.unwrap();
    assert!(collected.values().any(|text| !text.is_empty()), "nothing was collected: {:?}", collected.keys());
    lab.close(&ledger).await.unwrap();
    assert_eq!(ledger::outstanding(ledger.path()).unwrap(), []);
}

/// A payload comes back across nodes.
async fn echoes(lab: &Lab) {
    let nodes = lab.facts().nodes;
    let (near, far) = (&nodes["worker"], &nodes["worker2"]);
    let server = lab.agent(&Place::Node(far.name.clone())).await.unwrap();
    let listen = SocketAddr::new(far.address.parse().unwrap(), 0);
    let (backend, node) = ("echo".to_owned(), far.name.clone());
    let serve = ServeOp { listen, protocol: ServeProtocol::TcpEcho, backend, pod: String::new(), node, cert_pem: None, key_pem: None };
    let serving = server.start(Op::Serve(serve), ANSWER).await.unwrap();
    let target = serving.started().unwrap().listening[0];
    let asking = lab.agent(&Place::Node(near.name.clone())).await.unwrap();
    let asked = L4Op { target, source: None, payload: "conformance".into(), count: 3, interval_ms: 0, timeout_ms: 5_000 };
    let Done::L4(report) = asking.ask(Op::Tcp(asked), ANSWER).await.unwrap().done else { panic!("no report") };
    assert!(report.attempts.len() == 3 && report.attempts.iter().all(|attempt| attempt.rtt_us.is_some()), "{report:?}");
    serving.stop(ANSWER).await.unwrap();
}

/// A backend of the agent's image; name and address of its Pod.
async fn pod(plan: &Plan, lab: &Lab, cluster: &Cluster, run: &str) -> (String, String) {
    let backend = &plan.scenario.backends["pod-a"];
    let node = lab.facts().nodes["worker"].name.clone();
    for object in backends::objects("pod-a", backend, None, Some(&node), lab.agent_image()).unwrap() {
        cluster.apply(&manifest(object, run).unwrap()).await.unwrap();
    }
    let deployment = ResourceRef { kind: "deployment".into(), namespace: Some("default".into()), name: "pod-a".into() };
    let look = |object: Option<Value>| match backends::rolled_out(object.as_ref()) {
        Ok(()) => Watched::Yes(()),
        Err(blocked) => Watched::NotYet(blocked),
    };
    let ended = cluster.wait(&deployment, POD, look).await.unwrap();
    ended.unwrap_or_else(|end| panic!("pod-a is not ready: {end:?}"));
    let pods = cluster.list("pod", Some("default"), &format!("{}=pod-a", backends::BACKEND_LABEL)).await.unwrap();
    let text = |pointer: &str| pods[0].pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/name"), text("/status/podIP"))
}

async fn links(session: &Session) -> Vec<Link> {
    session.hello(ANSWER).await.unwrap();
    let Done::Links(links) = session.ask(Op::Links, ANSWER).await.unwrap().done else { panic!("no links") };
    links
}

fn has(links: &[Link], address: &str) -> bool {
    links.iter().any(|link| link.addresses.iter().any(|one| one.split('/').next() == Some(address)))
}
