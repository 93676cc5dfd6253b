use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::dir::{io, sync_folder, unfinished};

/// Links in a row that are followed, as many as Linux does.
const LINKS_MAX: usize = 40;

/// What a path leads to.
#[derive(Debug)]
enum Found {
    /// A file, where links lead to it, with its permissions; none where none is yet.
    File(PathBuf, Option<Permissions>),
    Folder,
    /// A device or a pipe.
    Other,
}

/// Writes a file that a person named. A file is replaced as a whole or not at all, where links lead to it, and
/// stays as readable as it was; one that is a mount of its own cannot be replaced and is written over. Anything
/// else that is there, a device or a pipe, takes the bytes and stays what it is.
///
/// # Errors
/// [`Error::Io`]; the old content of a file that can be replaced is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (target, permissions) = match look(path)? {
        Found::File(target, permissions) => (target, permissions),
        Found::Folder | Found::Other => return write_into(path, bytes),
    };
    let folder = folder_of(&target);
    let file = unfinished((&folder, &target), permissions, bytes)?;
    match file.persist(&target) {
        Ok(_) => sync_if_readable(&folder),
        Err(refused) if refused.error.kind() == ErrorKind::ResourceBusy => write_over(&target, bytes),
        Err(refused) => Err(io("replace", path)(refused.error)),
    }
}

/// Whether [`write_file`] could write there, as far as can be told without writing; missing folders are made.
///
/// # Errors
/// [`Error::Io`] when it could not.
pub fn check_file(path: &Path) -> Result<(), Error> {
    let target = match look(path)? {
        Found::File(target, _) => target,
        Found::Folder => return Err(io("write", path)(ErrorKind::IsADirectory.into())),
        // A pipe is not opened to see whether it can be: its reader would see it end.
        Found::Other => return Ok(()),
    };
    let folder = folder_of(&target);
    fs::create_dir_all(&folder).map_err(io("make", &folder))?;
    tempfile::tempfile_in(&folder).map_err(io("make a file in", &folder))?;
    Ok(())
}

fn look(path: &Path) -> Result<Found, Error> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {
            let target = fs::canonicalize(path).map_err(io("look at", path))?;
            Ok(Found::File(target, Some(found.permissions())))
        }
        Ok(found) if found.is_dir() => Ok(Found::Folder),
        Ok(_) => Ok(Found::Other),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::File(end_of_links(path), None)),
        Err(error) => Err(io("look at", path)(error)),
    }
}

/// Where a file would come to be: links may lead to one that is not there yet.
fn end_of_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(next) = fs::read_link(&end) else { break };
        end = folder_of(&end).join(next);
    }
    end
}

/// Makes a new name outlive a power cut. In a folder that may be written and not read, nobody can.
fn sync_if_readable(folder: &Path) -> Result<(), Error> {
    match sync_folder(folder) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn write_over(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut open = OpenOptions::new().write(true).truncate(true).open(path).map_err(io("open", path))?;
    open.write_all(bytes).map_err(io("write", path))?;
    open.sync_all().map_err(io("sync", path))
}

fn write_into(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut open = OpenOptions::new().write(true).open(path).map_err(io("open", path))?;
    open.write_all(bytes).map_err(io("write", path))
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was there is replaced, under any name that a person may give; nothing is left beside it.
    #[test]
    fn a_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alarms of today.ndjson");
        for content in [b"old".as_slice(), b"new"] {
            check_file(&path).unwrap();
            write_file(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// A folder is not written over, and is refused before the work.
    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_file(folder.path()).is_err() && write_file(folder.path(), b"x").is_err());
        assert!(check_file(&folder.path().join("made/on/the/way")).is_ok());
    }

    /// A link goes on leading where it led.
    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_file(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    /// A link that leads to nothing yet leads to the file from then on, over any number of links and folders.
    #[cfg(unix)]
    #[test]
    fn links_to_nothing_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, next) = (folder.path().join("link"), folder.path().join("next"));
        std::os::unix::fs::symlink("next", &link).unwrap();
        std::os::unix::fs::symlink("made/file", &next).unwrap();
        check_file(&link).unwrap();
        write_file(&link, b"new").unwrap();
        assert!([&link, &next].into_iter().all(|link| fs::symlink_metadata(link).unwrap().is_symlink()));
        assert_eq!(fs::read(folder.path().join("made/file")).unwrap(), b"new");
        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(check_file(&circle).is_err() && write_file(&circle, b"x").is_err());
    }

    /// What only its owner may read is no more readable afterwards; a new file is as readable as any.
    #[cfg(unix)]
    #[test]
    fn permissions_are_kept() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_file(&path, b"old").unwrap();
        for wanted in [0o600, 0o640, 0o664] {
            fs::set_permissions(&path, Permissions::from_mode(wanted)).unwrap();
            write_file(&path, b"new").unwrap();
            assert_eq!(mode(), wanted);
        }
    }

    /// A file that cannot be replaced is written over: nothing of a longer old content is left behind.
    #[test]
    fn a_file_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mounted");
        fs::write(&path, "longer").unwrap();
        write_over(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    /// A pipe, as a device, is written into: replaced by a file, its reader would wait for ever, and with
    /// `/dev/null` a machine would be broken.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_replaced() {
        use std::io::Read;
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = pipe.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            fs::File::open(read).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        });
        check_file(&pipe).unwrap();
        write_file(&pipe, b"alarm").unwrap();
        assert_eq!(reader.join().unwrap(), b"alarm");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
}
