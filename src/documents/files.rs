//! Writing files so that a crash leaves the old one, the new one or none, but never half
//! ([`replace_file`]), or so that nothing is ever overwritten ([`write_new_file`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::Error;

fn trouble(path: &Path, doing: &str, error: &io::Error) -> Error {
    let detail = match error.kind() {
        io::ErrorKind::NotFound => format!("cannot {doing}: no such file or directory; check the path"),
        io::ErrorKind::PermissionDenied => format!("cannot {doing}: permission denied; check who owns it"),
        _ => format!("cannot {doing}: {error}"),
    };
    Error::File { path: path.display().to_string(), detail }
}

/// Writes a file that must not exist yet, with these permission bits (`0o600` for private
/// keys; on Unix), and waits until it is on disk.
///
/// Errors: the file exists, or the system refuses; then nothing is left behind.
pub fn write_new_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::File { path: path.display().to_string(), detail: "exists already and is not overwritten; move it away or choose another name".into() }
        }
        _ => trouble(path, "create the file", &error),
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    written.map_err(|error| {
        // What is there is not the whole file; the error below is the one to tell.
        let _ = fs::remove_file(path);
        trouble(path, "write the file", &error)
    })
}

/// Writes a file in place of the one that may be there, in one step, and waits until it
/// is on disk. Permission bits as in [`write_new_file`].
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let Some(name) = path.file_name() else {
        return Err(Error::File { path: path.display().to_string(), detail: "is not the name of a file".into() });
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", super::random_uuid().simple()));
    let temporary = path.with_file_name(temporary);
    write_new_file(&temporary, bytes, mode).map_err(|error| match error {
        Error::File { detail, .. } => Error::File { path: path.display().to_string(), detail },
        other => other,
    })?;
    fs::rename(&temporary, path).and_then(|()| sync_parent(path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        trouble(path, "write the file", &error)
    })
}

/// Reads a text file of at most `max_bytes`.
///
/// Errors name the path: missing, unreadable, too large, not UTF-8.
pub fn read_text(path: &Path, max_bytes: usize) -> Result<String, Error> {
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(|error| trouble(path, "read the file", &error))?;
    if bytes.len() > max_bytes {
        return Err(Error::TooLarge { what: "file", limit: max_bytes }.in_file(path));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::File { path: path.display().to_string(), detail: "is not a text file in UTF-8; give the file as it was received".into() })
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_never_written_over_another() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("vendor.key");
        write_new_file(&path, b"one", 0o600).expect("written");
        let message = write_new_file(&path, b"two", 0o600).expect_err("exists").to_string();
        assert!(message.contains("vendor.key") && message.contains("not overwritten"), "{message}");
        assert_eq!(read_text(&path, 3), Ok("one".into()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("meta").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_replaced_file_leaves_no_temporary_one() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a.lic");
        replace_file(&path, b"one", 0o644).expect("written");
        replace_file(&path, b"two", 0o644).expect("replaced");
        assert_eq!(read_text(&path, 100), Ok("two".into()));
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a.lic");
        assert!(read_text(&path, 9).expect_err("missing").to_string().contains("a.lic"));
        replace_file(&path, b"0123456789", 0o644).expect("written");
        assert!(read_text(&path, 9).expect_err("too large").to_string().contains("larger than 9 bytes"));
        replace_file(&path, b"\xff\xfe", 0o644).expect("written");
        assert!(read_text(&path, 9).expect_err("not text").to_string().contains("UTF-8"));
    }
}
