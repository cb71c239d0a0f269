//! `plumb images`: which images labs with real Cilium run with, and a folder of archives with them for machines without a way out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plumb_core::images::Image;
use plumb_core::profile::Profile;
use plumb_core::values::merge;
use plumb_engine::agent_program;
use plumb_engine::docker::{Engine, agent_layer, image_archive};
use plumb_engine::library::Library;
use plumb_engine::parts::{Given, images};
use plumb_engine::provider::kind::layers;

use crate::args::{Images, ImagesAction, ImagesOf};
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

pub(crate) fn images(scenarios: Option<&Path>, asked: &Images) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &asked.action {
            ImagesAction::List(of) => list(scenarios, of).await,
            ImagesAction::Save { folder, of } => save(scenarios, folder, of).await,
            ImagesAction::Agent { file, name, agent } => save_agent(file, name, agent.clone()),
            ImagesAction::Load { folder } => load(folder).await,
            ImagesAction::Forget => forget().await,
        }
    })
}

async fn list(scenarios: Option<&Path>, of: &ImagesOf) -> anyhow::Result<Exit> {
    let mut said = BTreeSet::new();
    for (title, images) in wanted(scenarios, of).await? {
        output::say(&format!("# {title}"));
        // What several flag sets share is named once: the list is for other programs, too.
        images.iter().map(Image::pinned).filter(|image| said.insert(image.clone())).for_each(|image| output::say(&image));
    }
    Ok(if said.is_empty() { Exit::NothingRan } else { Exit::Pass })
}

async fn save(scenarios: Option<&Path>, folder: &Path, of: &ImagesOf) -> anyhow::Result<Exit> {
    let wanted = wanted(scenarios, of).await?;
    let mut images: Vec<Image> = wanted.into_iter().flat_map(|(_, images)| images).collect();
    images.sort();
    images.dedup();
    Progress::new().show_downloads();
    let engine = Engine::connect().await?;
    for archive in images::save(&engine, &images, folder, of.parts.given().reach).await? {
        output::say(&archive.display().to_string());
    }
    let shown = folder.display();
    output::note(&format!("{} archives; where there is no way out: plumb images load {shown}, then --images {shown}", images.len()));
    if let Some(node) = images.iter().find(|image| image.role == "node") {
        output::note(&format!("and --node-image {}", node.reference));
    }
    Ok(if images.is_empty() { Exit::NothingRan } else { Exit::Pass })
}

fn save_agent(file: &Path, name: &str, agent: Option<PathBuf>) -> anyhow::Result<Exit> {
    let given = Given { agent, ..Given::default() }.or(Given::from_env());
    let agent = agent_program::find(&given)?;
    let archive = image_archive(name, &agent_layer(&agent.bytes));
    std::fs::write(file, archive).with_context(|| format!("write {}", file.display()))?;
    output::say(&format!("{}: {name}", file.display()));
    output::note(&format!("load it with `docker load -i {}`, push it, then --agent-image {name}", file.display()));
    Ok(Exit::Pass)
}

async fn load(folder: &Path) -> anyhow::Result<Exit> {
    for name in images::load(&Engine::connect().await?, folder).await? {
        output::say(&name);
    }
    Ok(Exit::Pass)
}

async fn forget() -> anyhow::Result<Exit> {
    for name in layers::forget(&Engine::connect().await?, 0).await? {
        output::say(&format!("removed the volume {name}"));
    }
    Ok(Exit::Pass)
}

/// The images of each profile, with a title.
async fn wanted(scenarios: Option<&Path>, of: &ImagesOf) -> anyhow::Result<Vec<(String, Vec<Image>)>> {
    let library = Library::find(scenarios)?;
    let given = of.parts.given();
    let names = if of.profiles.is_empty() { library.profile_names()? } else { of.profiles.clone() };
    let mut wanted = Vec::new();
    for name in names {
        let profile = library.profile(&name)?;
        // A cluster that is upgraded needs the images of both, and a node image that both are tested with.
        let older = profile.upgrades.as_deref().map(|name| library.profile(name)).transpose()?;
        let version = given.cilium_version.clone().unwrap_or_else(|| profile.cilium.clone());
        let mut images = of_profile(&given, &profile, &version, &of.set)?;
        let mut versions = vec![version.as_str()];
        if let Some(older) = &older {
            images.extend(of_profile(&given, older, &older.cilium, &of.set)?);
            versions.push(&older.cilium);
        }
        images.extend(images::node_image(&given, &versions).await);
        wanted.push((format!("{name}: Cilium {}", versions.join(", upgraded from ")), images));
    }
    Ok(wanted)
}

fn of_profile(given: &Given, profile: &Profile, version: &str, set: &[String]) -> anyhow::Result<Vec<Image>> {
    let mut values = profile.as_meant.clone();
    merge(&mut values, &super::trials::values(given, set)?);
    Ok(images::needed(given, version, &values)?)
}
