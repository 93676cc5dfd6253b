/// An e-value of one row made fit for rows that come in clumps: its `factor`-th root.
///
/// `e`: an e-value, from 0; `factor`: what [`clumping`](super::clumping()) says of the bin (or of the
/// score, for a tilt); below 1 or not a number it cannot be used and the answer is 1, which is no
/// evidence.
///
/// - Jensen: `E[e^(1/f)] <= E[e]^(1/f) <= 1` for `f >= 1`, so tempering never makes evidence.
/// - Hölder: the product of `m <= f` such roots has an expectation of at most 1 however the `m` rows
///   depend on each other. So clumps of up to `f` rows that are independent of each other, such as
///   sessions, leave an e-detector its run length, counted at the clumps' ends.
/// - Beyond clumps with an end (AR(1)), the root divides the variance of log-evidence by `f` more than
///   its drift, which is what a long-run variance of `f` times the independent one takes. That is an
///   argument for small bets, not a proof for large ones; so it was simulated.
///
/// Mean run length over budget of Shiryaev-Roberts averages, baselines of 20,000 rows, limits of
/// [`clumping`](super::clumping())'s effective counts (`hits / f`, `trials / f`) at 5 % for all; points
/// bet 0.01, 0.05, 0.25 and 0.9 on each bin, tilts are ±0.1, ±0.3 and ±1; lowest of eight baselines and
/// of budgets of 1,000, 3,000 and 10,000 rows. "Even": sixteen quantile bins; "skewed": eleven bins of
/// 0.0005 to 0.44.
///
/// | rows | points: raw / tempered, even | skewed | tilts: raw / tempered, even | skewed |
/// |---|---|---|---|---|
/// | independent | 2.6 / 2.6 | 3.1 / 3.1 | 1.9 / 1.9 | 2.3 / 2.3 |
/// | AR(1), 0.2 | 1.6 / 2.4 | 1.4 / 2.1 | 0.25 / 3.2 | 0.33 / 3.5 |
/// | AR(1), 0.5 | 0.13 / 10 | 0.13 / 7.2 | 0.02 / 3.2 | 0.02 / 3.0 |
/// | AR(1), 0.9 | 0.01 / 4.2 | 0.01 / 6.8 | 0.00 / 2.3 | 0.01 / 3.0 |
/// | sessions of 2 | 0.02 / 13 | 0.04 / 21 | 0.06 / 3.1 | 0.08 / 3.7 |
/// | sessions of 5 | 0.00 / 5.6 | 0.00 / 8.0 | 0.01 / 3.4 | 0.01 / 3.2 |
/// | sessions of 10 | 0.00 / 3.7 | 0.00 / 4.1 | 0.00 / 2.5 | 0.00 / 2.5 |
/// | sessions of 50 | 0.00 / 1.7 | 0.00 / 2.0 | 0.00 / 2.2 | 0.00 / 2.5 |
/// | bursts of one bin, geometric, mean 10 | 0.08 / 2.6 | 0.08 / 1.9 | 0.10 / 21 | 0.09 / 21 |
///
/// The price is delay: what took `d` rows takes about `f d`.
/// With the bins' own ratios instead of the stream's largest, skewed bins of an AR(1) process with
/// correlation 0.5 to 0.9 and exactly known shares keep 0.5 of 10,000 rows: that is why the check
/// gives all bins the largest.
///
/// # Source
/// Hölder (1889); Grünwald and van Ommen (2017), Bayesian Analysis 12:1069, for likelihoods raised to
/// a power against misspecification.
#[must_use]
pub(in crate::detect) fn tempered(e: f64, factor: f64) -> f64 {
    if factor >= 1.0 && factor.is_finite() { e.powf(1.0 / factor) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::normal;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    const BINS: usize = 16;
    const BUDGET: f64 = 1_000.0;

    /// Values in time: each remembers the last with a correlation, or is repeated so often.
    enum Rows {
        Slow { rho: f64, value: f64 },
        Sessions { rows: u32, left: u32, value: f64 },
    }

    impl Rows {
        fn next(&mut self, random: &mut StdRng) -> usize {
            let uniform = match self {
                Self::Slow { rho, value } => {
                    *value = *rho * *value + (1.0 - *rho * *rho).sqrt() * normal::quantile(random.random());
                    0.5 * statrs::function::erf::erfc(-*value * std::f64::consts::FRAC_1_SQRT_2)
                }
                Self::Sessions { rows, left, value } => {
                    if *left == 0 {
                        (*left, *value) = (*rows, random.random());
                    }
                    *left -= 1;
                    *value
                }
            };
            let edges = (1..BINS).map(|i| i as f64 / BINS as f64);
            edges.take_while(|edge| uniform >= *edge).count()
        }
    }

    /// The mean run length of a bank of point bets with exactly known shares, over its budget.
    fn run_length(factor: f64, rows: impl Fn(&mut StdRng) -> Rows) -> f64 {
        let mut random = StdRng::seed_from_u64(17);
        let share = 1.0 / BINS as f64;
        let bets = [0.01, 0.05, 0.25, 0.9]
            .map(|eps: f64| (tempered(1.0 - eps + eps / share, factor), tempered(1.0 - eps, factor)));
        let (runs, mut total) = (30, 0.0);
        for _ in 0..runs {
            let mut source = rows(&mut random);
            let mut evidence = vec![0.0; BINS * bets.len()];
            let mut average = 0.0;
            while average < BUDGET {
                total += 1.0;
                let hit = source.next(&mut random);
                for (bin, of_bin) in evidence.chunks_mut(bets.len()).enumerate() {
                    for (r, (on_hit, on_miss)) in of_bin.iter_mut().zip(&bets) {
                        *r = (*r + 1.0) * if bin == hit { on_hit } else { on_miss };
                    }
                }
                average = evidence.iter().sum::<f64>() / evidence.len() as f64;
            }
        }
        total / f64::from(runs) / BUDGET
    }

    /// A bank of bets keeps its budget on clumped rows with the right factor, and only with it.
    #[test]
    fn tempered_bets_keep_their_budget() {
        for (rho, factor) in [(0.5, 1.75), (0.9, 9.05)] {
            let rows = |random: &mut StdRng| Rows::Slow { rho, value: normal::quantile(random.random()) };
            let (with, without) = (run_length(factor, rows), run_length(1.0, rows));
            assert!(with > 1.0 && without < 0.6, "correlation {rho}: {with}, untempered {without}");
        }
        for rows in [2_u32, 5, 10, 50] {
            let source = |_: &mut StdRng| Rows::Sessions { rows, left: 0, value: 0.0 };
            let (with, without) = (run_length(f64::from(rows), source), run_length(1.0, source));
            assert!(with > 1.0 && without < 0.6, "sessions of {rows}: {with}, untempered {without}");
        }
    }

    /// Tempering never makes evidence, for any bet at its own null.
    #[test]
    fn tempered_e_values_stay_e_values() {
        for share in [1e-6, 0.01, 0.5, 0.99] {
            for eps in [0.01, 0.25, 0.9] {
                for factor in [1.0, 1.5, 19.0, 1e3] {
                    let (hit, miss) = (1.0 - eps + eps / share, 1.0 - eps);
                    let mean = share * tempered(hit, factor) + (1.0 - share) * tempered(miss, factor);
                    assert!(mean <= 1.0 + 1e-12, "{share} {eps} {factor}: {mean}");
                }
            }
        }
        for factor in [0.5, 0.0, f64::NAN, f64::INFINITY] {
            assert!((tempered(100.0, factor) - 1.0).abs() < f64::EPSILON, "{factor}");
        }
        assert!(tempered(0.0, 3.0).abs() < f64::EPSILON);
    }
}
