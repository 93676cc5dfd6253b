//! The check as a whole, on rows made here.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Float64Array, StringArray};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Bootstrap, Recording, RunLength};
use crate::baseline::Budget;
use crate::detect::{Calibration, Error, Monitor, Options, Promise, Season, normal};
use crate::record::{Batch, Cells, Column, Kind, Meta, Role, Schema, Values};
use crate::units::{PerSecond, Timestamp};

const HOW: Bootstrap =
    Bootstrap { wanted: 1e5, rate: PerSecond::of(100), rows_max: 60_000, bins_max: u64::MAX, seed: 1 };

fn schema() -> Arc<Schema> {
    let column = |name: &str, role, group: &str| Column::plain(name, role, Kind::Numeric, group);
    let columns =
        vec![column("a", Role::Input, "g"), column("b", Role::Input, "g"), column("y", Role::Output, "o")];
    Arc::new(Schema::new("m".into(), None, columns).unwrap())
}

/// Rows of three columns, each of which remembers its last value with this correlation; requests of `of` rows.
fn rows(n: usize, rho: f64, of: usize) -> Batch {
    let mut random = StdRng::seed_from_u64(11);
    let mut column = || {
        let mut value = normal::quantile(random.random());
        let next = |_| {
            value = rho * value + (1.0 - rho * rho).sqrt() * normal::quantile(random.random());
            Some(value)
        };
        Cells::new("c", Values::Number((0..n).map(next).collect::<Float64Array>()), None).unwrap()
    };
    let columns = vec![column(), column(), column()];
    let times = (0..n).map(|i| Timestamp::from_millis(10 * i as i64)).collect();
    let ids: StringArray = (0..n).map(|i| Some(format!("r{}", i / of))).collect();
    Batch::new(schema(), columns, Meta::of_times(times).with_request_ids(ids).unwrap()).unwrap()
}

fn calibrated(batch: &Batch) -> Calibration {
    Calibration::fit(batch, Season::none()).unwrap()
}

fn checked(batch: &Batch, calibration: Calibration, how: &Bootstrap) -> Result<Calibration, Error> {
    let mut recording = Recording::new(schema(), calibration, batch.len() as u64);
    recording.observe(batch);
    recording.check(how, &|_, _| {})
}

/// The same, as if each row were news.
fn untempered(mut calibration: Calibration) -> Calibration {
    calibration.streams.iter_mut().for_each(|s| s.clumping = 1.0);
    calibration
}

/// Independent rows, each of which comes again at once with this chance.
fn again(n: usize, chance: f64) -> Batch {
    let mut random = StdRng::seed_from_u64(12);
    let mut cells: [Vec<f64>; 3] = Default::default();
    for _ in 0..n {
        let repeats = random.random_bool(chance);
        for column in &mut cells {
            let last = column.last().copied().filter(|_| repeats);
            column.push(last.unwrap_or_else(|| normal::quantile(random.random())));
        }
    }
    let columns = cells.map(|c| Cells::new("c", Values::Number(c.into()), None).unwrap());
    let times = (0..n).map(|i| Timestamp::from_millis(10 * i as i64)).collect();
    Batch::new(schema(), columns.into(), Meta::of_times(times)).unwrap()
}

/// Independent rows are proven, with no factor.
#[test]
fn independent_rows_stay_proven() {
    let calibration = calibrated(&rows(20_000, 0.0, 1));
    assert!(calibration.promise() == Promise::Proven && calibration.threshold_factor() <= 1.0);
    let told = calibration.told_promise();
    assert!(told.starts_with("proven"), "{told}");
    let kept = serde_json::to_value(&calibration).unwrap();
    assert!(kept.get("threshold_factor").is_none() && kept.get("run_length").is_none());
}

/// Slow rows are calibrated: tempered evidence keeps the run length, and that was looked at.
#[test]
fn slow_rows_are_checked() {
    let batch = rows(20_000, 0.9, 1);
    let calibration = calibrated(&batch);
    let told = calibration.told_promise();
    assert!(told.starts_with("calibrated, not bootstrapped") && told.contains("no rows were kept"), "{told}");
    let checked = checked(&batch, calibration, &HOW).unwrap();
    assert_eq!(
        (checked.promise(), checked.run_length()),
        (Promise::Calibrated, RunLength::Measured { up_to: 300 })
    );
    assert!(checked.threshold_factor() <= 1.0, "not raised");
    let told = checked.told_promise();
    assert!(told.starts_with("calibrated: ") && told.contains("bootstrap up to 300 rows"), "{told}");
    let kept = Calibration::read(&serde_json::to_value(&checked).unwrap(), &schema()).unwrap();
    assert_eq!(kept, checked);
}

/// Without tempering rows that come twice alarm too early: the threshold is raised where the budget is
/// near what was measured, and a budget that is far is refused.
#[test]
fn a_threshold_is_raised_or_refused() {
    let batch = again(20_000, 0.3);
    let calibration = untempered(calibrated(&batch));
    let how = Bootstrap { wanted: 100.0, rows_max: 200_000, ..HOW };
    let raised = checked(&batch, calibration.clone(), &how).unwrap();
    let factor = raised.threshold_factor();
    assert!((10.0..100.0).contains(&factor), "{factor}");
    assert_eq!(raised.promise(), Promise::Calibrated);
    let told = raised.told_promise();
    assert!(told.contains(&format!("raised ×{factor:.1}")), "{told}");
    let options = Options { budget: Budget::Rows(100), rate: how.rate, without: BTreeSet::new() };
    let monitor = Monitor::new(schema(), raised, options).unwrap();
    assert!((monitor.threshold() / 100.0 - factor).abs() < 1e-9);
    let refused = checked(&batch, calibration, &Bootstrap { wanted: 2.6e8, ..how }).unwrap_err().to_string();
    assert!(refused.contains("threshold of 1000 rows") && refused.contains("expected 1000"), "{refused}");
}

/// The same seed draws the same rows; another one others.
#[test]
fn a_seed_decides() {
    let batch = rows(5_000, 0.9, 2);
    let calibration = calibrated(&batch);
    let counted = |seed| {
        let mut recording = Recording::new(schema(), calibration.clone(), batch.len() as u64);
        recording.observe(&batch);
        recording.count(100, &Bootstrap { seed, ..HOW }, &|_, _| {}).unwrap()
    };
    assert_eq!(counted(1), counted(1));
    assert_ne!(counted(1), counted(20));
}

/// Too few rows for two blocks are said to be too few.
#[test]
fn tiny_baselines_are_told() {
    for n in [100, 600] {
        let batch = rows(n, 0.98, 1);
        let checked = checked(&batch, calibrated(&batch), &HOW).unwrap();
        let RunLength::TooFewRows { found, expected } = checked.run_length() else { panic!("{checked:?}") };
        assert!(found == n as u64 && expected > found, "{found} {expected}");
        assert!(checked.threshold_factor() <= 1.0, "not raised");
    }
}

/// A replayed or duplicate row, an entity seen again: drawing rows twice trips none of what looks back.
#[test]
fn drawing_rows_again_is_no_fault() {
    // Fewer rows than the memory of replays: every row drawn was drawn lately.
    let batch = rows(1_500, 0.0, 1);
    let mut recording = Recording::new(schema(), calibrated(&batch), batch.len() as u64);
    recording.observe(&batch);
    let counted = recording.count(300, &HOW, &|_, _| {}).unwrap();
    assert!(counted.iter().all(|c| !c.is_short()), "{counted:?}");
}
