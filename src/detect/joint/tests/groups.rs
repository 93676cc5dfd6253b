//! Relations of features that come from several stores.

use super::*;
use crate::units::single;

/// Two triples of features: within each they say nearly the same, and the triples tell something of each other.
fn triples(seed: u64, rows: usize) -> Vec<Vec<f64>> {
    let mut random = StdRng::seed_from_u64(seed);
    let one = normals(&mut random, rows);
    let two: Vec<f64> = one.iter().zip(normals(&mut random, rows)).map(|(u, e)| 0.8 * u + 0.6 * e).collect();
    let mut near = |of: &[f64]| -> Vec<f64> {
        of.iter().zip(normals(&mut random, rows)).map(|(v, e)| v + 0.2 * e).collect()
    };
    (0..6).map(|i| near(if i < 3 { &one } else { &two })).collect()
}

/// A table whose features are of these groups.
fn grouped(features: Vec<Vec<f64>>, answers: Vec<f64>, groups: &[&str]) -> Batch {
    let batch = table(features.into_iter().map(numbers).collect(), vec![numbers(answers)]);
    let mut columns = batch.schema().columns.clone();
    columns.iter_mut().zip(groups).for_each(|(column, group)| column.group = (*group).to_owned());
    let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
    Batch::new(schema, batch.columns().to_vec(), batch.meta().clone()).unwrap()
}

fn coherence(features: Vec<Vec<f64>>, groups: &[&str]) -> Coherence {
    let answers = vec![0.5; features[0].len()];
    let calibration = fitted(&grouped(features, answers, groups));
    calibration.joint.coherence.clone().unwrap()
}

/// The mean odds of rows, in nats.
fn mean_odds(coherence: &Coherence, features: &[Vec<f64>]) -> f64 {
    let rows = features[0].len();
    let matrix: Vec<f32> = (0..rows).flat_map(|row| features.iter().map(move |of| single(of[row]))).collect();
    let mut odds = Vec::new();
    coherence.of((&matrix, features.len()), &mut odds).unwrap();
    odds.iter().map(|v| f64::from(*v)).sum::<f64>() / rows as f64
}

/// Where the schema says which features come from one store, a store that answers for another entity is what relations
/// learn to see: it tells more of each row than where nobody knows of stores.
#[test]
fn a_store_of_another_entity_is_learnt() {
    let told = |groups: &[&str]| {
        let coherence = coherence(triples(300, 6_000), groups);
        let healthy = triples(301, 2_000);
        let mut mixed = healthy.clone();
        mixed[3..].iter_mut().for_each(|of| *of = shifted(of, 7));
        mean_odds(&coherence, &healthy) - mean_odds(&coherence, &mixed)
    };
    let (known, unknown) = (told(&["a", "a", "a", "b", "b", "b"]), told(&["a"; 6]));
    assert!(known > 1.3 * unknown && known > 0.5, "{known} {unknown}");
}

/// A group of which no feature varies is none: taking nothing from another entity, or all, breaks no relation.
#[test]
fn a_group_without_features_is_none() {
    let with_constant = |group| {
        let mut features = triples(302, 2_600);
        features.truncate(3);
        features.push(vec![4.0; 2_600]);
        coherence(features, &["a", "a", "a", group])
    };
    assert!(with_constant("a") == with_constant("b"));
}
