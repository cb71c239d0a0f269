//! Recordings of real Cilium, judged. See `README.md` beside this file for what ran.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../judge/world.rs"]
#[allow(dead_code, reason = "the tables of the judge use more of it")]
mod world;

mod announcements;
mod encryption;
mod gateway;
mod golden;
mod runs;
mod upgrade;

use std::path::PathBuf;

use plumb_core::frames::recording::{Recording, read};

/// A file of a recording.
fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/files").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn text(name: &str) -> String {
    String::from_utf8(file(name)).unwrap()
}

fn recording(name: &str) -> Recording {
    read(&file(name)).unwrap()
}
