use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

use statrs::function::{erf::erfc, gamma::ln_gamma};

/// A sum of shares (rows of one request count as their mean) takes `delta / SHARES` as its chance.
///
/// Real-valued sums of independent shares have tails at most `e` times those of whole counts.
///
/// # Source
/// Bentkus (2004), On Hoeffding's inequalities, Ann. Probab. 32:1650, theorem 1.2.
pub(super) const SHARES: f64 = std::f64::consts::E;

/// Steps of Newton's method; more than six are not met.
const STEPS: u32 = 60;
/// Terms of the continued fraction: it needs about the root of the smaller parameter.
const TERMS: u32 = 20_000;
/// From here on for both parameters the expansion for large counts errs by less than 1e-8 of a tail.
const LARGE: f64 = 2e4;
/// Chances below this are no chances that anybody chose.
const DELTA_MIN: f64 = 1e-300;

/// Upper confidence limit of a chance after `hits` in `trials` (Clopper and Pearson, one sided).
///
/// The smallest `p` with `P(Binomial(trials, p) <= hits) <= delta`, the binomial continued to
/// real-valued counts by the incomplete beta function: from above 0 to 1; exactly 1 when nothing
/// was tried or every trial hit. `delta`: the chance, over baselines, that the true value lies
/// above, strictly between 0 and 1; anything that is not understood answers 1, which bets nothing.
///
/// Counts divided by a variance inflation (`hits / f`, `trials / f`) are the usual effective counts
/// of clustered rows (Korn and Graubard 1998, Survey Methodology 24:193); for sums of shares see
/// [`SHARES`].
///
/// # Source
/// Clopper and Pearson (1934), Biometrika 26:404. Values: tests/reference/clopper_pearson.py.
#[must_use]
pub(super) fn upper(hits: f64, trials: f64, delta: f64) -> f64 {
    let known = usable(hits, trials, delta) && hits < trials;
    if !known {
        return 1.0;
    }
    if hits <= 0.0 {
        return -(delta.ln() / trials).exp_m1();
    }
    // P(Binomial(n, p) <= k) = I_{1-p}(n - k, k + 1).
    Beta { a: trials - hits, b: hits + 1.0 }.quantile(delta).rest
}

/// Lower confidence limit of a chance after `hits` in `trials` (Clopper and Pearson, one sided).
///
/// The largest `p` with `P(Binomial(trials, p) >= hits) <= delta`: from 0 to below 1; exactly 0
/// without a hit. Arguments as in [`upper`]; anything that is not understood answers 0, which bets
/// nothing.
///
/// # Source
/// Clopper and Pearson (1934), Biometrika 26:404. Values: tests/reference/clopper_pearson.py.
#[must_use]
pub(super) fn lower(hits: f64, trials: f64, delta: f64) -> f64 {
    let known = usable(hits, trials, delta) && hits > 0.0;
    if !known {
        return 0.0;
    }
    if hits >= trials {
        return (delta.ln() / trials).exp();
    }
    // P(Binomial(n, p) >= k) = I_p(k, n - k + 1).
    Beta { a: hits, b: trials - hits + 1.0 }.quantile(delta).point
}

fn usable(hits: f64, trials: f64, delta: f64) -> bool {
    let counts = hits >= 0.0 && trials > 0.0 && trials.is_finite() && hits <= trials;
    counts && delta > DELTA_MIN && delta < 1.0
}

/// The beta distribution; `b` is at least 1.
#[derive(Debug, Clone, Copy)]
struct Beta {
    a: f64,
    b: f64,
}

/// A point between 0 and 1 and one minus it, each exact to its own last digits.
#[derive(Debug, Clone, Copy)]
struct Split {
    point: f64,
    rest: f64,
}

impl Split {
    fn of_logit(t: f64) -> Self {
        Self { point: 1.0 / (1.0 + (-t).exp()), rest: 1.0 / (1.0 + t.exp()) }
    }

    const fn turned(self) -> Self {
        Self { point: self.rest, rest: self.point }
    }
}

/// The logarithm of a distribution function, and its slope in the logit of the point.
struct LogCdf {
    value: f64,
    slope: f64,
}

impl Beta {
    /// Where the distribution function is `delta`.
    ///
    /// Newton's method on the logarithm of the distribution function over the logit of the point,
    /// where it is concave: after one step it comes from below and cannot miss.
    fn quantile(self, delta: f64) -> Split {
        let wanted = delta.ln();
        let mut logit = self.start(delta);
        for _ in 0..STEPS {
            let found = self.ln_cdf(logit);
            let step = (wanted - found.value) / found.slope;
            logit += step;
            let goes_on = step.abs() > 1e-13 * (1.0 + logit.abs()) && step.is_finite();
            if !goes_on {
                break;
            }
        }
        Split::of_logit(logit)
    }

    /// Near the quantile: Abramowitz and Stegun 26.5.22; below `a = 1` the leading power, from below.
    fn start(self, delta: f64) -> f64 {
        let Self { a, b } = self;
        if a < 1.0 {
            let ln_point = (delta.ln() + a.ln() + ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)) / a;
            return if ln_point < -1.0 { ln_point } else { 0.0 };
        }
        let normal = -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * delta);
        let (p, q) = (1.0 / 2.0_f64.mul_add(a, -1.0), 1.0 / 2.0_f64.mul_add(b, -1.0));
        let (mean, lambda) = (2.0 / (p + q), normal.mul_add(normal, -3.0) / 6.0);
        let root = if mean + lambda > 0.0 { (mean + lambda).sqrt() } else { 0.0 };
        let w = -normal * root / mean - (q - p) * (lambda + 5.0 / 6.0 - 2.0 / (3.0 * mean));
        (a / b).ln() - 2.0 * w
    }

    fn ln_cdf(self, logit: f64) -> LogCdf {
        let at = Split::of_logit(logit);
        let Self { a, b } = self;
        if a > LARGE && b > LARGE {
            return self.ln_cdf_large(at, logit);
        }
        if at.point < (a + 1.0) / (a + b + 2.0) {
            let fraction = self.continued_fraction(at);
            return LogCdf { value: self.ln_front(at, logit) + fraction.ln(), slope: a / fraction };
        }
        let turned = Self { a: b, b: a };
        let front = turned.ln_front(at.turned(), -logit).exp();
        let above = front * turned.continued_fraction(at.turned());
        LogCdf { value: (-above).ln_1p(), slope: b * front / (1.0 - above) }
    }

    /// `ln(x^a (1-x)^b / (a B(a, b)))`, without the cancellation of its parts (Loader 2000).
    fn ln_front(self, at: Split, logit: f64) -> f64 {
        let Self { a, b } = self;
        let rest = stirling_error(a + b) - stirling_error(a) - stirling_error(b);
        0.5 * (b / (TAU * a * (a + b))).ln() + rest - self.deviance(at, logit)
    }

    /// How unlikely the mean `a / (a + b)` is where the chance is the point: nats, from 0.
    fn deviance(self, at: Split, logit: f64) -> f64 {
        let Self { a, b } = self;
        let (mean, mean_rest) = (a / (a + b), b / (a + b));
        let ln_point = if logit < -30.0 { logit } else { at.point.ln() };
        let ln_rest = if logit > 30.0 { -logit } else { at.rest.ln() };
        a * excess((at.point - mean) / mean, ln_point - mean.ln())
            + b * excess((at.rest - mean_rest) / mean_rest, ln_rest - mean_rest.ln())
    }

    /// `F(a + b, 1; a + 1; x)` below the mean, by Gauss' continued fraction and Lentz's evaluation.
    ///
    /// For rare complements (`b` below `a`) by way of `F(1 - b, 1; a + 1; -x / (1 - x)) / (1 - x)`,
    /// which becomes the fraction of the incomplete gamma function and needs few terms there.
    fn continued_fraction(self, at: Split) -> f64 {
        let Self { a, b } = self;
        let rare = b < a;
        let (first, argument) = if rare { (1.0 - b, -at.point / at.rest) } else { (a + b, at.point) };
        let away = |v: f64| if v.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { v };
        let (mut c, mut d, mut fraction) = (1.0, 0.0, 1.0);
        for term in 0..TERMS {
            let n = f64::from(term);
            let odd = (first + n) * (a + n) / ((a + 2.0 * n) * (a + 2.0 * n + 1.0));
            let even = (n + 1.0) * (a - first + n + 1.0) / ((a + 2.0 * n + 1.0) * (a + 2.0 * n + 2.0));
            let before = fraction;
            for numerator in [-odd * argument, -even * argument] {
                d = 1.0 / away(numerator.mul_add(d, 1.0));
                c = away(1.0 + numerator / c);
                fraction *= d * c;
            }
            if (fraction / before - 1.0).abs() < 1e-15 {
                break;
            }
        }
        // The fraction built up here is the denominator's.
        if rare { 1.0 / (fraction * at.rest) } else { 1.0 / fraction }
    }

    /// The first term of Temme's uniform expansion (DLMF 8.18.9), in the form of Lugannani and Rice.
    fn ln_cdf_large(self, at: Split, logit: f64) -> LogCdf {
        let Self { a, b } = self;
        let total = a + b;
        let (mean, mean_rest) = (a / total, b / total);
        let spread = (mean * mean_rest).sqrt();
        // The smaller of the two parts tells the distance from the mean with all its digits.
        let distance = if mean < 0.5 { mean - at.point } else { at.rest - mean_rest };
        let wald = total.sqrt() * distance / spread;
        let root = (2.0 * self.deviance(at, logit)).sqrt().copysign(wald);
        let density = (-0.5 * root * root).exp() / TAU.sqrt();
        let correction = if root.abs() < 1e-3 {
            (mean_rest - mean) / (3.0 * spread * total.sqrt())
        } else {
            1.0 / wald - 1.0 / root
        };
        let below = density.mul_add(correction, 0.5 * erfc(root * FRAC_1_SQRT_2));
        let front = self.ln_front(at, logit).exp();
        LogCdf { value: below.ln(), slope: a * front / below }
    }
}

/// `u - ln(1 + u)`; far from 0 by the logarithm that the caller has.
fn excess(u: f64, ln: f64) -> f64 {
    if u.abs() < 0.5 { u - u.ln_1p() } else { u - ln }
}

/// What Stirling's formula leaves of `ln_gamma(z)`: `ln_gamma(z) - (z - 1/2) ln z + z - ln(2 pi)/2`.
fn stirling_error(z: f64) -> f64 {
    if z < 15.0 {
        return (z - 0.5).mul_add(-z.ln(), ln_gamma(z)) + z - 0.5 * (2.0 * PI).ln();
    }
    let q = 1.0 / (z * z);
    let tail = q.mul_add(-(1.0 / 1680.0 - q / 1188.0), 1.0 / 1260.0);
    q.mul_add(-q.mul_add(-tail, 1.0 / 360.0), 1.0 / 12.0) / z
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agreement with scipy's quantiles of the beta distribution, to a relative 1e-9, from one
    /// trial to 10^9, whole counts and shares, chances down to 1e-12.
    #[test]
    fn agrees_with_scipy() {
        let table = include_str!("../../tests/reference/clopper_pearson.csv");
        let mut checked = 0;
        for line in table.lines().filter(|l| !l.starts_with('#') && !l.starts_with("hits")) {
            let cells: Vec<f64> = line.split(',').map(|c| c.parse().unwrap()).collect();
            let [hits, trials, delta, high, low] = cells[..] else { panic!("five columns: {line}") };
            let ours = (upper(hits, trials, delta), lower(hits, trials, delta));
            assert!((ours.0 / high - 1.0).abs() < 1e-9, "{line}: upper {}", ours.0);
            let none = low < DELTA_MIN && ours.1 < DELTA_MIN;
            assert!(none || (ours.1 / low - 1.0).abs() < 1e-9, "{line}: lower {}", ours.1);
            checked += 1;
        }
        assert!(checked > 300, "the table is there");
    }

    /// The two ways to the same distribution function meet where one gives way to the other.
    #[test]
    fn large_counts_continue_small_ones() {
        for delta in [1e-12, 1e-6, 0.05, 0.4999, 0.5, 0.9] {
            for (a, b) in [(2e4, 2e4), (2e4, 1e7), (1e7, 2e4), (1e5, 1e5)] {
                let beta = Beta { a: a + 0.1, b: b + 0.1 };
                let logit = {
                    let at = beta.quantile(delta);
                    (at.point / at.rest).ln()
                };
                let at = Split::of_logit(logit);
                let small = {
                    let fraction = beta.continued_fraction(at);
                    beta.ln_front(at, logit) + fraction.ln()
                };
                let large = beta.ln_cdf_large(at, logit).value;
                if delta < 0.5 {
                    assert!((small - large).abs() < 1e-7, "{a} {b} {delta}: {small} {large}");
                }
                assert!((large - f64::ln(delta)).abs() < 1e-7, "{a} {b} {delta}: {large}");
            }
        }
    }

    /// A limit covers: the tail beyond it is the chance that was asked for.
    #[test]
    fn limits_are_the_tails_asked_for() {
        for (hits, trials) in [(0.3, 50.0), (1.0, 3.0), (7.5, 900.0), (40.0, 41.0), (3e5, 1e6)] {
            for delta in [1e-8, 1e-3, 0.3] {
                let (low, high) = (lower(hits, trials, delta), upper(hits, trials, delta));
                assert!(low < hits / trials && hits / trials < high, "{hits} {trials} {delta}: {low} {high}");
                let tail = statrs::function::beta::beta_reg(trials - hits, hits + 1.0, 1.0 - high);
                let relative = if hits > 1e5 { 0.01 } else { 1e-6 };
                assert!((tail / delta - 1.0).abs() < relative, "{hits} {trials} {delta}: {tail}");
            }
        }
    }

    /// More hits or a smaller chance never lower a limit, also between whole counts.
    #[test]
    fn limits_grow_with_hits() {
        let mut before = (0.0, 0.0);
        for step in 0_u32..400 {
            let hits = f64::from(step) * 0.25;
            let now = (upper(hits, 100.0, 1e-6), lower(hits, 100.0, 1e-6));
            assert!(now.0 > before.0 || now.0 >= 1.0, "{hits}: {now:?} after {before:?}");
            assert!(now.1 >= before.1, "{hits}: {now:?} after {before:?}");
            assert!(now.0 <= upper(hits, 100.0, 1e-7));
            before = now;
        }
    }

    /// Why [`SHARES`] is enough for sums of shares: Bentkus' theorem bounds their tail by `e` times
    /// the log-linear interpolation of the binomial's, and the continuation used here lies above that
    /// because its logarithm is concave in the count.
    #[test]
    fn the_continuation_is_log_concave() {
        for trials in [1.0, 5.0, 40.0, 3_000.0] {
            for chance in [0.001, 0.03, 0.3, 0.5, 0.9] {
                let below = |hits: f64| {
                    let logit = f64::ln((1.0 - chance) / chance);
                    Beta { a: trials - hits, b: hits + 1.0 }.ln_cdf(logit).value
                };
                let step = trials / 160.0;
                for at in 1_u32..158 {
                    let hits = f64::from(at) * step;
                    let (left, middle, right) = (below(hits - step), below(hits), below(hits + step));
                    assert!(left + right <= 2.0 * middle + 1e-8, "{trials} {chance} {hits}");
                }
            }
        }
        let (shares, counts) = (upper(2.5, 900.0, 1e-6 / SHARES), upper(2.5, 900.0, 1e-6));
        assert!(shares > counts && shares < 1.1 * counts, "the price of shares is small");
    }

    /// What cannot be known is 1 above and 0 below: a bet against either wins nothing.
    #[test]
    fn nothing_known_bets_nothing() {
        let unknown = [
            (0.0, 0.0, 0.05),
            (0.0, 10.0, 0.0),
            (0.0, 10.0, f64::NAN),
            (f64::NAN, 10.0, 0.05),
            (-1.0, 10.0, 0.05),
            (11.0, 10.0, 0.05),
            (1.0, f64::INFINITY, 0.05),
            (1.0, f64::NAN, 0.05),
            (1.0, 10.0, 1.0),
        ];
        for (hits, trials, delta) in unknown {
            assert!(upper(hits, trials, delta) >= 1.0, "{hits} {trials} {delta}");
            assert!(lower(hits, trials, delta) <= 0.0, "{hits} {trials} {delta}");
        }
        assert!(upper(5.0, 5.0, 0.05) >= 1.0);
        assert!(lower(0.0, 5.0, 0.05) <= 0.0);
    }
}
