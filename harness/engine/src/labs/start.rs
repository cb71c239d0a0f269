//! Asks a keeper for a lab and hears what it says until the lab is up or was not to be had.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::keeper::{KEEP, Request, STOP, Said};
use crate::run::{Event, Kept, Listener, Stop};

/// The lab was not to be had, and nothing was made. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No keeper.
    #[error("start the keeper of a lab: {0}")]
    Keeper(io::Error),
    /// What it said.
    #[error("{0}")]
    Refused(String),
    /// It ended without a word.
    #[error("hear from the keeper of the lab: it ended without a word{}", .run.as_ref().map(|run| format!("; what it saw until then is in {}", run.display())).unwrap_or_default())]
    Silent {
        /// The run folder, if there is one.
        run: Option<PathBuf>,
    },
}

/// What came of a lab that was asked for.
#[derive(Debug)]
pub struct Started {
    /// The run folder.
    pub run: PathBuf,
    /// How to look into it; `None` = there is none, and the evidence says why.
    pub up: Option<Kept>,
    /// Why `verdict.json` could not be written, if so.
    pub unwritten: Option<String>,
}

/// Asks for a lab. When this process ends before the lab is up, or `stop` comes, the lab is taken away.
///
/// # Errors
/// See [`StartError`].
pub async fn start(request: &Request, stop: &Stop, listener: Listener) -> Result<Started, StartError> {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0("plumb").arg("__lab").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn().map_err(StartError::Keeper)?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(StartError::Keeper(io::Error::other("its pipes are missing")));
    };
    let text = serde_json::to_string(request).map_err(|error| StartError::Keeper(error.into()))?;
    tell(&mut input, &text).await.map_err(StartError::Keeper)?;
    hear(&mut input, output, stop, listener).await
}

async fn hear(input: &mut ChildStdin, output: ChildStdout, stop: &Stop, listener: Listener) -> Result<Started, StartError> {
    let mut lines = BufReader::new(output).lines();
    let (mut run, mut up, mut stopping) = (None, None, false);
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.map_err(StartError::Keeper)?,
            () = stop.stopped(), if !stopping => {
                stopping = true;
                let reason = stop.reason().unwrap_or_else(|| "its owner".to_owned()).replace('\n', " ");
                // One that has ended meanwhile says why.
                let _ = tell(input, &format!("{STOP}{reason}")).await;
                continue;
            }
        };
        let Some(line) = line else {
            return match run {
                Some(run) if up.is_some() => Ok(Started { run, up, unwritten: None }),
                run => Err(StartError::Silent { run }),
            };
        };
        match serde_json::from_str(&line).map_err(|error| StartError::Keeper(error.into()))? {
            Said::Began(folder) => {
                run = Some(folder.clone());
                listener(Event::Began { folder });
            }
            Said::Phase(phase) => listener(Event::Phase(known(&phase))),
            Said::Waiting(what) => listener(Event::Waiting { what }),
            Said::Step { id, verb } => listener(Event::Step { id, verb }),
            Said::Up(kept) if !stopping => {
                // It answers by closing its output.
                tell(input, KEEP).await.map_err(StartError::Keeper)?;
                listener(Event::Kept(kept.clone()));
                up = Some(*kept);
            }
            Said::Up(_) => {}
            Said::Refused(why) => return Err(StartError::Refused(why)),
            Said::Over { unwritten } => {
                let run = run.ok_or(StartError::Silent { run: None })?;
                return Ok(Started { run, up: None, unwritten });
            }
        }
    }
}

async fn tell(input: &mut ChildStdin, line: &str) -> io::Result<()> {
    input.write_all(line.as_bytes()).await?;
    input.write_all(b"\n").await?;
    input.flush().await
}

/// A phase by its name.
fn known(phase: &str) -> &'static str {
    ["lab", "backends", "steps", "collect", "close"].into_iter().find(|known| *known == phase).unwrap_or("working")
}
