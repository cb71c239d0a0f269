//! Commands in containers: one that is talked to for long, and one that is waited for.
//!
//! Docker sends output and errors over one stream in frames (the attach protocol); they are told apart here. A frame is no line and
//! a line no frame.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::io::StreamReader;

use super::{DockerError, Engine, failed};

/// What is read at once: a capture sends megabytes.
const CAPACITY: usize = 256 * 1024;
/// What is written at once: image archives are gigabytes, and each piece passes through the engine by itself.
const PIECE: usize = 1024 * 1024;
/// How much of a command's errors is kept.
const ERRORS: usize = 8 * 1024;

/// What a command reads.
pub type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// A command that runs in a container. It ends when it is dropped and reads its input.
pub struct Streams {
    /// What it says.
    pub output: Pin<Box<dyn AsyncRead + Send>>,
    /// What it hears.
    pub input: Input,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status.
    pub status: i64,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, its end if it was long.
    pub stderr: String,
}

impl Engine {
    /// Starts a command and hands its streams over. What it writes to standard error ends up in the error its output ends with.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn open(&self, container: &str, command: &[&str]) -> Result<Streams, DockerError> {
        let (_, frames, input) = self.begin(container, command).await?;
        let errors = Arc::new(Mutex::new(Tail::default()));
        let output = frames.filter_map({
            let errors = Arc::clone(&errors);
            move |frame| std::future::ready(out(frame, &errors))
        });
        // The end says why, if the command said why.
        let end = futures::stream::once(async move {
            let said = errors.lock().unwrap_or_else(PoisonError::into_inner).text();
            if said.trim().is_empty() { Ok(Bytes::new()) } else { Err(std::io::Error::other(format!("it ended: {}", said.trim()))) }
        });
        let end = end.filter(|last| std::future::ready(last.is_err()));
        Ok(Streams { output: Box::pin(StreamReader::new(Box::pin(output.chain(end)))), input })
    }

    /// Runs a command to its end, with `input` on its standard input.
    ///
    /// # Errors
    /// See [`DockerError`]; an exit status that is not 0 is none, and `limit` is.
    pub async fn run<R: AsyncRead + Send + Unpin>(
        &self,
        container: &str,
        command: &[&str],
        input: Option<R>,
        limit: Duration,
    ) -> Result<Output, DockerError> {
        let operation = || format!("run `{}` in {container}", command.join(" "));
        match tokio::time::timeout(limit, self.run_to_end(container, command, input)).await {
            Ok(ended) => ended,
            Err(_) => Err(DockerError::Late { operation: operation(), limit }),
        }
    }

    async fn run_to_end<R: AsyncRead + Send + Unpin>(
        &self,
        container: &str,
        command: &[&str],
        input: Option<R>,
    ) -> Result<Output, DockerError> {
        let operation = || format!("run `{}` in {container}", command.join(" "));
        let (id, mut frames, mut to) = self.begin(container, command).await?;
        let feed = async {
            if let Some(input) = input {
                let mut input = tokio::io::BufReader::with_capacity(PIECE, input);
                // A command that ends early closes its input; its exit status says why.
                let _ = tokio::io::copy_buf(&mut input, &mut to).await;
            }
            // Dropping it would not close the command's input.
            let _ = to.shutdown().await;
        };
        let errors = Mutex::new(Tail::default());
        let mut stdout = Vec::new();
        let hear = async {
            while let Some(frame) = frames.next().await {
                if let Some(bytes) = out(frame, &errors) {
                    stdout.extend_from_slice(
                        &bytes.map_err(|error| DockerError::Call { operation: operation(), message: error.to_string() })?,
                    );
                }
            }
            Ok::<_, DockerError>(())
        };
        let ((), heard) = tokio::join!(feed, hear);
        heard?;
        let ended = self.docker.inspect_exec(&id).await.map_err(|error| failed(operation(), error))?;
        let stderr = errors.into_inner().unwrap_or_else(PoisonError::into_inner).text();
        Ok(Output { status: ended.exit_code.unwrap_or(-1), stdout, stderr })
    }

    /// Runs a command that must succeed and gives what it said.
    ///
    /// # Errors
    /// See [`DockerError`]; an exit status that is not 0 is one.
    pub async fn succeed(&self, container: &str, command: &[&str], limit: Duration) -> Result<String, DockerError> {
        self.succeed_with(container, command, None::<tokio::io::Empty>, limit).await
    }

    /// As [`Engine::succeed`], with `input`.
    ///
    /// # Errors
    /// As there.
    pub async fn succeed_with<R: AsyncRead + Send + Unpin>(
        &self,
        container: &str,
        command: &[&str],
        input: Option<R>,
        limit: Duration,
    ) -> Result<String, DockerError> {
        let ended = self.run(container, command, input, limit).await?;
        let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
        if ended.status == 0 {
            return Ok(stdout);
        }
        let said = if ended.stderr.trim().is_empty() { stdout } else { ended.stderr };
        let ended = format!("exit status {}", ended.status);
        Err(DockerError::Command { command: command.join(" "), container: container.to_owned(), ended, stderr: said })
    }

    async fn begin(&self, container: &str, command: &[&str]) -> Result<(String, Frames, Input), DockerError> {
        let operation = || format!("run `{}` in {container}", command.join(" "));
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            // A terminal would mix the two and echo the input.
            tty: Some(false),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let made = self.docker.create_exec(container, config).await.map_err(|error| failed(operation(), error))?;
        let options = StartExecOptions { output_capacity: Some(CAPACITY), ..StartExecOptions::default() };
        match self.docker.start_exec(&made.id, Some(options)).await.map_err(|error| failed(operation(), error))? {
            StartExecResults::Attached { output, input } => Ok((made.id, output, input)),
            StartExecResults::Detached => {
                Err(DockerError::Call { operation: operation(), message: "Docker did not hand its streams over".into() })
            }
        }
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// The output in a frame; errors are put aside.
fn out(frame: Result<LogOutput, bollard::errors::Error>, errors: &Mutex<Tail>) -> Option<std::io::Result<Bytes>> {
    match frame {
        Ok(LogOutput::StdErr { message }) => {
            errors.lock().unwrap_or_else(PoisonError::into_inner).push(&message);
            None
        }
        Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => Some(Ok(message)),
        Ok(LogOutput::StdIn { .. }) => None,
        Err(error) => Some(Err(std::io::Error::other(crate::cluster::chain(&error)))),
    }
}

/// The end of what a command wrote to standard error.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let over = self.0.len().saturating_sub(ERRORS);
        self.0.drain(..over);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_commands_errors_is_kept() {
        let mut tail = Tail::default();
        for n in 0..3000 {
            tail.push(format!("line {n}\n").as_bytes());
        }
        assert!(tail.text().len() <= ERRORS && tail.text().ends_with("line 2999\n"));
    }

    #[test]
    fn output_and_errors_are_told_apart() {
        let errors = Mutex::new(Tail::default());
        let message = Bytes::from_static(b"half a li");
        assert_eq!(out(Ok(LogOutput::StdOut { message: message.clone() }), &errors).and_then(Result::ok), Some(message));
        assert!(out(Ok(LogOutput::StdErr { message: Bytes::from_static(b"oops") }), &errors).is_none());
        assert_eq!(errors.into_inner().unwrap_or_else(PoisonError::into_inner).text(), "oops");
    }
}
