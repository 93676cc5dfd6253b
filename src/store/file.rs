use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::dir::{io, unfinished};

/// Writes a file that a person named. A file is replaced as a whole or not at all, where links lead to it;
/// anything else that is there, a device or a pipe, takes the bytes and stays what it is.
///
/// # Errors
/// [`Error::Io`]; a file's old content is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let target = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map_err(io("look at", path))?,
        Ok(_) => return write_into(path, bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(io("look at", path)(error)),
    };
    let folder = folder_of(&target);
    let mut file = unfinished().tempfile_in(&folder).map_err(io("make a file in", &folder))?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.as_file().sync_all().map_err(io("sync", path))?;
    file.persist(&target).map_err(|e| io("replace", path)(e.error))?;
    Ok(())
}

/// Whether [`write_file`] could write there, as far as can be told without writing; missing folders are made.
///
/// # Errors
/// [`Error::Io`] when it could not.
pub fn check_file(path: &Path) -> Result<(), Error> {
    let target = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map_err(io("look at", path))?,
        Ok(found) if found.is_dir() => {
            return Err(io("write", path)(ErrorKind::IsADirectory.into()));
        }
        // A pipe is not opened to see whether it can be: its reader would see it end.
        Ok(_) => return Ok(()),
        Err(_) => path.to_owned(),
    };
    let folder = folder_of(&target);
    fs::create_dir_all(&folder).map_err(io("make", &folder))?;
    tempfile::tempfile_in(&folder).map_err(io("make a file in", &folder))?;
    Ok(())
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
