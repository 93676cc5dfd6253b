//! Versions without a baseline: their answers are counted, and judge nothing until somebody accepts them.

use std::time::Duration;

use super::operate::{ann, keeping, of_version, zeros_of};
use super::*;
use crate::sketch::Sketch;

/// As many rows as the answers of a version are counted over, and a few.
const RELEARNT: i64 = 4_100;

/// A healthy row with this score.
fn scored(version: &str, i: i64, hundredths: i64) -> String {
    let healthy = row("a", i, &of_version(version));
    let (start, rest) = healthy.split_once(r#""score":"#).unwrap();
    let (_, end) = rest.split_once('}').unwrap();
    format!(r#"{start}"score":0.{hundredths:02}}}{end}"#)
}

/// A row of version 2, which answers low as often as version 1 does not.
fn two(i: i64) -> String {
    scored("2", i, (mixed(i, 4) % 100).min(mixed(i, 5) % 100))
}

impl Fed {
    fn relearnt(&self) -> Vec<Relearnt> {
        self.handle.model("a").unwrap().relearnt
    }

    /// The states of the answers of a version, or of all without a baseline.
    fn answers_of(&self, version: &str) -> Vec<StreamState> {
        let views = self.handle.model("a").unwrap().versions;
        let view = views.into_iter().find(|view| view.version == version).unwrap();
        view.detectors.into_iter().filter(|d| d.group == "output").map(|d| d.state).collect()
    }

    fn alert_of_version(&self) -> u64 {
        self.handle.alerts().active.iter().find(|alert| alert.kind == "version").unwrap().id
    }

    fn groups(&self) -> Vec<(Option<String>, String)> {
        self.handle.alerts().active.into_iter().map(|alert| (alert.version, alert.group)).collect()
    }

    fn missing(&self, version: &str) -> String {
        match self.handle.version_baseline("a", version) {
            Err(Error::NotRelearnt { missing, .. }) => missing,
            found => panic!("{:?}", found.map(|bytes| bytes.len())),
        }
    }
}

/// Two versions in turns are counted apart, and judged by nothing; the one that is accepted is judged by its own
/// answers from then on, over a restart, and the other goes on being counted.
#[tokio::test]
async fn an_accepted_version_is_judged_by_its_own_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    fed.feed(100, |i| row("a", i, &of_version("1"))).await;
    fed.feed(RELEARNT, two).await;
    fed.feed(200, |i| if i % 2 == 0 { two(i) } else { scored("3", i, 50) }).await;
    let relearnt = fed.relearnt();
    let told: Vec<_> = relearnt.iter().map(|r| (r.version.as_str(), r.counted, r.ready)).collect();
    assert_eq!(told, [("2", 4_200, true), ("3", 100, false)]);
    assert_eq!((relearnt[0].needed, relearnt[0].missing.as_deref()), (4_000, None));
    assert!(fed.answers_of("(others)").iter().all(|s| *s == StreamState::Undecided(Undecided::NoBaseline)));

    let accepted = fed.handle.accept("a", fed.alert_of_version(), ann()).unwrap();
    assert_eq!(accepted.alert.state, alert::State::Accepted);
    let adopted = accepted.adopted.unwrap();
    assert_eq!(
        (adopted.version.as_str(), adopted.rows, adopted.superseded, adopted.kept),
        ("2", 4_200, 0, true)
    );
    assert!(adopted.promise.starts_with("proven"), "{adopted:?}");
    assert_eq!(fed.relearnt().iter().map(|r| r.version.clone()).collect::<Vec<_>>(), ["3"]);
    fed.feed(ENOUGH, two).await;
    assert_eq!(fed.groups(), [(Some("3".to_owned()), "version".to_owned())]);
    assert!(fed.answers_of("2").contains(&StreamState::Quiet), "{:?}", fed.answers_of("2"));
    let next = fed.next;
    fed.service.stop().await.unwrap();

    // A note that nobody can read says nothing of the others.
    std::fs::write(dir.path().join("baselines/baseline-0.json"), "{").unwrap();
    let mut fed = Fed::new(keeping(&dir, vec![ModelSetup::new(a())]));
    (fed.next, fed.seen) = (next, 0);
    let view = fed.handle.model("a").unwrap();
    assert_eq!(view.versions[0].baseline.as_ref(), Some(&adopted.baseline));
    // What version 1 answers is not what version 2 does.
    fed.feed(1_500, |i| row("a", i, &of_version("2"))).await;
    let of_two = (Some("2".to_owned()), "output".to_owned());
    assert!(fed.groups().contains(&of_two), "{:?}", fed.groups());
    assert_eq!(fed.relearnt(), [], "what was counted of version 3 is gone, until its rows come");
    fed.service.stop().await.unwrap();

    let other = Fed::new(keeping(&dir, vec![ModelSetup::new(learned("a", 3_000))]));
    assert_eq!(other.handle.model("a").unwrap().versions, [], "it was made beside another baseline");
    other.service.stop().await.unwrap();
}

/// Before there is enough, to accept is to know of the version and nothing more, and nothing is taken by itself
/// later; somebody accepts it again. What can be downloaded then is what judges, and stands in a configuration.
#[tokio::test]
async fn too_little_is_never_taken() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(100, two).await;
    assert_eq!(fed.missing("2"), "100 of 4000 requests are counted, 3900 are missing");
    let accepted = fed.handle.accept("a", fed.alert_of_version(), ann()).unwrap();
    assert_eq!(accepted.adopted, None);
    assert!(accepted.message.contains("undecided: 100 of 4000 requests"), "{}", accepted.message);
    assert!(accepted.message.contains("/v1/models/a/versions/2/accept"), "{}", accepted.message);
    assert!(matches!(fed.handle.accept_version("a", "2", &ann()), Err(Error::NotRelearnt { .. })));
    assert!(matches!(fed.handle.accept_version("a", "9", &ann()), Err(Error::UnknownVersion { .. })));
    fed.feed(RELEARNT, two).await;
    assert_eq!((fed.groups(), fed.relearnt()[0].ready), (vec![], true));
    assert!(fed.answers_of("(others)").iter().all(|s| *s == StreamState::Undecided(Undecided::NoBaseline)));

    let run = fed.handle.start_run(experiment()).unwrap().run;
    assert!(matches!(fed.handle.accept_version("a", "2", &ann()), Err(Error::RunUnderWay { .. })));
    fed.handle.note(&run, fed.handle.now(), Act::RunEnded).unwrap();
    let downloaded = fed.handle.version_baseline("a", "2").unwrap();
    let adopted = fed.handle.accept_version("a", "2", &ann()).unwrap();
    assert!(!adopted.kept && adopted.message.contains("after a restart"), "{adopted:?}");
    assert_eq!(fed.handle.version_baseline("a", "2").unwrap(), downloaded, "its own from now on");
    let baseline = Baseline::read(&downloaded).unwrap();
    assert_eq!(
        (baseline.content_hash(), baseline.schema().version.as_deref()),
        (&*adopted.baseline, Some("2"))
    );
    let provenance = baseline.provenance();
    assert!(provenance.source.contains("answers of version `2` in live traffic"), "{provenance:?}");
    assert!(provenance.source.contains(a().content_hash()), "{provenance:?}");
    assert_eq!(provenance.recordings().len(), 2, "the present one's rows are in it");
    ModelSetup { versions: vec![baseline], ..ModelSetup::new(a()) }.check().unwrap();
    fed.service.stop().await.unwrap();
}

/// A faulty time is not learnt: what came before its alarm is taken back, nothing is counted until the features
/// have recovered, and nobody takes a baseline meanwhile.
#[tokio::test]
async fn a_faulty_time_is_not_learnt() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(3_000, two).await;
    fed.feed(2, |i| zeros_of("2", i)).await;
    assert_eq!((fed.relearnt()[0].counted, fed.groups().len()), (3_002, 1), "too few for an alarm yet");
    fed.feed(2_000, |i| zeros_of("2", i)).await;
    let latched = "group `redis:user` of its features is drifted";
    let relearnt = fed.relearnt().remove(0);
    assert!((2_000..=3_000).contains(&relearnt.counted), "{relearnt:?}");
    assert_eq!((relearnt.paused.as_deref(), relearnt.ready), (Some(latched), false));
    fed.feed(2 * ENOUGH, two).await;
    let relearnt = fed.relearnt().remove(0);
    assert_eq!((&relearnt.paused, relearnt.ready), (&None, true), "{relearnt:?}");
    let baseline = Baseline::read(&fed.handle.version_baseline("a", "2").unwrap()).unwrap();
    let Some(Sketch::Numeric(visits)) = baseline.profile().sketch("visits") else { panic!("a number") };
    assert_eq!(visits.zeros(), 0, "no faulty row is in it");
    fed.feed(500, |i| zeros_of("2", i)).await;
    assert_eq!(fed.missing("2"), latched);
    let accepted = fed.handle.accept("a", fed.alert_of_version(), ann()).unwrap();
    assert!(accepted.adopted.is_none() && accepted.message.contains(latched), "{}", accepted.message);
    // Features that are meant to be others cannot be carried over either.
    fed.handle.accept("a", fed.handle.alerts().active[0].id, ann()).unwrap();
    assert!(
        fed.missing("2").contains("the change of group `redis:user` was accepted"),
        "{}",
        fed.missing("2")
    );
    fed.service.stop().await.unwrap();
}

/// The faults of a run are not learnt, and nobody takes a baseline while it goes on; afterwards counting goes on.
#[tokio::test]
async fn a_run_is_not_learnt() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(RELEARNT, two).await;
    let run = fed.handle.start_run(experiment()).unwrap().run;
    let before = fed.relearnt().remove(0);
    fed.feed(1_000, two).await;
    let during = fed.relearnt().remove(0);
    assert_eq!((during.counted, during.ready), (before.counted, false));
    let paused = format!("run `{run}` is under way: its faults are not learnt");
    assert_eq!((during.paused.as_ref(), during.missing.as_ref()), (Some(&paused), Some(&paused)));
    assert_eq!(fed.missing("2"), paused);
    let refused = fed.handle.accept("a", fed.alert_of_version(), ann());
    assert!(matches!(refused, Err(Error::RunUnderWay { .. })), "{refused:?}");
    fed.handle.note(&run, fed.handle.now(), Act::RunEnded).unwrap();
    fed.feed(500, two).await;
    let after = fed.relearnt().remove(0);
    assert_eq!((after.counted, after.paused, after.ready), (before.counted + 500, None, true));
    fed.service.stop().await.unwrap();
}

/// What the rows of a version with a baseline suffer may be wrong for all: nothing is counted, and what came since
/// it began is taken back; until it has recovered, somebody says that it is meant, or that version is gone.
#[tokio::test(start_paused = true)]
async fn a_faulty_time_of_another_version_is_not_learnt() {
    let mut fed = Fed::new(setup(vec![a()]));
    let mixed = |i: i64| if i % 2 == 0 { two(i) } else { zeros_of("1", i) };
    fed.feed(2 * RELEARNT, two).await;
    fed.feed(500, mixed).await;
    let drifted = "group `redis:user` of version `1` is drifted";
    let paused = fed.relearnt().remove(0);
    assert_eq!((paused.paused.as_deref(), paused.ready), (Some(drifted), false));
    let before = u64::try_from(2 * RELEARNT).unwrap();
    assert!((4_000..=before).contains(&paused.counted), "taken back: {paused:?}");
    assert_eq!(fed.missing("2"), drifted);
    fed.feed(500, two).await;
    assert_eq!(fed.relearnt()[0].counted, paused.counted);
    // No row of version 1 for an hour: it does not recover any more.
    let hour = 3_600 * RATE;
    fed.next += hour;
    fed.clock.set(fed.clock.now().plus(Duration::from_secs(3_590)));
    fed.feed(1_000, two).await;
    assert_eq!(fed.relearnt()[0].paused, None);
    fed.feed(500, mixed).await;
    assert_eq!(fed.relearnt()[0].paused.as_deref(), Some(drifted));
    let alerts = fed.handle.alerts().active;
    let of_one = alerts.iter().find(|alert| alert.group == "redis:user").unwrap();
    fed.handle.accept("a", of_one.id, ann()).unwrap();
    assert_eq!((&fed.relearnt()[0].paused, fed.relearnt()[0].ready), (&None, true));
    fed.service.stop().await.unwrap();
}

/// To make a baseline takes long: an alarm meanwhile is in the way of taking it, and so is that some of what it was
/// made of was taken back.
#[tokio::test]
async fn what_comes_while_a_baseline_is_made_is_in_its_way() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(2 * RELEARNT, two).await;
    let first = fed.handle.relearnt("a", "2").unwrap();
    let second = fed.handle.relearnt("a", "2").unwrap();
    fed.feed(500, |i| zeros_of("2", i)).await;
    let handle = fed.handle.clone();
    let refused = |sealed| match handle.adopt((sealed, "2"), None) {
        Err(Error::NotRelearnt { missing, .. }) => missing,
        adopted => panic!("{adopted:?}"),
    };
    assert_eq!(refused(first), "group `redis:user` of its features is drifted");
    fed.feed(2 * ENOUGH, two).await;
    assert!(fed.relearnt()[0].ready && fed.relearnt()[0].counted > 2 * 4_100, "{:?}", fed.relearnt());
    assert_eq!(refused(second), "some of what it was made of was taken back meanwhile");
    let third = fed.handle.relearnt("a", "2").unwrap();
    fed.feed(500, two).await;
    assert!(fed.handle.adopt((third, "2"), None).is_ok(), "more rows are in nobody's way");
    fed.service.stop().await.unwrap();
}

/// A version may be called by a digest; one with a name that is cut stands for several, and is told so.
#[tokio::test]
async fn a_digest_is_a_version() {
    let mut fed = Fed::new(setup(vec![a()]));
    let digest = format!("sha256:{}", "5e".repeat(32));
    let of = |version: &str, i: i64| two(i).replace(&of_version("2"), &of_version(version));
    fed.feed(RELEARNT, |i| of(&digest, i)).await;
    let relearnt = fed.relearnt().remove(0);
    assert_eq!((&relearnt.version, relearnt.ready), (&digest, true), "{relearnt:?}");
    let accepted = fed.handle.accept("a", fed.alert_of_version(), ann()).unwrap();
    assert_eq!(accepted.adopted.unwrap().version, digest);
    fed.feed(ENOUGH, |i| of(&digest, i)).await;
    assert_eq!(fed.groups(), []);
    assert!(fed.answers_of(&digest).contains(&StreamState::Quiet), "{:?}", fed.answers_of(&digest));

    fed.feed(500, |i| of(&"x".repeat(200), i)).await;
    let cut = fed.handle.alerts().active.remove(0).version.unwrap();
    assert_eq!((cut.chars().count(), fed.relearnt()), (161, vec![]));
    assert_eq!(fed.missing(&cut), "it stands for several versions, which are not counted");
    fed.service.stop().await.unwrap();
}

/// What looks ready and cannot be made after all is refused, and leaves the alert open.
#[tokio::test]
async fn what_cannot_be_made_ends_no_alert() {
    let lost = |i: i64| zeros("a", i).replace(r#""spend":0.5"#, r#""spend":0"#);
    let rare = |i: i64| if mixed(i, 6) % 100 < 3 { row("a", i, "") } else { lost(i) };
    let learned = learned_from("a", "1", (0..5_000).map(rare));
    assert_eq!(learned.accepted_weak(), ["redis:user"]);
    // Of which nobody said so.
    let mut draft = learned.into_draft();
    draft.accepted_weak = Vec::new();
    let mut fed = Fed::new(setup(vec![Baseline::seal(draft).unwrap()]));
    fed.feed(RELEARNT, |i| format!("{}{}}}", rare(i).strip_suffix('}').unwrap(), of_version("2"))).await;
    assert!(fed.relearnt()[0].ready, "{:?}", fed.relearnt());
    let id = fed.alert_of_version();
    let refused = fed.handle.accept("a", id, ann());
    let Err(Error::NotRelearnt { missing, .. }) = refused else { panic!("{refused:?}") };
    assert!(missing.starts_with("group `redis:user` at 100 % zeros would"), "{missing}");
    assert!(!missing.contains("--accept-weak"), "{missing}");
    assert_eq!(fed.alert_of_version(), id);
    fed.service.stop().await.unwrap();
}

/// Answers that lie where the present baseline has one bin are no baseline: no change of them would be seen.
#[tokio::test]
async fn answers_beyond_the_bins_are_refused() {
    let mut fed = Fed::new(setup(vec![a()]));
    fed.feed(RELEARNT, |i| two(i).replace(r#""score":0."#, r#""score":7."#)).await;
    let missing = fed.missing("2");
    assert!(
        missing.starts_with("100 % of its answers `score` lie outside of what the present baseline has"),
        "{missing}"
    );
    assert_eq!(fed.relearnt()[0].missing.as_ref(), Some(&missing));
    fed.service.stop().await.unwrap();
}

/// While rows are lost none is counted: those that are left need not be like those that are not.
#[tokio::test(start_paused = true)]
async fn nothing_is_counted_while_rows_are_lost() {
    let limits = Limits { records: 1_000, ..Limits::default() };
    let mut fed = Fed::new(Setup { limits, ..setup(vec![a()]) });
    fed.feed(500, two).await;
    let ingested = fed.handle.ingest(&body((500..1_600).map(two)));
    assert_eq!((ingested.accepted, ingested.dropped), (1_000, 100));
    (fed.seen, fed.next) = (1_500, 1_600);
    fed.judged().await;
    fed.ticks().await;
    let before = fed.relearnt().remove(0);
    assert_eq!(before.paused.as_deref(), Some("too many of the model's rows are lost"));
    fed.feed(500, two).await;
    assert_eq!(fed.relearnt()[0].counted, before.counted);
    fed.clock.set(fed.clock.now().plus(Duration::from_secs(61)));
    fed.ticks().await;
    fed.next = fed.clock.now().as_millis() * RATE / 1_000;
    fed.feed(500, two).await;
    assert_eq!((fed.relearnt()[0].counted, &fed.relearnt()[0].paused), (before.counted + 500, &None));
    fed.service.stop().await.unwrap();
}
