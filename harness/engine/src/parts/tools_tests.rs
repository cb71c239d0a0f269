#![allow(clippy::unwrap_used, reason = "tests")]
use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};

use super::super::server::{Answer, Server};
use super::*;

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn program(name: &str, bytes: &[u8]) -> Program {
    Program { name: name.into(), version: "v1.2.3".into(), platform: "linux/amd64".into(), sha256: sha256(bytes) }
}

/// A release of the CLI as it is published.
fn archive(name: &str, text: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o755);
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

fn tool(name: &'static str, is_good: impl Fn(Version) -> bool + Send + Sync + 'static) -> Tool<'static> {
    Tool { name, option: "--tool", version: "v1.2.3", good: "a good one".into(), is_good: Box::new(is_good) }
}

/// Writes a program through another process, so that no child of another test holds it open for writing.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    let mut tee = std::process::Command::new("tee").arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    tee.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
    assert!(tee.wait().unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Everything in a folder but the files that keep others out.
fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_given_is_used_and_what_is_no_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cilium");
    let given = Given { cilium_cli: Some(path.clone()), kind: Some(folder.path().to_owned()), ..Given::default() };
    let error = cilium_cli(&given, "1.17.1").await.unwrap_err().to_string();
    assert!(error.contains("No such file") && error.ends_with("--cilium-cli takes the program itself"), "{error}");
    assert!(kind(&given).await.unwrap_err().to_string().contains("it is no file\nhint: --kind takes"));
    fs::write(&path, "").unwrap();
    assert!(cilium_cli(&given, "1.17.1").await.unwrap_err().to_string().contains("it is not executable"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // Whatever version it is, and of whatever Cilium: the user's word counts.
    assert_eq!(cilium_cli(&given, "0.1.0").await.unwrap(), path);
    cilium_cli_is_findable(&given, None).await.unwrap();
    kind_is_findable(&given).await.unwrap_err();
}

#[tokio::test]
async fn a_cilium_nobody_knows_a_cli_for_is_said() {
    let error = cilium_cli(&Given::default(), "1.3.0").await.unwrap_err().to_string();
    assert_eq!(error, "find cilium: no CLI is known to go with Cilium 1.3.0\nhint: give it with --cilium-cli");
}

#[tokio::test]
async fn a_program_in_path_is_used_when_its_version_goes_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = script(
        folder.path(),
        "cilium",
        "echo 'cilium-cli: v0.18.3 compiled with go1.24.2 on linux/amd64'; echo 'cilium image (default): v1.17.2'",
    );
    let search = [PathBuf::from("/nowhere"), folder.path().to_owned()];
    let wants = |wanted: Version| move |found: Version| found == wanted;
    assert_eq!(tool("cilium", wants(Version(0, 18, 3))).in_path(&search).await.unwrap(), path);
    let seen = tool("cilium", wants(Version(0, 19, 7))).in_path(&search).await.unwrap_err();
    assert_eq!(seen, format!("{} is of version 0.18.3, expected a good one", path.display()));
    // The agent's own `cilium`, which is no CLI.
    script(folder.path(), "cilium", "echo 'Client: 1.16.2 2024-09-26'");
    let seen = tool("cilium", |_| true).in_path(&search).await.unwrap_err();
    assert_eq!(seen, format!("{} does not say its version: it is no cilium", path.display()));
    assert_eq!(tool("cilium", |_| true).in_path(&[]).await.unwrap_err(), "there is none in PATH");
    let kind = script(folder.path(), "kind", "echo 'kind v0.29.0 go1.24.2 linux/amd64'");
    assert_eq!(version_of("kind", &kind).await.unwrap(), Version(0, 29, 0));
    assert!(node_image(&kind, &["1.17.1", "1.16.2"]).await.unwrap().starts_with("kindest/node:v1.30.13@sha256:"));
    assert_eq!(node_image(&kind, &["not a version"]).await, None);
}

#[tokio::test]
async fn a_program_is_fetched_once_checked_unpacked_and_kept() {
    let bytes = archive("cilium", "#!/bin/sh\necho here\n");
    let served = bytes.clone();
    let server = Server::start(move |_| Answer::Bytes(served.clone())).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(&folder.path().join("deep/er"), &server.origin);
    let program = program("cilium", &bytes);
    let path = cache.fetched(&program).await.unwrap();
    // Not run: a child that another test forks now may hold it open for writing still.
    assert_eq!(fs::read(&path).unwrap(), b"#!/bin/sh\necho here\n");
    assert!(executable(&path).is_ok());
    assert_eq!(cache.fetched(&program).await.unwrap(), path);
    assert_eq!(cache.kept(&program).unwrap(), path);
    assert_eq!(server.asked(), ["/cilium/cilium-cli/releases/download/v1.2.3/cilium-linux-amd64.tar.gz"]);
    assert_eq!(files(&folder.path().join("deep/er")), ["cilium-v1_2_3-linux-amd64", "cilium-v1_2_3-linux-amd64.sha256"]);
}

#[tokio::test]
async fn several_that_want_the_same_program_fetch_it_once() {
    let server = Server::start(|_| Answer::Bytes(b"kind".to_vec())).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path(), &server.origin);
    let program = program("kind", b"kind");
    let found = futures::future::join_all((0..5).map(|_| cache.fetched(&program))).await;
    assert!(found.iter().all(Result::is_ok), "{found:?}");
    assert_eq!(server.asked(), ["/kubernetes-sigs/kind/releases/download/v1.2.3/kind-linux-amd64"]);
}

#[tokio::test]
async fn one_wrong_byte_is_refused_and_nothing_of_it_is_kept() {
    let server = Server::start(|_| Answer::Bytes(b"kinD".to_vec())).await;
    let folder = tempfile::tempdir().unwrap();
    let program = program("kind", b"kind");
    let error = Cache::at(folder.path(), &server.origin).fetched(&program).await.unwrap_err().to_string();
    let (found, expected) = (sha256(b"kinD"), sha256(b"kind"));
    assert!(error.ends_with(&format!("its SHA-256 is {found}, expected {expected}; it was not kept")), "{error}");
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_kept_program_that_changed_is_fetched_again() {
    let server = Server::start(|_| Answer::Bytes(b"kind".to_vec())).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path(), &server.origin);
    let good = program("kind", b"kind");
    let path = cache.fetched(&good).await.unwrap();
    fs::write(&path, "bad").unwrap();
    assert_eq!(cache.kept(&good), None);
    cache.fetched(&good).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"kind");
    // The lock asks for other bytes under the same name: what is here is not that.
    assert_eq!(cache.kept(&program("kind", b"other")), None);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_download_that_does_not_come_says_what_came_instead() {
    let folder = tempfile::tempdir().unwrap();
    let kind = program("kind", b"kind");
    for (answer, said) in [
        (Answer::Status("404 Not Found"), "the server answered 404 Not Found"),
        (Answer::Half(b"kind".to_vec()), "linux-amd64: "),
        (Answer::Bytes(Vec::new()), "it was not kept"),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let error = Cache::at(folder.path(), &server.origin).fetched(&kind).await.unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    let bytes = archive("README.md", "no program");
    let program = program("cilium", &bytes);
    let server = Server::start(move |_| Answer::Bytes(bytes.clone())).await;
    let error = Cache::at(folder.path(), &server.origin).fetched(&program).await.unwrap_err().to_string();
    assert!(error.ends_with("there is no `cilium` in it"), "{error}");
    let nowhere = Cache::at(folder.path(), "http://127.0.0.1:1").fetched(&kind).await.unwrap_err().to_string();
    assert!(nowhere.contains("Connection refused"), "{nowhere}");
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_release_is_followed_to_where_it_is_stored_and_silence_ends() {
    let store = Server::start(|_| Answer::Bytes(b"kind".to_vec())).await;
    let url = format!("{}/stored", store.origin);
    let server = Server::start(move |_| Answer::Elsewhere(url.clone())).await;
    let folder = tempfile::tempdir().unwrap();
    Cache::at(folder.path(), &server.origin).fetched(&program("kind", b"kind")).await.unwrap();
    assert_eq!(store.asked(), ["/stored"]);
    let server = Server::start(|_| Answer::Silence).await;
    let error = super::super::fetch::bytes(&server.origin, 9, Duration::from_millis(300)).await.unwrap_err().to_string();
    assert!(error.ends_with("it had not ended after 300 ms"), "{error}");
    let server = Server::start(|_| Answer::Bytes(vec![0; 10])).await;
    let error = super::super::fetch::bytes(&server.origin, 9, Duration::from_secs(9)).await.unwrap_err().to_string();
    assert!(error.ends_with("it has more than 9 bytes"), "{error}");
}

#[tokio::test]
async fn nothing_is_opened_when_nothing_may_leave_the_machine() {
    let server = Server::start(|_| Answer::Bytes(b"kind".to_vec())).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path(), &server.origin);
    let program: &'static Program = Box::leak(Box::new(program("kind", b"kind")));
    let tool = tool("kind", |_| true);
    let kept = |reach| tool.kept(cache.clone(), program, reach, "there is none in PATH".into());
    let error = kept(Reach::Offline).await.err().unwrap().to_string();
    assert_eq!(
        error,
        "find kind v1.2.3: there is none in PATH, none was fetched before, and nothing may leave this machine\nhint: give it with --tool"
    );
    // That it could be fetched is found out without a connection, too.
    assert!(matches!(kept(Reach::Online).await.unwrap(), Found::ToFetch(..)));
    assert_eq!(server.asked(), Vec::<String>::new());
    let path = cache.fetched(program).await.unwrap();
    // What was fetched before is here.
    assert!(matches!(kept(Reach::Offline).await.unwrap(), Found::Here(here) if here == path));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used() {
    let proxy = Server::start(|_| Answer::Bytes(b"from the proxy".to_vec())).await;
    // The environment is that of a process, so another one asks: this test program, with the test below.
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", "--nocapture", "parts::tools::tests::asks_as_the_environment_says"]);
    child.env("HTTP_PROXY", &proxy.origin).env("http_proxy", &proxy.origin).env_remove("NO_PROXY").env_remove("no_proxy");
    let output = child.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.asked(), ["http://releases.invalid/x"]);
}

#[tokio::test]
#[ignore = "the test above starts it in an environment with a proxy"]
async fn asks_as_the_environment_says() {
    let bytes = super::super::fetch::bytes("http://releases.invalid/x", 99, Duration::from_secs(20)).await.unwrap();
    assert_eq!(bytes, b"from the proxy");
}
