use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{InferRequest, InferResponse, Tensor};
use crate::record::{Prediction, Scalar, cut_name};

/// How far apart two numbers may be and still be the same answer: `absolute + relative * |expected|`.
///
/// The default lets the same model differ between machines and libraries in single precision, and not more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    /// In the unit of the answer; finite, from 0.
    pub absolute: f64,
    /// A share of the expected number, from 0 to below 1.
    pub relative: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { absolute: 1e-6, relative: 1e-4 }
    }
}

impl Tolerance {
    /// Not even the last bit: for labels, and for integers.
    pub const EXACT: Self = Self { absolute: 0.0, relative: 0.0 };

    /// Whether two numbers are the same answer; a NaN is only that of a NaN, an infinity only its own.
    #[must_use]
    pub fn same(self, expected: f64, found: f64) -> bool {
        if !expected.is_finite() || !found.is_finite() {
            return expected.is_nan() && found.is_nan() || expected.total_cmp(&found).is_eq();
        }
        (expected - found).abs() <= self.absolute + self.relative * expected.abs()
    }

    fn same_cell(self, expected: &Scalar, found: &Scalar) -> bool {
        match (expected, found) {
            (Scalar::Number(expected), Scalar::Number(found)) => self.same(*expected, *found),
            (expected, found) => expected == found,
        }
    }
}

/// An answer as it was recorded, to be expected again. What names the answer (`model_name`, `id`,
/// `parameters`) may stand there and is not compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// Its version: answers of another one are not compared. Nothing compares those of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The request's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the server added.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Every output that the answer has, and no other.
    pub outputs: Vec<Tensor>,
}

/// A request of which the right answer is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownAnswer {
    /// What alarms call it.
    pub name: String,
    /// The body that is sent.
    pub request: InferRequest,
    /// What has to come back.
    pub expected: Expected,
}

impl KnownAnswer {
    /// Whether an answer is of a version that this one is not of; what names none is of any.
    #[must_use]
    pub fn is_of_another(&self, answer: &InferResponse) -> bool {
        are_other(self.expected.model_version.as_deref(), answer.model_version.as_deref())
    }
}

/// Whether two names are of different versions; an empty name is none, and none is of any.
#[must_use]
pub fn are_other(one: Option<&str>, other: Option<&str>) -> bool {
    let named = |name: Option<&'_ str>| name.is_some_and(|name| !name.is_empty());
    named(one) && named(other) && one != other
}

/// Where an answer is not the right one: the output, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The output, cut to a length that an alarm can carry.
    pub output: String,
    /// What is wrong with it, and what was expected.
    pub what: String,
}

impl Wrong {
    fn new(output: &str, what: impl Into<String>) -> Self {
        Self { output: cut_name(output).to_owned(), what: what.into() }
    }

    fn cell(output: &str, place: &str, expected: &Scalar, found: &Scalar) -> Self {
        Self::new(output, format!("{place}is {}, expected {}", shown(found), shown(expected)))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output `{}` {}", self.output, self.what)
    }
}

/// A value as an alarm shows it.
fn shown(value: &Scalar) -> String {
    match value {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(b) => b.to_string(),
        Scalar::Number(n) => n.to_string(),
        Scalar::Text(t) => format!("{:?}", cut_name(t)),
        Scalar::Vector(_) | Scalar::Nested => "a list or an object".to_owned(),
    }
}

/// Whether an answer has exactly the expected outputs: names, shapes, datatypes and elements, integers to the
/// last digit. Gives the first that is wrong.
///
/// # Errors
/// [`Wrong`].
pub fn compare(expected: &Expected, found: &InferResponse, tolerance: Tolerance) -> Result<(), Wrong> {
    let mut outputs: BTreeMap<&str, &Tensor> = BTreeMap::new();
    for output in &found.outputs {
        if outputs.insert(&output.name, output).is_some() {
            return Err(Wrong::new(&output.name, "appears twice"));
        }
    }
    for wanted in &expected.outputs {
        let output = outputs.remove(wanted.name.as_str());
        compare_tensor(wanted, output.ok_or_else(|| Wrong::new(&wanted.name, "is missing"))?, tolerance)?;
    }
    match outputs.keys().next() {
        Some(extra) => Err(Wrong::new(extra, "is there, expected no such output")),
        None => Ok(()),
    }
}

fn compare_tensor(expected: &Tensor, found: &Tensor, tolerance: Tolerance) -> Result<(), Wrong> {
    let wrong = |what: String| Err(Wrong::new(&expected.name, what));
    if found.datatype != expected.datatype {
        return wrong(format!("is of datatype {:?}, expected {:?}", found.datatype, expected.datatype));
    }
    if found.shape != expected.shape {
        return wrong(format!("has shape {:?}, expected {:?}", found.shape, expected.shape));
    }
    let tolerance = if expected.datatype.is_float() { tolerance } else { Tolerance::EXACT };
    let mut pairs = expected.data().iter().zip(found.data()).enumerate();
    match pairs.find(|(_, (expected, found))| !tolerance.same_cell(expected, found)) {
        Some((element, (right, seen))) => {
            Err(Wrong::cell(&expected.name, &format!("element {element} "), right, seen))
        }
        None => Ok(()),
    }
}

/// A part of an answer to one row.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The answer of a regression.
    Value,
    /// The score.
    Score,
    /// The probabilities of classes.
    Probabilities,
    /// The class.
    Label,
}

/// What holding one answer to a row against another gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// What both have, and was compared. Nothing is known of other parts.
    pub parts: Vec<Part>,
    /// What only the expected answer has: senders may leave parts out, and a model that answers null has none.
    pub lacking: Vec<Part>,
    /// The first part that is wrong.
    pub wrong: Option<Wrong>,
}

/// Holds two answers to one row against each other, in those parts that both have. Probabilities are compared where
/// both name the same classes: a sender may name them otherwise, and then `1` of one is not `1` of the other.
///
/// Labels are compared as what they mean: `1` is `"1"` is `true`. A label is no fault where either model is itself
/// undecided within the tolerance: the two largest probabilities, or a score and its complement, are the same.
#[must_use]
pub fn compare_predictions(expected: &Prediction, found: &Prediction, tolerance: Tolerance) -> Compared {
    let mut compared = Compared::default();
    let mut wrong = Vec::new();
    for (part, name, one, other) in [
        (Part::Value, "value", &expected.value, &found.value),
        (Part::Score, "score", &expected.score, &found.score),
    ] {
        let Some((one, other)) = compared.both(part, one.as_ref(), other.as_ref()) else { continue };
        if !tolerance.same_cell(&as_number(one), &as_number(other)) {
            wrong.push(Wrong::cell(name, "", one, other));
        }
    }
    let (classes, others) = (&expected.probabilities, &found.probabilities);
    if !classes.is_empty() && others.is_empty() {
        compared.lacking.push(Part::Probabilities);
    } else if !classes.is_empty() && classes.keys().eq(others.keys()) {
        compared.parts.push(Part::Probabilities);
        let mut pairs = classes.iter().zip(others.values());
        let wrong_one =
            pairs.find(|((_, one), other)| !tolerance.same_cell(&as_number(one), &as_number(other)));
        wrong.extend(wrong_one.map(|((class, one), other)| {
            Wrong::cell(&format!("probability of class {}", cut_name(class)), "", one, other)
        }));
    }
    if let Some((one, other)) = compared.both(Part::Label, expected.label.as_ref(), found.label.as_ref()) {
        let is_same = Tolerance::EXACT.same_cell(&as_number(one), &as_number(other));
        if !is_same && !is_tied(expected, tolerance) && !is_tied(found, tolerance) {
            wrong.push(Wrong::cell("label", "", one, other));
        }
    }
    compared.wrong = wrong.into_iter().next();
    compared
}

impl Compared {
    /// Both cells of a part, where both are there; notes what is compared and what is lacking.
    fn both<'a>(
        &mut self,
        part: Part,
        expected: Option<&'a Scalar>,
        found: Option<&'a Scalar>,
    ) -> Option<(&'a Scalar, &'a Scalar)> {
        let expected = expected?;
        match found {
            Some(found) => {
                self.parts.push(part);
                Some((expected, found))
            }
            None => {
                // A sender has no other word for NaN than none.
                let is_nan = matches!(as_number(expected), Scalar::Number(n) if n.is_nan());
                (if is_nan { &mut self.parts } else { &mut self.lacking }).push(part);
                None
            }
        }
    }
}

/// Null stands for NaN where the sender had no other word; numbers may come as words.
fn as_number(scalar: &Scalar) -> Scalar {
    match scalar {
        Scalar::Null => Scalar::Number(f64::NAN),
        Scalar::Bool(b) => Scalar::Number(f64::from(u8::from(*b))),
        Scalar::Text(t) => t.parse().map_or_else(|_| Scalar::Text(t.clone()), Scalar::Number),
        other => other.clone(),
    }
}

/// Whether the class is a matter of the last digits.
fn is_tied(prediction: &Prediction, tolerance: Tolerance) -> bool {
    let mut all: Vec<f64> = prediction.probabilities.values().filter_map(number).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    match (all.as_slice(), prediction.score.as_ref().and_then(number)) {
        ([first, second, ..], _) => tolerance.same(*first, *second),
        (_, Some(score)) => tolerance.same(score, 1.0 - score),
        _ => false,
    }
}

const fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Number(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn expected(outputs: &Value) -> Expected {
        serde_json::from_value(json!({"model_name": "m", "outputs": outputs})).unwrap()
    }

    fn answer(outputs: &Value) -> InferResponse {
        serde_json::from_value(json!({"model_name": "m", "id": "other", "outputs": outputs})).unwrap()
    }

    fn score(data: &Value) -> Value {
        let n = data.as_array().unwrap().len();
        json!({"name": "score", "datatype": "FP64", "shape": [n], "data": data})
    }

    fn check(wanted: &Value, found: &Value, wrong: Option<&str>) {
        let told = compare(&expected(wanted), &answer(found), Tolerance::default());
        assert_eq!(told.map_err(|wrong| wrong.to_string()), wrong.map_or(Ok(()), |w| Err(w.to_owned())));
    }

    /// What is expected comes back: within the tolerance, NaN for NaN, in another order.
    #[test]
    fn right_answers() {
        let label = json!({"name": "label", "datatype": "BYTES", "shape": [1], "data": ["good"]});
        check(
            &json!([score(&json!([0.5, null, 1e9]))]),
            &json!([score(&json!([0.50004, null, 1e9 + 9e4]))]),
            None,
        );
        check(&json!([score(&json!([0.0])), label]), &json!([label, score(&json!([9e-7]))]), None);
    }

    /// A wrong answer says which output and element, what it is and what was expected.
    #[test]
    fn wrong_answers_say_what_and_where() {
        let label = |data: i64, datatype: &str| json!([{"name": "label", "datatype": datatype, "shape": [1], "data": [data]}]);
        let word = |word: &str| json!([{"name": "c", "datatype": "BYTES", "shape": [1], "data": [word]}]);
        let one = json!([score(&json!([0.5, 0.5]))]);
        for (wanted, found, told) in [
            (
                one.clone(),
                json!([score(&json!([0.5, 0.51]))]),
                "output `score` element 1 is 0.51, expected 0.5",
            ),
            (
                one.clone(),
                json!([score(&json!([0.5, null]))]),
                "output `score` element 1 is NaN, expected 0.5",
            ),
            (
                one.clone(),
                json!([score(&json!([0.5, "x"]))]),
                "output `score` element 1 is \"x\", expected 0.5",
            ),
            (
                json!([score(&json!([null]))]),
                json!([score(&json!([0]))]),
                "output `score` element 0 is 0, expected NaN",
            ),
            (
                json!([score(&json!([1e300]))]),
                json!([score(&json!(["Infinity"]))]),
                "output `score` element 0 is inf, expected 1000",
            ),
            (one.clone(), json!([score(&json!([0.5]))]), "output `score` has shape [1], expected [2]"),
            (one.clone(), json!([]), "output `score` is missing"),
            (json!([]), one.clone(), "output `score` is there, expected no such output"),
            (one.clone(), json!([one[0], one[0]]), "output `score` appears twice"),
            // Integers are labels and counts: the tolerance is not for them.
            (
                label(100_000, "INT64"),
                label(100_001, "INT64"),
                "output `label` element 0 is 100001, expected 100000",
            ),
            (label(1, "INT64"), label(1, "INT32"), "output `label` is of datatype Int32, expected Int64"),
            (word("good"), word("bad"), "output `c` element 0 is \"bad\", expected \"good\""),
        ] {
            let wrong = compare(&expected(&wanted), &answer(&found), Tolerance::default()).unwrap_err();
            assert!(wrong.to_string().starts_with(told), "`{wrong}` is not `{told}`");
        }
        let long = "x".repeat(10_000);
        let wrong =
            compare(&expected(&word("good")), &answer(&word(&long)), Tolerance::default()).unwrap_err();
        assert!(wrong.to_string().len() < 200, "{wrong}");
    }

    fn prediction(of: &Value) -> Prediction {
        serde_json::from_value(of.clone()).unwrap()
    }

    fn compared(expected: &Value, found: &Value) -> Compared {
        compare_predictions(&prediction(expected), &prediction(found), Tolerance::default())
    }

    fn check_rows(expected: &Value, found: &Value, told: Option<Option<&str>>) {
        let Compared { parts, wrong, .. } = compared(expected, found);
        let compared = (!parts.is_empty()).then(|| wrong.map(|wrong| wrong.to_string()));
        assert_eq!(compared, told.map(|t| t.map(str::to_owned)), "{expected} {found}");
    }

    /// Parts that both have are compared, whatever words the sender has for a class; no part in common is not
    /// right and not wrong.
    #[test]
    fn answers_to_a_row() {
        let whole = json!({"label": 1, "score": 0.7, "probabilities": {"0": 0.3, "1": 0.7}});
        check_rows(&whole, &json!({"score": 0.70001}), Some(None));
        check_rows(&whole, &json!({"label": "1"}), Some(None));
        check_rows(&whole, &json!({"label": true}), Some(None));
        check_rows(&whole, &json!({"label": 1, "probabilities": {"red": 0.3}}), Some(None));
        check_rows(&whole, &json!({"probabilities": {"red": 0.3}}), None);
        check_rows(&whole, &json!({}), None);
        check_rows(&whole, &json!({"label": 0, "score": 0.7}), Some(Some("output `label` is 0, expected 1")));
        check_rows(&whole, &json!({"score": 0.5}), Some(Some("output `score` is 0.5, expected 0.7")));
        check_rows(&whole, &json!({"score": null}), None);
        for (found, told) in [
            (json!({"0": null, "1": 0.7}), "output `probability of class 0` is null, expected 0.3"),
            (json!({"0": 0.3, "1": 0.3}), "output `probability of class 1` is 0.3, expected 0.7"),
        ] {
            check_rows(&whole, &json!({"probabilities": found}), Some(Some(told)));
        }
        check_rows(
            &json!({"value": 3.0}),
            &json!({"value": 3.1}),
            Some(Some("output `value` is 3.1, expected 3")),
        );
    }

    /// Classes of which only some bear the same names are others: the copy's `1` is its second class, the sender's
    /// may be the first of five.
    #[test]
    fn classes_that_overlap_are_not_the_same() {
        let copy = json!({"label": 3, "probabilities": {"0": 0.1, "1": 0.2, "2": 0.3, "3": 0.25, "4": 0.15}});
        let sender =
            json!({"label": 3, "probabilities": {"1": 0.1, "2": 0.2, "3": 0.3, "4": 0.25, "5": 0.15}});
        let Compared { parts, lacking, wrong } = compared(&copy, &sender);
        assert_eq!((parts, lacking, wrong), (vec![Part::Label], vec![], None));
    }

    /// What was compared is said, and what the answer lacks: a part that is null is no part, unless it is expected to
    /// be no number.
    #[test]
    fn parts_are_said() {
        let whole = json!({"label": 1, "score": 0.7, "probabilities": {"0": 0.3, "1": 0.7}});
        let Compared { parts, lacking, wrong } = compared(&whole, &json!({"label": 1, "score": null}));
        assert_eq!((parts, wrong), (vec![Part::Label], None));
        assert_eq!(lacking, [Part::Score, Part::Probabilities]);
        assert_eq!(compared(&whole, &whole).parts, [Part::Score, Part::Probabilities, Part::Label]);
        let nan = Prediction { score: Some(Scalar::Number(f64::NAN)), ..Prediction::default() };
        let nothing = compare_predictions(&nan, &Prediction::default(), Tolerance::default());
        assert_eq!((nothing.parts, nothing.lacking), (vec![Part::Score], vec![]));
    }

    /// Where either model is undecided itself, the last digits choose the label: that is no fault.
    #[test]
    fn ties_are_no_fault() {
        let tied = |label: i64| json!({"label": label, "probabilities": {"0": 0.500_001, "1": 0.499_999}});
        check_rows(&tied(0), &tied(1), Some(None));
        check_rows(&json!({"label": 1}), &tied(0), Some(None));
        check_rows(&tied(0), &json!({"label": 1}), Some(None));
        check_rows(&json!({"label": 0, "score": 0.5}), &json!({"label": 1, "score": 0.5}), Some(None));
        check_rows(&json!({"label": 0}), &json!({"label": 1}), Some(Some("output `label` is 1, expected 0")));
        let clear = |label: i64| json!({"label": label, "probabilities": {"0": 0.51, "1": 0.49}});
        check_rows(&clear(0), &clear(1), Some(Some("output `label` is 1, expected 0")));
        check_rows(&json!({"label": 1}), &clear(0), Some(Some("output `label` is 0, expected 1")));
    }

    /// Nobody's version is nobody else's.
    #[test]
    fn versions() {
        assert!(are_other(Some("1"), Some("2")));
        for (one, other) in [(None, Some("2")), (Some(""), Some("2")), (Some("2"), Some("2")), (None, None)] {
            assert!(!are_other(one, other), "{one:?} {other:?}");
        }
    }

    proptest! {
        /// Every answer is the same as itself, and as itself in single precision; twice the tolerance is not.
        #[test]
        fn the_same_model_is_never_wrong(n in any::<f64>()) {
            let tolerance = Tolerance::default();
            prop_assert!(tolerance.same(n, n));
            #[expect(clippy::cast_possible_truncation, reason = "what a model in single precision answers")]
            let single = f64::from(n as f32);
            if single.is_finite() && n.is_finite() {
                prop_assert!(tolerance.same(n, single));
                let apart = n + 2.0 * (tolerance.absolute + tolerance.relative * n.abs());
                prop_assert!(!apart.is_finite() || !tolerance.same(n, apart));
            }
        }
    }
}
