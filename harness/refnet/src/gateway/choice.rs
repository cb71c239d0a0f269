//! Which backend a request goes to: weights, chance with a seed, and the faults that bend either.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::config::{Config, Share, Target};
use crate::chance::Chance;
use crate::fault::{Fault, FaultSet};

/// A uniform number below `bound`; the bias is below 2^-32 for bounds below 2^32.
fn below(chance: &Chance, bound: u64) -> u64 {
    scale(chance.next(), bound)
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn scale(number: u64, bound: u64) -> u64 {
    u64::try_from((u128::from(number) * u128::from(bound)) >> 64).unwrap_or(u64::MAX)
}

/// Weights as they are used: as written, or bent by a fault.
pub fn bent(weights: &[u32], faults: &FaultSet) -> Vec<u64> {
    let mut weights: Vec<u64> = weights.iter().map(|weight| u64::from(*weight)).collect();
    let heaviest = weights.iter().enumerate().max_by_key(|(at, weight)| (**weight, usize::MAX - at)).map(|(at, _)| at);
    let lightest = weights.iter().enumerate().min_by_key(|(at, weight)| (**weight, usize::MAX - at)).map(|(at, _)| at);
    let (Some(heaviest), Some(lightest)) = (heaviest, lightest) else { return weights };
    if faults.has(Fault::WeightsSwapped) {
        weights.swap(heaviest, lightest);
    }
    if faults.has(Fault::Weights8515) && heaviest != lightest {
        let total: u64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight *= 20);
        let moved = total.min(weights[heaviest]);
        weights[heaviest] -= moved;
        weights[lightest] += moved;
    }
    if faults.has(Fault::WeightsZeroLeaks) && weights.contains(&0) {
        let zeros = weights.iter().filter(|weight| **weight == 0).count() as u64;
        let total: u64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight = if *weight == 0 { total } else { *weight * 199 * zeros });
    }
    weights
}

/// Picks one of several shares by weight; `None` when there is none or all weights are 0. `client` decides under the sticky fault.
pub fn pick<'a>(shares: &'a [Share], client: IpAddr, chance: &Chance, faults: &FaultSet) -> Option<&'a Share> {
    let weights: Vec<u32> = shares.iter().map(|share| share.weight).collect();
    let weights = bent(&weights, faults);
    let total: u64 = weights.iter().sum();
    if total == 0 {
        return None;
    }
    let number = if faults.has(Fault::WeightsSticky) {
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        scale(mix(hasher.finish()), total)
    } else {
        below(chance, total)
    };
    let mut left = number;
    for (share, weight) in shares.iter().zip(weights) {
        if left < weight {
            return Some(share);
        }
        left -= weight;
    }
    None
}

/// Another backend than the one that was picked: a sibling first, then any other Service the configuration names.
pub fn astray(picked: &Target, siblings: &[Share], config: &Config) -> Option<Target> {
    let others = config.sockets.values().flat_map(|port| &port.listeners).flat_map(|listener| {
        let http = listener.http.iter().flat_map(|rule| &rule.backends);
        http.chain(listener.tls.iter().flat_map(|rule| &rule.backends))
    });
    let is_other = |target: &&Target| matches!(target, Target::Service { endpoints, .. } if !endpoints.is_empty()) && *target != picked;
    siblings.iter().map(|share| &share.target).find(is_other).or_else(|| others.map(|share| &share.target).find(is_other)).cloned()
}

/// One of a Service's endpoints.
pub fn endpoint(endpoints: &[SocketAddr], chance: &Chance) -> Option<SocketAddr> {
    endpoints.get(chance.index(endpoints.len())?).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn faults(fault: Option<Fault>) -> FaultSet {
        fault.into_iter().collect()
    }

    fn share(weight: u32) -> Share {
        Share { weight, target: Target::Service { name: format!("default/w{weight}:80"), endpoints: Vec::new() }, filters: Vec::new() }
    }

    fn counts(weights: &[u32], fault: Option<Fault>, n: u32) -> Vec<u32> {
        let shares: Vec<_> = weights.iter().map(|weight| share(*weight)).collect();
        let chance = Chance::new(7, "worker");
        let mut counts = vec![0; shares.len()];
        for _ in 0..n {
            let picked = pick(&shares, IpAddr::from([10, 9, 0, 200]), &chance, &faults(fault)).unwrap();
            counts[shares.iter().position(|share| std::ptr::eq(share, picked)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn faults_bend_weights_as_they_say() {
        let cases: [(&[u32], Option<Fault>, &[u64]); 7] = [
            (&[90, 10], None, &[90, 10]),
            (&[90, 10], Some(Fault::WeightsSwapped), &[10, 90]),
            (&[90, 10], Some(Fault::Weights8515), &[1700, 300]),
            (&[50, 30, 20], Some(Fault::WeightsSwapped), &[20, 30, 50]),
            (&[1, 0], Some(Fault::WeightsZeroLeaks), &[199, 1]),
            (&[90, 10], Some(Fault::WeightsZeroLeaks), &[90, 10]),
            (&[], Some(Fault::WeightsSwapped), &[]),
        ];
        for (weights, fault, expected) in cases {
            assert_eq!(bent(weights, &faults(fault)), expected, "{weights:?} under {fault:?}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let n = 20_000;
        let counts = counts(&[90, 10], None, n);
        // 6 standard deviations of a binomial (20000, 0.1): 255.
        assert!((1745..2255).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn a_zero_weight_gets_nothing_unless_it_leaks() {
        assert_eq!(counts(&[1, 0], None, 20_000)[1], 0);
        let leaked = counts(&[1, 0], Some(Fault::WeightsZeroLeaks), 20_000)[1];
        assert!((40..170).contains(&leaked), "{leaked}");
    }

    #[test]
    fn sticky_clients_stay() {
        let counts = counts(&[50, 50], Some(Fault::WeightsSticky), 100);
        assert!(counts.contains(&100), "{counts:?}");
    }

    #[test]
    fn all_weights_zero_is_nobody() {
        assert_eq!(pick(&[share(0), share(0)], IpAddr::from([10, 9, 0, 200]), &Chance::new(1, "n"), &FaultSet::default()), None);
    }
}
