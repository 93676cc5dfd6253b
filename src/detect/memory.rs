//! A bounded memory of what was seen lately.

use crate::units::whole;

/// When a key was last seen and what came with it: one place per hash, the newer key wins.
///
/// A key is forgotten when another takes its place, as often in the baseline as later.
#[derive(Debug, Clone)]
pub(super) struct Recency {
    /// Key, what came with it, and the row, counted from 1; 0 is empty.
    places: Vec<(u64, u64, u64)>,
}

impl Recency {
    /// A memory of about so many keys.
    pub(super) fn new(places: u64) -> Self {
        let places = usize::try_from(places.next_power_of_two()).unwrap_or(1);
        Self { places: vec![(0, 0, 0); places] }
    }

    /// Remembers a key with a value at a row; tells what came with it before and how many rows ago.
    pub(super) fn see(&mut self, key: u64, value: u64, row: u64) -> Option<(u64, u64)> {
        let mask = whole(self.places.len()).wrapping_sub(1);
        let place = self.places.get_mut(usize::try_from(key & mask).unwrap_or(0))?;
        let (known, before, at) = *place;
        *place = (key, value, row + 1);
        (known == key && at > 0).then(|| (before, (row + 1).saturating_sub(at)))
    }

    pub(super) fn forget(&mut self) {
        self.places.iter_mut().for_each(|place| *place = (0, 0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was seen is known with its age; what was not, or was displaced, is not.
    #[test]
    fn remembers_the_latest() {
        let mut memory = Recency::new(4);
        assert_eq!(memory.see(1, 7, 0), None);
        assert_eq!(memory.see(1, 8, 5), Some((7, 5)));
        assert_eq!(memory.see(5, 0, 6), None, "takes the place of 1");
        assert_eq!(memory.see(1, 9, 7), None);
        memory.forget();
        assert_eq!(memory.see(1, 9, 8), None);
    }
}
