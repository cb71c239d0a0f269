//! The data plane on loopback addresses: configurations come from the translation of objects, backends are the agent's servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod http;
mod lab;
mod tls;
pub(in crate::gateway) mod world;
