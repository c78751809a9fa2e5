//! What can be wrong with a file, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a `.uepoll` file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("cannot open {}: {error}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is a folder, a device, a pipe.
    #[error("{} is {what}, and a recording is a file: name one, as run.uepoll", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is something else.
    #[error(
        "{} is not a recording of uepoll ({why}): `uepoll profile -o FILE` makes one",
        path.display()
    )]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// What tells.
        why: String,
    },
    /// It has no run.
    #[error(
        "there is no run in {}: its recorder was ended before it began; record again with \
         `uepoll profile -o`",
        path.display()
    )]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// It was made by a later version.
    #[error(
        "{} has format {found}, and this uepoll ({}) knows formats up to {known}: read it with a \
         newer uepoll",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It was made on a machine of the other byte order.
    #[error(
        "run {run} of {} was recorded on a {order}-endian machine: read it on one",
        path.display()
    )]
    ByteOrder {
        /// Which.
        path: PathBuf,
        /// Run.
        run: u32,
        /// How that machine orders bytes.
        order: String,
    },
    /// Parts of it are missing or are not what they should be.
    #[error(
        "{} is damaged ({what}): if it was copied while it was recorded, copy it again once the \
         recorder has ended, with the files beside it that are named like it",
        path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where and how.
        what: String,
    },
    /// Its recorder did not close it, and here nobody may.
    #[error(
        "{} was not closed by its recorder, and what is still in {}-wal cannot be read from a \
         folder where nothing may be written: copy both files to another folder and read the copy",
        path.display(),
        path.display()
    )]
    NotClosed {
        /// Which.
        path: PathBuf,
    },
    /// There is no such run.
    #[error("{} has no run {wanted}: it has {has}", path.display())]
    NoSuchRun {
        /// Which.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// Nothing can be told of a run.
    #[error(
        "run {run} of {} was cut short before anything was counted: its recorder was ended while \
         it began; nothing can be told of it",
        path.display()
    )]
    NothingCounted {
        /// Which.
        path: PathBuf,
        /// Run.
        run: u32,
    },
    /// SQLite refuses.
    #[error("cannot {doing} {}: {error}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// Another program holds it.
    #[error(
        "{} is in use by another program: wait until it is done, or name another file",
        path.display()
    )]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// The writer's thread cannot be started or has ended by itself.
    #[error("the thread that writes {} {what}", path.display())]
    Thread {
        /// Which.
        path: PathBuf,
        /// What became of it.
        what: String,
    },
    /// Records came faster than they could be written.
    #[error(
        "{records} records did not get into {}: it could not be written fast enough; the report \
         is complete, what is made of the file is not",
        path.display()
    )]
    TooSlow {
        /// Which.
        path: PathBuf,
        /// How many.
        records: u64,
    },
}

impl FileError {
    /// Whether another file, or another run, is the remedy.
    pub fn is_of_the_name(&self) -> bool {
        matches!(
            self,
            Self::Open { .. }
                | Self::NoFile { .. }
                | Self::NotOurs { .. }
                | Self::Empty { .. }
                | Self::Newer { .. }
                | Self::ByteOrder { .. }
                | Self::Damaged { .. }
                | Self::NotClosed { .. }
                | Self::NoSuchRun { .. }
                | Self::NothingCounted { .. }
        )
    }

    /// Of what SQLite said while `doing` something with the file.
    pub fn of(path: &std::path::Path, doing: &'static str, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(Code::NotADatabase) => Self::NotOurs { path, why: "no SQLite database".into() },
            Some(Code::DatabaseCorrupt | Code::TooBig | Code::TypeMismatch) => {
                Self::Damaged { path, what: error.to_string() }
            }
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy { path },
            Some(_) => Self::Sqlite { doing, path, error },
            // A value of another type or size than a recorder writes.
            None => Self::Damaged { path, what: error.to_string() },
        }
    }
}
