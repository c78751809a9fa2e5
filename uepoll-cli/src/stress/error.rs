//! Why a stress run could not be made, or ended with a fault.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use uepoll_common::consumer::{Corruption, UserPollError};

use super::config::SourceKind;
use super::source::DrainError;
use super::watchdog::Stall;

/// A run without a result.
#[derive(Debug, thiserror::Error)]
pub enum StressError {
    /// The ring could not be made or used.
    #[error(transparent)]
    Ring(#[from] UserPollError),

    /// The ordinary epoll could not be made or used.
    #[error("{call} of the ordinary epoll: {source}")]
    Epoll {
        /// The system call.
        call: &'static str,
        /// What the kernel said.
        source: Errno,
    },

    /// The limit of open files is below what the sources take.
    #[error(
        "{sources} sources need {needed} open files, and the hard limit is {limit}: \
         raise it (ulimit -Hn) or use fewer items"
    )]
    Descriptors {
        /// Sources asked for.
        sources: u32,
        /// Descriptors they need.
        needed: u64,
        /// What may be open.
        limit: u64,
    },

    /// A source could not be made.
    #[error("making source {number} of {count} ({}): {source}{}", kind.name(), hint(*kind, source))]
    Create {
        /// Which kind.
        kind: SourceKind,
        /// Its number, from 0.
        number: u32,
        /// Sources asked for.
        count: u32,
        /// What the kernel said.
        source: io::Error,
    },

    /// No folder for inotify to watch.
    #[error("making a folder to be watched in {}: {source}; set TMPDIR", folder.display())]
    Folder {
        /// Where it was tried.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },

    /// A producer could not write.
    #[error("source {number} ({}): writing it: {source}", kind.name())]
    Send {
        /// Which kind.
        kind: SourceKind,
        /// Its number, from 0.
        number: usize,
        /// What the kernel said.
        source: Errno,
    },

    /// The consumer could not read.
    #[error("source {number} ({}): {source}", kind.name())]
    Drain {
        /// Which kind.
        kind: SourceKind,
        /// Its number, from 0.
        number: usize,
        /// What went wrong.
        source: DrainError,
    },

    /// The ring contradicts itself.
    #[error("the ring is corrupt: {0}; a fault of the kernel, or someone else wrote to it")]
    Corrupt(Corruption),

    /// An event that no source asked for.
    #[error("an event came with data {data:#x}, but there are {sources} sources")]
    UnknownData {
        /// `event.data`.
        data: u64,
        /// Sources of the run.
        sources: usize,
    },

    /// A thread could not be started.
    #[error(
        "starting thread {name}: {source}; use fewer --producers, or raise what limits threads \
         (ulimit -u, pids.max of the control group, kernel.threads-max)"
    )]
    Thread {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },

    /// A thread could not be bound to a CPU, or told how to sleep.
    #[error("setting up a thread ({call}): {source}")]
    ThreadSetup {
        /// The system call.
        call: &'static str,
        /// What the kernel said.
        source: Errno,
    },

    /// No memory for the log of the truth.
    #[error("no memory to log {positions} positions: {source}; use fewer --events")]
    TruthMemory {
        /// Positions that there was to be room for.
        positions: u64,
        /// What the allocator said.
        source: std::collections::TryReserveError,
    },

    /// A thread ended by a panic: a fault of this program.
    #[error("a thread of the stress program ended by a panic: a fault of uepoll")]
    Panicked,

    /// Nothing moved for too long.
    #[error("{0}")]
    Stalled(Box<Stall>),
}

impl StressError {
    /// Whether the remedy lies in the host, not in what was found: rights,
    /// limits, kernel.
    pub fn is_about_the_host(&self) -> bool {
        matches!(
            self,
            Self::Ring(UserPollError::Unsupported | UserPollError::Memory { .. })
                | Self::Descriptors { .. }
                | Self::Create { .. }
                | Self::Folder { .. }
                | Self::Thread { .. }
                | Self::ThreadSetup { .. }
                | Self::TruthMemory { .. }
        )
    }
}

/// What to do about a source that cannot be made.
fn hint(kind: SourceKind, error: &io::Error) -> &'static str {
    match (kind, Errno::from_io_error(error)) {
        (SourceKind::Inotify, Some(Errno::MFILE)) => {
            "; raise fs.inotify.max_user_instances or use fewer items"
        }
        (SourceKind::Inotify, Some(Errno::NOSPC)) => {
            "; raise fs.inotify.max_user_watches or use fewer items"
        }
        (_, Some(Errno::MFILE | Errno::NFILE)) => "; raise ulimit -n or use fewer items",
        _ => "",
    }
}
