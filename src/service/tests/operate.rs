//! What people do to a service that runs, and what it knows of versions, losses and age.

use std::time::Duration;

use super::*;
use crate::alert::{Alert, Signature, State};
use crate::units::Ratio;

pub(super) fn ann() -> Signature {
    Signature::new("ann", Some("meant")).unwrap()
}

/// The baseline of another version of `a`, learned once.
fn a2() -> Baseline {
    static A2: OnceLock<Baseline> = OnceLock::new();
    A2.get_or_init(|| learned_of("a", "2", 20_000)).clone()
}

pub(super) fn keeping(dir: &tempfile::TempDir, models: Vec<ModelSetup>) -> Setup {
    let state = Some((dir.path().to_owned(), Duration::from_secs(3_600)));
    let clock = Clock::manual(Timestamp::from_millis(0));
    Setup { state, ..Setup::in_memory(models, clock) }
}

pub(super) fn of_version(version: &str) -> String {
    format!(r#","version":"{version}""#)
}

pub(super) fn zeros_of(version: &str, i: i64) -> String {
    format!("{}{}}}", zeros("a", i).strip_suffix('}').unwrap(), of_version(version))
}

impl Fed {
    fn open(&self) -> Vec<Alert> {
        self.handle.alerts().active
    }

    /// Open alerts by what they are about.
    fn about(&self) -> Vec<(Option<String>, String)> {
        self.open().into_iter().map(|alert| (alert.version, alert.group)).collect()
    }

    /// The states of a group's detectors.
    fn of_group(&self, group: &str) -> Vec<StreamState> {
        let detectors = self.handle.model("a").unwrap().detectors;
        detectors.into_iter().filter(|d| d.group == group).map(|d| d.state).collect()
    }

    fn are_all(&self, group: &str, why: Undecided) -> bool {
        let states = self.of_group(group);
        !states.is_empty() && states.iter().all(|state| *state == StreamState::Undecided(why))
    }
}

/// An accepted change ends the alert and leaves its group undecided, over health, a second fault and a
/// restart, until another baseline is put; then it is judged again.
#[tokio::test]
async fn an_accepted_change_waits_for_a_baseline() {
    let dir = tempfile::tempdir().unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.feed(1_000, |i| row("a", i, "")).await;
    fed.feed(500, |i| zeros("a", i)).await;
    let id = fed.open()[0].id;
    let accepted = fed.handle.accept("a", id, ann()).unwrap();
    assert_eq!((accepted.alert.state, accepted.alert.id), (State::Accepted, id));
    assert!(accepted.message.contains("group `redis:user` is undecided until"), "{}", accepted.message);
    assert!(matches!(fed.handle.accept("a", id, ann()), Err(Error::Alert(alert::Error::Ended { .. }))));
    fed.feed(ENOUGH, |i| row("a", i, "")).await;
    fed.feed(500, |i| zeros("a", i)).await;
    assert!(fed.are_all("redis:user", Undecided::Accepted), "{:?}", fed.of_group("redis:user"));
    assert_eq!(fed.about(), []);
    let next = fed.next;
    fed.service.stop().await.unwrap();

    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.next = next;
    assert!(fed.are_all("redis:user", Undecided::Accepted));
    assert_eq!(fed.handle.alerts().resolved[0].state, State::Accepted);
    let put = fed.handle.put_baseline("a", &a().to_bytes().unwrap()).unwrap();
    assert!(put.kept && put.superseded == 0 && put.baseline == put.replaced, "{put:?}");
    fed.feed(1_000, |i| row("a", i, "")).await;
    fed.feed(500, |i| zeros("a", i)).await;
    assert_eq!(fed.about(), [(None, "redis:user".to_owned())]);
    fed.service.stop().await.unwrap();
}

/// Who looks at an alert and who silenced it is there after a restart, and so is the silence's end.
#[tokio::test(start_paused = true)]
async fn what_people_said_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.feed(500, |i| zeros("a", i)).await;
    let id = fed.open()[0].id;
    fed.handle.acknowledge("a", id, ann()).unwrap();
    let silenced = fed.handle.silence("a", id, ann(), Duration::from_secs(60)).unwrap();
    assert!(matches!(fed.handle.acknowledge("b", id, ann()), Err(Error::UnknownModel { .. })));
    let left = fed.open();
    fed.service.stop().await.unwrap();
    let again = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    assert_eq!(again.open(), left);
    again.clock.set(silenced.silence.unwrap().until);
    again.ticks().await;
    assert!(again.open()[0].silence.is_none() && again.open()[0].ack.is_some());
    again.service.stop().await.unwrap();
}

/// A baseline that is put judges from then on: alerts of the one before are superseded, evidence begins
/// anew, the metrics name it; it counts after a restart until the configuration names another.
#[tokio::test]
async fn a_baseline_is_put() {
    let dir = tempfile::tempdir().unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.feed(500, |i| zeros("a", i)).await;
    assert_eq!(fed.open().len(), 1);
    let other = learned("a", 5_000);
    let put = fed.handle.put_baseline("a", &other.to_bytes().unwrap()).unwrap();
    assert_eq!((put.replaced.as_str(), put.superseded), (a().content_hash(), 1));
    assert_eq!(fed.handle.alerts().resolved[0].state, State::Superseded);
    let hash = other.content_hash();
    let info = format!(r#"silentry_baseline_info{{baseline="{hash}",model="a"}} 1"#);
    fed.metric(&info);
    assert_eq!((fed.handle.model("a").unwrap().rows, fed.open().len()), (0, 0));
    fed.feed(500, |i| zeros("a", i)).await;
    assert_eq!(fed.open().len(), 1, "it judges");
    let left = fed.open();
    fed.service.stop().await.unwrap();

    let again = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    assert_eq!(again.handle.model("a").unwrap().baseline, hash);
    assert_eq!(again.open(), left, "its evidence is taken over too");
    again.metric(&info);
    again.service.stop().await.unwrap();

    let third = learned("a", 3_000);
    let configured = Fed::new(keeping(&dir, vec![ModelSetup::new(third.clone())]));
    assert_eq!(configured.handle.model("a").unwrap().baseline, third.content_hash());
    configured.service.stop().await.unwrap();
}

/// What was kept and cannot be read leaves the configured baseline in its place.
#[tokio::test]
async fn a_damaged_baseline_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.handle.put_baseline("a", &learned("a", 5_000).to_bytes().unwrap()).unwrap();
    fed.service.stop().await.unwrap();
    let files = || std::fs::read_dir(dir.path().join("baselines")).unwrap().map(|f| f.unwrap().path());
    let versions: Vec<_> = files().filter(|f| f.to_string_lossy().contains(".v")).collect();
    assert_eq!(versions.len(), 2, "the one before is kept as well: {versions:?}");
    for file in versions {
        std::fs::write(file, "{").unwrap();
    }
    let again = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    assert_eq!(again.handle.model("a").unwrap().baseline, a().content_hash());
    again.service.stop().await.unwrap();
}

/// Without a folder the answer says that it does not survive; what is no baseline of the model changes
/// nothing.
#[tokio::test]
async fn what_is_no_baseline_is_refused() {
    let fed = Fed::new(setup(vec![a()]));
    let bytes = a().to_bytes().unwrap();
    let put = |model: &str, bytes: &[u8]| fed.handle.put_baseline(model, bytes);
    assert!(matches!(put("b", &bytes), Err(Error::UnknownModel { .. })));
    assert!(matches!(put("a", b"{"), Err(Error::Baseline(_))));
    let changed = String::from_utf8(bytes.clone()).unwrap().replace("redis:user", "redis:usex");
    let refused = put("a", changed.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("changed after it was sealed"), "{refused}");
    let other = put("a", &learned("b", 2_000).to_bytes().unwrap()).unwrap_err().to_string();
    assert!(other.contains("is of model `b`, expected model `a`"), "{other}");
    let put = put("a", &bytes).unwrap();
    assert!(!put.kept && put.message.contains("after a restart the configured"), "{put:?}");
    fed.service.stop().await.unwrap();
}

/// While a run is judged nothing that judges changes; afterwards it may, and the run's verdict stands.
#[tokio::test]
async fn a_run_freezes_what_judges() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(500, |i| zeros("a", i)).await;
    let id = fed.open()[0].id;
    let run = fed.handle.start_run(experiment()).unwrap().run;
    let other = learned("a", 5_000).to_bytes().unwrap();
    assert!(matches!(fed.handle.put_baseline("a", &other), Err(Error::RunUnderWay { .. })));
    assert!(matches!(fed.handle.accept("a", id, ann()), Err(Error::RunUnderWay { .. })));
    fed.handle.acknowledge("a", id, ann()).unwrap();
    fed.handle.note(&run, fed.handle.now(), Act::RunEnded).unwrap();
    let before = fed.handle.verdict(&run).unwrap();
    fed.handle.put_baseline("a", &other).unwrap();
    assert_eq!(fed.handle.verdict(&run).unwrap().provenance, before.provenance);
    fed.service.stop().await.unwrap();
}

/// A rollout to a version without a baseline is one alert: its features are judged, its answers are not,
/// and the traffic is no silence. When the version is gone for an hour, so is the alert.
#[tokio::test(start_paused = true)]
async fn a_rollout_is_one_alert() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(ENOUGH, |i| row("a", i, &of_version("1"))).await;
    // What version 2 answers has nothing to do with what version 1 did.
    let rolled = |i: i64| {
        let healthy = row("a", i, &of_version("2"));
        let (start, end) = healthy.split_once(r#""score":"#).unwrap();
        format!(r#"{start}"score":7{}"#, end.split_once('}').map(|(_, rest)| format!("}}{rest}")).unwrap())
    };
    fed.feed(ENOUGH, rolled).await;
    fed.ticks().await;
    assert_eq!(fed.about(), [(Some("2".to_owned()), "version".to_owned())]);
    let alert = fed.open().remove(0);
    assert_eq!(alert.kind, "version");
    assert!(alert.message.starts_with("no baseline for this version: rows of version `2`"), "{alert:?}");
    let view = fed.handle.model("a").unwrap();
    let [others] = &view.versions[..] else { panic!("{:?}", view.versions) };
    assert_eq!((others.version.as_str(), others.rows), ("(others)", 6_000));
    let state = |group: &str, detector: &str| {
        let mine = others.detectors.iter().find(|d| d.group == group && d.detector == detector);
        mine.unwrap_or_else(|| panic!("{group} {detector}: {others:?}")).state
    };
    assert_eq!(state("output", "null_rate"), StreamState::Undecided(Undecided::NoBaseline));
    assert_eq!(state("redis:user", "zero_group"), StreamState::Quiet);

    fed.feed(500, |i| zeros_of("2", i)).await;
    let about = fed.about();
    assert!(about.contains(&(Some("(others)".to_owned()), "redis:user".to_owned())), "{about:?}");
    assert_eq!(about.len(), 2, "{about:?}");
    fed.feed(ENOUGH, |i| row("a", i, &of_version("1"))).await;
    fed.clock.set(fed.clock.now().plus(Duration::from_secs(3_600)));
    fed.ticks().await;
    assert!(fed.about().iter().all(|(_, group)| group != "version"), "{:?}", fed.about());
    fed.service.stop().await.unwrap();
}

/// A version that somebody accepted is told no more, over a restart, until there is a baseline of it.
#[tokio::test]
async fn an_accepted_version_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.feed(100, |i| row("a", i, &of_version("2"))).await;
    let accepted = fed.handle.accept("a", fed.open()[0].id, ann()).unwrap();
    assert!(accepted.message.starts_with("the answers of version `2` are undecided: 100 of"), "{accepted:?}");
    fed.service.stop().await.unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.feed(100, |i| row("a", i, &of_version("2"))).await;
    assert_eq!((fed.about(), fed.handle.model("a").unwrap().rows), (vec![], 200));
    let put = fed.handle.put_baseline("a", &a2().to_bytes().unwrap()).unwrap();
    assert_eq!(put.version.as_deref(), Some("2"));
    fed.feed(100, |i| row("a", i, &of_version("2"))).await;
    assert_eq!(fed.about(), []);
    fed.feed(10, |i| row("a", i, &of_version("1"))).await;
    assert_eq!(fed.about(), [(Some("1".to_owned()), "version".to_owned())]);
    fed.service.stop().await.unwrap();
}

/// With a baseline for each version, rows go to their own: a fault in one is its alert, which survives a
/// restart and ends when that baseline is replaced, and not with another.
#[tokio::test]
async fn versions_have_baselines_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let both = || vec![ModelSetup { versions: vec![a2()], ..ModelSetup::new(a()) }];
    let mut fed = Fed::new(keeping(&dir, both()));
    let in_turns = |i: i64| row("a", i, &of_version(if i % 2 == 0 { "1" } else { "2" }));
    fed.feed(2_000, in_turns).await;
    assert_eq!(fed.about(), []);
    let view = fed.handle.model("a").unwrap();
    let [two] = &view.versions[..] else { panic!("{:?}", view.versions) };
    assert_eq!((two.rows, two.baseline.as_deref()), (1_000, Some(a2().content_hash())));
    fed.feed(600, |i| if i % 2 == 0 { in_turns(i) } else { zeros_of("2", i) }).await;
    let of_two = [(Some("2".to_owned()), "redis:user".to_owned())];
    assert_eq!(fed.about(), of_two);
    fed.service.stop().await.unwrap();

    let fed = Fed::new(keeping(&dir, both()));
    assert_eq!(fed.about(), of_two);
    let put = fed.handle.put_baseline("a", &learned("a", 5_000).to_bytes().unwrap()).unwrap();
    assert_eq!((put.replaced.as_str(), put.superseded), (a().content_hash(), 0));
    let put = fed.handle.put_baseline("a", &learned_of("a", "2", 5_000).to_bytes().unwrap()).unwrap();
    assert_eq!((put.replaced.as_str(), put.superseded), (a2().content_hash(), 1));
    fed.service.stop().await.unwrap();
}

/// Baselines that cannot stand beside each other are refused before anything runs.
#[test]
fn versions_are_checked() {
    let check = |versions, expected: &str| {
        let setup = ModelSetup { versions, ..ModelSetup::new(a()) };
        let error = setup.check().unwrap_err().to_string();
        assert_eq!(error, format!("model `a`: {expected}"));
    };
    check(vec![a()], "two baselines are of version `1`");
    check(vec![a2(), a2()], "two baselines are of version `2`");
    check(vec![learned("b", 2_000)], "baseline `test` is of model `b`");
}

/// Below the floor nothing is known, whatever the reason was before, and the row rate sees no fall in what
/// was shed; what is latched stays so. A model's own floor counts.
#[tokio::test(start_paused = true)]
async fn without_coverage_nothing_is_known() {
    let lossy = async |coverage_min| {
        let limits = Limits { records: 1_000, ..Limits::default() };
        let model = ModelSetup { coverage_min, ..ModelSetup::new(a()) };
        let clock = Clock::manual(Timestamp::from_millis(0));
        let mut fed = Fed::new(Setup { limits, ..Setup::in_memory(vec![model], clock) });
        let from = fed.next;
        let ingested = fed.handle.ingest(&body((from..from + 3_000).map(|i| row("a", i, ""))));
        assert_eq!((ingested.accepted, ingested.dropped), (1_000, 2_000));
        (fed.seen, fed.next) = (1_000, 3_000);
        fed.judged().await;
        fed.clock.set(Timestamp::from_millis(30_000));
        fed.ticks().await;
        fed
    };
    let fed = lossy(Ratio::one_in(2)).await;
    let recent = fed.handle.model("a").unwrap().recent.unwrap();
    assert!((recent.coverage.unwrap() - 1.0 / 3.0).abs() < 1e-9, "{recent:?}");
    for group in ["redis:user", "output", "traffic"] {
        assert!(fed.are_all(group, Undecided::RowsLost), "{group}: {:?}", fed.of_group(group));
    }
    fed.clock.set(Timestamp::from_millis(95_000));
    fed.ticks().await;
    assert!(!fed.are_all("redis:user", Undecided::RowsLost), "a minute later");
    fed.service.stop().await.unwrap();
    let fed = lossy(Ratio::one_in(4)).await;
    assert!(!fed.are_all("redis:user", Undecided::RowsLost), "{:?}", fed.of_group("redis:user"));
    fed.service.stop().await.unwrap();
}

/// An alert beyond its age is neither firing nor resolved, in views and metrics, and what it latched is
/// undecided.
#[tokio::test(start_paused = true)]
async fn an_old_alert_is_stale() {
    let alerts = alert::Config { max_age: Duration::from_secs(600), ..alert::Config::default() };
    let mut fed = Fed::new(Setup { alerts, ..setup(vec![a()]) });
    fed.feed(500, |i| zeros("a", i)).await;
    assert!(fed.of_group("redis:user").contains(&StreamState::Drifted));
    fed.clock.set(fed.clock.now().plus(Duration::from_secs(600)));
    fed.ticks().await;
    let of_user = |fed: &Fed| fed.open().into_iter().find(|a| a.group == "redis:user").unwrap();
    assert_eq!(of_user(&fed).state, State::Stale);
    let states = fed.of_group("redis:user");
    assert!(states.contains(&StreamState::Undecided(Undecided::Stale)), "{states:?}");
    assert!(!states.contains(&StreamState::Drifted), "{states:?}");
    fed.metric(r#"silentry_alert_state{group="redis:user",model="a"} 3"#);
    fed.service.stop().await.unwrap();
}
