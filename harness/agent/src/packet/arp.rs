//! ARP (RFC 826) on an AF_PACKET socket bound to its EtherType, so that other traffic costs nothing. Every answer is collected with the
//! kernel's time; own frames are not.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use plumb_core::probe::{ArpFrame, ArpOp, ArpReport, ArpWatchOp, Item, OpError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::monotonic_ns;
use crate::links::{Interface, mac_text};
use crate::session::Context;
use crate::sys::{self, FrameReader};

const ETHERTYPE: u16 = 0x0806;
/// Ethernet header and ARP for Ethernet and IPv4.
const FRAME_BYTES: usize = 42;
const BROADCAST: [u8; 6] = [0xff; 6];
/// A day; longer is until stopped.
const WINDOW_MS_MAX: u64 = 24 * 3600 * 1000;
const RECEIVE_BUFFER_BYTES: i32 = 4 * 1024 * 1024;

/// Asks who has an address and collects every answer.
pub(crate) async fn ask(op: ArpOp, context: &Context) -> Result<ArpReport, OpError> {
    let interface = Interface::named(&op.interface)?;
    let mut listener = Listener::open(&op.interface, &interface, Some(op.target))?;
    if op.count == 0 {
        context.started(Vec::new()).await;
    }
    let source = op.source.or(interface.address).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let request = who_has(interface.mac, source, op.target);
    // A period of zero is not one.
    let mut ticks = tokio::time::interval(Duration::from_millis(op.interval_ms.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: u32 = 0;
    let mut end: Option<Instant> = None;
    loop {
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = context.stop.cancelled() => break,
            () = over => break,
            _ = ticks.tick(), if end.is_none() => {
                listener.ask(&request)?;
                asked = asked.saturating_add(1);
                if op.count != 0 && asked >= op.count {
                    end = Some(Instant::now() + Duration::from_millis(op.window_ms.min(WINDOW_MS_MAX)));
                }
            }
            heard = listener.next() => tell(context, heard?).await,
        }
    }
    listener.finish(context).await
}

/// Watches without asking, until stopped.
pub(crate) async fn watch(op: ArpWatchOp, context: &Context) -> Result<ArpReport, OpError> {
    let interface = Interface::named(&op.interface)?;
    let mut listener = Listener::open(&op.interface, &interface, op.address)?;
    context.started(Vec::new()).await;
    loop {
        tokio::select! {
            biased;
            () = context.stop.cancelled() => break,
            heard = listener.next() => tell(context, heard?).await,
        }
    }
    listener.finish(context).await
}

/// A socket that hears ARP, and what it heard.
struct Listener {
    interface: String,
    socket: AsyncFd<OwnedFd>,
    reader: FrameReader,
    address: Option<Ipv4Addr>,
    report: ArpReport,
}

impl Listener {
    fn open(name: &str, interface: &Interface, address: Option<Ipv4Addr>) -> Result<Self, OpError> {
        let failed = |what: &str, error: std::io::Error| OpError {
            operation: format!("{what} an AF_PACKET socket for ARP on {name}"),
            message: error.to_string(),
        };
        let socket = sys::packet_socket().map_err(|error| failed("open", error))?;
        sys::receive_buffer(socket.as_fd(), RECEIVE_BUFFER_BYTES).map_err(|error| failed("size", error))?;
        sys::stamp_arrivals(socket.as_fd()).map_err(|error| failed("stamp", error))?;
        sys::bind_packet(socket.as_fd(), interface.index, ETHERTYPE).map_err(|error| failed("bind", error))?;
        let socket = sys::watch(socket, Interest::READABLE).map_err(|error| failed("watch", error))?;
        let report = ArpReport { from_ns: monotonic_ns(), ..ArpReport::default() };
        Ok(Self { interface: name.into(), socket, reader: FrameReader::new(128), address, report })
    }

    /// Sends a request. One that the link cannot take now is not among those that were sent; the link may come back.
    fn ask(&mut self, request: &[u8]) -> Result<(), OpError> {
        let at_ns = monotonic_ns();
        match sys::send(self.socket.get_ref().as_fd(), request) {
            Ok(()) => self.report.asked_ns.push(at_ns),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENOBUFS | libc::EAGAIN)) => {}
            Err(error) => {
                let operation = format!("send an ARP request on {}", self.interface);
                return Err(OpError { operation, message: error.to_string() });
            }
        }
        Ok(())
    }

    /// Waits for frames and takes what is there.
    async fn next(&mut self) -> Result<Vec<ArpFrame>, OpError> {
        let mut ready = self.socket.readable().await.map_err(|error| gone(&self.interface, &error))?;
        let mut heard = Vec::new();
        let address = self.address;
        let read = self.reader.read(self.socket.get_ref().as_fd(), |frame| {
            if !frame.outgoing {
                heard.extend(parse(frame.bytes, frame.at_ns).filter(|frame| is_about(frame, address)));
            }
        });
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // The link is down: no frames for now, and it may come back.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(error) => return Err(gone(&self.interface, &error)),
        }
        // Nothing may be awaited between reading frames and keeping them: this future is dropped when something else is due.
        self.report.frames.extend_from_slice(&heard);
        Ok(heard)
    }

    /// Takes what is still queued and closes the account.
    async fn finish(mut self, context: &Context) -> Result<ArpReport, OpError> {
        let address = self.address;
        let to_ns = monotonic_ns();
        let mut late = Vec::new();
        loop {
            let mut over = false;
            let read = self.reader.read(self.socket.get_ref().as_fd(), |frame| {
                over |= frame.at_ns > to_ns;
                if !frame.outgoing && frame.at_ns <= to_ns {
                    late.extend(parse(frame.bytes, frame.at_ns).filter(|frame| is_about(frame, address)));
                }
            });
            if over || read.is_err() {
                break;
            }
        }
        self.report.frames.extend_from_slice(&late);
        tell(context, late).await;
        let count = sys::packet_count(self.socket.get_ref().as_fd()).map_err(|error| gone(&self.interface, &error))?;
        self.report.dropped = count.dropped;
        self.report.to_ns = to_ns;
        Ok(self.report)
    }
}

async fn tell(context: &Context, heard: Vec<ArpFrame>) {
    for frame in heard {
        context.item(Item::Arp(frame)).await;
    }
}

fn gone(interface: &str, error: &std::io::Error) -> OpError {
    OpError { operation: format!("read ARP frames on {interface}"), message: error.to_string() }
}

fn is_about(frame: &ArpFrame, address: Option<Ipv4Addr>) -> bool {
    address.is_none_or(|address| frame.sender_ip == address || frame.target_ip == address)
}

/// A broadcast request; a sender address of 0.0.0.0 makes it a probe (RFC 5227 section 2.1.1).
fn who_has(mac: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    // Ethernet, IPv4, lengths 6 and 4, request.
    frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&source.octets());
    frame[38..42].copy_from_slice(&target.octets());
    frame
}

/// Reads a frame; `None` for what is not ARP for Ethernet and IPv4.
fn parse(frame: &[u8], at_ns: u64) -> Option<ArpFrame> {
    let mac = |from: usize| -> Option<String> { Some(mac_text(frame.get(from..from + 6)?.try_into().ok()?)) };
    let ip = |from: usize| -> Option<Ipv4Addr> { Some(<[u8; 4]>::try_from(frame.get(from..from + 4)?).ok()?.into()) };
    if frame.get(12..20)? != [8, 6, 0, 1, 8, 0, 6, 4] {
        return None;
    }
    Some(ArpFrame {
        at_ns,
        operation: u16::from_be_bytes(frame.get(20..22)?.try_into().ok()?),
        eth_src: mac(6)?,
        eth_dst: mac(0)?,
        sender_mac: mac(22)?,
        sender_ip: ip(28)?,
        target_mac: mac(32)?,
        target_ip: ip(38)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_made() {
        let (source, target) = ([10, 9, 0, 1].into(), [10, 9, 0, 2].into());
        let frame = parse(&who_has([2, 0, 0, 0, 0, 1], source, target), 5).unwrap();
        assert_eq!((frame.operation, frame.sender_ip, frame.target_ip, frame.at_ns), (1, source, target, 5));
        assert_eq!((frame.eth_src.as_str(), frame.eth_dst.as_str()), ("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"));
        assert_eq!(frame.target_mac, "00:00:00:00:00:00");
    }

    #[test]
    fn cut_and_foreign_frames_are_no_arp() {
        let whole = who_has([2; 6], [10, 9, 0, 1].into(), [10, 9, 0, 2].into());
        for length in 0..FRAME_BYTES {
            assert_eq!(parse(&whole[..length], 0), None, "{length} bytes");
        }
        let mut ipv6 = whole;
        ipv6[13] = 0xdd;
        assert_eq!(parse(&ipv6, 0), None);
    }
}
