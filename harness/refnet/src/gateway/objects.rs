//! The Gateway API objects as far as the reference network reads them. Parsing is lenient on purpose: validation is the API
//! server's work, and a field that is not known here must not hide the rest of an object.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{DynamicObject, ObjectMeta};
use kube::discovery::ApiResource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The API group of everything here.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// The controller whose classes are served.
pub const CONTROLLER: &str = "io.cilium/gateway-controller";

/// An object with a typed specification.
#[derive(Debug, Clone)]
pub struct Item<S> {
    /// Name, namespace, generation, labels.
    pub meta: ObjectMeta,
    /// What is wanted.
    pub spec: S,
    /// What was said last.
    pub status: Value,
}

impl<S: DeserializeOwned> Item<S> {
    /// Reads an object; `None` when its specification cannot be read.
    pub fn read(object: &DynamicObject) -> Option<Item<S>> {
        let spec = serde_json::from_value(object.data.get("spec")?.clone()).ok()?;
        let status = object.data.get("status").cloned().unwrap_or(Value::Null);
        Some(Item { meta: object.metadata.clone(), spec, status })
    }
}

impl<S> Item<S> {
    /// Name.
    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// Namespace, empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// `metadata.generation`.
    pub fn generation(&self) -> i64 {
        self.meta.generation.unwrap_or_default()
    }

    /// Sorts older objects first, then by namespace and name: the specification's rule for ties.
    pub fn age(&self) -> (Option<String>, String, String) {
        let created = self.meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
        (created, self.namespace().to_owned(), self.name().to_owned())
    }
}

/// What a watch needs to know of a Gateway API kind.
pub fn resource(version: &str, kind: &str, plural: &str) -> ApiResource {
    resource_of(GROUP, version, kind, plural)
}

/// What a watch needs to know of any kind.
pub fn resource_of(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}/{version}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// GatewayClass.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassSpec {
    /// Who serves it.
    pub controller_name: String,
}

/// Gateway.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Its class.
    pub gateway_class_name: String,
    /// Its listeners.
    #[serde(default)]
    pub listeners: Vec<ListenerSpec>,
    /// Addresses asked for.
    #[serde(default)]
    pub addresses: Vec<AddressSpec>,
    /// What is put on generated objects.
    #[serde(default)]
    pub infrastructure: Infrastructure,
}

/// An address asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AddressSpec {
    /// `IPAddress` when absent.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The address.
    #[serde(default)]
    pub value: Option<String>,
}

/// What is put on generated objects.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Infrastructure {
    /// Further labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Further annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSpec {
    /// Name, unique within the Gateway.
    pub name: String,
    /// Host name or wildcard; absent = all.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Port.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, ...
    pub protocol: String,
    /// TLS settings.
    #[serde(default)]
    pub tls: Option<TlsSpec>,
    /// Who may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
}

/// TLS settings of a listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// `Terminate` (default) or `Passthrough`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Secrets with certificates.
    #[serde(default)]
    pub certificate_refs: Vec<ObjectRef>,
}

/// A reference to an object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ObjectRef {
    /// Group; absent = core.
    #[serde(default)]
    pub group: Option<String>,
    /// Kind; absent = the field's default.
    #[serde(default)]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; absent = the referrer's.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// Who may attach to a listener.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AllowedRoutes {
    /// From which namespaces.
    #[serde(default)]
    pub namespaces: RouteNamespaces,
    /// Which kinds; empty = all of the protocol.
    #[serde(default)]
    pub kinds: Vec<RouteKind>,
}

/// From which namespaces routes may attach.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RouteNamespaces {
    /// `Same` (default), `All`, `Selector`.
    #[serde(default)]
    pub from: Option<String>,
    /// For `Selector`.
    #[serde(default)]
    pub selector: Option<LabelSelector>,
}

/// A kind of route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RouteKind {
    /// Group; absent = Gateway API.
    #[serde(default)]
    pub group: Option<String>,
    /// Kind.
    pub kind: String,
}

/// What a route attaches to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Group; absent = Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent = Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace; absent = the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// One listener only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Listeners of this port only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// HTTPRoute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// What it attaches to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Host names; empty = the listener's.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Rules.
    #[serde(default)]
    pub rules: Vec<HttpRuleSpec>,
}

/// A rule of an HTTPRoute.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRuleSpec {
    /// Any of these; empty = every request.
    #[serde(default)]
    pub matches: Vec<HttpMatchSpec>,
    /// What is done on the way.
    #[serde(default)]
    pub filters: Vec<Value>,
    /// Where requests go.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
    /// Limits.
    #[serde(default)]
    pub timeouts: Option<Timeouts>,
}

/// Limits of a rule, Gateway API durations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Whole request.
    #[serde(default)]
    pub request: Option<String>,
}

/// What a request must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatchSpec {
    /// Its path.
    #[serde(default)]
    pub path: Option<ValueMatch>,
    /// Its headers.
    #[serde(default)]
    pub headers: Vec<NamedMatch>,
    /// Its query parameters.
    #[serde(default)]
    pub query_params: Vec<NamedMatch>,
    /// Its method.
    #[serde(default)]
    pub method: Option<String>,
}

/// A path to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ValueMatch {
    /// `PathPrefix` (default), `Exact`, `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// What to compare with, `/` when absent.
    #[serde(default)]
    pub value: Option<String>,
}

/// A header or query parameter to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamedMatch {
    /// `Exact` (default), `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
    /// What to compare with.
    pub value: String,
}

/// Where requests or connections go.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BackendRef {
    /// Group; absent = core.
    #[serde(default)]
    pub group: Option<String>,
    /// Kind; absent = Service.
    #[serde(default)]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; absent = the route's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Port of the Service.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its share; absent = 1.
    #[serde(default)]
    pub weight: Option<u32>,
    /// What is done on the way to this backend alone.
    #[serde(default)]
    pub filters: Vec<Value>,
}

/// TLSRoute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRouteSpec {
    /// What it attaches to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Host names; empty = the listener's.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Rules.
    #[serde(default)]
    pub rules: Vec<TlsRuleSpec>,
}

/// A rule of a TLSRoute.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRuleSpec {
    /// Where connections go.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

/// ReferenceGrant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantSpec {
    /// Who may refer.
    #[serde(default)]
    pub from: Vec<GrantFrom>,
    /// To what.
    #[serde(default)]
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantFrom {
    /// Group of the referrer.
    pub group: String,
    /// Kind of the referrer.
    pub kind: String,
    /// Namespace of the referrer.
    pub namespace: String,
}

/// To what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantTo {
    /// Group of the object.
    pub group: String,
    /// Kind of the object.
    pub kind: String,
    /// One object only.
    #[serde(default)]
    pub name: Option<String>,
}
