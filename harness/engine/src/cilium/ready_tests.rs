#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

use std::task::Poll;

use futures::future::FutureExt;
use plumb_refnet::api::ApiServer;
use serde_json::json;

use super::super::fake_cluster::{Scene, rolled};
use crate::cluster::ResourceRef;

const LONG: Duration = Duration::from_secs(30);

fn expect() -> Expect {
    Expect { nodes: 2, gateway_class: true }
}

async fn late(scene: &Scene) -> String {
    let ended = ready(&scene.server.client(), &expect(), Duration::from_millis(700)).await;
    ended.unwrap_err().to_string()
}

#[tokio::test]
async fn everything_there_is_ready_with_its_images_and_times() {
    let scene = Scene::new();
    scene.whole().await;
    let facts = ready(&scene.server.client(), &expect(), LONG).await.unwrap();
    assert_eq!(facts.nodes, 2);
    let images = [("cilium", "cilium:1"), ("cilium-envoy", "envoy:1"), ("cilium-operator", "operator:1")];
    assert_eq!(facts.images, images.map(|(name, image)| (name.to_owned(), image.to_owned())).into());
    assert_eq!(facts.parts_ms.keys().collect::<Vec<_>>(), ["agents", "envoy", "gatewayClass", "nodes", "operator"]);
}

#[tokio::test]
async fn each_part_that_lacks_is_named() {
    let scene = Scene::new();
    assert!(late(&scene).await.contains("DaemonSet cilium is not there"));
    scene.whole().await;
    scene.daemon_set("cilium", "cilium:1", rolled(2, 1)).await;
    let said = late(&scene).await;
    assert_eq!(said, "wait for Cilium: not ready after 700 ms: DaemonSet cilium: 2 of 2 Pods as it says now, 1 available");
    scene.daemon_set("cilium", "cilium:1", rolled(1, 1)).await;
    assert!(late(&scene).await.contains("DaemonSet cilium wants 1 Pods for 2 nodes"));
    scene.daemon_set("cilium", "cilium:1", rolled(2, 2)).await;
    scene.node("worker", "False").await;
    assert!(late(&scene).await.contains("not Ready: worker"));
    scene.node("worker", "True").await;
    scene.daemon_set("cilium-envoy", "envoy:1", rolled(2, 0)).await;
    assert!(late(&scene).await.contains("DaemonSet cilium-envoy: 2 of 2 Pods as it says now, 0 available"));
    scene.daemon_set("cilium-envoy", "envoy:1", rolled(2, 2)).await;
    scene.operator(json!({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1})).await;
    assert!(late(&scene).await.contains("Deployment cilium-operator: 1 of 1 Pods as it says now, 1 available, 2 in all"));
    scene.operator(json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})).await;
    scene.class("Unknown").await;
    assert!(late(&scene).await.contains("GatewayClass cilium: Accepted=Unknown Pending: Waiting"));
}

#[tokio::test]
async fn readiness_is_seen_when_the_last_part_comes() {
    let scene = Scene::new();
    scene.whole().await;
    scene.node("worker", "False").await;
    let client = scene.server.client();
    let expect = expect();
    let mut waiting = std::pin::pin!(ready(&client, &expect, LONG));
    assert!(matches!(futures::poll!(&mut waiting), Poll::Pending));
    let (facts, ()) = tokio::join!(waiting, scene.node("worker", "True"));
    facts.unwrap();
}

#[tokio::test]
async fn a_new_generation_is_not_ready_before_it_is_rolled_out() {
    let scene = Scene::new();
    scene.whole().await;
    // As `cilium upgrade` leaves it: the template is another, the status is of before.
    let resource = ResourceRef { kind: "DaemonSet".into(), namespace: Some(NAMESPACE.into()), name: "cilium".into() };
    let template = json!({"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}});
    scene.cluster.merge(&resource, &template).await.unwrap();
    assert!(late(&scene).await.contains("DaemonSet cilium: its change is not noticed yet"));
}

#[tokio::test]
async fn a_crash_loop_ends_the_wait_at_once() {
    let scene = Scene::new();
    scene.whole().await;
    scene.daemon_set("cilium-envoy", "envoy:1", rolled(2, 0)).await;
    let crash = json!({
        "name": "cilium-agent", "image": "cilium:1", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}},
    });
    scene.pod("cilium-abc", json!({"phase": "Running", "containerStatuses": [crash]})).await;
    let error = ready(&scene.server.client(), &expect(), LONG).await.unwrap_err();
    let NotReady::Broken { trouble, .. } = &error else { panic!("{error}") };
    assert_eq!((trouble.container.as_str(), trouble.exit_code, trouble.restarts), ("cilium-agent", Some(137), 3));
    let said = error.to_string();
    let begins = "wait for Cilium: container cilium-agent of pod kube-system/cilium-abc on worker: CrashLoopBackOff, exit code 137";
    assert!(said.starts_with(begins), "{said}");
}

/// A client of a server that keeps logs, which the reference network's does not: `previous` of a container, or what it says now.
fn with_logs(server: &ApiServer, previous: &'static str, now: &'static str) -> Client {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let server = server.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let server = server.clone();
        async move {
            if !request.uri().path().ends_with("/log") {
                return server.service().oneshot(request).await;
            }
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("container=cilium-agent") && query.contains("tailLines=400"), "{query}");
            let text = if query.contains("previous=true") { previous } else { now };
            Ok(http::Response::new(http_body_util::Full::new(bytes::Bytes::from(text)).boxed_unsync()))
        }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn the_last_words_are_those_of_the_run_that_ended_without_keys() {
    let scene = Scene::new();
    let crash = json!({"name": "cilium-agent", "image": "cilium:1", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}});
    scene.pod("cilium-abc", json!({"phase": "Running", "containerStatuses": [crash]})).await;
    let key = "level=info\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nlevel=fatal msg=no\n";
    let error = ready(&with_logs(&scene.server, key, "now"), &expect(), LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("restarts; the last it said:\nlevel=info\n[redacted]\nlevel=fatal msg=no"), "{error}");
    let error = ready(&with_logs(&scene.server, "", "now"), &expect(), LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("the last it said:\nnow"), "{error}");
    let error = ready(&with_logs(&scene.server, "", ""), &expect(), LONG).await.unwrap_err().to_string();
    assert!(error.ends_with("the last it said: nothing"), "{error}");
}

#[test]
fn the_last_words_begin_with_what_was_grave() {
    let info = |n: usize| format!("level=info msg=\"regenerating {n}\"");
    let said = |lines: &[String]| last_words(&lines.join("\n"));
    let calm: Vec<String> = (0..40).map(info).collect();
    assert_eq!(said(&calm), calm[28..]);
    // 1.17.1 without bpftool: other threads went on for 20 lines.
    let fatal = "level=fatal msg=\"could not run bpftool\"".to_owned();
    let mut crashed = calm.clone();
    crashed.insert(19, fatal.clone());
    assert_eq!(said(&crashed)[..2], [fatal.clone(), "...".to_owned()]);
    assert_eq!(said(&crashed)[2..], calm[28..]);
    // What is among the last lines is not said twice.
    let at_the_end = [calm.clone(), vec![fatal.clone()]].concat();
    assert_eq!(said(&at_the_end), [calm[29..].to_vec(), vec![fatal]].concat());
    assert!(said(&[]).is_empty());
    // Envoy, which says its whole configuration after what is wrong with it (1.16.2 with another Envoy).
    let critical = "[2026-11-27 21:00:55.982][1][critical][main] [source/server/server.cc:453] error `Unable to parse JSON as proto`: {";
    let dump = [vec![critical.to_owned()], vec!["  }".to_owned(); 130]].concat();
    assert_eq!(said(&dump)[..2], [critical.to_owned(), "...".to_owned()]);
}

#[tokio::test]
async fn a_foreign_pod_that_crashes_does_not_end_the_wait() {
    let scene = Scene::new();
    scene.whole().await;
    let crash = json!({"name": "coredns", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    scene.pod("coredns-abc", json!({"phase": "Running", "containerStatuses": [crash]})).await;
    assert!(ready(&scene.server.client(), &expect(), LONG).now_or_never().is_none());
    ready(&scene.server.client(), &expect(), LONG).await.unwrap();
}

#[test]
fn what_is_expected_follows_from_the_values() {
    let of = |values: Value| Expect::of(&serde_json::from_value(values).unwrap(), 3).gateway_class;
    assert!(of(json!({"gatewayAPI.enabled": true})));
    assert!(!of(json!({"gatewayAPI.enabled": false})));
    assert!(!of(json!({"gatewayAPI.enabled": true, "gatewayAPI.gatewayClass.create": "false"})));
    assert!(!of(json!({})));
}
