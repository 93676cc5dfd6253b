//! A bounded sample of recorded rows, as numbers: what the estimates over rows read.

use std::collections::BTreeMap;

use ndarray::Array2;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::SEED;
use crate::baseline::Baseline;
use crate::detect::{Answers, Truth};
use crate::record::{Batch, Cell, Column, Kind, Role, Scalar};
use crate::sketch::Sketch;
use crate::units::{count, whole};

/// Rows that are kept of a side, and bytes of their numbers, at the most.
const ROWS_MAX: usize = 20_000;
const BYTES_MAX: usize = 1 << 26;

/// How a cell becomes a number.
#[derive(Debug)]
enum Code {
    Number,
    /// 1 for true, 0 for false.
    Boolean,
    /// The share of the baseline's rows that have the word; 0 for one that it does not know.
    Share(BTreeMap<String, f64>),
}

/// A column that is read.
#[derive(Debug)]
struct Reading {
    position: usize,
    name: String,
    code: Code,
}

/// The column that holds the chance of a class.
#[derive(Debug)]
pub(super) struct Chance {
    position: usize,
    pub(super) column: String,
    /// The class that it is the chance of.
    pub(super) positive: Truth,
}

/// Where rows of a baseline's schema have their features and answers.
#[derive(Debug)]
pub(super) struct Layout {
    features: Vec<Reading>,
    outputs: Vec<Reading>,
    /// Columns that no number stands for, and why.
    pub(super) left_out: BTreeMap<String, String>,
    pub(super) answers: Answers,
    /// Or why there is no chance of one class of two.
    pub(super) chance: Result<Chance, String>,
}

/// One row of a sample.
#[derive(Debug)]
pub(super) struct Row {
    /// Features, then answers; NaN for what is missing or of another type.
    numbers: Box<[f64]>,
    /// The class or value that the model answered.
    pub(super) said: Option<Truth>,
    /// The chance of the positive class, if it is a number.
    pub(super) chance: Option<f64>,
    /// What turned out to be right.
    pub(super) truth: Option<Truth>,
}

impl Row {
    pub(super) fn number(&self, place: usize) -> f64 {
        self.numbers.get(place).copied().unwrap_or(f64::NAN)
    }
}

impl Layout {
    pub(super) fn of(baseline: &Baseline) -> Self {
        let (mut features, mut outputs, mut left_out) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (position, column) in baseline.schema().columns.iter().enumerate() {
            let readings = match column.role {
                Role::Input => &mut features,
                Role::Output => &mut outputs,
                Role::Meta => continue,
            };
            match code_of(column, baseline.profile().sketch(&column.name)) {
                Ok(code) => readings.push(Reading { position, name: column.name.clone(), code }),
                Err(why) => drop(left_out.insert(column.name.clone(), why.to_owned())),
            }
        }
        let answers = Answers::of(baseline.schema());
        Self { features, outputs, left_out, answers, chance: chance_of(&baseline.schema().columns) }
    }

    /// The names of the features, by place in a row.
    pub(super) fn features(&self) -> Vec<String> {
        self.features.iter().map(|reading| reading.name.clone()).collect()
    }

    /// Numbers of a row: features and answers.
    pub(super) fn width(&self) -> usize {
        self.features.len() + self.outputs.len()
    }

    fn row(&self, batch: &Batch, row: usize) -> Row {
        let cell =
            |position: usize| batch.columns().get(position).map_or(Cell::Null, |cells| cells.cell(row));
        let numbers =
            self.features.iter().chain(&self.outputs).map(|of| of.code.number(cell(of.position))).collect();
        let answer = self.answers.answer(batch, row);
        let chance = self.chance.as_ref().ok().and_then(|chance| match cell(chance.position) {
            Cell::Number(chance) if !chance.is_nan() => Some(chance),
            _ => None,
        });
        Row {
            numbers,
            said: answer.and_then(|answer| self.answers.said(&answer)),
            chance,
            truth: batch.meta().label(row).and_then(Truth::of),
        }
    }
}

impl Code {
    fn number(&self, cell: Cell<'_>) -> f64 {
        match (self, cell) {
            (Self::Number, Cell::Number(number)) => number,
            (Self::Boolean, Cell::Text(word)) => f64::from(u8::from(word == "true")),
            // The baseline is known to have no row with it.
            (Self::Share(shares), Cell::Text(word)) => shares.get(word).copied().unwrap_or(0.0),
            _ => f64::NAN,
        }
    }
}

fn code_of(column: &Column, sketch: Option<&Sketch>) -> Result<Code, &'static str> {
    match (column.kind, sketch) {
        (Kind::Numeric | Kind::Embedding, _) => Ok(Code::Number),
        (Kind::Boolean, _) => Ok(Code::Boolean),
        (Kind::Text, _) => Err("free text"),
        (Kind::Categorical, Some(Sketch::Categories(words))) if words.is_complete() => {
            let all = count(words.presence().present());
            let share = |(word, rows): (&str, u64)| (word.to_owned(), count(rows) / all);
            Ok(Code::Share(words.words().into_iter().map(share).collect()))
        }
        (Kind::Categorical, _) => Err("more words than a baseline keeps"),
    }
}

/// The chance of one class of two: that of `prob_<class>`, the positive one being class 1 or else the last; without
/// such columns `score`, the chance of class 1.
fn chance_of(columns: &[Column]) -> Result<Chance, String> {
    let outputs =
        || columns.iter().enumerate().filter(|(_, c)| c.role == Role::Output && c.kind.is_numeric());
    let chance =
        |position, column: &Column, positive| Chance { position, column: column.name.clone(), positive };
    let class = |column: &Column| Truth::of(&Scalar::Text(column.name.strip_prefix("prob_")?.to_owned()));
    let one = Truth::Number(1.0);
    let mut of_classes: Vec<Chance> =
        outputs().filter_map(|(at, column)| Some(chance(at, column, class(column)?))).collect();
    if of_classes.len() > 2 {
        return Err(format!(
            "the model answers with the chances of {} classes, expected 2",
            of_classes.len()
        ));
    }
    let place = of_classes.iter().position(|chance| chance.positive == one);
    let last = of_classes.pop();
    let of_one = place.and_then(|place| (place < of_classes.len()).then(|| of_classes.swap_remove(place)));
    let score = || outputs().find(|(_, column)| column.name == "score");
    of_one.or(last).or_else(|| score().map(|(at, column)| chance(at, column, one))).ok_or_else(|| {
        "no answer is a chance, expected a column `score` or `prob_<class>` of numbers".to_owned()
    })
}

/// Some rows of a side: each of them with the same chance, whatever it holds and whenever it came.
#[derive(Debug)]
pub(super) struct Sample {
    rows: Vec<Row>,
    rows_max: usize,
    pub(super) seen: u64,
    /// Rows with a label that can be read, and with one that cannot.
    pub(super) labelled: u64,
    pub(super) unreadable: u64,
    random: StdRng,
}

impl Sample {
    pub(super) fn new(layout: &Layout) -> Self {
        let rows_max = ROWS_MAX.min(BYTES_MAX / (layout.width().max(1) * size_of::<f64>()));
        let random = StdRng::seed_from_u64(SEED);
        Self { rows: Vec::new(), rows_max, seen: 0, labelled: 0, unreadable: 0, random }
    }

    /// Takes the rows of a batch (Vitter's algorithm R).
    pub(super) fn observe(&mut self, layout: &Layout, batch: &Batch) {
        for row in 0..batch.len() {
            match batch.meta().label(row).map(Truth::of) {
                Some(Some(_)) => self.labelled += 1,
                Some(None) => self.unreadable += 1,
                None => {}
            }
            let place = self.random.random_range(0..=self.seen);
            self.seen += 1;
            if self.rows.len() < self.rows_max {
                self.rows.push(layout.row(batch, row));
            } else if let Some(slot) = usize::try_from(place).ok().and_then(|place| self.rows.get_mut(place))
            {
                *slot = layout.row(batch, row);
            }
        }
    }

    /// The rows, in an order that tells nothing: any part of them is a sample as well.
    pub(super) fn finish(mut self) -> Vec<Row> {
        self.rows.shuffle(&mut self.random);
        self.rows
    }

    pub(super) fn used(&self) -> u64 {
        whole(self.rows.len())
    }
}

/// Rows as a matrix of some of their numbers.
pub(super) fn matrix(rows: &[&Row], places: &[usize]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), places.len()), |(row, place)| {
        let row = rows.get(row).zip(places.get(place));
        row.map_or(f64::NAN, |(row, place)| row.number(*place))
    })
}

/// Those without an infinite number, and how many have one: trees take what is missing, and nothing beyond all numbers.
pub(super) fn bounded<'a>(rows: impl IntoIterator<Item = &'a Row>, width: usize) -> (Vec<&'a Row>, u64) {
    let mut left_out = 0;
    let mut kept = Vec::new();
    for row in rows {
        if (0..width).any(|place| row.number(place).is_infinite()) {
            left_out += 1;
        } else {
            kept.push(row);
        }
    }
    (kept, left_out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{BatchBuilder, Schema};

    fn outputs(names: &[&str]) -> Vec<Column> {
        names
            .iter()
            .map(|name| Column::plain(name, Role::Output, Kind::Numeric, Schema::OUTPUT_GROUP))
            .collect()
    }

    /// The positive class is 1 where there is one, else the last; a score is the chance of 1; and of none or of many
    /// it is said why there is no one chance.
    #[test]
    fn the_chance_of_one_class() {
        for (names, column, positive) in [
            (vec!["prob_0", "prob_1"], "prob_1", "1"),
            (vec!["prob_1", "prob_0"], "prob_1", "1"),
            (vec!["prob_true"], "prob_true", "1"),
            (vec!["prob_bad", "prob_good", "score"], "prob_good", "good"),
            (vec!["prediction", "score"], "score", "1"),
        ] {
            let chance = chance_of(&outputs(&names)).unwrap();
            assert_eq!(
                (chance.column.as_str(), chance.positive.to_string().as_str()),
                (column, positive),
                "{names:?}"
            );
        }
        let of = |names: &[&str]| chance_of(&outputs(names)).map(|chance| chance.column).unwrap_err();
        assert!(of(&["prob_a", "prob_b", "prob_c"]).contains("3 classes, expected 2"));
        assert!(of(&["prediction"]).contains("expected a column `score` or `prob_<class>`"));
    }

    /// A layout of one feature, `n`.
    fn layout(code: Code, kind: Kind) -> (Layout, Arc<Schema>) {
        let column = Column::plain("n", Role::Input, kind, Schema::REQUEST_GROUP);
        let schema = Arc::new(Schema::new("m".to_owned(), None, vec![column]).unwrap());
        let features = vec![Reading { position: 0, name: "n".to_owned(), code }];
        let (answers, chance) = (Answers::of(&schema), Err("none".to_owned()));
        let layout = Layout { features, outputs: Vec::new(), left_out: BTreeMap::new(), answers, chance };
        (layout, schema)
    }

    fn batch(schema: &Arc<Schema>, lines: impl Iterator<Item = serde_json::Value>) -> Batch {
        let mut rows = BatchBuilder::new(Arc::clone(schema));
        for (ts, features) in lines.enumerate() {
            let line =
                serde_json::json!({"ts": ts, "model": "m", "features": features, "label": {"of": "no kind"}});
            rows.push(&serde_json::from_value(line).unwrap());
        }
        rows.finish().unwrap().0
    }

    /// However many rows come, no more are kept than there is room for; early and late ones alike, each once, the same
    /// ones each time; and all are counted.
    #[test]
    fn a_sample_is_bounded_and_even() {
        let (layout, schema) = layout(Code::Number, Kind::Numeric);
        let numbers = || batch(&schema, (0..2_000).map(|n| serde_json::json!({"n": n})));
        let drawn = || {
            let mut sample = Sample { rows_max: 400, ..Sample::new(&layout) };
            sample.observe(&layout, &numbers());
            assert_eq!(
                (sample.seen, sample.used(), sample.labelled, sample.unreadable),
                (2_000, 400, 0, 2_000)
            );
            sample.finish().iter().map(|row| row.number(0)).collect::<Vec<f64>>()
        };
        let kept = drawn();
        assert_eq!(kept, drawn(), "one seed, one sample");
        let mut sorted = kept.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        assert_eq!(sorted.len(), 400);
        // Half of 400 with a standard deviation of 9: five of them.
        for part in [&kept[..], &kept[..200]] {
            let late =
                count(whole(part.iter().filter(|n| **n >= 1_000.0).count())) / count(whole(part.len()));
            assert!((late - 0.5).abs() < 0.18, "{late} of {} are late", part.len());
        }
    }

    /// Words are the share of rows that have them, 0 for those that no row had; what is missing or of another type is
    /// no number, never 0.
    #[test]
    fn words_and_what_is_missing() {
        let shares = BTreeMap::from([("often".to_owned(), 0.75), ("seldom".to_owned(), 0.25)]);
        let cells = [
            serde_json::json!("often"),
            serde_json::json!("never"),
            serde_json::Value::Null,
            serde_json::json!(3),
        ];
        for (code, kind, expected) in [
            (Code::Share(shares), Kind::Categorical, [0.75, 0.0, f64::NAN, f64::NAN]),
            (Code::Number, Kind::Numeric, [f64::NAN, f64::NAN, f64::NAN, 3.0]),
        ] {
            let (layout, schema) = layout(code, kind);
            let batch = batch(&schema, cells.iter().map(|cell| serde_json::json!({"n": cell})));
            for (row, expected) in expected.into_iter().enumerate() {
                let found = layout.row(&batch, row).number(0);
                assert!(found.total_cmp(&expected).is_eq(), "row {row}: {found}, expected {expected}");
            }
        }
        let infinite = Row { numbers: Box::new([1.0, f64::INFINITY]), said: None, chance: None, truth: None };
        assert_eq!((bounded([&infinite], 1).1, bounded([&infinite], 2).1), (0, 1));
    }
}
