use serde::{Deserialize, Serialize};

use crate::units::Ratio;

/// How many cells of a column there were, and how many held nothing or something of another type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// Every cell.
    pub rows: u64,
    /// Cells that held nothing.
    pub nulls: u64,
    /// Cells that held something of another type.
    pub wrong_type: u64,
}

impl Presence {
    /// Cells that held a value of the column's type, NaN included.
    #[must_use]
    pub const fn present(&self) -> u64 {
        self.rows.saturating_sub(self.nulls).saturating_sub(self.wrong_type)
    }

    /// The share of rows that held nothing; none of an empty sketch.
    #[must_use]
    pub fn null_share(&self) -> Option<Ratio> {
        Ratio::of(self.nulls, self.rows)
    }

    /// The share of rows that held something of another type; none of an empty sketch.
    #[must_use]
    pub fn wrong_type_share(&self) -> Option<Ratio> {
        Ratio::of(self.wrong_type, self.rows)
    }

    /// Counts a cell that held nothing.
    pub(super) const fn null(&mut self) {
        self.rows += 1;
        self.nulls += 1;
    }

    /// Counts a cell of another type.
    pub(super) const fn wrong_type(&mut self) {
        self.rows += 1;
        self.wrong_type += 1;
    }

    /// Counts a cell that held a value.
    pub(super) const fn value(&mut self) {
        self.rows += 1;
    }

    pub(super) const fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.nulls += other.nulls;
        self.wrong_type += other.wrong_type;
    }
}
