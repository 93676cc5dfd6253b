//! Made-up traffic: the draws it is made of, and the table that becomes a file or a batch.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use rand::RngExt;
use rand::rngs::StdRng;

/// 2026-11-21T00:00:00Z, a whole day in every calendar that counts in UTC.
pub(crate) const START_MS: i64 = 1_795_219_200_000;

/// A column of a file.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    Numbers(Vec<Option<f64>>),
    Integers(Vec<i64>),
    Words(Vec<Option<String>>),
}

/// Columns of one length, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(Vec<(String, Cells)>);

impl Table {
    pub(crate) fn numbers(&mut self, name: &str, values: impl IntoIterator<Item = f64>) {
        self.0.push((name.to_owned(), Cells::Numbers(values.into_iter().map(Some).collect())));
    }

    pub(crate) fn words(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        self.0.push((name.to_owned(), Cells::Words(values.into_iter().map(Some).collect())));
    }

    pub(crate) fn integers(&mut self, name: &str, values: impl IntoIterator<Item = i64>) {
        self.0.push((name.to_owned(), Cells::Integers(values.into_iter().collect())));
    }

    pub(crate) fn column(&mut self, name: &str, cells: Cells) {
        self.0.push((name.to_owned(), cells));
    }

    /// Puts 0 into some columns of numbers, in this share of the rows from `from` on.
    pub(crate) fn zero(&mut self, names: &[&str], share: f64, from: usize, random: &mut StdRng) {
        let rows = self.0.first().map_or(0, |(_, cells)| cells.len());
        let hit: Vec<bool> = (0..rows).map(|row| row >= from && random.random_bool(share)).collect();
        for (_, cells) in self.0.iter_mut().filter(|(name, _)| names.contains(&name.as_str())) {
            let Cells::Numbers(values) = cells else { panic!("zeros go into numbers") };
            values.iter_mut().zip(&hit).filter(|(_, hit)| **hit).for_each(|(value, _)| *value = Some(0.0));
        }
    }

    pub(crate) fn arrow(&self) -> RecordBatch {
        let columns = self.0.iter().map(|(name, cells)| (name.as_str(), cells.arrow(), true));
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
    }

    /// Writes it as Parquet.
    pub(crate) fn write(&self, path: &Path) {
        let table = self.arrow();
        let file = File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut writer = ArrowWriter::try_new(file, table.schema(), None).expect("columns of plain types");
        writer.write(&table).expect("the table fits its own schema");
        writer.close().expect("the file can be written");
    }
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(cells) => cells.len(),
            Self::Integers(cells) => cells.len(),
            Self::Words(cells) => cells.len(),
        }
    }

    fn arrow(&self) -> ArrayRef {
        match self {
            Self::Numbers(cells) => Arc::new(Float64Array::from(cells.clone())),
            Self::Integers(cells) => Arc::new(Int64Array::from(cells.clone())),
            Self::Words(cells) => Arc::new(StringArray::from(cells.clone())),
        }
    }
}

/// A standard normal draw (Box and Muller).
pub(crate) fn normal(random: &mut StdRng) -> f64 {
    let radius = (-2.0 * open(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// An exponential draw of this mean.
pub(crate) fn exponential(random: &mut StdRng, mean: f64) -> f64 {
    -mean * open(random).ln()
}

/// A uniform draw above 0, so that it has a logarithm.
fn open(random: &mut StdRng) -> f64 {
    1.0 - random.random::<f64>()
}

/// The position of one of these weights, as often as it weighs.
pub(crate) fn pick(random: &mut StdRng, weights: &[f64]) -> usize {
    let mut left = random.random::<f64>() * weights.iter().sum::<f64>();
    let mut last = 0;
    for (position, weight) in weights.iter().enumerate() {
        last = position;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Rounded to this many decimals.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// From any number to a probability.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
