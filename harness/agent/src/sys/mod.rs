//! The system calls no crate wraps: AF_PACKET sockets, classic BPF, interface ioctls, and options and ancillary data that nix does not
//! know. The only place with `unsafe` (the ring included); each function is safe to call and checks what it hands to the kernel.

mod ring;

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use ring::Ring;

use crate::clock::WallOffset;

/// `SIOCGIFMTU` of an interface.
pub(crate) fn interface_mtu(name: &str) -> io::Result<u32> {
    let mut request = interface_request(name)?;
    interface_ioctl(libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the kernel filled this member of the union in for SIOCGIFMTU.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(u32::try_from(mtu).unwrap_or(0))
}

/// What kind of hardware an interface is, `ARPHRD_*` (`SIOCGIFHWADDR`); the list of addresses does not say for those without one.
pub(crate) fn hardware_type(name: &str) -> io::Result<u16> {
    let mut request = interface_request(name)?;
    interface_ioctl(libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: the kernel filled this member of the union in for SIOCGIFHWADDR.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr }.sa_family)
}

/// Sets an interface's flags to what they are: changes nothing, and works only with `CAP_NET_ADMIN` over this namespace.
pub(crate) fn touch_interface_flags(name: &str) -> io::Result<()> {
    let mut request = interface_request(name)?;
    interface_ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    interface_ioctl(libc::SIOCSIFFLAGS, &mut request)
}

/// Brings an interface up or takes it down (`SIOCSIFFLAGS`). Needs `CAP_NET_ADMIN`.
pub(crate) fn set_interface_power(name: &str, power: Power) -> io::Result<()> {
    let mut request = interface_request(name)?;
    interface_ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel filled this member of the union in for SIOCGIFFLAGS.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::IFF_UP as i16;
    request.ifr_ifru.ifru_flags = match power {
        Power::Up => flags | up,
        Power::Down => flags & !up,
    };
    interface_ioctl(libc::SIOCSIFFLAGS, &mut request)
}

/// Gives an interface that is down another name (`SIOCSIFNAME`). Needs `CAP_NET_ADMIN`.
pub(crate) fn rename_interface(name: &str, to: &str) -> io::Result<()> {
    let mut request = interface_request(name)?;
    let new = interface_request(to)?.ifr_name;
    request.ifr_ifru.ifru_newname = new;
    interface_ioctl(libc::SIOCSIFNAME, &mut request)
}

/// Whether an interface is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// It sends and receives.
    Up,
    /// It does not.
    Down,
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an interface name"));
    }
    // SAFETY: ifreq is plain data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    Ok(request)
}

fn interface_ioctl(number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: the descriptor is open and `request` outlives the call; the kernel reads and writes one ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), number, std::ptr::from_mut(request)) }).map(drop)
}

/// A non-blocking, close-on-exec socket.
pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed; a non-negative result is a descriptor nobody else owns.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) })?;
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A raw AF_PACKET socket that receives nothing until it is bound (`packet(7)`: protocol 0).
pub(crate) fn packet_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
}

/// Binds a packet socket to an interface and an EtherType (`ETH_P_ALL` for all); it receives from now on.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, interface: u32, ethertype: u16) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data; all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = interface.cast_signed();
    // SAFETY: the address and its length describe one sockaddr_ll that outlives the call.
    let result = unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), size_of_val(&address) as u32) };
    check(result).map(drop)
}

/// One instruction of classic BPF, as `struct sock_filter`: code, jump if true, jump if false, operand.
pub(crate) type Instruction = (u16, u8, u8, u32);

/// Attaches a classic BPF program; it takes the place of one that is there.
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut instructions: Vec<libc::sock_filter> = program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let len = u16::try_from(instructions.len()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the filter is too long"))?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Puts the interface into promiscuous mode for as long as the socket is open.
pub(crate) fn join_promiscuous(fd: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    // SAFETY: packet_mreq is plain data; all zeroes is a valid value.
    let mut membership: libc::packet_mreq = unsafe { zeroed() };
    membership.mr_ifindex = interface.cast_signed();
    membership.mr_type = libc::PACKET_MR_PROMISC as u16;
    set_option(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
}

/// What `PACKET_STATISTICS` says.
#[derive(Clone, Copy)]
pub(crate) struct PacketCount {
    /// Frames that were queued for the reader.
    pub(crate) queued: u64,
    /// Frames that were dropped for want of room.
    pub(crate) dropped: u64,
}

/// Frames since the last call, which resets the counters.
pub(crate) fn packet_count(fd: BorrowedFd<'_>) -> io::Result<PacketCount> {
    let statistics: libc::tpacket_stats = option(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
    let dropped = u64::from(statistics.tp_drops);
    // The kernel counts the dropped ones among all.
    Ok(PacketCount { queued: u64::from(statistics.tp_packets).saturating_sub(dropped), dropped })
}

/// Asks for as large a receive buffer as there may be: over the system's limit where that is allowed.
pub(crate) fn receive_buffer(fd: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes).or_else(|_| set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
}

/// Has the kernel stamp what arrives.
pub(crate) fn stamp_arrivals(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)
}

/// Has the kernel say how long a frame was before the filter cut it.
pub(crate) fn tell_lengths(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)
}

/// Asks for a small receive buffer; the kernel has a least size of its own.
pub(crate) fn shrink_receive_buffer(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &1_i32)
}

/// Lets this thread run before others, where that is allowed: on a busy machine a reader that waits its turn loses frames.
pub(crate) fn hurry_this_thread() -> io::Result<()> {
    const NICE: i32 = -15;
    // SAFETY: no pointers are passed; 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) }).map(drop)
}

/// Sets an integer option.
pub(crate) fn set_integer(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option(fd, level, name, &value)
}

/// Reads an integer option.
pub(crate) fn integer(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    option(fd, level, name)
}

fn set_option<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which outlives the call; the kernel only reads it.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as u32) }).map(drop)
}

fn option<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<T> {
    // SAFETY: only used with plain data (an integer, tpacket_stats), for which all zeroes is a valid value.
    let mut value: T = unsafe { zeroed() };
    let mut length = size_of::<T>() as u32;
    // SAFETY: pointer and length describe `value`; the kernel writes at most `length` bytes.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, std::ptr::from_mut(&mut value).cast(), &mut length) })?;
    Ok(value)
}

/// Registers a descriptor with the runtime.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open and stays the same descriptor until it is dropped, which the AsyncFd sees to.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(Into::into)
}

/// Sends one frame or datagram on a bound or connected socket.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length describe `bytes`.
    let sent = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A frame as [`FrameReader`] read it.
pub(crate) struct ArrivedFrame<'a> {
    /// What was kept of it.
    pub(crate) bytes: &'a [u8],
    /// Its length on the wire.
    pub(crate) wire_len: usize,
    /// When the kernel saw it, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) at_ns: u64,
    /// Sent by this machine and not received by it.
    pub(crate) outgoing: bool,
}

/// Frames read by one system call.
const BATCH: usize = 64;
const CONTROL_BYTES: usize = 128;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Buffers for reading a packet socket, many frames a system call (`recvmmsg(2)`).
pub(crate) struct FrameReader {
    buffers: Vec<u8>,
    snaplen: usize,
    control: Vec<Control>,
    sources: Vec<libc::sockaddr_ll>,
}

impl FrameReader {
    /// Keeps at most `snaplen` bytes of each frame.
    pub(crate) fn new(snaplen: usize) -> Self {
        let snaplen = snaplen.clamp(1, 256 * 1024);
        // SAFETY: sockaddr_ll is plain data; all zeroes is a valid value.
        let source: libc::sockaddr_ll = unsafe { zeroed() };
        Self { buffers: vec![0; snaplen * BATCH], snaplen, control: vec![Control([0; CONTROL_BYTES]); BATCH], sources: vec![source; BATCH] }
    }

    /// Hands every frame that is queued, up to a batch, to `each`; how many there were. `WouldBlock` when there is none.
    pub(crate) fn read(&mut self, fd: BorrowedFd<'_>, mut each: impl FnMut(ArrivedFrame<'_>)) -> io::Result<usize> {
        let mut pieces: Vec<libc::iovec> = self
            .buffers
            .chunks_mut(self.snaplen)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
        for ((piece, control), source) in pieces.iter_mut().zip(&mut self.control).zip(&mut self.sources) {
            // SAFETY: mmsghdr is plain data; all zeroes is a valid value.
            let mut message: libc::mmsghdr = unsafe { zeroed() };
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_name = std::ptr::from_mut(source).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
            message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL_BYTES;
            messages.push(message);
        }
        // MSG_TRUNC makes msg_len the length before it was cut.
        // SAFETY: each header points at buffers owned by self that outlive the call; none overlap.
        let count = check(unsafe {
            libc::recvmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), BATCH as u32, libc::MSG_TRUNC | libc::MSG_DONTWAIT, std::ptr::null_mut())
        })?;
        let count = usize::try_from(count).unwrap_or(0);
        let wall = WallOffset::now();
        for (index, message) in messages.iter().take(count).enumerate() {
            // What the filter cut off is missing from msg_len; only the auxiliary data still know of it.
            let arrived = message.msg_len as usize;
            let wire_len = wire_len_of(&message.msg_hdr).unwrap_or(arrived).max(arrived);
            let from = index * self.snaplen;
            let kept = arrived.min(self.snaplen);
            let at_ns = stamp_of(&message.msg_hdr).map_or_else(crate::clock::monotonic_ns, |stamp| wall.to_monotonic(stamp));
            let outgoing = self.sources[index].sll_pkttype == libc::PACKET_OUTGOING;
            each(ArrivedFrame { bytes: &self.buffers[from..from + kept], wire_len, at_ns, outgoing });
        }
        Ok(count)
    }
}

fn stamp_of(message: &libc::msghdr) -> Option<u64> {
    each_control(message, |level, kind, data| {
        if level != libc::SOL_SOCKET || kind != libc::SCM_TIMESTAMPNS || data.len() < size_of::<libc::timespec>() {
            return None;
        }
        // SAFETY: the kernel wrote a timespec here, and there are enough bytes for one.
        let time: libc::timespec = unsafe { std::ptr::read_unaligned(data.as_ptr().cast()) };
        Some(u64::try_from(time.tv_sec).ok()? * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?)
    })
}

/// The length of the frame before anything was cut off (`PACKET_AUXDATA`).
fn wire_len_of(message: &libc::msghdr) -> Option<usize> {
    each_control(message, |level, kind, data| {
        let is_it = level == libc::SOL_PACKET && kind == libc::PACKET_AUXDATA && data.len() >= size_of::<libc::tpacket_auxdata>();
        // SAFETY: the kernel wrote a tpacket_auxdata here, and there are enough bytes for one.
        is_it.then(|| unsafe { std::ptr::read_unaligned(data.as_ptr().cast::<libc::tpacket_auxdata>()) }.tp_len as usize)
    })
}

/// Walks the ancillary data of a received message until `find` has found something.
fn each_control<T>(message: &libc::msghdr, mut find: impl FnMut(i32, i32, &[u8]) -> Option<T>) -> Option<T> {
    // SAFETY: the header was filled in by the kernel and its control buffer is alive; the CMSG macros stay within it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let length = ((*header).cmsg_len).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(header), length);
            if let Some(found) = find((*header).cmsg_level, (*header).cmsg_type, data) {
                return Some(found);
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}

/// An ICMP or local error from a socket's error queue (`ip(7)`, `IP_RECVERR`).
pub(crate) struct QueuedError {
    /// The errno.
    pub(crate) errno: i32,
    /// `SO_EE_ORIGIN_*`.
    pub(crate) origin: u8,
    /// ICMP type.
    pub(crate) kind: u8,
    /// ICMP code.
    pub(crate) code: u8,
    /// Further information; the MTU for "too big".
    pub(crate) info: u32,
    /// Who said it, where told.
    pub(crate) offender: Option<IpAddr>,
    /// How much of the packet that caused it is in the buffer.
    pub(crate) payload_len: usize,
}

/// Takes one error from the socket's error queue; the packet that caused it goes into `payload`. `WouldBlock` when there is none.
pub(crate) fn take_error(fd: BorrowedFd<'_>, payload: &mut [u8]) -> io::Result<QueuedError> {
    let mut control = [0_u64; 64];
    let mut piece = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: msghdr is plain data; all zeroes is a valid value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the header points at buffers that outlive the call.
    let read = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    let payload_len = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    each_control(&message, |level, kind, data| {
        let known = (level == libc::IPPROTO_IP && kind == libc::IP_RECVERR) || (level == libc::IPPROTO_IPV6 && kind == libc::IPV6_RECVERR);
        (known && data.len() >= size_of::<libc::sock_extended_err>()).then(|| {
            // SAFETY: the kernel wrote a sock_extended_err here, and there are enough bytes for one.
            let error: libc::sock_extended_err = unsafe { std::ptr::read_unaligned(data.as_ptr().cast()) };
            QueuedError {
                errno: error.ee_errno.cast_signed(),
                origin: error.ee_origin,
                kind: error.ee_type,
                code: error.ee_code,
                info: error.ee_info,
                offender: offender_of(&data[size_of::<libc::sock_extended_err>()..]),
                payload_len,
            }
        })
    })
    .ok_or_else(|| io::Error::other("the error queue held no extended error"))
}

/// The address that follows a `sock_extended_err` (`SO_EE_OFFENDER`).
fn offender_of(data: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(data.get(..2)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data.get(4..8)?).ok()?))),
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data.get(8..24)?).ok()?))),
        _ => None,
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
