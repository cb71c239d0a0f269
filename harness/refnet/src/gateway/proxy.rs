//! One HTTP request through the Gateway: which rule, which backend, what changes on the way, and what the client gets when nobody answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;

use super::choice;
use super::config::{Filter, HeaderChange, PathChange, Rule, Share, Target};
use super::hostname;
use super::live::{Live, Node};
use super::matching::{Asked, Path};
use super::stream::CONNECT_LIMIT;
use crate::fault::Fault;

/// A body that is passed on.
pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// How long an idle connection to a backend is kept.
const IDLE: Duration = Duration::from_secs(10);

/// Headers of one connection alone (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, UPGRADE];

/// What serves the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// The node.
    pub(super) node: Arc<Node>,
    /// What is live on the socket.
    pub(super) live: watch::Receiver<Arc<Live>>,
    /// Connections to backends.
    pub(super) upstream: Upstream,
    /// Who asks.
    pub(super) peer: SocketAddr,
    /// The port that was asked.
    pub(super) port: u16,
    /// Whether TLS was terminated.
    pub(super) secure: bool,
}

/// Pooled HTTP/1.1 connections to backends.
pub(super) type Upstream = Client<HttpConnector, Incoming>;

/// A pool for a node.
pub(super) fn upstream() -> Upstream {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_LIMIT));
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).set_host(false).build(connector)
}

impl Proxy {
    /// Answers one request with what is live now.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let live = Arc::clone(&self.live.borrow());
        let host = self.host(&request);
        let asked = Asked {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or(""),
            headers: request.headers(),
        };
        let listener = live.listener(Some(&host));
        let rule = listener.and_then(|listener| {
            listener.http.iter().find(|rule| hostname::covers(rule.hostname.as_deref(), &host) && rule.matches.holds(asked))
        });
        let Some(rule) = rule else { return empty(StatusCode::NOT_FOUND) };
        if let Some(redirect) = rule.filters.iter().find_map(|filter| self.redirect(filter, rule, &host, request.uri())) {
            return changed(redirect, &rule.filters);
        }
        let Some(share) = choice::pick(&rule.backends, self.peer.ip(), &self.node.chance, &self.node.faults) else {
            return changed(empty(StatusCode::INTERNAL_SERVER_ERROR), &rule.filters);
        };
        let response = self.pass_on(&live, rule, share, &host, request).await;
        changed(changed(response, &share.filters), &rule.filters)
    }

    /// The host a request is for, in normal form.
    fn host(&self, request: &Request<Incoming>) -> String {
        let header = request.headers().get(HOST).and_then(|value| value.to_str().ok());
        hostname::normal(request.uri().authority().map(Authority::as_str).or(header).unwrap_or_default())
    }

    async fn pass_on(&self, live: &Live, rule: &Rule, share: &Share, host: &str, request: Request<Incoming>) -> Response<Body> {
        let astray =
            self.node.faults.has(Fault::BackendWrongId).then(|| choice::astray(&share.target, &rule.backends, &live.config)).flatten();
        let endpoints = match astray.as_ref().unwrap_or(&share.target) {
            Target::Invalid => return empty(StatusCode::INTERNAL_SERVER_ERROR),
            Target::Service { endpoints, .. } => endpoints,
        };
        let Some(to) = choice::endpoint(endpoints, &self.node.chance) else { return empty(StatusCode::SERVICE_UNAVAILABLE) };
        let Ok(request) = self.prepare(rule, share, host, to, request) else { return empty(StatusCode::BAD_REQUEST) };
        let sent = self.upstream.request(request);
        let response = match rule.timeout {
            None => sent.await,
            Some(limit) => match tokio::time::timeout(limit, sent).await {
                Ok(response) => response,
                Err(_) => return empty(StatusCode::GATEWAY_TIMEOUT),
            },
        };
        match response {
            Ok(response) => {
                let mut response = response.map(BodyExt::boxed);
                strip(response.headers_mut());
                *response.version_mut() = Version::HTTP_11;
                response
            }
            Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The request as the backend gets it.
    fn prepare(
        &self,
        rule: &Rule,
        share: &Share,
        host: &str,
        to: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Request<Incoming>, http::Error> {
        let (mut parts, body) = request.into_parts();
        if !parts.headers.contains_key(HOST) {
            let authority = parts.uri.authority().map_or_else(|| host.to_owned(), |authority| authority.as_str().to_owned());
            parts.headers.insert(HOST, HeaderValue::from_str(&authority)?);
        }
        strip(&mut parts.headers);
        self.forwarded(&mut parts.headers)?;
        let mut path = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |whole| whole.as_str().to_owned());
        for filter in rule.filters.iter().chain(&share.filters) {
            match filter {
                Filter::Request(change) => apply(&mut parts.headers, change),
                Filter::Rewrite { hostname, path: change } => {
                    if let Some(hostname) = hostname {
                        parts.headers.insert(HOST, HeaderValue::from_str(hostname)?);
                    }
                    if let Some(change) = change {
                        let new = rewritten(change, &rule.matches.path, parts.uri.path());
                        path = parts.uri.query().map_or_else(|| new.clone(), |query| format!("{new}?{query}"));
                    }
                }
                Filter::Response(_) | Filter::Redirect { .. } => {}
            }
        }
        let authority: Authority = to.to_string().parse().map_err(http::Error::from)?;
        let path: PathAndQuery = path.parse().map_err(http::Error::from)?;
        parts.uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build()?;
        parts.version = Version::HTTP_11;
        Ok(Request::from_parts(parts, body))
    }

    /// What a proxy says of the client: its address appended, the scheme it used, and a fresh request id.
    fn forwarded(&self, headers: &mut HeaderMap) -> Result<(), http::Error> {
        let peer = self.peer.ip().to_string();
        let before: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
        let chain = if before.is_empty() { peer } else { format!("{}, {peer}", before.join(", ")) };
        headers.insert("x-forwarded-for", HeaderValue::from_str(&chain)?);
        headers.remove("x-forwarded-proto");
        if !self.node.faults.has(Fault::ForwardedProtoMissing) {
            headers.insert("x-forwarded-proto", HeaderValue::from_static(if self.secure { "https" } else { "http" }));
        }
        let (a, b) = (self.node.chance.next(), self.node.chance.next());
        let id = format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 50),
            b & 0xffff_ffff_ffff
        );
        headers.insert("x-request-id", HeaderValue::from_str(&id)?);
        Ok(())
    }

    /// The redirect a filter asks for.
    fn redirect(&self, filter: &Filter, rule: &Rule, host: &str, asked: &Uri) -> Option<Response<Body>> {
        let Filter::Redirect { scheme, hostname, port, path, status } = filter else { return None };
        let own = if self.secure { "https" } else { "http" };
        let well_known = |scheme: &str| if scheme == "https" { 443 } else { 80 };
        let target = scheme.as_deref().unwrap_or(own);
        let port = port.unwrap_or_else(|| if scheme.is_some() { well_known(target) } else { self.port });
        let authority = if port == well_known(target) { String::new() } else { format!(":{port}") };
        let host = hostname.as_deref().unwrap_or(host);
        let path = path.as_ref().map_or_else(|| asked.path().to_owned(), |change| rewritten(change, &rule.matches.path, asked.path()));
        let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut response = empty(StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND));
        if let Ok(location) = HeaderValue::from_str(&format!("{target}://{host}{authority}{path}{query}")) {
            response.headers_mut().insert(LOCATION, location);
        }
        Some(response)
    }
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// A path after a change.
fn rewritten(change: &PathChange, matched: &Path, path: &str) -> String {
    match change {
        PathChange::Full(new) => new.clone(),
        PathChange::Prefix(new) => {
            let prefix = match matched {
                Path::Prefix(prefix) => prefix.as_str(),
                Path::Exact(_) | Path::Regex(_) => "",
            };
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            let joined = format!("{}{rest}", new.trim_end_matches('/'));
            if joined.starts_with('/') { joined } else { format!("/{joined}") }
        }
    }
}

/// Response filters.
fn changed(mut response: Response<Body>, filters: &[Filter]) -> Response<Body> {
    for filter in filters {
        if let Filter::Response(change) = filter {
            apply(response.headers_mut(), change);
        }
    }
    response
}

fn apply(headers: &mut HeaderMap, change: &HeaderChange) {
    let parse = |(name, value): &(String, String)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?));
    for (name, value) in change.set.iter().filter_map(parse) {
        headers.insert(name, value);
    }
    for (name, value) in change.add.iter().filter_map(parse) {
        headers.append(name, value);
    }
    for name in &change.remove {
        headers.remove(name.as_str());
    }
}

/// Removes what belongs to one connection alone, the headers `Connection` names included.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != CONTENT_LENGTH.as_str() && name != HOST.as_str())
        .collect();
    for name in named {
        headers.remove(name.as_str());
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|value| value != "trailers") {
        headers.remove(TE);
    }
}
