use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::diff::tell_columns;
use super::read;
use crate::cli::{out, progress};
use crate::lab::Progress;
use crate::service::{
    Beside, Classifier, Figure, SideRead, Sides, TrafficCompared, WholeRows, compare_traffic,
};
use crate::tap::Source;
use crate::units::floor;

#[derive(Debug, Args)]
pub(in crate::cli) struct Compare {
    /// A file of `silentry baseline build`: it says which columns there are
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Recorded healthy traffic, with labels or without: .parquet, .csv, .arrow or .ndjson
    #[arg(long, value_name = "FILE")]
    reference: PathBuf,
    /// Recorded traffic to hold against it
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    model: &'a str,
    baseline: &'a str,
    #[serde(flatten)]
    compared: &'a TrafficCompared,
}

impl Compare {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let baseline = read(&self.baseline)?;
        let progress = progress::Shown::new();
        let open = |path: &Path| -> anyhow::Result<Source> {
            let told = Arc::clone(&progress);
            Ok(Source::open(path)?.on_progress(move |p| {
                if let Some(share) = p.share {
                    told.step(floor(1_000.0 * share.get()), 1_000);
                }
            }))
        };
        let (reference, input) = (open(&self.reference)?, open(&self.input)?);
        let compared = compare_traffic(&baseline, (&reference, &input), &|words| progress.stage(words));
        progress.finish();
        let compared = compared?;
        if self.json {
            out::say_json(&Document {
                schema: "silentry/compare/v1",
                model: baseline.model(),
                baseline: baseline.content_hash(),
                compared: &compared,
            })?;
        } else {
            tell(&compared);
        }
        Ok(0)
    }
}

fn tell(compared: &TrafficCompared) {
    tell_side("reference", &compared.reference);
    tell_side("input", &compared.input);
    let (fitted, used) = (compared.fitted, compared.reference.used);
    let held = used - fitted;
    out::say(&format!(
        "estimates learn from {fitted} rows of the reference, and are of {held} others and of {} of the input; drawn \
         with seed {}",
        compared.input.used, compared.seed
    ));
    tell_columns(&compared.columns);
    let mut unknown = Unknown::default();
    tell_rows(&compared.rows, &mut unknown);
    tell_harm(compared, &mut unknown);
    for (why, figures) in &unknown.0 {
        let figures: Vec<String> =
            figures.iter().map(|(side, names)| format!("{} ({side})", names.join(", "))).collect();
        out::say(&format!("unknown, as {why}: {}", figures.join("; ")));
    }
}

fn tell_side(name: &str, side: &SideRead) {
    let lost: Vec<String> =
        side.lost_by_reason.iter().map(|(reason, rows)| format!("{reason} × {rows}")).collect();
    let lost = if lost.is_empty() { String::new() } else { format!(" ({})", lost.join(", ")) };
    out::say(&format!(
        "{name}: {}: {} rows, {} used, {} lost{lost}, {} with a label",
        side.path.display(),
        side.rows,
        side.used,
        side.lost,
        side.labelled
    ));
    side.first_lost.iter().for_each(|first| out::say(&format!("  the first lost: {first}")));
    if side.labels_unreadable > 0 {
        out::say(&format!("  {} labels say nothing", side.labels_unreadable));
    }
    if side.other_versions > 0 {
        out::say(&format!("  {} rows are of other versions than the baseline", side.other_versions));
    }
    for (words, names) in
        [("no row has a value of", &side.absent), ("the baseline does not know", &side.unexpected)]
    {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| name.escape_debug().to_string()).collect();
            out::say(&format!("  {words}: {}", names.join(", ")));
        }
    }
}

/// What is not known, by reason and by what of it.
#[derive(Default)]
struct Unknown(BTreeMap<String, BTreeMap<String, Vec<String>>>);

impl Unknown {
    fn note(&mut self, side: &str, name: &str, why: &str) {
        let names = self.0.entry(why.to_owned()).or_default().entry(side.to_owned()).or_default();
        names.push(name.trim().to_owned());
    }

    /// The figure in ten characters; why there is none is told at the end.
    fn shown(&mut self, side: &str, name: &str, figure: &Figure) -> String {
        match figure.get() {
            Ok(value) => format!("{value:>10.4}"),
            Err(why) => {
                self.note(side, name, why);
                format!("{:>10}", "unknown")
            }
        }
    }

    fn sides(&mut self, name: &str, of: &Sides<Figure>) {
        let reference = self.shown("reference", name, &of.reference);
        let input = self.shown("input", name, &of.input);
        out::say(&format!("{name:<34}{reference}{input}"));
    }

    fn beside(&mut self, name: &str, of: &Sides<Beside>) {
        let mut line = format!("{name:<34}");
        for (side, of) in [("reference", &of.reference), ("input", &of.input)] {
            line += &self.shown(&format!("expected, {side}"), name, &of.expected);
            line += &self.shown(&format!("realised, {side}"), name, &of.realised);
        }
        out::say(&line);
    }
}

fn tell_rows(rows: &WholeRows, unknown: &mut Unknown) {
    let columns = rows.columns.len();
    out::say(&format!(
        "\n{:<34}{:>10}{:>10}",
        format!("whole rows, {columns} features"),
        "reference",
        "input"
    ));
    unknown.sides("reconstruction error", &rows.reconstruction.mean);
    unknown.sides("  its standard deviation", &rows.reconstruction.deviation);
    unknown.sides("domain classifier AUC", &rows.domain.auc);
    unknown.sides("  with the answers as well", &rows.domain.with_answers);
    out::say("  AUC: 0.5 where rows cannot be told from the reference, 1 where each can");
    tell_left_out("reconstruction", &rows.reconstruction.rows_left_out, "lack a finite number");
    tell_left_out("domain classifier", &rows.domain.rows_left_out, "have an infinite number");
    for (column, why) in &rows.left_out {
        out::say(&format!("  `{column}` is left out of all: {why}"));
    }
    for (column, why) in &rows.reconstruction.columns_left_out {
        out::say(&format!("  `{column}` is left out of the reconstruction: {why}"));
    }
}

fn tell_left_out(what: &str, rows: &Sides<u64>, why: &str) {
    if rows.reference > 0 || rows.input > 0 {
        let (reference, input) = (rows.reference, rows.input);
        out::say(&format!("  {what}: {reference} rows of the reference and {input} of the input {why}"));
    }
}

fn tell_harm(compared: &TrafficCompared, unknown: &mut Unknown) {
    let harm = &compared.harm;
    out::say(&format!(
        "\n{:<34}{:<20}{:<20}",
        "harm, to be expected by answers", "           reference", "               input"
    ));
    out::say(&format!("{:<34}{:>10}{:>10}{:>10}{:>10}", "", "expected", "realised", "expected", "realised"));
    tell_classifier(&harm.classifier, unknown);
    let name = match harm.loss.of {
        Some("wrong") => "share of wrong answers (direct)",
        Some(_) => "mean absolute error (direct)",
        None => "mean loss (direct)",
    };
    unknown.beside(name, &harm.loss.mean);
    let foreseen = unknown.shown("reference", "foreseen share of the loss", &harm.loss.foreseen);
    if harm.loss.foreseen.get().is_ok() {
        let foreseen = foreseen.trim();
        out::say(&format!(
            "  foreseen share of its variance: {foreseen}; near 0 what is expected is the reference's mean, whatever comes"
        ));
        tell_assumed(harm.loss.assumes);
    }
    tell_left_out("direct estimate", &harm.loss.rows_left_out, "have an infinite number");
    tell_left_out("direct estimate", &harm.loss.unscored, "have a label that no answer can be held against");
    if let Some(why) = &harm.classes.unknown {
        unknown.note("both", "shares of true classes", why);
    }
    for class in &harm.classes.classes {
        unknown.beside(&format!("share of class {}", class.class.escape_debug()), &class.share);
        if class.clipped.input == Some(true) {
            out::say("  it came out negative and counts as 0: more changed than the mix of classes");
        }
    }
    if !harm.classes.classes.is_empty() {
        tell_assumed(harm.classes.assumes);
        tell_left_out("shares of classes", &harm.classes.rows_left_out, "have no answer of a known class");
    }
}

fn tell_assumed(assumes: &str) {
    out::say(&format!("  right if {assumes}"));
}

fn tell_classifier(of: &Classifier, unknown: &mut Unknown) {
    for (name, figures) in [
        ("accuracy", &of.accuracy),
        ("precision", &of.precision),
        ("recall", &of.recall),
        ("F1", &of.f1),
        ("ROC AUC", &of.roc_auc),
    ] {
        unknown.beside(name, figures);
    }
    if let (Some(positive), Some(chance)) = (&of.positive, &of.chance) {
        out::say(&format!("  positive is `{positive}`, by its chance in `{chance}`"));
        tell_assumed(of.assumes);
        tell_left_out("these", &of.rows_left_out, "have no chance or no answer");
    }
    if let Some(beyond) = of.beyond.input.filter(|rows| *rows > 0) {
        out::say(&format!("  {beyond} rows of the input have a chance beyond all of the reference's"));
    }
}
