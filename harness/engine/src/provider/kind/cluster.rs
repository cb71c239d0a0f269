//! A cluster, made phase by phase. What can overlap does: the agent, the client and the images come while kubeadm runs, the second
//! networks, definitions and Cilium the moment the API answers, while the workers join.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use futures::future::try_join_all;
use plumb_core::plan::Plan;
use plumb_core::scenario::model::{GatewayApi, Lab};
use plumb_core::scenario::node_names;
use plumb_core::values::Values;
use tokio::sync::oneshot;

use super::config::{KubeProxy, Nodes, render};
use super::create::Create;
use super::facts::{connect, links, node_facts, running_version};
use super::ground::Ground;
use super::images::Runtime;
use super::layers::{LayersError, Request};
use super::made::Made;
use super::{KindError, agents, api, images, layers};
use crate::agent_program::{self, AgentProgram};
use crate::cilium::{self, Chart, Digests, Expect, Installation, Target, Wanted, definitions};
use crate::clock;
use crate::docker::{Claim, Engine, agent_layer, image_archive};
use crate::ledger::{self, Ledger, Line, Resource};
use crate::parts::{Given, tools};

/// Limit for a definition to be served.
const DEFINITION: Duration = Duration::from_secs(60);
/// Limit for Cilium to be ready once it is installed: images may be pulled in this time.
pub(super) const READY: Duration = Duration::from_secs(600);

/// Everything a cluster is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Nodes, networks and the client.
    pub lab: Lab,
    /// Cilium's version.
    pub cilium: String,
    /// The version a step upgrades it to.
    pub upgraded_to: Option<String>,
    /// Helm values in force.
    pub values: Values,
    /// Gateway API definitions.
    pub gateway_api: Option<GatewayApi>,
}

impl Spec {
    /// What a plan asks for.
    pub fn of(plan: &Plan) -> Spec {
        Spec {
            lab: plan.scenario.lab.clone(),
            cilium: plan.installed().profile.cilium.clone(),
            upgraded_to: plan.before.is_some().then(|| plan.profile.cilium.clone()),
            values: plan.installed().values.clone(),
            gateway_api: plan.scenario.install.gateway_api.clone().or_else(|| plan.profile.gateway_api.clone()),
        }
    }
}

/// Name of a run's cluster, of its network and the beginning of every name in Docker.
pub fn name_of(run: &str) -> String {
    format!("{}{}", crate::docker::sweep::CLUSTER_PREFIX, tail_of(run))
}

/// The random part of a run's id.
pub(super) fn tail_of(run: &str) -> String {
    run.rsplit('-').next().unwrap_or(run).to_ascii_lowercase()
}

/// What is looked for before anything is made.
struct Parts {
    kind: PathBuf,
    cilium_cli: PathBuf,
    chart: Chart,
    definitions: definitions::Loaded,
    archives: Vec<images::Archive>,
    agent: AgentProgram,
}

impl Parts {
    /// Everything, so that what is missing is said before a cluster was made for nothing.
    async fn find(spec: &Spec, given: &Given) -> Result<Parts, KindError> {
        let kind = tools::kind(given).await?;
        let cilium_cli = tools::cilium_cli(given, &spec.cilium).await?;
        let chart = Chart::of(given, &spec.cilium)?;
        // An upgrade that has no chart would be found out when the rest is done.
        spec.upgraded_to.iter().try_for_each(|version| Chart::of(given, version).map(drop))?;
        let definitions = match &spec.gateway_api {
            Some(api) => definitions::load(&definitions::Source::of(given, api), &api.crds, DEFINITION).await?,
            None => definitions::Loaded::default(),
        };
        let folder = given.images.clone();
        let read = blocking(move || folder.as_deref().map(images::archives).transpose());
        let for_agent = given.clone();
        let agent = blocking(move || agent_program::find(&for_agent));
        let (archives, agent) = tokio::join!(read, agent);
        Ok(Parts { kind, cilium_cli, chart, definitions, archives: archives?.unwrap_or_default(), agent: agent? })
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// How long phases took.
#[derive(Default)]
struct Phases(Mutex<BTreeMap<String, u64>>);

impl Phases {
    async fn time<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        let began = clock::monotonic_ns();
        let done = work.await;
        let took = clock::monotonic_ns().saturating_sub(began) / 1_000_000;
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned(), took);
        done
    }

    fn into_map(self) -> BTreeMap<String, u64> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Makes a cluster. Whatever is made is in the ledger first; nothing is taken away here when it fails, because its logs say why.
///
/// # Errors
/// See [`KindError`].
pub async fn make(spec: &Spec, name: &str, given: &Given, claim: Claim, ledger: &Ledger) -> Result<Made, KindError> {
    let phases = Phases::default();
    let engine = Engine::connect().await?;
    let parts = phases.time("parts", Parts::find(spec, given)).await?;
    let ground = phases.time("ground", Ground::make(engine.clone(), name, &spec.lab.networks, claim, ledger)).await?;
    let folder = make_folder(name, ground.claim(), ledger)?;
    let (kubeconfig, of_kind) = (folder.join("kubeconfig"), folder.join("kubeconfig-of-kind"));
    let logical = node_names(spec.lab.control_planes, spec.lab.workers);
    let nodes: Vec<String> = logical.iter().map(|node| format!("{name}-{node}")).collect();
    let agent_image = format!("localhost/plumb-agent:{}", &parts.agent.sha256[..12]);

    let image = node_image(&engine, &parts.kind, spec, given).await?;
    let stores = phases.time("layers", stores(&ground, image.as_deref(), &parts.archives, &logical, ledger)).await?;
    let shape = Nodes { control_planes: spec.lab.control_planes, workers: spec.lab.workers };
    let config = render(shape, KubeProxy::of(&spec.values), &stores.folders);
    let create =
        Create { program: &parts.kind, name, image: image.as_deref(), kubeconfig: &of_kind, socket: engine.socket(), config: &config };
    ledger_line(ledger, Resource::KindCluster { name: name.to_owned(), network: name.to_owned() })?;
    let (made_by_kind, made) = oneshot::channel();
    let created = Box::pin(phases.time("create", async {
        let said = create.run().await?;
        let _ = made_by_kind.send(());
        Ok::<_, KindError>(said)
    }));
    let outside = Box::pin(phases.time("client", async {
        if spec.lab.client.is_empty() {
            Ok(())
        } else {
            Ok::<_, KindError>(ground.make_client(&parts.agent, &spec.lab.client, ledger).await?)
        }
    }));
    let target = target(name, &kubeconfig, &parts.cilium_cli);
    let digests = if parts.archives.is_empty() { Digests::Keep } else { Digests::Off };
    let wanted = Wanted { chart: parts.chart.clone(), version: spec.cilium.clone(), values: spec.values.clone(), digests };
    let early = async {
        match (Early::of(spec), nodes.first()) {
            (Early::Yes, Some(node)) => api::until_it_answers(&engine, name, node, &kubeconfig).await,
            _ => std::future::pending().await,
        }
    };
    let answers = phases.time("api", api_of(early, made, &of_kind, &kubeconfig));
    let furnished = phases.time("images", furnish(&ground, &nodes, &parts, &agent_image));
    let installed = Box::pin(async {
        let (client, ()) = tokio::try_join!(answers, furnished)?;
        // Before Cilium, which takes what it finds; and when kubeadm runs, because kind reads a node's address before as if there could
        // be only one.
        phases.time("networks", connect_nodes(&ground, &nodes)).await?;
        if spec.gateway_api.is_some() {
            phases.time("definitions", parts.definitions.clone().apply(&client, DEFINITION)).await?;
        }
        let ran = phases.time("install", cilium::install(&target, &wanted)).await?;
        Ok::<_, KindError>((client, ran))
    });
    let (said_by_kind, (), (client, ran)) = tokio::try_join!(created, outside, installed)?;
    let expect = Expect::of(&spec.values, nodes.len());
    let installation = Installation { target, given: given.clone(), digests, nodes: nodes.len() };
    phases.time("ready", cilium::ready(&client, &expect, READY)).await?;

    let facts = phases.time("facts", node_facts(&ground, &client, name, &logical)).await?;
    let client_links = match spec.lab.client.is_empty() {
        true => Vec::new(),
        false => links(&agents::in_container(&engine, &ground.client(), "client").await?).await?,
    };
    let cilium = running_version(&client).await?;
    let system = format!("Cilium {cilium} on kind ({} nodes)", nodes.len());
    let texts = BTreeMap::from([
        ("kind-create".to_owned(), said_by_kind),
        ("cilium-install".to_owned(), format!("$ {}\n{}{}", ran.argv_line, ran.stdout, ran.stderr)),
        ("layers".to_owned(), stores.said),
    ]);
    let phases_ms = phases.into_map();
    let (nodes, values) = (facts, spec.values.clone());
    Ok(Made {
        ground,
        kubeconfig,
        client,
        system,
        cilium,
        expect,
        installation,
        nodes,
        client_links,
        agent_image,
        values,
        phases_ms,
        texts,
    })
}

fn ledger_line(ledger: &Ledger, resource: Resource) -> Result<(), KindError> {
    Ok(ledger.write(&Line::Making(resource)).map_err(super::ground::GroundError::from)?)
}

/// Where the cilium CLI works: it knows kind by the name of the context, and its values file lies beside the kubeconfig.
pub(super) fn target(cluster: &str, kubeconfig: &Path, cilium_cli: &Path) -> Target {
    Target {
        program: cilium_cli.to_owned(),
        kubeconfig: kubeconfig.to_owned(),
        context: format!("kind-{cluster}"),
        folder: kubeconfig.parent().map(Path::to_owned).unwrap_or_default(),
    }
}

/// The node image that is given, or the one of this kind whose Kubernetes every version of Cilium in play is tested with. An image that
/// came from an archive has no digest in Docker and is known by its tag alone.
async fn node_image(engine: &Engine, kind: &Path, spec: &Spec, given: &Given) -> Result<Option<String>, KindError> {
    if let Some(image) = &given.node_image {
        return Ok(Some(image.clone()));
    }
    let versions: Vec<&str> = std::iter::once(spec.cilium.as_str()).chain(spec.upgraded_to.as_deref()).collect();
    let Some(image) = tools::node_image(kind, &versions).await else { return Ok(None) };
    let tag = image.split('@').next().unwrap_or(image);
    let by_tag = engine.image(image).await?.is_none() && engine.image(tag).await?.is_some();
    Ok(Some(if by_tag { tag } else { image }.to_owned()))
}

/// Image stores for the nodes.
struct Stores {
    /// A folder for each node, in their order; none when each node has its own.
    folders: Vec<String>,
    /// Why that is so.
    said: String,
}

/// Prepares image stores where there is something to put into them. Without them a cluster is made all the same, only more slowly: the
/// archives go into each node then.
async fn stores(
    ground: &Ground,
    image: Option<&str>,
    archives: &[images::Archive],
    nodes: &[String],
    ledger: &Ledger,
) -> Result<Stores, KindError> {
    let none = |why: &str| Ok(Stores { folders: Vec::new(), said: format!("each node unpacks its own images: {why}\n") });
    if archives.is_empty() {
        return none("no archives are given");
    }
    let engine = ground.engine();
    let id = match image {
        Some(image) => engine.image(image).await?,
        None => None,
    };
    let Some(id) = id else { return none("the node image is not in Docker yet") };
    let request = Request { image: &id, archives, cluster: ground.name(), nodes, claim: ground.claim() };
    match layers::prepare(engine, &request, ledger).await {
        Ok(folders) => {
            let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            let said = folders.iter().map(|folder| format!("{folder}\n")).collect();
            Ok(Stores { folders, said })
        }
        Err(error @ (LayersError::Ledger(_) | LayersError::Lease(_))) => Err(error.into()),
        Err(error) => none(&crate::cluster::chain(&error)),
    }
}

/// The private folder with the kubeconfig. It is whose the cluster is: of a shared one the keeper's, not the run's that happened to make it.
fn make_folder(name: &str, claim: &Claim, ledger: &Ledger) -> Result<PathBuf, KindError> {
    let folder = ledger::runtime_folder().map_err(super::ground::GroundError::from)?.join(name);
    ledger_line(ledger, Resource::Folder { folder: folder.clone() })?;
    let label = ledger::Label { run: claim.run.clone(), owner: claim.owner, expires: ledger::expiry(ledger.path()) };
    ledger::make_lab_folder(&folder, &label).map_err(super::ground::GroundError::from)?;
    Ok(folder)
}

/// When Cilium may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    /// The moment the API answers, while workers join.
    Yes,
    /// When kind has made the cluster.
    No,
}

impl Early {
    /// With several control planes the API is behind a balancer of kind's. With kube-proxy, whose DaemonSet comes some time after the API,
    /// the cilium CLI would see none and tell Cilium to replace it.
    fn of(spec: &Spec) -> Early {
        match (spec.lab.control_planes, KubeProxy::of(&spec.values)) {
            (1, KubeProxy::None) => Early::Yes,
            _ => Early::No,
        }
    }
}

/// A client of the API as soon as it can be worked with, its kubeconfig at `kubeconfig`: when `answers` ends, or kind with its own.
async fn api_of(
    answers: impl Future<Output = Result<kube::Client, KindError>>,
    made: oneshot::Receiver<()>,
    of_kind: &Path,
    kubeconfig: &Path,
) -> Result<kube::Client, KindError> {
    let ended = async {
        // One that failed ends everything here by its error.
        if made.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        client = answers => client,
        () = ended => {
            let failed = |source: std::io::Error| KindError::Api { operation: "take kind's kubeconfig".to_owned(), source: source.into() };
            std::fs::rename(of_kind, kubeconfig).map_err(failed)?;
            connect(kubeconfig).await
        }
    }
}

/// The agent and every image into every node, as soon as each runs.
async fn furnish(ground: &Ground, nodes: &[String], parts: &Parts, agent_image: &str) -> Result<(), KindError> {
    let image = image_archive(agent_image, &agent_layer(&parts.agent.bytes));
    let engine = ground.engine();
    try_join_all(nodes.iter().map(async |node| {
        engine.until_running(node).await?;
        ground.upload_agent(node, &parts.agent).await?;
        images::bring(engine, node, &parts.archives, Runtime::Node).await?;
        images::bring_bytes(engine, std::slice::from_ref(node), &image).await?;
        Ok::<_, KindError>(())
    }))
    .await
    .map(drop)
}

async fn connect_nodes(ground: &Ground, nodes: &[String]) -> Result<(), KindError> {
    try_join_all(nodes.iter().zip(0u8..).map(async |(node, n)| ground.connect_node(node, n).await)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn spec(control_planes: u32, values: serde_json::Value) -> Spec {
        Spec {
            lab: Lab { control_planes, ..Lab::default() },
            cilium: "1.17.1".into(),
            upgraded_to: None,
            values: serde_json::from_value(values).unwrap(),
            gateway_api: None,
        }
    }

    #[test]
    fn cilium_comes_early_unless_the_api_or_kube_proxy_comes_late() {
        assert_eq!(Early::of(&spec(1, serde_json::json!({}))), Early::Yes);
        assert_eq!(Early::of(&spec(3, serde_json::json!({}))), Early::No);
        assert_eq!(Early::of(&spec(1, serde_json::json!({"kubeProxyReplacement": false}))), Early::No);
    }

    /// With no control plane that could answer before, the API is the one that kind says, once it is done, and not sooner.
    #[tokio::test]
    async fn without_an_early_api_kinds_own_is_taken_when_kind_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let (of_kind, kubeconfig) = (folder.path().join("of-kind"), folder.path().join("kubeconfig"));
        let (done, made) = oneshot::channel();
        let mut asked = std::pin::pin!(api_of(std::future::pending(), made, &of_kind, &kubeconfig));
        assert!(futures::poll!(&mut asked).is_pending());
        std::fs::write(&of_kind, KUBECONFIG).unwrap();
        done.send(()).unwrap();
        asked.await.unwrap();
        assert_eq!((std::fs::read_to_string(&kubeconfig).unwrap().as_str(), of_kind.exists()), (KUBECONFIG, false));
        // kind that failed says so itself; nobody goes on with an API that is not there.
        let (failed, made) = oneshot::channel::<()>();
        drop(failed);
        let mut asked = std::pin::pin!(api_of(std::future::pending(), made, &of_kind, &kubeconfig));
        assert!(futures::poll!(&mut asked).is_pending());
    }

    const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "kind-plumb-1",
        "clusters": [{"name": "kind-plumb-1", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "kind-plumb-1", "user": {}}],
        "contexts": [{"name": "kind-plumb-1", "context": {"cluster": "kind-plumb-1", "user": "kind-plumb-1"}}]}"#;

    #[test]
    fn a_run_and_its_cluster_have_names_that_belong_together() {
        assert_eq!(name_of("20261125T004000Z-1a2b3c4d"), "plumb-1a2b3c4d");
    }

    /// Seen on a real cluster: `plumb sweep` took the kubeconfig of a shared one away, because the run that had made it was over.
    #[test]
    fn the_folder_of_a_shared_cluster_is_its_keepers() {
        let place = tempfile::tempdir().unwrap();
        let name = format!("plumb-folder-test-{}", std::process::id());
        let ledger = Ledger::create_at(&place.path().join("ledger.jsonl"), &name).unwrap();
        // Any process but this one, and one that is there.
        let keeper = crate::process::Identity::of(nix::unistd::getppid().as_raw()).unwrap();
        let claim = Claim { run: name.clone(), owner: keeper, expires: None };
        let folder = make_folder(&name, &claim, &ledger).unwrap();
        let label = ledger::read_label(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(label, Some(ledger::Label { run: name, owner: keeper, expires: None }));
    }
}
