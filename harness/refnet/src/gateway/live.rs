//! What is live on a socket right now: the configuration with its certificates loaded. Swapped as a whole; connections look at the
//! newest one for each request, and keep the certificate they began with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

use super::certs::{self, CertError, Forgery, Served};
use super::config::{Config, Listener, Port};
use super::hostname;
use crate::chance::Chance;
use crate::fault::{Fault, FaultSet};

/// Namespace and name of a Secret.
type SecretName = (String, String);

/// Forged certificates by what they are and what they are for.
type Forged = BTreeMap<(Forgery, Vec<String>), Arc<Served>>;

/// What every connection of a node shares.
#[derive(Debug)]
pub(super) struct Node {
    /// Name of the node.
    pub(super) name: String,
    /// Chance of this node.
    pub(super) chance: Chance,
    /// Faults that are switched on.
    pub(super) faults: FaultSet,
    /// Whether `h2` and `http/1.1` are offered where TLS is terminated.
    pub(super) alpn: bool,
    /// Certificates that take another's place, made once.
    forged: Mutex<Forged>,
}

impl Node {
    /// A node's part.
    pub(super) fn new(name: &str, seed: u64, faults: FaultSet, alpn: bool) -> Node {
        Node { name: name.to_owned(), chance: Chance::new(seed, name), faults, alpn, forged: Mutex::default() }
    }

    /// A certificate that takes another's place; the same one for the same names.
    pub(super) fn forged(&self, authority: Option<&Secret>, forgery: Forgery, names: &[String]) -> Result<Arc<Served>, CertError> {
        // Whether the authority was there is part of the key: the first connections may come before it does.
        let mut key = names.to_vec();
        key.push(format!("signed by the run: {}", authority.is_some()));
        let mut forged = self.forged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = forged.get(&(forgery, key.clone())) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(certs::forge(authority, forgery, names)?);
        forged.insert((forgery, key), Arc::clone(&made));
        Ok(made)
    }
}

/// What is live on a socket.
#[derive(Debug)]
pub(super) struct Live {
    /// Its listeners.
    pub(super) port: Port,
    /// The whole configuration (for requests that go astray).
    pub(super) config: Arc<Config>,
    /// The run's authority, where a fault needs it.
    pub(super) authority: Option<Arc<Secret>>,
    certificates: BTreeMap<SecretName, (Arc<Served>, Arc<ServerConfig>)>,
}

impl Live {
    /// Loads what the listeners of a port need. A Secret that cannot be served is left out; its listener refuses.
    pub(super) fn load(node: &Node, config: &Arc<Config>, port: &Port, secrets: &[Arc<Secret>]) -> Live {
        let authority = find(secrets, "kube-system", "plumb-run-authority");
        let mut certificates = BTreeMap::new();
        for name in port.listeners.iter().flat_map(|listener| listener.mode.secrets()) {
            let Some(secret) = find(secrets, &name.0, &name.1) else { continue };
            let Ok(served) = certs::load(&secret).and_then(|served| in_its_place(node, authority.as_deref(), served)) else { continue };
            let alpn: &[&[u8]] = if node.alpn { &[b"h2", b"http/1.1"] } else { &[] };
            if let Ok(server) = certs::server(&served.key, alpn) {
                certificates.insert(name.clone(), (served, server));
            }
        }
        Live { port: port.clone(), config: Arc::clone(config), authority, certificates }
    }

    /// Whether connections begin with a ClientHello.
    pub(super) fn is_tls(&self) -> bool {
        self.port.listeners.iter().any(|listener| listener.mode.is_tls())
    }

    /// The listener for a name: the narrowest that covers it. A client that names nobody gets a listener for all names alone.
    pub(super) fn listener(&self, host: Option<&str>) -> Option<&Listener> {
        let covering = self.port.listeners.iter().filter(|listener| match host {
            Some(host) => hostname::covers(listener.hostname.as_deref(), host),
            None => listener.hostname.is_none(),
        });
        covering.max_by_key(|listener| hostname::rank(listener.hostname.as_deref()))
    }

    /// The certificate of a listener for a server name: the first that has the name, else the first there is.
    pub(super) fn certificate(&self, listener: &Listener, sni: Option<&str>) -> Option<Arc<ServerConfig>> {
        let mut known = listener.mode.secrets().iter().filter_map(|name| self.certificates.get(name));
        let fitting =
            sni.and_then(|sni| known.clone().find(|(served, _)| served.names.iter().any(|name| hostname::covers(Some(name), sni))));
        fitting.or_else(|| known.next()).map(|(_, server)| Arc::clone(server))
    }

    /// Under the fault of this name: what an unknown server name gets.
    pub(super) fn default_certificate(&self, faults: &FaultSet) -> Option<(&Listener, Arc<ServerConfig>)> {
        let mut listeners = self.port.listeners.iter();
        faults
            .has(Fault::SniDefaultCertificate)
            .then(|| listeners.find_map(|listener| Some((listener, self.certificate(listener, None)?))))?
    }
}

/// The certificate itself, or the one a fault puts in its place.
fn in_its_place(node: &Node, authority: Option<&Secret>, served: Served) -> Result<Arc<Served>, CertError> {
    let forgery = if node.faults.has(Fault::CertWrong) {
        Forgery::Wrong
    } else if node.faults.has(Fault::CertExpired) {
        Forgery::Expired
    } else if node.faults.has(Fault::CertOtherHost) {
        Forgery::OtherHost
    } else {
        return Ok(Arc::new(served));
    };
    node.forged(authority, forgery, &served.names)
}

fn find(secrets: &[Arc<Secret>], namespace: &str, name: &str) -> Option<Arc<Secret>> {
    let is_it =
        |secret: &&Arc<Secret>| secret.metadata.namespace.as_deref() == Some(namespace) && secret.metadata.name.as_deref() == Some(name);
    secrets.iter().find(is_it).cloned()
}

/// A server configuration for a forged certificate and the protocol that was settled with the backend.
pub(super) fn server_for(key: &Arc<CertifiedKey>, alpn: Option<&[u8]>) -> Result<Arc<ServerConfig>, rustls::Error> {
    match alpn {
        Some(name) => certs::server(key, &[name]),
        None => certs::server(key, &[]),
    }
}
