//! Images into nodes, as `kind load image-archive` does it: `ctr images import` in the node, the archive on its standard input.
//!
//! What a node has already is not brought again. An archive is read where it lies; it is never unpacked here.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join_all;
use serde_json::Value;

use crate::docker::{DockerError, Engine};

/// Limit for bringing one archive into one node.
const IMPORT: Duration = Duration::from_secs(600);
/// Limit for the container runtime of a node to answer for the first time.
const AWAKE: Duration = Duration::from_secs(120);
/// How often it is asked.
const EVERY: Duration = Duration::from_millis(250);
/// Limit for one question.
const QUESTION: Duration = Duration::from_secs(20);

/// Images were not brought into a node.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// A file.
    #[error("read the images in {}: {source}{}", path.display(), again(source))]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder without archives.
    #[error("read the images in {}: there is no *.tar in it\nhint: `plumb images save` writes them, as `docker save` does", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is no archive of images.
    #[error("read the images in {}: it names none (no manifest.json or index.json with names in it){AGAIN}", path.display())]
    Nameless {
        /// The file.
        path: PathBuf,
    },
    /// An archive that ends too early.
    #[error("read the images in {}: it is cut off: it has {bytes} bytes, and what is in it needs {needed}{AGAIN}", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// How long it is.
        bytes: u64,
        /// How long it would have to be at least.
        needed: u64,
    },
    /// Docker or the node said no.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// The cure of a file that is broken.
const AGAIN: &str = "\nhint: write it again (`plumb images save`, or `docker save`)";

fn again(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => "",
        _ => AGAIN,
    }
}

/// An archive with images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where it is.
    pub path: PathBuf,
    /// References of the images in it, as containerd names them (`docker.io/library/x:latest`).
    pub references: Vec<String>,
    /// Its lists of contents, which name everything in it by digest: two archives with the same hold the same.
    pub contents: String,
}

/// Which container runtime of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime<'a> {
    /// The node's own.
    Node,
    /// One that listens on a socket of its own.
    At(&'a str),
}

impl<'a> Runtime<'a> {
    /// The beginning of a `ctr` command.
    fn ctr(self) -> Vec<&'a str> {
        match self {
            Runtime::Node => vec!["ctr", "--namespace=k8s.io"],
            Runtime::At(socket) => vec!["ctr", "--address", socket, "--namespace=k8s.io"],
        }
    }
}

/// The archives of a folder, in the order of their names.
///
/// # Errors
/// See [`ImagesError`].
pub fn archives(folder: &Path) -> Result<Vec<Archive>, ImagesError> {
    let failed = |source| ImagesError::Io { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    paths.sort();
    if paths.is_empty() {
        return Err(ImagesError::Empty { path: folder.to_owned() });
    }
    paths.into_iter().map(archive).collect()
}

/// An archive by its lists of contents: `manifest.json` (Docker image specification v1.2) and `index.json` (OCI image layout), of which
/// it may have both.
fn archive(path: PathBuf) -> Result<Archive, ImagesError> {
    let failed = |source| ImagesError::Io { path: path.clone(), source };
    let file = std::fs::File::open(&path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut archive = tar::Archive::new(file);
    let mut found = BTreeSet::new();
    let mut contents = BTreeSet::new();
    // Seeking over the layers makes this a matter of milliseconds.
    for entry in archive.entries_with_seek().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        // Seeking beyond the end is no error, so an archive that was cut in a layer would be found out in the node only.
        let needed = entry.raw_file_position().saturating_add(entry.size());
        if needed > bytes {
            return Err(ImagesError::Cut { path: path.to_owned(), bytes, needed });
        }
        let name = entry.path().map_err(failed)?.to_string_lossy().trim_start_matches("./").to_owned();
        if name != "manifest.json" && name != "index.json" {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(failed)?;
        let value: Value = serde_json::from_str(&text).map_err(|error| failed(error.into()))?;
        found.extend(names(&value));
        contents.insert(text);
    }
    if found.is_empty() {
        return Err(ImagesError::Nameless { path });
    }
    Ok(Archive { path, references: found.into_iter().collect(), contents: contents.into_iter().collect() })
}

fn names(value: &Value) -> Vec<String> {
    let docker = value.as_array().into_iter().flatten().filter_map(|image| image["RepoTags"].as_array()).flatten();
    let annotation = |manifest: &Value| manifest["annotations"].get("io.containerd.image.name").and_then(Value::as_str).map(normal);
    let oci = value["manifests"].as_array().into_iter().flatten().filter_map(annotation);
    docker.filter_map(Value::as_str).map(normal).chain(oci).collect()
}

/// A reference with the registry and the library that Docker leaves out.
pub fn normal(reference: &str) -> String {
    let (first, rest) = reference.split_once('/').unwrap_or(("", reference));
    let registry = first.contains('.') || first.contains(':') || first == "localhost";
    let named = match (registry, first) {
        (true, _) => reference.to_owned(),
        (false, "") => format!("docker.io/library/{rest}"),
        (false, _) => format!("docker.io/{reference}"),
    };
    let tagged = named.rsplit('/').next().is_some_and(|last| last.contains(':') || last.contains('@'));
    if tagged { named } else { format!("{named}:latest") }
}

/// Waits until the container runtime of a node answers, and gives the names of the images it has.
///
/// # Errors
/// It did not answer in time, with what it said last.
pub async fn present(engine: &Engine, node: &str, runtime: Runtime<'_>) -> Result<BTreeSet<String>, ImagesError> {
    let began = tokio::time::Instant::now();
    let command = [runtime.ctr(), vec!["images", "ls", "-q"]].concat();
    loop {
        match engine.succeed(node, &command, QUESTION).await {
            Ok(listed) => return Ok(listed.lines().map(str::to_owned).collect()),
            Err(error) if began.elapsed() > AWAKE => return Err(error.into()),
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Brings archives into a node, those of which it has every image left out. Gives the references it has of them.
///
/// # Errors
/// See [`ImagesError`].
pub async fn bring(engine: &Engine, node: &str, archives: &[Archive], runtime: Runtime<'_>) -> Result<(), ImagesError> {
    if archives.is_empty() {
        return Ok(());
    }
    let present = present(engine, node, runtime).await?;
    let snapshotter = snapshotter(engine, node).await?;
    let wanted = archives.iter().filter(|archive| archive.references.iter().any(|reference| !present.contains(reference)));
    for archive in wanted {
        let file = tokio::fs::File::open(&archive.path).await;
        let mut file = file.map_err(|source| ImagesError::Io { path: archive.path.clone(), source })?;
        // Each read is a task of its own on another thread.
        file.set_max_buf_size(1024 * 1024);
        import(engine, node, runtime, &snapshotter, file).await?;
    }
    Ok(())
}

/// Brings an image that was made in memory into nodes.
///
/// # Errors
/// See [`ImagesError`].
pub async fn bring_bytes(engine: &Engine, nodes: &[String], archive: &[u8]) -> Result<(), ImagesError> {
    try_join_all(nodes.iter().map(async |node| {
        present(engine, node, Runtime::Node).await?;
        import(engine, node, Runtime::Node, &snapshotter(engine, node).await?, archive).await
    }))
    .await
    .map(drop)
}

async fn import<R>(engine: &Engine, node: &str, runtime: Runtime<'_>, snapshotter: &str, archive: R) -> Result<(), ImagesError>
where
    R: tokio::io::AsyncRead + Send + Unpin,
{
    let snapshotter = format!("--snapshotter={snapshotter}");
    let command = [runtime.ctr(), vec!["images", "import", "--all-platforms", "--digests", &snapshotter, "-"]].concat();
    engine.succeed_with(node, &command, Some(archive), IMPORT).await?;
    Ok(())
}

/// The snapshotter the node's kubelet uses: what is unpacked into another is unpacked again.
async fn snapshotter(engine: &Engine, node: &str) -> Result<String, ImagesError> {
    let config = engine.succeed(node, &["containerd", "config", "dump"], QUESTION).await?;
    Ok(snapshotter_in(&config).unwrap_or("overlayfs").to_owned())
}

fn snapshotter_in(config: &str) -> Option<&str> {
    let lines = config.lines().filter_map(|line| line.trim().strip_prefix("snapshotter ="));
    lines.map(|value| value.trim().trim_matches(['"', '\''])).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::docker::{agent_layer, image_archive};

    #[test]
    fn an_archive_is_known_by_the_names_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let archive = image_archive("plumb-agent:lab", &agent_layer(b"program"));
        std::fs::write(folder.path().join("b.tar"), &archive).unwrap();
        std::fs::write(folder.path().join("a.txt"), "no archive").unwrap();
        let found = archives(folder.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].references, ["docker.io/library/plumb-agent:lab"]);
        // What is in it counts, not where it lies.
        std::fs::rename(folder.path().join("b.tar"), folder.path().join("c.tar")).unwrap();
        assert_eq!(archives(folder.path()).unwrap()[0].contents, found[0].contents);
        std::fs::write(folder.path().join("c.tar"), image_archive("plumb-agent:lab", &agent_layer(b"another"))).unwrap();
        assert_ne!(archives(folder.path()).unwrap()[0].contents, found[0].contents);
    }

    #[test]
    fn a_folder_without_archives_and_an_archive_without_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = archives(folder.path()).unwrap_err().to_string();
        assert!(empty.contains("there is no *.tar in it\nhint: `plumb images save`"), "{empty}");
        let path = folder.path().join("x.tar");
        std::fs::write(&path, crate::docker::tar_of_file("x", b"x")).unwrap();
        assert!(matches!(archives(folder.path()), Err(ImagesError::Nameless { path: named }) if named == path));
        std::fs::write(&path, "not a tar at all").unwrap();
        assert!(archives(folder.path()).is_err());
    }

    #[test]
    fn an_archive_that_is_cut_in_a_layer_is_refused_though_its_names_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in [("manifest.json", br#"[{"RepoTags":["x:1"]}]"#.to_vec()), ("layer.tar", vec![7; 8192])] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        let whole = builder.into_inner().unwrap();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(archives(folder.path()).unwrap()[0].references, ["docker.io/library/x:1"]);
        std::fs::write(&path, &whole[..4096]).unwrap();
        let cut = archives(folder.path()).unwrap_err().to_string();
        assert!(cut.contains("it is cut off: it has 4096 bytes") && cut.contains("hint: write it again"), "{cut}");
    }

    #[test]
    fn references_are_what_containerd_calls_them() {
        let cases = [
            ("x", "docker.io/library/x:latest"),
            ("x:1", "docker.io/library/x:1"),
            ("a/x:1", "docker.io/a/x:1"),
            ("localhost/x:1", "localhost/x:1"),
            ("quay.io/cilium/cilium:v1.17.1", "quay.io/cilium/cilium:v1.17.1"),
            ("reg:5000/x", "reg:5000/x:latest"),
        ];
        for (short, long) in cases {
            assert_eq!(normal(short), long);
        }
        let index = serde_json::json!({"manifests": [{"annotations": {"io.containerd.image.name": "quay.io/a/b:1"}}, {"digest": "x"}]});
        assert_eq!(names(&index), ["quay.io/a/b:1"]);
    }

    #[test]
    fn the_snapshotter_is_read_from_the_configuration_in_force() {
        let text = "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"fuse-overlayfs\"\n";
        assert_eq!(snapshotter_in(text), Some("fuse-overlayfs"));
        assert_eq!(snapshotter_in("snapshotter = \"\"\n  snapshotter = 'native'\n"), Some("native"));
        assert_eq!(snapshotter_in("disabled_plugins = []"), None);
    }
}
