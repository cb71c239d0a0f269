//! A command of the CLI as a child of its own process group: what it says is kept, its time is limited, and when nobody waits for it
//! any longer the whole group is killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::{CiliumError, Ran, Target, text};

/// How much of what a command says is kept, bytes of each stream.
const KEPT: usize = 1 << 20;
/// How much of it goes into a message, lines.
const END_LINES: usize = 12;

/// Runs a command of the CLI to its end.
pub(super) async fn run(target: &Target, argv: &[String], limit: Duration) -> Result<Ran, CiliumError> {
    let argv_line = line(target, argv);
    let began = Instant::now();
    let took_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (program, arguments) = argv.split_first().expect("an argv begins with its program");
    let mut command = Command::new(program);
    command.args(arguments).env("KUBECONFIG", &target.kubeconfig).current_dir(&target.folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => Group::of(child),
        Err(source) => return Err(CiliumError::Start { argv_line, source }),
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = {
        let (out, err) = (child.child.stdout.take(), child.child.stderr.take());
        let reading = async { tokio::join!(drain(out, &mut stdout), drain(err, &mut stderr)) };
        let work = async { tokio::join!(child.child.wait(), reading).0 };
        tokio::time::timeout(limit, work).await
    };
    let (stdout, stderr) = (plain(&stdout), plain(&stderr));
    if ended.is_ok() {
        child.ended();
    }
    match ended {
        Err(_) => Err(CiliumError::Late { argv_line, limit_ms: limit.as_millis() as u64, end: end(&stdout, &stderr) }),
        Ok(Err(source)) => Err(CiliumError::Start { argv_line, source }),
        Ok(Ok(status)) if status.success() => Ok(Ran { argv_line, stdout, stderr, took_ms: took_ms() }),
        Ok(Ok(status)) => {
            let end = end(&stdout, &stderr);
            Err(CiliumError::Failed { argv_line, status: status.to_string(), end, took_ms: took_ms() })
        }
    }
}

/// A child that leads a process group. Dropped before its end, the group is killed; the runtime reaps the child.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Group {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Group { child, id }
    }

    /// It ended and holds no pipe any longer: its number may be given to others now.
    fn ended(&mut self) {
        self.id = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Either the leader is not reaped yet or one of its children holds a pipe: the number is still this group's.
        if let Some(id) = self.id {
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}

async fn drain(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut piece = [0u8; 8192];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        into.extend_from_slice(&piece[..count]);
        if into.len() > 2 * KEPT {
            into.drain(..into.len() - KEPT);
        }
    }
}

/// Text without colours: the CLI colours its words even when nobody looks.
fn plain(bytes: &[u8]) -> String {
    let all = String::from_utf8_lossy(bytes);
    let mut text = String::with_capacity(all.len());
    let mut rest = all.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            text.push(c);
        } else if rest.next() == Some('[') {
            // Control sequence: parameters until a final byte from @ to ~ (ECMA-48, section 5.4).
            rest.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    text
}

/// The end of what a command said, errors last.
fn end(stdout: &str, stderr: &str) -> String {
    let lines: Vec<&str> = stdout.lines().chain(stderr.lines()).map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "it said nothing".to_owned();
    }
    lines[lines.len().saturating_sub(END_LINES)..].join("\n")
}

/// A command as one would type it, kubeconfig included.
fn line(target: &Target, argv: &[String]) -> String {
    let mut line = format!("KUBECONFIG={}", quoted(&text(&target.kubeconfig)));
    for word in argv {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    line
}

/// A word as a POSIX shell takes it whole.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;
    use crate::process::Identity;

    /// A `cilium` that does what a script says, and a target for it.
    fn fake(folder: &Path, script: &str) -> (Target, Vec<String>) {
        let program = crate::cilium::fake::program(folder, script);
        let target =
            Target { program: program.clone(), kubeconfig: "/tmp/k c".into(), context: "kind-a".into(), folder: folder.to_owned() };
        (target, vec![text(&program), "install".into(), "--set=a b".into()])
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_command_gets_its_arguments_and_kubeconfig_and_what_it_says_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (target, argv) = fake(folder.path(), "printf '%s|' \"$@\" \"$KUBECONFIG\"; printf '\\033[32mgreen\\033[0m\\n' >&2; pwd");
        let ran = run(&target, &argv, LONG).await.unwrap();
        assert_eq!(ran.stdout, format!("install|--set=a b|/tmp/k c|{}\n", folder.path().canonicalize().unwrap().display()));
        assert_eq!(ran.stderr, "green\n");
        assert_eq!(ran.argv_line, format!("KUBECONFIG='/tmp/k c' {} install '--set=a b'", target.program.display()));
    }

    #[tokio::test]
    async fn a_bad_end_says_the_command_its_status_and_the_end_of_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let (target, argv) = fake(folder.path(), "seq 1 40; echo 'Error: Unable to install Cilium: no' >&2; exit 3");
        let error = run(&target, &argv, LONG).await.unwrap_err().to_string();
        assert!(error.starts_with("`KUBECONFIG='/tmp/k c' /"), "{error}");
        assert!(error.contains("--set=a b'` ended with exit status: 3 after "), "{error}");
        assert!(error.ends_with("\n39\n40\nError: Unable to install Cilium: no") && !error.contains("\n29\n"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_with_the_option_that_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let (target, _) = fake(folder.path(), "");
        let error = run(&target, &["/nowhere/cilium".into()], LONG).await.unwrap_err().to_string();
        assert!(error.starts_with("start `KUBECONFIG='/tmp/k c' /nowhere/cilium`: No such file"), "{error}");
        assert!(error.ends_with("hint: give the cilium CLI with --cilium-cli"), "{error}");
    }

    #[tokio::test]
    async fn a_command_without_end_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let (target, argv) = fake(folder.path(), "sleep 600 & echo $! > child; echo waiting for Cilium; wait");
        let error = run(&target, &argv, Duration::from_millis(500)).await.unwrap_err().to_string();
        assert!(error.contains("had not ended after 500 ms and was killed; the last it said: waiting for Cilium"), "{error}");
        gone(&folder.path().join("child")).await;
    }

    #[tokio::test]
    async fn a_command_nobody_waits_for_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let (target, argv) = fake(folder.path(), "sleep 600 & echo $! > started; mv started child; wait");
        let child = folder.path().join("child");
        tokio::select! {
            ended = run(&target, &argv, LONG) => panic!("it ended: {ended:?}"),
            () = there(&child) => {}
        }
        gone(&child).await;
    }

    async fn there(path: &Path) {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the process whose number is in a file has ended.
    async fn gone(file: &Path) {
        let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while Identity::of(pid).is_some() {
            assert!(Instant::now() < until, "process {pid} still runs");
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_word_is_quoted_when_a_shell_would_take_it_apart() {
        assert_eq!(quoted("--set=a.b=c"), "--set=a.b=c");
        assert_eq!(quoted("{eth0,net0}"), "'{eth0,net0}'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
