//! Kinds by the names scenarios use, found by discovery: `gateway`, `httproutes`, `lease`.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::{GroupVersion, GroupVersionKind, Status};
use kube::discovery::{ApiCapabilities, Discovery, Scope};
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
    found: Mutex<Option<Discovery>>,
}

impl Kinds {
    /// Nothing is found yet.
    pub fn new(client: Client) -> Kinds {
        Kinds { client, found: Mutex::new(None) }
    }

    /// A kind by its name, singular or plural, in the version the API prefers.
    pub(super) async fn named(&self, name: &str, limit: Duration) -> Result<Kind, Error> {
        let wanted = name.to_ascii_lowercase();
        let look = |discovery: &Discovery| {
            // The core group comes first and keeps its names: `event`, `service`.
            let mut groups: Vec<_> = discovery.groups().collect();
            groups.sort_by_key(|group| group.name().to_owned());
            groups
                .iter()
                .flat_map(|group| group.recommended_resources())
                .find(|(resource, _)| resource.kind.eq_ignore_ascii_case(&wanted) || resource.plural == wanted)
        };
        self.look(limit, look).await?.ok_or_else(|| missing(name, "any version"))
    }

    /// A kind in exactly this version.
    pub(super) async fn pinned(&self, api_version: &str, kind: &str, limit: Duration) -> Result<Kind, Error> {
        let version: GroupVersion = api_version.parse().map_err(|_| missing(kind, api_version))?;
        let gvk = GroupVersionKind::gvk(&version.group, &version.version, kind);
        self.look(limit, |discovery| discovery.resolve_gvk(&gvk)).await?.ok_or_else(|| missing(kind, api_version))
    }

    /// Looks into what was found, and once more into what is found now. The limit is for all of it, the wait for others who look included.
    async fn look(
        &self,
        limit: Duration,
        look: impl Fn(&Discovery) -> Option<(ApiResource, ApiCapabilities)>,
    ) -> Result<Option<Kind>, Error> {
        let late = |_| Error::Service(format!("no answer to discovery within {} ms", limit.as_millis()).into());
        tokio::time::timeout(limit, self.search(look)).await.map_err(late)?
    }

    async fn search(&self, look: impl Fn(&Discovery) -> Option<(ApiResource, ApiCapabilities)>) -> Result<Option<Kind>, Error> {
        let mut found = self.found.lock().await;
        let kind = |(resource, capabilities): (ApiResource, ApiCapabilities)| Kind {
            namespaced: capabilities.scope == Scope::Namespaced,
            resource,
        };
        if let Some(known) = found.as_ref().and_then(&look) {
            return Ok(Some(kind(known)));
        }
        // Two requests where the API aggregates, as every one since 1.30 does; else one a group and version.
        let discovery = match Discovery::new(self.client.clone()).run_aggregated().await {
            Ok(discovery) => discovery,
            Err(_) => Discovery::new(self.client.clone()).run().await?,
        };
        let now = look(&discovery).map(kind);
        *found = Some(discovery);
        Ok(now)
    }
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
