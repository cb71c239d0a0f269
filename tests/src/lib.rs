//! The root package holds the end-to-end trials; see `tests/e2e.rs`.
