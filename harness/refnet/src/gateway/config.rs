//! What the data plane does, as a value: sockets, listeners, rules, backends. Made by [`super::model`], compared to find what changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::matching::Match;

/// Everything the data plane of one node does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// What listens where.
    pub sockets: BTreeMap<SocketAddr, Port>,
}

/// What is served on one socket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Port {
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// A listener that is valid and programmed.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// `namespace/gateway/listener`.
    pub id: String,
    /// Which names it is for; absent = all.
    pub hostname: Option<String>,
    /// What it does with a connection.
    pub mode: Mode,
    /// Rules of HTTPRoutes, the first that matches decides.
    pub http: Vec<Rule>,
    /// Rules of TLSRoutes.
    pub tls: Vec<TlsRule>,
}

/// What a listener does with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Speaks HTTP.
    Http,
    /// Terminates TLS with these Secrets (namespace, name) and speaks HTTP.
    Https(Vec<(String, String)>),
    /// Terminates TLS with these Secrets and passes the bytes on.
    TlsTerminate(Vec<(String, String)>),
    /// Passes the TLS bytes on.
    Passthrough,
}

impl Mode {
    /// Whether connections begin with a ClientHello.
    pub fn is_tls(&self) -> bool {
        !matches!(self, Mode::Http)
    }

    /// The Secrets it terminates with.
    pub fn secrets(&self) -> &[(String, String)] {
        match self {
            Mode::Https(secrets) | Mode::TlsTerminate(secrets) => secrets,
            Mode::Http | Mode::Passthrough => &[],
        }
    }
}

/// One match of one rule of an HTTPRoute.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `namespace/route/rule number`: names the rule in a stale copy.
    pub id: String,
    /// Which host names it is for.
    pub hostname: Option<String>,
    /// What a request must be like.
    pub matches: Match,
    /// What is done on the way.
    pub filters: Vec<Filter>,
    /// Where requests go.
    pub backends: Vec<Share>,
    /// Limit of one request.
    pub timeout: Option<Duration>,
}

/// A rule of a TLSRoute.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsRule {
    /// `namespace/route`.
    pub id: String,
    /// Which server names it is for.
    pub hostname: Option<String>,
    /// Where connections go.
    pub backends: Vec<Share>,
}

/// A backend and its share.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Its weight among its siblings.
    pub weight: u32,
    /// Where it is.
    pub target: Target,
    /// What is done on the way to it.
    pub filters: Vec<Filter>,
}

/// Where a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The reference is not valid or not permitted: HTTP 500.
    Invalid,
    /// A Service.
    Service {
        /// `namespace/name:port`.
        name: String,
        /// Its ready endpoints; none: HTTP 503.
        endpoints: Vec<SocketAddr>,
    },
}

/// What is done to a request or its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Changes request headers.
    Request(HeaderChange),
    /// Changes response headers.
    Response(HeaderChange),
    /// Answers with a redirect.
    Redirect {
        /// `http` or `https`; absent = as it came.
        scheme: Option<String>,
        /// Absent = as it came.
        hostname: Option<String>,
        /// Absent = as the specification derives it.
        port: Option<u16>,
        /// Absent = as it came.
        path: Option<PathChange>,
        /// 301, 302, ...
        status: u16,
    },
    /// Changes what the backend sees.
    Rewrite {
        /// New host.
        hostname: Option<String>,
        /// New path.
        path: Option<PathChange>,
    },
}

/// Header names are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChange {
    /// Replace.
    pub set: Vec<(String, String)>,
    /// Append.
    pub add: Vec<(String, String)>,
    /// Remove.
    pub remove: Vec<String>,
}

/// How a path changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChange {
    /// The whole path.
    Full(String),
    /// The prefix that matched.
    Prefix(String),
}
