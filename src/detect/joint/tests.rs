//! Relations on rows made here.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{Float64Array, StringArray};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Scalar;
use super::coherence::{Coherence, NoCoherence};
use super::sample::Sampled;
use super::surrogate::{NoSurrogate, Surrogate, Target};
use crate::baseline::Budget;
use crate::detect::lanes::{Fitted, Lanes};
use crate::detect::stream::{Role as StreamRole, Source};
use crate::detect::{Calibration, Error, Finding, Monitor, Options, Season, StreamState, Undecided, normal};
use crate::record::{Batch, Cells, Column, Kind, Meta, Role, Schema, Values};
use crate::units::{PerSecond, Timestamp};

mod bets;
mod designs;
mod groups;
mod harm;
mod recovery;
mod sample;

/// Columns of numbers and of words.
enum Of {
    Numbers(Vec<Option<f64>>),
    Words(Vec<Option<String>>),
}

fn numbers(values: impl IntoIterator<Item = f64>) -> Of {
    Of::Numbers(values.into_iter().map(Some).collect())
}

fn words<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Of {
    Of::Words(values.into_iter().map(|v| Some(v.into())).collect())
}

/// Rows, ten a second, of features named `f0`, `f1` … and answers named `y0`, `y1` ….
fn table(features: Vec<Of>, answers: Vec<Of>) -> Batch {
    table_every(100, 0, features, answers)
}

/// The same, so many milliseconds apart, from a row of a longer table on.
fn table_every(millis: i64, from: usize, features: Vec<Of>, answers: Vec<Of>) -> Batch {
    let (mut columns, mut cells, mut rows) = (Vec::new(), Vec::new(), 0);
    for (letter, role, group, all) in
        [("f", Role::Input, "store", features), ("y", Role::Output, "output", answers)]
    {
        for (i, of) in all.into_iter().enumerate() {
            let name = format!("{letter}{i}");
            let (kind, values) = match of {
                Of::Numbers(v) => {
                    rows = v.len();
                    (Kind::Numeric, Values::Number(Float64Array::from(v)))
                }
                Of::Words(v) => {
                    rows = v.len();
                    (Kind::Categorical, Values::Text(StringArray::from(v)))
                }
            };
            columns.push(Column::plain(&name, role, kind, group));
            cells.push(Cells::new(&name, values, None).unwrap());
        }
    }
    let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
    let times =
        (from..from + rows).map(|i| Timestamp::from_millis(millis * i64::try_from(i).unwrap())).collect();
    Batch::new(schema, cells, Meta::of_times(times)).unwrap()
}

fn normals(random: &mut StdRng, rows: usize) -> Vec<f64> {
    (0..rows).map(|_| normal::quantile(random.random_range(1e-9..1.0))).collect()
}

/// What the world of these tests does: three features that hang together, and a model that answers by them.
struct World {
    features: [Vec<f64>; 3],
    answers: Vec<f64>,
}

fn answer(a: f64, b: f64, c: f64) -> f64 {
    1.0 / (1.0 + (-(1.5 * a + b * c)).exp())
}

fn world(seed: u64, rows: usize) -> World {
    let mut random = StdRng::seed_from_u64(seed);
    let a = normals(&mut random, rows);
    let b: Vec<f64> = a.iter().zip(normals(&mut random, rows)).map(|(a, e)| 0.9 * a + 0.4 * e).collect();
    let c: Vec<f64> = a.iter().zip(normals(&mut random, rows)).map(|(a, e)| a * a + 0.5 * e).collect();
    let answers = (0..rows).map(|i| answer(a[i], b[i], c[i])).collect();
    World { features: [a, b, c], answers }
}

impl World {
    fn batch(&self) -> Batch {
        self.part(0..self.answers.len())
    }

    fn part(&self, rows: std::ops::Range<usize>) -> Batch {
        let of = |values: &Vec<f64>| numbers(values[rows.clone()].to_vec());
        table_every(100, rows.start, self.features.iter().map(of).collect(), vec![of(&self.answers)])
    }
}

/// The same values in the order of other rows: no marginal changes.
fn shifted(values: &[f64], by: usize) -> Vec<f64> {
    (0..values.len()).map(|i| values[(i + by) % values.len()]).collect()
}

fn monitor(calibration: &Calibration, batch: &Batch, rows: u64) -> Monitor {
    let options = Options { budget: Budget::Rows(rows), rate: PerSecond::of(0), without: BTreeSet::new() };
    Monitor::new(batch.schema().clone(), calibration.clone(), options).unwrap()
}

/// Row, group and detector of the first alarm.
fn first(calibration: &Calibration, batch: &Batch) -> Option<(u64, String, String)> {
    let findings = monitor(calibration, batch, 100_000).observe(batch);
    findings.into_iter().find_map(|finding| match finding {
        Finding::Raised(alarm) => Some((alarm.row, alarm.group, alarm.detector)),
        _ => None,
    })
}

fn scalars(calibration: &Calibration) -> Vec<(String, Scalar)> {
    let of = |s: &crate::detect::stream::Stream| match s.source {
        Source::Joint { scalar, .. } => Some((s.name.clone(), scalar)),
        _ => None,
    };
    calibration.streams.iter().filter_map(of).collect()
}

fn fitted(batch: &Batch) -> Calibration {
    Calibration::fit(batch, Season::none()).unwrap()
}

/// A model of the world of these tests and its relations, fitted once for all tests.
fn known() -> &'static Calibration {
    static KNOWN: LazyLock<Calibration> = LazyLock::new(|| fitted(&world(1, 12_000).batch()));
    &KNOWN
}

/// Answers of other rows, features of other entities: no column changes, and both are found, each where it is.
#[test]
fn what_leaves_every_column_as_it_was_is_found() {
    let calibration = known();
    assert_eq!(first(calibration, &world(2, 20_000).batch()), None, "healthy rows are quiet");
    let mut shuffled = world(3, 3_000);
    shuffled.answers = shifted(&shuffled.answers, 7);
    let (row, group, detector) = first(calibration, &shuffled.batch()).unwrap();
    assert!(row < 40 && group == "output" && detector == "surrogate_residual", "{row} {group} {detector}");
    let mut mixed = world(4, 3_000);
    mixed.features[1] = shifted(&mixed.features[1], 7);
    let [a, b, c] = &mixed.features;
    mixed.answers = (0..a.len()).map(|i| answer(a[i], b[i], c[i])).collect();
    let (row, group, detector) = first(calibration, &mixed.batch()).unwrap();
    assert!(row < 60 && group == Schema::RELATIONS_GROUP, "{row} {group} {detector}");
    assert!(["coherence", "feature_given"].contains(&detector.as_str()), "{detector}");
}

/// Another model behind the same name: features and the marginal of answers stay, their relation does not.
#[test]
fn another_model_is_found() {
    let calibration = known();
    let mut other = world(5, 4_000);
    let [a, b, c] = &other.features;
    other.answers = (0..a.len()).map(|i| answer(a[i], b[i], 0.7 * c[i] + 0.3)).collect();
    let (row, group, detector) = first(calibration, &other.batch()).unwrap();
    assert!(row < 400 && group == "output" && detector == "surrogate_residual", "{row} {group} {detector}");
}

/// Once features that do not belong together are told of, what the answers do is explained by them.
#[test]
fn a_relation_explains_answers() {
    let calibration = known();
    let mut mixed = world(4, 3_000);
    // The model saw the right features, the tap those of another entity: both relations are broken.
    mixed.features[1] = shifted(&mixed.features[1], 7);
    let batch = mixed.batch();
    let mut monitor = monitor(calibration, &batch, 100_000);
    let raised: Vec<String> = monitor
        .observe(&batch)
        .into_iter()
        .filter_map(|f| if let Finding::Raised(alarm) = f { Some(alarm.group) } else { None })
        .collect();
    assert_eq!(raised, [Schema::RELATIONS_GROUP], "one fault, one alarm");
}

/// Two categories that go together, and a clock that goes with the time stamp.
#[test]
fn categories_and_clocks() {
    let mut random = StdRng::seed_from_u64(6);
    let rows = 12_000_usize;
    // Four minutes a row: every hour of the day comes again and again.
    let hour = |i: usize| u32::try_from(i * 4 / 60 % 24).unwrap();
    let mut make = |rows: usize, late: u32, mixed: bool| {
        let city: Vec<usize> = (0..rows).map(|_| random.random_range(0..6)).collect();
        let country: Vec<String> = (0..rows)
            .map(|i| {
                let of = if mixed { random.random_range(0..6) } else { city[i] };
                format!("c{}", if random.random_bool(0.02) { random.random_range(0..3) } else { of / 2 })
            })
            .collect();
        let clock: Vec<f64> = (0..rows).map(|i| f64::from((hour(i) + late) % 24)).collect();
        let city: Vec<String> = city.into_iter().map(|c| format!("t{c}")).collect();
        let score = normals(&mut random, rows);
        let features = vec![words(city), words(country), numbers(clock)];
        table_every(240_000, 0, features, vec![numbers(score)])
    };
    let calibration = fitted(&make(rows, 0, false));
    let found = scalars(&calibration);
    assert!(found.iter().any(|(name, s)| name == "f0 × f1" && matches!(s, Scalar::Odds(_))), "{found:?}");
    assert!(found.iter().any(|(name, s)| name == "f2" && matches!(s, Scalar::Odds(_))), "{found:?}");
    assert!(
        !found.iter().any(|(_, s)| matches!(s, Scalar::Residual(_))),
        "chance foretells nothing: {found:?}"
    );
    assert_eq!(first(&calibration, &make(6_000, 0, false)), None);
    let (row, group, detector) = first(&calibration, &make(3_000, 1, false)).unwrap();
    // The clock says the same for fifteen rows on end, which are no fifteen pieces of news.
    assert!(row < 300 && group == Schema::RELATIONS_GROUP && detector == "pair_odds", "{row} {detector}");
    let (row, group, detector) = first(&calibration, &make(3_000, 0, true)).unwrap();
    assert!(row < 60 && group == Schema::RELATIONS_GROUP, "{row} {group} {detector}");
}

/// What cannot be fitted is said, and nothing is watched in its place.
#[test]
fn what_cannot_be_fitted_is_said() {
    let lacks = |batch: &Batch| -> String { fitted(batch).joint.lacks.join("; ") };
    let mut random = StdRng::seed_from_u64(7);
    let mut some = |rows: usize| numbers(normals(&mut random, rows));
    // A target that never varies.
    let said = lacks(&table(vec![some(5_000), some(5_000)], vec![numbers(vec![0.5; 5_000])]));
    assert!(said.contains("no answer varies"), "{said}");
    // Features that never vary.
    let constant = || numbers(vec![1.0; 5_000]);
    let said = lacks(&table(vec![constant(), constant()], vec![some(5_000)]));
    assert!(said.contains("no feature varies"), "{said}");
    // Answers that do not follow from features, which do not follow from each other.
    let said = lacks(&table(vec![some(5_000), some(5_000)], vec![some(5_000)]));
    assert!(said.contains("`y0` against features are not watched") && said.contains("unexplained"), "{said}");
    assert!(said.contains("tell nothing of each other"), "{said}");
    // Too few rows.
    let calibration = fitted(&table(vec![some(600), some(600)], vec![some(600)]));
    let said = calibration.joint.lacks.join("; ");
    assert!(said.contains("rows to fit one to, expected 1000"), "{said}");
    assert_eq!(scalars(&calibration), []);
    // Answers that are nearly always null.
    let rare = (0..5_000).map(|i| (i % 100 == 0).then(|| f64::from(i))).collect();
    let said = lacks(&table(vec![some(5_000), some(5_000)], vec![Of::Numbers(rare)]));
    assert!(said.contains("too few rows have an answer"), "{said}");
}

/// Singular designs: features that are one and the same, that never vary, more of them than relations take. The rest
/// is fitted, and nothing is not a number.
#[test]
fn singular_designs_are_fitted() {
    let World { features: [a, b, c], answers } = world(8, 6_000);
    let constant = vec![3.0; 6_000];
    let features = vec![a.clone(), a.clone(), a.iter().map(|v| 2.0 * v + 1.0).collect(), b, c, constant];
    let batch = table(features.into_iter().map(numbers).collect(), vec![numbers(answers)]);
    let calibration = fitted(&batch);
    let found = scalars(&calibration);
    assert!(found.iter().any(|(name, s)| name == "f0" && matches!(s, Scalar::Given(_))), "{found:?}");
    assert!(!found.iter().any(|(name, _)| name == "f5"), "what never varies has no relation: {found:?}");
    assert_eq!(first(&calibration, &batch), None);

    let mut random = StdRng::seed_from_u64(9);
    let rows = 2_100;
    let shared = normals(&mut random, rows);
    let wide: Vec<Vec<f64>> = (0..300)
        .map(|_| shared.iter().zip(normals(&mut random, rows)).map(|(s, e)| s + e).collect())
        .collect();
    let batch = table(wide.into_iter().map(numbers).collect(), vec![numbers(shared)]);
    let calibration = fitted(&batch);
    assert!(scalars(&calibration).len() > 3);
    let said = calibration.joint.lacks.join("; ");
    assert!(said.contains("44 features take part in no relation"), "{said}");
    assert!(calibration.joint.is_sound(batch.schema().columns.len()));
}

/// Values that no double should have: infinite, of another type, null. No relation speaks of an answer that is none.
#[test]
fn values_that_are_none() {
    let mut rows = world(10, 8_000);
    for i in (0..8_000).step_by(50) {
        rows.features[0][i] = f64::INFINITY;
        rows.features[1][i + 1] = f64::NAN;
        rows.answers[i + 2] = f64::NAN;
    }
    let batch = rows.batch();
    let calibration = fitted(&batch);
    let residual = calibration.streams.iter().find(|s| matches!(s.source, Source::Joint { .. })).unwrap();
    assert_eq!(residual.role, StreamRole::Output);
    let (told, all) = (residual.told(), 8_000.0 * 0.98);
    assert!((told - all).abs() < 1.0, "{told}");
    assert_eq!(first(&calibration, &batch), None);
}

/// The same rows give the same relations, a file gives them back, and rows may come in any portions.
#[test]
fn relations_are_kept_and_portions_do_not_matter() {
    let batch = world(11, 5_000).batch();
    let calibration = fitted(&batch);
    let written = serde_json::to_value(&calibration).unwrap();
    assert_eq!(written, serde_json::to_value(fitted(&batch)).unwrap());
    let read = Calibration::read(&written, batch.schema()).unwrap();
    assert_eq!(read, calibration);

    let mut mixed = world(12, 2_000);
    mixed.answers = shifted(&mixed.answers, 5);
    let whole = monitor(&calibration, &batch, 100_000).observe(&mixed.batch());
    let mut parts = Vec::new();
    let mut monitor = monitor(&read, &batch, 100_000);
    for from in (0..2_000).step_by(37) {
        parts.extend(monitor.observe(&mixed.part(from..2_000.min(from + 37))));
    }
    assert_eq!(parts, whole);
    assert!(!whole.is_empty());
}

/// A file that was damaged is refused, whatever it says.
#[test]
fn damaged_relations_are_refused() {
    let batch = world(13, 5_000).batch();
    let written = serde_json::to_value(fitted(&batch)).unwrap();
    let damage = |path: &str, with: serde_json::Value| {
        let mut damaged = written.clone();
        *damaged.pointer_mut(path).unwrap() = with;
        Calibration::read(&damaged, batch.schema()).unwrap_err()
    };
    for (path, with) in [
        ("/joint/coherence/trees", serde_json::json!("AAAA")),
        ("/joint/coherence/trees", serde_json::json!("not base64!")),
        ("/joint/coherence/trees", written.pointer("/joint").unwrap().clone()),
        ("/joint/surrogates", serde_json::json!([])),
        ("/joint/inputs/columns", serde_json::json!([])),
        ("/joint/inputs/columns/0/position", serde_json::json!(99)),
        ("/joint/given/0/neighbours", serde_json::json!([[77, 1.0]])),
    ] {
        let refused = damage(path, with);
        assert!(matches!(refused, Error::Calibration(_)), "{path}: {refused}");
    }
}

/// Of rows that were fitted, of those near them and of those that planned bins none is counted: exactly the others.
#[test]
fn what_was_fitted_is_not_counted() {
    let rows = 10_000;
    let calibration = fitted(&world(14, rows).batch());
    let planner = Lanes::halves();
    let stretches = (0..rows as u64).filter_map(|row| planner.offers(row)).map(|(stretch, _)| stretch);
    let lanes = Lanes::Halves(Fitted::new(stretches.collect()));
    let counted = |says: &dyn Fn(u64) -> bool| (0..rows as u64).filter(|row| says(*row)).count() as f64;
    let of_values = counted(&|row| !lanes.plans(row));
    let of_relations = counted(&|row| !lanes.plans(row) && !lanes.is_as_fitted(row));
    assert!((0.3..0.4).contains(&(of_relations / rows as f64)), "{of_relations}");
    let mut seen = 0;
    for stream in calibration.streams.iter().filter(|s| !s.source.looks_back()) {
        let expected = match stream.source {
            Source::Joint { .. } => of_relations,
            Source::Grid { .. } => continue,
            _ => of_values,
        };
        let counted = stream.counts[0].trials;
        assert!((counted - expected).abs() < 0.5, "{:?}: {counted}, not {expected}", stream.source);
        seen += usize::from(matches!(stream.source, Source::Joint { .. }));
    }
    assert!(seen > 3, "{seen}");
}

/// Relations that nobody bets on are not computed, and leave nothing behind; the others stay as they were.
#[test]
fn relations_without_a_bet_cost_nothing() {
    let calibration = known();
    let mut shuffled = world(3, 500);
    shuffled.answers = shifted(&shuffled.answers, 7);
    let batch = shuffled.batch();
    let monitor = |without: &[&str]| {
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        let options = Options { budget: Budget::Rows(100_000), rate: PerSecond::of(0), without };
        Monitor::new(batch.schema().clone(), calibration.clone(), options).unwrap()
    };
    let raised = |mut monitor: Monitor| {
        monitor.observe(&batch).into_iter().find_map(|f| match f {
            Finding::Raised(alarm) => Some((alarm.row, alarm.detector)),
            _ => None,
        })
    };
    let mut off = monitor(&["surrogate_residual", "coherence", "feature_given", "pair_odds"]);
    off.observe(&batch);
    assert!(off.recent.is_none() && off.encoder.relation_row(0).is_none());
    let all = raised(monitor(&[])).unwrap();
    assert_eq!(all.1, "surrogate_residual");
    assert_eq!(raised(monitor(&["coherence", "pair_odds"])), Some(all));
    assert_eq!(raised(off), None);
}

/// A clock of this year in milliseconds, its seconds in a mixed order, and answers that are made from it.
fn clocks(rows: usize) -> (Vec<f64>, Vec<f64>) {
    let second = |i: usize| f64::from(u32::try_from(i * 37 % 100).unwrap());
    let stamps = (0..rows).map(|i| 1.7e12 + 1e3 * second(i)).collect();
    (stamps, (0..rows).map(|i| 0.1 + 0.008 * second(i)).collect())
}

/// Numbers that differ by little for their size tell of answers, though 32 bits would not keep them apart.
#[test]
fn time_stamps_explain_answers() {
    let (stamps, answers) = clocks(6_000);
    let batch = table(vec![numbers(stamps.clone())], vec![numbers(answers.clone())]);
    let calibration = fitted(&batch);
    let lacks = &calibration.joint.lacks;
    assert!(scalars(&calibration).iter().any(|(_, s)| matches!(s, Scalar::Residual(_))), "{lacks:?}");
    assert_eq!(first(&calibration, &batch), None);
    let shuffled = table(vec![numbers(stamps)], vec![numbers(shifted(&answers, 7))]);
    let (row, _, detector) = first(&calibration, &shuffled).unwrap();
    assert!(row < 60 && detector == "surrogate_residual", "{row} {detector}");
}

/// Baselines from before numbers were counted from among them read them as they are.
#[test]
fn older_inputs_are_read() {
    let (stamps, answers) = clocks(5_000);
    let batch = table(vec![numbers(stamps)], vec![numbers(answers)]);
    let mut written = serde_json::to_value(fitted(&batch)).unwrap();
    let input = written.pointer_mut("/joint/inputs/columns/0").unwrap().as_object_mut().unwrap();
    assert!(input.remove("origin").unwrap().as_f64().unwrap() > 1.6e12);
    let read = Calibration::read(&written, batch.schema()).unwrap();
    let again = serde_json::to_value(&read).unwrap();
    assert_eq!(again, written, "an origin of 0 is as good as none");
}

/// Words that a damaged file gives places beyond what trees read are refused.
#[test]
fn places_of_words_are_finite() {
    let World { features: [a, ..], answers } = world(15, 5_000);
    let word: Vec<&str> = a.iter().map(|v| if *v > 0.0 { "high" } else { "low" }).collect();
    let batch = table(vec![words(word)], vec![numbers(answers)]);
    let mut written = serde_json::to_value(fitted(&batch)).unwrap();
    assert!(Calibration::read(&written, batch.schema()).is_ok());
    let places = written.pointer_mut("/joint/inputs/columns/0/by_code").unwrap().as_array_mut().unwrap();
    *places.iter_mut().find(|place| place.is_number()).unwrap() = serde_json::json!(1e39);
    assert!(matches!(Calibration::read(&written, batch.schema()), Err(Error::Calibration(_))));
}

/// What the library refuses to fit is told in its words, and is no lack of rows or of relation.
#[test]
fn what_fails_to_fit_is_said() {
    let World { features: [a, ..], answers } = world(16, 4_000);
    let sampled = Sampled { position: 1, numbers: Some(answers), codes: vec![0; 4_000] };
    let target = Target::new(&sampled).unwrap();
    let matrix: Vec<f32> =
        a.iter().map(|v| if *v > 2.0 { f32::INFINITY } else { crate::units::single(*v) }).collect();
    let fits = |row: usize| row < 3_000;
    let why = Surrogate::fit(&target, (&matrix, 1), fits).unwrap_err();
    assert!(matches!(why, NoSurrogate::NoTrees(_)) && why.to_string().contains("finite"), "{why}");
    let pairs: Vec<f32> = matrix.iter().flat_map(|v| [*v, *v]).collect();
    let why = Coherence::fit((&pairs, 2), &[vec![0, 1]], fits).unwrap_err();
    assert!(matches!(why, NoCoherence::NoTrees(_)) && why.to_string().contains("finite"), "{why}");
}

/// Relations that cannot be computed of rows are not quiet, whatever else the rows say, nor are they without rows.
#[test]
fn what_cannot_be_computed_is_undecided() {
    let batch = world(1, 12_000).batch();
    let mut calibration = fitted(&batch);
    let of = |calibration: &Calibration, detector: &str| -> Vec<StreamState> {
        let mut monitor = monitor(calibration, &batch, 100_000);
        monitor.observe(&batch);
        let reports = monitor.report().into_iter().filter(|r| r.detector == detector);
        reports.map(|report| report.state).collect()
    };
    for detector in ["surrogate_residual", "coherence"] {
        assert_eq!(of(&calibration, detector), [StreamState::Quiet], "{detector}");
    }
    let mut broken = (*calibration.joint).clone();
    broken.inputs.columns.pop();
    broken.given.clear();
    calibration.joint = Arc::new(broken);
    for detector in ["surrogate_residual", "coherence"] {
        let expected = StreamState::Undecided(Undecided::NotANumber);
        assert_eq!(of(&calibration, detector), [expected], "{detector}");
    }
}

/// Under load relations look at one row in eight: a broken one is found all the same, later, and health stays quiet;
/// other detectors see every row.
#[test]
fn thinned_relations_find_what_breaks() {
    let calibration = known();
    let thinned = |world: &World| {
        let mut monitor = monitor(calibration, &world.part(0..1), 100_000);
        monitor.thin_relations(8);
        let rows = world.answers.len();
        // In pieces, as a tap hands them over.
        let found = (0..rows).step_by(100).flat_map(|from| monitor.observe(&world.part(from..from + 100)));
        let mut alarms =
            found.filter_map(|f| if let Finding::Raised(alarm) = f { Some(alarm.row) } else { None });
        alarms.next()
    };
    assert_eq!(thinned(&world(2, 12_000)), None);
    let mut shuffled = world(3, 6_000);
    shuffled.answers = shifted(&shuffled.answers, 7);
    let (all, some) = (first(calibration, &shuffled.batch()).unwrap().0, thinned(&shuffled).unwrap());
    assert!(all < some && some < 1_000, "{all} {some}");
}
