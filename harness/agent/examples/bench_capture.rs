//! What a capture costs, against tcpdump on the same flood at the same time:
//!
//! ```text
//! cargo run --profile agent -p plumb-agent --example bench_capture
//! ```
//!
//! Prints rows of `ci/bench.sh`'s table: frames, drops and processor seconds of both (the aim is: not more than tcpdump). The flood is TCP over the loopback interface of a
//! network namespace of its own, so root (or `unshare -Urn`, where tcpdump then must not change its user) is needed. tcpdump keeps 256
//! bytes of each frame and writes them to nowhere; the agent decodes each frame and looks for a canary in it.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for people")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plumb_core::probe::{Body, CaptureSummary, Done, Reply};

const SECONDS: u64 = 5;
/// Two floods: few large segments, and many small ones.
const WRITES: [usize; 2] = [256 * 1024, 100];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("session") {
        std::process::exit(i32::from(plumb_agent::session_main() != std::process::ExitCode::SUCCESS));
    }
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root, or `unshare -Urn` around this program");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success(), "ip link set lo up");
    for bytes in WRITES {
        let mut agent = start_agent();
        let tcpdump = start_tcpdump();
        let flooded = flood(bytes);
        let (cpu, summary) = end_agent(&mut agent);
        let what = format!("capture of a flood, {:.1} GB in writes of {bytes} bytes in {SECONDS} s", flooded as f64 / 1e9);
        let ours = format!("{} frames, {} dropped, {cpu:.2} s of processor", summary.frames, summary.dropped);
        let (theirs, ratio) = match tcpdump {
            Some(tcpdump) => {
                let (their_cpu, said) = end_tcpdump(tcpdump);
                (format!("tcpdump: {said}, {their_cpu:.2} s"), format!("{:.2}", cpu / their_cpu))
            }
            None => ("tcpdump is not installed".to_owned(), String::new()),
        };
        println!("| {what} | {ours} | {theirs} | {ratio} | <= 1 |");
    }
}

/// Writes to a sink for some seconds; how many bytes.
fn flood(bytes: usize) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let sink = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1024 * 1024];
        while stream.read(&mut buffer).unwrap() > 0 {}
    });
    let mut stream = TcpStream::connect(target).unwrap();
    stream.set_nodelay(true).unwrap();
    let (piece, end) = (vec![7; bytes], Instant::now() + Duration::from_secs(SECONDS));
    let mut sent = 0;
    while Instant::now() < end {
        stream.write_all(&piece).unwrap();
        sent += bytes as u64;
    }
    drop(stream);
    sink.join().unwrap();
    sent
}

struct Agent {
    child: Child,
    replies: BufReader<std::process::ChildStdout>,
}

fn start_agent() -> Agent {
    let exe = std::env::current_exe().unwrap();
    let mut child = Command::new(exe).arg("session").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let replies = BufReader::new(child.stdout.take().unwrap());
    let mut agent = Agent { child, replies };
    agent.say(r#"{"id":1,"op":{"capture":{"interface":"lo","canaries":[{"name":"c","text":"plumb-canary-0123456789"}]}}}"#);
    assert!(matches!(agent.hear(), Body::Started(_)));
    agent
}

fn end_agent(agent: &mut Agent) -> (f64, CaptureSummary) {
    agent.say(r#"{"id":2,"op":{"stop":{"of":1}}}"#);
    let Body::Done(Done::Capture(summary)) = agent.hear() else { panic!("no summary") };
    let before = children_cpu_seconds();
    drop(agent.child.stdin.take());
    agent.child.wait().unwrap();
    (children_cpu_seconds() - before, summary)
}

impl Agent {
    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn hear(&mut self) -> Body {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        serde_json::from_str::<Reply>(&line).unwrap_or_else(|error| panic!("{error}: {line}")).body
    }
}

fn start_tcpdump() -> Option<(Child, BufReader<std::process::ChildStderr>)> {
    let mut command = Command::new("tcpdump");
    command.args(["-i", "lo", "-s", "256", "-w", "/dev/null", "-n"]).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // It listens once it has said so.
    while said.read_line(&mut line).unwrap() > 0 && !line.contains("listening on") {}
    Some((child, said))
}

fn end_tcpdump((mut child, mut said): (Child, BufReader<std::process::ChildStderr>)) -> (f64, String) {
    let before = children_cpu_seconds();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    (children_cpu_seconds() - before, text.lines().filter(|line| line.contains("packets")).collect::<Vec<_>>().join(", "))
}

/// Processor time of all children that have been waited for, user and system.
fn children_cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    [usage.user_time(), usage.system_time()].iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum()
}
