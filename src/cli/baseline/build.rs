use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::About;
use crate::cli::out;
use crate::cli::progress::Shown;
use crate::lab::Progress;
use crate::service::learn;
use crate::tap::Source;

#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    /// Recorded traffic: .parquet, .csv, .arrow or .ndjson
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    about: About,
}

impl Build {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let progress = Shown::new();
        progress.stage(&format!("reading {}", self.input.display()));
        let told = Arc::clone(&progress);
        let source = Source::open(&self.input)?.on_progress(move |p| {
            if let Some(share) = p.share {
                told.step(per_mille(share.get()), 1_000);
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
        self.about.keep(&learnt?)?;
        if source.losses().total() > 0 {
            let lost = source.losses().total();
            let first = source.first_rejection().map_or_else(String::new, |r| format!(", the first at {r}"));
            out::say(&format!("{lost} lines are no records and were left out{first}"));
        }
        Ok(0)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
fn per_mille(share: f64) -> u64 {
    (share * 1_000.0) as u64
}
