use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::vector::{self, VectorPart};
use super::{Error, Scalar};

/// What the values of a column are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Numbers: integers and floats alike.
    Numeric,
    /// Words from a set that traffic repeats.
    Categorical,
    /// `true` or `false`; held as those words.
    Boolean,
    /// Free text: only its presence is watched.
    Text,
    /// Vectors of one dimension, of which length and projections are watched: see [`VectorPart`].
    Embedding,
}

impl Kind {
    /// Whether cells are held as numbers; an embedding's are lengths.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        matches!(self, Self::Numeric | Self::Embedding)
    }
}

/// What a column is to the model.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A feature that the model read.
    Input,
    /// Something that the model answered.
    Output,
    /// Neither: carried along, never watched.
    Meta,
}

/// Rules that the owner of the data declared: one row that breaks one is an alarm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Contract {
    /// Null is forbidden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_null: bool,
    /// NaN and the infinite are forbidden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub finite: bool,
    /// The smallest value allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The only values allowed; empty allows all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// A value of another type is forbidden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub typed: bool,
}

impl Contract {
    /// Whether anything was declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One column of a model's traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Column {
    /// The name in records and files.
    pub name: String,
    /// Feature, answer or neither.
    pub role: Role,
    /// The type of its values.
    pub kind: Kind,
    /// The upstream it comes from, such as `redis:user_stats`; alarms are told by group.
    pub group: String,
    /// What the service puts there when it has nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// Declared rules.
    #[serde(default, skip_serializing_if = "Contract::is_empty")]
    pub contract: Contract,
    /// For an embedding and its projections: what of the vector it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorPart>,
}

/// The columns of one model's traffic, in a fixed order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Schema {
    /// The model's name.
    pub model: String,
    /// The model's version, where the baseline is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Inputs and outputs; names are unique.
    pub columns: Vec<Column>,
    /// What columns, and the fixed names such as `ts`, are called in files and in the `features` of
    /// records, where that differs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_names: BTreeMap<String, String>,
}

impl Schema {
    /// The group of features that name none.
    pub const REQUEST_GROUP: &'static str = "request";
    /// The group of the row rate; no column may be in it.
    pub const TRAFFIC_GROUP: &'static str = "traffic";
    /// The group of rows as a whole, and of where they come from; no column may be in it.
    pub const ROWS_GROUP: &'static str = "rows";
    /// The group of what features tell of each other; no column may be in it.
    pub const RELATIONS_GROUP: &'static str = "relations";
    /// The group of what labels tell of the model; no column may be in it.
    pub const PERFORMANCE_GROUP: &'static str = "performance";
    /// The group of the model's answers.
    pub const OUTPUT_GROUP: &'static str = "output";

    /// Checks names and contracts.
    ///
    /// # Errors
    /// A name that appears twice, no input column, a contract that nothing can keep.
    pub fn new(model: String, version: Option<String>, columns: Vec<Column>) -> Result<Self, Error> {
        Self { model, version, columns, file_names: BTreeMap::new() }.checked()
    }

    /// The same schema, once its names and contracts have been checked; for one that was read.
    ///
    /// # Errors
    /// Those of [`Schema::new`].
    pub fn checked(self) -> Result<Self, Error> {
        let mut seen = std::collections::BTreeSet::new();
        for column in &self.columns {
            if !seen.insert(column.name.as_str()) {
                return Err(self.twice(&column.name));
            }
            check_contract(column)?;
        }
        vector::check(&self.columns)?;
        self.check_groups()?;
        if !self.columns.iter().any(|c| c.role == Role::Input) {
            return Err(Error::NoInputs(self.model));
        }
        Ok(self)
    }

    /// What is wrong with two columns of a name.
    fn twice(&self, name: &str) -> Error {
        let is_of = |c: &&Column| c.name == name && c.is_projection();
        let part = self.columns.iter().find(is_of).and_then(|c| c.vector.as_ref());
        part.map_or_else(
            || Error::DuplicateColumn(name.to_owned()),
            |part| Error::Embedding {
                column: part.of.clone(),
                reason: format!(
                    "makes a column `{name}`, expected no other of that name: rename one, or `ignore` it"
                ),
            },
        )
    }

    /// Alerts are told by group, so a group is of one kind.
    fn check_groups(&self) -> Result<(), Error> {
        for column in self.columns.iter().filter(|c| c.role != Role::Meta) {
            let mixed = self
                .columns
                .iter()
                .find(|c| c.group == column.group && c.role != column.role && c.role != Role::Meta);
            let reason = match mixed {
                _ if column.group == Self::TRAFFIC_GROUP => "is the group of the row rate".to_owned(),
                _ if column.group == Self::ROWS_GROUP => "is the group of rows as a whole".to_owned(),
                _ if column.group == Self::RELATIONS_GROUP => {
                    "is the group of what features tell of each other".to_owned()
                }
                _ if column.group == Self::PERFORMANCE_GROUP => {
                    "is the group of what labels tell of the model".to_owned()
                }
                Some(other) => format!("has features and answers: `{}` too", other.name),
                None => continue,
            };
            let (column, group) = (column.name.clone(), column.group.clone());
            return Err(Error::Group { column, group, reason });
        }
        Ok(())
    }

    /// What a column, or a fixed name such as `ts`, is called in files.
    #[must_use]
    pub fn file_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.file_names.get(name).map_or(name, String::as_str)
    }

    /// The position of a column.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Groups of input columns in order of first appearance, each with its columns' positions.
    #[must_use]
    pub fn input_groups(&self) -> Vec<(&str, Vec<usize>)> {
        let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
        for (i, column) in self.columns.iter().enumerate().filter(|(_, c)| c.role == Role::Input) {
            match groups.iter_mut().find(|(name, _)| *name == column.group) {
                Some((_, members)) => members.push(i),
                None => groups.push((&column.group, vec![i])),
            }
        }
        groups
    }
}

fn check_contract(column: &Column) -> Result<(), Error> {
    let wrong = |rule: &str| Err(Error::Contract { column: column.name.clone(), rule: rule.to_owned() });
    let contract = &column.contract;
    if [contract.min, contract.max].iter().flatten().any(|v| !v.is_finite()) {
        return wrong("min and max must be finite numbers");
    }
    if let (Some(min), Some(max)) = (contract.min, contract.max)
        && min > max
    {
        return wrong("min is above max: no value could keep it");
    }
    if !column.kind.is_numeric() && (contract.min.is_some() || contract.max.is_some() || contract.finite) {
        return wrong("min, max and finite need a numeric column");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(columns: &[(&str, Role, &str)]) -> String {
        let column =
            |(name, role, group): &(&str, Role, &str)| Column::plain(name, *role, Kind::Numeric, group);
        let schema = Schema::new("m".to_owned(), None, columns.iter().map(column).collect());
        schema.map_or_else(|e| e.to_string(), |_| "sound".to_owned())
    }

    /// Alerts are told by group: none is shared by features and answers, or taken from the row rate.
    #[test]
    fn groups_are_of_one_kind() {
        use Role::{Input, Output};
        assert_eq!(refusal(&[("a", Input, "request"), ("p", Output, "output")]), "sound");
        for (columns, named) in [
            ([("a", Input, "output"), ("p", Output, "output")], "`output`"),
            ([("a", Input, "traffic"), ("p", Output, "output")], "`traffic`"),
            ([("a", Input, "relations"), ("p", Output, "output")], "`relations`"),
            ([("a", Input, "performance"), ("p", Output, "output")], "`performance`"),
        ] {
            let refused = refusal(&columns);
            assert!(refused.contains(named) && refused.contains("`a`"), "{refused}");
        }
    }
}
