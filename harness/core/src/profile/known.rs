//! What is known of each chart version, of the Gateway API's definitions and of the `cilium` CLI: `known.yaml`, read once.

use std::sync::OnceLock;

use serde::{Deserialize, Deserializer};

use super::lint::Severity;
use crate::version::{Range, Version};

/// The whole table.
///
/// # Panics
/// Never: the table is part of the program and a test reads it.
pub(crate) fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| read(include_str!("known.yaml")).expect("a test reads the table"))
}

fn read(text: &str) -> Result<Known, serde_saphyr::Error> {
    serde_saphyr::from_str(text)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Known {
    pub(crate) chart: Chart,
    pub(crate) gateway_api: GatewayApi,
    pub(crate) announcements: Announcements,
    pub(crate) cli: Cli,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chart {
    pub(crate) source: String,
    pub(crate) families: Vec<String>,
    pub(crate) values: Vec<ChartValue>,
    pub(crate) idle: Vec<Idle>,
}

/// A value of the chart.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChartValue {
    pub(crate) key: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// First version whose schema takes any type.
    #[serde(default, deserialize_with = "maybe_version")]
    pub(crate) type_until: Option<Version>,
    #[serde(default, deserialize_with = "maybe_version")]
    pub(crate) since: Option<Version>,
    #[serde(default, deserialize_with = "maybe_version")]
    pub(crate) until: Option<Version>,
    pub(crate) instead: Option<String>,
}

/// What the chart's schema takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Any,
    Boolean,
    Integer,
    List,
    Map,
    Port,
    String,
    Tree,
}

/// Values that are taken and do nothing unless one of `needs` is in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Idle {
    pub(crate) keys: Vec<String>,
    #[serde(default, deserialize_with = "maybe_range")]
    pub(crate) cilium: Option<Range>,
    pub(crate) needs: Vec<String>,
    pub(crate) severity: Severity,
    pub(crate) happens: String,
    pub(crate) cure: String,
    pub(crate) source: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GatewayApi {
    pub(crate) source: String,
    pub(crate) tls_routes: Vec<TlsRoutes>,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) weighted_tls_routes: Weighted,
}

/// Versions of TLSRoute that a release of the Gateway API serves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsRoutes {
    #[serde(deserialize_with = "range")]
    pub(crate) release: Range,
    pub(crate) standard: Vec<String>,
    pub(crate) experimental: Vec<String>,
}

/// What Cilium's operator wants of the Gateway API.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Controller {
    #[serde(deserialize_with = "range")]
    pub(crate) cilium: Range,
    pub(crate) tls_route: String,
    pub(crate) required: Vec<String>,
    #[serde(default)]
    pub(crate) wanted: Vec<String>,
    pub(crate) source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weighted {
    /// The first release of each minor version that has it; later minors have it, earlier ones never.
    #[serde(deserialize_with = "versions")]
    pub(crate) since: Vec<Version>,
    pub(crate) source: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Announcements {
    #[serde(rename = "poolV2Since", deserialize_with = "version")]
    pub(crate) pool_v2_since: Version,
    pub(crate) pool_source: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Cli {
    #[serde(deserialize_with = "version")]
    pub(crate) keeps_values_since: Version,
    pub(crate) keeps_values_source: String,
    pub(crate) encryption_status: EncryptionStatus,
    pub(crate) made: Vec<Made>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncryptionStatus {
    #[serde(deserialize_with = "version")]
    pub(crate) since: Version,
    #[serde(deserialize_with = "range")]
    pub(crate) refuses: Range,
    pub(crate) source: String,
}

/// Which Cilium a CLI is made for, by its own words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    #[serde(deserialize_with = "range")]
    pub(crate) cli: Range,
    #[serde(deserialize_with = "range")]
    pub(crate) cilium: Range,
    pub(crate) source: String,
}

impl Chart {
    pub(crate) fn value(&self, key: &str) -> Option<&ChartValue> {
        let under = |value: &&ChartValue| {
            let below = key.strip_prefix(value.key.as_str()).is_some_and(|rest| rest.starts_with('.'));
            value.key == key || below && matches!(value.kind, Kind::Map | Kind::Tree)
        };
        self.values.iter().find(under)
    }
}

impl Weighted {
    pub(crate) fn holds(&self, cilium: Version) -> bool {
        let line = self.since.iter().find(|since| (since.0, since.1) == (cilium.0, cilium.1));
        let newest = self.since.iter().max();
        line.map_or_else(|| newest.is_some_and(|newest| cilium >= *newest), |since| cilium >= *since)
    }
}

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
    Version::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn maybe_version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Version>, D::Error> {
    version(from).map(Some)
}

fn versions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Version>, D::Error> {
    Vec::<String>::deserialize(from)?.iter().map(|text| Version::parse(text).map_err(serde::de::Error::custom)).collect()
}

fn range<'de, D: Deserializer<'de>>(from: D) -> Result<Range, D::Error> {
    Range::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn maybe_range<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Range>, D::Error> {
    range(from).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_table_is_sound_and_each_entry_has_its_source() {
        let known = read(include_str!("known.yaml")).unwrap();
        let mut sources: Vec<&str> = vec![
            &known.chart.source,
            &known.gateway_api.source,
            &known.gateway_api.weighted_tls_routes.source,
            &known.announcements.pool_source,
            &known.cli.keeps_values_source,
            &known.cli.encryption_status.source,
        ];
        sources.extend(known.chart.idle.iter().map(|idle| idle.source.as_str()));
        sources.extend(known.gateway_api.controllers.iter().map(|controller| controller.source.as_str()));
        sources.extend(known.cli.made.iter().map(|made| made.source.as_str()));
        assert!(sources.iter().all(|source| source.bytes().any(|b| b.is_ascii_digit())), "{sources:?}");
        let mut keys: Vec<&str> = known.chart.values.iter().map(|value| value.key.as_str()).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "a key stands twice");
        for value in &known.chart.values {
            assert!(value.until.is_none() || value.instead.is_some(), "{} is gone, and nothing is said of what to do", value.key);
        }
        for (key, needs) in known.chart.idle.iter().flat_map(|idle| idle.keys.iter().map(|key| (key, &idle.needs))) {
            assert!(known.chart.value(key).is_some(), "{key} is no value of the chart");
            assert!(needs.iter().all(|need| need.contains('=')), "{needs:?}");
        }
    }

    #[test]
    fn every_version_has_one_controller_and_every_release_one_set_of_tls_routes() {
        let api = &known().gateway_api;
        for version in ["1.16.2", "1.17.1", "1.18.12", "1.19.6", "1.20.0", "1.21.0"].map(|text| Version::parse(text).unwrap()) {
            assert_eq!(api.controllers.iter().filter(|controller| controller.cilium.holds(version)).count(), 1, "{version}");
        }
        for release in ["1.1.0", "1.2.0", "1.4.1", "1.5.0", "1.6.1"].map(|text| Version::parse(text).unwrap()) {
            assert_eq!(api.tls_routes.iter().filter(|routes| routes.release.holds(release)).count(), 1, "{release}");
        }
        for cli in ["0.16.19", "0.18.9", "0.19.6", "0.19.7", "0.20.0"].map(|text| Version::parse(text).unwrap()) {
            assert_eq!(known().cli.made.iter().filter(|made| made.cli.holds(cli)).count(), 1, "{cli}");
        }
    }

    #[test]
    fn weights_of_tls_routes_came_to_each_minor_at_its_own_patch() {
        let weighted = &known().gateway_api.weighted_tls_routes;
        for (version, holds) in [
            (Version(1, 17, 18), false),
            (Version(1, 18, 11), false),
            (Version(1, 18, 12), true),
            (Version(1, 19, 0), false),
            (Version(1, 19, 6), true),
            (Version(1, 20, 0), true),
            (Version(1, 21, 0), true),
        ] {
            assert_eq!(weighted.holds(version), holds, "{version}");
        }
    }
}
