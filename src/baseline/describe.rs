use std::fmt::Write;

use super::Baseline;
use crate::record::{Column, Kind, Role};
use crate::sketch::{Categories, Numeric, Presence, Sketch};
use crate::units::Ratio;

/// Words of a column that are shown.
const TOP: usize = 5;

/// A baseline as text for people: where it comes from, its budget, and each column by group.
#[must_use]
pub fn describe(baseline: &Baseline) -> String {
    let mut text = header(baseline);
    let mut groups: Vec<&str> = Vec::new();
    for (column, _) in baseline.profile().columns() {
        if !groups.contains(&column.group.as_str()) {
            groups.push(&column.group);
        }
    }
    let width = baseline.schema().columns.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    for group in groups {
        line(&mut text, format_args!("\n{group}"));
        for (column, sketch) in baseline.profile().columns().filter(|(c, _)| c.group == group) {
            let name = &column.name;
            line(&mut text, format_args!("  {name:<width$}  {}  {}", what(column), summary(sketch)));
        }
    }
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

fn header(baseline: &Baseline) -> String {
    let provenance = baseline.provenance();
    let version = baseline.schema().version.as_deref().map_or_else(String::new, |v| format!(", version {v}"));
    let mut text = String::new();
    let t = &mut text;
    line(t, format_args!("baseline {} of model {}{version}", baseline.name(), baseline.model()));
    line(t, format_args!("  source       {}", provenance.source));
    if let Some(sha256) = &provenance.sha256 {
        line(t, format_args!("  sha256       {sha256}"));
    }
    line(
        t,
        format_args!("  rows         {}, from {} to {}", provenance.rows, provenance.from, provenance.to),
    );
    line(t, format_args!("  built        {} by {}", provenance.built_at, provenance.built_by));
    line(t, format_args!("  seasonality  {}", baseline.seasonality()));
    line(t, format_args!("  rate         {} rows a second", short(baseline.rate().get())));
    let between = match baseline.budget().rows(baseline.rate()) {
        Some(rows) => format!("at most one false alarm in {} rows on average", short(rows)),
        None => "no rate: the rows between false alarms are unknown".to_owned(),
    };
    line(t, format_args!("  budget       {}: {between}", baseline.budget()));
    line(t, format_args!("  hash         {}", baseline.content_hash()));
    text
}

fn what(column: &Column) -> String {
    let role = match column.role {
        Role::Input => "input",
        Role::Output => "output",
        Role::Meta => "meta",
    };
    let kind = match column.kind {
        Kind::Numeric => "numeric",
        Kind::Categorical => "categorical",
        Kind::Boolean => "boolean",
        Kind::Text => "text",
    };
    format!("{role:<6} {kind:<11}")
}

fn summary(sketch: &Sketch) -> String {
    let (body, presence) = match sketch {
        Sketch::Numeric(numeric) => (numbers(numeric), numeric.presence()),
        Sketch::Categories(categories) => (words(categories), categories.presence()),
        Sketch::Lengths(lengths) => (format!("characters {}", range(lengths)), lengths.presence()),
    };
    format!("{body}; {}", absent(presence))
}

fn range(numeric: &Numeric) -> String {
    let Some((low, high)) = numeric.range() else { return "no finite number".to_owned() };
    let quantiles: Vec<String> = [("p1", 0.01), ("p50", 0.5), ("p99", 0.99)]
        .into_iter()
        .filter_map(|(name, q)| Some(format!("{name} {}", short(numeric.quantile(q)?))))
        .collect();
    format!("{} to {} ({})", digits(low, 9), digits(high, 9), quantiles.join(", "))
}

fn numbers(numeric: &Numeric) -> String {
    let mut text = format!("{}; zero {}", range(numeric), percent(numeric.zero_share()));
    if numeric.nans() > 0 {
        let _ = write!(text, ", NaN {}", percent(numeric.nan_share()));
    }
    if numeric.infinite() > 0 {
        let _ =
            write!(text, ", infinite {}", percent(Ratio::of(numeric.infinite(), numeric.presence().rows)));
    }
    text
}

fn words(categories: &Categories) -> String {
    if categories.is_empty() {
        return "no value".to_owned();
    }
    let rows = categories.presence().rows;
    let top = categories.top(TOP);
    let shown: Vec<String> =
        top.iter().map(|(word, n)| format!("{word:?} {}", percent(Ratio::of(*n, rows)))).collect();
    let more = categories.len().saturating_sub(top.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let others = match categories.others() {
        0 => String::new(),
        n => format!(", values not kept {}", percent(Ratio::of(n, rows))),
    };
    format!("{}{rest}{others}", shown.join(", "))
}

fn absent(presence: &Presence) -> String {
    let mut text = format!("null {}", percent(presence.null_share()));
    if presence.wrong_type > 0 {
        let _ = write!(text, ", other type {}", percent(presence.wrong_type_share()));
    }
    text
}

pub(super) fn percent(share: Option<Ratio>) -> String {
    match share.map(Ratio::get) {
        None => "unknown".to_owned(),
        Some(share) if share > 0.0 && share < 0.00005 => "< 0.01 %".to_owned(),
        Some(share) => format!("{:.2} %", share * 100.0),
    }
}

/// Five significant digits: quantiles and rates are not known better.
pub(super) fn short(value: f64) -> String {
    digits(value, 5)
}

/// A number without the noise behind its first `significant` digits.
fn digits(value: f64, significant: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let plain = (1e-4..1e7).contains(&value.abs());
    let rounded: f64 = format!("{value:.*e}", significant.saturating_sub(1)).parse().unwrap_or(value);
    if plain { rounded.to_string() } else { format!("{rounded:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page names its source, its budget and every column under its group.
    #[test]
    fn the_page() {
        let text = describe(&Baseline::seal(super::super::file::tests::draft(1_000)).unwrap());
        insta::assert_snapshot!(text);
    }

    /// Numbers are short and never lose their size.
    #[test]
    fn short_numbers() {
        for (value, expected) in
            [(0.30000000000000004, "0.3"), (-12.5, "-12.5"), (2.592e8, "2.592e8"), (1e-9, "1e-9"), (0.0, "0")]
        {
            assert_eq!(short(value), expected);
        }
        assert_eq!(digits(1_226_583.0, 9), "1226583");
        assert_eq!(percent(None), "unknown");
    }
}
