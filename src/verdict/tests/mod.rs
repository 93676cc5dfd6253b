//! Scripted runs whose truth is known.

mod documents;
pub(super) mod script;

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

/// Each outcome of a silent fault, and the rank that it gives the headline.
#[test]
fn silent_faults() {
    let base = Script::main_story;
    let valid = |visibility, headline, outcome, recovery, held| {
        ["valid", "effective", visibility, headline, outcome, recovery, held]
    };
    check(&[
        Truth {
            name: "the main story",
            base,
            bend: |_| {},
            exit: 0,
            because: "",
            words: valid("silent", "pass", "detected_in_budget", "recovered", "true"),
        },
        Truth {
            name: "exactly in budget",
            base,
            exit: 0,
            because: "",
            bend: |s| {
                s.silence();
                s.alert(
                    1,
                    GROUP,
                    EFFECT + 2_000,
                    &[("zero_group", EFFECT + 2_000), ("zero_rate", EFFECT + 2_000)],
                    Some(31_000),
                );
            },
            words: valid("silent", "pass", "detected_in_budget", "recovered", "true"),
        },
        Truth {
            name: "one of two late",
            base,
            bend: late,
            exit: 1,
            because: "fault `store-slow` was silent and detected late",
            words: valid("silent", "fail", "detected_late", "recovered", "false"),
        },
        Truth {
            name: "all missed",
            base,
            bend: missed,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            words: valid("silent", "fail", "missed", "recovered", "false"),
        },
        Truth {
            name: "one of two missed",
            base,
            bend: one_missed,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            words: valid("silent", "fail", "missed", "recovered", "false"),
        },
        Truth {
            name: "another detector fired",
            base,
            bend: wrong,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            words: valid("silent", "fail", "wrong_detector", "recovered", "false"),
        },
        Truth {
            name: "the right names for another group",
            base,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            bend: |s| {
                s.silence();
                s.alert(1, "request", 17_000, &[("zero_group", 17_000), ("zero_rate", 17_000)], Some(31_000));
            },
            words: valid("silent", "fail", "wrong_detector", "recovered", "false"),
        },
        Truth {
            name: "after the fault's end",
            base,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            bend: |s| {
                s.silence();
                s.alert(
                    1,
                    GROUP,
                    RESTORED + 3_000,
                    &[("zero_group", RESTORED + 3_000), ("zero_rate", RESTORED + 3_000)],
                    Some(35_000),
                );
            },
            words: valid("silent", "fail", "missed", "recovered", "false"),
        },
        Truth {
            name: "pending told nobody",
            base,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            bend: |s| {
                s.timeline.0.iter_mut().for_each(|e| {
                    if e.event == crate::alert::Event::Firing {
                        e.event = crate::alert::Event::Pending
                    }
                })
            },
            words: valid("silent", "fail", "missed", "recovered", "false"),
        },
        Truth {
            name: "a false alarm before",
            base,
            bend: false_alarm,
            exit: 1,
            because: "1 false alarm, 0 allowed",
            words: valid("silent", "fail", "detected_in_budget", "recovered", "false"),
        },
        Truth {
            name: "missed ranks above a false alarm",
            base,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            bend: |s| {
                missed(s);
                false_alarm(s);
            },
            words: valid("silent", "fail", "missed", "recovered", "false"),
        },
        Truth {
            name: "the alert stays",
            base,
            exit: 0,
            because: "an alert did not clear",
            bend: |s| {
                s.silence();
                s.alert(1, GROUP, 17_000, &[("zero_group", 17_000), ("zero_rate", 17_200)], None);
            },
            words: valid("silent", "pass", "detected_in_budget", "alert_stuck", "true"),
        },
        Truth {
            name: "a false alarm for a row from before, told after",
            base,
            exit: 1,
            because: "1 false alarm",
            bend: |s| s.alert(2, "request", ACTIVE + 10, &[("null_rate", ACTIVE + 10)], Some(18_000)),
            words: valid("silent", "fail", "detected_in_budget", "recovered", "false"),
        },
        Truth {
            name: "the rule's `for` takes it over the budget",
            base,
            exit: 1,
            because: "fault `store-slow` was silent and detected late",
            bend: |s| {
                s.silence();
                s.alert(1, GROUP, 18_500, &[("zero_group", 17_000), ("zero_rate", 17_000)], Some(31_000));
            },
            words: valid("silent", "fail", "detected_late", "recovered", "false"),
        },
        Truth {
            name: "harmed rows in flight at the restore are no fault left behind",
            base,
            exit: 0,
            because: "",
            bend: |s| {
                s.traffic = |millis| match zeros_in_silence(millis) {
                    row if millis < RESTORED + 500 => row,
                    row => Row { status: None, ..row },
                };
            },
            words: valid("silent", "pass", "detected_in_budget", "recovered", "true"),
        },
        Truth {
            name: "already firing, a false alarm",
            base,
            exit: 1,
            because: "1 false alarm",
            bend: |s| {
                s.silence();
                s.alert(1, GROUP, 9_000, &[("zero_group", 9_000), ("zero_rate", 17_000)], Some(31_000));
            },
            words: valid("silent", "fail", "already_firing", "recovered", "false"),
        },
        Truth {
            name: "already firing since before the steady phase",
            base,
            exit: 1,
            because: "1 false alarm",
            bend: |s| {
                s.silence();
                s.alert(1, GROUP, 500, &[("zero_group", 500), ("zero_rate", 500)], Some(39_000));
            },
            words: valid("silent", "fail", "already_firing", "recovered", "false"),
        },
        Truth {
            name: "senses the injector, not the rows",
            base,
            exit: 3,
            because: "the alert of fault `store-slow` already stood",
            bend: |s| {
                s.silence();
                s.alert(
                    1,
                    GROUP,
                    ACTIVE + 100,
                    &[("zero_group", ACTIVE + 100), ("zero_rate", ACTIVE + 100)],
                    Some(31_000),
                );
            },
            words: valid("silent", "inconclusive", "already_firing", "recovered", "-"),
        },
        Truth {
            name: "fires after the effect for a row from before it",
            base,
            exit: 3,
            because: "the alert of fault `store-slow` already stood",
            bend: |s| {
                s.silence();
                s.alert(
                    1,
                    GROUP,
                    EFFECT + 10,
                    &[("zero_group", EFFECT + 10), ("zero_rate", EFFECT + 10)],
                    Some(31_000),
                );
            },
            words: valid("silent", "inconclusive", "already_firing", "recovered", "-"),
        },
    ]);
}

/// What an ordinary level saw is loud; the detectors are still asked.
#[test]
fn loud_faults() {
    let valid =
        |headline, outcome, held| ["valid", "effective", "loud", headline, outcome, "recovered", held];
    check(&[
        Truth {
            name: "loud, detected: not the visibility that was believed",
            base: Script::main_story,
            bend: with_errors,
            exit: 0,
            because: "",
            words: valid("pass", "detected_in_budget", "false"),
        },
        Truth {
            name: "loud and missed",
            base: Script::main_story,
            bend: |s| {
                with_errors(s);
                missed(s);
            },
            exit: 1,
            because: "fault `store-slow` was missed by its detectors",
            words: valid("fail", "missed", "false"),
        },
        Truth {
            name: "loud and late",
            base: Script::main_story,
            bend: |s| {
                with_errors(s);
                late(s);
            },
            exit: 0,
            because: "fault `store-slow` was detected late, but",
            words: valid("pass", "detected_late", "false"),
        },
        Truth {
            name: "false alarms rank above loud and missed",
            base: Script::main_story,
            bend: |s| {
                with_errors(s);
                missed(s);
                false_alarm(s);
            },
            exit: 1,
            because: "1 false alarm",
            words: valid("fail", "missed", "false"),
        },
        Truth {
            name: "fails loudly, nobody asked",
            base: Script::loud,
            bend: |_| {},
            exit: 0,
            because: "fault `store-slow` was loud, and no detector was expected",
            words: valid("pass", "-", "true"),
        },
        Truth {
            name: "fails loudly, seen by the level alone",
            base: Script::loud,
            bend: |s| s.witnessed = false,
            exit: 0,
            because: "fault `store-slow` was loud",
            words: valid("pass", "-", "true"),
        },
        Truth {
            name: "silent and nobody asked",
            base: Script::loud,
            bend: |s| s.traffic = zeros_in_silence,
            exit: 1,
            because: "fault `store-slow` was silent and missed",
            words: ["valid", "effective", "silent", "fail", "missed", "recovered", "false"],
        },
    ]);
}

/// Without a proven effect, or a valid run, nothing is concluded, however the alerts look.
#[test]
fn runs_that_do_not_tell() {
    let base = Script::main_story;
    let invalid = ["invalid", "effective", "silent", "inconclusive", "detected_in_budget", "recovered", "-"];
    check(&[
        Truth {
            name: "no effect",
            base,
            bend: |s| s.traffic = healthy,
            exit: 3,
            because: "fault `store-slow` took no effect",
            words: ["valid", "no_effect", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "a service that says nothing",
            base,
            exit: 3,
            because: "whether fault `store-slow` took effect is unverified",
            bend: |s| s.traffic = |millis| Row { status: None, ..zeros_in_silence(millis) },
            words: ["valid", "unverified", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "no witness",
            base,
            bend: |s| s.witnessed = false,
            exit: 3,
            because: "whether fault `store-slow` took effect",
            words: ["valid", "unverified", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "everyday substitutions, no more of them",
            base,
            exit: 3,
            because: "fault `store-slow` took no effect",
            bend: |s| {
                s.traffic = |millis| Row {
                    status: Some(if millis % 130 == 0 { "not_found" } else { "present" }),
                    ..healthy(millis)
                }
            },
            words: ["valid", "no_effect", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "not run",
            base,
            exit: 3,
            because: "not run: no baseline",
            bend: |s| {
                s.journal.0.clear();
                s.silence();
                s.traffic = healthy;
                s.journal.note(at(0), Act::NotRun { reason: "no baseline".into() });
            },
            words: ["not_run", "no_effect", "-", "inconclusive", "-", "-", "-"],
        },
        Truth {
            name: "an empty journal",
            base,
            bend: |s| {
                s.journal.0.clear();
                s.silence();
                s.witnessed = false;
            },
            exit: 3,
            because: "not run",
            words: ["not_run", "unverified", "-", "inconclusive", "-", "-", "-"],
        },
        Truth {
            name: "aborted with the fault taken back",
            base,
            exit: 3,
            because: "aborted: operator",
            bend: |s| s.journal.note(at(30_000), Act::Aborted { reason: "operator".into() }),
            words: ["aborted", "effective", "silent", "inconclusive", "detected_in_budget", "recovered", "-"],
        },
        Truth {
            name: "aborted with the fault left on",
            base,
            exit: 4,
            because: "aborted: operator",
            bend: |s| {
                s.strike(|act| matches!(act, Act::FaultRestored { .. } | Act::FaultVerified { .. }));
                s.journal.note(at(30_000), Act::Aborted { reason: "operator".into() });
            },
            words: ["aborted", "effective", "silent", "fail", "detected_in_budget", "unrecovered", "-"],
        },
        Truth {
            name: "the tap lost rows",
            base,
            bend: |s| {
                s.tap.rows_lost.insert("queue_full".into(), 100);
            },
            exit: 3,
            because: "the tap lost 100 of 4100 rows, 1 % allowed",
            words: invalid,
        },
        Truth {
            name: "too few rows",
            base,
            bend: |s| s.tap.rows_seen = 99,
            exit: 3,
            because: "too few rows: 99 seen",
            words: invalid,
        },
        Truth {
            name: "detectors changed in the run",
            base,
            bend: |s| s.after.detectors = "d2".into(),
            exit: 3,
            because: "the detectors' configuration changed",
            words: invalid,
        },
        Truth {
            name: "baseline changed in the run",
            base,
            bend: |s| s.after.baseline = "b2".into(),
            exit: 3,
            because: "the baseline changed",
            words: invalid,
        },
        Truth {
            name: "expectations changed in the run",
            base,
            bend: |s| s.after.experiment = "e2".into(),
            exit: 3,
            because: "the experiment changed",
            words: invalid,
        },
        Truth {
            name: "a clock two seconds off",
            base,
            bend: |s| s.clock.offset_ms = Some(-2_000.0),
            exit: 3,
            because: "the sender's clock is -2000 ms off",
            words: invalid,
        },
        Truth {
            name: "clocks too coarse",
            base,
            bend: |s| s.clock.resolution_ms = 1_500.0,
            exit: 3,
            because: "clocks tell 1500 ms apart, 1000 ms allowed",
            words: invalid,
        },
        Truth {
            name: "a clock nobody could measure",
            base,
            bend: |s| s.clock.offset_ms = Some(f64::NAN),
            exit: 3,
            because: "the sender's clock is NaN ms off",
            words: invalid,
        },
        Truth {
            name: "broken before it began",
            base,
            exit: 3,
            because: "steady state not met: `success`",
            bend: |s| {
                s.traffic =
                    |millis| Row { ok: millis != 5_000 && millis != 5_010, ..zeros_in_silence(millis) }
            },
            words: ["invalid", "effective", "silent", "inconclusive", "detected_in_budget", "recovered", "-"],
        },
        Truth {
            name: "levels without data",
            base,
            bend: |s| s.slo_data = false,
            exit: 3,
            because: "steady state unknown: `latency`",
            words: ["invalid", "effective", "-", "inconclusive", "detected_in_budget", "recovered", "-"],
        },
        Truth {
            name: "a run without end",
            base,
            bend: |s| s.strike(|act| *act == Act::RunEnded),
            exit: 3,
            because: "the journal does not say that the run ended",
            words: ["invalid", "effective", "-", "inconclusive", "detected_in_budget", "recovered", "-"],
        },
        Truth {
            name: "a fault never on",
            base,
            bend: |s| s.strike(|act| matches!(act, Act::FaultActive { .. })),
            exit: 3,
            because: "fault `store-slow` was never active",
            words: ["invalid", "effective", "-", "inconclusive", "-", "recovered", "-"],
        },
    ]);
}

/// A fault that is not proven gone outranks everything.
#[test]
fn faults_left_behind() {
    let base = Script::main_story;
    let words = ["valid", "effective", "silent", "fail", "detected_in_budget", "unrecovered", "true"];
    let gone = "a fault could not be proven gone";
    check(&[
        Truth {
            name: "never taken back",
            base,
            exit: 4,
            because: gone,
            words,
            bend: |s| s.strike(|act| matches!(act, Act::FaultRestored { .. } | Act::FaultVerified { .. })),
        },
        Truth {
            name: "no probe",
            base,
            exit: 4,
            because: gone,
            words,
            bend: |s| s.strike(|act| matches!(act, Act::FaultVerified { .. })),
        },
        Truth {
            name: "the probe saw it",
            base,
            exit: 4,
            because: gone,
            words,
            bend: |s| {
                s.journal.note(at(39_000), Act::FaultStillLive { fault: FAULT.into(), seen: "800 ms".into() })
            },
        },
        Truth {
            name: "a known answer was wrong",
            base,
            exit: 4,
            because: gone,
            words,
            bend: |s| s.known_answers = Some(KnownAnswers { asked: 5, right: 4 }),
        },
        Truth {
            name: "no known answer was answered",
            base,
            exit: 4,
            because: gone,
            words,
            bend: |s| s.known_answers = Some(KnownAnswers { asked: 0, right: 0 }),
        },
        Truth {
            name: "rows stay harmed",
            base,
            exit: 4,
            because: gone,
            words,
            bend: |s| {
                s.traffic =
                    |millis| zeros_in_silence(if millis > RESTORED { EFFECT + millis % 300 } else { millis })
            },
        },
    ]);
}

/// A sham passes when nothing fires, and fails when anything does, at any time.
#[test]
fn shams() {
    let base = Script::sham;
    let fired = ["valid", "no_effect", "silent", "fail", "-", "recovered", "false"];
    check(&[
        Truth {
            name: "quiet",
            base,
            bend: |_| {},
            exit: 0,
            because: "",
            words: ["valid", "no_effect", "silent", "pass", "-", "recovered", "true"],
        },
        Truth {
            name: "nobody watched",
            base,
            bend: |s| s.watch.decided = 0,
            exit: 3,
            because: "no detector was on and decided",
            words: ["valid", "no_effect", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "the timeline forgot",
            base,
            bend: |s| s.watch.timeline_whole = false,
            exit: 3,
            because: "the timeline no longer has everything",
            words: ["invalid", "no_effect", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "fires when armed",
            base,
            exit: 1,
            because: "1 false alarm",
            words: fired,
            bend: |s| s.alert(1, GROUP, 17_000, &[("zero_group", 17_000)], Some(18_000)),
        },
        Truth {
            name: "fires in the steady phase",
            base,
            bend: false_alarm,
            exit: 1,
            because: "1 false alarm",
            words: fired,
        },
        Truth {
            name: "fires after the restore",
            base,
            exit: 1,
            because: "1 false alarm",
            words: fired,
            bend: |s| s.alert(1, GROUP, 35_000, &[("zero_group", 35_000)], Some(36_000)),
        },
        Truth {
            name: "fires always",
            base,
            exit: 1,
            because: "1 false alarm",
            bend: |s| s.alert(1, GROUP, 100, &[("zero_group", 100), ("zero_rate", 100)], None),
            words: ["valid", "no_effect", "silent", "fail", "-", "alert_stuck", "false"],
        },
        Truth {
            name: "rows change all the same",
            base,
            bend: |s| s.traffic = zeros_in_silence,
            exit: 3,
            because: "rows changed though nothing was injected",
            words: ["valid", "effective", "silent", "inconclusive", "-", "recovered", "-"],
        },
        Truth {
            name: "a service that says nothing",
            base,
            exit: 0,
            because: "",
            bend: |s| s.traffic = |millis| Row { status: None, ..healthy(millis) },
            words: ["valid", "unverified", "silent", "pass", "-", "recovered", "true"],
        },
        Truth {
            name: "loud by chance",
            base,
            exit: 0,
            because: "",
            bend: |s| s.traffic = |millis| Row { ok: !(20_000..21_000).contains(&millis), ..healthy(millis) },
            words: ["valid", "no_effect", "loud", "pass", "-", "recovered", "false"],
        },
    ]);
}
