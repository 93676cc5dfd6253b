//! What detectors made of a fault, silent or loud, and the rank that it gives the headline.

use super::*;

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
