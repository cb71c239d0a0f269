//! ICMP and ICMPv6 echo. Unprivileged echo sockets where the namespace allows them, raw sockets otherwise. With fragmentation forbidden the
//! kernel's cached path MTU is not used, so that each request asks the path anew; errors come from the socket's error queue.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::socket::{SockaddrStorage, bind, connect};
use plumb_core::probe::{OpError, PingAttempt, PingOp, PingOutcome, PingReport};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::client::l4::{SAME_MAX, paused};
use crate::clock::{micros_between, monotonic_ns};
use crate::session::Context;
use crate::sys::{self, QueuedError};

/// The largest ICMP payload of an IPv4 packet.
const PAYLOAD_MAX: u16 = 65_507;
const HEADER: usize = 8;

/// Whether echo requests can be sent here.
pub(crate) fn is_allowed() -> bool {
    open(libc::AF_INET, libc::IPPROTO_ICMP).is_ok()
}

/// Sends echo requests, one after another.
pub(crate) async fn run(op: PingOp, context: &Context) -> Result<PingReport, OpError> {
    if op.size > PAYLOAD_MAX {
        return Err(OpError { operation: "make an echo request".into(), message: format!("size is {}, at most {PAYLOAD_MAX}", op.size) });
    }
    let mut report = PingReport::default();
    let pinger = match Pinger::new(&op) {
        Ok(pinger) => pinger,
        Err(NoPinger::Operation(error)) => return Err(error),
        Err(NoPinger::Route(error)) => {
            let outcome = PingOutcome::Unreachable { detail: error.to_string() };
            report.attempts =
                (0..op.count.min(SAME_MAX)).map(|_| PingAttempt { at_ns: monotonic_ns(), outcome: outcome.clone() }).collect();
            return Ok(report);
        }
    };
    for n in 0..op.count {
        if n > 0 && !paused(op.interval_ms, context).await {
            break;
        }
        // The sequence number is 16 bits wide and wraps.
        report.attempts.push(pinger.ping((n % 65_536) as u16, &op).await?);
    }
    Ok(report)
}

enum NoPinger {
    Operation(OpError),
    Route(io::Error),
}

/// A socket for echo requests to one address.
struct Pinger {
    socket: AsyncFd<OwnedFd>,
    is_v4: bool,
    /// Raw sockets see whole IPv4 packets, and answers to others.
    raw: bool,
    id: u16,
}

impl Pinger {
    fn new(op: &PingOp) -> Result<Self, NoPinger> {
        let failed = |operation: String, error: io::Error| NoPinger::Operation(OpError { operation, message: error.to_string() });
        let is_v4 = op.target.is_ipv4();
        let (family, protocol) = if is_v4 { (libc::AF_INET, libc::IPPROTO_ICMP) } else { (libc::AF_INET6, libc::IPPROTO_ICMPV6) };
        let (socket, raw) = open(family, protocol).map_err(|error| failed("open an ICMP socket".into(), error))?;
        options(&socket, is_v4, op.dont_fragment).map_err(|error| failed("set ICMP socket options".into(), error))?;
        if let Some(source) = op.source {
            bind(socket.as_raw_fd(), &address(source)).map_err(|error| failed(format!("bind ICMP to {source}"), error.into()))?;
        }
        connect(socket.as_raw_fd(), &address(op.target)).map_err(|error| {
            let error = io::Error::from(error);
            if crate::client::failure::is_local(&error) {
                failed(format!("connect ICMP to {}", op.target), error)
            } else {
                NoPinger::Route(error)
            }
        })?;
        let socket = sys::watch(socket, Interest::READABLE | Interest::ERROR);
        let socket = socket.map_err(|error| failed("watch an ICMP socket".into(), error))?;
        Ok(Self { socket, is_v4, raw, id: next_id() })
    }

    async fn ping(&self, sequence: u16, op: &PingOp) -> Result<PingAttempt, OpError> {
        self.forget_the_past();
        let request = self.request(sequence, op.size);
        let at_ns = monotonic_ns();
        let outcome = match sys::send(self.socket.get_ref().as_fd(), &request) {
            Err(error) => self
                .refused(&error)
                .ok_or_else(|| OpError { operation: format!("send an echo request to {}", op.target), message: error.to_string() })?,
            Ok(()) => {
                let answer = self.answer(sequence, at_ns);
                match tokio::time::timeout(Duration::from_millis(op.timeout_ms), answer).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(error)) => return Err(OpError { operation: "receive an echo reply".into(), message: error.to_string() }),
                    Err(_) => PingOutcome::Timeout,
                }
            }
        };
        Ok(PingAttempt { at_ns, outcome })
    }

    fn request(&self, sequence: u16, size: u16) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + usize::from(size));
        packet.extend_from_slice(&[if self.is_v4 { 8 } else { 128 }, 0, 0, 0]);
        packet.extend_from_slice(&self.id.to_be_bytes());
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend((0..size).map(|index| (index % 256) as u8));
        // The kernel computes the sum of ICMPv6 itself; it depends on the IPv6 header (RFC 4443 section 2.3).
        if self.is_v4 {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    /// A local refusal as an outcome; `None` when it is the lab's trouble.
    fn refused(&self, error: &io::Error) -> Option<PingOutcome> {
        match error.raw_os_error()? {
            libc::EMSGSIZE => Some(PingOutcome::FragmentationNeeded { mtu: self.known_mtu() }),
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EACCES | libc::EPERM | libc::ECONNREFUSED => {
                Some(PingOutcome::Unreachable { detail: error.to_string() })
            }
            _ => None,
        }
    }

    fn known_mtu(&self) -> Option<u32> {
        let (level, name) = if self.is_v4 { (libc::IPPROTO_IP, libc::IP_MTU) } else { (libc::IPPROTO_IPV6, libc::IPV6_MTU) };
        sys::integer(self.socket.get_ref().as_fd(), level, name).ok().and_then(|mtu| u32::try_from(mtu).ok())
    }

    async fn answer(&self, sequence: u16, at_ns: u64) -> io::Result<PingOutcome> {
        let mut buffer = vec![0; 65_536];
        loop {
            let mut ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
            // Errors first: reading would report them without saying what they are about.
            while let Ok(error) = sys::take_error(self.socket.get_ref().as_fd(), &mut buffer) {
                if self.is_about(&error, &buffer, sequence) {
                    return Ok(outcome_of(&error));
                }
            }
            match nix::sys::socket::recv(self.socket.get_ref().as_raw_fd(), &mut buffer, nix::sys::socket::MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    if self.is_reply(&buffer[..length], sequence) {
                        return Ok(PingOutcome::Reply { rtt_us: micros_between(at_ns, monotonic_ns()) });
                    }
                }
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                // The error itself is in the queue, which is looked at next.
                Err(_) => {}
            }
        }
    }

    fn is_reply(&self, packet: &[u8], sequence: u16) -> bool {
        let icmp = if self.raw && self.is_v4 { after_ip_header(packet) } else { packet };
        icmp.first() == Some(&(if self.is_v4 { 0 } else { 129 })) && self.is_ours(icmp, sequence)
    }

    /// Whether an error is about this request. What comes from the own kernel carries no packet and is about the latest.
    fn is_about(&self, error: &QueuedError, payload: &[u8], sequence: u16) -> bool {
        if error.origin == libc::SO_EE_ORIGIN_LOCAL {
            return true;
        }
        let packet = &payload[..error.payload_len];
        let icmp = match packet.first() {
            Some(first) if self.raw && self.is_v4 && first >> 4 == 4 => after_ip_header(packet),
            _ => packet,
        };
        self.is_ours(icmp, sequence)
    }

    fn is_ours(&self, icmp: &[u8], sequence: u16) -> bool {
        let Some(numbers) = icmp.get(4..8) else { return false };
        // An unprivileged socket has its own identifier, which the kernel sees to.
        let same_id = !self.raw || numbers[..2] == self.id.to_be_bytes();
        same_id && numbers[2..] == sequence.to_be_bytes()
    }

    fn forget_the_past(&self) {
        let mut buffer = [0; 256];
        let fd = self.socket.get_ref();
        while sys::take_error(fd.as_fd(), &mut buffer).is_ok() {}
        while nix::sys::socket::recv(fd.as_raw_fd(), &mut buffer, nix::sys::socket::MsgFlags::MSG_DONTWAIT).is_ok() {}
    }
}

fn open(family: i32, protocol: i32) -> io::Result<(OwnedFd, bool)> {
    match sys::socket(family, libc::SOCK_DGRAM, protocol) {
        Ok(socket) => Ok((socket, false)),
        Err(_) => sys::socket(family, libc::SOCK_RAW, protocol).map(|socket| (socket, true)),
    }
}

fn options(socket: &OwnedFd, is_v4: bool, dont_fragment: bool) -> io::Result<()> {
    let set = |level, name, value| sys::set_integer(socket.as_fd(), level, name, value);
    if is_v4 {
        set(libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, if dont_fragment { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_DONT })
    } else {
        set(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
        let discover = if dont_fragment { libc::IPV6_PMTUDISC_PROBE } else { libc::IPV6_PMTUDISC_DONT };
        set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, discover)?;
        set(libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, i32::from(dont_fragment))
    }
}

fn outcome_of(error: &QueuedError) -> PingOutcome {
    let mtu = (error.info > 0).then_some(error.info);
    let words = || {
        let said = io::Error::from_raw_os_error(error.errno).to_string();
        let by = error.offender.map(|who| format!(" by {who}")).unwrap_or_default();
        format!("{said}, said{by} with type {} code {}", error.kind, error.code)
    };
    match (error.origin, error.kind, error.code) {
        _ if error.errno == libc::EMSGSIZE => PingOutcome::FragmentationNeeded { mtu },
        (libc::SO_EE_ORIGIN_ICMP, 11, _) | (libc::SO_EE_ORIGIN_ICMP6, 3, _) => PingOutcome::TtlExceeded,
        (libc::SO_EE_ORIGIN_LOCAL, ..) => PingOutcome::Unreachable { detail: io::Error::from_raw_os_error(error.errno).to_string() },
        _ => PingOutcome::Unreachable { detail: words() },
    }
}

/// An IPv4 packet without its header (RFC 791).
fn after_ip_header(packet: &[u8]) -> &[u8] {
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    packet.get(length..).unwrap_or_default()
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Identifiers of raw echo requests; each operation of this process has its own.
fn next_id() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() as u16).wrapping_mul(40_503);
    own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn address(ip: IpAddr) -> SockaddrStorage {
    SocketAddr::new(ip, 0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_packet_with_its_sum_is_zero() {
        let mut packet = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xab];
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn a_cut_packet_has_nothing_after_its_header() {
        assert!(after_ip_header(&[]).is_empty());
        assert!(after_ip_header(&[0x4f, 0, 0]).is_empty());
    }
}
