//! Images for nodes, unpacked once for many: the archives go into one store of containerd on a volume, and every node of every cluster
//! gets a copy of that store in which what never changes (blobs and the files of unpacked layers) is a hard link.
//!
//! Unpacking a gigabyte into each node is most of what a cluster costs on a machine with few processors, and its outcome is the same each
//! time. A store is known by the node image and by what is in the archives, and is kept between runs like a program that was fetched. It
//! must not be changed once it is complete; whoever makes one makes it under another name and renames it.

use std::path::PathBuf;
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::ground::GroundError;
use super::images::{self, Archive, ImagesError, Runtime};
use super::lease::{self, LeaseError};
use crate::docker::{Claim, DockerError, Engine, Volume};
use crate::ledger::{self, Ledger, Line, Resource};

/// Label of the volumes, with the key of the store.
const LABEL: &str = "plumbline.layers";
/// Label with the image a workshop on the volume is made from.
const IMAGE_LABEL: &str = "plumbline.layers.image";
/// How many stores are kept that nobody uses: one that is used now and the one before, as a change of version and back needs.
const KEPT: usize = 2;
/// Where a workshop has the volume.
const AT: &str = "/layers";
/// Limit for work that does not unpack.
const WORK: Duration = Duration::from_secs(120);

/// Begins a store from what the node image itself holds, and starts a containerd on it that only a workshop can reach.
const BEGIN: &str = "set -e
rm -rf /layers/making /run/plumb-layers
mkdir -p /layers/making /run/plumb-layers
cp -a /var/lib/containerd/. /layers/making/
nohup containerd --root /layers/making --state /run/plumb-layers --address /run/plumb-layers/sock >/run/plumb-layers/log 2>&1 </dev/null &
echo $! >/run/plumb-layers/pid";

/// Ends that containerd and calls the store complete.
const END: &str = "set -e
pid=$(cat /run/plumb-layers/pid)
kill \"$pid\"
timeout 60 tail --pid=\"$pid\" -f /dev/null
sync -f /layers/making
mv /layers/making /layers/template";

/// Copies the store for the nodes `$2...` of the cluster `$1`. Blobs and layers are never written again, so a link will do; all else is
/// small, is written to by containerd, and is copied.
const COPY: &str = "set -e
clusters=/layers/clusters/$1
shift
cd /layers/template
for node in \"$@\"; do
  mkdir -p \"$clusters/$node\"
  cp -al . \"$clusters/$node/\"
  find . \\( -path './io.containerd.content.v1.content/blobs' -o -path './io.containerd.snapshotter.v1.*/snapshots' \\) -prune -o -type f -print0 |
    while IFS= read -r -d '' file; do cp -a --remove-destination \"$file\" \"$clusters/$node/$file\"; done
done";

/// Takes copies away that nobody claims any longer: those of clusters that are none of `$@` and were not made just now.
const TIDY: &str = "cd /layers/clusters 2>/dev/null || exit 0
find . -mindepth 1 -maxdepth 1 -mmin +60 -printf '%f\\n' | while IFS= read -r cluster; do
  case \" $* \" in *\" $cluster \"*) ;; *) rm -rf \"./$cluster\" ;; esac
done";

/// The store was not made or copied.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// Docker said no.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// Another process holds it, or the lock cannot be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// An archive was not taken.
    #[error(transparent)]
    Images(#[from] ImagesError),
}

impl From<LayersError> for super::KindError {
    fn from(error: LayersError) -> Self {
        match error {
            LayersError::Docker(error) => super::KindError::Docker(error),
            LayersError::Ledger(error) => super::KindError::Ground(GroundError::Ledger(error)),
            LayersError::Lease(error) => super::KindError::Lease(error),
            LayersError::Images(error) => super::KindError::Images(error),
        }
    }
}

/// What a store is made of, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Id of the node image.
    pub image: &'a str,
    /// What goes into it.
    pub archives: &'a [Archive],
    /// The cluster whose nodes get copies.
    pub cluster: &'a str,
    /// Its nodes, as they are called here.
    pub nodes: &'a [String],
    /// Who may take the copies away.
    pub claim: &'a Claim,
}

/// Makes the store where there is none yet, and copies it for the nodes. Gives the folder of each node, as Docker's machine has it.
///
/// # Errors
/// See [`LayersError`]; what was made is in the ledger.
pub async fn prepare(engine: &Engine, request: &Request<'_>, ledger: &Ledger) -> Result<Vec<PathBuf>, LayersError> {
    let key = key(request.image, request.archives);
    let name = format!("plumb-layers-{key}");
    let labels = [(LABEL.to_owned(), key.clone()), (IMAGE_LABEL.to_owned(), request.image.to_owned())].into();
    // Two that want the same store: the second finds it made.
    let lease = lease::take(&ledger::runtime_folder()?.join(format!("layers-{key}"))).await?;
    let volume = engine.make_volume(&name, labels).await?;
    let copies = Resource::NodeStores { volume: name.clone(), cluster: request.cluster.to_owned(), image: request.image.to_owned() };
    ledger.write(&Line::Making(copies))?;
    let workshop = Workshop::open(engine, &volume.name, request.image, request.cluster, request.claim, ledger).await?;
    let made = async {
        if !workshop.has_template().await? {
            workshop.make(request.archives).await?;
        }
        let living = engine.kind_clusters().await?;
        workshop.run(TIDY, living.iter().map(String::as_str)).await?;
        let nodes = request.nodes.iter().map(String::as_str);
        workshop.run(COPY, [request.cluster].into_iter().chain(nodes)).await
    };
    let made = made.await;
    let closed = workshop.close().await;
    drop(lease);
    made.and(closed)?;
    forget(engine, KEPT).await?;
    let folder = volume.mountpoint.join("clusters").join(request.cluster);
    Ok(request.nodes.iter().map(|node| folder.join(node)).collect())
}

/// Takes a cluster's copies away, as a ledger claims them. A volume that is gone took them with it.
///
/// # Errors
/// See [`LayersError`].
pub async fn remove_copies(engine: &Engine, volume: &str, cluster: &str, image: &str) -> Result<(), DockerError> {
    if engine.volume(volume).await?.is_none() {
        return Ok(());
    }
    let name = workshop_of(cluster);
    // One that was killed at its work may still be there, and be writing.
    engine.remove_container(&name).await?;
    engine.start_workshop(&name, image, volume, AT, &Claim::own(cluster)).await?;
    let removed = engine.succeed(&name, &["rm", "-rf", &format!("{AT}/clusters/{cluster}")], WORK).await;
    engine.remove_container(&name).await?;
    removed.map(drop)
}

/// Takes stores away that no container uses, all but the `kept` newest. Gives the names of those that are gone.
///
/// # Errors
/// See [`DockerError`].
pub async fn forget(engine: &Engine, kept: usize) -> Result<Vec<String>, DockerError> {
    let mounted = engine.mounted().await?;
    let stores = engine.volumes_with(LABEL).await?;
    let unused: Vec<Volume> =
        stores.into_iter().filter(|store| !mounted.iter().any(|source| source.starts_with(&store.mountpoint))).collect();
    let over = unused.len().saturating_sub(kept);
    let mut gone = Vec::new();
    for store in unused.into_iter().take(over) {
        // One that is being made or copied from is locked, by a process of this user.
        let lock = ledger::runtime_folder().ok().map(|folder| folder.join(format!("layers-{}", key_of(&store))));
        if let Some(Ok(Some(_lease))) = lock.as_deref().map(lease::try_take) {
            engine.remove_volume(&store.name).await?;
            gone.push(store.name);
        }
    }
    Ok(gone)
}

fn key_of(store: &Volume) -> &str {
    store.labels.get(LABEL).map_or("", String::as_str)
}

/// What a store is known by.
fn key(image: &str, archives: &[Archive]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"1\n");
    context.update(image.as_bytes());
    for archive in archives {
        context.update(b"\n");
        context.update(archive.contents.as_bytes());
    }
    context.finish().as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn workshop_of(cluster: &str) -> String {
    format!("{cluster}-layers")
}

/// A container in which a store is worked on.
struct Workshop<'a> {
    engine: &'a Engine,
    name: String,
    ledger: &'a Ledger,
}

impl<'a> Workshop<'a> {
    async fn open(
        engine: &'a Engine,
        volume: &str,
        image: &str,
        cluster: &str,
        claim: &Claim,
        ledger: &'a Ledger,
    ) -> Result<Workshop<'a>, LayersError> {
        let workshop = Workshop { engine, name: workshop_of(cluster), ledger };
        workshop.write(Line::Making)?;
        engine.start_workshop(&workshop.name, image, volume, AT, claim).await?;
        Ok(workshop)
    }

    fn write(&self, line: impl Fn(Resource) -> Line) -> Result<(), LayersError> {
        Ok(self.ledger.write(&line(Resource::DockerContainer { name: self.name.clone() }))?)
    }

    async fn run<'w>(&self, script: &'w str, words: impl IntoIterator<Item = &'w str>) -> Result<(), LayersError> {
        let command: Vec<&str> = ["bash", "-c", script, "layers"].into_iter().chain(words).collect();
        self.engine.succeed(&self.name, &command, WORK).await?;
        Ok(())
    }

    async fn has_template(&self) -> Result<bool, LayersError> {
        let looked = self.engine.run(&self.name, &["test", "-d", "/layers/template"], None::<tokio::io::Empty>, WORK).await?;
        Ok(looked.status == 0)
    }

    async fn make(&self, archives: &[Archive]) -> Result<(), LayersError> {
        self.run(BEGIN, []).await?;
        images::bring(self.engine, &self.name, archives, Runtime::At("/run/plumb-layers/sock")).await?;
        self.run(END, []).await
    }

    async fn close(self) -> Result<(), LayersError> {
        self.engine.remove_container(&self.name).await?;
        self.write(Line::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_known_by_the_node_image_and_by_what_is_in_the_archives() {
        let archive = |contents: &str| Archive { path: "/x.tar".into(), references: vec!["x:1".into()], contents: contents.into() };
        let one = key("sha256:1", &[archive("a")]);
        assert_eq!(one.len(), 12);
        assert_eq!(one, key("sha256:1", &[Archive { path: "/elsewhere.tar".into(), ..archive("a") }]));
        assert_ne!(one, key("sha256:2", &[archive("a")]));
        assert_ne!(one, key("sha256:1", &[archive("b")]));
        assert_ne!(key("sha256:1", &[archive("a"), archive("b")]), key("sha256:1", &[archive("ab")]));
    }
}
