//! Cells and rows as bits and hashes.

use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use arrow::array::Array;

use crate::record::{Cell, Cells, Values};

/// A null cell, a cell of another type, and NaN, as bits that no other cell has.
const NULL_BITS: u64 = 0x7FF8_0000_0000_0001;
const WRONG_BITS: u64 = 0x7FF8_0000_0000_0002;

/// Cells as bits: equal cells have equal bits.
pub(super) fn fill_bits(cells: &Cells, rows: Range<usize>, bits: &mut Vec<u64>) {
    bits.clear();
    match cells.values() {
        Values::Number(numbers) if !cells.has_wrong_type() => {
            let values = numbers.values().get(rows.clone()).unwrap_or(&[]);
            // Adding zero makes both zeros one.
            bits.extend(
                values.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() }),
            );
            if numbers.null_count() > 0 {
                for (bits, row) in bits.iter_mut().zip(rows) {
                    if numbers.is_null(row) {
                        *bits = NULL_BITS;
                    }
                }
            }
        }
        _ => bits.extend(rows.map(|row| match cells.cell(row) {
            Cell::Null => NULL_BITS,
            Cell::WrongType => WRONG_BITS,
            Cell::Number(v) => (v + 0.0).to_bits(),
            Cell::Text(word) => hash_of(word),
        })),
    }
}

/// One step of a hash over a row's cells.
pub(super) const fn mix(hash: u64, bits: u64) -> u64 {
    let z = (hash ^ bits).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z ^ (z >> 32)
}

pub(super) fn hash_of(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(word.as_bytes());
    hasher.finish()
}
