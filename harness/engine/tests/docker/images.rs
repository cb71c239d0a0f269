//! Images pulled by their digest, saved as archives and loaded again, from a registry on the loopback address.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use plumb_core::images::Image;
use plumb_engine::docker::{Claim, Engine, tar_of_file};
use plumb_engine::parts::{Reach, images};
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::{Named, ensure, fresh_name, run};

pub(crate) const TRIALS: &[Named] = &[
    ("an_image_is_pulled_by_its_digest_saved_and_loaded", || run(saved_and_loaded())),
    ("an_image_that_is_not_here_or_is_another_is_said", || run(refused())),
];

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// An image of one layer in a registry (Docker Registry HTTP API V2) that serves it until the test ends.
fn registry(name: &str) -> Image {
    let layer = tar_of_file("hello", name.as_bytes());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&layer).unwrap();
    let packed = packed.finish().unwrap();
    // Labelled as ours, so that `plumb sweep` finds it if the test is killed.
    let labels: serde_json::Value = Claim::own(name).labels().into_iter().map(|(key, value)| (key, json!(value))).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]}, "history": [{"created_by": "test"}],
    });
    let config = config.to_string().into_bytes();
    let of = |media: &str, bytes: &[u8]| json!({"mediaType": media, "size": bytes.len(), "digest": sha256(bytes)});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": of("application/vnd.docker.container.image.v1+json", &config),
        "layers": [of("application/vnd.docker.image.rootfs.diff.tar.gzip", &packed)],
    });
    let manifest = manifest.to_string().into_bytes();
    let pinned = sha256(&manifest);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (media, body): (&str, &[u8]) = match path.rsplit('/').next().unwrap_or_default() {
                "" => ("application/json", b"{}"),
                asked if asked == sha256(&manifest) => (MANIFEST, &manifest),
                asked if asked == sha256(&config) => ("application/octet-stream", &config),
                _ => ("application/octet-stream", &packed),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
                body.len(),
                sha256(body)
            );
            let mut stream = stream;
            let _ = stream.write_all(head.as_bytes());
            if !request.starts_with("HEAD") {
                let _ = stream.write_all(body);
            }
        }
    });
    Image { role: "agent".into(), reference: format!("{origin}/{name}:v1"), digest: Some(pinned) }
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

async fn saved_and_loaded() -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let engine = Engine::connect().await.map_err(|error| text(&error))?;
    let (agent, node) = (registry(&fresh_name()), Image { role: "node".into(), ..registry(&fresh_name()) });
    let folder = tempfile::tempdir().unwrap();
    let wanted = [agent.clone(), node.clone()];
    let saved = images::save(&engine, &wanted, folder.path(), Reach::Online).await;
    let saved = saved.map_err(|error| text(&error))?;
    let places: Vec<&Path> = saved.iter().map(|path| path.strip_prefix(folder.path()).unwrap().parent().unwrap()).collect();
    ensure(places == [Path::new(""), Path::new("node")], || format!("{places:?}"))?;
    for (archive, image) in saved.iter().zip(&wanted) {
        let names = names_in(archive);
        ensure(names.contains(&image.reference), || format!("{} is not named in {names}", image.reference))?;
    }
    // Both are here now, with the digest they must have: nothing is pulled, and nothing needs to be.
    images::save(&engine, &wanted, folder.path(), Reach::Offline).await.map_err(|error| text(&error))?;
    for image in &wanted {
        engine.remove_image(&image.reference).await.map_err(|error| text(&error))?;
    }
    let loaded = images::load(&engine, folder.path()).await.map_err(|error| text(&error))?;
    ensure(loaded == [node.reference.clone()], || format!("{loaded:?}"))?;
    let digests = engine.digests(&node.reference).await.map_err(|error| text(&error))?;
    // This is why images from archives are named without digests (Digests::Off).
    ensure(digests.is_empty(), || format!("an archive kept {digests:?}"))?;
    engine.remove_image(&node.reference).await.map_err(|error| text(&error))
}

/// `manifest.json` of an archive.
fn names_in(archive: &Path) -> String {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
    let found = archive.entries().unwrap().map(Result::unwrap).find(|entry| entry.path().unwrap() == Path::new("manifest.json"));
    std::io::read_to_string(found.unwrap()).unwrap()
}

async fn refused() -> Result<(), String> {
    let engine = Engine::connect().await.map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().unwrap();
    let image = registry(&fresh_name());
    let save = async |image: &Image, reach| images::save(&engine, std::slice::from_ref(image), folder.path(), reach).await;
    let missing = save(&image, Reach::Offline).await.unwrap_err().to_string();
    ensure(missing.contains("it is not in Docker, and nothing may leave this machine"), || missing.clone())?;
    let other = Image { digest: Some(format!("sha256:{}", "0".repeat(64))), ..image.clone() };
    let absent = save(&other, Reach::Online).await.unwrap_err().to_string();
    ensure(absent.starts_with(&format!("pull {}@sha256:000", image.reference)), || absent.clone())?;
    save(&image, Reach::Online).await.map_err(|error| error.to_string())?;
    let another = save(&other, Reach::Online).await.unwrap_err().to_string();
    ensure(another.contains("under this name, expected sha256:000"), || another.clone())?;
    let empty = images::load(&engine, folder.path()).await.unwrap_err().to_string();
    ensure(empty.ends_with("hint: `plumb images save` makes it"), || empty.clone())?;
    engine.remove_image(&image.reference).await.map_err(|error| error.to_string())
}
