use serde::{Deserialize, Serialize};

use super::ledger::Start;
use crate::units::{PerSecond, Timestamp, count};

/// A stream's rate may move within a quarter and four times the baseline's without being news.
const BAND: f64 = 4.0;
/// Traffic comes in clumps: counts are judged as if their variance were this many times Poisson's.
const DISPERSION: f64 = 4.0;
/// Factors by which a bet says that the rate has fallen or risen.
const FACTORS: [f64; 4] = [0.1, 0.5, 1.5, 3.0];
/// A silence longer than this is judged as this: the evidence is overwhelming long before.
const SILENCE_MAX_SECONDS: i64 = 600;
/// A second is closed by the clock only so long after its end, to let the tap deliver its rows.
const GRACE_SECONDS: i64 = 2;
/// Recovery is believed after a mean of at least this many seconds of a live fault.
const RECOVERY_SECONDS: f64 = 10_000.0;
/// Evidence is not counted beyond this.
const EVIDENCE_MAX: f64 = 1e150;

/// Rows a second against the baseline's rate: Shiryaev-Roberts bets on Poisson counts.
///
/// A bet on factor `c` below 1 has `e = c^(N/d) exp((1-c) L/d)`, at most 1 on average for every rate
/// of `L` or more; one above 1 the same at the upper end of the band. `d` is the dispersion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    expected: f64,
    weight: f64,
    /// By how much one second lengthens the run, in units of the budget.
    length: f64,
    /// The second in which the stream began: not whole, so never judged.
    partial: Option<i64>,
    second: Option<i64>,
    rows: u64,
    last_count: Option<u64>,
    bets: Vec<RateBet>,
    calm: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RateBet {
    factor: f64,
    value: f64,
    cusum: f64,
    start: Start,
}

impl Rate {
    /// Nothing when the expected rate is zero: there is no baseline to compare with.
    pub(super) fn new(expected: PerSecond, weight: f64, length: f64, start: Start) -> Option<Self> {
        let bet = |factor| RateBet { factor, value: 0.0, cusum: 0.0, start };
        (expected.get() > 0.0).then(|| Self {
            expected: expected.get(),
            weight,
            length,
            partial: None,
            second: None,
            rows: 0,
            last_count: None,
            bets: FACTORS.map(bet).to_vec(),
            calm: 0.0,
        })
    }

    pub(super) fn total(&self) -> f64 {
        let each = self.weight / count(FACTORS.len() as u64);
        self.bets.iter().map(|b| each * b.value).sum()
    }

    pub(super) fn reset(&mut self, start: Start) {
        self.calm = 0.0;
        for bet in &mut self.bets {
            *bet = RateBet { value: 0.0, cusum: 0.0, start, ..*bet };
        }
    }

    /// Begins again within a second: what came, or did not, while nobody looked is nobody's evidence.
    pub(super) const fn resume(&mut self) {
        self.partial = None;
        self.second = None;
        self.rows = 0;
    }

    /// A row came: closes the seconds before it. Answers whether any was closed.
    pub(super) fn observe(&mut self, row: u64, ts: Timestamp) -> bool {
        let second = second_of(ts);
        let closed = self.close_until(second, row);
        let partial = *self.partial.get_or_insert(second);
        self.second.get_or_insert(partial.saturating_add(1));
        if second > partial {
            self.rows += 1;
        }
        closed
    }

    /// Time passed: closes the seconds that can have no more rows. Answers whether any was closed.
    pub(super) fn advance(&mut self, row: u64, now: Timestamp) -> bool {
        self.close_until(second_of(now).saturating_sub(GRACE_SECONDS), row)
    }

    fn close_until(&mut self, second: i64, row: u64) -> bool {
        let Some(current) = self.second else { return false };
        if second <= current {
            return false;
        }
        let start = |s: i64| Start { row, judged: row, ts: Timestamp::from_millis(s.saturating_mul(1_000)) };
        self.step(self.rows, start(current));
        let silent = (second - current - 1).min(SILENCE_MAX_SECONDS);
        for i in 0..silent {
            self.step(0, start(current + 1 + i));
        }
        self.second = Some(second);
        self.rows = 0;
        true
    }

    /// One whole second with so many rows.
    fn step(&mut self, rows: u64, start: Start) {
        let scaled = count(rows) / DISPERSION;
        let (low, high) = (self.expected / BAND / DISPERSION, self.expected * BAND / DISPERSION);
        for bet in &mut self.bets {
            let limit = if bet.factor < 1.0 { low } else { high };
            let nats = scaled * bet.factor.ln() + (1.0 - bet.factor) * limit;
            let value = (bet.value + self.length) * nats.exp();
            bet.value = if value < EVIDENCE_MAX { value } else { EVIDENCE_MAX };
            if bet.cusum + nats <= 0.0 || bet.cusum <= 0.0 {
                bet.start = start;
                bet.cusum = 0.0;
            }
            bet.cusum = if bet.cusum + nats > 0.0 { bet.cusum + nats } else { 0.0 };
        }
        self.calm = self.calmed(scaled);
        self.last_count = Some(rows);
    }

    /// The test of recovery: evidence that the rate is neither half the lower end of the band or
    /// less, nor twice the upper end or more.
    fn calmed(&self, scaled: f64) -> f64 {
        let low = self.expected / BAND / 2.0 / DISPERSION;
        let high = self.expected * BAND * 2.0 / DISPERSION;
        let not_low = scaled * 2_f64.ln() - low;
        let not_high = scaled * 0.5_f64.ln() + 0.5 * high;
        let nats = if not_low < not_high { not_low } else { not_high };
        let value = (self.calm + 1.0) * nats.exp();
        if value < EVIDENCE_MAX { value } else { EVIDENCE_MAX }
    }

    pub(super) fn has_recovered(&self) -> bool {
        self.calm >= RECOVERY_SECONDS
    }

    /// Where the change began, by the most evident bet.
    pub(super) fn start(&self) -> Option<Start> {
        self.bets.iter().reduce(|a, b| if b.cusum > a.cusum { b } else { a }).map(|b| b.start)
    }

    /// The sentence for people.
    pub(super) fn message(&self, group: &str, since: Timestamp) -> String {
        let seen = self.last_count.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        format!(
            "`{group}`: {seen} rows a second since {since}; baseline {:.4} a second, allowed {:.4} to {:.4}",
            self.expected,
            self.expected / BAND,
            self.expected * BAND
        )
    }
}

fn second_of(ts: Timestamp) -> i64 {
    ts.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { row: 0, judged: 0, ts: Timestamp::from_millis(0) };

    fn fed(seconds: i64, rows_a_second: i64) -> Rate {
        let mut rate = Rate::new(PerSecond::of(100), 1.0, 1.0, START).unwrap();
        for s in 0..seconds {
            for i in 0..rows_a_second {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 1_000 / rows_a_second));
            }
        }
        rate
    }

    /// Traffic within the band is no evidence, silence and a flood are.
    #[test]
    fn silence_and_flood_are_seen() {
        for within in [30, 100, 390] {
            assert!(fed(60, within).total() < 1e3, "{within}");
        }
        assert!(fed(20, 2_000).total() > 1e9);
        let mut silent = fed(20, 100);
        assert!(silent.advance(0, Timestamp::from_millis(32_000)));
        assert!(silent.total() > 1e9, "{}", silent.total());
    }

    /// A silence does not recover by itself; the first healthy seconds after it do.
    #[test]
    fn recovery_needs_rows() {
        let mut rate = fed(5, 100);
        rate.advance(0, Timestamp::from_millis(60_000));
        assert!(!rate.has_recovered());
        for s in 60..66 {
            for i in 0..100 {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10));
            }
        }
        assert!(rate.has_recovered());
    }

    /// A rate of zero is no baseline.
    #[test]
    fn no_rate_no_bets() {
        assert!(Rate::new(PerSecond::of(0), 1.0, 1.0, START).is_none());
    }
}
