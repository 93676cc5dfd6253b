//! The command line: flags in, exit codes out.
//!
//! Exit codes: 0 pass, 1 the verdict is a fail (for `experiment run`: not what the file expects),
//! 2 usage or configuration, 3 inconclusive or not run, 4 a fault could not be proven gone.

mod baseline;
mod config;
mod demo;
mod detectors;
mod experiment;
mod out;
mod progress;
mod replay;
mod run;
mod serve;

use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::telemetry::{LogFormat, LogLevel, Logs, init_logs};

/// Wrong usage or configuration.
const USAGE: u8 = 2;
/// Stopped before there was anything to judge.
const NOT_RUN: u8 = 3;

/// A model-aware silent-failure detector and chaos verifier.
///
/// Exit codes: 0 pass, 1 fail, 2 usage or configuration, 3 inconclusive or not run, 4 a fault could
/// not be proven gone.
#[derive(Debug, Parser)]
#[command(name = "silentry", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Break a feature store behind a real model and see who notices: no configuration, about a minute
    Demo(demo::Demo),
    /// Build and show reference profiles
    #[command(subcommand)]
    Baseline(baseline::Baseline),
    /// The shadow service: taps, detectors, alerts, API, metrics
    Serve(serve::Serve),
    /// Detectors over recorded traffic, as fast as the machine goes
    Replay(replay::Replay),
    /// The manual: every detector, and every effect size
    Detectors(detectors::Detectors),
    /// Chaos experiments, each with the verdict it must earn
    #[command(subcommand)]
    Experiment(experiment::Experiment),
    /// Print every default, or check a file
    #[command(subcommand)]
    Config(config::Config),
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            return answered(&error);
        }
    };
    let done = match arguments.command {
        Command::Demo(command) => quiet_logs().and_then(|()| command.run()),
        Command::Baseline(command) => quiet_logs().and_then(|()| command.run()),
        Command::Serve(command) => command.run(),
        Command::Replay(command) => quiet_logs().and_then(|()| command.run()),
        Command::Detectors(command) => command.run(),
        Command::Experiment(command) => quiet_logs().and_then(|()| command.run()),
        Command::Config(command) => command.run(),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            out::complain(&error);
            let stopped = matches!(error.downcast_ref(), Some(crate::lab::Error::Aborted(_)));
            ExitCode::from(if stopped { NOT_RUN } else { USAGE })
        }
    }
}

/// Help and version as they are; a mistake as one line, like every other mistake.
fn answered(error: &clap::Error) -> ExitCode {
    let is_help = !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help {
        let code = if error.use_stderr() { USAGE } else { 0 };
        return if error.print().is_ok() { code.into() } else { ExitCode::from(USAGE) };
    }
    let text = error.to_string();
    let own = text.lines().take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"));
    let words: Vec<&str> = own.flat_map(str::split_whitespace).collect();
    out::complain(&anyhow::anyhow!("{}; try --help", words.join(" ").trim_start_matches("error: ")));
    ExitCode::from(USAGE)
}

/// Commands for people log warnings only; `SILENTRY_LOG` says otherwise.
fn quiet_logs() -> anyhow::Result<()> {
    Ok(init_logs(Logs { format: LogFormat::Text, level: LogLevel::Warn })?)
}

/// A runtime for the commands that need one.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Ends when somebody asks the process to, with the reason. Whoever asks from this call on is heard, however late
/// the answer is awaited: it belongs before the first word that invites anybody to.
///
/// # Errors
/// The system's, when it does not let us hear.
#[cfg(unix)]
fn asked_to_stop() -> anyhow::Result<impl Future<Output = String>> {
    use tokio::signal::unix::{SignalKind, signal};

    let hear = |kind| signal(kind).context("cannot listen to signals");
    let (mut interrupt, mut terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "interrupted".to_owned(),
            _ = terminate.recv() => "terminated".to_owned(),
        }
    })
}

/// Ends when somebody asks the process to, with the reason. Whoever asks from this call on is heard, however late
/// the answer is awaited: it belongs before the first word that invites anybody to.
///
/// # Errors
/// The system's, when it does not let us hear.
#[cfg(windows)]
fn asked_to_stop() -> anyhow::Result<impl Future<Output = String>> {
    let mut interrupt = tokio::signal::windows::ctrl_c().context("cannot listen to signals")?;
    Ok(async move {
        interrupt.recv().await;
        "interrupted".to_owned()
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A signal that comes before anybody awaits one is not lost, and ends nothing by itself.
    #[test]
    fn an_early_signal_is_heard() {
        let own = std::process::id().to_string();
        for (name, reason) in [("-INT", "interrupted"), ("-TERM", "terminated")] {
            let told = runtime().unwrap().block_on(async {
                let asked = asked_to_stop().unwrap();
                assert!(std::process::Command::new("kill").args([name, &own]).status().unwrap().success());
                tokio::time::timeout(std::time::Duration::from_secs(60), asked).await
            });
            assert_eq!(told.unwrap(), reason);
        }
    }
}
