//! The images a flag set runs with, worked out from the chart's values as its templates do (`_helpers.tpl` of the charts 1.16 to 1.20).
//! Nothing else is pulled: init containers use the agent's image.

use serde_json::Value;

use crate::values::{Values, flatten, merge};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// What it is for: `agent`, `operator`, `envoy`, `hubble-relay`, `hubble-ui`, `hubble-ui-backend`, `nodeinit`.
    pub role: String,
    /// `quay.io/cilium/cilium:v1.17.1`.
    pub reference: String,
    /// `sha256:...`, where the chart gives one.
    pub digest: Option<String>,
}

impl Image {
    /// With its digest, as a registry is asked for it.
    pub fn pinned(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.reference),
            None => self.reference.clone(),
        }
    }
}

/// An image of the chart, and the value that switches it on.
const IMAGES: &[(&str, &str, Option<&str>)] = &[
    ("agent", "image", None),
    ("operator", "operator.image", None),
    ("envoy", "envoy.image", Some("envoy.enabled")),
    ("hubble-relay", "hubble.relay.image", Some("hubble.relay.enabled")),
    ("hubble-ui", "hubble.ui.frontend.image", Some("hubble.ui.enabled")),
    ("hubble-ui-backend", "hubble.ui.backend.image", Some("hubble.ui.enabled")),
    ("nodeinit", "nodeinit.image", Some("nodeinit.enabled")),
];

/// The images of a chart's values with a flag set over them.
///
/// # Errors
/// The role of an image that is switched on and of which the chart says nothing.
pub fn images(chart: &Values, values: &Values) -> Result<Vec<Image>, String> {
    let mut all = flatten(chart);
    merge(&mut all, values);
    let wanted = IMAGES.iter().filter(|(_, _, switch)| switch.is_none_or(|switch| is_on(&all, switch)));
    wanted.map(|(role, key, _)| image(&all, role, key).ok_or_else(|| (*role).to_owned())).collect()
}

/// Envoy has Pods of its own unless that is switched off; everything else is off unless it is switched on.
fn is_on(values: &Values, switch: &str) -> bool {
    match values.get(switch) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => text == "true",
        _ => switch == "envoy.enabled",
    }
}

fn image(values: &Values, role: &str, key: &str) -> Option<Image> {
    let text = |name: &str| values.get(&format!("{key}.{name}")).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(own) = text("override") {
        let (reference, digest) = own.split_once('@').map_or((own, None), |(reference, digest)| (reference, Some(digest.to_owned())));
        return Some(Image { role: role.to_owned(), reference: reference.to_owned(), digest });
    }
    // The chart names the operator's image without its kind; on kind it is the generic one.
    let (suffix, digest) = if role == "operator" { ("-generic", "genericDigest") } else { ("", "digest") };
    let more = if role == "operator" { text("suffix").unwrap_or_default() } else { "" };
    let tag = text("tag").map(|tag| format!(":{tag}")).unwrap_or_default();
    let pinned = values.get(&format!("{key}.useDigest")) != Some(&Value::Bool(false));
    Some(Image {
        role: role.to_owned(),
        reference: format!("{}{suffix}{more}{tag}", text("repository")?),
        digest: text(digest).filter(|_| pinned).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn chart() -> Values {
        serde_json::from_value(json!({
            "image": {"override": null, "repository": "quay.io/cilium/cilium", "tag": "v1.17.1", "digest": "sha256:aa", "useDigest": true},
            "operator": {"image": {
                "repository": "quay.io/cilium/operator", "tag": "v1.17.1", "genericDigest": "sha256:bb", "awsDigest": "sha256:cc",
                "useDigest": true, "suffix": "",
            }},
            "envoy": {"enabled": null, "image": {"repository": "quay.io/cilium/cilium-envoy", "tag": "v1.31.5-x", "digest": "sha256:dd"}},
            "hubble": {"relay": {"enabled": false, "image": {"repository": "quay.io/cilium/hubble-relay", "tag": "v1.17.1"}}},
        }))
        .unwrap()
    }

    fn check(values: Value) -> Vec<String> {
        images(&chart(), &serde_json::from_value(values).unwrap()).unwrap().iter().map(Image::pinned).collect()
    }

    #[test]
    fn a_flag_set_needs_three_images() {
        assert_eq!(
            check(json!({"gatewayAPI.enabled": true})),
            [
                "quay.io/cilium/cilium:v1.17.1@sha256:aa",
                "quay.io/cilium/operator-generic:v1.17.1@sha256:bb",
                "quay.io/cilium/cilium-envoy:v1.31.5-x@sha256:dd",
            ]
        );
    }

    #[test]
    fn values_change_which_images_and_from_where() {
        let found = check(json!({
            "envoy.enabled": false, "hubble.relay.enabled": true, "image.override": "localhost/cilium:dev",
            "operator.image": {"suffix": "-ci", "tag": "latest", "useDigest": false},
        }));
        assert_eq!(found, ["localhost/cilium:dev", "quay.io/cilium/operator-generic-ci:latest", "quay.io/cilium/hubble-relay:v1.17.1"]);
        assert_eq!(check(json!({"image.override": "r:5000/c:dev@sha256:ee"}))[0], "r:5000/c:dev@sha256:ee");
    }

    #[test]
    fn an_image_the_chart_does_not_name_is_said() {
        let values = serde_json::from_value(json!({"nodeinit.enabled": true})).unwrap();
        assert_eq!(images(&chart(), &values).unwrap_err(), "nodeinit");
    }
}
