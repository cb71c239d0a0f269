//! Gateway API definitions: read from a folder or a release, applied one by one, and waited for. They must be there before Cilium is
//! installed: its operator looks for them once, at its start, and its chart makes the GatewayClass only where it finds them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use plumb_core::scenario::model::GatewayApi;
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{ApiError, Cluster, Manifest, ResourceRef, Watched};
use crate::parts::fetch::{self, FetchError};
use crate::parts::{Given, Reach};

/// Where releases are published, file by file.
const RELEASES: &str = "https://raw.githubusercontent.com/kubernetes-sigs/gateway-api";
/// The largest definition of the releases up to v1.6 has under 700 KiB.
const BYTES_MAX: u64 = 8 << 20;

/// Where definitions come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder with a file for each, as in a release (`config/crd`): `standard/gateway.networking.k8s.io_gateways.yaml`, or without the
    /// channel's folder, or `gateways.yaml`.
    Folder(PathBuf),
    /// A release, downloaded from GitHub unless nothing may leave the machine.
    Release {
        /// For example `v1.2.0`.
        version: String,
        /// Whether it may be downloaded.
        reach: Reach,
    },
}

impl Source {
    /// The folder that is given, else the release that a plan names.
    pub fn of(given: &Given, wanted: &GatewayApi) -> Source {
        match &given.crds {
            Some(folder) => Source::Folder(folder.clone()),
            None => Source::Release { version: wanted.version.clone(), reach: given.reach },
        }
    }
}

/// Definitions could not be put into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// Nothing may leave the machine and no folder is given.
    #[error("find the Gateway API definitions of {version}: nothing may leave this machine\nhint: give a folder with them with --crds")]
    Offline {
        /// The release.
        version: String,
    },
    /// The folder has no file for one.
    #[error("find the definition {name} in {}: there is {found}\nhint: {name} is {} of a release", folder.display(), release_path(name))]
    Missing {
        /// As the plan names it.
        name: String,
        /// The folder.
        folder: PathBuf,
        /// What is there.
        found: String,
    },
    /// A file cannot be read.
    #[error("read the definition {name} from {from}: {message}")]
    Read {
        /// As the plan names it.
        name: String,
        /// Which file or address.
        from: String,
        /// Why.
        message: String,
    },
    /// A release cannot be downloaded.
    #[error("download the definition {name}: {source}\nhint: without a way out, give a folder with the definitions with --crds")]
    Fetch {
        /// As the plan names it.
        name: String,
        /// Why.
        source: FetchError,
    },
    /// The API did not take it.
    #[error("put the definition {name} into the cluster: {source}")]
    Api {
        /// As the plan names it.
        name: String,
        /// What the API said.
        source: ApiError,
    },
    /// It was not served in time.
    #[error("wait for the definition {name}: not established after {limit_ms} ms: {blocked}")]
    Late {
        /// As the plan names it.
        name: String,
        /// The limit, milliseconds.
        limit_ms: u64,
        /// The last that was seen.
        blocked: String,
    },
}

/// A definition that is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Name of the CustomResourceDefinition.
    pub name: String,
    /// Release it says it is of.
    pub version: Option<String>,
    /// Channel it says it is of.
    pub channel: Option<String>,
    /// Versions that are served.
    pub served: Vec<String>,
}

/// Applies definitions one by one, in the order named (`gateways`, `experimental/tlsroutes`), and waits for each until it is
/// established. All are read before the first is applied. `limit` is for all of them together.
///
/// # Errors
/// See [`DefinitionsError`].
pub async fn apply(client: &Client, source: &Source, names: &[String], limit: Duration) -> Result<Vec<Applied>, DefinitionsError> {
    let until = Instant::now() + limit;
    load(source, names, limit).await?.apply(client, until.saturating_duration_since(Instant::now())).await
}

/// Definitions that were read and understood, and are not in a cluster yet.
#[derive(Debug, Clone, Default)]
pub struct Loaded(Vec<(String, Value)>);

/// Reads every definition, so that one that is missing is said before there is a cluster.
///
/// # Errors
/// See [`DefinitionsError`].
pub async fn load(source: &Source, names: &[String], limit: Duration) -> Result<Loaded, DefinitionsError> {
    let until = Instant::now() + limit;
    let mut objects = Vec::with_capacity(names.len());
    for name in names {
        let read = read(source, name, until.saturating_duration_since(Instant::now())).await?;
        objects.push((name.clone(), known(name, read)?));
    }
    Ok(Loaded(objects))
}

/// What is wrong with the definitions of a plan, as can be told at once: all of it, not the first. A release tells when it is downloaded.
pub fn mistakes(source: &Source, names: &[String]) -> Vec<DefinitionsError> {
    match source {
        Source::Folder(folder) => {
            names.iter().filter_map(|name| from_folder(folder, name).and_then(|read| known(name, read)).err()).collect()
        }
        Source::Release { version, reach: Reach::Offline } => vec![DefinitionsError::Offline { version: version.clone() }],
        Source::Release { reach: Reach::Online, .. } => Vec::new(),
    }
}

impl Loaded {
    /// Puts them into a cluster one by one; each is served when the next is applied.
    ///
    /// # Errors
    /// See [`DefinitionsError`].
    pub async fn apply(self, client: &Client, limit: Duration) -> Result<Vec<Applied>, DefinitionsError> {
        let until = Instant::now() + limit;
        let cluster = Cluster::new(client.clone(), limit);
        let mut applied = Vec::with_capacity(self.0.len());
        for (name, value) in self.0 {
            let api = |source| DefinitionsError::Api { name: name.clone(), source };
            let definition = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let resource = ResourceRef { kind: "customresourcedefinition".into(), namespace: None, name: definition.clone() };
            let described = describe(&definition, &value);
            cluster.apply(&Manifest { object: format!("customresourcedefinition/{definition}"), value }).await.map_err(api)?;
            let left = until.saturating_duration_since(Instant::now());
            let waited = cluster.wait(&resource, left, |object| established(object.as_ref())).await.map_err(api)?;
            let limit_ms = limit.as_millis() as u64;
            waited.map_err(|end| DefinitionsError::Late { name: name.clone(), limit_ms, blocked: end.newest().to_owned() })?;
            applied.push(described);
        }
        Ok(applied)
    }
}

/// Channel and plural of a name.
fn parts(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("standard", name))
}

fn group(plural: &str) -> &'static str {
    // Kinds that are tried out have a group of their own and an x before their name (GEP-2907 of the Gateway API, since v1.3).
    if plural.starts_with('x') { "gateway.networking.x-k8s.io" } else { "gateway.networking.k8s.io" }
}

/// Path of a definition within a release.
fn release_path(name: &str) -> String {
    let (channel, plural) = parts(name);
    format!("config/crd/{channel}/{}_{plural}.yaml", group(plural))
}

/// The text of a definition, and where it is from.
async fn read(source: &Source, name: &str, limit: Duration) -> Result<(String, String), DefinitionsError> {
    match source {
        Source::Folder(folder) => from_folder(folder, name),
        Source::Release { version, reach: Reach::Offline } => Err(DefinitionsError::Offline { version: version.clone() }),
        Source::Release { version, reach: Reach::Online } => {
            let url = format!("{RELEASES}/{version}/{}", release_path(name));
            let bytes = fetch::bytes(&url, BYTES_MAX, limit).await;
            let bytes = bytes.map_err(|source| DefinitionsError::Fetch { name: name.to_owned(), source })?;
            Ok((url, String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

fn from_folder(folder: &Path, name: &str) -> Result<(String, String), DefinitionsError> {
    let path = find(folder, name)?;
    let from = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((from, text)),
        Err(error) => Err(DefinitionsError::Read { name: name.to_owned(), from, message: error.to_string() }),
    }
}

/// The file of a definition in a folder.
fn find(folder: &Path, name: &str) -> Result<PathBuf, DefinitionsError> {
    let (channel, plural) = parts(name);
    let long = format!("{}_{plural}.yaml", group(plural));
    let short = format!("{plural}.yaml");
    let places = [folder.join("config/crd").join(channel), folder.join(channel), folder.to_owned()];
    let mut paths = places.iter().flat_map(|place| [place.join(&long), place.join(&short)]);
    paths.find(|path| path.is_file()).ok_or_else(|| {
        let found = listed(&places);
        DefinitionsError::Missing { name: name.to_owned(), folder: folder.to_owned(), found }
    })
}

/// YAML files in folders, for a message.
fn listed(places: &[PathBuf]) -> String {
    let files = |place: &PathBuf| std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = places.iter().flat_map(files).map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
    names.sort();
    names.dedup();
    if names.is_empty() { "no YAML file".to_owned() } else { names.join(", ") }
}

/// A definition as an object, from where it is and its text.
fn known(name: &str, (from, text): (String, String)) -> Result<Value, DefinitionsError> {
    understood(name, &text).map_err(|message| DefinitionsError::Read { name: name.to_owned(), from, message })
}

/// A definition as an object, if it is the one that was asked for.
fn understood(name: &str, text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { strict_booleans: true, legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    let (Some(mut value), None) = (documents.next(), documents.next()) else {
        return Err("it is not one document".into());
    };
    let (channel, plural) = parts(name);
    let expected = format!("{plural}.{}", group(plural));
    let found = value["metadata"]["name"].as_str().unwrap_or("nothing");
    if value["kind"] != "CustomResourceDefinition" || found != expected {
        return Err(format!(
            "it is {} {found}, expected CustomResourceDefinition {expected}",
            value["kind"].as_str().unwrap_or("no kind,")
        ));
    }
    // A definition of the other channel has the same name and another schema: what a trial then shows would be read wrongly.
    let of = annotation(&value, "channel").unwrap_or_else(|| channel.to_owned());
    if of != channel {
        let path = release_path(name);
        return Err(format!(
            "it is of channel {of}, expected {channel}\nhint: {name} is {path} of a release; a folder may hold both channels, each in a folder of its name"
        ));
    }
    // The status is the API server's.
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    Ok(value)
}

fn annotation(definition: &Value, key: &str) -> Option<String> {
    let annotations = &definition["metadata"]["annotations"];
    annotations.get(format!("gateway.networking.k8s.io/{key}")).and_then(Value::as_str).map(str::to_owned)
}

fn describe(name: &str, definition: &Value) -> Applied {
    let versions = definition["spec"]["versions"].as_array();
    let served = versions.into_iter().flatten().filter(|version| version["served"] == true);
    Applied {
        name: name.to_owned(),
        version: annotation(definition, "bundle-version"),
        channel: annotation(definition, "channel"),
        served: served.filter_map(|version| version["name"].as_str().map(str::to_owned)).collect(),
    }
}

fn established(object: Option<&Value>) -> Watched<()> {
    let Some(object) = object else { return Watched::NotYet("it is not there".into()) };
    let conditions = object["status"]["conditions"].as_array();
    let condition = |kind: &str| conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    let blocked = ["NamesAccepted", "Established"].into_iter().find_map(|kind| match condition(kind) {
        Some(condition) if condition["status"] == "True" => None,
        Some(condition) => {
            let word = |key: &str| condition[key].as_str().unwrap_or("?");
            Some(format!("{kind}={} {}: {}", word("status"), word("reason"), word("message")))
        }
        None => Some(format!("it has no condition {kind} yet")),
    });
    blocked.map_or(Watched::Yes(()), Watched::NotYet)
}

#[cfg(test)]
#[path = "definitions_tests.rs"]
mod tests;
