//! Healthy traffic whose rows are not independent raises no alarm, and a fault in it does. The program
//! itself, on a few kinds of traffic; `cargo bench --bench nulls` measures all of them with more rows.

mod measure;
mod traffic;

use measure::{Measured, Plan, measure};

use crate::support::{folder, room};

/// Kinds of traffic that still raise false alarms: to be emptied.
const NOT_YET: &[&str] = &[];

/// Rows of one baseline; fresh ones of its kind.
const ROWS: usize = 20_000;

async fn check(name: &'static str) {
    let null = traffic::all().into_iter().find(|null| null.name == name).expect("one of that name");
    let folder = folder(&format!("null-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
    let plan = Plan { seed: 3, baselines: 1, rows: ROWS, folder };
    let _room = room().await;
    let measured =
        tokio::task::spawn_blocking(move || measure(&null, &plan)).await.expect("it does not panic");
    let wrong = wrong(&measured);
    if NOT_YET.contains(&name) {
        assert!(wrong.is_some(), "`{name}` holds: take it out of NOT_YET");
    } else {
        assert_eq!(wrong, None, "{measured:?}");
    }
}

/// What keeps the promise from being true, if anything does.
fn wrong(measured: &Measured) -> Option<String> {
    if let Some(why) = measured.refused.first() {
        return (!measured.may_refuse).then(|| format!("refused: {why}"));
    }
    if measured.alarms > 0 {
        return Some(format!("{} false alarms", measured.alarms));
    }
    // Quiet because nobody looks is no quiet.
    measured.median_found().is_none().then(|| "zeros in three rows of ten are not found".to_owned())
}

/// Rows drawn one by one from one table, with its ties, zeros and rare categories.
#[tokio::test(flavor = "multi_thread")]
async fn independent_draws() {
    check("independent draws from one table").await;
}

/// Ten rows alike in each request: one piece of evidence, not ten.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_request() {
    check("sessions of 10 rows, one request_id").await;
}

/// Ten rows alike in a run of one entity, each with a request of its own.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_entity() {
    check("sessions of 10 rows, one entity").await;
}

/// Ten rows alike, and nothing in the record says so.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_nothing_tells() {
    check("sessions of 10 rows, nothing shared").await;
}

/// Columns that hardly move from row to row.
#[tokio::test(flavor = "multi_thread")]
async fn columns_with_a_memory() {
    check("AR(1), rho 0.9").await;
}

/// Means and mixes that follow the hour, with a baseline for each hour.
#[tokio::test(flavor = "multi_thread")]
async fn hours_of_the_day() {
    check("daily cycle, hour-of-day").await;
}

/// The limits that the table prints: exact ones of a Poisson count, over the rows in which nothing stood
/// in alarm.
#[test]
fn limits_of_a_count() {
    for (alarms, limit) in [(0, 2.9957), (1, 4.7439), (4, 9.1535)] {
        let measured = Measured { alarms, rows: 150_000, rows_in_alarm: 50_000, ..Measured::default() };
        let found = measured.upper_per_100k().expect("rows were judged");
        assert!((found - limit).abs() < 1e-4, "{alarms} alarms: {found}, expected {limit}");
    }
    let stuck = Measured { alarms: 1, rows: 9, rows_in_alarm: 9, ..Measured::default() };
    assert_eq!(stuck.per_100k(), None);
}
