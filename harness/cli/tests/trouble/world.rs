//! `plumb` as a process, its run folder as it grows, the processes of its lab.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use plumb_core::verdict::Verdict;

use crate::{plumb, soon};

/// `plumb run` at work.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

/// `plumb run` that has ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) said: String,
    pub(crate) folder: PathBuf,
}

impl Running {
    /// Starts `plumb` with its run folders in `out`.
    pub(crate) fn start(out: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Running {
        std::fs::create_dir_all(out).unwrap();
        let log = out.with_extension("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(plumb());
        command.args(arguments).arg("--out").arg(out).envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, out: out.to_owned(), log }
    }

    pub(crate) fn folder(&mut self) -> Result<PathBuf, String> {
        let out = self.out.clone();
        self.soon("the run folder", || only_run(&out).ok())
    }

    /// Waits until the evidence has this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> Result<(), String> {
        let evidence = self.folder()?.join("evidence.jsonl");
        self.soon(text, || std::fs::read_to_string(&evidence).unwrap_or_default().contains(text).then_some(()))
    }

    /// Looks until it is there or `plumb` has ended.
    fn soon<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
        let child = &mut self.child;
        let found = soon(what, || {
            let over = child.try_wait().unwrap().is_some();
            look().map(Some).or_else(|| over.then_some(None))
        });
        let found = found.and_then(|found| found.ok_or_else(|| format!("{what}: plumb has ended before")));
        found.map_err(|error| format!("{error}; plumb said:\n{}", self.said()))
    }

    /// Waits until a step has begun.
    pub(crate) fn wait_for_step(&mut self, id: &str) -> Result<(), String> {
        self.wait_for(&format!("\"step\":\"{id}\",\"fact\":\"stepBegan\""))
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<Ended, String> {
        let status = soon("the end of plumb", || self.child.try_wait().unwrap())?;
        let said = self.said();
        let folder = only_run(&self.out).map_err(|error| format!("{error}; plumb said:\n{said}"))?;
        Ok(Ended { code: status.code().unwrap_or(-1), said, folder })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only where a test has given up before its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one run folder in a folder.
pub(crate) fn only_run(out: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(out).map_err(|error| error.to_string())?;
    let mut runs: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("plan.json").is_file()).collect();
    match (runs.pop(), runs.len()) {
        (Some(run), 0) => Ok(run),
        (_, more) => Err(format!("{} has not one run folder ({more} more)", out.display())),
    }
}

/// `plumb judge` of a run folder.
pub(crate) fn judge(folder: &Path) -> Result<(i32, Verdict), String> {
    let output = Command::new(plumb()).arg("judge").arg(folder).output().unwrap();
    let verdict = serde_json::from_slice(&output.stdout);
    let verdict = verdict.map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code().unwrap_or(-1), verdict))
}

/// Processes of the lab of a run whose command line has all these words.
pub(crate) fn lab_processes(folder: &Path, words: &[&str]) -> Vec<i32> {
    let lab = plumb_engine::ledger::runtime_folder().unwrap().join(folder.file_name().unwrap());
    let all: Vec<(i32, i32, Vec<String>)> = std::fs::read_dir("/proc").unwrap().filter_map(|entry| process(&entry.ok()?.path())).collect();
    let mut own: Vec<i32> = Vec::new();
    // A process is later in the list than its parent only by chance: look until no more are found.
    loop {
        let before = own.len();
        for (pid, parent, line) in &all {
            let named = line.iter().any(|word| *word == lab.to_string_lossy());
            if !own.contains(pid) && (named || own.contains(parent)) {
                own.push(*pid);
            }
        }
        if own.len() == before {
            break;
        }
    }
    let fits = |line: &[String]| words.iter().all(|word| line.iter().any(|given| given == word));
    all.iter().filter(|(pid, _, line)| own.contains(pid) && fits(line)).map(|(pid, ..)| *pid).collect()
}

fn process(path: &Path) -> Option<(i32, i32, Vec<String>)> {
    let pid = path.file_name()?.to_str()?.parse().ok()?;
    let line = std::fs::read(path.join("cmdline")).ok()?;
    let stat = std::fs::read_to_string(path.join("stat")).ok()?;
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    Some((pid, parent, line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()))
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    // One that has ended meanwhile is as good as killed.
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
}

/// A library with the shipped profiles and one scenario of the test's own.
pub(crate) fn library_with(place: &Path, name: &str, text: &str) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/profiles");
    let library = place.join("scenarios");
    std::fs::create_dir_all(library.join("profiles")).unwrap();
    std::fs::create_dir_all(library.join(name)).unwrap();
    for entry in std::fs::read_dir(shipped).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), library.join("profiles").join(entry.file_name())).unwrap();
    }
    std::fs::write(library.join(name).join("scenario.yaml"), text).unwrap();
    library
}

/// The library that makes a process believe in another time.
pub(crate) fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let candidates = folders.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    candidates.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
}

/// Looks every ten milliseconds until something is there.
pub(crate) fn wait_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
