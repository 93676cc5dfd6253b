//! Designs that a regression would choke on: each is fitted as far as it goes, and the rest is said.

use super::*;
use crate::detect::{Learner, StreamReport};

fn nulls(rows: usize) -> Of {
    Of::Numbers(vec![None; rows])
}

fn no_words(rows: usize) -> Of {
    Of::Words(vec![None; rows])
}

/// What is fitted is sound, survives its file, and is quiet about the rows that it was fitted to; gives what is not
/// watched.
fn checked(batch: &Batch) -> (Calibration, String) {
    let calibration = fitted(batch);
    assert!(calibration.joint.is_sound(batch.schema().columns.len()));
    let read = Calibration::read(&serde_json::to_value(&calibration).unwrap(), batch.schema()).unwrap();
    assert_eq!(read, calibration);
    let mut monitor = monitor(&calibration, batch, 100_000);
    assert_eq!(monitor.observe(batch), []);
    let is_muted = |r: &StreamReport| r.state == StreamState::Undecided(Undecided::NotANumber);
    let muted: Vec<&str> = monitor.report().into_iter().filter(is_muted).map(|r| r.detector).collect();
    assert_eq!(muted, Vec::<&str>::new());
    let said = calibration.unrelated().join("; ");
    (calibration, said)
}

/// More features than rows: there are never rows enough for relations, and that is said.
#[test]
fn more_features_than_rows() {
    let mut random = StdRng::seed_from_u64(400);
    let rows = 300;
    let answers = normals(&mut random, rows);
    let features = (0..320).map(|_| numbers(answers.iter().map(|v| v + 0.5 * random.random::<f64>())));
    let batch = table(features.collect(), vec![numbers(answers.clone())]);
    let (calibration, said) = checked(&batch);
    assert!(said.contains("no relation between columns is watched") && said.contains("1000"), "{said}");
    assert_eq!((scalars(&calibration), calibration.related()), (Vec::new(), Vec::new()));
}

/// Columns without a value beside columns that are one and the same: the former take part in nothing, the latter tell
/// all of each other.
#[test]
fn columns_without_values_take_part_in_nothing() {
    let rows = 5_000;
    let World { features: [a, ..], answers } = world(401, rows);
    let same = |factor: f64| numbers(a.iter().map(|v| factor * v).collect::<Vec<f64>>());
    let features =
        vec![nulls(rows), same(1.0), no_words(rows), same(-2.0), numbers(vec![7.0; rows]), same(1.0)];
    let batch = table(features, vec![nulls(rows), numbers(answers), no_words(rows)]);
    let (calibration, said) = checked(&batch);
    let found = scalars(&calibration);
    let of = |name: &str| found.iter().filter(|(n, _)| n == name).map(|(_, s)| *s).collect::<Vec<_>>();
    for empty in ["f0", "f2", "f4", "y0", "y2"] {
        assert_eq!(of(empty), [], "{empty}");
    }
    assert!(matches!(of("y1")[..], [Scalar::Residual(0), Scalar::ResidualSize(0)]), "{found:?}");
    for same in ["f1", "f3", "f5"] {
        assert!(matches!(of(same)[..], [Scalar::Given(_)]), "{found:?}");
    }
    assert_eq!(of("features"), [Scalar::Coherence], "{said}");
    // A row that breaks what is exactly so in health is seen at once.
    let mut broken = a[..200].to_vec();
    broken.reverse();
    let of = |values: &[f64], factor: f64| numbers(values.iter().map(|v| factor * v).collect::<Vec<f64>>());
    let features = vec![
        nulls(200),
        of(&a[..200], 1.0),
        no_words(200),
        of(&broken, -2.0),
        numbers(vec![7.0; 200]),
        of(&a[..200], 1.0),
    ];
    let answers = numbers(world(401, rows).answers[..200].to_vec());
    let (row, group, _) =
        first(&calibration, &table(features, vec![nulls(200), answers, no_words(200)])).unwrap();
    assert!(row < 20 && group == Schema::RELATIONS_GROUP, "{row} {group}");
}

/// A table without a value in any feature, or in any answer, says which relations there cannot be.
#[test]
fn tables_without_values_say_so() {
    let rows = 2_200;
    let World { features: [a, b, _], answers } = world(402, rows);
    let (calibration, said) = checked(&table(vec![nulls(rows), no_words(rows)], vec![numbers(answers)]));
    assert!(said.contains("no feature varies"), "{said}");
    assert_eq!(scalars(&calibration), []);
    for none in [nulls(rows), no_words(rows), numbers(vec![f64::NAN; rows]), numbers(vec![0.25; rows])] {
        let (calibration, said) = checked(&table(vec![numbers(a.clone()), numbers(b.clone())], vec![none]));
        assert!(said.contains("no answer varies"), "{said}");
        let found = scalars(&calibration);
        assert!(found.iter().any(|(_, s)| *s == Scalar::Coherence), "features are watched: {found:?}");
        assert!(!found.iter().any(|(_, s)| matches!(s, Scalar::Residual(_))), "{found:?}");
    }
}

/// Relations that are learnt from live rows are fitted to those that plan and counted over all others.
#[test]
fn what_is_learnt_live_is_counted_over_later_rows() {
    let recorded = world(403, 6_000);
    let batch = recorded.batch();
    let mut learner = Learner::new(batch.schema().clone(), Season::none());
    learner.hurry();
    for from in (0..6_000).step_by(500) {
        learner.observe(&recorded.part(from..from + 500)).unwrap();
    }
    let calibration = learner.finish().unwrap();
    let residual = calibration
        .streams
        .iter()
        .find(|s| matches!(s.source, Source::Joint { scalar: Scalar::ResidualSize(_), .. }))
        .unwrap();
    assert!((residual.told() - 2_000.0).abs() < 0.5, "{}", residual.told());
    let mut shuffled = world(404, 300);
    shuffled.answers = shifted(&shuffled.answers, 7);
    let (row, group, detector) = first(&calibration, &shuffled.batch()).unwrap();
    assert!(row < 60 && group == "output" && detector == "surrogate_residual", "{row} {group} {detector}");
}
