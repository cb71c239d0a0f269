//! A tap: an AF_PACKET socket on one interface that sees both directions. It hears nothing before its filter is in place and nothing
//! after it is closed, so what it read is exactly what matched while it was live.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plumb_core::frames::filter;
use plumb_core::probe::{CaptureOp, OpError};

use crate::fault::CaptureFault;
use crate::links::{self, Interface};
use crate::sys::{self, FrameReader, Instruction};

const ETHERTYPE_ALL: u16 = 3;
/// Room for a burst. The kernel charges each frame what it occupies, up to 64 KiB and more for one segmented later, not what is kept of it.
const RECEIVE_BUFFER_BYTES: i32 = 64 * 1024 * 1024;
const SNAPLEN_MAX: u32 = 65_535 + 14;
/// `BPF_RET | BPF_K` with 0: keep nothing.
const NOTHING: [Instruction; 1] = [(0x06, 0, 0, 0)];
const ETHERNET_HEADER: usize = 14;

/// A live tap.
pub(super) struct Tap {
    socket: OwnedFd,
    reader: FrameReader,
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
        match fault {
            Some(CaptureFault::Drops) => sys::shrink_receive_buffer(fd),
            _ => sys::receive_buffer(fd, RECEIVE_BUFFER_BYTES),
        }
        .map_err(|error| failed("size", error))?;
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
        let reader = FrameReader::new(snaplen as usize);
        Ok(Self { socket, reader, bare: interface.is_bare.then_some(program), skip_outgoing: interface.is_loopback })
    }

    /// Hands what is queued, up to a batch, to `each`: bytes, length on the wire, time. How many frames were read.
    pub(super) fn read(&mut self, mut each: impl FnMut(&[u8], usize, u64)) -> io::Result<usize> {
        let (bare, skip_outgoing) = (&self.bare, self.skip_outgoing);
        self.reader.read(self.socket.as_fd(), |frame| match bare {
            _ if skip_outgoing && frame.outgoing => {}
            None => each(frame.bytes, frame.wire_len, frame.at_ns),
            Some(program) => {
                let whole = with_ethernet(frame.bytes);
                let kept = filter::run(program, &whole) as usize;
                if kept > 0 {
                    each(&whole[..whole.len().min(kept)], frame.wire_len + ETHERNET_HEADER, frame.at_ns);
                }
            }
        })
    }

    /// Hears nothing any more; what is queued stays to be read.
    pub(super) fn close(&self) -> io::Result<()> {
        sys::attach_filter(self.socket.as_fd(), &NOTHING)
    }

    /// Frames the kernel dropped since the tap was opened; to be asked once.
    pub(super) fn drops(&self) -> io::Result<u64> {
        sys::packet_drops(self.socket.as_fd())
    }
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
