//! What is bet on a relation that is broken.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::detect::bins::Plan;
use crate::detect::joint::Scalar;
use crate::detect::stream::Role;

/// Bins that every number has, before its intervals.
const HEAD: usize = 11;
const BELOW: usize = 6;
const ABOVE: usize = 7;
const FAR_BELOW: usize = 9;
const FAR_ABOVE: usize = 10;

/// A relation's stream with as many intervals as there are counts: of rows that planned, and of broken ones, which have
/// one count for each of the other bins first.
fn stream(scalar: Scalar, planned: &[f64], broken: Vec<u32>) -> Stream {
    let edges =
        (0..=planned.len()).map(|edge| crate::units::count(crate::units::whole(edge)) + 1.0).collect();
    let plan = Plan::Numeric { default: None, atoms: Vec::new(), edges };
    let source = Source::Joint { scalar, columns: vec![0], plan, broken };
    let mut stream = Stream::new(source, "y", "output", Role::Output, 1);
    let counts = &mut stream.counts[0];
    for (bin, planned) in planned.iter().enumerate() {
        // What is counted is not what planned.
        (counts.hits[HEAD + bin], counts.hits_all[HEAD + bin]) = (70.0, 70.0 + planned);
    }
    stream
}

/// The same, broken only where health lies.
fn within(scalar: Scalar, planned: &[f64], broken: &[u32]) -> Stream {
    stream(scalar, planned, [&[0; HEAD][..], broken].concat())
}

fn odds(stream: &Stream) -> Vec<f64> {
    broken(stream, &of(stream).unwrap()).unwrap()
}

fn check(stream: &Stream, expected: &[f64]) {
    let ours = odds(stream);
    for (bin, expected) in expected.iter().enumerate() {
        assert!((ours[HEAD + bin] - expected).abs() < 0.01, "{bin}: {ours:?}, expected {expected}");
    }
}

/// Four bins that health has alike, and 200 broken rows with 20 healthy ones added: the odds of each bin, mirrored for a
/// relation whose harm lies below; bins that would fall are one.
#[test]
fn odds_are_those_of_broken_rows() {
    let (up, down) = (Scalar::ResidualSize(0), Scalar::Coherence);
    let alike = [5_000.0; 4];
    let share = |broken: f64| (broken + 5.0) / 220.0 / 0.25;
    let rising = [10.0, 20.0, 60.0, 110.0].map(share);
    check(&within(up, &alike, &[10, 20, 60, 110]), &rising);
    let falling: Vec<f64> = rising.into_iter().rev().collect();
    check(&within(down, &alike, &[110, 60, 20, 10]), &falling);
    let pooled = share(40.0);
    check(&within(up, &alike, &[10, 60, 20, 110]), &[rising[0], pooled, pooled, rising[3]]);
    // What is broken the other way says nothing of harm.
    check(&within(up, &alike, &[110, 60, 20, 10]), &[1.0; 4]);
    // All broken rows where health hardly is: no row is worth more than the most.
    let capped = odds(&within(up, &[9_000.0, 9_000.0, 1.0], &[0, 0, 400]));
    assert!((capped[HEAD + 2] - EXPONENT_MAX.exp()).abs() < 1e-9, "{capped:?}");
}

/// Whatever was counted: odds never fall towards harm, within what health had and beyond it; none is below 0 or above the
/// most, bins that have no score are worth nothing either way, and the mean weight of rows that planned is 1 or a
/// little less, before any limit.
#[test]
fn odds_are_fair_whatever_was_counted() {
    let mut random = StdRng::seed_from_u64(500);
    let mut beyond = 0;
    for case in 0..300 {
        let scalar = if case % 2 == 0 { Scalar::ResidualSize(0) } else { Scalar::Coherence };
        let harm = if case % 2 == 0 { 1.0 } else { -1.0 };
        let bins = random.random_range(3..20_usize);
        let mut some = |most: u32| if random.random_bool(0.2) { 0 } else { random.random_range(0..most) };
        let planned: Vec<f64> = (0..bins).map(|_| f64::from(some(3_000))).collect();
        let by_bin: Vec<u32> = (0..HEAD + bins).map(|_| some(200)).collect();
        let stream = stream(scalar, &planned, by_bin.clone());
        let Some(scores) = of(&stream) else { continue };
        let odds = broken(&stream, &scores).unwrap();
        let place = |bin: usize| Some((harm * scores[bin]?, harm * f64::from(outside(&stream.bins[bin]))));
        let mut placed: Vec<((f64, f64), f64)> =
            (0..odds.len()).filter_map(|bin| Some((place(bin)?, odds[bin]))).collect();
        placed.sort_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        assert!(placed.is_sorted_by(|(_, low), (_, high)| low <= high), "{case}: {placed:?}");
        beyond += usize::from(placed.last().is_some_and(|((_, outside), _)| *outside > 0.0));
        let most = EXPONENT_MAX.exp();
        assert!(odds.iter().all(|o| (0.0..=most).contains(o)), "{case}: {odds:?}");
        for (bin, _) in odds.iter().enumerate().filter(|(bin, _)| scores[*bin].is_none()) {
            assert!((odds[bin] - 1.0).abs() < 1e-12, "{case} {bin}: {odds:?}");
        }
        let rows: f64 = planned.iter().sum();
        for weights in all_weights(&stream, &scores).iter().take(SHARES.len()) {
            let mean = planned.iter().zip(&weights[HEAD..]).map(|(n, w)| n * w).sum::<f64>() / rows;
            assert!(mean <= 1.01, "{case}: {mean}");
        }
    }
    assert!(beyond > 100, "{beyond}");
}

/// Broken rows that lie where healthy ones do: the mean weight of those that planned is 1, whatever the share.
#[test]
fn weights_have_mean_one() {
    let planned = [900.0, 4_000.0, 2_500.0, 700.0, 300.0];
    let stream = within(Scalar::ResidualSize(0), &planned, &[5, 60, 80, 120, 300]);
    let scores = of(&stream).unwrap();
    let all = all_weights(&stream, &scores);
    let rows: f64 = planned.iter().sum();
    for (share, weights) in SHARES.iter().zip(&all) {
        let mean = planned.iter().zip(&weights[HEAD..]).map(|(n, w)| n * w).sum::<f64>() / rows;
        assert!((mean - 1.0).abs() < 0.01, "{share}: {mean}");
        // A row of the worst bin speaks for the relation being broken, by no more than one in a row that is not.
        let (worst, best) = (weights[HEAD + 4], weights[HEAD]);
        assert!(worst > 1.0 + 5.0 * share && best >= 1.0 - share && best < 1.0, "{share}: {weights:?}");
    }
    // The others lean as they did.
    for (tilt, weights) in strengths(&stream).into_iter().zip(&all).skip(SHARES.len()) {
        assert_eq!(*weights, super::weights(&scores, tilt));
    }
}

/// Without broken rows, with broken rows of other bins, and where both sides are harm, all lean as they did.
#[test]
fn without_broken_rows_tilts_stay() {
    let planned = [900.0, 4_000.0, 2_500.0, 700.0, 300.0];
    let rows = [&[0; HEAD][..], &[5, 60, 80, 120, 300]].concat();
    for (scalar, broken_rows) in [
        (Scalar::ResidualSize(0), Vec::new()),
        (Scalar::ResidualSize(0), vec![0; HEAD + 5]),
        (Scalar::Coherence, Vec::new()),
        (Scalar::Residual(0), rows),
    ] {
        let stream = stream(scalar, &planned, broken_rows);
        let scores = of(&stream).unwrap();
        assert_eq!(broken(&stream, &scores), None, "{scalar:?}");
        let old: Vec<Vec<f64>> =
            strengths(&stream).into_iter().map(|tilt| super::weights(&scores, tilt)).collect();
        assert_eq!(all_weights(&stream, &scores), old, "{scalar:?}");
    }
}

/// What lies beyond all that health had is worth what lies farthest out, though no broken row lay there.
#[test]
fn what_lies_beyond_is_worth_the_most() {
    let planned = [900.0, 4_000.0, 2_500.0, 700.0, 300.0];
    let up = odds(&within(Scalar::ResidualSize(0), &planned, &[5, 60, 80, 120, 300]));
    assert!((up[ABOVE] - up[HEAD + 4]).abs() < 1e-12 && up[ABOVE] > 5.0, "{up:?}");
    let down = odds(&within(Scalar::Coherence, &planned, &[300, 120, 80, 60, 5]));
    assert!((down[FAR_BELOW] - down[HEAD]).abs() < 1e-12 && down[FAR_BELOW] > 2.0, "{down:?}");
}

/// Bins outside of all that planning rows had, in which some that plan later lie, have scores by how far outside they are.
#[test]
fn scores_go_by_how_far_outside_a_bin_lies() {
    let mut stream = within(Scalar::Coherence, &[900.0, 4_000.0, 300.0], &[300, 80, 5]);
    for outside in [BELOW, FAR_BELOW, ABOVE, FAR_ABOVE] {
        stream.counts[0].hits_all[outside] = 9.0;
    }
    let scores = of(&stream).unwrap();
    let ascending: Vec<f64> = [FAR_BELOW, BELOW, HEAD, HEAD + 1, HEAD + 2, ABOVE, FAR_ABOVE]
        .into_iter()
        .map(|bin| scores[bin].unwrap())
        .collect();
    assert!(ascending.is_sorted_by(|a, b| a < b), "{ascending:?}");
}
