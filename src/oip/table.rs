use std::collections::{BTreeMap, BTreeSet};

use super::{Error, InferRequest, Tensor};
use crate::record::Scalar;

impl InferRequest {
    /// The rows of the inputs, each column by its name; see [`table`].
    ///
    /// # Errors
    /// Those of [`table`].
    pub fn rows(self, names: &[String]) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
        table(self.inputs, names)
    }
}

/// The rows of tensors, in either of the two layouts of tables.
///
/// One tensor of shape `[rows, columns]` is a whole table, whose columns are `names` in order. Else
/// each tensor is a column of its own name, of shape `[rows]` or `[rows, 1]`; `names` says nothing
/// then. A single tensor of one column is such a column when its name is among `names`, else it is
/// a table of one column.
///
/// # Errors
/// [`Error::NoTensors`], [`Error::Twice`], and [`Error::Shape`] with what the shape should have been.
pub fn table(tensors: Vec<Tensor>, names: &[String]) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
    let mut tensors = tensors;
    match (tensors.len(), tensors.pop()) {
        (_, None) => Err(Error::NoTensors),
        (1, Some(tensor)) if !is_named_column(&tensor, names) => whole_table(tensor, names),
        (_, Some(last)) => {
            tensors.push(last);
            columns(tensors)
        }
    }
}

fn is_named_column(tensor: &Tensor, names: &[String]) -> bool {
    let one_column = matches!(tensor.shape.as_slice(), [_] | [_, 1]);
    one_column && names.contains(&tensor.name)
}

fn whole_table(tensor: Tensor, names: &[String]) -> Result<Vec<BTreeMap<String, Scalar>>, Error> {
    let fits = match tensor.shape.as_slice() {
        [_] => names.len() == 1,
        [_, columns] => u64::try_from(names.len()) == Ok(*columns) && !names.is_empty(),
        _ => false,
    };
    if !fits {
        let expected = format!("[rows, {}], one column for each known feature", names.len());
        return Err(Error::Shape { tensor: tensor.name, shape: tensor.shape, expected });
    }
    let mut rows = Vec::new();
    let mut elements = tensor.into_data().into_iter().peekable();
    while elements.peek().is_some() {
        rows.push(names.iter().cloned().zip(elements.by_ref().take(names.len())).collect());
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
        if i == 0 {
            rows.resize(tensor.data().len(), BTreeMap::new());
        }
        let one_column = matches!(tensor.shape.as_slice(), [_] | [_, 1]);
        if !one_column || tensor.data().len() != rows.len() {
            let n = rows.len();
            let expected =
                if i == 0 { "[rows] or [rows, 1]".to_owned() } else { format!("[{n}] or [{n}, 1]") };
            return Err(Error::Shape { tensor: tensor.name, shape: tensor.shape, expected });
        }
        let name = tensor.name.clone();
        for (row, cell) in rows.iter_mut().zip(tensor.into_data()) {
            row.insert(name.clone(), cell);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
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
        refused(vec![fp64("a", &[1, 2], 2), fp64("b", &[2], 2)], &[], "`a`");
    }
}
