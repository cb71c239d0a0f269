//! Images between registries, Docker and archives (`docker pull`, `save`, `load`).

use std::path::Path;

use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder, TagImageOptionsBuilder};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::{DockerError, Engine, failed};

impl Engine {
    /// Pulls an image and gives it its tag. With a digest it is asked for by that, which Docker checks; `on_bytes` hears what came.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn pull(&self, reference: &str, digest: Option<&str>, mut on_bytes: impl FnMut(u64, u64)) -> Result<(), DockerError> {
        let operation = format!("pull {}", digest.map_or_else(|| reference.to_owned(), |digest| format!("{reference}@{digest}")));
        let (repository, tag) = parts(reference);
        let options = CreateImageOptionsBuilder::new().from_image(repository).tag(digest.unwrap_or(tag)).build();
        let mut steps = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        // Progress is a layer's: what is said last of each counts.
        let mut layers = std::collections::BTreeMap::new();
        while let Some(step) = steps.next().await {
            let step = step.map_err(|error| failed(operation.as_str(), error))?;
            if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
                return Err(DockerError::Call { operation, message: error });
            }
            let of = step.progress_detail.and_then(|of| Some((of.current?, of.total?)));
            if let (Some(id), Some((current, total)), Some("Downloading")) = (step.id, of, step.status.as_deref()) {
                layers.insert(id, (current.max(0) as u64, total.max(0) as u64));
                on_bytes(layers.values().map(|(current, _)| current).sum(), layers.values().map(|(_, total)| total).sum());
            }
        }
        if let Some(digest) = digest {
            let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
            let tagged = self.docker.tag_image(&format!("{repository}@{digest}"), Some(options)).await;
            tagged.map_err(|error| failed(format!("tag {reference}"), error))?;
        }
        Ok(())
    }

    /// Digests under which registries have an image that is here; none when it came from an archive.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn digests(&self, reference: &str) -> Result<Vec<String>, DockerError> {
        let found = self.docker.inspect_image(reference).await.map_err(|error| failed(format!("look at the image {reference}"), error))?;
        let digest = |text: String| text.split_once('@').map(|(_, digest)| digest.to_owned());
        Ok(found.repo_digests.unwrap_or_default().into_iter().filter_map(digest).collect())
    }

    /// Writes an image into an archive.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn save(&self, reference: &str, into: &Path) -> Result<(), DockerError> {
        let operation = || format!("save {reference} to {}", into.display());
        let io = |error: std::io::Error| DockerError::Call { operation: operation(), message: error.to_string() };
        let mut file = tokio::fs::File::create(into).await.map_err(io)?;
        let mut pieces = std::pin::pin!(self.docker.export_image(reference));
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece.map_err(|error| failed(operation(), error))?).await.map_err(io)?;
        }
        file.flush().await.map_err(io)
    }

    /// Reads the images of an archive; their names, as Docker says them.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn load(&self, archive: &Path) -> Result<Vec<String>, DockerError> {
        let operation = || format!("load {}", archive.display());
        let io = |error: std::io::Error| DockerError::Call { operation: operation(), message: error.to_string() };
        let file = tokio::fs::File::open(archive).await.map_err(io)?;
        let body = bollard::body_try_stream(ReaderStream::with_capacity(file, 1 << 18));
        let steps = self.docker.import_image(ImportImageOptionsBuilder::new().build(), body, None);
        let steps: Vec<_> = steps.try_collect().await.map_err(|error| failed(operation(), error))?;
        let mut names = Vec::new();
        for step in steps {
            if let Some(message) = step.error_detail.and_then(|detail| detail.message) {
                return Err(DockerError::Call { operation: operation(), message });
            }
            let said = step.stream.unwrap_or_default();
            names.extend(said.lines().filter_map(|line| line.trim().strip_prefix("Loaded image: ")).map(str::to_owned));
        }
        Ok(names)
    }
}

/// Repository and tag; a colon before a slash belongs to a port.
fn parts(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(parts("quay.io/cilium/cilium:v1.17.1"), ("quay.io/cilium/cilium", "v1.17.1"));
        assert_eq!(parts("127.0.0.1:5000/x"), ("127.0.0.1:5000/x", "latest"));
        assert_eq!(parts("127.0.0.1:5000/x:y"), ("127.0.0.1:5000/x", "y"));
    }
}
