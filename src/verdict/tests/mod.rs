//! Scripted runs whose truth is known.

mod documents;
mod outcomes;
mod runs;
pub(super) mod script;
mod shams;

use super::{Verdict, describe, exit_code, exit_code_expecting, unmet};
use crate::chaos::{Act, Effect, Outcome, Recovery, RunStatus, Severity, Visibility};
use crate::units::Ratio;
use crate::verdict::{KnownAnswers, ScoreState};
use script::{ACTIVE, EFFECT, FAULT, GROUP, RESTORED, Row, Script, at, healthy, zeros_in_silence};

/// What a bent run must come to: the words of the document, `-` for null.
struct Truth {
    name: &'static str,
    base: fn() -> Script,
    bend: fn(&mut Script),
    /// status, effect, visibility, headline, outcome, recovery, held.
    words: [&'static str; 7],
    exit: u8,
    /// The beginning of the first reason.
    because: &'static str,
}

fn words(verdict: &Verdict) -> [String; 7] {
    let json = serde_json::to_value(verdict).unwrap();
    let word = |pointer: &str| match json.pointer(pointer).unwrap() {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::Bool(held) => held.to_string(),
        other => other.as_str().unwrap().to_owned(),
    };
    ["/status", "/effect", "/visibility", "/headline", "/faults/0/outcome", "/recovery", "/hypothesis/held"]
        .map(word)
}

fn check(truths: &[Truth]) {
    for truth in truths {
        let mut script = (truth.base)();
        (truth.bend)(&mut script);
        let verdict = script.judge();
        let seen = words(&verdict);
        assert_eq!(
            seen.each_ref().map(String::as_str),
            truth.words,
            "{}\n{}",
            truth.name,
            describe(&verdict)
        );
        assert_eq!(exit_code(&verdict), truth.exit, "{}", truth.name);
        let first = verdict.hypothesis.because.first().map_or("", String::as_str);
        let starts = first.starts_with(truth.because) && first.is_empty() == truth.because.is_empty();
        assert!(starts, "{}: {first}", truth.name);
    }
}

fn late(script: &mut Script) {
    script.silence();
    script.alert(1, GROUP, 17_000, &[("zero_group", 17_000), ("zero_rate", 18_321)], Some(31_000));
}

fn missed(script: &mut Script) {
    script.silence();
}

fn one_missed(script: &mut Script) {
    script.silence();
    script.alert(1, GROUP, 17_000, &[("zero_group", 17_000)], Some(31_000));
}

fn wrong(script: &mut Script) {
    script.silence();
    script.alert(1, "output", 17_000, &[("psi_bins", 17_000)], Some(31_000));
}

/// Errors beside the zeros: as in the main story, and an ordinary level sees it.
fn with_errors(script: &mut Script) {
    script.traffic = |millis| Row { ok: !(20_000..22_000).contains(&millis), ..zeros_in_silence(millis) };
}

fn false_alarm(script: &mut Script) {
    script.alert(9, "request", 8_000, &[("null_rate", 8_000)], Some(9_000));
}
