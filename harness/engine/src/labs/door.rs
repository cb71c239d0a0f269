//! Into a lab that stays: a program at a vantage point, or here with the lab's kubeconfig.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigHandler, Signal};

use super::{LabsError, Record, State};
use crate::docker;
use crate::provider::entrance::{Entrance, Place};
use crate::provider::kind::{agents, facts};
use crate::run::Kept;

/// A program was not started there. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// It is not there yet, or no longer.
    #[error("enter the lab `{name}`: {why}")]
    Closed {
        /// The lab.
        name: String,
        /// What it is at.
        why: String,
    },
    /// There is no such place.
    #[error("enter {vantage}: {why}\nhint: vantage points are client, node/NAME and pod/NAMESPACE/NAME")]
    Nowhere {
        /// What was given.
        vantage: String,
        /// Why not.
        why: String,
    },
    /// The reference network.
    #[error(transparent)]
    Refnet(#[from] plumb_refnet::lab::LabError),
    /// Docker.
    #[error(transparent)]
    Docker(#[from] docker::DockerError),
    /// The kernel.
    #[error("enter {vantage}: {source}")]
    Enter {
        /// Where to.
        vantage: String,
        /// Why not.
        source: io::Error,
    },
    /// The program.
    #[error("run {program}: {source}")]
    Program {
        /// Which one.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// What is written of the lab.
    #[error(transparent)]
    Labs(#[from] LabsError),
}

/// A vantage point, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vantage {
    /// This machine, with the lab's kubeconfig.
    Here,
    /// The outside client.
    Client,
    /// A node by its logical name or its name in Kubernetes.
    Node(String),
    /// A Pod.
    Pod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
}

impl Vantage {
    /// Reads `client`, `node/NAME`, `pod/NAME` or `pod/NAMESPACE/NAME`; `None` for anything else.
    pub fn read(text: &str) -> Option<Vantage> {
        let words: Vec<&str> = text.split('/').collect();
        match words[..] {
            ["client"] => Some(Vantage::Client),
            ["node", name] if !name.is_empty() => Some(Vantage::Node(name.to_owned())),
            ["pod", name] if !name.is_empty() => Some(Vantage::Pod { namespace: "default".to_owned(), name: name.to_owned() }),
            ["pod", namespace, name] if !namespace.is_empty() && !name.is_empty() => {
                Some(Vantage::Pod { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Vantage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Vantage::Here => f.write_str("this machine"),
            Vantage::Client => f.write_str("client"),
            Vantage::Node(name) => write!(f, "node/{name}"),
            Vantage::Pod { namespace, name } => write!(f, "pod/{namespace}/{name}"),
        }
    }
}

/// Runs a program at a vantage point of a lab, the user's shell when none is given, with this process's standard streams. This process
/// must have one thread: it moves into the lab.
///
/// # Errors
/// See [`DoorError`].
pub fn run(record: &Record, vantage: &Vantage, program: &[String]) -> Result<ExitStatus, DoorError> {
    let kept = match &record.state {
        State::Up(kept) if record.keeper.alive() => kept,
        State::Up(_) | State::Ending => return Err(closed(record, "it is being taken away")),
        State::Making => return Err(closed(record, "it is still being made")),
        State::InUse => return Err(closed(record, "a run is in it")),
    };
    let Kept { entrance, .. } = kept.as_ref();
    let vantage = in_full(vantage, entrance)?;
    match (&entrance.place, &vantage) {
        (_, Vantage::Here) => here(record, entrance, program),
        (Place::Found, _) => {
            let why = "the cluster is somebody's: kubectl exec goes into its Pods".to_owned();
            Err(DoorError::Nowhere { vantage: vantage.to_string(), why })
        }
        (Place::Namespaces { folder }, _) => inside(record, folder, &vantage, program),
        (Place::Docker { client, .. }, _) => in_docker(record, entrance, client, &vantage, program),
    }
}

fn closed(record: &Record, why: &str) -> DoorError {
    DoorError::Closed { name: record.name.clone(), why: why.to_owned() }
}

/// With a node's name as Kubernetes has it.
fn in_full(vantage: &Vantage, entrance: &Entrance) -> Result<Vantage, DoorError> {
    let nowhere = |why: String| DoorError::Nowhere { vantage: vantage.to_string(), why };
    match vantage {
        Vantage::Client if entrance.client.is_empty() => Err(nowhere("the lab has no outside client".to_owned())),
        Vantage::Node(name) => {
            let found = entrance.nodes.iter().find(|(logical, node)| *logical == name || node.name == *name);
            let names = entrance.nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let (_, node) = found.ok_or_else(|| nowhere(format!("its nodes are {names}")))?;
            Ok(Vantage::Node(node.name.clone()))
        }
        other => Ok(other.clone()),
    }
}

/// The program that was asked for, else the user's shell.
fn command(program: &[String], record: &Record, kubeconfig: &Path, vantage: &Vantage) -> Command {
    let mut command = match program {
        [name, arguments @ ..] => {
            let mut command = Command::new(name);
            command.args(arguments);
            command
        }
        [] => Command::new(shell()),
    };
    command.env("KUBECONFIG", kubeconfig).env("PLUMB_LAB", &record.name).env("PLUMB_VANTAGE", vantage.to_string());
    command
}

fn shell() -> PathBuf {
    std::env::var_os("SHELL").map(PathBuf::from).filter(|shell| shell.is_file()).unwrap_or_else(|| "/bin/sh".into())
}

fn here(record: &Record, entrance: &Entrance, program: &[String]) -> Result<ExitStatus, DoorError> {
    wait(command(program, record, &entrance.kubeconfig, &Vantage::Here))
}

fn inside(record: &Record, folder: &Path, vantage: &Vantage, program: &[String]) -> Result<ExitStatus, DoorError> {
    let door = plumb_refnet::lab::door(folder, &vantage.to_string())?;
    let working = std::env::current_dir();
    door.enter().map_err(|source| DoorError::Enter { vantage: vantage.to_string(), source })?;
    let mut command = command(program, record, &folder.join("kubeconfig"), vantage);
    if let Ok(working) = working {
        // The lab's mount namespace began at the root.
        command.current_dir(working);
    }
    wait(command)
}

fn in_docker(record: &Record, entrance: &Entrance, client: &str, vantage: &Vantage, program: &[String]) -> Result<ExitStatus, DoorError> {
    let nowhere = |why: String| DoorError::Nowhere { vantage: vantage.to_string(), why };
    let node = match vantage {
        Vantage::Here => return here(record, entrance, program),
        Vantage::Client => return in_network_of(record, entrance, client, vantage, program),
        Vantage::Node(name) => (name.clone(), None),
        Vantage::Pod { namespace, name } => {
            let kubeconfig = entrance.kubeconfig.clone();
            let found = docker::blocking(async |engine| Ok(pod(&engine, &kubeconfig, namespace, name).await))?;
            found.map_err(|error| nowhere(error.to_string()))?
        }
    };
    let mut words = Command::new("docker");
    words.arg("exec").arg("--interactive");
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        words.arg("--tty");
    }
    words.args(["--env", "KUBECONFIG=/etc/kubernetes/admin.conf", "--env", &format!("PLUMB_LAB={}", record.name)]);
    words.arg(&node.0);
    words.args(node.1.iter().flat_map(|path| ["nsenter".to_owned(), format!("--net={path}")]));
    match program {
        [] => words.arg("bash"),
        program => words.args(program),
    };
    wait(words)
}

/// The node of a Pod, and the Pod's network there.
async fn pod(
    engine: &docker::Engine,
    kubeconfig: &Path,
    namespace: &str,
    name: &str,
) -> Result<(String, Option<String>), crate::provider::kind::KindError> {
    let client = facts::connect(kubeconfig).await?;
    let node = facts::node_of_pod(&client, namespace, name).await?;
    let network = agents::network_of(engine, &node, namespace, name).await?;
    Ok((node, network))
}

/// The client's container holds the agent alone, so the program comes from this machine and only its network is the client's.
fn in_network_of(
    record: &Record,
    entrance: &Entrance,
    client: &str,
    vantage: &Vantage,
    program: &[String],
) -> Result<ExitStatus, DoorError> {
    let failed = |source| DoorError::Enter { vantage: vantage.to_string(), source };
    let pid = docker::blocking(async |engine| engine.pid_of(client).await)?;
    let entered = std::fs::File::open(format!("/proc/{pid}/ns/net")).and_then(|network| Ok(setns(network, CloneFlags::CLONE_NEWNET)?));
    match entered {
        Ok(()) => wait(command(program, record, &entrance.kubeconfig, vantage)),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            let why =
                format!("the client's container holds the agent alone, and its network may be entered by root only ({source}); try sudo");
            Err(DoorError::Nowhere { vantage: vantage.to_string(), why })
        }
        Err(source) => Err(failed(source)),
    }
}

/// Runs it to its end. Ctrl-C is the program's; this process waits for what it makes of it.
fn wait(mut command: Command) -> Result<ExitStatus, DoorError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| DoorError::Program { program: program.clone(), source };
    let mut child = command.spawn().map_err(failed)?;
    let _ignored = Ignored::begin();
    child.wait().map_err(failed)
}

/// The signals of a terminal, ignored while it lives.
struct Ignored;

impl Ignored {
    const SIGNALS: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

    fn begin() -> Ignored {
        Ignored::SIGNALS.iter().for_each(|one| crate::process::dispose(*one, SigHandler::SigIgn));
        Ignored
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        Ignored::SIGNALS.iter().for_each(|one| crate::process::dispose(*one, SigHandler::SigDfl));
    }
}

/// As shells count it.
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vantage_points_are_read_as_they_are_typed() {
        let pod = |namespace: &str, name: &str| Vantage::Pod { namespace: namespace.to_owned(), name: name.to_owned() };
        let cases = [
            ("client", Some(Vantage::Client)),
            ("node/worker", Some(Vantage::Node("worker".to_owned()))),
            ("pod/web-1", Some(pod("default", "web-1"))),
            ("pod/kube-system/web-1", Some(pod("kube-system", "web-1"))),
            ("lab", None),
            ("node/", None),
            ("pod/", None),
            ("pod/a/b/c", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Vantage::read(text), expected, "{text}");
        }
    }
}
