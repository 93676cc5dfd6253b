//! Names that mean the same in every file, and names that are nearly right.

use super::Role;

/// A longer name is cut where it is kept: senders make names up, and a line may be one name.
pub const NAME_CHARS_MAX: usize = 64;

/// The start of a name, under which it is kept. Names that start alike share what is counted of them.
#[must_use]
pub fn cut_name(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_CHARS_MAX).map_or(name.len(), |(end, _)| end);
    name.get(..end).unwrap_or(name)
}

/// Fixed names of what is known about a row beside its features and answers.
const META: [&str; 16] = [
    "ts",
    "request_id",
    "label",
    "model",
    "version",
    "status",
    "latency_ms",
    "arm",
    "hop",
    "source",
    "seq",
    "row",
    "entity",
    "model_hash",
    "truncated",
    "sampling",
];

/// Suffixes of the columns that carry a feature's status and time.
pub(super) const STATUS_SUFFIX: &str = "__status";
pub(super) const TIME_SUFFIX: &str = "__ts";

/// Prefixes of the columns that carry dimensions; the first is that of a dimension's tag.
pub(super) const DIM_PREFIX: &str = "dims.";
const DIM_PREFIX_WITHOUT_DOT: &str = "dims__";

/// The dimension that a column carries by its name.
pub(super) fn dim_of(name: &str) -> Option<&str> {
    let dim = name.strip_prefix(DIM_PREFIX).or_else(|| name.strip_prefix(DIM_PREFIX_WITHOUT_DOT));
    dim.filter(|dim| !dim.is_empty())
}

/// The role that a name has by itself.
pub(super) fn role_of(name: &str) -> Role {
    let of_feature = name.ends_with(STATUS_SUFFIX) || name.ends_with(TIME_SUFFIX);
    if META.contains(&name) || of_feature || dim_of(name).is_some() {
        Role::Meta
    } else if matches!(name, "prediction" | "score") || name.starts_with("prob_") {
        Role::Output
    } else {
        Role::Input
    }
}

/// Whether a name belongs to no column and is fixed, so that only its spelling in files may change.
pub(super) fn is_fixed(name: &str) -> bool {
    META.contains(&name)
}

/// Names offered in a message.
const NEAREST_MAX: usize = 3;

/// What to say about the names that come nearest to one that is not there.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut by_distance: Vec<_> = known.map(|other| (distance(name, other), other)).collect();
    by_distance.sort_unstable();
    let close: Vec<_> = by_distance.iter().take(NEAREST_MAX).map(|(_, other)| format!("`{other}`")).collect();
    if close.is_empty() { "it has none".to_owned() } else { format!("nearest: {}", close.join(", ")) }
}

/// Edits between two names, case aside (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((y, substitute), delete) in b.chars().zip(&row).zip(row.iter().skip(1)) {
            let insert = next.last().map_or(i + 1, |left| left + 1);
            next.push(insert.min(delete + 1).min(substitute + usize::from(x != y)));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The misspelled name finds the right one, first.
    #[test]
    fn nearest_names() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
        let text = nearest("hours_per_weak", ["age", "hours_per_week", "sex", "fnlwgt"].into_iter());
        assert!(text.starts_with("nearest: `hours_per_week`"), "{text}");
    }

    /// Names alone tell features from answers and from what is carried along.
    #[test]
    fn roles_by_name() {
        for (name, role) in [
            ("age", Role::Input),
            ("prob_1", Role::Output),
            ("prediction", Role::Output),
            ("ts", Role::Meta),
            ("age__status", Role::Meta),
            ("age__ts", Role::Meta),
            ("label", Role::Meta),
            ("entity", Role::Meta),
            ("dims.replica", Role::Meta),
            ("dims__replica", Role::Meta),
            ("dims", Role::Input),
        ] {
            assert_eq!(role_of(name), role, "{name}");
        }
    }
}
