//! Real servers on loopback, right, wrong and broken ones.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::detect::{Answered, Outcome, Unanswered};
use crate::oip::{InferRequest, InferResponse};
use crate::record::{Column, Kind, Record, Role, Scalar, Schema};
use crate::units::{Clock, Ratio, Timestamp};

/// How the model of a test answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Right,
    /// Off by so much.
    Off(f64),
    /// Off every second time.
    Unsteady,
    /// Off once in 37 times.
    Rarely,
    Status(u16),
    Garbage,
    /// A body beyond what is read.
    Huge,
    Hang,
    Version(&'static str),
    /// One in so many requests goes unanswered.
    Losing(u64),
    /// Right for so many requests, then a failure for ever.
    RightFor(u64),
}

#[derive(Debug)]
struct Served {
    mood: Mood,
    asked: u64,
    authorization: Option<String>,
    id: Option<String>,
}

/// A model on loopback: `score` is 0.01 `age` + 0.1 where `city` is `x`.
struct Model(String, Arc<Mutex<Served>>);

fn score(age: f64, city: &Scalar) -> f64 {
    age / 100.0 + if *city == Scalar::Text("x".to_owned()) { 0.1 } else { 0.0 }
}

impl Model {
    async fn start(mood: Mood) -> Self {
        let served = Arc::new(Mutex::new(Served { mood, asked: 0, authorization: None, id: None }));
        let shared = Arc::clone(&served);
        let app = Router::new().route(
            "/infer",
            post(async move |headers: HeaderMap, body: Bytes| answer(&shared, &headers, &body).await),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/infer", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self(url, served)
    }

    fn set(&self, mood: Mood) {
        self.1.lock().unwrap().mood = mood;
    }

    fn asked(&self) -> u64 {
        self.1.lock().unwrap().asked
    }

    fn copy(&self, known: Option<&KnownAnswers>) -> PinnedCopy {
        PinnedCopy::new(pinned(&self.0), known).unwrap()
    }

    fn known(&self) -> KnownAnswers {
        let known = json!({"url": self.0, "every": "1s", "timeout": "30s", "requests_per_second_max": 1_000,
            "requests": [known_request("young", 20.0), known_request("old", 80.0)]});
        let known: KnownAnswers = serde_json::from_value(known).unwrap();
        known.check().unwrap();
        known
    }
}

async fn answer(served: &Mutex<Served>, headers: &HeaderMap, body: &[u8]) -> Response {
    let (mood, number) = {
        let mut served = served.lock().unwrap();
        served.asked += 1;
        served.id = InferRequest::parse(body).unwrap().id;
        served.authorization = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
        (served.mood, served.asked)
    };
    let off = match mood {
        Mood::Off(off) => off,
        Mood::Unsteady if number % 2 == 1 => 0.5,
        Mood::Rarely if number % 37 == 0 => 0.5,
        Mood::Losing(one_in) if number % one_in == 0 => return StatusCode::BAD_GATEWAY.into_response(),
        Mood::RightFor(most) if number > most => return StatusCode::BAD_GATEWAY.into_response(),
        Mood::Right
        | Mood::Unsteady
        | Mood::Rarely
        | Mood::Version(_)
        | Mood::Losing(_)
        | Mood::RightFor(_) => 0.0,
        Mood::Status(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Garbage => return r#"{"error":"no"}"#.into_response(),
        Mood::Huge => return vec![b' '; 5 << 20].into_response(),
        Mood::Hang => std::future::pending().await,
    };
    let rows = InferRequest::parse(body).unwrap().rows(&["age".into()]).unwrap();
    let scores: Vec<f64> = rows
        .iter()
        .map(|row| {
            let Scalar::Number(age) = row["age"] else { panic!("{row:?}") };
            score(age, row.get("city").unwrap_or(&Scalar::Null)) + off
        })
        .collect();
    let version = if let Mood::Version(version) = mood { version } else { "1" };
    axum::Json(json!({"model_name": "m", "model_version": version, "outputs": [
        {"name": "score", "datatype": "FP64", "shape": [scores.len()], "data": scores}]}))
    .into_response()
}

fn known_request(name: &str, age: f64) -> serde_json::Value {
    let tensor =
        |name: &str, value: f64| json!({"name": name, "datatype": "FP64", "shape": [1], "data": [value]});
    json!({"name": name, "request": {"inputs": [tensor("age", age)]}, "expected": {"outputs": [tensor("score", age / 100.0)]}})
}

fn pinned(url: &str) -> Pinned {
    let pinned = json!({"url": url, "timeout": "30s", "requests_per_second_max": 100_000});
    let pinned: Pinned = serde_json::from_value(pinned).unwrap();
    pinned.check().unwrap();
    pinned
}

fn schema() -> Schema {
    let input = |name, kind| Column::plain(name, Role::Input, kind, Schema::REQUEST_GROUP);
    let output = Column::plain("score", Role::Output, Kind::Numeric, Schema::OUTPUT_GROUP);
    Schema::new("m".into(), None, vec![input("age", Kind::Numeric), input("city", Kind::Categorical), output])
        .unwrap()
}

/// A row that the model answered rightly, but for what is added to its score.
fn row(request: u32, age: f64, off: f64) -> Record {
    let city = if request.is_multiple_of(2) { "x" } else { "y" };
    let score = score(age, &Scalar::Text(city.to_owned())) + off;
    serde_json::from_value(
        json!({"ts": i64::from(request), "model": "m", "version": "1", "request_id": request,
        "features": {"age": age, "city": city}, "prediction": {"score": score}}),
    )
    .unwrap()
}

fn question(rows: &[Record]) -> Question {
    Question::new(&rows.iter().collect::<Vec<_>>(), &schema(), &pinned("http://127.0.0.1:9")).unwrap()
}

async fn ask(copy: &PinnedCopy, rows: &[Record]) -> Vec<Outcome> {
    let clock = Clock::manual(Timestamp::from_millis(9));
    copy.ask(&question(rows), false, &clock).await.into_iter().map(|answered| answered.outcome).collect()
}

fn unanswered(why: Unanswered) -> Vec<Outcome> {
    vec![Outcome::Unanswered(why)]
}

/// The same model answers the same, row by row, however many rows a request has.
#[tokio::test]
async fn the_same_model_is_never_wrong() {
    let model = Model::start(Mood::Right).await;
    let copy = model.copy(Some(&model.known()));
    let mut rng = StdRng::seed_from_u64(1);
    for request in 0..200 {
        let rows: Vec<Record> =
            (0..=request % 5).map(|_| row(request, rng.random_range(18.0..90.0), 0.0)).collect();
        let right = vec![Outcome::Right; rows.len()];
        assert_eq!(ask(&copy, &rows).await, right);
    }
    assert_eq!(model.asked(), 202, "two known requests, and each question once");
    assert!(matches!(copy.judged(), Judged::Right { .. }));
}

/// A wrong answer is told with its request, and only that row's: the copy said so twice, and knows its answers.
#[tokio::test]
async fn a_wrong_answer_is_told() {
    let model = Model::start(Mood::Right).await;
    let copy = model.copy(Some(&model.known()));
    let outcomes = ask(&copy, &[row(7, 50.0, 0.0), row(7, 30.0, 0.25)]).await;
    let [Outcome::Right, Outcome::Wrong { output, what }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(output, "score");
    assert_eq!(what, "request `7`: output `score` is 0.55, expected 0.3");
    assert_eq!(model.asked(), 2 + 2 + 2);
    let unchecked = model.copy(None);
    assert!(matches!(ask(&unchecked, &[row(7, 30.0, 0.25)]).await[..], [Outcome::Wrong { .. }]));
    assert_eq!(unchecked.judged(), Judged::Unchecked);
}

/// Whoever does not answer accuses nobody, and is not believed: the reason is the outcome.
#[tokio::test]
async fn who_does_not_answer_says_nothing() {
    let model = Model::start(Mood::Right).await;
    let copy = model.copy(None);
    for (mood, why) in [
        (Mood::Status(500), Unanswered::Failed),
        (Mood::Status(503), Unanswered::Failed),
        (Mood::Status(400), Unanswered::Refused),
        (Mood::Status(302), Unanswered::Refused),
        (Mood::Garbage, Unanswered::Unreadable),
        (Mood::Huge, Unanswered::Unreadable),
        (Mood::Hang, Unanswered::Timeout),
        (Mood::Version("2"), Unanswered::OtherVersion),
        (Mood::Unsteady, Unanswered::JudgeWrong),
    ] {
        model.set(mood);
        if mood == Mood::Unsteady && model.asked() % 2 == 1 {
            // The odd ones are off.
            ask(&copy, &[row(1, 50.0, 0.0)]).await;
        }
        let patience = if mood == Mood::Hang { 50 } else { 30_000 };
        let timeout = std::time::Duration::from_millis(patience);
        let copy = PinnedCopy::new(Pinned { timeout, ..pinned(&model.0) }, None).unwrap();
        assert_eq!(ask(&copy, &[row(1, 50.0, 0.0)]).await, unanswered(why), "{mood:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let copy = PinnedCopy::new(pinned(&format!("http://{gone}/infer")), None).unwrap();
    assert_eq!(ask(&copy, &[row(1, 50.0, 0.0)]).await, unanswered(Unanswered::Unreachable));
}

/// A copy that breaks accuses nobody, at the very moment that it breaks, and is asked nothing from then on until
/// it knows its answers again.
#[tokio::test]
async fn a_broken_copy_is_no_judge() {
    let model = Model::start(Mood::Right).await;
    let (copy, clock) = (model.copy(Some(&model.known())), Clock::manual(Timestamp::from_millis(0)));
    let healthy = [row(1, 50.0, 0.0)];
    assert_eq!(ask(&copy, &healthy).await, [Outcome::Right]);
    model.set(Mood::Off(0.1));
    assert_eq!(ask(&copy, &healthy).await, unanswered(Unanswered::JudgeWrong));
    let Judged::Wrong { what, .. } = copy.judged() else { panic!("{:?}", copy.judged()) };
    assert_eq!(what, "request `young`: output `score` element 0 is 0.30000000000000004, expected 0.2");
    let asked = model.asked();
    assert_eq!(ask(&copy, &healthy).await, unanswered(Unanswered::JudgeWrong));
    assert_eq!(model.asked(), asked);
    model.set(Mood::Status(500));
    copy.test(&clock).await;
    assert_eq!(ask(&copy, &healthy).await, unanswered(Unanswered::Failed));
    model.set(Mood::Right);
    copy.test(&clock).await;
    assert_eq!(ask(&copy, &healthy).await, [Outcome::Right]);
}

/// A copy that loses some requests can still confirm: what merely went unanswered is sent again, and vetoes nothing.
#[tokio::test]
async fn a_lossy_copy_confirms() {
    for one_in in [2, 3, 7, 50] {
        let model = Model::start(Mood::Losing(one_in)).await;
        let mut known = model.known();
        known.requests = (0..100).map(|i| many(i, 20.0)).collect();
        known.check().unwrap();
        let (copy, mut wrong) = (model.copy(Some(&known)), 0);
        for _ in 0..20 {
            match &ask(&copy, &[row(7, 30.0, 0.25)]).await[..] {
                [Outcome::Wrong { .. }] => wrong += 1,
                [Outcome::Unanswered(Unanswered::Failed)] => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(wrong >= 10, "one in {one_in}: {wrong}");
        assert!(matches!(copy.judged(), Judged::Right { .. }), "{:?}", copy.judged());
    }
}

fn many(i: u32, age: f64) -> crate::oip::KnownAnswer {
    serde_json::from_value(known_request(&format!("r{i}"), age)).unwrap()
}

/// A disagreement that cannot be confirmed, because nobody answers any more, is neither a wrong answer nor one that
/// is merely missing; rows on which both agree are right. A test of a copy that is gone ends soon.
#[tokio::test]
async fn what_cannot_be_confirmed() {
    let model = Model::start(Mood::Right).await;
    let mut known = model.known();
    known.requests = (0..100).map(|i| many(i, 20.0)).collect();
    let unconfirmed = Outcome::Unanswered(Unanswered::Unconfirmed);
    // Nothing after the first answer; the second one too, and 30 known ones of 100.
    for more in [1, 2, 32] {
        let copy = model.copy(Some(&known));
        model.set(Mood::Right);
        copy.test(&Clock::manual(Timestamp::from_millis(0))).await;
        let before = model.asked();
        model.set(Mood::RightFor(before + more));
        let outcomes = ask(&copy, &[row(7, 50.0, 0.0), row(7, 30.0, 0.25)]).await;
        assert_eq!(outcomes, [Outcome::Right, unconfirmed.clone()], "{more}");
        assert!(model.asked() - before <= more + 10, "{}", model.asked() - before);
    }
    // Half of them are enough, as long as none is wrong.
    let copy = model.copy(Some(&known));
    model.set(Mood::Right);
    copy.test(&Clock::manual(Timestamp::from_millis(0))).await;
    model.set(Mood::RightFor(model.asked() + 62));
    let outcomes = ask(&copy, &[row(7, 30.0, 0.25)]).await;
    assert!(matches!(outcomes[..], [Outcome::Wrong { .. }]), "{outcomes:?}");
    assert!(matches!(copy.judged(), Judged::Right { unanswered: 40, .. }), "{:?}", copy.judged());
}

/// A model that answers null where it answers in health is not right; a part that it never has is nobody's. What is
/// compared is counted.
#[tokio::test]
async fn a_part_that_is_missing() {
    let model = Model::start(Mood::Right).await;
    let copy = model.copy(None);
    let said = |prediction: serde_json::Value| Record {
        prediction: serde_json::from_value(prediction).unwrap(),
        ..row(1, 50.0, 0.0)
    };
    assert_eq!(
        ask(&copy, &[said(json!({"label": 1, "score": null}))]).await,
        unanswered(Unanswered::PartMissing)
    );
    assert_eq!(copy.compared(), std::collections::BTreeMap::new());
    assert_eq!(ask(&copy, &[said(json!({"label": 1, "score": 0.5}))]).await, [Outcome::Right]);
    assert_eq!(copy.compared(), std::collections::BTreeMap::from([(crate::oip::Part::Score, 1)]));
    let labels =
        Schema { columns: schema().columns.into_iter().filter(|c| c.name != "score").collect(), ..schema() };
    let other = Question::new(&[&said(json!({"label": 1}))], &labels, &pinned(&model.0)).unwrap();
    let clock = Clock::manual(Timestamp::from_millis(9));
    assert_eq!(copy.ask(&other, false, &clock).await, other.unanswered(Unanswered::Incomparable));
}

/// What silentry sends bears its name, whatever name was recorded.
#[tokio::test]
async fn requests_bear_our_name() {
    let model = Model::start(Mood::Right).await;
    let mut known = model.known();
    known.requests[0].request.id = Some("recorded".to_owned());
    let asker = Asker::of_live(&known).unwrap();
    let clock = Clock::manual(Timestamp::from_millis(5));
    asker.known(&known.requests[..1], known.tolerance, &clock, |_| {}).await;
    let last = || model.1.lock().unwrap().id.clone().unwrap();
    assert_eq!(last(), "silentry-known-young");
    ask(&model.copy(None), &[row(7, 50.0, 0.0)]).await;
    assert_eq!(last(), "silentry-pinned-7");
    assert!(crate::oip::is_own(&last()) && !crate::oip::is_own("silentry"));
}

/// A copy that answers now and then otherwise, less often than it is tested, is found out by being asked twice, and
/// accuses nobody of what it said once.
#[tokio::test]
async fn a_copy_that_errs_now_and_then() {
    let model = Model::start(Mood::Rarely).await;
    let (copy, mut right) = (model.copy(Some(&model.known())), 0);
    for _ in 0..300 {
        match &ask(&copy, &[row(1, 50.0, 0.0)]).await[..] {
            [Outcome::Right] => right += 1,
            [Outcome::Unanswered(Unanswered::JudgeWrong)] => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((270..300).contains(&right), "{right}");
}

/// Rows that are no question say why: of another version, without an answer, without a feature, cut short.
#[test]
fn what_cannot_be_asked() {
    let why = |more: serde_json::Value| {
        let mut row = serde_json::to_value(row(1, 50.0, 0.0)).unwrap();
        for (name, value) in more.as_object().unwrap() {
            row[name] = value.clone();
        }
        let pinned = Pinned {
            version: Some("1".to_owned()),
            model_hash: Some("ab".to_owned()),
            ..pinned("http://127.0.0.1:9")
        };
        let row: Record = serde_json::from_value(row).unwrap();
        Question::new(&[&row], &schema(), &pinned).err()
    };
    assert_eq!(why(json!({"model_hash": "ab"})), None);
    assert_eq!(why(json!({"version": "2"})), Some(Unanswered::OtherVersion));
    assert_eq!(why(json!({"model_hash": "cd"})), Some(Unanswered::OtherVersion));
    assert_eq!(why(json!({"prediction": null})), Some(Unanswered::PartMissing));
    assert_eq!(why(json!({"features": {"age": 1}})), Some(Unanswered::Unaskable));
    assert_eq!(why(json!({"features": {"age": "1", "city": "x"}})), Some(Unanswered::Unaskable));
    assert_eq!(why(json!({"features": {"age": "nan", "city": "x"}})), None);
    assert_eq!(why(json!({"features": {"age": null, "city": "x"}})), None);
    for infinity in ["inf", "-inf", "Infinity"] {
        let features = json!({"age": infinity, "city": "x"});
        assert_eq!(why(json!({"features": features})), Some(Unanswered::Unaskable), "{infinity}");
    }
    assert_eq!(why(json!({"features": {"age": 1, "city": null}})), Some(Unanswered::Unaskable));
    assert_eq!(why(json!({"truncated": true})), Some(Unanswered::Unaskable));
}

/// Without a version of its own the copy is of the baseline's: rows of another are not held against it. An infinite
/// number, as files have it, would reach the copy as a missing one.
#[test]
fn rows_of_another_version_or_infinite() {
    let pinned = pinned("http://127.0.0.1:9");
    let ours = |version: &str| Schema { version: Some(version.to_owned()), ..schema() };
    let (mut one, none) = (row(1, 50.0, 0.0), Record { version: None, ..row(1, 50.0, 0.0) });
    let why = |row: &Record, version: &str| Question::new(&[row], &ours(version), &pinned).err();
    assert_eq!((why(&one, "1"), why(&none, "2")), (None, None));
    assert_eq!(why(&one, "2"), Some(Unanswered::OtherVersion));
    let named = Pinned { version: Some("1".to_owned()), ..pinned.clone() };
    assert_eq!(Question::new(&[&one], &ours("2"), &named).err(), None);
    for (age, expected) in [(f64::INFINITY, Some(Unanswered::Unaskable)), (f64::NAN, None)] {
        one.features.insert("age".to_owned(), Scalar::Number(age));
        assert_eq!(why(&one, "1"), expected, "{age}");
    }
}

/// Many that disagree at once share tests: one that is under way when the last of them disagrees, and one after it.
/// Where the model stands accused, none is needed, but a copy that is found out accuses nobody any more.
#[tokio::test]
async fn tests_are_shared() {
    let model = Model::start(Mood::Right).await;
    let mut known = model.known();
    known.requests = (0..50).map(|i| many(i, 20.0)).collect();
    let mut settings = pinned(&model.0);
    settings.in_flight_max = std::num::NonZeroUsize::new(20).unwrap();
    let (copy, clock) =
        (PinnedCopy::new(settings, Some(&known)).unwrap(), Clock::manual(Timestamp::from_millis(9)));
    copy.test(&clock).await;
    let wrong = question(&[row(7, 30.0, 0.25)]);
    let before = model.asked();
    let all = futures::future::join_all((0..20).map(|_| copy.ask(&wrong, false, &clock))).await;
    assert!(all.iter().all(|rows| matches!(rows[0].outcome, Outcome::Wrong { .. })));
    let asked = model.asked() - before;
    assert!((40 + 50..=40 + 4 * 50).contains(&asked), "{asked}");
    let before = model.asked();
    let accused = copy.ask(&wrong, true, &clock).await;
    assert!(matches!(accused[0].outcome, Outcome::Wrong { .. }));
    assert_eq!(model.asked() - before, 2);
    model.set(Mood::Off(0.1));
    copy.test(&clock).await;
    assert_eq!(copy.ask(&wrong, true, &clock).await, wrong.unanswered(Unanswered::JudgeWrong));
}

/// The layouts of servers: a tensor a feature, or one of them all, in the order of the schema.
#[test]
fn both_layouts() {
    let rows = [row(1, 50.0, 0.0), row(1, 40.0, 0.0)];
    let sent = |question: &Question| InferRequest::parse(question.body()).unwrap();
    let columns = sent(&question(&rows)).rows(&[]).unwrap();
    assert_eq!(columns[1]["age"], Scalar::Number(40.0));
    let numeric = Schema::new(
        "m".into(),
        None,
        ["b", "a"].map(|name| Column::plain(name, Role::Input, Kind::Numeric, "request")).to_vec(),
    );
    let row: Record =
        serde_json::from_str(r#"{"ts":0,"model":"m","features":{"a":1,"b":null},"prediction":{"score":1}}"#)
            .unwrap();
    let table = Pinned { tensor: Some("predict".to_owned()), ..pinned("http://127.0.0.1:9") };
    let question = Question::new(&[&row], &numeric.unwrap(), &table).unwrap();
    let request = sent(&question);
    assert_eq!((request.inputs[0].name.as_str(), &request.inputs[0].shape), ("predict", &vec![1, 2]));
    let numbers = request.inputs[0].numbers().unwrap();
    assert!(numbers[0].is_nan() && (numbers[1] - 1.0).abs() < 1e-12);
    assert_eq!(Question::new(&[&row], &schema(), &table).err(), Some(Unanswered::Unaskable));
}

/// A vector is asked as it was: a tensor of its own, or its coordinates among the columns of the one table. One of
/// another dimension, or none, is not asked.
#[test]
fn vectors() {
    let vector = Column::plain("v", Role::Input, Kind::Numeric, "request").embedding(2);
    let age = Column::plain("age", Role::Input, Kind::Numeric, "request");
    let schema = Schema::new("m".into(), None, vector.into_iter().chain([age]).collect()).unwrap();
    let ask = |vector: &str, tensor: Option<&str>| {
        let line = format!(
            r#"{{"ts":0,"model":"m","features":{{"v":{vector},"age":7}},"prediction":{{"score":1}}}}"#
        );
        let row: Record = serde_json::from_str(&line).unwrap();
        let pinned = Pinned { tensor: tensor.map(str::to_owned), ..pinned("http://127.0.0.1:9") };
        let question = Question::new(&[&row, &row], &schema, &pinned)?;
        let inputs = InferRequest::parse(question.body()).unwrap().inputs;
        Ok(inputs.iter().map(|t| (t.name.clone(), t.shape.clone(), t.numbers().unwrap())).collect())
    };
    let of = |name: &str, shape: &[u64], row: &[f64]| (name.to_owned(), shape.to_vec(), [row, row].concat());
    let own: Vec<_> = vec![of("v", &[2, 2], &[0.5, 0.25]), of("age", &[2], &[7.0])];
    assert_eq!(ask("[0.5,0.25]", None), Ok(own));
    assert_eq!(ask("[0.5,0.25]", Some("predict")), Ok(vec![of("predict", &[2, 3], &[0.5, 0.25, 7.0])]));
    for none in ["null", "[1]", "[1,2,3]", "1"] {
        assert_eq!(ask(none, None), Err(Unanswered::Unaskable), "{none}");
    }
}

/// What waits weighs what it holds: the features that are sent, and the answers that they are held against.
#[test]
fn what_waits_is_weighed() {
    let light = question(&[row(1, 50.0, 0.0)]);
    assert!((500..2_000).contains(&light.bytes()), "{}", light.bytes());
    let mut heavy = row(1, 50.0, 0.0);
    let class = |i: u32| (format!("{i}{}", "x".repeat(1_000)), Scalar::Number(0.0));
    heavy.prediction.as_mut().unwrap().probabilities = (0..100).map(class).collect();
    assert!(question(&[heavy.clone(), heavy]).bytes() > 200_000);
}

/// The live model's known answers: right, wrong, of another version, and none.
#[tokio::test]
async fn known_answers_of_the_live_model() {
    let model = Model::start(Mood::Right).await;
    let mut known = model.known();
    known.requests[0].expected.model_version = Some("1".to_owned());
    let (asker, clock) = (Asker::of_live(&known).unwrap(), Clock::manual(Timestamp::from_millis(5)));
    let told = Mutex::new(Vec::new());
    let round = async || -> Vec<Outcome> {
        let mut all = Vec::new();
        asker.known(&known.requests, known.tolerance, &clock, |answered| all.push(answered)).await;
        let details = all.iter().filter_map(|answered| answered.detail.as_deref());
        told.lock().unwrap().extend(details.map(str::to_owned));
        assert_eq!(all.iter().map(|a| a.of.as_deref().unwrap()).collect::<Vec<_>>(), ["young", "old"]);
        all.into_iter().map(|answered| answered.outcome).collect()
    };
    assert_eq!(round().await, [Outcome::Right, Outcome::Right]);
    model.set(Mood::Version("2"));
    assert_eq!(round().await, [Outcome::Unanswered(Unanswered::OtherVersion), Outcome::Right]);
    model.set(Mood::Off(0.01));
    let wrong = round().await;
    assert!(
        matches!(&wrong[..], [Outcome::Wrong { .. }, Outcome::Wrong { what, .. }]
        if what == "request `old`: output `score` element 0 is 0.81, expected 0.8"),
        "{wrong:?}"
    );
    model.set(Mood::Status(500));
    assert_eq!(round().await, vec![Outcome::Unanswered(Unanswered::Failed); 2]);
    model.set(Mood::Status(401));
    assert_eq!(round().await, vec![Outcome::Unanswered(Unanswered::Refused); 2]);
    let (failed, refused) = ("500 Internal Server Error", "401 Unauthorized");
    assert_eq!(*told.lock().unwrap(), ["2", failed, failed, refused, refused]);
}

/// The secret goes to who is asked, and shows nowhere else.
#[tokio::test]
async fn the_secret_is_sent_and_not_shown() {
    let model = Model::start(Mood::Right).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Bearer hush").unwrap();
    let settings = Pinned {
        authorization: Some(crate::alert::SecretFrom::File(file.path().into())),
        ..pinned(&model.0)
    };
    let copy = PinnedCopy::new(settings, None).unwrap();
    assert_eq!(ask(&copy, &[row(1, 50.0, 0.0)]).await, [Outcome::Right]);
    assert_eq!(model.1.lock().unwrap().authorization.as_deref(), Some("Bearer hush"));
    assert!(!format!("{copy:?}").contains("hush"));
    let gone = Pinned {
        authorization: Some(crate::alert::SecretFrom::File("/nonexistent".into())),
        ..pinned(&model.0)
    };
    let error = PinnedCopy::new(gone, None).unwrap_err().to_string();
    assert!(error.starts_with("pinned.authorization: cannot read the secret in `/nonexistent`"), "{error}");
}

/// Rows that pass until a fault in a share of them is found, with one request in a hundred asked again: 100 / q on
/// average. The time to the first is geometric, so its mean over 400 seeds is within 5 of 20 standard errors.
#[test]
fn a_wrong_answer_is_found_after_100_by_q_rows() {
    let pinned = pinned("http://127.0.0.1:9");
    for q in [1.0, 0.1] {
        let found: Vec<f64> = (0..400).map(|seed| rows_until_found(&pinned, q, seed)).collect();
        let mean = found.iter().sum::<f64>() / 400.0;
        assert!((mean * q / 100.0 - 1.0).abs() < 5.0 / 20.0, "q {q}: {mean} rows");
    }
    assert_eq!(sampled_outcomes(&pinned, 0.0, 9).take(500).filter(|(_, right)| !right).count(), 0);
}

fn rows_until_found(pinned: &Pinned, q: f64, seed: u64) -> f64 {
    f64::from(sampled_outcomes(pinned, q, seed).find(|(_, right)| !right).unwrap().0)
}

/// The rows that are asked again, by their number from 1, and whether the live model was right.
fn sampled_outcomes(pinned: &Pinned, q: f64, seed: u64) -> impl Iterator<Item = (u32, bool)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut key = [0; 16];
    rng.fill(&mut key);
    let mut sampler = Sampler::new(Ratio::one_in(100), key);
    let schema = schema();
    let pinned = pinned.clone();
    let mut any = row(0, 0.0, 0.0);
    (1_u32..).filter_map(move |i| {
        let off = if rng.random_bool(q) { 0.01 } else { 0.0 };
        any.request_id = Some(i.to_string());
        sampler.takes(&any).then(|| {
            let row = row(i, f64::from(i % 90), off);
            let question = Question::new(&[&row], &schema, &pinned).unwrap();
            let right = score(f64::from(i % 90), &row.features["city"]);
            let copy: InferResponse = serde_json::from_value(json!({"model_name": "m", "outputs": [
                {"name": "score", "datatype": "FP64", "shape": [1], "data": [right]}]}))
            .unwrap();
            let [Answered { outcome, .. }] = &question.compare(copy, &pinned).0[..] else {
                panic!("one row")
            };
            (i, *outcome == Outcome::Right)
        })
    })
}
