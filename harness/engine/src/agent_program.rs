//! The agent as one static program, for containers and nodes in which there is nothing else: given by the user, found beside this
//! program, or built from the source tree this program was built from. What is found is read and checked before it is used.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ring::digest::{SHA256, digest};

use crate::parts::Given;

/// Name of the program.
const NAME: &str = "plumb-agent";
/// Where this program's sources were when it was built.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Cargo's profile for it.
const PROFILE: &str = "agent";

/// There is no agent that can be put into a container.
#[derive(Debug, thiserror::Error)]
pub enum AgentProgramError {
    /// A file cannot be read.
    #[error("read the agent {}: {source}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would not run in an empty container.
    #[error("use the agent {}: {reason}\nhint: build it with {}", path.display(), build_command(Path::new("target/agent")).join(" "))]
    NotStatic {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none and none can be built.
    #[error("find the agent: no {NAME} beside {} and no sources at {SOURCES}\nhint: give a static {NAME} with --agent", beside.display())]
    Nowhere {
        /// The folder that was looked in.
        beside: PathBuf,
    },
    /// Cargo could not build it.
    #[error("build the agent with `{command}`: {message}")]
    Build {
        /// The command, ready to paste.
        command: String,
        /// Exit status and the end of what cargo said.
        message: String,
    },
}

/// A static agent.
#[derive(Debug, Clone)]
pub struct AgentProgram {
    /// Where it was found.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: bytes::Bytes,
    /// SHA-256 of them, lower-case hex.
    pub sha256: String,
}

/// Finds the agent, or builds it (a minute and more the first time). Blocks.
///
/// # Errors
/// See [`AgentProgramError`].
pub fn find(given: &Given) -> Result<AgentProgram, AgentProgramError> {
    if let Some(path) = &given.agent {
        return read(path);
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.parent().map(Path::to_owned).unwrap_or_default();
    // What stands beside a debug build is this program's own, linked dynamically: that is not an error, it is not the one.
    if let Ok(found) = read(&beside.join(NAME)) {
        return Ok(found);
    }
    if !Path::new(SOURCES).join("Cargo.toml").is_file() {
        return Err(AgentProgramError::Nowhere { beside });
    }
    read(&build(&target_folder(&own))?)
}

/// Whether [`find`] has a way to go, without going it.
///
/// # Errors
/// See [`AgentProgramError`].
pub fn findable(given: &Given) -> Result<(), AgentProgramError> {
    match &given.agent {
        Some(path) => read(path).map(drop),
        None if Path::new(SOURCES).join("Cargo.toml").is_file() => Ok(()),
        None => find(given).map(drop),
    }
}

fn read(path: &Path) -> Result<AgentProgram, AgentProgramError> {
    let bytes = std::fs::read(path).map_err(|source| AgentProgramError::Read { path: path.to_owned(), source })?;
    check(&bytes).map_err(|reason| AgentProgramError::NotStatic { path: path.to_owned(), reason })?;
    let sha256 = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(AgentProgram { path: path.to_owned(), bytes: bytes.into(), sha256 })
}

/// Whether bytes are a 64-bit little-endian ELF program of this machine's kind that asks for no loader (ELF-64 object file format;
/// `PT_INTERP` names the loader of a dynamic program).
fn check(bytes: &[u8]) -> Result<(), String> {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let long = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01".as_slice()) {
        return Err("it is no 64-bit little-endian ELF program".into());
    }
    let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    if half(18) != Some(machine) {
        return Err(format!("it is for another kind of machine (ELF machine {:?}, expected {machine})", half(18).unwrap_or(0)));
    }
    let cut = || "it is cut off".to_owned();
    let table = long(32).and_then(|at| usize::try_from(at).ok()).ok_or_else(cut)?;
    let (size, count) = (half(54).ok_or_else(cut)?, half(56).ok_or_else(cut)?);
    for n in 0..usize::from(count) {
        let at = n.checked_mul(size.into()).and_then(|at| at.checked_add(table)).ok_or_else(cut)?;
        if word(at).ok_or_else(cut)? == PT_INTERP {
            return Err("it is linked dynamically (PT_INTERP), and an empty container has no loader for it".into());
        }
    }
    Ok(())
}

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Giving `--target` keeps the flags away from procedural macros, which cannot be static.
fn build_command(target: &Path) -> Vec<String> {
    let target = target.display().to_string();
    let triple = triple();
    let words = ["cargo", "build", "--profile", PROFILE, "--target", &triple, "-p", NAME, "--bin", NAME, "--target-dir", &target];
    let flags = ["RUSTFLAGS=-Ctarget-feature=+crt-static"];
    flags.into_iter().chain(words).map(str::to_owned).collect()
}

/// Cargo holds a lock on the folder, so trials that begin together build once and the others wait for it.
fn build(target: &Path) -> Result<PathBuf, AgentProgramError> {
    let words = build_command(target);
    let failed = |message: String| AgentProgramError::Build { command: words.join(" "), message };
    let output = Command::new("cargo")
        .args(&words[2..])
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // Set by a `cargo run` or `cargo test` we may be inside of, and meant for that.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(SOURCES)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("{error}\nhint: install Rust, or give a static {NAME} with --agent")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        return Err(failed(format!("{}: {}", output.status, lines[lines.len().saturating_sub(12)..].join("\n"))));
    }
    Ok(target.join(triple()).join(PROFILE).join(NAME))
}

/// `agent` in the target folder this program is in, else in that of the sources.
fn target_folder(own: &Path) -> PathBuf {
    let tagged = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| Path::new(SOURCES).join("target"), Path::to_owned).join("agent")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_dynamic_program_is_refused_and_named() {
        let given = Given { agent: Some(std::env::current_exe().unwrap()), ..Given::default() };
        let error = find(&given).unwrap_err().to_string();
        assert!(error.contains("PT_INTERP") && error.contains("hint: build it with RUSTFLAGS="), "{error}");
    }

    #[test]
    fn what_is_no_program_is_refused_at_any_length() {
        assert_eq!(check(b"#!/bin/sh").unwrap_err(), "it is no 64-bit little-endian ELF program");
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for cut in [0, 6, 19, 40, 57, 64, 100] {
            assert!(check(&own[..cut]).is_err(), "cut at {cut}");
        }
        let mut other = own[..64].to_vec();
        other[18] = 40;
        assert!(check(&other).unwrap_err().contains("another kind of machine"));
    }

    #[test]
    fn an_agent_that_is_given_and_not_there_is_named() {
        let given = Given { agent: Some("/nonexistent/plumb-agent".into()), ..Given::default() };
        assert!(find(&given).unwrap_err().to_string().starts_with("read the agent /nonexistent/plumb-agent: "));
    }
}
