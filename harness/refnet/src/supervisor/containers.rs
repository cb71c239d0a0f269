//! The Pods of the lab, for its API: programs are started beside a container's process, in its network namespace, and logs are read
//! from where its node writes them. A container holds nothing but the agent, so nothing else can be started in one.

use std::io;
use std::process::Stdio;
use std::sync::Weak;

use tokio::process::Command;

use super::cluster::Cluster;
use crate::api::{Container, Containers, Life, Started, Starting};
use crate::fault::Layer;
use crate::node::logs;

/// Where the agent is in a container.
const AGENT: &str = "/plumb/agent";

/// The Pods of a lab.
pub(super) struct Pods(pub(super) Weak<Cluster>);

impl Containers for Pods {
    fn start<'a>(&'a self, container: &'a Container, command: &'a [String]) -> Starting<'a> {
        Box::pin(async move {
            let Some(cluster) = self.0.upgrade() else { return Err("the lab has ended".to_owned()) };
            let [program, arguments @ ..] = command else { return Err("there is no command".to_owned()) };
            if program != AGENT {
                // As a container runtime says it.
                return Err(format!("exec: {program:?}: executable file not found in $PATH: the container holds {AGENT} alone"));
            }
            start(&cluster, container, arguments).await.map_err(|error| error.to_string())
        })
    }

    fn log(&self, container: &Container, life: Life) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(logs::file(container, life))?).into_owned())
    }
}

async fn start(cluster: &Cluster, container: &Container, arguments: &[String]) -> Result<Started, super::SupervisorError> {
    let vantage = format!("pod/{}/{}", container.namespace, container.pod);
    let failed = || super::SupervisorError::io(format!("start the agent in {vantage}"));
    let place = cluster.place(&vantage).await?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("__agent").args(arguments).envs(cluster.spec.faults.for_agent(Layer::Capture));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.process_group(place.group.unwrap_or(0));
    let runtime = tokio::runtime::Handle::current();
    let spawned = place.netns.run(|| {
        let _guard = runtime.enter();
        command.spawn()
    });
    let mut child = spawned.and_then(|spawned| spawned).map_err(failed())?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        return Err(failed()(io::Error::other("its pipes are missing")));
    };
    let ended = async move {
        use std::os::unix::process::ExitStatusExt as _;
        // A process ended by a signal has the status shells give it.
        child.wait().await.map_or(1, |status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    };
    Ok(Started { stdin: Box::pin(stdin), stdout: Box::pin(stdout), stderr: Box::pin(stderr), ended: Box::pin(ended) })
}
