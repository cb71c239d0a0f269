//! Who and where this agent is, and what it may do here, found out by trying.

use plumb_core::probe::{Hello, PROTOCOL};

use crate::clock::{monotonic_ns, realtime_ns};
use crate::{icmp, sys};

/// Answers [`plumb_core::probe::Op::Hello`].
pub(crate) fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().into(),
        monotonic_ns: monotonic_ns(),
        unix_ns: realtime_ns(),
        abilities: abilities(),
    }
}

fn abilities() -> Vec<String> {
    let tried =
        [("packet", sys::packet_socket().is_ok()), ("icmp", icmp::is_allowed()), ("netAdmin", sys::touch_interface_flags("lo").is_ok())];
    tried.into_iter().filter(|(_, works)| *works).map(|(name, _)| name.into()).collect()
}
