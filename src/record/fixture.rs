//! Schemas and tables for the tests of this room.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::{Batch, Column, Contract, Error, Kind, Role, Schema};

pub(super) fn schema(columns: &[(&str, Kind)]) -> Schema {
    let column = |(name, kind): &(&str, Kind)| Column {
        name: (*name).into(),
        role: Role::Input,
        kind: *kind,
        group: Schema::REQUEST_GROUP.into(),
        default: None,
        contract: Contract::default(),
    };
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
