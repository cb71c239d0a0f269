//! Structural schemas: what fields a kind has, how its lists merge, what values are allowed. Compiled once from JSON Schema (of the
//! Rust types of k8s-openapi and gateway-api, or of a CustomResourceDefinition) and used for strict decoding, field ownership and
//! OpenAPI alike.

mod check;
mod lists;

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Index of a node.
pub(crate) type NodeId = usize;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    nodes: Vec<Node>,
    root: NodeId,
}

/// What is known of a value at some place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    /// Name of the definition, where it has one.
    pub(crate) name: Option<String>,
    pub(crate) description: String,
    /// The value is one field to server-side apply: never merged, owned as a whole.
    pub(crate) atomic: bool,
    pub(crate) nullable: bool,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) limits: Limits,
}

/// The kind of a value.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Anything at all.
    Any,
    Object {
        properties: BTreeMap<String, NodeId>,
        rest: Rest,
    },
    Array {
        items: NodeId,
        list: List,
        merge_key: Option<&'static str>,
    },
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// Members of an object that are not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Refused,
    Values(NodeId),
    Anything,
}

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum List {
    Atomic,
    Set,
    /// By these fields of its items.
    Map(Vec<String>),
}

/// Constraints on values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) allowed: Vec<Value>,
    pub(crate) pattern: Option<regex::Regex>,
    pub(crate) format: Option<String>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) length_min: Option<usize>,
    pub(crate) length_max: Option<usize>,
    pub(crate) items_min: Option<usize>,
    pub(crate) items_max: Option<usize>,
}

impl Schema {
    /// The schema of a built-in kind from its Rust type.
    pub(crate) fn of<T: JsonSchema>() -> Schema {
        let mut document = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
        if let Some(map) = document.as_object_mut() {
            map.insert("title".to_owned(), json!(T::schema_name()));
        }
        Schema::compile(&document)
    }

    /// The schema of a custom kind from the Rust types of its `spec` and `status`.
    pub(crate) fn custom<Spec: JsonSchema, Status: JsonSchema>(title: &str) -> Schema {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let spec = generator.subschema_for::<Spec>().to_value();
        let status = generator.subschema_for::<Status>().to_value();
        let document = json!({"type": "object", "properties": {"spec": spec, "status": status}, "required": ["spec"]});
        Schema::with_metadata(title, document, generator)
    }

    /// The schema of a custom kind from OpenAPI v3 as it stands in a CustomResourceDefinition.
    pub(crate) fn from_openapi(title: &str, document: &Value) -> Schema {
        Schema::with_metadata(title, document.clone(), SchemaSettings::draft2020_12().into_generator())
    }

    fn with_metadata(title: &str, mut document: Value, mut generator: schemars::SchemaGenerator) -> Schema {
        type Meta = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
        let metadata = generator.subschema_for::<Meta>().to_value();
        if !document.is_object() {
            document = json!({"type": "object"});
        }
        document["title"] = json!(title);
        if !document["properties"].is_object() {
            document["properties"] = json!({});
        }
        document["properties"]["apiVersion"] = json!({"type": "string", "description": "Version of the API this object is written in."});
        document["properties"]["kind"] = json!({"type": "string", "description": "What kind of object this is."});
        document["properties"]["metadata"] = metadata;
        document["$defs"] = Value::Object(generator.take_definitions(false));
        Schema::compile(&document)
    }

    pub(crate) fn compile(document: &Value) -> Schema {
        let empty = Map::new();
        let definitions = document.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
        let mut compiler = Compiler { definitions, nodes: Vec::new(), known: HashMap::new() };
        let title = document.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        let root = compiler.reserve();
        let mut node = compiler.node(document, &title, 0);
        node.name = Some(title);
        compiler.nodes[root] = node;
        Schema { nodes: compiler.nodes, root }
    }

    /// The same, but a field of one definition may be absent.
    pub(crate) fn without_required(mut self, definition: &str, field: &str) -> Schema {
        for node in self.nodes.iter_mut().filter(|node| node.name.as_deref() == Some(definition)) {
            node.required.retain(|name| name != field);
        }
        self
    }

    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// What is known of a member of an object.
    pub(crate) fn member(&self, id: NodeId, name: &str) -> Option<NodeId> {
        match &self.nodes[id].shape {
            Shape::Object { properties, rest } => match (properties.get(name), rest) {
                (Some(id), _) => Some(*id),
                (None, Rest::Values(id)) => Some(*id),
                (None, Rest::Refused | Rest::Anything) => None,
            },
            _ => None,
        }
    }
}

struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
    nodes: Vec<Node>,
    known: HashMap<String, NodeId>,
}

/// Schemas nested deeper than this are cut off: below, anything goes.
const DEPTH_LIMIT: usize = 100;

impl Compiler<'_> {
    fn reserve(&mut self) -> NodeId {
        self.nodes.push(Node::any());
        self.nodes.len() - 1
    }

    fn add(&mut self, schema: &Value, owner: &str, depth: usize) -> NodeId {
        let inner = flatten(schema);
        if let Some(name) = inner.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next()) {
            return self.definition(name, depth);
        }
        let id = self.reserve();
        let node = self.node(schema, owner, depth);
        self.nodes[id] = node;
        id
    }

    fn definition(&mut self, name: &str, depth: usize) -> NodeId {
        if let Some(id) = self.known.get(name) {
            return *id;
        }
        let id = self.reserve();
        self.known.insert(name.to_owned(), id);
        let definitions = self.definitions;
        if let Some(schema) = definitions.get(name).filter(|_| !lists::is_free_form(name)) {
            let mut node = self.node(schema, name, depth);
            node.atomic |= lists::is_atomic_struct(name);
            node.name = Some(name.to_owned());
            self.nodes[id] = node;
        }
        id
    }

    fn node(&mut self, schema: &Value, owner: &str, depth: usize) -> Node {
        let inner = flatten(schema);
        let mut node = Node::any();
        node.description = schema.get("description").or(inner.get("description")).and_then(Value::as_str).unwrap_or_default().to_owned();
        node.default = schema.get("default").filter(|d| !d.is_null()).cloned();
        node.nullable = schema.get("nullable") == Some(&Value::Bool(true));
        node.required = strings(inner.get("required"));
        node.limits = Limits::read(inner);
        node.atomic = inner.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        if depth < DEPTH_LIMIT {
            node.shape = self.shape(inner, owner, depth);
        }
        node
    }

    fn shape(&mut self, schema: &Value, owner: &str, depth: usize) -> Shape {
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return Shape::IntOrString;
        }
        match type_of(schema) {
            Some("object") => self.object(schema, owner, depth),
            Some("array") => {
                let items = match schema.get("items") {
                    Some(items) => self.add(items, owner, depth + 1),
                    None => self.reserve(),
                };
                let keys = strings(schema.get("x-kubernetes-list-map-keys"));
                let list = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("map") if !keys.is_empty() => List::Map(keys),
                    Some("set") => List::Set,
                    _ => List::Atomic,
                };
                Shape::Array { items, list, merge_key: None }
            }
            Some("string") => Shape::String,
            Some("integer") => Shape::Integer,
            Some("number") => Shape::Number,
            Some("boolean") => Shape::Boolean,
            _ if schema.get("properties").is_some() => self.object(schema, owner, depth),
            _ if schema.get("enum").is_some() || schema.get("oneOf").is_some() => Shape::String,
            _ => Shape::Any,
        }
    }

    fn object(&mut self, schema: &Value, owner: &str, depth: usize) -> Shape {
        let mut properties = BTreeMap::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let id = self.add(property, &format!("{owner}.{name}"), depth + 1);
            let definition = owner.rsplit('.').next().unwrap_or(owner);
            if let Some(rule) = lists::rule(definition, name) {
                match &mut self.nodes[id] {
                    Node { shape: Shape::Array { list, merge_key, .. }, .. } => {
                        *list = rule.list();
                        *merge_key = rule.merge_key;
                    }
                    node if rule.atomic_map => node.atomic = true,
                    _ => {}
                }
            }
            properties.insert(name.clone(), id);
        }
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        let rest = match schema.get("additionalProperties") {
            Some(Value::Object(_)) => Rest::Values(self.add(&schema["additionalProperties"], owner, depth + 1)),
            Some(Value::Bool(true)) => Rest::Anything,
            _ if open || properties.is_empty() => Rest::Anything,
            _ => Rest::Refused,
        };
        Shape::Object { properties, rest }
    }
}

impl Node {
    fn any() -> Node {
        Node {
            shape: Shape::Any,
            name: None,
            description: String::new(),
            atomic: false,
            nullable: false,
            required: Vec::new(),
            default: None,
            limits: Limits::default(),
        }
    }
}

impl Limits {
    fn read(schema: &Value) -> Limits {
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let mut allowed = schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
        // An enum whose variants are documented is a list of constants.
        for choice in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            allowed.extend(choice.get("const").cloned());
            allowed.extend(choice.get("enum").and_then(Value::as_array).cloned().unwrap_or_default());
        }
        allowed.extend(schema.get("const").cloned());
        allowed.retain(|v| !v.is_null());
        Limits {
            allowed,
            pattern: text("pattern").and_then(|p| regex::RegexBuilder::new(p).size_limit(1 << 20).build().ok()),
            format: text("format").map(str::to_owned),
            minimum: number("minimum"),
            maximum: number("maximum"),
            length_min: count("minLength"),
            length_max: count("maxLength"),
            items_min: count("minItems"),
            items_max: count("maxItems"),
        }
    }
}

/// Looks through `anyOf: [X, null]`, `oneOf: [X, null]` and `allOf: [X]`, which say no more than X.
fn flatten(schema: &Value) -> &Value {
    for key in ["anyOf", "oneOf", "allOf"] {
        let Some(choices) = schema.get(key).and_then(Value::as_array) else { continue };
        if schema.get("type").is_some() || schema.get("properties").is_some() {
            continue;
        }
        let mut some = choices.iter().filter(|c| c.get("type").and_then(Value::as_str) != Some("null"));
        if let (Some(only), None) = (some.next(), some.next()) {
            return flatten(only);
        }
    }
    schema
}

/// The type, where `["string", "null"]` is a string.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(text) => Some(text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).find(|t| *t != "null"),
        _ => None,
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}
