use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::Start;
use crate::units::{PerSecond, Timestamp, count};

/// A stream's rate may move within a quarter and four times the baseline's without being news.
pub(super) const BAND: f64 = 4.0;
/// Traffic comes in clumps: counts are judged as if their variance were this many times Poisson's.
const DISPERSION: f64 = 4.0;
/// Factors by which a bet says that the rate has fallen or risen.
const FACTORS: [f64; 4] = [0.1, 0.5, 1.5, 3.0];
/// A silence longer than this is judged as this: the evidence is overwhelming long before.
const SILENCE_MAX_SECONDS: i64 = 600;
/// A second is closed only so long after its end: senders' clocks differ, and taps deliver late.
const GRACE_SECONDS: i64 = 3;
/// So many late rows in a row are not late.
const LATE_ROWS: u64 = 1_000;
/// Recovery is believed after a mean of at least this many seconds of a live fault.
const RECOVERY_SECONDS: f64 = 10_000.0;
/// Calm is not counted beyond this: what was calm long ago must not hide a fault of now.
const CALM_MAX: f64 = 10.0 * RECOVERY_SECONDS;
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
    /// The next second to be closed.
    next: Option<i64>,
    /// Rows of seconds that are still open: a few, for the clock closes them.
    open: BTreeMap<i64, u64>,
    /// Late rows in a row.
    late: u64,
    /// Whole seconds judged since the evidence began.
    judged: u64,
    bets: Vec<RateBet>,
    calm: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RateBet {
    factor: f64,
    value: f64,
    cusum: f64,
    start: Start,
    /// Rows and seconds since the start.
    rows: u64,
    seconds: u64,
}

impl Rate {
    /// Nothing when the expected rate is zero: there is no baseline to compare with.
    pub(super) fn new(expected: PerSecond, weight: f64, length: f64, start: Start) -> Option<Self> {
        let bet = |factor| RateBet { factor, value: 0.0, cusum: 0.0, start, rows: 0, seconds: 0 };
        (expected.get() > 0.0).then(|| Self {
            expected: expected.get(),
            weight,
            length,
            next: None,
            open: BTreeMap::new(),
            late: 0,
            judged: 0,
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
        self.judged = 0;
        for bet in &mut self.bets {
            *bet = RateBet { value: 0.0, cusum: 0.0, start, rows: 0, seconds: 0, ..*bet };
        }
    }

    /// A row came: closes the seconds that can have no more. Answers whether any was closed.
    ///
    /// Rows are counted by their own second, so a tap that delivers in bursts is no flood; one that comes
    /// after its second was closed is late and no longer counts.
    pub(super) fn observe(&mut self, row: u64, ts: Timestamp) -> bool {
        let second = second_of(ts);
        // The second in which the stream began is not whole: it only sets the clock.
        let next = *self.next.get_or_insert(second.saturating_add(1));
        if second >= next {
            *self.open.entry(second).or_insert(0) += 1;
            self.late = 0;
        } else if second < next.saturating_sub(1) {
            self.late += 1;
        }
        if self.late >= LATE_ROWS {
            // So many cannot all be late: a clock had run ahead.
            self.resume();
            return false;
        }
        self.close_until(second.saturating_sub(GRACE_SECONDS), row)
    }

    /// Whether a row of this time closes a second, so that what came before must be judged first.
    pub(super) fn would_close(&self, ts: Timestamp) -> bool {
        let second = second_of(ts).saturating_sub(GRACE_SECONDS);
        self.next.is_some_and(|next| next < second) || self.late + 1 >= LATE_ROWS
    }

    /// Time passed: closes the seconds that can have no more rows. Answers whether any was closed.
    pub(super) fn advance(&mut self, row: u64, now: Timestamp) -> bool {
        self.close_until(second_of(now).saturating_sub(GRACE_SECONDS), row)
    }

    /// Closes every second before `second`.
    fn close_until(&mut self, second: i64, row: u64) -> bool {
        let Some(next) = self.next.filter(|next| *next < second) else { return false };
        let last = second.min(next.saturating_add(SILENCE_MAX_SECONDS));
        for current in next..last {
            let rows = self.open.remove(&current).unwrap_or(0);
            let ts = Timestamp::from_millis(current.saturating_mul(1_000));
            self.step(rows, Start { row, judged: row, ts });
        }
        self.open = self.open.split_off(&second);
        self.next = Some(second);
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
                (bet.rows, bet.seconds) = (0, 0);
            }
            bet.rows += rows;
            bet.seconds += 1;
            bet.cusum = if bet.cusum + nats > 0.0 { bet.cusum + nats } else { 0.0 };
        }
        self.calm = self.calmed(scaled);
        self.judged += 1;
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
        if value < CALM_MAX { value } else { CALM_MAX }
    }

    pub(super) fn has_recovered(&self) -> bool {
        self.calm >= RECOVERY_SECONDS
    }

    /// A fault was seen: the test of recovery begins.
    pub(super) const fn latch(&mut self) {
        self.calm = 0.0;
    }

    /// Goes on after a time of which nothing is known: the next second begins anew.
    pub(super) fn resume(&mut self) {
        self.next = None;
        self.open.clear();
        self.late = 0;
    }

    /// Whole seconds until a complete silence alarms: fewer, and quiet means nothing.
    pub(super) fn seconds_needed(&self, threshold: f64) -> f64 {
        let low = self.expected / BAND / DISPERSION;
        let nats = FACTORS.first().map_or(0.0, |factor| (1.0 - factor) * low);
        let weight = self.weight / count(FACTORS.len() as u64) * self.length;
        (threshold / weight).ln() / nats
    }

    pub(super) const fn seconds_judged(&self) -> u64 {
        self.judged
    }

    fn worst(&self) -> Option<&RateBet> {
        self.bets.iter().reduce(|a, b| if b.cusum > a.cusum { b } else { a })
    }

    /// Where the change began, by the most evident bet.
    pub(super) fn start(&self) -> Option<Start> {
        self.worst().map(|b| b.start)
    }

    /// The sentence for people.
    pub(super) fn message(&self, group: &str, since: Timestamp) -> String {
        let seen = self.worst().filter(|b| b.seconds > 0).map_or_else(
            || "unknown".to_owned(),
            |b| format!("{} rows in {} s, {:.4}", b.rows, b.seconds, count(b.rows) / count(b.seconds)),
        );
        format!(
            "`{group}`: {seen} a second since {since}; baseline {:.4} a second, allowed {:.4} to {:.4}",
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
        assert!(silent.advance(0, Timestamp::from_millis(33_000)));
        assert!(silent.total() > 1e9, "{}", silent.total());
    }

    /// A silence does not recover by itself, however long health lasted before it; the first healthy
    /// seconds after it do.
    #[test]
    fn recovery_needs_rows() {
        let mut rate = fed(60, 100);
        rate.advance(0, Timestamp::from_millis(64_000));
        rate.latch();
        for s in 64..120 {
            rate.advance(0, Timestamp::from_millis(s * 1_000));
            assert!(!rate.has_recovered(), "{s}");
        }
        for s in 120..130 {
            for i in 0..100 {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10));
            }
        }
        assert!(rate.has_recovered());
    }

    /// A tap that delivers a minute late and at once, or senders seconds apart, are no flood.
    #[test]
    fn bursts_and_clocks_apart_are_no_flood() {
        let mut rate = fed(60, 100);
        for s in 60..120 {
            for i in 0..100 {
                let apart = if i % 2 == 0 { 2_000 } else { 0 };
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10 - apart));
            }
        }
        assert!(rate.total() < 1e3, "{}", rate.total());
    }

    /// One row from the next century does not blind it for long.
    #[test]
    fn a_wrong_future_heals() {
        let mut rate = fed(60, 100);
        rate.observe(0, Timestamp::from_millis(3_000_000_000_000));
        for s in 60..100 {
            for i in 0..100 {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10));
            }
        }
        assert_eq!(rate.next, Some(96));
    }

    /// A restart is no silence: the downtime is nobody's second.
    #[test]
    fn a_restart_is_no_silence() {
        let mut rate = fed(60, 100);
        rate.resume();
        assert!(!rate.advance(0, Timestamp::from_millis(3_600_000)));
        assert!(!rate.observe(0, Timestamp::from_millis(3_600_500)));
        assert!(rate.total() < 1e3, "{}", rate.total());
    }

    /// A rate of zero is no baseline.
    #[test]
    fn no_rate_no_bets() {
        assert!(Rate::new(PerSecond::of(0), 1.0, 1.0, START).is_none());
    }
}
