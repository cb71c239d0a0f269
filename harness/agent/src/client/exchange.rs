//! One HTTP connection and the exchanges on it. The connection is driven by whoever waits for an answer, so a request costs no task.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plumb_core::probe::{Failure, FailureClass, HttpVersion, Phases, TlsSession};
use tokio::net::TcpStream;

use super::connect::connect;
use super::failure::{Trouble, chained, failure, io_below, of_io};
use super::tls::TlsClient;
use super::transport::{Fate, Stream, Transport};
use std::net::IpAddr;

/// So much of a body is kept; the rest is read and counted as there.
const BODY_KEPT: usize = 1024 * 1024;

/// Where connections go and how they are opened.
pub(super) struct Way {
    /// The address.
    pub(super) target: SocketAddr,
    /// The own address, if it matters.
    pub(super) source: Option<IpAddr>,
    /// TLS; absent = plain.
    pub(super) tls: Option<TlsClient>,
    /// What to speak where ALPN did not decide.
    pub(super) version: HttpVersion,
    /// Whether anyone will look at the TLS session.
    pub(super) describe_tls: bool,
}

/// How far a request has come; it is still there when the request ran out of time.
#[derive(Default)]
pub(super) struct Progress {
    /// The phase that is under way.
    pub(super) phase: &'static str,
    /// The phases that ended.
    pub(super) phases: Phases,
    /// The own address, once connected.
    pub(super) local: Option<SocketAddr>,
}

/// An answer, whole.
pub(super) struct Answer {
    /// Status and headers.
    pub(super) head: http::response::Parts,
    /// The body, or as much of it as is kept.
    pub(super) body: Vec<u8>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An open connection.
pub(super) struct HttpConnection {
    sender: Sender,
    driver: Option<Driver>,
    fate: Fate,
    /// The own address.
    pub(super) local: Option<SocketAddr>,
    /// The TLS session, where it was asked for.
    pub(super) tls: Option<TlsSession>,
}

impl HttpConnection {
    /// Connects and shakes hands.
    pub(super) async fn open(way: &Way, progress: &mut Progress) -> Result<Self, Trouble> {
        progress.phase = "connect";
        let begun = Instant::now();
        let stream = connect(way.target, way.source).await?;
        progress.phases.connect_us = Some(micros(begun));
        progress.local = stream.local_addr().ok();
        let (stream, version, tls) = Self::secure(way, stream, progress).await.map_err(Trouble::Network)?;
        progress.phase = "request";
        let (transport, fate) = Transport::new(stream);
        let io = TokioIo::new(transport);
        let opened = match version {
            HttpVersion::Http1 => http1::handshake(io).await.map(|(sender, connection)| {
                let driver: Driver = Box::pin(connection);
                (Sender::Http1(sender), driver)
            }),
            HttpVersion::Http2 => http2::handshake(TokioExecutor::new(), io).await.map(|(sender, connection)| {
                let driver: Driver = Box::pin(connection);
                (Sender::Http2(sender), driver)
            }),
        };
        match opened {
            Ok((sender, driver)) => Ok(Self { sender, driver: Some(driver), fate, local: progress.local, tls }),
            Err(error) => Err(Trouble::Network(of_hyper(&error, &fate, "request"))),
        }
    }

    async fn secure(way: &Way, stream: TcpStream, progress: &mut Progress) -> Result<(Stream, HttpVersion, Option<TlsSession>), Failure> {
        let Some(tls) = &way.tls else { return Ok((Stream::Tcp(stream), way.version, None)) };
        progress.phase = "tls";
        let begun = Instant::now();
        let stream = tls.handshake(stream).await?;
        progress.phases.tls_us = Some(micros(begun));
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => HttpVersion::Http2,
            Some(_) => HttpVersion::Http1,
            None => way.version,
        };
        let session = way.describe_tls.then(|| tls.session(&stream));
        Ok((Stream::Tls(Box::new(stream)), version, session))
    }

    /// Whether the connection speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Whether the connection can take another request, after looking whether the peer has closed it meanwhile.
    pub(super) async fn is_usable(&mut self) -> bool {
        let driver = &mut self.driver;
        let sender = &mut self.sender;
        poll_fn(|cx| {
            drive(driver, cx);
            let ready = match sender {
                Sender::Http1(sender) => sender.poll_ready(cx),
                Sender::Http2(sender) => sender.poll_ready(cx),
            };
            match ready {
                Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
                Poll::Pending if driver.is_none() => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>, progress: &mut Progress) -> Result<Answer, Failure> {
        progress.phase = "request";
        let begun = Instant::now();
        let driver = &mut self.driver;
        let answered = match &mut self.sender {
            Sender::Http1(sender) => driven(driver, sender.send_request(request)).await,
            Sender::Http2(sender) => driven(driver, sender.send_request(request)).await,
        };
        let response = answered.map_err(|error| of_hyper(&error, &self.fate, "request"))?;
        progress.phases.first_byte_us = Some(micros(begun));
        progress.phase = "response";
        driven(driver, whole(response)).await.map_err(|error| of_hyper(&error, &self.fate, "response"))
    }
}

async fn whole(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = BODY_KEPT.saturating_sub(body.len());
            body.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(Answer { head, body })
}

/// Waits for `work` while the connection makes progress.
async fn driven<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        drive(driver, cx);
        // What the connection has just read may be what is waited for.
        work.as_mut().poll(cx)
    })
    .await
}

fn drive(driver: &mut Option<Driver>, cx: &mut std::task::Context<'_>) {
    if let Some(running) = driver
        && running.as_mut().poll(cx).is_ready()
    {
        // Why it ended reaches the request that waits, or shows in the stream's fate.
        *driver = None;
    }
}

fn of_hyper(error: &hyper::Error, fate: &Fate, phase: &str) -> Failure {
    let detail = chained(error);
    if error.is_parse() {
        return failure(FailureClass::Protocol, phase, detail);
    }
    if let Some(end) = fate.end() {
        return Failure { class: end.class, phase: phase.into(), alert: end.alert, detail: format!("{detail}: {}", end.detail) };
    }
    if let Some(io) = io_below(error) {
        return of_io(io, phase);
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return failure(FailureClass::Closed, phase, detail);
    }
    // The only way to tell a stream the peer reset (RFC 9113 section 5.4.2) from an error of our own.
    let class = if detail.contains("stream error received") { FailureClass::Reset } else { FailureClass::Protocol };
    failure(class, phase, detail)
}

/// Microseconds since `begun`.
pub(super) fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
