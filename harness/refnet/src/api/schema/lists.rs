//! How lists of the kinds merge. Neither the Rust types nor their JSON Schemas say it, so it is said here, after the Kubernetes and
//! Gateway API references: by which fields items are told apart in server-side apply, and in strategic merge patches.

use super::List;

/// How one list (or map) of one definition merges.
pub(super) struct Rule {
    /// Definition, its last part: `PodSpec`.
    owner: &'static str,
    field: &'static str,
    apply: Apply,
    /// Strategic merge key; `""` = a merged list of scalars.
    pub(super) merge_key: Option<&'static str>,
    pub(super) atomic_map: bool,
}

enum Apply {
    Atomic,
    Set,
    Map(&'static [&'static str]),
}

impl Rule {
    pub(super) fn list(&self) -> List {
        match self.apply {
            Apply::Atomic => List::Atomic,
            Apply::Set => List::Set,
            Apply::Map(keys) => List::Map(keys.iter().map(|k| (*k).to_owned()).collect()),
        }
    }
}

const fn map(owner: &'static str, field: &'static str, keys: &'static [&'static str], merge_key: Option<&'static str>) -> Rule {
    Rule { owner, field, apply: Apply::Map(keys), merge_key, atomic_map: false }
}

const fn set(owner: &'static str, field: &'static str, merge_key: Option<&'static str>) -> Rule {
    Rule { owner, field, apply: Apply::Set, merge_key, atomic_map: false }
}

const fn whole(owner: &'static str, field: &'static str) -> Rule {
    Rule { owner, field, apply: Apply::Atomic, merge_key: None, atomic_map: true }
}

/// Any definition.
const ANY: &str = "*";

const RULES: &[Rule] = &[
    // Everywhere.
    map("ObjectMeta", "ownerReferences", &["uid"], Some("uid")),
    set("ObjectMeta", "finalizers", Some("")),
    map(ANY, "conditions", &["type"], Some("type")),
    // Pods.
    map(ANY, "containers", &["name"], Some("name")),
    map(ANY, "initContainers", &["name"], Some("name")),
    map(ANY, "ephemeralContainers", &["name"], Some("name")),
    map("Container", "ports", &["containerPort", "protocol"], Some("containerPort")),
    map("EphemeralContainer", "ports", &["containerPort", "protocol"], Some("containerPort")),
    map(ANY, "env", &["name"], Some("name")),
    map(ANY, "volumeMounts", &["mountPath"], Some("mountPath")),
    map(ANY, "volumeDevices", &["devicePath"], Some("devicePath")),
    map("PodSpec", "volumes", &["name"], Some("name")),
    map(ANY, "imagePullSecrets", &["name"], Some("name")),
    map("PodSpec", "hostAliases", &["ip"], Some("ip")),
    map("PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], Some("topologyKey")),
    map("PodSpec", "resourceClaims", &["name"], Some("name")),
    map("PodSpec", "schedulingGates", &["name"], Some("name")),
    whole("PodSpec", "nodeSelector"),
    map("PodStatus", "podIPs", &["ip"], Some("ip")),
    map("PodStatus", "resourceClaimStatuses", &["name"], Some("name")),
    // Services, nodes, accounts.
    map("ServiceSpec", "ports", &["port", "protocol"], Some("port")),
    whole("ServiceSpec", "selector"),
    set("NodeSpec", "podCIDRs", Some("")),
    map("NodeStatus", "addresses", &["type"], Some("type")),
    map("ServiceAccount", "secrets", &["name"], Some("name")),
    whole("ReplicaSetSpec", "selector"),
    // Definitions.
    set("CustomResourceDefinitionNames", "categories", None),
    // Gateway API.
    map("GatewaySpec", "listeners", &["name"], None),
    map("GatewayStatus", "listeners", &["name"], None),
    map("GatewayClassStatus", "supportedFeatures", &["name"], None),
    map(ANY, "headers", &["name"], None),
    map(ANY, "queryParams", &["name"], None),
    map("HttpRouteRulesFiltersRequestHeaderModifier", "set", &["name"], None),
    map("HttpRouteRulesFiltersRequestHeaderModifier", "add", &["name"], None),
    set("HttpRouteRulesFiltersRequestHeaderModifier", "remove", None),
    map("HttpRouteRulesFiltersResponseHeaderModifier", "set", &["name"], None),
    map("HttpRouteRulesFiltersResponseHeaderModifier", "add", &["name"], None),
    set("HttpRouteRulesFiltersResponseHeaderModifier", "remove", None),
];

/// Structs that are owned as a whole.
const ATOMIC_STRUCTS: &[&str] = &[
    "LabelSelector",
    "LocalObjectReference",
    "ObjectReference",
    "SecretKeySelector",
    "ConfigMapKeySelector",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "NodeSelector",
    "NodeSelectorTerm",
    "TypedLocalObjectReference",
    "FieldsV1",
];

/// The rule for a field, if its list is not atomic. `owner` may be a path of nested objects: its last part counts.
pub(super) fn rule(owner: &str, field: &str) -> Option<&'static Rule> {
    RULES.iter().find(|r| r.field == field && r.owner == owner).or_else(|| RULES.iter().find(|r| r.field == field && r.owner == ANY))
}

/// Whether a definition is free-form though its Rust type says it is an object: values inside a CustomResourceDefinition's schema.
pub(super) fn is_free_form(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray")
}

/// Whether a definition is owned as a whole.
pub(super) fn is_atomic_struct(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    ATOMIC_STRUCTS.contains(&last)
}
