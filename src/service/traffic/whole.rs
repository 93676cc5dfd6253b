//! How far whole rows differ, their features taken together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sample::{Layout, Row, bounded, matrix};
use super::{Figure, Parts, SEED, Sides, told};
use crate::detect::{Reconstruction, Residual, domain_auc};
use crate::units::{count, whole};

/// A column without a number in a larger part of a side's rows is none that rows are reconstructed by.
const MISSING_MAX: f64 = 0.5;

/// Whole rows of both sides, by all their features at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WholeRows {
    /// The features that take part: numbers; booleans as 1 and 0; words as the share of the baseline's rows that have
    /// them, 0 for words that it does not know.
    pub columns: Vec<String>,
    /// The columns that do not, and why; answers among them, which are read beside the features where harm is
    /// estimated.
    pub left_out: BTreeMap<String, String>,
    /// How far rows lie from their reconstruction.
    pub reconstruction: ReconstructionError,
    /// How well rows can be told from those of the reference.
    pub domain: Domain,
}

/// The error of rows rebuilt from the principal components of one part of the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReconstructionError {
    /// The components that are kept; absent where none are.
    pub components: Option<u64>,
    /// The mean over rows, in standard deviations of the columns: of the held part of the reference, and of the input.
    pub mean: Sides<Figure>,
    /// The standard deviation over rows, of both.
    pub deviation: Sides<Figure>,
    /// Rows without a finite number in each of the columns, which have no error, of both.
    pub rows_left_out: Sides<u64>,
    /// Columns that take no part in this, and why.
    pub columns_left_out: BTreeMap<String, String>,
}

/// The area under the curve of a classifier that tells rows from one part of the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Domain {
    /// Of the held part of the reference, about 0.5, and of as many rows of the input: 1 where every row can be told.
    pub auc: Sides<Figure>,
    /// The same with the answers beside the features: answers that are not of their rows are told by this alone.
    pub with_answers: Sides<Figure>,
    /// Rows with an infinite number, which are left out, of both.
    pub rows_left_out: Sides<u64>,
}

impl WholeRows {
    pub(super) fn of(layout: &Layout, parts: &Parts<'_>) -> Self {
        let columns = layout.features();
        Self {
            reconstruction: reconstruction(&columns, parts),
            domain: domain(columns.len(), layout.width(), parts),
            left_out: layout.left_out.clone(),
            columns,
        }
    }
}

fn reconstruction(columns: &[String], parts: &Parts<'_>) -> ReconstructionError {
    let (mut places, mut columns_left_out) = (Vec::new(), BTreeMap::new());
    for (place, column) in columns.iter().enumerate() {
        match why_not(place, parts) {
            None => places.push(place),
            Some(why) => drop(columns_left_out.insert(column.clone(), why)),
        }
    }
    let sound = |rows: &'_ [Row]| {
        let is_finite = |row: &&Row| places.iter().all(|place| row.number(*place).is_finite());
        let kept: Vec<&Row> = rows.iter().filter(is_finite).collect();
        (matrix(&kept, &places), whole(rows.len() - kept.len()))
    };
    let ((fitted, _), (held, held_out), (input, input_out)) =
        (sound(parts.fitted), sound(parts.held), sound(parts.input));
    let fit = if places.is_empty() && !columns_left_out.is_empty() {
        Err("no feature has a finite number in half of the rows of both sides".to_owned())
    } else {
        Reconstruction::fit(fitted.view()).map_err(|why| told(&why))
    };
    let residual = |rows: &ndarray::Array2<f64>| -> Result<Residual, String> {
        fit.as_ref().map_err(Clone::clone)?.residual(rows.view()).map_err(|why| told(&why))
    };
    let of = Sides { reference: residual(&held), input: residual(&input) };
    let deviation = |residual: &Result<Residual, String>| match residual {
        Ok(Residual { deviation: Some(deviation), .. }) => Figure::known(*deviation),
        Ok(_) => Figure::unknown("one row has no deviation"),
        Err(why) => Figure::unknown(why),
    };
    ReconstructionError {
        components: fit.as_ref().ok().map(Reconstruction::components),
        mean: of.map(|residual| Figure::from(residual.as_ref().map(|residual| residual.mean))),
        deviation: of.map(deviation),
        rows_left_out: Sides { reference: held_out, input: input_out },
        columns_left_out,
    }
}

/// Why rows are not reconstructed by a column: on one of the sides most rows have no number there.
fn why_not(place: usize, parts: &Parts<'_>) -> Option<String> {
    let missing = |rows: &[Row]| whole(rows.iter().filter(|row| !row.number(place).is_finite()).count());
    let nothing: &[Row] = &[];
    let sides = [("reference", [parts.fitted, parts.held]), ("input", [parts.input, nothing])];
    sides.into_iter().find_map(|(side, parts)| {
        let without: u64 = parts.into_iter().map(missing).sum();
        let all: u64 = parts.into_iter().map(|rows| whole(rows.len())).sum();
        (count(without) > MISSING_MAX * count(all))
            .then(|| format!("{without} of {all} rows of the {side} have no finite number there"))
    })
}

fn domain(features: usize, width: usize, parts: &Parts<'_>) -> Domain {
    let (fitted, _) = bounded(parts.fitted, width);
    let (held, held_out) = bounded(parts.held, width);
    let (input, input_out) = bounded(parts.input, width);
    // As many of both: areas of trees that were grown on fewer rows are others.
    let rows = held.len().min(input.len());
    let told_by = |columns: usize| {
        let places: Vec<usize> = (0..columns).collect();
        let fitted = matrix(&fitted, &places);
        let auc = |side: &[&Row]| {
            let side = matrix(side.get(..rows).unwrap_or(side), &places);
            Figure::from(domain_auc(fitted.view(), side.view(), SEED).map_err(|why| told(&why)))
        };
        Sides { reference: auc(&held), input: auc(&input) }
    };
    Domain {
        auc: told_by(features),
        with_answers: if width > features {
            told_by(width)
        } else {
            let none = || Figure::unknown("no answer is known that a number stands for");
            Sides { reference: none(), input: none() }
        },
        rows_left_out: Sides { reference: held_out, input: input_out },
    }
}
