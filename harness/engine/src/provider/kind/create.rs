//! `kind create cluster`: its arguments, and a run of it that ends with the run that asked.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::docker::sweep::KIND_NETWORK_VARIABLE;

/// kind did not make the cluster.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// It could not be started.
    #[error("start {}: {source}\nhint: give the kind program with --kind", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It said no.
    #[error("make the cluster with `{line}`: {ended}: {}", said(stderr))]
    Failed {
        /// The command, ready to paste.
        line: String,
        /// How it ended.
        ended: String,
        /// What it wrote to standard error.
        stderr: String,
    },
}

/// The end of what it said: kind prints what failed last, after a page of steps that did not.
fn said(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Create<'a> {
    /// The kind program.
    pub program: &'a Path,
    /// Name of the cluster and of its network.
    pub name: &'a str,
    /// Node image; `None` = kind's own default.
    pub image: Option<&'a str>,
    /// Where its kubeconfig goes: a file of its own, never the user's.
    pub kubeconfig: &'a Path,
    /// Docker's socket.
    pub socket: &'a Path,
    /// The configuration ([`super::config::render`]).
    pub config: &'a str,
}

impl Create<'_> {
    /// The arguments. The configuration is on standard input. A cluster that failed is retained, because its logs say why; nothing
    /// waits for nodes, which are not ready before there is a CNI.
    pub fn argv(&self) -> Vec<String> {
        let mut argv: Vec<String> = ["create", "cluster", "--name", self.name, "--config", "-", "--kubeconfig"].map(str::to_owned).into();
        argv.push(self.kubeconfig.display().to_string());
        argv.extend(["--retain", "--wait", "0s"].map(str::to_owned));
        argv.extend(self.image.into_iter().flat_map(|image| ["--image".to_owned(), image.to_owned()]));
        argv
    }

    /// Runs it to its end and gives what it said. Dropped, it is killed; the nodes it made by then are in the ledger by its name.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub async fn run(&self) -> Result<String, CreateError> {
        let failed = |source| CreateError::Start { program: self.program.to_owned(), source };
        let mut child = Command::new(self.program)
            .args(self.argv())
            .env(KIND_NETWORK_VARIABLE, self.name)
            .env("KIND_EXPERIMENTAL_PROVIDER", "docker")
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            // kind merges with it otherwise.
            .env_remove("KUBECONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut input = child.stdin.take();
        let feed = async move {
            if let Some(input) = &mut input {
                // One that ends before it has read says why on its way out.
                let _ = input.write_all(self.config.as_bytes()).await;
            }
            drop(input);
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(failed)?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(stderr);
        }
        let line = format!("{KIND_NETWORK_VARIABLE}={} {} {}", self.name, self.program.display(), self.argv().join(" "));
        Err(CreateError::Failed { line, ended: output.status.to_string(), stderr })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn create<'a>(program: &'a Path, image: Option<&'a str>) -> Create<'a> {
        let (kubeconfig, socket) = (Path::new("/run/lab/kubeconfig"), Path::new("/var/run/docker.sock"));
        Create { program, name: "plumb-1", image, kubeconfig, socket, config: "kind: Cluster\n" }
    }

    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("kind");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_arguments_name_everything_that_is_ours() {
        assert_eq!(
            create(Path::new("kind"), Some("kindest/node:v1.32.2")).argv().join(" "),
            "create cluster --name plumb-1 --config - --kubeconfig /run/lab/kubeconfig --retain --wait 0s --image kindest/node:v1.32.2"
        );
        assert!(!create(Path::new("kind"), None).argv().contains(&"--image".to_owned()));
    }

    #[tokio::test]
    async fn it_hears_its_configuration_and_knows_its_network() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), "echo \"network $KIND_EXPERIMENTAL_DOCKER_NETWORK, $DOCKER_HOST: $(cat)\" >&2");
        let said = create(&program, None).run().await.unwrap();
        assert_eq!(said, "network plumb-1, unix:///var/run/docker.sock: kind: Cluster\n");
    }

    #[tokio::test]
    async fn a_failure_has_its_command_and_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), "echo ERROR: failed to create cluster: no such image >&2; exit 1");
        let error = create(&program, None).run().await.unwrap_err().to_string();
        let command = format!("`KIND_EXPERIMENTAL_DOCKER_NETWORK=plumb-1 {} create cluster --name plumb-1", program.display());
        assert!(error.contains(&command) && error.ends_with("exit status: 1: ERROR: failed to create cluster: no such image"), "{error}");
    }

    #[tokio::test]
    async fn one_that_cannot_be_started_is_named_with_its_cure() {
        let error = create(Path::new("/nonexistent/kind"), None).run().await.unwrap_err().to_string();
        assert!(error.starts_with("start /nonexistent/kind: ") && error.contains("hint: give the kind program with --kind"), "{error}");
    }
}
