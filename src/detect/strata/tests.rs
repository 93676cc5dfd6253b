use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Chances and limits as scipy computes them; the cube-root transformations cost up to a few
/// parts in a thousand of a limit.
#[test]
fn agrees_with_scipy() {
    let text = include_str!("../../../tests/reference/strata.jsonl");
    let mut checked = 0;
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let rows = |name: &str| {
            let numbers = |row: &serde_json::Value| {
                row.as_array().unwrap().iter().map(serde_json::Value::as_f64).collect::<Vec<_>>()
            };
            case[name].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>()
        };
        let hits: Vec<Vec<f64>> =
            rows("hits").iter().map(|r| r.iter().map(|h| h.unwrap()).collect()).collect();
        let trials = trials_of(&hits);
        let table = Table { hits: &hits, trials: &trials };
        let scores: Vec<f64> =
            case["scores"].as_array().unwrap().iter().map(|z| z.as_f64().unwrap()).collect();
        let (ours, theirs) = (heterogeneity(&table, &scores).ln(), case["ln_chance"].as_f64().unwrap());
        let far = if theirs > -20.0 { (ours - theirs).abs() > 0.3 } else { ours > -15.0 };
        assert!(!far, "{hits:?}: {ours}, expected {theirs}");
        let number = |name: &str| case[name].as_f64().unwrap();
        let limits = stratum_limits(&table, number("delta"), number("unnoticed"));
        for (ours, theirs) in [(&limits.upper, rows("upper")), (&limits.lower, rows("lower"))] {
            for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
                let fits = match (ours, theirs) {
                    (Some(a), Some(b)) => (a - b).abs() <= 5e-3 * b + 1e-12,
                    (None, None) => true,
                    _ => false,
                };
                assert!(fits, "{hits:?}: {ours:?}, expected {theirs:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "the table is there");
}

fn trials_of(hits: &[Vec<f64>]) -> Vec<Vec<f64>> {
    hits.iter().map(|row| vec![row.iter().sum(); row.len()]).collect()
}

fn draw(random: &mut StdRng, rows: u32, shares: &[f64]) -> Vec<f64> {
    let mut hits = vec![0.0; shares.len()];
    for _ in 0..rows {
        let mut left = random.random::<f64>();
        let bin = shares.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        hits[bin.unwrap_or(shares.len() - 1)] += 1.0;
    }
    hits
}

const SHARES: [f64; 4] = [0.55, 0.35, 0.099, 0.001];

/// Moves a part of a bin's share into the first bin.
fn shifted(bin: usize, part: f64) -> Vec<f64> {
    let mut shares = SHARES.to_vec();
    shares[0] -= part * SHARES[bin];
    shares[bin] += part * SHARES[bin];
    shares
}

/// How many of 40 baselines of 24 strata have all their limits right together at 95 %.
fn covered(truth: impl Fn(usize) -> (u32, Vec<f64>)) -> usize {
    let mut random = StdRng::seed_from_u64(8);
    let truth: Vec<(u32, Vec<f64>)> = (0..24).map(truth).collect();
    let delta = 0.05 / (2.0 * 24.0 * 4.0 + 24.0);
    let weights = [1.0, 0.7, 2.0, 5.0];
    let holds = |_: &i32| {
        let hits: Vec<Vec<f64>> = truth.iter().map(|(n, p)| draw(&mut random, *n, p)).collect();
        let trials = trials_of(&hits);
        let table = Table { hits: &hits, trials: &trials };
        let means = stratum_mean_limits(&table, &weights, delta, UNNOTICED);
        let mean = |p: &[f64]| p.iter().zip(&weights).map(|(p, w)| p * w).sum::<f64>();
        if !means.iter().zip(&truth).all(|(limit, (_, p))| mean(p) <= limit.unwrap()) {
            return false;
        }
        let limits = stratum_limits(&table, delta, UNNOTICED);
        let (upper, lower) = (limits.upper.iter().flatten(), limits.lower.iter().flatten());
        let truth = truth.iter().flat_map(|(_, p)| p);
        truth.zip(upper.zip(lower)).all(|(p, (high, low))| *p <= high.unwrap() && *p >= low.unwrap())
    };
    (0..40).filter(holds).count()
}

/// All limits hold together in at least 95 % of baselines: for equal strata, for a daily cycle,
/// for one stratum unlike the others by a little or by a lot, and for small strata among large.
#[test]
fn limits_cover() {
    let check = |what: &str, truth: &dyn Fn(usize) -> (u32, Vec<f64>)| {
        let covered = covered(truth);
        assert!(covered >= 38, "{what}: {covered} of 40");
    };
    check("equal", &|_| (400, SHARES.to_vec()));
    let wave = |s: usize| (std::f64::consts::TAU * s as f64 / 24.0).sin();
    check("slight cycle", &|s| (400, shifted(2, 0.2 * wave(s))));
    check("strong cycle", &|s| (400, shifted(1, 0.6 * wave(s))));
    for part in [0.6, 2.0] {
        check("one unlike the others", &|s| (400, shifted(2, if s == 5 { part } else { 0.0 })));
    }
    for part in [3.0, 20.0] {
        check("rare bin in one", &|s| (400, shifted(3, if s == 5 { part } else { -1.0 })));
    }
    check("small among large", &|s| {
        if s == 5 { (40, shifted(2, 2.0)) } else { (500, SHARES.to_vec()) }
    });
}

/// What is borrowed alone would miss a small stratum unlike the others: the test above can fail.
#[test]
fn borrowing_without_the_own_rows_would_fail() {
    let mut random = StdRng::seed_from_u64(9);
    let different = shifted(2, 2.0);
    let truth = |s: usize| if s == 5 { (40, different.clone()) } else { (500, SHARES.to_vec()) };
    let draws = (0..24).map(|s| draw(&mut random, truth(s).0, &truth(s).1));
    let hits: Vec<Vec<f64>> = draws.collect();
    let trials = trials_of(&hits);
    let table = Table { hits: &hits, trials: &trials };
    let limit = |unnoticed: f64| stratum_limits(&table, 1e-4, unnoticed).upper[5][2].unwrap();
    assert!(limit(1.0) < different[2] && different[2] < limit(UNNOTICED), "{}", limit(1.0));
    assert!(limit(UNNOTICED) < limit(0.0), "and each on its own is wider");
    let weights = [1.0, 1.0, 2.0, 1.0];
    let mean = |unnoticed: f64| stratum_mean_limits(&table, &weights, 1e-4, unnoticed)[5].unwrap();
    assert!(mean(1.0) < 1.0 + different[2] && 1.0 + different[2] < mean(UNNOTICED), "{}", mean(1.0));
    let other = stratum_mean_limits(&table, &weights, 1e-4, UNNOTICED)[6].unwrap();
    assert!(other > 1.099 && other < 1.2 && mean(UNNOTICED) < mean(0.0), "{other}");
}

/// A stratum never seen is undecided, a stratum of few rows knows little, one alone knows itself.
#[test]
fn little_is_known_of_little() {
    let hits = vec![vec![0.0, 0.0], vec![500.0, 500.0], vec![3.0, 7.0], vec![480.0, 520.0]];
    let trials = trials_of(&hits);
    let limits = stratum_limits(&Table { hits: &hits, trials: &trials }, 1e-4, UNNOTICED);
    assert!(limits.upper[0].iter().chain(&limits.lower[0]).all(Option::is_none));
    let (few, many) = (limits.upper[2][0].unwrap(), limits.upper[1][0].unwrap());
    assert!(few >= limits::upper(3.0, 10.0, UNNOTICED) - 1e-12 && few > 1.3 * many, "{few} {many}");
    let alone = stratum_limits(&Table { hits: &hits[1..2], trials: &trials[1..2] }, 1e-4, UNNOTICED);
    assert!((alone.upper[0][0].unwrap() - limits::upper(500.0, 1000.0, 1e-4)).abs() < 1e-12);
    assert!(
        is_homogeneous(&Table { hits: &hits[1..2], trials: &trials[1..2] }, &[], 0.05),
        "nothing to compare"
    );
    let wrong = vec![vec![f64::NAN, 5.0], vec![9.0, 1.0]];
    let ten = vec![vec![10.0, 10.0]; 2];
    let limits = stratum_limits(&Table { hits: &wrong, trials: &ten }, 1e-4, UNNOTICED);
    assert!(limits.upper[0][0].is_none() && limits.upper[0][1].is_some(), "what is no count was not seen");
    let empty = Table { hits: &[], trials: &[] };
    assert!(stratum_limits(&empty, 1e-4, UNNOTICED).upper.is_empty());
    assert!((heterogeneity(&empty, &[]) - 1.0).abs() < f64::EPSILON);
}

/// Equal strata are rarely called unequal, even with rare bins; a daily cycle, a shift of scores and
/// a rare bin of one hour are.
#[test]
fn unequal_strata_are_told_apart() {
    let mut random = StdRng::seed_from_u64(10);
    let mut chance = |truth: &dyn Fn(usize) -> Vec<f64>| {
        let hits: Vec<Vec<f64>> = (0..24).map(|s| draw(&mut random, 300, &truth(s))).collect();
        let trials = trials_of(&hits);
        heterogeneity(&Table { hits: &hits, trials: &trials }, &[0.0, 1.0, 2.0, 3.0])
    };
    let rejected = (0..200).filter(|_| chance(&|_| SHARES.to_vec()) < 0.05).count();
    assert!(rejected <= 10, "{rejected} of 200 at 5 %");
    let wave = |s: usize| (std::f64::consts::TAU * s as f64 / 24.0).sin();
    assert!(chance(&|s| shifted(1, 0.5 * wave(s))) < 1e-6);
    assert!(chance(&|s| shifted(3, if s == 5 { 40.0 } else { -1.0 })) < 1e-6);
}
