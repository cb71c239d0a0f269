//! The lab as a whole: made in order, changed by actions on nodes, ended.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use plumb_core::evidence::NodeFacts;
use plumb_core::scenario::model::{ApiAction, NodeAction};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::machine::{Machine, log_file};
use super::topology::{Topology, links};
use super::{Phases, SupervisorError};
use crate::api::{ApiConfig, ApiServer, Identity, Pki, Serving};
use crate::net::netns::Netns;
use crate::net::plan::{API_PORT, NodePlan, Plan};
use crate::settings::Settings;
use crate::spec::{LabSpec, Ready, VALUES_KEY, VALUES_MAP};

/// How much of each log is collected.
const LOG_MAX: usize = 256 * 1024;

/// A lab that runs.
pub(super) struct Cluster {
    /// What it is made from.
    pub(super) spec: LabSpec,
    plan: Plan,
    ready: Ready,
    topology: Topology,
    client: Option<Netns>,
    api: ApiServer,
    tls: std::sync::Arc<rustls::ServerConfig>,
    state: Mutex<Changing>,
    controllers: CancellationToken,
}

/// What actions change.
struct Changing {
    machines: Vec<Machine>,
    serving: Option<Serving>,
}

/// Where a program is to run.
pub(super) struct Place {
    /// Namespace.
    pub(super) netns: Netns,
    /// Process group it joins; absent = its own.
    pub(super) group: Option<i32>,
}

impl Cluster {
    /// Makes the lab.
    pub(super) async fn start(dir: &Path, spec: LabSpec, began: Instant) -> Result<Cluster, SupervisorError> {
        let mut phases = Phases::since(began);
        let settings = Settings::of(&spec).map_err(|mistakes| SupervisorError::Values(mistakes.join("; ")))?;
        let plan = Plan::of(&spec)?;
        let topology = Topology::build(&spec).await?;
        let mut machines = Vec::with_capacity(plan.nodes.len());
        for node in &plan.nodes {
            machines.push(Machine::plug(node.clone(), &topology).await?);
        }
        let client = match plan.client.as_slice() {
            [] => None,
            nics => Some(topology.plug(plan.nodes.len() as u32, nics).await?),
        };
        phases.done("topology");
        let api = ApiServer::new(ApiConfig { crds: spec.crds.clone() }).map_err(failed)?;
        publish(&api, &spec.values).await?;
        let pki = Pki::new().map_err(failed)?;
        let addresses = [IpAddr::V4(plan.api_node().address()), IpAddr::from([10, 96, 0, 1])];
        let names = ["kubernetes".to_owned(), "kubernetes.default".to_owned(), plan.api_node().name.clone()];
        let tls = pki.server_config(&names, &addresses).map_err(failed)?;
        let admin = identities(&pki, &plan).map_err(|error| failed(error.to_string()))?;
        let serving = listen(&api, &tls, &plan, &machines)?;
        let ready = describe(dir, &plan, &pki, &admin).map_err(SupervisorError::io("write the lab's files"))?;
        phases.done("api");
        let controllers = CancellationToken::new();
        tokio::spawn(crate::control::run(api.client(), settings, spec.faults.clone(), spec.seed, controllers.clone()));
        let state = Mutex::new(Changing { machines, serving: Some(serving) });
        let mut cluster = Cluster { spec, plan, ready, topology, client, api, tls, state, controllers };
        cluster.boot_all().await?;
        phases.done("nodes");
        cluster.ready.phases_ms = phases.ms;
        Ok(cluster)
    }

    /// Names whoever answers for the Pods on the API.
    pub(super) fn run_pods(&self, containers: std::sync::Arc<dyn crate::api::Containers>) {
        self.api.run_by(containers);
    }

    /// What the owner is told.
    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Does something to a node; returns when it took effect.
    pub(super) async fn act(&self, name: &str, action: NodeAction) -> Result<u64, SupervisorError> {
        let mut state = self.state.lock().await;
        let Changing { machines, serving } = &mut *state;
        let machine = machines
            .iter_mut()
            .find(|machine| machine.plan.name == name)
            .ok_or_else(|| SupervisorError::Node { name: name.to_owned(), reason: "there is no such node".to_owned() })?;
        let serves_api = machine.plan.name == self.plan.api_node().name;
        match action {
            NodeAction::Pause => machine.pause().await?,
            NodeAction::Resume => machine.resume()?,
            NodeAction::Stop => {
                machine.cut(&self.topology).await?;
                // Its connections are cut off already; their end is nobody's to wait for.
                if let Some(serving) = serving.take_if(|_| serves_api) {
                    tokio::spawn(serving.stop());
                }
            }
            NodeAction::Start => {
                if machine.netns().is_some() {
                    return Err(SupervisorError::Node { name: name.to_owned(), reason: "it runs already".to_owned() });
                }
                machine.restore(&self.topology).await?;
                if serves_api {
                    *serving = Some(listen(&self.api, &self.tls, &self.plan, machines)?);
                }
                return self.boot_again(machines, name).await;
            }
        }
        Ok(now_ns())
    }

    /// Pauses the API server or lets it go on; returns when.
    pub(super) fn switch_api(&self, action: ApiAction) -> u64 {
        match action {
            ApiAction::Pause => self.api.pause(),
            ApiAction::Resume => self.api.resume(),
        }
        now_ns()
    }

    /// Where a vantage point is.
    pub(super) async fn place(&self, vantage: &str) -> Result<Place, SupervisorError> {
        let nowhere = |why: &str| SupervisorError::Node { name: vantage.to_owned(), reason: why.to_owned() };
        if vantage == "client" {
            let netns = self.client.clone().ok_or_else(|| nowhere("the lab has no client"))?;
            return Ok(Place { netns, group: None });
        }
        let state = self.state.lock().await;
        if let Some(name) = vantage.strip_prefix("node/") {
            let machine =
                state.machines.iter().find(|machine| machine.plan.name == name).ok_or_else(|| nowhere("there is no such node"))?;
            let netns = machine.netns().cloned().ok_or_else(|| nowhere("the node is stopped"))?;
            return Ok(Place { netns, group: machine.group().map(nix::unistd::Pid::as_raw) });
        }
        let pod = vantage.strip_prefix("pod/").ok_or_else(|| nowhere("expected client, node/<name> or pod/<namespace>/<name>"))?;
        for machine in &state.machines {
            let (Some(group), Some(_)) = (machine.group(), machine.netns()) else { continue };
            let Some(descriptor) = crate::node::registry::find(&machine.plan.name, pod) else { continue };
            let path = format!("/proc/{group}/fd/{descriptor}");
            let netns = Netns::open(Path::new(&path)).map_err(SupervisorError::io(format!("enter {vantage}")))?;
            return Ok(Place { netns, group: Some(group.as_raw()) });
        }
        Err(nowhere("no node runs such a Pod"))
    }

    /// A connection to the API server, made on the node that serves it.
    pub(super) async fn dial_api(&self) -> Result<TcpStream, SupervisorError> {
        let unreachable = |source| SupervisorError::Io { operation: "connect to the API server".to_owned(), source };
        let (netns, address) = {
            let state = self.state.lock().await;
            let machine = state.machines.iter().find(|machine| machine.plan.name == self.plan.api_node().name);
            let netns = machine.and_then(Machine::netns).cloned();
            (netns.ok_or_else(|| unreachable(io::Error::from(io::ErrorKind::HostUnreachable)))?, self.plan.api_node().address())
        };
        let connected = netns.run(|| std::net::TcpStream::connect((address, API_PORT)));
        let stream = connected.and_then(|connected| connected).map_err(unreachable)?;
        let _ = stream.set_nodelay(true);
        stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).map_err(unreachable)
    }

    /// Logs by name.
    pub(super) async fn collect(&self) -> BTreeMap<String, String> {
        let state = self.state.lock().await;
        let mut texts = BTreeMap::new();
        for machine in &state.machines {
            let name = &machine.plan.name;
            texts.insert(format!("log of node {name}"), tail(&log_file(name)));
            texts.insert(format!("state of node {name}"), format!("power: {}, paused: {}", machine.netns().is_some(), machine.paused()));
        }
        for entry in std::fs::read_dir(".").into_iter().flatten().filter_map(Result::ok) {
            let file = entry.file_name().to_string_lossy().into_owned();
            texts.extend(crate::node::logs::of(&file).map(|name| (name, tail(&file))).filter(|(_, text)| !text.is_empty()));
        }
        texts.insert("log of the supervisor".to_owned(), tail("supervisor.log"));
        texts
    }

    /// Ends every node and the API.
    pub(super) async fn end(&self) {
        self.controllers.cancel();
        let mut state = self.state.lock().await;
        for machine in &mut state.machines {
            if let Err(error) = machine.end().await {
                super::complain(&error.to_string());
            }
        }
        self.api.stop();
    }

    async fn boot_all(&mut self) -> Result<(), SupervisorError> {
        let mut booting = Vec::new();
        for machine in &mut self.state.get_mut().machines {
            booting.push(machine.boot()?);
        }
        futures::future::try_join_all(booting.into_iter().map(super::machine::NodeReady::wait)).await?;
        Ok(())
    }

    /// Starts a node's process; the node is there when its process runs, ready when it says so.
    async fn boot_again(&self, machines: &mut [Machine], name: &str) -> Result<u64, SupervisorError> {
        for machine in machines.iter_mut().filter(|machine| machine.plan.name == name) {
            machine.boot()?.wait().await?;
        }
        Ok(now_ns())
    }
}

/// Serves the API on the control plane's address, in its namespace.
fn listen(
    api: &ApiServer,
    tls: &std::sync::Arc<rustls::ServerConfig>,
    plan: &Plan,
    machines: &[Machine],
) -> Result<Serving, SupervisorError> {
    let node = plan.api_node();
    let machine = machines.iter().find(|machine| machine.plan.name == node.name);
    let netns = machine.and_then(Machine::netns).ok_or_else(|| failed("the control plane has no power"))?;
    let listener = netns.run(|| TcpListener::bind((node.address(), API_PORT)));
    let listener = listener.and_then(|bound| bound).map_err(SupervisorError::io("bind the API's port"))?;
    api.serve(listener, tls.clone()).map_err(failed)
}

/// Says which Helm values are in force, as `cilium-config` does of Cilium: whoever adopts this cluster has nothing else to go by.
async fn publish(api: &ApiServer, values: &BTreeMap<String, serde_json::Value>) -> Result<(), SupervisorError> {
    let values = serde_json::to_string(values).map_err(failed)?;
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(VALUES_MAP.to_owned()), ..ObjectMeta::default() },
        data: Some([(VALUES_KEY.to_owned(), values)].into()),
        ..ConfigMap::default()
    };
    Api::<ConfigMap>::namespaced(api.client(), "kube-system").create(&PostParams::default(), &map).await.map(drop).map_err(failed)
}

/// Writes each node's credentials; returns the administrator's.
fn identities(pki: &Pki, plan: &Plan) -> Result<Identity, Box<dyn std::error::Error>> {
    for node in &plan.nodes {
        let identity = pki.client(&format!("system:node:{}", node.name), &["system:nodes"])?;
        crate::node::credentials::write(&node.name, &pki.ca_pem(), &identity)?;
    }
    Ok(pki.client("kubernetes-admin", &["system:masters"])?)
}

fn describe(dir: &Path, plan: &Plan, pki: &Pki, admin: &Identity) -> io::Result<Ready> {
    let path = |name: &str| dir.join(name).display().to_string();
    let url = plan.api_url();
    crate::node::credentials::write_private("admin.key", &admin.key_pem)?;
    crate::node::credentials::write_private("kubeconfig", &pki.kubeconfig(&url, admin))?;
    Ok(Ready {
        api: url,
        ca_pem: pki.ca_pem(),
        client_cert_pem: admin.cert_pem.clone(),
        client_key_file: path("admin.key"),
        kubeconfig: path("kubeconfig"),
        nodes: plan.nodes.iter().map(|node| (node.name.clone(), facts(node))).collect(),
        client: links(&plan.client),
        phases_ms: BTreeMap::new(),
    })
}

fn facts(node: &NodePlan) -> NodeFacts {
    NodeFacts {
        name: node.name.clone(),
        control_plane: node.control_plane,
        address: node.address().to_string(),
        pod_cidr: node.pod_cidr(),
        links: links(&node.nics),
    }
}

fn failed(error: impl std::fmt::Display) -> SupervisorError {
    SupervisorError::Api(error.to_string())
}

fn tail(file: &str) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_MAX)..]).into_owned()
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(super) fn now_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
}
