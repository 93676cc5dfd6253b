use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::both;
use super::{Error, Kind, Objective, Phases, Report, Summary, Window};
use crate::units::{Ratio, Timestamp, count};

/// From a time on, up to but without another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first time in it.
    pub from: Timestamp,
    /// The first time after it.
    pub to: Timestamp,
}

impl Span {
    /// Whether a time is in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// Longer latencies count as this long.
const LATENCY_MAX: Duration = Duration::from_secs(120);
/// Significant digits of a percentile: at most 0.1 % too high.
const DIGITS: u8 = 3;
/// Windows kept: ten minutes of seconds. The oldest is forgotten, and a span that reaches into it says so.
const WINDOWS_MAX: usize = 600;
/// Phase changes kept; runs have a handful.
const CUTS_MAX: usize = 64;

type Latencies = Histogram<u32>;

/// Measures one objective in windows.
#[derive(Debug, Clone)]
pub struct Meter {
    objective: Objective,
    window: Duration,
    /// Shared with clones until they are written to, so that a clone to be summed up elsewhere is cheap.
    windows: BTreeMap<Timestamp, Arc<Tally>>,
    cuts: BTreeSet<Timestamp>,
    /// The newest start of a window that was forgotten.
    forgotten: Option<Timestamp>,
    /// The requests of forgotten windows, and those that came too late for one.
    lost: u64,
}

/// The requests of one window.
#[derive(Debug, Clone)]
struct Tally {
    latencies: Latencies,
    total: u64,
    over: u64,
    first_over: Option<Timestamp>,
}

impl Meter {
    /// The window of a meter that nobody chose another for.
    pub const WINDOW: Duration = Duration::from_secs(1);

    /// A meter without requests.
    ///
    /// # Errors
    /// [`Error::Window`] when the window is shorter than 1 ms.
    pub fn new(objective: Objective, window: Duration) -> Result<Self, Error> {
        if window < Duration::from_millis(1) {
            return Err(Error::Window { objective: objective.name, found: window });
        }
        let (windows, cuts) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { objective, window, windows, cuts, forgotten: None, lost: 0 })
    }

    /// What is measured.
    #[must_use]
    pub const fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Begins a new window at `at`, so that a span that starts or ends there is exact.
    ///
    /// Call it when a phase begins, or earlier. A request recorded before keeps its window. Without it
    /// a window belongs to the span in which it began.
    pub fn cut(&mut self, at: Timestamp) {
        self.cuts.insert(at);
        if self.cuts.len() > CUTS_MAX {
            self.cuts.pop_first();
        }
    }

    /// Counts a request by its intended start: how long it took from then, and whether it went well.
    ///
    /// One that was given up counts as failed, with the time that it was waited for.
    ///
    /// # Errors
    /// [`Error::Histogram`] when no histogram can be made.
    pub fn record(&mut self, at: Timestamp, latency: Duration, ok: bool) -> Result<(), Error> {
        let over = match self.objective.kind {
            Kind::LatencyQuantile { at_most, .. } => latency > at_most,
            Kind::Success { .. } => !ok,
        };
        self.count(at, Some(latency), over)
    }

    /// Counts a request of which only the end is known: it has no part in any percentile.
    ///
    /// One that failed is over every objective; one that went well says nothing of its latency.
    ///
    /// # Errors
    /// As [`Meter::record`].
    pub fn record_unmeasured(&mut self, at: Timestamp, ok: bool) -> Result<(), Error> {
        match self.objective.kind {
            Kind::LatencyQuantile { .. } if ok => Ok(()),
            Kind::LatencyQuantile { .. } | Kind::Success { .. } => self.count(at, None, !ok),
        }
    }

    fn count(&mut self, at: Timestamp, latency: Option<Duration>, over: bool) -> Result<(), Error> {
        let start = self.window_of(at);
        if self.forgotten.is_some_and(|newest| start <= newest) {
            self.lost += 1;
            return Ok(());
        }
        let tally = match self.windows.entry(start) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Arc::new(Tally::new(&self.objective.name)?))
            }
        };
        Arc::make_mut(tally).add(at, latency, over);
        if self.windows.len() > WINDOWS_MAX
            && let Some((oldest, tally)) = self.windows.pop_first()
        {
            self.forgotten = Some(oldest);
            self.lost += tally.total;
        }
        Ok(())
    }

    /// The objective over one span.
    ///
    /// # Errors
    /// [`Error::Histogram`] when windows cannot be merged.
    pub fn summary(&self, span: Span) -> Result<Summary, Error> {
        let kind = self.objective.kind;
        let mut merged = Tally::new(&self.objective.name)?;
        let mut worst: Option<Window> = None;
        let mut windows_over = 0;
        let mut first_breach = None;
        for (at, tally) in self.windows.range(span.from..).take_while(|(at, _)| span.contains(**at)) {
            merged.merge(tally).map_err(|e| histogram_error(&self.objective.name, &e))?;
            let window = tally.window(*at, kind);
            if worst.is_none_or(|w| worse(&window, &w, kind)) {
                worst = Some(window);
            }
            if kind.met(tally.over, tally.total) == Some(false) {
                windows_over += 1;
                first_breach = first_breach.or(tally.first_over);
            }
        }
        let complete = self.forgotten.is_none_or(|newest| newest < span.from);
        Ok(Summary {
            met: kind.met(merged.over, merged.total).filter(|_| complete),
            worst_window: worst,
            windows_over,
            first_breach,
            budget_spent: kind.budget_spent(merged.over, merged.total),
            ..merged.summary(kind)
        })
    }

    /// The objective over the phases of a run.
    ///
    /// # Errors
    /// Those of [`Meter::summary`].
    pub fn report(&self, phases: &Phases) -> Result<Report, Error> {
        let fault = self.summary(phases.fault)?;
        let whole = self.summary(phases.whole)?;
        Ok(Report {
            name: self.objective.name.clone(),
            ordinary: self.objective.ordinary,
            target: self.objective.kind.target(),
            met: both(fault.met, whole.met),
            steady: self.summary(phases.steady)?,
            fault,
            whole,
            lost: self.lost,
        })
    }

    /// The start of the window that a time belongs to: the grid's, or a later cut.
    fn window_of(&self, at: Timestamp) -> Timestamp {
        let length = i64::try_from(self.window.as_micros()).unwrap_or(i64::MAX);
        let grid = Timestamp::from_micros(at.as_micros().div_euclid(length).saturating_mul(length));
        self.cuts.range(..=at).next_back().map_or(grid, |cut| grid.max(*cut))
    }
}

impl Tally {
    fn new(objective: &str) -> Result<Self, Error> {
        let latencies = Latencies::new_with_max(micros(LATENCY_MAX), DIGITS)
            .map_err(|e| histogram_error(objective, &e))?;
        Ok(Self { latencies, total: 0, over: 0, first_over: None })
    }

    fn add(&mut self, at: Timestamp, latency: Option<Duration>, over: bool) {
        if let Some(latency) = latency {
            self.latencies.saturating_record(micros(latency).clamp(1, micros(LATENCY_MAX)));
        }
        self.total += 1;
        if over {
            self.over += 1;
            self.first_over = Some(self.first_over.map_or(at, |first| first.min(at)));
        }
    }

    fn merge(&mut self, other: &Self) -> Result<(), hdrhistogram::AdditionError> {
        self.latencies.add(&other.latencies)?;
        self.total += other.total;
        self.over += other.over;
        Ok(())
    }

    fn window(&self, at: Timestamp, kind: Kind) -> Window {
        let quantile_ms = match kind {
            Kind::LatencyQuantile { quantile, .. } => self.quantile_ms(quantile.get()),
            Kind::Success { .. } => None,
        };
        Window { at, total: self.total, over: self.over, quantile_ms }
    }

    /// What the merged requests say by themselves; the rest is the caller's.
    fn summary(&self, kind: Kind) -> Summary {
        let availability = match kind {
            Kind::LatencyQuantile { .. } => None,
            Kind::Success { .. } => Ratio::of(self.total.saturating_sub(self.over), self.total),
        };
        Summary {
            met: None,
            total: self.total,
            over: self.over,
            availability,
            p50_ms: self.quantile_ms(0.5),
            p99_ms: self.quantile_ms(0.99),
            p999_ms: self.quantile_ms(0.999),
            worst_window: None,
            windows_over: 0,
            first_breach: None,
            budget_spent: None,
        }
    }

    /// A quantile in milliseconds; nothing without a measured request.
    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.latencies.is_empty()).then(|| count(self.latencies.value_at_quantile(quantile)) / 1e3)
    }
}

/// Whether one window is worse than another: the later of two equals is not.
fn worse(a: &Window, b: &Window, kind: Kind) -> bool {
    match kind {
        Kind::LatencyQuantile { .. } => a.quantile_ms > b.quantile_ms,
        Kind::Success { .. } => Ratio::of(a.over, a.total) > Ratio::of(b.over, b.total),
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn histogram_error(objective: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::Histogram { objective: objective.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn span(from: i64, to: i64) -> Span {
        Span { from: ms(from), to: ms(to) }
    }

    fn latency_meter(quantile: f64, at_most_ms: u64) -> Meter {
        let quantile = Ratio::new(quantile).unwrap();
        let kind = Kind::LatencyQuantile { quantile, at_most: Duration::from_millis(at_most_ms) };
        Meter::new(Objective { name: "latency".into(), ordinary: true, kind }, Meter::WINDOW).unwrap()
    }

    fn success_meter() -> Meter {
        let kind = Kind::Success { at_least: Ratio::new(0.999).unwrap() };
        Meter::new(Objective { name: "success".into(), ordinary: true, kind }, Meter::WINDOW).unwrap()
    }

    /// The smallest value that so many of a thousand do not exceed, by sorting.
    fn exact(latencies: &[u64], per_mille: usize) -> u64 {
        let mut sorted = latencies.to_vec();
        sorted.sort_unstable();
        sorted[(per_mille * sorted.len()).div_ceil(1_000) - 1]
    }

    /// A failed request without a latency breaks success and latency alike; one that went well says
    /// nothing of latency; neither is a latency of 0.
    #[test]
    fn unmeasured_requests() {
        let (mut success, mut latency) = (success_meter(), latency_meter(0.99, 100));
        for meter in [&mut success, &mut latency] {
            for i in 0..20 {
                meter.record_unmeasured(ms(i), i % 2 == 0).unwrap();
            }
        }
        let (success, latency) =
            (success.summary(span(0, 1_000)).unwrap(), latency.summary(span(0, 1_000)).unwrap());
        assert_eq!((success.total, success.over, success.met, success.p99_ms), (20, 10, Some(false), None));
        assert_eq!((latency.total, latency.over, latency.met, latency.p99_ms), (10, 10, Some(false), None));
    }

    /// Merged percentiles over many windows agree with sorting all latencies, within three digits.
    #[test]
    fn percentiles_are_those_of_all_requests() {
        let mut meter = latency_meter(0.99, 1_000);
        let mut state = 7_u64;
        let latencies: Vec<u64> = (0..12_345)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let twenty_bits = state >> 44;
                200 + (twenty_bits.pow(3) >> 39)
            })
            .collect();
        for (at, micros) in (0..).step_by(10).zip(&latencies) {
            meter.record(ms(at), Duration::from_micros(*micros), true).unwrap();
        }
        let summary = meter.summary(span(0, 1_000_000)).unwrap();
        for (per_mille, found) in [(500, summary.p50_ms), (990, summary.p99_ms), (999, summary.p999_ms)] {
            let (expected, found) = (count(exact(&latencies, per_mille)) / 1e3, found.unwrap());
            assert!((found / expected - 1.0).abs() <= 1e-3, "{per_mille} of 1000: {found} for {expected}");
        }
        assert_eq!(summary.total, 12_345);
        let over = latencies.iter().filter(|l| **l > 1_000_000).count();
        assert!(over > 100);
        assert_eq!(usize::try_from(summary.over).unwrap(), over);
    }

    /// A short stall in little traffic: the merged p99 hides it, the worst window shows it and when.
    #[test]
    fn the_worst_window_shows_what_merging_hides() {
        let mut meter = latency_meter(0.99, 100);
        for i in 0..11_000 {
            meter.record(ms(i), Duration::from_millis(5), true).unwrap();
        }
        for i in 0..50 {
            meter.record(ms(11_000 + i), Duration::from_millis(800), true).unwrap();
        }
        let summary = meter.summary(span(0, 12_000)).unwrap();
        assert!(summary.p99_ms.unwrap() < 5.1);
        assert_eq!(summary.met, Some(true));
        assert_eq!((summary.windows_over, summary.over), (1, 50));
        assert_eq!(summary.first_breach, Some(ms(11_000)));
        let worst = summary.worst_window.unwrap();
        assert_eq!((worst.at, worst.total), (ms(11_000), 50));
        assert!((worst.quantile_ms.unwrap() / 800.0 - 1.0).abs() < 1e-3);
    }

    /// A cut separates phases within a window: a failure after it never breaks the phase before it.
    #[test]
    fn cuts_make_spans_exact() {
        let mut meter = success_meter();
        meter.cut(ms(10_300));
        for i in 0..200 {
            let at = ms(10_000 + i * 5);
            meter.record(at, Duration::from_millis(5), at < ms(10_300)).unwrap();
        }
        let before = meter.summary(span(9_000, 10_300)).unwrap();
        let after = meter.summary(span(10_300, 20_000)).unwrap();
        assert_eq!((before.total, before.over, before.met), (60, 0, Some(true)));
        assert_eq!((after.total, after.over, after.met), (140, 140, Some(false)));
        assert_eq!(after.availability, Ratio::new(0.0).ok());
        assert_eq!(after.first_breach, Some(ms(10_300)));
    }

    /// The requests of a breached fault window are enough, whatever the whole run says.
    #[test]
    fn the_fault_window_breaks_the_objective_alone() {
        let mut meter = latency_meter(0.99, 100);
        for i in 0..10_000 {
            let slow = (5_000..5_050).contains(&i);
            let latency = Duration::from_millis(if slow { 500 } else { 5 });
            meter.record(ms(i), latency, true).unwrap();
        }
        let phases = Phases { steady: span(0, 5_000), fault: span(5_000, 6_000), whole: span(0, 10_000) };
        let report = meter.report(&phases).unwrap();
        let met = (report.steady.met, report.fault.met, report.whole.met, report.met);
        assert_eq!(met, (Some(true), Some(false), Some(true), Some(false)));
    }

    /// No request is no answer, in any span; neither is a span whose windows were forgotten.
    #[test]
    fn no_data_is_never_met() {
        let mut meter = success_meter();
        let empty = meter.summary(span(0, 1_000)).unwrap();
        assert_eq!(
            (empty.met, empty.p50_ms, empty.availability, empty.worst_window),
            (None, None, None, None)
        );
        for second in 0..700 {
            meter.record(ms(second * 1_000), Duration::from_millis(1), true).unwrap();
        }
        assert_eq!(meter.summary(span(0, 700_000)).unwrap().met, None);
        assert_eq!(meter.summary(span(200_000, 700_000)).unwrap().met, Some(true));
        meter.record(ms(0), Duration::from_millis(1), false).unwrap();
        let phases = Phases { steady: span(0, 9_000), fault: span(9_000, 700_000), whole: span(0, 700_000) };
        let report = meter.report(&phases).unwrap();
        assert_eq!((report.whole.total, report.lost, report.met), (600, 101, None));
    }

    /// A latency beyond the range is the longest that can be told, and over the objective all the same.
    #[test]
    fn latencies_saturate() {
        let mut meter = latency_meter(0.99, 60_000);
        meter.record(ms(0), Duration::MAX, true).unwrap();
        let summary = meter.summary(span(0, 1)).unwrap();
        assert_eq!((summary.over, summary.met), (1, Some(false)));
        assert!((summary.p50_ms.unwrap() / 120_000.0 - 1.0).abs() < 1e-3);
    }
}
