//! The three traps that measured false alarms led to, and steps of several rows: each promise is held with
//! what keeps it, and broken without.

use arrow::array::StringArray;

use super::*;
use crate::detect::scores;
use crate::detect::stream::{Source, Stream};

/// Rows of columns of numbers `a`, `b` …, drawn by `draw`, some of them in one request.
pub(super) struct Traffic {
    pub(super) columns: usize,
    /// Rows of one request, whose first column is one value; nothing for rows that nobody groups.
    pub(super) of: Option<usize>,
}

impl Traffic {
    pub(super) fn schema(&self) -> Arc<Schema> {
        let column = |i: usize| Column::plain(&format!("c{i}"), Role::Input, Kind::Numeric, &format!("g{i}"));
        Arc::new(Schema::new("m".into(), None, (0..self.columns).map(column).collect()).unwrap())
    }

    pub(super) fn batch(&self, rows: usize, mut draw: impl FnMut(usize, usize) -> f64) -> Batch {
        let column = |c: usize| (0..rows).map(|row| Some(draw(c, row))).collect::<Float64Array>();
        let cells = (0..self.columns).map(column).map(|v| Cells::new("c", Values::Number(v), None).unwrap());
        let cells: Vec<Cells> = cells.collect();
        let mut meta = Meta::of_times((0..rows as i64).map(|i| Timestamp::from_millis(10 * i)).collect());
        if let Some(of) = self.of {
            let ids: StringArray = (0..rows).map(|i| Some((i / of).to_string())).collect();
            meta = meta.with_request_ids(ids).unwrap();
        }
        Batch::new(self.schema(), cells, meta).unwrap()
    }

    pub(super) fn calibrate(&self, batch: &Batch) -> Calibration {
        Calibration::fit(batch, Season::none()).unwrap()
    }
}

/// Takes away what tempers evidence of rows that come in clumps: it hides a trap, and costs delay.
pub(super) fn untempered(calibration: &Calibration) -> Calibration {
    let streams = calibration.streams.iter().map(|s| Stream { clumping: 1.0, ..s.clone() }).collect();
    Calibration { streams, ..calibration.clone() }
}

pub(super) fn only(names: &[&str], budget: u64) -> Options {
    let without = KINDS.iter().map(|k| k.name()).filter(|n| !names.contains(n)).map(ToOwned::to_owned);
    Options { budget: Budget::Rows(budget), rate: PerSecond::of(0), without: without.collect() }
}

/// Alarms of fresh monitors over fresh batches.
pub(super) fn alarms(
    calibration: &Calibration,
    schema: &Arc<Schema>,
    options: &Options,
    fresh: &[Batch],
) -> usize {
    let raised = |batch: &Batch| {
        let mut monitor = Monitor::new(schema.clone(), calibration.clone(), options.clone()).unwrap();
        let mut findings = monitor.observe(batch);
        findings.extend(monitor.finish());
        let alarm = findings.iter().find_map(|f| if let Finding::Raised(a) = f { Some(a) } else { None });
        // Read when the test fails.
        alarm.iter().for_each(|a| println!("row {}: {} [{}]", a.row, a.message, a.detector));
        alarm.is_some()
    };
    fresh.iter().filter(|batch| raised(batch)).count()
}

/// A value that half of all rows have, and values that no other row has.
fn common(random: &mut StdRng) -> f64 {
    if random.random_bool(0.5) { 1.0 } else { 2.0 + random.random::<f64>() }
}

/// First trap: two bets on "as the row before" that share a row are not independent, for after a common
/// value a repeat is likelier. Pairs that share none are: rows that are independent are found so, and
/// untempered bets keep their budget.
#[test]
fn repeats_bet_on_pairs_that_share_no_row() {
    const ROWS: usize = 1_000;
    let traffic = Traffic { columns: 6, of: None };
    let mut random = StdRng::seed_from_u64(41);
    let mut draw = |rows: usize| traffic.batch(rows, |_, _| common(&mut random));
    let calibration = traffic.calibrate(&draw(20_000));
    let repeats: Vec<&Stream> =
        calibration.streams.iter().filter(|s| matches!(s.source, Source::Repeat { .. })).collect();
    assert_eq!(repeats.len(), 6);
    for stream in repeats {
        assert!(stream.clumping <= 1.0, "`{}` of independent rows: {}", stream.name, stream.clumping);
        // Half of 20,000 rows bet, and a fifth of these planned.
        let trials = stream.counts[0].trials_all;
        assert!((trials - 9_999.0).abs() <= 1.0, "{trials}");
    }
    let fresh: Vec<Batch> = (0..60).map(|_| draw(ROWS)).collect();
    let budget = 1_000;
    let found = alarms(&untempered(&calibration), &traffic.schema(), &only(&["stuck"], budget), &fresh);
    // 60 runs of as many rows as the budget: with limits in place of shares hardly one alarms, and on every
    // row more than 50 do.
    assert!(found <= 3, "{found} of {} runs", fresh.len());
}

/// Rows of few kinds, so that most are seen again within what is remembered.
fn few_kinds(random: &mut StdRng) -> f64 {
    (random.random::<f64>() * 3_000.0).floor()
}

/// Second trap: a memory that is still filling finds too few rows seen before. In the baseline it would make
/// them look rare, and after a start new ones common; so it says nothing until it is full, nobody calls that
/// quiet, and after a restart it is empty again.
#[test]
fn memories_are_silent_until_full() {
    const FULL: usize = 2_048;
    let traffic = Traffic { columns: 1, of: None };
    let mut random = StdRng::seed_from_u64(43);
    let mut draw = |rows: usize| traffic.batch(rows, |_, _| few_kinds(&mut random));
    let calibration = traffic.calibrate(&draw(6_000));
    let replay =
        calibration.streams.iter().find(|s| s.source == Source::Replay).expect("rows are remembered");
    let trials = replay.counts[0].trials_all;
    assert!((trials - (6_000 - FULL) as f64).abs() < 0.5, "only a full memory counts: {trials}");

    let options = only(&["replayed_rows"], 2_000);
    let fresh: Vec<Batch> = (0..40).map(|_| draw(4_000)).collect();
    let found = alarms(&untempered(&calibration), &traffic.schema(), &options, &fresh);
    assert!(found <= 3, "{found} of {} runs of two budgets each", fresh.len());

    let mut monitor = Monitor::new(traffic.schema(), calibration, options).unwrap();
    let state = |m: &Monitor| m.report().into_iter().find(|r| r.detector == "replayed_rows").unwrap().state;
    let filling = StreamState::Undecided(Undecided::Filling);
    let again = traffic.batch(FULL, |_, _| 5.0);
    assert_eq!(monitor.observe(&again), [], "not even of one row all over again");
    assert_eq!(state(&monitor), filling);
    monitor.observe(&draw(2_000));
    assert_ne!(state(&monitor), filling);
    let saved = monitor.save();
    monitor.restore(saved).unwrap();
    monitor.observe(&draw(100));
    assert_eq!(state(&monitor), filling, "what came while nobody looked is not remembered");
}

/// Third trap: a column of one value and hardly any other has a tilt that rests on a handful of rows. What
/// planning rows never had is left out of it by a weight of 1, and the limit of the rest knows how little
/// it has seen: no false alarm over many baselines.
#[test]
fn degenerate_tilts_keep_their_budget() {
    const ROWS: usize = 2_000;
    let traffic = Traffic { columns: 4, of: None };
    let (mut runs, mut found) = (0, 0);
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(100 + seed);
        // Three rows in a thousand are elsewhere, one of them far out where few planning rows were.
        let mut draw = |rows: usize| {
            traffic.batch(rows, |_, _| match random.random_range(0..2_000) {
                0 => 4.0 + random.random::<f64>(),
                1..=4 => 2.0 + random.random::<f64>(),
                _ => 1.0,
            })
        };
        let calibration = traffic.calibrate(&draw(3_000));
        // Relations count what lies beyond as what lies farthest out.
        let columns = |stream: &&Stream| !matches!(stream.source, Source::Joint { .. });
        for stream in calibration.streams.iter().filter(columns) {
            let Some(scores) = scores::of(stream) else { continue };
            for (bin, score) in scores.iter().enumerate() {
                let planned = stream.counts[0].hits_all[bin] - stream.counts[0].hits[bin];
                assert_eq!(score.is_some(), planned > 0.0, "{:?}", stream.bins[bin]);
            }
            let neutral = scores::weights(&scores, 1.0);
            assert!(neutral.iter().zip(&scores).all(|(w, z)| z.is_some() || (w - 1.0).abs() < 1e-12));
        }
        let fresh: Vec<Batch> = (0..5).map(|_| draw(ROWS)).collect();
        runs += fresh.len();
        let options = only(&["drift"], ROWS as u64);
        found += alarms(&untempered(&calibration), &traffic.schema(), &options, &fresh);
    }
    assert!(found <= 3, "{found} of {runs} runs of one budget each");
}

/// Requests of several rows that share an indicator of two requests in a hundred: as steps they keep the
/// budget, and the same rows taken for independent would break it.
#[test]
fn sessions_keep_the_budget_and_rows_would_not() {
    const STEPS: usize = 1_000;
    for of in [2, 5, 10] {
        let found = |grouped: bool| {
            let traffic = Traffic { columns: 2, of: grouped.then_some(of) };
            let mut random = StdRng::seed_from_u64(7 + of as u64);
            let mut draw = |steps: usize| {
                let shared: Vec<bool> = (0..steps).map(|_| random.random_bool(0.02)).collect();
                traffic.batch(steps * of, |column, row| match column {
                    0 => f64::from(u8::from(shared[row / of])),
                    _ => random.random(),
                })
            };
            let calibration = untempered(&traffic.calibrate(&draw(20_000 / of)));
            let fresh: Vec<Batch> = (0..20).map(|_| draw(STEPS)).collect();
            // As many requests as the budget in each run; rows are more of them.
            let budget = if grouped { STEPS } else { STEPS * of } as u64;
            let options = Options { without: BTreeSet::new(), ..only(&[], budget) };
            alarms(&calibration, &traffic.schema(), &options, &fresh)
        };
        let (steps, rows) = (found(true), found(false));
        println!("sessions of {of}: {steps} of 20 runs as steps, {rows} as rows");
        assert!(steps <= 2, "sessions of {of} rows: {steps} of 20 runs of one budget each");
        assert!(rows >= 10, "sessions of {of} rows taken for independent: only {rows} of 20 runs");
    }
}
