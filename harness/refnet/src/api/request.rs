//! What a request asks: its path, query and media types, taken apart and checked before anything else looks at them.

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::status::ApiError;

/// Longest path and query that are looked at.
const TARGET_LIMIT: usize = 64 * 1024;

/// A request whose body has been read.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) accept: String,
    pub(crate) content_type: String,
    pub(crate) user_agent: String,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: &str, query: &str, headers: &HeaderMap, body: Bytes) -> Result<Call, ApiError> {
        if path.len() + query.len() > TARGET_LIMIT {
            return Err(ApiError::bad_request("the request target is too long"));
        }
        let text = |name: http::HeaderName| headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>().join(",");
        Ok(Call {
            method,
            path: path.to_owned(),
            query: Query::parse(query)?,
            accept: text(http::header::ACCEPT),
            content_type: text(http::header::CONTENT_TYPE),
            user_agent: text(http::header::USER_AGENT),
            body,
        })
    }

    /// Who is to be named in managedFields: what the client says, else its program's name.
    pub(crate) fn manager(&self) -> Result<String, ApiError> {
        let named = self.query.first("fieldManager").unwrap_or_default();
        if named.len() > 128 || named.chars().any(char::is_control) {
            return Err(ApiError::bad_request("fieldManager must be printable and at most 128 characters long"));
        }
        if !named.is_empty() {
            return Ok(named.to_owned());
        }
        let program = self.user_agent.split(['/', ' ']).next().filter(|p| !p.is_empty()).unwrap_or("unknown");
        Ok(program.chars().take(128).collect())
    }

    /// `dryRun=All`, the only value there is.
    pub(crate) fn dry_run(&self) -> Result<bool, ApiError> {
        match self.query.first("dryRun") {
            None | Some("") => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""))),
        }
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, ApiError> {
        match self.query.first("fieldValidation") {
            None | Some("" | "Warn") => Ok(FieldValidation::Warn),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// What is done about fields the kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Decoded query parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Query, ApiError> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(key, Plus::IsSpace)?, decode(value, Plus::IsSpace)?));
        }
        Ok(Query(pairs))
    }

    pub(crate) fn first(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Every value of a key, in order.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// `true`, `1` and a bare key mean yes.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.first(key), Some("true" | "1" | "True" | ""))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        match self.first(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("{key}: Invalid value: {text:?}: must be a non-negative integer"))),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsSpace,
    IsPlus,
}

fn decode(text: &str, plus: Plus) -> Result<String, ApiError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok()).filter(|h| !h.starts_with('+'));
                let value = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
                out.push(value.ok_or_else(|| ApiError::bad_request("invalid URL escape in the request target"))?);
                at += 3;
                continue;
            }
            b'+' if plus == Plus::IsSpace => out.push(b' '),
            other => out.push(other),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| ApiError::bad_request("the request target is not UTF-8"))
}

/// What a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/healthz`, `/apis/apps`, `/openapi/v3/...`: everything that is no resource, as decoded segments.
    Plain(Vec<String>),
    Resource(ResourcePath),
}

/// `/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}/{subresource}` taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// Empty for core.
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    pub(crate) fn parse(path: &str) -> Result<Target, ApiError> {
        let segments = path.split('/').filter(|s| !s.is_empty()).map(|s| decode(s, Plus::IsPlus)).collect::<Result<Vec<_>, _>>()?;
        if segments.iter().any(|s| s.contains('/') || s.contains('\0') || s == "." || s == "..") {
            return Err(ApiError::bad_request("a path segment may not be \".\" or \"..\" or hold \"/\" or NUL"));
        }
        let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match texts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Ok(Target::Plain(segments)),
        };
        let (namespace, rest) = match rest {
            // `/namespaces/x` and its own subresources are the Namespace itself.
            ["namespaces", _, "status" | "finalize"] | ["namespaces"] | ["namespaces", _] => (None, rest),
            ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
            _ => (None, rest),
        };
        let owned = |s: &&str| (*s).to_owned();
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(owned(name)), None),
            [plural, name, sub @ ..] => (plural, Some(owned(name)), Some(sub.join("/"))),
            [] => return Err(ApiError::no_path()),
        };
        Ok(Target::Resource(ResourcePath {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: (*plural).to_owned(),
            namespace,
            name,
            subresource,
        }))
    }
}

/// What form of an answer a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Yaml,
    /// Rows and columns, for people.
    Table,
    /// Metadata alone.
    Metadata,
    /// Aggregated discovery, with its version (`v2`, `v2beta1`).
    Discovery(&'static str),
}

impl Form {
    /// The first form in an Accept header that this server has.
    pub(crate) fn negotiate(accept: &str) -> Result<Form, ApiError> {
        if accept.trim().is_empty() {
            return Ok(Form::Json);
        }
        accept.split(',').find_map(form_of).ok_or_else(|| ApiError::not_acceptable("application/json, application/yaml"))
    }
}

fn form_of(range: &str) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let parameters: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
    let parameter = |name: &str| parameters.iter().find(|(k, _)| *k == name).map(|(_, v)| *v);
    match media.as_str() {
        "application/yaml" => Some(Form::Yaml),
        "application/json" | "*/*" | "application/*" => match (parameter("as"), parameter("g"), parameter("v")) {
            (None, _, _) => Some(Form::Json),
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Some(Form::Table),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1")) => Some(Form::Metadata),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => Some(Form::Discovery("v2")),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2beta1")) => Some(Form::Discovery("v2beta1")),
            _ => None,
        },
        _ => None,
    }
}
