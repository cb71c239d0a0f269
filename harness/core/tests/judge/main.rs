//! Every rule of the judge as a table: evidence that passes, that fails, and that decides nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod absence;
mod arp;
mod cilium;
mod hostile;
mod numbers;
mod probes;
mod run;
mod world;
