//! TCP and UDP echo as a client: a payload goes out and is expected back whole.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use plumb_core::probe::{Failure, FailureClass, L4Attempt, L4Op, L4Report, OpError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use super::connect::connect;
use super::failure::{Trouble, failure, is_local, of_io, timeout};
use crate::clock::{micros_between, monotonic_ns};
use crate::session::Context;

/// The largest payload of a UDP datagram over IPv4.
const DATAGRAM_BYTES: usize = 65_507;

/// Attempts reported where none can be made and all are the same.
pub(crate) const SAME_MAX: u32 = 1_000;

/// TCP, a new connection each time.
pub(crate) async fn tcp(op: L4Op, context: &Context) -> Result<L4Report, OpError> {
    let mut report = L4Report::default();
    for n in 0..op.count {
        if n > 0 && !paused(op.interval_ms, context).await {
            break;
        }
        let at_ns = monotonic_ns();
        let (mut local, mut phase) = (None, "connect");
        let once = tcp_once(op.target, op.source, op.payload.as_bytes(), &mut local, &mut phase);
        let outcome = match tokio::time::timeout(Duration::from_millis(op.timeout_ms), once).await {
            Ok(Err(Trouble::Local(error))) => return Err(error),
            Ok(Err(Trouble::Network(failure))) => Err(failure),
            Ok(Ok(())) => Ok(()),
            Err(_) => Err(timeout(phase, op.timeout_ms)),
        };
        report.attempts.push(attempt(at_ns, local, outcome));
    }
    Ok(report)
}

/// One connection: sends, reads as much back, compares.
pub(super) async fn tcp_once(
    target: SocketAddr,
    source: Option<IpAddr>,
    payload: &[u8],
    local: &mut Option<SocketAddr>,
    phase: &mut &'static str,
) -> Result<(), Trouble> {
    let mut stream = connect(target, source).await?;
    *local = stream.local_addr().ok();
    *phase = "request";
    let (mut from, mut to) = stream.split();
    let mut back = vec![0; payload.len()];
    // Both at once: an echo of more than the buffers hold would wait for itself.
    let (written, read) = tokio::join!(to.write_all(payload), from.read_exact(&mut back));
    // A reset shows in the reader, too, and says more there than a broken pipe does in the writer.
    if let Err(error) = read {
        return Err(Trouble::Network(of_io(&error, "response")));
    }
    written.map_err(|error| Trouble::Network(of_io(&error, "request")))?;
    if back == payload {
        Ok(())
    } else {
        Err(Trouble::Network(failure(FailureClass::Protocol, "response", "what came back is not what was sent")))
    }
}

/// UDP, all from one socket.
pub(crate) async fn udp(op: L4Op, context: &Context) -> Result<L4Report, OpError> {
    let mut report = L4Report::default();
    let socket = match udp_socket(op.target, op.source).await {
        Ok(socket) => socket,
        Err(Trouble::Local(error)) => return Err(error),
        Err(Trouble::Network(failure)) => {
            report.attempts = (0..op.count.min(SAME_MAX)).map(|_| attempt(monotonic_ns(), None, Err(failure.clone()))).collect();
            return Ok(report);
        }
    };
    let local = socket.local_addr().ok();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    for n in 0..op.count {
        if n > 0 && !paused(op.interval_ms, context).await {
            break;
        }
        // What is late for the one before, an error included, is not for this one.
        loop {
            match socket.try_recv(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {}
            }
        }
        let at_ns = monotonic_ns();
        let once = udp_once(&socket, op.payload.as_bytes(), &mut buffer);
        let outcome = match tokio::time::timeout(Duration::from_millis(op.timeout_ms), once).await {
            Ok(Err(error)) if is_local(&error) => {
                return Err(OpError { operation: format!("send to {}", op.target), message: error.to_string() });
            }
            Ok(outcome) => outcome.map_err(|error| of_io(&error, "response")),
            Err(_) => Err(timeout("response", op.timeout_ms)),
        };
        report.attempts.push(attempt(at_ns, local, outcome));
    }
    Ok(report)
}

async fn udp_once(socket: &UdpSocket, payload: &[u8], buffer: &mut [u8]) -> io::Result<()> {
    socket.send(payload).await?;
    loop {
        let length = socket.recv(buffer).await?;
        if &buffer[..length] == payload {
            return Ok(());
        }
    }
}

/// A socket that talks to one peer only, so that errors about its datagrams come back to it.
pub(super) async fn udp_socket(target: SocketAddr, source: Option<IpAddr>) -> Result<UdpSocket, Trouble> {
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let own = SocketAddr::new(source.unwrap_or(any), 0);
    let local = |operation: String, error: io::Error| Trouble::Local(OpError { operation, message: error.to_string() });
    let socket = UdpSocket::bind(own).await.map_err(|error| local(format!("bind UDP to {own}"), error))?;
    let connected = socket.connect(target).await;
    connected.map_err(|error| {
        // Without a route there is no connecting even for UDP, and that is an observation.
        if is_local(&error) { local(format!("connect UDP to {target}"), error) } else { Trouble::Network(of_io(&error, "connect")) }
    })?;
    Ok(socket)
}

fn attempt(at_ns: u64, local: Option<SocketAddr>, outcome: Result<(), Failure>) -> L4Attempt {
    let rtt_us = outcome.is_ok().then(|| micros_between(at_ns, monotonic_ns()));
    L4Attempt { at_ns, local, rtt_us, failure: outcome.err() }
}

/// Waits as long as was asked for; false when the operation was stopped.
pub(crate) async fn paused(interval_ms: u64, context: &Context) -> bool {
    if interval_ms > 0 {
        // The pause is what was asked for.
        tokio::select! {
            () = context.stop.cancelled() => return false,
            () = tokio::time::sleep(Duration::from_millis(interval_ms)) => {}
        }
    }
    !context.stop.is_cancelled()
}
