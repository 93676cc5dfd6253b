use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Contract, Error, Kind, Role, Scalar, names, vector};

/// What a person says about a model's columns; everything left out is inferred.
///
/// ```yaml
/// model: wine
/// columns:
///   ts: {from: event_time}
///   alcohol: {kind: numeric, default: 0, contract: {not_null: true, min: 0}}
///   quality: {role: output}
///   user_vec: {kind: embedding, dimension: 64}
/// groups:
///   redis:wine: [density, sulphates]
/// ignore: [customer_name]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaFile {
    /// The model it is for; another one is refused.
    pub model: Option<String>,
    /// The model's version.
    pub version: Option<String>,
    /// What is said about single columns, by name.
    pub columns: BTreeMap<String, ColumnSpec>,
    /// Which upstream columns come from.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Columns of the data that are not watched.
    pub ignore: Vec<String>,
}

/// What is said about one column.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnSpec {
    /// Feature, answer or neither.
    pub role: Option<Role>,
    /// The type of its values.
    pub kind: Option<Kind>,
    /// For an embedding: the coordinates of each vector.
    pub dimension: Option<u64>,
    /// The upstream it comes from.
    pub group: Option<String>,
    /// What the service puts there when it has nothing.
    pub default: Option<Scalar>,
    /// Its name in files and in the features of records, when that differs.
    pub from: Option<String>,
    /// Rules of which one broken row is an alarm.
    pub contract: Contract,
}

impl SchemaFile {
    /// Reads YAML.
    ///
    /// # Errors
    /// [`Error::SchemaFile`] with line and column, or with the field that contradicts another.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let options = serde_saphyr::options! { with_snippet: false };
        let file: Self = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|error| Error::SchemaFile(error.to_string()))?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::SchemaFile(what));
        let mut grouped = BTreeSet::new();
        for (group, members) in &self.groups {
            for name in members {
                let own = self.columns.get(name).and_then(|spec| spec.group.as_ref());
                if !grouped.insert(name) || own.is_some_and(|own| own != group) {
                    return wrong(format!("groups.{group}: column `{name}` is in another group as well"));
                }
                if self.ignore.contains(name) {
                    return wrong(format!("groups.{group}: column `{name}` is under `ignore` as well"));
                }
            }
        }
        let mut froms = BTreeSet::new();
        for (name, spec) in &self.columns {
            if let Some(from) = &spec.from
                && !froms.insert(from)
            {
                return wrong(format!(
                    "columns.{name}.from: `{from}` is the source of another column as well"
                ));
            }
            if self.ignore.contains(name) {
                return wrong(format!("columns.{name}: the column is under `ignore` as well"));
            }
            let renamed_only = ColumnSpec { from: spec.from.clone(), ..ColumnSpec::default() };
            if names::is_fixed(name) && *spec != renamed_only {
                return wrong(format!("columns.{name}: the name is fixed, expected nothing but `from`"));
            }
            if let Some(dimension) = spec.dimension {
                if spec.kind != Some(Kind::Embedding) {
                    return wrong(format!("columns.{name}.dimension: expected `kind: embedding` beside it"));
                }
                vector::check_dimension(name, dimension)
                    .map_err(|error| Error::SchemaFile(format!("columns.{name}.dimension: {error}")))?;
            }
            if matches!(spec.default, Some(Scalar::Vector(_) | Scalar::Nested)) {
                return wrong(format!(
                    "columns.{name}.default: expected a number, a string, a boolean or null"
                ));
            }
        }
        Ok(())
    }

    /// The group that the file gives to a column.
    pub(super) fn group_of(&self, name: &str) -> Option<&str> {
        let own = self.columns.get(name).and_then(|spec| spec.group.as_deref());
        let listed = || self.groups.iter().find(|(_, members)| members.iter().any(|m| m == name));
        own.or_else(|| listed().map(|(group, _)| group.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, expected: &str) {
        let error = SchemaFile::parse(yaml).unwrap_err().to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
        assert!(!error.contains('\n'), "one line: {error}");
    }

    /// Every mistake is told with its place.
    #[test]
    fn mistakes_have_a_place() {
        check("colums: {}\n", "line 1, column 1");
        check("columns:\n  age: {kind: number}\n", "line 2");
        check("groups: {a: [x], b: [x]}\n", "groups.b: column `x`");
        check("columns: {x: {group: a}}\ngroups: {b: [x]}\n", "groups.b: column `x`");
        check("columns: {x: {}}\nignore: [x]\n", "columns.x");
        check("columns: {ts: {kind: numeric}}\n", "columns.ts");
        check("columns: {x: {default: [1]}}\n", "columns.x.default");
        check("columns: {x: {dimension: 3}}\n", "columns.x.dimension: expected `kind: embedding`");
        check("columns: {x: {kind: embedding, dimension: 1}}\n", "columns.x.dimension");
        check("columns: {x: {from: a}, y: {from: a}}\n", "columns.y.from");
        check("columns: {x: {}, x: {}}\n", "duplicate");
    }

    /// All that can be said is read.
    #[test]
    fn everything_said_is_read() {
        let yaml = "model: m\nversion: '2'\ncolumns:\n  ts: {from: t}\n  a: {role: input, kind: numeric, default: 0, from: A, \
                    contract: {min: 0}}\ngroups: {g: [a]}\nignore: [b]\n";
        let file = SchemaFile::parse(yaml).unwrap();
        let a = file.columns.get("a").unwrap();
        assert_eq!((a.kind, &a.default), (Some(Kind::Numeric), &Some(Scalar::Number(0.0))));
        assert_eq!((file.group_of("a"), file.group_of("z")), (Some("g"), None));
        assert_eq!(a.contract.min, Some(0.0));
    }
}
