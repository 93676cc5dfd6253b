//! Ways in which traffic goes wrong without an error, as functions of rows.

use rand::RngExt;
use rand::rngs::StdRng;

use super::loans::{AGE, BALANCE, COUNTRY, INCOME, RATIO, Row, STORE, TENURE};

/// A silent fault.
pub(super) struct Fault {
    pub(super) name: &'static str,
    /// Rows within which it must be found: generous, so that a miss is a loss and no bad luck.
    pub(super) within: u64,
    /// What becomes of the rows since its start; `last` are the healthy ones before it.
    pub(super) damage: fn(rows: Vec<Row>, last: &[Row], random: &mut StdRng) -> Vec<Row>,
    /// Whether the model answers to the damaged rows; else it is the answers that are damaged.
    pub(super) answers_follow: bool,
}

const fn of_features(
    name: &'static str,
    within: u64,
    damage: fn(Vec<Row>, &[Row], &mut StdRng) -> Vec<Row>,
) -> Fault {
    Fault { name, within, damage, answers_follow: true }
}

const fn of_answers(
    name: &'static str,
    within: u64,
    damage: fn(Vec<Row>, &[Row], &mut StdRng) -> Vec<Row>,
) -> Fault {
    Fault { name, within, damage, answers_follow: false }
}

/// The catalogue of the suite.
pub(super) const FAULTS: &[Fault] = &[
    of_features("group to zeros in all rows", 10, |rows, _, random| some(rows, 1.0, random, zeros)),
    of_features("group to zeros in 30 % of rows", 60, |rows, _, random| some(rows, 0.3, random, zeros)),
    of_features("group to zeros in 5 % of rows", 250, |rows, _, random| some(rows, 0.05, random, zeros)),
    of_features("group to zeros in 1 % of rows", 1_500, |rows, _, random| some(rows, 0.01, random, zeros)),
    of_features("nulls in 10 % of a column", 150, |rows, _, random| {
        some(rows, 0.1, random, |row| row.numbers[INCOME] = None)
    }),
    of_features("NaN in 10 % of a column", 150, |rows, _, random| {
        some(rows, 0.1, random, |row| row.numbers[RATIO] = Some(f64::NAN))
    }),
    of_answers("constant answer", 60, |rows, _, random| {
        some(rows, 1.0, random, |row| (row.prediction, row.probability) = (0, Some(0.27)))
    }),
    of_features("group stuck at its last values", 30, |rows, last, random| {
        let stuck = last.last().expect("healthy rows came before").numbers;
        some(rows, 1.0, random, |row| STORE.iter().for_each(|n| row.numbers[*n] = stuck[*n]))
    }),
    of_features("every third row twice, with ids of their own", 400, |rows, _, random| {
        duplicated(rows, random)
    }),
    of_features("the last 200 rows again and again", 500, |rows, last, _| replayed(rows, last)),
    of_features("a column times 100", 15, |rows, _, random| {
        some(rows, 1.0, random, |row| changed(row, RATIO, |v| v * 100.0))
    }),
    of_features("a column half a deviation higher", 500, |rows, _, random| {
        some(rows, 1.0, random, |row| changed(row, RATIO, |v| v + 0.13))
    }),
    of_features("a column rounded to one decimal", 100, |rows, _, random| {
        some(rows, 1.0, random, |row| changed(row, RATIO, |v| (v * 10.0).round() / 10.0))
    }),
    of_features("a column clipped at its ninetieth percentile", 400, |rows, _, random| {
        some(rows, 1.0, random, |row| changed(row, INCOME, |v| if v > 58_000.0 { 58_000.0 } else { v }))
    }),
    of_features("numbers as text", 15, |rows, _, random| {
        some(rows, 1.0, random, |row| row.age_is_text = true)
    }),
    of_features("an unseen category in 10 % of rows", 150, |rows, _, random| {
        some(rows, 0.1, random, |row| row.words[COUNTRY] = Some("atlantis".to_owned()))
    }),
    of_features("half of the wealthy rows lost", 800, |rows, _, random| {
        rows.into_iter().filter(|row| row.wealth() < 0.7 || random.random_bool(0.5)).collect()
    }),
    of_features("a wealthier population", 600, |rows, _, random| tilted(rows, 0.5, random)),
    of_features("a slightly wealthier population", 1_500, |rows, _, random| tilted(rows, 0.25, random)),
    of_features("-999 in 5 % of a column", 250, |rows, _, random| {
        some(rows, 0.05, random, |row| row.numbers[TENURE] = Some(-999.0))
    }),
    of_features("the mean in 30 % of a column", 100, |rows, _, random| {
        some(rows, 0.3, random, |row| row.numbers[BALANCE] = Some(900.37))
    }),
    of_features("the most common age in 30 % of rows", 400, |rows, _, random| {
        some(rows, 0.3, random, |row| row.numbers[AGE] = Some(19.0))
    }),
    of_answers("classes permuted", 60, |rows, _, random| {
        some(rows, 1.0, random, |row| {
            (row.prediction, row.probability) = (1 - row.prediction, row.probability.map(|p| 1.0 - p));
        })
    }),
];

fn some(rows: Vec<Row>, share: f64, random: &mut StdRng, damage: impl Fn(&mut Row)) -> Vec<Row> {
    let mut rows = rows;
    rows.iter_mut().filter(|_| random.random_bool(share)).for_each(damage);
    rows
}

fn zeros(row: &mut Row) {
    STORE.iter().for_each(|n| row.numbers[*n] = Some(0.0));
}

fn changed(row: &mut Row, number: usize, change: impl Fn(f64) -> f64) {
    row.numbers[number] = row.numbers[number].map(change);
}

/// Rows drawn by a weight that grows with what they have (an exponential tilt), as many a second as before.
fn tilted(rows: Vec<Row>, strength: f64, random: &mut StdRng) -> Vec<Row> {
    let times: Vec<i64> = rows.iter().map(|row| row.ts).collect();
    let share = |row: &Row| (strength * (row.wealth() - 2.5)).exp().clamp(0.0, 1.0);
    let kept = rows.into_iter().filter(|row| random.random_bool(share(row)));
    kept.zip(times).map(|(row, ts)| Row { ts, ..row }).collect()
}

fn duplicated(rows: Vec<Row>, random: &mut StdRng) -> Vec<Row> {
    let twice = |row: Row| {
        let again = random.random_bool(0.33).then(|| Row { id: format!("{}-again", row.id), ..row.clone() });
        std::iter::once(row).chain(again)
    };
    rows.into_iter().flat_map(twice).collect()
}

/// Old contents under new ids and at new times.
fn replayed(rows: Vec<Row>, last: &[Row]) -> Vec<Row> {
    let old = last[last.len() - 200..].iter().cycle();
    rows.into_iter().zip(old).map(|(new, old)| Row { ts: new.ts, id: new.id, ..old.clone() }).collect()
}
