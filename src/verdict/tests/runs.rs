//! Runs from which nothing follows, and faults that outlast theirs.

use super::*;

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
