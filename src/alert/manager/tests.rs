use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::alert::{Error, SILENCE_MAX, Signature};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn manager(hold_secs: u64) -> Manager {
    Manager::new(&Config { hold: Duration::from_secs(hold_secs), ..Config::default() })
}

fn share(detector: &str, fired: bool) -> Share {
    Share { detector: detector.to_owned(), of_threshold: if fired { 1.2 } else { 0.3 }, fired }
}

fn raised(group: &str, ts: Timestamp) -> Finding {
    Finding::Raised(Alarm {
        row: 7,
        ts,
        detector: "zero_rate".to_owned(),
        kind: "zero".to_owned(),
        features: vec!["ph".to_owned()],
        group: group.to_owned(),
        score: 20.0,
        threshold: 15.0,
        since_row: 3,
        since: ts.minus(Duration::from_secs(1)),
        shares: vec![share("zero_rate", true), share("null_rate", false), share("unseen", true)],
        message: format!("`{group}`: 1 of 1 features became 0"),
        diagnosis: Box::default(),
    })
}

fn fired(group: &str, detector: &str, ts: Timestamp) -> Finding {
    let (group, detector) = (group.to_owned(), detector.to_owned());
    Finding::Fired { group, detector, features: vec!["ph".to_owned()], row: 9, ts }
}

fn resolved(group: &str, ts: Timestamp) -> Finding {
    Finding::Resolved { group: group.to_owned(), row: 11, ts }
}

fn ann() -> Signature {
    Signature::new(" ann ", Some("looking")).unwrap()
}

fn delivered(alert: u64, sink: &str, at: Timestamp) -> Delivered {
    Delivered { alert, sink: sink.to_owned(), at }
}

/// The name of what happened, in order.
fn events(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| name(&change.entry.event)).collect()
}

fn name(event: &Event) -> String {
    match event {
        Event::Pending => "pending".to_owned(),
        Event::Firing => "firing".to_owned(),
        Event::Detector { detector, .. } => format!("detector {detector}"),
        Event::Delivered { sink } => format!("delivered {sink}"),
        Event::Resolved => "resolved".to_owned(),
        Event::Acknowledged { who, .. } => format!("acknowledged {who}"),
        Event::Silenced { who, .. } => format!("silenced {who}"),
        Event::SilenceEnded { .. } => "silence ended".to_owned(),
        Event::Stale => "stale".to_owned(),
        Event::Accepted { who, .. } => format!("accepted {who}"),
        Event::Superseded => "superseded".to_owned(),
    }
}

/// Without `for`, condition and rising edge are one instant; every detector that fired is named,
/// those that only contributed are not.
#[test]
fn without_hold_it_fires_at_once() {
    let mut m = manager(0);
    let changes = m.observe("wine", &raised("redis:wine", at(9)), at(10));
    assert_eq!(events(&changes), ["pending", "firing", "detector zero_rate", "detector unseen"]);
    assert!(changes.iter().all(|c| c.entry.at == at(10) && c.entry.stream_at == at(9)));
    let alert = m.active().remove(0);
    assert_eq!((alert.state, alert.id, alert.fired_at), (State::Firing, 1, Some(at(10))));
    assert_eq!((alert.since, alert.severity), (at(8), Severity::Critical));
    let later = m.observe("wine", &fired("redis:wine", "null_rate", at(11)), at(12));
    assert_eq!(events(&later), ["detector null_rate"]);
    assert_eq!((later[0].entry.at, later[0].entry.stream_at), (at(12), at(11)));
}

/// With `for`, it fires at the first tick that is not too early, with the detectors of the time
/// between; a detector that fires twice is noted once.
#[test]
fn pending_matures() {
    let mut m = manager(5);
    assert_eq!(events(&m.observe("wine", &raised("g", at(10)), at(10))), ["pending"]);
    assert_eq!(events(&m.observe("wine", &fired("g", "null_rate", at(12)), at(12))), Vec::<String>::new());
    assert_eq!(events(&m.tick(at(14))), Vec::<String>::new());
    let changes = m.tick(at(15));
    assert_eq!(events(&changes), ["firing", "detector zero_rate", "detector unseen", "detector null_rate"]);
    assert_eq!((changes[3].entry.at, changes[3].entry.stream_at), (at(15), at(12)));
    assert_eq!(events(&m.observe("wine", &fired("g", "unseen", at(16)), at(16))), Vec::<String>::new());
    assert_eq!(events(&m.tick(at(99))), Vec::<String>::new());
}

/// What recovers before `for` is over never fires, and its detectors are not noted as having fired.
#[test]
fn a_short_condition_never_fires() {
    let mut m = manager(5);
    m.observe("wine", &raised("g", at(10)), at(10));
    assert_eq!(events(&m.observe("wine", &resolved("g", at(12)), at(12))), ["resolved"]);
    assert!(m.tick(at(60)).is_empty() && m.active().is_empty());
    assert_eq!((m.recent()[0].fired_at, m.recent()[0].resolved_at), (None, Some(at(12))));
}

/// Groups and models are alerts of their own; a group raised anew has a new number.
#[test]
fn alerts_are_one_for_a_group_and_a_flap_is_another() {
    let mut m = manager(0);
    for (model, group) in [("wine", "a"), ("wine", "b"), ("beer", "a")] {
        m.observe(model, &raised(group, at(1)), at(1));
    }
    assert_eq!(m.active().iter().map(|a| a.id).collect::<Vec<_>>(), [3, 1, 2]);
    m.observe("wine", &resolved("a", at(2)), at(2));
    assert!(m.observe("wine", &resolved("a", at(2)), at(2)).is_empty());
    m.observe("wine", &raised("a", at(3)), at(3));
    assert_eq!(m.active().iter().map(|a| a.id).collect::<Vec<_>>(), [3, 4, 2]);
}

/// Raised again while open, an alert stays the same one, with what is known better now.
#[test]
fn raised_again_is_the_same_alert() {
    let mut m = manager(0);
    m.observe("wine", &raised("a", at(1)), at(1));
    let Finding::Raised(mut alarm) = raised("a", at(2)) else { unreachable!() };
    alarm.detector = "stuck".to_owned();
    alarm.shares = vec![share("stuck", true)];
    alarm.features.push("density".to_owned());
    let changes = m.observe("wine", &Finding::Raised(alarm), at(2));
    assert_eq!(events(&changes), ["detector stuck"]);
    let alert = m.active().remove(0);
    assert_eq!((alert.id, alert.detector.as_str(), alert.features.len()), (1, "zero_rate", 2));
}

/// A detector that fires in a group whose alert is not there opens it: latched without an alert
/// would pass for healthy.
#[test]
fn a_lost_alert_is_opened_again() {
    let mut m = manager(0);
    let changes = m.observe("wine", &fired("a", "zero_rate", at(1)), at(1));
    assert_eq!(events(&changes), ["pending", "firing", "detector zero_rate"]);
    assert!(changes[0].alert.message.contains("was not seen") && changes[0].alert.shares.is_empty());
}

/// A sink is noted once, at the time of its answer, also when the alert has recovered by then.
#[test]
fn delivery_is_noted_once_a_sink() {
    let mut m = manager(0);
    m.observe("wine", &raised("a", at(10)), at(10));
    m.observe("wine", &resolved("a", at(20)), at(20));
    assert!(m.delivered(&delivered(1, "hook", at(12))).is_some());
    assert!(m.delivered(&delivered(1, "hook", at(13))).is_none());
    assert!(m.delivered(&delivered(9, "hook", at(13))).is_none());
    assert!(m.delivered(&delivered(1, "am", at(5))).is_some(), "a clock behind is no reason to lose it");
    let order: Vec<_> = m.timeline().0.iter().map(|e| (e.at, name(&e.event))).collect();
    assert_eq!(order[4], (at(10), "delivered am".to_owned()));
    assert_eq!(order[5], (at(12), "delivered hook".to_owned()));
    assert_eq!(order[6], (at(20), "resolved".to_owned()));
}

/// Who looks at an alert is shown and told in the timeline; the alert stays as open as it was.
#[test]
fn an_acknowledged_alert_stays_open() {
    let mut m = manager(0);
    m.observe("wine", &raised("a", at(1)), at(1));
    let change = m.acknowledge("wine", 1, ann(), at(5)).unwrap();
    assert_eq!((name(&change.entry.event).as_str(), change.entry.at), ("acknowledged ann", at(5)));
    let alert = m.active().remove(0);
    let ack = alert.ack.unwrap();
    assert_eq!((alert.state, ack.who.as_str(), ack.note.as_deref()), (State::Firing, "ann", Some("looking")));
    m.acknowledge("wine", 1, Signature::new("bob", None).unwrap(), at(6)).unwrap();
    assert_eq!(m.active()[0].ack.as_ref().unwrap().who, "bob");
    assert_eq!(m.timeline().0.len(), 6);
}

/// A silence ends by itself, is prolonged from where it began, outlives the alert and a restart, and what
/// happens under it is recorded.
#[test]
fn a_silence_ends_by_itself() {
    let config = Config::default();
    let mut m = Manager::new(&config);
    m.observe("wine", &raised("a", at(1)), at(1));
    let secs = Duration::from_secs;
    m.silence("wine", 1, ann(), secs(10), at(5)).unwrap();
    m.silence("wine", 1, ann(), secs(30), at(10)).unwrap();
    let silence = m.active()[0].silence.clone().unwrap();
    assert_eq!((silence.since, silence.by.at, silence.until), (at(5), at(10), at(40)));
    assert!(m.tick(at(39)).is_empty());
    let recovered = m.observe("wine", &resolved("a", at(39)), at(39));
    assert!(recovered[0].alert.silence.is_some(), "nobody is told of it");
    let text = serde_json::to_string(&m.save()).unwrap();
    let mut m = Manager::restore(&config, serde_json::from_str(&text).unwrap()).unwrap();
    let ended = m.tick(at(41));
    assert_eq!((events(&ended), ended[0].alert.state), (vec!["silence ended".to_owned()], State::Resolved));
    assert!(m.tick(at(99)).is_empty() && m.recent()[0].silence.is_none());
    for length in [Duration::ZERO, SILENCE_MAX + secs(1)] {
        let refused = m.silence("wine", 1, ann(), length, at(100));
        assert!(matches!(refused, Err(Error::SilenceLength { .. })), "{refused:?}");
    }
}

/// What is accepted ends as that, with who said so, and a group raised anew is another alert.
#[test]
fn an_accepted_alert_ends() {
    let mut m = manager(60);
    m.observe("wine", &raised("a", at(1)), at(1));
    let change = m.accept("wine", 1, ann(), at(5)).unwrap();
    assert_eq!(name(&change.entry.event), "accepted ann");
    let alert = m.recent().remove(0);
    assert_eq!((alert.state, alert.fired_at, alert.resolved_at), (State::Accepted, None, Some(at(5))));
    assert_eq!(alert.accepted.unwrap().note.as_deref(), Some("looking"));
    m.observe("wine", &raised("a", at(6)), at(6));
    assert_eq!(m.active()[0].id, 2);
}

/// What is not there, is another model's or has ended is refused, and so is a signature of nobody.
#[test]
fn refusals_to_operators() {
    let mut m = manager(0);
    m.observe("wine", &raised("a", at(1)), at(1));
    m.observe("wine", &resolved("a", at(2)), at(2));
    m.observe("wine", &raised("b", at(3)), at(3));
    let before = m.timeline();
    for (model, id, message) in [
        ("wine", 9, "model `wine` has no alert 9, or it ended long ago"),
        ("beer", 2, "model `beer` has no alert 2, or it ended long ago"),
        ("wine", 1, "alert 1 has ended: it is resolved"),
    ] {
        let length = Duration::from_secs(1);
        let refused = [
            m.acknowledge(model, id, ann(), at(4)),
            m.silence(model, id, ann(), length, at(4)),
            m.accept(model, id, ann(), at(4)),
        ];
        refused.into_iter().for_each(|r| assert_eq!(r.unwrap_err().to_string(), message));
    }
    assert_eq!(m.timeline(), before);
    let long = "x".repeat(1_001);
    for (who, note) in [("", None), ("  ", None), (&long[..129], None), ("ann", Some(long.as_str()))] {
        assert!(Signature::new(who, note).is_err(), "{who:?}");
    }
}

/// An alert that has fired for too long is stale, once, and recovers like any other.
#[test]
fn old_alerts_become_stale() {
    let mut m = Manager::new(&Config { max_age: Duration::from_secs(100), ..Config::default() });
    m.observe("wine", &raised("a", at(1)), at(10));
    assert!(m.tick(at(109)).is_empty());
    assert_eq!(events(&m.tick(at(110))), ["stale"]);
    assert!(m.tick(at(500)).is_empty());
    assert_eq!(m.active()[0].state, State::Stale);
    let text = serde_json::to_string(&m.save()).unwrap();
    let mut m = Manager::restore(&Config::default(), serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(events(&m.observe("wine", &fired("a", "stuck", at(501)), at(501))), ["detector stuck"]);
    assert_eq!(events(&m.observe("wine", &resolved("a", at(600)), at(600))), ["resolved"]);
}

/// A group's alert under one version is another than under the next, and ends with its own.
#[test]
fn versions_are_told_apart() {
    let mut m = manager(0);
    m.observe("wine", &raised("a", at(1)), at(1));
    m.observe_version("wine", Some("2"), &raised("a", at(2)), at(2));
    assert_eq!(m.active().iter().map(|a| a.version.as_deref()).collect::<Vec<_>>(), [None, Some("2")]);
    let text = serde_json::to_string(&m.save()).unwrap();
    let mut m = Manager::restore(&Config::default(), serde_json::from_str(&text).unwrap()).unwrap();
    m.observe("wine", &resolved("a", at(3)), at(3));
    assert_eq!(m.active().iter().map(|a| a.id).collect::<Vec<_>>(), [2]);
}

/// A model that is watched no longer leaves no alert that nobody could ever resolve.
#[test]
fn what_is_watched_no_longer_is_superseded() {
    let mut m = manager(0);
    for model in ["wine", "beer"] {
        m.observe(model, &raised("a", at(1)), at(1));
    }
    assert_eq!(events(&m.supersede(at(2), |alert| alert.model == "wine")), ["superseded"]);
    assert_eq!((m.recent()[0].state, m.recent()[0].resolved_at), (State::Superseded, Some(at(2))));
    assert_eq!(m.active().iter().map(|a| a.model.as_str()).collect::<Vec<_>>(), ["beer"]);
}

/// After a restart a firing alert fires under its number, a pending one still waits, and the next
/// one has the next number; nothing is told twice.
#[test]
fn a_restart_changes_nothing() {
    let config = Config { hold: Duration::from_secs(5), ..Config::default() };
    let mut m = Manager::new(&config);
    m.observe("wine", &raised("a", at(1)), at(1));
    m.tick(at(6));
    m.delivered(&delivered(1, "hook", at(7)));
    m.observe("wine", &raised("b", at(8)), at(8));
    let text = serde_json::to_string(&m.save()).unwrap();
    let mut restored = Manager::restore(&config, serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!((restored.active(), restored.timeline()), (m.active(), m.timeline()));
    assert!(restored.delivered(&delivered(1, "hook", at(9))).is_none());
    assert_eq!(restored.tick(at(13))[0].alert.id, 2);
    assert_eq!(restored.observe("wine", &raised("c", at(14)), at(14))[0].alert.id, 3);
}

/// Infinite evidence, as of a broken contract, does not make the saved state unreadable.
#[test]
fn infinite_evidence_survives_a_restart() {
    let mut m = manager(0);
    let Finding::Raised(mut alarm) = raised("a", at(1)) else { unreachable!() };
    alarm.shares[0].of_threshold = f64::INFINITY;
    m.observe("wine", &Finding::Raised(alarm), at(1));
    let text = serde_json::to_string(&m.save()).unwrap();
    let restored = Manager::restore(&Config::default(), serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(restored.active(), m.active());
    assert!(restored.active()[0].shares[0].of_threshold > 1e300);
}

/// A saved state that contradicts itself is refused with what is wrong, not half believed.
#[test]
fn a_contradictory_state_is_refused() {
    let mut m = manager(0);
    m.observe("wine", &raised("a", at(1)), at(1));
    m.observe("wine", &raised("b", at(2)), at(2));
    let good = serde_json::to_value(m.save()).unwrap();
    for (pointer, value, expected) in [
        ("/open/1/alert/id", serde_json::json!(1), "is there twice"),
        ("/next", serde_json::json!(2), "is there twice or after the last"),
        ("/open/1/alert/group", serde_json::json!("a"), "two open alerts for model `wine`, group `a`"),
        ("/open/1/alert/fired_at", serde_json::Value::Null, "open alert 2 is Firing"),
        ("/open/1/alert/state", serde_json::json!("resolved"), "open alert 2 is Resolved"),
        ("/timeline/0/at", serde_json::json!("2030-01-01T00:00:00Z"), "not in order"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = Manager::restore(&Config::default(), serde_json::from_value(bad).unwrap()).unwrap_err();
        assert!(error.to_string().contains(expected), "{pointer}: {error}");
    }
    let mut other = good;
    *other.pointer_mut("/schema").unwrap() = serde_json::json!("silentry/alerts/v9");
    assert!(serde_json::from_value::<crate::alert::Saved>(other).is_err());
}

/// The JSON that `/v1/alerts` and webhooks show.
#[test]
fn the_view_is_stable() {
    let mut m = manager(0);
    m.observe("wine", &raised("redis:wine", at(9)), at(10));
    insta::assert_json_snapshot!(m.active());
}

/// One thing that may happen; numbers pick among two models, two groups, three detectors, sinks.
#[derive(Debug, Clone)]
enum Step {
    Raise(usize),
    Fire(usize, usize),
    Resolve(usize),
    Tick,
    Deliver(u64, usize),
    CloseFirstModel,
    Restart,
    Accept(u64),
    Silence(u64, u64),
}

const GROUPS: [(&str, &str); 4] = [("wine", "a"), ("wine", "b"), ("beer", "a"), ("beer", "b")];
const DETECTORS: [&str; 3] = ["zero_rate", "null_rate", "stuck"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize).prop_map(Step::Raise),
        3 => (0..4_usize, 0..3_usize).prop_map(|(g, d)| Step::Fire(g, d)),
        4 => (0..4_usize).prop_map(Step::Resolve),
        3 => Just(Step::Tick),
        3 => (1..12_u64, 0..2_usize).prop_map(|(id, sink)| Step::Deliver(id, sink)),
        1 => Just(Step::CloseFirstModel),
        1 => Just(Step::Restart),
        2 => (1..12_u64).prop_map(Step::Accept),
        2 => (1..12_u64, 1..20_u64).prop_map(|(id, secs)| Step::Silence(id, secs)),
    ]
}

/// Takes one step; `open` is what the steps alone say must be open.
fn take(m: &mut Manager, config: &Config, open: &mut BTreeSet<usize>, step: &Step, now: Timestamp) -> usize {
    match *step {
        Step::Raise(g) => {
            open.insert(g);
            m.observe(GROUPS[g].0, &raised(GROUPS[g].1, now), now).len()
        }
        Step::Fire(g, d) => {
            open.insert(g);
            m.observe(GROUPS[g].0, &fired(GROUPS[g].1, DETECTORS[d], now), now).len()
        }
        Step::Resolve(g) => {
            open.remove(&g);
            m.observe(GROUPS[g].0, &resolved(GROUPS[g].1, now), now).len()
        }
        Step::Tick => m.tick(now).len(),
        Step::Deliver(id, sink) => {
            usize::from(m.delivered(&delivered(id, ["hook", "am"][sink], now)).is_some())
        }
        Step::Accept(id) => {
            let Some(alert) = m.active().into_iter().find(|alert| alert.id == id) else { return 0 };
            open.retain(|g| GROUPS[*g] != (alert.model.as_str(), alert.group.as_str()));
            usize::from(m.accept(&alert.model, id, ann(), now).is_ok())
        }
        Step::Silence(id, secs) => {
            let Some(alert) = m.active().into_iter().find(|alert| alert.id == id) else { return 0 };
            let length = Duration::from_secs(secs);
            usize::from(m.silence(&alert.model, id, ann(), length, now).is_ok())
        }
        Step::CloseFirstModel => {
            open.retain(|g| GROUPS[*g].0 != "wine");
            m.supersede(now, |alert| alert.model == "wine").len()
        }
        Step::Restart => {
            let text = serde_json::to_string(&m.save()).unwrap();
            *m = Manager::restore(config, serde_json::from_str(&text).unwrap()).unwrap();
            0
        }
    }
}

/// The events of one alert: pending, then at most one rising edge, detectors between it and the
/// recovery, deliveries after it, each at most once.
fn check_one(id: u64, entries: &[Entry]) {
    let of_one: Vec<String> = entries.iter().filter(|e| e.alert == id).map(|e| name(&e.event)).collect();
    let place = |what: &str| of_one.iter().position(|e| e == what);
    let once: Vec<_> = of_one.iter().filter(|e| !e.starts_with("silence")).collect();
    assert_eq!(once.iter().collect::<BTreeSet<_>>().len(), once.len(), "{of_one:?}");
    assert_eq!(place("pending"), Some(0), "{of_one:?}");
    let ends = |e: &String| ["resolved", "superseded", "accepted ann"].contains(&e.as_str());
    let end = of_one.iter().position(ends).unwrap_or(of_one.len());
    assert!(place("stale").is_none_or(|stale| place("firing").is_some_and(|f| f < stale) && stale < end));
    assert!(place("firing").is_none_or(|firing| firing < end), "{of_one:?}");
    for (i, event) in of_one.iter().enumerate() {
        let after_edge = place("firing").is_some_and(|firing| firing < i);
        if event.starts_with("detector") {
            assert!(after_edge && i < end, "{of_one:?}");
        }
        assert!(!event.starts_with("delivered") || after_edge, "{of_one:?}");
    }
}

proptest! {
    /// Whatever happens in whatever order, restarts and clocks set back included: events of an
    /// alert keep their order, one alert at most is open for a group, exactly those are open that
    /// the findings say, and every change is in the timeline.
    #[test]
    fn the_order_holds(
        hold in 0..8_u64,
        steps in proptest::collection::vec((step(), -4..9_i64), 1..60),
    ) {
        let max_age = Duration::from_secs(60);
        let config = Config { hold: Duration::from_secs(hold), max_age, ..Config::default() };
        let (mut m, mut open, mut now, mut changes) = (Manager::new(&config), BTreeSet::new(), 1_000, 0);
        for (step, seconds) in &steps {
            now += seconds;
            changes += take(&mut m, &config, &mut open, step, at(now));
            let shown: Vec<_> = m.active().into_iter().map(|a| (a.model, a.group)).collect();
            let wanted: BTreeSet<_> = open.iter().map(|g| GROUPS[*g]).collect();
            prop_assert_eq!(shown.len(), wanted.len());
            prop_assert!(shown.iter().all(|(m, g)| wanted.contains(&(m.as_str(), g.as_str()))));
        }
        let entries = m.timeline().0;
        prop_assert_eq!(entries.len(), changes);
        prop_assert!(entries.is_sorted_by_key(|e| e.at));
        let ids: BTreeSet<u64> = entries.iter().map(|e| e.alert).collect();
        ids.iter().for_each(|id| check_one(*id, &entries));
        for alert in m.active() {
            let has_fired = entries.iter().any(|e| e.alert == alert.id && e.event == Event::Firing);
            prop_assert_eq!(alert.state != State::Pending, has_fired);
        }
    }
}
