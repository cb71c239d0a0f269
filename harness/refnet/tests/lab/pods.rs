//! Pods: they run, answer across nodes, are entered, and end.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use libtest_mimic::Trial;
use serde_json::json;

use crate::world::{World, spec, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("pods_answer_across_nodes_and_end_with_grace", async || pods_answer_across_nodes_and_end_with_grace().await),
        trial("pod_that_is_killed_is_started_again", async || pod_that_is_killed_is_started_again().await),
    ]
}

async fn pods_answer_across_nodes_and_end_with_grace() {
    let world = World::start(&spec(&[], &[])).await;
    let one = world.pod("one", "worker", 8080).await;
    let two = world.pod("two", "worker2", 8080).await;
    let three = world.pod("three", "worker2", 8080).await;
    for (from, to) in [("pod/default/one", &two), ("pod/default/two", &three), ("node/worker", &one), ("node/control-plane", &two)] {
        assert_eq!(world.echo(from, to, 8080, "hello").await, 1, "{from} -> {to}");
    }
    let pods = Api::<Pod>::default_namespaced(world.client.clone());
    pods.delete("two", &DeleteParams::default()).await.unwrap();
    let gone = kube::runtime::wait::await_condition(pods.clone(), "two", |pod: Option<&Pod>| pod.is_none());
    tokio::time::timeout(std::time::Duration::from_secs(5), gone).await.unwrap().unwrap();
    assert_eq!(world.echo("pod/default/one", &two, 8080, "hello").await, 0);
    assert!(world.lab.agent("pod/default/two").await.is_err());
    world.close().await;
}

async fn pod_that_is_killed_is_started_again() {
    let world = World::start(&spec(&[], &[])).await;
    let address = world.pod("one", "worker", 8080).await;
    // Its only server's port is taken from its own namespace: the process is found and killed by its environment.
    world
        .run(
            "node/worker",
            &["sh", "-c", "for p in /proc/[0-9]*; do grep -qz POD_NAME=one $p/environ 2>/dev/null && kill -9 ${p#/proc/}; done"],
        )
        .await;
    let pods = Api::<Pod>::default_namespaced(world.client.clone());
    let again = |pod: Option<&Pod>| {
        let state = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first());
        state.is_some_and(|state| state.restart_count == 1 && state.ready)
    };
    let again = kube::runtime::wait::await_condition(pods, "one", again);
    tokio::time::timeout(std::time::Duration::from_secs(5), again).await.unwrap().unwrap();
    assert_eq!(world.echo("node/worker2", &address, 8080, "hello").await, 1);
    world.close().await;
}

impl World {
    /// Makes a Pod with a TCP echo on a node and waits until it is ready; its address.
    pub(crate) async fn pod(&self, name: &str, node: &str, port: u16) -> String {
        self.make(name, node, port, false).await
    }

    /// The same in the node's own namespace.
    pub(crate) async fn host_pod(&self, name: &str, node: &str, port: u16) -> String {
        self.make(name, node, port, true).await
    }

    async fn make(&self, name: &str, node: &str, port: u16, host: bool) -> String {
        let serve = json!([{"listen": format!("0.0.0.0:{port}"), "protocol": "tcpEcho", "backend": name}]).to_string();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"nodeName": node, "hostNetwork": host, "terminationGracePeriodSeconds": 3, "containers": [{
                "name": "agent", "image": "plumb-agent", "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
                "env": [
                    {"name": "PLUMB_SERVE", "value": serve},
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
            }]},
        }))
        .unwrap();
        let pods = Api::<Pod>::default_namespaced(self.client.clone());
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let is_ready = |pod: Option<&Pod>| {
            let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        };
        let ready = kube::runtime::wait::await_condition(pods, name, is_ready);
        let ready = tokio::time::timeout(std::time::Duration::from_secs(5), ready).await;
        let Ok(Ok(Some(pod))) = ready else { panic!("{name} is not ready: {ready:?}; {:?}", self.lab.collect().await) };
        pod.status.unwrap().pod_ip.unwrap()
    }
}
