//! The images of labs with real Cilium: which they are, and a folder of archives with them for machines without a way out.
//!
//! Cilium's images lie in the folder itself, as `--images` takes them; the node image lies in `node/`, because Docker needs it and the
//! nodes do not.

use std::path::{Path, PathBuf};

use plumb_core::images::{Image, images};
use plumb_core::values::Values;

use super::fetch::{self, Download};
use super::lock::Lock;
use super::{Given, Reach, read_values, tools};
use crate::cilium::{Chart, CiliumError};
use crate::docker::{DockerError, Engine};

/// Folder of the node image within the folder of archives.
pub const NODE_FOLDER: &str = "node";

/// Images are not known, not here or not kept.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The chart cannot be used.
    #[error(transparent)]
    Chart(#[from] CiliumError),
    /// Its values cannot be read.
    #[error(transparent)]
    Values(#[from] super::ValuesError),
    /// Nothing says which images a version has.
    #[error("name the images of Cilium {version}: they are known for {known}\nhint: give the folder of its unpacked chart with --chart")]
    Unknown {
        /// Which version.
        version: String,
        /// Versions that are known.
        known: String,
    },
    /// A value switches on what nothing names.
    #[error(
        "name the images of Cilium {version}: a value asks for {role}, and nothing says which image that is\nhint: give the folder of its unpacked chart with --chart"
    )]
    Unnamed {
        /// Which version.
        version: String,
        /// Which image.
        role: String,
    },
    /// It is not here and may not be fetched.
    #[error("save {reference}: it is not in Docker, and nothing may leave this machine\nhint: docker load it, or go without --offline")]
    Offline {
        /// Which.
        reference: String,
    },
    /// Another image has its name.
    #[error("save {reference}: Docker has {found} under this name, expected {expected}\nhint: docker image rm {reference}")]
    Another {
        /// Which.
        reference: String,
        /// Digests of the one that is here.
        found: String,
        /// The digest it must have.
        expected: String,
    },
    /// A folder or file.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder without a node image.
    #[error("load the images in {}: there is no *.tar in its folder {NODE_FOLDER}\nhint: `plumb images save` makes it", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Docker did not.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// The images a flag set of a version runs with: as its chart says, where one is given, else as `parts.lock` has them.
///
/// # Errors
/// See [`ImagesError`].
pub fn needed(given: &Given, version: &str, values: &Values) -> Result<Vec<Image>, ImagesError> {
    let lock = Lock::own();
    let unnamed = |role| ImagesError::Unnamed { version: version.to_owned(), role };
    if given.chart.is_some()
        && let Chart::Directory(folder) = Chart::of(given, version)?
    {
        return images(&read_values(&folder.join("values.yaml"))?, values).map_err(unnamed);
    }
    let known = || lock.versions_with_images().join(", ");
    let chart = lock.images(version).ok_or_else(|| ImagesError::Unknown { version: version.to_owned(), known: known() })?;
    images(chart, values).map_err(unnamed)
}

/// The node image for clusters with these versions of Cilium: the one that is given, else that of the `kind` that would be used.
pub async fn node_image(given: &Given, cilium_versions: &[&str]) -> Option<Image> {
    let image = match &given.node_image {
        Some(image) => image.clone(),
        None => tools::node_image_of_kind(given, cilium_versions).await?.to_owned(),
    };
    let (reference, digest) = match image.split_once('@') {
        Some((reference, digest)) => (reference.to_owned(), Some(digest.to_owned())),
        None => (image, None),
    };
    Some(Image { role: "node".into(), reference, digest })
}

/// Saves images into a folder, each as an archive; what Docker lacks is pulled first. The archives, in the order of the images.
///
/// # Errors
/// See [`ImagesError`].
pub async fn save(engine: &Engine, images: &[Image], folder: &Path, reach: Reach) -> Result<Vec<PathBuf>, ImagesError> {
    let mut archives = Vec::with_capacity(images.len());
    for image in images {
        let place = if image.role == "node" { folder.join(NODE_FOLDER) } else { folder.to_owned() };
        std::fs::create_dir_all(&place).map_err(|source| ImagesError::Io { operation: "make the folder", path: place.clone(), source })?;
        here(engine, image, reach).await?;
        let archive = place.join(file_name(&image.reference));
        let io = |source| ImagesError::Io { operation: "write", path: archive.clone(), source };
        // Under another name until it is whole: what is cut off must not look like an archive.
        let part = tempfile::Builder::new().suffix(".part").tempfile_in(&place).map_err(io)?;
        engine.save(&image.reference, part.path()).await?;
        part.persist(&archive).map_err(|error| io(error.error))?;
        archives.push(archive);
    }
    Ok(archives)
}

/// Sees to it that Docker has an image, and not another under its name.
async fn here(engine: &Engine, image: &Image, reach: Reach) -> Result<(), ImagesError> {
    let reference = || image.reference.clone();
    if engine.image(&image.reference).await?.is_some() {
        let digests = engine.digests(&image.reference).await?;
        return match &image.digest {
            Some(expected) if !digests.is_empty() && !digests.contains(expected) => {
                Err(ImagesError::Another { reference: reference(), found: digests.join(", "), expected: expected.clone() })
            }
            _ => Ok(()),
        };
    }
    if reach == Reach::Offline {
        return Err(ImagesError::Offline { reference: reference() });
    }
    let tell = |bytes, total, ended| fetch::tell(&Download { what: &image.reference, bytes, total, ended });
    let pulled = engine.pull(&image.reference, image.digest.as_deref(), |bytes, total| tell(bytes, Some(total), false)).await;
    tell(0, None, true);
    Ok(pulled?)
}

/// Loads the node images of a folder into Docker; their names.
///
/// # Errors
/// See [`ImagesError`].
pub async fn load(engine: &Engine, folder: &Path) -> Result<Vec<String>, ImagesError> {
    let place = folder.join(NODE_FOLDER);
    let entries = std::fs::read_dir(&place).into_iter().flatten().flatten();
    let mut archives: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "tar")).collect();
    archives.sort();
    if archives.is_empty() {
        return Err(ImagesError::Empty { path: folder.to_owned() });
    }
    let mut names = Vec::new();
    for archive in archives {
        names.extend(engine.load(&archive).await?);
    }
    Ok(names)
}

/// `quay.io_cilium_cilium_v1.17.1.tar`.
fn file_name(reference: &str) -> String {
    format!("{}.tar", reference.replace(['/', ':'], "_"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn pinned(given: &Given, version: &str) -> Vec<String> {
        needed(given, version, &Values::new()).unwrap().iter().map(Image::pinned).collect()
    }

    #[test]
    fn a_known_version_has_three_images_and_an_unknown_one_asks_for_its_chart() {
        let found = pinned(&Given::default(), "1.17.1");
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("quay.io/cilium/cilium:v1.17.1@sha256:8969bfd9c87c"), "{found:?}");
        let error = needed(&Given::default(), "1.18.4", &Values::new()).unwrap_err().to_string();
        assert!(error.contains("known for 1.16.2, 1.17.1, 1.17.14, 1.20.0\nhint: ") && error.ends_with("--chart"), "{error}");
        let relay = [("hubble.relay.enabled".to_owned(), json!(true))].into();
        let error = needed(&Given::default(), "1.17.1", &relay).unwrap_err().to_string();
        assert!(error.contains("a value asks for hubble-relay"), "{error}");
    }

    #[test]
    fn a_chart_that_is_given_says_which() {
        let chart = tempfile::tempdir().unwrap();
        std::fs::write(chart.path().join("Chart.yaml"), "name: cilium\nversion: 1.18.4\n").unwrap();
        let values = "image: {repository: r/cilium, tag: v1.18.4, digest: 'sha256:aa'}\noperator: {image: {repository: r/operator, tag: t}}\nenvoy: {enabled: false}\n";
        std::fs::write(chart.path().join("values.yaml"), values).unwrap();
        let given = Given { chart: Some(chart.path().to_owned()), ..Given::default() };
        assert_eq!(pinned(&given, "1.18.4"), ["r/cilium:v1.18.4@sha256:aa", "r/operator-generic:t"]);
        assert!(needed(&given, "1.17.1", &Values::new()).unwrap_err().to_string().contains("--cilium-version 1.18.4"));
    }

    #[tokio::test]
    async fn the_node_image_is_the_one_that_is_given() {
        let given = Given { node_image: Some("kindest/node:v1.30.13@sha256:aa".into()), ..Given::default() };
        let found = node_image(&given, &["1.17.1"]).await.unwrap();
        assert_eq!((found.reference.as_str(), found.digest.as_deref()), ("kindest/node:v1.30.13", Some("sha256:aa")));
        assert_eq!(file_name(&found.reference), "kindest_node_v1.30.13.tar");
    }
}
