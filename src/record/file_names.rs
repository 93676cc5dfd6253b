use std::collections::{BTreeMap, BTreeSet};

use super::meta_builder::FIXED_TAGS;
use super::names::{DIM_PREFIX, STATUS_SUFFIX, TIME_SUFFIX, dim_of, role_of};
use super::{Error, Meta, Role, Schema};

/// The columns of a file by what the schema says they are; `T` is what stands for a column.
pub(super) struct FileNames<'a, T> {
    schema: &'a Schema,
    by_name: BTreeMap<&'a str, T>,
    /// Names in the file that features and answers have.
    features: BTreeSet<&'a str>,
    /// Names in the file that the schema file gave to something, with what that is.
    renamed: BTreeMap<&'a str, &'a str>,
}

/// A column with its name in the file.
pub(super) type Named<'a, T> = (&'a str, T);

/// Fixed names of what is kept of a row beside [`FIXED_TAGS`].
const FIXED: [&str; 8] = ["ts", "request_id", "row", "status", "latency_ms", "entity", "sampling", "label"];

impl<'a, T: Copy> FileNames<'a, T> {
    /// Of two columns of one name the first counts.
    pub(super) fn new(schema: &'a Schema, columns: impl IntoIterator<Item = (&'a str, T)>) -> Self {
        let mut by_name = BTreeMap::new();
        for (name, column) in columns {
            by_name.entry(name).or_insert(column);
        }
        let named = schema.columns.iter().filter(|column| !column.is_projection());
        let features = named.map(|column| schema.file_name(&column.name)).collect();
        let renamed = schema.file_names.iter().map(|(name, from)| (from.as_str(), name.as_str())).collect();
        Self { schema, by_name, features, renamed }
    }

    /// What a name is called in the file.
    pub(super) fn spelling(&self, name: &'a str) -> &'a str {
        self.schema.file_name(name)
    }

    /// The column of a feature or an answer.
    pub(super) fn column(&self, name: &'a str) -> Option<T> {
        self.by_name.get(self.schema.file_name(name)).copied()
    }

    /// The column of a fixed name, unless the schema has another use for a column of that name.
    pub(super) fn fixed(&self, name: &'a str) -> Option<Named<'a, T>> {
        let from = self.schema.file_name(name);
        let is_free = !self.features.contains(from) && self.renamed.get(from).is_none_or(|to| *to == name);
        if is_free { self.by_name.get(from).map(|column| (from, *column)) } else { None }
    }

    /// The columns that carry the status of features, by position in the schema.
    pub(super) fn statuses(&self) -> impl Iterator<Item = Option<Named<'a, T>>> {
        self.of_features(STATUS_SUFFIX)
    }

    /// The columns that carry the times of features, by position in the schema.
    pub(super) fn times(&self) -> impl Iterator<Item = Option<Named<'a, T>>> {
        self.of_features(TIME_SUFFIX)
    }

    fn of_features(&self, suffix: &str) -> impl Iterator<Item = Option<Named<'a, T>>> {
        self.schema.columns.iter().map(move |column| {
            let of = |name: &str| format!("{name}{suffix}");
            let renamed = self.schema.file_names.get(&of(&column.name)).cloned();
            let name = renamed.unwrap_or_else(|| of(self.schema.file_name(&column.name)));
            let (name, found) = self.by_name.get_key_value(name.as_str())?;
            (!self.features.contains(name)).then_some((*name, *found))
        })
    }

    /// The columns of dimensions, by the dimension's name.
    ///
    /// # Errors
    /// Two of one name, or more than [`Meta::DIMS_MAX`].
    pub(super) fn dims(&self) -> Result<BTreeMap<&'a str, Named<'a, T>>, Error> {
        let mut dims = BTreeMap::new();
        for (dim, named) in self.dim_columns() {
            if dims.insert(dim, named).is_some() {
                return Err(Error::DuplicateColumn(format!("{DIM_PREFIX}{dim}")));
            }
        }
        if dims.len() > Meta::DIMS_MAX {
            let names = dims.values().map(|(name, _)| (*name).to_owned()).collect();
            return Err(Error::TooManyDims { names, limit: Meta::DIMS_MAX });
        }
        Ok(dims)
    }

    fn dim_columns(&self) -> impl Iterator<Item = (&'a str, Named<'a, T>)> {
        self.by_name.iter().filter_map(|(name, column)| {
            let dim = dim_of(self.renamed.get(name).unwrap_or(name))?;
            let is_free = !self.features.contains(name) && !self.is_of_feature(name);
            is_free.then_some((dim, (*name, *column)))
        })
    }

    /// A feature called `dims` has a status and times like any other.
    fn is_of_feature(&self, name: &str) -> bool {
        let feature = name.strip_suffix(STATUS_SUFFIX).or_else(|| name.strip_suffix(TIME_SUFFIX));
        feature.is_some_and(|feature| self.features.contains(feature))
    }

    /// The names in the file of which the schema knows nothing, and which have no meaning by themselves.
    pub(super) fn unknown(&self) -> Vec<&'a str>
    where
        T: Ord,
    {
        let read: BTreeSet<T> = self.all().into_iter().collect();
        let is_meta = |name: &str| role_of(self.renamed.get(name).unwrap_or(&name)) == Role::Meta;
        let unread = self.by_name.iter().filter(|(_, column)| !read.contains(column));
        unread.map(|(name, _)| *name).filter(|name| !is_meta(name)).collect()
    }

    /// Every column that the lookups above can answer.
    pub(super) fn all(&self) -> Vec<T> {
        let features = self.features.iter().filter_map(|name| self.by_name.get(name).copied());
        let fixed = FIXED.iter().chain(&FIXED_TAGS).filter_map(|name| self.fixed(name));
        let of_features = self.statuses().chain(self.times()).flatten();
        let dims = self.dim_columns().map(|(_, named)| named);
        features.chain(fixed.chain(of_features).chain(dims).map(|(_, column)| column)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::record::fixture::{batch, numbers_named, schema, text, whole};
    use crate::record::{Batch, Cell, Kind, Status};
    use crate::units::Timestamp;

    fn tags(batch: &Batch) -> Vec<(&str, &str)> {
        batch.meta().tags().iter().map(|t| (t.name.as_str(), t.values.value(0))).collect()
    }

    /// Unknown are the columns that are read for nothing, unless their name says what else they are for.
    #[test]
    fn unknown_columns() {
        let mut known = numbers_named(&["x", "y"]);
        known.file_names = [("y", "Y"), ("label", "truth"), ("ts", "event_time")]
            .map(|(name, from)| (name.to_owned(), from.to_owned()))
            .into();
        let names = [
            "event_time",
            "x",
            "Y",
            "y",
            "truth",
            "model",
            "seq",
            "dims.pod",
            "x__status",
            "prob_1",
            "__index_level_0__",
        ];
        assert_eq!(Batch::columns_unknown(&known, names), ["__index_level_0__", "prob_1", "y"]);
    }

    /// Dimensions are bounded and unique; one that the schema file calls otherwise leaves them.
    #[test]
    fn dimensions() {
        let names: Vec<String> = (0..=Meta::DIMS_MAX).map(|i| format!("dims.d{i}")).collect();
        let all = || {
            let dims = names.iter().map(|name| (name.as_str(), text(&[Some("v")])));
            [("ts", whole(&[1])), ("x", whole(&[1]))].into_iter().chain(dims).collect::<Vec<_>>()
        };
        let error = batch(numbers_named(&["x"]), all()).unwrap_err().to_string();
        assert!(error.contains("9 columns") && error.contains("`dims.d8`") && error.contains("8"), "{error}");
        let mut with_fewer = numbers_named(&["x"]);
        with_fewer.file_names = [("unused", "dims.d0"), ("dims.d2", "dims.d1"), ("no", "dims.d2")]
            .map(|(a, b)| (a.into(), b.into()))
            .into();
        let found = batch(with_fewer, all()).unwrap();
        assert_eq!(found.meta().tags().len(), Meta::DIMS_MAX - 1);
        assert_eq!(tags(&found)[0], ("dims.d2", "v"));
        let twice = vec![
            ("ts", whole(&[1])),
            ("x", whole(&[1])),
            ("dims.a", text(&[Some("1")])),
            ("dims__a", text(&[Some("1")])),
        ];
        assert_eq!(batch(numbers_named(&["x"]), twice), Err(Error::DuplicateColumn("dims.a".into())));
    }

    /// Renamed columns are found; a name that a column took is no longer the fixed one.
    #[test]
    fn names_of_files() {
        let mut schema = schema(&[("x", Kind::Numeric), ("order_status", Kind::Categorical)]);
        let names = [("x", "X"), ("ts", "when"), ("order_status", "status")];
        schema.file_names = names.into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        let columns = vec![
            ("when", whole(&[1])),
            ("X", Arc::new(Int64Array::from(vec![5])) as ArrayRef),
            ("status", Arc::new(StringArray::from(vec!["shipped"]))),
            ("X__status", Arc::new(StringArray::from(vec!["stale"]))),
            ("latency_ms", Arc::new(StringArray::from(vec!["2.5"]))),
            ("request_id", Arc::new(Int64Array::from(vec![77]))),
        ];
        let batch = batch(schema, columns).unwrap();
        let [x, order] = batch.columns() else { panic!("two columns") };
        assert_eq!((x.cell(0), order.cell(0)), (Cell::Number(5.0), Cell::Text("shipped")));
        let meta = batch.meta();
        assert_eq!((meta.feature_status(0, 0), meta.feature_status(1, 0)), (Some(Status::Stale), None));
        assert_eq!((meta.status(0), meta.latency_ms(0), meta.request_id(0)), (None, Some(2.5), Some("77")));
    }

    /// A feature may have a name of this kind when the schema says so, and then it is only a feature.
    #[test]
    fn features_with_such_names() {
        let columns = vec![
            ("ts", whole(&[1])),
            ("x", whole(&[1])),
            ("x__ts", whole(&[4])),
            ("dims.a", whole(&[5])),
            ("source", whole(&[6])),
            ("dims", whole(&[7])),
            ("dims__ts", whole(&[8])),
        ];
        let schema = numbers_named(&["x", "x__ts", "dims.a", "source", "dims"]);
        let batch = batch(schema, columns).unwrap();
        let cells: Vec<_> = batch.columns().iter().map(|cells| cells.cell(0)).collect();
        assert_eq!(cells, [1.0, 4.0, 5.0, 6.0, 7.0].map(Cell::Number));
        assert!(!batch.meta().has_feature_ts(0) && batch.meta().tags().is_empty());
        assert_eq!(batch.meta().feature_ts(4, 0), Some(Timestamp::from_millis(8)));
    }

    /// Columns that nobody asks for are not read, whatever they are called.
    #[test]
    fn what_is_not_read() {
        let schema = numbers_named(&["x"]);
        let names =
            ["label", "x", "notes", "y__ts", "ts", "seq", "x__status", "model", "hop", "dims", "dims.a"];
        let read: Vec<&str> =
            Batch::columns_read(&schema, names).into_iter().map(|position| names[position]).collect();
        assert_eq!(read, ["label", "x", "ts", "x__status", "hop", "dims.a"]);
    }
}
