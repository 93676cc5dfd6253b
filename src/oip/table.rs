use std::collections::{BTreeMap, BTreeSet};

use super::{Error, InferRequest, Tensor};
use crate::record::{COORDINATES_MAX, Column, Role, Scalar, Schema};
use crate::units::whole;

/// A feature of a model, as tensors have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name in records.
    pub name: String,
    /// For a vector: its coordinates. Nothing for a single value.
    pub dimension: Option<u64>,
}

impl From<&str> for Feature {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), dimension: None }
    }
}

impl Feature {
    /// Those of a schema, in its order and by the names that records use.
    #[must_use]
    pub fn of(schema: &Schema) -> Vec<Self> {
        let is_feature = |column: &&Column| column.role == Role::Input && !column.is_projection();
        let named = |column: &Column| Self {
            name: schema.file_name(&column.name).to_owned(),
            dimension: column.dimension(),
        };
        schema.columns.iter().filter(is_feature).map(named).collect()
    }

    /// Columns of a table that it takes.
    fn width(&self) -> u64 {
        self.dimension.unwrap_or(1)
    }
}

impl InferRequest {
    /// The rows of the inputs, each column by its name; see [`table`].
    ///
    /// # Errors
    /// Those of [`table`].
    pub fn rows(self, features: &[Feature]) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
        table(self.inputs, features)
    }
}

/// The rows of tensors, in either of the two layouts of tables.
///
/// One tensor of shape `[rows, columns]` is a whole table, whose columns are `features` in order; a vector takes
/// as many columns as it has coordinates, and where it is the only feature, all there are. Else each tensor is a
/// column of its own name: of shape `[rows]` or `[rows, 1]`, or of `[rows, coordinates]` for vectors; `features`
/// says nothing then. A single tensor is such a column when a feature of that shape has its name, else it is a
/// table.
///
/// # Errors
/// [`Error::NoTensors`], [`Error::Twice`], and [`Error::Shape`] with what the shape should have been.
pub fn table(tensors: Vec<Tensor>, features: &[Feature]) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
    let mut tensors = tensors;
    match (tensors.len(), tensors.pop()) {
        (_, None) => Err(Error::NoTensors),
        (1, Some(tensor)) if !is_named_column(&tensor, features) => whole_table(tensor, features),
        (_, Some(last)) => {
            tensors.push(last);
            columns(tensors)
        }
    }
}

fn is_named_column(tensor: &Tensor, features: &[Feature]) -> bool {
    let Some(feature) = features.iter().find(|feature| feature.name == tensor.name) else { return false };
    match tensor.shape.as_slice() {
        [_] | [_, 1] => true,
        // The table of other features may have any name, so the one of a vector must be as wide.
        [_, columns] => feature.dimension == Some(*columns),
        _ => false,
    }
}

fn whole_table(tensor: Tensor, features: &[Feature]) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
    let width = features.iter().fold(0_u64, |all, feature| all.saturating_add(feature.width()));
    let (fits, widths) = match (tensor.shape.as_slice(), features) {
        ([_, columns], [Feature { dimension: Some(_), .. }]) => (*columns > 0, vec![*columns]),
        (shape, _) => {
            let fits = match shape {
                [_] => width == 1,
                [_, columns] => width == *columns && width > 0,
                _ => false,
            };
            (fits, features.iter().map(Feature::width).collect())
        }
    };
    if !fits {
        let each = if whole(features.len()) == width { "feature" } else { "feature and coordinate" };
        let expected = format!("[rows, {width}], one column for each known {each}");
        return Err(Error::Shape { tensor: tensor.name, shape: tensor.shape, expected });
    }
    let mut rows = Vec::new();
    let mut elements = tensor.into_data().into_iter().peekable();
    while elements.peek().is_some() {
        let cell = |(feature, width): (&Feature, &u64)| {
            let cell = match feature.dimension {
                None => elements.next().unwrap_or(Scalar::Null),
                Some(_) => vector(elements.by_ref().take(places(*width))),
            };
            (feature.name.clone(), cell)
        };
        rows.push(features.iter().zip(&widths).map(cell).collect());
    }
    Ok(rows)
}

fn columns(tensors: Vec<Tensor>) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
    let mut rows: Vec<BTreeMap<String, Scalar>> = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, tensor) in tensors.into_iter().enumerate() {
        if !seen.insert(tensor.name.clone()) {
            return Err(Error::Twice(tensor.name));
        }
        let width = match tensor.shape.as_slice() {
            [_] | [_, 1] => Some(1),
            [_, coordinates] if *coordinates > 1 => Some(places(*coordinates)),
            _ => None,
        };
        let found = width.and_then(|width| tensor.data().len().checked_div(width));
        if i == 0 {
            rows.resize(found.unwrap_or(0), BTreeMap::new());
        }
        let Some(width) = width.filter(|_| found == Some(rows.len())) else {
            let n = if i == 0 { "rows".to_owned() } else { rows.len().to_string() };
            let expected = format!("[{n}] or [{n}, 1], or [{n}, coordinates] for vectors");
            return Err(Error::Shape { tensor: tensor.name, shape: tensor.shape, expected });
        };
        let name = tensor.name.clone();
        let mut elements = tensor.into_data().into_iter();
        for row in &mut rows {
            let cell = if width == 1 { elements.next() } else { Some(vector(elements.by_ref().take(width))) };
            row.insert(name.clone(), cell.unwrap_or(Scalar::Null));
        }
    }
    Ok(rows)
}

fn places(width: u64) -> usize {
    usize::try_from(width).unwrap_or(usize::MAX)
}

/// The elements of one vector; what is no list of numbers, or too long, is [`Scalar::Nested`].
fn vector(elements: impl Iterator<Item = Scalar>) -> Scalar {
    let number = |element| if let Scalar::Number(number) = element { Some(number) } else { None };
    let numbers: Vec<Option<f64>> = elements.map(number).collect();
    match numbers.into_iter().collect::<Option<Vec<f64>>>() {
        Some(coordinates) if coordinates.len() <= COORDINATES_MAX => Scalar::Vector(coordinates.into()),
        _ => Scalar::Nested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oip::Datatype;
    use crate::record::Kind;

    fn names(names: &[&str]) -> Vec<Feature> {
        names.iter().map(|name| Feature::from(*name)).collect()
    }

    fn with_vector(dimension: u64) -> Vec<Feature> {
        vec![Feature::from("a"), Feature { name: "v".to_owned(), dimension: Some(dimension) }]
    }

    fn fp64(name: &str, shape: &[u64], n: u32) -> Tensor {
        Tensor::fp64(name, shape.to_vec(), (0..n).map(f64::from)).unwrap()
    }

    fn check(tensors: Vec<Tensor>, known: &[&str], expected: &[&[(&str, f64)]]) {
        let rows = table(tensors, &names(known)).unwrap();
        let row = |cells: &&[(&str, f64)]| {
            cells.iter().map(|(name, n)| ((*name).to_owned(), Scalar::Number(*n))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(rows, expected.iter().map(row).collect::<Vec<_>>());
    }

    /// Both layouts give the same rows; row-major order is kept.
    #[test]
    fn both_layouts() {
        let expected: &[&[(&str, f64)]] = &[&[("a", 0.0), ("b", 1.0)], &[("a", 2.0), ("b", 3.0)]];
        check(vec![fp64("predict", &[2, 2], 4)], &["a", "b"], expected);
        let a = Tensor::fp64("a", vec![2], [0.0, 2.0]).unwrap();
        let b = Tensor::fp64("b", vec![2, 1], [1.0, 3.0]).unwrap();
        check(vec![b, a], &[], expected);
    }

    /// One column: by its own name when it is known, else by the only name there is.
    #[test]
    fn one_column() {
        check(vec![fp64("b", &[1], 1)], &["a", "b"], &[&[("b", 0.0)]]);
        check(vec![fp64("predict", &[2, 1], 2)], &["a"], &[&[("a", 0.0)], &[("a", 1.0)]]);
        check(vec![fp64("predict", &[0, 2], 0)], &["a", "b"], &[]);
    }

    fn refused(tensors: Vec<Tensor>, known: &[&str], expected: &str) {
        let error = table(tensors, &names(known)).unwrap_err().to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
    }

    /// What is no table is told with the tensor, its shape and what was expected.
    #[test]
    fn no_tables() {
        refused(vec![], &[], "no tensors");
        refused(vec![fp64("x", &[2, 3], 6)], &["a", "b"], "shape [2, 3], expected [rows, 2]");
        refused(vec![fp64("x", &[1, 2, 3], 6)], &["a", "b"], "[1, 2, 3]");
        refused(vec![fp64("x", &[2, 0], 0)], &[], "`x`");
        refused(vec![fp64("x", &[], 1)], &["x"], "`x`");
        refused(vec![fp64("a", &[2], 2), fp64("b", &[3], 3)], &[], "tensor `b`: shape [3], expected [2]");
        refused(vec![fp64("a", &[2], 2), fp64("a", &[2], 2)], &[], "`a` appears twice");
        refused(vec![fp64("a", &[1, 2], 2), fp64("b", &[2], 2)], &[], "`b`: shape [2], expected [1] or");
        refused(vec![fp64("a", &[1, 2, 2], 4), fp64("b", &[2], 2)], &[], "`a`");
        let error = table(vec![fp64("x", &[2, 3], 6)], &with_vector(3)).unwrap_err().to_string();
        assert!(error.contains("[rows, 4], one column for each known feature and coordinate"), "{error}");
    }

    fn vector(coordinates: &[f64]) -> Scalar {
        Scalar::Vector(coordinates.into())
    }

    /// Vectors are tensors of their own, or as many columns of the one table as they have coordinates; where the
    /// only feature is one, another dimension is the vector's and no other table's.
    #[test]
    fn vectors() {
        let rows = |tensors, features: &[Feature]| table(tensors, features).unwrap();
        let cells = |a: f64, v: &[f64]| {
            BTreeMap::from([("a".to_owned(), Scalar::Number(a)), ("v".to_owned(), vector(v))])
        };
        let own = vec![fp64("a", &[2], 2), fp64("v", &[2, 2], 4)];
        let expected = [cells(0.0, &[0.0, 1.0]), cells(1.0, &[2.0, 3.0])];
        assert_eq!(
            (rows(own.clone(), &[]), rows(own, &with_vector(3))),
            (expected.to_vec(), expected.to_vec())
        );
        let one = rows(vec![fp64("input", &[2, 3], 6)], &with_vector(2));
        assert_eq!(one, [cells(0.0, &[1.0, 2.0]), cells(3.0, &[4.0, 5.0])]);
        let named = rows(vec![fp64("v", &[1, 2], 2)], &with_vector(2));
        assert_eq!(named, [BTreeMap::from([("v".to_owned(), vector(&[0.0, 1.0]))])]);
        let only = [Feature { name: "v".to_owned(), dimension: Some(2) }];
        let wider = rows(vec![fp64("input", &[1, 3], 3)], &only);
        assert_eq!(wider, [BTreeMap::from([("v".to_owned(), vector(&[0.0, 1.0, 2.0]))])]);
    }

    /// A schema's features have the names that records use, vectors are one feature each, and answers are none.
    #[test]
    fn features_of_a_schema() {
        let column = |name: &str, role, group: &str| Column::plain(name, role, Kind::Numeric, group);
        let vector = column("v", Role::Input, "g").embedding(3);
        let others = [column("a", Role::Input, "g"), column("score", Role::Output, "output")];
        let mut schema = Schema::new("m".into(), None, vector.into_iter().chain(others).collect()).unwrap();
        schema.file_names = BTreeMap::from([("v".to_owned(), "vec".to_owned())]);
        let vector = Feature { name: "vec".to_owned(), dimension: Some(3) };
        assert_eq!(Feature::of(&schema), [vector, Feature::from("a")]);
    }

    /// A table of named features keeps its meaning when it has the name of one of them.
    #[test]
    fn a_table_named_like_a_feature() {
        check(vec![fp64("a", &[1, 2], 2)], &["a", "b"], &[&[("a", 0.0), ("b", 1.0)]]);
    }

    /// A missing coordinate is NaN; a word among them makes it no vector, and so does their number.
    #[test]
    fn what_is_no_vector() {
        let of = |datatype, data: Vec<Scalar>| {
            let shape = vec![1, u64::try_from(data.len()).unwrap()];
            let tensors = vec![fp64("a", &[1], 1), Tensor::new("v", shape, datatype, data).unwrap()];
            table(tensors, &[]).unwrap().remove(0).remove("v").unwrap()
        };
        let gap = of(Datatype::Fp32, vec![Scalar::Null, Scalar::Number(1.0)]);
        assert!(matches!(gap, Scalar::Vector(c) if c[0].is_nan() && c[1..] == [1.0]));
        assert_eq!(of(Datatype::Bytes, vec![Scalar::Text("x".into()); 2]), Scalar::Nested);
        assert_eq!(of(Datatype::Fp32, vec![Scalar::Number(0.0); COORDINATES_MAX + 1]), Scalar::Nested);
    }
}
