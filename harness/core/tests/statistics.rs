//! What the judge's numbers are worth, shown by seeded simulation and by exact sums, and kept in `STATISTICS.md`.
//!
//! `PLUMB_UPDATE=1 cargo test -p plumb-core --test statistics` writes the table anew. The figures depend on the seed alone.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use plumb_core::scenario::model::Distribution;
use plumb_core::statistics::{Split, SplitMix, SplitOutcome, clopper_pearson, longest_gap, mass, zero_upper_bound};
use serde_json::{Value, json};

const SEED: u64 = 20_261_123;
/// Rounds of the simulation of false alarms, and of the others.
const ALARM_ROUNDS: u64 = 10_000;
const ROUNDS: u64 = 500;

fn split(weights: &Value, more: &Value) -> Split {
    let mut step = json!({"id": "d", "probe": {"to": {"gateway": "gw"}, "port": 80, "host": "h"}, "weights": weights});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Split::of(&serde_json::from_value::<Distribution>(step).unwrap()).unwrap()
}

/// One sample of requests that split by these shares.
fn sample(random: &mut SplitMix, truth: &BTreeMap<String, f64>, n: u64) -> BTreeMap<String, u64> {
    let mut ends: Vec<f64> = truth
        .values()
        .scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        })
        .collect();
    *ends.last_mut().unwrap() = 1.0;
    let mut counts = vec![0u64; ends.len()];
    for _ in 0..n {
        let at = random.unit();
        let mut chosen = 0;
        while at >= ends[chosen] {
            chosen += 1;
        }
        counts[chosen] += 1;
    }
    truth.keys().cloned().zip(counts).collect()
}

/// In how many of so many rounds the test refused.
fn refused(random: &mut SplitMix, split: &Split, truth: &BTreeMap<String, f64>, rounds: u64) -> u64 {
    let fits = |counts: &BTreeMap<String, u64>| matches!(split.test(counts), SplitOutcome::Fits { .. });
    (0..rounds).filter(|_| !fits(&sample(random, truth, split.samples))).count() as u64
}

/// The exact probability that a correct split of two or three backends is refused: the sum over every possible outcome.
fn exact_false_alarm(split: &Split) -> f64 {
    let n = split.samples;
    let fits = |region: &plumb_core::statistics::Region, k: u64| (region.low..=region.high).contains(&k);
    match split.regions.as_slice() {
        [] => 0.0,
        [one] => (0..=n).filter(|k| !fits(one, *k)).map(|k| mass(k, n, one.share)).sum(),
        [a, b, c] => {
            let rest = b.share / (b.share + c.share);
            let refused_given = |k: u64| -> f64 {
                let left = n - k;
                let all = (0..=left).filter(|m| !(fits(a, k) && fits(b, *m) && fits(c, left - m)));
                all.map(|m| mass(m, left, rest)).sum()
            };
            // Outside of this range the first count alone has no probability worth a sum.
            let likely = (0..=n).filter(|k| mass(*k, n, a.share) > 1e-13);
            likely.map(|k| mass(k, n, a.share) * refused_given(k)).sum()
        }
        _ => unreachable!("the table has at most three backends"),
    }
}

struct Case {
    name: &'static str,
    weights: Value,
    wrong: Value,
    wrong_name: &'static str,
    samples: u64,
}

fn cases() -> Vec<Case> {
    let case = |name, weights, wrong, wrong_name, samples| Case { name, weights, wrong, wrong_name, samples };
    vec![
        case("90 : 10", json!({"a": 90, "b": 10}), json!({"a": 85, "b": 15}), "85 : 15", 2_000),
        case("50 : 50", json!({"a": 50, "b": 50}), json!({"a": 55, "b": 45}), "55 : 45", 5_000),
        case("100 : 0", json!({"a": 100, "b": 0}), json!({"a": 995, "b": 5}), "99.5 : 0.5", 2_000),
        case("50 : 30 : 20", json!({"a": 50, "b": 30, "c": 20}), json!({"a": 45, "b": 30, "c": 25}), "45 : 30 : 25", 4_000),
    ]
}

fn shares(weights: &Value) -> BTreeMap<String, f64> {
    let sum: f64 = weights.as_object().unwrap().values().map(|weight| weight.as_f64().unwrap()).sum();
    weights.as_object().unwrap().iter().map(|(id, weight)| (id.clone(), weight.as_f64().unwrap() / sum)).collect()
}

/// False alarm and power of each split; asserts what the scenarios rely on.
fn splits() -> String {
    let mut random = SplitMix::new(SEED);
    let mut table = format!(
        "| split | n | false alarm at alpha 1e-6, exact | false alarm at alpha 0.05, of {ALARM_ROUNDS} simulated (95 % interval) | wrong split | power, exact lower bound | found, of {ROUNDS} simulated | n chosen by itself |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for case in cases() {
        let fixed = |alpha: f64| split(&case.weights, &json!({"samples": case.samples, "alpha": alpha, "against": case.wrong}));
        let (strict, loose) = (fixed(1e-6), fixed(0.05));
        let exact = exact_false_alarm(&strict);
        assert!(exact <= 1e-6, "{}: {exact:e}", case.name);
        let exact_loose = exact_false_alarm(&loose);
        assert!(exact_loose <= 0.05, "{}: {exact_loose}", case.name);

        let alarms = refused(&mut random, &loose, &shares(&case.weights), ALARM_ROUNDS);
        let interval = clopper_pearson(alarms, ALARM_ROUNDS, 0.95);
        // Measured and exact must agree, and what is measured must not exceed alpha: one in a thousand by chance, were it unseeded.
        let wide = clopper_pearson(alarms, ALARM_ROUNDS, 0.999);
        assert!((wide.low..=wide.high).contains(&exact_loose), "{}: {alarms} alarms, exact {exact_loose}", case.name);
        assert!(alarms as f64 <= 0.05 * ALARM_ROUNDS as f64, "{}: {alarms} of {ALARM_ROUNDS}", case.name);
        let strict_alarms = refused(&mut random, &strict, &shares(&case.weights), ROUNDS);
        assert_eq!(strict_alarms, 0, "{}", case.name);

        let found = refused(&mut random, &strict, &shares(&case.wrong), ROUNDS);
        assert!(strict.power >= 0.97, "{}: power {}", case.name, strict.power);
        assert!(found >= 475, "{}: {found} of {ROUNDS}", case.name);

        let chosen = split(&case.weights, &json!({})).samples;
        let (low, high) = (interval.low * 100.0, interval.high * 100.0);
        writeln!(
            table,
            "| {} | {} | {exact:.1e} | {:.2} % ({low:.2} to {high:.2} %), exact {:.2} % | {} | {:.2} % | {:.1} % | {chosen} |",
            case.name,
            case.samples,
            alarms as f64 / ALARM_ROUNDS as f64 * 100.0,
            exact_loose * 100.0,
            case.wrong_name,
            strict.power * 100.0,
            found as f64 / ROUNDS as f64 * 100.0,
        )
        .unwrap();
    }
    table
}

/// What is known of a backend of weight 0 that got nothing.
fn zero() -> String {
    let mut table =
        String::from("| requests, none to weight 0 | its rate is at most (95 %) | a leak of 0.5 % is found with |\n|---|---|---|\n");
    for n in [100u64, 700, 2_000, 5_000] {
        let found = 1.0 - 0.995f64.powf(n as f64);
        writeln!(table, "| {n} | {:.3} % | {:.2} % |", zero_upper_bound(n, 0.95) * 100.0, found * 100.0).unwrap();
    }
    table
}

/// How far a measured gap is from the true silence, over 2000 silences that begin at a random moment.
fn gaps() -> String {
    const MS: u64 = 1_000_000;
    let mut random = SplitMix::new(SEED + 1);
    let mut table = String::from(
        "| asked every | true silence | measured, least | measured, most | greatest error | resolution said |\n|---|---|---|---|---|---|\n",
    );
    for (interval_ms, silence_ms) in [(20u64, 10u64), (20, 300), (20, 3_000), (50, 1_000), (100, 1_000)] {
        let (mut least, mut most, mut error, mut said) = (u64::MAX, 0, 0, 0);
        for _ in 0..2_000 {
            let begin = 2_000 * MS + random.next() % (interval_ms * MS);
            let end = begin + silence_ms * MS;
            let samples: Vec<(u64, bool)> = (0..10_000 / interval_ms)
                .map(|n| {
                    // A prober is not punctual: each question is up to 1 ms late.
                    let at = n * interval_ms * MS + random.next() % MS;
                    (at, at < begin || at >= end)
                })
                .collect();
            let gap = longest_gap(&samples, 10_000 * MS);
            let off = gap.ns.abs_diff(silence_ms * MS);
            assert!(off <= gap.resolution_ns, "{silence_ms} ms every {interval_ms} ms: {gap:?}");
            least = least.min(gap.ms());
            most = most.max(gap.ms());
            error = error.max(off);
            said = said.max(gap.resolution_ms());
        }
        let error = error.div_ceil(MS);
        writeln!(table, "| {interval_ms} ms | {silence_ms} ms | {least} ms | {most} ms | {error} ms | at most {said} ms |").unwrap();
    }
    table
}

fn page() -> String {
    format!(
        "# What the judge's numbers are worth\n\n\
         Written by `harness/core/tests/statistics.rs` and compared with it in every test run (`PLUMB_UPDATE=1` writes it anew).\n\
         Everything is seeded (seed {SEED}): the same program gives the same figures.\n\n\
         ## Splits\n\n\
         One sample of fixed size, one exact test, no retry. *False alarm, exact* sums over every possible outcome of a correct split;\n\
         because 1e-6 is too rare to simulate, the simulation uses alpha 0.05 and the same code, and at 1e-6 saw 0 of {ROUNDS} for each split.\n\
         *n chosen by itself* is the sample a scenario gets that names none: power 97 % against five points moved from the heaviest to the\n\
         lightest backend, and against a leak of 0.5 % to a backend of weight 0.\n\n{}\n\
         ## Weight 0\n\n\
         A single request to a backend of weight 0 fails. When there was none, the rate is bounded (Clopper and Pearson, one-sided):\n\n{}\n\
         ## Gaps\n\n\
         Downtime and ARP silence are the longest run of unanswered questions, up to the next answered one. The true silence differs from\n\
         it by at most the time between two questions; a bound fails only when it is exceeded by more than that.\n\n{}",
        splits(),
        zero(),
        gaps()
    )
}

#[test]
fn the_page_says_what_a_simulation_shows() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("STATISTICS.md");
    let page = page();
    if std::env::var_os("PLUMB_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "STATISTICS.md is stale; PLUMB_UPDATE=1 cargo test -p plumb-core --test statistics writes it anew");
}
