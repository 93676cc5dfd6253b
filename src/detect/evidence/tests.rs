use super::super::table::{LOSSES, Limits, Setup};
use super::*;

const LIMITS: [f64; 4] = [0.7, 0.2, 0.05, 0.001];
const LOWER: [f64; 4] = [0.5, 0.1, 0.02, 0.0];
/// The bet on the second bin becoming rarer covers a bin without a bet too.
const COVERS: [&[usize]; 4] = [&[0], &[1, 3], &[2], &[3]];

fn table(clumping: f64) -> Table {
    let tilts = TILTS.iter().map(|l| (0..4_u32).map(|b| (l * (f64::from(b) - 1.0)).exp() / 2.0).collect());
    Table::new(&Setup {
        more: vec![0.2, 0.1, 0.0, 0.3],
        less: vec![0.05, 0.05, 0.0, 0.0],
        covers: COVERS.map(<[usize]>::to_vec).to_vec(),
        tilt: 0.3,
        limits: vec![Limits {
            upper: LIMITS.to_vec(),
            lower: LOWER.to_vec(),
            tilts: tilts.collect(),
            is_known: true,
        }],
        clumping,
    })
}

/// What one row is worth to a bet, by the book.
fn e_value(table: &Table, bet: Bet, lane: usize, code: Code) -> f64 {
    let is_hit = usize::from(code) == bet.index;
    let e = match bet.family {
        Family::More => {
            let eps = EPSILONS[lane];
            if is_hit { 1.0 - eps + eps / LIMITS[bet.index] } else { 1.0 - eps }
        }
        Family::Less => {
            let (eta, p) = (LOSSES[lane], LOWER[bet.index]);
            if COVERS[bet.index].contains(&usize::from(code)) { 1.0 - eta } else { 1.0 + eta * p / (1.0 - p) }
        }
        Family::Tilt => return f64::from(table.strata[0].tilts[usize::from(code)][bet.index]),
    };
    e.powf(1.0 / table.clumping)
}

/// The direct recursion over every bet, which the lazy one must equal.
fn direct(table: &Table, codes: &[Code], lengths: &[f64]) -> f64 {
    let mut total = 0.0;
    for bet in table.bets() {
        let (lanes, weight) = match bet.family {
            Family::More => (4, table.weights[table.place(bet).unwrap()]),
            Family::Less => (2, table.less_weights[table.place(bet).unwrap()]),
            Family::Tilt => (1, table.tilt_weight),
        };
        for (lane, part) in LANE_PARTS.into_iter().enumerate().take(lanes) {
            let (mut r, mut length, mut steps, mut passed, mut ready) = (0.0, 0.0, 0, 0.0, 0.0);
            for (code, step) in codes.iter().zip(lengths) {
                length += step;
                if *code == SKIP {
                    continue;
                }
                let e = e_value(table, bet, lane, *code);
                if bet.family == Family::Less {
                    // Only blocks that are over may start a bet.
                    if steps == 0 {
                        (r, ready) = (r + ready, 0.0);
                    }
                    r *= e;
                    steps += 1;
                    passed += length;
                    if steps == BLOCK {
                        (ready, passed, steps) = (passed, 0.0, 0);
                    }
                } else {
                    r = (r + length) * e;
                }
                length = 0.0;
            }
            let part = if bet.family == Family::More { part } else { 1.0 };
            total += part * weight * r;
        }
    }
    total
}

fn stories() -> (Vec<Code>, Vec<f64>) {
    let codes = (0..517_u32).map(|i| match i {
        _ if i % 13 == 5 => SKIP,
        _ if i % 197 == 3 => 3,
        _ if i % 6 == 1 => 1,
        _ if i % 29 == 2 => 2,
        _ => 0,
    });
    (codes.collect(), (0..517_u32).map(|i| f64::from(i % 4) / 10.0).collect())
}

fn observe(evidence: &mut Evidence, table: &Table, code: Code, moment: Moment) {
    let Moment { length, tick, stratum } = moment;
    let rows = Rows { codes: &[code], lengths: &[length], first: tick, stratum };
    evidence.observe_rows(table, rows, Asked::Each(&mut [0.0]));
}

fn run(table: &Table, codes: &[Code], lengths: &[f64]) -> Evidence {
    let mut evidence = Evidence::new(table);
    for (tick, (code, length)) in (1..).zip(codes.iter().zip(lengths)) {
        observe(&mut evidence, table, *code, Moment { length: *length, tick, stratum: 0 });
    }
    evidence
}

/// The update in constant time of all bets of a stream is the plain recursion over each of them, in the
/// middle of a block too, whether tempered or not: to the last bits but two of single precision.
#[test]
fn lazy_update_is_exact() {
    let (codes, lengths) = stories();
    for clumping in [1.0, 3.7] {
        let table = table(clumping);
        for rows in [2, 40, 517] {
            let evidence = run(&table, &codes[..rows], &lengths[..rows]);
            let expected = direct(&table, &codes[..rows], &lengths[..rows]);
            let found = evidence.exact_total(&table);
            assert!((found / expected - 1.0).abs() < 5e-6, "{clumping} {rows}: {found} {expected}");
            let shares: f64 = table.bets().map(|bet| evidence.share(&table, bet)).sum();
            assert!((shares / expected - 1.0).abs() < 5e-6, "shares add up: {shares} {expected}");
        }
    }
}

/// A step of one row is a step with one share.
#[test]
fn one_row_is_one_share() {
    let (codes, lengths) = stories();
    let table = table(1.0);
    let expected = run(&table, &codes, &lengths);
    let mut evidence = Evidence::new(&table);
    for (tick, (code, length)) in (1..).zip(codes.iter().zip(&lengths)) {
        let hits: Vec<Hit> = if *code == SKIP { vec![] } else { vec![Hit { code: *code, share: 1.0 }] };
        evidence.observe_shares(&table, &hits, Moment { length: *length, tick, stratum: 0 });
    }
    assert!((evidence.exact_total(&table) / expected.exact_total(&table) - 1.0).abs() < 1e-12);
}

/// A bin that health has in nearly every row, or that comes in half of a block, is no evidence while it
/// comes: neither of the two powers that meet there is a number in single precision.
#[test]
fn common_bins_are_no_loss() {
    for lower in [0.999, 0.999_999, 1.0 - 1e-12] {
        let table = Table::new(&Setup {
            more: vec![0.0, 0.0],
            less: vec![0.5, 0.0],
            covers: vec![vec![0], vec![1]],
            tilt: 0.0,
            limits: vec![Limits {
                upper: vec![1.0, 1.0],
                lower: vec![lower, 0.0],
                tilts: Vec::new(),
                is_known: true,
            }],
            clumping: 1.0,
        });
        let healthy = run(&table, &[0; 1_000], &[1.0; 1_000]);
        assert!(healthy.exact_total(&table) < 1.0, "{lower}: {}", healthy.exact_total(&table));
        let half: Vec<Code> = (0..640).map(|i| Code::from(i % 2 == 0)).collect();
        let lost = run(&table, &half, &[1.0; 640]).exact_total(&table);
        assert!(lost > 1e9 && lost.is_finite(), "{lower}: {lost}");
    }
}

/// A fault of any length leaves finite evidence, and a reset none.
#[test]
fn evidence_never_overflows() {
    for code in [0, 3] {
        let table = table(1.0);
        let mut evidence = Evidence::new(&table);
        for tick in 1..200_000 {
            observe(&mut evidence, &table, code, Moment { length: 1.0, tick, stratum: 0 });
        }
        assert!(evidence.exact_total(&table).is_finite());
        evidence.reset();
        assert!(evidence.exact_total(&table) <= 0.0);
    }
}

/// The start of a change is found where it began.
#[test]
fn start_is_estimated() {
    let codes: Vec<Code> = (1..=300).map(|row| if row > 200 && row % 3 == 0 { 3 } else { 0 }).collect();
    let table = table(1.0);
    let evidence = run(&table, &codes, &vec![1.0; 300]);
    let suspicion = evidence.suspicion(&table, Bet { family: Family::More, index: 3 }).unwrap();
    assert_eq!((suspicion.since, suspicion.hits), (201, Some(34)));
    assert!(suspicion.nats > 50.0);
}

/// A tilt that has evidence in its first block began with it, and not with a fault before the reset.
#[test]
fn a_tilt_of_the_first_block_began_with_it() {
    let table = table(1.0);
    let mut evidence = run(&table, &[0; 640], &[1.0; 640]);
    evidence.reset();
    let codes = [3; 64];
    let rows = Rows { codes: &codes, lengths: &[], first: 100_001, stratum: 0 };
    evidence.observe_rows(&table, rows, Asked::AtMost(&mut 0.0));
    let suspicion = evidence.suspicion(&table, Bet { family: Family::Tilt, index: TILTS.len() - 1 }).unwrap();
    assert!(suspicion.nats > 10.0, "{suspicion:?}");
    assert_eq!(suspicion.since, 100_001);
}

/// Where clocks tell only seconds most blocks have no length: a loss is suspect there too, begins where it
/// began, and health is not suspect.
#[test]
fn coarse_clocks_hide_no_loss() {
    let (bet, rows) = (Bet { family: Family::Less, index: 1 }, 42_000_u32);
    let table = table(1.0);
    let lengths: Vec<f64> = (0..rows).map(|row| f64::from(row % 1_000 == 0)).collect();
    let lost = |row: u32| if row < 40_000 && row.is_multiple_of(5) { 1 } else { 0 };
    let codes: Vec<Code> = (0..rows).map(lost).collect();
    let mut evidence = Evidence::new(&table);
    let mut nats = |from: usize, to: usize| {
        let rows = Rows {
            codes: &codes[from..to],
            lengths: &lengths[from..to],
            first: u32::try_from(from).unwrap() + 1,
            stratum: 0,
        };
        evidence.observe_rows(&table, rows, Asked::AtMost(&mut 0.0));
        evidence.suspicion(&table, bet).map_or(0.0, |s| s.nats)
    };
    nats(0, 39_000);
    assert!((39_000..40_000).step_by(100).all(|from| nats(from, from + 100) < 9.0));
    nats(40_000, 41_000);
    assert!((41_000..42_000).step_by(100).all(|from| nats(from, from + 100) > 40.0));
    let suspicion = evidence.suspicion(&table, bet).unwrap();
    assert!((39_000..41_100).contains(&suspicion.since), "{suspicion:?}");
    assert_eq!(suspicion.loss, Some(0.98));
}

/// An hour that the baseline does not know bets nothing and lengthens the run.
#[test]
fn unknown_strata_bet_nothing() {
    let table = table(1.0);
    let mut evidence = Evidence::new(&table);
    observe(&mut evidence, &table, 3, Moment { length: 5.0, tick: 1, stratum: 7 });
    assert!(evidence.exact_total(&table) <= 0.0);
    observe(&mut evidence, &table, 3, Moment { length: 1.0, tick: 2, stratum: 0 });
    let at_once = run(&table, &[3], &[6.0]);
    assert!((evidence.exact_total(&table) / at_once.exact_total(&table) - 1.0).abs() < 1e-12);
}
