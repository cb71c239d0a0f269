//! A short fuzz run on stable Rust, as tests `fuzz::<target>`: every file of a target's corpus, then inputs made of them by a seeded mutator.
//!
//! `cargo test --test fuzz [TARGET]`; `PLUMB_FUZZ_INPUTS` is how many inputs a target gets, `PLUMB_FUZZ_SEED` makes other ones. The same
//! seed makes the same inputs, so that a red run can be had again. It knows nothing of coverage: finding new paths is `ci/fuzz.sh`'s
//! work, and this keeps what that has found from coming back. The input under work is on disk before it is tried, so that it
//! outlives a panic, a hang and a stack that overflows.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use plumb_core::statistics::SplitMix;

#[allow(unreachable_pub, reason = "public for libFuzzer's programs")]
#[path = "../harness/fuzz/src/lib.rs"]
mod targets;

/// Inputs a target gets.
const INPUTS: u64 = 6_000;
/// How long one input may take, in a build that is not optimised and on a machine that is busy.
const INPUT_LIMIT: Duration = Duration::from_secs(20);
/// The longest input.
const BYTES_MAX: usize = 64 * 1024;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let trials = targets::TARGETS.iter().map(|(name, target)| Trial::test(format!("fuzz::{name}"), || short_run(name, *target)));
    libtest_mimic::run(&args, trials.collect()).exit_code()
}

fn short_run(name: &'static str, target: targets::Target) -> Result<(), Failed> {
    let corpus = corpus(name)?;
    let (inputs, seed) = (number("PLUMB_FUZZ_INPUTS", INPUTS)?, number("PLUMB_FUZZ_SEED", 1)?);
    let under_work = out()?.join(name);
    let (tell, told) = mpsc::channel();
    let (file, slot, began) = (under_work.clone(), fs::File::create(&under_work)?, Instant::now());
    let worker = std::thread::Builder::new().name(format!("fuzz {name}")).stack_size(8 << 20).spawn(move || {
        let mut mutator = Mutator { random: SplitMix::new(seed), corpus: &corpus };
        for at in 0..corpus.len() as u64 + inputs {
            let input = usize::try_from(at).ok().and_then(|at| corpus.get(at).cloned()).unwrap_or_else(|| mutator.input());
            // Kept open: some file systems flush a file that was cut to nothing when it is closed, which costs more than most inputs.
            let written = slot.write_all_at(&input, 0).and_then(|()| slot.set_len(input.len() as u64));
            written.map_err(|error| format!("failed to write {}: {error}", file.display()))?;
            target(&input);
            if tell.send(()).is_err() {
                break;
            }
        }
        Ok::<(), String>(())
    })?;
    let mut tried = 0u64;
    let kept = format!("the input is in {}; it belongs into harness/fuzz/corpus/{name} and into a unit test", under_work.display());
    loop {
        match told.recv_timeout(INPUT_LIMIT) {
            Ok(()) => tried += 1,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("input {tried} has not come to an end within {} s; {kept}", INPUT_LIMIT.as_secs()).into());
            }
        }
    }
    match worker.join() {
        Ok(ended) => ended?,
        // The panic's own words are on standard error.
        Err(_) => return Err(format!("input {tried} panics; {kept}").into()),
    }
    fs::remove_file(&under_work)?;
    say(&format!("{name}: {tried} inputs in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Every file of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Result<Vec<Vec<u8>>, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/fuzz/corpus").join(name);
    let mut files = fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    if files.is_empty() {
        return Err(format!("{} is empty: nothing would be tried", folder.display()).into());
    }
    Ok(files.iter().map(fs::read).collect::<Result<_, _>>()?)
}

/// Makes inputs of a corpus.
struct Mutator<'a> {
    random: SplitMix,
    corpus: &'a [Vec<u8>],
}

/// What parsers are known to trip over: ends of ranges, brackets, references, escapes, other encodings.
const PIECES: [&[u8]; 32] = [
    b"0",
    b"-1",
    b"255",
    b"65536",
    b"4294967295",
    b"18446744073709551616",
    b"1e999",
    b"-0",
    b"NaN",
    b"null",
    b"true",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!binary ",
    b"\n---\n",
    b"\0",
    b"%2e",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
];

impl<'a> Mutator<'a> {
    /// One to five changes to a file of the corpus.
    fn input(&mut self) -> Vec<u8> {
        let mut bytes = self.file().to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = self.range(bytes.len());
        match self.below(9) {
            0 if from < bytes.len() => bytes[from] ^= 1 << self.below(8),
            1 if from < bytes.len() => bytes[from] = self.random.next() as u8,
            2 => drop(bytes.drain(from..to)),
            3 => bytes.truncate(from),
            4 => {
                let again = bytes[from..to].to_vec();
                drop(bytes.splice(from..from, again));
            }
            5 => {
                let piece = PIECES[self.below(PIECES.len())];
                drop(bytes.splice(from..from, piece.iter().copied()));
            }
            6 => {
                let piece = PIECES[self.below(PIECES.len())];
                drop(bytes.splice(from..to, piece.iter().copied()));
            }
            7 => self.other_number(bytes, from),
            _ => {
                let other = self.file();
                let (begin, end) = self.range(other.len());
                drop(bytes.splice(from..to, other[begin..end].iter().copied()));
            }
        }
    }

    /// Puts another number where the next one stands.
    fn other_number(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let Some(begin) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
        let end = bytes[begin..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |at| begin + at);
        let number = match self.below(4) {
            0 => u64::MAX.to_string(),
            1 => (u64::from(u32::MAX) + self.random.next() % 3 - 1).to_string(),
            2 => (self.random.next() % 300).to_string(),
            _ => self.random.next().to_string(),
        };
        drop(bytes.splice(begin..end, number.into_bytes()));
    }

    /// Any file of the corpus.
    fn file(&mut self) -> &'a [u8] {
        let at = self.below(self.corpus.len());
        &self.corpus[at]
    }

    /// A range within `len` bytes, short ones as often as long ones.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let from = self.below(len + 1);
        let most = if self.below(2) == 0 { 16 } else { len };
        (from, (from + self.below(most + 1)).min(len))
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.random.next() % end as u64) as usize
    }
}

fn number(variable: &str, otherwise: u64) -> Result<u64, Failed> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map_err(|error| format!("{variable}={text}: {error}").into()),
        Err(_) => Ok(otherwise),
    }
}

/// A folder beside what cargo builds: the binary is in `<target>/<profile>/deps/`.
fn out() -> Result<PathBuf, Failed> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), PathBuf::from).join("plumb-fuzz");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[allow(clippy::print_stdout, reason = "a test binary's output is for people")]
fn say(text: &str) {
    println!("{text}");
}
