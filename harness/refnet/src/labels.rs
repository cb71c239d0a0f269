//! Label selectors as Kubernetes reads them, for everything on the reference network that selects by labels. The rules are kube's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelectorRequirement;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::{Selector, SelectorExt};

/// Labels by key.
pub(crate) type Labels = BTreeMap<String, String>;

/// Whether a selector selects these labels; one that is absent selects everything, one that cannot be understood nothing.
pub(crate) fn selects(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_none_or(|selector| Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels)))
}

/// Whether all requirements of a node selector's term hold. `Gt` and `Lt` are not modelled: they hold for nothing.
pub(crate) fn require(rules: &[NodeSelectorRequirement], labels: &Labels) -> bool {
    let as_label = |rule: &NodeSelectorRequirement| LabelSelectorRequirement {
        key: rule.key.clone(),
        operator: rule.operator.clone(),
        values: rule.values.clone(),
    };
    let match_expressions = Some(rules.iter().map(as_label).collect());
    selects(Some(&LabelSelector { match_expressions, match_labels: None }), labels)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn both_kinds_of_rules_read_every_operator_alike() {
        let labels = Labels::from([("zone".to_owned(), "a".to_owned())]);
        for (rule, holds) in [
            (json!({"key": "zone", "operator": "In", "values": ["a", "b"]}), true),
            (json!({"key": "zone", "operator": "In", "values": ["b"]}), false),
            (json!({"key": "none", "operator": "In", "values": ["a"]}), false),
            (json!({"key": "zone", "operator": "NotIn", "values": ["a"]}), false),
            (json!({"key": "none", "operator": "NotIn", "values": ["a"]}), true),
            (json!({"key": "zone", "operator": "Exists"}), true),
            (json!({"key": "none", "operator": "Exists"}), false),
            (json!({"key": "none", "operator": "DoesNotExist"}), true),
            (json!({"key": "zone", "operator": "DoesNotExist"}), false),
            (json!({"key": "zone", "operator": "Gt", "values": ["1"]}), false),
            (json!({"key": "zone", "operator": "Near"}), false),
        ] {
            let selector: LabelSelector = serde_json::from_value(json!({"matchExpressions": [rule]})).unwrap();
            let rules: Vec<NodeSelectorRequirement> = serde_json::from_value(json!([rule])).unwrap();
            assert_eq!((selects(Some(&selector), &labels), require(&rules, &labels)), (holds, holds), "{rule}");
        }
        assert!(selects(None, &labels) && selects(Some(&LabelSelector::default()), &Labels::new()));
    }
}
