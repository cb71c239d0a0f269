//! `plumb` with a place of its own for labs and runs, so that tests do not see each other's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// How long anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A runtime folder and a folder for runs.
pub(crate) struct World {
    place: tempfile::TempDir,
}

/// What `plumb` said.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) said: String,
}

impl Answer {
    /// It ended so and said that.
    pub(crate) fn expect(self, code: i32, text: &str) -> Result<Answer, String> {
        if self.code == code && self.said.contains(text) {
            return Ok(self);
        }
        Err(format!("exit status {}, expected {code} and `{text}` in:\n{}", self.code, self.said))
    }

    pub(crate) fn says(&self, text: &str) -> Result<(), String> {
        if self.said.contains(text) { Ok(()) } else { Err(format!("no `{text}` in:\n{}", self.said)) }
    }

    pub(crate) fn says_not(&self, text: &str) -> Result<(), String> {
        if self.said.contains(text) { Err(format!("`{text}` in:\n{}", self.said)) } else { Ok(()) }
    }
}

/// `plumb` at work.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(child) = &self.0 {
            kill(child.id().cast_signed(), signal);
        }
    }

    pub(crate) fn end(mut self) -> Result<Answer, String> {
        let child = self.0.take().ok_or("it was waited for already")?;
        Ok(answer(&child.wait_with_output().map_err(|error| error.to_string())?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl World {
    pub(crate) fn new() -> World {
        // Short, because a socket's path is.
        World { place: tempfile::Builder::new().prefix("pl").tempdir_in("/tmp").unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("XDG_RUNTIME_DIR", self.place.path()).env("PLUMB_OUT", self.runs()).env("CI", "1");
        command.env("PLUMB_SCENARIOS", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"));
        command
    }

    fn runs(&self) -> PathBuf {
        self.place.path().join("runs")
    }

    /// Runs `plumb` to its end.
    pub(crate) fn plumb(&self, arguments: &[&str]) -> Answer {
        answer(&self.command(arguments).output().unwrap())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running(Some(self.command(arguments).spawn().unwrap()))
    }

    /// The one run folder.
    pub(crate) fn only_run(&self) -> Result<PathBuf, String> {
        let runs: Vec<PathBuf> = entries(&self.runs());
        match &runs[..] {
            [run] => Ok(run.clone()),
            other => Err(format!("{} run folders, expected one", other.len())),
        }
    }

    /// The process that keeps the one lab.
    pub(crate) fn keeper(&self) -> Result<i32, String> {
        let all: serde_json::Value = serde_json::from_str(&self.plumb(&["labs", "--json"]).said).map_err(|error| error.to_string())?;
        let pid = all[0]["process"].as_i64().ok_or_else(|| format!("no keeper in {all}"))?;
        i32::try_from(pid).map_err(|error| error.to_string())
    }

    /// What there is of labs: their folders, what is written of them, and processes that serve them.
    pub(crate) fn labs_left(&self) -> Vec<String> {
        let place = self.place.path().join("plumbline");
        let labs = entries(&place.join("labs")).into_iter().filter(|path| path.is_dir());
        let folders = entries(&place).into_iter().filter(|path| !path.ends_with("labs")).chain(labs);
        folders.map(|path| path.display().to_string()).chain(self.processes()).collect()
    }

    fn processes(&self) -> Vec<String> {
        let place = format!("{}/", self.place.path().display());
        let lines = entries(Path::new("/proc")).into_iter().filter_map(|process| std::fs::read(process.join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&place)).collect()
    }

    /// The positive control of every test: the place is empty at its end.
    pub(crate) fn nothing_is_left(&self) -> Result<(), String> {
        let gone = soon("everything to be gone", || self.labs_left().is_empty().then_some(()));
        gone.map_err(|error| format!("{error}: {:?}", self.labs_left()))
    }
}

fn answer(output: &Output) -> Answer {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Answer { code: output.status.code().unwrap_or(-1), said }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    // One that has ended meanwhile is as good as killed.
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
}

/// Looks until it is there.
pub(crate) fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > until {
            return Err(format!("{what}: not within {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
