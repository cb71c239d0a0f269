//! Tar archives made in memory: one file to upload, an image's one layer, and an image as `docker save` writes it (which `ctr images
//! import` reads). The same agent gives the same bytes.

use ring::digest::{SHA256, digest};
use serde_json::json;

/// Where the agent is in containers and nodes.
const AGENT: &str = "plumb/agent";

/// The root file system of an image with nothing but the agent, at `/plumb/agent`.
pub fn agent_layer(agent: &[u8]) -> Vec<u8> {
    tar_of_file(AGENT, agent)
}

/// An archive with one program, and the folders above it.
pub fn tar_of_file(path: &str, bytes: &[u8]) -> Vec<u8> {
    let folders = path.match_indices('/').map(|(at, _)| (path[..at + 1].to_owned(), None));
    archive(folders.chain([(path.to_owned(), Some(bytes))]))
}

/// An image of one layer under a reference, as `docker save` writes it (Docker image specification v1.2).
pub fn image_archive(reference: &str, layer: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": ["/plumb/agent"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(layer))]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "plumb"}],
    })
    .to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let layer_name = format!("{}.tar", hex(layer));
    let manifest = json!([{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}]).to_string();
    let files: [(String, Option<&[u8]>); 3] = [
        (config_name.clone(), Some(config.as_bytes())),
        (layer_name.clone(), Some(layer)),
        ("manifest.json".to_owned(), Some(manifest.as_bytes())),
    ];
    archive(files)
}

fn archive<'a>(entries: impl IntoIterator<Item = (String, Option<&'a [u8]>)>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(bytes.map_or(0, <[u8]>::len) as u64);
        header.set_entry_type(if bytes.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory });
        builder
            .append_data(&mut header, path, bytes.unwrap_or_default())
            .expect("writing to memory does not fail, and the names are short");
    }
    builder.into_inner().expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Read as _;

    fn names(bytes: &[u8]) -> Vec<String> {
        tar::Archive::new(bytes).entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn an_uploaded_file_brings_its_folders() {
        assert_eq!(names(&tar_of_file("plumb/sub/agent", b"x")), ["plumb/", "plumb/sub/", "plumb/sub/agent"]);
    }

    #[test]
    fn an_image_names_its_layer_by_content_and_is_the_same_each_time() {
        let image = image_archive("localhost/plumb-agent:lab", &agent_layer(b"program"));
        assert_eq!(image, image_archive("localhost/plumb-agent:lab", &agent_layer(b"program")));
        let mut archive = tar::Archive::new(image.as_slice());
        let mut manifest = String::new();
        let mut entry =
            archive.entries().unwrap().map(Result::unwrap).find(|entry| entry.path().unwrap().ends_with("manifest.json")).unwrap();
        entry.read_to_string(&mut manifest).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["localhost/plumb-agent:lab"]));
        let listed = names(&image);
        for part in [&manifest[0]["Config"], &manifest[0]["Layers"][0]] {
            assert!(listed.contains(&part.as_str().unwrap().to_owned()), "{part} in {listed:?}");
        }
    }
}
