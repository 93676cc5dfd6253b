//! Vectors as features: what goes wrong with them is found by what is kept of them.

use std::sync::OnceLock;

use super::*;
use crate::detect::{Alarm, normal};
use crate::record::{BatchBuilder, Observed, Prediction, Record, Scalar, SchemaFile, infer};

const DIMENSION: usize = 24;
/// What moves the vectors: far less than their coordinates.
const LATENT: usize = 3;

/// One request: its vector, an age that goes with it, and what the model answers by the vector.
#[derive(Clone)]
struct Request {
    vector: Scalar,
    age: f64,
    score: f64,
}

fn normals(random: &mut StdRng, n: usize) -> Vec<f64> {
    (0..n).map(|_| normal::quantile(random.random_range(1e-9..1.0))).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Vectors of length one with a few directions of their own, as encoders make them.
fn requests(seed: u64, rows: usize) -> Vec<Request> {
    let encoder = &mut StdRng::seed_from_u64(99);
    let mean = normals(encoder, DIMENSION);
    let axes: Vec<Vec<f64>> = (0..DIMENSION).map(|_| normals(encoder, LATENT)).collect();
    let weights = normals(encoder, DIMENSION);
    let mut random = StdRng::seed_from_u64(seed);
    let mut request = || {
        let latent = normals(&mut random, LATENT);
        let noise = normals(&mut random, DIMENSION);
        let raw: Vec<f64> =
            (0..DIMENSION).map(|i| mean[i] + 0.6 * dot(&axes[i], &latent) + 0.1 * noise[i]).collect();
        let length = dot(&raw, &raw).sqrt();
        let vector: Vec<f64> = raw.iter().map(|v| v / length).collect();
        let score = 1.0 / (1.0 + (-4.0 * dot(&weights, &vector)).exp());
        let age = 40.0 + 10.0 * (0.8 * latent[0] + 0.6 * noise[0]);
        Request { vector: Scalar::Vector(vector.into()), age, score }
    };
    (0..rows).map(|_| request()).collect()
}

fn record(row: usize, request: &Request) -> Record {
    let ts = i64::try_from(row).unwrap() * 100;
    let mut record: Record = serde_json::from_value(serde_json::json!({"ts": ts, "model": "m"})).unwrap();
    record.features.insert("vec".to_owned(), request.vector.clone());
    record.features.insert("age".to_owned(), Scalar::Number(request.age));
    record.prediction =
        Some(Prediction { score: Some(Scalar::Number(request.score)), ..Prediction::default() });
    record
}

fn batch_of(schema: &Arc<Schema>, requests: &[Request]) -> Batch {
    let mut builder = BatchBuilder::new(Arc::clone(schema));
    requests.iter().enumerate().for_each(|(row, request)| builder.push(&record(row, request)));
    builder.finish().unwrap().0
}

/// The schema that records give, and what is normal.
fn watched() -> &'static (Arc<Schema>, Calibration) {
    static WATCHED: OnceLock<(Arc<Schema>, Calibration)> = OnceLock::new();
    WATCHED.get_or_init(|| {
        let requests = requests(1, 10_000);
        let mut observed = Observed::default();
        requests
            .iter()
            .take(50)
            .enumerate()
            .for_each(|(row, request)| observed.record(&record(row, request)));
        let file = SchemaFile::parse("groups: {'redis:user': [vec]}").unwrap();
        let schema = Arc::new(infer("m", &file, &observed).unwrap());
        let calibration = Calibration::fit(&batch_of(&schema, &requests), Season::none()).unwrap();
        (schema, calibration)
    })
}

fn alarms(requests: &[Request]) -> Vec<Alarm> {
    let (schema, calibration) = watched();
    let options =
        Options { budget: Budget::Rows(100_000), rate: PerSecond::of(10), without: BTreeSet::new() };
    let mut monitor = Monitor::new(Arc::clone(schema), calibration.clone(), options).unwrap();
    let findings = monitor.observe(&batch_of(schema, requests));
    findings
        .into_iter()
        .filter_map(|f| if let Finding::Raised(alarm) = f { Some(alarm) } else { None })
        .collect()
}

/// The first alarm over 3,000 rows, each with the one before it, of which the fault is a matter.
fn first_with(fault: impl Fn(usize, &mut Request, &[Request])) -> Alarm {
    let healthy = requests(3, 3_000);
    let mut faulty = healthy.clone();
    for (row, request) in faulty.iter_mut().enumerate() {
        fault(row, request, &healthy);
    }
    alarms(&faulty).into_iter().next().expect("found")
}

fn coordinates(request: &mut Request) -> &mut [f64] {
    let Scalar::Vector(coordinates) = &mut request.vector else { panic!("a vector") };
    coordinates
}

/// Health is quiet, although an embedding has many streams and relations, and its lengths are one to within rounding.
#[test]
fn healthy_vectors_are_quiet() {
    let found = alarms(&requests(2, 20_000));
    assert!(found.is_empty(), "{:?}", found.iter().map(|a| &a.message).collect::<Vec<_>>());
}

/// What happens to a vector as a whole is told of the vector and of nothing that is made of it: zeros in a row of
/// twenty, nulls, another dimension, a list of something else, coordinates that are no numbers.
#[test]
fn whole_vectors() {
    let zeros = first_with(|row, request, _| {
        if row % 20 == 0 {
            coordinates(request).fill(0.0);
            request.score = 0.5;
        }
    });
    assert_eq!((zeros.group.as_str(), zeros.kind.as_str()), ("redis:user", "zero"), "{}", zeros.message);
    assert_eq!(zeros.features, ["vec"], "{}", zeros.message);
    assert!(zeros.row < 200 && zeros.message.contains("`vec` became 0"), "{} {}", zeros.row, zeros.message);
    for (vector, detector, told) in [
        (Scalar::Null, "null_rate", "`vec` became null"),
        (Scalar::Vector(vec![0.1; DIMENSION / 2].into()), "type_error", "`vec` changed type or dimension"),
        (Scalar::Nested, "type_error", "`vec` changed type or dimension"),
        (Scalar::Vector(vec![f64::NAN; DIMENSION].into()), "nan_rate", "`vec` became NaN"),
    ] {
        let alarm = first_with(|_, request, _| request.vector = vector.clone());
        assert_eq!(
            (alarm.detector.as_str(), alarm.group.as_str()),
            (detector, "redis:user"),
            "{}",
            alarm.message
        );
        assert_eq!(alarm.features, ["vec"], "{}", alarm.message);
        assert!(alarm.row < 20 && alarm.message.contains(told), "{} {}", alarm.row, alarm.message);
    }
}

/// Another encoder's vectors have the old length and other directions, and longer ones the old directions.
#[test]
fn other_encoders() {
    let turned = first_with(|_, request, _| coordinates(request).reverse());
    assert!(turned.row < 30, "{} {}", turned.row, turned.message);
    let is_of_vector = ["redis:user", Schema::RELATIONS_GROUP].contains(&turned.group.as_str());
    assert!(is_of_vector && turned.features.iter().all(|f| f.starts_with("vec.p")), "{turned:?}");
    let longer = first_with(|_, request, _| coordinates(request).iter_mut().for_each(|v| *v *= 1.5));
    assert_eq!(
        (longer.features.as_slice(), longer.row < 20),
        (&["vec".to_owned()][..], true),
        "{}",
        longer.message
    );
    assert!(longer.message.contains("the length of `vec`"), "{}", longer.message);
}

/// The vector of another request leaves every marginal as it was; that it does not fit the answer, and the other
/// feature, is found.
#[test]
fn vectors_of_other_requests() {
    let mixed = first_with(|row, request, all| request.vector = all[(row + 7) % all.len()].vector.clone());
    assert!(mixed.row < 100, "{} {}", mixed.row, mixed.message);
    assert!(
        ["surrogate_residual", "coherence", "feature_given"].contains(&mixed.detector.as_str()),
        "{}",
        mixed.message
    );
}

/// A vector that is no longer read anew is stuck, in every part of it.
#[test]
fn stale_vectors() {
    let stale = first_with(|_, request, all| request.vector = all[0].vector.clone());
    assert!(stale.row < 40 && stale.group == "redis:user", "{} {}", stale.row, stale.message);
    let told: BTreeSet<&str> = stale.shares.iter().map(|share| share.detector.as_str()).collect();
    assert!(told.contains("stuck"), "{told:?}");
}
