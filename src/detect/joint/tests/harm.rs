//! What an alarm says of harm, against what was done.

use super::*;
use crate::detect::joint::{Flips, Joint, Recent, Rows};
use crate::detect::{Alarm, Class, Harm};
use crate::units::single;

/// The first alarm of rows that follow so many healthy ones.
fn alarm_after(calibration: &Calibration, healthy: usize, faulty: World) -> Alarm {
    let mut all = world(20, healthy);
    for (mine, theirs) in all.features.iter_mut().zip(faulty.features) {
        mine.extend(theirs);
    }
    all.answers.extend(faulty.answers);
    let batch = all.batch();
    let findings = monitor(calibration, &batch, 100_000).observe(&batch);
    let raised =
        findings.into_iter().find_map(|f| if let Finding::Raised(alarm) = f { Some(alarm) } else { None });
    raised.unwrap()
}

fn flipped(alarm: &Alarm) -> f64 {
    match &alarm.diagnosis.harm {
        Harm::Estimated { flipped_per_1000, at_least: false, .. } => *flipped_per_1000,
        other => panic!("{other:?}"),
    }
}

fn flips(now: &[f64], right: &[f64]) -> f64 {
    let flipped = now.iter().zip(right).filter(|(a, b)| (**a > 0.5) != (**b > 0.5)).count();
    1_000.0 * flipped as f64 / now.len() as f64
}

/// Answers of other rows: which they are, since when, and how many decisions they flip. An alarm comes after a few
/// rows, so that each one's estimate is rough, and says within what bounds.
#[test]
fn answers_of_other_rows_are_told() {
    let calibration = known();
    let (mut held, mut errors) = (0, Vec::new());
    for seed in 40..55 {
        let mut shuffled = world(seed, 3_000);
        let right = shuffled.answers.clone();
        shuffled.answers = shifted(&right, 7);
        let truth = flips(&shuffled.answers, &right);
        let alarm = alarm_after(calibration, 2_000, shuffled);
        let classes: Vec<Class> = alarm.diagnosis.causes.iter().take(2).map(|c| c.class).collect();
        assert!(classes.contains(&Class::WrongEntity), "{:?}", alarm.diagnosis);
        let (from, to) = alarm.diagnosis.since_rows.unwrap();
        assert!(from <= 2_006 && 2_000 <= to + 6 && to - from < 100, "{from} {to}");
        // Few rows may show no flip at all: then nobody knows.
        let Harm::Estimated { lower_per_1000, upper_per_1000, .. } = alarm.diagnosis.harm else { continue };
        held += usize::from(lower_per_1000 <= truth && truth <= upper_per_1000);
        errors.push((flipped(&alarm) - truth).abs());
        let bounds = format!("({lower_per_1000:.0} to {upper_per_1000:.0}) of 1,000");
        assert!(alarm.message.contains(&bounds), "{}", alarm.message);
        assert!(
            alarm.message.contains("the wrong entity") && alarm.message.contains("decisions flipped"),
            "{}",
            alarm.message
        );
    }
    errors.sort_by(f64::total_cmp);
    // Bounds of chance hold 95 of 100; where the start is off by some rows, fewer.
    assert!(errors.len() >= 10 && held * 4 >= errors.len() * 3, "{held} of {}", errors.len());
    assert!(errors[errors.len() / 2] < 200.0, "{errors:?}");
}

/// An odd row of health before a fault makes a bet's own start early. Harm is of the rows since the fault began as
/// likely as not, and healthy rows in between do not water it down.
#[test]
fn harm_counts_from_where_the_fault_began() {
    let calibration = known();
    let (mut early, mut of_median) = (0, 0);
    for seed in 700..706 {
        let mut shuffled = world(seed, 400);
        let mut odd = world(seed + 100, 12);
        // One answer is another row's, then eleven healthy rows.
        odd.answers[0] = 1.0 - odd.answers[0];
        shuffled.answers = shifted(&shuffled.answers, 7);
        for (mine, theirs) in odd.features.iter_mut().zip(shuffled.features) {
            mine.extend(theirs);
        }
        odd.answers.extend(shuffled.answers);
        let alarm = alarm_after(calibration, 600, odd);
        if alarm.since_row >= 605 {
            continue;
        }
        let Harm::Estimated { rows, .. } = alarm.diagnosis.harm else { continue };
        early += 1;
        // Rows of the fault up to the alarm; one or two of them may look healthy.
        let of_fault = alarm.row + 1 - 612;
        assert!(rows <= alarm.row + 1 - alarm.since_row, "{rows} {alarm:?}");
        of_median += usize::from(rows <= of_fault + 1);
    }
    assert!(early >= 3 && of_median * 4 >= early * 3, "{of_median} of {early}");
}

/// A feature of another entity: it is named, and its harm is what the model would have answered.
#[test]
fn features_of_another_entity_are_named() {
    let calibration = known();
    let mut mixed = world(4, 3_000);
    let right = mixed.answers.clone();
    mixed.features[1] = shifted(&mixed.features[1], 7);
    let [a, b, c] = &mixed.features;
    mixed.answers = (0..a.len()).map(|i| answer(a[i], b[i], c[i])).collect();
    let truth = flips(&mixed.answers, &right);
    let alarm = alarm_after(calibration, 2_000, mixed);
    assert_eq!(alarm.group, Schema::RELATIONS_GROUP);
    assert!(alarm.features.contains(&"f1".to_owned()), "{:?}", alarm.features);
    assert_eq!(
        alarm.diagnosis.causes.first().map(|c| c.class),
        Some(Class::WrongEntity),
        "{:?}",
        alarm.diagnosis
    );
    let told = format!("{} for {truth} of {:?}: {:?}", flipped(&alarm), alarm.features, alarm.diagnosis.harm);
    assert!((flipped(&alarm) - truth).abs() < 100.0, "{told}");
}

/// Zeros in the place of a feature: a fallback, and the harm of the zeros.
#[test]
fn zeros_are_a_fallback() {
    let calibration = known();
    let mut zeroed = world(5, 2_000);
    let right = zeroed.answers.clone();
    zeroed.features[0].fill(0.0);
    let [a, b, c] = &zeroed.features;
    zeroed.answers = (0..a.len()).map(|i| answer(a[i], b[i], c[i])).collect();
    let truth = flips(&zeroed.answers, &right);
    let alarm = alarm_after(calibration, 2_000, zeroed);
    assert_eq!((alarm.group.as_str(), alarm.features.as_slice()), ("store", &["f0".to_owned()][..]));
    assert_eq!(
        alarm.diagnosis.causes.first().map(|c| c.class),
        Some(Class::Fallback),
        "{:?}",
        alarm.diagnosis
    );
    assert!((flipped(&alarm) - truth).abs() < 60.0, "{} for {truth}", flipped(&alarm));
}

/// Without rows from before the fault, and without a surrogate, harm is unknown and says why.
#[test]
fn unknown_harm_has_a_reason() {
    let calibration = known();
    let mut shuffled = world(3, 3_000);
    shuffled.answers = shifted(&shuffled.answers, 7);
    let alarm = alarm_after(calibration, 5, shuffled);
    let Harm::Unknown { reason } = &alarm.diagnosis.harm else { panic!("{:?}", alarm.diagnosis) };
    assert!(reason.contains("from before the fault"), "{reason}");

    let mut random = StdRng::seed_from_u64(21);
    let mut some = |rows: usize| numbers(normals(&mut random, rows));
    let batch = table(vec![some(5_000), some(5_000)], vec![some(5_000)]);
    let calibration = fitted(&batch);
    let zeros = table(vec![numbers(vec![0.0; 100]), some(100)], vec![some(100)]);
    let findings = monitor(&calibration, &batch, 100_000).observe(&zeros);
    let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
    let Harm::Unknown { reason } = &alarm.diagnosis.harm else { panic!("{:?}", alarm.diagnosis) };
    assert!(reason.contains("no surrogate of the model"), "{reason}");
}

/// The rows of worlds in memory, one after the other, with the answers that were given.
fn remembered(joint: &Joint, worlds: &[&World]) -> Recent {
    let mut recent = Recent::new(joint.width());
    let surrogate = &joint.surrogates[0];
    let mut number = 0;
    for world in worlds {
        for row in 0..world.answers.len() {
            let features: Vec<f32> = world.features.iter().map(|of| single(of[row])).collect();
            let mut told = Vec::new();
            surrogate.foretell((&features, 3), &mut told).unwrap();
            let mut residuals = [f64::NAN; 3];
            residuals[0] = surrogate.residual(world.answers[row], 0, told[0]);
            number += 1;
            recent.push(number, &features, residuals);
        }
    }
    recent
}

/// What is told of a fault after so many healthy rows.
fn told_of<T>(healthy: usize, faulty: &World, of: impl Fn(&Joint, &Rows<'_>) -> T) -> T {
    let joint = &known().joint;
    let recent = remembered(joint, &[&world(40, healthy), faulty]);
    let before = u64::try_from(healthy).unwrap();
    of(joint, &Rows::of(&recent, before + 1, before + u64::try_from(faulty.answers.len()).unwrap(), 1))
}

/// Some rows of the world with a fault in a share of them, and the share of decisions that are others by it.
fn dosed(seed: u64, rows: usize, dose: f64, harm: impl Fn(&World, usize) -> [f64; 3]) -> (World, f64) {
    let mut faulty = world(seed, rows);
    let right = world(seed, rows);
    let mut random = StdRng::seed_from_u64(seed + 1_000);
    for row in 0..rows {
        if random.random_bool(dose) {
            let values = harm(&right, row);
            for (feature, value) in faulty.features.iter_mut().zip(values) {
                feature[row] = value;
            }
            faulty.answers[row] = answer(values[0], values[1], values[2]);
        }
    }
    let truth = flips(&faulty.answers, &right.answers) / 1_000.0;
    (faulty, truth)
}

/// Zeros in a share of rows: their harm is that of zeros, whatever the share, and not that of other rows' values. To
/// 0.02 and a quarter of it, and within its bounds in four of five: they are of chance, and the surrogate errs too.
#[test]
fn zeros_in_few_rows_flip_few() {
    let mut within = 0;
    for seed in 50..55 {
        for dose in [0.05, 0.3, 1.0] {
            let (faulty, truth) =
                dosed(seed, 500, dose, |w, row| [0.0, w.features[1][row], w.features[2][row]]);
            let found = told_of(800, &faulty, |joint, rows| joint.features_flipped(rows, &[0])).unwrap();
            assert!((found.share - truth).abs() < 0.02 + 0.25 * truth, "{dose}: {found:?} for {truth}");
            assert!(!found.at_least && found.low <= found.share && found.share <= found.high, "{found:?}");
            within += usize::from(found.low <= truth && truth <= found.high);
        }
    }
    assert!(within >= 12, "{within} of 15");
}

/// Features of another row in a share of rows, of which the answers tell what they do: to 0.06 and a quarter of it, and
/// within the bounds in nine of ten.
#[test]
fn other_entities_in_few_rows_flip_few() {
    let mut within = 0;
    for seed in 60..64 {
        for dose in [0.05, 0.3, 1.0] {
            let other = |w: &World, row: usize| {
                let from = (row + 7) % w.answers.len();
                [w.features[0][row], w.features[1][from], w.features[2][row]]
            };
            let (faulty, truth) = dosed(seed, 800, dose, other);
            let found = told_of(800, &faulty, |joint, rows| joint.entities_flipped(rows, &[1])).unwrap();
            assert!((found.share - truth).abs() < 0.06 + 0.25 * truth, "{dose}: {found:?} for {truth}");
            within += usize::from(found.low <= truth && truth <= found.high);
        }
    }
    assert!(within >= 10, "{within} of 12");
}

/// A feature that stays as in the row before in a share of rows is stale by repetition; one that drifts has no value
/// that would be the fault's, and nothing is told.
#[test]
fn what_is_otherwise_is_told_by_values_and_repetition() {
    let mut stuck = world(70, 400);
    let right = stuck.answers.clone();
    for row in 1..400 {
        if row % 3 != 0 {
            stuck.features[0][row] = stuck.features[0][row - 1];
            let [a, b, c] = &stuck.features;
            stuck.answers[row] = answer(a[row], b[row], c[row]);
        }
    }
    let truth = flips(&stuck.answers, &right) / 1_000.0;
    let found = told_of(800, &stuck, |joint, rows| joint.features_flipped(rows, &[0])).unwrap();
    assert!((found.share - truth).abs() < 0.02 + 0.25 * truth, "{found:?} for {truth}");
    let mut drifted = world(71, 400);
    drifted.features[0].iter_mut().for_each(|v| *v += 1.0);
    let found = told_of(800, &drifted, |joint, rows| joint.features_flipped(rows, &[0]));
    assert!(found.unwrap_err().contains("no value of these features"), "{found:?}");
}

/// One way to tell of harm.
type Of = fn(&Joint, &Rows<'_>) -> Result<Flips, &'static str>;

/// A feature that was never missing where the surrogate was fitted: what the model does without it, nobody knows.
#[test]
fn what_the_surrogate_was_not_taught_is_unknown() {
    let mut lost = world(72, 100);
    lost.features[0].fill(f64::NAN);
    let all: [Of; 3] = [
        |joint, rows| joint.features_flipped(rows, &[0]),
        |joint, rows| joint.answers_flipped(rows, &[3]),
        |joint, rows| joint.decisions_shifted(rows),
    ];
    for of in all {
        let found = told_of(500, &lost, of);
        assert!(found.unwrap_err().contains("not taught"), "{found:?}");
    }
}

/// A share of decisions that moves by chance is no lower bound, and three rows say nothing; one that moves beyond
/// chance bounds the decisions that were flipped from below.
#[test]
fn a_shift_is_a_lower_bound_beyond_chance() {
    let shifted = |world: &World| told_of(500, world, |joint, rows| joint.decisions_shifted(rows));
    let few = world(80, 3);
    assert!(shifted(&few).unwrap_err().contains("fewer than 30 rows since"));
    let told = (81..101).filter(|seed| shifted(&world(*seed, 40)).is_ok()).count();
    assert!(told <= 3, "{told} of 20 healthy stretches have a harm");
    let (faulty, truth) = dosed(101, 200, 1.0, |w, row| [3.0, w.features[1][row], w.features[2][row]]);
    let found = shifted(&faulty).unwrap();
    assert!(found.at_least && found.share > 0.2 && found.share <= truth, "{found:?} for {truth}");
}

/// Answers that agree with the surrogate in a row or two are not known to be unharmed; in a hundred they are.
#[test]
fn few_answers_tell_nothing_of_none() {
    let none = |rows: usize| told_of(500, &world(110, rows), |joint, rows| joint.answers_flipped(rows, &[3]));
    for rows in [1, 20] {
        assert!(none(rows).unwrap_err().contains("fewer than 30 rows since"), "{rows}");
    }
    let found = none(100).unwrap();
    assert!(found.low <= 0.0 && found.share < 0.03 && found.high < 0.06, "{found:?}");
}

/// The surrogate has a fifth of healthy decisions wrong, and half of the decisions are flipped: half it is.
#[test]
fn what_the_surrogate_has_wrong_is_made_up_for() {
    let joint = &known().joint;
    let mut recent = Recent::new(joint.width());
    let mut random = StdRng::seed_from_u64(120);
    let mut told = Vec::new();
    for number in 1..=1_000 {
        let features = [random.random_range(-1.0_f32..1.0), 0.0, 0.0];
        joint.surrogates[0].foretell((&features, 3), &mut told).unwrap();
        let (wrong, flipped) = (random.random_bool(0.2), number > 500 && random.random_bool(0.5));
        let is_above = (told[0] > 0.0) != (wrong != flipped);
        let answer = if is_above { 2.0 } else { -2.0 };
        recent.push(number, &features, [answer - f64::from(told[0]), f64::NAN, f64::NAN]);
    }
    let found = joint.answers_flipped(&Rows::of(&recent, 501, 1_000, 1), &[3]).unwrap();
    assert!((found.share - 0.5).abs() < 0.08 && found.low < 0.5 && found.high > 0.5, "{found:?}");
}

/// Answers that are none are no decision, and not one that stayed as it was.
#[test]
fn answers_that_are_none_are_no_decision() {
    let mut lost = world(130, 200);
    lost.answers.iter_mut().step_by(2).for_each(|answer| *answer = f64::NAN);
    let found = told_of(500, &lost, |joint, rows| joint.answers_flipped(rows, &[3]));
    assert!(found.unwrap_err().contains("have no answer"), "{found:?}");
}

/// A model whose answers all lie below one half: without a label nobody knows where it decides, with one they do. And
/// an answer that alarms is told by its own surrogate, or not at all.
#[test]
fn decisions_are_cut_where_the_label_is() {
    let rare = |world: &World| -> Vec<f64> { world.answers.iter().map(|p| 0.04 * p).collect() };
    let batch = |world: &World, scores: Vec<f64>, is_labelled: bool| {
        let other: Vec<f64> = (0..scores.len()).map(|i| answer(0.0, world.features[1][i], -1.5)).collect();
        let label: Vec<f64> = scores.iter().map(|p| f64::from(u8::from(*p > 0.02))).collect();
        let mut answers = vec![numbers(scores), numbers(other)];
        answers.extend(is_labelled.then(|| numbers(label)));
        table(world.features.iter().map(|v| numbers(v.clone())).collect(), answers)
    };
    let learnt = world(140, 6_000);
    let healthy = world(141, 800);
    for is_labelled in [true, false] {
        let calibration = fitted(&batch(&learnt, rare(&learnt), is_labelled));
        let joint = &calibration.joint;
        let recent = {
            let mut recent = Recent::new(joint.width());
            for (number, row) in (1..).zip(0..800) {
                let features: Vec<f32> = healthy.features.iter().map(|of| single(of[row])).collect();
                // Of the last 300 rows the first answer is another row's.
                let from = if row < 500 { row } else { 500 + (row + 7) % 300 };
                let given = [rare(&healthy)[from], answer(0.0, healthy.features[1][row], -1.5)];
                let mut residuals = [f64::NAN; 3];
                for (which, (surrogate, given)) in joint.surrogates.iter().zip(given).enumerate() {
                    let mut told = Vec::new();
                    surrogate.foretell((&features, 3), &mut told).unwrap();
                    residuals[which] = surrogate.residual(given, 0, told[0]);
                }
                recent.push(number, &features, residuals);
            }
            recent
        };
        let rows = Rows::of(&recent, 501, 800, 1);
        let found = joint.answers_flipped(&rows, &[3]);
        if is_labelled {
            let scores = rare(&healthy);
            let now: Vec<f64> = (500..800).map(|row| 25.0 * scores[500 + (row + 7) % 300]).collect();
            let right: Vec<f64> = (500..800).map(|row| 25.0 * scores[row]).collect();
            let (found, truth) = (found.unwrap(), flips(&now, &right) / 1_000.0);
            assert!((found.share - truth).abs() < 0.1 && found.low > 0.0, "{found:?} for {truth}");
            assert!(joint.answers_flipped(&rows, &[5]).unwrap_err().contains("surrogate of its own"));
            assert_eq!(joint.answers_flipped(&rows, &[5, 3]), Ok(found), "it is as bad as that at least");
            assert!(joint.answers_flipped(&rows, &[5, 4]).is_err(), "the label alarms, and nobody knows why");
        } else {
            assert!(found.unwrap_err().contains("one side of one half"), "{found:?}");
        }
        let other = joint.answers_flipped(&rows, &[4]).unwrap();
        assert!(other.low <= 0.0 && other.share < 0.05, "{other:?}");
    }
}

/// Detectors that are off leave no row to tell from, which is not the same as too few rows.
#[test]
fn detectors_that_are_off_are_the_reason() {
    let mut zeroed = world(5, 300);
    zeroed.features[0].fill(0.0);
    let batch = zeroed.batch();
    for (without, said) in [
        (&["surrogate_residual", "coherence"][..], "`surrogate_residual` and `coherence` are off"),
        (
            &["surrogate_residual", "coherence", "feature_given"][..],
            "`surrogate_residual` and `coherence` are off",
        ),
    ] {
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        let options = Options { budget: Budget::Rows(100_000), rate: PerSecond::of(0), without };
        let mut monitor = Monitor::new(batch.schema().clone(), known().clone(), options).unwrap();
        let findings = monitor.observe(&batch);
        let Some(Finding::Raised(alarm)) = findings.first() else { panic!("{findings:?}") };
        let Harm::Unknown { reason } = &alarm.diagnosis.harm else { panic!("{:?}", alarm.diagnosis) };
        assert!(reason.contains(said), "{reason}");
    }
}
