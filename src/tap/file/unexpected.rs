use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// More names than this are not kept.
const NAMES_MAX: usize = 64;
/// What stands for those that are not.
const OTHERS: &str = "(others)";

/// Names that a file has and a schema does not.
#[derive(Debug, Default)]
pub(super) struct Unexpected(Mutex<BTreeSet<String>>);

impl Unexpected {
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn add<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            let is_room = kept.len() < NAMES_MAX || kept.contains(name);
            kept.insert(if is_room { name } else { OTHERS }.to_owned());
        }
    }

    /// Sorted; last, as `(others)`, those beyond the bound.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let others = names.take(OTHERS);
        names.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are kept once, in order, up to a bound that is told.
    #[test]
    fn names_are_bounded() {
        let unexpected = Unexpected::default();
        unexpected.add(["b", OTHERS, "a", "b"]);
        assert_eq!(unexpected.names(), ["a", "b", OTHERS]);
        let many: Vec<String> = (0..1_000).map(|i| format!("c{i}")).collect();
        unexpected.add(many.iter().map(String::as_str));
        let names = unexpected.names();
        assert_eq!((names.len(), names.last().map(String::as_str)), (NAMES_MAX, Some(OTHERS)));
        unexpected.clear();
        unexpected.add(many.iter().map(String::as_str));
        let names = unexpected.names();
        assert_eq!((names.len(), names.last().map(String::as_str)), (NAMES_MAX + 1, Some(OTHERS)));
    }
}
