//! Volumes that are kept between runs, and the container in which one is worked on.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};

use super::{Claim, DockerError, Engine, failed, unless_missing};

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Where Docker's machine has it.
    pub mountpoint: PathBuf,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// When it was made, as Docker writes it (RFC 3339), which sorts by time.
    pub created: String,
}

impl Engine {
    /// Makes a volume; one of this name that is there already stays as it is.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn make_volume(&self, name: &str, labels: HashMap<String, String>) -> Result<Volume, DockerError> {
        let request = VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..VolumeCreateRequest::default() };
        let made = self.docker.create_volume(request).await;
        made.map(volume).map_err(|error| failed(format!("make the volume {name}"), error))
    }

    /// A volume by its name; `None` when there is none.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn volume(&self, name: &str) -> Result<Option<Volume>, DockerError> {
        match self.docker.inspect_volume(name).await.map_err(|error| failed(format!("look at the volume {name}"), error)) {
            Ok(found) => Ok(Some(volume(found))),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every volume with a label, the oldest first.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn volumes_with(&self, label: &str) -> Result<Vec<Volume>, DockerError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let found = self.docker.list_volumes(Some(options)).await.map_err(|error| failed("list the volumes", error))?;
        let mut found: Vec<Volume> = found.volumes.unwrap_or_default().into_iter().map(volume).collect();
        found.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
        Ok(found)
    }

    /// Takes a volume away; one that is gone is no error, one that a container mounts by its name is.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        let removed = self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await;
        unless_missing(removed.map_err(|error| failed(format!("remove the volume {name}"), error)))
    }

    /// What containers, running or not, have mounted, as paths of Docker's machine.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn mounted(&self) -> Result<BTreeSet<PathBuf>, DockerError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let found = self.docker.list_containers(Some(options)).await.map_err(|error| failed("list the containers", error))?;
        Ok(found.into_iter().flat_map(|one| one.mounts.unwrap_or_default()).filter_map(|mount| mount.source.map(PathBuf::from)).collect())
    }

    /// Starts a container that only waits, for work on a volume. It may mount, as a container runtime in it must; it has no network.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn start_workshop(&self, name: &str, image: &str, volume: &str, at: &str, claim: &Claim) -> Result<(), DockerError> {
        let text = str::to_owned;
        let host_config = HostConfig {
            network_mode: Some(text("none")),
            privileged: Some(true),
            init: Some(true),
            binds: Some(vec![format!("{volume}:{at}")]),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(text(image)),
            entrypoint: Some(["sleep", "infinity"].map(text).into()),
            cmd: Some(Vec::new()),
            labels: Some(claim.labels()),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker.create_container(Some(options), body).await;
        made.map_err(|error| failed(format!("make the container {name}"), error))?;
        self.start(name).await
    }
}

fn volume(found: bollard::models::Volume) -> Volume {
    let created = found.created_at.map(|at| at.to_string()).unwrap_or_default();
    Volume { name: found.name, mountpoint: PathBuf::from(found.mountpoint), labels: found.labels, created }
}
