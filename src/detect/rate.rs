use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hours::Hours;
use super::normal;
use super::state::Start;
use crate::units::{PerSecond, Timestamp, count, whole};

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
/// A row that is further ahead leaps;
const LEAP_SECONDS: i64 = 10;
/// so many in a row are right.
const AHEAD_ROWS: u64 = 3;
/// So many late rows in a row are not late.
const LATE_ROWS: u64 = 1_000;
/// Recovery is believed after a mean of at least this many seconds of a live fault.
const RECOVERY_SECONDS: f64 = 10_000.0;
/// Calm is not counted beyond this: what was calm long ago must not hide a fault of now.
const CALM_MAX: f64 = 10.0 * RECOVERY_SECONDS;
/// Evidence is not counted beyond this.
const EVIDENCE_MAX: f64 = 1e150;
/// The chance, over baselines, that the rate of any hour lies outside its limits.
const WRONG_RATE: f64 = 0.05;
/// Where the baseline does not say how long it saw each hour: it has whole cycles, two at the least, and some
/// hours one time more, so the rate of an hour may be wrong by this factor.
const UNEVEN: f64 = 1.5;

/// Rows a second that health may have, in one second or in several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Band {
    expected: f64,
    low: f64,
    high: f64,
}

impl Band {
    /// Of the rate of the whole baseline.
    fn of(expected: f64) -> Self {
        Self { expected, low: expected / BAND, high: expected * BAND }
    }

    fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.low += other.low;
        self.high += other.high;
    }
}

/// The band of each stratum; nothing for those that the baseline never saw.
///
/// The rate of an hour is to that of the whole baseline as its part of the steps is to its part of the time.
/// The band goes from a quarter of its lower limit to four times its upper one.
pub(super) fn bands(expected: PerSecond, seen: &[u64], seconds: &[f64]) -> Vec<Option<Band>> {
    let expected = expected.get();
    if seen.len() < 2 {
        return vec![Some(Band::of(expected))];
    }
    let steps = count(seen.iter().sum());
    let strata = count(whole(seen.len()));
    let is_told = seconds.len() == seen.len();
    let (time, uneven) = if is_told { (seconds.iter().sum(), 1.0) } else { (strata, UNEVEN) };
    let of = |(stratum, seen): (usize, &u64)| {
        let seconds = seconds.get(stratum).copied().filter(|_| is_told).unwrap_or(1.0);
        let known = *seen > 0 && seconds > 0.0;
        let (low, high) = rate_limits(count(*seen), WRONG_RATE / (2.0 * strata));
        let rate = expected * time / (steps * seconds);
        known.then(|| Band {
            expected: rate * count(*seen),
            low: rate * low / BAND / uneven,
            high: rate * high * BAND * uneven,
        })
    };
    seen.iter().enumerate().map(of).collect()
}

/// Lower and upper limit of the mean of a count, each wrong with this chance: Garwood's, by the cube root
/// of Wilson and Hilferty (1931), of as many events as the dispersion leaves.
fn rate_limits(rows: f64, wrong: f64) -> (f64, f64) {
    let events = rows / DISPERSION;
    let limit = |events: f64, z: f64| {
        let root = 1.0 - 1.0 / (9.0 * events) + z / (3.0 * events.sqrt());
        if root > 0.0 { DISPERSION * events * root.powi(3) } else { 0.0 }
    };
    let z = -normal::quantile(wrong);
    (limit(events, -z), limit(events + 1.0, z))
}

/// Rows a second against the baseline's rate in that hour: Shiryaev-Roberts bets on Poisson counts.
///
/// A bet on factor `c` below 1 has `e = c^(N/d) exp((1-c) L/d)`, at most 1 on average for every rate
/// of `L` or more; one above 1 the same at the upper end of the band. `d` is the dispersion. A second in an
/// hour that the baseline never saw is no bet and lengthens nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    weight: f64,
    /// By stratum; told by the baseline, so not kept.
    #[serde(skip)]
    bands: Vec<Option<Band>>,
    /// Whether the budget is in rows: a second lengthens the run by the fewest rows that a healthy one may have,
    /// so that it is never made longer than it is; else by one second.
    #[serde(skip)]
    is_in_rows: bool,
    /// The band of the last second judged.
    last: Option<Band>,
    /// The last second lay in an hour that the baseline never saw.
    in_unseen_hour: bool,
    /// The next second to be closed.
    next: Option<i64>,
    /// Rows of seconds that are still open: a few, for the clock closes them.
    open: BTreeMap<i64, u64>,
    /// Late rows in a row.
    late: u64,
    /// Rows in a row that leap ahead.
    ahead: u64,
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
    /// Rows that health may have had since the start.
    allowed: Band,
}

impl RateBet {
    fn at_rest(factor: f64, start: Start) -> Self {
        Self { factor, value: 0.0, cusum: 0.0, start, rows: 0, seconds: 0, allowed: Band::default() }
    }
}

impl Rate {
    /// Nothing without a band: there is no baseline to compare with.
    pub(super) fn new(bands: Vec<Option<Band>>, weight: f64, is_in_rows: bool, start: Start) -> Option<Self> {
        let is_known = bands.iter().flatten().any(|band| band.expected > 0.0);
        is_known.then(|| Self {
            weight,
            last: bands.first().copied().flatten().filter(|_| bands.len() == 1),
            bands,
            is_in_rows,
            in_unseen_hour: false,
            next: None,
            open: BTreeMap::new(),
            late: 0,
            ahead: 0,
            judged: 0,
            bets: FACTORS.map(|factor| RateBet::at_rest(factor, start)).to_vec(),
            calm: 0.0,
        })
    }

    /// Goes on with the bands of another, after a restart.
    pub(super) fn follow(&mut self, other: Self) {
        self.bands = other.bands;
        self.is_in_rows = other.is_in_rows;
    }

    pub(super) fn total(&self) -> f64 {
        let each = self.weight / count(whole(FACTORS.len()));
        self.bets.iter().map(|b| each * b.value).sum()
    }

    pub(super) fn reset(&mut self, start: Start) {
        self.calm = 0.0;
        self.judged = 0;
        for bet in &mut self.bets {
            *bet = RateBet::at_rest(bet.factor, start);
        }
    }

    /// A row came: closes the seconds that can have no more. Answers whether any was closed.
    ///
    /// Rows are counted by their own second, so a tap that delivers in bursts is no flood; one that comes
    /// after its second was closed is late and no longer counts.
    pub(super) fn observe(&mut self, row: u64, ts: Timestamp, hours: &mut Hours) -> bool {
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
        // One wrong clock is no silence of all others: a leap is believed when further rows say the same.
        self.ahead = if second > next.saturating_add(LEAP_SECONDS) { self.ahead + 1 } else { 0 };
        if (1..AHEAD_ROWS).contains(&self.ahead) {
            return false;
        }
        self.close_until(second.saturating_sub(GRACE_SECONDS), row, hours)
    }

    /// Whether a row of this time closes a second, so that what came before must be judged first.
    pub(super) fn would_close(&self, ts: Timestamp) -> bool {
        let second = second_of(ts).saturating_sub(GRACE_SECONDS);
        self.next.is_some_and(|next| next < second) || self.late + 1 >= LATE_ROWS
    }

    /// Time passed: closes the seconds that can have no more rows. Answers whether any was closed.
    pub(super) fn advance(&mut self, row: u64, now: Timestamp, hours: &mut Hours) -> bool {
        self.close_until(second_of(now).saturating_sub(GRACE_SECONDS), row, hours)
    }

    /// Closes every second before `second`.
    fn close_until(&mut self, second: i64, row: u64, hours: &mut Hours) -> bool {
        let Some(next) = self.next.filter(|next| *next < second) else { return false };
        let last = second.min(next.saturating_add(SILENCE_MAX_SECONDS));
        for current in next..last {
            let rows = self.open.remove(&current).unwrap_or(0);
            let ts = Timestamp::from_millis(current.saturating_mul(1_000));
            let band = self.bands.get(hours.stratum(ts)).copied().flatten();
            self.in_unseen_hour = band.is_none();
            if let Some(band) = band {
                self.step(rows, band, Start { row, judged: row, ts });
            }
        }
        self.open = self.open.split_off(&second);
        self.next = Some(second);
        true
    }

    /// One whole second with so many rows.
    fn step(&mut self, rows: u64, band: Band, start: Start) {
        let scaled = count(rows) / DISPERSION;
        let (low, high) = (band.low / DISPERSION, band.high / DISPERSION);
        let length = self.length(band);
        for bet in &mut self.bets {
            let limit = if bet.factor < 1.0 { low } else { high };
            let nats = scaled * bet.factor.ln() + (1.0 - bet.factor) * limit;
            let value = (bet.value + length) * nats.exp();
            bet.value = if value < EVIDENCE_MAX { value } else { EVIDENCE_MAX };
            if bet.cusum + nats <= 0.0 || bet.cusum <= 0.0 {
                *bet = RateBet { value: bet.value, ..RateBet::at_rest(bet.factor, start) };
            }
            bet.rows += rows;
            bet.seconds += 1;
            bet.allowed.add(band);
            bet.cusum = if bet.cusum + nats > 0.0 { bet.cusum + nats } else { 0.0 };
        }
        self.calm = self.calmed(scaled, band);
        self.judged += 1;
        self.last = Some(band);
    }

    /// By how much a second lengthens the run, in units of the budget.
    const fn length(&self, band: Band) -> f64 {
        if self.is_in_rows { band.low } else { 1.0 }
    }

    /// The test of recovery: evidence that the rate is neither half the lower end of the band or
    /// less, nor twice the upper end or more.
    fn calmed(&self, scaled: f64, band: Band) -> f64 {
        let low = band.low / 2.0 / DISPERSION;
        let high = band.high * 2.0 / DISPERSION;
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

    /// Whole seconds until a complete silence alarms at this hour: fewer, and quiet means nothing.
    pub(super) fn seconds_needed(&self, threshold: f64) -> f64 {
        let Some(band) = self.last.filter(|band| band.low > 0.0) else { return f64::INFINITY };
        let nats = FACTORS.first().map_or(0.0, |factor| (1.0 - factor) * band.low / DISPERSION);
        let weight = self.weight / count(whole(FACTORS.len())) * self.length(band);
        (threshold / weight).ln() / nats
    }

    /// Whether the last second lay in an hour that the baseline never saw.
    pub(super) const fn in_unseen_hour(&self) -> bool {
        self.in_unseen_hour
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
        let worst = self.worst().filter(|b| b.seconds > 0);
        let seen = worst.map_or_else(
            || "unknown".to_owned(),
            |b| format!("{} rows in {} s, {:.4}", b.rows, b.seconds, count(b.rows) / count(b.seconds)),
        );
        let told = worst.filter(|b| b.allowed.expected > 0.0).map(|b| (b.allowed, count(b.seconds)));
        let (band, seconds) = told.or(self.last.map(|band| (band, 1.0))).unwrap_or((Band::of(0.0), 1.0));
        let [expected, low, high] = [band.expected, band.low, band.high].map(|rate| rate / seconds);
        format!(
            "`{group}`: {seen} a second since {since}; baseline {expected:.4} a second, allowed {low:.4} to {high:.4}"
        )
    }
}

fn second_of(ts: Timestamp) -> i64 {
    ts.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::super::hours::Season;
    use super::*;
    use crate::baseline::Seasonality;

    const START: Start = Start { row: 0, judged: 0, ts: Timestamp::from_millis(0) };

    fn hours() -> Hours {
        Hours::new(&Season::none()).unwrap()
    }

    fn by_day() -> Hours {
        Hours::new(&Season { seasonality: Seasonality::HourOfDay, zone: "UTC".to_owned() }).unwrap()
    }

    fn fed(seconds: i64, rows_a_second: i64) -> Rate {
        let bands = bands(PerSecond::of(100), &[1], &[]);
        let mut rate = Rate::new(bands, 1.0, false, START).unwrap();
        for s in 0..seconds {
            for i in 0..rows_a_second {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 1_000 / rows_a_second), &mut hours());
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
        assert!(silent.advance(0, Timestamp::from_millis(33_000), &mut hours()));
        assert!(silent.total() > 1e9, "{}", silent.total());
    }

    /// One row from the future is a wrong clock; three are a silence before them.
    #[test]
    fn one_clock_that_leaps_is_no_silence() {
        let mut rate = fed(20, 100);
        for s in 20..40 {
            rate.observe(0, Timestamp::from_millis(if s == 25 { 620_000 } else { s * 1_000 }), &mut hours());
            for i in 1..100 {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10), &mut hours());
            }
        }
        assert!(rate.total() < 1e3, "{}", rate.total());
        for i in 0..3 {
            rate.observe(0, Timestamp::from_millis(620_000 + i), &mut hours());
        }
        assert!(rate.total() > 1e9, "{}", rate.total());
    }

    /// A silence does not recover by itself, however long health lasted before it; the first healthy
    /// seconds after it do.
    #[test]
    fn recovery_needs_rows() {
        let mut rate = fed(60, 100);
        rate.advance(0, Timestamp::from_millis(64_000), &mut hours());
        rate.latch();
        for s in 64..120 {
            rate.advance(0, Timestamp::from_millis(s * 1_000), &mut hours());
            assert!(!rate.has_recovered(), "{s}");
        }
        for s in 120..130 {
            for i in 0..100 {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10), &mut hours());
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
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10 - apart), &mut hours());
            }
        }
        assert!(rate.total() < 1e3, "{}", rate.total());
    }

    /// One row from the next century does not blind it for long.
    #[test]
    fn a_wrong_future_heals() {
        let mut rate = fed(60, 100);
        rate.observe(0, Timestamp::from_millis(3_000_000_000_000), &mut hours());
        for s in 60..100 {
            for i in 0..100 {
                rate.observe(0, Timestamp::from_millis(s * 1_000 + i * 10), &mut hours());
            }
        }
        assert_eq!(rate.next, Some(96));
    }

    /// A restart is no silence: the downtime is nobody's second.
    #[test]
    fn a_restart_is_no_silence() {
        let mut rate = fed(60, 100);
        rate.resume();
        assert!(!rate.advance(0, Timestamp::from_millis(3_600_000), &mut hours()));
        assert!(!rate.observe(0, Timestamp::from_millis(3_600_500), &mut hours()));
        assert!(rate.total() < 1e3, "{}", rate.total());
    }

    /// A rate of zero is no baseline.
    #[test]
    fn no_rate_no_bets() {
        assert!(Rate::new(bands(PerSecond::of(0), &[1], &[]), 1.0, false, START).is_none());
    }

    /// Steps of a second in an hour of the day: a tenth as many at night.
    fn rows_at(second: i64) -> i64 {
        let night = second / 3_600 % 24 < 6;
        if night { i64::from(second % 10 == 0) } else { 1 }
    }

    /// What a recording from one second to another saw by hour, and how long.
    fn recorded(seconds: std::ops::Range<i64>) -> (PerSecond, Vec<u64>, Vec<f64>) {
        let (from, to) = (seconds.start * 1_000, seconds.end * 1_000);
        let (mut hours, mut seen) = (by_day(), vec![0; 24]);
        for second in seconds.clone() {
            let stratum = hours.stratum(Timestamp::from_millis(second * 1_000));
            seen[stratum] += u64::try_from(rows_at(second)).unwrap();
        }
        let rate = PerSecond::new(count(seen.iter().sum()) * 1_000.0 / (to - from) as f64).unwrap();
        (rate, seen, hours.seconds(Timestamp::from_millis(from), Timestamp::from_millis(to)))
    }

    /// The highest evidence of a day, with or without a silence of its third hour.
    fn day_of(bands: Vec<Option<Band>>, is_silent: bool) -> f64 {
        let mut rate = Rate::new(bands, 1.0, false, START).unwrap();
        let (mut hours, mut most) = (by_day(), 0.0);
        for second in 0..86_400 {
            let ts = Timestamp::from_millis(second * 1_000);
            let rows = if is_silent && (7_200..10_800).contains(&second) { 0 } else { rows_at(second) };
            for _ in 0..rows {
                rate.observe(0, ts, &mut hours);
            }
            rate.advance(0, ts, &mut hours);
            most = if rate.total() > most { rate.total() } else { most };
        }
        most
    }

    /// A quiet night is no silence, whether or not the recording began and ended at the same hour; a silence
    /// of the night is one. Without a season it alarms every night.
    #[test]
    fn nights_are_no_silence() {
        for seconds in [0..172_800, 30_000..30_000 + 240_000] {
            let (rate, seen, seconds) = recorded(seconds);
            assert!(day_of(bands(rate, &seen, &seconds), false) < 1e6);
            assert!(day_of(bands(rate, &seen, &seconds), true) > 1e7);
            assert!(day_of(bands(rate, &seen, &[]), false) < 1e6, "nobody counted the seconds");
            assert!(day_of(bands(rate, &[1], &[]), false) > 1e12, "one rate for all hours");
        }
    }

    /// The rate of an hour is what it was, however often the recording saw it.
    #[test]
    fn hours_have_their_own_rate() {
        let (rate, seen, seconds) = recorded(30_000..30_000 + 240_000);
        for (hour, band) in bands(rate, &seen, &seconds).into_iter().enumerate() {
            let (band, truth) = (band.unwrap(), if hour < 6 { 0.1 } else { 1.0 });
            assert!((band.expected / truth - 1.0).abs() < 0.01, "{hour}: {band:?}");
            assert!(band.low < truth / BAND && band.low > 0.6 * truth / BAND, "{hour}: {band:?}");
            assert!(band.high > truth * BAND && band.high < 1.6 * truth * BAND, "{hour}: {band:?}");
        }
        for (hour, band) in bands(rate, &seen, &[]).into_iter().enumerate() {
            let (band, truth) = (band.unwrap(), if hour < 6 { 0.1 } else { 1.0 });
            assert!(band.low < truth / BAND && band.high > truth * BAND, "{hour}: {band:?}");
        }
    }

    /// An hour that the baseline never saw is no bet; one with a few rows bets little.
    #[test]
    fn unseen_hours_bet_nothing() {
        let (rate, mut seen, mut seconds) = recorded(0..172_800);
        (seen[3], seconds[3], seen[4]) = (0, 0.0, 3);
        let bands = bands(rate, &seen, &seconds);
        assert!(bands[3].is_none() && bands[4].unwrap().low <= 0.0, "{:?}", bands[4]);
        let mut rate = Rate::new(bands, 1.0, false, START).unwrap();
        let (mut hours, start) = (by_day(), 3 * 3_600);
        rate.observe(0, Timestamp::from_millis(start * 1_000), &mut hours);
        for second in start..start + 3_000 {
            rate.advance(0, Timestamp::from_millis(second * 1_000), &mut hours);
        }
        assert!(rate.total() <= 0.0 && rate.in_unseen_hour() && rate.seconds_judged() == 0);
    }

    /// What another run of the program kept goes on with the bands of the baseline.
    #[test]
    fn kept_evidence_goes_on() {
        let rate = fed(60, 100);
        let mut kept: Rate = serde_json::from_value(serde_json::to_value(&rate).unwrap()).unwrap();
        kept.follow(fed(0, 100));
        assert_eq!(kept, rate);
    }
}
