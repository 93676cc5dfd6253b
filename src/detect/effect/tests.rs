use std::sync::Arc;

use super::*;
use crate::detect::normal;
use crate::record::{BatchBuilder, Column, Kind, Record, Role, Schema};

/// One line of tests/reference/effects.jsonl: two samples of whole numbers and what others say.
#[derive(serde::Deserialize)]
struct Case {
    name: String,
    baseline: Vec<f64>,
    window: Vec<f64>,
    binned: Vec<(u64, u64)>,
    /// Absent where the reference has no value either.
    expected: BTreeMap<String, Option<f64>>,
}

fn histogram(values: &[f64]) -> Histogram {
    let mut histogram = Histogram::default();
    for value in values {
        histogram.add(*value);
    }
    histogram
}

fn measure(name: &str, pair: &Pair) -> Result<f64, NotMeasured> {
    EFFECTS.iter().find(|e| e.name() == name).unwrap().measure(pair)
}

/// Every value as it is, not by bins of a sketch.
fn exact(baseline: &[f64], window: &[f64]) -> Pair {
    let mut all: Vec<(f64, u64, u64)> = baseline.iter().map(|v| (*v, 1, 0)).collect();
    all.extend(window.iter().map(|v| (*v, 0, 1)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    Pair::Numbers(all)
}

/// Samples a and b of the golden values: quantiles of two normal distributions.
fn normal_samples() -> (Vec<f64>, Vec<f64>) {
    let quantiles = |n: u32| (1..=n).map(move |i| normal::quantile((f64::from(i) - 0.5) / f64::from(n)));
    (quantiles(1000).collect(), quantiles(800).map(|z| 0.3 + 1.2 * z).collect())
}

/// Agreement with scipy and numpy to 1e-9, relative above 1, where values have bins of their own; all
/// statistics are in the table, and where scipy has none we have none.
#[test]
fn agrees_with_scipy() {
    let cases: Vec<Case> = include_str!("../../../tests/reference/effects.jsonl")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert!(cases.len() >= 5, "the table is there");
    for case in cases {
        let pair = Pair::numbers(&histogram(&case.baseline), &histogram(&case.window));
        assert_eq!(pair.binned(), case.binned, "{}", case.name);
        for effect in EFFECTS {
            let (ours, expected) = (effect.measure(&pair), case.expected[effect.name()]);
            let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * if b.abs() > 1.0 { b.abs() } else { 1.0 };
            let agree = match (ours, expected) {
                (Ok(ours), Some(expected)) => close(ours, expected),
                (ours, expected) => ours.is_err() && expected.is_none(),
            };
            assert!(agree, "{} {}: {ours:?}, expected {expected:?}", case.name, effect.name());
        }
    }
}

/// The values that peers give for two samples of numbers (scipy 1.14 to 1.17), to 1e-6; PSI to 0.2 %, for its
/// deciles are values of the baseline and theirs lie between two. Through a sketch, whose bins are 0.8 % wide, to 2 %.
#[test]
fn agrees_with_peers_on_numbers() {
    let (a, b) = normal_samples();
    let (exact, sketched) = (exact(&a, &b), Pair::numbers(&histogram(&a), &histogram(&b)));
    for (name, expected) in [
        ("ks", 0.1285),
        ("wasserstein", 0.311_639_964_8),
        ("psi", 0.110_764_169_6),
        ("cramer_von_mises", 3.431_177_824),
        ("anderson_darling", 24.292_121_68),
        ("energy", 0.236_795_137_6),
    ] {
        for (pair, tolerance) in [(&exact, if name == "psi" { 2e-3 } else { 1e-6 }), (&sketched, 2e-2)] {
            let ours = measure(name, pair).unwrap();
            assert!((ours / expected - 1.0).abs() < tolerance, "{name}: {ours}, expected {expected}");
        }
    }
}

/// The values that peers give for two samples of words, to 1e-9: nannyml, alibi-detect and scipy; Evidently (KL,
/// PSI with a floor of 0.0001, Hellinger); Deepchecks (Cramer's V).
#[test]
fn agrees_with_peers_on_words() {
    let pair = Pair::Words([500, 300, 150, 50, 0, 0].into_iter().zip([380, 260, 180, 60, 20, 0]).collect());
    for (name, expected) in [
        ("chi_square", 37.698_412_7),
        ("g", 45.375_994_26),
        ("jensen_shannon", 0.130_392_387_9),
        ("hellinger", 0.123_286_543_1),
        ("total_variation", 0.088_888_888_89),
        ("kullback_leibler", 0.037_679_708_17),
        ("psi", 0.152_289_886_0),
        ("cramers_v", 0.130_551_292_5),
    ] {
        let ours = measure(name, &pair).unwrap();
        assert!((ours / expected - 1.0).abs() < 1e-9, "{name}: {ours}, expected {expected}");
    }
}

/// Identical samples are at distance 0, and an empty side at none: with its name, and not at 0.
#[test]
fn identical_is_zero_and_empty_is_unknown() {
    // Two statistics have no meaning without a second value, and one of them is 0 on average, not at least.
    let odd = ["anderson_darling", "cramers_v"];
    for values in [vec![0.0; 50], (0..50).map(f64::from).collect()] {
        let sketch = histogram(&values);
        let same = Pair::numbers(&sketch, &sketch);
        let (gone, unknown) =
            (Pair::numbers(&sketch, &histogram(&[])), Pair::numbers(&histogram(&[]), &sketch));
        for effect in EFFECTS {
            if !odd.contains(&effect.name()) {
                assert!(effect.measure(&same).unwrap().abs() < 1e-12, "{}", effect.name());
            }
            assert_eq!(effect.measure(&gone), Err(NotMeasured::WindowEmpty), "{}", effect.name());
            assert_eq!(effect.measure(&unknown), Err(NotMeasured::BaselineEmpty), "{}", effect.name());
        }
        let expected = if values[1] > 0.0 { Ok(()) } else { Err(NotMeasured::OneValue) };
        odd.iter().for_each(|name| assert_eq!(measure(name, &same).map(|_| ()), expected, "{name}"));
        let expected = if values[1] > 0.0 { Ok(0.0) } else { Err(NotMeasured::OneValue) };
        assert_eq!(measure("cramers_v", &same), expected);
    }
}

/// A column that never varied and now has another value is as far as can be, on every scale that ends at 1.
#[test]
fn another_constant_is_as_far_as_can_be() {
    let pair = Pair::numbers(&histogram(&[7.0; 100]), &histogram(&[9.0; 50]));
    for name in ["jensen_shannon", "hellinger", "total_variation", "ks", "cramers_v"] {
        let ours = measure(name, &pair).unwrap();
        assert!((ours - 1.0).abs() < 1e-9, "{name}: {ours}");
    }
}

/// Numbers alone have a distance of values; a single row has no rank; and each says so.
#[test]
fn what_is_not_defined_says_why() {
    let words = Pair::Words(vec![(3, 4), (5, 6)]);
    for name in ["ks", "wasserstein", "energy", "cramer_von_mises", "anderson_darling"] {
        assert_eq!(measure(name, &words), Err(NotMeasured::NotNumeric), "{name}");
    }
    let lone = exact(&[1.0], &[2.0]);
    for name in ["cramer_von_mises", "anderson_darling", "cramers_v"] {
        assert_eq!(measure(name, &lone), Err(NotMeasured::TooFewRows), "{name}");
    }
}

/// No statistic takes the square of the number of bins: as many as a sketch can have, and as many rows as a year
/// has, are measured at once.
#[test]
fn many_bins_and_rows_are_no_burden() {
    let value = |i: u32| (f64::from(i), u64::from(1_000 + i % 7), u64::from(1_000 + i % 5));
    let pair = Pair::Numbers((0..200_000).map(value).collect());
    for effect in EFFECTS {
        let size = effect.measure(&pair);
        assert!(size.is_ok_and(f64::is_finite), "{}: {size:?}", effect.name());
    }
}

/// Few are among the metrics, for each is a series a column; names are told apart.
#[test]
fn names_are_unique_and_metrics_few() {
    let names: std::collections::BTreeSet<_> = EFFECTS.iter().map(|e| e.name()).collect();
    assert_eq!(names.len(), EFFECTS.len());
    let shown: Vec<_> = names.into_iter().filter(|name| on_metrics(name)).collect();
    assert_eq!(shown, ["jensen_shannon", "ks", "psi", "wasserstein"]);
    assert!(!on_metrics("nobody"));
}

/// A profile of some rows, each with these features.
fn profile(columns: &[(&str, Kind)], features: &str) -> Profile {
    let plain = |(name, kind): &(&str, Kind)| Column::plain(name, Role::Input, *kind, Schema::REQUEST_GROUP);
    let schema = Arc::new(Schema::new("m".into(), None, columns.iter().map(plain).collect()).unwrap());
    let mut builder = BatchBuilder::new(Arc::clone(&schema));
    for second in 1..=60 {
        let line = format!(r#"{{"ts":{second}000,"model":"m","features":{features}}}"#);
        builder.push(&serde_json::from_str::<Record>(&line).unwrap());
    }
    let mut profile = Profile::new(schema);
    profile.observe(&builder.finish().unwrap().0).unwrap();
    profile
}

/// What a window does not know is absent in each statistic, with its reason: a column all null, of another kind,
/// of free text or not there at all; what it does know has a value and no reason.
#[test]
fn what_is_not_known_is_absent_with_a_reason() {
    let (number, word, text) = (Kind::Numeric, Kind::Categorical, Kind::Text);
    let columns = [("lost", number), ("other", number), ("said", text), ("gone", number), ("known", word)];
    let reference = profile(&columns, r#"{"lost":3,"other":1,"said":"x","gone":2,"known":"a"}"#);
    let columns = [("lost", number), ("other", word), ("said", text), ("known", word)];
    let window = profile(&columns, r#"{"lost":null,"other":"b","said":"x","known":"c"}"#);
    let sizes = effect_sizes(&reference, &window);
    assert_eq!(sizes.len(), 5 * EFFECTS.len());
    for size in &sizes {
        let expected = match size.column.as_str() {
            "lost" => Some(NotMeasured::WindowEmpty),
            "other" => Some(NotMeasured::KindsDiffer),
            "said" => Some(NotMeasured::FreeText),
            "gone" => Some(NotMeasured::NoColumn),
            _ => size.value.is_none().then_some(NotMeasured::NotNumeric),
        };
        assert_eq!((size.unknown, size.value.is_none()), (expected, expected.is_some()), "{size:?}");
    }
    let known = sizes.iter().find(|s| s.column == "known" && s.statistic == "total_variation");
    assert_eq!(known.unwrap().value, Some(1.0));
    assert_eq!(serde_json::to_value(&sizes[0]).unwrap()["unknown"], "window_empty");
}
