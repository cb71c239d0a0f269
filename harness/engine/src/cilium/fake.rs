//! A `cilium` program that does what a test's script says.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Writes the program into a folder.
///
/// Another process writes it: were it this one, a child that another test forks at that moment would inherit the descriptor open for
/// writing, and the kernel would refuse to run the file (`ETXTBSY`).
pub(super) fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("cilium");
    let mut writer = Command::new("tee").arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
