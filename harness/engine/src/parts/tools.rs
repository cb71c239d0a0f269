//! The programs a real lab is made with: `kind` and the `cilium` CLI, given by the user or found in `PATH`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Given;

/// A program is not there.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// What was given is no program.
    #[error("use {name} at {}: {reason}\nhint: {option} takes the program itself", path.display())]
    Unusable {
        /// Which.
        name: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// The option that gives it.
        option: &'static str,
    },
    /// There is none.
    #[error("find {name}: there is none in PATH\nhint: give it with {option}")]
    Missing {
        /// Which.
        name: &'static str,
        /// The option that gives it.
        option: &'static str,
    },
}

/// The `kind` program.
///
/// # Errors
/// See [`PartError`].
pub async fn kind(given: &Given) -> Result<PathBuf, PartError> {
    find("kind", "--kind", given.kind.as_deref())
}

/// The `cilium` CLI that goes with a version of Cilium.
///
/// # Errors
/// See [`PartError`].
pub async fn cilium_cli(given: &Given, _cilium_version: &str) -> Result<PathBuf, PartError> {
    find("cilium", "--cilium-cli", given.cilium_cli.as_deref())
}

fn find(name: &'static str, option: &'static str, given: Option<&Path>) -> Result<PathBuf, PartError> {
    if let Some(path) = given {
        return match usable(path) {
            Ok(()) => Ok(path.to_owned()),
            Err(reason) => Err(PartError::Unusable { name, path: path.to_owned(), reason, option }),
        };
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|folder| folder.join(name));
    found.find(|path| usable(path).is_ok()).ok_or(PartError::Missing { name, option })
}

fn usable(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    match meta {
        meta if !meta.is_file() => Err("it is no file".into()),
        meta if meta.permissions().mode() & 0o111 == 0 => Err("it is not executable".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn what_is_given_is_used_and_what_is_no_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cilium");
        let given = Given { cilium_cli: Some(path.clone()), ..Given::default() };
        let error = cilium_cli(&given, "1.17.1").await.unwrap_err().to_string();
        assert!(error.contains("No such file") && error.ends_with("--cilium-cli takes the program itself"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(cilium_cli(&given, "1.17.1").await.unwrap_err().to_string().contains("it is not executable"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(cilium_cli(&given, "1.17.1").await.unwrap(), path);
    }
}
