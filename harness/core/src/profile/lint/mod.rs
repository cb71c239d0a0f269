//! The flag lint: what a flag set says, does not say, or says in vain, for a chart version and a topology. Pure.
//!
//! A rule is one function in the file of its family, listed in [`RULES`]; what differs from version to version it reads from
//! `known.yaml`. Every finding has the rule's stable id, how bad it is, its place, what really happens, the cure, and its source.

mod announcements;
mod cli;
mod encryption;
mod finding;
mod flags;
mod foreseen;
mod gateways;
mod lists;
mod nodes;
mod objects;
mod routes;
mod values;

pub use finding::{Finding, Place, Severity};
pub use flags::{Action, Before, FlagSet, Topology};
pub use foreseen::foreseen;
pub use objects::Object;
pub use routes::tls_route_versions;

use super::{Profile, Side};
use flags::Subject;

/// What a rule adds findings to.
type Found = Vec<Finding>;

type Rule = fn(&Subject<'_>, &mut Found);

const RULES: &[Rule] = &[
    lists::unquoted_braces,
    lists::unquoted_pattern,
    lists::comma_ends_value,
    lists::list_element,
    lists::envoy_capabilities,
    values::without_effect,
    values::of_this_version,
    values::kube_proxy_replacement,
    nodes::operator_replicas,
    nodes::devices,
    gateways::host_network,
    gateways::one_port,
    gateways::definitions,
    routes::tls_route_version,
    routes::tls_route_weights,
    encryption::node_encryption,
    encryption::ipsec,
    announcements::lease_timings,
    announcements::policies,
    announcements::pools,
    cli::upgrade_forgets,
    cli::made_for,
    cli::encryption_status,
    cli::api_server_name,
];

/// Everything that is known to be wrong with a profile on a topology: as written first, errors before notes.
pub fn lint(profile: &Profile, topology: &Topology<'_>) -> Vec<Finding> {
    [Side::AsWritten, Side::AsMeant].into_iter().flat_map(|side| lint_flags(&profile.flags(side), topology)).collect()
}

/// Everything that is known to be wrong with one flag set on a topology, errors before notes.
pub fn lint_flags(flags: &FlagSet, topology: &Topology<'_>) -> Vec<Finding> {
    let subject = Subject::new(flags, topology);
    let mut found = Vec::new();
    RULES.iter().for_each(|rule| rule(&subject, &mut found));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

#[cfg(test)]
mod tests;
