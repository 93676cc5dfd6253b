//! Columns to bins, a whole chunk of rows at a time.

use std::ops::Range;

use arrow::array::Array;

use super::bins::{Plan, far, numeric_bin, words_bin};
use crate::record::{Cell, Cells, Values};

/// The bin's position as it is kept for a row. Plans have far fewer bins than this can tell apart.
pub(super) type Code = u8;
/// No bet on this row: the stream has nothing to say about it.
pub(super) const SKIP: Code = Code::MAX;

/// A plan made ready for whole columns.
#[derive(Debug, Clone)]
pub(super) struct Cutter {
    plan: Plan,
    cuts: Option<Cuts>,
    /// The code of each word with a bin of its own, sorted by word.
    words: Vec<(String, Code)>,
}

/// A numeric plan as places where the bin changes, for a search without branches.
#[derive(Debug, Clone)]
struct Cuts {
    /// Ascending; padded with NaN, which is below nothing, to a power of two, the last of them NaN.
    at: Vec<f64>,
    /// The bin from each cut on, and first the one below all.
    codes: Vec<Code>,
    not_a_number: Code,
}

impl Cutter {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut words: Vec<(String, Code)> = Vec::new();
        let mut cuts = None;
        match plan {
            Plan::Numeric { .. } => cuts = Some(Cuts::new(plan)),
            Plan::Words { default, own, known } => {
                let all = own.keys().chain(known).map(String::as_str);
                words =
                    all.map(|w| (w.to_owned(), code(words_bin(w, default.as_deref(), own, known)))).collect();
                words.sort();
            }
            Plan::Presence => {}
        }
        Self { plan: plan.clone(), cuts, words }
    }

    /// The bins of some rows of a column.
    pub(super) fn codes(&self, cells: &Cells, rows: Range<usize>, codes: &mut Vec<Code>) {
        codes.clear();
        match (&self.cuts, cells.values()) {
            (Some(cuts), Values::Number(numbers)) if !cells.has_wrong_type() => {
                let values = numbers.values().get(rows.clone()).unwrap_or(&[]);
                cuts.codes(values, codes);
                if numbers.null_count() > 0 {
                    for (code, row) in codes.iter_mut().zip(rows) {
                        if numbers.is_null(row) {
                            *code = 0;
                        }
                    }
                }
            }
            _ => codes.extend(rows.map(|row| self.code(cells.cell(row)))),
        }
    }

    pub(super) fn code(&self, cell: Cell<'_>) -> Code {
        if let (Cell::Text(word), Plan::Words { default, .. }) = (cell, &self.plan)
            && default.as_deref() != Some(word)
        {
            // An unknown word is the plan's to judge.
            if let Ok(found) = self.words.binary_search_by(|(w, _)| w.as_str().cmp(word)) {
                return self.words.get(found).map_or(SKIP, |(_, code)| *code);
            }
        }
        code(self.plan.bin(cell))
    }
}

/// A bin's position as a code. A position beyond what a code can tell would be no bet at all.
pub(super) fn code(bin: usize) -> Code {
    Code::try_from(bin).unwrap_or(SKIP)
}

impl Cuts {
    fn new(plan: &Plan) -> Self {
        let Plan::Numeric { default, atoms, edges } = plan else {
            return Self { at: Vec::new(), codes: Vec::new(), not_a_number: 0 };
        };
        let mut at = vec![f64::MIN, f64::INFINITY, 0.0, 0.0_f64.next_up()];
        at.extend(edges.first());
        at.extend(far(edges).map(|(below, above)| [below, above.next_up()]).into_iter().flatten());
        at.extend(edges.iter().map(|e| e.next_up()));
        at.extend(atoms.iter().chain(default).flat_map(|a| [*a, a.next_up()]));
        // Both zeros are one cut.
        at.iter_mut().filter(|v| **v == 0.0).for_each(|v| *v = 0.0);
        at.sort_by(f64::total_cmp);
        at.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let bin = |v: f64| code(numeric_bin(v, *default, atoms, edges));
        let mut codes: Vec<Code> =
            std::iter::once(f64::NEG_INFINITY).chain(at.iter().copied()).map(bin).collect();
        let size = (at.len() + 1).next_power_of_two().max(32);
        at.resize(size, f64::NAN);
        codes.resize(size, SKIP);
        Self { at, codes, not_a_number: bin(f64::NAN) }
    }

    fn codes(&self, values: &[f64], codes: &mut Vec<Code>) {
        let found = self.search::<32>(values, codes)
            || self.search::<64>(values, codes)
            || self.search::<128>(values, codes);
        debug_assert!(found, "a plan has fewer cuts than 128");
    }

    /// The bins by binary search among exactly `SIZE` cuts; false when there are not so many.
    #[expect(clippy::indexing_slicing, reason = "the index is masked to below the size, a power of two")]
    fn search<const SIZE: usize>(&self, values: &[f64], codes: &mut Vec<Code>) -> bool {
        let (Ok(at), Ok(bins)) =
            (<&[f64; SIZE]>::try_from(&self.at[..]), <&[Code; SIZE]>::try_from(&self.codes[..]))
        else {
            return false;
        };
        codes.extend(values.iter().map(|&v| {
            let (mut below, mut step) = (0, SIZE / 2);
            while step > 0 {
                // The number of cuts at or below the value, one binary digit after the other.
                let cut = at[(below + step - 1) & (SIZE - 1)];
                below += if cut <= v { step } else { 0 };
                step /= 2;
            }
            if v.is_nan() { self.not_a_number } else { bins[below & (SIZE - 1)] }
        }));
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};
    use proptest::prelude::*;

    use super::super::bins::Planning;
    use super::*;
    use crate::record::{Column, Kind, Role, Scalar, Schema};

    fn column(kind: Kind, default: Option<Scalar>) -> Column {
        Column { default, ..Column::plain("x", Role::Input, kind, Schema::REQUEST_GROUP) }
    }

    fn plan(values: &[f64], default: Option<f64>) -> Plan {
        let mut planning = Planning::new(&column(Kind::Numeric, default.map(Scalar::Number)));
        values.iter().for_each(|v| planning.observe(Cell::Number(*v)));
        planning.plan()
    }

    proptest! {
        /// A whole column falls into the bins that its cells fall into one by one, at every edge and beside.
        #[test]
        fn a_column_is_its_cells(
            values in prop::collection::vec(prop_oneof![-5.0..5.0, (-9_i32..9).prop_map(f64::from)], 1..400),
            default in prop::option::of(-3.0..3.0_f64),
        ) {
            let plan = plan(&values, default);
            let mut probes = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN];
            for v in values.iter().copied().chain(default).chain([-6.0, 6.0]) {
                probes.extend([v, v.next_up(), v.next_down()]);
            }
            let cells = Cells::new("x", Values::Number(Float64Array::from(probes.clone())), None).unwrap();
            let mut codes = Vec::new();
            Cutter::new(&plan).codes(&cells, 0..probes.len(), &mut codes);
            for (v, found) in probes.iter().zip(codes) {
                prop_assert_eq!(usize::from(found), plan.bin(Cell::Number(*v)), "{}", v);
            }
        }
    }

    /// Null cells and words fall where the plan says.
    #[test]
    fn nulls_and_words() {
        let numbers = Values::Number(Float64Array::from(vec![None, Some(1.0)]));
        let mut codes = Vec::new();
        Cutter::new(&plan(&[1.0, 2.0], None)).codes(
            &Cells::new("x", numbers, None).unwrap(),
            0..2,
            &mut codes,
        );
        assert_eq!(codes[0], 0);
        assert_ne!(codes[1], 0);
        let mut planning = Planning::new(&column(Kind::Categorical, Some(Scalar::Text("none".into()))));
        ["a", "b", "a"].iter().for_each(|w| planning.observe(Cell::Text(w)));
        let plan = planning.plan();
        let words = ["a", "b", "c", "none", ""];
        let cells = Cells::new("x", Values::Text(StringArray::from(words.to_vec())), None).unwrap();
        Cutter::new(&plan).codes(&cells, 0..words.len(), &mut codes);
        let expected: Vec<_> = words.iter().map(|w| code(plan.bin(Cell::Text(w)))).collect();
        assert_eq!(codes, expected);
    }
}
