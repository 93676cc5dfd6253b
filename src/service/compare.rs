use std::collections::BTreeMap;

use serde::Serialize;

use crate::baseline::Baseline;
use crate::detect::{EffectSize, NotMeasured, effect_sizes};
use crate::profile::Profile;
use crate::record::Column;
use crate::sketch::Sketch;

/// The statistic that columns are sorted by: it lies between 0 and 1.
const SIZE: &str = "jensen_shannon";

/// What differs between two baselines, for people to read: nothing here is an alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Model, version, rows, rate, budget, seasonality: those that differ.
    pub facts: Vec<Change>,
    /// Columns added, gone, or declared otherwise.
    pub schema_changes: Vec<ColumnChange>,
    /// Every column that both have, the most changed first.
    pub columns: Vec<ColumnDiff>,
}

/// Something with another value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is.
    pub what: &'static str,
    /// What the first baseline has.
    pub one: String,
    /// What the second has.
    pub two: String,
}

/// A column that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// `added`, `gone`, `role`, `kind`, `group`, `default` or `contract`.
    #[serde(flatten)]
    pub change: Change,
}

/// One column in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDiff {
    /// The column.
    pub column: String,
    /// The largest of Jensen-Shannon distance and the differences of shares, from 0 to 1; absent when
    /// none is known.
    pub size: Option<f64>,
    /// Null in this share of rows, in both.
    pub null: [Option<f64>; 2],
    /// Zero in this share of rows, in both; only for numbers.
    pub zero: [Option<f64>; 2],
    /// Every effect size by name; absent when not defined for such a column.
    pub effects: BTreeMap<&'static str, Option<f64>>,
    /// Why those are absent that are.
    pub unknown: BTreeMap<&'static str, NotMeasured>,
}

impl ColumnDiff {
    /// Why the size is not known; nothing when it is.
    #[must_use]
    pub fn why_unknown(&self) -> Option<NotMeasured> {
        if self.size.is_some() { None } else { self.unknown.get(SIZE).copied() }
    }
}

/// Compares two baselines.
#[must_use]
pub fn compare(one: &Baseline, two: &Baseline) -> Compared {
    let columns = compare_columns(one.profile(), two.profile());
    Compared { facts: facts(one, two), schema_changes: schema_changes(one, two), columns }
}

/// Every column that two profiles have, the most changed first.
pub(super) fn compare_columns(one: &Profile, two: &Profile) -> Vec<ColumnDiff> {
    let mut effects: BTreeMap<String, Vec<EffectSize>> = BTreeMap::new();
    for size in effect_sizes(one, two) {
        effects.entry(size.column.clone()).or_default().push(size);
    }
    let mut columns = Vec::new();
    for (column, sketch) in one.columns() {
        if let Some(other) = two.sketch(&column.name) {
            let sizes = effects.remove(&column.name).into_iter().flatten();
            columns.push(column_diff(&column.name, sketch, other, sizes));
        }
    }
    let known = |c: &ColumnDiff| c.size.unwrap_or(f64::INFINITY);
    // What cannot be compared comes first: it is no small change.
    columns.sort_by(|a, b| known(b).total_cmp(&known(a)).then_with(|| a.column.cmp(&b.column)));
    columns
}

fn column_diff(
    name: &str,
    one: &Sketch,
    two: &Sketch,
    sizes: impl Iterator<Item = EffectSize>,
) -> ColumnDiff {
    let (mut effects, mut unknown) = (BTreeMap::new(), BTreeMap::new());
    for size in sizes {
        effects.insert(size.statistic, size.value);
        unknown.extend(size.unknown.map(|why| (size.statistic, why)));
    }
    let null = [one, two].map(|s| s.presence().null_share().map(crate::units::Ratio::get));
    let zero = [one, two].map(|s| match s {
        Sketch::Numeric(numbers) => numbers.zero_share().map(crate::units::Ratio::get),
        Sketch::Categories(_) | Sketch::Lengths(_) => None,
    });
    let wrong = [one, two].map(|s| s.presence().wrong_type_share().map(crate::units::Ratio::get));
    let moved = |[a, b]: [Option<f64>; 2]| Some((a? - b?).abs());
    let of_values = effects.get(SIZE).copied().flatten();
    let all = [of_values, moved(null), moved(zero), moved(wrong)];
    let comparable = of_values.is_some() || matches!(one, Sketch::Lengths(_));
    let size = all.into_iter().flatten().reduce(|a, b| if b > a { b } else { a });
    ColumnDiff { column: name.to_owned(), size: size.filter(|_| comparable), null, zero, effects, unknown }
}

fn facts(one: &Baseline, two: &Baseline) -> Vec<Change> {
    let of = |b: &Baseline| {
        let season = b.calibration().pointer("/season/zone").and_then(|zone| zone.as_str());
        [
            ("model", b.model().to_owned()),
            ("version", b.schema().version.clone().unwrap_or_else(|| "(none)".to_owned())),
            ("rows", b.profile().rows().to_string()),
            ("rate", format!("{:.4} a second", b.rate().get())),
            ("budget", b.budget().to_string()),
            ("seasonality", b.seasonality().to_string()),
            ("time zone", season.unwrap_or("(none)").to_owned()),
        ]
    };
    let pairs = of(one).into_iter().zip(of(two)).filter(|(a, b)| a.1 != b.1);
    pairs.map(|((what, one), (_, two))| Change { what, one, two }).collect()
}

fn schema_changes(one: &Baseline, two: &Baseline) -> Vec<ColumnChange> {
    let mut changes = Vec::new();
    let mut tell = |column: &str, what, one: String, two: String| {
        changes.push(ColumnChange { column: column.to_owned(), change: Change { what, one, two } });
    };
    let find = |b: &Baseline, name: &str| b.schema().columns.iter().find(|c| c.name == name).cloned();
    for column in &one.schema().columns {
        let Some(other) = find(two, &column.name) else {
            tell(&column.name, "gone", what(column), String::new());
            continue;
        };
        let before = declared(column);
        for ((what, one), (_, two)) in before.into_iter().zip(declared(&other)).filter(|(a, b)| a != b) {
            tell(&column.name, what, one, two);
        }
    }
    for column in two.schema().columns.iter().filter(|c| find(one, &c.name).is_none()) {
        tell(&column.name, "added", String::new(), what(column));
    }
    changes
}

/// A column in short.
fn what(column: &Column) -> String {
    format!("{:?} {:?} of `{}`", column.role, column.kind, column.group).to_lowercase()
}

/// All that was said of a column.
fn declared(column: &Column) -> [(&'static str, String); 5] {
    let default = column.default.as_ref().map_or_else(|| "(none)".to_owned(), |d| format!("{d:?}"));
    [
        ("role", format!("{:?}", column.role).to_lowercase()),
        ("kind", format!("{:?}", column.kind).to_lowercase()),
        ("group", column.group.clone()),
        ("default", default),
        (
            "contract",
            if column.contract.is_empty() { "(none)".into() } else { format!("{:?}", column.contract) },
        ),
    ]
}
