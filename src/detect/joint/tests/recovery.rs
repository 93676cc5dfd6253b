//! When the alarm of a relation is over, and what a restart does to it.

use super::*;
use crate::detect::monitor::Saved;
use crate::detect::{Alarm, Harm};

/// One world after the other.
fn joined(worlds: Vec<World>) -> World {
    let mut all = World { features: Default::default(), answers: Vec::new() };
    for world in worlds {
        all.features.iter_mut().zip(world.features).for_each(|(all, one)| all.extend(one));
        all.answers.extend(world.answers);
    }
    all
}

/// Rows of which a share has the answer of another row.
fn broken(seed: u64, rows: usize, share: f64) -> World {
    let mut broken = world(seed, rows);
    let mut random = StdRng::seed_from_u64(seed + 1_000);
    let others = shifted(&broken.answers, 7);
    for (answer, other) in broken.answers.iter_mut().zip(others) {
        if random.random_bool(share) {
            *answer = other;
        }
    }
    broken
}

/// What the monitor finds of some rows, which come in pieces as a tap hands them over.
fn found(monitor: &mut Monitor, world: &World, rows: std::ops::Range<usize>) -> Vec<Finding> {
    let end = rows.end;
    rows.step_by(250).flat_map(|from| monitor.observe(&world.part(from..end.min(from + 250)))).collect()
}

/// What happened, to which group, in which row.
fn told(findings: &[Finding]) -> Vec<(&'static str, String, String, u64)> {
    let of = |finding: &Finding| match finding {
        Finding::Raised(Alarm { group, detector, row, .. }) => {
            ("raised", group.clone(), detector.clone(), *row)
        }
        Finding::Fired { group, detector, row, .. } => ("fired", group.clone(), detector.clone(), *row),
        Finding::Resolved { group, row, .. } => ("resolved", group.clone(), String::new(), *row),
    };
    findings.iter().map(of).collect()
}

/// Answers of other rows, in all rows or in three of ten: one alarm that lasts as long as they do, and is over soon
/// after.
#[test]
fn a_relation_that_holds_again_resolves() {
    for share in [1.0, 0.3] {
        let rows = joined(vec![world(200, 500), broken(201, 2_500, share), world(202, 4_000)]);
        let mut monitor = monitor(known(), &rows.part(0..1), 100_000);
        let told = told(&found(&mut monitor, &rows, 0..7_000));
        let of = |what: &str| told.iter().filter(|t| t.0 == what).collect::<Vec<_>>();
        let (raised, resolved) = (of("raised"), of("resolved"));
        let ([(_, group, _, at)], [(_, released, _, over)]) = (&raised[..], &resolved[..]) else {
            panic!("{share}: {told:?}")
        };
        assert!(group == "output" && group == released, "{told:?}");
        assert!((500..700).contains(at) && (3_300..6_000).contains(over), "{share}: {told:?}");
    }
}

/// A relation that stays broken in one row of ten is one alarm that never ends, whether all rows are looked at or, under
/// load, one in eight.
#[test]
fn a_relation_that_stays_broken_does_not_resolve() {
    for one_in in [1, 8] {
        let rows = joined(vec![broken(210, 500, 1.0), broken(211, 7_500, 0.1)]);
        let mut monitor = monitor(known(), &rows.part(0..1), 100_000);
        monitor.thin_relations(one_in);
        let told = told(&found(&mut monitor, &rows, 0..8_000));
        let is = |what: &str| told.iter().filter(|t| t.0 == what).count();
        assert_eq!((is("raised"), is("resolved")), (1, 0), "{one_in}: {told:?}");
    }
}

/// The evidence of relations is kept by a restart before the alarm and by one after it: every finding comes in the same
/// row, and the evidence at the end is the same.
#[test]
fn relations_go_on_after_a_restart() {
    let rows = joined(vec![world(220, 300), broken(221, 1_200, 0.1), world(222, 3_500)]);
    let all = rows.answers.len();
    let mut whole = monitor(known(), &rows.part(0..1), 100_000);
    let expected = told(&found(&mut whole, &rows, 0..all));
    let at = expected[0].3;
    assert!(expected[0].0 == "raised" && expected[0].1 == "output" && at > 311, "{expected:?}");
    assert!(expected.iter().any(|t| t.0 == "resolved"), "{expected:?}");
    for cut in [usize::try_from(at).unwrap() - 10, 900] {
        let mut before = monitor(known(), &rows.part(0..1), 100_000);
        let mut findings = told(&found(&mut before, &rows, 0..cut));
        let saved = serde_json::to_string(&before.save()).unwrap();
        let mut after = monitor(known(), &rows.part(0..1), 100_000);
        after.restore(serde_json::from_str(&saved).unwrap()).unwrap();
        findings.extend(told(&found(&mut after, &rows, cut..all)));
        assert_eq!(findings, expected, "{cut}");
        let mut compared = 0;
        for (stream, is) in after.calibration.streams.iter().zip(0..) {
            if matches!(stream.source, Source::Joint { .. }) {
                assert_eq!(after.state.evidence[is], whole.state.evidence[is], "{cut} {}", stream.name);
                compared += 1;
            }
        }
        assert!(compared > 3, "{compared}");
    }
}

/// Rows in memory are in no file: after a restart nobody knows what a fault does to decisions, and rows that the
/// monitor had seen of something else are no health to hold it against.
#[test]
fn rows_from_before_a_restart_are_not_known() {
    let rows = joined(vec![world(230, 300), broken(231, 300, 1.0)]);
    let mut before = monitor(known(), &rows.part(0..1), 100_000);
    assert_eq!(told(&found(&mut before, &rows, 0..300)), []);
    let saved = serde_json::to_string(&before.save()).unwrap();
    let alarm = |mut monitor: Monitor| {
        monitor.restore(serde_json::from_str::<Saved>(&saved).unwrap()).unwrap();
        let raised = found(&mut monitor, &rows, 300..600);
        let of = |f| if let Finding::Raised(alarm) = f { Some(alarm) } else { None };
        raised.into_iter().find_map(of).unwrap()
    };
    let new = alarm(monitor(known(), &rows.part(0..1), 100_000));
    let Harm::Unknown { reason } = &new.diagnosis.harm else { panic!("{:?}", new.diagnosis) };
    assert!(reason.contains("from before the fault"), "{reason}");
    let mut used = monitor(known(), &rows.part(0..1), 100_000);
    found(&mut used, &world(232, 250), 0..250);
    assert_eq!(alarm(used), new);
}
