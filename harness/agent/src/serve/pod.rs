//! Pod mode: the servers of one pod in one process, from configuration to SIGTERM. Names of the Pod and its node that the
//! configuration leaves out come from `POD_NAME` and `NODE_NAME`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use plumb_core::probe::{OpError, ServeOp};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use super::Server;

/// Why a pod's servers do not run. Reads after "failed to".
#[derive(Debug, Error)]
pub enum PodError {
    /// The command line is not one of the two forms.
    #[error("read the command line: expected `--config-env NAME` or `--config FILE`")]
    Arguments,
    /// The configuration could not be read.
    #[error("read the configuration from {from}: {source}")]
    Read {
        /// Where it was looked for.
        from: String,
        /// Why.
        source: io::Error,
    },
    /// The configuration is not a list of servers. The text is not repeated: it holds a key.
    #[error("understand the configuration from {from}: line {line}, column {column}")]
    Parse {
        /// Where it came from.
        from: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// There is nothing to serve.
    #[error("serve: the configuration lists no server")]
    Empty,
    /// The runtime or the signal handler could not be made.
    #[error("start the runtime: {0}")]
    Runtime(io::Error),
    /// A server could not be started.
    #[error("{}: {}", .0.operation, .0.message)]
    Start(OpError),
}

impl PodError {
    /// 2 for what the caller got wrong, 1 for what the system refused.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Arguments | Self::Read { .. } | Self::Parse { .. } | Self::Empty => 2,
            Self::Runtime(_) | Self::Start(_) => 1,
        }
    }
}

/// Runs a pod's servers until SIGTERM or SIGINT.
///
/// # Errors
/// See [`PodError`]; once all servers listen, there is none.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<(), PodError> {
    let ops = configuration(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PodError::Runtime)?;
    runtime.block_on(async {
        // Before the first server listens: a pod that is ended while it starts must end gracefully as well.
        let mut terminate = signal(SignalKind::terminate()).map_err(PodError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(PodError::Runtime)?;
        let mut servers = Vec::with_capacity(ops.len());
        for op in &ops {
            servers.push(Server::start(op).await.map_err(PodError::Start)?);
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        futures::future::join_all(servers.into_iter().map(Server::stop)).await;
        Ok(())
    })
}

fn configuration(mut args: impl Iterator<Item = OsString>) -> Result<Vec<ServeOp>, PodError> {
    let (Some(flag), Some(value), None) = (args.next(), args.next(), args.next()) else { return Err(PodError::Arguments) };
    let (from, text) = if flag == OsStr::new("--config-env") {
        let from = format!("environment variable {}", value.to_string_lossy());
        let text =
            std::env::var(&value).map_err(|error| PodError::Read { from: from.clone(), source: io::Error::other(error.to_string()) });
        (from, text?)
    } else if flag == OsStr::new("--config") {
        let path = PathBuf::from(value);
        let from = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|source| PodError::Read { from: from.clone(), source });
        (from, text?)
    } else {
        return Err(PodError::Arguments);
    };
    let mut ops: Vec<ServeOp> =
        serde_json::from_str(&text).map_err(|error| PodError::Parse { from, line: error.line(), column: error.column() })?;
    for op in &mut ops {
        // A Deployment cannot know them; the downward API gives them to each Pod.
        fill(&mut op.pod, "POD_NAME");
        fill(&mut op.node, "NODE_NAME");
    }
    if ops.is_empty() { Err(PodError::Empty) } else { Ok(ops) }
}

fn fill(field: &mut String, variable: &str) {
    if field.is_empty() {
        *field = std::env::var(variable).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Write as _;

    fn read(args: &[&str]) -> Result<Vec<ServeOp>, PodError> {
        configuration(args.iter().map(OsString::from))
    }

    #[test]
    fn a_list_of_servers_is_read_from_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, r#"[{{"listen":"127.0.0.1:0","protocol":"http","backend":"a"}}]"#).unwrap();
        let ops = read(&["--config", file.path().to_str().unwrap()]).unwrap();
        assert_eq!(ops[0].backend, "a");
    }

    #[test]
    fn bad_configurations_are_told_apart_and_never_repeated() {
        assert!(matches!(read(&[]), Err(PodError::Arguments)));
        assert!(matches!(read(&["--config", "a", "b"]), Err(PodError::Arguments)));
        assert!(matches!(read(&["--config", "/no/such/file"]), Err(PodError::Read { .. })));
        assert!(matches!(read(&["--config-env", "PLUMB_SURELY_UNSET"]), Err(PodError::Read { .. })));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, r#"[{{"listen":"SECRET"}}]"#).unwrap();
        let error = read(&["--config", file.path().to_str().unwrap()]).unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
        assert_eq!(error.exit_status(), 2);
    }
}
