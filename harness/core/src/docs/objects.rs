//! The objects of a document, and which installation each of them is for.

use serde_json::Value;

use crate::profile::{Finding, Object, Place, Severity};
use crate::values::Values;

/// Every object of the document.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects(Vec<Object>);

impl Objects {
    /// Adds the objects of a block; gives a finding for a block that is no YAML.
    pub(super) fn take(&mut self, file: &str, line: usize, text: &str) -> Option<Finding> {
        match Object::read(file, line, text) {
            Ok(objects) => {
                self.0.extend(objects);
                None
            }
            Err(mistakes) => {
                let mistake = mistakes.list.first()?;
                Some(Finding {
                    rule: "yaml-unreadable",
                    severity: Severity::Error,
                    place: Place::Line { file: file.to_owned(), line: line + mistake.line - 1 },
                    happens: format!("no program reads this YAML: {}", mistake.message),
                    cure: mistake.hint.clone().unwrap_or_else(|| "write it so that `kubectl apply --dry-run=client` takes it".to_owned()),
                    source: "YAML 1.2".to_owned(),
                })
            }
        }
    }

    /// Those for an installation with these values: of a feature that some installation switches on, only for those that do.
    pub(super) fn for_values<'a>(&self, values: &Values, all: impl Iterator<Item = &'a Values> + Clone) -> Vec<Object> {
        let on = |values: &Values, key: &str| values.get(key) == Some(&Value::Bool(true));
        let serves = |object: &&Object| {
            let feature = match object.kind() {
                "CiliumL2AnnouncementPolicy" | "CiliumLoadBalancerIPPool" => "l2announcements.enabled",
                _ => "gatewayAPI.enabled",
            };
            on(values, feature) || !all.clone().any(|other| on(other, feature))
        };
        self.0.iter().filter(serves).cloned().collect()
    }
}
