//! One-column summaries that merge: counts, moments, histogram, words.
//!
//! Merging the sketches of two halves gives the sketch of the whole: exactly for everything counted,
//! to rounding for mean and variance. What an empty sketch is asked, it answers with nothing, never 0.

mod categories;
mod histogram;
mod numeric;
mod presence;

pub use categories::Categories;
pub use histogram::{Bin, Histogram};
pub use numeric::Numeric;
pub use presence::Presence;

use serde::{Deserialize, Serialize};

/// What a sketch cannot be made of.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// A stored bin that no number falls into.
    #[error("bin {id} with count {count} is no bin of a histogram")]
    NotABin {
        /// The bin.
        id: i32,
        /// Its count.
        count: u64,
    },
    /// Stored words whose counts do not add up.
    #[error("words are counted {words} times in {present} cells, or there are too many of them")]
    NotCounts {
        /// The sum of the counts.
        words: u64,
        /// The cells that held a word.
        present: u64,
    },
    /// Sketches of different kinds of columns.
    #[error("a sketch of {0} and a sketch of {1} cannot be merged")]
    KindsDiffer(&'static str, &'static str),
}

/// The summary of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sketch {
    /// Of numbers.
    Numeric(Numeric),
    /// Of words from a set that traffic repeats, booleans among them.
    Categories(Categories),
    /// Of free text: the number of characters of each cell, never what it says.
    Lengths(Numeric),
}

impl Sketch {
    /// What it is a sketch of, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Numeric(_) => "numbers",
            Self::Categories(_) => "words",
            Self::Lengths(_) => "text lengths",
        }
    }

    /// Rows, nulls, cells of another type.
    #[must_use]
    pub const fn presence(&self) -> &Presence {
        match self {
            Self::Numeric(s) | Self::Lengths(s) => s.presence(),
            Self::Categories(s) => s.presence(),
        }
    }

    /// Counts a cell that held nothing.
    pub const fn null(&mut self) {
        match self {
            Self::Numeric(s) | Self::Lengths(s) => s.null(),
            Self::Categories(s) => s.null(),
        }
    }

    /// Counts a cell of another type.
    pub const fn wrong_type(&mut self) {
        match self {
            Self::Numeric(s) | Self::Lengths(s) => s.wrong_type(),
            Self::Categories(s) => s.wrong_type(),
        }
    }

    /// Counts a number; one in a column of words is of another type.
    pub fn number(&mut self, value: f64) {
        match self {
            Self::Numeric(s) => s.number(value),
            Self::Categories(_) | Self::Lengths(_) => self.wrong_type(),
        }
    }

    /// Counts a word; one in a column of numbers is of another type.
    pub fn text(&mut self, text: &str) {
        match self {
            Self::Numeric(s) => s.wrong_type(),
            Self::Categories(s) => s.word(text),
            Self::Lengths(s) => {
                s.number(crate::units::count(u64::try_from(text.chars().count()).unwrap_or(u64::MAX)));
            }
        }
    }

    /// Adds another sketch of the same kind.
    ///
    /// # Errors
    /// [`Error::KindsDiffer`] otherwise.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        match (self, other) {
            (Self::Numeric(a), Self::Numeric(b)) | (Self::Lengths(a), Self::Lengths(b)) => a.merge(b),
            (Self::Categories(a), Self::Categories(b)) => a.merge(b),
            (a, b) => return Err(Error::KindsDiffer(a.kind(), b.kind())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word among numbers and a number among words are counted as such and never dropped.
    #[test]
    fn other_types_are_counted() {
        let mut numbers = Sketch::Numeric(Numeric::default());
        numbers.text("39");
        let mut words = Sketch::Categories(Categories::default());
        words.number(39.0);
        assert_eq!((numbers.presence().wrong_type, words.presence().wrong_type), (1, 1));
        assert_eq!(numbers.merge(&words), Err(Error::KindsDiffer("numbers", "words")));
    }

    /// Free text leaves its length behind and not one character.
    #[test]
    fn text_is_not_kept() {
        let mut text = Sketch::Lengths(Numeric::default());
        text.text("hé");
        assert!(!serde_json::to_string(&text).unwrap().contains('é'));
        let Sketch::Lengths(lengths) = &text else { panic!("lengths") };
        assert_eq!(lengths.range(), Some((2.0, 2.0)));
    }
}
