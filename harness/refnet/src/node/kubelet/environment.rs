//! A container's environment: literal values, fields of its Pod, and keys of Secrets and ConfigMaps.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret};
use kube::{Api, Client, ResourceExt};

/// A variable that cannot be given. Reads after "failed to"; never holds a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    /// The source cannot be read now; it may come.
    #[error("read {what} for variable {name}")]
    Source {
        /// Variable.
        name: String,
        /// Secret or ConfigMap, in words.
        what: String,
        /// What the API said.
        source: Box<kube::Error>,
    },
    /// The key is not there; it may come.
    #[error("find key {key} of {what} for variable {name}")]
    Key {
        /// Variable.
        name: String,
        /// Secret or ConfigMap, in words.
        what: String,
        /// Which key.
        key: String,
    },
    /// A kind of source that is not modelled.
    #[error("fill variable {name}: {what} is not modelled by the reference network")]
    NotModelled {
        /// Variable.
        name: String,
        /// What was asked for.
        what: String,
    },
}

/// What a Pod knows of itself besides its object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    /// The Pod's.
    pub(super) pod: Ipv4Addr,
    /// Its node's.
    pub(super) host: Ipv4Addr,
}

/// Every variable of a container, in order.
pub(super) async fn resolve(
    client: &Client,
    pod: &Pod,
    container: &Container,
    addresses: Addresses,
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let mut variables = Vec::new();
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(variable.value.clone().unwrap_or_default()),
            Some(source) => from(client, pod, variable, source, addresses).await?,
        };
        variables.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(variables)
}

async fn from(
    client: &Client,
    pod: &Pod,
    variable: &EnvVar,
    source: &EnvVarSource,
    addresses: Addresses,
) -> Result<Option<String>, EnvironmentError> {
    let name = variable.name.clone();
    if let Some(field) = &source.field_ref {
        let value = field_of(pod, &field.field_path, addresses);
        return match value {
            Some(value) => Ok(Some(value)),
            None => Err(EnvironmentError::NotModelled { name, what: format!("field {}", field.field_path) }),
        };
    }
    let namespace = pod.namespace().unwrap_or_default();
    let (what, key, optional, found) = if let Some(wanted) = &source.secret_key_ref {
        let secret = Api::<Secret>::namespaced(client.clone(), &namespace).get_opt(&wanted.name).await;
        let found = secret.map(|secret| secret.and_then(|secret| secret.data?.remove(&wanted.key)).map(|bytes| text(&bytes.0)));
        (format!("Secret {}", wanted.name), &wanted.key, wanted.optional, found)
    } else if let Some(wanted) = &source.config_map_key_ref {
        let map = Api::<ConfigMap>::namespaced(client.clone(), &namespace).get_opt(&wanted.name).await;
        let found = map.map(|map| map.and_then(|map| map.data?.remove(&wanted.key)));
        (format!("ConfigMap {}", wanted.name), &wanted.key, wanted.optional, found)
    } else {
        return Err(EnvironmentError::NotModelled { name, what: "its source".to_owned() });
    };
    match found {
        Err(error) => Err(EnvironmentError::Source { name, what, source: Box::new(error) }),
        Ok(None) if optional != Some(true) => Err(EnvironmentError::Key { name, what, key: key.clone() }),
        Ok(value) => Ok(value),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn field_of(pod: &Pod, path: &str, addresses: Addresses) -> Option<String> {
    let named = |map: &std::collections::BTreeMap<String, String>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    match path {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => pod.spec.as_ref()?.node_name.clone(),
        "status.podIP" => Some(addresses.pod.to_string()),
        "status.hostIP" => Some(addresses.host.to_string()),
        _ => named(pod.labels(), "metadata.labels['").or_else(|| named(pod.annotations(), "metadata.annotations['")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn fields_of_a_pod_are_found_by_path() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a", "namespace": "b", "labels": {"app": "x"}},
            "spec": {"nodeName": "worker", "containers": []},
        }))
        .unwrap();
        let addresses = Addresses { pod: [10, 244, 1, 2].into(), host: [10, 9, 0, 3].into() };
        let of = |path: &str| field_of(&pod, path, addresses);
        assert_eq!(of("metadata.name").as_deref(), Some("a"));
        assert_eq!(of("spec.nodeName").as_deref(), Some("worker"));
        assert_eq!(of("status.podIP").as_deref(), Some("10.244.1.2"));
        assert_eq!(of("metadata.labels['app']").as_deref(), Some("x"));
        assert_eq!(of("spec.restartPolicy"), None);
    }
}
