//! An installation of a document beside the profiles: which one it is, and which values differ from it as written.

use serde::Serialize;
use serde_json::Value;

use super::install::Install;
use crate::profile::{Action, Profile, Side};
use crate::version::Version;

/// A value that is not the same in a document and in a profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its dotted key.
    pub key: String,
    /// In the document; absent = not there.
    pub document: Option<Value>,
    /// In the profile as written; absent = not there.
    pub profile: Option<Value>,
}

/// The profile of this action and version that shares most values with an installation; none if there is none of the version.
pub(super) fn profile_of<'a>(install: &Install, profiles: &'a [Profile]) -> Option<&'a Profile> {
    let wanted = Version::parse(install.version.as_deref()?).ok()?;
    let action = |profile: &Profile| if profile.upgrades.is_some() { Action::Upgrade } else { Action::Install };
    let fits =
        |profile: &&Profile| action(profile) == install.action && Version::parse(&profile.cilium).is_ok_and(|cilium| cilium == wanted);
    let shared = |profile: &&Profile| {
        profile.flags(Side::AsWritten).values.iter().filter(|(key, value)| install.values.get(*key) == Some(value)).count()
    };
    profiles.iter().filter(fits).max_by_key(shared).filter(|profile| shared(profile) > 0 || install.values.is_empty())
}

/// Which values differ, by key.
pub(super) fn differences(install: &Install, profile: &Profile) -> Vec<Difference> {
    let written = profile.flags(Side::AsWritten).values;
    let mut keys: Vec<&String> = install.values.keys().chain(written.keys()).collect();
    keys.sort();
    keys.dedup();
    let both = keys.into_iter().map(|key| (key, install.values.get(key), written.get(key)));
    let differ = both.filter(|(_, document, profile)| document != profile);
    differ.map(|(key, document, profile)| Difference { key: key.clone(), document: document.cloned(), profile: profile.cloned() }).collect()
}
