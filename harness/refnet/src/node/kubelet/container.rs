//! A container: an agent process in the Pod's namespace, started again when it ends, ready when it listens.

use std::collections::BTreeSet;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plumb_core::probe::{ServeOp, ServeProtocol};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::environment::{Addresses, resolve};
use super::status::{Doing, now};
use super::{Kubelet, Wish};
use crate::fault::Layer;
use crate::net::netns::Netns;
use crate::node::logs;

/// The variable an agent reads its servers from when its arguments name no other.
const SERVE_VARIABLE: &str = "PLUMB_SERVE";
/// How often a process that was started is looked at until it listens: the kernel wakes nobody when another process listens.
const LOOK: Duration = Duration::from_millis(3);
/// Pause before something missing is looked for again.
const AGAIN: Duration = Duration::from_millis(200);
/// The longest pause before a process that ends again and again is started again.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What a container is and where it runs.
pub(super) struct Place {
    pub(super) kubelet: Arc<Kubelet>,
    pub(super) pod: Arc<Pod>,
    pub(super) netns: Option<Netns>,
    pub(super) addresses: Addresses,
    /// Starts before this process's, by an earlier life of the node.
    pub(super) restarts: i32,
}

/// A container's news: number, restarts, what it does.
pub(super) type News = (usize, i32, Doing);

/// Runs a container until it is to end, or has ended for good.
pub(super) async fn run(place: Place, number: usize, container: Container, mut wish: watch::Receiver<Wish>, news: mpsc::Sender<News>) {
    let policy = place.pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone()).unwrap_or_else(|| "Always".to_owned());
    let mut restarts = place.restarts;
    let mut pause = Duration::ZERO;
    loop {
        let started = tokio::select! {
            started = start(&place, &container, number, restarts, &news) => started,
            () = ending(&mut wish) => return,
        };
        let Some((child, ports)) = started else { return };
        let code = attend(child, ports, number, restarts, &news, &mut wish, pre_stop(&container)).await;
        let Some(code) = code else { return };
        if policy == "Never" || (policy == "OnFailure" && code == 0) {
            let _ = news.send((number, restarts, Doing::Ended { code })).await;
            return;
        }
        restarts += 1;
        let message = format!("it ended with status {code}");
        let _ = news.send((number, restarts, Doing::Waiting { reason: "CrashLoopBackOff", message })).await;
        // The pause is the specification: at once at first, then longer each time.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ending(&mut wish) => return,
        }
        pause = (pause * 2).clamp(Duration::from_secs(1), BACKOFF_MAX);
    }
}

/// Starts the process as soon as its environment is complete.
async fn start(
    place: &Place,
    container: &Container,
    number: usize,
    restarts: i32,
    news: &mpsc::Sender<News>,
) -> Option<(Child, BTreeSet<(bool, u16)>)> {
    loop {
        let trouble = match resolve(&place.kubelet.client, &place.pod, container, place.addresses).await {
            Ok(variables) => {
                let ports = ports(&variables);
                match spawn(place, container, variables) {
                    Ok(child) => return Some((child, ports)),
                    Err(error) => ("RunContainerError", error.to_string()),
                }
            }
            Err(error) => ("CreateContainerConfigError", error.to_string()),
        };
        let (reason, message) = trouble;
        news.send((number, restarts, Doing::Waiting { reason, message })).await.ok()?;
        // What is missing may come; the kubelet looks again, as the real one does.
        tokio::time::sleep(AGAIN).await;
    }
}

/// Watches over a process: says when it listens, ends it when that is wished. `None` = it was ended.
async fn attend(
    mut child: Child,
    ports: BTreeSet<(bool, u16)>,
    number: usize,
    restarts: i32,
    news: &mpsc::Sender<News>,
    wish: &mut watch::Receiver<Wish>,
    pre_stop: Duration,
) -> Option<i32> {
    let pid = child.id()?;
    let since = now();
    let _ = news.send((number, restarts, Doing::Running { since: since.clone(), ready: false })).await;
    let mut look = tokio::time::interval(LOOK);
    let mut ready = false;
    loop {
        tokio::select! {
            ended = child.wait() => return Some(ended.ok().and_then(|status| status.code()).unwrap_or(137)),
            () = ending(wish) => break,
            _ = look.tick(), if !ready => {
                if ports.is_subset(&listening(pid)) {
                    ready = true;
                    let _ = news.send((number, restarts, Doing::Running { since: since.clone(), ready })).await;
                }
            }
        }
    }
    end(child, pid, wish, pre_stop).await;
    None
}

/// What `lifecycle.preStop.sleep` asks for, then SIGTERM, and when the grace is over SIGKILL.
async fn end(mut child: Child, pid: u32, wish: &mut watch::Receiver<Wish>, pre_stop: Duration) {
    let begun = tokio::time::Instant::now();
    let mut told = false;
    loop {
        let grace = match *wish.borrow_and_update() {
            Wish::End(seconds) => Duration::from_secs(seconds),
            Wish::Run => Duration::from_secs(30),
            Wish::Gone => Duration::ZERO,
        };
        if !told && begun.elapsed() >= pre_stop.min(grace) {
            told = true;
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let next = if told { grace } else { pre_stop.min(grace) };
        // Both pauses are the specification: the Pod's own, and the grace.
        tokio::select! {
            _ = child.wait() => return,
            () = tokio::time::sleep_until(begun + next) => if told { break },
            changed = wish.changed() => if changed.is_err() { break },
        }
    }
    let _ = child.kill().await;
}

/// How long a container asks to go on after its Pod was deleted.
fn pre_stop(container: &Container) -> Duration {
    let sleep = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()?.sleep.as_ref());
    sleep.map_or(Duration::ZERO, |sleep| Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)))
}

/// Resolves when the Pod is to end.
async fn ending(wish: &mut watch::Receiver<Wish>) {
    // A sender that is gone wishes nothing any more: the node's process is ending.
    let _ = wish.wait_for(|wish| *wish != Wish::Run).await;
}

fn spawn(place: &Place, container: &Container, variables: Vec<(String, String)>) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("__agent");
    let fault = place.kubelet.node.context.faults.for_agent(Layer::Backend);
    match container.args.as_deref() {
        None | Some([]) => command.args(["serve", "--config-env", SERVE_VARIABLE]),
        Some(arguments) => command.args(arguments),
    };
    // Standard error is the container's log; the agent never prints what it was given.
    command.env_clear().envs(variables).envs(fault).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let log = logs::begin(&crate::api::Container {
        namespace: place.pod.namespace().unwrap_or_default(),
        pod: place.pod.name_any(),
        name: container.name.clone(),
    })?;
    let mut child = match &place.netns {
        None => command.spawn(),
        Some(netns) => {
            let runtime = tokio::runtime::Handle::current();
            netns.run(|| {
                let _guard = runtime.enter();
                command.spawn()
            })?
        }
    }?;
    if let Some(errors) = child.stderr.take() {
        tokio::spawn(logs::keep(errors, log));
    }
    Ok(child)
}

/// What the servers in the environment will listen on: whether it is UDP, and the port.
fn ports(variables: &[(String, String)]) -> BTreeSet<(bool, u16)> {
    let lists = variables.iter().filter_map(|(_, value)| serde_json::from_str::<Vec<ServeOp>>(value).ok());
    lists.flatten().map(|op| (op.protocol == ServeProtocol::UdpEcho, op.listen.port())).filter(|(_, port)| *port != 0).collect()
}

/// What is listened on in the namespace of a process.
fn listening(pid: u32) -> BTreeSet<(bool, u16)> {
    /// State of a listening TCP socket and of an unconnected UDP socket in /proc/net.
    const STATES: [(&str, bool, &str); 4] = [("tcp", false, "0A"), ("tcp6", false, "0A"), ("udp", true, "07"), ("udp6", true, "07")];
    let mut found = BTreeSet::new();
    for (file, udp, wanted) in STATES {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
            let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
            (state == wanted).then_some((udp, port))
        }));
    }
    found
}
