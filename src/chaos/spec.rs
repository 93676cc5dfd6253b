use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use super::{Error, Experiment, Fault, FaultKind, Objective, ObjectiveKind, Phases, Scene, Target};
use crate::units::{Ratio, duration_text};

/// The only format of experiment files so far.
const SCHEMA: &str = "silentry/experiment/v1";
/// Longer files are refused unread.
const BYTES_MAX: usize = 1 << 20;
/// Longer lines are shortened in messages.
const TEXT_MAX: usize = 80;

impl Experiment {
    /// Reads an experiment file and checks that it can be run and judged.
    ///
    /// # Errors
    /// [`Error::Unreadable`] with line and column, or [`Error::Field`] with the path to the field.
    pub fn read(yaml: &str) -> Result<Self, Error> {
        if yaml.len() > BYTES_MAX {
            return Err(field("(file)", format!("{} bytes long", yaml.len()), "at most 1 MiB"));
        }
        let experiment: Self = serde_saphyr::from_str(yaml).map_err(|e| unreadable(yaml, &e))?;
        experiment.check()?;
        Ok(experiment)
    }

    /// Checks what a file's shape cannot say.
    ///
    /// # Errors
    /// [`Error::Field`] for the first field that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        if self.schema != SCHEMA {
            return Err(field("schema", quoted(&self.schema), SCHEMA));
        }
        check_name("name", &self.name)?;
        not_empty("hypothesis", &self.hypothesis)?;
        match &self.target {
            Target::Scene(scene) => scene.check()?,
            Target::Model(name) => not_empty("target.model", name)?,
        }
        self.check_phases("phases", &self.phases)?;
        if let Some(short) = &self.short {
            self.check_phases("short", short)?;
        }
        self.check_faults()?;
        self.check_slos()?;
        if self.expect.headline.is_none() {
            return Err(field("expect.headline", "not stated".into(), "`pass`, `fail` or `inconclusive`"));
        }
        Ok(())
    }

    /// Checks that every detector that is expected exists.
    ///
    /// # Errors
    /// [`Error::UnknownDetector`] with the nearest name.
    pub fn check_detectors(&self, known: &[&str]) -> Result<(), Error> {
        let expected = self.faults.iter().enumerate().flat_map(|(i, fault)| {
            let path = move |j| format!("faults[{i}].detections[{j}].detector");
            fault.detections.iter().enumerate().map(move |(j, d)| (path(j), d.detector.as_str()))
        });
        let fired = self.expect.detected.iter().flatten().enumerate();
        let fired = fired.map(|(i, name)| (format!("expect.detected[{i}]"), name.as_str()));
        match expected.chain(fired).find(|(_, name)| !known.contains(name)) {
            Some((path, name)) => {
                Err(Error::UnknownDetector { path, found: name.to_owned(), hint: hint(name, known) })
            }
            None => Ok(()),
        }
    }

    fn check_phases(&self, path: &str, phases: &Phases) -> Result<(), Error> {
        let Phases { steady, fault, recovery } = *phases;
        for (name, length) in [("steady", steady), ("fault", fault), ("recovery", recovery)] {
            not_zero(&format!("{path}.{name}"), length)?;
        }
        let max = self.safety.max_duration;
        not_zero("safety.max_duration", max)?;
        if fault > max {
            let expected = format!("at most `safety.max_duration`, {}", duration_text::text(max));
            return Err(field(&format!("{path}.fault"), duration_text::text(fault), &expected));
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), Error> {
        if self.faults.is_empty() {
            return Err(field("faults", "empty".into(), "at least one fault; fraction 0 makes it a sham"));
        }
        let mut seen = BTreeSet::new();
        for (i, fault) in self.faults.iter().enumerate() {
            fault.check(&format!("faults[{i}]"))?;
            unique(&format!("faults[{i}].id"), &fault.id, &mut seen)?;
        }
        Ok(())
    }

    fn check_slos(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for (i, slo) in self.slos.iter().enumerate() {
            slo.check(&format!("slos[{i}]"))?;
            unique(&format!("slos[{i}].name"), &slo.name, &mut seen)?;
        }
        Ok(())
    }
}

impl Scene {
    fn check(&self) -> Result<(), Error> {
        if self.rate.get() <= 0.0 {
            return Err(field("target.scene.rate", self.rate.to_string(), "more than 0 requests a second"));
        }
        if self.baseline_rows == 0 {
            return Err(field("target.scene.baseline_rows", "0".into(), "at least 1 row"));
        }
        if self.store_share.get() <= 0.0 {
            return Err(field("target.scene.store_share", "0".into(), "more than 0: no request would fetch"));
        }
        not_zero("target.scene.store_timeout", self.store_timeout)?;
        not_zero("target.scene.deadline", self.deadline)
    }
}

impl Fault {
    fn check(&self, path: &str) -> Result<(), Error> {
        check_name(&format!("{path}.id"), &self.id)?;
        not_empty(&format!("{path}.group"), &self.group)?;
        self.inject.check(&format!("{path}.inject"))?;
        let mut seen = BTreeSet::new();
        for (i, detection) in self.detections.iter().enumerate() {
            not_empty(&format!("{path}.detections[{i}].detector"), &detection.detector)?;
            unique(&format!("{path}.detections[{i}].detector"), &detection.detector, &mut seen)?;
            not_zero(&format!("{path}.detections[{i}].within"), detection.within)?;
        }
        Ok(())
    }
}

impl FaultKind {
    fn check(&self, path: &str) -> Result<(), Error> {
        match *self {
            Self::StoreLatency { latency, jitter } => {
                let path = format!("{path}.{}", self.name());
                not_zero(&format!("{path}.latency"), latency)?;
                if jitter > latency {
                    let expected = format!("at most the latency, {}", duration_text::text(latency));
                    return Err(field(&format!("{path}.jitter"), duration_text::text(jitter), &expected));
                }
                Ok(())
            }
        }
    }
}

impl Objective {
    fn check(&self, path: &str) -> Result<(), Error> {
        not_empty(&format!("{path}.name"), &self.name)?;
        match self.objective {
            ObjectiveKind::Latency { quantile, at_most } => {
                check_quantile(&format!("{path}.objective.latency"), quantile, at_most)
            }
            ObjectiveKind::StoreLatency { quantile, at_most } => {
                check_quantile(&format!("{path}.objective.store_latency"), quantile, at_most)
            }
            ObjectiveKind::Success { at_least } if at_least.get() <= 0.0 => {
                let path = format!("{path}.objective.success.at_least");
                Err(field(&path, at_least.to_string(), "more than 0: any service would keep it"))
            }
            ObjectiveKind::Success { .. } => Ok(()),
        }
    }
}

fn check_quantile(path: &str, quantile: Ratio, at_most: Duration) -> Result<(), Error> {
    if quantile.get() <= 0.0 || quantile.get() >= 1.0 {
        let expected = "between 0 and 1, both left out, such as 0.99";
        return Err(field(&format!("{path}.quantile"), quantile.to_string(), expected));
    }
    not_zero(&format!("{path}.at_most"), at_most)
}

/// Names become parts of file names and of alert labels.
fn check_name(path: &str, name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if name.is_empty() || name.len() > TEXT_MAX || !name.chars().all(allowed) {
        let expected = "1 to 80 of a-z, 0-9, `-`, `_` and `.`";
        return Err(field(path, quoted(name), expected));
    }
    Ok(())
}

fn not_empty(path: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(field(path, "empty".into(), "words"));
    }
    Ok(())
}

fn not_zero(path: &str, length: Duration) -> Result<(), Error> {
    // A journal counts microseconds, an experiment file milliseconds: less than one is none.
    if length < Duration::from_millis(1) {
        return Err(field(path, duration_text::text(length), "at least 1ms"));
    }
    Ok(())
}

fn unique<'a>(path: &str, name: &'a str, seen: &mut BTreeSet<&'a str>) -> Result<(), Error> {
    if !seen.insert(name) {
        return Err(field(path, quoted(name), "a name that none before it has"));
    }
    Ok(())
}

fn field(path: &str, found: String, expected: &str) -> Error {
    Error::Field { path: path.to_owned(), found, expected: expected.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("`{}`", short(text))
}

fn short(text: &str) -> String {
    let one_line = text.trim().replace(char::is_control, " ");
    match one_line.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", one_line.get(..end).unwrap_or(&one_line)),
        None => one_line,
    }
}

fn unreadable(yaml: &str, error: &serde_saphyr::Error) -> Error {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let whole = error.without_snippet().to_string();
    let first = whole.lines().next().unwrap_or("not an experiment");
    let message = first.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(first);
    let text = usize::try_from(line).ok().and_then(|n| yaml.lines().nth(n.saturating_sub(1)));
    Error::Unreadable { line, column, message: message.to_owned(), text: short(text.unwrap_or("")) }
}

fn hint(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (edits(name, k), *k)).min();
    match nearest {
        Some((distance, nearest)) if distance <= name.chars().count() / 2 => {
            format!("did you mean `{nearest}`?")
        }
        _ if known.is_empty() => "none is configured".to_owned(),
        _ => format!("there are {}", known.join(", ")),
    }
}

/// Levenshtein's distance: insertions, deletions and substitutions from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let cheapest = (diagonal + usize::from(from != to)).min(left + 1).min(*above + 1);
            diagonal = *above;
            *above = cheapest;
            left = cheapest;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A duration as experiment files spell it, for their JSON Schema.
pub(super) struct DurationText;

impl schemars::JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9.]+\s*(ms|s|m|min|h|d)\s*$",
            "examples": ["250ms", "2s", "1.5m"]
        })
    }
}

/// The JSON Schema of experiment files, as `experiment.schema.json` beside this code has it.
#[must_use]
pub fn experiment_json_schema() -> schemars::Schema {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
    settings.into_generator().into_root_schema_for::<Experiment>()
}
