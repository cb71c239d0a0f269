//! The HTTP operation: so many requests, so many at a time, at a rate, each with its outcome or all counted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use plumb_core::probe::{
    Connection, Detail, Failure, FailureClass, HttpAnswer, HttpOp, HttpOutcome, HttpReport, HttpResult, HttpVersion, Item, OpError,
};
use tokio::time::Instant;

use super::exchange::{Answer, HttpConnection, Progress, Way, micros};
use super::failure::{Trouble, timeout};
use super::tally::{EchoBrief, Tally, failed, marker_of};
use super::tls::TlsClient;
use crate::clock::monotonic_ns;
use crate::session::Context;

/// So much of a body that is no echo comes back.
const FOREIGN_BODY_BYTES: usize = 512;

/// Connections at a time; each takes memory and a port.
const CONCURRENCY_MAX: u32 = 10_000;
const BODY_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// Later than any operation lasts.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Sends the requests of an operation.
pub(crate) async fn run(op: HttpOp, context: &Context) -> Result<HttpReport, OpError> {
    let workers = op.concurrency.clamp(1, op.count.max(1));
    let batch = Batch::new(op, context)?;
    let mut all: FuturesUnordered<_> = (0..workers).map(|_| batch.worker()).collect();
    while let Some(ended) = all.next().await {
        ended?;
    }
    drop(all);
    let to_ns = monotonic_ns();
    let counts = batch.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(HttpReport {
        sent: counts.sent,
        answered: counts.answered,
        tally: counts.tally.into_rows(),
        from_ns: counts.first_ns.unwrap_or(to_ns),
        to_ns,
    })
}

#[derive(Default)]
struct Counts {
    sent: u32,
    answered: u32,
    tally: Tally,
    first_ns: Option<u64>,
}

/// What the workers of one operation share.
struct Batch<'a> {
    context: &'a Context,
    op: HttpOp,
    way: Way,
    template: Template,
    begun: Instant,
    next: AtomicU32,
    counts: Mutex<Counts>,
}

impl<'a> Batch<'a> {
    fn new(op: HttpOp, context: &'a Context) -> Result<Self, OpError> {
        within("concurrency", op.concurrency, CONCURRENCY_MAX)?;
        within("bodyBytes", op.body_bytes, BODY_BYTES_MAX)?;
        if let Some(rate) = op.rate_per_s
            && !(rate.is_finite() && rate > 0.0)
        {
            return Err(OpError { operation: "pace the requests".into(), message: format!("the rate is {rate}, expected more than 0") });
        }
        let alpn: &[&str] = if op.version == HttpVersion::Http2 { &["h2"] } else { &[] };
        let tls = op.tls.as_ref().map(|tls| TlsClient::new(tls, op.target.ip(), alpn)).transpose()?;
        let way = Way { target: op.target, source: op.source, tls, version: op.version, describe_tls: op.detail == Detail::Full };
        let template = Template::new(&op)?;
        let (next, counts) = (AtomicU32::new(0), Mutex::default());
        Ok(Self { context, op, way, template, begun: Instant::now(), next, counts })
    }

    async fn worker(&self) -> Result<(), OpError> {
        let mut connection = None;
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.op.count || !self.turn_of(n).await {
                return Ok(());
            }
            let at_ns = monotonic_ns();
            self.count(|counts| {
                counts.sent += 1;
                counts.first_ns.get_or_insert(at_ns);
            });
            self.request(n, at_ns, &mut connection).await?;
        }
    }

    /// Waits until a request is due; false when the operation was stopped instead.
    async fn turn_of(&self, n: u32) -> bool {
        if let Some(rate) = self.op.rate_per_s {
            let due = self.begun + Duration::try_from_secs_f64(f64::from(n) / rate).unwrap_or(FAR).min(FAR);
            // The pace is what was asked for.
            tokio::select! {
                () = self.context.stop.cancelled() => return false,
                () = tokio::time::sleep_until(due) => {}
            }
        }
        !self.context.stop.is_cancelled()
    }

    async fn request(&self, n: u32, at_ns: u64, kept: &mut Option<HttpConnection>) -> Result<(), OpError> {
        let mut progress = Progress { phase: "connect", ..Progress::default() };
        let begun = std::time::Instant::now();
        let limit = Duration::from_millis(self.op.timeout_ms);
        let done = tokio::time::timeout(limit, self.exchange(kept, &mut progress)).await;
        let outcome = match done {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Trouble::Local(error))) => return Err(error),
            Ok(Err(Trouble::Network(failure))) => Err(failure),
            Err(_) => Err(timeout(progress.phase, self.op.timeout_ms)),
        };
        let session = match &outcome {
            Ok(_) => kept.as_ref().and_then(|connection| connection.tls.clone()),
            Err(_) => None,
        };
        if outcome.is_err() || self.op.connection == Connection::PerRequest {
            *kept = None;
        }
        progress.phases.total_us = micros(begun);
        if self.op.detail == Detail::Tally {
            self.tally(&outcome);
            return Ok(());
        }
        let outcome = self.outcome(outcome, session);
        let result = HttpResult { n, at_ns, phases: progress.phases, local: progress.local, outcome };
        self.context.item(Item::Http(result)).await;
        Ok(())
    }

    async fn exchange(&self, kept: &mut Option<HttpConnection>, progress: &mut Progress) -> Result<Answer, Trouble> {
        if let Some(connection) = kept.as_mut()
            && connection.is_usable().await
        {
            progress.local = connection.local;
            let answered = connection.exchange(self.template.request(connection.is_http2()), progress).await;
            match answered {
                Err(failure) if self.was_too_late(&failure) => {}
                answered => return answered.map_err(Trouble::Network),
            }
        }
        let connection = kept.insert(HttpConnection::open(&self.way, progress).await?);
        let request = self.template.request(connection.is_http2());
        connection.exchange(request, progress).await.map_err(Trouble::Network)
    }

    /// Whether a request on a used connection met its close on the way. That says nothing of the peer but that it closes idle connections, so
    /// an idempotent request is sent again on a new one (RFC 9110 section 9.2.2); if the peer really fails, it fails there as well.
    fn was_too_late(&self, failure: &Failure) -> bool {
        let closed = matches!(failure.class, FailureClass::Closed | FailureClass::Reset);
        closed && failure.phase == "request" && self.template.method.is_idempotent()
    }

    fn tally(&self, outcome: &Result<Answer, Failure>) {
        self.count(|counts| match outcome {
            Err(failure) => counts.tally.failure(failure.class),
            Ok(answer) => {
                let brief = EchoBrief::of(&answer.body);
                let marker = marker_of(&answer.head.headers).or_else(|| brief.as_ref().and_then(EchoBrief::marker));
                counts.answered += 1;
                counts.tally.answer(answer.head.status.as_u16(), brief.as_ref().map(|brief| brief.backend.as_ref()), marker);
            }
        });
    }

    fn outcome(&self, outcome: Result<Answer, Failure>, session: Option<plumb_core::probe::TlsSession>) -> HttpOutcome {
        self.tally(&outcome);
        let outcome = match outcome {
            Err(failure) => HttpOutcome::Failed(failure),
            Ok(answer) => HttpOutcome::Answer(Box::new(described(&answer, session))),
        };
        debug_assert!(failed(&outcome).is_none_or(|failure| !failure.phase.is_empty()), "a failure names its phase");
        outcome
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn within(what: &str, asked: u32, max: u32) -> Result<(), OpError> {
    if asked <= max {
        return Ok(());
    }
    Err(OpError { operation: "prepare the requests".into(), message: format!("{what} is {asked}, at most {max}") })
}

fn described(answer: &Answer, tls: Option<plumb_core::probe::TlsSession>) -> HttpAnswer {
    let echo = serde_json::from_slice(&answer.body).ok();
    let body = (echo.is_none() && !answer.body.is_empty()).then(|| {
        let shown = answer.body.len().min(FOREIGN_BODY_BYTES);
        String::from_utf8_lossy(&answer.body[..shown]).into_owned()
    });
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    HttpAnswer {
        status: answer.head.status.as_u16(),
        headers: answer.head.headers.iter().map(|(name, value)| (name.as_str().into(), text(value))).collect(),
        echo,
        body,
        tls,
    }
}

/// The request, ready to be copied.
struct Template {
    method: Method,
    /// Origin form for HTTP/1.1.
    path: Uri,
    /// With scheme and authority for HTTP/2.
    absolute: Uri,
    http1: HeaderMap,
    http2: HeaderMap,
    body: Bytes,
}

impl Template {
    fn new(op: &HttpOp) -> Result<Self, OpError> {
        let failed = |what: &str, message: String| OpError { operation: format!("make a request with {what}"), message };
        let bad = |what: String| move |error: http::Error| failed(&what, error.to_string());
        let method = Method::from_bytes(op.method.as_bytes()).map_err(|error| bad(format!("method `{}`", op.method))(error.into()))?;
        let path: Uri = op.path.parse().map_err(|error: http::uri::InvalidUri| bad(format!("path `{}`", op.path))(error.into()))?;
        let scheme = if op.tls.is_some() { "https" } else { "http" };
        let absolute = Uri::builder().scheme(scheme).authority(op.host.as_str()).path_and_query(op.path.as_str()).build();
        let absolute = absolute.map_err(bad(format!("host `{}`", op.host)))?;
        let mut http2 = HeaderMap::new();
        for (name, value) in &op.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from);
            let value = HeaderValue::from_str(value).map_err(http::Error::from);
            http2.append(parsed.map_err(bad(format!("header `{name}`")))?, value.map_err(bad(format!("header `{name}`")))?);
        }
        let mut http1 = HeaderMap::new();
        let host = HeaderValue::from_str(&op.host).map_err(http::Error::from).map_err(bad(format!("host `{}`", op.host)))?;
        http1.insert(http::header::HOST, host);
        http1.extend(http2.clone());
        if op.connection == Connection::PerRequest {
            http1.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        let body = Bytes::from(vec![b'x'; op.body_bytes as usize]);
        Ok(Self { method, path, absolute, http1, http2, body })
    }

    fn request(&self, is_http2: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        let (uri, headers) = if is_http2 { (&self.absolute, &self.http2) } else { (&self.path, &self.http1) };
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        request
    }
}

/// A `GET` on a fresh connection; status and headers of the answer. For loads.
pub(super) async fn get_once(
    target: std::net::SocketAddr,
    source: Option<IpAddr>,
    request: Request<Full<Bytes>>,
) -> Result<http::response::Parts, Trouble> {
    let way = Way { target, source, tls: None, version: HttpVersion::Http1, describe_tls: false };
    let mut progress = Progress::default();
    let mut connection = HttpConnection::open(&way, &mut progress).await?;
    let answer = connection.exchange(request, &mut progress).await.map_err(Trouble::Network)?;
    Ok(answer.head)
}
