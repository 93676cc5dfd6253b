//! The suite's traffic: a made-up table with ties, natural zeros and categories, and a model whose answer
//! is computed from its features.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::synthetic::{Cells, START_MS, Table, exponential, normal, pick, rounded, sigmoid};

pub(super) const AGE: usize = 0;
pub(super) const INCOME: usize = 1;
pub(super) const BALANCE: usize = 2;
pub(super) const TENURE: usize = 3;
pub(super) const SPEND: usize = 4;
pub(super) const RATIO: usize = 5;
const NUMBERS: [&str; 6] = ["age", "income", "balance", "tenure", "spend", "ratio"];
const WORDS: [&str; 2] = ["country", "plan"];
pub(super) const COUNTRY: usize = 0;

/// The features of one upstream.
pub(super) const STORE: [usize; 3] = [INCOME, TENURE, SPEND];
/// What the user says of the columns.
pub(super) const SCHEMA: &str = "groups: {'redis:user': [income, tenure, spend]}";

/// Milliseconds between rows, on average.
const GAP_MS: f64 = 20.0;
/// Where a model puts what is missing: about the means of the table.
const MEANS: [f64; 6] = [39.0, 32_000.0, 900.0, 35.0, 55.0, 0.4];

/// One application, and what the model said to it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) ts: i64,
    pub(super) id: String,
    pub(super) numbers: [Option<f64>; 6],
    pub(super) words: [Option<String>; 2],
    /// Whether the age came as text.
    pub(super) age_is_text: bool,
    pub(super) prediction: i64,
    pub(super) probability: Option<f64>,
}

impl Row {
    /// A number of the row in units of its spread, for weights by content.
    pub(super) fn wealth(&self) -> f64 {
        (self.numbers[INCOME].expect("healthy").ln() - 10.2) / 0.6
    }
}

/// So many healthy rows; the same seed, the same rows.
pub(super) fn rows(seed: u64, rows: usize) -> Vec<Row> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut now = 0.0;
    let mut drawn: Vec<Row> = (0..rows)
        .map(|n| {
            now += exponential(&mut random, GAP_MS);
            row(&mut random, format!("{seed}-{n}"), now)
        })
        .collect();
    drawn.iter_mut().for_each(answer);
    drawn
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of an hour")]
fn row(random: &mut StdRng, id: String, now: f64) -> Row {
    let age = rounded(18.0 + 70.0 * random.random::<f64>() * random.random::<f64>(), 0);
    let income = rounded((10.2 + 0.6 * normal(random)).exp(), 2);
    let balance = if random.random_bool(0.4) { 0.0 } else { rounded(exponential(random, 1_500.0), 2) };
    let tenure = rounded(1.0 + exponential(random, 34.0), 0);
    let spend = rounded(0.002 * income * (0.5 * normal(random)).exp(), 2);
    let ratio = rounded(random.random::<f64>().powi(2) * 0.9 + 0.1, 4);
    let country = pick(random, &[40.0, 20.0, 12.0, 8.0, 6.0, 5.0, 3.0, 2.0, 1.5, 1.0, 1.0, 0.5]);
    let plan = ["free", "basic", "plus", "pro"][pick(random, &[5.0, 3.0, 1.5, 0.5])];
    Row {
        ts: START_MS + now as i64,
        id,
        numbers: [age, income, balance, tenure, spend, ratio].map(Some),
        words: [Some(format!("country-{country}")), Some(plan.to_owned())],
        age_is_text: false,
        prediction: 0,
        probability: None,
    }
}

/// The model: what is missing or no number is taken for its mean.
pub(super) fn answer(row: &mut Row) {
    let number = |n: usize| row.numbers[n].filter(|v| v.is_finite()).unwrap_or(MEANS[n]);
    let plan = match row.words[1].as_deref() {
        Some("pro") => 1.0,
        Some("plus") => 0.5,
        _ => 0.0,
    };
    let log = |value: f64| value.abs().ln_1p();
    let linear = 0.02 * (number(AGE) - 39.0) + 1.1 * (log(number(INCOME)) - 10.2)
        - 0.15 * (log(number(BALANCE)) - 4.0)
        + 0.3 * (log(number(TENURE)) - 3.2)
        - 2.0 * (number(RATIO) - 0.4)
        + plan
        - 1.2;
    let probability = sigmoid(linear);
    row.prediction = i64::from(probability >= 0.5);
    row.probability = Some(probability);
}

/// The rows as columns of a file.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::default();
    table.integers("ts", rows.iter().map(|row| row.ts));
    table.words("request_id", rows.iter().map(|row| row.id.clone()));
    for (n, name) in NUMBERS.into_iter().enumerate() {
        let numbers = rows.iter().map(|row| row.numbers[n]);
        let cells = if n == AGE && rows.iter().any(|row| row.age_is_text) {
            Cells::Words(rows.iter().map(age_as_json).collect())
        } else {
            Cells::Numbers(numbers.collect())
        };
        table.column(name, cells);
    }
    for (n, name) in WORDS.into_iter().enumerate() {
        table.column(name, Cells::Words(rows.iter().map(|row| row.words[n].clone()).collect()));
    }
    table.integers("prediction", rows.iter().map(|row| row.prediction));
    table.column("prob_1", Cells::Numbers(rows.iter().map(|row| row.probability).collect()));
    table
}

/// A column that changed its type is stored as JSON: `39` is a number, `"39"` is text.
fn age_as_json(row: &Row) -> Option<String> {
    let age = row.numbers[AGE]?;
    Some(if row.age_is_text { format!("\"{age}\"") } else { age.to_string() })
}
