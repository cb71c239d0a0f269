//! Cilium's kinds: pools hold addresses, policies hold regular expressions that compile.

use std::net::IpAddr;

use serde_json::Value;

use super::check_count;
use crate::api::kinds::Kind;
use crate::api::names;
use crate::api::object::{items, text};
use crate::api::status::Cause;

pub(super) fn validate(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    match kind.kind.as_str() {
        "CiliumLoadBalancerIPPool" => {
            for (index, block) in items(object, "/spec/blocks").iter().enumerate() {
                validate_block(block, &format!("spec.blocks[{index}]"), causes);
            }
            validate_selector(object, "serviceSelector", causes);
        }
        "CiliumL2AnnouncementPolicy" => {
            let interfaces = items(object, "/spec/interfaces");
            check_count(interfaces, 100, "spec.interfaces", causes);
            for (index, pattern) in interfaces.iter().enumerate() {
                let text = pattern.as_str().unwrap_or_default();
                if let Err(error) = regex::RegexBuilder::new(text).size_limit(1 << 20).build() {
                    let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                    causes.push(Cause::invalid(
                        format!("spec.interfaces[{index}]"),
                        pattern,
                        format!("must be a regular expression: {why}"),
                    ));
                }
            }
            validate_selector(object, "nodeSelector", causes);
            validate_selector(object, "serviceSelector", causes);
        }
        _ => {}
    }
}

/// Either a prefix, or a first and perhaps a last address of one family in order.
fn validate_block(block: &Value, path: &str, causes: &mut Vec<Cause>) {
    let address = |key: &str, causes: &mut Vec<Cause>| {
        let given = block.get(key)?;
        let parsed = given.as_str().and_then(|a| a.parse::<IpAddr>().ok());
        if parsed.is_none() {
            causes.push(Cause::invalid(format!("{path}.{key}"), given, "must be an IP address"));
        }
        parsed
    };
    if let Some(cidr) = block.get("cidr") {
        if !cidr.as_str().is_some_and(is_prefix) {
            causes.push(Cause::invalid(format!("{path}.cidr"), cidr, "must be a prefix such as 10.0.10.0/24"));
        }
        if block.get("start").is_some() || block.get("stop").is_some() {
            causes.push(Cause::forbidden(path, "cidr excludes start and stop"));
        }
        return;
    }
    if block.get("start").is_none() {
        causes.push(Cause::required(format!("{path}.cidr"), "a block has a cidr or a start"));
        return;
    }
    let (start, stop) = (address("start", causes), address("stop", causes));
    if let (Some(start), Some(stop)) = (start, stop)
        && (start.is_ipv4() != stop.is_ipv4() || start > stop)
    {
        causes.push(Cause::invalid(format!("{path}.stop"), &block["stop"], "must be of the family of start and not before it"));
    }
}

fn is_prefix(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let limit = if address.is_ipv4() { 32 } else { 128 };
    length.parse::<u8>().is_ok_and(|n| n <= limit) && !length.starts_with('+')
}

fn validate_selector(object: &Value, field: &str, causes: &mut Vec<Cause>) {
    let at = |rest: &str| format!("spec.{field}.{rest}");
    let labels = object.pointer(&format!("/spec/{field}/matchLabels")).and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        if !names::is_qualified(key) || !value.as_str().is_some_and(names::is_label_value) {
            causes.push(Cause::invalid(at("matchLabels"), &Value::from(key.as_str()), "must be a label's key and value"));
        }
    }
    for (index, expression) in items(object, &format!("/spec/{field}/matchExpressions")).iter().enumerate() {
        let values = items(expression, "/values");
        let wrong = match text(expression, "/operator") {
            "In" | "NotIn" => values.is_empty().then_some("must be specified when `operator` is 'In' or 'NotIn'"),
            _ => (!values.is_empty()).then_some("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        };
        if let Some(wrong) = wrong {
            causes.push(Cause::forbidden(at(&format!("matchExpressions[{index}].values")), wrong));
        }
    }
}
