use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;

use super::columnar::{self, Plain};
use super::{COORDINATES_MAX, Column, Contract, Error, Kind, Record, Role, Scalar, Schema, SchemaFile};
use super::{names, vector};
use crate::units::whole;

/// A text column is categorical up to this many different words (and while at most half of its
/// words are different); beyond it is free text, of which only presence and length are watched.
pub const DISTINCT_MAX: usize = 1_000;

/// What the columns of a file, or the fields of records, held.
#[derive(Debug, Default)]
pub struct Observed {
    columns: Vec<(String, Seen)>,
    positions: BTreeMap<String, usize>,
}

/// Cells of one column by type.
#[derive(Debug, Default)]
struct Seen {
    numbers: u64,
    booleans: u64,
    words: u64,
    vectors: Vectors,
    /// Lists of lists, structs, bytes: the name of the first such type.
    unsupported: Option<String>,
    distinct: BTreeSet<String>,
    /// For text columns of files: the same cells, read as JSON.
    json: Json,
}

/// What the text cells of a column are when they are read as JSON.
#[derive(Debug, Default)]
struct Json {
    numbers: u64,
    booleans: u64,
    texts: u64,
    vectors: Vectors,
    others: u64,
}

/// Different lengths of lists that are told apart: no column of vectors has as many.
const LENGTHS_MAX: usize = 64;

/// Lists of numbers by their length.
#[derive(Debug, Default)]
struct Vectors {
    all: u64,
    by_length: BTreeMap<usize, u64>,
}

impl Vectors {
    fn add(&mut self, length: usize) {
        self.all += 1;
        if let Some(n) = self.by_length.get_mut(&length) {
            *n += 1;
        } else if self.by_length.len() < LENGTHS_MAX {
            self.by_length.insert(length, 1);
        }
    }

    /// The length of more than half of them.
    fn dimension(&self) -> Option<u64> {
        let most = self.by_length.iter().find(|(_, n)| n.saturating_mul(2) > self.all);
        most.map(|(length, _)| whole(*length))
    }

    /// What they are, for a message.
    fn told(&self) -> String {
        match (self.by_length.keys().next(), self.by_length.keys().last()) {
            (Some(least), Some(most)) if least < most => format!("lists of {least} to {most} numbers"),
            (Some(length), _) => format!("lists of {length} numbers"),
            _ => "lists".to_owned(),
        }
    }
}

impl Observed {
    /// Adds a table's columns.
    pub fn table(&mut self, table: &RecordBatch) {
        for (field, array) in table.schema().fields().iter().zip(table.columns()) {
            self.seen(field.name()).array(array);
        }
    }

    /// Adds a record's features and its answer; the answer has the names of columnar files.
    pub fn record(&mut self, record: &Record) {
        for (name, cell) in &record.features {
            self.seen(name).scalar(cell);
        }
        let Some(answer) = &record.prediction else { return };
        if let Some(cell) = answer.label.as_ref().or(answer.value.as_ref()) {
            self.seen("prediction").scalar(cell);
        }
        if let Some(cell) = &answer.score {
            self.seen("score").scalar(cell);
        }
        for (class, cell) in &answer.probabilities {
            self.seen(&format!("prob_{class}")).scalar(cell);
        }
    }

    /// Whether nothing was seen at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn seen(&mut self, name: &str) -> &mut Seen {
        let position = self.positions.get(name).copied().unwrap_or(self.columns.len());
        if position == self.columns.len() {
            self.positions.insert(name.to_owned(), position);
            self.columns.push((name.to_owned(), Seen::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "the position was looked up or pushed just above")]
        &mut self.columns[position].1
    }

    fn has(&self, name: &str) -> bool {
        self.positions.contains_key(name)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }
}

impl Seen {
    fn scalar(&mut self, cell: &Scalar) {
        match cell {
            Scalar::Null => {}
            Scalar::Number(_) => self.numbers += 1,
            Scalar::Bool(_) => self.booleans += 1,
            Scalar::Text(text) => self.word(text),
            Scalar::Vector(coordinates) => self.vectors.add(coordinates.len()),
            Scalar::Nested => {
                let found =
                    format!("objects, or lists of other things than at most {COORDINATES_MAX} numbers");
                self.unsupported = Some(found);
            }
        }
    }

    fn word(&mut self, word: &str) {
        self.words += 1;
        // One more than the bound is kept, to know that it was passed.
        if self.distinct.len() <= DISTINCT_MAX && !self.distinct.contains(word) {
            self.distinct.insert(word.to_owned());
        }
    }

    fn array(&mut self, array: &dyn Array) {
        let values = array.len().saturating_sub(array.logical_null_count());
        let values = u64::try_from(values).unwrap_or(u64::MAX);
        match columnar::plain(array) {
            Ok(Plain::Numbers(_)) => self.numbers += values,
            Ok(Plain::Booleans(_)) => self.booleans += values,
            Ok(Plain::Words(words)) => words.iter().flatten().for_each(|word| self.text_cell(word)),
            Ok(Plain::Vectors(vectors)) => vectors.lengths().flatten().for_each(|n| self.vectors.add(n)),
            Ok(Plain::Empty(_)) => {}
            Err(()) => self.unsupported = Some(type_name(array.data_type())),
        }
    }

    /// One cell of a text column: a word, unless all of them turn out to be JSON.
    fn text_cell(&mut self, word: &str) {
        self.word(word);
        match columnar::json_cell(word) {
            Some(Scalar::Number(_)) => self.json.numbers += 1,
            Some(Scalar::Bool(_)) => self.json.booleans += 1,
            Some(Scalar::Text(_)) => self.json.texts += 1,
            Some(Scalar::Vector(coordinates)) => self.json.vectors.add(coordinates.len()),
            Some(Scalar::Null) => {}
            Some(Scalar::Nested) | None => self.json.others += 1,
        }
    }

    /// Cells as they stand in the file or the record.
    const fn plain(&self) -> Counts {
        let vectors = self.vectors.all;
        Counts { numbers: self.numbers, booleans: self.booleans, words: self.words, vectors }
    }

    /// Cells with those of text columns read as JSON.
    const fn as_json(&self) -> Counts {
        let json = &self.json;
        let read = json.numbers + json.booleans + json.texts + json.vectors.all + json.others;
        if read == 0 {
            return self.plain();
        }
        Counts {
            numbers: self.numbers + json.numbers,
            booleans: self.booleans + json.booleans,
            words: json.texts + json.others,
            vectors: self.vectors.all + json.vectors.all,
        }
    }

    /// A text column is judged as JSON when every cell is a JSON scalar and not all are strings, or when lists
    /// of one length are most of it.
    fn counts(&self) -> Counts {
        let json = &self.json;
        let are_vectors = json.vectors.all > json.numbers + json.booleans + json.texts;
        let is_json =
            if are_vectors { json.vectors.dimension().is_some() } else { json.numbers + json.booleans > 0 };
        if json.others == 0 && is_json { self.as_json() } else { self.plain() }
    }

    /// The kind of most cells; ties go to words, which hold what anything else cannot.
    fn kind(&self) -> Option<Kind> {
        let counts = self.counts();
        let Counts { numbers, booleans, words, vectors } = counts;
        if counts.all() == 0 {
            return None;
        }
        Some(if numbers > booleans.max(words).max(vectors) {
            Kind::Numeric
        } else if booleans > numbers.max(words).max(vectors) {
            Kind::Boolean
        } else if vectors > numbers.max(booleans).max(words) {
            Kind::Embedding
        } else if self.repeats() {
            Kind::Categorical
        } else {
            Kind::Text
        })
    }

    /// Lists of numbers, as they stand or in text.
    const fn vectors(&self) -> &Vectors {
        if self.vectors.all > 0 { &self.vectors } else { &self.json.vectors }
    }

    /// The dimension of most vectors, which a declared one must not contradict.
    fn dimension(&self, column: &str, declared: Option<u64>) -> Result<u64, Error> {
        let vectors = self.vectors();
        match (declared, vectors.dimension()) {
            (Some(declared), _) if vectors.all == 0 => Ok(declared),
            (None, _) if vectors.all == 0 => {
                let reason =
                    "holds no value in any row: state its `dimension` in a schema file, or `ignore` it";
                Err(Error::Embedding { column: column.to_owned(), reason: reason.to_owned() })
            }
            (None, None) => Err(Error::Unsupported { column: column.to_owned(), found: vectors.told() }),
            (None, Some(found)) => Ok(found),
            (Some(declared), found) if found == Some(declared) => Ok(declared),
            (Some(declared), _) => {
                let reason =
                    format!("is declared to have dimension {declared}, and holds {}", vectors.told());
                Err(Error::Embedding { column: column.to_owned(), reason })
            }
        }
    }

    fn repeats(&self) -> bool {
        let distinct = u64::try_from(self.distinct.len()).unwrap_or(u64::MAX);
        self.distinct.len() <= DISTINCT_MAX && distinct.saturating_mul(2) <= self.words.max(2)
    }

    /// A declared kind stands unless at least half of the cells say otherwise.
    fn check_declared(&self, column: &str, declared: Kind) -> Result<(), Error> {
        let words = matches!(declared, Kind::Categorical | Kind::Text);
        let counts = if words { self.plain() } else { self.as_json() };
        let (fitting, label) = match declared {
            Kind::Numeric => (counts.numbers, "numeric"),
            Kind::Boolean => (counts.booleans, "boolean"),
            Kind::Categorical => (counts.words, "categorical"),
            Kind::Text => (counts.words, "text"),
            Kind::Embedding => (counts.vectors, "embedding"),
        };
        if counts.all() == 0 || fitting.saturating_mul(2) > counts.all() {
            return Ok(());
        }
        let Counts { numbers, booleans, words, vectors } = counts;
        let lists = if vectors > 0 { format!(", {vectors} are lists of numbers") } else { String::new() };
        let found = format!(
            "of {} cells {numbers} are numbers, {booleans} are booleans, {words} are words{lists}",
            counts.all()
        );
        Err(Error::KindContradicted { column: column.to_owned(), declared: label, found })
    }
}

/// Cells that held a value, by type.
#[derive(Clone, Copy)]
struct Counts {
    numbers: u64,
    booleans: u64,
    words: u64,
    /// Lists of numbers.
    vectors: u64,
}

impl Counts {
    const fn all(self) -> u64 {
        self.numbers + self.booleans + self.words + self.vectors
    }
}

fn type_name(data_type: &DataType) -> String {
    format!("values of type {data_type}")
}

/// The schema of one model: what the file says, and for the rest what was seen.
///
/// Kinds: numbers are numeric, booleans boolean, words categorical or text (see [`DISTINCT_MAX`]);
/// a column of several types is of the most frequent one. Roles and groups follow the fixed names;
/// columns come in the order in which they were seen.
///
/// # Errors
/// A model other than the file's, a name in the file that the data does not have, columns without a
/// value or of an unsupported type, a declared kind that most cells contradict, and those of
/// [`Schema::new`].
pub fn infer(model: &str, file: &SchemaFile, observed: &Observed) -> Result<Schema, Error> {
    if let Some(other) = file.model.as_ref().filter(|other| *other != model) {
        return Err(Error::SchemaFile(format!("model: it is for model `{other}`, expected `{model}`")));
    }
    let renames = renames(file);
    check_names(file, observed, &renames)?;
    let mut columns = Vec::new();
    let mut unknown = Vec::new();
    for (file_name, seen) in &observed.columns {
        let name = renames.get(file_name.as_str()).copied().unwrap_or(file_name);
        match column(name, file, seen)? {
            Inferred::Columns(of_feature) => columns.extend(of_feature),
            Inferred::NoValues => unknown.push(name.to_owned()),
            Inferred::NotWatched => {}
        }
    }
    if !unknown.is_empty() {
        return Err(Error::NoValues(unknown));
    }
    let mut schema = Schema::new(model.to_owned(), file.version.clone(), columns)?;
    schema.file_names = renames.into_iter().map(|(from, name)| (name.to_owned(), from.to_owned())).collect();
    Ok(schema)
}

enum Inferred {
    Columns(Vec<Column>),
    NoValues,
    NotWatched,
}

fn column(name: &str, file: &SchemaFile, seen: &Seen) -> Result<Inferred, Error> {
    let spec = file.columns.get(name);
    let role = spec.and_then(|s| s.role).unwrap_or_else(|| names::role_of(name));
    if role == Role::Meta || file.ignore.iter().any(|n| n == name) {
        return Ok(Inferred::NotWatched);
    }
    let declared = spec.and_then(|s| s.kind);
    if let Some(kind) = declared {
        seen.check_declared(name, kind)?;
    }
    if let (Some(found), 0) = (&seen.unsupported, seen.plain().all()) {
        return Err(Error::Unsupported { column: name.to_owned(), found: found.clone() });
    }
    let Some(kind) = declared.or_else(|| seen.kind()) else { return Ok(Inferred::NoValues) };
    let by_role = if role == Role::Output { Schema::OUTPUT_GROUP } else { Schema::REQUEST_GROUP };
    let column = Column {
        name: name.to_owned(),
        role,
        kind,
        group: file.group_of(name).unwrap_or(by_role).to_owned(),
        default: spec.and_then(|s| s.default.clone()),
        contract: spec.map_or_else(Contract::default, |s| s.contract.clone()),
        vector: None,
    };
    if kind != Kind::Embedding {
        return Ok(Inferred::Columns(vec![column]));
    }
    if role == Role::Output {
        let found = format!("{}, which an answer cannot be", seen.vectors().told());
        return Err(Error::Unsupported { column: name.to_owned(), found });
    }
    let dimension = seen.dimension(name, spec.and_then(|s| s.dimension))?;
    vector::check_dimension(name, dimension)?;
    Ok(Inferred::Columns(column.embedding(dimension)))
}

/// Names in the data to names in the schema, where they differ.
fn renames(file: &SchemaFile) -> BTreeMap<&str, &str> {
    let pairs = file.columns.iter().filter_map(|(name, spec)| Some((spec.from.as_deref()?, name.as_str())));
    pairs.filter(|(from, name)| from != name).collect()
}

fn check_names(file: &SchemaFile, observed: &Observed, renames: &BTreeMap<&str, &str>) -> Result<(), Error> {
    let missing = |place: String, name: &str| Error::NoSuchColumn {
        place,
        name: name.to_owned(),
        nearest: names::nearest(name, observed.names()),
    };
    for (name, spec) in &file.columns {
        let from = spec.from.as_deref().unwrap_or(name);
        // Records keep fixed names outside of their features, where they are not observed.
        let elsewhere = names::is_fixed(name) && spec.from.is_none();
        if !elsewhere && !observed.has(from) {
            return Err(missing(format!("columns.{name}"), from));
        }
    }
    let renamed = |name: &str| renames.values().any(|to| *to == name);
    let listed =
        file.groups.iter().flat_map(|(group, members)| members.iter().map(move |m| (Some(group), m)));
    for (group, name) in listed.chain(file.ignore.iter().map(|name| (None, name))) {
        if !observed.has(name) && !renamed(name) {
            let place = group.map_or_else(|| "ignore".to_owned(), |group| format!("groups.{group}"));
            return Err(missing(place, name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, ListBuilder, NullArray, StringArray,
        StringBuilder,
    };
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::record::PROJECTIONS;

    fn table(columns: Vec<(&str, ArrayRef)>) -> Observed {
        let mut observed = Observed::default();
        observed.table(&RecordBatch::try_from_iter(columns).unwrap());
        observed
    }

    fn words(cells: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(cells.to_vec()))
    }

    fn kind(cells: ArrayRef) -> Result<Kind, Error> {
        let schema = infer("m", &SchemaFile::default(), &table(vec![("x", cells)]))?;
        Ok(schema.columns.first().unwrap().kind)
    }

    /// Kinds follow the values; text that is JSON is judged by what it spells.
    #[test]
    fn kinds() {
        let many: Vec<String> = (0..100).map(|i| format!("w{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (cells, expected) in [
            (Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef, Kind::Numeric),
            (Arc::new(BooleanArray::from(vec![true])), Kind::Boolean),
            (words(&["a", "b", "a", "b"]), Kind::Categorical),
            (words(&many), Kind::Text),
            (words(&["39", "40", "\"41\""]), Kind::Numeric),
            (words(&["true", "false", "null"]), Kind::Boolean),
            (words(&["39", "a", "39", "a"]), Kind::Categorical),
            (words(&["\"a\"", "\"a\""]), Kind::Categorical),
        ] {
            assert_eq!(kind(cells.clone()).unwrap(), expected, "{cells:?}");
        }
    }

    /// Beyond the bound a column that repeats is free text all the same.
    #[test]
    fn the_bound_on_distinct_words() {
        let of = |n: usize| {
            words(
                &(0..4 * n)
                    .map(|i| format!("w{}", i % n))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(kind(of(DISTINCT_MAX)).unwrap(), Kind::Categorical);
        assert_eq!(kind(of(DISTINCT_MAX + 1)).unwrap(), Kind::Text);
    }

    /// A column without a value, or of lists, is refused by name instead of being guessed or dropped.
    #[test]
    fn what_cannot_be_known_is_refused() {
        let error = kind(Arc::new(NullArray::new(3))).unwrap_err();
        assert_eq!(error, Error::NoValues(vec!["x".into()]));
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
        assert!(matches!(kind(Arc::new(lists)), Err(Error::Embedding { .. })), "one number is no vector");
        let ragged: Vec<_> = (1..5).map(|n| Some(vec![Some(1); n])).collect();
        let ragged = kind(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(ragged))).unwrap_err();
        assert!(ragged.to_string().contains("`x` holds lists of 1 to 4 numbers"), "{ragged}");
        let mut words = ListBuilder::new(StringBuilder::new());
        words.append_value([Some("a")]);
        assert!(matches!(kind(Arc::new(words.finish())), Err(Error::Unsupported { .. })));
    }

    fn lists(rows: usize, length: usize) -> ArrayRef {
        let of =
            |row: usize| Some(vec![Some(if row == 0 { 1 } else { 2 }); if row == 0 { 1 } else { length }]);
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..rows).map(of)))
    }

    /// Lists of one length are an embedding of that dimension, a few others aside, in files, text and records.
    #[test]
    fn vectors_are_seen() {
        let dimension = |observed: &Observed, yaml: &str| {
            let file = SchemaFile::parse(yaml).unwrap();
            infer("m", &file, observed)
                .map(|s| (s.columns.len(), s.columns[0].kind, s.columns[0].dimension()))
        };
        let found = Ok((1 + PROJECTIONS, Kind::Embedding, Some(3)));
        let of = |cells: ArrayRef| table(vec![("x", cells)]);
        assert_eq!(dimension(&of(lists(9, 3)), ""), found);
        assert_eq!(dimension(&of(words(&["[1,2,3]", "[4, 5, NaN]", "null"])), ""), found);
        assert_eq!(kind(words(&["[1]", "[1,2]", "[1]", "[1,2]"])), Ok(Kind::Categorical));
        let mut records = Observed::default();
        for v in ["[1,2,3]", "null", "[4,5,6]"] {
            let line = format!(r#"{{"ts":0,"model":"m","features":{{"x":{v}}}}}"#);
            records.record(&serde_json::from_str(&line).unwrap());
        }
        assert_eq!(dimension(&records, ""), found);
        assert_eq!(dimension(&records, "columns: {x: {kind: embedding, dimension: 3}}"), found);
        let nothing = of(Arc::new(NullArray::new(2)));
        assert_eq!(dimension(&nothing, "columns: {x: {kind: embedding, dimension: 3}}"), found);
        for (observed, yaml, told) in [
            (
                &records,
                "columns: {x: {kind: embedding, dimension: 4}}",
                "dimension 4, and holds lists of 3 numbers",
            ),
            (&records, "columns: {x: {kind: numeric}}", "2 are lists of numbers"),
            (&records, "columns: {x: {role: output}}", "which an answer cannot be"),
            (&nothing, "columns: {x: {kind: embedding}}", "state its `dimension`"),
            (&of(lists(9, 20_000)), "", "dimension 20000, expected 2 to 16384"),
            (
                &of(words(&["a", "b"])),
                "columns: {x: {kind: embedding}}",
                "declared as embedding, but of 2 cells",
            ),
        ] {
            let error = dimension(observed, yaml).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("`x`"), "`{error}` does not say `{told}`");
        }
    }

    fn with_file(yaml: &str) -> Result<Schema, Error> {
        let numbers = || Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef;
        let observed = table(vec![
            ("event_time", numbers()),
            ("Age", numbers()),
            ("density", numbers()),
            ("code", words(&["7", "7"])),
            ("name", words(&["a", "b"])),
            ("prediction", numbers()),
            ("label", numbers()),
        ]);
        infer("wine", &SchemaFile::parse(yaml).unwrap(), &observed)
    }

    /// The file renames, regroups, re-types and ignores; fixed names never become features.
    #[test]
    fn the_file_has_its_way() {
        let schema = with_file(
            "columns:\n  ts: {from: event_time}\n  age: {from: Age, default: 0, contract: {min: 0}}\n  code: {kind: categorical}\n\
             groups: {'redis:wine': [density]}\nignore: [name]\n",
        )
        .unwrap();
        let columns: Vec<_> =
            schema.columns.iter().map(|c| (c.name.as_str(), c.group.as_str(), c.kind)).collect();
        assert_eq!(
            columns,
            [
                ("age", "request", Kind::Numeric),
                ("density", "redis:wine", Kind::Numeric),
                ("code", "request", Kind::Categorical),
                ("prediction", "output", Kind::Numeric),
            ]
        );
        assert_eq!((schema.file_name("age"), schema.file_name("ts")), ("Age", "event_time"));
        assert_eq!(schema.columns.first().unwrap().default, Some(Scalar::Number(0.0)));
    }

    /// Every contradiction between file and data names the field and what was found.
    #[test]
    fn contradictions_are_named() {
        for (yaml, expected) in [
            ("columns: {densty: {}}", "nearest: `density`"),
            ("groups: {g: [agee]}", "groups.g"),
            ("ignore: [nme]", "ignore"),
            ("columns: {name: {kind: numeric}}", "of 2 cells 0 are numbers"),
            ("columns: {density: {kind: categorical}}", "declared as categorical"),
            ("model: beer", "`beer`, expected `wine`"),
        ] {
            let error = with_file(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "`{error}` does not say `{expected}`");
        }
    }

    /// Records give the same schema as the columns of a file would.
    #[test]
    fn records_are_observed() {
        let mut observed = Observed::default();
        let line = r#"{"ts":0,"model":"m","features":{"a":1,"b":"x","c":true,"d":null},"prediction":{"score":0.5,"probabilities":{"1":0.5}}}"#;
        observed.record(&serde_json::from_str(line).unwrap());
        let file = SchemaFile::parse("ignore: [d]").unwrap();
        let schema = infer("m", &file, &observed).unwrap();
        let columns: Vec<_> = schema.columns.iter().map(|c| (c.name.as_str(), c.role)).collect();
        assert_eq!(
            columns,
            [
                ("a", Role::Input),
                ("b", Role::Input),
                ("c", Role::Input),
                ("score", Role::Output),
                ("prob_1", Role::Output)
            ]
        );
    }
}
