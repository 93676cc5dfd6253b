use std::num::NonZeroUsize;

use super::{Dir, Error};

/// Between a file's name and its version; six digits or more follow.
const MARK: &str = ".v";

impl Dir {
    /// Writes the next version of a file and removes the oldest beyond `keep`.
    ///
    /// Gives the version's number: 1 for the first, and never one that was used before among
    /// those still kept.
    ///
    /// # Errors
    /// As [`Dir::write`]; what was kept before is then untouched.
    pub fn write_version(&self, name: &str, bytes: &[u8], keep: NonZeroUsize) -> Result<u64, Error> {
        let mut versions = self.versions(name)?;
        let next = versions.last().map_or(1, |last| last.saturating_add(1));
        self.write(&file_of(name, next), bytes)?;
        versions.push(next);
        let surplus = versions.len().saturating_sub(keep.get());
        for old in versions.iter().take(surplus) {
            self.remove(&file_of(name, *old))?;
        }
        Ok(next)
    }

    /// The kept versions of a file, oldest first.
    ///
    /// # Errors
    /// As [`Dir::list`].
    pub fn versions(&self, name: &str) -> Result<Vec<u64>, Error> {
        let number = |file: &String| -> Option<u64> {
            file.strip_prefix(name)?.strip_prefix(MARK)?.parse().ok().filter(|v| file_of(name, *v) == *file)
        };
        let mut versions: Vec<u64> = self.list()?.iter().filter_map(number).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// One version's bytes, or nothing when it is not kept.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn read_version(&self, name: &str, version: u64, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        self.read(&file_of(name, version), bytes_max)
    }
}

fn file_of(name: &str, version: u64) -> String {
    format!("{name}{MARK}{version:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The newest stay, in order, and a name that starts with another's is a file of its own.
    #[test]
    fn the_newest_versions_are_kept() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let keep = NonZeroUsize::new(2).unwrap();
        dir.write("wine.vat", b"not a version").unwrap();
        dir.write_version("wine.v1", b"another file", keep).unwrap();
        for content in [b"1", b"2", b"3"] {
            dir.write_version("wine", content, keep).unwrap();
        }
        assert_eq!(dir.versions("wine").unwrap(), [2, 3]);
        assert_eq!(dir.read_version("wine", 3, 10).unwrap().unwrap(), b"3");
        assert_eq!(dir.read_version("wine", 1, 10).unwrap(), None);
        assert_eq!(dir.versions("wine.v1").unwrap(), [1]);
        assert!(matches!(dir.write_version("../wine", b"", keep), Err(Error::Name(_))));
    }
}
