//! What is written down: numbers, texts, schema, exit codes.

use super::*;
use crate::chaos::{Expect, Headline};
use crate::verdict::json_schema;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/verdict/verdict.schema.json");

fn near(seen: Option<f64>, expected: f64) {
    let seen = seen.unwrap();
    assert!((seen - expected).abs() < 1e-6, "{seen} for {expected}");
}

/// Time to detect runs from the first effective row, not from the fault, and its parts add up.
#[test]
fn times_and_their_parts() {
    let mut script = Script::main_story();
    script.clock.resolution_ms = 50.0;
    let verdict = script.judge();
    let fault = &verdict.faults[0];
    assert_eq!((fault.effective_from, fault.effective_to), (Some(at(EFFECT)), Some(at(RESTORED + 470))));
    let [group, rate] = &fault.detections[..] else { panic!("two detections") };
    near(group.ttd_ms, 680.0);
    let [least, most] = group.ttd_interval_ms.unwrap();
    near(Some(least), 660.0);
    near(Some(most), 730.0);
    near(group.split.effect_lag_ms, 320.0);
    near(group.split.detector_ms, 660.0);
    near(group.split.for_ms, 20.0);
    near(group.split.delivery_ms, 5.0);
    near(rate.ttd_ms, 880.0);
    near(verdict.recovered_ms, 3_000.0);
}

/// An edge that a coarse clock shows just before the effect took no time, and is no older alarm.
#[test]
fn coarse_clocks_give_no_negative_times() {
    let mut script = Script::main_story();
    script.clock.resolution_ms = 1_000.0;
    for entry in &mut script.timeline.0 {
        entry.at = entry.at.minus(std::time::Duration::from_millis(750));
    }
    let verdict = script.judge();
    near(verdict.faults[0].detections[0].ttd_ms, 0.0);
    assert_eq!(verdict.faults[0].outcome, Some(Outcome::DetectedInBudget));
}

/// Detectors that nobody expected are listed with their group, and do not spoil the expected ones.
#[test]
fn the_unexpected_are_listed() {
    let mut script = Script::main_story();
    script.alert(2, "output", 18_000, &[("bins", 18_000)], Some(32_000));
    let verdict = script.judge();
    let other = verdict.faults[0].detections.last().unwrap();
    assert_eq!((other.detector.as_str(), other.group.as_str(), other.expected), ("bins", "output", false));
    near(other.ttd_ms, 18_000.0 - 16_320.0);
    assert_eq!((other.outcome, verdict.headline), (None, Headline::Pass));
    assert_eq!(verdict.false_alarms.count, Some(0));
}

/// False alarms are counted with the time in which there could be any, and the share that they stood.
#[test]
fn false_alarms_have_a_rate() {
    let mut script = Script::main_story();
    false_alarm(&mut script);
    let alarms = script.judge().false_alarms;
    near(alarms.control_ms, 15_000.0);
    near(alarms.per_hour, 240.0);
    near(alarms.firing_share.map(Ratio::get), 1.0 / 15.0);
    assert_eq!((alarms.alarms[0].alert, alarms.alarms[0].group.as_str()), (9, "request"));
}

/// A single run never has a score, and says what it would add to one.
#[test]
fn one_run_is_no_score() {
    let score = Script::main_story().judge().score;
    assert_eq!((score.state, score.point, score.conservative), (ScoreState::Inconclusive, None, None));
    assert_eq!((score.n_faults, score.n_shams, score.coverage), (1, 0, Ratio::new(1.0).ok()));
    let score = Script::sham().judge().score;
    assert_eq!((score.n_faults, score.n_shams, score.coverage), (0, 1, None));
    assert_eq!(score.p0, Ratio::new(0.0).ok());
    let mut flapping = Script::sham();
    flapping.alert(1, GROUP, ACTIVE + 20, &[("zero_group", ACTIVE + 20), ("zero_rate", ACTIVE + 20)], None);
    assert_eq!(flapping.judge().score.p0, Ratio::new(1.0).ok());
    let mut without_effect = Script::main_story();
    without_effect.traffic = healthy;
    assert_eq!(without_effect.judge().score.coverage, Ratio::new(0.0).ok());
}

/// Rows are counted where the service spoke, and are unknown with a reason where it did not.
#[test]
fn impact_is_counted_or_unknown() {
    let impact = Script::main_story().judge().impact;
    assert_eq!(impact.rows_served_wrong.value, Some(406));
    assert!(impact.flipped_decisions.value.is_none() && impact.flipped_decisions.reason.is_some());
    let mut mute = Script::main_story();
    mute.traffic = |millis| Row { status: None, ..zeros_in_silence(millis) };
    let impact = mute.judge().impact;
    assert_eq!(impact.rows_served_wrong.value, None);
    assert!(impact.rows_served_wrong.reason.unwrap().contains("did not say"));
    assert_eq!(Script::loud().judge().impact.rows_failed.value, Some(406));
}

/// Two faults at once: each is judged by its own detectors, and the worse makes the headline.
#[test]
fn the_worst_fault_counts() {
    let mut script = Script::main_story();
    let mut second = script.experiment.faults[0].clone();
    second.id = "second".into();
    second.detections[0].detector = "null_rate".into();
    second.detections.truncate(1);
    second.severity = Severity::Info;
    script.experiment.faults.push(second);
    for act in [
        Act::FaultActive { fault: "second".into() },
        Act::FaultRestored { fault: "second".into() },
        Act::FaultVerified { fault: "second".into() },
    ] {
        script.journal.note(at(RESTORED), act);
    }
    // The level breaks, and so proves an effect of the fault that has no witness.
    script.traffic = |millis| Row { ok: !(EFFECT..18_000).contains(&millis), ..zeros_in_silence(millis) };
    let verdict = script.judge();
    let outcomes: Vec<_> = verdict.faults.iter().map(|f| f.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::DetectedInBudget), Some(Outcome::Missed)]);
    // What the first fault expects in that group is nobody's wrong detector.
    assert!(verdict.faults[1].detections.iter().all(|d| d.expected));
    assert_eq!((verdict.headline, verdict.effect), (Headline::Fail, Effect::Effective));
}

/// The first line answers, and whoever missed is named.
#[test]
fn the_text_answers_first() {
    for (bend, first, contains) in [
        (
            (|_| {}) as fn(&mut Script),
            "We would have noticed: silent, detected in budget, recovered",
            "zero_rate: detected",
        ),
        (
            missed,
            "We would not have noticed as we should: silent, missed, recovered",
            "missed: zero_group, zero_rate",
        ),
        (
            wrong,
            "We would not have noticed as we should: silent, missed (another detector fired), recovered",
            "missed: zero_group, zero_rate",
        ),
        (
            late,
            "We would not have noticed as we should: silent, detected late, recovered",
            "zero_rate: detected late after 2.00 s",
        ),
        (
            false_alarm,
            "We would not have noticed as we should: silent, detected in budget, 1 false alarm, recovered",
            "1 false alarm in 15.00 s",
        ),
        (
            |s| s.tap.rows_seen = 1,
            "We cannot say whether we would have noticed: invalid, too few rows: 1 seen, 100 needed, recovered",
            "too few",
        ),
        (
            |s| s.traffic = healthy,
            "We cannot say whether we would have noticed: no effect, recovered",
            "nothing to detect",
        ),
    ] {
        let mut script = Script::main_story();
        bend(&mut script);
        let text = describe(&script.judge());
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains(contains), "{text}");
    }
    let sham = describe(&Script::sham().judge());
    assert!(sham.starts_with("Nothing was broken: silent, no detector fired, recovered\n"), "{sham}");
}

/// Every committed experiment earns what it expects in the run that it describes, and says what is missing else.
#[test]
fn experiments_earn_their_verdict() {
    for script in [Script::main_story(), Script::sham(), Script::loud()] {
        let verdict = script.judge();
        let expect = &script.experiment.expect;
        assert_eq!(unmet(&verdict, expect), Vec::<String>::new(), "{}", describe(&verdict));
        assert_eq!(exit_code_expecting(&verdict, expect), 0);
    }
    let mut script = Script::main_story();
    missed(&mut script);
    let verdict = script.judge();
    assert_eq!(
        unmet(&verdict, &script.experiment.expect),
        [
            "headline is fail, expected pass",
            "outcome of fault `store-slow` is missed, expected detected_in_budget"
        ]
    );
    assert_eq!(exit_code_expecting(&verdict, &script.experiment.expect), 1);
    // A blind spot that the file states is what it expects.
    let blind =
        Expect { headline: Some(Headline::Fail), outcome: Some(Outcome::Missed), ..Expect::default() };
    assert_eq!(exit_code_expecting(&verdict, &blind), 0);
    let mut noisy = Script::sham();
    false_alarm(&mut noisy);
    let reasons = unmet(&noisy.judge(), &noisy.experiment.expect);
    assert!(reasons.contains(&"detected is [null_rate], expected []".to_owned()), "{reasons:?}");
}

/// A fault left behind and a run that was none have their own codes, whatever was expected.
#[test]
fn exit_codes_of_experiments() {
    let mut left = Script::main_story();
    left.strike(|act| matches!(act, Act::FaultVerified { .. }));
    let expect = Expect { recovery: Some(Recovery::Unrecovered), ..Expect::default() };
    assert_eq!(exit_code_expecting(&left.judge(), &expect), 4);
    let mut never = Script::main_story();
    never.journal.0.clear();
    assert_eq!(exit_code_expecting(&never.judge(), &never.experiment.expect), 3);
    let expect = Expect { status: Some(RunStatus::NotRun), ..Expect::default() };
    assert_eq!(exit_code_expecting(&never.judge(), &expect), 0);
    let expect = Expect { visibility: Some(Visibility::Silent), ..Expect::default() };
    assert_eq!(unmet(&never.judge(), &expect), ["visibility is not known, expected silent"]);
}

/// The committed schema is the code's; `SILENTRY_BLESS=1` writes it anew. Its top level is a promise.
#[test]
fn the_schema_is_the_codes() {
    let text = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("SILENTRY_BLESS").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(FILE).unwrap(), text, "run the tests with SILENTRY_BLESS=1");
    let schema = json_schema();
    let mut top: Vec<&str> =
        schema.pointer("/required").unwrap().as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
    top.sort_unstable();
    let mut promised = [
        "schema",
        "run",
        "experiment",
        "status",
        "effect",
        "visibility",
        "headline",
        "faults",
        "slo",
        "false_alarms",
        "recovery",
        "recovered_ms",
        "hypothesis",
        "impact",
        "score",
        "provenance",
    ];
    promised.sort_unstable();
    assert_eq!(top, promised);
}

/// Verdicts of every kind keep the schema and are read back as they were; a bent document does not keep it.
#[test]
fn verdicts_keep_the_schema() {
    let validator = jsonschema::validator_for(json_schema().as_value()).unwrap();
    let mut never = Script::main_story();
    never.journal.0.clear();
    never.witnessed = false;
    for script in [Script::main_story(), Script::sham(), Script::loud(), never] {
        let verdict = script.judge();
        let json = serde_json::to_value(&verdict).unwrap();
        let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Verdict>(&text).unwrap()).unwrap(), text);
        for (key, wrong) in [("headline", "maybe"), ("status", "fine"), ("extra", "x")] {
            let mut bent = json.clone();
            bent[key] = wrong.into();
            assert!(!validator.is_valid(&bent), "{key}: {wrong}");
        }
    }
}

/// The same run twice gives the same bytes, and these.
#[test]
fn a_whole_verdict() {
    let verdict = Script::main_story().judge();
    let again = Script::main_story().judge();
    assert_eq!(serde_json::to_string(&verdict).unwrap(), serde_json::to_string(&again).unwrap());
    insta::assert_json_snapshot!(verdict);
}
