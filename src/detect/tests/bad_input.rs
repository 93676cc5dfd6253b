//! What no baseline and no traffic should be, and sometimes is: each has a defined result.

use super::*;
use crate::baseline::Seasonality;
use crate::detect::Season;
use crate::detect::bins::Plan;
use crate::detect::stream::Source;

/// A table of numbers, column by column.
type Table = Vec<Vec<Option<f64>>>;

fn column(name: &str, kind: Kind, group: &str) -> Column {
    Column::plain(name, Role::Input, kind, group)
}

/// Columns of numbers in groups of their own, called alike.
fn numbers(names: &[&str]) -> Arc<Schema> {
    let columns = names.iter().map(|name| column(name, Kind::Numeric, name)).collect();
    Arc::new(Schema::new("m".into(), None, columns).unwrap())
}

fn batch_of(schema: &Arc<Schema>, values: Vec<Values>, times: Vec<Timestamp>) -> Batch {
    let cells = values.into_iter().map(|v| Cells::new("c", v, None).unwrap()).collect();
    Batch::new(schema.clone(), cells, Meta::of_times(times)).unwrap()
}

/// A row each ten milliseconds.
fn every_ten_ms(rows: usize) -> Vec<Timestamp> {
    (0..rows as i64).map(|i| Timestamp::from_millis(10 * i)).collect()
}

fn table(schema: &Arc<Schema>, table: Table) -> Batch {
    let rows = table[0].len();
    let values = table.into_iter().map(|c| Values::Number(c.into_iter().collect())).collect();
    batch_of(schema, values, every_ten_ms(rows))
}

/// A monitor of a baseline that was written to a file and read again.
fn watched(schema: &Arc<Schema>, batch: &Batch) -> Monitor {
    let calibration = Calibration::fit(batch, Season::none()).unwrap();
    let written = serde_json::to_string(&calibration).unwrap();
    let read = Calibration::read(&serde_json::from_str(&written).unwrap(), schema).unwrap();
    assert_eq!(read, calibration, "a file has no other numbers than those that were counted");
    Monitor::new(schema.clone(), read, options(month())).unwrap()
}

fn draws(seed: u64, rows: usize, mut draw: impl FnMut(&mut StdRng) -> f64) -> Vec<Option<f64>> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..rows).map(|_| Some(draw(&mut random))).collect()
}

/// Detector, group and row of the first alarm.
fn first(findings: &[Finding]) -> Option<(&str, &str, u64)> {
    findings.iter().find_map(|f| match f {
        Finding::Raised(a) => Some((a.detector.as_str(), a.group.as_str(), a.row)),
        _ => None,
    })
}

fn state(monitor: &Monitor, group: &str, detector: &str) -> Option<StreamState> {
    let found = monitor.report().into_iter().find(|r| r.group == group && r.detector == detector);
    found.map(|r| r.state)
}

/// Columns that never move are judged by what they have: the same again is quiet, anything else is news at
/// once, and that they stay is nothing that anybody watches for.
#[test]
fn constant_columns() {
    let schema = numbers(&["seven", "zero"]);
    let rows =
        |seven: f64, zero: f64| table(&schema, vec![vec![Some(seven); 5_000], vec![Some(zero); 5_000]]);
    let monitor = || watched(&schema, &rows(7.0, 0.0));
    let mut healthy = monitor();
    assert_eq!(healthy.observe(&rows(7.0, 0.0)), []);
    assert_eq!(state(&healthy, "seven", "zero_rate"), Some(StreamState::Quiet));
    assert_eq!(state(&healthy, "seven", "stuck"), None, "constant in health too: nobody watches for it");
    assert_eq!(state(&healthy, "zero", "zero_rate"), None, "zero in health too");
    for (seven, zero, expected) in [
        (0.0, 0.0, ("zero_rate", "seven")),
        (7.5, 0.0, ("out_of_range", "seven")),
        (-7.0, 0.0, ("out_of_range", "seven")),
        (7.0, 1.0, ("unseen", "zero")),
    ] {
        let findings = monitor().observe(&rows(seven, zero));
        let (detector, group, row) = first(&findings).expect("found");
        assert_eq!((detector, group), expected);
        assert!(row < 10, "{detector}: {row}");
    }
}

/// One row is no baseline, nor are ninety-nine; a batch without rows is no traffic.
#[test]
fn hardly_any_rows() {
    let mut random = StdRng::seed_from_u64(1);
    for n in [0, 1, 99] {
        let refused = calibrate(&rows(&mut random, n));
        let Err(Error::TooFewRows { rows, expected: 100 }) = refused else { panic!("{n}: {refused:?}") };
        assert_eq!(rows, n as u64);
    }
    assert_eq!(calibrate(&rows(&mut random, 100)).unwrap().rows(), 100);
    let (mut monitor, _) = monitor(200, options(month()));
    assert_eq!(monitor.observe(&batch(&schema(), &[], 0)), []);
    let nothing = StreamState::Undecided(Undecided::NoRows);
    assert!(monitor.report().iter().all(|r| r.state == nothing && r.of_threshold.is_none()));
    assert_eq!(monitor.observe(&batch(&schema(), &rows(&mut random, 1), 0)), []);
    let earned = monitor.report().into_iter().filter(|r| r.state == StreamState::Quiet);
    assert_eq!(earned.count(), 0, "one row is not enough to be quiet");
}

/// A column that the baseline has never seen a value of: null again is quiet, any value is news, and that it
/// becomes null is nothing that anybody watches for.
#[test]
fn all_null() {
    let schema = numbers(&["gone", "nan", "there"]);
    let rows = |seed, gone: Option<f64>, nan: f64| {
        let there = draws(seed, 5_000, |random| random.random());
        table(&schema, vec![vec![gone; 5_000], vec![Some(nan); 5_000], there])
    };
    let monitor = || watched(&schema, &rows(1, None, f64::NAN));
    let mut healthy = monitor();
    assert_eq!(healthy.observe(&rows(2, None, f64::NAN)), []);
    assert_eq!(state(&healthy, "gone", "null_rate"), None, "nobody watches for what health always has");
    assert_ne!(state(&healthy, "nan", "nan_rate"), Some(StreamState::Drifted));
    assert_eq!(state(&healthy, "there", "null_rate"), Some(StreamState::Quiet));
    for (gone, nan, expected) in [
        (Some(1.0), f64::NAN, ("unseen", "gone")),
        (Some(0.0), f64::NAN, ("zero_rate", "gone")),
        (None, 1.0, ("unseen", "nan")),
    ] {
        let findings = monitor().observe(&rows(3, gone, nan));
        assert_eq!(first(&findings).map(|(d, g, _)| (d, g)), Some(expected));
    }
}

/// Infinities and NaN of health are counted with it; more of them are found by name, whatever their share
/// of the baseline, and evidence stays a number.
#[test]
fn numbers_that_are_none() {
    let schema = numbers(&["dirty", "clean"]);
    let odd = |random: &mut StdRng| match random.random_range(0..100) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        _ => random.random(),
    };
    let rows = |seed, worse: Option<f64>| {
        let clean = draws(seed + 1, 20_000, |random| worse.unwrap_or_else(|| random.random()));
        let dirty = draws(seed, 20_000, |random| match worse {
            Some(worse) if random.random_bool(0.3) => worse,
            _ => odd(random),
        });
        table(&schema, vec![dirty, clean])
    };
    let monitor = || watched(&schema, &rows(1, None));
    let mut healthy = monitor();
    let fresh = rows(3, None);
    assert_eq!(healthy.observe(&fresh), []);
    assert_eq!(state(&healthy, "dirty", "nan_rate"), Some(StreamState::Quiet));
    for (worse, detector) in
        [(f64::NAN, "nan_rate"), (f64::INFINITY, "nan_rate"), (f64::NEG_INFINITY, "nan_rate")]
    {
        let mut monitor = monitor();
        let findings = monitor.observe(&rows(5, Some(worse)));
        let raised: BTreeSet<(&str, &str)> = findings
            .iter()
            .filter_map(|f| match f {
                Finding::Raised(a) => Some((a.detector.as_str(), a.group.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(raised, BTreeSet::from([(detector, "dirty"), (detector, "clean")]), "{worse}");
        assert!(monitor.report().iter().all(|r| r.of_threshold.is_none_or(f64::is_finite)));
    }
}

/// Numbers at both ends of what a double can hold: ranges and their margins stay finite, the baseline can be
/// written and read, and zeros among them are seen.
#[test]
fn the_ends_of_a_double() {
    let schema = numbers(&["huge", "both", "tiny", "edge"]);
    let tiny = f64::MIN_POSITIVE / 1e3;
    let rows = |seed: u64, zeros: bool| {
        let or_zero = |v: f64| if zeros { 0.0 } else { v };
        table(
            &schema,
            vec![
                draws(seed, 5_000, |random| or_zero(1e308 * (0.1 + 1.6 * random.random::<f64>()))),
                draws(seed + 1, 5_000, |random| or_zero(f64::MAX * (2.0 * random.random::<f64>() - 1.0))),
                draws(seed + 2, 5_000, |random| or_zero(tiny * (1.0 + random.random::<f64>()))),
                draws(seed + 3, 5_000, |random| if random.random_bool(0.5) { f64::MAX } else { f64::MIN }),
            ],
        )
    };
    let mut monitor = watched(&schema, &rows(1, false));
    assert_eq!(monitor.observe(&rows(11, false)), []);
    for group in ["huge", "both", "tiny"] {
        assert_eq!(state(&monitor, group, "zero_rate"), Some(StreamState::Quiet), "{group}");
    }
    let findings = watched(&schema, &rows(1, false)).observe(&rows(21, true));
    let zeroed: BTreeSet<&str> = findings
        .iter()
        .filter_map(|f| match f {
            Finding::Raised(a) if a.detector == "zero_rate" => Some(a.group.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(zeroed, BTreeSet::from(["huge", "both", "tiny"]), "{findings:?}");
}

/// Five thousand columns and few rows: evidence within its bytes, healthy rows quiet, a group that goes to
/// zero found by its own stream.
#[test]
fn five_thousand_columns() {
    const COLUMNS: usize = 5_000;
    let columns = (0..COLUMNS).map(|i| column(&format!("c{i}"), Kind::Numeric, "store")).collect();
    let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
    let rows = |seed, rows, dead: bool| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut column = || (0..rows).map(|_| Some(if dead { 0.0 } else { random.random() })).collect();
        table(&schema, (0..COLUMNS).map(|_| column()).collect::<Table>())
    };
    let calibration = Calibration::fit(&rows(1, 150, false), Season::none()).unwrap();
    let mut monitor = Monitor::new(schema.clone(), calibration, options(Budget::Rows(1_000))).unwrap();
    let (bytes, streams) = monitor.evidence_bytes();
    assert!(streams >= COLUMNS && bytes <= 2_048 * COLUMNS, "{bytes} bytes in {streams} streams");
    assert_eq!(monitor.observe(&rows(2, 50, false)), []);
    let findings = monitor.observe(&rows(3, 12, true));
    let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
    assert_eq!((alarm.detector.as_str(), alarm.features.len()), ("zero_group", COLUMNS));
}

/// A category with a new value in every row: what is planned is bounded, whatever comes; new values are no
/// news, because they are the rule; other faults are found.
#[test]
fn a_category_without_end() {
    let columns = vec![column("id", Kind::Categorical, "id"), column("n", Kind::Numeric, "n")];
    let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
    let rows = |from: u64, rows: usize, null_in: u64| {
        let words = (from..).take(rows).map(|i| (i % null_in > 0).then(|| format!("user-{i}")));
        let numbers = draws(from, rows, |random| random.random());
        let values = vec![Values::Text(words.collect()), Values::Number(numbers.into_iter().collect())];
        batch_of(&schema, values, every_ten_ms(rows))
    };
    let mut monitor = watched(&schema, &rows(1, 70_000, u64::MAX));
    let planned: Vec<usize> = monitor
        .calibration
        .streams
        .iter()
        .filter_map(|s| match &s.source {
            Source::Column { plan: Plan::Words { own, known, .. }, .. } => Some(own.len() + known.len()),
            _ => None,
        })
        .collect();
    assert_eq!(planned, [10_000], "of 14,000 that planning rows had");
    assert_eq!(monitor.observe(&rows(1_000_000, 20_000, u64::MAX)), []);
    assert_eq!(state(&monitor, "id", "unseen"), None, "nobody watches for what is the rule");
    let findings = monitor.observe(&rows(2_000_000, 1_000, 10));
    assert_eq!(first(&findings).map(|(d, g, _)| (d, g)), Some(("null_rate", "id")));
}

/// The first and the last moment there is, in any order, with strata by hour and without: no panic, no
/// alarm of a feature.
#[test]
fn times_at_the_ends() {
    for seasonality in [Seasonality::None, Seasonality::HourOfDay] {
        let schema = numbers(&["a", "b"]);
        let season = Season { seasonality, zone: "Europe/Berlin".to_owned() };
        let rows = |seed: u64, times: &dyn Fn(usize) -> Timestamp| {
            let values = [0, 1].map(|c| draws(seed + c, 4_800, |random| random.random()));
            let values = values.map(|v| Values::Number(v.into_iter().collect())).into();
            batch_of(&schema, values, (0..4_800).map(times).collect())
        };
        let minutes = |i: usize| Timestamp::from_millis(i as i64 * 60_000);
        let calibration = Calibration::fit(&rows(1, &minutes), season).unwrap();
        let mut monitor = Monitor::new(schema.clone(), calibration, options(month())).unwrap();
        let ends = [i64::MIN, i64::MAX, 0, i64::MIN, i64::MAX - 1, 1];
        let far = |i: usize| Timestamp::from_micros(ends[i % ends.len()]);
        let mut findings = monitor.observe(&rows(3, &far));
        findings.extend(monitor.advance(Timestamp::from_micros(i64::MAX)));
        findings.extend(monitor.advance(Timestamp::from_micros(i64::MIN)));
        let of_features = |f: &&Finding| !matches!(f, Finding::Raised(a) if a.group == "traffic");
        assert_eq!(findings.iter().find(of_features), None, "{seasonality:?}");
        assert_eq!(monitor.rows(), 4_800);
    }
}

/// Where the rows' time runs backwards or stands still, no time passes in which a budget of time could be
/// spent: nothing alarms, and nothing is called quiet for that.
#[test]
fn without_time_nothing_is_quiet() {
    let clocks: [fn(i64) -> i64; 2] = [|i| -10 * i, |_| 0];
    for clock in clocks {
        let (mut monitor, mut random) = monitor(20_000, options(month()));
        let plain = batch(&schema(), &rows(&mut random, 3_000), 0);
        let times = (0..3_000).map(|i| Timestamp::from_millis(clock(i))).collect();
        let backwards = Batch::new(schema(), plain.columns().to_vec(), Meta::of_times(times)).unwrap();
        assert_eq!(monitor.observe(&backwards), []);
        let quiet: Vec<_> = monitor.report().into_iter().filter(|r| r.state == StreamState::Quiet).collect();
        assert_eq!(quiet, []);
    }
}

/// Steps are counted modulo 2^32 where evidence is kept: a fault that begins before the count goes round and
/// alarms after it is dated as it is without.
#[test]
fn the_count_of_steps_goes_round() {
    const AROUND: u64 = 1 << 32;
    let told = |from: u64| {
        let (mut monitor, mut random) = monitor(20_000, options(month()));
        (monitor.state.judged, monitor.state.row, monitor.state.began) = (from, from, from);
        let mut all = rows(&mut random, 6_000);
        all.iter_mut().skip(2_010).take(1_000).step_by(5).for_each(zeros);
        let findings = run(&mut monitor, &all, 100);
        let rows = findings.iter().map(|f| match f {
            Finding::Raised(a) => (a.row - from, a.since_row - from, a.message.clone()),
            Finding::Fired { row, detector, .. } => (row - from, 0, detector.clone()),
            Finding::Resolved { row, group, .. } => (row - from, 0, group.clone()),
        });
        rows.collect::<Vec<_>>()
    };
    let expected = told(0);
    assert!(expected.len() > 1 && expected[0].0 > 2_016 && expected[0].1 == 2_010, "{expected:?}");
    // In step with the rows that are looked at after an alarm: one in 32.
    assert_eq!(told(AROUND - 2_016), expected);
}
