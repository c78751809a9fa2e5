//! The system calls around a user-polled epoll file: create, control, wait.
//!
//! Each error says what was asked, of what, and what to do next.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::mapping::{self, Mapping};
use crate::abi;

/// Why a user-polled epoll file could not be made, mapped or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserPollError {
    /// The kernel is not one with the series.
    #[error(
        "this kernel has no epoll_create2 (system call {nr}): run on a kernel that \
         carries the series",
        nr = abi::NR_EPOLL_CREATE2
    )]
    Unsupported,

    /// More items than a ring can have, or none.
    #[error("a ring for {max_items} items: it takes 1 to {max}", max = abi::MAX_ITEMS)]
    Items {
        /// What was asked for.
        max_items: u32,
    },

    /// The pages of the ring are locked memory, and there is not enough of it.
    #[error(
        "no memory for a ring of {max_items} items: its {bytes} bytes count as locked \
         memory of the user, and RLIMIT_MEMLOCK is {limit}; raise it (ulimit -l), ask \
         for fewer items, or give CAP_IPC_LOCK"
    )]
    Memory {
        /// Items asked for.
        max_items: u32,
        /// Bytes that the kernel charges for them.
        bytes: usize,
        /// The soft limit in bytes, or "unlimited".
        limit: String,
    },

    /// epoll_create2 failed for another reason.
    #[error("epoll_create2 for {max_items} items: {source}")]
    Create {
        /// Items asked for.
        max_items: u32,
        /// What the kernel said.
        source: io::Error,
    },

    /// A part of the ring could not be mapped.
    #[error("mapping the ring's {part} ({bytes} bytes): {source}")]
    Map {
        /// "header and items" or "index ring".
        part: &'static str,
        /// Bytes asked for.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },

    /// The mapped header is not that of the ring that was asked for.
    #[error(
        "the ring's header has {field} {seen:#x} instead of {expected:#x}: another \
         version of the interface than this program was built for"
    )]
    Header {
        /// Field of `epoll_uheader`.
        field: &'static str,
        /// What it must be.
        expected: u32,
        /// What it is.
        seen: u32,
    },

    /// The ring has no free item, or the user no free watch.
    #[error(
        "adding fd {fd}: no space; either all {max_items} items of the ring are used, \
         or fs.epoll.max_user_watches is reached (the kernel does not say which)"
    )]
    Full {
        /// The descriptor to be added.
        fd: RawFd,
        /// Items the ring was made for.
        max_items: u32,
    },

    /// epoll_ctl failed for another reason.
    #[error("epoll_ctl {operation} of fd {fd}: {source}")]
    Control {
        /// "ADD", "MOD" or "DEL".
        operation: &'static str,
        /// The descriptor concerned.
        fd: RawFd,
        /// What the kernel said.
        source: io::Error,
    },

    /// epoll_wait failed, or gave what it never gives for a ring.
    #[error("epoll_wait on the ring: {source}")]
    Wait {
        /// What the kernel said.
        source: io::Error,
    },

    /// The size of a page is unknown.
    #[error("the size of a page is unknown: sysconf(_SC_PAGESIZE) failed")]
    PageSize,
}

/// How a [`UserPoll::wait`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitOutcome {
    /// ESTALE: there are events in the ring. It does not say whether the
    /// thread slept.
    Stale,
    /// The time was over, and nothing had come.
    TimedOut,
    /// A signal came first.
    Interrupted,
}

/// A user-polled epoll file (`EPOLL_USERPOLL`).
#[derive(Debug)]
pub struct UserPoll {
    file: OwnedFd,
    max_items: u32,
}

impl UserPoll {
    /// A new one for at most `max_items` descriptors, closed on exec.
    ///
    /// # Errors
    /// See [`UserPollError`]; [`UserPollError::Unsupported`] on a stock kernel.
    pub fn create(max_items: u32) -> Result<Self, UserPollError> {
        Self::create_with(max_items, libc::EPOLL_CLOEXEC as u32)
    }

    /// As [`create`](Self::create), but inherited across exec.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_inheritable(max_items: u32) -> Result<Self, UserPollError> {
        Self::create_with(max_items, 0)
    }

    fn create_with(max_items: u32, flags: u32) -> Result<Self, UserPollError> {
        if !(1..=abi::MAX_ITEMS).contains(&max_items) {
            return Err(UserPollError::Items { max_items });
        }
        // SAFETY: takes two numbers and returns a descriptor or an error.
        let fd = unsafe {
            libc::syscall(
                abi::NR_EPOLL_CREATE2,
                libc::c_long::from(abi::EPOLL_USERPOLL | flags),
                libc::c_long::from(max_items),
            )
        };
        if fd < 0 {
            return Err(create_error(max_items, io::Error::last_os_error()));
        }
        // SAFETY: a descriptor that the kernel has just given us, owned by
        // nobody else; descriptors fit in an int.
        let file = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        Ok(Self { file, max_items })
    }

    /// Items it was made for.
    pub fn max_items(&self) -> u32 {
        self.max_items
    }

    /// Maps header, items and index ring.
    ///
    /// # Errors
    /// [`UserPollError::Map`] and [`UserPollError::Header`].
    pub fn map(&self) -> Result<Mapping, UserPollError> {
        Mapping::new(self.file.as_fd(), self.max_items)
    }

    /// Adds `fd`. `events` are passed as they are: the kernel refuses what
    /// lacks EPOLLET or has EPOLLEXCLUSIVE.
    ///
    /// # Errors
    /// [`UserPollError::Full`] and [`UserPollError::Control`].
    pub fn add(&self, fd: BorrowedFd<'_>, events: u32, data: u64) -> Result<(), UserPollError> {
        self.control("ADD", libc::EPOLL_CTL_ADD, fd, Some((events, data)))
    }

    /// Changes events and data of `fd`; arms it again if it was EPOLLONESHOT.
    ///
    /// # Errors
    /// [`UserPollError::Control`].
    pub fn modify(&self, fd: BorrowedFd<'_>, events: u32, data: u64) -> Result<(), UserPollError> {
        self.control("MOD", libc::EPOLL_CTL_MOD, fd, Some((events, data)))
    }

    /// Removes `fd`. What it has in the ring stays there, marked removed.
    ///
    /// # Errors
    /// [`UserPollError::Control`].
    pub fn delete(&self, fd: BorrowedFd<'_>) -> Result<(), UserPollError> {
        self.control("DEL", libc::EPOLL_CTL_DEL, fd, None)
    }

    fn control(
        &self,
        name: &'static str,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        event: Option<(u32, u64)>,
    ) -> Result<(), UserPollError> {
        let mut event = event.map(|(events, data)| libc::epoll_event { events, u64: data });
        let event = event.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let (epoll, fd) = (self.file.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: both descriptors are open for the length of the borrow, and
        // `event` is null (DEL) or points to a live local.
        if unsafe { libc::epoll_ctl(epoll, operation, fd, event) } == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        Err(match source.raw_os_error() {
            Some(libc::ENOSPC) => UserPollError::Full { fd, max_items: self.max_items },
            _ => UserPollError::Control { operation: name, fd, source },
        })
    }

    /// Waits until there is something in the ring; `None` waits for ever. The
    /// kernel counts in milliseconds: a timeout is rounded up to the next.
    ///
    /// # Errors
    /// [`UserPollError::Wait`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<WaitOutcome, UserPollError> {
        let timeout_ms = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000))
                .unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: no events are asked for: the kernel writes nothing.
        let count =
            unsafe { libc::epoll_wait(self.file.as_raw_fd(), ptr::null_mut(), 0, timeout_ms) };
        match count {
            0 => Ok(WaitOutcome::TimedOut),
            -1 => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESTALE) => Ok(WaitOutcome::Stale),
                error if error.raw_os_error() == Some(libc::EINTR) => Ok(WaitOutcome::Interrupted),
                source => Err(UserPollError::Wait { source }),
            },
            _ => Err(UserPollError::Wait {
                source: io::Error::other("events were returned, which a ring never does"),
            }),
        }
    }
}

impl AsFd for UserPoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for UserPoll {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl From<UserPoll> for OwnedFd {
    fn from(poll: UserPoll) -> Self {
        poll.file
    }
}

/// What the errno of epoll_create2 means.
fn create_error(max_items: u32, source: io::Error) -> UserPollError {
    match source.raw_os_error() {
        Some(libc::ENOSYS) => UserPollError::Unsupported,
        Some(libc::ENOMEM) => match mapping::page_bytes() {
            Ok(page_bytes) => UserPollError::Memory {
                max_items,
                bytes: abi::header_length(max_items, page_bytes)
                    + abi::index_length(max_items, page_bytes),
                limit: memlock_limit(),
            },
            Err(error) => error,
        },
        _ => UserPollError::Create { max_items, source },
    }
}

/// The soft RLIMIT_MEMLOCK, for a message.
fn memlock_limit() -> String {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live local of the type that the call fills.
    match unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } {
        0 if limit.rlim_cur == libc::RLIM_INFINITY => "unlimited".to_owned(),
        0 => format!("{} bytes", limit.rlim_cur),
        _ => "unknown".to_owned(),
    }
}
