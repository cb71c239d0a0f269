//! A tap: an AF_PACKET socket on one interface that sees both directions. It hears nothing before its filter is in place and nothing
//! after it is closed, so what it read is exactly what matched while it was live.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumb_core::frames::filter;
use plumb_core::probe::{CaptureOp, OpError};

use crate::fault::CaptureFault;
use crate::links::{self, Interface};
use crate::sys::{self, ArrivedFrame, FrameReader, Instruction, Ring};

const ETHERTYPE_ALL: u16 = 3;
/// Room for a burst where there is no ring. The kernel charges each frame what it occupies, up to 64 KiB and more for one segmented later, not what is kept of it.
const RECEIVE_BUFFER_BYTES: i32 = 64 * 1024 * 1024;
const SNAPLEN_MAX: u32 = 65_535 + 14;
/// `BPF_RET | BPF_K` with 0: keep nothing.
const NOTHING: [Instruction; 1] = [(0x06, 0, 0, 0)];
const ETHERNET_HEADER: usize = 14;

/// The kernel hands frames over within milliseconds; what is not there by then was never queued.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const DRAIN_POLL_MS: u16 = 1;

/// How frames come to this process.
enum Source {
    /// Through memory shared with the kernel.
    Ring(Ring),
    /// By system call.
    Socket(FrameReader),
}

impl Source {
    fn read(&mut self, fd: BorrowedFd<'_>, each: impl FnMut(ArrivedFrame<'_>)) -> io::Result<usize> {
        match self {
            Self::Ring(ring) => ring.read(each),
            Self::Socket(reader) => reader.read(fd, each),
        }
    }
}

/// A live tap.
pub(super) struct Tap {
    // The ring goes before the socket it belongs to.
    source: Source,
    socket: OwnedFd,
    /// Frames read so far.
    read: u64,
    /// For interfaces whose frames begin with the IP header: the filter runs here, on the frame with an Ethernet header made up.
    bare: Option<Vec<filter::Instruction>>,
    /// A loopback interface shows each frame twice, going out and coming in; it is read once, coming in.
    skip_outgoing: bool,
}

impl Tap {
    /// Opens a tap; it is live when this returns.
    pub(super) fn open(op: &CaptureOp, fault: Option<CaptureFault>) -> Result<Self, OpError> {
        let on = match fault {
            Some(CaptureFault::WrongInterface) => other_than(&op.interface)?,
            _ => op.interface.clone(),
        };
        let interface = Interface::named(&on)?;
        let failed = |what: &str, error: io::Error| OpError {
            operation: format!("{what} an AF_PACKET socket on {}", op.interface),
            message: error.to_string(),
        };
        let snaplen = op.snaplen.clamp(1, SNAPLEN_MAX);
        let program = filter::compile(&op.filter, snaplen);
        let socket = sys::packet_socket().map_err(|error| failed("open", error))?;
        let fd = socket.as_fd();
        let source = source(fd, snaplen as usize, fault).map_err(|error| failed("size", error))?;
        sys::stamp_arrivals(fd).and_then(|()| sys::tell_lengths(fd)).map_err(|error| failed("set up", error))?;
        let instructions: Vec<Instruction> = match fault {
            Some(CaptureFault::Blind) => NOTHING.to_vec(),
            _ if interface.is_bare => Vec::new(),
            _ => program.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect(),
        };
        if !instructions.is_empty() {
            sys::attach_filter(fd, &instructions).map_err(|error| failed("filter", error))?;
        }
        sys::join_promiscuous(fd, interface.index).map_err(|error| failed("make promiscuous", error))?;
        sys::bind_packet(fd, interface.index, ETHERTYPE_ALL).map_err(|error| failed("bind", error))?;
        Ok(Self { source, socket, read: 0, bare: interface.is_bare.then_some(program), skip_outgoing: interface.is_loopback })
    }

    /// Hands what is queued, up to a batch, to `each`: bytes, length on the wire, time. How many frames were read.
    fn read(&mut self, mut each: impl FnMut(&[u8], usize, u64)) -> io::Result<usize> {
        let (bare, skip_outgoing) = (&self.bare, self.skip_outgoing);
        let count = self.source.read(self.socket.as_fd(), |frame| match bare {
            _ if skip_outgoing && frame.outgoing => {}
            None => each(frame.bytes, frame.wire_len, frame.at_ns),
            Some(program) => {
                let whole = with_ethernet(frame.bytes);
                let kept = filter::run(program, &whole) as usize;
                if kept > 0 {
                    each(&whole[..whole.len().min(kept)], frame.wire_len + ETHERNET_HEADER, frame.at_ns);
                }
            }
        })?;
        self.read += count as u64;
        Ok(count)
    }

    /// Hears nothing any more; what is queued stays to be read.
    pub(super) fn close(&self) -> io::Result<()> {
        sys::attach_filter(self.socket.as_fd(), &NOTHING)
    }

    /// Reads everything that was queued before the tap was closed; how many frames the kernel dropped while it was open.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8], usize, u64)) -> io::Result<u64> {
        let deadline = Instant::now() + DRAIN_MAX;
        let (mut queued, mut dropped) = (0, 0);
        let mut settled = false;
        loop {
            while self.read_some(&mut each)? > 0 {}
            let count = sys::packet_count(self.socket.as_fd())?;
            queued += count.queued;
            dropped += count.dropped;
            // A frame that was on its way past the filter is counted a moment later: twice the same is the end.
            if self.read >= queued && settled && count.queued == 0 {
                return Ok(dropped);
            }
            if Instant::now() > deadline {
                // What was queued and never came is as lost as what was dropped.
                return Ok(dropped + queued.saturating_sub(self.read));
            }
            settled = self.read >= queued;
            let mut frames = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut frames, PollTimeout::from(DRAIN_POLL_MS)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Like [`Tap::read`], with nothing to read being nothing read.
    pub(super) fn read_some(&mut self, each: impl FnMut(&[u8], usize, u64)) -> io::Result<usize> {
        match self.read(each) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            // The link went down: no frames for now, and it may come back.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(0),
            read => read,
        }
    }
}

/// A ring where there can be one; the fault that drops frames wants little room.
fn source(fd: BorrowedFd<'_>, snaplen: usize, fault: Option<CaptureFault>) -> io::Result<Source> {
    if fault == Some(CaptureFault::Drops) {
        sys::shrink_receive_buffer(fd)?;
        return Ok(Source::Socket(FrameReader::new(snaplen)));
    }
    if let Ok(ring) = Ring::attach(fd, snaplen) {
        return Ok(Source::Ring(ring));
    }
    sys::receive_buffer(fd, RECEIVE_BUFFER_BYTES)?;
    Ok(Source::Socket(FrameReader::new(snaplen)))
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An IP packet with an Ethernet header without addresses.
fn with_ethernet(packet: &[u8]) -> Vec<u8> {
    let ethertype: u16 = if packet.first().is_some_and(|first| first >> 4 == 6) { 0x86dd } else { 0x0800 };
    let mut frame = vec![0; ETHERNET_HEADER - 2];
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(packet);
    frame
}

/// Another interface of this namespace, for the fault that listens there.
fn other_than(name: &str) -> Result<String, OpError> {
    let others = links::links()?.into_iter().map(|link| link.name).filter(|other| other != name);
    others
        .min_by_key(|other| other != "lo")
        .ok_or_else(|| OpError { operation: "listen on the wrong interface".into(), message: format!("there is none beside {name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumb_core::probe::FrameFilter;

    /// The kinds of interface that have no Ethernet header (tun, WireGuard) cannot be made in every kernel a test runs on.
    #[test]
    fn a_filter_finds_its_packets_on_an_interface_without_ethernet_header() {
        let udp = [FrameFilter { protocol: Some(17), ..FrameFilter::default() }];
        let program = filter::compile(&udp, 256);
        let mut packet = [0_u8; 28];
        (packet[0], packet[3], packet[9]) = (0x45, 28, 17);
        assert!(filter::run(&program, &with_ethernet(&packet)) > 0);
        packet[9] = 6;
        assert_eq!(filter::run(&program, &with_ethernet(&packet)), 0);
        let mut packet = [0_u8; 48];
        (packet[0], packet[5], packet[6]) = (0x60, 8, 17);
        assert!(filter::run(&program, &with_ethernet(&packet)) > 0);
    }
}
