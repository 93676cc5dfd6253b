use arrow::array::{Array, Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array};

use super::{Error, RowStatus, Scalar, Status};
use crate::units::Timestamp;

/// One word a row of which the mix is of interest, such as the model's version or a replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// `arm`, `hop`, `model_hash`, `source`, `version`, or `dims.<name>`.
    pub name: String,
    /// One word a row; null where the sender said nothing.
    pub values: StringArray,
}

impl Tag {
    /// The word of one row.
    #[must_use]
    pub fn value(&self, row: usize) -> Option<&str> {
        (row < self.values.len() && self.values.is_valid(row)).then(|| self.values.value(row))
    }
}

/// What is known about each row beside its columns, held column by column.
///
/// Only times are always there. What a sender did not say is absent: null in its row, and no column at
/// all where no row has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meta {
    ts: Vec<Timestamp>,
    request_id: Option<StringArray>,
    sub_row: Option<UInt64Array>,
    status: Option<Vec<Option<RowStatus>>>,
    latency_ms: Option<Float64Array>,
    /// By column position; shorter than the schema where the last columns have none.
    feature_status: Vec<Option<Vec<Option<Status>>>>,
    feature_ts: Vec<Option<TimestampMicrosecondArray>>,
    entity: Option<StringArray>,
    tags: Vec<Tag>,
    sampling: Option<Float64Array>,
    label: Option<Vec<Option<Scalar>>>,
}

impl Meta {
    /// More names of dimensions than this are not kept for one batch.
    pub const DIMS_MAX: usize = 8;

    /// Rows of these times, of which nothing else is known.
    #[must_use]
    pub fn of_times(ts: Vec<Timestamp>) -> Self {
        Self { ts, ..Self::default() }
    }

    /// With the request of each row.
    ///
    /// # Errors
    /// [`Error::Length`] when they are not as many as the rows; so for every other column.
    pub fn with_request_ids(mut self, ids: StringArray) -> Result<Self, Error> {
        self.check("request_id", ids.len())?;
        self.request_id = some(ids);
        Ok(self)
    }

    /// With the index of each row within its request.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_sub_rows(mut self, rows: UInt64Array) -> Result<Self, Error> {
        self.check("row", rows.len())?;
        self.sub_row = some(rows);
        Ok(self)
    }

    /// With how each request ended.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_statuses(mut self, statuses: Vec<Option<RowStatus>>) -> Result<Self, Error> {
        self.check("status", statuses.len())?;
        self.status = some_said(statuses);
        Ok(self)
    }

    /// With how long each request took, in milliseconds.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_latencies_ms(mut self, latencies: Float64Array) -> Result<Self, Error> {
        self.check("latency_ms", latencies.len())?;
        self.latency_ms = some(latencies);
        Ok(self)
    }

    /// With what the service knew about features: rows by column position.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_feature_status(mut self, columns: Vec<Option<Vec<Option<Status>>>>) -> Result<Self, Error> {
        for rows in columns.iter().flatten() {
            self.check("feature_status", rows.len())?;
        }
        self.feature_status = trimmed(columns.into_iter().map(|rows| rows.and_then(some_said)));
        Ok(self)
    }

    /// With when each feature was true upstream: rows by column position.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_feature_ts(mut self, columns: Vec<Option<TimestampMicrosecondArray>>) -> Result<Self, Error> {
        for rows in columns.iter().flatten() {
            self.check("feature_ts", rows.len())?;
        }
        self.feature_ts = trimmed(columns.into_iter().map(|rows| rows.and_then(some)));
        Ok(self)
    }

    /// With whom the features of each row belong to.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_entities(mut self, entities: StringArray) -> Result<Self, Error> {
        self.check("entity", entities.len())?;
        self.entity = some(entities);
        Ok(self)
    }

    /// With one more tag; one without a word in any row is left out.
    ///
    /// # Errors
    /// [`Error::Length`], and [`Error::DuplicateColumn`] for a name that has words already.
    pub fn with_tag(mut self, tag: Tag) -> Result<Self, Error> {
        self.check(&tag.name, tag.values.len())?;
        let Some(values) = some(tag.values) else { return Ok(self) };
        match self.tags.binary_search_by(|other| other.name.cmp(&tag.name)) {
            Ok(_) => Err(Error::DuplicateColumn(tag.name)),
            Err(place) => {
                self.tags.insert(place, Tag { name: tag.name, values });
                Ok(self)
            }
        }
    }

    /// With the rate at which each row was kept, from 0 to 1.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_sampling(mut self, rates: Float64Array) -> Result<Self, Error> {
        self.check("sampling", rates.len())?;
        self.sampling = some(rates);
        Ok(self)
    }

    /// With what turned out to be right of each row, as it was written.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn with_labels(mut self, labels: Vec<Option<Scalar>>) -> Result<Self, Error> {
        self.check("label", labels.len())?;
        self.label = some_said(labels);
        Ok(self)
    }

    fn check(&self, column: &str, found: usize) -> Result<(), Error> {
        let expected = self.ts.len();
        if found == expected {
            return Ok(());
        }
        Err(Error::Length { column: column.to_owned(), found, expected })
    }

    /// Rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ts.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// When the model answered, row by row.
    #[must_use]
    pub fn ts(&self) -> &[Timestamp] {
        &self.ts
    }

    /// The request of a row.
    #[must_use]
    pub fn request_id(&self, row: usize) -> Option<&str> {
        word(self.request_id.as_ref()?, row)
    }

    /// The index of a row within its request, as the sender counts.
    #[must_use]
    pub fn sub_row(&self, row: usize) -> Option<u64> {
        let rows = self.sub_row.as_ref()?;
        is_there(rows, row).then(|| rows.value(row))
    }

    /// How the request of a row ended.
    #[must_use]
    pub fn status(&self, row: usize) -> Option<RowStatus> {
        self.status.as_ref()?.get(row).copied().flatten()
    }

    /// How long the request of a row took, in milliseconds.
    #[must_use]
    pub fn latency_ms(&self, row: usize) -> Option<f64> {
        number(self.latency_ms.as_ref()?, row)
    }

    /// What the service knew about a feature, by column position.
    #[must_use]
    pub fn feature_status(&self, column: usize, row: usize) -> Option<Status> {
        self.feature_status.get(column)?.as_ref()?.get(row).copied().flatten()
    }

    /// Whether the service said anything about a feature in any row.
    #[must_use]
    pub fn has_feature_status(&self, column: usize) -> bool {
        self.feature_status.get(column).is_some_and(Option::is_some)
    }

    /// When a feature was true upstream, by column position.
    #[must_use]
    pub fn feature_ts(&self, column: usize, row: usize) -> Option<Timestamp> {
        let times = self.feature_ts.get(column)?.as_ref()?;
        is_there(times, row).then(|| Timestamp::from_micros(times.value(row)))
    }

    /// Whether any row says when a feature was true upstream.
    #[must_use]
    pub fn has_feature_ts(&self, column: usize) -> bool {
        self.feature_ts.get(column).is_some_and(Option::is_some)
    }

    /// Whom the features of a row belong to, as a keyed hash.
    #[must_use]
    pub fn entity(&self, row: usize) -> Option<&str> {
        word(self.entity.as_ref()?, row)
    }

    /// The tags that occur, sorted by name.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The rate at which a row was kept, from 0 to 1.
    #[must_use]
    pub fn sampling(&self, row: usize) -> Option<f64> {
        number(self.sampling.as_ref()?, row)
    }

    /// What turned out to be right of a row, as it was written; no bet of the ledger reads it.
    #[must_use]
    pub fn label(&self, row: usize) -> Option<&Scalar> {
        self.label.as_ref()?.get(row)?.as_ref()
    }

    /// The columns that features' status or times speak of, from the first to the last.
    pub(super) const fn feature_columns(&self) -> usize {
        let (status, ts) = (self.feature_status.len(), self.feature_ts.len());
        if status > ts { status } else { ts }
    }
}

fn is_there(array: &dyn Array, row: usize) -> bool {
    row < array.len() && array.is_valid(row)
}

fn word(words: &StringArray, row: usize) -> Option<&str> {
    is_there(words, row).then(|| words.value(row))
}

fn number(numbers: &Float64Array, row: usize) -> Option<f64> {
    is_there(numbers, row).then(|| numbers.value(row))
}

/// A column with a value in some row.
fn some<A: Array>(array: A) -> Option<A> {
    (array.null_count() < array.len()).then_some(array)
}

fn some_said<T>(rows: Vec<Option<T>>) -> Option<Vec<Option<T>>> {
    rows.iter().any(Option::is_some).then_some(rows)
}

/// Columns without the absent ones at the end, so that equal contents are equal.
fn trimmed<T>(columns: impl Iterator<Item = Option<T>>) -> Vec<Option<T>> {
    let mut columns: Vec<_> = columns.collect();
    let length = columns.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    columns.truncate(length);
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: i64) -> Meta {
        Meta::of_times((0..n).map(Timestamp::from_millis).collect())
    }

    fn words(cells: &[Option<&str>]) -> StringArray {
        cells.iter().copied().collect()
    }

    /// What is said is read back by row, what is not is absent, also past the last row or column.
    #[test]
    fn what_is_said_is_read_back() {
        let times = TimestampMicrosecondArray::from(vec![None, Some(5)]);
        let meta = rows(2)
            .with_request_ids(words(&[Some("a"), None]))
            .and_then(|m| m.with_sub_rows(vec![None, Some(3)].into()))
            .and_then(|m| m.with_statuses(vec![None, Some(RowStatus::Error)]))
            .and_then(|m| m.with_latencies_ms(vec![Some(2.5), None].into()))
            .and_then(|m| m.with_feature_status(vec![None, Some(vec![Some(Status::Stale), None])]))
            .and_then(|m| m.with_feature_ts(vec![Some(times)]))
            .and_then(|m| m.with_entities(words(&[None, Some("e")])))
            .and_then(|m| m.with_sampling(vec![None, Some(0.1)].into()))
            .and_then(|m| m.with_labels(vec![Some(Scalar::Bool(true)), None]))
            .unwrap();
        assert_eq!((meta.label(0), meta.label(1), meta.label(2)), (Some(&Scalar::Bool(true)), None, None));
        assert_eq!((meta.request_id(0), meta.request_id(1), meta.request_id(2)), (Some("a"), None, None));
        assert_eq!((meta.sub_row(0), meta.sub_row(1)), (None, Some(3)));
        assert_eq!((meta.status(0), meta.status(1), meta.status(2)), (None, Some(RowStatus::Error), None));
        assert_eq!((meta.latency_ms(0), meta.latency_ms(1)), (Some(2.5), None));
        assert_eq!((meta.feature_status(1, 0), meta.feature_status(1, 1)), (Some(Status::Stale), None));
        assert_eq!([0, 1, 2].map(|c| meta.has_feature_status(c)), [false, true, false]);
        assert_eq!(meta.feature_ts(0, 1), Some(Timestamp::from_micros(5)));
        assert_eq!((meta.feature_ts(0, 0), meta.feature_ts(1, 1)), (None, None));
        assert_eq!([0, 1].map(|c| meta.has_feature_ts(c)), [true, false]);
        assert_eq!((meta.entity(0), meta.entity(1)), (None, Some("e")));
        assert_eq!((meta.sampling(0), meta.sampling(1)), (None, Some(0.1)));
    }

    /// A column in which no row says anything is no column: batches that know the same are the same.
    #[test]
    fn silence_is_absence() {
        let meta = rows(2)
            .with_request_ids(words(&[None, None]))
            .and_then(|m| m.with_statuses(vec![None, None]))
            .and_then(|m| m.with_labels(vec![None, None]))
            .and_then(|m| m.with_feature_status(vec![None, Some(vec![None, None])]))
            .and_then(|m| m.with_feature_ts(vec![Some(TimestampMicrosecondArray::new_null(2))]))
            .and_then(|m| m.with_tag(Tag { name: "arm".into(), values: words(&[None, None]) }))
            .unwrap();
        assert_eq!(meta, rows(2));
        assert!(!meta.has_feature_status(1) && !meta.has_feature_ts(0) && meta.tags().is_empty());
    }

    /// Tags come by name whatever the order they were given in, and each name once.
    #[test]
    fn tags_are_sorted() {
        let tag = |name: &str| Tag { name: name.into(), values: words(&[Some("x")]) };
        let meta = ["version", "arm", "dims.pod"].map(tag).into_iter().try_fold(rows(1), Meta::with_tag);
        let meta = meta.unwrap();
        let names: Vec<_> = meta.tags().iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["arm", "dims.pod", "version"]);
        assert_eq!(meta.with_tag(tag("arm")), Err(Error::DuplicateColumn("arm".into())));
    }

    /// No column is shorter or longer than the rows.
    #[test]
    fn lengths_are_checked() {
        let found = [
            rows(2).with_request_ids(words(&[None])),
            rows(2).with_statuses(vec![None; 3]),
            rows(2).with_feature_status(vec![None, Some(vec![Some(Status::Null)])]),
            rows(2).with_tag(Tag { name: "arm".into(), values: words(&[]) }),
        ];
        assert!(found.iter().all(|f| matches!(f, Err(Error::Length { expected: 2, .. }))), "{found:?}");
    }
}
