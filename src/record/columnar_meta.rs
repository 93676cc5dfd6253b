use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};

use super::columnar::{Plain, json_cell, plain};
use super::file_names::{self, FileNames};
use super::meta_builder::FIXED_TAGS;
use super::names::DIM_PREFIX;
use super::{Error, Meta, RowStatus, Scalar, Status, Tag};
use crate::units::{Ratio, Timestamp};

/// A column with its name in the file.
type Named<'a> = file_names::Named<'a, &'a ArrayRef>;

/// The columns of a table.
pub(super) type Names<'a> = FileNames<'a, &'a ArrayRef>;

/// What a table says of each row beside its features and answers.
pub(super) fn meta(names: &Names<'_>) -> Result<Meta, Error> {
    let mut meta = Meta::of_times(row_times(names)?);
    if let Some(ids) = names.fixed("request_id") {
        meta = meta.with_request_ids(words(ids)?)?;
    }
    if let Some(rows) = names.fixed("row") {
        meta = meta.with_sub_rows(sub_rows(rows)?)?;
    }
    if let Some(statuses) = names.fixed("status") {
        meta = meta.with_statuses(spelled::<RowStatus>(statuses, "`ok` or `error`")?)?;
    }
    if let Some(latencies) = names.fixed("latency_ms") {
        meta = meta.with_latencies_ms(numbers(latencies, "a number of milliseconds")?)?;
    }
    if let Some(entities) = names.fixed("entity") {
        meta = meta.with_entities(words(entities)?)?;
    }
    if let Some(rates) = names.fixed("sampling") {
        meta = meta.with_sampling(sampling(rates)?)?;
    }
    // A column of lists and the like has no label in any row; nothing else of the file is worse for it.
    if let Some(labels) = names.fixed("label").and_then(labels) {
        meta = meta.with_labels(labels)?;
    }
    with_tags(with_features(meta, names)?, names)
}

/// Labels as they are written: a word stays one, whatever it spells.
fn labels((_, array): Named<'_>) -> Option<Vec<Option<Scalar>>> {
    Some(match plain(array).ok()? {
        Plain::Numbers(numbers) => numbers.iter().map(|n| n.map(Scalar::Number)).collect(),
        Plain::Booleans(booleans) => booleans.iter().map(|b| b.map(Scalar::Bool)).collect(),
        Plain::Words(words) => {
            let said =
                |word: Option<&str>| word.filter(|w| !w.is_empty()).map(|w| Scalar::Text(w.to_owned()));
            words.iter().map(said).collect()
        }
        Plain::Empty(rows) => vec![None; rows],
        Plain::Vectors(_) => return None,
    })
}

fn with_features(meta: Meta, names: &Names<'_>) -> Result<Meta, Error> {
    let expected = "present, null, not_found, stale, default or error";
    let status = |found: Option<Named<'_>>| found.map(|f| spelled::<Status>(f, expected)).transpose();
    let meta = meta.with_feature_status(names.statuses().map(status).collect::<Result<_, _>>()?)?;
    let ts = |found: Option<Named<'_>>| found.map(times).transpose();
    meta.with_feature_ts(names.times().map(ts).collect::<Result<_, _>>()?)
}

fn with_tags(mut meta: Meta, names: &Names<'_>) -> Result<Meta, Error> {
    for name in FIXED_TAGS {
        if let Some(found) = names.fixed(name) {
            meta = meta.with_tag(Tag { name: name.to_owned(), values: words(found)? })?;
        }
    }
    for (dim, found) in names.dims()? {
        meta = meta.with_tag(Tag { name: format!("{DIM_PREFIX}{dim}"), values: words(found)? })?;
    }
    Ok(meta)
}

/// When each row happened: no row is without.
fn row_times(names: &Names<'_>) -> Result<Vec<Timestamp>, Error> {
    let named = names.fixed("ts").ok_or_else(|| Error::NoTime(names.spelling("ts").to_owned()))?;
    let times = times(named)?;
    if times.null_count() > 0
        && let Some(row) = (0..times.len()).find(|row| times.is_null(*row))
    {
        return Err(wrong_cell(named.0, row, "null", A_TIME));
    }
    Ok(times.values().iter().map(|micros| Timestamp::from_micros(*micros)).collect())
}

fn unsupported((column, array): Named<'_>) -> Error {
    Error::Unsupported { column: column.to_owned(), found: format!("values of type {}", array.data_type()) }
}

fn wrong_cell(column: &str, row: usize, found: &str, expected: &'static str) -> Error {
    let found = format!("`{}`", found.chars().take(64).collect::<String>());
    Error::Cell { column: column.to_owned(), row, found, expected }
}

/// A conversion must not lose a cell: one that became null is told.
fn check_kept(
    (column, array): (&str, &dyn Array),
    kept: &dyn Array,
    found: impl Fn(usize) -> String,
    expected: &'static str,
) -> Result<(), Error> {
    if kept.null_count() == array.logical_null_count() {
        return Ok(());
    }
    let was = array.logical_nulls();
    let lost = |row: &usize| kept.is_null(*row) && was.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
    match (0..kept.len()).find(lost) {
        Some(row) => Err(wrong_cell(column, row, &found(row), expected)),
        None => Ok(()),
    }
}

fn words(named: Named<'_>) -> Result<StringArray, Error> {
    let cast = cast(named.1, &DataType::Utf8).map_err(|_| unsupported(named))?;
    let words = cast.as_string_opt::<i32>().ok_or_else(|| unsupported(named))?;
    check_kept((named.0, named.1), words, |_| "bytes".to_owned(), "text")?;
    Ok(words.clone())
}

/// Words of an enum that serde knows.
fn spelled<T: serde::de::DeserializeOwned>(
    named: Named<'_>,
    expected: &'static str,
) -> Result<Vec<Option<T>>, Error> {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as Wrong, StrDeserializer};
    let parse = |(row, word): (usize, Option<&str>)| {
        let Some(word) = word else { return Ok(None) };
        let spelling: StrDeserializer<'_, Wrong> = word.into_deserializer();
        T::deserialize(spelling).map(Some).map_err(|_| wrong_cell(named.0, row, word, expected))
    };
    words(named)?.iter().enumerate().map(parse).collect()
}

fn numbers(named: Named<'_>, expected: &'static str) -> Result<Float64Array, Error> {
    match plain(named.1) {
        Ok(Plain::Numbers(numbers)) => Ok(numbers),
        Ok(Plain::Empty(rows)) => Ok(Float64Array::new_null(rows)),
        Ok(Plain::Words(words)) => {
            let parse = |(row, word): (usize, Option<&str>)| match word.map(json_cell) {
                None | Some(Some(Scalar::Null)) => Ok(None),
                Some(Some(Scalar::Number(number))) => Ok(Some(number)),
                Some(_) => Err(wrong_cell(named.0, row, word.unwrap_or(""), expected)),
            };
            words.iter().enumerate().map(parse).collect()
        }
        Ok(Plain::Booleans(_) | Plain::Vectors(_)) | Err(()) => Err(unsupported(named)),
    }
}

fn sampling(named: Named<'_>) -> Result<Float64Array, Error> {
    let expected = "a rate from 0 to 1";
    let rates = numbers(named, expected)?;
    for (row, rate) in rates.iter().enumerate() {
        if let Some(rate) = rate.filter(|rate| Ratio::new(*rate).is_err()) {
            return Err(wrong_cell(named.0, row, &rate.to_string(), expected));
        }
    }
    Ok(rates)
}

fn sub_rows(named: Named<'_>) -> Result<UInt64Array, Error> {
    let expected = "the row's number within its request, from 0";
    let whole = |numbers: &dyn Array, found: &dyn Fn(usize) -> String| {
        let whole = cast(numbers, &DataType::UInt64).map_err(|_| unsupported(named))?;
        check_kept((named.0, numbers), &whole, found, expected)?;
        Ok(whole.as_primitive().clone())
    };
    if named.1.data_type().is_integer() {
        return whole(named.1, &|row| spell(named.1, row));
    }
    let numbers = numbers(named, expected)?;
    for (row, number) in numbers.iter().enumerate() {
        if let Some(number) = number.filter(|number| number.fract() != 0.0) {
            return Err(wrong_cell(named.0, row, &number.to_string(), expected));
        }
    }
    whole(&numbers, &|row| numbers.value(row).to_string())
}

/// One cell as text, for a message.
fn spell(array: &dyn Array, row: usize) -> String {
    arrow::util::display::array_value_to_string(array, row).unwrap_or_else(|_| "another value".to_owned())
}

const A_TIME: &str = "RFC 3339 or integer milliseconds since 1970";

/// Times in any spelling; null stays null.
fn times(named: Named<'_>) -> Result<TimestampMicrosecondArray, Error> {
    let (name, array) = named;
    if let Some(micros) = micros(named)? {
        return Ok(micros);
    }
    match plain(array) {
        Ok(Plain::Words(words)) => {
            let parse = |(row, word): (usize, Option<&str>)| match word.map(|w| (w, Timestamp::parse(w))) {
                None => Ok(None),
                Some((_, Ok(ts))) => Ok(Some(ts.as_micros())),
                Some((word, Err(_))) => Err(wrong_cell(name, row, word, A_TIME)),
            };
            words.iter().enumerate().map(parse).collect()
        }
        // What is left are floats: pandas makes them of integers as soon as one is missing.
        Ok(Plain::Numbers(numbers)) => {
            let whole = cast(&numbers, &DataType::Int64).map_err(|_| unsupported(named))?;
            let stamp = |(row, (number, ms)): (usize, (Option<f64>, Option<i64>))| {
                let Some(number) = number else { return Ok(None) };
                let ms = ms.filter(|_| number.fract() == 0.0);
                let ms = ms.ok_or_else(|| wrong_cell(name, row, &number.to_string(), A_TIME))?;
                Ok(Some(Timestamp::from_millis(ms).as_micros()))
            };
            numbers.iter().zip(whole.as_primitive::<Int64Type>()).enumerate().map(stamp).collect()
        }
        Ok(Plain::Empty(rows)) => Ok(TimestampMicrosecondArray::new_null(rows)),
        Ok(Plain::Booleans(_) | Plain::Vectors(_)) | Err(()) => Err(unsupported(named)),
    }
}

/// Arrow timestamps, and integers as milliseconds; nothing for other types.
fn micros(named: Named<'_>) -> Result<Option<TimestampMicrosecondArray>, Error> {
    let array = named.1;
    Ok(Some(match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().unary(|s| s.saturating_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().unary(|ms| ms.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().clone()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().unary(|ns| ns.div_euclid(1_000))
        }
        whole if whole.is_integer() => {
            let millis = cast(array, &DataType::Int64).map_err(|_| unsupported(named))?;
            check_kept((named.0, array), &millis, |row| spell(array, row), A_TIME)?;
            millis.as_primitive::<Int64Type>().unary(|ms| ms.saturating_mul(1_000))
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Int32Array, Int64Array, TimestampMillisecondArray,
        TimestampNanosecondArray,
    };

    use super::*;
    use crate::record::Batch;
    use crate::record::fixture::{batch, numbers_named, text, whole};

    fn tags(batch: &Batch) -> Vec<(&str, &str)> {
        batch.meta().tags().iter().map(|t| (t.name.as_str(), t.values.value(0))).collect()
    }

    /// The fixed names of columnar files arrive where the same fields of records do.
    #[test]
    fn every_name_arrives() {
        let columns = vec![
            ("ts", whole(&[7, 8])),
            ("x", whole(&[1, 2])),
            ("x__ts", text(&[Some("5"), None])),
            ("x__status", text(&[None, Some("default")])),
            ("request_id", text(&[Some("r"), None])),
            ("row", whole(&[0, 1])),
            ("entity", text(&[Some("e"), None])),
            ("version", text(&[Some("3"), None])),
            ("model_hash", text(&[Some("abc"), None])),
            ("arm", text(&[Some("control"), None])),
            ("source", text(&[Some("pod-1"), None])),
            ("hop", text(&[Some("edge"), None])),
            ("sampling", Arc::new(Float64Array::from(vec![Some(0.5), None])) as ArrayRef),
            ("dims.region", text(&[Some("eu"), None])),
            ("dims__replica", Arc::new(Int32Array::from(vec![Some(4), None]))),
            ("label", text(&[Some("1"), None])),
        ];
        let batch = batch(numbers_named(&["x"]), columns).unwrap();
        let meta = batch.meta();
        assert_eq!((meta.feature_ts(0, 0), meta.feature_ts(0, 1)), (Some(Timestamp::from_millis(5)), None));
        assert_eq!((meta.feature_status(0, 0), meta.feature_status(0, 1)), (None, Some(Status::Default)));
        assert_eq!((meta.request_id(0), meta.request_id(1), meta.sub_row(1)), (Some("r"), None, Some(1)));
        assert_eq!((meta.entity(0), meta.entity(1)), (Some("e"), None));
        assert_eq!((meta.sampling(0), meta.sampling(1)), (Some(0.5), None));
        let expected = [
            ("arm", "control"),
            ("dims.region", "eu"),
            ("dims.replica", "4"),
            ("hop", "edge"),
            ("model_hash", "abc"),
            ("source", "pod-1"),
            ("version", "3"),
        ];
        assert_eq!(tags(&batch), expected);
        assert!(meta.tags().iter().all(|tag| tag.values.is_null(1)));
        assert_eq!((meta.label(0), meta.label(1)), (Some(&Scalar::Text("1".into())), None));
    }

    /// Labels of every type are read as they are written; a column that holds no scalars has none, and harms no
    /// other.
    #[test]
    fn labels_of_every_type() {
        let labels = |cells: ArrayRef| {
            let columns = vec![("ts", whole(&[1])), ("x", whole(&[1])), ("label", cells)];
            batch(numbers_named(&["x"]), columns).unwrap().meta().label(0).cloned()
        };
        assert_eq!(labels(Arc::new(BooleanArray::from(vec![true]))), Some(Scalar::Bool(true)));
        assert_eq!(labels(Arc::new(Float64Array::from(vec![0.5]))), Some(Scalar::Number(0.5)));
        assert_eq!(labels(text(&[Some("good")])), Some(Scalar::Text("good".into())));
        for none in
            [text(&[None]), text(&[Some("")]), Arc::new(BinaryArray::from(vec![&b"1"[..]])) as ArrayRef]
        {
            assert_eq!(labels(none), None);
        }
    }

    fn refused(name: &str, cells: ArrayRef, expected: &[&str]) {
        let x = whole(&vec![1; cells.len()]);
        let columns = vec![("ts", x.clone()), ("x", x), (name, cells)];
        let error = batch(numbers_named(&["x"]), columns).unwrap_err().to_string();
        for part in expected.iter().chain([&format!("`{name}`").as_str()]) {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    }

    /// A cell that cannot be what its column is, is refused by column and row, not read as "not said".
    #[test]
    fn wrong_cells_are_refused() {
        refused("status", text(&[Some("200")]), &["row 0", "`200`", "`ok` or `error`"]);
        refused("x__status", text(&[None, Some("lost")]), &["row 1", "`lost`", "not_found"]);
        refused("x__ts", text(&[None, Some("soon")]), &["row 1", "`soon`", "RFC 3339"]);
        refused("x__ts", Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX])), &["row 0"]);
        refused("row", whole(&[0, -1]), &["row 1", "`-1`", "from 0"]);
        refused("row", text(&[Some("1.5")]), &["row 0", "`1.5`"]);
        refused("row", text(&[Some("1e300")]), &["row 0", "from 0"]);
        refused("sampling", text(&[None, Some("2")]), &["row 1", "`2`", "from 0 to 1"]);
        refused("sampling", Arc::new(Float64Array::from(vec![f64::NAN])), &["row 0", "`NaN`"]);
        refused("sampling", Arc::new(BooleanArray::from(vec![true])), &["Boolean"]);
        refused("latency_ms", text(&[Some("fast")]), &["row 0", "`fast`", "milliseconds"]);
        refused("entity", Arc::new(BinaryArray::from(vec![&b"\xff"[..]])), &["row 0", "text"]);
    }

    /// All spellings of a row number are the same number.
    #[test]
    fn row_numbers_in_every_spelling() {
        let arrays: [ArrayRef; 4] = [
            whole(&[3]),
            Arc::new(Float64Array::from(vec![3.0])),
            text(&[Some("3"), Some("null")]),
            Arc::new(arrow::array::UInt8Array::from(vec![3])),
        ];
        for array in arrays {
            let ts = whole(&vec![1; array.len()]);
            let batch = batch(numbers_named(&["x"]), vec![("ts", ts), ("row", array)]).unwrap();
            assert_eq!((batch.meta().sub_row(0), batch.meta().sub_row(1)), (Some(3), None));
        }
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
            let batch = batch(numbers_named(&["x"]), vec![("ts", array.clone()), ("x", x)]).unwrap();
            assert_eq!(batch.meta().ts(), [Timestamp::from_millis(ms)], "{array:?}");
        }
        let x = || ("x", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef);
        let numeric = || numbers_named(&["x"]);
        assert_eq!(batch(numeric(), vec![x()]).unwrap_err(), Error::NoTime("ts".into()));
        let soon = Arc::new(StringArray::from(vec!["1", "soon"]));
        let error = batch(numeric(), vec![("ts", soon), x()]).unwrap_err().to_string();
        assert!(error.contains("row 1") && error.contains("`soon`"), "{error}");
        let half = Arc::new(Float64Array::from(vec![Some(1.5), None]));
        assert!(batch(numeric(), vec![("ts", half), x()]).is_err());
    }
}
