//! The run folder: everything that is known of one run, as files.
//!
//! `runs/<id>/` holds `plan.json`, `ledger.jsonl`, `evidence.jsonl`, `blobs/`, `verdict.json` and `report.*`. This module makes it and
//! writes whole files into it; it must not know what they mean.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;
use time::macros::format_description;

/// What went wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder could not be made.
    #[error("create the run folder {}: {source}\nhint: choose a folder you may write to with --out, or set PLUMB_OUT", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("write {}: {source}{}", path.display(), cure(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn cure(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "\nhint: the disk is full; free some space or choose another folder with --out"
        }
        _ => "",
    }
}

/// A run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    id: String,
    path: PathBuf,
}

impl RunFolder {
    /// Makes `<out>/<id>/` with `blobs/` in it; the id is the time and a short random part.
    ///
    /// # Errors
    /// [`FolderError::Create`] when a folder cannot be made.
    pub fn create(out: &Path) -> Result<RunFolder, FolderError> {
        let id = new_id();
        let path = out.join(&id);
        fs::create_dir_all(path.join("blobs")).map_err(|source| FolderError::Create { path: path.clone(), source })?;
        let path = fs::canonicalize(&path).map_err(|source| FolderError::Create { path: path.clone(), source })?;
        Ok(RunFolder { id, path })
    }

    /// A run folder that is there already.
    pub fn open(path: &Path) -> RunFolder {
        let id = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        RunFolder { id, path: path.to_owned() }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a whole file: first beside it, then renamed, so that a reader never sees half of it.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let beside = self.path.join(format!("{name}.part"));
        let written = fs::File::create(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        });
        written.map_err(|source| {
            // The half-written file is of no use to anybody, and on a full disk it is in the way.
            let _ = fs::remove_file(&beside);
            FolderError::Write { path, source }
        })
    }

    /// Writes `blobs/<name>` with every character that is awkward in a file name replaced, and says its path within the run folder.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write_blob(&self, name: &str, bytes: &[u8]) -> Result<String, FolderError> {
        self.write_into("blobs", name, bytes)
    }

    /// As [`RunFolder::write_blob`], into another of its folders, which is there.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write_into(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<String, FolderError> {
        let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let relative = format!("{folder}/{}", safe.trim_start_matches('.'));
        self.write(&relative, bytes)?;
        Ok(relative)
    }

    /// Reads a file of it.
    ///
    /// # Errors
    /// [`FolderError::Read`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|source| FolderError::Read { path, source })
    }
}

/// `20261123T121500Z-3fa9c1d2`: sorts by time, and two at once differ.
fn new_id() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = OffsetDateTime::from_unix_timestamp(crate::clock::unix_s()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut random = [0u8; 4];
    if SystemRandom::new().fill(&mut random).is_err() {
        random = std::process::id().to_be_bytes();
    }
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{random}", time.format(&format).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_its_cure() {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("file");
        fs::write(&file, "").unwrap();
        let message = RunFolder::create(&file.join("runs")).unwrap_err().to_string();
        assert!(message.contains("file/runs"), "{message}");
        assert!(message.contains("--out"), "{message}");
    }

    #[test]
    fn two_runs_in_one_second_get_two_folders() {
        let out = tempfile::tempdir().unwrap();
        let (one, two) = (RunFolder::create(out.path()).unwrap(), RunFolder::create(out.path()).unwrap());
        assert_ne!(one.id(), two.id());
        assert!(two.path().join("blobs").is_dir());
    }

    #[test]
    fn a_blob_name_cannot_leave_the_folder() {
        let out = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(out.path()).unwrap();
        assert_eq!(folder.write_blob("../../etc/passwd", b"x").unwrap(), "blobs/_.._etc_passwd");
    }
}
