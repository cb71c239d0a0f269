//! The recorder: observations go to `evidence.jsonl`, one JSON value a line, append only, redacted before they are written.
//!
//! A line is one `write`, and is cut off again when the disk is full, so the file never ends in the middle of a value by our hand.
//! What must survive a power cut of the lab's machine (the beginning, the lab, trouble, the end) is also flushed to the disk.
//! When the file can be written no longer, the run is told to end and what was gathered stays.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use plumb_core::evidence::{Began, EVIDENCE, Fact, Observation};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::folder::{FolderError, RunFolder};

/// Writes observations.
#[derive(Debug)]
pub struct Recorder {
    folder: RunFolder,
    began_ns: u64,
    stop: CancellationToken,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    bytes: u64,
    observations: Vec<Observation>,
    broken: Option<String>,
}

impl Recorder {
    /// Opens `evidence.jsonl` in the folder and writes the first line. `stop` is cancelled when the file can be written no longer.
    ///
    /// # Errors
    /// [`FolderError::Write`] when the file cannot be made.
    pub fn begin(folder: RunFolder, stop: CancellationToken) -> Result<Recorder, FolderError> {
        let path = folder.file("evidence.jsonl");
        let file = File::create_new(&path).map_err(|source| FolderError::Write { path, source })?;
        let began_ns = clock::monotonic_ns();
        let inner = Inner { file, bytes: 0, observations: Vec::new(), broken: None };
        let recorder = Recorder { folder, began_ns, stop, inner: Mutex::new(inner) };
        recorder.record(
            None,
            Fact::Began(Began {
                version: EVIDENCE,
                plumb: env!("CARGO_PKG_VERSION").into(),
                unix_s: clock::unix_s(),
                monotonic_ns: began_ns,
            }),
        );
        Ok(recorder)
    }

    /// The run folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// An agent's `CLOCK_MONOTONIC` as a run time.
    pub fn run_ns(&self, monotonic_ns: u64) -> u64 {
        monotonic_ns.saturating_sub(self.began_ns)
    }

    /// Nanoseconds since the run began.
    pub fn now_ns(&self) -> u64 {
        self.run_ns(clock::monotonic_ns())
    }

    /// Records a fact of a step (or of the lab itself) and returns its number.
    pub fn record(&self, step: Option<&str>, fact: Fact) -> u64 {
        self.record_with(step, fact, Vec::new())
    }

    /// As [`Recorder::record`], with the rest of it in a blob. A blob that cannot be written is named in the fact's place.
    pub fn record_with(&self, step: Option<&str>, fact: Fact, blobs: Vec<String>) -> u64 {
        let flush = matches!(fact, Fact::Began(_) | Fact::Lab(_) | Fact::StepFailed(_) | Fact::Interrupted { .. } | Fact::Ended);
        let at_ns = self.now_ns();
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seq = inner.observations.len() as u64 + 1;
        let observation = Observation { seq, at_ns, step: step.map(str::to_owned), fact, blobs };
        let observation = inner.append(observation, flush);
        inner.observations.push(observation);
        if inner.broken.is_some() {
            self.stop.cancel();
        }
        seq
    }

    /// Writes a blob; when that is not possible the evidence counts as broken too.
    pub fn blob(&self, name: &str, bytes: &[u8]) -> Vec<String> {
        match self.folder.write_blob(name, bytes) {
            Ok(path) => vec![path],
            Err(error) => {
                let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                inner.broken.get_or_insert(error.to_string());
                self.stop.cancel();
                Vec::new()
            }
        }
    }

    /// Why the evidence could not be written any longer, if so.
    pub fn broken(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).broken.clone()
    }

    /// Everything recorded so far.
    pub fn observations(&self) -> Vec<Observation> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).observations.clone()
    }

    /// The newest fact of all of which `pick` takes something.
    pub fn last<T>(&self, pick: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        let inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.observations.iter().rev().find_map(|observation| pick(&observation.fact))
    }

    /// The newest fact of a step of which `pick` takes something.
    pub fn newest<T>(&self, step: &str, pick: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        let inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_step = inner.observations.iter().rev().filter(|observation| observation.step.as_deref() == Some(step));
        of_step.into_iter().find_map(|observation| pick(&observation.fact))
    }
}

impl Inner {
    /// Writes the line and returns what was written.
    fn append(&mut self, observation: Observation, flush: bool) -> Observation {
        let (line, observation) = match redacted(observation) {
            Ok(both) => both,
            Err(unwritten) => {
                let (observation, error) = *unwritten;
                self.broken.get_or_insert(format!("encode observation {}: {error}", observation.seq));
                return observation;
            }
        };
        if self.broken.is_some() {
            return observation;
        }
        let written = self.file.write_all(line.as_bytes()).and_then(|()| if flush { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => self.bytes += line.len() as u64,
            Err(source) => {
                let cut = self.file.set_len(self.bytes);
                self.broken = Some(match cut {
                    Ok(()) => format!("write evidence.jsonl: {source}"),
                    Err(cut) => format!("write evidence.jsonl: {source} (and cut it off again: {cut})"),
                });
            }
        }
        observation
    }
}

/// The line to write, and the observation as a reader of the line sees it.
fn redacted(observation: Observation) -> Result<(String, Observation), Box<(Observation, serde_json::Error)>> {
    let mut line = match serde_json::to_string(&observation) {
        Ok(line) => line,
        Err(error) => return Err(Box::new((observation, error))),
    };
    if !line.contains("PRIVATE KEY-----") {
        line.push('\n');
        return Ok((line, observation));
    }
    let mut line = crate::redact::text(&line);
    match serde_json::from_str(&line) {
        Ok(clean) => {
            line.push('\n');
            Ok((line, clean))
        }
        Err(error) => {
            let unreadable = Fact::Collected { what: crate::redact::REDACTED.into() };
            Err(Box::new((Observation { fact: unreadable, ..observation }, error)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use plumb_core::evidence::{Trouble, Whose};

    fn begin() -> (tempfile::TempDir, Recorder) {
        let out = tempfile::tempdir().unwrap();
        let recorder = Recorder::begin(RunFolder::create(out.path()).unwrap(), CancellationToken::new()).unwrap();
        (out, recorder)
    }

    #[test]
    fn what_is_on_disk_is_what_is_in_memory() {
        let (_out, recorder) = begin();
        recorder.record(Some("a"), Fact::StepBegan);
        let text = String::from_utf8(recorder.folder().read("evidence.jsonl").unwrap()).unwrap();
        let read: Vec<Observation> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, recorder.observations());
        assert_eq!(read.iter().map(|o| o.seq).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_private_key_in_a_message_never_reaches_the_disk() {
        let (_out, recorder) = begin();
        let message = "bad key -----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY----- here".to_owned();
        recorder.record(None, Fact::StepFailed(Trouble { whose: Whose::Lab, operation: "x".into(), message }));
        let text = String::from_utf8(recorder.folder().read("evidence.jsonl").unwrap()).unwrap();
        assert!(!text.contains("MC4CAQ") && text.contains("bad key [redacted] here"), "{text}");
    }

    #[test]
    fn a_full_disk_ends_the_run_and_keeps_what_was_gathered() {
        let (_out, recorder) = begin();
        // /dev/full refuses every write with ENOSPC.
        let good = recorder.inner.lock().unwrap().bytes;
        recorder.inner.lock().unwrap().file = File::options().write(true).open("/dev/full").unwrap();
        recorder.record(Some("a"), Fact::StepBegan);
        assert!(recorder.stop.is_cancelled());
        assert!(recorder.broken().unwrap().contains("No space left on device"), "{:?}", recorder.broken());
        assert_eq!(recorder.observations().len(), 2);
        assert_eq!(recorder.folder().read("evidence.jsonl").unwrap().len() as u64, good);
    }
}
