//! The effects of Plumbline: what a plan says is done here, what is seen goes on disk, and nothing is judged.
//!
//! In reading order: a binary that uses this crate first calls [`entry::dispatch`], because the same program is also the agent, the
//! reference network and the janitor. [`folder`] is where a run is kept, [`recorder`] writes its evidence, [`ledger`] and
//! [`janitor`] see to it that nothing is left behind. [`session`] talks to an agent, [`parts`] names what a real lab
//! is made of, [`cilium`] installs Cilium and watches it come up, [`agent_program`] finds the static agent, [`docker`] drives the
//! engine it runs in, [`provider`] makes a lab, [`cluster`] is its API, [`certs`] and [`backends`] fill it, [`steps`] carries a
//! scenario out, [`run`] holds it together, [`labs`] are those that stay when a run is over.

pub mod entry;

pub mod clock;

pub mod folder;

pub mod redact;

pub mod recorder;

pub mod process;

pub mod ledger;

pub mod janitor;

pub mod session;

pub mod cluster;

pub mod certs;

pub mod backends;

pub mod library;

pub mod doctor;

pub mod parts;

pub mod cilium;

pub mod agent_program;

pub mod docker;

pub mod provider;

pub mod steps;

pub mod run;

pub mod suite;

pub mod labs;
