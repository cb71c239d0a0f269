//! The decisions of Plumbline, and nothing but decisions: no sockets, files, processes, clocks or threads. The same input
//! gives the same bytes. In reading order: scenario text becomes a scenario, with a profile and a provider's capabilities it
//! becomes a plan; probes observe, evidence holds what they saw, a verdict judges it, a report shows it.

pub mod scenario;

pub mod steps;

pub mod mistakes;

pub mod duration;

pub mod version;

pub mod values;

pub mod cilium_config;

pub mod images;

pub mod profile;

pub mod docs;

pub mod networks;

pub mod running;

pub mod capability;

pub mod plan;

pub mod probe;

pub mod frames;

pub mod evidence;

pub mod statistics;

pub mod sampling;

pub mod verdict;

pub mod report;

pub mod fault_table;
