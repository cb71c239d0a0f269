//! Into a lab from outside: the supervisor hands over the namespaces of a vantage point as descriptors, and this process moves into
//! them. What it starts then lives in the lab's own pid namespace and ends with the lab.

use std::io::{self, IoSliceMut, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::LabError;
use crate::spec::{Answer, Control};

/// The namespaces the supervisor hands over, in the order in which they can be entered.
pub(crate) const NAMESPACES: [(&str, CloneFlags); 3] =
    [("user", CloneFlags::CLONE_NEWUSER), ("pid", CloneFlags::CLONE_NEWPID), ("mnt", CloneFlags::CLONE_NEWNS)];

/// The way into a vantage point.
#[derive(Debug)]
pub struct Door {
    namespaces: Vec<(CloneFlags, OwnedFd)>,
}

/// Asks the lab in `dir` for the way into a vantage point (`client`, `node/<name>`, `pod/<namespace>/<pod>`).
///
/// # Errors
/// There is no such place, or the lab has ended.
pub fn door(dir: &Path, vantage: &str) -> Result<Door, LabError> {
    let operation = || format!("enter {vantage}");
    let failed = |source| LabError::Connection { operation: operation(), source };
    let (answer, descriptors) = ask(dir, &Control::Enter { vantage: vantage.to_owned() }).map_err(failed)?;
    if let Answer::Error { message } = answer {
        return Err(LabError::Refused { operation: operation(), message });
    }
    let kinds = NAMESPACES.iter().map(|(_, kind)| *kind).chain([CloneFlags::CLONE_NEWNET]);
    let namespaces: Vec<_> = kinds.zip(descriptors).collect();
    if namespaces.len() != NAMESPACES.len() + 1 {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, format!("{} namespaces came", namespaces.len()))));
    }
    Ok(Door { namespaces })
}

impl Door {
    /// Moves this process, which must have one thread, through the door. Processes it starts from now on are in the lab.
    ///
    /// # Errors
    /// The kernel does not let it.
    pub fn enter(&self) -> io::Result<()> {
        for (kind, descriptor) in &self.namespaces {
            // One may not enter the user namespace one is in, and a lab made by root has none of its own.
            if *kind != CloneFlags::CLONE_NEWUSER || !is_own_user_namespace(descriptor)? {
                setns(descriptor, *kind)?;
            }
        }
        Ok(())
    }
}

fn is_own_user_namespace(descriptor: &OwnedFd) -> io::Result<bool> {
    let (theirs, own) = (nix::sys::stat::fstat(descriptor)?, nix::sys::stat::stat("/proc/self/ns/user")?);
    Ok((theirs.st_dev, theirs.st_ino) == (own.st_dev, own.st_ino))
}

fn ask(dir: &Path, control: &Control) -> io::Result<(Answer, Vec<OwnedFd>)> {
    let mut stream = connect(&dir.join("control.sock"))?;
    let mut line = serde_json::to_vec(control).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let (mut text, mut descriptors) = (Vec::new(), Vec::new());
    while !text.ends_with(b"\n") {
        let (read, came) = receive(&stream)?;
        if read.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend(read);
        descriptors.extend(came);
    }
    Ok((serde_json::from_slice(&text).map_err(io::Error::other)?, descriptors))
}

/// The next bytes, and the descriptors that came with them.
fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = [0; 4096];
    let mut space = nix::cmsg_space!([RawFd; NAMESPACES.len() + 1]);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<()>(stream.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(came) = message {
            descriptors.extend(came.into_iter().map(crate::sys::received));
        }
    }
    let read = received.bytes;
    Ok((bytes[..read].to_vec(), descriptors))
}

/// As [`super::connect`], for a program without a runtime.
fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < 100 {
        return UnixStream::connect(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let dir = std::fs::File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), name.to_string_lossy()))
}
