use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::read;
use crate::cli::out;
use crate::service::{Checked, check};

/// Something was found.
const FOUND: u8 = 1;

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// A baseline
    #[arg(value_name = "FILE")]
    path: PathBuf,
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
    checked: &'a Checked,
}

impl Check {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let baseline = read(&self.path)?;
        let checked = check(&baseline)?;
        if self.json {
            out::say_json(&Document {
                schema: "silentry/baseline-check/v1",
                model: baseline.model(),
                baseline: baseline.content_hash(),
                checked: &checked,
            })?;
        } else {
            tell(&checked);
        }
        Ok(if checked.findings.is_empty() { 0 } else { FOUND })
    }
}

fn tell(checked: &Checked) {
    for found in &checked.findings {
        out::say(&format!("{:<16} {}: {}; {}", found.what, found.place, found.how_much, found.advice));
    }
    match checked.findings.len() {
        0 => out::say("nothing in it looks like a fault"),
        n => out::say(&format!("{n} things in it look like a fault")),
    }
    for what in &checked.unchecked {
        out::say(&format!("not known: {what}"));
    }
}
