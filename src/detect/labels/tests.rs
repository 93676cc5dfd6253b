mod reviewed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::interval::Interval;
use super::*;
use crate::detect::{Calibration, Finding, Harm, Promise, Season, StreamState, Undecided};
use crate::record::{Batch, BatchBuilder, Column, Kind, Record, Role, Scalar, Schema};
use crate::units::{Ratio, Timestamp};

fn schema(outputs: &[(&str, Kind)]) -> Arc<Schema> {
    let answers = outputs.iter().map(|(name, kind)| Column::plain(name, Role::Output, *kind, "output"));
    let columns = [Column::plain("x", Role::Input, Kind::Numeric, "g")].into_iter().chain(answers);
    Arc::new(Schema::new("m".into(), None, columns.collect()).unwrap())
}

fn numbers() -> Arc<Schema> {
    schema(&[("prediction", Kind::Numeric)])
}

fn batch(schema: &Arc<Schema>, rows: impl IntoIterator<Item = serde_json::Value>) -> Batch {
    let mut builder = BatchBuilder::new(Arc::clone(schema));
    for mut row in rows {
        row["ts"] = json!(0);
        row["model"] = json!("m");
        builder.push(&serde_json::from_value::<Record>(row).unwrap());
    }
    builder.finish().unwrap().0
}

/// A reference of so many requests of one row, the first 200 of which choose the loss, wrong at a rate.
fn reference(seed: u64, requests: u64, risk: f64) -> Option<Reference> {
    let mut random = StdRng::seed_from_u64(seed);
    let rows = (0..200 + requests).map(|i| {
        let label = u8::from(random.random_bool(risk));
        json!({"request_id": i, "prediction": {"label": 0}, "label": label})
    });
    let schema = numbers();
    let mut learner = ReferenceLearner::new(&schema);
    learner.observe(&batch(&schema, rows));
    learner.finish()
}

fn performance(reference: Option<Reference>, budget: f64) -> Performance {
    Performance::new(&numbers(), reference, options(budget))
}

fn options(budget: f64) -> HarmOptions {
    let lately = Duration::from_secs(7 * 86_400);
    HarmOptions { tolerance: Ratio::one_in(10), budget, lately, is_on: true }
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(n).unwrap())
}

/// One label of a request of its own: of the class that was answered, or of the other.
fn label(performance: &mut Performance, n: u64, is_wrong: bool) -> Option<Finding> {
    let answer = Answer::Value(Truth::Number(0.0));
    performance.observe(&Scored {
        request: None,
        is_later: false,
        answer: Some(&answer),
        truth: &Truth::Number(f64::from(u8::from(is_wrong))),
        answered_at: at(n),
        known_at: at(n + 1),
    })
}

/// Labels that are wrong at a rate, until one raises an alarm or as many as are wanted came.
fn labels_to_alarm(performance: &mut Performance, random: &mut StdRng, risk: f64, most: u64) -> u64 {
    let raised =
        |n: &u64| matches!(label(performance, *n, random.random_bool(risk)), Some(Finding::Raised(_)));
    (0..most).find(raised).unwrap_or(most)
}

fn state(performance: &Performance) -> StreamState {
    performance.report(at(0)).state
}

/// The same class in all the spellings that records and files have; what is none is none.
#[test]
fn truths_have_one_spelling() {
    let text = |t: &str| Scalar::Text(t.into());
    let ones =
        [Scalar::Number(1.0), Scalar::Bool(true), text("1"), text("1.0"), text(" True "), text("true")];
    assert!(ones.iter().all(|one| Truth::of(one) == Some(Truth::Number(1.0))));
    assert_eq!(Truth::of(&text("-0")), Truth::of(&Scalar::Bool(false)));
    assert_eq!(Truth::of(&text(" good ")), Some(Truth::Word("good".into())));
    let long = text(&"x".repeat(257));
    for none in [Scalar::Null, Scalar::Nested, Scalar::Number(f64::NAN), text("inf"), text(" "), long] {
        assert_eq!(Truth::of(&none), None, "{none:?}");
    }
}

/// What an answer amounts to is one class or value, whatever the columns that carry it; words, chances and a few whole
/// numbers are classes.
#[test]
fn answers_amount_to_a_class_or_value() {
    let chances = schema(&[("prob_bad", Kind::Numeric), ("prob_good", Kind::Numeric)]);
    let score = schema(&[("score", Kind::Numeric)]);
    let words = schema(&[("prediction", Kind::Categorical)]);
    let values = |all: &[f64]| all.iter().map(|value| Truth::Number(*value)).collect::<Vec<_>>();
    for (schema, prediction, expected, are_classes) in [
        (&chances, json!({"probabilities": {"bad": 0.2, "good": 0.8}}), "good", true),
        (&chances, json!({"probabilities": {"bad": 0.5, "good": 0.5}}), "bad", true),
        (&score, json!({"score": 0.5}), "1", true),
        (&score, json!({"score": 0.49}), "0", true),
        (&words, json!({"label": "bad"}), "bad", true),
        (&numbers(), json!({"value": 2.5}), "2.5", false),
    ] {
        let answers = Answers::of(schema);
        let answer = answers.answer(&batch(schema, [json!({"prediction": prediction})]), 0).unwrap();
        assert_eq!(answers.said(&answer).unwrap().to_string(), expected, "{prediction}");
        assert_eq!(answers.are_classes(&values(&[0.5, 2.0])), are_classes, "{prediction}");
    }
    assert!(Answers::of(&numbers()).are_classes(&values(&[0.0, 1.0, 1.0])));
}

fn loss_of(schema: &Arc<Schema>, loss: &Loss, prediction: serde_json::Value, label: &str) -> Option<f64> {
    let answers = Answers::of(schema);
    let answer = answers.answer(&batch(schema, [json!({"prediction": prediction})]), 0)?;
    loss.of(&answers, &answer, &Truth::of(&Scalar::Text(label.into())).unwrap())
}

/// Each loss runs from 0 to 1, whatever the columns that carry the answer; what cannot be compared has none.
#[test]
fn losses() {
    let check = |schema: &Arc<Schema>, loss: &Loss, prediction, label, expected: Option<f64>| {
        let found = loss_of(schema, loss, prediction, label);
        let is_same = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(is_same, "{loss:?} of {label}: {found:?}, expected {expected:?}");
    };
    let any = Loss::Wrong { classes: None };
    let few = Loss::Wrong { classes: Some(vec![Truth::Word("a".into()), Truth::Word("b".into())]) };
    let words = schema(&[("prediction", Kind::Categorical)]);
    check(&words, &any, json!({"label": "a"}), "a", Some(0.0));
    check(&words, &any, json!({"label": "a"}), "c", Some(1.0));
    check(&words, &few, json!({"label": "a"}), "b", Some(1.0));
    check(&words, &few, json!({"label": "a"}), "c", None);
    check(&words, &any, json!({}), "a", None);
    check(&numbers(), &any, json!({"label": 1}), "true", Some(0.0));
    let score = schema(&[("score", Kind::Numeric)]);
    check(&score, &Loss::Brier, json!({"score": 0.8}), "1", Some(0.04));
    check(&score, &Loss::Brier, json!({"score": 0.8}), "2", None);
    check(&score, &Loss::Brier, json!({"score": 1.2}), "1", None);
    let chances = schema(&[("prob_0", Kind::Numeric), ("prob_1", Kind::Numeric)]);
    check(&chances, &Loss::Brier, json!({"probabilities": {"0": 0.25, "1": 0.75}}), "1", Some(0.0625));
    check(&chances, &Loss::Brier, json!({"probabilities": {"0": 1.0, "1": 0.0}}), "1", Some(1.0));
    check(&chances, &Loss::Brier, json!({"probabilities": {"0": 0.25}}), "1", None);
    check(&chances, &Loss::Brier, json!({"probabilities": {"0": 0.25, "1": 0.75}}), "9", None);
    let error = Loss::Absolute { bound: 4.0 };
    check(&numbers(), &error, json!({"value": 3.5}), "2.5", Some(0.25));
    check(&numbers(), &error, json!({"value": 3.5}), "99", Some(1.0));
    check(&numbers(), &error, json!({"value": 3.5}), "good", None);
}

/// Whole numbers of few kinds are classes, others values with a bound; too few labels carry nothing; rows
/// without a label say nothing; a label that cannot be read is counted.
#[test]
fn references_choose_their_loss() {
    let classes = reference(1, 300, 0.1).unwrap();
    assert_eq!(*classes.loss(), Loss::Wrong { classes: Some(vec![Truth::Number(0.0), Truth::Number(1.0)]) });
    assert_eq!((classes.requests(), classes.unscored()), (300, 0));
    assert!(classes.check().is_ok() && reference(1, 99, 0.1).is_none());
    let schema = numbers();
    let mut learner = ReferenceLearner::new(&schema);
    let mut random = StdRng::seed_from_u64(2);
    let rows = (0..2_000).map(|i| {
        let error: f64 = random.random();
        let label = if i % 2 == 0 { json!(f64::from(i) + error) } else { json!(null) };
        json!({"request_id": i, "prediction": {"value": i}, "label": label})
    });
    learner.observe(&batch(&schema, rows));
    learner
        .observe(&batch(&schema, [json!({"prediction": {"value": 1}, "label": "?"}), json!({"label": 1})]));
    let values = learner.finish().unwrap();
    let Loss::Absolute { bound } = values.loss() else { panic!("{values:?}") };
    assert!((bound / 3.6 - 1.0).abs() < 0.1, "four times what nine in ten stay below: {bound}");
    assert_eq!((values.requests(), values.unscored()), (800, 2));
    assert!((values.risk() - 0.5 / bound).abs() < 0.01 && values.limit() > values.risk());
    let written = serde_json::to_value(&values).unwrap();
    assert_eq!(serde_json::from_value::<Reference>(written).unwrap(), values);
}

/// The limit of the baseline's risk holds for 95 % of baselines, and is no idle one.
#[test]
fn limits_cover() {
    for risk in [0.02, 0.2] {
        let limits: Vec<f64> = (0..300).map(|seed| reference(seed, 400, risk).unwrap().limit()).collect();
        let missed = limits.iter().filter(|limit| **limit < risk).count();
        let mean = limits.iter().sum::<f64>() / 300.0;
        assert!(
            missed <= 15 && mean < risk + 2.5 * (risk / 400.0_f64).sqrt(),
            "{risk}: {missed} missed, {mean} on average"
        );
    }
}

/// Rows of one request are not independent of each other: together they count as one, wherever labels of
/// requests stand side by side.
#[test]
fn a_request_counts_once() {
    let rows = (0..200 + 150 * 10).map(|i| {
        let request = if i < 200 { i } else { 1_000 + i / 10 };
        json!({"request_id": request, "row": i % 10, "prediction": {"label": 0}, "label": u8::from(i % 20 < 2)})
    });
    let schema = numbers();
    let mut learner = ReferenceLearner::new(&schema);
    learner.observe(&batch(&schema, rows));
    let found = learner.finish().unwrap();
    assert_eq!(found.requests(), 150);
    assert!((found.risk() - 0.1).abs() < 1e-12);
    let mut live = performance(Some(found), 1_000.0);
    let answer = Answer::Value(Truth::Number(0.0));
    for i in 0..40_u64 {
        let request = (i / 10).to_string();
        let truth = &Truth::Number(0.0);
        let (answered_at, known_at) = (at(i), at(i));
        live.observe(&Scored {
            request: Some(&request),
            is_later: false,
            answer: Some(&answer),
            truth,
            answered_at,
            known_at,
        });
    }
    let report = live.report(at(0));
    assert_eq!((report.labels, report.risk.unwrap().requests), (40, 3), "the last one may go on");
}

/// The mean number of labels to a false alarm is at least the budget where the risk is all that is tolerated, for
/// losses of 0 and 1 and for requests of several rows, whose losses lie between.
#[test]
fn false_alarms_keep_the_budget() {
    let source = reference(3, 2_000, 0.1).unwrap();
    let tolerated = performance(Some(source.clone()), 2.0).report(at(0)).baseline.unwrap().tolerated;
    for (budget, runs) in [(50.0, 300), (400.0, 150)] {
        let mut random = StdRng::seed_from_u64(7);
        let run = |_| {
            let mut live = performance(Some(source.clone()), budget);
            labels_to_alarm(&mut live, &mut random, tolerated, 40_000)
        };
        let runs: Vec<u64> = (0..runs).map(run).collect();
        let n = u32::try_from(runs.len()).unwrap();
        let mean = crate::units::count(runs.iter().sum()) / f64::from(n);
        assert!(mean >= budget, "a budget of {budget}: {mean} labels on average");
        assert!(mean < 40.0 * budget, "so rare that it costs power: {mean} for {budget}");
    }
}

/// Requests of three rows that stand or fall together: a request counts once, and the budget holds; rows taken for
/// independent of each other would break it.
#[test]
fn false_alarms_of_requests_keep_the_budget() {
    let source = reference(3, 2_000, 0.1).unwrap();
    let tolerated = performance(Some(source.clone()), 2.0).report(at(0)).baseline.unwrap().tolerated;
    let mut random = StdRng::seed_from_u64(8);
    let answer = Answer::Value(Truth::Number(0.0));
    let mut mean_of = |has_names: bool| {
        let mut total = 0;
        for _ in 0..150 {
            let mut live = performance(Some(source.clone()), 200.0);
            for request in 0..20_000_u64 {
                let all = random.random_bool(tolerated - 0.05);
                let name = request.to_string();
                let raised = (0..3).any(|_| {
                    let is_wrong = all || random.random_bool(0.05 / (1.05 - tolerated));
                    live.observe(&Scored {
                        request: has_names.then_some(&name),
                        is_later: false,
                        answer: Some(&answer),
                        truth: &Truth::Number(f64::from(u8::from(is_wrong))),
                        answered_at: at(request),
                        known_at: at(request),
                    })
                    .is_some()
                });
                total += 1;
                if raised {
                    break;
                }
            }
        }
        f64::from(total) / 150.0
    };
    let (requests, rows) = (mean_of(true), mean_of(false));
    assert!(requests >= 200.0, "{requests} requests on average");
    assert!(rows < 200.0, "{rows} requests on average");
}

/// A risk that rose is found after about ln(budget) over the Kullback-Leibler divergence, and what the alarm says
/// of it is true.
#[test]
fn a_rise_is_found_in_time() {
    let source = reference(3, 2_000, 0.1).unwrap();
    let budget = 10_000.0;
    let tolerated = performance(Some(source.clone()), budget).report(at(0)).baseline.unwrap().tolerated;
    for risen in [0.25, 0.5_f64] {
        let divergence =
            risen * (risen / tolerated).ln() + (1.0 - risen) * ((1.0 - risen) / (1.0 - tolerated)).ln();
        let expected = budget.ln() / divergence;
        let mut random = StdRng::seed_from_u64(11);
        let run = |_| {
            let mut live = performance(Some(source.clone()), budget);
            labels_to_alarm(&mut live, &mut random, 0.1, 500);
            assert!(!live.is_latched());
            labels_to_alarm(&mut live, &mut random, risen, 10_000)
        };
        let total: u64 = (0..60).map(run).sum();
        let mean = crate::units::count(total) / 60.0;
        assert!(
            mean > 0.6 * expected && mean < 1.6 * expected,
            "{risen}: {mean} labels, {expected} expected"
        );
    }
}

/// The alarm names its time, its evidence and both risks; while it stands nothing is raised again, and it ends
/// only when the risk is back, after which a second rise is told again.
#[test]
fn alarms_begin_and_end() {
    let mut live = performance(reference(3, 2_000, 0.1), 5_000.0);
    let mut random = StdRng::seed_from_u64(5);
    let mut found = Vec::new();
    let phases: [(f64, u64); 4] = [(0.1, 3_000), (0.5, 2_000), (0.1, 4_000), (0.5, 1_000)];
    let mut n = 0;
    for (risk, labels) in phases {
        for _ in 0..labels {
            found.extend(label(&mut live, n, random.random_bool(risk)));
            n += 1;
        }
    }
    let [Finding::Raised(first), Finding::Resolved { row, group, .. }, Finding::Raised(_)] = found.as_slice()
    else {
        panic!("{found:?}")
    };
    assert_eq!((first.detector.as_str(), group.as_str()), (HARMFUL_SHIFT, Schema::PERFORMANCE_GROUP));
    assert!((3_000..3_200).contains(&first.row), "{}", first.row);
    assert!((2_900..3_100).contains(&first.since_row), "{}", first.since_row);
    assert!(first.score >= first.threshold && first.ts == at(first.row + 2), "{first:?}");
    assert!(first.message.starts_with("`performance`: share of wrong answers 0."), "{}", first.message);
    let Harm::Labelled { more_wrong_per_1000, requests } = first.diagnosis.harm else { panic!("{first:?}") };
    assert!((200.0..700.0).contains(&more_wrong_per_1000), "{first:?}");
    assert_eq!(requests, first.row + 1 - first.since_row, "{first:?}");
    let told: f64 = first.message.split_whitespace().nth(5).unwrap().parse().unwrap();
    assert!((0.3..0.8).contains(&told), "what it rose to, not the mean of all: {}", first.message);
    assert!((5_000..7_000).contains(row), "{row}");
    let report = live.report(at(0));
    assert_eq!((report.state, report.of_threshold), (StreamState::Drifted, None));
    assert!(report.risk.unwrap().lower > 0.3, "the risk since the alarm: {report:?}");
}

/// Limits agree with scipy to 1e-9, beside the rounding of 64 halvings.
#[test]
fn limits_are_those_of_scipy() {
    let table = include_str!("../../../tests/reference/risk_interval.csv");
    let mut checked = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |place: usize| cells[place].parse::<f64>().unwrap();
        let n: u64 = cells[2].parse().unwrap();
        let (kind, p) = (cells[0], number(1));
        let mut interval = Interval::default();
        for i in 0..n {
            let step = |below: u64| f64::from(u32::try_from(below).unwrap());
            let at = if kind == "rising" && i >= n / 2 { 1.0 - p } else { p };
            interval.push(match kind {
                "even" => p * step((7_919 * i) % 1_000) / 1_000.0,
                _ => f64::from(u8::from(step((7_919 * i * i + 104_729 * i) % 1_000) < 1_000.0 * at)),
            });
        }
        let (lower, upper) = interval.limits(number(3)).unwrap();
        assert!(
            (lower - number(4)).abs() < 1e-9 && (upper - number(5)).abs() < 1e-9,
            "{line}: {lower} {upper}"
        );
        checked += 1;
    }
    assert_eq!(checked, 108);
}

/// At all times at once, the limits miss the mean risk so far in at most 5 % of streams: of a constant risk and of
/// one that changes. What is right at one time alone misses far more often.
#[test]
fn limits_hold_at_all_times() {
    for (before, after) in [(0.1, 0.1), (0.02, 0.5)] {
        let (mut missed, mut missed_by_usual) = (0, 0);
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut interval, mut expected) = (Interval::default(), 0.0);
            let (mut is_missed, mut is_missed_by_usual) = (false, false);
            let mut look = 1;
            for n in 1..=3_000_u32 {
                let risk = if n <= 500 { before } else { after };
                expected += risk;
                interval.push(f64::from(u8::from(random.random_bool(risk))));
                if n < look {
                    continue;
                }
                look += 1 + n / 12;
                let (mean, risk) = (interval.mean().unwrap(), expected / f64::from(n));
                let (lower, upper) = interval.limits(0.05).unwrap();
                is_missed |= !(lower..=upper).contains(&risk);
                let usual = 1.96 * (mean * (1.0 - mean) / f64::from(n)).sqrt();
                is_missed_by_usual |= n > 50 && (mean - risk).abs() > usual;
            }
            missed += u32::from(is_missed);
            missed_by_usual += u32::from(is_missed_by_usual);
        }
        assert!(missed <= 10, "{missed} of 200 from {before} to {after}");
        assert!(missed_by_usual > 20, "{missed_by_usual} of 200 from {before} to {after}");
    }
}

/// No label, no reference, too few labels, too many that cannot be compared, labels long ago: each is said, and
/// none is quiet.
#[test]
fn what_is_not_known_is_said() {
    let undecided = |why| StreamState::Undecided(why);
    let mut blind = performance(None, 1_000.0);
    assert_eq!((state(&blind), blind.is_used()), (undecided(Undecided::NoLabels), false));
    label(&mut blind, 1, false);
    // Numbers may be classes or values: without a baseline nobody knows which.
    assert_eq!((blind.report(at(0)).loss, blind.report(at(0)).unscored), (None, 1));
    assert_eq!((state(&blind), blind.is_used()), (undecided(Undecided::NoBaseline), true));
    let mut live = performance(reference(3, 2_000, 0.1), 1_000.0);
    assert_eq!(state(&live), undecided(Undecided::NoLabels));
    assert_eq!((live.report(at(0)).risk, live.report(at(0)).of_threshold), (None, None));
    (0..20).for_each(|n| drop(label(&mut live, n, n % 10 == 0)));
    assert_eq!(state(&live), undecided(Undecided::BelowPower));
    (20..1_000).for_each(|n| drop(label(&mut live, n, n % 10 == 0)));
    assert_eq!(state(&live), undecided(Undecided::SkewUnknown), "labels may be of one kind of answers alone");
    settle(&mut live, 50, 0.5, |_| 1.0);
    assert_eq!(state(&live), StreamState::Quiet);
    assert_eq!(live.report(at(1_001)).state, undecided(Undecided::NoLabels), "the last label is older");
    let mut strange = live.clone();
    for n in 0..60 {
        let truth = &Truth::Word("spelt otherwise".into());
        let answer = Answer::Value(Truth::Number(0.0));
        let scored = Scored {
            request: None,
            is_later: false,
            answer: Some(&answer),
            truth,
            answered_at: at(n),
            known_at: at(n),
        };
        assert_eq!(strange.observe(&scored), None);
    }
    assert_eq!(state(&strange), undecided(Undecided::Unscored));
    assert_eq!((strange.report(at(0)).labels, strange.report(at(0)).unscored), (1_000, 60));
    while state(&live) == StreamState::Quiet {
        assert_eq!(label(&mut live, 1, true), None);
    }
    assert_eq!(state(&live), undecided(Undecided::Gathering), "{:?}", live.report(at(0)).of_threshold);
    live.accept();
    (0..200).for_each(|n| assert_eq!(label(&mut live, n, true), None));
    assert_eq!(state(&live), undecided(Undecided::Accepted));
    // A baseline without enough labels to tolerate less than everything.
    let poor = performance(reference(3, 100, 0.9), 1_000.0);
    assert!(poor.report(at(0)).baseline.unwrap().tolerated >= 1.0);
    let mut poor = poor;
    (0..5_000).for_each(|n| assert_eq!(label(&mut poor, n, true), None));
    assert_eq!(state(&poor), undecided(Undecided::BelowPower));
}

/// What was saved in the middle goes on as if nothing had been; what is of another baseline is refused.
#[test]
fn saved_labels_go_on() {
    let source = reference(3, 2_000, 0.1);
    let (mut whole, mut first) = (performance(source.clone(), 1_000.0), performance(source.clone(), 1_000.0));
    let mut random = StdRng::seed_from_u64(9);
    let wrong: Vec<bool> = (0..600).map(|n| random.random_bool(if n < 500 { 0.1 } else { 0.5 })).collect();
    let feed = |live: &mut Performance, part: std::ops::Range<u64>| -> Vec<Finding> {
        part.filter_map(|n| label(live, n, wrong[usize::try_from(n).unwrap()])).collect()
    };
    let expected = feed(&mut whole, 0..600);
    assert_eq!(expected.len(), 1);
    assert!(feed(&mut first, 0..504).is_empty());
    first.settle(Some(&Answer::Value(Truth::Number(0.0))), true);
    let bytes = serde_json::to_vec(&first.save()).unwrap();
    let mut second = performance(source, 1_000.0);
    second.restore(serde_json::from_slice(&bytes).unwrap()).unwrap();
    assert_eq!(second, first);
    assert_eq!(feed(&mut second, 504..600), expected);
    let mut other = performance(reference(4, 2_000, 0.1), 1_000.0);
    assert!(other.restore(first.save()).is_err());
}

fn settle(live: &mut Performance, n: u32, share_of_ones: f64, chance: impl Fn(bool) -> f64) {
    let mut random = StdRng::seed_from_u64(n.into());
    for _ in 0..n {
        let is_one = random.random_bool(share_of_ones);
        let answer = Answer::Value(Truth::Number(f64::from(u8::from(is_one))));
        live.settle(Some(&answer), random.random_bool(chance(is_one)));
    }
}

/// Labels that only those get who were answered with one class say nothing of the others: that is said, and
/// nothing is quiet; labels for a random half of all are even; of few rows nobody knows.
#[test]
fn skewed_labels_are_said() {
    let skew = |n, ones, chance: fn(bool) -> f64| {
        let mut live = performance(reference(3, 2_000, 0.1), 1_000.0);
        (0..1_000).for_each(|n| drop(label(&mut live, n, n % 10 == 0)));
        settle(&mut live, n, ones, chance);
        (live.report(at(0)).skew.state, state(&live))
    };
    let unknown = StreamState::Undecided(Undecided::SkewUnknown);
    assert_eq!(skew(0, 0.5, |_| 0.5), (Skew::TooFewRows, unknown));
    assert_eq!(skew(20, 0.5, |_| 0.5), (Skew::TooFewRows, unknown));
    assert_eq!(skew(1_000, 0.3, |_| 0.5), (Skew::Even, StreamState::Quiet));
    let skewed = StreamState::Undecided(Undecided::Skewed);
    assert_eq!(skew(1_000, 0.3, |is_one| if is_one { 0.9 } else { 0.0 }), (Skew::Skewed, skewed));
    // A rare class that is always looked at, and few of the others.
    assert_eq!(skew(20_000, 0.01, |is_one| if is_one { 1.0 } else { 0.02 }), (Skew::Skewed, skewed));
    assert_eq!(skew(3_000, 0.5, |_| 0.0).0, Skew::TooFewRows, "no label at all is not even");
}

/// Labels that come for all alike are called skewed in at most 5 % of streams, looked at all the time.
#[test]
fn even_labels_are_seldom_called_skewed() {
    let called = (0..60).filter(|seed| {
        let mut random = StdRng::seed_from_u64(*seed);
        let mut live = performance(reference(3, 2_000, 0.1), 1_000.0);
        (0..60).any(|_| {
            for _ in 0..20 {
                let class = f64::from(random.random_range(0..4_u8));
                live.settle(Some(&Answer::Value(Truth::Number(class))), random.random_bool(0.3));
            }
            live.report(at(0)).skew.state == Skew::Skewed
        })
    });
    assert!(called.count() <= 3);
}

/// Kinds of answers by name, at most nine of them.
#[test]
fn kinds_are_bounded() {
    let mut live = performance(reference(3, 2_000, 0.1), 1_000.0);
    (0..500).for_each(|n| live.settle(Some(&Answer::Value(Truth::Word(format!("{n}")))), true));
    let report = live.report(at(0)).skew;
    let rows: BTreeMap<&str, u64> = report.answers.iter().map(|s| (s.answers.as_str(), s.rows)).collect();
    assert_eq!((rows.len(), rows["(others)"]), (9, 492));
}

/// Baselines of one loss add up; of two, nothing is left.
#[test]
fn references_merge() {
    let (one, two) = (reference(1, 300, 0.1).unwrap(), reference(2, 500, 0.3).unwrap());
    let both = one.clone().merged(&two).unwrap();
    assert_eq!(both.requests(), 800);
    assert!(
        (both.risk() * 800.0 - one.risk() * 300.0 - two.risk() * 500.0).abs() < 1e-9 && both.check().is_ok()
    );
    let words = schema(&[("prediction", Kind::Categorical)]);
    let mut learner = ReferenceLearner::new(&words);
    learner.observe(&batch(&words, (0..200).map(|_| json!({"prediction": {"label": "a"}, "label": "a"}))));
    let words = learner.finish().unwrap();
    assert_eq!(*words.loss(), Loss::Wrong { classes: Some(vec![Truth::Word("a".into())]) });
    assert_eq!(
        *one.merged(&words).unwrap().loss(),
        Loss::Wrong {
            classes: Some(
                vec![0.0, 1.0].into_iter().map(Truth::Number).chain([Truth::Word("a".into())]).collect()
            )
        }
    );
    let score = schema(&[("score", Kind::Numeric)]);
    let mut learner = ReferenceLearner::new(&score);
    learner.observe(&batch(&score, (0..200).map(|_| json!({"prediction": {"score": 0.5}, "label": 1}))));
    let chances = learner.finish().unwrap();
    assert!((chances.limit() - 0.25).abs() < 0.05 && chances.limit() > 0.25, "{}", chances.limit());
    assert_eq!(words.merged(&chances), None);
}

/// A baseline carries what its labels cost: over its file, over a merge, and not over to another version. A file that
/// was tampered with is refused, and one of before says nothing.
#[test]
fn baselines_carry_the_risk() {
    let schema = numbers();
    let rows = batch(&schema, (0..300).map(|i| json!({"request_id": i, "prediction": {"label": i % 2}})));
    let plain = Calibration::fit(&rows, Season::none()).unwrap();
    let written = serde_json::to_value(&plain).unwrap();
    assert!(plain.labels().is_none() && written.get("labels").is_none());
    assert_eq!(Calibration::labels_of(&written).unwrap(), None);
    let source = reference(1, 300, 0.1);
    let labelled = plain.clone().with_labels(source.clone());
    let mut written = serde_json::to_value(&labelled).unwrap();
    assert_eq!(Calibration::read(&written, &schema).unwrap().labels(), source.as_ref());
    assert_eq!(Calibration::labels_of(&written).unwrap(), source);
    for (one, two, requests) in
        [(&labelled, &plain, 300), (&plain, &labelled, 300), (&labelled, &labelled, 600)]
    {
        let mut both = one.clone();
        both.merge(two).unwrap();
        assert_eq!(both.labels().unwrap().requests(), requests);
    }
    assert!(labelled.inputs_only().labels().is_none());
    written["labels"]["requests"] = json!(301);
    let error = Calibration::labels_of(&written).unwrap_err().to_string();
    assert!(error.contains("301") && Calibration::read(&written, &schema).is_err(), "{error}");
}
