use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::Error;

/// The environment variable whose filter goes before the configured level.
const VARIABLE: &str = "SILENTRY_LOG";

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important line that is still written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const fn directive(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The log's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// How a line is written.
    pub format: LogFormat,
    /// The level; a filter in the environment variable `SILENTRY_LOG` goes before it.
    pub level: LogLevel,
}

/// Sends the log to standard error. A process that already has a subscriber keeps it.
///
/// # Errors
/// [`Error::Filter`] when `SILENTRY_LOG` is not a filter.
pub fn init_logs(logs: Logs) -> Result<(), Error> {
    let filter = filter(logs.level, std::env::var(VARIABLE).ok())?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An error here says only that a subscriber is set: that of a test or of a host program.
    let _ = match logs.format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    Ok(())
}

fn filter(level: LogLevel, variable: Option<String>) -> Result<EnvFilter, Error> {
    match variable.filter(|text| !text.trim().is_empty()) {
        None => Ok(EnvFilter::new(level.directive())),
        Some(filter) => {
            EnvFilter::try_new(&filter).map_err(|source| Error::Filter { variable: VARIABLE, filter, source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second set-up in one process is no error: tests and host programs have their own.
    #[test]
    fn a_second_subscriber_is_left_alone() {
        assert!(init_logs(Logs::default()).is_ok());
        assert!(init_logs(Logs { format: LogFormat::Json, level: LogLevel::Trace }).is_ok());
    }

    /// The variable goes before the level, an empty one counts as none, a wrong one is named.
    #[test]
    fn the_variable_goes_first() {
        let shown = |variable: Option<&str>| {
            filter(LogLevel::Warn, variable.map(str::to_owned)).map(|f| f.to_string())
        };
        assert_eq!(shown(None).unwrap(), "warn");
        assert_eq!(shown(Some(" ")).unwrap(), "warn");
        assert_eq!(shown(Some("silentry=debug")).unwrap(), "silentry=debug");
        let error = shown(Some("silentry=loud=er")).unwrap_err().to_string();
        assert!(error.contains("SILENTRY_LOG is `silentry=loud=er`"), "{error}");
    }
}
