use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Float64Array, Float64Builder, Int64Array,
    RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};

use super::names::STATUS_SUFFIX;
use super::{Batch, Cells, Column, Error, Kind, RowMeta, RowStatus, Scalar, Schema, Status, Values};
use crate::units::Timestamp;

/// An Arrow column by what its cells are, whatever their width or encoding.
pub(super) enum Plain {
    Numbers(Float64Array),
    Booleans(BooleanArray),
    Words(StringArray),
    /// A column of the null type: this many cells, all of them null.
    Empty(usize),
}

/// The column as one of the types that cells are held in; an error for any other type.
pub(super) fn plain(array: &dyn Array) -> Result<Plain, ()> {
    let to = |data_type: &DataType| cast(array, data_type).map_err(|_| ());
    match array.data_type() {
        DataType::Null => Ok(Plain::Empty(array.len())),
        DataType::Boolean => Ok(Plain::Booleans(array.as_boolean().clone())),
        DataType::Utf8 => Ok(Plain::Words(array.as_string::<i32>().clone())),
        DataType::Dictionary(_, values) => plain(&to(values)?),
        number if number.is_numeric() => Ok(Plain::Numbers(to(&DataType::Float64)?.as_primitive().clone())),
        DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(Plain::Words(to(&DataType::Utf8)?.as_string().clone()))
        }
        time if time.is_temporal() => Ok(Plain::Words(to(&DataType::Utf8)?.as_string().clone())),
        _ => Err(()),
    }
}

/// A text cell as the JSON scalar that it spells; the bare non-numbers of Python and JavaScript count as numbers.
pub(super) fn json_cell(word: &str) -> Option<Scalar> {
    match word {
        "NaN" => Some(Scalar::Number(f64::NAN)),
        "Infinity" => Some(Scalar::Number(f64::INFINITY)),
        "-Infinity" => Some(Scalar::Number(f64::NEG_INFINITY)),
        _ => serde_json::from_str(word).ok(),
    }
}

impl Batch {
    /// A table of a columnar file as a batch, by the names that the schema has for files.
    ///
    /// A column that is not there is null in every row. A cell of another type than the schema's is
    /// [`super::Cell::WrongType`]; a text column where the schema has numbers or booleans is read cell
    /// by cell as JSON, so `39` is a number and `"39"` is of another type. Times are integer
    /// milliseconds, RFC 3339 text or Arrow timestamps (those without a zone are UTC).
    /// `<feature>__status` becomes [`RowMeta::feature_status`]. Columns outside the schema are not read.
    ///
    /// # Errors
    /// [`Error::NoTime`] without a time column, [`Error::Cell`] for a time, status or latency that
    /// cannot be read, [`Error::Unsupported`] for a column of lists and the like.
    pub fn from_arrow(schema: &Arc<Schema>, table: &RecordBatch) -> Result<Self, Error> {
        let columns: Vec<Cells> =
            schema.columns.iter().map(|column| cells(schema, column, table)).collect::<Result<_, _>>()?;
        Self::new(Arc::clone(schema), columns, rows(schema, table)?)
    }
}

fn cells(schema: &Schema, column: &Column, table: &RecordBatch) -> Result<Cells, Error> {
    let name = &column.name;
    let found = match table.column_by_name(schema.file_name(name)) {
        None => Plain::Empty(table.num_rows()),
        Some(array) => plain(array).map_err(|()| Error::Unsupported {
            column: name.clone(),
            found: format!("values of type {}", array.data_type()),
        })?,
    };
    let (values, wrong) = match (column.kind, found) {
        (Kind::Numeric, Plain::Numbers(numbers)) => (Values::Number(numbers), None),
        (Kind::Numeric, Plain::Words(words)) => numbers_of_json(&words),
        (Kind::Boolean, Plain::Booleans(booleans)) => {
            (Values::Text(booleans.iter().map(|b| b.map(spell)).collect()), None)
        }
        (Kind::Boolean, Plain::Words(words)) => booleans_of_json(&words),
        (Kind::Categorical | Kind::Text, Plain::Words(words)) => (Values::Text(words), None),
        (kind, Plain::Empty(rows)) => (nulls(kind, rows), None),
        (kind, Plain::Numbers(other)) => all_wrong(kind, &other),
        (kind, Plain::Booleans(other)) => all_wrong(kind, &other),
    };
    Cells::new(name, values, wrong.map(|mut mask: BooleanBufferBuilder| mask.finish()))
}

const fn spell(boolean: bool) -> &'static str {
    if boolean { "true" } else { "false" }
}

fn nulls(kind: Kind, rows: usize) -> Values {
    if kind.is_numeric() {
        Values::Number(new_null_array(&DataType::Float64, rows).as_primitive().clone())
    } else {
        Values::Text(new_null_array(&DataType::Utf8, rows).as_string().clone())
    }
}

/// A column in which every value is of another type.
fn all_wrong(kind: Kind, other: &dyn Array) -> (Values, Option<BooleanBufferBuilder>) {
    let mut wrong = BooleanBufferBuilder::new(other.len());
    (0..other.len()).for_each(|row| wrong.append(other.is_valid(row)));
    (nulls(kind, other.len()), Some(wrong))
}

fn numbers_of_json(words: &StringArray) -> (Values, Option<BooleanBufferBuilder>) {
    let mut numbers = Float64Builder::with_capacity(words.len());
    let mut wrong = BooleanBufferBuilder::new(words.len());
    for word in words {
        let cell = word.map(json_cell);
        let number = if let Some(Some(Scalar::Number(n))) = cell { Some(n) } else { None };
        numbers.append_option(number);
        wrong.append(number.is_none() && !matches!(cell, None | Some(Some(Scalar::Null))));
    }
    (Values::Number(numbers.finish()), Some(wrong))
}

fn booleans_of_json(words: &StringArray) -> (Values, Option<BooleanBufferBuilder>) {
    let mut booleans = StringBuilder::with_capacity(words.len(), words.len() * 5);
    let mut wrong = BooleanBufferBuilder::new(words.len());
    for word in words {
        let cell = word.map(json_cell);
        let boolean = if let Some(Some(Scalar::Bool(b))) = cell { Some(spell(b)) } else { None };
        booleans.append_option(boolean);
        wrong.append(boolean.is_none() && !matches!(cell, None | Some(Some(Scalar::Null))));
    }
    (Values::Text(booleans.finish()), Some(wrong))
}

fn rows(schema: &Schema, table: &RecordBatch) -> Result<Vec<RowMeta>, Error> {
    let mut rows: Vec<RowMeta> = times(schema, table)?
        .into_iter()
        .map(|ts| RowMeta {
            ts,
            request_id: None,
            status: None,
            latency_ms: None,
            feature_status: BTreeMap::new(),
        })
        .collect();
    if let Some(ids) = fixed(schema, table, "request_id") {
        let ids = words("request_id", ids)?;
        rows.iter_mut().zip(&ids).for_each(|(row, id)| row.request_id = id.map(str::to_owned));
    }
    if let Some(statuses) = fixed(schema, table, "status") {
        let statuses: Vec<Option<RowStatus>> = spelled("status", statuses, "`ok` or `error`")?;
        rows.iter_mut().zip(statuses).for_each(|(row, status)| row.status = status);
    }
    if let Some(latencies) = fixed(schema, table, "latency_ms") {
        let latencies = latencies_of(latencies)?;
        rows.iter_mut().zip(&latencies).for_each(|(row, ms)| row.latency_ms = ms);
    }
    for (position, column) in schema.columns.iter().enumerate() {
        let name = format!("{}{STATUS_SUFFIX}", schema.file_name(&column.name));
        let Some(array) = table.column_by_name(&name) else { continue };
        let expected = "present, null, not_found, stale, default or error";
        let statuses: Vec<Option<Status>> = spelled(&name, array, expected)?;
        for (row, status) in rows.iter_mut().zip(statuses) {
            if let Some(status) = status {
                row.feature_status.insert(position, status);
            }
        }
    }
    Ok(rows)
}

/// The column of a fixed name, unless the schema says that a column of that name is something else.
fn fixed<'a>(schema: &Schema, table: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
    let from = schema.file_name(name);
    let taken = schema.file_names.iter().any(|(other, file_name)| other != name && file_name == from);
    if taken { None } else { table.column_by_name(from) }
}

fn unsupported(column: &str, array: &dyn Array) -> Error {
    Error::Unsupported { column: column.to_owned(), found: format!("values of type {}", array.data_type()) }
}

fn words(column: &str, array: &ArrayRef) -> Result<StringArray, Error> {
    let words = cast(array, &DataType::Utf8).map_err(|_| unsupported(column, array))?;
    words.as_string_opt::<i32>().cloned().ok_or_else(|| unsupported(column, array))
}

fn wrong_cell(column: &str, row: usize, found: &str, expected: &'static str) -> Error {
    let found = format!("`{}`", found.chars().take(64).collect::<String>());
    Error::Cell { column: column.to_owned(), row, found, expected }
}

/// Words of an enum that serde knows.
fn spelled<T: serde::de::DeserializeOwned>(
    column: &str,
    array: &ArrayRef,
    expected: &'static str,
) -> Result<Vec<Option<T>>, Error> {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as Wrong, StrDeserializer};
    let parse = |(row, word): (usize, Option<&str>)| {
        let Some(word) = word else { return Ok(None) };
        let spelling: StrDeserializer<'_, Wrong> = word.into_deserializer();
        T::deserialize(spelling).map(Some).map_err(|_| wrong_cell(column, row, word, expected))
    };
    words(column, array)?.iter().enumerate().map(parse).collect()
}

fn latencies_of(array: &ArrayRef) -> Result<Float64Array, Error> {
    let column = "latency_ms";
    match plain(array) {
        Ok(Plain::Numbers(numbers)) => Ok(numbers),
        Ok(Plain::Empty(rows)) => Ok(Float64Array::new_null(rows)),
        Ok(Plain::Words(words)) => {
            let parse = |(row, word): (usize, Option<&str>)| match word.map(json_cell) {
                None | Some(Some(Scalar::Null)) => Ok(None),
                Some(Some(Scalar::Number(ms))) => Ok(Some(ms)),
                Some(_) => Err(wrong_cell(column, row, word.unwrap_or(""), "a number of milliseconds")),
            };
            words.iter().enumerate().map(parse).collect()
        }
        Ok(Plain::Booleans(_)) | Err(()) => Err(unsupported(column, array)),
    }
}

const A_TIME: &str = "RFC 3339 or integer milliseconds since 1970";

fn times(schema: &Schema, table: &RecordBatch) -> Result<Vec<Timestamp>, Error> {
    let name = schema.file_name("ts");
    let Some(array) = fixed(schema, table, "ts") else { return Err(Error::NoTime(name.to_owned())) };
    let no_time = |row: usize| wrong_cell(name, row, "null", A_TIME);
    if let Some(micros) = micros(array) {
        let stamp =
            |(row, t): (usize, Option<i64>)| t.map(Timestamp::from_micros).ok_or_else(|| no_time(row));
        return micros.iter().enumerate().map(stamp).collect();
    }
    match plain(array) {
        Ok(Plain::Words(words)) => {
            let parse = |(row, word): (usize, Option<&str>)| {
                let word = word.ok_or_else(|| no_time(row))?;
                Timestamp::parse(word).map_err(|_| wrong_cell(name, row, word, A_TIME))
            };
            words.iter().enumerate().map(parse).collect()
        }
        // What is left are floats: pandas makes them of integers as soon as one is missing.
        Ok(Plain::Numbers(numbers)) => {
            let whole = cast(&numbers, &DataType::Int64).map_err(|_| unsupported(name, array))?;
            let whole = whole.as_primitive::<Int64Type>();
            let stamp = |(row, (number, ms)): (usize, (Option<f64>, Option<i64>))| {
                let number = number.ok_or_else(|| no_time(row))?;
                let ms = ms.filter(|_| number.fract() == 0.0);
                ms.map(Timestamp::from_millis)
                    .ok_or_else(|| wrong_cell(name, row, &number.to_string(), A_TIME))
            };
            numbers.iter().zip(whole).enumerate().map(stamp).collect()
        }
        Ok(Plain::Empty(0)) => Ok(Vec::new()),
        Ok(Plain::Empty(_)) => Err(no_time(0)),
        Ok(Plain::Booleans(_)) | Err(()) => Err(unsupported(name, array)),
    }
}

/// Microseconds since 1970 of Arrow timestamps and of integer milliseconds; nothing for other types.
fn micros(array: &ArrayRef) -> Option<Int64Array> {
    let scaled = |values: &Int64Array, by: i64| values.unary::<_, Int64Type>(|v| v.saturating_mul(by));
    Some(match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled(&array.as_primitive::<TimestampSecondType>().reinterpret_cast(), 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(&array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(), 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().unary(|ns| ns.div_euclid(1_000))
        }
        whole if whole.is_integer() => {
            scaled(cast(array, &DataType::Int64).ok()?.as_primitive::<Int64Type>(), 1_000)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        DictionaryArray, Int32Array, LargeStringArray, TimestampMillisecondArray, TimestampNanosecondArray,
    };
    use arrow::datatypes::Int8Type;

    use super::*;
    use crate::record::{Cell, Contract, Role};

    fn schema(columns: &[(&str, Kind)]) -> Schema {
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

    fn ts(rows: usize) -> (&'static str, ArrayRef) {
        ("ts", Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap())))
    }

    fn batch(schema: Schema, columns: Vec<(&str, ArrayRef)>) -> Result<Batch, Error> {
        Batch::from_arrow(
            &Arc::new(schema),
            &RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
                .unwrap(),
        )
    }

    fn check(kind: Kind, array: ArrayRef, expected: &[Cell<'_>]) {
        let rows = array.len();
        let batch = batch(schema(&[("x", kind)]), vec![ts(rows), ("x", array)]).unwrap();
        let cells = batch.columns().first().unwrap();
        let found: Vec<_> = (0..rows).map(|row| cells.cell(row)).collect();
        assert_eq!(found, expected);
    }

    /// Every width and encoding lands in the same cells; null stays null.
    #[test]
    fn encodings() {
        let numbers = [Cell::Number(1.0), Cell::Null];
        check(Kind::Numeric, Arc::new(Int32Array::from(vec![Some(1), None])), &numbers);
        check(Kind::Numeric, Arc::new(Float64Array::from(vec![Some(1.0), None])), &numbers);
        let words = [Cell::Text("a"), Cell::Null];
        check(Kind::Categorical, Arc::new(LargeStringArray::from(vec![Some("a"), None])), &words);
        check(Kind::Text, Arc::new(StringArray::from(vec![Some("a"), None])), &words);
        let dictionary: DictionaryArray<Int8Type> = [Some("a"), None].into_iter().collect();
        check(Kind::Categorical, Arc::new(dictionary), &words);
        check(
            Kind::Boolean,
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            &[Cell::Text("true"), Cell::Null],
        );
    }

    /// Text where numbers or booleans belong is read cell by cell: a quoted number is a type change.
    #[test]
    fn text_cells_are_json() {
        let wrong = Cell::WrongType;
        let text = |cells: Vec<Option<&str>>| Arc::new(StringArray::from(cells)) as ArrayRef;
        check(
            Kind::Numeric,
            text(vec![Some("39"), Some("\"39\""), Some("39 kg"), Some("true"), Some("null"), None, Some("")]),
            &[Cell::Number(39.0), wrong, wrong, wrong, Cell::Null, Cell::Null, wrong],
        );
        check(
            Kind::Boolean,
            text(vec![Some("true"), Some("1"), Some("\"true\"")]),
            &[Cell::Text("true"), wrong, wrong],
        );
        check(Kind::Categorical, text(vec![Some("39")]), &[Cell::Text("39")]);
    }

    /// A column that changed its type is all wrong, one that is gone is all null: never the same.
    #[test]
    fn changed_and_gone_columns() {
        let flags = Arc::new(BooleanArray::from(vec![Some(true), None]));
        check(Kind::Numeric, flags, &[Cell::WrongType, Cell::Null]);
        check(Kind::Categorical, Arc::new(Int32Array::from(vec![7])), &[Cell::WrongType]);
        let gone = batch(schema(&[("x", Kind::Numeric), ("y", Kind::Text)]), vec![ts(1)]).unwrap();
        assert!(gone.columns().iter().all(|cells| cells.cell(0) == Cell::Null));
    }

    /// All spellings of a time are the same instant; what is no time is told with its row.
    #[test]
    fn times_in_every_spelling() {
        let ms = 1_767_323_045_006;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![ms])),
            Arc::new(Float64Array::from(vec![1_767_323_045_006.0])),
            Arc::new(StringArray::from(vec!["2026-01-02T03:04:05.006Z"])),
            Arc::new(StringArray::from(vec!["1767323045006"])),
            Arc::new(TimestampMillisecondArray::from(vec![ms]).with_timezone("+02:00")),
            Arc::new(TimestampNanosecondArray::from(vec![ms * 1_000_000])),
        ];
        for array in arrays {
            let x = Arc::new(Int64Array::from(vec![1]));
            let batch =
                batch(schema(&[("x", Kind::Numeric)]), vec![("ts", array.clone()), ("x", x)]).unwrap();
            assert_eq!(batch.rows().first().unwrap().ts, Timestamp::from_millis(ms), "{array:?}");
        }
        let x = || ("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef);
        let numeric = || schema(&[("x", Kind::Numeric)]);
        assert_eq!(batch(numeric(), vec![x()]).unwrap_err(), Error::NoTime("ts".into()));
        let soon = Arc::new(StringArray::from(vec!["1", "soon"]));
        let error = batch(numeric(), vec![("ts", soon), x()]).unwrap_err().to_string();
        assert!(error.contains("row 1") && error.contains("`soon`"), "{error}");
        let half = Arc::new(Float64Array::from(vec![Some(1.5), None]));
        assert!(batch(numeric(), vec![("ts", half), x()]).is_err());
    }

    /// Renamed columns are found; a name that a column took is no longer the fixed one.
    #[test]
    fn names_of_files() {
        let mut schema = schema(&[("x", Kind::Numeric), ("order_status", Kind::Categorical)]);
        let names = [("x", "X"), ("ts", "when"), ("order_status", "status")];
        schema.file_names = names.into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        let (_, when) = ts(1);
        let columns = vec![
            ("when", when),
            ("X", Arc::new(Int64Array::from(vec![5])) as ArrayRef),
            ("status", Arc::new(StringArray::from(vec!["shipped"]))),
            ("X__status", Arc::new(StringArray::from(vec!["stale"]))),
            ("latency_ms", Arc::new(StringArray::from(vec!["2.5"]))),
            ("request_id", Arc::new(Int64Array::from(vec![77]))),
        ];
        let batch = batch(schema, columns).unwrap();
        let [x, order] = batch.columns() else { panic!("two columns") };
        assert_eq!((x.cell(0), order.cell(0)), (Cell::Number(5.0), Cell::Text("shipped")));
        let row = batch.rows().first().unwrap();
        assert_eq!(row.feature_status, BTreeMap::from([(0, Status::Stale)]));
        assert_eq!((row.status, row.latency_ms, row.request_id.as_deref()), (None, Some(2.5), Some("77")));
    }

    /// A word that is no status is refused by column and row, not read as "nothing known".
    #[test]
    fn unknown_statuses_are_refused() {
        let columns = vec![ts(1), ("status", Arc::new(StringArray::from(vec!["200"])) as ArrayRef)];
        let error = batch(schema(&[("x", Kind::Numeric)]), columns).unwrap_err().to_string();
        assert!(error.contains("`status`, row 0") && error.contains("`200`"), "{error}");
    }
}
