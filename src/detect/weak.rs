//! Groups whose complete loss takes long to see, and what would change that.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::monitor::Monitor;
use super::setup::upper_of_longer;
use super::table::Bet;
use crate::baseline::Budget;
use crate::units::{count, floor};

/// A group that is all zero must alarm within so many rows, in nine of ten cases.
const ROWS_MAX: f64 = 100.0;
/// What would be enough is aimed a little lower: with other counts the weights of bets shift.
const ROWS_AIM: f64 = 95.0;
/// A baseline of so many times the rows is no advice any more.
const LONGER_MAX: f64 = 1e6;
/// Nor is a budget that allows a false alarm in fewer rows than this.
const BUDGET_ROWS_MIN: f64 = 10_000.0;
/// Halvings of the search for what would be enough.
const HALVINGS: u32 = 50;
/// A month, in which budgets are told.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A group that would not alarm within a hundred rows if all of its features were zero from now on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weak {
    /// The group.
    pub group: String,
    /// Rows within which nine in ten such faults alarm; nothing when none does.
    pub rows: Option<f64>,
    /// The share of healthy rows in which the group is all zero.
    pub zero_share: f64,
    /// The baseline's rows (requests, where they have several).
    pub baseline_rows: u64,
    /// About how many would be enough; nothing when no number is.
    pub rows_needed: Option<u64>,
    /// The budget of false alarms that would be enough; nothing when none is.
    pub budget_needed: Option<String>,
}

impl fmt::Display for Weak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group `{}` {}", self.group, self.how_much())
    }
}

impl Weak {
    /// How much too long it takes, and what would be enough.
    #[must_use]
    pub fn how_much(&self) -> String {
        let takes = match self.rows {
            Some(rows) => format!("would take {rows} rows to alarm, expected at most {ROWS_MAX}"),
            None => "would never alarm".to_owned(),
        };
        let share = self.zero_share * 100.0;
        let helps = match (self.rows_needed, &self.budget_needed) {
            (None, None) => format!("it is all zero in {share:.1} % of healthy rows, nothing helps"),
            (None, Some(budget)) => format!(
                "it is all zero in {share:.1} % of healthy rows: more rows do not help, a budget of {budget} would"
            ),
            (Some(rows), budget) => {
                let or = budget.as_ref().map_or_else(String::new, |b| format!(" or a budget of {b}"));
                format!("it takes a baseline of about {rows} rows (this has {}){or}", self.baseline_rows)
            }
        };
        format!("at 100 % zeros {takes}; {helps}")
    }
}

impl Monitor {
    /// The groups whose zeros cannot be seen, or take more than a hundred rows.
    #[must_use]
    pub fn weak_groups(&self) -> Vec<Weak> {
        self.state.groups.iter().filter_map(|group| self.weak(self.all_zero(group)?)).collect()
    }

    fn weak(&self, (index, bet): (usize, Bet)) -> Option<Weak> {
        let stream = self.calibration.streams.get(index)?;
        let rows = self.bet_against(index, bet).and_then(|b| b.rows_to_alarm(1.0));
        if rows.is_some_and(|rows| rows <= ROWS_MAX) {
            return None;
        }
        let (hits, trials) = stream.pooled(bet.index);
        Some(Weak {
            group: stream.group.clone(),
            rows,
            zero_share: if trials > 0.0 { hits / trials } else { 1.0 },
            baseline_rows: self.calibration.rows(),
            rows_needed: self.longer(index, bet).map(|f| two_digits(f * count(self.calibration.rows()))),
            budget_needed: self.wider(index, bet).map(|budget| budget.to_string()),
        })
    }

    /// The factor by which a longer baseline of the same kind would be enough.
    fn longer(&self, index: usize, bet: Bet) -> Option<f64> {
        let against = self.bet_against(index, bet)?;
        let upper = upper_of_longer(&self.calibration, index, bet);
        let is_enough = |factor: f64| {
            let then = upper(factor).map(|limit| super::power::Against { limit, ..against });
            then.and_then(|b| b.rows_to_alarm(1.0)).is_some_and(|rows| rows <= ROWS_AIM)
        };
        is_enough(LONGER_MAX).then(|| boundary(1.0, LONGER_MAX, is_enough))
    }

    /// The tightest budget that would be enough.
    fn wider(&self, index: usize, bet: Bet) -> Option<Budget> {
        let against = self.bet_against(index, bet)?;
        let is_enough = |divisor: f64| {
            let then = super::power::Against { nats: against.nats - divisor.ln(), ..against };
            then.nats > 0.0 && then.rows_to_alarm(1.0).is_some_and(|rows| rows <= ROWS_AIM)
        };
        let wanted = self.threshold / self.calibration.threshold_factor;
        let widest = wanted / (BUDGET_ROWS_MIN * self.step_length());
        if widest <= 1.0 || !is_enough(widest) {
            return None;
        }
        let threshold = wanted / boundary(1.0, widest, is_enough);
        Some(match self.options.budget {
            Budget::Rows(_) => Budget::Rows(floor(threshold)),
            Budget::Time(_) => {
                let alarms = u32::try_from(floor(MONTH.as_secs_f64() / threshold)).ok()?;
                Budget::Time(MONTH / alarms.checked_add(1)?)
            }
        })
    }
}

/// Where `is_enough` begins to hold, between a value where it does not and one where it does: on the
/// side where it does.
fn boundary(mut not: f64, mut enough: f64, is_enough: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = (not * enough).sqrt();
        if is_enough(middle) { enough = middle } else { not = middle }
    }
    enough
}

/// Rounded up to two digits: it is an estimate.
fn two_digits(rows: f64) -> u64 {
    let digits = rows.log10().floor() - 1.0;
    let unit = if digits > 0.0 { 10.0_f64.powf(digits) } else { 1.0 };
    floor((rows / unit).ceil() * unit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::{Calibration, Options, Season};
    use super::*;
    use crate::profile::Profile;
    use crate::record::{BatchBuilder, Column, Kind, Role, Schema};
    use crate::units::PerSecond;

    /// The monitor of so many rows, in which so many of a hundred have a group at zero, and their profile.
    fn monitor(rows: u64, zero_in_100: u64, budget: &str) -> (Monitor, Profile) {
        let column = |name: &str, group: &str| Column::plain(name, Role::Input, Kind::Numeric, group);
        let columns = vec![column("a", "g"), column("b", "g"), column("c", "h")];
        let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
        let mut builder = BatchBuilder::new(Arc::clone(&schema));
        let mut random = StdRng::seed_from_u64(3);
        for i in 0..rows {
            let mut next = || 1 + random.random_range(0..100_000_u64);
            let (a, b, c) = (next(), next(), next());
            // The share is exact, or a longer baseline would have another one.
            let (a, b) = if i * 37 % 100 < zero_in_100 { (0, 0) } else { (a, b) };
            let line = serde_json::json!({"ts": 10 * i, "model": "m", "features": {"a": a, "b": b, "c": c}});
            builder.push(&serde_json::from_value(line).unwrap());
        }
        let (batch, _) = builder.finish().unwrap();
        let fitted = Calibration::fit(&batch, Season::none());
        let mut profile = Profile::new(Arc::clone(&schema));
        profile.observe(&batch).unwrap();
        let options =
            Options { budget: budget.parse().unwrap(), rate: PerSecond::of(100), without: BTreeSet::new() };
        (Monitor::new(schema, fitted.unwrap(), options).unwrap(), profile)
    }

    fn weak(rows: u64, zero_in_100: u64, budget: &str) -> Option<Weak> {
        monitor(rows, zero_in_100, budget).0.weak_groups().pop()
    }

    /// What is said to be enough is enough, and half of it is not: rows to the alarm change slowly with those of
    /// the baseline, so that aiming a little lower costs many.
    #[test]
    fn what_is_needed_is_enough() {
        let found = weak(400, 73, "1/month").unwrap();
        assert!(found.rows.unwrap() > ROWS_MAX && (found.zero_share - 0.73).abs() < 0.05, "{found}");
        let needed = found.rows_needed.unwrap();
        assert_eq!(weak(needed, 73, "1/month"), None, "{found}");
        assert!(weak(needed / 2, 73, "1/month").is_some(), "{found}");
        let budget = found.budget_needed.unwrap();
        assert_eq!(weak(400, 73, &budget), None, "{budget}");
    }

    /// Budgets in rows are answered in rows.
    #[test]
    fn a_budget_in_rows() {
        let found = weak(3_000, 73, "1/1000000000000rows").unwrap();
        let budget = found.budget_needed.unwrap();
        assert!(budget.ends_with("rows"), "{budget}");
        assert_eq!(weak(3_000, 73, &budget), None, "{budget}");
    }

    /// Zeros that are natural are told as such: no recording is long enough.
    #[test]
    fn natural_zeros_cannot_do_better() {
        let found = weak(20_000, 95, "1/month").unwrap();
        assert_eq!((found.rows_needed, &found.budget_needed), (None, &None));
        assert!(found.to_string().contains(" % of healthy rows, nothing helps"), "{found}");
        let always = weak(1_000, 100, "1/month").unwrap();
        assert_eq!((always.rows, always.rows_needed), (None, None), "{always}");
        assert_eq!(weak(6_000, 0, "1/month"), None);
    }

    fn oddities(rows: u64, zero_in_100: u64) -> Vec<&'static str> {
        let (monitor, profile) = monitor(rows, zero_in_100, "1/month");
        monitor.oddities(&profile).iter().map(|o| o.what).collect()
    }

    /// A group that is dead at times, a weak one and a short recording are odd; health is not.
    #[test]
    fn dead_and_weak_groups_are_odd() {
        assert!(oddities(6_000, 0).is_empty(), "{:?}", oddities(6_000, 0));
        assert_eq!(oddities(6_000, 1), ["dead_group"]);
        assert_eq!(oddities(400, 73), ["dead_group", "weak_group", "few_rows"]);
    }
}
