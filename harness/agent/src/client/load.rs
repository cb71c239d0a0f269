//! Continuous traffic on an open-loop schedule: probes begin when they are due, however slow the answers to earlier ones are
//! (otherwise an outage would hide the very probes it should lose).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use plumb_core::probe::{FailureClass, LoadKind, LoadOp, LoadReport, LoadSample, OpError, SEQUENCE_HEADER, STALLED_HEADER, Stalled};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::failure::{Trouble, is_local, sort};
use super::http::get_once;
use super::l4::{tcp_once, udp_socket};
use crate::clock::{micros_between, monotonic_ns};
use crate::session::Context;

/// Sends probes until it is stopped; those under way then still have their time to be answered.
pub(crate) async fn run(op: LoadOp, context: &Context) -> Result<LoadReport, OpError> {
    if op.interval_ms == 0 {
        return Err(OpError { operation: "schedule a load".into(), message: "the interval is 0 ms, expected at least 1".into() });
    }
    let load = Load::new(&op).await?;
    context.started(Vec::new()).await;
    let (samples, to_ns) = match &load.kind {
        Kind::Udp(flow) => tokio::select! {
            samples = load.send_all(context) => samples,
            () = flow.receive() => unreachable_end(),
        },
        Kind::Tcp | Kind::Http { .. } => load.send_all(context).await,
    }?;
    Ok(LoadReport { samples: after_losses(samples), interval_ms: op.interval_ms, to_ns: Some(to_ns) })
}

/// Leaves the backend's word about itself only where it says something of a gap.
fn after_losses(mut samples: Vec<LoadSample>) -> Vec<LoadSample> {
    let mut lost_before = false;
    for sample in &mut samples {
        if !lost_before {
            sample.stalled = Vec::new();
        }
        lost_before = sample.rtt_us.is_none();
    }
    samples
}

/// Receiving never ends by itself.
fn unreachable_end() -> Result<(Vec<LoadSample>, u64), OpError> {
    Err(OpError { operation: "receive the answers of a load".into(), message: "the receiver ended".into() })
}

/// What an answer says beside that it came.
#[derive(Default)]
struct Answered {
    status: Option<u16>,
    stalled: Vec<Stalled>,
}

struct Load {
    target: SocketAddr,
    interval: Duration,
    limit: Duration,
    kind: Kind,
    /// Sets this load's payloads apart from those of any other.
    nonce: u64,
}

enum Kind {
    Http { host: HeaderValue, path: http::Uri },
    Tcp,
    Udp(Flow),
}

impl Load {
    async fn new(op: &LoadOp) -> Result<Self, OpError> {
        let failed = |message: String| OpError { operation: "prepare a load".into(), message };
        let kind = match &op.kind {
            LoadKind::Tcp => Kind::Tcp,
            LoadKind::Udp => Kind::Udp(Flow::open(op.target).await?),
            LoadKind::Http { host, path } => Kind::Http {
                host: HeaderValue::from_str(host).map_err(|error| failed(format!("host `{host}`: {error}")))?,
                path: path.parse().map_err(|error| failed(format!("path `{path}`: {error}")))?,
            },
        };
        let (interval, limit) = (Duration::from_millis(op.interval_ms), Duration::from_millis(op.timeout_ms));
        Ok(Self { target: op.target, interval, limit, kind, nonce: monotonic_ns() })
    }

    /// The samples, and when it was told to stop.
    async fn send_all(&self, context: &Context) -> Result<(Vec<LoadSample>, u64), OpError> {
        let mut ticks = tokio::time::interval(self.interval);
        // Probes that are overdue because this process did not run are sent at once and stamped with the time they really left.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut samples: Vec<Option<LoadSample>> = Vec::new();
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = context.stop.cancelled() => break,
                Some(ended) = under_way.next() => {
                    let (index, sample): (usize, LoadSample) = ended?;
                    samples[index] = Some(sample);
                }
                _ = ticks.tick() => {
                    under_way.push(self.probe(samples.len()));
                    samples.push(None);
                }
            }
        }
        let to_ns = monotonic_ns();
        while let Some(ended) = under_way.next().await {
            let (index, sample) = ended?;
            samples[index] = Some(sample);
        }
        Ok((samples.into_iter().flatten().collect(), to_ns))
    }

    async fn probe(&self, index: usize) -> Result<(usize, LoadSample), OpError> {
        let at_ns = monotonic_ns();
        let mut sample = LoadSample { at_ns, rtt_us: None, failure: None, status: None, stalled: Vec::new() };
        match tokio::time::timeout(self.limit, self.exchange(index)).await {
            Ok(Ok(answer)) => {
                sample.status = answer.status;
                if answer.status.is_none_or(|status| status < 500) {
                    sample.rtt_us = Some(micros_between(at_ns, monotonic_ns()));
                    sample.stalled = answer.stalled;
                }
            }
            Ok(Err(Trouble::Local(error))) => return Err(error),
            Ok(Err(Trouble::Network(failure))) => sample.failure = Some(failure.class),
            Err(_) => sample.failure = Some(FailureClass::Timeout),
        }
        Ok((index, sample))
    }

    async fn exchange(&self, index: usize) -> Result<Answered, Trouble> {
        let payload = format!("plumb load {:016x} {index}", self.nonce);
        match &self.kind {
            Kind::Tcp => {
                let (mut local, mut phase) = (None, "connect");
                tcp_once(self.target, None, payload.as_bytes(), &mut local, &mut phase).await.map(|()| Answered::default())
            }
            Kind::Udp(flow) => flow.exchange(payload).await.map(|()| Answered::default()),
            Kind::Http { host, path } => {
                let mut request = Request::new(Full::new(Bytes::new()));
                *request.uri_mut() = path.clone();
                request.headers_mut().insert(header::HOST, host.clone());
                request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                request.headers_mut().insert(SEQUENCE_HEADER, HeaderValue::from(index));
                let head = get_once(self.target, None, request).await?;
                let stalled = head.headers.get(STALLED_HEADER).and_then(|value| value.to_str().ok());
                Ok(Answered { status: Some(head.status.as_u16()), stalled: stalled.map(Stalled::from_header).unwrap_or_default() })
            }
        }
    }
}

/// One UDP flow: all datagrams leave from the same port, answers find their probe by what they carry.
struct Flow {
    socket: UdpSocket,
    target: SocketAddr,
    waiting: Mutex<BTreeMap<Vec<u8>, oneshot::Sender<()>>>,
}

impl Flow {
    async fn open(target: SocketAddr) -> Result<Self, OpError> {
        match udp_socket(target, None).await {
            Ok(socket) => Ok(Self { socket, target, waiting: Mutex::default() }),
            Err(Trouble::Local(error)) => Err(error),
            Err(Trouble::Network(failure)) => Err(OpError { operation: format!("connect UDP to {target}"), message: failure.detail }),
        }
    }

    async fn exchange(&self, payload: String) -> Result<(), Trouble> {
        let (answered, answer) = oneshot::channel();
        let key = payload.clone().into_bytes();
        let _forget = Forget { flow: self, key: key.clone() };
        self.with_waiting(|waiting| waiting.insert(key, answered));
        // A pending ICMP error of an earlier datagram makes one send fail without sending; it belongs to that datagram.
        let mut sent = self.socket.send(payload.as_bytes()).await;
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            sent = self.socket.send(payload.as_bytes()).await;
        }
        if let Err(error) = sent {
            return Err(self.trouble(&error));
        }
        // The sender side is dropped only when the probe is forgotten, which is when this future is.
        let _ = answer.await;
        Ok(())
    }

    fn trouble(&self, error: &io::Error) -> Trouble {
        if is_local(error) {
            return Trouble::Local(OpError { operation: format!("send to {}", self.target), message: error.to_string() });
        }
        let (class, alert) = sort(error);
        Trouble::Network(plumb_core::probe::Failure { class, phase: "request".into(), alert, detail: error.to_string() })
    }

    async fn receive(&self) {
        let mut buffer = [0_u8; 2048];
        loop {
            // An ICMP error does not say which datagram it is about: the probe's own limit decides.
            let Ok(length) = self.socket.recv(&mut buffer).await else { continue };
            if let Some(answered) = self.with_waiting(|waiting| waiting.remove(&buffer[..length])) {
                // The probe may just have run out of time.
                let _ = answered.send(());
            }
        }
    }

    fn with_waiting<T>(&self, change: impl FnOnce(&mut BTreeMap<Vec<u8>, oneshot::Sender<()>>) -> T) -> T {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes a probe off the list of those that wait, however it ended.
struct Forget<'a> {
    flow: &'a Flow,
    key: Vec<u8>,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.flow.with_waiting(|waiting| waiting.remove(&self.key));
    }
}
