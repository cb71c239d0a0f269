//! A receive ring shared with the kernel (`PACKET_RX_RING`, TPACKET_V3: Documentation/networking/packet_mmap.rst). Frames cost no system call
//! and, unlike a receive buffer, the ring may be as large as it must without privileges over the machine.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{ArrivedFrame, set_option};
use crate::clock::WallOffset;

/// The kernel hands a block over when it is full, or so many milliseconds after its first frame. Waking the reader is what most of a
/// capture costs, and nobody looks at a capture before its end, which waits for the last block.
const HAND_OVER_MS: u32 = 40;
const BLOCK_BYTES: usize = 512 * 1024;
const BLOCKS_MIN: usize = 16;
const BLOCKS_MAX: usize = 128;
/// A ring holds about so many frames of full snap length.
const FRAMES: usize = 32 * 1024;
/// Only looked at for consistency in this version; frames have the length they have.
const FRAME_BYTES: usize = 2048;
const STATUS_AT: usize = offset_of!(libc::tpacket_block_desc, hdr);

/// A ring of a packet socket; to be attached before the socket is bound.
pub(crate) struct Ring {
    memory: NonNull<u8>,
    blocks: usize,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone and is not tied to a thread; the kernel's side is synchronised by the block status.
unsafe impl Send for Ring {}

impl Ring {
    /// Attaches a ring that has room for some ten thousand frames of a snap length.
    pub(crate) fn attach(fd: BorrowedFd<'_>, snaplen: usize) -> io::Result<Self> {
        let blocks = (FRAMES * snaplen / BLOCK_BYTES).clamp(BLOCKS_MIN, BLOCKS_MAX);
        set_option(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as i32))?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: FRAME_BYTES as u32,
            tp_frame_nr: (blocks * (BLOCK_BYTES / FRAME_BYTES)) as u32,
            tp_retire_blk_tov: HAND_OVER_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of the size the ring was just given; nothing is replaced.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), blocks * BLOCK_BYTES, access, shared, fd.as_raw_fd(), 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { memory, blocks, next: 0 })
    }

    /// Hands the frames of one block to `each`; how many there were. `WouldBlock` when the kernel has not handed one over.
    pub(crate) fn read(&mut self, mut each: impl FnMut(ArrivedFrame<'_>)) -> io::Result<usize> {
        // SAFETY: `next` is below `blocks`, so the block lies within the mapping.
        let block = unsafe { self.memory.add(self.next * BLOCK_BYTES) };
        // SAFETY: the status is an aligned u32 that both sides only access as a whole.
        let status = unsafe { AtomicU32::from_ptr(block.add(STATUS_AT).cast().as_ptr()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // SAFETY: the kernel has handed the block over and does not touch it before its status is reset below.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), BLOCK_BYTES) };
        let count = frames(bytes, &mut each);
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
        Ok(count)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length and nothing refers to it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.blocks * BLOCK_BYTES) };
    }
}

/// Walks a block; anything that points outside of it ends the walk.
fn frames(block: &[u8], each: &mut impl FnMut(ArrivedFrame<'_>)) -> usize {
    let Some(header) = read_at::<libc::tpacket_hdr_v1>(block, STATUS_AT) else { return 0 };
    let wall = WallOffset::now();
    let mut at = header.offset_to_first_pkt as usize;
    for done in 0..header.num_pkts as usize {
        let Some(frame) = read_at::<libc::tpacket3_hdr>(block, at) else { return done };
        let from = at + usize::from(frame.tp_mac);
        let Some(bytes) = block.get(from..from + frame.tp_snaplen as usize) else { return done };
        let source = read_at::<libc::sockaddr_ll>(block, at + size_of::<libc::tpacket3_hdr>().next_multiple_of(16));
        let wall_ns = u64::from(frame.tp_sec) * 1_000_000_000 + u64::from(frame.tp_nsec);
        each(ArrivedFrame {
            bytes,
            wire_len: (frame.tp_len as usize).max(bytes.len()),
            at_ns: wall.to_monotonic(wall_ns),
            outgoing: source.is_some_and(|source| source.sll_pkttype == libc::PACKET_OUTGOING),
        });
        at += frame.tp_next_offset as usize;
    }
    header.num_pkts as usize
}

fn read_at<T: Copy>(block: &[u8], at: usize) -> Option<T> {
    let bytes = block.get(at..at.checked_add(size_of::<T>())?)?;
    // SAFETY: there are enough bytes, and T is plain data (headers of integers), for which any bytes are a value.
    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}
