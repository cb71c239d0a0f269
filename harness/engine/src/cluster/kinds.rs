//! Kinds by the names scenarios use, found by discovery: `gateway`, `httproutes`, `lease`.

use std::collections::HashMap;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::{GroupVersion, GroupVersionKind, Status};
use kube::discovery::{Discovery, Scope, pinned_kind};
use kube::{Client, Error};
use tokio::sync::Mutex;

/// An object by the name scenarios use: `kind/name` or `kind/namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRef {
    /// Kind, singular or plural, any case.
    pub kind: String,
    /// Namespace; absent = `default`, or none for kinds without.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ResourceRef {
    /// Reads `kind/name` or `kind/namespace/name`.
    pub fn parse(text: &str) -> Option<ResourceRef> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        match parts[..] {
            [kind, name] => Some(ResourceRef { kind: kind.into(), namespace: None, name: name.into() }),
            [kind, namespace, name] => Some(ResourceRef { kind: kind.into(), namespace: Some(namespace.into()), name: name.into() }),
            _ => None,
        }
    }

    /// An object of this kind by `name` or `namespace/name`.
    pub fn of(kind: &str, text: &str) -> ResourceRef {
        match text.split_once('/') {
            Some((namespace, name)) => ResourceRef { kind: kind.into(), namespace: Some(namespace.into()), name: name.into() },
            None => ResourceRef { kind: kind.into(), namespace: None, name: text.into() },
        }
    }
}

impl std::fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let namespace = self.namespace.as_deref().unwrap_or("default");
        write!(f, "{}/{namespace}/{}", self.kind.to_ascii_lowercase(), self.name)
    }
}

/// A kind as the API serves it.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// Where it is served.
    pub resource: ApiResource,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// Its objects in a namespace.
    pub(super) fn api(&self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        if self.namespaced {
            Api::namespaced_with(client.clone(), namespace.unwrap_or("default"), &self.resource)
        } else {
            Api::all_with(client.clone(), &self.resource)
        }
    }
}

/// Kinds that were found. Definitions come and go, so what is not known is looked for again each time.
pub struct Kinds {
    client: Client,
    named: Mutex<HashMap<String, Kind>>,
    pinned: Mutex<HashMap<(String, String), Kind>>,
}

impl Kinds {
    /// Nothing is found yet.
    pub fn new(client: Client) -> Kinds {
        Kinds { client, named: Mutex::default(), pinned: Mutex::default() }
    }

    /// A kind by its name, in the version the API prefers.
    pub(super) async fn named(&self, name: &str, limit: Duration) -> Result<Kind, Error> {
        let wanted = name.to_ascii_lowercase();
        let mut known = self.named.lock().await;
        if let Some(kind) = known.get(&wanted) {
            return Ok(kind.clone());
        }
        let discovery = within(limit, Discovery::new(self.client.clone()).run()).await?;
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let kind = Kind { namespaced: capabilities.scope == Scope::Namespaced, resource };
                let names = [kind.resource.kind.to_ascii_lowercase(), kind.resource.plural.clone()];
                for name in names {
                    // The core group is first and keeps its names: `event`, `service`.
                    known.entry(name).or_insert_with(|| kind.clone());
                }
            }
        }
        known.get(&wanted).cloned().ok_or_else(|| missing(name, "any version"))
    }

    /// A kind in exactly this version.
    pub(super) async fn pinned(&self, api_version: &str, kind: &str, limit: Duration) -> Result<Kind, Error> {
        let key = (api_version.to_owned(), kind.to_owned());
        let mut known = self.pinned.lock().await;
        if let Some(kind) = known.get(&key) {
            return Ok(kind.clone());
        }
        let version: GroupVersion = api_version.parse().map_err(|_| missing(kind, api_version))?;
        let gvk = GroupVersionKind::gvk(&version.group, &version.version, kind);
        let (resource, capabilities) = match within(limit, pinned_kind(&self.client, &gvk)).await {
            Ok(found) => found,
            Err(Error::Discovery(_)) => return Err(missing(kind, api_version)),
            Err(Error::Api(status)) if status.code == 404 => return Err(missing(kind, api_version)),
            Err(error) => return Err(error),
        };
        let found = Kind { namespaced: capabilities.scope == Scope::Namespaced, resource };
        known.insert(key, found.clone());
        Ok(found)
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Service(format!("no answer to discovery within {} ms", limit.as_millis()).into());
    tokio::time::timeout(limit, call).await.map_err(late)?
}

/// What `kubectl` says too when a definition is not installed.
fn missing(kind: &str, version: &str) -> Error {
    let message = format!("no matches for kind \"{kind}\" in version \"{version}\"");
    Error::Api(Box::new(Status::failure(&message, "NotFound").with_code(404)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::ResourceRef;

    #[test]
    fn a_resource_is_read_and_shown() {
        assert_eq!(ResourceRef::parse("Gateway/x").unwrap().to_string(), "gateway/default/x");
        assert_eq!(ResourceRef::parse("lease/kube-system/y").unwrap().to_string(), "lease/kube-system/y");
        assert!(ResourceRef::parse("gateway").is_none() && ResourceRef::parse("a/b/c/d").is_none() && ResourceRef::parse("a//c").is_none());
        assert_eq!(ResourceRef::of("service", "ns/web").to_string(), "service/ns/web");
    }
}
