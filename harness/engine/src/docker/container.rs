//! Containers: the outside client, and what may be done to any container that was named to us.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, NetworkingConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use futures::StreamExt as _;

use super::{Claim, DockerError, Engine, OWNER_LABEL, failed, unless_missing};

/// Label kind gives its nodes, with the cluster's name.
const KIND_LABEL: &str = "io.x-k8s.kind.cluster";

/// A container for the outside client.
#[derive(Debug)]
pub struct Client<'a> {
    /// Its name.
    pub name: &'a str,
    /// The agent's image.
    pub image: &'a str,
    /// The network its first interface, `eth0`, is on.
    pub network: &'a str,
    /// Who may take it away.
    pub claim: &'a Claim,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its address there.
    pub address: Ipv4Addr,
    /// Length of the prefix.
    pub prefix: u8,
    /// Its hardware address there.
    pub mac: String,
}

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It does.
    Yes,
    /// It is frozen.
    Paused,
    /// It does not.
    No,
}

/// A container as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Id of its image.
    pub image: String,
    /// Whether it runs.
    pub running: Running,
    /// The networks it is on, by name.
    pub networks: BTreeMap<String, Attachment>,
}

impl Engine {
    /// Makes and starts the outside client: an agent that waits, with leave to send and read frames and nothing else.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn start_client(&self, client: &Client<'_>) -> Result<(), DockerError> {
        let text = str::to_owned;
        // Interfaces that come later take the default: an answer may leave by another way than its question came.
        let sysctls = [("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.default.rp_filter", "0")];
        let host_config = HostConfig {
            network_mode: Some(text(client.network)),
            cap_drop: Some(vec![text("ALL")]),
            cap_add: Some(vec![text("NET_ADMIN"), text("NET_RAW")]),
            sysctls: Some(sysctls.into_iter().map(|(key, value)| (text(key), text(value))).collect()),
            ..HostConfig::default()
        };
        let endpoints = HashMap::from([(text(client.network), EndpointSettings::default())]);
        let body = ContainerCreateBody {
            image: Some(text(client.image)),
            hostname: Some(text("client")),
            // A session whose input nobody closes: it waits.
            entrypoint: Some(vec![text("/plumb/agent"), text("session")]),
            open_stdin: Some(true),
            labels: Some(client.claim.labels()),
            host_config: Some(host_config),
            networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(client.name).build();
        let made = self.docker.create_container(Some(options), body).await;
        made.map_err(|error| failed(format!("make the container {}", client.name), error))?;
        self.start(client.name).await
    }

    /// Starts a container.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn start(&self, name: &str) -> Result<(), DockerError> {
        let started = self.docker.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(|error| failed(format!("start the container {name}"), error))
    }

    /// Asks a container to end and ends it after `grace`.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let options = StopContainerOptionsBuilder::new().t(i32::try_from(grace.as_secs()).unwrap_or(i32::MAX)).build();
        let stopped = self.docker.stop_container(name, Some(options)).await;
        stopped.map_err(|error| failed(format!("stop the container {name}"), error))
    }

    /// Ends a container at once, as a power cut would.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn kill(&self, name: &str) -> Result<(), DockerError> {
        let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        let killed = self.docker.kill_container(name, Some(options)).await;
        killed.map_err(|error| failed(format!("kill the container {name}"), error))
    }

    /// Freezes a container's processes. Its interfaces and what the kernel does on them go on.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn pause(&self, name: &str) -> Result<(), DockerError> {
        self.docker.pause_container(name).await.map_err(|error| failed(format!("pause the container {name}"), error))
    }

    /// Thaws them.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn unpause(&self, name: &str) -> Result<(), DockerError> {
        self.docker.unpause_container(name).await.map_err(|error| failed(format!("unpause the container {name}"), error))
    }

    /// Takes a container away with its volumes, whatever state it is in; one that is gone is no error.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn remove_container(&self, name: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker.remove_container(name, Some(options)).await;
        match removed.map_err(|error| failed(format!("remove the container {name}"), error)) {
            // Somebody else is at it; it is gone when that one is done.
            Err(DockerError::Refused { status: 409, message, .. }) if message.contains("already in progress") => {
                self.until_gone(name).await
            }
            other => unless_missing(other),
        }
    }

    async fn until_gone(&self, name: &str) -> Result<(), DockerError> {
        let options = bollard::query_parameters::WaitContainerOptionsBuilder::new().condition("removed").build();
        let mut waiting = self.docker.wait_container(name, Some(options));
        let limit = Duration::from_secs(30);
        let operation = format!("wait for the end of the container {name}");
        match tokio::time::timeout(limit, waiting.next()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(DockerError::Late { operation, limit }),
        }
    }

    /// A container as it is.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn container(&self, name: &str) -> Result<Container, DockerError> {
        let inspected = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let found = inspected.map_err(|error| failed(format!("look at the container {name}"), error))?;
        let state = found.state.unwrap_or_default();
        let running = match (state.running, state.paused) {
            (_, Some(true)) => Running::Paused,
            (Some(true), _) => Running::Yes,
            _ => Running::No,
        };
        let attachment = |endpoint: EndpointSettings| {
            let prefix = u8::try_from(endpoint.ip_prefix_len?).ok()?;
            Some(Attachment { address: endpoint.ip_address?.parse().ok()?, prefix, mac: endpoint.mac_address.unwrap_or_default() })
        };
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        Ok(Container {
            id: found.id.unwrap_or_default(),
            image: found.image.unwrap_or_default(),
            running,
            networks: networks.into_iter().filter_map(|(name, endpoint)| Some((name, attachment(endpoint)?))).collect(),
        })
    }

    /// The first process of a container, as this machine counts it.
    ///
    /// # Errors
    /// See [`DockerError`]; one that does not run has none.
    pub async fn pid_of(&self, name: &str) -> Result<i64, DockerError> {
        let operation = || format!("find the process of the container {name}");
        let inspected = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let found = inspected.map_err(|error| failed(operation(), error))?;
        let pid = found.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        pid.ok_or_else(|| DockerError::Call { operation: operation(), message: "it does not run".to_owned() })
    }

    /// The port of this machine's loopback address at which a port of a container (`6443/tcp`) is published.
    ///
    /// # Errors
    /// See [`DockerError`]; one that is not published is one.
    pub async fn published(&self, name: &str, port: &str) -> Result<u16, DockerError> {
        let operation = || format!("find where port {port} of the container {name} is published");
        let inspected = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let found = inspected.map_err(|error| failed(operation(), error))?;
        let mut ports = found.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
        let bindings = ports.remove(port).flatten().unwrap_or_default();
        let here = bindings.into_iter().find(|binding| binding.host_ip.as_deref() == Some("127.0.0.1"));
        let published = here.and_then(|binding| binding.host_port?.parse().ok());
        published.ok_or_else(|| DockerError::Call { operation: operation(), message: "it is not published on 127.0.0.1".to_owned() })
    }

    /// Everything Docker says of a container, as JSON text.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn inspect(&self, name: &str) -> Result<String, DockerError> {
        let inspected = self.docker.inspect_container(name, None::<InspectContainerOptions>).await;
        let found = inspected.map_err(|error| failed(format!("look at the container {name}"), error))?;
        serde_json::to_string_pretty(&found)
            .map_err(|error| DockerError::Call { operation: format!("look at the container {name}"), message: error.to_string() })
    }

    /// Unpacks a tar archive in a container's root.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn upload(&self, name: &str, archive: bytes::Bytes) -> Result<(), DockerError> {
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let uploaded = self.docker.upload_to_container(name, Some(options), bollard::body_full(archive)).await;
        uploaded.map_err(|error| failed(format!("upload into the container {name}"), error))
    }

    /// Names of the nodes of a kind cluster, running or not.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn kind_nodes(&self, cluster: &str) -> Result<Vec<String>, DockerError> {
        Ok(self.with_label(&format!("{KIND_LABEL}={cluster}")).await?.into_iter().map(|(name, _)| name).collect())
    }

    /// Every kind cluster there is, ours or not, each once.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn kind_clusters(&self) -> Result<Vec<String>, DockerError> {
        let found = self.with_label(KIND_LABEL).await?;
        let names: std::collections::BTreeSet<String> =
            found.into_iter().filter_map(|(_, labels)| labels.get(KIND_LABEL).cloned()).collect();
        Ok(names.into_iter().collect())
    }

    /// Our containers with their claims.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn claimed_containers(&self) -> Result<Vec<(String, Claim)>, DockerError> {
        let found = self.with_label(OWNER_LABEL).await?;
        Ok(found.into_iter().filter_map(|(name, labels)| Some((name, Claim::read(&labels)?))).collect())
    }

    async fn with_label(&self, label: &str) -> Result<Vec<(String, HashMap<String, String>)>, DockerError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.docker.list_containers(Some(options)).await.map_err(|error| failed("list the containers", error))?;
        let name = |names: Option<Vec<String>>| Some(names?.first()?.trim_start_matches('/').to_owned());
        let named = found.into_iter().filter_map(|one| Some((name(one.names)?, one.labels.unwrap_or_default())));
        let mut named: Vec<(String, HashMap<String, String>)> = named.collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(named)
    }

    /// Waits until a container runs; it need not exist yet.
    ///
    /// # Errors
    /// See [`DockerError`]; there is no limit here.
    pub async fn until_running(&self, name: &str) -> Result<(), DockerError> {
        let filters = HashMap::from([("container", vec![name]), ("event", vec!["start"])]);
        // The stream first, then the look: a start between the two is seen by one of them. Its request goes out when it is polled.
        let mut events = self.docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build()));
        let mut looked = false;
        loop {
            let next = tokio::time::timeout(if looked { Duration::from_secs(5) } else { Duration::from_millis(50) }, events.next()).await;
            looked = true;
            match self.container(name).await {
                Ok(found) if found.running == Running::Yes => return Ok(()),
                Ok(_) => {}
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
            match next {
                Ok(Some(Err(error))) => return Err(failed(format!("watch for the start of {name}"), error)),
                Ok(None) => events = self.docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build())),
                Ok(Some(Ok(_))) | Err(_) => {}
            }
        }
    }
}
