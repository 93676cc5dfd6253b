use std::path::Path;

use super::Error;
use crate::record::{Batch, Cell, Cells, Role, Schema};

/// Features that a message names.
const NAMED_MAX: usize = 5;

/// Of which features of a schema some row of a file has a value.
#[derive(Debug)]
pub struct FeaturesSeen<'a> {
    schema: &'a Schema,
    absent: Vec<usize>,
}

impl<'a> FeaturesSeen<'a> {
    /// Of no row yet.
    #[must_use]
    pub fn new(schema: &'a Schema) -> Self {
        Self { schema, absent: features(schema).collect() }
    }

    /// Looks at some rows.
    pub fn observe(&mut self, batch: &Batch) {
        self.absent.retain(|position| batch.columns().get(*position).is_none_or(is_all_null));
    }

    /// The features that no row had, in the schema's order.
    ///
    /// # Errors
    /// [`Error::NoFeatures`] when no row had any.
    pub fn absent(&self, path: &Path) -> Result<Vec<String>, Error> {
        let names = |positions: &mut dyn Iterator<Item = usize>| -> Vec<String> {
            positions.filter_map(|p| self.schema.columns.get(p)).map(|c| c.name.clone()).collect()
        };
        let all = features(self.schema).count();
        if self.absent.len() == all {
            return Err(Error::NoFeatures {
                path: path.to_owned(),
                features: all,
                expected: names(&mut features(self.schema).take(NAMED_MAX)).join("`, `"),
            });
        }
        Ok(names(&mut self.absent.iter().copied()))
    }
}

/// The positions of a schema's features; projections of a vector are none of a file's.
fn features(schema: &Schema) -> impl Iterator<Item = usize> {
    let columns = schema.columns.iter().enumerate();
    columns.filter(|(_, c)| c.role == Role::Input && !c.is_projection()).map(|(position, _)| position)
}

fn is_all_null(cells: &Cells) -> bool {
    (0..cells.len()).all(|row| matches!(cells.cell(row), Cell::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Column, Kind};

    /// A vector that no row has is told once, its projections are no features of the file; and a file without any
    /// feature is refused by name.
    #[test]
    fn features_of_a_file() {
        let column = |name: &str, role| Column::plain(name, role, Kind::Numeric, "g");
        let vector = column("v", Role::Input).embedding(3);
        let others =
            [column("a", Role::Input), Column::plain("score", Role::Output, Kind::Numeric, "output")];
        let schema = Schema::new("m".into(), None, vector.into_iter().chain(others).collect()).unwrap();
        let mut seen = FeaturesSeen::new(&schema);
        let why = seen.absent(Path::new("x.ndjson")).unwrap_err().to_string();
        assert_eq!(why, "x.ndjson: none of the 2 features of the baseline, expected `v`, `a`");
        let mut rows = BatchBuilder::new(std::sync::Arc::new(schema.clone()));
        let row = serde_json::json!({"ts": 0, "model": "m", "features": {"a": 1}});
        rows.push(&serde_json::from_value(row).unwrap());
        seen.observe(&rows.finish().unwrap().0);
        assert_eq!(seen.absent(Path::new("x.ndjson")).unwrap(), ["v"]);
    }
}
