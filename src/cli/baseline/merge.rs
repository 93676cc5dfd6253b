use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{Shown, keep, read, say_kept};
use crate::baseline::{Baseline, Budget};
use crate::cli::out;
use crate::service::{MergeOptions, merge};
use crate::store::check_file;
use crate::units::Clock;

#[derive(Debug, Args)]
pub(in crate::cli) struct Merge {
    /// A baseline
    #[arg(value_name = "A")]
    one: PathBuf,
    /// Another, built or captured with `--plan-of A`
    #[arg(value_name = "B")]
    two: PathBuf,
    /// Where the baseline goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// False alarms allowed, where the two differ
    #[arg(long, value_name = "BUDGET")]
    budget: Option<Budget>,
    /// Accept groups whose complete loss would take more than a hundred rows to see
    #[arg(long)]
    accept_weak: bool,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    path: &'a Path,
    /// Rows that are in both now count twice.
    times_overlap: bool,
    #[serde(flatten)]
    shown: Shown<'a>,
}

impl Merge {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        check_file(&self.out).with_context(|| format!("--out {}", self.out.display()))?;
        let (one, two) = (read(&self.one)?, read(&self.two)?);
        let (accept_weak, budget, now) = (self.accept_weak, self.budget, Clock::real().now());
        let merged = merge(&one, &two, &MergeOptions { budget, accept_weak, now })?;
        keep(&self.out, &merged)?;
        let times_overlap = overlap(&one, &two);
        if self.json {
            let (path, shown) = (self.out.as_path(), Shown::of(&merged)?);
            out::say_json(&Document { schema: "silentry/baseline-merge/v1", path, times_overlap, shown })?;
            return Ok(0);
        }
        say_kept(&self.out, &merged)?;
        if times_overlap {
            out::say("their times overlap: rows that are in both now count twice");
        }
        Ok(0)
    }
}

fn overlap(one: &Baseline, two: &Baseline) -> bool {
    let (one, two) = (one.provenance(), two.provenance());
    one.from <= two.to && two.from <= one.to
}
