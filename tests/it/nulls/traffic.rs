//! Healthy traffic whose rows are not independent draws: sessions, memory, hours of the day.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::synthetic::{START_MS, Table, exponential, normal, pick, rounded, sigmoid};

/// Rows a second of all traffic but the daily one.
const RATE: f64 = 50.0;
const DAILY_ROWS: f64 = 2_400.0;
const DAY_MS: f64 = 86_400_000.0;
/// Rows of the table that draws with replacement are made from.
const POOL_ROWS: usize = 18_000;
/// Sessions a stream needs before it forgets where it began.
const WARM_UP: usize = 200;

/// What the rows of a session have in common beside their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Request,
    Entity,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Rows of one session are alike.
    Sessions { rows: usize, link: Link },
    /// Columns that remember their last value.
    Memory { rho: f64 },
    /// Means and mixes of the hour; the row rate too where `busy`.
    Daily { busy: bool },
    /// Independent draws, with replacement, from one table.
    Pool,
}

/// One kind of healthy traffic, and what the baseline is told about it.
#[derive(Debug, Clone)]
pub(crate) struct Null {
    pub(crate) name: String,
    pub(crate) seasonality: &'static str,
    /// Whether the promise of few false alarms is made for it.
    pub(crate) promised: bool,
    /// Whether a baseline may be refused instead: rows depend on each other, and nothing in the record
    /// tells which.
    pub(crate) may_refuse: bool,
    kind: Kind,
}

/// All of them.
pub(crate) fn all() -> Vec<Null> {
    let mut nulls = vec![
        null("independent draws from one table", "none", Kind::Pool),
        null("sessions of 1 row", "none", Kind::Sessions { rows: 1, link: Link::Nothing }),
    ];
    for (link, words) in
        [(Link::Request, "one request_id"), (Link::Entity, "one entity"), (Link::Nothing, "nothing shared")]
    {
        for rows in [2, 5, 10, 50] {
            let name = format!("sessions of {rows} rows, {words}");
            nulls.push(null(&name, "none", Kind::Sessions { rows, link }));
        }
    }
    for rho in [0.5, 0.9] {
        nulls.push(null(&format!("AR(1), rho {rho}"), "none", Kind::Memory { rho }));
    }
    for (busy, words) in [(false, "daily cycle"), (true, "daily cycle, row rate too")] {
        for seasonality in ["hour-of-day", "none"] {
            nulls.push(null(&format!("{words}, {seasonality}"), seasonality, Kind::Daily { busy }));
        }
    }
    nulls
}

fn null(name: &str, seasonality: &'static str, kind: Kind) -> Null {
    let may_refuse = match kind {
        Kind::Sessions { rows, link } => rows > 1 && link == Link::Nothing,
        Kind::Memory { .. } => true,
        Kind::Daily { .. } | Kind::Pool => false,
    };
    let promised = !matches!(kind, Kind::Daily { .. }) || seasonality != "none";
    Null { name: name.to_owned(), seasonality, promised, may_refuse, kind }
}

impl Null {
    /// Columns that [`Table::zero`] may break: two of them, never 0 in health or seldom.
    pub(crate) fn breakable(&self) -> [&'static str; 2] {
        match self.kind {
            Kind::Sessions { .. } => ["spend", "price"],
            Kind::Memory { .. } => ["x0", "x1"],
            Kind::Daily { .. } => ["load", "amount"],
            Kind::Pool => ["income", "hours"],
        }
    }

    /// So many rows from the day `day` on: the same seed and day, the same rows.
    pub(crate) fn rows(&self, seed: u64, day: u32, rows: usize) -> Table {
        let mut random = StdRng::seed_from_u64(seed);
        let from = START_MS + i64::from(day) * 86_400_000;
        match self.kind {
            Kind::Sessions { rows: size, link } => sessions(&mut random, from, rows, (size, link)),
            Kind::Memory { rho } => memory(&mut random, from, rows, rho),
            Kind::Daily { busy } => daily(&mut random, from, rows, busy),
            Kind::Pool => pool(&mut random, from, rows),
        }
    }
}

/// `ts` and `request_id` of rows that arrive one by one.
fn arrivals(table: &mut Table, times: &[f64], from: i64) {
    table.integers("ts", times.iter().map(|ms| from + whole(*ms)));
    table.words("request_id", (0..times.len()).map(|n| format!("r{from}-{n}")));
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of a few months")]
fn whole(ms: f64) -> i64 {
    ms as i64
}

/// Times of a Poisson process, in milliseconds.
fn poisson(random: &mut StdRng, rows: usize, gap_ms: f64) -> Vec<f64> {
    let mut now = 0.0;
    let next = |_| {
        now += exponential(random, gap_ms);
        now
    };
    (0..rows).map(next).collect()
}

/// The answers of a model with this linear part: a probability and the class it stands for.
fn answers(table: &mut Table, linear: impl IntoIterator<Item = f64>) {
    let scores: Vec<f64> = linear.into_iter().map(sigmoid).collect();
    table.integers("prediction", scores.iter().map(|p| i64::from(*p >= 0.5)));
    table.numbers("prob_1", scores);
}

/// What all rows of a session share.
struct Session {
    spend: f64,
    credit: f64,
    vip: bool,
    region: usize,
}

fn session(random: &mut StdRng) -> Session {
    Session {
        spend: rounded((3.0 + normal(random)).exp(), 2),
        // Two rows in a hundred, but whole sessions at a time.
        credit: if random.random_bool(0.02) { 0.0 } else { rounded(500.0 + 100.0 * normal(random), 0) },
        vip: random.random_bool(0.02),
        region: pick(random, &[30.0, 20.0, 14.0, 10.0, 8.0, 8.0, 6.0, 4.0]),
    }
}

fn sessions(random: &mut StdRng, from: i64, rows: usize, (size, link): (usize, Link)) -> Table {
    let gap_ms = 1_000.0 / RATE;
    let (mut now, mut times, mut of) = (0.0, Vec::new(), Vec::new());
    let mut shared = Vec::new();
    while times.len() < rows {
        shared.push(session(random));
        for row in 0..size.min(rows - times.len()) {
            // The rows of a session come close together, and no other's between them.
            let part = gap_ms / 4.0;
            now += match (row, size) {
                (_, 1) => exponential(random, gap_ms),
                (0, _) => exponential(random, gap_ms * size as f64 - part * (size - 1) as f64),
                _ => exponential(random, part),
            };
            times.push(now);
            of.push(shared.len() - 1);
        }
    }
    let mut table = Table::default();
    table.integers("ts", times.iter().map(|ms| from + whole(*ms)));
    let id = |row: usize| if link == Link::Request { of[row] } else { row };
    table.words("request_id", (0..rows).map(|row| format!("r{from}-{}", id(row))));
    if link == Link::Entity {
        table.words("entity", of.iter().map(|session| format!("e{from}-{session}")));
    }
    let price: Vec<f64> = (0..rows).map(|_| rounded((2.0 + 0.8 * normal(random)).exp(), 2)).collect();
    let rating: Vec<f64> = (0..rows).map(|_| rounded(7.0 + 1.5 * normal(random), 0) / 2.0).collect();
    let position: Vec<f64> = (0..rows).map(|_| f64::from(random.random_range(1..=20_u8))).collect();
    let common = |row: usize| &shared[of[row]];
    let linear = |row: usize| {
        let (session, vip) = (common(row), f64::from(u8::from(common(row).vip)));
        0.8 * session.spend.ln() - 0.6 * price[row].ln() + 0.4 * rating[row] + vip
            - 0.05 * position[row]
            - 2.0
    };
    answers(&mut table, (0..rows).map(linear));
    table.numbers("spend", (0..rows).map(|row| common(row).spend));
    table.numbers("credit", (0..rows).map(|row| common(row).credit));
    table.words("vip", (0..rows).map(|row| if common(row).vip { "yes" } else { "no" }.to_owned()));
    table.words("region", (0..rows).map(|row| format!("region-{}", common(row).region)));
    table.numbers("price", price);
    table.numbers("rating", rating);
    table.numbers("position", position);
    table
}

fn memory(random: &mut StdRng, from: i64, rows: usize, rho: f64) -> Table {
    let mut table = Table::default();
    arrivals(&mut table, &poisson(random, rows, 1_000.0 / RATE), from);
    let mut column = |rho: f64| {
        let mut value = normal(random);
        let fresh = (1.0 - rho * rho).sqrt();
        let next = |_| {
            value = rho * value + fresh * normal(random);
            value
        };
        (0..WARM_UP + rows).map(next).skip(WARM_UP).collect::<Vec<f64>>()
    };
    let columns: Vec<Vec<f64>> = [rho, rho, rho, rho, rho, 0.0].into_iter().map(&mut column).collect();
    let linear = |row: usize| 1.2 * columns[0][row] - 0.8 * columns[1][row] + 0.5 * columns[5][row];
    answers(&mut table, (0..rows).map(linear));
    for (n, column) in columns.into_iter().enumerate() {
        table.numbers(&format!("x{n}"), column);
    }
    table.words("plan", (0..rows).map(|_| format!("plan-{}", pick(random, &[6.0, 3.0, 1.0]))));
    table
}

/// How far the hour is from the quiet of the night: 0 at 3 h, 1 at 15 h (UTC).
fn daylight(hour: f64) -> f64 {
    0.5 + 0.5 * (std::f64::consts::TAU * (hour - 15.0) / 24.0).cos()
}

fn daily(random: &mut StdRng, from: i64, rows: usize, busy: bool) -> Table {
    let (mut now, mut times, mut light) = (0.0, Vec::new(), Vec::new());
    let hour = |ms: f64| (ms / 3_600_000.0 % 24.0).floor();
    for _ in 0..rows {
        // Half as busy at night, half again as busy by day: the mean over a day stays.
        let pace = if busy { 0.5 + daylight(hour(now)) } else { 1.0 };
        now += exponential(random, DAY_MS / DAILY_ROWS / pace);
        times.push(now);
        light.push(daylight(hour(now)));
    }
    let mut table = Table::default();
    arrivals(&mut table, &times, from);
    let load: Vec<f64> = light.iter().map(|l| rounded(5.0 + 10.0 * l + normal(random), 2)).collect();
    let amount: Vec<f64> = light.iter().map(|l| rounded((2.0 + l + 0.7 * normal(random)).exp(), 2)).collect();
    let idle = |l: &f64| if random.random_bool(0.02 + 0.2 * (1.0 - l)) { 0.0 } else { 1.0 };
    let idle: Vec<f64> = light.iter().map(idle).collect();
    let clicks: Vec<f64> = idle.iter().map(|on| on * rounded(exponential(random, 8.0), 0)).collect();
    let steady: Vec<f64> = (0..rows).map(|_| normal(random)).collect();
    answers(&mut table, (0..rows).map(|n| 0.3 * load[n] - 0.8 * amount[n].ln() + 0.5 * steady[n] - 1.0));
    let channel = |l: &f64| format!("channel-{}", pick(random, &[5.0 * l + 0.5, 3.0, 4.0 * (1.0 - l) + 0.5]));
    table.words("channel", light.iter().map(channel).collect::<Vec<_>>());
    table.numbers("load", load);
    table.numbers("amount", amount);
    table.numbers("clicks", clicks);
    table.numbers("steady", steady);
    table
}

/// A row of the table that is drawn from.
struct Person {
    age: f64,
    income: f64,
    hours: f64,
    gain: f64,
    job: usize,
    country: usize,
}

fn pool(random: &mut StdRng, from: i64, rows: usize) -> Table {
    // The table itself is the same whatever the seed of the draws.
    let mut fixed = StdRng::seed_from_u64(2);
    let zipf: Vec<f64> = (1..=30).map(|rank| 1.0 / f64::from(rank)).collect();
    let person = |_| Person {
        age: rounded(18.0 + exponential(&mut fixed, 18.0), 0),
        income: rounded((10.0 + 0.6 * normal(&mut fixed)).exp(), 0),
        hours: if fixed.random_bool(0.45) { 40.0 } else { rounded(38.0 + 12.0 * normal(&mut fixed), 0) },
        gain: if fixed.random_bool(0.92) { 0.0 } else { rounded((8.0 + normal(&mut fixed)).exp(), 0) },
        job: pick(&mut fixed, &[8.0, 4.0, 4.0, 3.0, 2.0, 1.0, 0.2]),
        country: pick(&mut fixed, &zipf),
    };
    let people: Vec<Person> = (0..POOL_ROWS).map(person).collect();
    let drawn: Vec<&Person> = (0..rows).map(|_| &people[random.random_range(0..POOL_ROWS)]).collect();
    let mut table = Table::default();
    arrivals(&mut table, &poisson(random, rows, 1_000.0 / RATE), from);
    let linear = |p: &&Person| {
        0.04 * p.age + 1.5 * (p.income.ln() - 10.0) + 0.03 * (p.hours - 40.0) + p.gain / 5e3 - 2.5
    };
    answers(&mut table, drawn.iter().map(linear));
    table.numbers("age", drawn.iter().map(|p| p.age));
    table.numbers("income", drawn.iter().map(|p| p.income));
    table.numbers("hours", drawn.iter().map(|p| p.hours));
    table.numbers("gain", drawn.iter().map(|p| p.gain));
    table.words("job", drawn.iter().map(|p| format!("job-{}", p.job)));
    table.words("country", drawn.iter().map(|p| format!("country-{}", p.country)));
    table
}
