use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::baseline::{About, Live, More, learn_live};
use super::config::{baseline_of, baselines_of_versions, labels_of, oracles_of, read};
use super::{asked_to_stop, runtime};
use crate::api;
use crate::baseline::Seasonality;
use crate::config::{Config, Objective};
use crate::service::{ModelSetup, Service, Setup};
use crate::slo;
use crate::tap::Limits;
use crate::telemetry::init_logs;
use crate::units::{Clock, parse_duration};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration; `silentry config print` shows every default
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
    /// Watch nobody and learn a baseline for so long, from the first row on, such as 48h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration,
        requires_all = ["model", "out", "seasonality"])]
    learn: Option<Duration>,
    /// The model to learn, as records carry it
    #[arg(long, value_name = "NAME", requires = "learn")]
    model: Option<String>,
    /// Where its baseline goes
    #[arg(long, value_name = "FILE", requires = "learn")]
    out: Option<PathBuf>,
    /// Whether what is normal depends on the hour: `none` must be stated too
    #[arg(long, value_name = "none|hour-of-day|hour-of-week", requires = "learn")]
    seasonality: Option<Seasonality>,
    /// Keep what there is when interrupted, if it is enough for a baseline
    #[arg(long, requires = "learn")]
    partial: bool,
    #[command(flatten)]
    more: More,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let config = read(&self.config)?;
        init_logs(config.log)?;
        let about = (self.learn, self.model, self.out, self.seasonality);
        if let (Some(length), Some(model), Some(out), Some(seasonality)) = about {
            let about = About { model, out, seasonality, more: self.more };
            return learn_live(&config, &Live { about, length, partial: self.partial });
        }
        anyhow::ensure!(self.more == More::default(), "what a baseline is learnt with comes with `--learn`");
        let token = config
            .token()
            .with_context(|| self.config.display().to_string())?
            .map(|secret| api::Token::new(secret.expose()));
        let models = config.models.iter().map(|m| model(&config, m)).collect::<anyhow::Result<Vec<_>>>()?;
        let settings = api::Settings { token, body_bytes_max: config.tap.body_bytes_max.get() };
        runtime()?.block_on(serve(config, models, settings))
    }
}

async fn serve(config: Config, models: Vec<ModelSetup>, settings: api::Settings) -> anyhow::Result<u8> {
    let asked = asked_to_stop()?;
    let names: Vec<String> = models.iter().map(|m| m.baseline.model().to_owned()).collect();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("`listen`: cannot listen on {}", config.listen))?;
    let service = Service::start(setup(&config, models))?;
    let listen = listener.local_addr()?;
    tracing::info!(%listen, models = names.join(", "), "silentry serves");
    if names.is_empty() {
        tracing::warn!("no model is configured: nothing is watched, and /readyz says so");
    }
    let router = api::router(service.handle(), &settings);
    let stopping = async {
        let reason = asked.await;
        tracing::info!(reason, "silentry stops: open requests, waiting rows, state, notifications");
    };
    api::serve(listener, router, stopping).await?;
    service.stop().await?;
    Ok(0)
}

fn setup(config: &Config, models: Vec<ModelSetup>) -> Setup {
    let bytes = u32::try_from(config.tap.queue_bytes.get()).unwrap_or(u32::MAX);
    Setup {
        models,
        capture: None,
        alerts: config.alerts.clone(),
        limits: Limits { records: config.tap.queue_records.get(), bytes },
        line_bytes_max: config.tap.line_bytes_max.get(),
        effects_window: config.effects.window,
        state: Some((config.state_dir.clone(), config.persist_every)),
        series_max: config.metrics.series_max.get(),
        latency_edges: config.metrics.latency_edges.clone(),
        clock: Clock::real(),
    }
}

fn model(config: &Config, model: &crate::config::Model) -> anyhow::Result<ModelSetup> {
    let slos = config.slo.iter().filter(|slo| slo.model == model.name).map(|slo| {
        let kind = match slo.objective {
            Objective::Latency { quantile, at_most } => slo::Kind::LatencyQuantile { quantile, at_most },
            Objective::Success { at_least } => slo::Kind::Success { at_least },
        };
        (slo::Objective { name: slo.name.clone(), ordinary: slo.ordinary, kind }, slo.window)
    });
    let (known_answers, pinned) = oracles_of(model)?;
    Ok(ModelSetup {
        known_answers,
        pinned,
        versions: baselines_of_versions(model)?,
        without: model.without.clone(),
        slos: slos.collect(),
        coverage_min: model.coverage_min,
        labels: labels_of(model),
        ..ModelSetup::new(baseline_of(model)?)
    })
}
