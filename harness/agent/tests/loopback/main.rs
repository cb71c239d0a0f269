//! What loopback can show of the agent: the whole protocol over the process's own standard streams, against its own servers and
//! against peers that misbehave.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod http;
mod l4;
mod peers;
mod protocol;
mod tls;
