//! A file to write runs to: made, or opened if it is there, for its user alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::FileError;
use super::schema::{self, Kind, VERSION};

/// How long another recorder of the same file is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that runs can be written to.
pub struct Opened {
    /// The database.
    pub db: Connection,
    /// It was not there before.
    pub created: bool,
}

/// Opens `path` to write to, makes it if it is not there.
///
/// # Errors
/// If it cannot be, or is something that no run should be written to.
pub fn open_for_writing(path: &Path) -> Result<Opened, FileError> {
    let created = make(path)?;
    let opened = prepare(path);
    if opened.is_err() && created {
        remove(path);
    }
    Ok(Opened { db: opened?, created })
}

/// Removes a file in which there is no run, and what SQLite put beside it.
pub fn remove(path: &Path) {
    // The others first: SQLite would take them for a newer file's.
    for end in ["-wal", "-shm", "-journal", ""] {
        let mut path = path.as_os_str().to_owned();
        path.push(end);
        // If it cannot go, it stays: an empty file does no harm.
        let _ = fs::remove_file(path);
    }
}

fn prepare(path: &Path) -> Result<Connection, FileError> {
    match prepare_locked(path, false) {
        // File systems over a network share no memory: there the file is ours
        // alone until the run ends, and readers wait.
        Err(FileError::Sqlite { error, .. })
            if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) =>
        {
            let mut shared = path.as_os_str().to_owned();
            shared.push("-shm");
            // Of no use to anybody here; if it cannot go, it stays.
            let _ = fs::remove_file(shared);
            prepare_locked(path, true)
        }
        result => result,
    }
}

fn prepare_locked(path: &Path, alone: bool) -> Result<Connection, FileError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)
        .map_err(|error| FileError::of(path, "open", error))?;
    set_up(&db, alone).map_err(|error| FileError::of(path, "write to", error))?;
    let kind = schema::kind_of(&db).map_err(|error| FileError::of(path, "read", error))?;
    let path_buf = path.to_owned();
    match kind {
        Kind::Empty | Kind::Ours => {}
        Kind::Newer(found) => {
            return Err(FileError::Newer { path: path_buf, found, known: VERSION });
        }
        Kind::Other(why) => return Err(FileError::NotOurs { path: path_buf, why }),
    }
    // Only after what the file is was looked at.
    log_ahead(&db)
        .and_then(|()| if kind == Kind::Empty { schema::create(&mut db) } else { Ok(()) })
        .map_err(|error| FileError::of(path, "write to", error))?;
    Ok(db)
}

/// Switches to write-ahead logging: a kill leaves whole transactions, what was
/// written before is safe, and readers see it while we go on.
fn log_ahead(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // The first that needs the memory that readers share.
    db.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn set_up(db: &Connection, alone: bool) -> rusqlite::Result<()> {
    db.busy_timeout(PATIENCE)?;
    if alone {
        db.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    }
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(())
}

/// Makes the file if it is not there. Whether it was made.
fn make(path: &Path) -> Result<bool, FileError> {
    let failed = |error| FileError::Open { path: path.to_owned(), error };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            give_to_caller(&file).map_err(failed)?;
            return Ok(true);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // Looked at by name, not opened: opening a pipe waits for its reader.
    check_is_file(path)?;
    OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    Ok(false)
}

/// Says what `path` is if it is no regular file.
///
/// # Errors
/// If it is none, or not there.
pub fn check_is_file(path: &Path) -> Result<(), FileError> {
    let kind = fs::metadata(path)
        .map_err(|error| FileError::Open { path: path.to_owned(), error })?
        .file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () => "a device or a pipe",
    };
    Err(FileError::NoFile { path: path.to_owned(), what })
}

/// Under `sudo`, the file is the calling user's. SQLite gives the files beside it
/// to the same.
fn give_to_caller(file: &File) -> io::Result<()> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match (number("SUDO_UID"), number("SUDO_GID")) {
        (Some(user), Some(group)) if rustix::process::geteuid().is_root() => {
            fchown(file, Some(user), Some(group))
        }
        _ => Ok(()),
    }
}
