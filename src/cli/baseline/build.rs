use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::{About, Shown, keep, say_kept};
use crate::cli::out;
use crate::cli::progress;
use crate::lab::Progress;
use crate::service::learn;
use crate::tap::Source;
use crate::units::floor;

#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    /// Recorded traffic: .parquet, .csv, .arrow or .ndjson
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    about: About,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    path: &'a Path,
    /// What was left out because it is no record, with the first of it.
    rows_lost: u64,
    first_lost: Option<String>,
    #[serde(flatten)]
    shown: Shown<'a>,
}

impl Build {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let progress = progress::Shown::new();
        progress.stage(&format!("reading {}", self.input.display()));
        let told = Arc::clone(&progress);
        let source = Source::open(&self.input)?.on_progress(move |p| {
            if let Some(share) = p.share {
                told.step(floor(1_000.0 * share.get()), 1_000);
            }
        });
        let options = self.about.options()?;
        let learnt = learn(&source, &options, &|done, all| {
            if done == 0 {
                progress.stage("checking the run length on rows drawn from it");
            }
            progress.step(done, all);
        });
        progress.finish();
        let (learnt, path) = (learnt?, self.about.out.as_path());
        let rows_lost = source.losses().total();
        let first_lost = source.first_rejection().map(|rejection| rejection.to_string());
        keep(path, &learnt)?;
        if self.json {
            let (schema, shown) = ("silentry/baseline-build/v1", Shown::of(&learnt)?);
            out::say_json(&Document { schema, path, rows_lost, first_lost, shown })?;
            return Ok(0);
        }
        say_kept(path, &learnt)?;
        if rows_lost > 0 {
            let first = first_lost.map_or_else(String::new, |first| format!(", the first at {first}"));
            out::say(&format!("{rows_lost} lines are no records and were left out{first}"));
        }
        Ok(0)
    }
}
