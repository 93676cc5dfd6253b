//! What is bet on relations that were broken on purpose.

use super::*;
use crate::detect::bins::Bin;
use crate::detect::scores;
use crate::detect::stream::Stream;

fn joint_streams(calibration: &Calibration) -> impl Iterator<Item = (&Stream, Scalar, &Vec<u32>)> {
    calibration.streams.iter().filter_map(|s| match &s.source {
        Source::Joint { scalar, broken, .. } => Some((s, *scalar, broken)),
        _ => None,
    })
}

/// Relations that have one side of harm know what they look like broken: in bins that health hardly has.
#[test]
fn relations_know_what_they_look_like_broken() {
    let mut seen = 0;
    for (stream, scalar, broken) in joint_streams(known()) {
        if !matches!(scalar, Scalar::ResidualSize(_) | Scalar::Coherence) {
            assert!(broken.is_empty(), "{scalar:?} has two sides");
            continue;
        }
        seen += 1;
        let rows: u32 = broken.iter().sum();
        assert!(rows > 500 && broken.len() == stream.bins.len(), "{scalar:?}: {broken:?}");
        // Towards harm from the middle of health.
        let z = scores::of(stream).unwrap();
        let is_harm = scores::is_harm(stream);
        let counts = &stream.counts[0];
        let harmed: f64 = (0..z.len()).filter(|bin| is_harm[*bin]).map(|bin| f64::from(broken[bin])).sum();
        let healthy: f64 = (0..z.len()).filter(|bin| is_harm[*bin]).map(|bin| counts.hits[bin]).sum();
        let (harmed, healthy) = (harmed / f64::from(rows), healthy / counts.trials);
        assert!(harmed > healthy + 0.2, "{scalar:?}: {harmed} {healthy}");
    }
    assert_eq!(seen, 2);
}

/// A row farther out than any of health speaks more for a broken relation than any other does, and one far out no less.
#[test]
fn what_lies_beyond_is_worth_the_most() {
    let mut seen = 0;
    for (stream, scalar, _) in joint_streams(known()).filter(|(_, _, broken)| !broken.is_empty()) {
        let z = scores::of(stream).unwrap();
        let outside: [Bin; 2] = match scalar {
            Scalar::Coherence => [Bin::BelowRange, Bin::FarBelow],
            _ => [Bin::AboveRange, Bin::FarAbove],
        };
        let at = outside.each_ref().map(|bin| stream.bins.iter().position(|b| b == bin).unwrap());
        for weights in scores::all_weights(stream, &z).into_iter().take(4) {
            let within = (0..weights.len()).filter(|bin| !at.contains(bin)).map(|bin| weights[bin]);
            let most = within.reduce(|a, b| if b > a { b } else { a }).unwrap();
            let [beyond, far] = at.map(|bin| weights[bin]);
            assert!(most > 1.0 && most <= beyond && beyond <= far, "{scalar:?}: {weights:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}

/// Baselines from before relations were broken on purpose are read, and are bet on as they were.
#[test]
fn baselines_without_broken_rows_are_read() {
    let mut written = serde_json::to_value(known()).unwrap();
    let mut removed = 0;
    for stream in written.pointer_mut("/streams").unwrap().as_array_mut().unwrap() {
        if let Some(joint) = stream.pointer_mut("/source/joint") {
            removed += usize::from(joint.as_object_mut().unwrap().remove("broken").is_some());
        }
    }
    assert_eq!(removed, 2, "empty ones are not written");
    let batch = world(1, 1).batch();
    let read = Calibration::read(&written, batch.schema()).unwrap();
    for (stream, _, broken) in joint_streams(&read) {
        assert!(broken.is_empty());
        let z = scores::of(stream).unwrap();
        let old: Vec<Vec<f64>> =
            scores::strengths(stream).into_iter().map(|tilt| scores::weights(&z, tilt)).collect();
        assert_eq!(scores::all_weights(stream, &z), old);
    }
    let mut shuffled = world(3, 300);
    shuffled.answers = shifted(&shuffled.answers, 7);
    let (row, group, _) = first(&read, &shuffled.batch()).unwrap();
    assert!(row < 60 && group == "output", "{row} {group}");
}

/// Broken rows of other bins than the stream's are a damaged file, and not a baseline without any.
#[test]
fn broken_rows_of_other_bins_are_refused() {
    let mut written = serde_json::to_value(known()).unwrap();
    let mut streams = written.pointer_mut("/streams").unwrap().as_array_mut().unwrap().iter_mut();
    let broken = streams.find_map(|s| s.pointer_mut("/source/joint/broken")).unwrap();
    assert!(broken.as_array_mut().unwrap().pop().is_some());
    let refused = Calibration::read(&written, world(1, 1).batch().schema());
    assert!(matches!(refused, Err(Error::Calibration(_))), "{refused:?}");
}
