//! Rows that relations are fitted to: a bounded number, kept only while a baseline is planned.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::bins::Plan;
use crate::detect::cut::{Code, Cutter};
use crate::record::{Batch, Cell, Column, Kind, Role, Schema};

/// Rows that are kept, and bytes, at the most.
const SAMPLE_ROWS_MAX: usize = 20_000;
const SAMPLE_BYTES_MAX: usize = 1 << 26;
/// Distinct words of a column that are told apart.
const WORDS_MAX: usize = 10_000;

/// Some rows of a recording, column by column.
#[derive(Debug)]
pub(in crate::detect) struct Sample {
    /// By column of the schema; none where it takes part in no relation.
    columns: Vec<Option<Kept>>,
    /// By row: the hour of the day (UTC).
    hours: Vec<u8>,
    /// The stretches that are kept, in the order of their rows.
    stretches: Vec<Stretch>,
    /// The least rank that was thrown out.
    thrown_out: Option<u64>,
    rows_max: usize,
}

/// Rows of one stretch of a recording.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    number: u64,
    /// Those with the highest are thrown out first.
    rank: u64,
    rows: usize,
}

#[derive(Debug)]
enum Kept {
    /// NaN where there is no number.
    Numbers(Vec<f64>),
    Words {
        known: BTreeMap<String, usize>,
        words: Vec<Word>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Known(usize),
    /// One more than can be told apart.
    Other,
    Null,
}

/// One column of the sample once its bins are planned.
#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) position: usize,
    /// By row; NaN where there is none. None for words.
    pub(super) numbers: Option<Vec<f64>>,
    /// By row: the bin of the column's own stream.
    pub(super) codes: Vec<Code>,
}

impl Sample {
    pub(in crate::detect) fn new(schema: &Schema) -> Self {
        let of = |column: &Column| match column.kind {
            _ if column.role == Role::Meta => None,
            Kind::Numeric | Kind::Embedding => Some(Kept::Numbers(Vec::new())),
            Kind::Categorical | Kind::Boolean => {
                Some(Kept::Words { known: BTreeMap::new(), words: Vec::new() })
            }
            Kind::Text => None,
        };
        let columns: Vec<Option<Kept>> = schema.columns.iter().map(of).collect();
        let width = columns.iter().flatten().count().max(1);
        let rows_max = SAMPLE_ROWS_MAX.min(SAMPLE_BYTES_MAX / (width * size_of::<Word>()));
        Self { columns, hours: Vec::new(), stretches: Vec::new(), thrown_out: None, rows_max }
    }

    /// A row of a stretch, which comes with its rank: those with the lowest are kept, so that they are spread over
    /// all that is recorded.
    pub(in crate::detect) fn observe(&mut self, batch: &Batch, row: usize, (number, rank): (u64, u64)) {
        if self.thrown_out.is_some_and(|least| rank >= least) {
            return;
        }
        match self.stretches.last_mut().filter(|last| last.number == number) {
            Some(last) => last.rows += 1,
            None => self.stretches.push(Stretch { number, rank, rows: 1 }),
        }
        self.push(batch, row);
        while self.hours.len() > self.rows_max {
            let worst = (0..self.stretches.len()).max_by_key(|i| self.stretches.get(*i).map(|s| s.rank));
            let Some(worst) = worst else { return };
            self.throw_out(worst);
        }
    }

    /// Rows that are kept at the most: fewer of many columns.
    pub(super) const fn room(&self) -> usize {
        self.rows_max
    }

    /// The numbers of the stretches of which rows are kept.
    pub(in crate::detect) fn stretches(&self) -> BTreeSet<u64> {
        self.stretches.iter().map(|s| s.number).collect()
    }

    /// Throws a stretch out; where it is the only one, its last row.
    fn throw_out(&mut self, place: usize) {
        let from: usize = self.stretches.iter().take(place).map(|s| s.rows).sum();
        let rows = match &mut self.stretches[..] {
            [only] => {
                only.rows -= 1;
                only.rows..only.rows + 1
            }
            _ => {
                let stretch = self.stretches.remove(place);
                self.thrown_out = Some(self.thrown_out.map_or(stretch.rank, |least| least.min(stretch.rank)));
                from..from + stretch.rows
            }
        };
        self.hours.drain(rows.clone());
        for kept in self.columns.iter_mut().flatten() {
            match kept {
                Kept::Numbers(values) => drop(values.drain(rows.clone())),
                Kept::Words { words, .. } => drop(words.drain(rows.clone())),
            }
        }
    }

    fn push(&mut self, batch: &Batch, row: usize) {
        self.hours.push(batch.meta().ts().get(row).map_or(0, |ts| super::hour_of_day(*ts)));
        for (kept, cells) in self.columns.iter_mut().zip(batch.columns()) {
            match (kept, cells.cell(row)) {
                (Some(Kept::Numbers(values)), Cell::Number(v)) => values.push(v),
                (Some(Kept::Numbers(values)), _) => values.push(f64::NAN),
                (Some(Kept::Words { known, words }), Cell::Text(word)) => {
                    let next = known.len();
                    let found = known.get(word).copied();
                    words.push(match found {
                        Some(id) => Word::Known(id),
                        None if next < WORDS_MAX => {
                            known.insert(word.to_owned(), next);
                            Word::Known(next)
                        }
                        None => Word::Other,
                    });
                }
                (Some(Kept::Words { words, .. }), _) => words.push(Word::Null),
                (None, _) => {}
            }
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.hours.len()
    }

    pub(super) fn hours(&self) -> &[u8] {
        &self.hours
    }

    /// A column in the bins of its stream.
    pub(super) fn column(&self, position: usize, plan: &Plan) -> Option<Sampled> {
        let cutter = Cutter::new(plan);
        let null = cutter.code(Cell::Null);
        match self.columns.get(position)?.as_ref()? {
            Kept::Numbers(values) => {
                let code = |v: &f64| if v.is_nan() { null } else { cutter.code(Cell::Number(*v)) };
                let codes = values.iter().map(code).collect();
                Some(Sampled { position, numbers: Some(values.clone()), codes })
            }
            Kept::Words { known, words } => {
                let mut of_word = vec![null; known.len()];
                for (word, id) in known {
                    if let Some(code) = of_word.get_mut(*id) {
                        *code = cutter.code(Cell::Text(word));
                    }
                }
                // More words than are planned for are in no plan either.
                let other = cutter.code(Cell::Text("\u{0}"));
                let code = |word: &Word| match word {
                    Word::Known(id) => of_word.get(*id).copied().unwrap_or(null),
                    Word::Other => other,
                    Word::Null => null,
                };
                Some(Sampled { position, numbers: None, codes: words.iter().map(code).collect() })
            }
        }
    }
}
