use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::out;
use crate::baseline::Baseline;
use crate::config;
use crate::detect::check_names;
use crate::oip::KnownAnswer;
use crate::oracle::{Asker, KnownAnswers, Pinned, read_requests};
use crate::service::{LabelSettings, ModelSetup};

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Every default with its comment, as a file to start from
    Print,
    /// Read a file, its baselines and its secrets, the sinks' as well, and say what is wrong
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Print one JSON document, last on standard output
    #[arg(long)]
    json: bool,
}

/// A configuration in which nothing is wrong.
#[derive(Debug, Serialize)]
struct Sound<'a> {
    file: &'a Path,
    models: Vec<&'a str>,
}

impl Config {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Print => out::say(config::Config::defaults_text().trim_end()),
            Self::Check(check) => check.run()?,
        }
        Ok(0)
    }
}

impl Check {
    fn run(&self) -> anyhow::Result<()> {
        let config = read(&self.path)?;
        config.token().with_context(|| self.path.display().to_string())?;
        for sink in &config.alerts.sinks {
            let field = || format!("{}: sink `{}`", self.path.display(), sink.name());
            sink.check_secret().with_context(field)?;
        }
        for model in &config.models {
            let versions = baselines_of_versions(model)?;
            let (labels, without) = (labels_of(model), model.without.clone());
            let setup = ModelSetup { versions, labels, without, ..ModelSetup::new(baseline_of(model)?) };
            setup.check().with_context(|| self.path.display().to_string())?;
            let (known, pinned) = oracles_of(model)?;
            if let Some(known) = &known {
                Asker::of_live(known).with_context(|| format!("model `{}`", model.name))?;
            }
            if let Some(pinned) = &pinned {
                Asker::of_copy(pinned).with_context(|| format!("model `{}`", model.name))?;
            }
        }
        let models: Vec<&str> = config.models.iter().map(|m| m.name.as_str()).collect();
        if self.json {
            return out::say_json(&Sound { file: &self.path, models });
        }
        let watched = if models.is_empty() { "no model yet".to_owned() } else { models.join(", ") };
        out::say(&format!("{} is sound; it watches {watched}", self.path.display()));
        Ok(())
    }
}

/// Reads a configuration; relative paths in it are relative to its folder.
pub(super) fn read(path: &Path) -> anyhow::Result<config::Config> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{shown}`"))?;
    let mut config = config::Config::read(&text).with_context(|| shown.clone())?;
    for (i, model) in config.models.iter().enumerate() {
        check_names(model.without.iter().map(String::as_str))
            .with_context(|| format!("{shown}: `models[{i}].without`"))?;
    }
    config.resolve(path.parent().unwrap_or_else(|| Path::new(".")));
    Ok(config)
}

/// How its labels are taken.
pub(super) fn labels_of(model: &config::Model) -> LabelSettings {
    let labels = model.labels;
    LabelSettings {
        budget: labels.budget,
        tolerance: labels.tolerance,
        wait: labels.wait,
        silent_after: labels.silent_after,
        rows_max: labels.rows_max.get(),
        bytes_max: labels.bytes_max.get(),
    }
}

/// The baseline of a configured model, which must be that model's.
pub(super) fn baseline_of(model: &config::Model) -> anyhow::Result<Baseline> {
    baseline_in(&model.baseline, &model.name)
}

/// Those of its further versions.
pub(super) fn baselines_of_versions(model: &config::Model) -> anyhow::Result<Vec<Baseline>> {
    model.versions.iter().map(|file| baseline_in(file, &model.name)).collect()
}

/// Who knows its right answers, with the requests that stand in files of their own.
pub(super) fn oracles_of(model: &config::Model) -> anyhow::Result<(Option<KnownAnswers>, Option<Pinned>)> {
    let (mut known, mut pinned) = (model.known_answers.clone(), model.pinned.clone());
    if let Some(known) = &mut known
        && let Some(file) = known.requests_file.take()
    {
        known.requests = requests_in(&file, model, "known_answers")?;
    }
    if let Some(pinned) = &mut pinned
        && let Some(file) = pinned.requests_file.take()
    {
        pinned.requests = requests_in(&file, model, "pinned")?;
    }
    Ok((known, pinned))
}

fn requests_in(file: &Path, model: &config::Model, part: &str) -> anyhow::Result<Vec<KnownAnswer>> {
    let shown = format!("model `{}`: `{part}.requests_file` `{}`", model.name, file.display());
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown}: cannot be read"))?;
    read_requests(&text).context(shown)
}

fn baseline_in(file: &Path, model: &str) -> anyhow::Result<Baseline> {
    let shown = file.display().to_string();
    let bytes = std::fs::read(file)
        .with_context(|| format!("model `{model}`: cannot read its baseline `{shown}`"))?;
    let baseline = Baseline::read(&bytes).with_context(|| shown.clone())?;
    baseline.for_model(model).with_context(|| shown)
}
