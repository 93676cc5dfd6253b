//! A baseline learnt from live traffic: the tap and the API of `serve`, and nobody watched.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::About;
use crate::api;
use crate::cli::progress::Shown;
use crate::cli::{NOT_RUN, USAGE, asked_to_stop, config, out, runtime};
use crate::config::Config;
use crate::lab::Progress;
use crate::service::{self, Captured, Handle, LearnOptions, Learning, Service, Setup};
use crate::store::write_file;
use crate::units::{Clock, Timestamp, duration_text, parse_duration};

/// How often it is looked whether the time is over.
const LOOK: Duration = Duration::from_millis(200);
/// How often the log says how far it is.
const SAY_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(in crate::cli) struct Capture {
    #[command(flatten)]
    about: About,
    /// How long, from the first row on, such as 48h
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Duration,
    /// Where rows are taken: the configuration of `silentry serve`, its models aside
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on; beyond loopback the configuration must name a token
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Keep what there is when interrupted, if it is enough for a baseline
    #[arg(long)]
    partial: bool,
}

impl Capture {
    pub(in crate::cli) fn run(self) -> anyhow::Result<u8> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), config::read)?;
        if let Some(listen) = self.listen {
            let has_token = config.token_env.is_some() || config.token_file.is_some();
            anyhow::ensure!(
                listen.ip().is_loopback() || has_token,
                "--listen {listen} is beyond loopback, expected a configuration with `token_env` or `token_file`"
            );
            config.listen = listen;
        }
        learn_live(&config, &Live { about: self.about, length: self.length, partial: self.partial })
    }
}

/// What is learnt from live traffic.
#[derive(Debug)]
pub(in crate::cli) struct Live {
    pub(in crate::cli) about: About,
    pub(in crate::cli) length: Duration,
    pub(in crate::cli) partial: bool,
}

/// Why learning ended.
#[derive(Debug)]
enum Ended {
    Time,
    Failed,
    Asked(String),
}

/// Learns from live traffic until the time is over or somebody asks to stop; answers the exit code.
pub(in crate::cli) fn learn_live(config: &Config, live: &Live) -> anyhow::Result<u8> {
    let options = live.about.options()?;
    check_length(live.length, &options)?;
    let token = config.token()?.map(|secret| api::Token::new(secret.expose()));
    let settings = api::Settings { token, body_bytes_max: config.tap.body_bytes_max.get() };
    let (ended, learning, learnt) = runtime()?.block_on(serve(config, live, options, settings))?;
    match ended {
        Ended::Time | Ended::Failed => live.end(learnt?, 0),
        Ended::Asked(reason) => live.interrupted(&reason, &learning, learnt),
    }
}

/// Two cycles cannot be seen in less time: to be said now, not at the end.
fn check_length(length: Duration, options: &LearnOptions) -> anyhow::Result<()> {
    anyhow::ensure!(!length.is_zero(), "the time to learn is 0s, expected more");
    let cycles = options.seasonality.cycle().map(|cycle| cycle * 2).filter(|wanted| length < *wanted);
    match cycles {
        None => Ok(()),
        Some(wanted) => anyhow::bail!(
            "seasonality `{}` needs two cycles, at least {}h, found {}",
            options.seasonality,
            wanted.as_secs() / 3_600,
            duration_text::text(length)
        ),
    }
}

type Learnt = Result<Captured, service::Error>;

async fn serve(
    config: &Config,
    live: &Live,
    options: LearnOptions,
    settings: api::Settings,
) -> anyhow::Result<(Ended, Learning, Learnt)> {
    let asked = asked_to_stop()?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("`listen`: cannot listen on {}", config.listen))?;
    let service = Service::start(setup(config, live, options))?;
    let handle = service.handle();
    let listen = listener.local_addr()?;
    tracing::info!(%listen, model = live.about.model, "silentry learns");
    out::say(&format!("learning model `{}` from rows sent to http://{listen}/v1/records", live.about.model));
    let (tell, told) = oneshot::channel();
    let (watched, progress) = (handle.clone(), Shown::new());
    progress.stage(&format!("learning `{}`: no row yet", live.about.model));
    let shown = Arc::clone(&progress);
    let ending = async move {
        let ended = tokio::select! {
            ended = until_over(&watched, &shown) => ended,
            reason = asked => Ended::Asked(reason),
        };
        let _ = tell.send(ended);
    };
    api::serve(listener, api::router(handle.clone(), &settings), ending).await?;
    service.stop().await?;
    progress.finish();
    let ended = told.await.context("nobody ended the learning")?;
    let lost = handle.health().tap.rows_lost;
    let lost: Vec<String> =
        lost.iter().filter(|(_, n)| **n > 0).map(|(why, n)| format!("{why} × {n}")).collect();
    if !lost.is_empty() {
        out::hint(&format!("rows that were not learnt: {}", lost.join(", ")));
    }
    let learning = handle.learning().context("nothing was learnt")?;
    let learnt = handle.end_learning().context("nothing was learnt")?;
    Ok((ended, learning, learnt))
}

/// A service that watches nobody, tells nobody and keeps nothing.
fn setup(config: &Config, live: &Live, options: LearnOptions) -> Setup {
    let bytes = u32::try_from(config.tap.queue_bytes.get()).unwrap_or(u32::MAX);
    Setup {
        capture: Some(service::Capture { options, length: live.length }),
        limits: crate::tap::Limits { records: config.tap.queue_records.get(), bytes },
        line_bytes_max: config.tap.line_bytes_max.get(),
        series_max: config.metrics.series_max.get(),
        latency_edges: config.metrics.latency_edges.clone(),
        ..Setup::in_memory(Vec::new(), Clock::real())
    }
}

/// Ends when there were rows for long enough, or none can be learnt of any more.
async fn until_over(handle: &Handle, progress: &Shown) -> Ended {
    let mut said: Option<Timestamp> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(learning) = handle.learning() else { return Ended::Failed };
        let now = handle.now();
        if learning.failed.is_some() {
            return Ended::Failed;
        }
        let Some((since, until)) = learning.since.zip(learning.until) else { continue };
        let words = told(&learning);
        progress.note(&words);
        progress.step(millis(now, since), millis(until, since));
        if said.is_none_or(|last| now >= last.plus(SAY_AGAIN)) {
            tracing::info!(until = %until, "learning: {words}");
            said = Some(now);
        }
        if now >= until {
            return Ended::Time;
        }
    }
}

fn millis(now: Timestamp, since: Timestamp) -> u64 {
    u64::try_from(now.as_millis().saturating_sub(since.as_millis())).unwrap_or(0)
}

fn told(learning: &Learning) -> String {
    let Learning { rows, planned, counted, .. } = learning;
    format!("{rows} rows, {planned} requests for the bins and {counted} counted")
}

impl Live {
    /// Keeps what was learnt; a baseline that would miss a lost group is kept aside, for the time that it
    /// took cannot be had again.
    fn end(&self, learnt: Captured, code: u8) -> anyhow::Result<u8> {
        let Captured { baseline, weak, unexpected, other_versions } = learnt;
        for (name, rows) in &unexpected {
            out::hint(&format!(
                "column `{name}` came in {rows} rows and is not part of it: it came too late"
            ));
        }
        for (version, rows) in &other_versions {
            out::hint(&format!("{rows} rows of version `{version}` were left out"));
        }
        let first = weak.first().filter(|_| !self.about.more.accept_weak);
        let Some(first) = first else {
            self.about.keep(&baseline)?;
            return Ok(code);
        };
        let mut aside = self.about.out.clone().into_os_string();
        aside.push(".weak");
        write_file(aside.as_ref(), &baseline.to_bytes()?)?;
        let aside = PathBuf::from(aside);
        out::complain(&anyhow::anyhow!(
            "{first}; kept aside as `{}`: to accept it, rename it",
            aside.display()
        ));
        Ok(USAGE)
    }

    fn interrupted(&self, reason: &str, learning: &Learning, learnt: Learnt) -> anyhow::Result<u8> {
        out::hint(&format!("{reason} after {}", told(learning)));
        if !self.partial {
            out::hint("nothing is written; `--partial` would keep what there is, if it is enough");
            return Ok(NOT_RUN);
        }
        match learnt {
            Ok(learnt) => self.end(learnt, 0),
            Err(error) => {
                out::complain(&anyhow::anyhow!("not enough for a baseline, nothing is written: {error}"));
                Ok(NOT_RUN)
            }
        }
    }
}
