//! Who has how much of the budget.

use super::*;
use crate::baseline::Seasonality;
use crate::detect::bins::Bin;
use crate::detect::power::Needed;
use crate::detect::stream::Stream;
use crate::detect::table::Bet;
use crate::detect::{Counter, Season};

/// Rows of two features, of which one decides the answer, or neither does.
fn rows(decides: bool, seed: u64, n: usize) -> Batch {
    let columns = vec![
        Column::plain("decides", Role::Input, Kind::Numeric, "a"),
        Column::plain("idle", Role::Input, Kind::Numeric, "b"),
        Column::plain("score", Role::Output, Kind::Numeric, "prediction"),
    ];
    let mut random = StdRng::seed_from_u64(seed);
    let drawn: Vec<[f64; 3]> = (0..n)
        .map(|_| {
            let [one, two, noise]: [f64; 3] = random.random();
            [one, two, if decides { 0.9 * one + 0.1 * noise } else { noise }]
        })
        .collect();
    let cells = (0..3).map(|at| {
        let values: Float64Array = drawn.iter().map(|row| Some(row[at])).collect();
        Cells::new("c", Values::Number(values), None).unwrap()
    });
    let times = (0..n as i64).map(|i| Timestamp::from_millis(10 * i)).collect();
    let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
    Batch::new(schema, cells.collect(), Meta::of_times(times)).unwrap()
}

fn counted(batch: &Batch) -> Calibration {
    Calibration::fit(batch, Season::none()).unwrap()
}

fn influence(calibration: &Calibration, name: &str) -> f64 {
    calibration.streams.iter().find(|s| s.name == name).unwrap().influence
}

/// What decides the answer weighs up to four times what does not, on average features weigh 1, and the answer
/// itself is left at what it is; with the same plan weights are those of the plan, and in a file they stay.
#[test]
fn features_weigh_by_what_they_tell() {
    let calibration = counted(&rows(true, 1, 5_000));
    let (decides, idle) = (influence(&calibration, "decides"), influence(&calibration, "idle"));
    assert!(decides > 3.5 * idle && (decides + idle - 2.0).abs() < 1e-9, "{decides} {idle}");
    assert_eq!(influence(&calibration, "score").to_bits(), 1_f64.to_bits());
    let other = rows(false, 2, 5_000);
    let mut counter = Counter::with_plan_of(other.schema(), &calibration).unwrap();
    counter.observe(&other);
    let counted = counter.finish().unwrap();
    let written = serde_json::to_value(&counted).unwrap();
    let read = Calibration::read(&written, other.schema()).unwrap();
    assert_eq!(influence(&read, "decides").to_bits(), decides.to_bits());
}

/// Where no feature tells more than chance, or rows are too few to say, all weigh the same.
#[test]
fn what_is_not_known_weighs_the_same() {
    for (decides, seed, n) in [(false, 3, 5_000), (false, 4, 20_000), (true, 3, 1_000)] {
        let calibration = counted(&rows(decides, seed, n));
        let odd: Vec<&str> = calibration
            .streams
            .iter()
            .filter(|s| (s.influence - 1.0).abs() > 1e-12)
            .map(|s| s.name.as_str())
            .collect();
        assert!(odd.is_empty(), "{seed}: {odd:?}");
    }
}

/// Zeros in what decides are seen in no more rows than the same zeros in what does not.
#[test]
fn more_weight_is_less_delay() {
    let calibration = counted(&rows(true, 1, 5_000));
    let options = options(Budget::Rows(100_000));
    let monitor = Monitor::new(rows(true, 1, 1).schema().clone(), calibration, options).unwrap();
    let nats = |name: &str| {
        let of = |s: &crate::detect::stream::Stream| {
            s.name == name && matches!(s.source, crate::detect::stream::Source::Column { .. })
        };
        let stream = monitor.calibration.streams.iter().position(of).unwrap();
        let zero = monitor.calibration.streams[stream].bins.iter().position(|b| *b == Bin::Zero).unwrap();
        monitor.bet_against(stream, Bet { family: Family::More, index: zero }).unwrap().nats
    };
    let gained = nats("idle") - nats("decides");
    assert!((gained - 4_f64.ln()).abs() < 0.2, "{gained}");
}

/// What a column that follows the hour takes to lean is told hour by hour: of all hours together it would seem
/// to lean already, one way in the morning and the other in the evening.
#[test]
fn leans_are_sized_in_their_own_hour() {
    let schema = rows(true, 1, 1).schema().clone();
    let mut random = StdRng::seed_from_u64(5);
    let drawn: Vec<[f64; 3]> = (0..20_160)
        .map(|minute| {
            let hour = f64::from(minute / 60 % 24);
            [0.25 * hour + 6.0 * random.random::<f64>(), random.random(), random.random()]
        })
        .collect();
    let cells = (0..3).map(|at| {
        let values: Float64Array = drawn.iter().map(|row| Some(row[at])).collect();
        Cells::new("c", Values::Number(values), None).unwrap()
    });
    let times = (0..20_160).map(|minute| Timestamp::from_millis(60_000 * minute)).collect();
    let batch = Batch::new(schema.clone(), cells.collect(), Meta::of_times(times)).unwrap();
    let season = Season { seasonality: Seasonality::HourOfDay, zone: "UTC".to_owned() };
    let fitted = Calibration::fit(&batch, season);
    let monitor = Monitor::new(schema, fitted.unwrap(), options(month())).unwrap();
    let drift = KINDS.iter().position(|kind| kind.name() == "drift").unwrap();
    let of = |name: &str| {
        let stream = monitor.calibration.streams.iter().position(|s| s.name == name).unwrap();
        monitor.rows_needed_in(stream, drift, &[1.0])
    };
    for name in ["decides", "idle"] {
        assert!(matches!(of(name), Needed::Rows(rows) if rows < 20_000.0), "{name}: {:?}", of(name));
    }
}

/// What features tell of the answer moves weights and no limit: some limits count the rows that told it.
#[test]
fn no_limit_knows_of_influence() {
    let calibration = counted(&rows(true, 1, 5_000));
    let streams = calibration.streams.iter().map(|s| Stream { influence: 1.0, ..s.clone() }).collect();
    let even = Calibration { streams, ..calibration.clone() };
    let schema = rows(true, 1, 1).schema().clone();
    let of = |calibration| Monitor::new(schema.clone(), calibration, options(month())).unwrap();
    let (own, even) = (of(calibration), of(even));
    let mut weights_differ = false;
    for stream in 0..own.calibration.streams.len() {
        for bet in own.wiring.bets(stream).filter(|bet| bet.family == Family::More) {
            let (own, even) = (own.bet_against(stream, bet).unwrap(), even.bet_against(stream, bet).unwrap());
            assert_eq!(own.limit.to_bits(), even.limit.to_bits(), "{stream} {bet:?}");
            weights_differ |= (own.nats - even.nats).abs() > 0.1;
        }
    }
    assert!(weights_differ);
}
