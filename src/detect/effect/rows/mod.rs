//! Sizes of change of whole rows, for people to read: never alarms.
//!
//! Matrices are of numbers, one row an inference, one column a feature, the same columns in the same order on both
//! sides. silentry keeps no rows: whoever has a sample of both asks.

pub(in crate::detect) mod boost;
mod domain;
mod reconstruction;

use ndarray::ArrayView2;

use crate::units::whole;

pub use domain::domain_auc;
pub use reconstruction::{Reconstruction, Residual};

/// Why there is no estimate. It is never 0 instead.
#[derive(Debug, thiserror::Error, Clone, PartialEq)]
pub enum NoEstimate {
    /// Not enough rows.
    #[error("{rows} rows, expected at least {expected}")]
    TooFewRows {
        /// Rows that were there.
        rows: u64,
        /// Rows that are needed.
        expected: u64,
    },
    /// No column at all, or others than in the baseline.
    #[error("{columns} columns, expected {expected}")]
    ColumnsDiffer {
        /// Columns that were there.
        columns: u64,
        /// As many as the baseline has, one at least.
        expected: u64,
    },
    /// As many labels or losses as rows are needed.
    #[error("{found} values for {rows} rows, expected one each")]
    LengthsDiffer {
        /// Values that were there.
        found: u64,
        /// Rows that they are of.
        rows: u64,
    },
    /// A value that is no number or not finite where one is needed.
    #[error("row {row}, column {column} is {value}, expected a finite number")]
    NotANumber {
        /// The row, from 0.
        row: u64,
        /// The column, from 0.
        column: u64,
        /// The value.
        value: f64,
    },
    /// Numbers whose squares do not fit.
    #[error("column {column} is too large or too widely spread for its variance")]
    TooLarge {
        /// The column, from 0.
        column: u64,
    },
    /// No column varies in the baseline.
    #[error("no column varies in the baseline, expected one at least")]
    NothingVaries,
    /// The target is the same in every row: what it depends on cannot be learnt.
    #[error("the target is {value} in every row of the baseline, expected one that varies")]
    TargetNeverVaries {
        /// The one value.
        value: f64,
    },
    /// A loss that is negative or not finite.
    #[error("row {row} has the loss {loss}, expected a finite number of at least 0")]
    NotALoss {
        /// The row, from 0.
        row: u64,
        /// The loss.
        loss: f64,
    },
    /// A score that is no probability.
    #[error("row {row} has the score {score}, expected a number from 0 to 1")]
    NotAProbability {
        /// The row, from 0.
        row: u64,
        /// The score.
        score: f64,
    },
    /// A ratio without a denominator.
    #[error("no row is {0}, so the ratio has no denominator")]
    NoneOf(&'static str),
    /// A class without rows in the baseline.
    #[error("the baseline has no row of class {class}")]
    ClassWithoutRows {
        /// The class, from 0.
        class: u64,
    },
    /// The model tells classes apart no better than chance would with so few rows.
    #[error(
        "the confusion matrix is singular within chance: {smallest:.3e}, expected more than {chance:.3e}"
    )]
    Singular {
        /// The smallest singular value of the shares of predictions by class.
        smallest: f64,
        /// One over the square root of the rows of the rarest class.
        chance: f64,
    },
    /// The library that computes gave up.
    #[error("{0}")]
    Failed(String),
}

/// Checks that there are columns, as many as expected, and enough rows.
pub(in crate::detect) fn check_shape(
    rows: ArrayView2<'_, f64>,
    columns: usize,
    rows_min: u64,
) -> Result<(), NoEstimate> {
    if rows.ncols() != columns || columns == 0 {
        let expected = if columns == 0 { 1 } else { whole(columns) };
        return Err(NoEstimate::ColumnsDiffer { columns: whole(rows.ncols()), expected });
    }
    let found = whole(rows.nrows());
    if found < rows_min {
        return Err(NoEstimate::TooFewRows { rows: found, expected: rows_min });
    }
    Ok(())
}

/// Checks that every value passes; NaN is what is missing.
pub(in crate::detect) fn check_values(
    rows: ArrayView2<'_, f64>,
    passes: fn(f64) -> bool,
) -> Result<(), NoEstimate> {
    match rows.indexed_iter().find(|(_, value)| !passes(**value)) {
        Some(((row, column), value)) => {
            Err(NoEstimate::NotANumber { row: whole(row), column: whole(column), value: *value })
        }
        None => Ok(()),
    }
}
