use std::collections::BTreeSet;
use std::time::Duration;

use super::{Config, Error, Objective};
use crate::baseline::Budget;
use crate::oracle;

/// The most bytes of a name that ends up in labels and paths.
const NAME_BYTES_MAX: usize = 128;
/// The most bytes of rows that may wait for labels: what is kept of them over a restart is no larger.
const LABEL_BYTES_MAX: usize = 256 << 20;
/// The longest wait between attempts that still makes sense for an alert.
const RETRY_MAX: Duration = Duration::from_secs(3_600);

impl Config {
    /// What single fields cannot know: references, duplicates, lengths of nothing.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_server()?;
        self.check_metrics()?;
        self.check_models()?;
        self.check_slos()?;
        self.check_alerts()
    }

    fn check_server(&self) -> Result<(), Error> {
        if self.token_file.is_some() && self.token_env.is_some() {
            return wrong("token_env", "`token_file` is set too, expected one of them");
        }
        if !self.listen.ip().is_loopback() && self.token_file.is_none() && self.token_env.is_none() {
            let message =
                format!("`{}` is beyond loopback, expected `token_env` or `token_file` too", self.listen);
            return wrong("listen", message);
        }
        positive("persist_every", self.persist_every)?;
        positive("effects.window", self.effects.window)?;
        let tap = &self.tap;
        for (field, inner, outer) in [
            ("tap.line_bytes_max", tap.line_bytes_max, tap.body_bytes_max),
            ("tap.body_bytes_max", tap.body_bytes_max, tap.queue_bytes),
        ] {
            if inner > outer {
                return wrong(field, format!("{inner} can never be reached, expected at most {outer}"));
            }
        }
        Ok(())
    }

    fn check_metrics(&self) -> Result<(), Error> {
        let edges = &self.metrics.latency_edges;
        let rising = edges.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let positive = edges.iter().all(|e| e.is_finite() && *e > 0.0);
        if edges.is_empty() || !rising || !positive {
            return wrong("metrics.latency_edges", format!("{edges:?}, expected seconds above 0, rising"));
        }
        Ok(())
    }

    fn check_models(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for (i, model) in self.models.iter().enumerate() {
            let field = format!("models[{i}].name");
            check_name(&field, &model.name)?;
            if !names.insert(&model.name) {
                return wrong(field, format!("`{}` appears twice", model.name));
            }
            if model.baseline.as_os_str().is_empty() {
                return wrong(format!("models[{i}].baseline"), "empty, expected a file");
            }
            positive(&format!("models[{i}].labels.wait"), model.labels.wait)?;
            positive(&format!("models[{i}].labels.silent_after"), model.labels.silent_after)?;
            if model.labels.bytes_max.get() > LABEL_BYTES_MAX {
                let message = format!(
                    "{}, expected at most {LABEL_BYTES_MAX}: more would not outlive a restart",
                    model.labels.bytes_max
                );
                return wrong(format!("models[{i}].labels.bytes_max"), message);
            }
            if model.labels.budget == Budget::Rows(1) {
                return wrong(format!("models[{i}].labels.budget"), "an alarm a label, expected fewer");
            }
            if let Some(j) = model.versions.iter().position(|path| path.as_os_str().is_empty()) {
                return wrong(format!("models[{i}].versions[{j}]"), "empty, expected a file");
            }
            let known = model.known_answers.as_ref().map(|known| ("known_answers", known.check()));
            let pinned = model.pinned.as_ref().map(|pinned| ("pinned", pinned.check()));
            for (part, checked) in known.into_iter().chain(pinned) {
                checked.or_else(|error| wrong_within(&format!("models[{i}].{part}"), error))?;
            }
        }
        Ok(())
    }

    fn check_slos(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for (i, slo) in self.slo.iter().enumerate() {
            let field = |name: &str| format!("slo[{i}].{name}");
            check_name(&field("name"), &slo.name)?;
            if !names.insert(&slo.name) {
                return wrong(field("name"), format!("`{}` appears twice", slo.name));
            }
            if self.models.iter().all(|model| model.name != slo.model) {
                let known: Vec<_> = self.models.iter().map(|m| m.name.as_str()).collect();
                return wrong(field("model"), format!("no model `{}`, expected one of {known:?}", slo.model));
            }
            positive(&field("window"), slo.window)?;
            if let Objective::Latency { at_most, .. } = slo.objective {
                positive(&field("latency.at_most"), at_most)?;
            }
        }
        Ok(())
    }

    fn check_alerts(&self) -> Result<(), Error> {
        let retry = self.alerts.retry;
        positive("alerts.retry.first", retry.first)?;
        positive("alerts.max_age", self.alerts.max_age)?;
        if retry.longest < retry.first || retry.longest > RETRY_MAX {
            return wrong("alerts.retry.longest", "expected at least `first` and at most 1h");
        }
        let mut names = BTreeSet::new();
        for (i, sink) in self.alerts.sinks.iter().enumerate() {
            let field = |name: &str| format!("alerts.sinks[{i}].{name}");
            check_name(&field("name"), sink.name())?;
            if !names.insert(sink.name()) {
                return wrong(
                    field("name"),
                    format!("`{}` appears twice, expected another `name`", sink.name()),
                );
            }
            positive(&field("timeout"), sink.timeout())?;
            if let Some(every) = sink.resend_every() {
                positive(&field("resend_every"), every)?;
            }
        }
        Ok(())
    }
}

fn check_name(field: &str, name: &str) -> Result<(), Error> {
    let plain = name.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '/');
    if plain && (1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    let shown: String = name.chars().take(32).collect();
    wrong(field, format!("{shown:?} is no name, expected 1 to {NAME_BYTES_MAX} bytes without spaces and `/`"))
}

fn positive(field: &str, duration: Duration) -> Result<(), Error> {
    if duration.is_zero() { wrong(field, "0s, expected a duration above 0") } else { Ok(()) }
}

/// What is wrong within a part, by the path from the top.
fn wrong_within(part: &str, error: oracle::Error) -> Result<(), Error> {
    match error {
        oracle::Error::Requests { field, message } => wrong(format!("{part}.{field}"), message),
        other => wrong(part, other.to_string()),
    }
}

fn wrong<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Field { field: field.into(), message: message.into() })
}
