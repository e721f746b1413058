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
    write_new_file(&temporary, bytes, mode).map_err(|error| error.renamed(path))?;
    fs::rename(&temporary, path).and_then(|()| sync_parent(path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        trouble(path, "write the file", &error)
    })
}

/// Removes a file, and waits until that is on disk.
pub fn remove_file(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).and_then(|()| sync_parent(path)).map_err(|error| trouble(path, "remove the file", &error))
}

/// Writes a document where somebody asked for it. What stands there already is replaced only
/// when it is a document too, and none of the files that this one is made from: a slip of the
/// hand must not cost a private key. Links are followed, and what is no file (a pipe, a device)
/// is written into.
pub fn write_document(path: &Path, bytes: &[u8], inputs: &[&Path]) -> Result<(), Error> {
    let refuse = |detail: &str| Err(Error::File { path: path.display().to_string(), detail: detail.into() });
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&target) {
        Err(_) => {}
        Ok(found) if found.is_dir() => return refuse("is a directory; give the name of a file"),
        Ok(found) if !found.is_file() => {
            let written = OpenOptions::new().write(true).open(&target).and_then(|mut file| file.write_all(bytes));
            return written.map_err(|error| trouble(path, "write", &error));
        }
        Ok(_) if inputs.iter().any(|input| fs::canonicalize(input).is_ok_and(|input| input == target)) => {
            return refuse("is one of the files that are read, and still needed; write to another file");
        }
        Ok(_) if !is_document(&target) => return refuse("exists, and is no document of this program; it is not overwritten: choose another name"),
        Ok(_) => {}
    }
    replace_file(&target, bytes, 0o644).map_err(|error| error.renamed(path))
}

/// Whether a document could be written there, as far as can be told without writing it.
pub fn check_document_target(path: &Path) -> Result<(), Error> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() => Err(Error::File { path: path.display().to_string(), detail: "is a directory; give the name of a file".into() }),
        Ok(found) if !found.is_file() => Ok(()),
        Ok(_) if !is_document(&target) => Err(Error::File {
            path: path.display().to_string(),
            detail: "exists, and is no document of this program; it is not overwritten: choose another name".into(),
        }),
        _ => {
            let trial = target.with_file_name(format!(".{}.tmp", super::random_uuid().simple()));
            write_new_file(&trial, b"", 0o600).map_err(|error| error.renamed(path))?;
            fs::remove_file(&trial).map_err(|error| trouble(path, "write the file", &error))
        }
    }
}

/// Armored, a product key, or empty.
fn is_document(path: &Path) -> bool {
    let Ok(text) = read_text(path, 8 * 1024 * 1024) else { return false };
    text.trim().is_empty() || text.contains("-----BEGIN TOLLKEEPER ") || text.starts_with("eyJ")
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
    fn a_document_replaces_documents_only_and_never_what_it_is_made_from() {
        let dir = tempfile::tempdir().expect("dir");
        let at = |name: &str| dir.path().join(name);
        let armored = "-----BEGIN TOLLKEEPER LICENSE-----\nx\n-----END TOLLKEEPER LICENSE-----\n";
        fs::write(at("vendor.key"), "-----BEGIN PRIVATE KEY-----").expect("key");
        fs::write(at("old.lic"), armored).expect("license");
        let refusal = |path: &Path| write_document(path, b"new", &[&at("old.lic")]).expect_err("refused").to_string();
        assert!(refusal(&at("vendor.key")).contains("not overwritten"));
        assert!(refusal(&dir.path().join("../").join(dir.path().file_name().expect("name")).join("old.lic")).contains("still needed"));
        assert!(refusal(dir.path()).contains("directory"));
        assert!(check_document_target(&at("vendor.key")).is_err() && check_document_target(&at("nowhere/a.lic")).is_err());
        assert_eq!((check_document_target(&at("new.lic")), fs::read_dir(dir.path()).expect("list").count()), (Ok(()), 2));
        write_document(&at("old.lic"), armored.as_bytes(), &[]).expect("a document in place of a document");
        write_document(&at("new.lic"), b"new", &[&at("old.lic")]).expect("a new file");
        assert_eq!(read_text(&at("new.lic"), 9), Ok("new".into()));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("old.lic"), at("link.lic")).expect("link");
            write_document(&at("link.lic"), b"-----BEGIN TOLLKEEPER again", &[]).expect("followed");
            assert!(fs::symlink_metadata(at("link.lic")).expect("there").is_symlink());
            assert_eq!(read_text(&at("old.lic"), 99), Ok("-----BEGIN TOLLKEEPER again".into()));
        }
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
