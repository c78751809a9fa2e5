//! Opening a file that anybody may have made: what it is, which runs it has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params};
use uepoll_core::run::RunInfo;

use super::create::check_is_file;
use super::name::{RunName, Which};
use super::schema::{self, Kind, VERSION};
use super::{FileError, write};

/// How SQLite databases begin.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Most bytes of one value, and of one row. A recorder writes less.
const MOST_VALUE_BYTES: i32 = 64 << 20;

/// Files up to here are looked through as a whole before they are read.
const CHECKED_BYTES: u64 = 64 << 20;

/// What one statement of ours may be and do, at most.
const LIMITS: [(Limit, i32); 6] = [
    (Limit::SQLITE_LIMIT_LENGTH, MOST_VALUE_BYTES),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
    (Limit::SQLITE_LIMIT_COLUMN, 64),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 32),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
];

/// How long a recorder that just writes is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most runs of one file that are listed.
const MOST_RUNS: usize = 100_000;

/// What is known of a run before its intervals are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// Its number in the file, from 1.
    pub number: u32,
    /// What was known when it began.
    pub info: RunInfo,
    /// Its recorder ended it; else it was cut short, or still goes on.
    pub complete: bool,
    pub(super) byte_order: String,
}

/// A file that is being read.
pub struct Recording {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    runs: Vec<RunSummary>,
}

impl Recording {
    /// Opens a file, trusting nothing in it.
    ///
    /// # Errors
    /// If it is no recording, is damaged, or has no run.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        check_head(path)?;
        let db = open_hardened(path)?;
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        if bytes <= CHECKED_BYTES {
            let found: String = db
                .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
                .map_err(|error| FileError::of(path, "check", error))?;
            if found != "ok" {
                return Err(FileError::Damaged { path: path.to_owned(), what: found });
            }
        }
        let runs = read_runs(&db).map_err(|error| FileError::of(path, "read", error))?;
        if runs.is_empty() {
            return Err(FileError::Empty { path: path.to_owned() });
        }
        Ok(Self { db, path: path.to_owned(), runs })
    }

    /// Opens the file that a name is of, and finds the run's number.
    ///
    /// # Errors
    /// As [`Self::open`], or if there is no such run.
    pub fn open_run(name: &RunName) -> Result<(Self, u32), FileError> {
        let recording = Self::open(&name.path)?;
        let run = recording.find(&name.which)?.number;
        Ok((recording, run))
    }

    /// Its runs, the oldest first; never none.
    pub fn runs(&self) -> &[RunSummary] {
        &self.runs
    }

    /// A run.
    ///
    /// # Errors
    /// If there is none such.
    pub fn find(&self, which: &Which) -> Result<&RunSummary, FileError> {
        let mut newest_first = self.runs.iter().rev();
        let found = newest_first.find(|run| match which {
            Which::Last => true,
            Which::Number(number) => run.number == *number,
            Which::Label(key, value) => run.info.labels.get(key) == Some(value),
        });
        found.ok_or_else(|| FileError::NoSuchRun {
            path: self.path.clone(),
            wanted: which.to_string(),
            has: match &self.runs[..] {
                [only] => format!("run {} alone", only.number),
                // Never none: `open` refuses such a file.
                all => format!(
                    "runs {} to {}",
                    all.first().map_or(0, |run| run.number),
                    all.last().map_or(0, |run| run.number)
                ),
            },
        })
    }
}

/// Looks at the file's first bytes, before SQLite does.
fn check_head(path: &Path) -> Result<(), FileError> {
    check_is_file(path)?;
    let failed = |error| FileError::Open { path: path.to_owned(), error };
    let mut head = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    file.take(100).read_to_end(&mut head).map_err(failed)?;
    if head.is_empty() {
        return Err(FileError::Empty { path: path.to_owned() });
    }
    if !head.starts_with(MAGIC) {
        let why = "no SQLite database".into();
        return Err(FileError::NotOurs { path: path.to_owned(), why });
    }
    // SQLite takes what is cut off for zeros. Beside a log, pages may be there
    // that are not here yet.
    if has_log(path) || size_of(&head).is_some_and(|whole| whole <= bytes) {
        return Ok(());
    }
    Err(FileError::Damaged { path: path.to_owned(), what: "its end is missing".into() })
}

/// Bytes that a database has, as its first 100 tell.
fn size_of(head: &[u8]) -> Option<u64> {
    let page = match u16::from_be_bytes([*head.get(16)?, *head.get(17)?]) {
        1 => 65536,
        bytes => u64::from(bytes),
    };
    let pages = head.get(28..32).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)?;
    Some(page * u64::from(pages))
}

/// Whether something that its recorder wrote is still beside it.
fn has_log(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|end| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(end);
        std::fs::metadata(beside).is_ok_and(|file| file.len() > 0)
    })
}

/// Opens for reading alone, as far as the file lets us.
fn open_hardened(path: &Path) -> Result<Connection, FileError> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match open_as(path, path.as_os_str().to_owned(), read_only) {
        Ok(db) => return what_it_is(db, path),
        Err(error) if needs_writing(&error) => {}
        Err(error) => return Err(FileError::of(path, "open", error)),
    }
    // Its recorder was killed: what is beside the file has to be brought in,
    // or the index of it made anew, and that writes.
    let writing = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    for locking in ["NORMAL", "EXCLUSIVE"] {
        // Alone, where the file system shares no memory (a network's).
        if let Ok(db) = open_locked(path, path.as_os_str().to_owned(), writing, locking) {
            return what_it_is(db, path);
        }
    }
    // Nothing may be written here. Nothing needs to be, if nothing is beside it.
    if has_log(path) {
        return Err(FileError::NotClosed { path: path.to_owned() });
    }
    let db = open_as(path, immutable(path), read_only | OpenFlags::SQLITE_OPEN_URI)
        .map_err(|error| FileError::of(path, "open", error))?;
    what_it_is(db, path)
}

/// SQLite's way to say that nobody changes the file.
fn immutable(path: &Path) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}

fn open_as(
    path: &Path,
    name: std::ffi::OsString,
    flags: OpenFlags,
) -> rusqlite::Result<Connection> {
    open_locked(path, name, flags, "NORMAL")
}

fn open_locked(
    path: &Path,
    name: std::ffi::OsString,
    flags: OpenFlags,
    locking: &str,
) -> rusqlite::Result<Connection> {
    // A relative name that looks like one of SQLite's own (":memory:") is a file.
    let name = if path.is_relative() && !flags.contains(OpenFlags::SQLITE_OPEN_URI) {
        Path::new(".").join(name).into_os_string()
    } else {
        name
    };
    let db = Connection::open_with_flags(Path::new(&name), flags)?;
    db.busy_timeout(PATIENCE)?;
    for (limit, most) in LIMITS {
        db.set_limit(limit, most)?;
    }
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update_and_check(None, "locking_mode", locking, |_| Ok(()))?;
    // The first that reads the file.
    db.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(db)
}

/// Whether SQLite cannot read it without writing first.
fn needs_writing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure)
    )
}

fn what_it_is(db: Connection, path: &Path) -> Result<Connection, FileError> {
    let path_buf = path.to_owned();
    match schema::kind_of(&db).map_err(|error| FileError::of(path, "read", error))? {
        Kind::Ours => Ok(db),
        Kind::Empty => Err(FileError::Empty { path: path_buf }),
        Kind::Newer(found) => Err(FileError::Newer { path: path_buf, found, known: VERSION }),
        Kind::Other(why) => Err(FileError::NotOurs { path: path_buf, why }),
    }
}

fn read_runs(db: &Connection) -> rusqlite::Result<Vec<RunSummary>> {
    let mut statement = db.prepare(
        "SELECT number, tool, started_unix_ns, started_mono_ns, words, hostname, cpu_model, \
         by_intervals, byte_order, finished FROM run ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| {
        let number = row.get(0)?;
        Ok(RunSummary {
            number,
            info: RunInfo {
                tool: row.get(1)?,
                started_unix_ns: row.get(2)?,
                started_mono_ns: row.get(3)?,
                words: words(row)?,
                labels: pairs(db, "SELECT key, value FROM label WHERE run = ?", number)?,
                hostname: row.get(5)?,
                cpu_model: row.get(6)?,
                mitigations: pairs(
                    db,
                    "SELECT weakness, state FROM mitigation WHERE run = ?",
                    number,
                )?,
                by_intervals: row.get(7)?,
            },
            byte_order: row.get(8)?,
            complete: row.get(9)?,
        })
    })?;
    rows.take(MOST_RUNS).collect()
}

/// Words of the command line: a JSON array of strings.
fn words(row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(4)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn pairs(db: &Connection, sql: &str, run: u32) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![run], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

impl RunSummary {
    /// Whether its records can be read on this machine.
    pub(super) fn check_byte_order(&self, path: &Path) -> Result<(), FileError> {
        if self.byte_order == write::BYTE_ORDER {
            return Ok(());
        }
        let order = if self.byte_order == "big" { "big" } else { "strange" };
        Err(FileError::ByteOrder { path: path.to_owned(), run: self.number, order: order.into() })
    }
}
