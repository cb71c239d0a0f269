//! Subresources of a Pod that speak to what runs in it: `log` and `exec`. Which container is meant, and whether it is there, is
//! decided here from the Pod's object; the rest is asked of whoever runs it.

use http::{HeaderMap, Method, Response};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::containers::Container;
use super::exec::{self, Handshake};
use super::object::{items, text};
use super::request::{Call, ResourcePath, Target};
use super::service::Body;
use super::status::ApiError;
use super::{Inner, log, respond};

/// What came with a request besides what it asks.
pub(crate) struct Connection {
    pub(crate) headers: HeaderMap,
    pub(crate) on_upgrade: Option<OnUpgrade>,
    pub(crate) stopped: CancellationToken,
}

/// Whether a request is for this module.
pub(crate) fn is_meant(call: &Call) -> bool {
    call.path.starts_with("/api/v1/namespaces/") && (call.path.ends_with("/log") || call.path.ends_with("/exec"))
}

/// Answers a request for which [`is_meant`] holds.
pub(crate) async fn answer(inner: &Inner, call: &Call, connection: Connection) -> Response<Body> {
    match respond_to(inner, call, connection).await {
        Ok(response) => response,
        Err(error) => respond::refusal(&error),
    }
}

async fn respond_to(inner: &Inner, call: &Call, connection: Connection) -> Result<Response<Body>, ApiError> {
    let Target::Resource(path) = Target::parse(&call.path)? else { return Err(ApiError::no_path()) };
    let Some(containers) = inner.containers.get() else {
        return Err(ApiError::not_implemented("nobody runs Pods on this API: it has objects and no nodes"));
    };
    let (container, pod) = container(inner, call, &path)?;
    match path.subresource.as_deref() {
        Some("log") if call.method == Method::GET => {
            let read = log::read(containers.as_ref(), &container, &call.query)?;
            Ok(respond::bytes(200, "text/plain", read))
        }
        Some("exec") if call.method == Method::GET => {
            let command = exec::command(&call.query)?;
            let handshake = Handshake::read(&connection.headers, connection.on_upgrade)?;
            let started = match runs(&pod, &container.name) {
                true => containers.start(&container, &command).await,
                false => Err(format!("container {} of pod {} does not run", container.name, container.pod)),
            };
            Ok(handshake.serve(started, connection.stopped))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The container that is meant: the one named, else the first.
fn container(inner: &Inner, call: &Call, path: &ResourcePath) -> Result<(Container, Value), ApiError> {
    let (Some(namespace), Some(pod), "pods") = (&path.namespace, &path.name, path.plural.as_str()) else { return Err(ApiError::no_path()) };
    let object = {
        let store = inner.lock();
        let shelf = store.find("", "pods").ok_or_else(ApiError::no_path)?;
        let found = store.get(shelf, &(namespace.clone(), pod.clone())).cloned();
        found.ok_or_else(|| ApiError::not_found("", "pods", pod))?
    };
    let names: Vec<&str> = items(&object, "/spec/containers").iter().map(|container| text(container, "/name")).collect();
    let name = match call.query.first("container").filter(|name| !name.is_empty()) {
        Some(name) if names.contains(&name) => name,
        Some(name) => return Err(ApiError::bad_request(format!("container {name} is not valid for pod {pod}"))),
        None => names.first().copied().unwrap_or_default(),
    };
    let container = Container { namespace: namespace.clone(), pod: pod.clone(), name: name.to_owned() };
    Ok((container, Value::clone(&object)))
}

fn runs(pod: &Value, container: &str) -> bool {
    let statuses = items(pod, "/status/containerStatuses").iter();
    statuses.filter(|status| text(status, "/name") == container).any(|status| status.pointer("/state/running").is_some())
}
