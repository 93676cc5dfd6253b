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

    /// Checks that every fault's group is one of the model's.
    ///
    /// # Errors
    /// [`Error::Field`] with the groups that exist.
    pub fn check_groups(&self, known: &BTreeSet<&str>) -> Result<(), Error> {
        let wrong = |(_, fault): &(usize, &Fault)| !known.contains(fault.group.as_str());
        let Some((i, fault)) = self.faults.iter().enumerate().find(wrong) else { return Ok(()) };
        let names = known.iter().copied().collect::<Vec<_>>().join(", ");
        let expected = format!("a group of the model: {names}");
        Err(field(&format!("faults[{i}].group"), quoted(&fault.group), &expected))
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
    // A field that is not there has no place: the reader is at the last one of its mapping.
    let beside = if message.starts_with("missing field") { ", expected beside what is here" } else { "" };
    let message = format!("{message}{beside}");
    Error::Unreadable { line, column, message, text: short(text.unwrap_or("")) }
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/chaos/experiment.schema.json");
    const GOOD: &str = include_str!("../../experiments/feature-store-latency.yaml");

    /// One thing is bent in a good file, and one line says what is wrong, where, and what was expected.
    fn check(from: &str, to: &str, message: &str) {
        assert!(GOOD.contains(from), "{from} is not in the file");
        let error = Experiment::read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert_eq!(error, message);
    }

    /// Every wrong value is named with its place.
    #[test]
    fn wrong_files_get_one_line() {
        for (from, to, message) in [
            ("silentry/experiment/v1", "v2", "`schema` is `v2`, expected silentry/experiment/v1"),
            (
                "name: feature-store-latency",
                "name: A B",
                "`name` is `A B`, expected 1 to 80 of a-z, 0-9, `-`, `_` and `.`",
            ),
            (
                "target:",
                "colour: red\ntarget:",
                "line 6, column 1: unknown field `colour`, expected one of schema, name, hypothesis, target, safety, seed, phases, short, faults, slos, expect, at `colour: red`",
            ),
            (
                "on_store_failure: zeros",
                "on_store_failure: zero",
                "line 8, column 23: unknown variant `zero`, expected one of zeros, fail, last_known, at `on_store_failure: zero`",
            ),
            (
                "on_store_failure: zeros",
                "rate: 0",
                "`target.scene.rate` is 0, expected more than 0 requests a second",
            ),
            (
                "on_store_failure: zeros",
                "baseline_rows: 0",
                "`target.scene.baseline_rows` is 0, expected at least 1 row",
            ),
            (
                "on_store_failure: zeros",
                "deadline: 0s",
                "`target.scene.deadline` is 0s, expected at least 1ms",
            ),
            (
                "safety:\n  max_duration: 60s\n",
                "",
                "line 50, column 1: missing field `safety`, expected beside what is here, at `expect:`",
            ),
            (
                "max_duration: 60s",
                "max_duration: 10s",
                "`phases.fault` is 12s, expected at most `safety.max_duration`, 10s",
            ),
            (
                "steady: 15s",
                "steady: 15",
                "line 12, column 11: `15` is not a duration, expected a number with ms, s, m, h or d, such as `2s`, at `steady: 15`",
            ),
            ("steady: 15s", "steady: 0s", "`phases.steady` is 0s, expected at least 1ms"),
            ("recovery: 25s", "recovery: 0ms", "`short.recovery` is 0s, expected at least 1ms"),
            (
                "store_latency:",
                "store_lag:",
                "line 22, column 7: unknown variant `store_lag`, expected one of store_latency, at `store_lag:`",
            ),
            (
                "latency: 800ms",
                "latency: 800 lightyears",
                "line 23, column 18: `800 lightyears` is not a duration, expected a number with ms, s, m, h or d, such as `2s`, at `latency: 800 lightyears`",
            ),
            (
                "latency: 800ms",
                "latency: 0ms",
                "`faults[0].inject.store_latency.latency` is 0s, expected at least 1ms",
            ),
            (
                "jitter: 20ms",
                "jitter: 900ms",
                "`faults[0].inject.store_latency.jitter` is 900ms, expected at most the latency, 800ms",
            ),
            (
                "fraction: 1",
                "fraction: 1.5",
                "line 25, column 15: ratio is 1.5, expected a number from 0 to 1, at `fraction: 1.5`",
            ),
            (
                "fraction: 1",
                "fraction: .nan",
                "line 25, column 15: ratio is NaN, expected a number from 0 to 1, at `fraction: .nan`",
            ),
            ("group: redis:wine", "group: ''", "`faults[0].group` is empty, expected words"),
            (
                "severity: critical",
                "severity: bad",
                "line 27, column 15: unknown variant `bad`, expected one of info, warning, critical, at `severity: bad`",
            ),
            ("within: 2s", "within: 0s", "`faults[0].detections[0].within` is 0s, expected at least 1ms"),
            (
                "detector: zero_rate",
                "detector: zero_group",
                "`faults[0].detections[1].detector` is `zero_group`, expected a name that none before it has",
            ),
            (
                "quantile: 0.99",
                "quantile: 1",
                "`slos[0].objective.latency.quantile` is 1, expected between 0 and 1, both left out, such as 0.99",
            ),
            (
                "at_least: 0.999",
                "at_least: 0",
                "`slos[1].objective.success.at_least` is 0, expected more than 0: any service would keep it",
            ),
            (
                "name: success",
                "name: latency",
                "`slos[1].name` is `latency`, expected a name that none before it has",
            ),
            (
                "headline: pass",
                "headline: passed",
                "line 54, column 13: unknown variant `passed`, expected one of pass, fail, inconclusive, at `headline: passed`",
            ),
            (
                "  headline: pass\n",
                "",
                "`expect.headline` is not stated, expected `pass`, `fail` or `inconclusive`",
            ),
        ] {
            check(from, to, message);
        }
    }

    /// Files without a fault, with a fault twice, of nothing, and of something else altogether.
    #[test]
    fn wrong_shapes() {
        let start = GOOD.find("faults:").unwrap();
        let end = GOOD.find("slos:").unwrap();
        let (fault, rest) = (&GOOD[start + "faults:\n".len()..end], &GOOD[end..]);
        let head = &GOOD[..start];
        for (text, message) in [
            (
                format!("{head}faults: []\n{rest}"),
                "`faults` is empty, expected at least one fault; fraction 0 makes it a sham",
            ),
            (
                format!("{head}faults:\n{fault}{fault}{rest}"),
                "`faults[1].id` is `store-slow`, expected a name that none before it has",
            ),
            (
                format!("{head}{rest}"),
                "line 38, column 1: missing field `faults`, expected beside what is here, at `expect:`",
            ),
            (String::new(), "line 1, column 1: unexpected end of input, at ``"),
            ("[1, 2]".to_owned(), "line 1, column 1: expected mapping start, at `[1, 2]`"),
            ("x".repeat(BYTES_MAX + 1), "`(file)` is 1048577 bytes long, expected at most 1 MiB"),
        ] {
            assert_eq!(Experiment::read(&text).unwrap_err().to_string(), message);
        }
    }

    /// A detector that is expected has to exist; a slip of the pen gets the nearest name.
    #[test]
    fn detectors_have_to_exist() {
        let known = ["zero_group", "zero_rate", "null_rate"];
        let experiment = Experiment::read(GOOD).unwrap();
        assert_eq!(experiment.check_detectors(&known), Ok(()));
        for (name, known, message) in [
            (
                "zero_rat",
                &known[..],
                "`faults[0].detections[1].detector` is `zero_rat`, expected a detector that exists; did you mean `zero_rate`?",
            ),
            (
                "colour",
                &known[..],
                "`faults[0].detections[1].detector` is `colour`, expected a detector that exists; there are zero_group, zero_rate, null_rate",
            ),
        ] {
            let experiment = Experiment::read(&GOOD.replace("zero_rate", name)).unwrap();
            assert_eq!(experiment.check_detectors(known).unwrap_err().to_string(), message);
        }
        assert!(experiment.check_detectors(&[]).unwrap_err().to_string().ends_with("none is configured"));
        let mut fired = experiment;
        fired.expect.detected = Some(vec!["zero_grup".into()]);
        let error = fired.check_detectors(&known).unwrap_err().to_string();
        assert!(
            error.starts_with("`expect.detected[0]` is `zero_grup`") && error.contains("`zero_group`"),
            "{error}"
        );
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "", 2)]
        {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
    }

    /// The committed schema is the code's; `SILENTRY_BLESS=1` writes it anew.
    #[test]
    fn the_schema_is_the_codes() {
        let text = serde_json::to_string_pretty(&experiment_json_schema()).unwrap() + "\n";
        if std::env::var_os("SILENTRY_BLESS").is_some() {
            std::fs::write(FILE, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(FILE).unwrap(), text, "run the tests with SILENTRY_BLESS=1");
    }

    /// Every committed experiment is read, keeps the schema, and is named as its file.
    #[test]
    fn committed_experiments() {
        let validator = jsonschema::validator_for(experiment_json_schema().as_value()).unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments");
        let mut files = 0;
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")) {
            let text = std::fs::read_to_string(&path).unwrap();
            let experiment = Experiment::read(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(path.file_stem().unwrap().to_str(), Some(experiment.name.as_str()));
            let json: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
            files += 1;
        }
        assert!(files >= 3);
        let json: serde_json::Value = serde_saphyr::from_str(&GOOD.replace("800ms", "800")).unwrap();
        assert!(!validator.is_valid(&json));
    }

    /// What the main story says is what is in the file.
    #[test]
    fn the_main_story() {
        let main = Experiment::read(GOOD).unwrap();
        assert!(!main.is_sham() && main.seed == 1);
        let short = main.short.unwrap();
        assert_eq!((main.phases.fault.as_secs(), short.fault.as_secs()), (12, 5));
        let sham = Experiment::read(include_str!("../../experiments/sham.yaml")).unwrap();
        assert!(sham.is_sham());
        assert_eq!((sham.phases, &sham.slos, sham.short), (main.phases, &main.slos, main.short));
        let mut fault = sham.faults[0].clone();
        fault.fraction = main.faults[0].fraction;
        assert_eq!(fault, main.faults[0]);
    }
}
