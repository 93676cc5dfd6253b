use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::record::{Batch, Cell, Cells, Column, Kind, Schema};
use crate::sketch::{Categories, Numeric, Sketch};
use crate::units::Timestamp;

/// A stretch of time, `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// From `from` up to, and without, `to`.
    ///
    /// # Errors
    /// [`Error::EmptyWindow`] when `to` is not later.
    pub fn new(from: Timestamp, to: Timestamp) -> Result<Self, Error> {
        if from < to { Ok(Self { from, to }) } else { Err(Error::EmptyWindow { from, to }) }
    }

    /// Its first instant.
    #[must_use]
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The first instant after it.
    #[must_use]
    pub const fn to(&self) -> Timestamp {
        self.to
    }

    /// Whether a row of that time belongs to it.
    #[must_use]
    pub fn contains(&self, ts: Timestamp) -> bool {
        self.from <= ts && ts < self.to
    }

    fn join(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

/// Sketches of all columns of one model over one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Profile {
    schema: Arc<Schema>,
    window: Option<Window>,
    rows: u64,
    outside: u64,
    seen: Option<(Timestamp, Timestamp)>,
    sketches: Vec<Sketch>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: Schema,
    window: Option<Window>,
    rows: u64,
    outside: u64,
    seen: Option<(Timestamp, Timestamp)>,
    sketches: Vec<Sketch>,
}

impl Profile {
    /// An empty profile that takes rows of any time.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        let sketches = schema.columns.iter().map(|column| empty_sketch(column.kind)).collect();
        Self { schema, window: None, rows: 0, outside: 0, seen: None, sketches }
    }

    /// An empty profile that takes the rows of one window, and counts the others.
    #[must_use]
    pub fn over(schema: Arc<Schema>, window: Window) -> Self {
        Self { window: Some(window), ..Self::new(schema) }
    }

    /// Adds the rows of a batch that lie in the window.
    ///
    /// # Errors
    /// [`Error::SchemasDiffer`] when the batch follows another schema; nothing was added then.
    pub fn observe(&mut self, batch: &Batch) -> Result<(), Error> {
        self.check_schema(batch.schema())?;
        let rows: Vec<usize> = self.rows_inside(batch);
        for (sketch, cells) in self.sketches.iter_mut().zip(batch.columns()) {
            observe_cells(sketch, cells, &rows);
        }
        Ok(())
    }

    fn rows_inside(&mut self, batch: &Batch) -> Vec<usize> {
        let mut inside = Vec::with_capacity(batch.len());
        for (i, ts) in batch.meta().ts().iter().enumerate() {
            if self.window.is_some_and(|window| !window.contains(*ts)) {
                self.outside += 1;
                continue;
            }
            self.rows += 1;
            self.seen = Some(join(self.seen, (*ts, *ts)));
            inside.push(i);
        }
        inside
    }

    /// Adds another profile of the same schema; the window becomes the one around both.
    ///
    /// # Errors
    /// [`Error::SchemasDiffer`].
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.check_schema(&other.schema)?;
        for (here, there) in self.sketches.iter_mut().zip(&other.sketches) {
            here.merge(there)?;
        }
        // A profile without a window took rows of any time: so did the two together.
        self.window = self.window.zip(other.window).map(|(a, b)| a.join(b));
        self.rows += other.rows;
        self.outside += other.outside;
        self.seen = other.seen.map(|seen| join(self.seen, seen)).or(self.seen);
        Ok(())
    }

    fn check_schema(&self, schema: &Arc<Schema>) -> Result<(), Error> {
        if Arc::ptr_eq(&self.schema, schema) || self.schema == *schema {
            return Ok(());
        }
        Err(Error::SchemasDiffer { found: schema.model.clone(), expected: self.schema.model.clone() })
    }

    /// The same, of another version of the model.
    #[must_use]
    pub fn of_version(mut self, version: &str) -> Self {
        Arc::make_mut(&mut self.schema).version = Some(version.to_owned());
        self
    }

    /// The schema of its rows.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The window whose rows it takes; nothing when it takes rows of any time.
    #[must_use]
    pub const fn window(&self) -> Option<Window> {
        self.window
    }

    /// Rows taken.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows refused because they lay outside the window.
    #[must_use]
    pub const fn outside(&self) -> u64 {
        self.outside
    }

    /// The times of the earliest and the latest row taken.
    #[must_use]
    pub const fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        self.seen
    }

    /// The sketches, in the order of the schema's columns.
    #[must_use]
    pub fn sketches(&self) -> &[Sketch] {
        &self.sketches
    }

    /// Each column with its sketch, in the schema's order.
    pub fn columns(&self) -> impl Iterator<Item = (&Column, &Sketch)> {
        self.schema.columns.iter().zip(&self.sketches)
    }

    /// The sketch of a column by name.
    #[must_use]
    pub fn sketch(&self, column: &str) -> Option<&Sketch> {
        self.sketches.get(self.schema.position(column)?)
    }
}

fn empty_sketch(kind: Kind) -> Sketch {
    match kind {
        Kind::Numeric | Kind::Embedding => Sketch::Numeric(Numeric::default()),
        Kind::Categorical | Kind::Boolean => Sketch::Categories(Categories::default()),
        Kind::Text => Sketch::Lengths(Numeric::default()),
    }
}

fn observe_cells(sketch: &mut Sketch, cells: &Cells, rows: &[usize]) {
    for row in rows {
        match cells.cell(*row) {
            Cell::Null => sketch.null(),
            Cell::WrongType => sketch.wrong_type(),
            Cell::Number(value) => sketch.number(value),
            Cell::Text(text) => sketch.text(text),
        }
    }
}

fn join(
    seen: Option<(Timestamp, Timestamp)>,
    (first, last): (Timestamp, Timestamp),
) -> (Timestamp, Timestamp) {
    seen.map_or((first, last), |(a, b)| (a.min(first), b.max(last)))
}

impl TryFrom<Stored> for Profile {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let schema = Arc::new(stored.schema.checked()?);
        let empty = Self::new(Arc::clone(&schema));
        let fits = |(here, there): (&Sketch, &Sketch)| {
            here.kind() == there.kind() && there.presence().rows == stored.rows
        };
        let same_length = empty.sketches.len() == stored.sketches.len();
        if !same_length || !empty.sketches.iter().zip(&stored.sketches).all(fits) {
            return Err(Error::NotOfSchema(schema.model.clone()));
        }
        let Stored { window, rows, outside, seen, sketches, .. } = stored;
        Ok(Self { schema, window, rows, outside, seen, sketches })
    }
}

impl From<Profile> for Stored {
    fn from(profile: Profile) -> Self {
        let Profile { schema, window, rows, outside, seen, sketches } = profile;
        Self { schema: Arc::unwrap_or_clone(schema), window, rows, outside, seen, sketches }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Record, Role};

    fn schema(model: &str) -> Arc<Schema> {
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
            column("note", Role::Input, Kind::Text),
            column("score", Role::Output, Kind::Numeric),
        ];
        Arc::new(Schema::new(model.into(), None, columns).unwrap())
    }

    /// Rows one a second, starting at second `from`.
    fn batch(schema: &Arc<Schema>, from: i64, ages: &[&str]) -> Batch {
        let mut builder = BatchBuilder::new(Arc::clone(schema));
        for (i, age) in ages.iter().enumerate() {
            let ts = 1_000 * (from + i64::try_from(i).unwrap());
            let line = format!(
                r#"{{"ts":{ts},"model":"m","features":{{"age":{age},"city":"x","note":"secret"}},"prediction":{{"score":0.5}}}}"#
            );
            builder.push(&serde_json::from_str::<Record>(&line).unwrap());
        }
        builder.finish().unwrap().0
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000 * seconds)
    }

    /// Two halves, seen apart and merged in either order, are the whole; what is stored is read back.
    #[test]
    fn halves_merge_to_the_whole() {
        let schema = schema("m");
        let (one, two) = (batch(&schema, 0, &["1", "null", "\"x\""]), batch(&schema, 3, &["0", "7"]));
        let of = |batches: &[&Batch]| {
            let mut profile = Profile::new(Arc::clone(&schema));
            batches.iter().for_each(|b| profile.observe(b).unwrap());
            profile
        };
        let mut merged = of(&[&two]);
        merged.merge(&of(&[&one])).unwrap();
        let whole = of(&[&one, &two]);
        assert_eq!((merged.rows(), merged.seen()), (5, Some((at(0), at(4)))));
        assert_eq!(merged.sketch("city"), whole.sketch("city"));
        let Some(Sketch::Numeric(age)) = merged.sketch("age") else { panic!("numbers") };
        assert_eq!((age.presence().nulls, age.presence().wrong_type, age.zeros()), (1, 1, 1));
        let back: Profile = serde_json::from_str(&serde_json::to_string(&merged).unwrap()).unwrap();
        assert_eq!(back, merged);
    }

    /// A window takes its first instant, not its last, and counts what it refuses.
    #[test]
    fn windows_are_half_open() {
        let schema = schema("m");
        let mut profile = Profile::over(Arc::clone(&schema), Window::new(at(1), at(3)).unwrap());
        profile.observe(&batch(&schema, 0, &["1", "2", "3", "4"])).unwrap();
        assert_eq!((profile.rows(), profile.outside()), (2, 2));
        assert_eq!(profile.seen(), Some((at(1), at(2))));
        assert!(Window::new(at(1), at(1)).is_err());
    }

    /// Rows of another model never enter, and an empty profile knows no time.
    #[test]
    fn other_schemas_are_refused() {
        let mut profile = Profile::new(schema("m"));
        let error = profile.observe(&batch(&schema("n"), 0, &["1"])).unwrap_err();
        assert!(error.to_string().contains("`n`"), "{error}");
        assert_eq!((profile.rows(), profile.seen()), (0, None));
    }

    /// A stored profile whose sketches do not fit its schema is refused.
    #[test]
    fn damaged_profiles_are_refused() {
        let text = serde_json::to_string(&Profile::new(schema("m"))).unwrap();
        let damaged = text.replace("\"kind\":\"text\"", "\"kind\":\"numeric\"");
        assert_ne!(text, damaged);
        assert!(serde_json::from_str::<Profile>(&damaged).is_err());
    }
}
