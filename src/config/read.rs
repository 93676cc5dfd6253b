use super::{Config, Error};

impl Config {
    /// Reads a configuration; what it does not say stays at its default.
    ///
    /// # Errors
    /// [`Error::Shape`] with the line, or [`Error::Field`] with the path to the field.
    pub fn read(yaml: &str) -> Result<Self, Error> {
        // A file of comments alone says nothing, and so everything is at its default.
        if yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let config: Self = serde_saphyr::from_str(yaml).map_err(|error| shape(yaml, &error))?;
        config.check()?;
        Ok(config)
    }
}

fn shape(yaml: &str, error: &serde_saphyr::Error) -> Error {
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let message = error.without_snippet().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let message = message.trim_end_matches(&format!(" at line {line}, column {column}"));
    // The parser names its own number type; the reader wants to know what to write.
    let message = message
        .replace("invalid u64", "not a whole number, expected one above 0")
        .replace("a nonzero usize", "a whole number above 0");
    Error::Shape { line, column, field: field_at(yaml, line), message }
}

/// The keys above a line by their indentation, as `, field `a.b``; empty when there is none.
fn field_at(yaml: &str, line: u64) -> String {
    let lines = yaml.lines().zip(1_u64..).take_while(|(_, n)| *n <= line).collect::<Vec<_>>();
    let mut inside = usize::MAX;
    let mut path = Vec::new();
    for (text, _) in lines.iter().rev() {
        let Some((indent, key)) = key_of(text) else { continue };
        if indent < inside {
            inside = indent;
            path.push(key);
        }
    }
    path.reverse();
    if path.is_empty() { String::new() } else { format!(", field `{}`", path.join(".")) }
}

/// A line's first key and where it starts; the dash of a list counts as indentation.
fn key_of(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches([' ', '-']);
    let (key, _) = text.split_once(':')?;
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain.then(|| (line.len() - text.len(), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::config::Objective;

    fn refused(yaml: &str) -> String {
        match Config::read(yaml) {
            Ok(config) => panic!("{yaml:?} was read: {config:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// What is wrong is said in one line with the place and what was expected.
    #[test]
    fn errors_name_the_place_and_what_was_expected() {
        for (yaml, expected) in [
            ("lisen: 1", "line 1, column 1, field `lisen`: unknown field `lisen`, expected one of listen, "),
            (
                "listen: nowhere",
                "line 1, column 9, field `listen`: `nowhere` is no address, expected IP:PORT",
            ),
            (
                "tap:\n  queue_records: 0",
                "field `tap.queue_records`: invalid value: integer `0`, expected a whole",
            ),
            (
                "tap:\n  queue_records: x",
                "line 2, column 18, field `tap.queue_records`: not a whole number, expected",
            ),
            ("models:\n  - name: a", "line 2, column 5, field `models.name`: missing field `baseline`"),
            ("log: {level: loud}", "field `log`: unknown variant `loud`, expected one of error, warn, info"),
            ("alerts:\n  for: 2", "field `alerts.for`: `2` is not a duration, expected a number with ms, s"),
            (
                "alerts:\n  sinks:\n    - webhok: {url: x}",
                "unknown variant `webhok`, expected one of webhook, alert",
            ),
            (
                "alerts:\n  sinks:\n    - webhook:\n        url: http://h\n        to: 1",
                "line 5, column 9, field `alerts.sinks.webhook.to`: unknown field `to`, expected one of name, url",
            ),
            (
                "alerts:\n  sinks:\n    - webhook: {url: 'https://h'}",
                "`https://h` is no address to send to: this program has no",
            ),
            ("slo:\n  - {name: a, model: b}", "slo `a`: expected one of `latency` and `success`"),
            (
                "slo:\n  - name: a\n    model: b\n    latency: {quantile: 2, at_most: 1s}",
                "line 4, column 25, field `slo.latency`: ratio is 2, expected a number from 0 to 1",
            ),
            ("log:\nlog:", "line 2, column 1, field `log`: duplicate mapping key: log"),
            ("state_dir: [", "line 1, column 12, field `state_dir`: "),
            ("words", "line 1, column 1: expected mapping"),
        ] {
            let error = refused(yaml);
            assert!(error.contains(expected), "{yaml:?}\n  gave  {error}\n  not   {expected}");
            assert!(!error.contains('\n') && error.matches("line ").count() == 1, "{error}");
        }
    }

    /// What only the whole can know is said with the path to the field.
    #[test]
    fn contradictions_name_the_field() {
        let wine = "models:\n  - name: wine\n    baseline: b\n";
        let hook = "    - webhook: {url: 'http://h'}\n";
        let slo = "{name: p99, model: wine, success: {at_least: 0.9}}";
        for (yaml, expected) in [
            (
                "listen: 0.0.0.0:1".to_owned(),
                "field `listen`: `0.0.0.0:1` is beyond loopback, expected `token_env`",
            ),
            ("listen: '[::]:1'".to_owned(), "field `listen`: `[::]:1` is beyond loopback"),
            ("token_env: A\ntoken_file: b".to_owned(), "field `token_env`: `token_file` is set too"),
            ("persist_every: 0s".to_owned(), "field `persist_every`: 0s, expected a duration above 0"),
            (
                "tap: {line_bytes_max: 20000000}".to_owned(),
                "field `tap.line_bytes_max`: 20000000 can never be",
            ),
            (
                "metrics: {latency_edges: [1, 0.5]}".to_owned(),
                "field `metrics.latency_edges`: [1.0, 0.5], expected",
            ),
            ("metrics: {latency_edges: [.nan]}".to_owned(), "field `metrics.latency_edges`: [NaN], expected"),
            (
                format!("{wine}  - {{name: wine, baseline: c}}"),
                "field `models[1].name`: `wine` appears twice",
            ),
            (
                "models:\n  - {name: a/b, baseline: c}".to_owned(),
                "field `models[0].name`: \"a/b\" is no name",
            ),
            (
                format!("{wine}    labels: {{bytes_max: 268435457}}"),
                "field `models[0].labels.bytes_max`: 268435457, expected at most 268435456",
            ),
            (
                format!("{wine}    known_answers: {{url: 'http://h'}}"),
                "field `models[0].known_answers.requests`: there are 0, expected 1 to 256",
            ),
            (
                format!("{wine}    known_answers: {{url: 'http://h', requests_file: f, every: 0s}}"),
                "field `models[0].known_answers.every`: 0 s, expected 1s or longer",
            ),
            (
                format!("{wine}    known_answers: {{url: 'http://h', requests_file: f, every: 999ms}}"),
                "field `models[0].known_answers.every`: 0.999 s, expected 1s or longer",
            ),
            (
                format!("{wine}    pinned: {{url: 'http://h', share: 0}}"),
                "field `models[0].pinned.share`: 0, expected a share of the requests above 0",
            ),
            (
                format!("{wine}    pinned: {{url: 'http://h', tolerance: {{relative: 1}}}}"),
                "field `models[0].pinned.tolerance.relative`: 1, expected a share from 0 to below 1",
            ),
            (
                format!("{wine}    pinned: {{url: 'http://h', datatype: INT64}}"),
                "field `models[0].pinned.datatype`: it holds no fractions, expected FP64",
            ),
            (format!("slo:\n  - {slo}"), "field `slo[0].model`: no model `wine`, expected one of []"),
            (format!("{wine}slo:\n  - {slo}\n  - {slo}"), "field `slo[1].name`: `p99` appears twice"),
            (
                format!("alerts:\n  sinks:\n{hook}{hook}"),
                "field `alerts.sinks[1].name`: `webhook` appears twice",
            ),
            ("alerts: {max_age: 0s}".to_owned(), "field `alerts.max_age`: 0s, expected a duration above 0"),
            ("alerts: {retry: {longest: 2h}}".to_owned(), "field `alerts.retry.longest`: expected at least"),
        ] {
            let error = refused(&yaml);
            assert!(error.starts_with(expected), "{yaml:?}\n  gave  {error}\n  not   {expected}");
        }
    }

    /// The printed defaults are the defaults, and stay what users have seen.
    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let text = Config::defaults_text();
        assert_eq!(Config::read(&text).unwrap(), Config::default());
        assert_eq!(Config::read("# nothing\n").unwrap(), Config::default());
        insta::assert_snapshot!(text);
    }

    /// Every field has its line in the printed text: a new one cannot be forgotten.
    #[test]
    fn every_field_is_printed() {
        let text = Config::defaults_text();
        let mut missing = Vec::new();
        let mut nodes = vec![serde_json::to_value(Config::default()).unwrap()];
        while let Some(node) = nodes.pop() {
            for (key, value) in node.as_object().into_iter().flatten() {
                if !text.lines().any(|line| line.trim_start().starts_with(&format!("{key}:"))) {
                    missing.push(key.clone());
                }
                nodes.push(value.clone());
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// The examples in the printed text work when their `#` is taken away.
    #[test]
    fn the_examples_are_valid() {
        let mut config = Config::read(&examples()).unwrap();
        assert_eq!(config.models[0].name, "wine");
        let (known, pinned) = (&config.models[0].known_answers, &config.models[0].pinned);
        let (known, pinned) = (known.clone().unwrap(), pinned.clone().unwrap());
        assert_eq!(known.requests.len(), 1);
        // What the example says beside addresses and names is the default.
        let least =
            |text: &str| Config::read(&format!("models:\n  - name: a\n    baseline: b\n    {text}")).unwrap();
        let defaults = least("pinned: {url: 'http://h'}").models[0].pinned.clone().unwrap();
        assert_eq!(
            (pinned.share, pinned.timeout, pinned.tolerance),
            (defaults.share, defaults.timeout, defaults.tolerance)
        );
        assert_eq!(
            (pinned.in_flight_max, pinned.requests_per_second_max, pinned.datatype),
            (defaults.in_flight_max, defaults.requests_per_second_max, defaults.datatype)
        );
        let defaults = least("known_answers: {url: 'http://h', requests_file: f}");
        let defaults = defaults.models[0].known_answers.clone().unwrap();
        assert_eq!(
            (known.every, known.timeout, known.tolerance, known.requests_per_second_max),
            (defaults.every, defaults.timeout, defaults.tolerance, defaults.requests_per_second_max)
        );
        assert_eq!(config.alerts.sinks.len(), 2);
        assert!(matches!(config.slo[1].objective, Objective::Success { .. }));
        config.resolve(Path::new("/etc/silentry"));
        assert_eq!(config.models[0].baseline, Path::new("/etc/silentry/baselines/wine.json"));
        assert_eq!(config.state_dir, Path::new("/etc/silentry/silentry-state"));
        let file = config.models[0].pinned.as_ref().and_then(|pinned| pinned.requests_file.as_deref());
        assert_eq!(file, Some(Path::new("/etc/silentry/wine-answers.json")));
        assert!(format!("{:?}", config.models[0].pinned).contains("/etc/silentry/pinned.token"));
        assert!(format!("{:?}", config.alerts.sinks).contains("/etc/silentry/alertmanager.token"));
    }

    /// What was read can be written and read again, whatever is in it.
    #[test]
    fn a_configuration_round_trips() {
        let config = Config::read(&examples()).unwrap();
        let text = serde_saphyr::to_string(&config).unwrap();
        assert_eq!(Config::read(&text).unwrap(), config, "{text}");
    }

    fn examples() -> String {
        let empty = ["models: []", "sinks: []", "slo: []"];
        let example = |line: &str| {
            let bare = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') || rest.starts_with("  "));
            bare.map_or_else(|| line.to_owned(), str::to_owned)
        };
        let text = Config::defaults_text();
        let lines = text.lines().filter(|line| !empty.contains(&line.trim()));
        lines.map(example).collect::<Vec<_>>().join("\n")
    }

    /// A token that is configured and not there stops the start; loopback needs none.
    #[test]
    fn the_token_is_read_or_refused() {
        assert_eq!(Config::default().token().unwrap(), None);
        let config = Config::read("listen: 0.0.0.0:1\ntoken_env: CARGO_MANIFEST_DIR").unwrap();
        assert_eq!(config.token().unwrap().unwrap().expose(), env!("CARGO_MANIFEST_DIR"));
        let config = Config::read("token_file: /nonexistent").unwrap();
        assert!(config.token().unwrap_err().to_string().starts_with("field `token_file`: cannot read"));
    }
}
