//! Which rows since the start of a fault it has hit, and how many: by what their features have that those of health
//! have not.

use std::collections::{BTreeMap, BTreeSet};

use super::Rows;
use super::share::{Bounded, Hits, Z};
use crate::detect::joint::recent::Row;

/// A value is of the fault where it is more frequent than in health beyond what bounds of so many standard errors leave
/// open,
const VALUE_Z: f64 = 3.0;
/// and so many rows have it, or all.
const VALUE_ROWS_MIN: f64 = 3.0;

/// Ways to tell the rows that were hit, of which the best is taken.
const MASKS: f64 = 3.0;

/// By row: the places whose value is of the fault; empty for a row that was not hit.
type Masks = Vec<Vec<usize>>;

/// The rows that a fault may have hit.
#[derive(Debug)]
pub(super) struct Guilty<'a> {
    /// Of the rows since the start: each with the places that are otherwise.
    pub(super) faulty: Vec<(&'a [f32], Vec<usize>)>,
    /// Rows of health that look like it.
    pub(super) healthy: Vec<(&'a [f32], Vec<usize>)>,
    /// The share of rows since the start that look like it, and of those of health.
    pub(super) shares: (f64, f64),
    /// The share of rows since the start that the fault has hit: above what health has.
    pub(super) dose: Bounded,
}

impl<'a> Guilty<'a> {
    /// The rows whose values stand out, or repeat those of the row before: whichever shows more. Nothing where
    /// neither is beyond chance.
    pub(super) fn of(rows: &Rows<'a>, places: &[usize]) -> Option<Self> {
        let values = Values::of(rows, places);
        let of_values = |row: &Row<'_>| Some(values.mask(row.features, places));
        // Where features fail together, rows of health with a zero here or there are none of the fault's.
        let together: Vec<usize> =
            values.guilty.iter().filter(|(_, v)| !v.is_empty()).map(|(place, _)| *place).collect();
        let of_all = |row: &Row<'_>| {
            let mask = values.mask(row.features, places);
            Some(if mask.len() == together.len() { mask } else { Vec::new() })
        };
        let before = Before::of(rows);
        let of_repeats = |row: &Row<'_>| before.mask(row, places);
        [Self::by(rows, of_values), Self::by(rows, of_all), Self::by(rows, of_repeats)]
            .into_iter()
            .flatten()
            .filter(|guilty| guilty.dose.low > 0.0)
            .reduce(|a, b| if b.dose.low > a.dose.low { b } else { a })
    }

    fn by(rows: &Rows<'a>, mask: impl Fn(&Row<'_>) -> Option<Vec<usize>>) -> Option<Self> {
        let of = |rows: &[Row<'a>]| -> (Vec<&'a [f32]>, Masks) {
            rows.iter().filter_map(|row| Some((row.features, mask(row)?))).unzip()
        };
        let hits = |masks: &Masks| {
            let mut hits = Hits::default();
            masks.iter().for_each(|mask| hits.add(!mask.is_empty()));
            hits
        };
        let ((faulty, faulty_masks), (healthy, healthy_masks)) = (of(&rows.faulty), of(&rows.healthy));
        let (now, before) = (hits(&faulty_masks), hits(&healthy_masks));
        if now.n < 1.0 || before.n < 1.0 || before.hits >= before.n {
            return None;
        }
        // Of rows that are hit all look like it, of the others as many as in health.
        let dose =
            now.more_than(before, Z, MASKS * rows.starts()).map(|v| v / (1.0 - before.share())).as_share();
        let hit = |rows: Vec<&'a [f32]>, masks: Masks| -> Vec<(&'a [f32], Vec<usize>)> {
            rows.into_iter().zip(masks).filter(|(_, mask)| !mask.is_empty()).collect()
        };
        Some(Self {
            faulty: hit(faulty, faulty_masks),
            healthy: hit(healthy, healthy_masks),
            shares: (now.share(), before.share()),
            dose,
        })
    }
}

/// By place: the values that are of the fault.
struct Values {
    guilty: BTreeMap<usize, BTreeSet<u32>>,
}

impl Values {
    fn of(rows: &Rows<'_>, places: &[usize]) -> Self {
        let (now, before) = (rows.faulty.len(), rows.healthy.len());
        let (now, before) = (super::rows_of(now), super::rows_of(before));
        let least = if now < VALUE_ROWS_MIN { now } else { VALUE_ROWS_MIN };
        let guilty = places.iter().map(|place| {
            let mut hits: BTreeMap<u32, (Hits, Hits)> = BTreeMap::new();
            let empty = (Hits { hits: 0.0, n: now }, Hits { hits: 0.0, n: before });
            for row in &rows.faulty {
                if let Some(value) = row.features.get(*place) {
                    hits.entry(same(*value)).or_insert(empty).0.hits += 1.0;
                }
            }
            for row in &rows.healthy {
                if let Some((_, healthy)) = row.features.get(*place).and_then(|v| hits.get_mut(&same(*v))) {
                    healthy.hits += 1.0;
                }
            }
            let stands_out = |(now, before): &(Hits, Hits)| {
                now.hits >= least && now.more_than(*before, VALUE_Z, rows.starts()).low > 0.0
            };
            let values = hits.iter().filter(|(_, hits)| stands_out(hits)).map(|(value, _)| *value);
            (*place, values.collect())
        });
        Self { guilty: guilty.collect() }
    }

    fn mask(&self, features: &[f32], places: &[usize]) -> Vec<usize> {
        let is_guilty = |place: &usize| {
            let values = self.guilty.get(place);
            features.get(*place).zip(values).is_some_and(|(v, values)| values.contains(&same(*v)))
        };
        places.iter().copied().filter(is_guilty).collect()
    }
}

/// The row before each.
struct Before<'a> {
    by_number: BTreeMap<u64, &'a [f32]>,
}

impl<'a> Before<'a> {
    fn of(rows: &Rows<'a>) -> Self {
        let all = rows.healthy.iter().chain(&rows.faulty);
        Self { by_number: all.map(|row| (row.number, row.features)).collect() }
    }

    /// The places with the value of the row before; nothing where that is not in memory.
    fn mask(&self, row: &Row<'_>, places: &[usize]) -> Option<Vec<usize>> {
        let before = self.by_number.get(&row.number.checked_sub(1)?)?;
        let value = |of: &[f32], place: usize| of.get(place).copied().map(same);
        let repeats = |place: &usize| value(before, *place) == value(row.features, *place);
        Some(places.iter().copied().filter(repeats).collect())
    }
}

/// What two equal values share: both zeros, and all that are missing.
fn same(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { (value + 0.0).to_bits() }
}
