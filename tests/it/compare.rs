//! `silentry baseline compare`: recorded traffic held against recorded healthy traffic, on rows whose model, labels and
//! faults are known.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::serving::ndjson;
use crate::support::{Ran, folder, path, run};

const MODEL: &str = "loan";
/// Rows of the reference, and of an input. The standard error of an accuracy of 0.8 over 800 rows is 0.014, that of
/// one of 750 held rows 0.014; of an area of so many rows against as many about 0.015.
const REFERENCE: usize = 1_500;
const INPUT: usize = 800;
/// Four standard errors of a difference of two such accuracies, and of two such areas.
const TOLERANCE: f64 = 0.08;

/// What the model read, and the chance that it made of it.
fn chance([income, debt, age]: [f64; 3]) -> f64 {
    1.0 / (1.0 + (debt - 3.0 * income - 0.5 * age).exp())
}

/// Rows of a model whose chances are right, of what it reads: `read` is what reaches it of the features that decide,
/// `answer` what comes of its answer. The label is of the features as they are.
fn rows(
    (rows, seed): (usize, u64),
    read: fn([f64; 3]) -> [f64; 3],
    answer: fn(bool) -> bool,
) -> impl Iterator<Item = Value> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..rows).map(move |n| {
        let truly: [f64; 3] = std::array::from_fn(|_| random.random_range(-2.0..2.0));
        let (region, member) = (["north", "south", "east"][random.random_range(0..3)], random.random_bool(0.5));
        let is_good = random.random::<f64>() < chance(truly);
        let [income, debt, age] = read(truly);
        let score = chance([income, debt, age]);
        json!({
            "ts": 1_750_000_000_000_u64 + 10 * n as u64, "model": MODEL, "request_id": format!("r{seed}-{n}"),
            "features": {"income": income, "debt": debt, "age": age, "region": region, "member": member},
            "prediction": {"label": u8::from(answer(score > 0.5)), "score": score}, "label": u8::from(is_good),
        })
    })
}

fn healthy(seed: u64) -> impl Iterator<Item = Value> {
    rows((INPUT, seed), |read| read, |answer| answer)
}

fn unlabelled(mut row: Value) -> Value {
    row.as_object_mut().expect("a record").remove("label");
    row
}

struct Files {
    dir: PathBuf,
    baseline: String,
    reference: String,
}

impl Files {
    fn write(&self, name: &str, rows: impl IntoIterator<Item = Value>) -> String {
        write(&self.dir, name, &ndjson(rows))
    }

    fn args<'a>(&'a self, reference: &'a str, input: &'a str) -> Vec<&'a str> {
        let command = ["baseline", "compare", "--baseline", &self.baseline];
        command.into_iter().chain(["--reference", reference, "--input", input]).collect()
    }

    /// The document of these rows against the reference.
    async fn of(&self, name: &str, rows: impl IntoIterator<Item = Value>) -> Value {
        let input = self.write(name, rows);
        self.document(&self.reference, &input).await
    }

    async fn document(&self, reference: &str, input: &str) -> Value {
        let ran = run(self.args(reference, input).into_iter().chain(["--json"])).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        let document = serde_json::from_str(&ran.stdout).expect("one document");
        check_figures(&document, "");
        document
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let file = dir.join(name);
    std::fs::write(&file, text).expect("target/ can be written");
    path(&file)
}

/// The model's baseline, built once, and its reference.
async fn files() -> &'static Files {
    static FILES: OnceCell<Files> = OnceCell::const_new();
    let build = || async {
        let dir = folder("compare");
        let reference = rows((REFERENCE, 1), |read| read, |answer| answer);
        let reference = write(&dir, "reference.ndjson", &ndjson(reference));
        let baseline = path(&dir.join("baseline.json"));
        let build = ["baseline", "build", "--model", MODEL, "--seasonality", "none", "--accept-weak"];
        let built = run(build.iter().chain(&["--input", &reference, "--out", &baseline])).await;
        assert_eq!(built.code, Some(0), "{built:?}");
        Files { dir, baseline, reference }
    };
    FILES.get_or_init(build).await
}

/// Whatever may be a figure has a value or a reason, and never both: nothing is absent in silence.
fn check_figures(value: &Value, place: &str) {
    match value {
        Value::Object(of) if of.len() == 2 && of.contains_key("value") && of.contains_key("unknown") => {
            assert_ne!(of["value"].is_number(), of["unknown"].is_string(), "{place}: {value}");
            assert!(of["value"].is_number() || of["value"].is_null(), "{place}: {value}");
        }
        Value::Object(of) => {
            of.iter().for_each(|(key, value)| check_figures(value, &format!("{place}/{key}")))
        }
        Value::Array(of) => of.iter().for_each(|value| check_figures(value, place)),
        _ => {}
    }
}

fn value(document: &Value, place: &str) -> f64 {
    let figure = document.pointer(&format!("{place}/value"));
    figure.and_then(Value::as_f64).unwrap_or_else(|| panic!("{place} is {:?}", document.pointer(place)))
}

fn reason<'a>(document: &'a Value, place: &str) -> &'a str {
    let figure = document.pointer(&format!("{place}/unknown"));
    figure.and_then(Value::as_str).unwrap_or_else(|| panic!("{place} is {:?}", document.pointer(place)))
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < TOLERANCE, "{found}, expected {expected}");
}

const ACCURACY: &str = "/harm/classifier/accuracy/input/expected";
const AUC: &str = "/rows/domain/auc/input";

/// Without a fault, everything of the input is what it is of the reference: within the stated tolerance.
#[tokio::test(flavor = "multi_thread")]
async fn no_fault_moves_nothing() {
    let files = files().await;
    let document = files.of("healthy.ndjson", healthy(2)).await;
    near(value(&document, AUC), 0.5);
    near(value(&document, "/rows/domain/auc/reference"), 0.5);
    for measure in ["accuracy", "precision", "recall", "f1", "roc_auc"] {
        let of =
            |side: &str, kind: &str| value(&document, &format!("/harm/classifier/{measure}/{side}/{kind}"));
        let expected = of("reference", "expected");
        assert!((0.7..0.98).contains(&expected), "{measure}: {expected}");
        for (side, kind) in [("reference", "realised"), ("input", "expected"), ("input", "realised")] {
            near(of(side, kind), expected);
        }
    }
    let loss = |side: &str, kind: &str| value(&document, &format!("/harm/loss/mean/{side}/{kind}"));
    let share =
        |side: &str, kind: &str| value(&document, &format!("/harm/classes/classes/1/share/{side}/{kind}"));
    for (side, kind) in [("reference", "realised"), ("input", "expected"), ("input", "realised")] {
        near(loss(side, kind), loss("reference", "expected"));
        near(share(side, kind), share("reference", "expected"));
    }
    let error = |side: &str| value(&document, &format!("/rows/reconstruction/mean/{side}"));
    near(error("input"), error("reference"));
    assert_eq!(document["harm"]["loss"]["of"], "wrong");
}

/// A feature that reaches the model as zero: expected accuracy falls, from 0.89 to 0.73 of the model's own chances, and
/// the real one further, as the document says it may; rows can be told apart, and that column changed most.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_feature_costs_accuracy() {
    let files = files().await;
    let zeroed = || rows((INPUT, 3), |[_, debt, age]| [0.0, debt, age], |answer| answer);
    let document = files.of("zeroed.ndjson", zeroed()).await;
    let before = value(&document, "/harm/classifier/accuracy/reference/expected");
    near(before, 0.89);
    near(value(&document, ACCURACY), 0.73);
    near(value(&document, "/harm/classifier/accuracy/input/realised"), 0.59);
    let assumes = document["harm"]["classifier"]["assumes"].as_str().expect("words");
    assert!(assumes.contains("not where features are lost"), "{assumes}");
    assert!(value(&document, AUC) > 0.95, "{}", value(&document, AUC));
    near(value(&document, "/rows/domain/auc/reference"), 0.5);
    assert_eq!(document["columns"][0]["column"], "income");
    let loss = |side: &str| value(&document, &format!("/harm/loss/mean/{side}/expected"));
    assert!(loss("input") > loss("reference") + 0.03, "{} of {}", loss("input"), loss("reference"));
}

/// Answers that are the other way round look like any others, and every feature is as ever: what they are worth is
/// told by their chances, and by whole rows with the answers beside the features.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_answers_are_expected_to_be_wrong() {
    let files = files().await;
    let flipped = rows((INPUT, 4), |read| read, |answer| !answer);
    let document = files.of("flipped.ndjson", flipped.map(unlabelled)).await;
    near(value(&document, ACCURACY), 1.0 - value(&document, "/harm/classifier/accuracy/reference/expected"));
    near(value(&document, AUC), 0.5);
    assert_eq!(
        reason(&document, "/harm/classifier/accuracy/input/realised"),
        "no row of the input has a label"
    );
}

/// A mix of classes that moved is told by answers alone: two rows of three are good ones, in place of one of two.
#[tokio::test(flavor = "multi_thread")]
async fn another_mix_of_classes_is_told() {
    let files = files().await;
    let all = rows((2 * INPUT, 5), |read| read, |answer| answer).enumerate();
    let mostly_good = all.filter(|(n, row)| row["label"] == 1 || n % 2 == 0).map(|(_, row)| row);
    let document = files.of("mostly-good.ndjson", mostly_good).await;
    assert_eq!(document["harm"]["classes"]["classes"][1]["class"], "1");
    let good =
        |side: &str, kind: &str| value(&document, &format!("/harm/classes/classes/1/share/{side}/{kind}"));
    near(good("reference", "expected"), 0.5);
    near(good("input", "realised"), 2.0 / 3.0);
    near(good("input", "expected"), good("input", "realised"));
}

/// A reference without labels: every estimate of harm says that there are none, in the document and in words; what the
/// input's own labels say is known all the same, and so is the rest. The document has the same keys whatever is known.
#[tokio::test(flavor = "multi_thread")]
async fn without_labels_there_are_reasons() {
    let files = files().await;
    let reference = files.write("unlabelled.ndjson", healthy(6).map(unlabelled));
    let input = files.write("healthy-7.ndjson", healthy(7));
    let document = files.document(&reference, &input).await;
    for place in ["classifier/accuracy", "classifier/f1", "classifier/roc_auc", "loss/mean"] {
        value(&document, &format!("/harm/{place}/input/realised"));
        for (side, kind) in [("reference", "expected"), ("reference", "realised"), ("input", "expected")] {
            let why = reason(&document, &format!("/harm/{place}/{side}/{kind}"));
            assert_eq!(why, "no row of the reference has a label", "{place}/{side}/{kind}");
        }
    }
    assert_eq!(document["harm"]["classes"]["unknown"], "no row of the reference has a label");
    near(value(&document, AUC), 0.5);
    for place in [
        "/schema",
        "/model",
        "/baseline",
        "/seed",
        "/fitted",
        "/columns/0/column",
        "/columns/0/size",
        "/columns/0/null",
        "/columns/0/zero",
        "/columns/0/effects",
        "/columns/0/unknown",
        "/rows/columns",
        "/rows/left_out",
        "/rows/reconstruction/components",
        "/rows/reconstruction/deviation/input",
        "/rows/reconstruction/rows_left_out/input",
        "/rows/reconstruction/columns_left_out",
        "/rows/domain/rows_left_out/reference",
        "/harm/classifier/assumes",
        "/harm/loss/assumes",
        "/harm/classes/assumes",
        "/harm/classifier/positive",
        "/harm/classifier/chance",
        "/harm/classifier/precision/input/realised",
        "/harm/classifier/recall/input/realised",
        "/harm/classifier/beyond/input",
        "/harm/classifier/rows_left_out/input",
        "/harm/loss/of",
        "/harm/loss/foreseen/unknown",
        "/harm/loss/rows_left_out/input",
        "/harm/loss/unscored/input",
        "/harm/classes/classes",
        "/harm/classes/rows_left_out/input",
    ] {
        assert!(document.pointer(place).is_some(), "{place} is missing of {document}");
    }
    for side in ["reference", "input"] {
        for key in [
            "path",
            "rows",
            "used",
            "lost",
            "lost_by_reason",
            "first_lost",
            "labelled",
            "labels_unreadable",
            "other_versions",
            "absent",
            "unexpected",
        ] {
            assert!(document[side].get(key).is_some(), "{side}/{key} is missing of {document}");
        }
    }
    assert_eq!(document["schema"], "silentry/compare/v1");
    assert_eq!(
        (&document["reference"]["labelled"], &document["input"]["labelled"]),
        (&json!(0), &json!(INPUT))
    );

    let ran = run(files.args(&reference, &input)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = ran.stdout;
    for words in [
        "unknown, as no row of the reference has a label: ",
        "accuracy, precision, recall, F1, ROC AUC, share of wrong answers (direct) (expected, input)",
        "shares of true classes",
        "800 rows, 800 used, 0 lost, 0 with a label",
        "400 rows of the reference",
        "domain classifier AUC",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

/// Odd rows: a column that is null throughout, classes that never vary, fewer rows than columns, a chance beyond 1,
/// rows that are lost. All that cannot be known says so; what can be is.
#[tokio::test(flavor = "multi_thread")]
async fn odd_rows_are_told() {
    let files = files().await;
    let reference = files.write(
        "always-good.ndjson",
        healthy(8).map(|mut row| {
            row["label"] = json!(1);
            row
        }),
    );
    let null = files.write(
        "null.ndjson",
        healthy(9).map(|mut row| {
            row["features"]["income"] = Value::Null;
            row
        }),
    );
    let document = files.document(&reference, &null).await;
    assert_eq!(
        (&document["columns"][0]["column"], &document["columns"][0]["size"]),
        (&json!("income"), &Value::Null)
    );
    assert_eq!(document["columns"][0]["unknown"]["jensen_shannon"], "window_empty");
    assert_eq!(document["input"]["absent"], json!(["income"]));
    assert!(value(&document, AUC) > 0.95, "what is missing tells rows apart");
    let said = run(files.args(&reference, &null)).await.stdout;
    let income = said.lines().find(|line| line.starts_with("income")).expect("its line");
    assert!(income.contains("unknown") && income.contains("the window has no value of it"), "{income}");
    let left_out = &document["rows"]["reconstruction"]["columns_left_out"]["income"];
    assert_eq!(left_out, "800 of 800 rows of the input have no finite number there");
    value(&document, "/rows/reconstruction/mean/input");
    assert!(
        reason(&document, ACCURACY).contains("the target is 1 in every row"),
        "{}",
        reason(&document, ACCURACY)
    );
    assert!(
        reason(&document, "/harm/classes/classes/0/share/input/expected")
            .contains("no label of the reference is `0`")
    );
    near(value(&document, "/harm/classifier/accuracy/reference/realised"), 0.5);

    let few = files.of("few.ndjson", rows((4, 10), |read| read, |answer| answer)).await;
    assert_eq!(reason(&few, AUC), "4 rows, expected at least 50");
    value(&few, "/rows/reconstruction/mean/input");
    value(&few, ACCURACY);
    let two = files.write("two.ndjson", rows((2, 11), |read| read, |answer| answer));
    let unfit = files.document(&two, &two).await;
    for place in [AUC, ACCURACY, "/rows/reconstruction/mean/input", "/harm/loss/mean/input/expected"] {
        assert!(
            reason(&unfit, place).contains("rows, expected at least"),
            "{place}: {}",
            reason(&unfit, place)
        );
    }

    let strange = healthy(12).map(|mut row| {
        row["prediction"]["score"] = json!(1.5);
        row
    });
    let lines = format!("{}no record\n", ndjson(strange));
    let strange = files.document(&files.reference, &write(&files.dir, "strange.ndjson", &lines)).await;
    assert!(reason(&strange, ACCURACY).contains("has the score 1.5, expected a number from 0 to 1"));
    assert_eq!((&strange["input"]["lost"], &strange["input"]["rows"]), (&json!(1), &json!(INPUT)));
    value(&strange, "/harm/classifier/accuracy/reference/expected");
}

/// Answers that are numbers: the absolute error that the features foretell rises with them as the real one does, and
/// nothing is said of classes.
#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_numbers_is_foreseen() {
    let dir = folder("compare-values");
    let priced = |seed: u64, from: f64, rows: usize| {
        let mut random = StdRng::seed_from_u64(seed);
        (0..rows).map(move |n| {
            let (size, age) = (random.random_range(from..4.0), random.random_range(0.0..1.0));
            let value = 3.0 * size + age;
            let label = value + size * random.random_range(-1.0..1.0);
            json!({
                "ts": 1_750_000_000_000_u64 + 10 * n as u64, "model": "price", "features": {"size": size, "age": age},
                "prediction": {"value": value}, "label": label,
            })
        })
    };
    let reference = write(&dir, "reference.ndjson", &ndjson(priced(1, 0.0, REFERENCE)));
    let input = write(&dir, "input.ndjson", &ndjson(priced(2, 2.0, INPUT)));
    let baseline = path(&dir.join("baseline.json"));
    let build = ["baseline", "build", "--model", "price", "--seasonality", "none", "--accept-weak"];
    let built = run(build.iter().chain(&["--input", &reference, "--out", &baseline])).await;
    assert_eq!(built.code, Some(0), "{built:?}");
    let document = Files { dir, baseline, reference: reference.clone() }.document(&reference, &input).await;
    assert_eq!(document["harm"]["loss"]["of"], "absolute_error");
    let loss = |side: &str, kind: &str| value(&document, &format!("/harm/loss/mean/{side}/{kind}"));
    for (side, expected) in [("reference", 1.0), ("input", 1.5)] {
        for kind in ["expected", "realised"] {
            assert!((loss(side, kind) / expected - 1.0).abs() < 0.12, "{side}, {kind}: {}", loss(side, kind));
        }
    }
    assert!(value(&document, "/harm/loss/foreseen") > 0.1);
    assert_eq!(reason(&document, ACCURACY), "the answers are values, expected classes");
    assert_eq!(document["harm"]["classes"]["unknown"], "the answers are values, expected classes");
}

async fn refused(args: &[&str], words: &[&str]) {
    let ran: Ran = run(args).await;
    assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
    assert_eq!((ran.stderr.lines().count(), ran.stdout.as_str()), (1, ""), "{args:?}: {ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{args:?}\n  said {}  not  {word}", ran.stderr);
    }
}

/// What cannot be compared at all is one line with what, where and what was expected; on either side.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_one_line() {
    let files = files().await;
    let other = json!({"ts": 1, "model": MODEL, "features": {"height": 1.5}});
    let stranger = json!({"ts": 1, "model": "weather", "features": {"income": 1.5}});
    for (name, text, words) in [
        ("empty.ndjson", String::new(), ["empty.ndjson", "no row of model `loan`"]),
        ("garbage.ndjson", "\u{0}\u{1}[[[\n".repeat(50), ["garbage.ndjson", "no row of model `loan`"]),
        ("garbage.parquet", "PAR1 and noise".repeat(50), ["garbage.parquet", "not readable as"]),
        ("other.ndjson", ndjson([other]), ["other.ndjson: none of the 5 features", "expected `age`"]),
        ("stranger.ndjson", ndjson([stranger]), ["no row of model `loan`", "but of `weather`"]),
        ("rows.xlsx", String::new(), ["rows.xlsx", ".parquet"]),
    ] {
        let file = write(&files.dir, name, &text);
        refused(&files.args(&files.reference, &file), &words).await;
        refused(&files.args(&file, &files.reference), &words).await;
    }
    refused(&files.args(&files.reference, "none.ndjson"), &["none.ndjson"]).await;
    let input = files.reference.as_str();
    let args = ["baseline", "compare", "--baseline", input, "--reference", input, "--input", input];
    refused(&args, &["reference.ndjson", "not a baseline file"]).await;
    refused(&["baseline", "compare", "--input", input], &["--baseline", "--reference"]).await;
}
