//! What is over, and what only seems to be.

use super::*;
use crate::baseline::Seasonality;
use crate::detect::Season;
use crate::detect::evidence::Suspicion;
use crate::detect::recovery::Badness;

/// One column of numbers around 5, and when they came.
fn batch_of(values: &[f64], first_second: usize, gap_ms: usize) -> Batch {
    let column = Column::plain("x", Role::Input, Kind::Numeric, "x");
    let schema = Arc::new(Schema::new("m".into(), None, vec![column]).unwrap());
    let cells = Cells::new("c", Values::Number(values.iter().copied().map(Some).collect()), None).unwrap();
    let at = |row: usize| Timestamp::from_millis((first_second * 1_000 + row * gap_ms) as i64);
    Batch::new(schema, vec![cells], Meta::of_times((0..values.len()).map(at).collect())).unwrap()
}

/// About normal.
fn normal(random: &mut StdRng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 1.0
}

fn monitor_of(baseline: &Batch, season: Season) -> Monitor {
    let schema = baseline.schema().clone();
    let fitted = Calibration::fit(baseline, season);
    Monitor::new(schema, fitted.unwrap(), options(month())).unwrap()
}

/// The rows of alarms and of their ends.
fn told(findings: &[Finding]) -> (Vec<u64>, Vec<u64>) {
    let raised = |f: &Finding| match f {
        Finding::Raised(alarm) if alarm.group == "x" => Some(alarm.row),
        _ => None,
    };
    let resolved = |f: &Finding| match f {
        Finding::Resolved { group, row, .. } if group == "x" => Some(*row),
        _ => None,
    };
    (findings.iter().filter_map(raised).collect(), findings.iter().filter_map(resolved).collect())
}

/// Rows that something happens to, judged by a baseline of 40,000.
fn after(rows: usize, mut change: impl FnMut(usize, f64, &mut StdRng) -> f64) -> (Vec<u64>, Vec<u64>) {
    let mut random = StdRng::seed_from_u64(17);
    let baseline: Vec<f64> = (0..40_000).map(|_| normal(&mut random)).collect();
    let mut monitor = monitor_of(&batch_of(&baseline, 0, 10), Season::none());
    let live: Vec<f64> = (0..rows)
        .map(|row| {
            let x = normal(&mut random);
            change(row, x, &mut random)
        })
        .collect();
    let findings = monitor.observe(&batch_of(&live, 400, 10));
    told(&findings)
}

/// A mean that moved by 0.15 standard deviations and stays there is one alarm for as long; back again, it is
/// over.
#[test]
fn a_small_drift_that_stays_does_not_resolve() {
    let (raised, resolved) =
        after(34_000, |row, x, _| if (1_000..24_000).contains(&row) { x + 0.15 } else { x });
    assert_eq!((raised.len(), resolved.len()), (1, 1), "{raised:?} {resolved:?}");
    assert!((24_000..30_000).contains(&resolved[0]), "{resolved:?}");
}

/// Zeros that are over do not end the alarm while what came with them lasts: a range that is lost, a lean. What
/// only followed from them costs a few hundred rows.
#[test]
fn what_outlasts_its_cause_does_not_resolve() {
    let run = |rest: fn(f64, f64) -> f64| {
        after(17_000, |row, x, random| {
            let is_zero = random.random_bool(0.3) && row < 3_000;
            let other = 4.5 + random.random::<f64>();
            match row {
                1_000.. if is_zero => 0.0,
                1_000..9_000 => rest(x, other),
                _ => x,
            }
        })
    };
    let (raised, resolved) = run(|x, _| x);
    assert_eq!((raised.len(), resolved.len()), (1, 1), "{raised:?} {resolved:?}");
    assert!((3_300..4_500).contains(&resolved[0]), "{resolved:?}");
    for rest in [|x: f64, other: f64| if x > 6.0 { other } else { x }, |x: f64, _: f64| x + 0.35] {
        let (raised, resolved) = run(rest);
        assert_eq!((raised.len(), resolved.len()), (1, 1), "{raised:?} {resolved:?}");
        assert!((9_300..17_000).contains(&resolved[0]), "{resolved:?}");
    }
}

/// Zeros in three rows of ten are a live fault by day, though six in ten are usual by night.
#[test]
fn what_is_usual_by_night_is_live_by_day() {
    const GAP_SECONDS: usize = 4;
    let mut random = StdRng::seed_from_u64(29);
    let mut day = |from_hour: usize, hours: usize, fault: std::ops::Range<usize>| -> Vec<f64> {
        let draw = |row: usize| {
            let hour = from_hour + row * GAP_SECONDS / 3_600;
            let usual = if hour % 24 < 6 { 0.6 } else { 0.001 };
            let is_zero = random.random_bool(if fault.contains(&hour) { 0.3 } else { usual });
            if is_zero { 0.0 } else { normal(&mut random) }
        };
        (0..hours * 3_600 / GAP_SECONDS).map(draw).collect()
    };
    let (baseline, live) = (day(0, 96, 0..0), day(106, 8, 107..112));
    let season = Season { seasonality: Seasonality::HourOfDay, zone: "UTC".to_owned() };
    let mut monitor = monitor_of(&batch_of(&baseline, 0, GAP_SECONDS * 1_000), season);
    let findings = monitor.observe(&batch_of(&live, 106 * 3_600, GAP_SECONDS * 1_000));
    let (raised, resolved) = told(&findings);
    assert_eq!((raised.len(), resolved.len()), (1, 1), "{raised:?} {resolved:?}");
    assert!((5_400..7_000).contains(&resolved[0]), "over in row 5,400: {resolved:?}");
}

/// What follows from zeros in a whole group, how many of its columns repeat among it, costs a few hundred rows
/// though it tells of every second row only, and changed but little.
#[test]
fn what_follows_in_a_group_is_not_waited_for_as_long() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    let mut all = rows(&mut random, 8_000);
    all.iter_mut().skip(1_000).take(3_000).step_by(3).for_each(zeros);
    let findings = run(&mut monitor, &all, 128);
    let Some(Finding::Resolved { row, .. }) = findings.last() else { panic!("resolved: {findings:?}") };
    assert!((4_500..5_200).contains(row), "{row}");
}

/// Hits are compared with the steps that a stream tells of, and never make more than all of them.
#[test]
fn hits_are_of_steps_that_tell() {
    let (mut monitor, mut random) = monitor(2_000, options(month()));
    run(&mut monitor, &rows(&mut random, 100), 100);
    let step = monitor.step(Timestamp::from_millis(1_000), 100);
    let badness = Badness { of_bins: vec![0.0, 1.0], healthy: vec![Some(0.1)], spread: 1.0 };
    let dose = |hits: u32, told: f64| {
        let suspicion = Suspicion { nats: 9.0, since: 1, hits: Some(hits), loss: None };
        monitor.dose_of_more(0, Some(suspicion), &badness, (step, told)).unwrap()
    };
    assert!((dose(25, 1.0) - 0.15 / 0.9).abs() < 1e-9, "{}", dose(25, 1.0));
    assert!((dose(25, 0.5) - 0.4 / 0.9).abs() < 1e-9, "{}", dose(25, 0.5));
    assert!((dose(25, 0.01) - 1.0).abs() < 1e-9, "{}", dose(25, 0.01));
}
