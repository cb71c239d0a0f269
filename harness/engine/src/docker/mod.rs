//! Docker Engine, driven over its socket: networks, containers, an image made here, commands in containers. Bollard's types stop here.
//!
//! Whatever is made carries the labels of a [`Claim`]; the caller enters it in the ledger first. It must not know what a container is
//! for, and it touches nothing that does not carry our labels or was named by our ledger.

mod about;
mod archive;
mod container;
mod exec;
mod image;
mod network;
mod store;
pub mod subnet;
pub mod sweep;
mod volume;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

pub use about::About;
pub use archive::{agent_layer, image_archive, tar_of_file};
pub use container::{Attachment, Client, Container, Running};
pub use exec::{Input, Output, Streams};
pub use network::{Egress, Network};
pub use volume::Volume;

use crate::process::Identity;

/// Label with the id of the run.
pub const RUN_LABEL: &str = "plumbline.run";
/// Label with the owner, `<pid>:<start>`.
pub const OWNER_LABEL: &str = "plumbline.owner";
/// Label with the second since 1970 after which nobody wants it.
pub const EXPIRY_LABEL: &str = "plumbline.expires";

/// Where Docker listens when nothing else is said.
const SOCKET: &str = "/var/run/docker.sock";
/// The oldest API that is known to do everything asked of it here: that of Docker 20.10.
const OLDEST: (usize, usize) = (1, 41);
/// Limit of one call that is not a stream.
const LIMIT: Duration = Duration::from_secs(120);

/// Docker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Nothing listens there.
    #[error("connect to Docker: there is no socket {}\nhint: install Docker Engine and start it, or point DOCKER_HOST at its socket", path.display())]
    NoSocket {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The socket is there, nobody behind it.
    #[error("connect to Docker at {}: {source}\nhint: the engine is not running; start it (systemctl start docker)", path.display())]
    Dead {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The socket is not for us.
    #[error("connect to Docker at {}: {source}\nhint: join its group (sudo usermod -aG docker $USER, then log in again)", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It is elsewhere.
    #[error(
        "connect to Docker at {host}: only an engine on this machine will do, because its containers share this machine's clock and interfaces\nhint: unset DOCKER_HOST, or set it to unix://<path>"
    )]
    Elsewhere {
        /// `DOCKER_HOST`.
        host: String,
    },
    /// It is too old.
    #[error("use Docker with API {found}: it is too old, at least {}.{} is needed\nhint: upgrade to Docker Engine 20.10 or newer", OLDEST.0, OLDEST.1)]
    Old {
        /// The API version it has.
        found: String,
    },
    /// It said no.
    #[error("{operation}: {message}")]
    Refused {
        /// What was asked.
        operation: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The call did not get through.
    #[error("{operation}: {message}")]
    Call {
        /// What was asked.
        operation: String,
        /// What went wrong.
        message: String,
    },
    /// It took too long.
    #[error("{operation}: no answer within {} ms", limit.as_millis())]
    Late {
        /// What was asked.
        operation: String,
        /// The limit.
        limit: Duration,
    },
    /// A command in a container failed.
    #[error("run `{command}` in {container}: {ended}{}", tail(stderr))]
    Command {
        /// The command.
        command: String,
        /// The container.
        container: String,
        /// How it ended.
        ended: String,
        /// The end of what it said.
        stderr: String,
    },
    /// There is no room for another network.
    #[error(
        "find a free subnet: every private /24 that could be used overlaps a network of Docker, a route or an address of this machine\nhint: docker network prune"
    )]
    NoSubnet,
}

fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(6)..].join("\n");
    if end.is_empty() { String::new() } else { format!(": {end}") }
}

impl DockerError {
    /// Whether it says that what was asked about does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, DockerError::Refused { status: 404, .. })
    }
}

/// Who may take something away, as labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Id of the run, or of the cluster where several runs share one.
    pub run: String,
    /// Who made it.
    pub owner: Identity,
    /// Second since 1970 after which nobody wants it.
    pub expires: Option<i64>,
}

impl Claim {
    /// This process's claim for a run.
    pub fn own(run: &str) -> Claim {
        Claim { run: run.to_owned(), owner: Identity::own(), expires: None }
    }

    /// Whether somebody still wants what carries it.
    pub fn holds(&self, now_s: i64) -> bool {
        self.owner.alive() && self.expires.is_none_or(|at_s| now_s < at_s)
    }

    /// As labels.
    pub fn labels(&self) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            (RUN_LABEL.to_owned(), self.run.clone()),
            (OWNER_LABEL.to_owned(), format!("{}:{}", self.owner.pid, self.owner.start)),
        ]);
        if let Some(expires) = self.expires {
            labels.insert(EXPIRY_LABEL.to_owned(), expires.to_string());
        }
        labels
    }

    /// From labels; `None` when they are not ours.
    fn read(labels: &HashMap<String, String>) -> Option<Claim> {
        let (pid, start) = labels.get(OWNER_LABEL)?.split_once(':')?;
        let owner = Identity { pid: pid.parse().ok()?, start: start.parse().ok()? };
        let expires = labels.get(EXPIRY_LABEL).and_then(|text| text.parse().ok());
        Some(Claim { run: labels.get(RUN_LABEL)?.clone(), owner, expires })
    }
}

/// A connection to Docker Engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    socket: PathBuf,
}

impl Engine {
    /// Connects to the engine of `DOCKER_HOST`, else to the usual socket, and asks for its version.
    ///
    /// # Errors
    /// Each way in which it is not there has its own, with its cure.
    pub async fn connect() -> Result<Engine, DockerError> {
        let socket = match std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) {
            None => PathBuf::from(SOCKET),
            Some(host) => match host.strip_prefix("unix://") {
                Some(path) => PathBuf::from(path),
                None => return Err(DockerError::Elsewhere { host }),
            },
        };
        Engine::at(&socket).await
    }

    /// Connects to the engine behind a socket.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn at(socket: &Path) -> Result<Engine, DockerError> {
        let path = || socket.to_owned();
        // Bollard says "socket not found" of every one of these; the cures differ.
        if let Err(source) = std::os::unix::net::UnixStream::connect(socket) {
            return Err(match source.kind() {
                std::io::ErrorKind::NotFound => DockerError::NoSocket { path: path() },
                std::io::ErrorKind::PermissionDenied => DockerError::Denied { path: path(), source },
                _ => DockerError::Dead { path: path(), source },
            });
        }
        let text = socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&text, LIMIT.as_secs(), bollard::API_DEFAULT_VERSION)
            .map_err(|error| failed("connect to Docker", error))?;
        let answer = tokio::time::timeout(Duration::from_secs(10), docker.negotiate_version()).await;
        let docker = match answer {
            Ok(docker) => docker.map_err(|error| failed("ask Docker for its version", error))?,
            Err(_) => {
                let operation = format!("ask Docker at {} for its version", socket.display());
                return Err(DockerError::Late { operation, limit: Duration::from_secs(10) });
            }
        };
        let version = docker.client_version();
        if (version.major_version, version.minor_version) < OLDEST {
            return Err(DockerError::Old { found: format!("{}.{}", version.major_version, version.minor_version) });
        }
        Ok(Engine { docker, socket: path() })
    }

    /// The socket, for programs that talk to the same engine.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Bollard's error as ours.
fn failed(operation: impl Into<String>, error: Error) -> DockerError {
    let operation = operation.into();
    match error {
        Error::DockerResponseServerError { status_code, message } => DockerError::Refused { operation, status: status_code, message },
        Error::RequestTimeoutError => DockerError::Late { operation, limit: LIMIT },
        other => DockerError::Call { operation, message: crate::cluster::chain(&other) },
    }
}

/// What is gone already is as good as taken away.
fn unless_missing(done: Result<(), DockerError>) -> Result<(), DockerError> {
    match done {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}

/// Does something with Docker from a place without a runtime, or inside one that must not be entered again.
///
/// # Errors
/// Docker is not there, or what `ask` says.
pub fn blocking<T, F>(ask: impl FnOnce(Engine) -> F + Send) -> Result<T, DockerError>
where
    T: Send,
    F: Future<Output = Result<T, DockerError>>,
{
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DockerError::Call { operation: "talk to Docker".into(), message: error.to_string() })?;
        runtime.block_on(async { ask(Engine::connect().await?).await })
    };
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_claim_survives_its_labels() {
        let mut claim = Claim::own("2026-run");
        assert_eq!(Claim::read(&claim.labels()), Some(claim.clone()));
        claim.expires = Some(1_800_000_000);
        assert_eq!(Claim::read(&claim.labels()), Some(claim));
        assert_eq!(Claim::read(&HashMap::from([("com.docker.compose.project".to_owned(), "theirs".to_owned())])), None);
    }

    #[tokio::test]
    async fn each_way_docker_is_missing_has_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let none = Engine::at(&folder.path().join("none.sock")).await.unwrap_err();
        assert!(matches!(none, DockerError::NoSocket { .. }) && none.to_string().contains("hint: install Docker Engine"), "{none}");
        // Bound once, and nobody listens any longer.
        let dead = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        let dead = Engine::at(&dead).await.unwrap_err();
        assert!(matches!(dead, DockerError::Dead { .. }) && dead.to_string().contains("systemctl start docker"), "{dead}");
    }

    #[tokio::test]
    async fn an_old_engine_is_refused_by_its_version() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            // The first connection only looks whether somebody listens.
            drop(listener.accept().await.unwrap());
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let body = r#"{"Version":"19.03.15","ApiVersion":"1.40","MinAPIVersion":"1.12"}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.unwrap();
        });
        let error = Engine::at(&path).await.unwrap_err().to_string();
        assert!(error.starts_with("use Docker with API 1.40: it is too old, at least 1.41 is needed\nhint: upgrade"), "{error}");
        server.await.unwrap();
    }
}
