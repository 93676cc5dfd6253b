use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::run::{Papers, Runner, SceneFlags, Suite, tell};
use super::{out, runtime};
use crate::chaos::{self, RunStatus};
use crate::lab;
use crate::verdict::{exit_code_expecting, unmet};

/// Files of experiments end in one of these.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// A larger file is refused unread.
const BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Experiment {
    /// Run a file, or every file of a folder; 0 when each earned the verdict that it expects
    Run(Run),
    /// Read files and say what is wrong with them
    Check(Check),
    /// List files with their hypotheses
    List(Files),
}

#[derive(Debug, Args)]
pub(super) struct Files {
    /// A file or a folder
    path: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    files: Files,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

/// Experiments in which nothing is wrong.
#[derive(Debug, Serialize)]
struct Sound<'a> {
    experiments: Vec<SoundFile<'a>>,
}

#[derive(Debug, Serialize)]
struct SoundFile<'a> {
    file: &'a Path,
    name: &'a str,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// A file or a folder
    path: PathBuf,
    #[command(flatten)]
    scene: SceneFlags,
}

impl Experiment {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Run(run) => run.run(),
            Self::Check(check) => check.run(),
            Self::List(files) => {
                for (_, experiment) in read_all(&files.path)? {
                    out::say(&format!("{:<36} {}", experiment.name, experiment.hypothesis));
                }
                Ok(0)
            }
        }
    }
}

impl Check {
    fn run(self) -> anyhow::Result<u8> {
        let all = read_all(&self.files.path)?;
        let sound = all.iter().map(|(file, experiment)| SoundFile { file, name: &experiment.name });
        if self.json {
            out::say_json(&Sound { experiments: sound.collect() })?;
            return Ok(0);
        }
        for SoundFile { file, name } in sound {
            out::say(&format!("{}: {name} is sound", file.display()));
        }
        Ok(0)
    }
}

impl Run {
    fn run(self) -> anyhow::Result<u8> {
        self.scene.check()?;
        let all = read_all(&self.path)?;
        for (path, experiment) in &all {
            if experiment.target.scene().is_none() {
                return Err(lab::Error::NotAScene).with_context(|| path.display().to_string());
            }
        }
        runtime()?.block_on(self.run_all(&all))
    }

    async fn run_all(&self, all: &[(PathBuf, chaos::Experiment)]) -> anyhow::Result<u8> {
        let (mut runner, mut papers) = (Runner::new(&self.scene), Papers::default());
        let (mut verdicts, mut met, mut worst) = (Vec::new(), 0, 0);
        for (_, experiment) in all {
            let folder = match (&self.scene.out, all.len()) {
                (Some(dir), 1) => Some(dir.clone()),
                (Some(dir), _) => Some(dir.join(&experiment.name)),
                (None, _) => None,
            };
            let outcome = runner.run(experiment).await?;
            let differences = unmet(&outcome.verdict, &experiment.expect);
            if self.scene.json {
                for difference in &differences {
                    out::hint(&format!("{}: not as expected: {difference}", experiment.name));
                }
            } else {
                out::say(&format!("== {}", experiment.name));
                tell(&outcome);
                for difference in &differences {
                    out::say(&format!("not as expected: {difference}"));
                }
                if differences.is_empty() {
                    out::say("as the file expects\n");
                }
            }
            met += u64::from(differences.is_empty());
            worst = u8::max(worst, exit_code_expecting(&outcome.verdict, &experiment.expect));
            let is_aborted = outcome.verdict.status == RunStatus::Aborted;
            papers.leave(folder.as_deref(), &outcome);
            verdicts.push(outcome.verdict);
            if is_aborted {
                // Who ended one meant all of them.
                break;
            }
        }
        if !self.scene.json {
            out::say(&format!("{met} of {} earned the verdict that their file expects", all.len()));
        }
        if self.scene.json {
            match (verdicts.len(), verdicts.pop()) {
                (1, Some(only)) => out::say_json(&only)?,
                (_, last) => {
                    verdicts.extend(last);
                    out::say_json(&Suite::of(verdicts, met))?;
                }
            }
        }
        papers.left()?;
        Ok(worst)
    }
}

/// The experiments of a file or folder, in the order of their names.
fn read_all(path: &Path) -> anyhow::Result<Vec<(PathBuf, chaos::Experiment)>> {
    let mut files = Vec::new();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot list `{}`", path.display()))?;
        for entry in entries {
            let file = entry.with_context(|| format!("cannot list `{}`", path.display()))?.path();
            if file.extension().and_then(|e| e.to_str()).is_some_and(|e| ENDINGS.contains(&e)) {
                files.push(file);
            }
        }
        files.sort();
        anyhow::ensure!(
            !files.is_empty(),
            "`{}` has no experiment, expected files that end in .yaml",
            path.display()
        );
    } else {
        files.push(path.to_owned());
    }
    files.into_iter().map(|file| read(&file).map(|experiment| (file, experiment))).collect()
}

fn read(path: &Path) -> anyhow::Result<chaos::Experiment> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read `{shown}`"))?.len();
    anyhow::ensure!(size <= BYTES_MAX, "`{shown}` has {size} bytes, expected at most {BYTES_MAX}");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
    let experiment = chaos::Experiment::read(&text).with_context(|| shown.to_string())?;
    experiment.check_detectors(&crate::detect::names()).with_context(|| shown.to_string())?;
    if experiment.target.scene().is_some() {
        lab::check_groups(&experiment).with_context(|| shown.to_string())?;
    }
    Ok(experiment)
}
