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

/// One line of tests/reference/peers.jsonl: what one library says of two samples.
#[derive(serde::Deserialize)]
struct Peer {
    case: String,
    statistic: String,
    by: String,
    value: f64,
    #[serde(default)]
    baseline: Vec<u64>,
    #[serde(default)]
    window: Vec<u64>,
}

/// Those of one case; alibi-detect computes in single precision.
fn peers(case: &str) -> Vec<Peer> {
    let lines = include_str!("../../../tests/reference/peers.jsonl").lines().filter(|l| !l.starts_with('#'));
    let all = lines.map(|l| serde_json::from_str::<Peer>(l).unwrap());
    let found: Vec<Peer> = all.filter(|p| p.case == case).collect();
    assert!(found.len() >= 7, "{case} is there");
    found
}

/// The values that the libraries give for two samples of numbers, to 1e-6; PSI to 0.2 %, for its deciles are values of
/// the baseline and theirs lie between two. Through a sketch, whose bins are 0.8 % wide, to 2 %.
#[test]
fn agrees_with_peers_on_numbers() {
    let (a, b) = normal_samples();
    let (exact, sketched) = (exact(&a, &b), Pair::numbers(&histogram(&a), &histogram(&b)));
    for Peer { statistic, by, value, .. } in peers("numbers") {
        for (pair, tolerance) in [(&exact, if statistic == "psi" { 2e-3 } else { 1e-6 }), (&sketched, 2e-2)] {
            let ours = measure(&statistic, pair).unwrap();
            assert!((ours / value - 1.0).abs() < tolerance, "{statistic}: {ours}, {by} has {value}");
        }
    }
}

/// The values that the libraries give for two samples of words, to 1e-9 (1e-7 in single precision); but for Evidently's
/// floor where a share lies between 0 and 0.0001: PSI and KL are other numbers there, as their manual says.
#[test]
fn agrees_with_peers_on_words() {
    for case in ["words", "rare"] {
        for Peer { statistic, by, value, baseline, window, .. } in peers(case) {
            let pair = Pair::Words(baseline.into_iter().zip(window).collect());
            let ours = measure(&statistic, &pair).unwrap();
            let off = (ours / value - 1.0).abs();
            let told = format!("{case} {statistic}: {ours}, {by} has {value}");
            match (case, statistic.as_str(), by.as_str()) {
                ("rare", "psi" | "kullback_leibler", "evidently") => assert!(off > 0.05, "{told}"),
                // Deepchecks scales both sides to the smaller one in whole rows.
                ("rare", "cramers_v", _) => assert!(off < 0.05, "{told}"),
                (_, _, "alibi-detect") => assert!(off < 1e-7, "{told}"),
                _ => assert!(off < 1e-9, "{told}"),
            }
        }
    }
}

/// Words of one column, of as many as given, each row one of them by chance.
fn ids(words: u32, rows: u32, seed: u64) -> Vec<u32> {
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    (0..rows).map(|_| random.random_range(0..words)).collect()
}

fn categories(ids: &[u32]) -> Sketch {
    let mut categories = Categories::default();
    ids.iter().for_each(|id| categories.word(&format!("w{id}")));
    Sketch::Categories(categories)
}

/// A word that never came, and that is known or not known not to have come.
fn absent(sketch: &Sketch, is_known: bool) -> u32 {
    let Sketch::Categories(kept) = sketch else { panic!("words") };
    (20_000..).find(|id| (kept.known_count_of(&format!("w{id}")) == Some(0)) == is_known).unwrap()
}

/// A column of more words than a sketch keeps: what the baseline may have among its others is no news in a window that
/// has room for it, and what is known to be new is.
#[test]
fn words_beyond_the_sketch_are_no_change() {
    let baseline = categories(&ids(5_000, 50_000, 1));
    let same = ids(5_000, 500, 2);
    assert_eq!(Pair::of(&baseline, &categories(&same)), Err(NotMeasured::TooManyWords));
    let stuck = |at: u32| -> Sketch {
        categories(&same.iter().map(|id| if id % 2 == 0 { at } else { *id }).collect::<Vec<u32>>())
    };
    let other = stuck(absent(&baseline, false));
    assert_eq!(Pair::of(&baseline, &other), Err(NotMeasured::TooManyWords));
    let pair = Pair::of(&baseline, &stuck(absent(&baseline, true))).unwrap();
    assert!((measure("total_variation", &pair).unwrap() - 0.5).abs() < 0.06, "{pair:?}");
    // Half of the rows have one of ten words, and the other half one of five thousand.
    let mixed = |rows: u32, seed: u64| -> Vec<u32> {
        ids(5_000, rows, seed).into_iter().map(|id| if id % 2 == 0 { 10_000 + id % 20 } else { id }).collect()
    };
    let (baseline, same) = (categories(&mixed(50_000, 3)), categories(&mixed(500, 4)));
    let pair = Pair::of(&baseline, &same).unwrap();
    for (name, most) in [("psi", 0.1), ("jensen_shannon", 0.12), ("total_variation", 0.12)] {
        let ours = measure(name, &pair).unwrap();
        assert!(ours > 0.0 && ours < most, "{name}: {ours}");
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
