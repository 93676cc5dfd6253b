//! Runs in which nothing is broken.

use super::*;

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
