//! The HTTP echo: any path is answered with who answers and what was seen. The query can ask for `status=NNN`, `bytes=N` (a body of so
//! many `x`) and `delayMs=N`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use plumb_core::probe::{Echo, SEQUENCE_HEADER, STALLED_HEADER, Seen, ServeOp, ServerTls, Stalled};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::stalls::Stalls;

/// The largest body and the longest delay a query can ask for.
const BYTES_MAX: usize = 64 * 1024 * 1024;
const DELAY_MAX: Duration = Duration::from_secs(60);

/// Who answers.
pub(super) struct Identity {
    backend: String,
    pod: String,
    node: String,
    stalls: Arc<Stalls>,
}

impl Identity {
    pub(super) fn of(op: &ServeOp, stalls: Arc<Stalls>) -> Self {
        Self { backend: op.backend.clone(), pod: op.pod.clone(), node: op.node.clone(), stalls }
    }
}

/// Both ends of a connection.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// The client's.
    pub(super) peer: SocketAddr,
    /// The server's.
    pub(super) local: SocketAddr,
}

/// Serves one connection until its client or `stop` ends it; requests in flight are finished.
pub(super) async fn serve<S>(stream: S, identity: Arc<Identity>, ends: Ends, tls: Option<ServerTls>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tls = Arc::new(tls);
    let service = service_fn(move |request| answer(request, Arc::clone(&identity), ends, Arc::clone(&tls)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ended is the client's to report.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    identity: Arc<Identity>,
    ends: Ends,
    tls: Arc<Option<ServerTls>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    // The body is read to its end so that the connection can be used again.
    while let Some(Ok(_)) = body.frame().await {}
    if head.headers.contains_key(SEQUENCE_HEADER) {
        identity.stalls.of_load();
    }
    let wish = Wish::of(head.uri.query().unwrap_or_default());
    if !wish.delay.is_zero() {
        // The delay is what was asked for.
        tokio::time::sleep(wish.delay).await;
    }
    let mut response = match wish.bytes {
        Some(length) => with_body("text/plain", vec![b'x'; length]),
        None => {
            let echo = Echo {
                backend: identity.backend.clone(),
                pod: identity.pod.clone(),
                node: identity.node.clone(),
                seen: seen(&head, ends, tls.as_ref().clone()),
            };
            with_body("application/json", serde_json::to_vec(&echo).unwrap_or_default())
        }
    };
    *response.status_mut() = wish.status;
    let stalls = identity.stalls.told();
    if let (false, Ok(value)) = (stalls.is_empty(), HeaderValue::from_str(&Stalled::to_header(&stalls))) {
        response.headers_mut().insert(STALLED_HEADER, value);
    }
    Ok(response)
}

fn with_body(kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn seen(head: &http::request::Parts, ends: Ends, tls: Option<ServerTls>) -> Seen {
    let mut headers = joined(&head.headers);
    // In HTTP/2 the authority is not a header (RFC 9113 section 8.3.1).
    if let (Some(authority), true) = (head.uri.authority(), head.version == Version::HTTP_2) {
        headers.insert("host".into(), authority.as_str().into());
    }
    Seen {
        peer: ends.peer,
        local: ends.local,
        version: format!("{:?}", head.version),
        method: head.method.as_str().into(),
        path: head.uri.path_and_query().map_or_else(|| head.uri.path().into(), |path| path.as_str().into()),
        headers,
        tls,
    }
}

fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        all.entry(name.as_str().into())
            .and_modify(|before| {
                before.push_str(", ");
                before.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    all
}

/// What the query asks for; what it does not say, or says wrongly, is as usual.
struct Wish {
    status: StatusCode,
    bytes: Option<usize>,
    delay: Duration,
}

impl Wish {
    fn of(query: &str) -> Self {
        let mut wish = Self { status: StatusCode::OK, bytes: None, delay: Duration::ZERO };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                // Informational codes are not answers.
                "status" => wish.status = value.parse().ok().filter(|code: &StatusCode| code.as_u16() >= 200).unwrap_or(StatusCode::OK),
                "bytes" => wish.bytes = value.parse().ok().map(|length: usize| length.min(BYTES_MAX)),
                "delayMs" => wish.delay = value.parse().map_or(Duration::ZERO, |ms| Duration::from_millis(ms).min(DELAY_MAX)),
                _ => {}
            }
        }
        wish
    }
}
