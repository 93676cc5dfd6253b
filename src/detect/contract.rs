//! Declared rules, and who is judged at all.

use crate::record::{Batch, Cell, Contract, RowStatus};

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
