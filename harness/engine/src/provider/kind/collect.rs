//! What the nodes of a kind cluster can tell, whatever state the cluster is in: through Docker alone, so that it works before there is an
//! API, after it is gone, and for whoever finds the cluster when its owner is dead.
//!
//! Nothing here fails: what cannot be asked is a text that says why. Nodes that are frozen are thawed, because nothing can be asked of
//! them otherwise; that they were frozen is in the text about them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use crate::docker::{Engine, Running};

/// Limit for one question. A node under load takes seconds to list its rules.
const QUESTION: Duration = Duration::from_secs(30);

/// A question to a node: what the answer is called, and the command.
struct Question {
    name: &'static str,
    command: &'static str,
}

/// What every node is asked. Each is a shell line, because a node image has a shell and little else.
const NODE: [Question; 6] = [
    Question { name: "kubelet", command: "journalctl --no-pager --lines 2000 --unit kubelet" },
    Question { name: "containerd", command: "journalctl --no-pager --lines 500 --unit containerd" },
    Question {
        name: "network",
        command: "for what in 'addr' '-d link' 'rule' 'route show table all' 'neigh'; do echo \"# ip $what\"; ip $what; done 2>&1",
    },
    Question { name: "iptables", command: "iptables-save -c 2>&1" },
    Question { name: "containers", command: "crictl pods 2>&1; crictl ps --all 2>&1; ctr --namespace=k8s.io images ls -q 2>&1" },
    Question {
        name: "pods",
        command: "cd /var/log/pods && for log in kube-system_cilium*/*/*.log default_*/*/*.log; do [ -f \"$log\" ] || continue; \
                  echo \"# $log\"; tail -n 4000 \"$log\"; done",
    },
];

/// What the Cilium agent of every node is asked (`cilium-dbg`, in 1.16 and later).
const AGENT: [&str; 9] = [
    "status --verbose",
    "encrypt status",
    "config --all",
    "service list",
    "endpoint list",
    "bpf lb list",
    "bpf ipcache list",
    "map list",
    "statedb dump",
];

/// What the control plane is asked beside. Secrets are never among it.
const CLUSTER: [Question; 3] = [
    Question { name: "events", command: "get events --all-namespaces --sort-by=.lastTimestamp" },
    Question { name: "kube-system", command: "--namespace kube-system describe pods" },
    Question { name: "config", command: "--namespace kube-system get configmap cilium-config --output yaml" },
];

/// Asks every node of a cluster.
pub async fn collect(engine: &Engine, cluster: &str) -> BTreeMap<String, String> {
    let nodes = match engine.kind_nodes(cluster).await {
        Ok(nodes) => nodes,
        Err(error) => return BTreeMap::from([("nodes".to_owned(), format!("not asked: {error}\n"))]),
    };
    join_all(nodes.iter().map(|node| node_texts(engine, cluster, node))).await.into_iter().flatten().collect()
}

async fn node_texts(engine: &Engine, cluster: &str, node: &str) -> BTreeMap<String, String> {
    let short = node.strip_prefix(&format!("{cluster}-")).unwrap_or(node);
    let mut texts = BTreeMap::new();
    let state = engine.inspect(node).await.unwrap_or_else(|error| format!("not asked: {error}\n"));
    texts.insert(format!("{short}.docker"), state);
    if engine.container(node).await.is_ok_and(|found| found.running == Running::Paused)
        && let Err(error) = engine.unpause(node).await
    {
        texts.insert(format!("{short}.thaw"), format!("still frozen: {error}\n"));
    }
    let asked =
        NODE.iter().map(async |question| (format!("{short}.{}", question.name), ask(engine, node, &["sh", "-c", question.command]).await));
    texts.extend(join_all(asked).await);
    if !short.starts_with("external-load-balancer") {
        texts.insert(format!("{short}.cilium"), agent_text(engine, node).await);
    }
    if short == "control-plane" {
        for question in &CLUSTER {
            let mut command = vec!["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=20s"];
            command.extend(question.command.split(' '));
            texts.insert(format!("cluster.{}", question.name), ask(engine, node, &command).await);
        }
    }
    texts
}

/// What the Cilium agent on a node says of itself.
async fn agent_text(engine: &Engine, node: &str) -> String {
    let found = ask(engine, node, &["crictl", "ps", "--quiet", "--state", "running", "--name", "^cilium-agent$"]).await;
    let Some(id) = found.split_whitespace().next().filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit())) else {
        return format!("no Cilium agent runs on {node}: {found}\n");
    };
    let mut text = String::new();
    for command in AGENT {
        let mut words = vec!["crictl", "exec", id, "cilium-dbg"];
        words.extend(command.split(' '));
        text.push_str(&format!("# cilium-dbg {command}\n{}\n", ask(engine, node, &words).await));
    }
    text
}

async fn ask(engine: &Engine, node: &str, command: &[&str]) -> String {
    match engine.run(node, command, None::<tokio::io::Empty>, QUESTION).await {
        Ok(output) if output.status == 0 => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => format!("{}exit status {}: {}\n", String::from_utf8_lossy(&output.stdout), output.status, output.stderr),
        Err(error) => format!("not asked: {error}\n"),
    }
}
