//! Declared rules, and who is judged at all.

use crate::record::{Batch, Cell, Column, Contract, Kind, RowStatus, Scalar};

/// The first declared rule that a cell breaks, in words.
pub(super) fn broken_rule(cell: Cell<'_>, contract: &Contract) -> Option<String> {
    match cell {
        Cell::Null => contract.not_null.then(|| "not_null".to_owned()),
        Cell::WrongType => contract.typed.then(|| "typed".to_owned()),
        Cell::Number(v) => {
            if contract.finite && !v.is_finite() {
                return Some("finite".to_owned());
            }
            if let Some(min) = contract.min
                && (v < min || v.is_nan())
            {
                return Some(format!("min {min}"));
            }
            match contract.max {
                Some(max) if v > max || v.is_nan() => Some(format!("max {max}")),
                _ => None,
            }
        }
        Cell::Text(t) => {
            let listed = contract.one_of.is_empty() || contract.one_of.iter().any(|o| o == t);
            (!listed).then(|| format!("one_of {}", contract.one_of.join(", ")))
        }
    }
}

/// Whether a row is judged: a request that failed left its model nothing to see, and is loud already.
pub(super) fn is_judged(batch: &Batch, row: usize) -> bool {
    batch.meta().status(row) != Some(RowStatus::Error)
}

/// Whether a cell is what is put where nothing is: zero, false, empty, the declared default.
pub(super) fn stands_for_nothing(cell: Cell<'_>, column: Option<&Column>) -> bool {
    let default = column.and_then(|c| c.default.as_ref());
    match (cell, default) {
        (Cell::Number(v), Some(Scalar::Number(d))) => v == 0.0 || v.total_cmp(d).is_eq(),
        (Cell::Number(v), _) => v == 0.0,
        (Cell::Text(t), Some(Scalar::Text(d))) => t == d || t.is_empty(),
        (Cell::Text(t), Some(Scalar::Bool(d))) => t == if *d { "true" } else { "false" },
        (Cell::Text(t), _) => {
            t.is_empty() || (t == "false" && column.is_some_and(|c| c.kind == Kind::Boolean))
        }
        _ => false,
    }
}
