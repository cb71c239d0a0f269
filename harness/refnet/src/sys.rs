//! System calls that no crate wraps safely: fork, `PR_SET_PDEATHSIG` between fork and exec, ethtool's checksum switches, a raw IP socket, descriptors that
//! came over a socket.
//!
//! One of the crate's two places with `unsafe` (the other is [`crate::packet`]).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{ForkResult, Pid};

/// Forks. The caller vouches that this process has one thread.
///
/// # Errors
/// No memory or no process slot.
pub(crate) fn fork_single_threaded() -> nix::Result<ForkResult> {
    // SAFETY: with a single thread the child may do everything the parent may; no lock can be held by a vanished thread.
    unsafe { nix::unistd::fork() }
}

/// The child of `command` is killed when the thread that spawns it ends.
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = nix::unistd::getpid();
    // SAFETY: the closure only makes async-signal-safe system calls (prctl, getppid, raise).
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent && nix::unistd::getppid() != Pid::from_raw(0) {
                nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
            }
            Ok(())
        })
    }
}

const ETHTOOL_SRXCSUM: u32 = 0x15;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_SSG: u32 = 0x19;
const ETHTOOL_STSO: u32 = 0x1f;
const ETHTOOL_SGSO: u32 = 0x24;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// Turns checksum and segmentation offloads of an interface of this namespace off, so that what a packet socket at its far end
/// reads are whole packets with whole checksums. What the device does not know is left as it is.
///
/// # Errors
/// There is no such interface, or the process lacks CAP_NET_ADMIN.
pub(crate) fn offloads_off(interface: &str) -> io::Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    for cmd in [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SSG, ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM] {
        let mut value = EthtoolValue { cmd, data: 0 };
        // SAFETY: ifreq is plain data for which all zeroes is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: the request names a C string and points to an ethtool_value that outlives the call.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if done < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EOPNOTSUPP | libc::EINVAL) => {}
                _ => return Err(error),
            }
        }
    }
    Ok(())
}

/// A socket that sends whole IPv4 packets, headers included, marked with `mark`.
///
/// # Errors
/// The process lacks CAP_NET_RAW or CAP_NET_ADMIN in this namespace.
pub(crate) fn raw_ipv4(mark: u32) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers; a negative result is checked before the descriptor is owned.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, libc::IPPROTO_RAW) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is a fresh descriptor nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::Mark, &mark)?;
    Ok(fd)
}

/// A descriptor that becomes readable when the process ends. The caller has not waited for it yet.
///
/// # Errors
/// There is no such process.
pub(crate) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes no pointers; a negative result is checked before the descriptor is owned.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is a fresh descriptor nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

/// A descriptor that came over a socket.
pub(crate) fn received(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel made it for this process when the message was read, and nobody else knows its number.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
