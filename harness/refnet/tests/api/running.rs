//! Logs of containers and programs in them, as kube-rs and kubectl ask for them; whoever runs the Pods is played here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::kube::api::{Api, AttachParams, LogParams, Patch, PatchParams, PostParams};
use ::kube::config::Kubeconfig;
use ::kube::{Client, Config};
use k8s_openapi::api::core::v1::Pod;
use plumb_refnet::api::{ApiServer, Container, Containers, Life, Serving, Started, Starting, kube_config};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::https_of;

const LIMIT: Duration = Duration::from_secs(5);

/// Knows one program, which repeats its input in capitals until it ends, complains once and ends as it was told to.
struct Player;

impl Containers for Player {
    fn start<'a>(&'a self, container: &'a Container, command: &'a [String]) -> Starting<'a> {
        Box::pin(async move {
            let ["shout", code] = command.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
                return Err(format!("exec: {:?}: executable file not found in $PATH", command[0]));
            };
            let code = code.parse().unwrap();
            let (stdin, mut hears) = tokio::io::duplex(64);
            let (mut says, stdout) = tokio::io::duplex(64);
            let (mut complains, stderr) = tokio::io::duplex(64);
            let name = container.name.clone();
            tokio::spawn(async move {
                complains.write_all(name.as_bytes()).await.unwrap();
                drop(complains);
                let mut buffer = [0; 16];
                while let Ok(length @ 1..) = hears.read(&mut buffer).await {
                    says.write_all(&buffer[..length].to_ascii_uppercase()).await.unwrap();
                }
            });
            let ended = Box::pin(async move { code });
            Ok(Started { stdin: Box::pin(stdin), stdout: Box::pin(stdout), stderr: Box::pin(stderr), ended })
        })
    }

    fn log(&self, container: &Container, life: Life) -> io::Result<String> {
        match (container.name.as_str(), life) {
            ("agent", Life::Current) => Ok("2026-01-01T00:00:00Z one\n2026-01-01T00:00:01Z two words\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A server with a Pod that runs and one that does not.
async fn world() -> (Serving, Client, Kubeconfig) {
    let server = ApiServer::new(plumb_refnet::api::ApiConfig::default()).unwrap();
    server.run_by(Arc::new(Player));
    let pods = Api::<Pod>::default_namespaced(server.client());
    for (name, state) in [("runs", json!({"running": {}})), ("waits", json!({"waiting": {"reason": "ContainerCreating"}}))] {
        let pod =
            json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "agent", "image": "i"}, {"name": "side", "image": "i"}]}});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let statuses = ["agent", "side"]
            .map(|container| json!({"name": container, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state}));
        let patch = Patch::Merge(json!({"status": {"containerStatuses": statuses}}));
        pods.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }
    let (serving, url, pki) = https_of(&server);
    let identity = pki.client("admin", &["system:masters"]).unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&pki.kubeconfig(&url, &identity)).unwrap();
    let config: Config = kube_config(&url, &pki.ca_pem(), &identity).unwrap();
    (serving, Client::try_from(config).unwrap(), kubeconfig)
}

fn streams() -> AttachParams {
    AttachParams { stdin: true, stdout: true, stderr: true, ..AttachParams::default() }
}

#[tokio::test]
async fn a_program_is_talked_to_and_ends_when_its_input_does() {
    let (serving, client, _) = world().await;
    let pods = Api::<Pod>::default_namespaced(client);
    let mut process = pods.exec("runs", ["shout", "0"], &streams()).await.unwrap();
    let status = process.take_status().unwrap();
    let (mut stdin, mut stdout, mut stderr) = (process.stdin().unwrap(), process.stdout().unwrap(), process.stderr().unwrap());
    let text = "a line that is longer than the pipes are\n".repeat(500);
    let talk = async {
        let feed = async {
            stdin.write_all(text.as_bytes()).await.unwrap();
            drop(stdin);
        };
        let (mut said, mut complained) = (String::new(), String::new());
        tokio::join!(feed, async { stdout.read_to_string(&mut said).await.unwrap() }, async {
            stderr.read_to_string(&mut complained).await.unwrap()
        });
        (said, complained, status.await)
    };
    let (said, complained, status) = tokio::time::timeout(LIMIT, talk).await.unwrap();
    assert_eq!(said, text.to_ascii_uppercase());
    assert_eq!(complained, "agent");
    assert_eq!(status.unwrap().status.as_deref(), Some("Success"));
    serving.stop().await;
}

#[tokio::test]
async fn how_a_program_ended_or_why_it_did_not_begin_is_said() {
    let (serving, client, _) = world().await;
    let pods = Api::<Pod>::default_namespaced(client);
    for (pod, command, expected) in [
        ("runs", vec!["shout", "7"], "command terminated with non-zero exit code: exit status 7"),
        ("runs", vec!["sh"], "exec: \"sh\": executable file not found in $PATH"),
        ("waits", vec!["shout", "0"], "container agent of pod waits does not run"),
    ] {
        let mut process = pods.exec(pod, command, &streams()).await.unwrap();
        let status = process.take_status().unwrap();
        drop(process.stdin());
        let status = tokio::time::timeout(LIMIT, status).await.unwrap().unwrap();
        assert_eq!((status.status.as_deref(), status.message.as_deref()), (Some("Failure"), Some(expected)));
    }
    let named = AttachParams { container: Some("side".into()), ..streams() };
    assert!(pods.exec("runs", ["shout", "0"], &named).await.is_ok());
    let nobody = AttachParams { container: Some("nobody".into()), ..streams() };
    assert!(pods.exec("runs", ["shout", "0"], &nobody).await.is_err());
    assert!(pods.exec("gone", ["shout", "0"], &streams()).await.is_err());
    serving.stop().await;
}

#[tokio::test]
async fn a_program_ends_with_the_server() {
    let (serving, client, _) = world().await;
    let mut process = Api::<Pod>::default_namespaced(client).exec("runs", ["shout", "0"], &streams()).await.unwrap();
    let (_stdin, mut stdout) = (process.stdin().unwrap(), process.stdout().unwrap());
    serving.stop().await;
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stdout.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_log_is_read_whole_or_its_end() {
    let (serving, client, _) = world().await;
    let pods = Api::<Pod>::default_namespaced(client);
    let log = async |parameters: LogParams| pods.logs("runs", &parameters).await;
    assert_eq!(log(LogParams::default()).await.unwrap(), "one\ntwo words\n");
    assert_eq!(log(LogParams { tail_lines: Some(1), ..LogParams::default() }).await.unwrap(), "two words\n");
    let stamped = LogParams { timestamps: true, tail_lines: Some(1), limit_bytes: Some(22), ..LogParams::default() };
    assert_eq!(log(stamped).await.unwrap(), "2026-01-01T00:00:01Z t");
    let side = LogParams { container: Some("side".into()), ..LogParams::default() };
    assert_eq!(log(side).await.unwrap(), "");
    let previous = log(LogParams { previous: true, ..LogParams::default() }).await.unwrap_err().to_string();
    assert!(previous.contains("previous terminated container"), "{previous}");
    assert!(log(LogParams { follow: true, ..LogParams::default() }).await.is_err());
    serving.stop().await;
}

/// kubectl since 1.30 asks for a WebSocket first.
#[tokio::test]
async fn kubectl_runs_a_program_and_reads_a_log() {
    let (serving, _, kubeconfig) = world().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, serde_saphyr::to_string(&kubeconfig).unwrap()).unwrap();
    let run = async |words: &[&str], input: &str| {
        let mut command = tokio::process::Command::new("kubectl");
        command.args(words).env("KUBECONFIG", &file).env("HOME", folder.path()).env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        Some(tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await.unwrap().unwrap())
    };
    let Some(log) = run(&["logs", "runs", "-c", "agent"], "").await else {
        return super::kubectl::skipped("there is no kubectl on this machine (Debian: apt-get install kubernetes-client)");
    };
    assert_eq!(String::from_utf8_lossy(&log.stdout), "one\ntwo words\n", "{}", String::from_utf8_lossy(&log.stderr));
    let shouted = run(&["exec", "-i", "runs", "-c", "agent", "--", "shout", "3"], "quiet\n").await.unwrap();
    let complained = String::from_utf8_lossy(&shouted.stderr);
    assert_eq!((String::from_utf8_lossy(&shouted.stdout).as_ref(), shouted.status.code()), ("QUIET\n", Some(3)), "{complained}");
    serving.stop().await;
}
