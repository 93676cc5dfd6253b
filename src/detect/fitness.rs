//! What in a baseline looks like a fault already, as far as its counts tell.

use std::collections::BTreeMap;

use super::bins::Bin;
use super::calibrate::Calibration;
use super::monitor::Monitor;
use super::stream::{Source, Stream};
use crate::baseline::{Oddity, Seasonality};
use crate::profile::Profile;
use crate::record::Status;
use crate::sketch::Sketch;
use crate::units::{count, whole};

/// Fewer rows than this leave every limit far above what is healthy.
const ROWS_FEW: u64 = 1_000;
/// The same for one hour.
const HOUR_ROWS_FEW: u64 = 300;
/// An hour with less than this part of the usual hour's rows has a gap.
const GAP_SHARE: f64 = 0.1;
/// A column repeats too often beyond so many times what chance gives, and this share of rows.
const REPEATS_TIMES: f64 = 2.0;
const REPEATS_MORE: f64 = 0.05;
/// Rows seen before, or requests delivered before, beyond this share.
const AGAIN_SHARE: f64 = 0.01;
/// Columns and streams that are named; the others are counted.
const NAMED: usize = 3;

impl Monitor {
    /// What the counts show: groups, hours, repeats, dependence. `profile`: the baseline's own.
    #[must_use]
    pub fn oddities(&self, profile: &Profile) -> Vec<Oddity> {
        let mut found = dead_groups(&self.calibration);
        found.extend(self.weak_groups().iter().map(|weak| {
            let advice = "record more, allow more false alarms, or regroup its columns in the schema file";
            Oddity::new("weak_group", &weak.group, weak.how_much(), advice)
        }));
        found.extend(repeats(&self.calibration, profile));
        found.extend(again(&self.calibration));
        found.extend(statuses(&self.calibration));
        found.extend(few_rows(&self.calibration));
        found.extend(clumps(&self.calibration));
        found
    }
}

impl Calibration {
    /// What the counts cannot tell, each with the reason.
    #[must_use]
    pub fn unchecked(&self) -> Vec<&'static str> {
        let mut all = vec!["whether the first half is like the second: counts are not kept by time"];
        if self.season().seasonality == Seasonality::None {
            all.push("gaps and hours without rows: with seasonality `none` no hours are counted");
        }
        all
    }
}

fn percent(share: f64) -> String {
    let shown = share * 100.0;
    if shown < 0.01 { "less than 0.01 %".to_owned() } else { format!("{shown:.2} %") }
}

/// The share of a stream's steps that fell into some bins.
fn share_of(stream: &Stream, is: impl Fn(&Bin) -> bool) -> Option<f64> {
    let bins = stream.bins.iter().enumerate().filter(|(_, bin)| is(bin));
    let counts: Vec<(f64, f64)> = bins.map(|(bin, _)| stream.pooled(bin)).collect();
    let trials = counts.first().map(|(_, trials)| *trials).filter(|trials| *trials > 0.0)?;
    Some(counts.iter().map(|(hits, _)| hits).sum::<f64>() / trials)
}

/// Groups that were all zero at times: the very fault that silentry is to find.
fn dead_groups(calibration: &Calibration) -> Vec<Oddity> {
    let groups = calibration.streams.iter().filter(|s| matches!(s.source, Source::Group { .. }));
    let dead = |stream: &Stream| {
        let share = share_of(stream, |b| matches!(b, Bin::GroupZero | Bin::GroupDefault))?;
        (share > 0.0).then(|| {
            let advice = "is that healthy? record without the rows in which its upstream had failed";
            let how_much = format!("every feature zero or default in {} of rows", percent(share));
            Oddity::new("dead_group", &stream.group, how_much, advice)
        })
    };
    groups.filter_map(dead).collect()
}

/// Columns that have the value of the row before more often than their values explain.
fn repeats(calibration: &Calibration, profile: &Profile) -> Vec<Oddity> {
    let mut by_group: BTreeMap<&str, Vec<(&str, f64, f64)>> = BTreeMap::new();
    for stream in calibration.streams.iter().filter(|s| matches!(s.source, Source::Repeat { .. })) {
        let share = share_of(stream, |b| matches!(b, Bin::Repeats(1)));
        let Some((share, chance)) = share.zip(profile.sketch(&stream.name).and_then(by_chance)) else {
            continue;
        };
        if share > REPEATS_TIMES * chance + REPEATS_MORE {
            by_group.entry(&stream.group).or_default().push((&stream.name, share, chance));
        }
    }
    let told = by_group.into_iter().filter_map(|(group, mut columns)| {
        columns.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let (_, most, chance) = *columns.first()?;
        let names = named(&columns.iter().map(|c| c.0).collect::<Vec<_>>());
        let how_much = format!(
            "{names}: the value of the row before in up to {}, {} by chance",
            percent(most),
            percent(chance)
        );
        let advice = "rows of one request or entity? then send `request_id` or `entity`; else it is stuck";
        Some(Oddity::new("stuck", group, how_much, advice))
    });
    told.collect()
}

/// The chance that two rows have the same value, at the most; nothing for free text.
fn by_chance(sketch: &Sketch) -> Option<f64> {
    let rows = count(sketch.presence().rows.max(1));
    let squares =
        |counts: &mut dyn Iterator<Item = u64>| counts.map(|n| (count(n) / rows).powi(2)).sum::<f64>();
    let nulls = sketch.presence().nulls;
    match sketch {
        Sketch::Numeric(n) => Some(squares(&mut n.histogram().bins().map(|b| b.count).chain([nulls]))),
        Sketch::Categories(w) => Some(squares(&mut w.words().into_values().chain([nulls, w.others()]))),
        Sketch::Lengths(_) => None,
    }
}

/// The first few names and how many more there are.
fn named(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Requests delivered twice and rows replayed.
fn again(calibration: &Calibration) -> Vec<Oddity> {
    let mut found = Vec::new();
    for stream in &calibration.streams {
        let (what, words, advice) = match stream.source {
            Source::Duplicate => (
                "duplicates",
                "delivered again",
                "they count once; is the sender's retry meant to be that busy?",
            ),
            Source::Replay => (
                "replayed",
                "with the features of a row shortly before",
                "retries without `request_id`, or a loop in the recording? then record without it",
            ),
            _ => continue,
        };
        let share = share_of(stream, |b| matches!(b, Bin::Again | Bin::SeenAgo(_)));
        if let Some(share) = share.filter(|share| *share > AGAIN_SHARE) {
            found.push(Oddity::new(
                what,
                &stream.name,
                format!("{} of rows {words}", percent(share)),
                advice,
            ));
        }
    }
    found
}

/// Features that the service itself said it did not have.
fn statuses(calibration: &Calibration) -> Vec<Oddity> {
    let present = Bin::Category(Status::Present.name().to_owned());
    let streams = calibration.streams.iter().filter(|s| matches!(s.source, Source::Status { .. }));
    let absent = |stream: &Stream| {
        let share = share_of(stream, |bin| !matches!(bin, Bin::Null) && *bin != present)?;
        (share > REPEATS_MORE).then(|| {
            let how_much = format!("the service says that it was not there in {} of rows", percent(share));
            let advice = "record while its upstream works";
            Oddity::new("absent", &stream.name, how_much, advice)
        })
    };
    streams.filter_map(absent).collect()
}

fn few_rows(calibration: &Calibration) -> Vec<Oddity> {
    let mut found = Vec::new();
    let rows = calibration.rows.min(calibration.output_rows.unwrap_or(calibration.rows));
    if rows < ROWS_FEW {
        let how_much = format!("{rows} rows counted, expected at least {ROWS_FEW}");
        found.push(Oddity::new("few_rows", "baseline", how_much, "record more: weak faults are not seen"));
    }
    if calibration.season.seasonality == Seasonality::None {
        return found;
    }
    let mut sorted: Vec<u64> = calibration.seen.iter().copied().filter(|n| *n > 0).collect();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let (mut never, mut few, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    for (hour, rows) in calibration.seen.iter().enumerate() {
        let told = hour_name(calibration.season.seasonality, hour);
        match *rows {
            0 => never.push(told),
            rows if rows < HOUR_ROWS_FEW => few.push(told),
            rows if count(rows) < GAP_SHARE * count(usual) => gaps.push(told),
            _ => {}
        }
    }
    let mut tell = |what, hours: &[String], how_much: String, advice| {
        if !hours.is_empty() {
            let names: Vec<&str> = hours.iter().map(String::as_str).collect();
            found.push(Oddity::new(what, &named(&names).replace('`', ""), how_much, advice));
        }
    };
    let all = calibration.seen.len();
    let of = |hours: &[String]| format!("{} of {all} hours", hours.len());
    let zone = &calibration.season.zone;
    let text = format!("{} without a row ({zone})", of(&never));
    tell("hour_never_seen", &never, text, "in those hours nothing is decided: record them too");
    let text = format!("{} with fewer than {HOUR_ROWS_FEW} rows ({zone})", of(&few));
    tell("hour_few_rows", &few, text, "record more cycles: weak faults are not seen in those hours");
    let text = format!("{} with less than a tenth of the usual {usual} rows ({zone})", of(&gaps));
    tell("hour_gap", &gaps, text, "did the recording stop? then record those hours again");
    found
}

fn hour_name(seasonality: Seasonality, hour: usize) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    match seasonality {
        Seasonality::HourOfWeek => {
            format!("{} {:02}h", DAYS.get(hour / 24).copied().unwrap_or("?"), hour % 24)
        }
        Seasonality::HourOfDay | Seasonality::None => format!("{hour:02}h"),
    }
}

/// Streams whose news comes in clumps, so that the promise is calibrated and no theorem.
fn clumps(calibration: &Calibration) -> Option<Oddity> {
    let clumped: Vec<(String, f64)> =
        calibration.clumped().into_iter().filter(|(name, _)| !calibration.unlike.contains(name)).collect();
    let (_, most) = clumped.first()?;
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &clumped {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let how_much = format!(
        "{} of {} streams: rows depend on each other, {most:.1} of them are worth one",
        clumped.len(),
        whole(calibration.streams.len())
    );
    let advice =
        "send `request_id` and `entity` if rows belong together; the promise is calibrated, not proven";
    Some(Oddity::new("clumped", &named(&names).replace('`', ""), how_much, advice))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::Options;
    use super::super::hours::Season;
    use super::*;
    use crate::baseline::Budget;
    use crate::record::{BatchBuilder, Column, Kind, Role, Schema};
    use crate::units::PerSecond;

    /// The monitor of rows made by number, their profile, and the season that they are said to have.
    fn monitor(rows: u64, more: impl Fn(u64) -> serde_json::Value) -> (Monitor, Profile) {
        let column = |name: &str| Column::plain(name, Role::Input, Kind::Numeric, "g");
        let columns = vec![column("a"), column("b")];
        let schema = Arc::new(Schema::new("m".into(), None, columns).unwrap());
        let mut builder = BatchBuilder::new(Arc::clone(&schema));
        for i in 0..rows {
            let mut line = more(i);
            line["ts"] = serde_json::json!(10 * i);
            line["model"] = serde_json::json!("m");
            builder.push(&serde_json::from_value(line).unwrap());
        }
        let (batch, _) = builder.finish().unwrap();
        let season = Season { seasonality: Seasonality::HourOfDay, zone: "UTC".into() };
        let fitted = Calibration::fit(&batch, season);
        let mut profile = Profile::new(Arc::clone(&schema));
        profile.observe(&batch).unwrap();
        let mut calibration = fitted.unwrap();
        calibration.seen = vec![5_000; 24];
        let options = Options {
            budget: Budget::DEFAULT,
            rate: PerSecond::of(100),
            without: std::collections::BTreeSet::new(),
        };
        (Monitor::new(schema, calibration, options).unwrap(), profile)
    }

    fn features(i: u64) -> serde_json::Value {
        let mut random = StdRng::seed_from_u64(i);
        let mut next = || random.random_range(1..1_000_000);
        serde_json::json!({"features": {"a": next(), "b": next()}})
    }

    fn check((mut monitor, profile): (Monitor, Profile), hours: &[(usize, u64)], expected: &[&str]) {
        for (hour, rows) in hours {
            monitor.calibration.seen[*hour] = *rows;
        }
        let found = monitor.oddities(&profile);
        let words: Vec<&str> = found.iter().map(|o| o.what).collect();
        assert_eq!(words, expected, "{found:?}");
    }

    /// Hours without rows, with few and with far fewer than usual are three things.
    #[test]
    fn hours_are_looked_at() {
        check(monitor(4_000, features), &[], &[]);
        check(
            monitor(4_000, features),
            &[(3, 0), (4, 299), (5, 499)],
            &["hour_never_seen", "hour_few_rows", "hour_gap"],
        );
    }

    /// A column that stands still, and rows that come again, with a request's name and without.
    #[test]
    fn repeats_are_looked_at() {
        let stuck = |i: u64| {
            let mut line = features(i);
            line["features"]["a"] = serde_json::json!(1 + i / 4);
            line
        };
        check(monitor(4_000, stuck), &[], &["stuck", "clumped"]);
        check(monitor(4_000, |i| features(i / 2)), &[], &["stuck", "replayed", "clumped"]);
        let again = |i: u64| {
            let mut line = features(i / 2);
            line["request_id"] = serde_json::json!(format!("r{}", i / 2));
            line
        };
        check(monitor(8_000, again), &[], &["duplicates"]);
    }

    /// A service that often lacked its features says so.
    #[test]
    fn absent_features_are_told() {
        let absent = |i: u64| {
            let mut line = features(i);
            let status = if i.is_multiple_of(10) { "default" } else { "present" };
            line["feature_status"] = serde_json::json!({"a": status});
            line
        };
        check(monitor(4_000, absent), &[], &["absent"]);
    }
}
