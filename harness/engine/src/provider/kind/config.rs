//! The configuration kind gets: a pure function over the nodes that are asked for (`kind.x-k8s.io/v1alpha4`).

use serde_json::{Value, json};

use plumb_core::values::Values;

/// The nodes of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodes {
    /// Control planes, at least one.
    pub control_planes: u32,
    /// Workers.
    pub workers: u32,
}

/// Who serves Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeProxy {
    /// Cilium; there is no kube-proxy. The cilium CLI sees that and sets what Cilium needs to find the API server.
    None,
    /// kube-proxy, because the flag set says that Cilium must not.
    Iptables,
}

impl KubeProxy {
    /// What a flag set asks for. Without a word about it there is none: every documented flag set replaces it.
    pub fn of(values: &Values) -> KubeProxy {
        match values.get("kubeProxyReplacement") {
            Some(Value::Bool(false)) => KubeProxy::Iptables,
            Some(Value::String(text)) if text == "false" => KubeProxy::Iptables,
            _ => KubeProxy::None,
        }
    }
}

/// The configuration, as text. The cluster's name is not in it: it is given on the command line, as is the node image. `stores` are
/// folders for the nodes' images, in their order, control planes first; a node without one has its own.
pub fn render(nodes: Nodes, proxy: KubeProxy, stores: &[String]) -> String {
    let planes = std::iter::repeat_n("control-plane", nodes.control_planes.max(1) as usize);
    let workers = std::iter::repeat_n("worker", nodes.workers as usize);
    let node = |(n, role): (usize, &str)| match stores.get(n) {
        Some(store) => json!({"role": role, "extraMounts": [{"hostPath": store, "containerPath": "/var/lib/containerd"}]}),
        None => json!({"role": role}),
    };
    let config = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            // Cilium is the CNI.
            "disableDefaultCNI": true,
            "kubeProxyMode": match proxy { KubeProxy::None => "none", KubeProxy::Iptables => "iptables" },
            // Never on an address that others on the network can reach.
            "apiServerAddress": "127.0.0.1",
        },
        "nodes": planes.chain(workers).enumerate().map(node).collect::<Vec<Value>>(),
    });
    // JSON is YAML, and a value that serde_json made can always be written.
    let mut text = serde_json::to_string_pretty(&config).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_configuration_is_what_kind_reads() {
        insta::assert_snapshot!(render(Nodes { control_planes: 1, workers: 2 }, KubeProxy::None, &[]), @r#"
        {
          "kind": "Cluster",
          "apiVersion": "kind.x-k8s.io/v1alpha4",
          "networking": {
            "disableDefaultCNI": true,
            "kubeProxyMode": "none",
            "apiServerAddress": "127.0.0.1"
          },
          "nodes": [
            {
              "role": "control-plane"
            },
            {
              "role": "worker"
            },
            {
              "role": "worker"
            }
          ]
        }
        "#);
    }

    #[test]
    fn kube_proxy_is_there_only_where_the_flag_set_wants_it() {
        let with = |value: Value| KubeProxy::of(&Values::from([("kubeProxyReplacement".to_owned(), value)]));
        assert_eq!(KubeProxy::of(&Values::new()), KubeProxy::None);
        assert_eq!((with(json!(true)), with(json!("true"))), (KubeProxy::None, KubeProxy::None));
        assert_eq!((with(json!(false)), with(json!("false"))), (KubeProxy::Iptables, KubeProxy::Iptables));
        let text = render(Nodes { control_planes: 1, workers: 0 }, KubeProxy::Iptables, &[]);
        assert!(text.contains(r#""kubeProxyMode": "iptables""#) && !text.contains("worker"), "{text}");
    }

    #[test]
    fn a_node_gets_the_store_in_its_place_and_control_planes_come_first() {
        let stores = ["/v/control-plane", "/v/worker"].map(str::to_owned);
        let config: Value = serde_json::from_str(&render(Nodes { control_planes: 1, workers: 2 }, KubeProxy::None, &stores)).unwrap();
        let mount = |n: usize| config["nodes"][n]["extraMounts"][0]["hostPath"].as_str();
        assert_eq!([mount(0), mount(1), mount(2)], [Some("/v/control-plane"), Some("/v/worker"), None]);
        assert_eq!(config["nodes"][1]["extraMounts"][0]["containerPath"], "/var/lib/containerd");
    }

    #[test]
    fn a_cluster_has_a_control_plane_at_least() {
        assert_eq!(render(Nodes { control_planes: 0, workers: 0 }, KubeProxy::None, &[]).matches("control-plane").count(), 1);
    }
}
