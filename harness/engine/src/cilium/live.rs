//! The values in force, as the agents have them: the ConfigMap `cilium-config`, and what an upgrade did to it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use serde::Serialize;

use super::NAMESPACE;

/// Reads `kube-system/cilium-config`.
///
/// # Errors
/// The API's, as it says it; a cluster without Cilium has no such ConfigMap.
pub async fn live_values(client: &Client) -> kube::Result<BTreeMap<String, String>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(api.get("cilium-config").await?.data.unwrap_or_default())
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is not what was promised.
    Unmet,
    /// It is there now and was not.
    Added,
    /// It was there and is not now.
    Removed,
    /// It is another.
    Changed,
}

/// A key that is not what it was, or not what was promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Key of `cilium-config`.
    pub key: String,
    /// What became of it.
    pub change: Change,
    /// Its value before.
    pub before: Option<String>,
    /// Its value after.
    pub after: Option<String>,
    /// The value that was promised, where one was.
    pub expected: Option<String>,
}

/// Compares two readings with what was promised for the second. A promise that is kept and changed nothing gives no difference; one
/// that is not kept is [`Change::Unmet`] whatever stood there before. By key.
pub fn compare(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).chain(expected.keys()).collect();
    let difference = |key: &String| {
        let (was, is, wanted) = (before.get(key), after.get(key), expected.get(key));
        let change = match (was, is) {
            _ if wanted.is_some() && wanted != is => Change::Unmet,
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (Some(was), Some(is)) if was != is => Change::Changed,
            _ => return None,
        };
        Some(Difference { key: key.clone(), change, before: was.cloned(), after: is.cloned(), expected: wanted.cloned() })
    };
    keys.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_upgrade_that_lost_values_is_told_from_one_that_changed_them() {
        let before = map(&[("ipam", "kubernetes"), ("enable-l2-announcements", "true"), ("devices", "eth0"), ("same", "1")]);
        let after = map(&[("ipam", "cluster-pool"), ("devices", "eth0 net0"), ("enable-wireguard", "true"), ("same", "1")]);
        let expected = map(&[("ipam", "kubernetes"), ("devices", "eth0 net0"), ("encrypt-node", "true"), ("same", "1")]);
        let found = compare(&before, &after, &expected);
        let found: Vec<(&str, Change)> = found.iter().map(|difference| (difference.key.as_str(), difference.change)).collect();
        assert_eq!(
            found,
            [
                ("devices", Change::Changed),
                ("enable-l2-announcements", Change::Removed),
                ("enable-wireguard", Change::Added),
                ("encrypt-node", Change::Unmet),
                ("ipam", Change::Unmet),
            ]
        );
        assert_eq!(compare(&before, &before, &map(&[("ipam", "kubernetes")])), []);
    }
}
