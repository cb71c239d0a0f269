//! A reference lab as a cluster that runs: somebody else's, with its API on a port of this machine and a kubeconfig for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plumb_engine::cluster::Cluster;
use plumb_engine::library::{Ask, Library};
use plumb_engine::provider::refnet;
use plumb_refnet::lab::LabHandle;
use plumb_refnet::spec::LabSpec;
use serde_json::Value;
use tokio::net::TcpListener;

/// Limit for one call to its API.
const CALL: Duration = Duration::from_secs(20);
/// Kinds a run makes, or that are made for it.
const KINDS: [&str; 11] = [
    "namespace",
    "deployment",
    "daemonset",
    "pod",
    "service",
    "endpointslice",
    "secret",
    "gateway",
    "tlsroute",
    "ciliumloadbalancerippool",
    "ciliuml2announcementpolicy",
];

/// A cluster that runs. It ends with its value.
pub(crate) struct Lab {
    runtime: tokio::runtime::Runtime,
    handle: Arc<LabHandle>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) kubeconfig: PathBuf,
}

impl Lab {
    /// One as a scenario wants it, perhaps with a fault that whoever adopts it knows nothing of.
    pub(crate) fn start(scenario: &str, fault: Option<&str>) -> Lab {
        Lab::changed(scenario, fault, |_| {})
    }

    /// The same but for what is changed.
    pub(crate) fn changed(scenario: &str, fault: Option<&str>, change: impl FnOnce(&mut LabSpec)) -> Lab {
        let library = Library::find(None).unwrap();
        let entry = library.scenario(scenario).unwrap();
        let plan = library.plan(&entry, &Ask { provider: "refnet", fault, seed: 1, ..Ask::default() }).unwrap();
        let (mut spec, _) = refnet::spec(&plan).unwrap();
        change(&mut spec);
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (handle, port) = runtime.block_on(async {
            let handle = Arc::new(LabHandle::start(&spec, &folder.path().join("lab")).await.unwrap());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(relay(Arc::clone(&handle), listener));
            (handle, port)
        });
        let text = std::fs::read_to_string(&handle.ready().kubeconfig).unwrap();
        let server = format!("server: {}", handle.ready().api);
        assert!(text.contains(&server), "{text}");
        let text = text.replace(&server, &format!("server: https://127.0.0.1:{port}\n    tls-server-name: kubernetes"));
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, text).unwrap();
        Lab { runtime, handle, folder, kubeconfig }
    }

    /// Does something to its objects, as whoever owns the cluster.
    pub(crate) fn with<T>(&self, work: impl AsyncFnOnce(Cluster) -> T) -> T {
        self.runtime.block_on(async { work(Cluster::new(self.handle.kube_client().unwrap(), CALL)).await })
    }

    /// Applies an object of the owner's, without any label of ours.
    pub(crate) fn owner_applies(&self, value: Value) {
        let object = format!("{} of the owner", value["kind"]);
        self.with(async |cluster| cluster.apply(&plumb_engine::cluster::Manifest { object, value }).await).unwrap();
    }

    /// Everything there of a run, by kind and name.
    pub(crate) fn left(&self) -> Vec<String> {
        self.with(async |cluster| {
            let mut left = Vec::new();
            for kind in KINDS {
                for object in cluster.list(kind, None, "").await.unwrap_or_default() {
                    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
                    let ours = labels.into_iter().flatten().any(|(key, _)| key.starts_with("plumbline."));
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    if ours || name == "plumbline" {
                        left.push(format!("{kind} {name}"));
                    }
                }
            }
            left
        })
    }

    /// Its folder.
    pub(crate) fn lab_folder(&self) -> &Path {
        self.handle.dir()
    }

    /// The kubeconfig for whoever is in its networks.
    pub(crate) fn own_kubeconfig(&self) -> String {
        self.handle.ready().kubeconfig.clone()
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("runs")
    }
}

/// Whoever connects is connected to the API in the lab.
async fn relay(lab: Arc<LabHandle>, listener: TcpListener) {
    while let Ok((mut near, _)) = listener.accept().await {
        let lab = Arc::clone(&lab);
        tokio::spawn(async move {
            let Ok(mut far) = lab.dial_api().await else { return };
            // Either side may hang up at any time.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// Whether a text stands in any file of a folder.
pub(crate) fn holds(folder: &Path, text: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = if path.is_dir() {
            holds(&path, text)
        } else {
            let bytes = std::fs::read(&path).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes()).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}
