#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::cilium::fake;
use crate::cilium::fake_cluster::{Scene, rolled};
use crate::cluster::Watched;
use plumb_core::profile::Profile;
use plumb_core::values::Values;

const LONG: Duration = Duration::from_secs(30);

fn installation(folder: &std::path::Path, script: &str) -> Installation {
    let target = Target {
        program: fake::program(folder, script),
        kubeconfig: folder.join("kubeconfig"),
        context: "kind-a".into(),
        folder: folder.to_owned(),
    };
    Installation { target, given: Given::default(), digests: Digests::Off, nodes: 2 }
}

fn profile() -> Profile {
    let profile = json!({"format": 1, "name": "p", "title": "t", "source": "s", "cilium": "1.17.1", "asWritten": [], "asMeant": {}});
    serde_json::from_value(profile).unwrap()
}

#[tokio::test]
async fn an_upgrade_gives_the_whole_values_and_waits_until_all_is_ready() {
    let scene = Scene::new();
    scene.whole().await;
    let folder = tempfile::tempdir().unwrap();
    let installation = installation(folder.path(), "echo \"$@\" > argv");
    let profile = profile();
    let values: Values = [("gatewayAPI.enabled".to_owned(), true.into())].into();
    let to = plan::Installed { profile: &profile, values: &values };
    let upgraded = installation.upgrade(&scene.server.client(), to, LONG).await.unwrap();
    assert_eq!(upgraded.to, "1.17.1");
    assert_eq!(upgraded.parts_ms.keys().collect::<Vec<_>>(), ["agents", "envoy", "gatewayClass", "nodes", "operator"]);
    let argv = std::fs::read_to_string(folder.path().join("argv")).unwrap();
    assert!(argv.starts_with("upgrade --context kind-a --namespace kube-system --version 1.17.1 --values "), "{argv}");
    assert!(argv.trim_end().ends_with("values.yaml --reset-values"), "{argv}");
    let given = std::fs::read_to_string(folder.path().join("values.yaml")).unwrap();
    assert!(given.contains("ipam:\n  mode: \"kubernetes\"\n") && given.contains("gatewayAPI:\n  enabled: true\n"), "{given}");
}

#[tokio::test]
async fn an_upgrade_that_ends_in_a_crash_is_the_products_and_one_without_image_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let installation = installation(folder.path(), "exit 0");
    let profile = profile();
    let to = plan::Installed { profile: &profile, values: &Values::new() };
    for (reason, whose) in [("CrashLoopBackOff", Whose::Product), ("ImagePullBackOff", Whose::Environment)] {
        let scene = Scene::new();
        let status = json!({"name": "cilium-agent", "image": "i", "imageID": "", "ready": false, "restartCount": 2, "state": {"waiting": {"reason": reason}}});
        scene.pod("cilium-abc", json!({"phase": "Running", "containerStatuses": [status]})).await;
        let error = installation.upgrade(&scene.server.client(), to, LONG).await.unwrap_err();
        assert_eq!(error.trouble("upgrade").whose, whose, "{error}");
    }
}

#[tokio::test]
async fn a_command_that_fails_is_not_the_products() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let installation = installation(folder.path(), "echo 'Error: no such chart' >&2; exit 1");
    let profile = profile();
    let to = plan::Installed { profile: &profile, values: &Values::new() };
    let trouble = installation.upgrade(&scene.server.client(), to, LONG).await.unwrap_err().trouble("upgrade");
    assert_eq!(trouble.whose, Whose::Environment);
    assert!(trouble.message.ends_with("Error: no such chart"), "{}", trouble.message);
}

/// Waits until the agents' template is another, and gives their DaemonSet: what its controller would see.
async fn restarted(scene: &Scene) -> ResourceRef {
    let agents = ResourceRef { kind: "DaemonSet".into(), namespace: Some(NAMESPACE.into()), name: "cilium".into() };
    let annotated = |object: Option<serde_json::Value>| {
        let annotations = object.and_then(|object| object.pointer("/spec/template/metadata/annotations").cloned());
        match annotations.and_then(|annotations| annotations.get("plumbline.restarted").cloned()) {
            Some(_) => Watched::Yes(()),
            None => Watched::NotYet("not yet".into()),
        }
    };
    scene.cluster.wait(&agents, LONG, annotated).await.unwrap().unwrap();
    agents
}

#[tokio::test]
async fn a_restart_is_over_when_the_new_pods_are_ready() {
    let scene = Scene::new();
    scene.whole().await;
    let folder = tempfile::tempdir().unwrap();
    let installation = installation(folder.path(), "exit 9");
    let profile = profile();
    let now = plan::Installed { profile: &profile, values: &Values::new() };
    let client = scene.server.client();
    let restart = installation.restart(&client, CiliumPart::Agents, now, LONG);
    // What the DaemonSet's controller would do once it sees the annotation.
    let controller = async {
        let agents = restarted(&scene).await;
        let early = ready(&client, &Expect { nodes: 2, gateway_class: false }, Duration::from_millis(300)).await.unwrap_err();
        assert!(early.to_string().contains("its change is not noticed yet"), "{early}");
        scene.status(&agents, rolled(2, 2)).await;
    };
    let (took_ms, ()) = tokio::join!(restart, controller);
    assert!(took_ms.unwrap() >= 300);
}

#[tokio::test]
async fn other_values_in_place_are_an_upgrade_to_the_same_version_and_a_restart_of_what_reads_them() {
    let scene = Scene::new();
    scene.whole().await;
    let folder = tempfile::tempdir().unwrap();
    let installation = installation(folder.path(), "echo \"$@\" > argv");
    let values: Values = [("encryption.enabled".to_owned(), false.into())].into();
    let client = scene.server.client();
    let change = installation.change(&client, "1.17.1", &values, &[CiliumPart::Agents], LONG);
    let controller = async { scene.status(&restarted(&scene).await, rolled(2, 2)).await };
    let (ran, ()) = tokio::join!(change, controller);
    assert!(ran.unwrap().argv_line.contains(" upgrade "));
    let argv = std::fs::read_to_string(folder.path().join("argv")).unwrap();
    assert!(argv.contains(" --version 1.17.1 ") && argv.trim_end().ends_with("--reset-values"), "{argv}");
    let given = std::fs::read_to_string(folder.path().join("values.yaml")).unwrap();
    assert!(given.contains("encryption:\n  enabled: false\n"), "{given}");
    // Without a part to restart nothing is touched.
    let agents = ResourceRef { kind: "DaemonSet".into(), namespace: Some(NAMESPACE.into()), name: "cilium".into() };
    let before = scene.cluster.read(&agents).await.unwrap();
    installation.change(&client, "1.17.1", &values, &[], LONG).await.unwrap();
    assert!(before.is_some() && scene.cluster.read(&agents).await.unwrap() == before);
}

#[tokio::test]
async fn other_values_are_not_in_place_before_what_reads_them_is_new_and_never_when_it_crashes() {
    let scene = Scene::new();
    scene.whole().await;
    let folder = tempfile::tempdir().unwrap();
    let installation = installation(folder.path(), "exit 0");
    let (client, values) = (scene.server.client(), Values::new());
    let short = Duration::from_millis(300);
    let late = installation.change(&client, "1.17.1", &values, &[CiliumPart::Agents], short).await.unwrap_err();
    assert!(late.to_string().contains("its change is not noticed yet"), "{late}");
    let status = json!({"name": "cilium-agent", "image": "i", "imageID": "", "ready": false, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    scene.pod("cilium-abc", json!({"phase": "Running", "containerStatuses": [status]})).await;
    let crashed = installation.change(&client, "1.17.1", &values, &[CiliumPart::Agents], LONG).await.unwrap_err();
    assert_eq!(crashed.trouble("change").whose, Whose::Product, "{crashed}");
}

#[tokio::test]
async fn the_configuration_is_read_with_images_and_the_age_of_agents() {
    let scene = Scene::new();
    scene.whole().await;
    let client = scene.server.client();
    assert!(read_config(&client).await.unwrap_err().to_string().starts_with("read ConfigMap kube-system/cilium-config: "));
    let metadata = json!({"name": "cilium-config", "namespace": NAMESPACE});
    scene.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ipam": "kubernetes"}})).await;
    scene.pod("cilium-abc", json!({"phase": "Running"})).await;
    let fact = read_config(&client).await.unwrap();
    assert_eq!(fact.config, BTreeMap::from([("ipam".to_owned(), "kubernetes".to_owned())]));
    assert_eq!(fact.images["cilium"], "cilium:1");
    assert!(fact.agents["cilium-abc"] > 1_700_000_000, "{fact:?}");
}
