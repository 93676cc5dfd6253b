use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, BooleanBufferBuilder, Float64Array, Float64Builder, LargeListArray,
    RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt32Type,
    UInt64Type,
};

use super::columnar_meta::{self, Names};
use super::file_names::FileNames;
use super::vector::{COORDINATES_MAX, Held, PROJECTIONS};
use super::{Batch, Cells, Column, Error, Kind, Scalar, Schema, Values};

/// An Arrow column by what its cells are, whatever their width or encoding.
pub(super) enum Plain {
    Numbers(Float64Array),
    Booleans(BooleanArray),
    Words(StringArray),
    /// Lists of numbers.
    Vectors(Vectors),
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
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _)
            if of.data_type().is_numeric() =>
        {
            let doubles = Field::new_list_field(DataType::Float64, true);
            Ok(Plain::Vectors(Vectors(to(&DataType::LargeList(Arc::new(doubles)))?.as_list().clone())))
        }
        _ => Err(()),
    }
}

/// Lists of numbers, a row each.
pub(super) struct Vectors(LargeListArray);

impl Vectors {
    /// How many numbers each row has; none where it is null.
    pub(super) fn lengths(&self) -> impl Iterator<Item = Option<usize>> {
        let length = |row| usize::try_from(self.0.value_length(row)).unwrap_or(usize::MAX);
        (0..self.0.len()).map(move |row| self.0.is_valid(row).then(|| length(row)))
    }

    /// What each row holds of a vector of so many coordinates.
    fn held(&self, dimension: u64) -> Vec<Held> {
        let numbers = self.0.values().as_primitive::<Float64Type>();
        let offsets = self.0.value_offsets().windows(2);
        let held = |(row, offsets): (usize, &[i64])| {
            let [from, to] = *offsets else { return Held::Null };
            let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else { return Held::Null };
            let (true, Some(found)) = (self.0.is_valid(row), numbers.values().get(from..to)) else {
                return Held::Null;
            };
            if found.len() > COORDINATES_MAX || numbers.null_count() == 0 {
                return Held::vector(found, dimension);
            }
            let number = |place| if numbers.is_valid(place) { numbers.value(place) } else { f64::NAN };
            Held::vector(&(from..to).map(number).collect::<Vec<_>>(), dimension)
        };
        offsets.enumerate().map(held).collect()
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
    let number = plain_number(word).or_else(|| non_number(word)).map(Scalar::Number);
    number.or_else(|| vector(word)).or_else(|| serde_json::from_str(word).ok())
}

fn non_number(word: &str) -> Option<f64> {
    match word {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A JSON array of numbers, in which Python's non-numbers count as such.
fn vector(word: &str) -> Option<Scalar> {
    let inside = word.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut coordinates = Vec::new();
    for part in inside.split(',').filter(|_| !inside.is_empty()) {
        if coordinates.len() == COORDINATES_MAX {
            return None;
        }
        let part = part.trim();
        let null = (part == "null").then_some(f64::NAN);
        let number = plain_number(part).or_else(|| non_number(part)).or(null);
        coordinates.push(number.or_else(|| serde_json::from_str(part).ok())?);
    }
    Some(Scalar::Vector(coordinates.into()))
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
        let mut columns: Vec<Cells> = Vec::with_capacity(schema.columns.len());
        for column in schema.columns.iter().filter(|column| !column.is_projection()) {
            match column.dimension() {
                None => columns.push(cells(column, &names, rows)?),
                Some(dimension) => columns.extend(embedding(column, dimension, &names, rows)?),
            }
        }
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
    let (values, wrong) = match (column.kind, found(column, names, rows)?) {
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
        (kind, Plain::Vectors(Vectors(other))) => all_wrong(kind, &other),
        // Embeddings have more than one column.
        (Kind::Embedding, Plain::Words(other)) => all_wrong(Kind::Embedding, &other),
    };
    Cells::new(&column.name, values, wrong.map(|mut mask: BooleanBufferBuilder| mask.finish()))
}

fn found<'a>(column: &'a Column, names: &Names<'a>, rows: usize) -> Result<Plain, Error> {
    let Some(array) = names.column(&column.name) else { return Ok(Plain::Empty(rows)) };
    plain(array).map_err(|()| Error::Unsupported {
        column: column.name.clone(),
        found: format!("values of type {}", array.data_type()),
    })
}

/// The cells of an embedding and of its projections.
fn embedding<'a>(
    column: &'a Column,
    dimension: u64,
    names: &Names<'a>,
    rows: usize,
) -> Result<Vec<Cells>, Error> {
    let wrong = |is_valid: bool| if is_valid { Held::WrongType } else { Held::Null };
    let held: Vec<Held> = match found(column, names, rows)? {
        Plain::Vectors(vectors) => vectors.held(dimension),
        Plain::Words(words) => {
            let cell = |word: Option<&str>| match word.map(json_cell) {
                None => Held::Null,
                Some(None) => Held::WrongType,
                Some(Some(cell)) => Held::of(Some(&cell), dimension),
            };
            words.iter().map(cell).collect()
        }
        Plain::Numbers(other) => (0..rows).map(|row| wrong(other.is_valid(row))).collect(),
        Plain::Booleans(other) => (0..rows).map(|row| wrong(other.is_valid(row))).collect(),
        Plain::Empty(rows) => vec![Held::Null; rows],
    };
    let cells = |projection: Option<u8>| {
        let numbers: Float64Array = held.iter().map(|held| held.number(projection)).collect();
        let wrong = held.iter().map(|held| *held == Held::WrongType).collect();
        Cells::new(&column.name, Values::Number(numbers), Some(wrong))
    };
    std::iter::once(None).chain((1..).map(Some).take(PROJECTIONS)).map(cells).collect()
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
    use crate::record::Role;
    use crate::record::fixture::{batch, schema};
    use arrow::array::{
        ArrayRef, DictionaryArray, FixedSizeListArray, Int32Array, Int64Array, LargeStringArray, ListArray,
    };

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

    /// What a column of lists makes of a row, by its own column and the first projection.
    fn embedded(array: ArrayRef) -> Vec<Vec<Cell<'static>>> {
        let rows = array.len();
        let columns = Column::plain("v", Role::Input, Kind::Embedding, Schema::REQUEST_GROUP).embedding(2);
        let schema = Schema::new("m".into(), None, columns).unwrap();
        let batch = batch(schema, vec![ts(rows), ("v", array)]).unwrap();
        let number = |cell: Cell<'_>| match cell {
            Cell::Number(n) => Cell::Number(n),
            Cell::WrongType => Cell::WrongType,
            Cell::Null | Cell::Text(_) => Cell::Null,
        };
        let row = |row: usize| batch.columns().iter().map(|cells| number(cells.cell(row))).collect();
        (0..rows).map(row).collect()
    }

    /// A vector is the same whether a file has it as a list of any width and kind or as text, and a list of another
    /// length, or something else, is of another type.
    #[test]
    fn vectors_of_all_encodings() {
        let text = |cells: Vec<Option<&str>>| Arc::new(StringArray::from(cells)) as ArrayRef;
        let expected = embedded(text(vec![Some("[0.1, 0.7]"), None, Some("[1]")]));
        let states = |row: usize| expected[row].iter().all(|cell| *cell == expected[row][0]);
        assert!(matches!(expected[0][0], Cell::Number(n) if (n - 0.5_f64.sqrt()).abs() < 1e-4));
        assert!(states(1) && states(2) && (expected[1][0], expected[2][0]) == (Cell::Null, Cell::WrongType));
        let lists = [Some(vec![Some(0.1), Some(0.7)]), None, Some(vec![Some(1.0)])];
        let doubles = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
        let narrow = [Some(vec![Some(0.1_f32), Some(0.7)]), None, Some(vec![Some(1.0)])];
        let floats = ListArray::from_iter_primitive::<Float32Type, _, _>(narrow.clone());
        let large = LargeListArray::from_iter_primitive::<Float32Type, _, _>(narrow);
        for lists in [Arc::new(doubles) as ArrayRef, Arc::new(floats), Arc::new(large)] {
            assert_eq!(embedded(lists), expected);
        }
        let fixed = [Some(vec![Some(0.1_f32), Some(0.7)]), None, Some(vec![Some(f32::NAN), None])];
        let fixed =
            embedded(Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(fixed, 2)));
        assert_eq!(fixed[..2], expected[..2]);
        assert!(fixed[2].iter().all(|cell| matches!(cell, Cell::Number(n) if n.is_nan())));
        for other in
            [text(vec![Some("0.1 0.7")]), text(vec![Some("[a, b]")]), Arc::new(Int64Array::from(vec![7]))]
        {
            assert!(embedded(other).concat().iter().all(|cell| *cell == Cell::WrongType));
        }
        let numbers = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(1.0)])]);
        check(Kind::Numeric, Arc::new(numbers), &[Cell::WrongType]);
    }

    /// Python's lists have words for what is no number, and brackets without end are no reason to go down with them.
    #[test]
    fn lists_in_text() {
        let nan = json_cell("[NaN, -Infinity, null, 1e2]");
        assert!(
            matches!(nan, Some(Scalar::Vector(v)) if v[0].is_nan() && v[1] < 0.0 && v[2].is_nan() && v[3..] == [100.0])
        );
        assert_eq!(json_cell("[]"), Some(Scalar::Vector(Box::default())));
        assert_eq!(json_cell("[[1]]"), Some(Scalar::Nested));
        for broken in ["[1,]", "[", "[1", "1]", "[,]"] {
            assert_eq!(json_cell(broken), None, "{broken}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(json_cell(&deep), None);
    }
}
