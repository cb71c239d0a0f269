//! Names and switches interfaces of this network namespace: a container that is connected to a second network gets `eth1`, and
//! scenarios call it `net0`. The interface is found by its address, because its name is what is to be changed.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use thiserror::Error;

use crate::sys::{self, Power};

/// Why an interface is not as asked. Reads after "failed to".
#[derive(Debug, Error)]
pub(crate) enum InterfaceError {
    /// The command line is none of the forms.
    #[error("read the command line: expected `name ADDRESS NAME`, `up NAME` or `down NAME`")]
    Arguments,
    /// No interface has the address.
    #[error("find the interface with address {0}: there is none")]
    NoSuchAddress(Ipv4Addr),
    /// The system refused.
    #[error("{operation}: {source}")]
    Refused {
        /// What was tried.
        operation: String,
        /// Why not.
        source: io::Error,
    },
}

impl InterfaceError {
    /// 2 for what the caller got wrong, 1 for what the system refused.
    pub(crate) fn exit_status(&self) -> u8 {
        if matches!(self, InterfaceError::Arguments) { 2 } else { 1 }
    }
}

/// Does what the command line asks.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> Result<(), InterfaceError> {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["name", address, name] => call(address.parse().map_err(|_| InterfaceError::Arguments)?, name),
        ["up", name] => power(name, Power::Up),
        ["down", name] => power(name, Power::Down),
        _ => Err(InterfaceError::Arguments),
    }
}

/// Calls the interface that has an address by a name, with reverse path filtering off: the answer to a request that came in here may
/// go out by another way, and a strict filter would drop the request.
fn call(address: Ipv4Addr, name: &str) -> Result<(), InterfaceError> {
    let found = interface_of(address)?.ok_or(InterfaceError::NoSuchAddress(address))?;
    if found != name {
        // Kernels before 6.2 rename only what is down. Its IPv4 address stays, and its route comes back with it.
        power(&found, Power::Down)?;
        let renamed = sys::rename_interface(&found, name).map_err(refused(format!("rename {found} to {name}")));
        power(if renamed.is_ok() { name } else { &found }, Power::Up)?;
        renamed?;
    }
    loosen(name)
}

fn loosen(name: &str) -> Result<(), InterfaceError> {
    let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
    let now = std::fs::read_to_string(&path).map_err(refused(format!("read {path}")))?;
    if now.trim() == "0" {
        return Ok(());
    }
    std::fs::write(&path, "0").map_err(refused(format!("write 0 to {path}")))
}

fn power(name: &str, power: Power) -> Result<(), InterfaceError> {
    let word = if power == Power::Up { "up" } else { "down" };
    sys::set_interface_power(name, power).map_err(refused(format!("set {name} {word}")))
}

fn interface_of(address: Ipv4Addr) -> Result<Option<String>, InterfaceError> {
    let all = getifaddrs().map_err(|error| refused("list the interfaces".into())(error.into()))?;
    let has = |one: &nix::ifaddrs::InterfaceAddress| {
        one.address.as_ref().and_then(|found| found.as_sockaddr_in()).is_some_and(|found| found.ip() == address)
    };
    Ok(all.into_iter().find(has).map(|one| one.interface_name))
}

fn refused(operation: String) -> impl FnOnce(io::Error) -> InterfaceError {
    move |source| InterfaceError::Refused { operation, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ask(words: &[&str]) -> Result<(), InterfaceError> {
        run(words.iter().map(OsString::from))
    }

    #[test]
    fn a_bad_command_line_is_told_from_a_refusal() {
        for words in [&[][..], &["name", "lo", "net0"], &["up"], &["away", "lo"]] {
            assert_eq!(ask(words).unwrap_err().exit_status(), 2, "{words:?}");
        }
        let error = ask(&["name", "203.0.113.9", "net0"]).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_status()), ("find the interface with address 203.0.113.9: there is none", 1));
    }

    #[test]
    fn the_interface_of_an_address_is_found() {
        assert_eq!(interface_of(Ipv4Addr::LOCALHOST).unwrap().as_deref(), Some("lo"));
    }
}
