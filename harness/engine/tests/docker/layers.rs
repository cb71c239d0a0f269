//! Image stores for nodes, on a real node image (`PLUMB_NODE_IMAGE`): unpacked once, linked for each node, forgotten when nobody uses them.

use libtest_mimic::{Completion, Failed, Trial};
use plumb_engine::docker::{Claim, Engine, agent_layer, image_archive};
use plumb_engine::folder::RunFolder;
use plumb_engine::ledger::{self, Ledger, Resource};
use plumb_engine::parts::Given;
use plumb_engine::provider::kind::images;
use plumb_engine::provider::kind::layers::{self, Request};

use crate::{agent, ensure, fresh_name, run};

/// The trial, which is ignored with the reason where no node image is given.
pub(crate) fn trial(missing: Option<String>) -> Trial {
    Trial::ignorable_test("nodes_share_what_was_unpacked_once", move || match (missing, Given::from_env().node_image) {
        (Some(reason), _) => Ok(Completion::ignored_with(reason)),
        (None, None) => Ok(Completion::ignored_with("no node image: PLUMB_NODE_IMAGE names none")),
        (None, Some(image)) => run(shared(&image)).map(|()| Completion::Completed).map_err(Failed::from),
    })
}

async fn shared(image: &str) -> Result<(), String> {
    let engine = Engine::connect().await.map_err(|error| error.to_string())?;
    let id = engine.image(image).await.map_err(|error| error.to_string())?.ok_or_else(|| format!("{image} is not in Docker"))?;
    let out = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(&RunFolder::create(out.path()).unwrap()).unwrap();
    plumb_engine::janitor::entrust(ledger.path()).unwrap();
    let cluster = fresh_name();
    std::fs::write(out.path().join("agent.tar"), image_archive(&format!("{cluster}:1"), &agent_layer(&agent().bytes))).unwrap();
    let archives = images::archives(out.path()).unwrap();
    let nodes = ["control-plane", "worker"].map(str::to_owned);
    let claim = Claim::own(&cluster);
    let request = Request { image: &id, archives: &archives, cluster: &cluster, nodes: &nodes, claim: &claim };
    let prepared = layers::prepare(&engine, &request, &ledger).await;
    let looked = prepared.map_err(|error| error.to_string()).and_then(|folders| look(&folders));
    let volume = ledger::outstanding(ledger.path()).unwrap().into_iter().find_map(|resource| match resource {
        Resource::NodeStores { volume, .. } => Some(volume),
        _ => None,
    });
    let volume = volume.ok_or("the ledger claims no copies")?;
    // The store outlives the cluster, the copies do not.
    for resource in ledger::outstanding(ledger.path()).unwrap() {
        let removed = tokio::task::spawn_blocking(move || ledger::remove(&resource)).await.unwrap();
        removed.map_err(|error| error.to_string())?;
    }
    let kept = engine.volume(&volume).await.map_err(|error| error.to_string())?.ok_or("the store went with its copies")?;
    let left = kept.mountpoint.join("clusters").join(&cluster);
    let copies_are_gone = ensure(!left.exists(), || format!("{} is still there", left.display()));
    engine.remove_volume(&volume).await.map_err(|error| error.to_string())?;
    looked.and(copies_are_gone)
}

/// A blob is the same file on both nodes, the database another: two containerd write to it.
fn look(folders: &[std::path::PathBuf]) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let of = |folder: &std::path::Path, name: &str| {
        let path = folder.join(name);
        std::fs::metadata(&path).map(|meta| (meta.ino(), meta.len())).map_err(|error| format!("look at {}: {error}", path.display()))
    };
    let database = "io.containerd.metadata.v1.bolt/meta.db";
    ensure(of(&folders[0], database)?.0 != of(&folders[1], database)?.0, || "the nodes share a database".into())?;
    let blobs = "io.containerd.content.v1.content/blobs/sha256";
    let listed = std::fs::read_dir(folders[0].join(blobs)).map_err(|error| format!("list {blobs}: {error}"))?;
    let names: Vec<String> = listed.flatten().map(|entry| format!("{blobs}/{}", entry.file_name().to_string_lossy())).collect();
    // The archive's layer, its configuration and its manifest at least.
    ensure(names.len() >= 3, || format!("{} blobs", names.len()))?;
    for name in &names {
        ensure(of(&folders[0], name)? == of(&folders[1], name)?, || format!("{name} is not shared"))?;
    }
    Ok(())
}
