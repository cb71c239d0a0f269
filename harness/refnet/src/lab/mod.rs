//! The owner's handle of a reference lab: starts its supervisor, talks to it over `control.sock`, and ends it.
//!
//! The lab lives as long as the handle: the supervisor ends when its standard input closes, and the kernel kills it when this
//! process dies, whatever the reason.

mod client;
mod enter;
mod preflight;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plumb_core::scenario::model::{ApiAction, NodeAction};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::spec::{Answer, Control, LabSpec, Ready};

pub(crate) use enter::NAMESPACES;
pub use enter::{Door, door};
pub use preflight::{Unavailable, availability};

/// How long the whole lab may take until it is ready, on a machine that is busy with other labs.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a lab may take to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// How much of the supervisor's log goes into an error.
const LOG_TAIL: usize = 2_000;

/// What can go wrong with a lab. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file of the lab could not be written.
    #[error("write {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The supervisor could not be started.
    #[error("start the lab's supervisor: {0}")]
    Spawn(io::Error),
    /// The supervisor did not come up.
    #[error("make the lab: {reason}{}", hint(.cure.as_deref()))]
    NotReady {
        /// The end of its log.
        reason: String,
        /// What to change, when this machine cannot hold a lab at all.
        cure: Option<String>,
    },
    /// The lab does not answer.
    #[error("{operation}: {source}")]
    Connection {
        /// What was asked.
        operation: String,
        /// What came back.
        source: io::Error,
    },
    /// The lab refused.
    #[error("{operation}: {message}")]
    Refused {
        /// What was asked.
        operation: String,
        /// What the supervisor said.
        message: String,
    },
    /// The client for the API could not be set up.
    #[error("set up a client for the lab's API: {0}")]
    Client(String),
}

fn hint(cure: Option<&str>) -> String {
    cure.map(|cure| format!("\nhint: {cure}")).unwrap_or_default()
}

/// A lab that runs. Dropping it ends the lab without waiting; [`LabHandle::close`] waits.
#[derive(Debug)]
pub struct LabHandle {
    dir: PathBuf,
    ready: Ready,
    process: Arc<Process>,
    stdin: Option<std::process::ChildStdin>,
}

/// The supervisor, waited for by a thread that lives as long as it: `PR_SET_PDEATHSIG` means the death of the spawning thread.
#[derive(Debug)]
struct Process {
    pid: u32,
    exit: Mutex<Option<ExitStatus>>,
    ended: tokio::sync::watch::Sender<bool>,
}

/// The pipes of a supervisor that was just spawned.
struct Spawned {
    process: Arc<Process>,
    stdin: std::process::ChildStdin,
    stdout: std::process::ChildStdout,
}

impl LabHandle {
    /// Starts a lab in `dir` (made with mode 0700 when missing) and waits until it is ready.
    ///
    /// # Errors
    /// The directory cannot be written, or the lab did not come up: the end of its log, and what to change on this machine.
    pub async fn start(spec: &LabSpec, dir: &Path) -> Result<LabHandle, LabError> {
        let write = |path: &Path, source| LabError::Write { path: path.to_owned(), source };
        make_private(dir).map_err(|source| write(dir, source))?;
        let spec_file = dir.join("spec.json");
        let text = serde_json::to_vec_pretty(spec).map_err(|error| write(&spec_file, io::Error::other(error)))?;
        std::fs::write(&spec_file, text).map_err(|source| write(&spec_file, source))?;
        let log = dir.join("supervisor.log");
        let log = std::fs::File::create(&log).map_err(|source| write(&log, source))?;
        let spawned = spawn(dir.to_owned(), log).await.map_err(LabError::Spawn)?;
        let stdin = spawned.stdin;
        let answer = tokio::time::timeout(READY_LIMIT, first_line(spawned.stdout)).await;
        let ready = match answer {
            Ok(Ok(line)) => serde_json::from_str::<Ready>(&line).map_err(|error| format!("understand its ready line: {error}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("nothing heard for {} s", READY_LIMIT.as_secs())),
        };
        match ready {
            Ok(ready) => Ok(LabHandle { dir: dir.to_owned(), ready, process: spawned.process, stdin: Some(stdin) }),
            Err(heard) => {
                drop(stdin);
                spawned.process.kill();
                spawned.process.wait(CLOSE_LIMIT).await;
                Err(not_ready(dir, &heard))
            }
        }
    }

    /// What the supervisor said when the lab was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Process id of the lab's outermost process. Killing it ends everything in the lab.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// The lab's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// An agent session at a vantage point (`client`, `node/<name>`, `pod/<namespace>/<pod>`): what it says, and what it is told.
    /// The agent ends when the second half is dropped.
    ///
    /// # Errors
    /// There is no such place, or the lab has ended.
    pub async fn agent(&self, vantage: &str) -> Result<(OwnedReadHalf, OwnedWriteHalf), LabError> {
        self.open(vantage, None, BTreeMap::new()).await
    }

    /// Runs a program at a vantage point with the connection as its standard input and output; the agent's session when `argv` is absent.
    ///
    /// # Errors
    /// There is no such place, the program does not start, or the lab has ended.
    pub async fn open(
        &self,
        vantage: &str,
        argv: Option<Vec<String>>,
        env: BTreeMap<String, String>,
    ) -> Result<(OwnedReadHalf, OwnedWriteHalf), LabError> {
        let (stream, _) = ask(&self.dir, &Control::Open { vantage: vantage.to_owned(), argv, env }).await?;
        Ok(stream.into_split())
    }

    /// A connection to the API server's port; TLS is spoken over it.
    ///
    /// # Errors
    /// The lab has ended.
    pub async fn dial_api(&self) -> Result<UnixStream, LabError> {
        Ok(ask(&self.dir, &Control::DialApi).await?.0)
    }

    /// A client with the administrator's certificate. Must be called within a tokio runtime; works as long as the lab does.
    ///
    /// # Errors
    /// The administrator's key cannot be read.
    pub fn kube_client(&self) -> Result<kube::Client, LabError> {
        client::connect(&self.dir, &self.ready)
    }

    /// Serves the API on a port of this machine's loopback address, as long as the runtime and the lab live, and gives a kubeconfig for
    /// it. Whoever connects must still have the administrator's certificate.
    ///
    /// # Errors
    /// There is no port, or the lab's kubeconfig cannot be read.
    pub async fn publish_api(&self) -> Result<String, LabError> {
        let failed = |source| LabError::Connection { operation: "serve the lab's API on the loopback address".to_owned(), source };
        let inside = std::fs::read_to_string(&self.ready.kubeconfig).map_err(failed)?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let dir = self.dir.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let dir = dir.clone();
                tokio::spawn(async move {
                    // Either side may go away at any time; that is how connections end.
                    if let Ok((mut to, _)) = ask(&dir, &Control::DialApi).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        // The certificate is for the address inside and for this name.
        let outside = format!("server: https://{address}\n    tls-server-name: kubernetes");
        Ok(inside.replace(&format!("server: {}", self.ready.api), &outside))
    }

    /// Resolves when the lab has ended, whoever ended it.
    pub async fn ended(&self) {
        let mut ended = self.process.ended.subscribe();
        // It is an error only when the sender is gone, which lives in this handle.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Does something to a node; returns when it took effect, nanoseconds of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// There is no such node, or it did not take effect.
    pub async fn node(&self, name: &str, action: NodeAction) -> Result<u64, LabError> {
        match ask(&self.dir, &Control::Node { node: name.to_owned(), action }).await?.1 {
            Answer::Ok { at_ns, .. } => Ok(at_ns),
            Answer::Error { message } => Err(LabError::Refused { operation: format!("change node {name}"), message }),
        }
    }

    /// Pauses the API server or lets it go on; returns when, nanoseconds of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// The lab has ended.
    pub async fn api(&self, action: ApiAction) -> Result<u64, LabError> {
        match ask(&self.dir, &Control::Api { action }).await?.1 {
            Answer::Ok { at_ns, .. } => Ok(at_ns),
            Answer::Error { message } => Err(LabError::Refused { operation: "change the API server".to_owned(), message }),
        }
    }

    /// Logs and state by name.
    ///
    /// # Errors
    /// The lab has ended.
    pub async fn collect(&self) -> Result<BTreeMap<String, String>, LabError> {
        match ask(&self.dir, &Control::Collect).await?.1 {
            Answer::Ok { texts, .. } => Ok(texts),
            Answer::Error { message } => Err(LabError::Refused { operation: "collect from the lab".to_owned(), message }),
        }
    }

    /// Ends the lab and waits until everything in it has ended.
    ///
    /// # Errors
    /// It had to be killed.
    pub async fn close(mut self) -> Result<(), LabError> {
        let asked = tokio::time::timeout(CLOSE_LIMIT, ask(&self.dir, &Control::Close)).await;
        drop(self.stdin.take());
        if !self.process.wait(CLOSE_LIMIT).await {
            self.process.kill();
            self.process.wait(CLOSE_LIMIT).await;
            let source = io::Error::new(io::ErrorKind::TimedOut, "it did not end and was killed");
            return Err(LabError::Connection { operation: "close the lab".to_owned(), source });
        }
        match asked {
            Ok(Ok(_)) | Err(_) => Ok(()),
            // It was on its way out: the connection breaks when it ends before the answer is read.
            Ok(Err(LabError::Connection { .. })) => Ok(()),
            Ok(Err(error)) => Err(error),
        }
    }
}

impl Drop for LabHandle {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.process.kill();
    }
}

impl Process {
    /// Kills it unless it has been waited for: the lock keeps its pid from being used again in between.
    fn kill(&self) {
        let exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_none() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid.cast_signed()), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Whether it ended within `limit`.
    async fn wait(&self, limit: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        tokio::time::timeout(limit, ended.wait_for(|ended| *ended)).await.is_ok()
    }
}

/// Spawns the supervisor from a thread of its own, which then waits for it.
async fn spawn(dir: PathBuf, log: std::fs::File) -> io::Result<Spawned> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("refnet-owner".to_owned()).spawn(move || {
        let mut command = Command::new("/proc/self/exe");
        command.arg("__refnet").arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        use std::os::unix::process::CommandExt as _;
        let mut child = match crate::sys::die_with_parent(&mut command).spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = tell.send(Err(error));
                return;
            }
        };
        let process = Arc::new(Process { pid: child.id(), exit: Mutex::new(None), ended: tokio::sync::watch::Sender::new(false) });
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return };
        if tell.send(Ok(Spawned { process: process.clone(), stdin, stdout })).is_err() {
            // Nobody wants it any more; its standard input is closed with the message.
        }
        reap(&process, &mut child);
    })?;
    told.await.map_err(|_| io::Error::other("the thread that starts it ended"))?
}

/// Waits without reaping, then reaps under the lock.
fn reap(process: &Process, child: &mut std::process::Child) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let pid = nix::unistd::Pid::from_raw(process.pid.cast_signed());
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::errno::Errno::EINTR) {}
    let mut exit = process.exit.lock().unwrap_or_else(PoisonError::into_inner);
    *exit = child.wait().ok();
    drop(exit);
    process.ended.send_replace(true);
}

async fn first_line(stdout: std::process::ChildStdout) -> io::Result<String> {
    let stdout = tokio::net::unix::pipe::Receiver::from_owned_fd(stdout.into())?;
    let mut line = String::new();
    if BufReader::new(stdout).read_line(&mut line).await? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was ready"));
    }
    Ok(line)
}

fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

fn not_ready(dir: &Path, heard: &str) -> LabError {
    let log = std::fs::read_to_string(dir.join("supervisor.log")).unwrap_or_default();
    let mut start = log.len().saturating_sub(LOG_TAIL);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    let tail = log[start..].trim();
    let reason = if tail.is_empty() { heard.to_owned() } else { format!("{heard}\n{tail}") };
    let cure = availability().err().map(|unavailable| unavailable.cure);
    LabError::NotReady { reason, cure }
}

/// One question, one answer; the connection goes on after it for those that need one.
async fn ask(dir: &Path, control: &Control) -> Result<(UnixStream, Answer), LabError> {
    let operation = match control {
        Control::Open { vantage, .. } => format!("open {vantage}"),
        Control::Enter { vantage } => format!("enter {vantage}"),
        Control::DialApi => "connect to the lab's API".to_owned(),
        Control::Node { node, action } => format!("{} node {node}", format!("{action:?}").to_lowercase()),
        Control::Api { action } => format!("{} the API server", format!("{action:?}").to_lowercase()),
        Control::Collect => "collect from the lab".to_owned(),
        Control::Close => "close the lab".to_owned(),
    };
    let exchange = async {
        let mut stream = connect(&dir.join("control.sock")).await?;
        let mut line = serde_json::to_vec(control).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        // Byte by byte: what follows the line belongs to the one who asked.
        let mut line = Vec::new();
        loop {
            match stream.read_u8().await? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        let answer = serde_json::from_slice(&line).map_err(io::Error::other)?;
        Ok::<_, io::Error>((stream, answer))
    };
    let (stream, answer) = exchange.await.map_err(|source| LabError::Connection { operation: operation.clone(), source })?;
    match answer {
        Answer::Error { message } => Err(LabError::Refused { operation, message }),
        ok @ Answer::Ok { .. } => Ok((stream, ok)),
    }
}

/// Connects to a socket whose path may be longer than the 107 bytes of `sun_path`, by way of its directory's descriptor.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < 100 {
        return UnixStream::connect(path).await;
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    use std::os::fd::AsRawFd as _;
    let dir = std::fs::File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), name.to_string_lossy())).await
}
