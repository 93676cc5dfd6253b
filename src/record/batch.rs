use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BooleanBufferBuilder, Float64Array, Float64Builder, StringArray, StringBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::columnar::spell;
use super::meta_builder::MetaBuilder;
use super::names::{DIM_PREFIX, cut_name};
use super::vector::Held;
use super::{Error, Kind, Meta, Prediction, Record, Scalar, Schema};

/// The values of one column of a batch, as Arrow arrays.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// A numeric column, or the lengths of an embedding's vectors; NaN and infinities are values, null is null.
    Number(Float64Array),
    /// Every other column; booleans as `true` and `false`.
    Text(StringArray),
}

/// One column of a batch: its values, and which of its cells were of another type.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    values: Values,
    /// Cells that held something of another type; null in `values`. Absent when there are none.
    wrong: Option<BooleanBuffer>,
}

/// One cell, told apart by what a detector must never confuse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Nothing: null, or the key was absent.
    Null,
    /// Something of another type than the baseline has.
    WrongType,
    /// A number, NaN and infinities included.
    Number(f64),
    /// A word.
    Text(&'a str),
}

impl Cells {
    /// Joins values with the mask of cells of another type.
    ///
    /// # Errors
    /// When the two differ in length.
    pub fn new(column: &str, values: Values, wrong: Option<BooleanBuffer>) -> Result<Self, Error> {
        let mut cells = Self { values, wrong: None };
        let (found, expected) = (wrong.as_ref().map_or(cells.len(), BooleanBuffer::len), cells.len());
        if found != expected {
            return Err(Error::Length { column: column.to_owned(), found, expected });
        }
        cells.wrong = wrong.filter(|mask| mask.count_set_bits() > 0);
        Ok(cells)
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Number(a) => a.len(),
            Values::Text(a) => a.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The arrays themselves, for work on whole columns.
    #[must_use]
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// Whether some cell held something of another type.
    #[must_use]
    pub const fn has_wrong_type(&self) -> bool {
        self.wrong.is_some()
    }

    /// The numbers of the whole column, and which of them are null where some are; what stands in a
    /// null's place means nothing. Nothing for words, or when some cell is of another type.
    #[must_use]
    pub fn numbers(&self) -> Option<(&[f64], Option<&NullBuffer>)> {
        match (&self.values, &self.wrong) {
            (Values::Number(numbers), None) => {
                Some((numbers.values(), numbers.nulls().filter(|nulls| nulls.null_count() > 0)))
            }
            _ => None,
        }
    }

    /// The words of the whole column. Nothing for numbers, or when some cell is of another type.
    #[must_use]
    pub const fn texts(&self) -> Option<&StringArray> {
        match (&self.values, &self.wrong) {
            (Values::Text(words), None) => Some(words),
            _ => None,
        }
    }

    /// The cell of one row; [`Cell::Null`] past the end.
    #[must_use]
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if self.wrong.as_ref().is_some_and(|mask| row < mask.len() && mask.value(row)) {
            return Cell::WrongType;
        }
        match &self.values {
            Values::Number(a) if row < a.len() && a.is_valid(row) => Cell::Number(a.value(row)),
            Values::Text(a) if row < a.len() && a.is_valid(row) => Cell::Text(a.value(row)),
            _ => Cell::Null,
        }
    }
}

/// A checked run of rows of one model, in arrival order.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    schema: Arc<Schema>,
    columns: Vec<Cells>,
    meta: Meta,
}

impl Batch {
    /// Checks that every column of the schema is there and as long as the rows.
    ///
    /// # Errors
    /// [`Error::Length`] naming the column.
    pub fn new(schema: Arc<Schema>, columns: Vec<Cells>, meta: Meta) -> Result<Self, Error> {
        let check = |column: &str, found: usize, expected: usize, fits: bool| {
            let column = column.to_owned();
            if fits { Ok(()) } else { Err(Error::Length { column, found, expected }) }
        };
        let (width, rows) = (schema.columns.len(), meta.len());
        check("(all)", columns.len(), width, columns.len() == width)?;
        let spoken_of = meta.feature_columns();
        check("(status and times of features)", spoken_of, width, spoken_of <= width)?;
        for (column, cells) in schema.columns.iter().zip(&columns) {
            check(&column.name, cells.len(), rows, cells.len() == rows)?;
        }
        Ok(Self { schema, columns, meta })
    }

    /// The schema that every column follows.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.meta.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.meta.is_empty()
    }

    /// Columns in the schema's order.
    #[must_use]
    pub fn columns(&self) -> &[Cells] {
        &self.columns
    }

    /// What is known about each row beside its columns.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// Collects records of one model into a [`Batch`].
#[derive(Debug)]
pub struct BatchBuilder {
    schema: Arc<Schema>,
    columns: Vec<ColumnBuilder>,
    meta: MetaBuilder,
    /// Positions by the name that records use.
    positions: BTreeMap<String, usize>,
    unexpected: BTreeMap<String, u64>,
}

/// More names of unexpected features than this are counted under `(others)`.
const UNEXPECTED_NAMES_MAX: usize = 64;

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        let columns = schema.columns.iter().map(|c| ColumnBuilder::new(c.kind)).collect();
        let name = |(i, c): (usize, &super::Column)| (schema.file_name(&c.name).to_owned(), i);
        let named = schema.columns.iter().enumerate().filter(|(_, column)| !column.is_projection());
        let positions = named.map(name).collect();
        Self { schema, columns, meta: MetaBuilder::default(), positions, unexpected: BTreeMap::new() }
    }

    /// Rows so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.meta.len()
    }

    /// Whether there are no rows yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.meta.is_empty()
    }

    /// Adds one row. A feature that the schema does not know, and a dimension beyond
    /// [`Meta::DIMS_MAX`], are counted, not kept.
    pub fn push(&mut self, record: &Record) {
        let answer = record.prediction.as_ref();
        let mut held = Held::Null;
        for (column, builder) in self.schema.columns.iter().zip(&mut self.columns) {
            if let Some(part) = &column.vector {
                // Its projections follow an embedding.
                if part.projection.is_none() {
                    let cell = record.features.get(self.schema.file_name(&part.of));
                    held = Held::of(cell, part.dimension);
                }
                builder.push_held(&held, part.projection);
                continue;
            }
            let cell = match record.features.get(self.schema.file_name(&column.name)) {
                Some(cell) => Some(cell),
                None => answer.and_then(|p| answer_cell(p, &column.name)),
            };
            builder.push(cell);
        }
        for name in record.features.keys().filter(|name| !self.positions.contains_key(*name)) {
            count_unexpected(&mut self.unexpected, name);
        }
        for dim in self.meta.push(record, &self.positions) {
            count_unexpected(&mut self.unexpected, &format!("{DIM_PREFIX}{dim}"));
        }
    }

    /// The batch of what was pushed, and how often each feature outside the schema, and each
    /// dimension beyond the bound as `dims.<name>`, was seen: names as [`cut_name`] leaves them.
    ///
    /// # Errors
    /// Those of [`Batch::new`].
    pub fn finish(self) -> Result<(Batch, BTreeMap<String, u64>), Error> {
        let columns = self.columns.into_iter().map(ColumnBuilder::finish).collect();
        Ok((Batch::new(self.schema, columns, self.meta.finish()?)?, self.unexpected))
    }
}

fn count_unexpected(unexpected: &mut BTreeMap<String, u64>, name: &str) {
    let name = cut_name(name);
    if let Some(rows) = unexpected.get_mut(name) {
        *rows += 1;
        return;
    }
    let full = unexpected.len() >= UNEXPECTED_NAMES_MAX;
    *unexpected.entry(if full { "(others)" } else { name }.to_owned()).or_insert(0) += 1;
}

/// The part of an answer that a column of that name holds: `prediction` (the label, or the value
/// of a regression), `score`, `prob_<class>`.
fn answer_cell<'a>(prediction: &'a Prediction, column: &str) -> Option<&'a Scalar> {
    match column {
        "prediction" => prediction.label.as_ref().or(prediction.value.as_ref()),
        "score" => prediction.score.as_ref(),
        _ => prediction.probabilities.get(column.strip_prefix("prob_")?),
    }
}

#[derive(Debug)]
enum ColumnBuilder {
    Number(Float64Builder, BooleanBufferBuilder),
    Text(Kind, StringBuilder, BooleanBufferBuilder),
}

impl ColumnBuilder {
    fn new(kind: Kind) -> Self {
        let mask = BooleanBufferBuilder::new(0);
        if kind.is_numeric() {
            Self::Number(Float64Builder::new(), mask)
        } else {
            Self::Text(kind, StringBuilder::new(), mask)
        }
    }

    fn push(&mut self, cell: Option<&Scalar>) {
        match self {
            Self::Number(values, wrong) => {
                let number = if let Some(Scalar::Number(n)) = cell { Some(*n) } else { None };
                values.append_option(number);
                wrong.append(number.is_none() && !matches!(cell, None | Some(Scalar::Null)));
            }
            Self::Text(kind, values, wrong) => {
                let text = text_of(*kind, cell);
                values.append_option(text);
                wrong.append(text.is_none() && !matches!(cell, None | Some(Scalar::Null)));
            }
        }
    }

    /// A number that is made of a vector.
    fn push_held(&mut self, held: &Held, projection: Option<u8>) {
        if let Self::Number(values, wrong) = self {
            values.append_option(held.number(projection));
            wrong.append(*held == Held::WrongType);
        }
    }

    fn finish(self) -> Cells {
        let (values, mut wrong) = match self {
            Self::Number(mut values, wrong) => (Values::Number(values.finish()), wrong),
            Self::Text(_, mut values, wrong) => (Values::Text(values.finish()), wrong),
        };
        let mask = wrong.finish();
        let any = mask.count_set_bits() > 0;
        Cells { values, wrong: any.then_some(mask) }
    }
}

/// A cell as a word of a column of this kind; nothing when it is of another type.
fn text_of(kind: Kind, cell: Option<&Scalar>) -> Option<&str> {
    match (kind, cell?) {
        (Kind::Boolean, Scalar::Bool(b)) => Some(spell(*b)),
        (Kind::Categorical | Kind::Text, Scalar::Text(t)) => Some(t),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NAME_CHARS_MAX;
    use crate::record::{Column, Role, Status};

    fn schema() -> Arc<Schema> {
        let column = |name: &str, role, kind| {
            Column::plain(
                name,
                role,
                kind,
                if role == Role::Output { Schema::OUTPUT_GROUP } else { Schema::REQUEST_GROUP },
            )
        };
        let columns = vec![
            column("age", Role::Input, Kind::Numeric),
            column("city", Role::Input, Kind::Categorical),
            column("score", Role::Output, Kind::Numeric),
        ];
        Arc::new(Schema::new("m".into(), None, columns).unwrap())
    }

    /// Absent, null, of another type and present stay four different things.
    #[test]
    fn cells_are_told_apart() {
        let mut builder = BatchBuilder::new(schema());
        for line in [
            r#"{"ts":0,"model":"m","features":{"age":39,"city":"x"},"prediction":{"score":0.5}}"#,
            r#"{"ts":0,"model":"m","features":{"age":null,"city":7,"extra":1}}"#,
            r#"{"ts":0,"model":"m","features":{"age":"39","city":[1]}}"#,
        ] {
            builder.push(&serde_json::from_str::<Record>(line).unwrap());
        }
        let (batch, unexpected) = builder.finish().unwrap();
        let [age, city, score] = batch.columns() else { panic!("three columns") };
        assert_eq!(
            [age.cell(0), age.cell(1), age.cell(2)],
            [Cell::Number(39.0), Cell::Null, Cell::WrongType]
        );
        assert_eq!(
            [city.cell(0), city.cell(1), city.cell(2)],
            [Cell::Text("x"), Cell::WrongType, Cell::WrongType]
        );
        assert_eq!([score.cell(0), score.cell(1)], [Cell::Number(0.5), Cell::Null]);
        assert_eq!(unexpected.get("extra"), Some(&1));
    }

    /// A whole column is handed out only when every cell is of its type, and nulls only when there are any.
    #[test]
    fn whole_columns() {
        let cells = |values, wrong: Option<Vec<bool>>| {
            Cells::new("x", values, wrong.map(BooleanBuffer::from)).unwrap()
        };
        let numbers = |cells: &[Option<f64>]| Values::Number(cells.iter().copied().collect());
        let words = || Values::Text(StringArray::from(vec![Some("a"), None]));
        let plain = cells(numbers(&[Some(1.0), Some(2.0)]), Some(vec![false, false]));
        assert_eq!((plain.numbers(), plain.has_wrong_type()), (Some((&[1.0, 2.0][..], None)), false));
        let gaps = cells(numbers(&[Some(1.0), None]), None);
        assert_eq!(gaps.numbers().unwrap().1.map(NullBuffer::null_count), Some(1));
        let wrong = cells(numbers(&[Some(1.0), None]), Some(vec![false, true]));
        assert_eq!((wrong.numbers(), wrong.has_wrong_type()), (None, true));
        assert_eq!((cells(words(), None).numbers(), gaps.texts()), (None, None));
        assert_eq!(cells(words(), None).texts().unwrap().value(0), "a");
        assert_eq!(cells(words(), Some(vec![false, true])).texts(), None);
        assert!(Cells::new("x", words(), Some(BooleanBuffer::from(vec![true]))).is_err());
    }

    /// Names outside the schema are kept by their start, however long they are: those that start alike share a count.
    #[test]
    fn long_names_are_cut() {
        let mut builder = BatchBuilder::new(schema());
        let start = "ü".repeat(NAME_CHARS_MAX);
        let line =
            format!(r#"{{"ts":0,"model":"m","features":{{"{start}":1,"{start}a":1,"{start}bb":1,"c":1}}}}"#);
        builder.push(&serde_json::from_str::<Record>(&line).unwrap());
        let (_, unexpected) = builder.finish().unwrap();
        assert_eq!(unexpected, BTreeMap::from([("c".to_owned(), 1), (start, 3)]));
    }

    /// Columns that files call otherwise are found under that name, and only the unknown is unexpected.
    #[test]
    fn renamed_features() {
        let mut renamed = Arc::unwrap_or_clone(schema());
        renamed.file_names = BTreeMap::from([("age".to_owned(), "Age".to_owned())]);
        let mut builder = BatchBuilder::new(Arc::new(renamed));
        let line = r#"{"ts":0,"model":"m","features":{"Age":39,"age":1},"feature_status":{"Age":"stale"}}"#;
        builder.push(&serde_json::from_str::<Record>(line).unwrap());
        let (batch, unexpected) = builder.finish().unwrap();
        assert_eq!(batch.columns().first().unwrap().cell(0), Cell::Number(39.0));
        assert_eq!(batch.meta().feature_status(0, 0), Some(Status::Stale));
        assert_eq!(unexpected, BTreeMap::from([("age".to_owned(), 1)]));
    }

    fn with_vector(dimension: u64) -> Arc<Schema> {
        let vector = Column::plain("v", Role::Input, Kind::Embedding, Schema::REQUEST_GROUP);
        let mut schema = Schema::new("m".into(), None, vector.embedding(dimension)).unwrap();
        schema.file_names = BTreeMap::from([("v".to_owned(), "vec".to_owned())]);
        Arc::new(schema)
    }

    /// A vector is its length and its projections; what is none, or of another dimension, is of another type in
    /// all of them, and no column of an embedding is a feature by itself.
    #[test]
    fn vectors() {
        let mut builder = BatchBuilder::new(with_vector(2));
        for cell in
            ["[3,4]", "[0,0]", "null", "[3]", "[3,4,5]", "[3,\"4\"]", "7", "[3,null]", "{}", "[[3,4]]"]
        {
            let line = format!(
                r#"{{"ts":0,"model":"m","features":{{"vec":{cell},"v.p1":9}},"feature_status":{{"vec":"stale"}}}}"#
            );
            builder.push(&serde_json::from_str::<Record>(&line).unwrap());
        }
        builder.push(&serde_json::from_str::<Record>(r#"{"ts":0,"model":"m"}"#).unwrap());
        let (batch, unexpected) = builder.finish().unwrap();
        let wrong = Cell::WrongType;
        let of = |row: usize| batch.columns().iter().map(|cells| cells.cell(row)).collect::<Vec<_>>();
        assert_eq!(of(0).first(), Some(&Cell::Number(5.0)));
        assert!(
            of(0).iter().skip(1).all(|c| matches!(c, Cell::Number(n) if n.abs() > 0.01 && n.abs() < 1.0))
        );
        for (row, expected) in [
            (1, Cell::Number(0.0)),
            (2, Cell::Null),
            (3, wrong),
            (4, wrong),
            (5, wrong),
            (6, wrong),
            (8, wrong),
            (9, wrong),
            (10, Cell::Null),
        ] {
            assert!(of(row).iter().all(|cell| *cell == expected), "{row}: {:?}", of(row));
        }
        assert!(of(7).iter().all(|cell| matches!(cell, Cell::Number(n) if n.is_nan())));
        assert_eq!(unexpected, BTreeMap::from([("v.p1".to_owned(), 10)]));
        assert_eq!(batch.meta().feature_status(0, 0), Some(Status::Stale));
    }

    /// A list of more numbers than any embedding has is no vector, and what is read of it is bounded.
    #[test]
    fn endless_vectors() {
        let scalar = |n: usize| {
            let list = format!("[{}0]", "0,".repeat(n - 1));
            serde_json::from_str::<Scalar>(&list).unwrap()
        };
        assert_eq!(scalar(crate::record::COORDINATES_MAX).width(), crate::record::COORDINATES_MAX);
        assert_eq!(scalar(crate::record::COORDINATES_MAX + 1), Scalar::Nested);
    }

    /// What a sender of this library writes is read as it was meant.
    #[test]
    fn vectors_are_written_as_they_are_read() {
        let vector = Scalar::Vector(vec![0.5, -2.0].into());
        let written = serde_json::to_string(&vector).unwrap();
        assert_eq!((written.as_str(), serde_json::from_str(&written).ok()), ("[0.5,-2.0]", Some(vector)));
        let gap = serde_json::to_string(&Scalar::Vector(vec![1.0, f64::NAN].into())).unwrap();
        assert!(matches!(serde_json::from_str(&gap).unwrap(), Scalar::Vector(v) if v[1].is_nan()), "{gap}");
    }
}
