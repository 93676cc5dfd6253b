use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{
    ArrayBuilder, Float64Array, StringArray, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};

use super::names::DIM_PREFIX;
use super::{Error, Meta, Record, RowStatus, Scalar, Status, Tag};
use crate::units::Timestamp;

/// Collects what records say beside their features and answers.
#[derive(Debug, Default)]
pub(super) struct MetaBuilder {
    ts: Vec<Timestamp>,
    request_id: Words,
    sub_row: Sparse<u64>,
    status: Sparse<RowStatus>,
    latency_ms: Sparse<f64>,
    /// By column position.
    feature_status: BTreeMap<usize, Sparse<Status>>,
    feature_ts: BTreeMap<usize, Sparse<i64>>,
    entity: Words,
    tags: [Words; FIXED_TAGS.len()],
    dims: BTreeMap<String, Words>,
    sampling: Sparse<f64>,
    label: Sparse<Scalar>,
}

/// Tags that every record has a field for, in the order of [`fixed_tags`].
pub(super) const FIXED_TAGS: [&str; 5] = ["arm", "hop", "model_hash", "source", "version"];

fn fixed_tags(record: &Record) -> [Option<&str>; FIXED_TAGS.len()] {
    [&record.arm, &record.hop, &record.model_hash, &record.source, &record.version].map(Option::as_deref)
}

impl MetaBuilder {
    pub(super) const fn len(&self) -> usize {
        self.ts.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// Adds one row; `positions` are the columns by the name that records use.
    ///
    /// Answers the dimensions beyond [`Meta::DIMS_MAX`], which are not kept.
    pub(super) fn push<'a>(
        &mut self,
        record: &'a Record,
        positions: &BTreeMap<String, usize>,
    ) -> BTreeSet<&'a str> {
        let row = self.ts.len();
        self.ts.push(record.ts);
        self.request_id.set(row, record.request_id.as_deref());
        self.sub_row.set(row, record.row);
        self.status.set(row, record.status);
        self.latency_ms.set(row, record.latency_ms);
        self.entity.set(row, record.entity.as_deref());
        self.sampling.set(row, record.sampling.map(crate::units::Ratio::get));
        self.label.set(row, record.label.clone().filter(|label| *label != Scalar::Null));
        for (tag, word) in self.tags.iter_mut().zip(fixed_tags(record)) {
            tag.set(row, word);
        }
        for (name, status) in &record.feature_status {
            if let Some(position) = positions.get(name) {
                self.feature_status.entry(*position).or_default().set(row, Some(*status));
            }
        }
        for (name, ts) in &record.feature_ts {
            if let Some(position) = positions.get(name) {
                self.feature_ts.entry(*position).or_default().set(row, Some(ts.as_micros()));
            }
        }
        self.push_dims(row, record)
    }

    fn push_dims<'a>(&mut self, row: usize, record: &'a Record) -> BTreeSet<&'a str> {
        let mut beyond = BTreeSet::new();
        for (name, word) in &record.dims {
            if let Some(words) = self.dims.get_mut(name) {
                words.set(row, Some(word));
            } else if self.dims.len() < Meta::DIMS_MAX {
                self.dims.entry(name.clone()).or_default().set(row, Some(word));
            } else {
                beyond.insert(name.as_str());
            }
        }
        beyond
    }

    pub(super) fn finish(self) -> Result<Meta, Error> {
        let rows = self.ts.len();
        let meta = Meta::of_times(self.ts)
            .with_request_ids(self.request_id.finish(rows))?
            .with_sub_rows(UInt64Array::from(self.sub_row.finish(rows)))?
            .with_statuses(self.status.finish(rows))?
            .with_latencies_ms(Float64Array::from(self.latency_ms.finish(rows)))?
            .with_feature_status(by_position(self.feature_status, |s| s.finish(rows)))?
            .with_feature_ts(by_position(self.feature_ts, |times| {
                TimestampMicrosecondArray::from(times.finish(rows))
            }))?
            .with_entities(self.entity.finish(rows))?
            .with_sampling(Float64Array::from(self.sampling.finish(rows)))?
            .with_labels(self.label.finish(rows))?;
        let fixed = FIXED_TAGS.iter().map(|name| (*name).to_owned()).zip(self.tags);
        let dims = self.dims.into_iter().map(|(name, words)| (format!("{DIM_PREFIX}{name}"), words));
        fixed
            .chain(dims)
            .try_fold(meta, |meta, (name, words)| meta.with_tag(Tag { name, values: words.finish(rows) }))
    }
}

fn by_position<T, U>(columns: BTreeMap<usize, T>, finish: impl Fn(T) -> U) -> Vec<Option<U>> {
    let mut by_position: Vec<Option<U>> = Vec::new();
    for (position, column) in columns {
        by_position.resize_with(position, || None);
        by_position.push(Some(finish(column)));
    }
    by_position
}

/// A column that costs nothing until a row has a value.
#[derive(Debug)]
struct Sparse<T>(Vec<Option<T>>);

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Sparse<T> {
    fn set(&mut self, row: usize, value: Option<T>) {
        if value.is_some() {
            self.0.resize_with(row, || None);
            self.0.push(value);
        }
    }

    fn finish(mut self, rows: usize) -> Vec<Option<T>> {
        self.0.resize_with(rows, || None);
        self.0
    }
}

/// The same for words.
#[derive(Debug)]
struct Words(StringBuilder);

impl Default for Words {
    fn default() -> Self {
        Self(StringBuilder::with_capacity(0, 0))
    }
}

impl Words {
    fn set(&mut self, row: usize, word: Option<&str>) {
        if let Some(word) = word {
            self.0.append_nulls(row.saturating_sub(self.0.len()));
            self.0.append_value(word);
        }
    }

    fn finish(mut self, rows: usize) -> StringArray {
        self.0.append_nulls(rows.saturating_sub(self.0.len()));
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(lines: &[&str]) -> (Meta, BTreeSet<String>) {
        let mut builder = MetaBuilder::default();
        let positions = BTreeMap::from([("a".to_owned(), 0), ("b".to_owned(), 1)]);
        let mut beyond = BTreeSet::new();
        for line in lines {
            let record: Record = serde_json::from_str(line).unwrap();
            beyond.extend(builder.push(&record, &positions).into_iter().map(str::to_owned));
        }
        (builder.finish().unwrap(), beyond)
    }

    /// Every optional field of a record arrives in its row, and rows around it know nothing.
    #[test]
    fn every_field_arrives() {
        let full = r#"{"ts":7,"model":"m","version":"3","request_id":"r","features":{"a":1},"status":"ok","latency_ms":2.5,
            "feature_status":{"b":"stale","unknown":"error"},"feature_ts":{"b":5},"arm":"control","hop":"edge","source":"pod-1",
            "seq":9,"label":1,"row":2,"entity":"e","dims":{"region":"eu"},"model_hash":"abc","truncated":false,"sampling":0.5}"#;
        let bare = r#"{"ts":1,"model":"m"}"#;
        let (meta, _) = meta(&[bare, full, bare]);
        assert_eq!(meta.ts().iter().map(|t| t.as_millis()).collect::<Vec<_>>(), [1, 7, 1]);
        assert_eq!((meta.request_id(1), meta.sub_row(1), meta.entity(1)), (Some("r"), Some(2), Some("e")));
        assert_eq!((meta.status(1), meta.latency_ms(1)), (Some(RowStatus::Ok), Some(2.5)));
        assert_eq!((meta.feature_status(1, 1), meta.sampling(1)), (Some(Status::Stale), Some(0.5)));
        assert_eq!(meta.feature_ts(1, 1), Some(Timestamp::from_millis(5)));
        let tags: Vec<_> = meta.tags().iter().map(|t| (t.name.as_str(), t.values.value(1))).collect();
        let expected = [
            ("arm", "control"),
            ("dims.region", "eu"),
            ("hop", "edge"),
            ("model_hash", "abc"),
            ("source", "pod-1"),
            ("version", "3"),
        ];
        assert_eq!(tags, expected);
        for row in [0, 2] {
            assert_eq!((meta.request_id(row), meta.sub_row(row), meta.entity(row)), (None, None, None));
            assert_eq!((meta.status(row), meta.latency_ms(row), meta.sampling(row)), (None, None, None));
            assert_eq!((meta.feature_status(1, row), meta.feature_ts(1, row)), (None, None));
            assert!(meta.tags().iter().all(|t| arrow::array::Array::is_null(&t.values, row)));
        }
        assert!(!meta.has_feature_status(0) && !meta.has_feature_ts(0));
    }

    /// Dimensions beyond the bound are told, not kept; those that are known go on.
    #[test]
    fn dimensions_are_bounded() {
        let dims: Vec<String> = (0..Meta::DIMS_MAX).map(|i| format!(r#""d{i}":"x""#)).collect();
        let first = format!(r#"{{"ts":0,"model":"m","dims":{{{}}}}}"#, dims.join(","));
        let second = r#"{"ts":0,"model":"m","dims":{"d0":"y","late":"z"}}"#;
        let (meta, beyond) = meta(&[&first, second]);
        assert_eq!(meta.tags().len(), Meta::DIMS_MAX);
        assert_eq!(meta.tags()[0].values.value(1), "y");
        assert_eq!(beyond, BTreeSet::from(["late".to_owned()]));
    }
}
