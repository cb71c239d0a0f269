//! The API of a control plane that is still being made: kubeadm's own kubeconfig from inside the node, with the port Docker publishes.
//! kind writes its kubeconfig when the last worker has joined, and Cilium can be on its way long before.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::KindError;
use super::facts::connect;
use crate::docker::Engine;

/// Where kubeadm leaves it on a control plane.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Where the API server listens there.
const PORT: &str = "6443/tcp";
/// How often a control plane is asked.
const EVERY: Duration = Duration::from_millis(250);
/// Limit for one question.
const QUESTION: Duration = Duration::from_secs(10);

/// Waits until the API of a cluster's only control plane answers its administrator, whose kubeconfig is then at `file`. There is no limit
/// here: whoever makes the node has one.
///
/// # Errors
/// The kubeconfig is not one, or cannot be written.
pub(super) async fn until_it_answers(engine: &Engine, cluster: &str, node: &str, file: &Path) -> Result<kube::Client, KindError> {
    let operation = || format!("find the API of {cluster}");
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| KindError::Api { operation: operation(), source };
    engine.until_running(node).await?;
    let text = loop {
        let read = engine.run(node, &["cat", ADMIN], None::<tokio::io::Empty>, QUESTION).await;
        match read.map(|read| (read.status, String::from_utf8_lossy(&read.stdout).into_owned())) {
            // It is written in one piece or not, and read meanwhile.
            Ok((0, text)) if client_config(&text, cluster, 0).is_ok() => break text,
            Ok(_) | Err(_) => tokio::time::sleep(EVERY).await,
        }
    };
    let port = engine.published(node, PORT).await?;
    let config = client_config(&text, cluster, port).map_err(|message| failed(message.into()))?;
    let mut private = std::fs::OpenOptions::new();
    let written = private.create(true).truncate(true).write(true).mode(0o600).open(file).and_then(|mut to| to.write_all(config.as_bytes()));
    written.map_err(|error| failed(format!("write {}: {error}", file.display()).into()))?;
    let client = connect(file).await?;
    let nodes = Api::<Node>::all(client.clone());
    // The administrator's rights come a moment after the API: kubeadm gives them by it.
    while !matches!(tokio::time::timeout(QUESTION, nodes.list(&ListParams::default().limit(1))).await, Ok(Ok(_))) {
        tokio::time::sleep(EVERY).await;
    }
    Ok(client)
}

/// kubeadm's kubeconfig as kind gives it to users: the API where Docker publishes it, and every name `kind-<cluster>`, by which the cilium
/// CLI knows what it works on.
fn client_config(text: &str, cluster: &str, port: u16) -> Result<String, String> {
    let read: Value = serde_saphyr::from_str(text).map_err(|error| format!("read {ADMIN}: {error}"))?;
    let of = |list: &str, part: &str| match &read[list][0][part] {
        Value::Object(found) if read[list][1].is_null() => Ok(found.clone()),
        _ => Err(format!("read {ADMIN}: it has not exactly one of `{list}` with a `{part}`")),
    };
    let name = format!("kind-{cluster}");
    let (mut server, user) = (of("clusters", "cluster")?, of("users", "user")?);
    server.insert("server".to_owned(), json!(format!("https://127.0.0.1:{port}")));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    // JSON is YAML.
    Ok(format!("{config:#}\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const KUBEADM: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://plumb-1-control-plane:6443
  name: plumb-1
contexts:
- context:
    cluster: plumb-1
    user: kubernetes-admin
  name: kubernetes-admin@plumb-1
current-context: kubernetes-admin@plumb-1
kind: Config
preferences: {}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
";

    #[test]
    fn the_api_is_asked_where_docker_publishes_it_and_the_context_is_the_one_the_cli_knows() {
        let config = kube::config::Kubeconfig::from_yaml(&client_config(KUBEADM, "plumb-1", 40123).unwrap()).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("kind-plumb-1"));
        let context = config.contexts[0].context.as_ref().unwrap();
        assert_eq!((config.contexts[0].name.as_str(), context.cluster.as_str()), ("kind-plumb-1", "kind-plumb-1"));
        assert_eq!(context.user.as_deref(), Some("kind-plumb-1"));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:40123"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Q0E="));
        let user = config.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!((config.auth_infos[0].name.as_str(), user.client_certificate_data.as_deref()), ("kind-plumb-1", Some("Q0VSVA==")));
        assert!(user.client_key_data.is_some());
    }

    #[test]
    fn half_a_file_is_none() {
        let half = &KUBEADM[..KUBEADM.find("users:").unwrap()];
        assert!(client_config(half, "plumb-1", 1).unwrap_err().contains("`users`"));
        assert!(client_config("", "plumb-1", 1).is_err());
        let two = KUBEADM.replace("contexts:", "- cluster: {server: https://other:6443}\n  name: other\ncontexts:");
        assert!(client_config(&two, "plumb-1", 1).unwrap_err().contains("`clusters`"));
    }
}
