//! Clusters made by kind on Docker, with real Cilium.

pub mod ground;
