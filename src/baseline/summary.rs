use serde::Serialize;

use super::Baseline;
use crate::record::{Kind, Role};
use crate::sketch::{Categories, Numeric, Sketch};
use crate::units::Ratio;

/// Words of a column that are told.
const TOP: usize = 5;

/// One column of a baseline in numbers: what [`super::describe()`] tells people of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnSummary<'a> {
    /// The column.
    pub name: &'a str,
    /// Feature or answer.
    pub role: Role,
    /// The type of its values.
    pub kind: Kind,
    /// The upstream it comes from.
    pub group: &'a str,
    /// The share of rows that held nothing; so for every share here, unknown where there were no rows.
    pub null_share: Option<Ratio>,
    /// The share of rows that held something of another type.
    pub wrong_type_share: Option<Ratio>,
    /// What the others held.
    #[serde(flatten)]
    pub values: ValueSummary<'a>,
}

/// What the values of a column were.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueSummary<'a> {
    /// Of numbers.
    Numbers(NumberSummary),
    /// Of words from a set that traffic repeats.
    Words(WordSummary<'a>),
    /// Of free text: its length in characters; absent where there was none.
    Characters(Option<RangeSummary>),
}

/// What numbers a column held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberSummary {
    /// Of the finite ones; absent where there was none.
    pub range: Option<RangeSummary>,
    /// The share of rows that were 0.
    pub zero_share: Option<Ratio>,
    /// The share of rows that were NaN.
    pub nan_share: Option<Ratio>,
    /// The share of rows that were infinite.
    pub infinite_share: Option<Ratio>,
}

/// Where numbers lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeSummary {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The first percentile.
    pub p1: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// The last percentile.
    pub p99: Option<f64>,
}

/// What words a column held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WordSummary<'a> {
    /// The most frequent, the most first.
    pub top: Vec<WordShare<'a>>,
    /// Different words kept.
    pub kept: usize,
    /// The share of rows whose word was not kept.
    pub not_kept_share: Option<Ratio>,
}

/// A word and the share of rows that held it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WordShare<'a> {
    /// The word.
    pub word: &'a str,
    /// Its share.
    pub share: Option<Ratio>,
}

/// Every column of a baseline, in the order of its schema.
#[must_use]
pub fn summaries(baseline: &Baseline) -> Vec<ColumnSummary<'_>> {
    let columns = baseline.profile().columns();
    columns
        .map(|(column, sketch)| ColumnSummary {
            name: &column.name,
            role: column.role,
            kind: column.kind,
            group: &column.group,
            null_share: sketch.presence().null_share(),
            wrong_type_share: sketch.presence().wrong_type_share(),
            values: match sketch {
                Sketch::Numeric(numeric) => ValueSummary::Numbers(numbers(numeric)),
                Sketch::Categories(categories) => ValueSummary::Words(words(categories)),
                Sketch::Lengths(lengths) => ValueSummary::Characters(range(lengths)),
            },
        })
        .collect()
}

fn numbers(numeric: &Numeric) -> NumberSummary {
    NumberSummary {
        range: range(numeric),
        zero_share: numeric.zero_share(),
        nan_share: numeric.nan_share(),
        infinite_share: Ratio::of(numeric.infinite(), numeric.presence().rows),
    }
}

fn range(numeric: &Numeric) -> Option<RangeSummary> {
    let (min, max) = numeric.range()?;
    let [p1, p50, p99] = [0.01, 0.5, 0.99].map(|q| numeric.quantile(q));
    Some(RangeSummary { min, max, p1, p50, p99 })
}

fn words(categories: &Categories) -> WordSummary<'_> {
    let rows = categories.presence().rows;
    let top = categories.top(TOP).into_iter();
    WordSummary {
        top: top.map(|(word, n)| WordShare { word, share: Ratio::of(n, rows) }).collect(),
        kept: categories.len(),
        not_kept_share: Ratio::of(categories.others(), rows),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Programs get the numbers of the page as numbers, with nothing rounded away.
    #[test]
    fn the_page_in_numbers() {
        let baseline = Baseline::seal(super::super::file::tests::draft(1_000)).unwrap();
        let told = serde_json::to_value(summaries(&baseline)).unwrap();
        let [density, colour, score] = ["density", "colour", "score"].map(|name| {
            told.as_array().unwrap().iter().find(|column| column["name"] == name).unwrap().clone()
        });
        assert_eq!((&density["group"], &density["kind"]), (&json!("redis:wine"), &json!("numeric")));
        let range = &density["numbers"]["range"];
        assert_eq!((&range["min"], &range["max"]), (&json!(0.1), &json!(0.1 + 0.2 * 199.0)));
        assert!(range["p50"].as_f64().is_some_and(|p50| (p50 - 19.9).abs() < 0.1), "{range}");
        assert_eq!(
            colour["words"],
            json!({
                "top": [{"word": "red", "share": 0.75}, {"word": "white", "share": 0.25}],
                "kept": 2, "not_kept_share": 0.0,
            })
        );
        assert_eq!((&score["role"], &score["null_share"]), (&json!("output"), &json!(1.0)));
        assert_eq!(score["numbers"]["range"], json!(null));
    }
}
