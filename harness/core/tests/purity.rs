//! `plumb-core` decides and cannot act: its sources name nothing of the standard library that acts, and its manifest no crate that does.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// What acts, or lets an answer depend on more than the input.
const ACTS: [&str; 12] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::env",
    "std::os",
    "std::io::std",
    "Instant::now",
    "SystemTime",
    "println!",
    "RandomState",
];

/// Crates that compute and nothing else.
const PURE: [&str; 15] = [
    "serde",
    "serde_json",
    "serde-saphyr",
    "schemars",
    "annotate-snippets",
    "strsim",
    "thiserror",
    "maud",
    "quick-junit",
    "etherparse",
    "regex",
    "base64",
    "memchr",
    "time",
    "pulldown-cmark",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn sources_name_nothing_that_acts() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 20, "only {} sources were found", found.len());
    let mut bad = Vec::new();
    for path in found.iter().filter(|path| path.file_name().is_none_or(|name| name != "tests.rs")) {
        let text = fs::read_to_string(path).unwrap();
        // Unit tests may read files; they stand last.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            bad.extend(ACTS.iter().filter(|acts| line.contains(**acts)).map(|acts| format!("{}:{}: {acts}", path.display(), n + 1)));
        }
    }
    assert!(bad.is_empty(), "core acts:\n{}", bad.join("\n"));
}

#[test]
fn manifest_names_no_crate_that_acts() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<&str> =
        dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty()).collect();
    assert!(!names.is_empty());
    let unknown: Vec<&&str> = names.iter().filter(|name| !name.starts_with('#') && !PURE.contains(name)).collect();
    assert!(unknown.is_empty(), "is this pure? {unknown:?}");
}
