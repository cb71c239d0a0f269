//! The capture operation: a tap on an interface, read on a thread of its own, decoded as frames come. What is counted is
//! [`plumb_core::frames`]'s business.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plumb_core::frames::{LinkType, Summary, pcapng};
use plumb_core::probe::{CaptureOp, CaptureSummary, Item, OpError};
use tokio::sync::oneshot;

use super::tap::Tap;
use crate::clock::{WallOffset, monotonic_ns};
use crate::fault::CaptureFault;
use crate::session::Context;
use crate::sys;

/// Bytes of the file in one item; a multiple of three, so that only the last has padding.
const PIECE_BYTES: usize = 384 * 1024;
/// However much is asked for, the agent does not hold more.
const PCAPNG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Captures until stopped. `Started` is said when the tap is live; at the end everything the kernel had queued is read first.
pub(crate) async fn run(op: CaptureOp, context: &Context) -> Result<CaptureSummary, OpError> {
    let fault = CaptureFault::of_process();
    let tap = Tap::open(&op, fault)?;
    let from_ns = monotonic_ns();
    let failed = |error: io::Error| OpError { operation: "start a capture thread".into(), message: error.to_string() };
    // The reader stops when the other end is gone, which it also is when this future is dropped.
    let (stop, stopped) = UnixStream::pair().map_err(failed)?;
    let (ended, end) = oneshot::channel();
    let interface = op.interface.clone();
    let reader = Reader { op, tap, stopped, fault };
    std::thread::Builder::new()
        .name("capture".into())
        // Nobody waits any longer when the session is over.
        .spawn(move || drop(ended.send(reader.run(from_ns))))
        .map_err(failed)?;
    context.started(Vec::new()).await;
    let mut end = end;
    let early = tokio::select! {
        () = context.stop.cancelled() => None,
        early = &mut end => Some(early),
    };
    drop(stop);
    let captured = match early {
        Some(captured) => captured,
        None => end.await,
    };
    let lost = |_| OpError { operation: format!("capture on {interface}"), message: "the capture thread panicked".into() };
    let captured = captured.map_err(lost)??;
    for piece in captured.file.chunks(PIECE_BYTES) {
        let base64 = base64::engine::general_purpose::STANDARD.encode(piece);
        context.item(Item::Pcapng { base64 }).await;
    }
    Ok(captured.summary)
}

/// What a capture comes to.
struct Captured {
    summary: CaptureSummary,
    file: Vec<u8>,
}

struct Reader {
    op: CaptureOp,
    tap: Tap,
    stopped: UnixStream,
    fault: Option<CaptureFault>,
}

impl Reader {
    fn run(mut self, from_ns: u64) -> Result<Captured, OpError> {
        // Without the privilege it takes its turn like everybody; what it then loses is counted.
        let _ = sys::hurry_this_thread();
        let mut book = Book::new(&self.op);
        let failed = {
            let interface = self.op.interface.clone();
            move |error: io::Error| OpError { operation: format!("read frames on {interface}"), message: error.to_string() }
        };
        while !self.wait().map_err(&failed)? {
            self.tap.read_some(|bytes, wire_len, at_ns| book.frame(bytes, wire_len, at_ns)).map_err(&failed)?;
        }
        self.tap.close().map_err(&failed)?;
        let to_ns = monotonic_ns();
        let dropped = self.tap.drain(|bytes, wire_len, at_ns| book.frame(bytes, wire_len, at_ns)).map_err(&failed)?;
        Ok(book.close(from_ns, to_ns, dropped))
    }

    /// Waits for frames; true when it is time to stop.
    fn wait(&self) -> io::Result<bool> {
        let stopped = PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN);
        let frames = PollFd::new(self.tap.as_fd(), PollFlags::POLLIN);
        let mut both = [stopped, frames];
        // A reader that holds off lets the small buffer overflow.
        let watched = if self.fault == Some(CaptureFault::Drops) { 1 } else { 2 };
        match poll(&mut both[..watched], PollTimeout::NONE) {
            Ok(_) => Ok(both[0].any().unwrap_or(true)),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The running account of a capture: the summary, and the file where one was asked for.
struct Book {
    summary: Summary,
    wall: WallOffset,
    file: Vec<u8>,
    file_max: usize,
    complete: bool,
    frames: u64,
}

impl Book {
    fn new(op: &CaptureOp) -> Self {
        let file_max = usize::try_from(op.pcapng_bytes_max.min(PCAPNG_BYTES_MAX)).unwrap_or(usize::MAX);
        let file = if file_max > 0 { pcapng::header(&op.interface, op.snaplen, LinkType::Ethernet) } else { Vec::new() };
        Self { summary: Summary::new(op), wall: WallOffset::now(), file, file_max, complete: file_max > 0, frames: 0 }
    }

    fn frame(&mut self, bytes: &[u8], wire_len: usize, at_ns: u64) {
        self.frames += 1;
        self.summary.frame(bytes, wire_len, at_ns);
        if self.complete {
            let block = pcapng::packet(self.wall.to_wall(at_ns), bytes, wire_len);
            self.complete = self.append(&block);
        }
    }

    fn append(&mut self, block: &[u8]) -> bool {
        let fits = self.file.len() + block.len() <= self.file_max;
        if fits {
            self.file.extend_from_slice(block);
        }
        fits
    }

    fn close(mut self, from_ns: u64, to_ns: u64, dropped: u64) -> Captured {
        if self.file_max > 0 {
            // It tells of the drops to whoever has only the file; that it fits is not what makes the file complete.
            let block = pcapng::statistics(self.wall.to_wall(to_ns), self.frames + dropped, dropped);
            self.append(&block);
        }
        let mut summary = self.summary.finish(dropped);
        summary.from_ns = from_ns;
        summary.to_ns = to_ns;
        summary.pcapng_complete = self.complete;
        Captured { summary, file: self.file }
    }
}
