use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Error;

/// The longest name of a file, in bytes; a version's number fits behind it.
pub const NAME_BYTES_MAX: usize = 160;
/// The most entries that one folder may hold.
const ENTRIES_MAX: usize = 100_000;
/// What the names of unfinished files start with; no name that a caller may give does.
const UNFINISHED: &str = ".unfinished-";

/// A folder whose files are replaced as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Opens a folder, makes it when it is missing, and clears what a crash left unfinished.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made or read, [`Error::TooMany`] when it is overfull.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = Self { path: path.into() };
        fs::create_dir_all(&dir.path).map_err(io("make", &dir.path))?;
        for name in dir.entries()?.iter().filter(|n| n.starts_with(UNFINISHED)) {
            let path = dir.path.join(name);
            fs::remove_file(&path).map_err(io("remove", &path))?;
        }
        Ok(dir)
    }

    /// Opens a folder that others write into at the same time: what they have not finished stays.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made.
    pub fn shared(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = Self { path: path.into() };
        fs::create_dir_all(&dir.path).map_err(io("make", &dir.path))?;
        Ok(dir)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder within this one.
    ///
    /// # Errors
    /// [`Error::Name`], else those of [`Dir::open`].
    pub fn dir(&self, name: &str) -> Result<Self, Error> {
        Self::open(self.file(name)?)
    }

    /// Replaces a file: whoever reads it, even after a crash, finds the old content or the new.
    ///
    /// # Errors
    /// [`Error::Name`], or [`Error::Io`]; the old content is then untouched.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.replace(name, None, bytes)
    }

    fn replace(&self, name: &str, permissions: Option<Permissions>, bytes: &[u8]) -> Result<(), Error> {
        let path = self.file(name)?;
        let file = unfinished((&self.path, &path), permissions, bytes)?;
        file.persist(&path).map_err(|e| io("replace", &path)(e.error))?;
        self.sync()
    }

    /// The same, for its owner's eyes only: request ids, answers and labels are of people.
    ///
    /// # Errors
    /// Those of [`Dir::write`].
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.replace(name, owners_only(), bytes)
    }

    /// A file's bytes, or nothing when there is no such file.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::TooLarge`] or [`Error::Io`].
    pub fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.file(name)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("open", &path)(error)),
        };
        let bytes = file.metadata().map_err(io("look at", &path))?.len();
        if bytes > bytes_max {
            return Err(Error::TooLarge { path, bytes, bytes_max });
        }
        let mut content = Vec::new();
        file.take(bytes_max).read_to_end(&mut content).map_err(io("read", &path))?;
        Ok(Some(content))
    }

    /// The names of the files, in order; unfinished and hidden ones are not among them.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::TooMany`].
    pub fn list(&self) -> Result<Vec<String>, Error> {
        let mut names = self.entries()?;
        names.retain(|name| check(name).is_ok() && self.path.join(name).is_file());
        names.sort();
        Ok(names)
    }

    /// Removes a file; false when there was none.
    ///
    /// # Errors
    /// [`Error::Name`] or [`Error::Io`].
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        let path = self.file(name)?;
        match fs::remove_file(&path) {
            Ok(()) => self.sync().map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io("remove", &path)(error)),
        }
    }

    fn file(&self, name: &str) -> Result<PathBuf, Error> {
        check(name)?;
        Ok(self.path.join(name))
    }

    fn sync(&self) -> Result<(), Error> {
        sync_folder(&self.path)
    }

    /// Every name that is text; others cannot have been written through here.
    fn entries(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.path).map_err(io("list", &self.path))?;
        let mut names = Vec::new();
        for entry in entries {
            if names.len() >= ENTRIES_MAX {
                return Err(Error::TooMany { path: self.path.clone(), entries_max: ENTRIES_MAX });
            }
            let entry = entry.map_err(io("list", &self.path))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }
}

/// A file in its folder with all its bytes, to be put in its place. Without permissions of its own it is as
/// readable as any other that this user makes: a baseline is built by one user and read by another.
pub(super) fn unfinished(
    (folder, path): (&Path, &Path),
    permissions: Option<Permissions>,
    bytes: &[u8],
) -> Result<NamedTempFile, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(io("make a file in", folder))?;
    // Before the first byte: what only its owner may read is never anybody else's.
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions).map_err(io("set the permissions of", path))?;
    }
    file.write_all(bytes).map_err(io("write", path))?;
    file.as_file().sync_all().map_err(io("sync", path))?;
    Ok(file)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there are none")]
fn owners_only() -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn owners_only() -> Option<Permissions> {
    None
}

/// Makes renames and removals outlive a power cut.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = File::open(path).map_err(io("open", path))?;
    folder.sync_all().map_err(io("sync", path))
}

pub(super) fn io(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { act, path: path.to_owned(), source }
}

fn check(name: &str) -> Result<(), Error> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if plain && !name.starts_with('.') && (1..=NAME_BYTES_MAX).contains(&name.len()) {
        Ok(())
    } else {
        Err(Error::Name(name.chars().take(NAME_BYTES_MAX).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another writer has not finished is not taken from it.
    #[test]
    fn shared_folders_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join(format!("{UNFINISHED}other"));
        fs::write(&others, "half").unwrap();
        Dir::shared(folder.path()).unwrap().write("mine", b"whole").unwrap();
        assert!(others.exists());
        Dir::open(folder.path()).unwrap();
        assert!(!others.exists());
    }

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path().join("state")).unwrap();
        (temp, dir)
    }

    /// What was written last is read; what was never written or was removed is absent, not empty.
    #[test]
    fn write_read_remove() {
        let (_temp, dir) = folder();
        assert_eq!(dir.read("a", 10).unwrap(), None);
        dir.write("a", b"one").unwrap();
        dir.write("a", b"two").unwrap();
        dir.write("b.json", b"").unwrap();
        assert_eq!(dir.read("a", 3).unwrap().unwrap(), b"two");
        assert_eq!(dir.list().unwrap(), ["a", "b.json"]);
        assert!(dir.remove("a").unwrap() && !dir.remove("a").unwrap());
        assert_eq!(dir.list().unwrap(), ["b.json"]);
    }

    /// A crash between the write and the rename leaves the old content, and its leavings are not
    /// listed and go away at the next start.
    #[test]
    fn a_crash_leaves_the_old_content() {
        let (_temp, dir) = folder();
        dir.write("a", b"old").unwrap();
        let half = dir.path().join(format!("{UNFINISHED}x1"));
        fs::write(&half, b"ne").unwrap();
        assert_eq!(dir.list().unwrap(), ["a"]);
        let dir = Dir::open(dir.path()).unwrap();
        assert_eq!(dir.read("a", 10).unwrap().unwrap(), b"old");
        assert!(!half.exists());
    }

    /// A write that cannot finish changes nothing and leaves nothing behind.
    #[test]
    fn a_failed_write_leaves_no_trace() {
        let (_temp, dir) = folder();
        fs::create_dir(dir.path().join("a")).unwrap();
        assert!(matches!(dir.write("a", b"x"), Err(Error::Io { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// No name leaves the folder, hides in it, or takes the shape of an unfinished file.
    #[test]
    fn names_are_checked() {
        let (_temp, dir) = folder();
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b", "a\0", ".hidden", "é", &long] {
            assert!(matches!(dir.write(name, b""), Err(Error::Name(_))), "{name:?}");
            assert!(matches!(dir.read(name, 1), Err(Error::Name(_))), "{name:?}");
            assert!(matches!(dir.remove(name), Err(Error::Name(_))), "{name:?}");
            assert!(matches!(dir.dir(name), Err(Error::Name(_))), "{name:?}");
        }
    }

    /// What is private is its owner's alone, also where anybody could read what was there before.
    #[cfg(unix)]
    #[test]
    fn private_files_are_the_owners() {
        use std::os::unix::fs::PermissionsExt;

        let (_temp, dir) = folder();
        dir.write("a", b"public").unwrap();
        let mode = || fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(dir.path().join("a"), Permissions::from_mode(0o644)).unwrap();
        dir.write_private("a", b"private").unwrap();
        assert_eq!((mode(), dir.read("a", 10).unwrap().unwrap()), (0o600, b"private".to_vec()));
    }

    /// A file over the cap is refused with both sizes and never read.
    #[test]
    fn reading_has_a_cap() {
        let (_temp, dir) = folder();
        dir.write("a", b"four").unwrap();
        let error = dir.read("a", 3).unwrap_err().to_string();
        assert!(error.ends_with("holds 4 bytes, expected at most 3"), "{error}");
    }
}
