use clap::Args;
use serde::Serialize;

use super::out;
use crate::detect::{Check, EFFECTS, HARMFUL_SHIFT, HARMFUL_SHIFT_MANUAL, KINDS};

/// Characters of a line of the manual.
const LINE_CHARS: usize = 96;

#[derive(Debug, Args)]
pub(super) struct Detectors {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The families' own words.
#[derive(Debug, Serialize)]
struct Manual {
    schema: &'static str,
    detectors: Vec<Detector>,
    /// What may alarm by labels, with a budget of its own.
    labels: Label,
    effects: Vec<Effect>,
}

/// What may alarm.
#[derive(Debug, Serialize)]
struct Detector {
    name: &'static str,
    /// Its share of the alarm budget where every detector has something to look at; 0 for declared rules and
    /// known answers, which need none.
    weight: f64,
    manual: &'static str,
}

/// What alarms by labels.
#[derive(Debug, Serialize)]
struct Label {
    name: &'static str,
    manual: &'static str,
}

/// What has no share of the budget.
#[derive(Debug, Serialize)]
struct Effect {
    name: &'static str,
    /// Whether `/metrics` has it, beside the API.
    on_metrics: bool,
    manual: &'static str,
}

impl Detectors {
    pub(super) fn run(&self) -> anyhow::Result<u8> {
        let all: f64 = KINDS.iter().map(|k| k.weight()).sum();
        let detector = |k: &&dyn crate::detect::Kind| Detector {
            name: k.name(),
            weight: k.weight() / all,
            manual: k.manual(),
        };
        let check = |c: Check| Detector { name: c.name(), weight: 0.0, manual: c.manual() };
        let effect = |e: &&dyn crate::detect::Effect| Effect {
            name: e.name(),
            on_metrics: e.on_metrics(),
            manual: e.manual(),
        };
        let manual = Manual {
            schema: "silentry/detectors/v1",
            detectors: KINDS.iter().map(detector).chain(Check::ALL.map(check)).collect(),
            labels: Label { name: HARMFUL_SHIFT, manual: HARMFUL_SHIFT_MANUAL },
            effects: EFFECTS.iter().map(effect).collect(),
        };
        if self.json {
            out::say_json(&manual)?;
        } else {
            manual.tell();
        }
        Ok(0)
    }
}

impl Manual {
    fn tell(&self) {
        out::say(
            "Detectors, with their share of the alarm budget where all have something to look at; what one has nothing\nto look at for goes to the others. `--without NAME` switches one off.\n",
        );
        for detector in &self.detectors {
            let share = if detector.weight > 0.0 {
                format!("{:.1} % of the budget", detector.weight * 100.0)
            } else {
                "free of the budget".to_owned()
            };
            entry(&format!("{} ({share})", detector.name), detector.manual);
        }
        out::say("By labels, with a budget of its own; `without` in the configuration switches it off:\n");
        entry(self.labels.name, self.labels.manual);
        out::say(
            "Effect sizes, on /v1/models/{model} and, where it says so, on /metrics: to read, never an alarm.\n",
        );
        for effect in &self.effects {
            let heading = format!("{}{}", effect.name, if effect.on_metrics { " (on /metrics)" } else { "" });
            entry(&heading, effect.manual);
        }
    }
}

/// A heading and its text, in lines that fit a terminal.
fn entry(heading: &str, text: &str) {
    out::say(heading);
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE_CHARS {
            out::say(&format!("  {line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out::say(&format!("  {line}\n"));
}
