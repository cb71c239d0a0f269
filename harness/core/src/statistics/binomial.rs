//! The binomial distribution, exactly summed in the smaller tail, and intervals for a rate.

/// A rate lies in here, with the stated confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end, in [0, 1].
    pub low: f64,
    /// Upper end, in [0, 1].
    pub high: f64,
}

/// Probability of exactly `k` of `n` when each has probability `p`.
pub fn mass(k: u64, n: u64, p: f64) -> f64 {
    if k > n {
        return 0.0;
    }
    if p <= 0.0 {
        return if k == 0 { 1.0 } else { 0.0 };
    }
    if p >= 1.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    let choose = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    (choose + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()).exp()
}

/// Probability of at most `k` of `n`.
pub fn lower_tail(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if (k as f64) < n as f64 * p { sum_down(k, n, p) } else { (1.0 - sum_up(k + 1, n, p)).max(0.0) }
}

/// Probability of at least `k` of `n`.
pub fn upper_tail(k: u64, n: u64, p: f64) -> f64 {
    match k {
        0 => 1.0,
        k if k > n => 0.0,
        k if (k as f64) > n as f64 * p => sum_up(k, n, p),
        k => (1.0 - sum_down(k - 1, n, p)).max(0.0),
    }
}

/// Sums from `k` down; terms fall from the first on when `k` is below the mean.
fn sum_down(k: u64, n: u64, p: f64) -> f64 {
    let odds = (1.0 - p) / p;
    let mut term = mass(k, n, p);
    let mut sum = term;
    for k in (1..=k).rev() {
        term *= k as f64 / (n - k + 1) as f64 * odds;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

/// Sums from `k` up; terms fall from the first on when `k` is above the mean.
fn sum_up(k: u64, n: u64, p: f64) -> f64 {
    let odds = p / (1.0 - p);
    let mut term = mass(k, n, p);
    let mut sum = term;
    for k in k..n {
        term *= (n - k) as f64 / (k + 1) as f64 * odds;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

/// The interval of Clopper and Pearson (1934) for a rate of which `k` of `n` were seen: covers with at least the confidence.
pub fn clopper_pearson(k: u64, n: u64, confidence: f64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let tail = (1.0 - confidence) / 2.0;
    let low = if k == 0 { 0.0 } else { root(|p| upper_tail(k, n, p) > tail) };
    let high = if k >= n { 1.0 } else { root(|p| lower_tail(k, n, p) <= tail) };
    Interval { low, high }
}

/// The interval of Wilson (1927), shorter, covers with about the confidence.
pub fn wilson(k: u64, n: u64, confidence: f64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    let (n, rate) = (n as f64, k as f64 / n as f64);
    let scale = 1.0 + z * z / n;
    let middle = (rate + z * z / (2.0 * n)) / scale;
    let half = z / scale * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// What a rate is at most, with this confidence, when none of `n` was seen (one-sided Clopper-Pearson).
pub fn zero_upper_bound(n: u64, confidence: f64) -> f64 {
    if n == 0 { 1.0 } else { -((1.0 - confidence).ln() / n as f64).exp_m1() }
}

/// The point in [0, 1] from which on a monotone property holds.
fn root(holds_from: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if holds_from(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The quantile of the standard normal distribution, by bisection on [`normal`].
fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if normal(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The standard normal distribution function, by its power series (Abramowitz and Stegun 26.2.10).
fn normal(x: f64) -> f64 {
    if x.abs() > 8.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term *= -x * x / (2.0 * f64::from(n));
        sum += term / f64::from(2 * n + 1);
    }
    0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
}

/// ln(n!): summed while small, by Stirling's series above (relative error below 1e-15 there).
fn ln_factorial(n: u64) -> f64 {
    if n < 64 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5)) - 1.0 / (1680.0 * x.powi(7));
    x * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI * x).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(seen: f64, wanted: f64, relative: f64, what: &str) {
        assert!((seen - wanted).abs() <= wanted.abs() * relative, "{what}: {seen:e}, expected {wanted:e}");
    }

    #[test]
    fn masses_and_tails_have_their_known_values() {
        close(mass(5, 10, 0.5), 252.0 / 1024.0, 1e-13, "10 coins, 5 heads");
        close(lower_tail(2, 10, 0.5), 56.0 / 1024.0, 1e-13, "10 coins, at most 2 heads");
        close(upper_tail(8, 10, 0.5), 56.0 / 1024.0, 1e-13, "10 coins, at least 8 heads");
        close(2.0 * upper_tail(8, 10, 0.5), 0.109375, 1e-13, "two-sided");
        close(lower_tail(0, 2000, 0.1), 0.9f64.powi(2000), 1e-10, "none of 2000");
        close(upper_tail(2000, 2000, 0.9), 0.9f64.powi(2000), 1e-10, "all of 2000");
        close(mass(100, 200, 0.5), 0.056_348_479_009_256_4, 1e-12, "200 coins, 100 heads");
    }

    #[test]
    fn the_masses_sum_to_one_and_the_tails_meet() {
        for (n, p) in [(1, 0.3), (63, 0.5), (64, 0.9), (2_000, 0.1), (5_000, 0.001)] {
            let sum: f64 = (0..=n).map(|k| mass(k, n, p)).sum();
            close(sum, 1.0, 1e-11, "sum of masses");
            for k in [0, n / 10, n / 2, n - 1] {
                close(lower_tail(k, n, p) + upper_tail(k + 1, n, p), 1.0, 1e-11, "tails");
            }
        }
    }

    #[test]
    fn the_factorial_does_not_jump_where_the_series_begins() {
        let summed: f64 = (2..=64u64).map(|k| (k as f64).ln()).sum();
        close(ln_factorial(64), summed, 1e-14, "ln 64!");
        close(ln_factorial(20).exp(), 2_432_902_008_176_640_000.0, 1e-13, "20!");
    }

    #[test]
    fn intervals_have_their_known_values() {
        // Brown, Cai and DasGupta (2001) and every textbook: 0 of 10 and 5 of 10 at 95 %.
        let exact = clopper_pearson(0, 10, 0.95);
        close(exact.high, 0.308_497_1, 1e-6, "Clopper-Pearson 0 of 10");
        assert_eq!(exact.low, 0.0);
        let exact = clopper_pearson(5, 10, 0.95);
        close(exact.low, 0.187_086_0, 1e-6, "Clopper-Pearson 5 of 10, low");
        close(exact.high, 0.812_914_0, 1e-6, "Clopper-Pearson 5 of 10, high");
        let short = wilson(5, 10, 0.95);
        close(short.low, 0.236_593_1, 1e-6, "Wilson 5 of 10, low");
        close(short.high, 0.763_406_9, 1e-6, "Wilson 5 of 10, high");
        assert_eq!(clopper_pearson(50, 50, 0.95).high, 1.0);
        assert_eq!(clopper_pearson(0, 0, 0.95), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn none_of_n_bounds_the_rate() {
        close(zero_upper_bound(100, 0.95), 0.029_513_0, 1e-5, "rule of three, exactly");
        close(zero_upper_bound(700, 0.97), 0.004_996_8, 1e-3, "700 requests");
        assert_eq!(zero_upper_bound(0, 0.95), 1.0);
    }
}
