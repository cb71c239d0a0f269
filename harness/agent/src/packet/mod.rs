//! Frames: ARP asked and watched, and captures.

pub(crate) mod arp;
pub(crate) mod capture;
mod tap;
