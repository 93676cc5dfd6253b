#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of bins and hours"
)]

use super::blocks::Blocks;
use super::gaps::Gaps;
use super::*;
use crate::detect::normal;
use rand::{RngExt, SeedableRng, rngs::StdRng};

const ROWS: usize = 20_000;

/// Uniform values with normal scores that follow an AR(1) process.
fn autoregressive(random: &mut StdRng, rho: f64) -> Vec<f64> {
    let mut value = normal::quantile(random.random());
    let step = |_| {
        value = rho * value + (1.0 - rho * rho).sqrt() * normal::quantile(random.random());
        0.5 * statrs::function::erf::erfc(-value * std::f64::consts::FRAC_1_SQRT_2)
    };
    (0..ROWS).map(step).collect()
}

fn sessions(random: &mut StdRng, rows_each: usize) -> Vec<f64> {
    let values: Vec<f64> = (0..ROWS.div_ceil(rows_each)).map(|_| random.random()).collect();
    values.iter().flat_map(|v| std::iter::repeat_n(*v, rows_each)).take(ROWS).collect()
}

/// Sixteen even bins.
fn codes(values: &[f64]) -> Vec<u8> {
    values.iter().map(|v| (v * 16.0) as u8).collect()
}

fn check(codes: &[u8], bins: usize, strata: Option<&[u8]>) -> Clumping {
    clumping(&Sequence { codes, bins, strata, scores: None }, 100).unwrap()
}

/// Independent rows are never called dependent: even bins, and bins of one row in a thousand.
#[test]
fn independent_rows_have_factor_one() {
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..30 {
        let values: Vec<f64> = (0..4_000).map(|_| random.random()).collect();
        let even = check(&codes(&values), 16, None);
        let skewed: Vec<u8> = values.iter().map(|v| ((1.0 / (1.0 - v)).log2() as u8).min(11)).collect();
        let skewed = check(&skewed, 12, None);
        for found in [even, skewed] {
            assert!((found.factor - 1.0).abs() < f64::EPSILON && found.block == 1, "{round}: {found:?}");
            assert!(found.bins.iter().all(|f| (f - 1.0).abs() < f64::EPSILON), "{round}: {found:?}");
        }
    }
}

/// Nor are those of which nearly all lie in one bin: of the few others two are at times in one block.
#[test]
fn a_handful_of_rows_is_not_dependent() {
    let mut random = StdRng::seed_from_u64(7);
    let mut called = Vec::new();
    for few in [2, 4, 8, 16, 60, 200] {
        for _ in 0..40 {
            let mut codes = vec![2_u8; ROWS];
            for hit in 0..few {
                codes[random.random_range(0..ROWS)] = u8::from(hit % 4 > 0);
            }
            let found = check(&codes, 3, None);
            if found.factor > 1.0 {
                called.push((few, found.factor));
            }
        }
    }
    assert!(called.is_empty(), "{called:?}");
}

/// An AR(1) process shows in the score as `(1 + rho) / (1 - rho)`, and in the bins as much as the
/// outermost see of it; the block is longer than what the process remembers.
#[test]
fn slow_values_have_their_variance_ratio() {
    let mut random = StdRng::seed_from_u64(2);
    for (rho, value, outer, memory) in [(0.5, 2.96, 1.75, 8), (0.9, 18.7, 9.05, 32)] {
        let found = check(&codes(&autoregressive(&mut random, rho)), 16, None);
        let within = |f: &f64, truth: f64| *f > 0.95 * truth && *f < 2.0 * truth;
        assert!(within(&found.score, value) && found.factor >= found.score, "{rho}: {found:?}");
        assert!(found.bins.iter().all(|f| within(f, outer)), "{rho}: {found:?}");
        assert!(found.block >= memory && found.block < 1_000, "{rho}: {found:?}");
    }
}

/// Sessions of `m` identical rows have a factor of `m` in every bin, and not much more.
#[test]
fn sessions_have_their_length() {
    let mut random = StdRng::seed_from_u64(3);
    for rows_each in [2_u8, 5, 10, 50] {
        let found = check(&codes(&sessions(&mut random, rows_each.into())), 16, None);
        let length = f64::from(rows_each);
        let fits = |f: &f64| *f > 0.95 * length && *f < 2.5 * length;
        assert!(found.bins.iter().all(fits) && found.factor >= length, "{rows_each}: {found:?}");
        assert!(found.block >= rows_each.into(), "{rows_each}: {found:?}");
    }
}

/// A daily cycle is a dependence as long as nobody says what time it is.
#[test]
fn a_daily_cycle_is_gone_with_strata() {
    let mut random = StdRng::seed_from_u64(4);
    let hours: Vec<u8> = (0..ROWS).map(|row| (row % 1_000 * 24 / 1_000) as u8).collect();
    let values: Vec<f64> = hours
        .iter()
        .map(|hour| {
            let noon = (std::f64::consts::TAU * f64::from(*hour) / 24.0).sin();
            let value = normal::quantile(random.random()) + 0.5 * noon;
            0.5 * statrs::function::erf::erfc(-value * std::f64::consts::FRAC_1_SQRT_2)
        })
        .collect();
    let rows = codes(&values);
    let (blind, told) = (check(&rows, 16, None), check(&rows, 16, Some(&hours)));
    assert!(blind.factor > 10.0 && blind.block >= 256, "{blind:?}");
    assert!((told.factor - 1.0).abs() < f64::EPSILON, "{told:?}");
}

/// Eight hits of a rare bin in one clump of 20,000 rows are one event, and other bins stay out of it.
#[test]
fn one_clump_of_a_rare_bin_is_seen() {
    let mut random = StdRng::seed_from_u64(5);
    let calm = codes(&autoregressive(&mut random, 0.0));
    for apart in [1, 5, 25] {
        let mut rows = calm.clone();
        for hit in 0..8 {
            rows[7_000 + hit * apart] = 16;
        }
        let found = check(&rows, 17, None);
        assert!(found.bins[16] >= 8.0 && found.bins[16] <= 16.0, "{apart}: {found:?}");
        assert!(found.bins[..16].iter().all(|f| (f - 1.0).abs() < f64::EPSILON), "{apart}: {found:?}");
        assert!(found.block >= 8 * apart && found.p_value < 5e-4, "{apart}: {found:?}");
    }
    let mut rows = calm;
    for hit in 0..8 {
        rows[hit * 2_500] = 16;
    }
    assert!(
        (check(&rows, 17, None).bins[16] - 1.0).abs() < f64::EPSILON,
        "eight scattered hits are eight events"
    );
}

/// Bursts of nulls are a matter of the nulls: the other bins keep their full evidence.
#[test]
fn bursts_of_one_bin_leave_the_others_alone() {
    let mut random = StdRng::seed_from_u64(6);
    let mut rows = codes(&autoregressive(&mut random, 0.0));
    for _ in 0..20 {
        let start = random.random_range(0..ROWS - 20);
        rows[start..start + 20].fill(16);
    }
    let found = check(&rows, 17, None);
    assert!(found.bins[16] >= 19.0 && found.bins[16] < 40.0, "{found:?}");
    assert!(found.bins[..16].iter().all(|f| *f < 1.5) && found.score > 1.5, "{found:?}");
}

/// What cannot be checked is told apart from what is independent.
#[test]
fn what_cannot_be_checked_is_none() {
    let none = |codes: &[u8], bins, strata, scores| {
        assert!(clumping(&Sequence { codes, bins, strata, scores }, 1).is_none());
    };
    none(&[], 1, None, None);
    none(&[0; 63], 1, None, None);
    none(&[2; 100], 2, None, None);
    none(&[0; 100], 0, None, None);
    none(&[0; 100], 1, Some(&[0; 99]), None);
    none(&[0; 100], 2, None, Some(&[1.0]));
    none(&[0; 100], 2, None, Some(&[1.0, f64::NAN]));
    let constant = check(&[0; 100], 3, None);
    assert!((constant.factor - 1.0).abs() < f64::EPSILON, "a constant column tells nothing: {constant:?}");
    let own_strata: Vec<u8> = (0..100).collect();
    let constant = check(&[0; 100], 2, Some(&own_strata));
    assert!((constant.factor - 1.0).abs() < f64::EPSILON, "nor do strata of one row: {constant:?}");
}

/// Ratios and chances of every bin and length as numpy and scipy compute them the long way.
#[test]
fn agrees_with_scipy() {
    let text = include_str!("../../../tests/reference/clumping.jsonl");
    let mut checked = 0;
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let list = |name: &str| case[name].as_array().unwrap().clone();
        let bytes = |name: &str| list(name).iter().map(|v| v.as_u64().unwrap() as u8).collect::<Vec<u8>>();
        let (codes, strata, bins) =
            (bytes("codes"), bytes("strata"), case["bins"].as_u64().unwrap() as usize);
        let sequence = Sequence { codes: &codes, bins, strata: Some(&strata), scores: None };
        let margins = Margins::of(&sequence).unwrap();
        let (blocks, gaps) = (Blocks::of(&sequence, &margins), Gaps::of(&sequence, &margins));
        let close = |ours: f64, theirs: f64, what: &str| {
            let far = (ours - theirs).abs() > 1e-6 * (1.0 + theirs.abs());
            assert!(!far, "{what}: {ours}, expected {theirs}");
        };
        for series in list("blocks") {
            let name = series["name"].as_str().unwrap();
            let ours = match name.parse() {
                Ok(bin) => blocks.bin(bin),
                Err(_) if name == "score" => blocks.score(),
                Err(_) => blocks.pooled(),
            };
            let lengths = series["lengths"].as_array().unwrap();
            assert_eq!(ours.lengths().count(), lengths.len(), "{name}");
            for ((rows, value, ln_p), theirs) in ours.lengths().zip(lengths) {
                let label = format!("{name} at {rows}");
                close(
                    crate::units::count(crate::units::whole(rows)),
                    theirs["rows"].as_f64().unwrap(),
                    &label,
                );
                close(value, theirs["ratio"].as_f64().unwrap(), &label);
                // The cube root is close wherever a chance may be near a level, and never says less
                // far out than the gamma distribution.
                let theirs = theirs["ln_p"].as_f64().unwrap();
                let fits = if theirs > -20.0 { (ln_p - theirs).abs() < 1.0 } else { ln_p < -15.0 };
                assert!(fits, "{label}: {ln_p} {theirs}");
                checked += 1;
            }
        }
        for (bin, theirs) in list("gaps").iter().enumerate() {
            close(gaps.p_value(bin).ln(), theirs.as_f64().unwrap(), "gaps");
            checked += 1;
        }
    }
    assert!(checked > 50, "the table is there");
}
