//! The configuration of `silentry serve`: one file made of each part's settings.
//!
//! Text becomes checked types once, here; what is wrong gets one line with the place and what was
//! expected. Whether files exist is the caller's question.

mod check;
mod parts;
mod read;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use parts::{COVERAGE_MIN, Effects, Labels, Metrics, Model, Objective, Slo, Tap};

use crate::alert::{self, Secret, SecretFrom};
use crate::telemetry::Logs;
use crate::units::duration_text;

/// What is wrong with a configuration; one line each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not YAML, or not of the right shape.
    #[error("line {line}, column {column}{field}: {message}")]
    Shape {
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// `, field …` when the place is within one.
        field: String,
        /// What was found and expected.
        message: String,
    },
    /// Well formed, but it cannot be meant.
    #[error("field `{field}`: {message}")]
    Field {
        /// The path to the field, such as `slo[1].model`.
        field: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// The token cannot be read.
    #[error("field `{field}`: {source}")]
    Token {
        /// `token_env` or `token_file`.
        field: &'static str,
        /// Why.
        source: alert::Error,
    },
}

/// Everything that `silentry serve` is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where HTTP is served; beyond loopback a token is required.
    #[serde(deserialize_with = "parts::address")]
    pub listen: SocketAddr,
    /// The file with the token that whatever changes state must show.
    pub token_file: Option<PathBuf>,
    /// The environment variable with that token; one of the two at most.
    pub token_env: Option<String>,
    /// Where state is kept over a restart.
    pub state_dir: PathBuf,
    /// How often state is written.
    #[serde(with = "duration_text")]
    pub persist_every: Duration,
    /// The log.
    pub log: Logs,
    /// What the tap may hold.
    pub tap: Tap,
    /// The program's own metrics.
    pub metrics: Metrics,
    /// Who is watched.
    pub models: Vec<Model>,
    /// Effect sizes to read.
    pub effects: Effects,
    /// When somebody is told, and who.
    pub alerts: alert::Config,
    /// Service levels.
    pub slo: Vec<Slo>,
}

/// Beside Prometheus (9090) and Alertmanager (9093), taken by none of the usual model servers.
const PORT: u16 = 8_900;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            token_file: None,
            token_env: None,
            state_dir: PathBuf::from("silentry-state"),
            persist_every: Duration::from_secs(10),
            log: Logs::default(),
            tap: Tap::default(),
            metrics: Metrics::default(),
            models: Vec::new(),
            effects: Effects::default(),
            alerts: alert::Config::default(),
            slo: Vec::new(),
        }
    }
}

impl Config {
    /// Every default with its comment, as YAML that reads back to [`Config::default`].
    #[must_use]
    pub fn defaults_text() -> String {
        include_str!("defaults.yaml").to_owned()
    }

    /// Makes relative paths relative to `base`, the folder of the configuration file.
    pub fn resolve(&mut self, base: &Path) {
        let baselines = self.models.iter_mut().flat_map(|m| m.versions.iter_mut().chain([&mut m.baseline]));
        let paths = baselines.chain(&mut self.token_file);
        for path in paths.chain([&mut self.state_dir]) {
            *path = base.join(&*path);
        }
        for model in &mut self.models {
            model.known_answers.iter_mut().for_each(|known| known.resolve(base));
            model.pinned.iter_mut().for_each(|pinned| pinned.resolve(base));
        }
        self.alerts.sinks.iter_mut().for_each(|sink| sink.resolve(base));
    }

    /// Reads the token, when one is configured.
    ///
    /// # Errors
    /// [`Error::Token`] when it is configured and cannot be read.
    pub fn token(&self) -> Result<Option<Secret>, Error> {
        let env = self.token_env.clone().map(|name| ("token_env", SecretFrom::Env(name)));
        let file = self.token_file.clone().map(|path| ("token_file", SecretFrom::File(path)));
        match env.or(file) {
            None => Ok(None),
            Some((field, from)) => from.read().map(Some).map_err(|source| Error::Token { field, source }),
        }
    }
}
