use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::config::{baseline_of, baselines_of_versions, read};
use super::{asked_to_stop, runtime};
use crate::api;
use crate::config::{Config, Objective};
use crate::service::{ModelSetup, Service, Setup};
use crate::slo;
use crate::tap::Limits;
use crate::telemetry::init_logs;
use crate::units::Clock;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration; `silentry config print` shows every default
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let config = read(&self.config)?;
        init_logs(config.log)?;
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
        let reason = asked_to_stop().await;
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
    Ok(ModelSetup {
        versions: baselines_of_versions(model)?,
        without: model.without.clone(),
        slos: slos.collect(),
        coverage_min: model.coverage_min,
        ..ModelSetup::new(baseline_of(model)?)
    })
}
