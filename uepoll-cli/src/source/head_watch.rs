//! High-resolution mode: the head of one ring, watched through its mapping by a
//! pinned thread, about once a microsecond. Every change of head is bracketed
//! between two clocks, for each position that it passed.
//!
//! The watch holds the ring's file open, through a descriptor of its own, and
//! lets go when the target exits.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, available_parallelism};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use super::existing;
use super::head_view::HeadView;

/// Positions whose passing is remembered: more than are published between two
/// drains of the records.
const REMEMBERED: usize = 1 << 18;

/// Reads of head between two looks at whether the target lives.
const READS: u32 = 4096;

/// Why a ring's head cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum HeadWatchError {
    /// Its process cannot be named by the number that the kernel side knows.
    #[error(
        "cannot watch a head from within a pid namespace: run uepoll in the host's (docker run \
         --pid=host), or without `-F max`"
    )]
    ForeignNamespace,
    /// Its process has gone while everything else was attached.
    #[error("cannot watch a head of process {tgid}: it has ended meanwhile")]
    Gone {
        /// Process.
        tgid: u32,
    },
    /// An ordinary epoll file.
    #[error(
        "{tgid}:{fd} is an epoll file, but no user-polled ring: it was made without EPOLL_USERPOLL \
         and has no head to watch; `uepoll profile -p {tgid}` finds the rings of that process"
    )]
    NoRing {
        /// Process.
        tgid: u32,
        /// Its descriptor.
        fd: i32,
    },
    /// The descriptor cannot be had.
    #[error(
        "cannot watch the head of {tgid}:{fd}: {what} failed ({source}); it needs CAP_SYS_PTRACE \
         and Linux 5.6: run it under sudo, or without `-F max`"
    )]
    Descriptor {
        /// Process.
        tgid: u32,
        /// Its descriptor.
        fd: i32,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// When head passed a position: no earlier, no later.
#[derive(Default)]
struct Passing {
    /// Position plus one in the low half; 0 while being written.
    position: AtomicU64,
    lo_ns: AtomicU64,
    hi_ns: AtomicU64,
}

/// What the thread tells.
struct Shared {
    stop: AtomicBool,
    ended: AtomicBool,
    reads: AtomicU64,
    longest_gap_ns: AtomicU64,
    watched_ns: AtomicU64,
    passings: Box<[Passing]>,
}

impl Shared {
    fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            longest_gap_ns: AtomicU64::new(0),
            watched_ns: AtomicU64::new(0),
            passings: (0..REMEMBERED).map(|_| Passing::default()).collect(),
        }
    }

    fn place(&self, position: u32) -> &Passing {
        // In range: the length is a power of two, and the mask is below it.
        &self.passings[position as usize & (REMEMBERED - 1)]
    }

    fn put(&self, position: u32, lo_ns: u64, hi_ns: u64) {
        let place = self.place(position);
        place.position.store(0, Ordering::SeqCst);
        place.lo_ns.store(lo_ns, Ordering::SeqCst);
        place.hi_ns.store(hi_ns, Ordering::SeqCst);
        place.position.store(u64::from(position) + 1, Ordering::SeqCst);
    }

    fn get(&self, position: u32) -> Option<(u64, u64)> {
        let place = self.place(position);
        let wanted = u64::from(position) + 1;
        let held = || place.position.load(Ordering::SeqCst) == wanted;
        if !held() {
            return None;
        }
        let bounds = (place.lo_ns.load(Ordering::SeqCst), place.hi_ns.load(Ordering::SeqCst));
        held().then_some(bounds)
    }
}

/// What a watch did since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Reads of head.
    pub reads: u64,
    /// For so long.
    pub watched_ns: u64,
    /// Longest time between two reads.
    pub longest_gap_ns: u64,
    /// The target has exited, and the file was let go.
    pub ended: bool,
}

/// A thread that watches. Dropped, it stops and lets go of the file.
pub struct HeadWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl HeadWatch {
    /// Begins to watch the ring behind `fd` of process `tgid`.
    ///
    /// # Errors
    /// See [`HeadWatchError`].
    pub fn begin(tgid: u32, fd: i32) -> Result<Self, HeadWatchError> {
        let failed =
            |what| move |source: io::Error| HeadWatchError::Descriptor { tgid, fd, what, source };
        if existing::own_number() != Some(std::process::id()) {
            return Err(HeadWatchError::ForeignNamespace);
        }
        let pid = i32::try_from(tgid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed("pidfd_open")(io::ErrorKind::NotFound.into()))?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| match error {
            Errno::SRCH => HeadWatchError::Gone { tgid },
            error => failed("pidfd_open")(error.into()),
        })?;
        let ring = pidfd_getfd(&process, fd, PidfdGetfdFlags::empty())
            .map_err(|error| failed("pidfd_getfd")(error.into()))?;
        let view = HeadView::open(ring.as_fd()).map_err(|error| {
            // ep_eventpoll_mmap without a ring; a kernel without the series.
            match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::NODEV) => HeadWatchError::NoRing { tgid, fd },
                _ => failed("mmap of its header")(error),
            }
        })?;
        let shared = Arc::new(Shared::new());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("uepoll-head".into())
            .spawn(move || watch(&theirs, &view, &process, ring))
            .map_err(failed("starting its thread"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// When head passed a position, as far as is remembered: no earlier, no
    /// later.
    pub fn passing(&self, position: u32) -> Option<(u64, u64)> {
        self.shared.get(position)
    }

    /// What was done since it was last taken.
    pub fn done(&self) -> Done {
        Done {
            reads: self.shared.reads.load(Ordering::Relaxed),
            watched_ns: self.shared.watched_ns.load(Ordering::Relaxed),
            longest_gap_ns: self.shared.longest_gap_ns.load(Ordering::Relaxed),
            ended: self.shared.ended.load(Ordering::Relaxed),
        }
    }

    /// The same, and it begins anew.
    pub fn take_done(&self) -> Done {
        Done {
            reads: self.shared.reads.swap(0, Ordering::Relaxed),
            watched_ns: self.shared.watched_ns.swap(0, Ordering::Relaxed),
            longest_gap_ns: self.shared.longest_gap_ns.swap(0, Ordering::Relaxed),
            ended: self.shared.ended.load(Ordering::Relaxed),
        }
    }
}

impl Drop for HeadWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics in no way that we know of; its figures stand anyhow.
            let _ = thread.join();
        }
    }
}

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Watches until it is told to stop, or the target exits. Everything that it
/// holds goes when it returns.
fn watch(shared: &Shared, view: &HeadView, process: &OwnedFd, _ring: OwnedFd) {
    pin();
    let mut before_ns = now_ns();
    let mut head = view.head();
    let mut after_ns = now_ns();
    loop {
        let mut longest_gap_ns = 0;
        let began_ns = after_ns;
        for _ in 0..READS {
            let next = view.head();
            let next_ns = now_ns();
            longest_gap_ns = longest_gap_ns.max(next_ns - after_ns);
            if next != head {
                // Seen at or before them after `before_ns`, and beyond them
                // before `next_ns`.
                head = passed(shared, head, next, before_ns, next_ns);
            }
            (before_ns, after_ns) = (after_ns, next_ns);
        }
        shared.reads.fetch_add(u64::from(READS), Ordering::Relaxed);
        shared.watched_ns.fetch_add(after_ns - began_ns, Ordering::Relaxed);
        shared.longest_gap_ns.fetch_max(longest_gap_ns, Ordering::Relaxed);
        if exited(process) {
            shared.ended.store(true, Ordering::Relaxed);
            return;
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Notes the positions between two heads, and gives the head to go on from. A
/// head that went back, or farther on than is remembered, passes none: it is the
/// program's word. What it went back over has been passed, once and for all.
fn passed(shared: &Shared, from: u32, to: u32, lo_ns: u64, hi_ns: u64) -> u32 {
    let moved = to.wrapping_sub(from);
    if moved as usize <= REMEMBERED {
        for step in 0..moved {
            shared.put(from.wrapping_add(step), lo_ns, hi_ns);
        }
    }
    if moved.wrapping_neg() as usize <= REMEMBERED { from } else { to }
}

/// Whether the target has exited.
fn exited(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Stays on one CPU, the last that we may use: most programs begin with the
/// first. Not pinned, it watches all the same.
fn pin() {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    if available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
        return;
    }
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
    if let Some(last) = last {
        let mut only = CpuSet::new();
        only.set(last);
        // Its failure is a CPU that has just gone; then anyone will do.
        let _ = sched_setaffinity(None, &only);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn an_ordinary_epoll_file_is_told_as_what_it_is() {
        let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)
            .expect("every kernel has it");
        let result = HeadWatch::begin(std::process::id(), epoll.as_raw_fd());
        let Err(HeadWatchError::NoRing { fd, .. }) = result else { panic!("it is no ring") };
        assert_eq!(fd, epoll.as_raw_fd());
    }

    #[test]
    fn every_position_between_two_heads_is_bracketed_across_the_wrap() {
        let shared = Shared::new();
        passed(&shared, u32::MAX - 1, 1, 10, 20);
        for position in [u32::MAX - 1, u32::MAX, 0] {
            assert_eq!(shared.get(position), Some((10, 20)), "{position}");
        }
        assert_eq!(shared.get(1), None);
    }

    #[test]
    fn a_head_that_jumps_or_goes_back_passes_nothing() {
        let shared = Shared::new();
        passed(&shared, 5, 4, 10, 20);
        passed(&shared, 0, 1 << 30, 10, 20);
        assert!((0..64).all(|position| shared.get(position).is_none()));
    }

    #[test]
    fn what_head_went_back_over_is_not_passed_again() {
        let shared = Shared::new();
        let mut head = u32::MAX - 1;
        for (to, lo_ns, hi_ns) in [(3, 10, 20), (0, 20, 30), (2, 30, 40), (5, 40, 50)] {
            head = passed(&shared, head, to, lo_ns, hi_ns);
        }
        assert_eq!([1, 2].map(|p| shared.get(p)), [Some((10, 20)); 2]);
        assert_eq!([3, 4].map(|p| shared.get(p)), [Some((40, 50)); 2]);
        assert_eq!(head, 5);
        // One that was farther off is begun with anew.
        assert_eq!(passed(&shared, head, 1 << 30, 50, 60), 1 << 30);
    }

    #[test]
    fn a_place_that_was_taken_again_tells_the_later_position_alone() {
        let shared = Shared::new();
        passed(&shared, 3, 4, 10, 20);
        passed(&shared, 3 + REMEMBERED as u32, 4 + REMEMBERED as u32, 30, 40);
        assert_eq!(shared.get(3), None);
        assert_eq!(shared.get(3 + REMEMBERED as u32), Some((30, 40)));
    }
}
