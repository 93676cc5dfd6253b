//! Shares of rows with what chance leaves open.

use statrs::function::beta::ln_beta;
use statrs::function::erf::erfc;

/// Standard errors on either side: 95 %.
pub(super) const Z: f64 = 1.959_964;
/// Steps of the search for a bound: more than the bits of a number.
const STEPS: u32 = 64;
/// Of the mixture that bounds a mean: bounds of 95 % are narrowest at 16 rows, about when alarms come.
const SUITED: f64 = 2.0;

/// Rows with something, of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hits {
    pub(super) hits: f64,
    pub(super) n: f64,
}

impl Hits {
    pub(super) fn add(&mut self, is_hit: bool) {
        self.n += 1.0;
        self.hits += f64::from(u8::from(is_hit));
    }

    /// From 0 to 1; NaN of none.
    pub(super) fn share(self) -> f64 {
        self.hits / self.n
    }

    /// Wilson's bounds of the share: of none, everything.
    ///
    /// # Source
    /// Wilson (1927), Probable inference, the law of succession, and statistical inference.
    pub(super) fn bounds(self, z: f64) -> (f64, f64) {
        bounds(self.share(), self.n, z)
    }

    /// Bounds of the share that hold whenever one stops counting, as an alarm does at rows that show much, and
    /// wherever one of `ways` first rows one began: the shares under which the hits are not `ways / alpha` times less
    /// likely than under a share drawn evenly from 0 to 1, which happens at any time with a chance of at most
    /// `alpha / ways`, by Ville's inequality. Of none, everything.
    ///
    /// # Source
    /// Robbins (1970), Statistical methods related to the law of the iterated logarithm, section 3; values by
    /// tests/reference/stopped_share.py.
    pub(super) fn stopped_bounds(self, z: f64, ways: f64) -> (f64, f64) {
        if self.share().is_nan() {
            return (0.0, 1.0);
        }
        let misses = self.n - self.hits;
        // The least logarithm of the likelihood.
        let least = ln_beta(self.hits + 1.0, misses + 1.0) + (erfc(z / std::f64::consts::SQRT_2) / ways).ln();
        // Nothing times the logarithm of nothing is nothing.
        let part = |n: f64, p: f64| if n > 0.0 { n * p.ln() } else { 0.0 };
        let is_likely = |p: f64| part(self.hits, p) + part(misses, 1.0 - p) > least;
        let limit = |mut unlikely: f64| {
            if is_likely(unlikely) {
                return unlikely;
            }
            let mut likely = self.share();
            for _ in 0..STEPS {
                let at = f64::midpoint(unlikely, likely);
                *(if is_likely(at) { &mut likely } else { &mut unlikely }) = at;
            }
            unlikely
        };
        (limit(0.0), limit(1.0))
    }

    /// By how much the share of rows that were counted from one of so many first rows until an alarm is more than
    /// another, with bounds.
    pub(super) fn more_than(self, other: Self, z: f64, ways: f64) -> Bounded {
        difference((self.share(), self.stopped_bounds(z, ways)), (other.share(), other.bounds(z)))
    }
}

/// The difference of two estimates with bounds each; not a number is anything.
///
/// # Source
/// Newcombe (1998), Stat. Med. 17:873, method 10, for Wilson's bounds; Zou and Donner (2008), Stat. Med. 27:1693, for
/// others. They add variances: an approximation, which of few healthy rows is a little too narrow.
fn difference((p, (p_low, p_high)): (f64, (f64, f64)), (q, (q_low, q_high)): (f64, (f64, f64))) -> Bounded {
    let value = p - q;
    let low = value - (p - p_low).hypot(q_high - q);
    let high = value + (p_high - p).hypot(q - q_low);
    if value.is_nan() { Bounded { value, low: -1.0, high: 1.0 } } else { Bounded { value, low, high } }
}

/// Standard errors on either side of the mean of `n` values that hold whenever one stops and wherever one of `ways`
/// first values one began, where `z` hold of values that were fixed before: as far as means of so few are normal.
///
/// # Source
/// Robbins (1970), as above; Howard et al. (2021), Annals of Statistics 49:2, section 3.2.
pub(super) fn stopped_z(n: f64, z: f64, ways: f64) -> f64 {
    let alpha = erfc(z / std::f64::consts::SQRT_2) / ways;
    ((n + SUITED) / n * ((n + SUITED) / (SUITED * alpha * alpha)).ln()).sqrt()
}

/// Wilson's bounds of a share of `n` rows.
pub(super) fn bounds(share: f64, n: f64, z: f64) -> (f64, f64) {
    if share.is_nan() || n <= 0.0 {
        return (0.0, 1.0);
    }
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - half) / scale).clamp(0.0, 1.0), ((centre + half) / scale).clamp(0.0, 1.0))
}

/// An estimate and the bounds of what it may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounded {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Bounded {
    /// Each of the three, made something else by what grows with it.
    pub(super) fn map(self, of: impl Fn(f64) -> f64) -> Self {
        Self { value: of(self.value), low: of(self.low), high: of(self.high) }
    }

    /// As a share: from 0 to 1.
    pub(super) fn as_share(self) -> Self {
        self.map(|v| v.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Wilson's bounds of 8 in 10 as tables have them, of none everything; and Newcombe's example of 56 of 70 against
    /// 48 of 80: 0.2, from 0.0524 to 0.3339.
    #[test]
    fn bounds_are_those_of_tables() {
        let (low, high) = Hits { hits: 8.0, n: 10.0 }.bounds(Z);
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4, "{low} {high}");
        assert_eq!(Hits::default().bounds(Z), (0.0, 1.0));
        let of = |hits: Hits| (hits.share(), hits.bounds(Z));
        let more = difference(of(Hits { hits: 56.0, n: 70.0 }), of(Hits { hits: 48.0, n: 80.0 }));
        for (ours, expected) in [(more.value, 0.2), (more.low, 0.0524), (more.high, 0.3339)] {
            assert!((ours - expected).abs() < 1e-4, "{more:?}");
        }
        let unknown = Hits::default().more_than(Hits { hits: 1.0, n: 2.0 }, Z, 1.0);
        assert!((unknown.low, unknown.high) == (-1.0, 1.0), "{unknown:?}");
    }
    /// As the script beside them has them, by another way.
    #[test]
    fn stopped_bounds_are_those_of_the_reference() {
        #[derive(serde::Deserialize)]
        struct Case {
            hits: f64,
            n: f64,
            low: f64,
            high: f64,
            z: f64,
        }
        let lines = include_str!("../../../../tests/reference/stopped_share.jsonl").lines();
        assert!(lines.clone().count() > 20);
        for line in lines {
            let Case { hits, n, low, high, z } = serde_json::from_str(line).unwrap();
            let (ours_low, ours_high) = Hits { hits, n }.stopped_bounds(Z, 1.0);
            assert!((ours_low - low).abs() < 1e-6 && (ours_high - high).abs() < 1e-6, "{hits} of {n}");
            assert!((stopped_z(n, Z, 1.0) - z).abs() < 1e-6, "{n}");
        }
    }

    /// Whoever stops where a share looks most unlike the truth is misled in at most one of twenty, and by bounds
    /// of a number of rows fixed before far more often.
    #[test]
    fn stopped_bounds_hold_at_the_worst_time() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut fixed, mut stopped) = (0, 0);
        for _ in 0..400 {
            let mut hits = Hits::default();
            let (mut fixed_missed, mut stopped_missed) = (false, false);
            for _ in 0..300 {
                hits.add(random.random::<f64>() < 0.3);
                let misses = |(low, high): (f64, f64)| low > 0.3 || high < 0.3;
                fixed_missed |= misses(hits.bounds(Z));
                stopped_missed |= misses(hits.stopped_bounds(Z, 1.0));
            }
            fixed += u32::from(fixed_missed);
            stopped += u32::from(stopped_missed);
        }
        assert!(stopped <= 20 && fixed > 80, "{stopped} {fixed} of 400");
    }
    /// Whoever also begins where the rows look most unlike the truth, as the start of a fault is estimated from the
    /// rows that show it, is misled in at most one of twenty by bounds that know of how many it was chosen.
    #[test]
    fn bounds_hold_from_the_worst_start() {
        const ROWS: usize = 40;
        let mut random = StdRng::seed_from_u64(2);
        let (mut fixed, mut chosen) = (0, 0);
        for _ in 0..300 {
            let rows: Vec<bool> = (0..ROWS).map(|_| random.random::<f64>() < 0.3).collect();
            let (mut fixed_missed, mut chosen_missed) = (false, false);
            for start in 0..ROWS {
                let mut hits = Hits::default();
                for row in &rows[start..] {
                    hits.add(*row);
                    let misses = |(low, high): (f64, f64)| low > 0.3 || high < 0.3;
                    fixed_missed |= misses(hits.stopped_bounds(Z, 1.0));
                    chosen_missed |= misses(hits.stopped_bounds(Z, ROWS as f64));
                }
            }
            fixed += u32::from(fixed_missed);
            chosen += u32::from(chosen_missed);
        }
        assert!(chosen <= 15 && fixed > 60, "{chosen} {fixed} of 300");
    }
}
