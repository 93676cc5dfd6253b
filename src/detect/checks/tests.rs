use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1_000)
}

fn wrong() -> Outcome {
    Outcome::Wrong {
        output: "score".to_owned(),
        what: "request `r`, output `score` is 0, expected 1".to_owned(),
    }
}

/// A check whose outcomes come one a second.
struct Asked(Checker, i64);

impl Asked {
    fn sampled() -> Self {
        Self(Checker::new(Terms::Sampled, "s".to_owned()), 0)
    }

    /// Known requests `0`, `1`, ….
    fn known(n: usize, patience_secs: u64) -> Self {
        let requests = (0..n).map(|i| i.to_string()).collect();
        Self(
            Checker::new(
                Terms::Known { requests, patience: Duration::from_secs(patience_secs) },
                "k".to_owned(),
            ),
            0,
        )
    }

    fn take(&mut self, outcome: Outcome) -> Option<Finding> {
        self.1 += 1;
        self.0.take(Answered::row(at(self.1), outcome), at(self.1))
    }

    /// What became of a known request.
    fn one(&mut self, name: usize, outcome: Outcome) -> Option<Finding> {
        self.1 += 1;
        self.0.take(Answered::known(at(self.1), &name.to_string(), outcome), at(self.1))
    }

    /// A round of so many known requests.
    fn round(&mut self, n: usize, outcome: impl Fn(usize) -> Outcome) -> Vec<Finding> {
        (0..n).filter_map(|name| self.one(name, outcome(name))).collect()
    }

    fn times(&mut self, n: u64, outcome: &Outcome) -> Vec<Finding> {
        (0..n).filter_map(|_| self.take(outcome.clone())).collect()
    }

    fn state(&self) -> StreamState {
        self.0.state(at(self.1))
    }
}

fn undecided(why: Undecided) -> StreamState {
    StreamState::Undecided(why)
}

/// Right answers never alarm, however many, and quiet is earned by as many as a small fault needs.
#[test]
fn right_answers_are_quiet() {
    let mut asked = Asked::sampled();
    assert_eq!(asked.state(), undecided(Undecided::NoRows));
    assert_eq!(asked.times(44, &Outcome::Right), []);
    assert_eq!(asked.state(), undecided(Undecided::BelowPower));
    assert_eq!(asked.times(100_000, &Outcome::Right), []);
    assert_eq!(asked.state(), StreamState::Quiet);
}

/// One wrong answer is enough; the alarm says how many of how many since when, each time anew; it ends after
/// right answers in a row, which those that never came do not stand for.
#[test]
fn one_wrong_answer_alarms() {
    let mut asked = Asked::sampled();
    asked.times(10, &Outcome::Right);
    let Some(Finding::Raised(alarm)) = asked.take(wrong()) else { panic!("no alarm") };
    assert_eq!(
        (alarm.group.as_str(), alarm.detector.as_str(), alarm.since),
        ("output", "pinned_copy", at(11))
    );
    assert!(
        alarm.message.contains("1 of 1 rows") && alarm.message.ends_with("expected 1"),
        "{}",
        alarm.message
    );
    asked.times(7, &Outcome::Right);
    let Some(Finding::Raised(again)) = asked.take(wrong()) else { panic!("not said again") };
    assert!(again.message.contains("2 of 9 rows") && again.since == at(11), "{}", again.message);
    assert_eq!(asked.state(), StreamState::Drifted);
    assert_eq!(asked.times(1_000, &Outcome::Unanswered(Unanswered::Timeout)), []);
    assert_eq!(asked.state(), StreamState::Drifted);
    let ended = asked.times(59, &Outcome::Right);
    assert!(
        matches!(&ended[..], [Finding::Resolved { group, ts, .. }] if group == "output" && *ts == at(1_078))
    );
}

/// A fault in few rows is one alarm or two, not one a wrong row: the end waits for longer the rarer they are.
#[test]
fn rare_wrong_answers_do_not_flap() {
    for seed in 0..20 {
        let (mut asked, mut rng) = (Asked::sampled(), StdRng::seed_from_u64(seed));
        let (mut raised, mut open) = (0, false);
        for _ in 0..20_000 {
            let outcome = if rng.random_bool(0.01) { wrong() } else { Outcome::Right };
            match asked.take(outcome) {
                Some(Finding::Raised(_)) if !open => (raised, open) = (raised + 1, true),
                Some(Finding::Resolved { .. }) => open = false,
                _ => {}
            }
        }
        assert!((1..=6).contains(&raised), "seed {seed}: {raised} alarms for 200 wrong answers");
    }
}

/// What cannot be asked or answered is counted by reason and leaves nothing quiet, whatever the reason; a
/// handful among many is borne, unless it may well be wrong.
#[test]
fn no_answer_is_never_quiet() {
    for why in Unanswered::ALL {
        if !why.is_borne() {
            continue;
        }
        let mut asked = Asked::sampled();
        asked.times(200, &Outcome::Right);
        asked.times(3, &Outcome::Unanswered(why));
        assert_eq!(asked.state(), StreamState::Quiet);
        assert_eq!(asked.times(1, &Outcome::Unanswered(why)), []);
        assert_eq!(asked.state(), undecided(why.undecided()), "{why:?}");
        assert_eq!(asked.0.report().unanswered, BTreeMap::from([(why.name(), 4)]));
        asked.times(64, &Outcome::Right);
        assert_eq!(asked.state(), StreamState::Quiet);
    }
}

/// One disagreement that nobody could confirm may be the fault itself: nothing is quiet until as many answers as are
/// remembered came without one.
#[test]
fn a_disagreement_is_never_borne() {
    let mut asked = Asked::sampled();
    asked.times(200, &Outcome::Right);
    assert_eq!(asked.times(1, &Outcome::Unanswered(Unanswered::Unconfirmed)), []);
    assert_eq!(asked.state(), undecided(Undecided::Unconfirmed));
    asked.times(4, &Outcome::Unanswered(Unanswered::Timeout));
    asked.times(59, &Outcome::Right);
    assert_eq!(asked.state(), undecided(Undecided::Unconfirmed), "whatever is commoner");
    asked.times(64, &Outcome::Right);
    assert_eq!(asked.state(), StreamState::Quiet);
}

/// Each known request has to be answered, whatever became of the others; without a round for a while nothing is
/// known.
#[test]
fn every_known_request_counts() {
    for n in [3, 20, 100, 256] {
        let timeout = Outcome::Unanswered(Unanswered::Timeout);
        let mut asked = Asked::known(n, 1_000);
        assert_eq!(asked.state(), undecided(Undecided::NoRows));
        asked.one(0, Outcome::Right);
        assert_eq!(asked.state(), undecided(Undecided::BelowPower), "the others were not asked");
        for _ in 0..10 {
            // The first of all, the farthest from the end of each round.
            asked.round(n, |i| if i == 0 { timeout.clone() } else { Outcome::Right });
            assert_eq!(asked.state(), undecided(Undecided::Unanswered), "{n}");
        }
        asked.one(0, Outcome::Right);
        assert_eq!(asked.state(), StreamState::Quiet, "{n}");
        asked.one(n - 1, Outcome::Unanswered(Unanswered::OtherVersion));
        assert_eq!(asked.state(), undecided(Undecided::OtherVersion), "{n}");
        asked.one(n - 1, Outcome::Right);
        // One of them is asked no more.
        let one = asked.1;
        while asked.1 <= one + 1_000 {
            asked.round(n - 1, |_| Outcome::Right);
        }
        assert_eq!(asked.state(), undecided(Undecided::NoRows), "{n}");
        asked.round(n, |_| Outcome::Right);
        assert_eq!(asked.state(), StreamState::Quiet);
        assert_eq!(asked.0.state(at(asked.1 + 1_001)), undecided(Undecided::NoRows));
    }
}

/// The request that was answered wrongly ends the alarm by three right answers of its own: those to others are
/// about something else.
#[test]
fn a_known_request_recovers_by_itself() {
    let mut asked = Asked::known(3, 100);
    asked.round(3, |_| Outcome::Right);
    assert!(matches!(asked.one(0, wrong()), Some(Finding::Raised(_))));
    let failing = |i| if i == 0 { Outcome::Unanswered(Unanswered::Failed) } else { Outcome::Right };
    for _ in 0..50 {
        assert_eq!(asked.round(3, failing), []);
        assert_eq!(asked.state(), StreamState::Drifted);
    }
    let recovery = asked.0.report().recovery.unwrap();
    assert_eq!(recovery.requests, BTreeMap::from([("0".to_owned(), 0)]));
    assert_eq!(asked.round(3, |_| Outcome::Right), []);
    let mut next = Asked::known(3, 100);
    assert!(next.0.restore(asked.0.save()));
    next.1 = asked.1;
    assert_eq!(next.round(3, |_| Outcome::Right), []);
    let ended = next.round(3, |_| Outcome::Right);
    assert!(matches!(&ended[..], [Finding::Resolved { .. }]), "{ended:?}");
    assert_eq!(next.state(), StreamState::Quiet);
    // Three rounds of all, where all go well.
    let mut fresh = Asked::known(3, 100);
    fresh.one(2, wrong());
    let ends: Vec<usize> = (0..3).map(|_| fresh.round(3, |_| Outcome::Right).len()).collect();
    assert_eq!(ends, [0, 0, 1]);
}

/// Traffic that stops leaves a sampled check undecided after a hundred of its usual gaps.
#[test]
fn silence_is_not_quiet() {
    let mut asked = Asked::sampled();
    asked.times(100, &Outcome::Right);
    assert_eq!(asked.0.state(at(asked.1 + 100)), StreamState::Quiet);
    assert_eq!(asked.0.state(at(asked.1 + 101)), undecided(Undecided::NoRows));
}

/// A restart keeps the alarm and forgets what was quiet; an accepted alarm says nothing until right answers end it,
/// or there is another baseline.
#[test]
fn restart_and_acceptance() {
    let mut asked = Asked::sampled();
    asked.times(100, &Outcome::Right);
    let mut next = Asked::sampled();
    assert!(next.0.restore(asked.0.save()));
    next.times(1, &Outcome::Right);
    assert_eq!(next.state(), undecided(Undecided::BelowPower));
    next.take(wrong());
    let mut last = Asked::sampled();
    let written = serde_json::to_string(&next.0.save()).unwrap();
    assert!(last.0.restore(serde_json::from_str(&written).unwrap()));
    assert_eq!((last.state(), last.0.holds()), (StreamState::Drifted, true));
    assert_eq!(last.times(58, &Outcome::Right), []);
    last.0.accept();
    assert_eq!(last.times(5, &wrong()).len() + last.times(58, &Outcome::Right).len(), 0);
    assert_eq!((last.state(), last.0.holds()), (undecided(Undecided::Accepted), false));
    let mut anew = Asked::sampled();
    assert!(anew.0.restore(last.0.save()));
    assert_eq!(anew.times(5, &wrong()), []);
    anew.0.forget();
    assert!(matches!(anew.take(wrong()), Some(Finding::Raised(_))));
    // What was accepted is over in silence, and the next fault is another.
    assert_eq!(last.times(300, &Outcome::Right), []);
    assert_eq!(last.state(), StreamState::Quiet);
    assert!(matches!(last.take(wrong()), Some(Finding::Raised(_))));
}

/// What was found by other settings, accepted or not, says nothing of these.
#[test]
fn other_settings_begin_anew() {
    for is_accepted in [true, false] {
        let mut asked = Asked::sampled();
        asked.take(wrong());
        if is_accepted {
            asked.0.accept();
        }
        let mut next = Checker::new(Terms::Sampled, "others".to_owned());
        assert!(!next.restore(asked.0.save()));
        assert_eq!((next.latched(), next.state(at(1))), (None, undecided(Undecided::NoRows)));
        let written = serde_json::to_string(&asked.0.save()).unwrap().replace(r#""of":"s","#, "");
        let mut same = Asked::sampled();
        assert!(!same.0.restore(serde_json::from_str(&written).unwrap()), "of nobody knows which");
    }
}
