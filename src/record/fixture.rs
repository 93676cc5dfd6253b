//! Columns for the tests of all rooms; schemas and tables for those of this one.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::{Batch, Column, Contract, Error, Kind, Role, Schema};

impl Column {
    /// A column without a default and without rules.
    pub(crate) fn plain(name: &str, role: Role, kind: Kind, group: &str) -> Self {
        let (name, group) = (name.to_owned(), group.to_owned());
        Self { name, role, kind, group, default: None, contract: Contract::default(), vector: None }
    }
}

pub(super) fn schema(columns: &[(&str, Kind)]) -> Schema {
    let column = |(name, kind): &(&str, Kind)| Column::plain(name, Role::Input, *kind, Schema::REQUEST_GROUP);
    Schema::new("m".into(), None, columns.iter().map(column).collect()).unwrap()
}

pub(super) fn numbers_named(names: &[&str]) -> Schema {
    schema(&names.iter().map(|name| (*name, Kind::Numeric)).collect::<Vec<_>>())
}

pub(super) fn whole(cells: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(cells.to_vec()))
}

pub(super) fn text(cells: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(cells.to_vec()))
}

/// The batch of a table, which must be the same when only the columns that are read are there.
pub(super) fn batch(schema: Schema, columns: Vec<(&str, ArrayRef)>) -> Result<Batch, Error> {
    let schema = Arc::new(schema);
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let table = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let names = table.schema_ref().fields().iter().map(|field| field.name().as_str());
    let read: Vec<usize> = Batch::columns_read(&schema, names).into_iter().collect();
    let all = Batch::from_arrow(&schema, &table);
    assert_eq!(Batch::from_arrow(&schema, &table.project(&read).unwrap()), all);
    all
}
