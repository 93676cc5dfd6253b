use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, BooleanBufferBuilder, Float64Array, Float64Builder, RecordBatch,
    StringArray, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt32Type, UInt64Type,
};

use super::columnar_meta::{self, Names};
use super::file_names::FileNames;
use super::{Batch, Cells, Column, Error, Kind, Scalar, Schema, Values};

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
        number if number.is_numeric() => Ok(Plain::Numbers(
            numbers(array)
                .map_or_else(|| to(&DataType::Float64).map(|numbers| numbers.as_primitive().clone()), Ok)?,
        )),
        DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(Plain::Words(to(&DataType::Utf8)?.as_string().clone()))
        }
        time if time.is_temporal() => Ok(Plain::Words(to(&DataType::Utf8)?.as_string().clone())),
        _ => Err(()),
    }
}

/// Numbers of the common widths, converted without a branch for each; nothing for the others.
#[expect(clippy::cast_precision_loss, reason = "features are f64 to the models that read them")]
fn numbers(array: &dyn Array) -> Option<Float64Array> {
    Some(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        DataType::Float32 => array.as_primitive::<Float32Type>().unary(f64::from),
        DataType::Int64 => array.as_primitive::<Int64Type>().unary(|n| n as f64),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().unary(|n| n as f64),
        DataType::Int32 => array.as_primitive::<Int32Type>().unary(f64::from),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().unary(f64::from),
        DataType::Int16 => array.as_primitive::<Int16Type>().unary(f64::from),
        DataType::Int8 => array.as_primitive::<Int8Type>().unary(f64::from),
        _ => return None,
    })
}

/// A text cell as the JSON scalar that it spells; the bare non-numbers of Python and JavaScript count as numbers.
pub(super) fn json_cell(word: &str) -> Option<Scalar> {
    if let Some(number) = plain_number(word) {
        return Some(Scalar::Number(number));
    }
    match word {
        "NaN" => Some(Scalar::Number(f64::NAN)),
        "Infinity" => Some(Scalar::Number(f64::INFINITY)),
        "-Infinity" => Some(Scalar::Number(f64::NEG_INFINITY)),
        _ => serde_json::from_str(word).ok(),
    }
}

/// A JSON number without an exponent, as almost every cell of a CSV file is: read without the cost of a
/// parser that expects anything.
fn plain_number(word: &str) -> Option<f64> {
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(w, f)| (w, Some(f)));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let has_no_padding = whole.len() == 1 || !whole.starts_with('0');
    if !is_digits(whole) || !has_no_padding || !fraction.is_none_or(is_digits) {
        return None;
    }
    // What is beyond f64 is left to the parser, which refuses it.
    word.parse().ok().filter(|number: &f64| number.is_finite())
}

impl Batch {
    /// A table of a columnar file as a batch, by the names that the schema has for files.
    ///
    /// A column that is not there is null in every row. A cell of another type than the schema's is
    /// [`super::Cell::WrongType`]; a text column where the schema has numbers or booleans is read cell
    /// by cell as JSON, so `39` is a number and `"39"` is of another type. Times are integer
    /// milliseconds, RFC 3339 text or Arrow timestamps (those without a zone are UTC).
    /// The fixed names, `<feature>__status`, `<feature>__ts` and `dims.<name>` or `dims__<name>` become
    /// [`super::Meta`], unless the schema has another use for a column of that name. Other columns
    /// outside the schema are not read.
    ///
    /// # Errors
    /// [`Error::NoTime`] without a time column, [`Error::Cell`] for a cell of [`super::Meta`] that
    /// cannot be read, [`Error::Unsupported`] for a column of lists and the like,
    /// [`Error::TooManyDims`] beyond [`super::Meta::DIMS_MAX`].
    pub fn from_arrow(schema: &Arc<Schema>, table: &RecordBatch) -> Result<Self, Error> {
        let (fields, rows) = (table.schema_ref().fields(), table.num_rows());
        let names = fields.iter().map(|field| field.name().as_str());
        let names = FileNames::new(schema, names.zip(table.columns()));
        let columns: Vec<Cells> =
            schema.columns.iter().map(|column| cells(column, &names, rows)).collect::<Result<_, _>>()?;
        Self::new(Arc::clone(schema), columns, columnar_meta::meta(&names)?)
    }

    /// Of the columns of a file, by name, the positions of those that [`Batch::from_arrow`] looks at.
    pub fn columns_read<'a>(schema: &'a Schema, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<usize> {
        let positions = names.into_iter().enumerate().map(|(position, name)| (name, position));
        FileNames::new(schema, positions).all().into_iter().collect()
    }

    /// Of the columns of a file, by name, those of which the schema knows nothing; in order. What is known
    /// about rows beside their features, such as `label`, is none of them.
    pub fn columns_unknown<'a>(schema: &'a Schema, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        FileNames::new(schema, names.into_iter().map(|name| (name, name))).unknown()
    }
}

fn cells<'a>(column: &'a Column, names: &Names<'a>, rows: usize) -> Result<Cells, Error> {
    let name = &column.name;
    let found = match names.column(name) {
        None => Plain::Empty(rows),
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

/// A boolean as the word that cells hold.
pub(super) const fn spell(boolean: bool) -> &'static str {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Cell;
    use crate::record::fixture::{batch, schema};
    use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, LargeStringArray};

    fn ts(rows: usize) -> (&'static str, ArrayRef) {
        ("ts", Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap())))
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
        check(Kind::Numeric, Arc::new(Int64Array::from(vec![Some(1), None])), &numbers);
        for width in [
            DataType::Int8,
            DataType::Int16,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Decimal128(5, 2),
        ] {
            let one = cast(&Int64Array::from(vec![Some(1), None]), &width).unwrap();
            check(Kind::Numeric, one, &numbers);
        }
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

    proptest! {
        /// The short way reads the same numbers as the JSON parser, to the last bit, and nothing else.
        #[test]
        fn plain_numbers_are_json(word in prop_oneof!["-?[0-9]{1,25}(\\.[0-9]{0,25})?", "[-+0-9.eE ]{0,12}", "-?[1-9][0-9]{300,320}"]) {
            if let Some(number) = plain_number(&word) {
                let parsed: f64 = serde_json::from_str(&word).unwrap();
                prop_assert_eq!(number.to_bits(), parsed.to_bits());
            } else {
                let is_plain = !word.contains(['e', 'E', ' ']);
                prop_assert!(!is_plain || serde_json::from_str::<f64>(&word).is_err());
            }
        }
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
}
