use std::time::Duration;

use crate::units::{Ratio, count, duration_text};

/// One service level.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// A name unique within a run.
    pub name: String,
    /// Whether the team had it before silentry: only these make a fault loud.
    pub ordinary: bool,
    /// What must hold.
    pub kind: Kind,
}

/// What must hold over a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A quantile of the latency; a request that failed counts with the time that it took.
    LatencyQuantile {
        /// 0.99 for p99; strictly between 0 and 1.
        quantile: Ratio,
        /// The most that it may be.
        at_most: Duration,
    },
    /// The share of requests without error.
    Success {
        /// 0.999 for 99.9 %.
        at_least: Ratio,
    },
}

/// Of `quantile * total` only what is above this counts: `0.99 * 100` must be 99, whatever the last bit says.
const ROUNDING: f64 = 1e-9;

impl Kind {
    /// The share of requests that have to be good.
    #[must_use]
    pub const fn good_share(&self) -> f64 {
        match self {
            Self::LatencyQuantile { quantile, .. } => quantile.get(),
            Self::Success { at_least } => at_least.get(),
        }
    }

    /// Whether `bad` of `total` requests leave the objective met; nothing when there were none.
    ///
    /// The quantile is the smallest value that `quantile` of the requests do not exceed, so it is
    /// within its target exactly when that many are: counted on the latencies themselves, free of the
    /// histogram's rounding.
    #[must_use]
    pub fn met(&self, bad: u64, total: u64) -> Option<bool> {
        let needed = (self.good_share() * count(total) - ROUNDING).ceil();
        (total > 0).then(|| count(total.saturating_sub(bad)) >= needed)
    }

    /// The share of the error budget of `total` requests that `bad` ones spent: 1 is all of it.
    ///
    /// Nothing without requests, or when the objective leaves no budget at all.
    #[must_use]
    pub fn budget_spent(&self, bad: u64, total: u64) -> Option<f64> {
        let budget = (1.0 - self.good_share()) * count(total);
        (budget > 0.0).then(|| count(bad) / budget)
    }

    /// The objective for people, such as `p99 <= 1s` and `success >= 99.9 %`.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::LatencyQuantile { quantile, at_most } => {
                format!("p{} <= {}", percent(*quantile), duration_text::text(*at_most))
            }
            Self::Success { at_least } => format!("success >= {} %", percent(*at_least)),
        }
    }
}

/// A share in hundredths without the noise of binary fractions.
fn percent(share: Ratio) -> String {
    let text = format!("{:.6}", share.get() * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(quantile: f64) -> Kind {
        let quantile = Ratio::new(quantile).unwrap();
        Kind::LatencyQuantile { quantile, at_most: Duration::from_secs(1) }
    }

    /// The border itself is met and one more is not; no request is no answer.
    #[test]
    fn met_at_the_border() {
        let success = Kind::Success { at_least: Ratio::new(0.999).unwrap() };
        for (kind, bad, total, met) in [
            (latency(0.99), 1, 100, Some(true)),
            (latency(0.99), 2, 100, Some(false)),
            (latency(0.07), 93, 100, Some(true)),
            (latency(0.99), 1, 50, Some(false)),
            (success, 1, 1_000, Some(true)),
            (success, 1, 999, Some(false)),
            (success, 0, 0, None),
        ] {
            assert_eq!(kind.met(bad, total), met, "{} with {bad} of {total}", kind.target());
        }
    }

    /// The budget counts from what the objective allows, and an objective without one has no share of it.
    #[test]
    fn budget() {
        assert!((latency(0.99).budget_spent(5, 1_000).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(latency(0.99).budget_spent(0, 0), None);
        assert_eq!(Kind::Success { at_least: Ratio::new(1.0).unwrap() }.budget_spent(1, 10), None);
    }

    /// Targets are read by people: no `p99.00000001`.
    #[test]
    fn targets() {
        assert_eq!(latency(0.999).target(), "p99.9 <= 1s");
        let success = Kind::Success { at_least: Ratio::new(0.9995).unwrap() };
        assert_eq!(success.target(), "success >= 99.95 %");
    }
}
