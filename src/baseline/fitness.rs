//! What in a baseline looks like a fault already, as far as its profile tells.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::Baseline;
use super::describe::{percent, short};
use crate::record::Column;
use crate::sketch::{Categories, Numeric, Sketch};
use crate::units::Ratio;

/// Nulls in more rows than this are worth a look.
const NULL_SHARE_MAX: f64 = 0.2;
/// Columns of fewer different values than this are alike by chance.
const DISTINCT_MIN: usize = 3;
/// Numbers that stand for "nothing" where they lie apart from all others.
const SENTINELS: [f64; 16] = [
    -1.0,
    -9.0,
    -99.0,
    -999.0,
    -9_999.0,
    -99_999.0,
    -999_999.0,
    99.0,
    999.0,
    9_999.0,
    99_999.0,
    999_999.0,
    2_147_483_647.0,
    -2_147_483_648.0,
    4_294_967_295.0,
    -32_768.0,
];
/// Beyond this a number is no measurement of anything.
const HUGE: f64 = 1e18;
/// A sentinel is at least this many times as far from zero as the next value.
const APART: f64 = 2.0;
/// Zero is a value like others where the others come closer to it than this part of their largest.
const NEAR_ZERO: f64 = 0.1;
/// Words that stand for "nothing".
const EMPTY_WORDS: [&str; 8] = ["", "nan", "null", "none", "n/a", "na", "unknown", "undefined"];

/// One thing in a baseline that looks like a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Oddity {
    /// What it is, as one word that never changes.
    pub what: &'static str,
    /// The column, group or hour.
    #[serde(rename = "where")]
    pub place: String,
    /// How much of it there is.
    pub how_much: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Oddity {
    /// One of a kind at a place.
    #[must_use]
    pub fn new(what: &'static str, place: &str, how_much: String, advice: &'static str) -> Self {
        Self { what, place: place.to_owned(), how_much, advice }
    }
}

/// What the profile shows: values, not time.
#[must_use]
pub fn oddities(baseline: &Baseline) -> Vec<Oddity> {
    let mut found = Vec::new();
    for (column, sketch) in baseline.profile().columns() {
        let name = &column.name;
        found.extend(constant(name, sketch).filter(|_| !is_of_one_length(column, sketch)));
        if column.is_projection() {
            // What is missing of a vector is told of the vector.
            continue;
        }
        found.extend(missing(name, sketch));
        match sketch {
            Sketch::Numeric(numbers) => found.extend(placeholders(name, numbers)),
            Sketch::Categories(words) => found.extend(empty_words(name, words)),
            Sketch::Lengths(_) => {}
        }
    }
    found.extend(twins(baseline));
    found
}

/// Whether a column holds vectors that an encoder made equally long, as many do.
fn is_of_one_length(column: &Column, sketch: &Sketch) -> bool {
    let is_zero = |numbers: &Numeric| numbers.range().is_none_or(|(low, _)| low == 0.0);
    column.dimension().is_some() && !matches!(sketch, Sketch::Numeric(numbers) if is_zero(numbers))
}

/// One value in every row that has any. Free text is never kept, so nobody knows of it.
fn constant(name: &str, sketch: &Sketch) -> Option<Oddity> {
    let value = match sketch {
        Sketch::Numeric(numbers) => {
            let (low, high) = numbers.range()?;
            let all = numbers.nans() == 0 && numbers.infinite() == 0;
            (low.total_cmp(&high).is_eq() && all).then(|| short(low))?
        }
        Sketch::Categories(words) => match words.top(2).as_slice() {
            [(word, _)] if words.is_complete() => format!("{word:?}"),
            _ => return None,
        },
        Sketch::Lengths(_) => return None,
    };
    let advice = "record while its upstream works, or put it under `ignore` in the schema file";
    Some(Oddity::new("constant", name, format!("{value} in every row"), advice))
}

fn missing(name: &str, sketch: &Sketch) -> Vec<Oddity> {
    let presence = sketch.presence();
    let mut found = Vec::new();
    if presence.null_share().is_some_and(|share| share.get() > NULL_SHARE_MAX) {
        let how_much = format!("null in {} of rows", percent(presence.null_share()));
        let advice = "is that healthy? a fault that makes it null is seen only beyond this share";
        found.push(Oddity::new("nulls", name, how_much, advice));
    }
    let mut count = |what, n: u64, words: &str, advice| {
        if n > 0 {
            let how_much = format!("{words} in {} of rows", percent(Ratio::of(n, presence.rows)));
            found.push(Oddity::new(what, name, how_much, advice));
        }
    };
    let retype = "state its kind in the schema file, or repair what writes it";
    count("wrong_type", presence.wrong_type, "a value of another type", retype);
    if let Sketch::Numeric(numbers) = sketch {
        let repair = "no model expects that: repair its source and record again";
        count("not_a_number", numbers.nans(), "NaN", repair);
        count("infinite", numbers.infinite(), "an infinite number", repair);
    }
    found
}

/// Zeros and sentinels that lie apart from all other values.
fn placeholders(name: &str, numbers: &Numeric) -> Vec<Oddity> {
    let rows = numbers.presence().rows;
    let bins: Vec<_> = numbers.histogram().bins().collect();
    let mut found = Vec::new();
    for (index, bin) in bins.iter().enumerate() {
        let Some(value) = bin.atom.filter(|_| bins.len() >= DISTINCT_MIN) else { continue };
        let others = || bins.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, b)| b.representative);
        let how_much = || format!("{} in {} of rows", short(value), percent(Ratio::of(bin.count, rows)));
        if value == 0.0 && zero_is_apart(others()) {
            let advice =
                "no other value is near it: if it stands for a failed read, record without those rows";
            found.push(Oddity::new("zeros", name, how_much(), advice));
        } else if is_sentinel(value, others()) {
            let advice = "it seems to stand for nothing: send null instead, or declare it as `default`";
            found.push(Oddity::new("sentinel", name, how_much(), advice));
        }
    }
    found
}

fn zero_is_apart(others: impl Iterator<Item = f64> + Clone) -> bool {
    let one_sided = others.clone().all(|v| v > 0.0) || others.clone().all(|v| v < 0.0);
    let sizes = || others.clone().map(f64::abs);
    let least = sizes().reduce(|a, b| if b < a { b } else { a });
    let most = sizes().reduce(|a, b| if b > a { b } else { a });
    one_sided && least.zip(most).is_some_and(|(least, most)| least >= NEAR_ZERO * most)
}

fn is_sentinel(value: f64, others: impl Iterator<Item = f64> + Clone) -> bool {
    if value.abs() >= HUGE {
        return true;
    }
    let is_known = SENTINELS.iter().any(|s| s.total_cmp(&value).is_eq());
    // Minus one among counts and the like: no other value is below zero.
    let only_negative = value < 0.0 && others.clone().all(|v| v >= 0.0);
    let same_side = others.filter(|v| v.is_sign_negative() == value.is_sign_negative());
    let far = same_side.map(f64::abs).all(|size| size * APART <= value.abs());
    is_known && (only_negative || (value.abs() > 9.0 && far))
}

fn empty_words(name: &str, words: &Categories) -> Vec<Oddity> {
    let rows = words.presence().rows;
    let stands_for_nothing = |word: &str| EMPTY_WORDS.contains(&word.trim().to_lowercase().as_str());
    let found = words.words().into_iter().filter(|(word, _)| stands_for_nothing(word));
    found
        .map(|(word, n)| {
            let how_much = format!("{word:?} in {} of rows", percent(Ratio::of(n, rows)));
            let advice = "it seems to stand for nothing: send null instead, or declare it as `default`";
            Oddity::new("sentinel", name, how_much, advice)
        })
        .collect()
}

/// Columns with the same counts in every bin: the same values, by all that is known.
fn twins(baseline: &Baseline) -> Vec<Oddity> {
    let mut by_counts: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (column, sketch) in baseline.profile().columns() {
        if let Some(print) = fingerprint(sketch) {
            by_counts.entry(print).or_default().push(&column.name);
        }
    }
    let mut found = Vec::new();
    for names in by_counts.values().filter(|names| names.len() > 1) {
        let Some((first, others)) = names.split_first() else { continue };
        let how_much = format!("the same counts as `{}`", others.join("`, `"));
        let advice = "if they are meant to differ, one is written into the other's place";
        found.push(Oddity::new("identical", first, how_much, advice));
    }
    found
}

/// A hash of all counts; nothing for columns that are alike by chance.
fn fingerprint(sketch: &Sketch) -> Option<u64> {
    let mut hash = DefaultHasher::new();
    let distinct = match sketch {
        Sketch::Numeric(numbers) => {
            for bin in numbers.histogram().bins() {
                (bin.id, bin.count, bin.representative.to_bits()).hash(&mut hash);
            }
            numbers.histogram().len()
        }
        Sketch::Categories(words) => {
            words.words().hash(&mut hash);
            words.len()
        }
        Sketch::Lengths(_) => return None,
    };
    sketch.presence().nulls.hash(&mut hash);
    (distinct >= DISTINCT_MIN).then(|| hash.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::baseline::file::tests::draft;
    use crate::profile::Profile;
    use crate::record::{BatchBuilder, Kind, Record, Role, Schema};

    /// The oddities of one column of these values, beside a sound one.
    fn of(values: &[Value], kind: Kind) -> Vec<String> {
        let column = |name: &str, kind| Column::plain(name, Role::Input, kind, "request");
        let mut columns = vec![column("x", kind), column("sound", Kind::Numeric)];
        if kind == Kind::Embedding {
            columns.splice(..1, column("x", kind).embedding(2));
        }
        let schema = std::sync::Arc::new(Schema::new("m".into(), None, columns).unwrap());
        let mut rows = BatchBuilder::new(std::sync::Arc::clone(&schema));
        for (value, i) in values.iter().zip(0..) {
            let line = json!({"ts": i, "model": "m", "features": {"x": value, "sound": f64::from(i) + 0.25}});
            rows.push(&serde_json::from_value::<Record>(line).unwrap());
        }
        let mut profile = Profile::new(schema);
        profile.observe(&rows.finish().unwrap().0).unwrap();
        let baseline = Baseline::seal(super::super::Draft { profile, ..draft(10) }).unwrap();
        oddities(&baseline).into_iter().map(|o| format!("{} {}: {}", o.what, o.place, o.how_much)).collect()
    }

    fn numbers(extra: &[f64], of_range: impl Iterator<Item = u32>) -> Vec<Value> {
        of_range.map(|n| json!(n)).chain(extra.iter().map(|v| json!(v))).collect()
    }

    fn check(values: &[Value], kind: Kind, expected: &[&str]) {
        assert_eq!(of(values, kind), expected);
    }

    /// Each kind of leftover of a fault is named with its share.
    #[test]
    fn what_looks_like_a_fault_is_named() {
        use Kind::{Categorical, Numeric};
        check(&numbers(&[0.0; 100], 0..0), Numeric, &["constant x: 0 in every row"]);
        check(&numbers(&[-999.0], 1..100), Numeric, &["sentinel x: -999 in 1.00 % of rows"]);
        check(&numbers(&[-1.0], 0..99), Numeric, &["sentinel x: -1 in 1.00 % of rows"]);
        check(&numbers(&[9_999.0], 1..100), Numeric, &["sentinel x: 9999 in 1.00 % of rows"]);
        check(&numbers(&[1e20], 1..100), Numeric, &["sentinel x: 1e20 in 1.00 % of rows"]);
        check(&numbers(&[0.0], 18..77), Numeric, &["zeros x: 0 in 1.67 % of rows"]);
        let nulls: Vec<Value> = (0..100).map(|i| if i % 3 == 0 { Value::Null } else { json!(i) }).collect();
        check(&nulls, Numeric, &["nulls x: null in 34.00 % of rows"]);
        let words: Vec<Value> = (0..100).map(|i| json!(["a", "b", "c", "N/A"][i % 4])).collect();
        check(&words, Categorical, &["sentinel x: \"N/A\" in 25.00 % of rows"]);
        let mixed: Vec<Value> = (0..100).map(|i| if i == 7 { json!("seven") } else { json!(i) }).collect();
        check(&mixed, Numeric, &["wrong_type x: a value of another type in 1.00 % of rows"]);
        let same: Vec<Value> = (0..100).map(|i| json!(f64::from(i) + 0.25)).collect();
        check(&same, Numeric, &["identical x: the same counts as `sound`"]);
    }

    /// A vector's leftovers are told once, and that all are one long is none; that all are the same is.
    #[test]
    fn vectors() {
        let rows = |of: &dyn Fn(f64) -> Value| (0..100).map(|i| of(f64::from(i))).collect::<Vec<_>>();
        let turning = |i: f64| json!([i.cos(), i.sin()]);
        let same = of(&rows(&|_| json!([1, 2])), Kind::Embedding);
        assert_eq!(same.iter().filter(|o| o.starts_with("constant x.p")).count(), 8, "{same:?}");
        let one_long = of(&rows(&turning), Kind::Embedding);
        assert!(one_long.iter().all(|o| !o.starts_with("constant")), "{one_long:?}");
        let gaps = of(&rows(&|i| if i < 30.0 { Value::Null } else { turning(i) }), Kind::Embedding);
        let nulls: Vec<&String> = gaps.iter().filter(|o| o.starts_with("nulls")).collect();
        assert_eq!(nulls, ["nulls x: null in 30.00 % of rows"]);
    }

    /// Values that only look unusual are left alone.
    #[test]
    fn sound_columns_are_left_alone() {
        use Kind::{Boolean, Categorical, Numeric};
        check(&numbers(&[], 0..100), Numeric, &[]);
        check(&numbers(&[-1.0, -2.0], 0..99), Numeric, &[]);
        check(&numbers(&[9_999.0], 9_900..9_999), Numeric, &[]);
        check(&numbers(&[0.0], 1..100), Numeric, &[]);
        check(&numbers(&[], (0..100).map(|i| i % 2)), Numeric, &[]);
        check(&(0..100).map(|i| json!(i % 3 == 0)).collect::<Vec<_>>(), Boolean, &[]);
        let cities: Vec<Value> = (0..100).map(|i| json!(["Rome", "Oslo", "Nanning"][i % 3])).collect();
        check(&cities, Categorical, &[]);
    }
}
