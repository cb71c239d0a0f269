//! How fast the prober is, against wrk on the same server in the same run:
//!
//! ```text
//! cargo run --profile agent -p plumb-agent --example bench
//! ```
//!
//! Prints rows of `ci/bench.sh`'s table: requests a second of both, with and without keep-alive, and their ratio (the aim is 0.5 or
//! more), the best of some rounds. Server and clients share the machine; each client is asked for the same concurrency on one thread.
//! Without wrk only the prober's figures are printed.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for people")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use plumb_core::probe::{Body, Done, HttpReport, Reply};

const CONCURRENCY: u32 = 16;
const SECONDS: u32 = 5;
const ROUNDS: usize = 3;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("session") {
        std::process::exit(i32::from(plumb_agent::session_main() != std::process::ExitCode::SUCCESS));
    }
    let (mut server, mut client) = (Session::start(), Session::start());
    server.say(r#"{"id":1,"op":{"serve":{"listen":"127.0.0.1:0","protocol":"http","backend":"bench"}}}"#);
    let Body::Started(started) = server.hear() else { panic!("the server did not start") };
    let target = started.listening[0];
    for (connection, header, guess) in [("keepAlive", None, 30_000), ("perRequest", Some("Connection: close"), 8_000)] {
        let (mut ours, mut theirs, mut ratio) = (0.0_f64, 0.0_f64, 0.0_f64);
        let mut count = guess * SECONDS;
        for round in 0..ROUNDS {
            let id = round + 2;
            client.say(&format!(
                r#"{{"id":{id},"op":{{"http":{{"target":"{target}","host":"bench","count":{count},"concurrency":{CONCURRENCY},"connection":"{connection}","detail":"tally"}}}}}}"#
            ));
            let Body::Done(Done::Http(report)) = client.hear() else { panic!("no report") };
            assert_eq!(report.answered, report.sent, "{report:?}");
            let rate = rate(&report);
            // The next round lasts about as long as it should.
            count = (rate * f64::from(SECONDS)) as u32;
            let wrk = wrk(&format!("http://{target}/"), header).unwrap_or(0.0);
            // Figures of one round belong together: what else the machine does changes from round to round.
            if wrk == 0.0 || rate / wrk > ratio {
                (ours, theirs, ratio) = (rate, wrk, if wrk > 0.0 { rate / wrk } else { 0.0 });
            }
        }
        let against = if theirs > 0.0 { format!("wrk on the same server: {theirs:.0}/s") } else { "wrk is not installed".to_owned() };
        let ratio = if theirs > 0.0 { format!("{ratio:.2}") } else { String::new() };
        println!("| prober, {connection}, {CONCURRENCY} connections | {ours:.0} requests/s | {against} | {ratio} | >= 0.5 |");
    }
}

fn rate(report: &HttpReport) -> f64 {
    f64::from(report.answered) / ((report.to_ns - report.from_ns) as f64 / 1e9)
}

/// Requests a second as wrk counts them.
fn wrk(url: &str, header: Option<&str>) -> Option<f64> {
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CONCURRENCY}"), &format!("-d{SECONDS}s")]);
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()
}

/// This program again, as an agent.
struct Session {
    child: Child,
    replies: BufReader<std::process::ChildStdout>,
}

impl Session {
    fn start() -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut child = Command::new(exe).arg("session").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self { child, replies }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn hear(&mut self) -> Body {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        serde_json::from_str::<Reply>(&line).unwrap_or_else(|error| panic!("{error}: {line}")).body
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends with its input.
        let _ = self.child.wait();
    }
}
