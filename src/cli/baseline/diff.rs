use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::read;
use crate::cli::out;
use crate::detect::on_metrics;
use crate::service::{ColumnDiff, Compared, compare};

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// A baseline
    #[arg(value_name = "A")]
    one: PathBuf,
    /// Another, of the same model or a later version of it
    #[arg(value_name = "B")]
    two: PathBuf,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    one: &'a str,
    two: &'a str,
    #[serde(flatten)]
    compared: &'a Compared,
}

impl Diff {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let (one, two) = (read(&self.one)?, read(&self.two)?);
        let compared = compare(&one, &two);
        if self.json {
            out::say_json(&Document {
                schema: "silentry/baseline-diff/v1",
                one: one.content_hash(),
                two: two.content_hash(),
                compared: &compared,
            })?;
        } else if one.content_hash() == two.content_hash() {
            out::say("the two are the same");
        } else {
            tell(&compared);
        }
        Ok(0)
    }
}

fn tell(compared: &Compared) {
    for fact in &compared.facts {
        out::say(&format!("{:<12} {} -> {}", fact.what, fact.one, fact.two));
    }
    for changed in &compared.schema_changes {
        let (column, change) = (&changed.column, &changed.change);
        out::say(&match change.what {
            "added" => format!("column `{column}` added: {}", change.two),
            "gone" => format!("column `{column}` gone: {}", change.one),
            what => format!("column `{column}`: {what} {} -> {}", change.one, change.two),
        });
    }
    tell_columns(&compared.columns);
}

/// A line for each column that both sides have.
pub(super) fn tell_columns(columns: &[ColumnDiff]) {
    if columns.is_empty() {
        out::say("no column is in both");
        return;
    }
    let width = columns.iter().map(|c| c.column.chars().count()).max().unwrap_or(0);
    out::say(&format!(
        "\n{:<width$}  {:>8}  what changed, the most first; 0 is alike, 1 the most",
        "column", "size"
    ));
    for column in columns {
        let size = column.size.map_or_else(|| "unknown".to_owned(), |size| format!("{size:.4}"));
        out::say(&format!("{:<width$}  {size:>8}  {}", column.column, details(column)));
    }
}

fn details(column: &ColumnDiff) -> String {
    let mut all: Vec<String> = Vec::new();
    for (what, pair) in [("null", column.null), ("zero", column.zero)] {
        if let [Some(one), Some(two)] = pair
            && (one > 0.0 || two > 0.0)
        {
            all.push(format!("{what} {:.2} % -> {:.2} %", one * 100.0, two * 100.0));
        }
    }
    // A line has room for those that are metrics; the document has all.
    let short = column.effects.iter().filter(|(name, _)| on_metrics(name));
    let known = short.filter_map(|(name, value)| Some((name, (*value)?)));
    all.extend(known.map(|(name, value)| format!("{name} {value:.4}")));
    all.extend(column.why_unknown().map(|why| why.to_string()));
    all.join(", ")
}
