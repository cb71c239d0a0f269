//! Scenarios: what a file says, as values.
//!
//! A scenario is `scenarios/<class>-<name>/scenario.yaml` with its manifests beside it. It never names a provider: the same
//! file runs on kind, on a cluster that already runs, and on the reference network. Reading order: [`model`] is the format.
//! This module must not touch files: text comes in, a scenario or every mistake in it goes out.

pub mod model;
