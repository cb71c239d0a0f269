//! The agent's image, made from its bytes: nothing is built and nothing is pulled.

use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures::StreamExt as _;

use super::{Claim, DockerError, Engine, failed, unless_missing};

impl Engine {
    /// Makes an image of one layer, as `docker import - <name>:<tag>` does.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn make_image(&self, name: &str, tag: &str, layer: bytes::Bytes, claim: &Claim) -> Result<(), DockerError> {
        let operation = format!("make the image {name}:{tag}");
        let labels = claim.labels().into_iter().map(|(key, value)| format!("LABEL {key}={value}")).collect();
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(name).tag(tag).changes(labels).build();
        let mut progress = std::pin::pin!(self.docker.create_image(Some(options), Some(bollard::body_full(layer)), None));
        while let Some(step) = progress.next().await {
            step.map_err(|error| failed(operation.as_str(), error))?;
        }
        Ok(())
    }

    /// Takes an image away; one that is gone is no error.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn remove_image(&self, reference: &str) -> Result<(), DockerError> {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let removed = self.docker.remove_image(reference, Some(options), None).await;
        unless_missing(removed.map(drop).map_err(|error| failed(format!("remove the image {reference}"), error)))
    }

    /// Id of an image that is here; `None` when it is not.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn image(&self, reference: &str) -> Result<Option<String>, DockerError> {
        match self.docker.inspect_image(reference).await.map_err(|error| failed(format!("look at the image {reference}"), error)) {
            Ok(found) => Ok(found.id),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Our images with their claims.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn claimed_images(&self) -> Result<Vec<(String, Claim)>, DockerError> {
        let filters = std::collections::HashMap::from([("label", vec![super::OWNER_LABEL])]);
        let options = bollard::query_parameters::ListImagesOptionsBuilder::new().filters(&filters).build();
        let found = self.docker.list_images(Some(options)).await.map_err(|error| failed("list the images", error))?;
        let named = |one: bollard::models::ImageSummary| Some((one.repo_tags.first()?.clone(), Claim::read(&one.labels)?));
        Ok(found.into_iter().filter_map(named).collect())
    }
}
