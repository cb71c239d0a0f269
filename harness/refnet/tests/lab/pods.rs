//! Pods: they run, answer across nodes, are entered, and end.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, DeleteParams, ListParams, PostParams};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::world::{World, spec, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("pods_answer_across_nodes_and_end_with_grace", async || pods_answer_across_nodes_and_end_with_grace().await),
        trial("agents_of_a_daemon_set_are_entered_through_the_api", async || agents_of_a_daemon_set_are_entered_through_the_api().await),
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

/// One agent on every node, reached as any client of a cluster reaches it: through the API alone.
async fn agents_of_a_daemon_set_are_entered_through_the_api() {
    let world = World::start(&spec(&[], &[])).await;
    let template = json!({"metadata": {"labels": {"app": "agent"}}, "spec": {
        "hostNetwork": true, "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "agent", "image": "plumb-agent", "args": ["wait"]}],
    }});
    let set = json!({"metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template}});
    let sets = Api::<DaemonSet>::default_namespaced(world.client.clone());
    sets.create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    let all_ready = |set: Option<&DaemonSet>| set.and_then(|set| set.status.as_ref()).is_some_and(|status| status.number_ready == 3);
    let ready = kube::runtime::wait::await_condition(sets.clone(), "agent", all_ready);
    tokio::time::timeout(std::time::Duration::from_secs(10), ready).await.unwrap().unwrap();
    let pods = Api::<Pod>::default_namespaced(world.client.clone());
    let listed = pods.list(&ListParams::default().labels("app=agent")).await.unwrap().items;
    let nodes: std::collections::BTreeSet<_> = listed.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["control-plane", "worker", "worker2"]);
    for pod in &listed {
        let (name, node) = (pod.metadata.name.clone().unwrap(), pod.spec.as_ref().unwrap().node_name.clone().unwrap());
        let parameters = AttachParams { stdin: true, stdout: true, stderr: true, ..AttachParams::default() };
        let mut process = pods.exec(&name, ["/plumb/agent", "session"], &parameters).await.unwrap();
        let (mut input, output) = (process.stdin().unwrap(), process.stdout().unwrap());
        input.write_all(b"{\"id\":1,\"op\":\"links\"}\n").await.unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await.unwrap();
        let address = world.lab.ready().nodes[&node].address.clone();
        assert!(line.contains(&address), "{node}: {line}");
    }
    let name = listed[0].metadata.name.clone().unwrap();
    let mut refused = pods.exec(&name, ["sh"], &AttachParams::default()).await.unwrap();
    let status = refused.take_status().unwrap().await.unwrap();
    assert!(status.message.unwrap().contains("executable file not found"));
    sets.delete("agent", &DeleteParams::default()).await.unwrap();
    let gone = kube::runtime::wait::await_condition(pods.clone(), &name, |pod: Option<&Pod>| pod.is_none());
    tokio::time::timeout(std::time::Duration::from_secs(5), gone).await.unwrap().unwrap();
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
