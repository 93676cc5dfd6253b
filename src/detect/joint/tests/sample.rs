//! Which rows relations are fitted to, and which are not counted because of them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::detect::bins::{Bin, Plan};
use crate::detect::joint::Sample;

/// The number of a stretch's first row, and of the row after it.
const fn rows_of(stretch: u64) -> std::ops::Range<u64> {
    stretch * 512..(stretch + 1) * 512
}

/// A long recording is sampled from end to end: of all stretches on offer those whose turn comes first, whole and in
/// order, word by word and number by number, and never more rows than there is room for.
#[test]
fn a_sample_is_spread_over_all_that_is_recorded() {
    let rows = 512 * 400;
    let word = |row: u64| format!("w{}", row / 512 % 50);
    let batch = table(
        vec![numbers((0..rows).map(|row| row as f64)), words((0..rows).map(word))],
        vec![numbers((0..rows).map(|row| 1.0 / (1.0 + row as f64)))],
    );
    let lanes = Lanes::halves();
    let (mut sample, mut most) = (Sample::new(batch.schema()), 0);
    for row in 0..rows {
        if let Some(stretch) = lanes.offers(row) {
            sample.observe(&batch, usize::try_from(row).unwrap(), stretch);
            most = most.max(sample.rows());
        }
    }
    assert!(most <= 20_000 && sample.rows() > 20_000 - 512, "{most} {}", sample.rows());
    let kept = sample.stretches();
    let expected: Vec<f64> = kept.iter().flat_map(|s| rows_of(*s)).map(|row| row as f64).collect();
    let plan = Plan::Numeric { default: None, atoms: Vec::new(), edges: Vec::new() };
    assert_eq!(sample.column(0, &plan).unwrap().numbers.unwrap(), expected, "whole stretches, in order");
    assert_eq!(sample.hours().len(), expected.len());
    let own: BTreeMap<String, usize> =
        (0..50).map(|i| (format!("w{i}"), usize::try_from(i).unwrap())).collect();
    let plan = Plan::Words { default: None, own: own.clone(), known: Vec::new() };
    let codes: Vec<u8> =
        kept.iter().flat_map(|s| rows_of(*s)).map(|row| 5 + u8::try_from(own[&word(row)]).unwrap()).collect();
    assert_eq!(sample.column(1, &plan).unwrap().codes, codes);

    let rank = |stretch: u64| lanes.offers(512 * stretch).map(|(_, rank)| rank);
    let of =
        |wanted: bool| (0..400).filter(|s| kept.contains(s) == wanted).filter_map(rank).collect::<Vec<_>>();
    assert!(of(true).into_iter().max() < of(false).into_iter().min(), "those whose turn comes first");
    for quarter in 0..4 {
        let of_quarter = sample.stretches().iter().filter(|s| **s / 100 == quarter).count();
        assert!((5..=15).contains(&of_quarter), "{quarter}: {of_quarter} of 39 stretches");
    }
}

/// Wide rows leave room for fewer of them: bytes are bounded, not only rows. A single stretch that is longer than
/// there is room for keeps its first rows.
#[test]
fn wide_rows_are_few() {
    let (width, rows) = (3_000, 2_048);
    let columns = (0..width).map(|i| Column::plain(&format!("f{i}"), Role::Input, Kind::Numeric, "store"));
    let schema = Arc::new(Schema::new("m".into(), None, columns.collect()).unwrap());
    let values: Float64Array = (0..rows).map(|row| Some(f64::from(row))).collect();
    let cells = |_| Cells::new("f", Values::Number(values.clone()), None).unwrap();
    let times = (0..rows).map(|i| Timestamp::from_millis(i64::from(i))).collect();
    let batch = Batch::new(schema, (0..width).map(cells).collect(), Meta::of_times(times)).unwrap();
    let mut sample = Sample::new(batch.schema());
    for row in 0..batch.len() {
        sample.observe(&batch, row, (0, 0));
        assert!(16 * width * sample.rows() <= 1 << 26, "{row}");
    }
    let plan = Plan::Numeric { default: None, atoms: Vec::new(), edges: Vec::new() };
    let kept = sample.column(width - 1, &plan).unwrap().numbers.unwrap();
    assert!(kept.len() == sample.rows() && kept.len() > 1_300, "{}", kept.len());
    assert!(kept.iter().zip(0..).all(|(value, row)| (value - f64::from(row)).abs() < 0.5), "the first rows");
}

/// 64 steps before a fitted stretch and 64 after it are as good as fitted, and no other one is.
#[test]
fn what_lies_beside_a_fitted_stretch_is_as_fitted() {
    let lanes = Lanes::Halves(Fitted::new(BTreeSet::from([0, 3, 5])));
    let as_fitted: Vec<u64> = (0..4_096).filter(|step| lanes.is_as_fitted(*step)).collect();
    let expected =
        (0..512 + 64).chain(3 * 512 - 64..4 * 512 + 64).chain(5 * 512 - 64..6 * 512 + 64).collect::<Vec<_>>();
    assert_eq!(as_fitted, expected);
}

/// Answers that are wrong only beside the stretches that were fitted reach no limit.
#[test]
fn rows_beside_a_fitted_stretch_are_not_counted() {
    let rows = 6_000;
    let lanes = Lanes::halves();
    let is_fitted = |row: u64| lanes.offers(row).is_some();
    let is_beside =
        |row: u64| !is_fitted(row) && (row.checked_sub(64).is_some_and(is_fitted) || is_fitted(row + 64));
    let mut recorded = world(150, rows);
    let beside = (0..rows).filter(|row| is_beside(*row as u64)).collect::<Vec<usize>>();
    assert!(beside.len() > 500, "{}", beside.len());
    for row in &beside {
        let answer = &mut recorded.answers[*row];
        *answer = if *answer > 0.5 { 0.0 } else { 1.0 };
    }
    let calibration = fitted(&recorded.batch());
    let is_size = |s: &&crate::detect::stream::Stream| {
        matches!(s.source, Source::Joint { scalar: Scalar::ResidualSize(_), .. })
    };
    let size = calibration.streams.iter().find(is_size).unwrap();
    let far = |hits: &[f64]| -> f64 {
        let of = |(bin, n): (&Bin, &f64)| matches!(bin, Bin::AboveRange | Bin::FarAbove).then_some(*n);
        size.bins.iter().zip(hits).filter_map(of).sum()
    };
    let counts = &size.counts[0];
    assert!(far(&counts.hits_all) > 0.9 * beside.len() as f64, "{:?}", counts.hits_all);
    assert!(far(&counts.hits) < 5.0 && counts.trials > 1_500.0, "{:?}", counts.hits);
}

/// Of so many columns that the sample has no room, the columns are named as the reason, and not the recording's length.
#[test]
fn a_sample_without_room_says_so() {
    let column = |n: usize| Column::plain(&format!("f{n}"), Role::Input, Kind::Numeric, "store");
    let fit = |columns: usize| {
        let schema = Schema::new("m".into(), None, (0..columns).map(column).collect()).unwrap();
        super::super::fit::fit(&Sample::new(&schema), &schema, &mut Vec::new(), 1).lacks.join("; ")
    };
    assert!(fit(5_000).contains("the columns are so many that only 838 rows are kept"), "{}", fit(5_000));
    assert!(fit(5).contains("0 rows to fit one to"), "{}", fit(5));
}
