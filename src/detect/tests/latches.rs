//! What an alarm stops, and what it does not.

use super::*;

/// The groups of alarms, in their order.
fn raised(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .filter_map(|f| if let Finding::Raised(a) = f { Some(a.group.as_str()) } else { None })
        .collect()
}

fn states(monitor: &Monitor, group: &str) -> Vec<StreamState> {
    monitor.report().into_iter().filter(|r| r.group == group).map(|r| r.state).collect()
}

/// Only the group that went wrong is latched: answers wait for it, the others start at zero and are quiet
/// again by themselves, while the fault lasts.
#[test]
fn only_the_group_concerned_latches() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    let mut all = rows(&mut random, 8_000);
    all.iter_mut().skip(1_000).for_each(zeros);
    let alarm = run(&mut monitor, &all[..1_020], 1);
    assert_eq!(raised(&alarm), ["redis:user"]);
    let quiet = StreamState::Quiet;
    assert!(!states(&monitor, "request").contains(&quiet), "quiet must be earned anew");
    let rest = run(&mut monitor, &all[1_020..], 64);
    assert_eq!(raised(&rest), <[&str; 0]>::default());
    let of_group = states(&monitor, "redis:user");
    assert!(of_group.contains(&StreamState::Drifted) && !of_group.contains(&quiet), "{of_group:?}");
    let of_request = states(&monitor, "request");
    assert!(of_request.contains(&quiet) && !of_request.contains(&StreamState::Drifted), "{of_request:?}");
    let explained = StreamState::Undecided(Undecided::Explained);
    assert!(states(&monitor, "output").iter().all(|state| *state == explained));
}

/// Recovery is a test of its own: a fault that is still live in one row of a hundred holds the alarm for as
/// long as it lasts, and health resolves it.
#[test]
fn a_live_fault_of_one_percent_does_not_resolve() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    let mut all = rows(&mut random, 41_000);
    for (i, row) in all.iter_mut().enumerate().skip(500) {
        if i < 1_000 || i % 100 == 0 {
            zeros(row);
        }
    }
    let findings = run(&mut monitor, &all, 256);
    assert_eq!(raised(&findings), ["redis:user"]);
    let resolved =
        |findings: &[Finding]| findings.iter().filter(|f| matches!(f, Finding::Resolved { .. })).count();
    assert_eq!(resolved(&findings), 0, "{findings:?}");
    assert!(states(&monitor, "redis:user").contains(&StreamState::Drifted));
    let findings = run(&mut monitor, &rows(&mut random, 5_000), 256);
    assert_eq!((raised(&findings), resolved(&findings)), (vec![], 1), "{findings:?}");
}

/// Nothing is learnt while a group is latched: what judges is the same to the byte after a fault of 20,000
/// rows, and the fault's return is found as soon as the fault was.
#[test]
fn nothing_is_learnt_while_latched() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    let counted = serde_json::to_string(&monitor.calibration).unwrap();
    let fingerprint = monitor.fingerprint().to_owned();
    let alarm_after = |monitor: &mut Monitor, random: &mut StdRng, faulty: usize| {
        let mut all = rows(random, 1_000 + faulty + 8_000);
        all.iter_mut().skip(1_000).take(faulty).step_by(3).for_each(zeros);
        let before = monitor.rows();
        let findings = run(monitor, &all, 128);
        assert!(matches!(findings.last(), Some(Finding::Resolved { .. })), "{:?}", findings.last());
        let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
        alarm.row - before - 1_000
    };
    let first = alarm_after(&mut monitor, &mut random, 20_000);
    let second = alarm_after(&mut monitor, &mut random, 500);
    assert!(first < 40 && second < 40, "{first} {second}");
    assert_eq!(serde_json::to_string(&monitor.calibration).unwrap(), counted);
    assert_eq!(monitor.fingerprint(), fingerprint);
}

/// A second fault in another group alarms while the first is latched; answers do not.
#[test]
fn second_fault_alarms_too() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    let mut all = rows(&mut random, 4_000);
    for (i, row) in all.iter_mut().enumerate().skip(1_000) {
        zeros(row);
        row.3 = Some(0.5);
        if i > 2_000 {
            row.2 = None;
        }
    }
    let findings = run(&mut monitor, &all, 128);
    let groups: Vec<&str> = findings
        .iter()
        .filter_map(|f| if let Finding::Raised(a) = f { Some(a.group.as_str()) } else { None })
        .collect();
    assert_eq!(groups, ["redis:user", "request"]);
    assert!(
        findings.iter().any(|f| matches!(f, Finding::Fired { group, detector, .. }
        if group == "redis:user" && detector == "value_share")),
        "the answers' share is told with the cause"
    );
}

/// An accepted change stays latched and undecided, says nothing more however long health lasts or
/// other detectors fire, and survives a restart; the other groups go on.
#[test]
fn an_accepted_group_is_undecided_for_good() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    let mut story = story(&mut random, zeros);
    story.truncate(2_400);
    assert!(!monitor.accept("redis:user"), "nothing is latched yet");
    assert_eq!(run(&mut monitor, &story, 64).iter().filter(|f| matches!(f, Finding::Raised(_))).count(), 1);
    assert!(monitor.accept("redis:user"));
    let states = |monitor: &Monitor, group: &str| -> BTreeSet<String> {
        let report = monitor.report().into_iter().filter(|r| r.group == group);
        report.map(|r| format!("{:?}", r.state)).collect()
    };
    let accepted = BTreeSet::from(["Undecided(Accepted)".to_owned()]);
    assert_eq!(states(&monitor, "redis:user"), accepted);
    let saved = serde_json::to_string(&monitor.save()).unwrap();
    monitor.restore(serde_json::from_str(&saved).unwrap()).unwrap();
    assert_eq!(run(&mut monitor, &rows(&mut random, 8_000), 64), []);
    assert_eq!(states(&monitor, "redis:user"), accepted);
    let mut nulls = rows(&mut random, 500);
    for row in &mut nulls {
        zeros(row);
        row.2 = None;
    }
    let findings = run(&mut monitor, &nulls, 64);
    let groups: BTreeSet<&str> = findings
        .iter()
        .map(|f| match f {
            Finding::Raised(alarm) => alarm.group.as_str(),
            Finding::Fired { group, .. } | Finding::Resolved { group, .. } => group,
        })
        .collect();
    assert_eq!(groups, BTreeSet::from(["request"]), "{findings:?}");
}

/// With too few rows judged nothing is quiet, what is latched stays so however healthy the rest looks, and
/// bets go on; with enough again, recovery does too.
#[test]
fn without_coverage_nothing_is_known() {
    let (mut monitor, mut random) = monitor(20_000, options(month()));
    run(&mut monitor, &rows(&mut random, 6_000), 64);
    monitor.set_coverage(false);
    let lost = StreamState::Undecided(Undecided::RowsLost);
    assert!(monitor.report().iter().all(|r| r.state == lost), "{:?}", monitor.report());
    let mut story = story(&mut random, zeros);
    story.extend(rows(&mut random, 4_000));
    let findings = run(&mut monitor, &story, 64);
    assert!(matches!(findings.first(), Some(Finding::Raised(_))), "{findings:?}");
    assert!(!findings.iter().any(|f| matches!(f, Finding::Resolved { .. })), "{findings:?}");
    assert!(monitor.report().iter().any(|r| r.state == StreamState::Drifted));
    monitor.set_coverage(true);
    assert_eq!(run(&mut monitor, &rows(&mut random, 100), 64), [], "health must be shown anew");
    let findings = run(&mut monitor, &rows(&mut random, 4_000), 64);
    assert!(matches!(findings[..], [Finding::Resolved { .. }]), "{findings:?}");
    assert!(monitor.report().iter().all(|r| r.state != lost));
}
