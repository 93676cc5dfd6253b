use std::fmt::Write;

use super::Baseline;
use super::summary::{ColumnSummary, NumberSummary, RangeSummary, ValueSummary, WordSummary, summaries};
use crate::record::{Kind, Role};
use crate::units::Ratio;

/// A baseline as text for people: where it comes from, its budget, and each column by group.
#[must_use]
pub fn describe(baseline: &Baseline) -> String {
    let mut text = header(baseline);
    let columns = summaries(baseline);
    let mut groups: Vec<&str> = Vec::new();
    for column in &columns {
        if !groups.contains(&column.group) {
            groups.push(column.group);
        }
    }
    let width = baseline.schema().columns.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    for group in groups {
        line(&mut text, format_args!("\n{group}"));
        for column in columns.iter().filter(|c| c.group == group) {
            let (name, values, absent) = (column.name, values(&column.values), absent(column));
            line(&mut text, format_args!("  {name:<width$}  {}  {values}; {absent}", what(column)));
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

fn what(column: &ColumnSummary<'_>) -> String {
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
        Kind::Embedding => "embedding",
    };
    format!("{role:<6} {kind:<11}")
}

fn values(values: &ValueSummary<'_>) -> String {
    match values {
        ValueSummary::Numbers(numeric) => numbers(numeric),
        ValueSummary::Words(told) => words(told),
        ValueSummary::Characters(lengths) => format!("characters {}", range(lengths.as_ref())),
    }
}

fn range(told: Option<&RangeSummary>) -> String {
    let Some(told) = told else { return "no finite number".to_owned() };
    let quantiles: Vec<String> = [("p1", told.p1), ("p50", told.p50), ("p99", told.p99)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", short(value?))))
        .collect();
    format!("{} to {} ({})", digits(told.min, 9), digits(told.max, 9), quantiles.join(", "))
}

fn numbers(told: &NumberSummary) -> String {
    let mut text = format!("{}; zero {}", range(told.range.as_ref()), percent(told.zero_share));
    for (what, share) in [("NaN", told.nan_share), ("infinite", told.infinite_share)] {
        if is_any(share) {
            let _ = write!(text, ", {what} {}", percent(share));
        }
    }
    text
}

fn words(told: &WordSummary<'_>) -> String {
    if told.kept == 0 && !is_any(told.not_kept_share) {
        return "no value".to_owned();
    }
    let shown: Vec<String> =
        told.top.iter().map(|top| format!("{:?} {}", top.word, percent(top.share))).collect();
    let more = told.kept.saturating_sub(told.top.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let others = if is_any(told.not_kept_share) {
        format!(", values not kept {}", percent(told.not_kept_share))
    } else {
        String::new()
    };
    format!("{}{rest}{others}", shown.join(", "))
}

fn absent(column: &ColumnSummary<'_>) -> String {
    let mut text = format!("null {}", percent(column.null_share));
    if is_any(column.wrong_type_share) {
        let _ = write!(text, ", other type {}", percent(column.wrong_type_share));
    }
    text
}

fn is_any(share: Option<Ratio>) -> bool {
    share.is_some_and(|share| share.get() > 0.0)
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
