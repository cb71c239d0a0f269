//! Clients: what they connect to is given as an address, never resolved, and every way it can go wrong is told apart.

pub(crate) mod connect;
mod exchange;
pub(crate) mod failure;
pub(crate) mod handshakes;
pub(crate) mod http;
pub(crate) mod l4;
pub(crate) mod load;
mod session;
mod tally;
pub(crate) mod tls;
mod transport;
