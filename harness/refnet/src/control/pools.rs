//! LB-IPAM as a value: from pools and Services to addresses, and what is said of each. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use crate::labels::selects;

/// Version pools are read in.
pub(super) const VERSION: &str = "v2";

/// CiliumLoadBalancerIPPool.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PoolSpec {
    /// Addresses.
    pub(super) blocks: Vec<Block>,
    /// Which Services it is for; absent = all.
    pub(super) service_selector: Option<LabelSelector>,
    /// Gives nothing away any more.
    pub(super) disabled: bool,
    /// `No`: the first and last address of a cidr are kept back.
    #[serde(rename = "allowFirstLastIPs")]
    pub(super) allow_first_last_ips: Option<String>,
}

/// A range of addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block {
    /// `10.9.1.220/30`.
    pub(super) cidr: Option<String>,
    /// First address.
    pub(super) start: Option<String>,
    /// Last address; absent = the first alone.
    pub(super) stop: Option<String>,
}

/// A pool, older ones first in every list.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    /// Its name.
    pub(super) name: String,
    /// What is wanted.
    pub(super) spec: PoolSpec,
}

/// A Service that wants an address, older ones first in every list.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim {
    /// Its labels and the two Cilium adds: `io.kubernetes.service.namespace` and `.name`.
    pub(super) labels: BTreeMap<String, String>,
    /// Addresses asked for by name.
    pub(super) asked: Vec<Ipv4Addr>,
    /// Addresses it has.
    pub(super) has: Vec<Ipv4Addr>,
}

/// What a Service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// Its addresses.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// `satisfied`, `no_pool`, `pool_selector_mismatch`, `out_of_ips`.
    pub(super) reason: &'static str,
}

/// What is said of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PoolState {
    /// Name of the older pool it overlaps; it then gives nothing away.
    pub(super) conflict: Option<String>,
    /// Addresses in all.
    pub(super) total: u64,
    /// Addresses given away.
    pub(super) used: u64,
}

/// Gives addresses away: what a Service has and may keep it keeps, the rest are served in turn.
pub(super) fn assign(pools: &[Pool], claims: &[Claim]) -> (Vec<Grant>, Vec<PoolState>) {
    let ranges: Vec<_> = pools.iter().map(|pool| ranges(&pool.spec)).collect();
    let conflicts: Vec<_> = (0..pools.len())
        .map(|at| (0..at).find(|older| overlap(&ranges[*older], &ranges[at])).map(|older| pools[older].name.clone()))
        .collect();
    let usable = |at: usize| conflicts[at].is_none();
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    let mut kept: Vec<Vec<Ipv4Addr>> = Vec::new();
    for claim in claims {
        let mut own = Vec::new();
        for address in &claim.has {
            let number = u32::from(*address);
            let fits = (0..pools.len())
                .any(|at| usable(at) && selects(pools[at].spec.service_selector.as_ref(), &claim.labels) && contains(&ranges[at], number));
            let wanted = claim.asked.is_empty() || claim.asked.contains(address);
            if fits && wanted && taken.insert(number) {
                own.push(*address);
            }
        }
        kept.push(own);
    }
    let mut grants = Vec::new();
    for (claim, mut addresses) in claims.iter().zip(kept) {
        let open: Vec<_> = (0..pools.len()).filter(|at| usable(*at) && !pools[*at].spec.disabled).collect();
        let mine: Vec<_> = open.iter().copied().filter(|at| selects(pools[*at].spec.service_selector.as_ref(), &claim.labels)).collect();
        for asked in claim.asked.iter().filter(|asked| !claim.has.contains(asked)) {
            let number = u32::from(*asked);
            if mine.iter().any(|at| contains(&ranges[*at], number)) && taken.insert(number) {
                addresses.push(*asked);
            }
        }
        if addresses.is_empty() && claim.asked.is_empty() {
            let free =
                mine.iter().flat_map(|at| &ranges[*at]).flat_map(|(first, last)| *first..=*last).find(|number| !taken.contains(number));
            if let Some(number) = free {
                taken.insert(number);
                addresses.push(Ipv4Addr::from(number));
            }
        }
        let complete = !addresses.is_empty() && addresses.len() >= claim.asked.len();
        let reason = match (complete, open.is_empty(), mine.is_empty()) {
            (true, ..) => "satisfied",
            (false, true, _) => "no_pool",
            (false, false, true) => "pool_selector_mismatch",
            (false, false, false) => "out_of_ips",
        };
        grants.push(Grant { addresses, reason });
    }
    let states = ranges.iter().zip(conflicts).map(|(ranges, conflict)| PoolState {
        total: ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum(),
        used: if conflict.is_some() { 0 } else { taken.iter().filter(|number| contains(ranges, **number)).count() as u64 },
        conflict,
    });
    (grants, states.collect())
}

fn contains(ranges: &[(u32, u32)], number: u32) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
}

fn overlap(a: &[(u32, u32)], b: &[(u32, u32)]) -> bool {
    a.iter().any(|(a_first, a_last)| b.iter().any(|(b_first, b_last)| a_first <= b_last && b_first <= a_last))
}

/// The addresses of a pool, first and last of each range; blocks that cannot be read give none.
fn ranges(spec: &PoolSpec) -> Vec<(u32, u32)> {
    let keep_ends = spec.allow_first_last_ips.as_deref() != Some("No");
    let parse = |text: &str| text.parse::<Ipv4Addr>().ok().map(u32::from);
    let range = |block: &Block| {
        if let Some(cidr) = &block.cidr {
            let (address, bits) = cidr.split_once('/')?;
            let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let first = parse(address)? & mask;
            let last = first | !mask;
            return Some(if keep_ends || bits >= 31 { (first, last) } else { (first + 1, last - 1) });
        }
        let first = parse(block.start.as_deref()?)?;
        let last = block.stop.as_deref().map_or(Some(first), parse)?;
        (first <= last).then_some((first, last))
    };
    spec.blocks.iter().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    fn pool(name: &str, spec: Value) -> Pool {
        Pool { name: name.to_owned(), spec: serde_json::from_value(spec).unwrap() }
    }

    fn claim(name: &str) -> Claim {
        let labels = BTreeMap::from([
            ("l2".to_owned(), "yes".to_owned()),
            ("io.kubernetes.service.namespace".to_owned(), "default".to_owned()),
            ("io.kubernetes.service.name".to_owned(), name.to_owned()),
        ]);
        Claim { labels, ..Claim::default() }
    }

    fn check(pools: &[Pool], claims: &[Claim], expected: &[(&str, &str)]) {
        let (grants, _) = assign(pools, claims);
        let seen: Vec<_> = grants
            .iter()
            .map(|grant| (grant.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), grant.reason))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(addresses, reason)| ((*addresses).to_owned(), *reason)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn addresses_come_from_the_blocks_in_order() {
        let blocks = pool("p", json!({"blocks": [{"start": "10.9.1.220", "stop": "10.9.1.221"}, {"cidr": "10.9.1.230/32"}]}));
        let expected = [("10.9.1.220", "satisfied"), ("10.9.1.221", "satisfied"), ("10.9.1.230", "satisfied"), ("", "out_of_ips")];
        check(&[blocks], &["a", "b", "c", "d"].map(claim), &expected);
    }

    #[test]
    fn without_a_fitting_pool_the_reason_says_which_kind_of_missing() {
        check(&[], &[claim("a")], &[("", "no_pool")]);
        let disabled = pool("p", json!({"blocks": [{"start": "10.9.1.220"}], "disabled": true}));
        check(&[disabled], &[claim("a")], &[("", "no_pool")]);
        let other = pool("p", json!({"blocks": [{"start": "10.9.1.220"}], "serviceSelector": {"matchLabels": {"l2": "no"}}}));
        check(&[other], &[claim("a")], &[("", "pool_selector_mismatch")]);
        let named = json!({"blocks": [{"start": "10.9.1.220"}], "serviceSelector": {"matchLabels": {"io.kubernetes.service.name": "a"}}});
        check(&[pool("p", named)], &[claim("a")], &[("10.9.1.220", "satisfied")]);
    }

    #[test]
    fn first_and_last_may_be_kept_back() {
        let spec = |allow: &str| json!({"blocks": [{"cidr": "10.9.1.220/30"}], "allowFirstLastIPs": allow});
        check(
            &[pool("p", spec("No"))],
            &["a", "b", "c"].map(claim),
            &[("10.9.1.221", "satisfied"), ("10.9.1.222", "satisfied"), ("", "out_of_ips")],
        );
        check(&[pool("p", spec("Yes"))], &[claim("a")], &[("10.9.1.220", "satisfied")]);
    }

    #[test]
    fn what_is_there_is_kept_and_what_is_asked_for_is_given() {
        let block = pool("p", json!({"blocks": [{"cidr": "10.9.1.220/30"}]}));
        let has = Claim { has: vec![Ipv4Addr::new(10, 9, 1, 222)], ..claim("a") };
        let asks = Claim { asked: vec![Ipv4Addr::new(10, 9, 1, 223)], ..claim("b") };
        let late = Claim { asked: vec![Ipv4Addr::new(10, 9, 1, 223)], ..claim("c") };
        let strays = Claim { has: vec![Ipv4Addr::new(10, 9, 1, 2)], ..claim("d") };
        let expected = [("10.9.1.222", "satisfied"), ("10.9.1.223", "satisfied"), ("", "out_of_ips"), ("10.9.1.220", "satisfied")];
        check(&[block], &[has, asks, late, strays], &expected);
    }

    #[test]
    fn the_younger_of_two_overlapping_pools_gives_nothing() {
        let pools = [
            pool("old", json!({"blocks": [{"cidr": "10.9.1.220/31"}]})),
            pool("new", json!({"blocks": [{"start": "10.9.1.221", "stop": "10.9.1.229"}]})),
        ];
        let (grants, states) = assign(&pools, &["a", "b", "c"].map(claim));
        assert_eq!(grants[2].reason, "out_of_ips");
        assert_eq!(states[0], PoolState { conflict: None, total: 2, used: 2 });
        assert_eq!(states[1], PoolState { conflict: Some("old".to_owned()), total: 9, used: 0 });
    }
}
