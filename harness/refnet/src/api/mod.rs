//! The reference network's Kubernetes API: one store behind one lock, the kinds the labs need, and the rules of the real thing for
//! versions, watches, field ownership and refusals. kube-rs (in process or over HTTPS) and kubectl work on it.
//!
//! It has no accounts and no RBAC: who has a certificate of the lab's authority may do everything. It runs no controllers: Pods,
//! Deployments, Gateways and Leases are given meaning by the rest of the crate, which talks to it as any client does.

mod admit;
mod apply;
mod body;
mod containers;
mod discovery;
mod exec;
mod fields;
mod fuzz;
mod gate;
mod handle;
mod kinds;
mod listen;
mod log;
mod merge;
mod names;
mod object;
mod openapi;
mod openapi_v2;
mod pki;
mod remove;
mod request;
mod respond;
mod rules;
mod running;
mod schema;
mod selector;
mod service;
mod status;
mod store;
mod subresource;
mod watch;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::spec::Definition;

pub use containers::{Container, Containers, Life, Started, Starting};
pub use fuzz::fuzz_request;
pub use listen::{ServeError, Serving};
pub use pki::{Identity, Pki, PkiError, kube_config};
pub use service::{ApiService, Body};

/// What a server is made with.
#[derive(Debug, Clone, Default)]
pub struct ApiConfig {
    /// Gateway API definitions to serve, each as [`crate::spec::Definition`] reads it.
    pub crds: Vec<String>,
}

/// A server cannot be made as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No Gateway API definition of this name, or not in that version, is known.
    #[error("find a Gateway API definition named `{0}`")]
    UnknownDefinition(String),
}

/// The API server. Clones share one store.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

/// What every connection and in-process client shares.
struct Inner {
    store: Mutex<store::Store>,
    /// Ends every watch when the server stops.
    stopped: CancellationToken,
    /// Closed while the server is paused.
    gate: Arc<gate::Gate>,
    /// Whoever runs the Pods.
    containers: OnceLock<Arc<dyn Containers>>,
}

impl ApiServer {
    /// A server with the kinds of the lab and the namespaces `default` and `kube-system`.
    ///
    /// # Errors
    /// A definition nobody knows.
    pub fn new(config: ApiConfig) -> Result<ApiServer, ConfigError> {
        let mut store = store::Store::new();
        let now = rfc3339(time::OffsetDateTime::now_utc().unix_timestamp());
        let mut definitions = Vec::new();
        for kind in kinds::served(&config.crds)? {
            if kind.custom {
                let asked = config.crds.iter().map(|text| Definition::read(text)).find(|asked| asked.plural == kind.plural);
                definitions.push(kinds::definition_of(&kind, asked.map_or("standard", |asked| asked.channel), &now));
            }
            store.serve(kind);
        }
        store.seed(
            "namespaces",
            ["default", "kube-node-lease", "kube-public", "kube-system"]
                .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})),
            &now,
        );
        store.seed("customresourcedefinitions", definitions, &now);
        Ok(ApiServer {
            inner: Arc::new(Inner {
                store: Mutex::new(store),
                stopped: CancellationToken::new(),
                gate: Arc::default(),
                containers: OnceLock::new(),
            }),
        })
    }

    /// A tower service: `kube::Client::new(server.service(), "default")` is a client without a socket.
    pub fn service(&self) -> ApiService {
        ApiService::new(self.inner.clone())
    }

    /// A kube-rs client without a socket. Must be called within a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    /// Serves HTTPS on a bound listener until [`Serving::stop`]. `tls` comes from [`Pki::server_config`], which demands client
    /// certificates. Must be called within a tokio runtime; the network namespace is the listener's.
    ///
    /// # Errors
    /// The listener cannot be made non-blocking or registered with the runtime.
    pub fn serve(&self, listener: std::net::TcpListener, tls: Arc<rustls::ServerConfig>) -> Result<Serving, ServeError> {
        listen::serve(self.service(), listener, tls, self.inner.stopped.child_token())
    }

    /// Names whoever runs the Pods: from now on their logs can be read and programs be started in them. The first one named counts.
    pub fn run_by(&self, containers: Arc<dyn Containers>) {
        // A second one would be a second owner of the same Pods.
        let _ = self.inner.containers.set(containers);
    }

    /// From now on it answers nobody, in-process clients included, and refuses nobody either: it stands still.
    pub fn pause(&self) {
        self.inner.gate.close();
    }

    /// It goes on where it stood.
    pub fn resume(&self) {
        self.inner.gate.open();
    }

    /// Ends every watch and refuses every further request; in-process clients included.
    pub fn stop(&self) {
        self.inner.stopped.cancel();
    }
}

impl Inner {
    /// The store. A panic under the lock cannot leave it half written: every change is one insertion.
    fn lock(&self) -> MutexGuard<'_, store::Store> {
        self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The kinds that are served now: documents about them are written without the lock.
    fn kinds(&self) -> Vec<Arc<kinds::Kind>> {
        self.lock().served().map(|(_, shelf)| shelf.kind.clone()).collect()
    }
}

/// Seconds since 1970 as the API writes moments.
fn rfc3339(seconds: i64) -> String {
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    moment.format(format).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}
