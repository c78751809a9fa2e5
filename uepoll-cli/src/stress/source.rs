//! The sources of events: what a producer writes, what the consumer drains,
//! and the two counters by which a lost event is found out.
//!
//! No thread and no epoll here: see `producer.rs` and `consumer.rs`.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{self, AtFlags, Mode, OFlags, Timestamps, UTIME_NOW, inotify};
use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tempfile::TempDir;

use super::config::SourceKind;
use super::error::StressError;

/// How long after it is armed a timer goes off.
const TIMER_DELAY_NS: i64 = 5_000;

/// Two files, touched in turn: inotify drops an event equal to the one before.
const NAMES: [&CStr; 2] = [c"even", c"odd"];

/// Bytes for draining a source: a full pipe.
const BUFFER_BYTES: usize = 64 * 1024;

/// Room for what a drain reads; one for the whole run.
pub struct Buffer(Box<[MaybeUninit<u8>]>);

impl Buffer {
    /// An empty one.
    pub fn new() -> Self {
        Self(Box::new_uninit_slice(BUFFER_BYTES))
    }
}

/// A cache line of its own (two, for the CPU's prefetcher), so that producer
/// and consumer do not take each other's.
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(T);

/// One source, watched by the consumer and owned by one producer.
pub struct Source {
    kind: SourceKind,
    ends: Ends,
    /// Written by the producer alone.
    written: Line<AtomicU64>,
    /// Written by the consumer alone.
    read: Line<AtomicU64>,
}

/// The descriptors of a source.
enum Ends {
    Eventfd(OwnedFd),
    Stream { reader: OwnedFd, writer: OwnedFd },
    Timer(OwnedFd),
    Inotify { queue: OwnedFd, folder: OwnedFd, most_outstanding: u64 },
}

/// All sources of a run, and the folder that inotify's live in.
pub struct Sources {
    list: Vec<Source>,
    _folder: Option<TempDir>,
}

impl std::ops::Deref for Sources {
    type Target = [Source];

    fn deref(&self) -> &[Source] {
        &self.list
    }
}

impl Sources {
    /// Makes `count` sources of `kind`, all of them quiet.
    pub fn create(kind: SourceKind, count: u32) -> Result<Self, StressError> {
        let folder = match kind {
            SourceKind::Inotify => {
                Some(tempfile::Builder::new().prefix("uepoll-stress-").tempdir().map_err(
                    |source| StressError::Folder { folder: std::env::temp_dir(), source },
                )?)
            }
            _ => None,
        };
        let mut list = Vec::with_capacity(count as usize);
        for number in 0..count {
            let ends = match (&folder, kind) {
                (Some(folder), _) => inotify_ends(&folder.path().join(number.to_string())),
                (None, SourceKind::Pipe) => pipe_ends(),
                (None, SourceKind::Socketpair) => socket_ends(),
                (None, SourceKind::Timerfd) => timer_ends(),
                (None, _) => eventfd_ends(),
            };
            let ends =
                ends.map_err(|source| StressError::Create { kind, number, count, source })?;
            list.push(Source { kind, ends, written: Line::default(), read: Line::default() });
        }
        Ok(Self { list, _folder: folder })
    }

    /// Events written to all of them so far.
    pub fn written(&self) -> u64 {
        self.list.iter().map(Source::written).sum()
    }

    /// Events read from all of them so far.
    pub fn read(&self) -> u64 {
        self.list.iter().map(Source::read).sum()
    }
}

impl Source {
    /// The descriptor to be watched for input.
    pub fn watched(&self) -> BorrowedFd<'_> {
        match &self.ends {
            Ends::Eventfd(fd) | Ends::Timer(fd) => fd.as_fd(),
            Ends::Stream { reader, .. } => reader.as_fd(),
            Ends::Inotify { queue, .. } => queue.as_fd(),
        }
    }

    /// Events written so far.
    pub fn written(&self) -> u64 {
        self.written.0.load(Ordering::Acquire)
    }

    /// Events read so far. Acquire: a timer is armed again only after this.
    pub fn read(&self) -> u64 {
        self.read.0.load(Ordering::Acquire)
    }

    /// Makes one event; `false` if there is no room for it now. For the
    /// producer that owns the source.
    pub fn try_send(&self) -> io::Result<bool> {
        let written = self.written.0.load(Ordering::Relaxed);
        let sent = match &self.ends {
            Ends::Eventfd(fd) => accepted(io::write(fd, &1u64.to_ne_bytes()))?,
            Ends::Stream { writer, .. } => accepted(io::write(writer, &[1]))?,
            // Arming again would take back an expiration that is not yet read.
            Ends::Timer(_) if self.read() < written => false,
            Ends::Timer(fd) => {
                let it_value = Timespec { tv_sec: 0, tv_nsec: TIMER_DELAY_NS };
                let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
                let once = Itimerspec { it_interval, it_value };
                timerfd_settime(fd, TimerfdTimerFlags::empty(), &once)?;
                true
            }
            Ends::Inotify { most_outstanding, .. }
                if written.saturating_sub(self.read()) >= *most_outstanding =>
            {
                false
            }
            Ends::Inotify { folder, .. } => {
                let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
                let times = Timestamps { last_access: now, last_modification: now };
                let name = NAMES[usize::from(written % 2 == 1)];
                fs::utimensat(folder, name, &times, AtFlags::empty())?;
                true
            }
        };
        if sent {
            self.written.0.store(written + 1, Ordering::Release);
        }
        Ok(sent)
    }

    /// Waits, at most `limit`, for room in a source that can be polled for it;
    /// `false` at once where only the consumer's counter shows it.
    pub fn wait_for_room(&self, limit: Timespec) -> io::Result<bool> {
        let (Ends::Eventfd(end) | Ends::Stream { writer: end, .. }) = &self.ends else {
            return Ok(false);
        };
        match poll(&mut [PollFd::new(end, PollFlags::OUT)], Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Reads all there is, and returns how many events that was. For the
    /// consumer; under EPOLLET what it left behind would never be told again.
    pub fn drain(&self, buffer: &mut Buffer) -> Result<u64, DrainError> {
        let taken = match &self.ends {
            // One read takes the whole counter.
            Ends::Eventfd(fd) | Ends::Timer(fd) => read_counter(fd)?,
            Ends::Stream { reader, .. } => read_bytes(reader, buffer)?,
            Ends::Inotify { queue, .. } => read_queue(queue, buffer)?,
        };
        if taken > 0 {
            let read = self.read.0.load(Ordering::Relaxed);
            self.read.0.store(read + taken, Ordering::Release);
        }
        Ok(taken)
    }

    /// What kind it is.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }
}

/// Why a source could not be drained.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The read failed.
    #[error("reading it: {0}")]
    Read(#[from] Errno),
    /// The other end was closed, which nobody here does.
    #[error("reading it: end of file, but its writer is open")]
    EndOfFile,
    /// The queue of inotify was full: events are gone.
    #[error(
        "its queue overflowed, so events are lost; raise \
         fs.inotify.max_queued_events or use fewer events"
    )]
    Overflow,
    /// An event that the producer does not make.
    #[error("inotify reports mask {0:#x}, which no producer here makes")]
    Foreign(u32),
}

/// Whether a write was accepted; an error other than "no room now" stays one.
fn accepted(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_counter(fd: &OwnedFd) -> Result<u64, DrainError> {
    let mut bytes = [0; 8];
    loop {
        match io::read(fd, &mut bytes) {
            Ok(_) => return Ok(u64::from_ne_bytes(bytes)),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn read_bytes(fd: &OwnedFd, buffer: &mut Buffer) -> Result<u64, DrainError> {
    let mut taken = 0;
    loop {
        match io::read(fd, &mut *buffer.0).map(|(bytes, _)| bytes.len()) {
            Ok(0) => return Err(DrainError::EndOfFile),
            Ok(bytes) => taken += bytes as u64,
            Err(Errno::AGAIN) => return Ok(taken),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn read_queue(queue: &OwnedFd, buffer: &mut Buffer) -> Result<u64, DrainError> {
    let mut reader = inotify::Reader::new(queue, &mut buffer.0);
    let mut taken = 0;
    loop {
        match reader.next().map(|event| event.events()) {
            Ok(inotify::ReadFlags::ATTRIB) => taken += 1,
            Ok(mask) if mask.contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                return Err(DrainError::Overflow);
            }
            Ok(mask) => return Err(DrainError::Foreign(mask.bits())),
            Err(Errno::AGAIN) => return Ok(taken),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn eventfd_ends() -> std::io::Result<Ends> {
    Ok(Ends::Eventfd(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
}

fn pipe_ends() -> std::io::Result<Ends> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok(Ends::Stream { reader, writer })
}

fn socket_ends() -> std::io::Result<Ends> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (reader, writer) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(Ends::Stream { reader, writer })
}

fn timer_ends() -> std::io::Result<Ends> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(Ends::Timer(timerfd_create(TimerfdClockId::Monotonic, flags)?))
}

fn inotify_ends(path: &Path) -> std::io::Result<Ends> {
    std::fs::create_dir(path)?;
    let folder = fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for name in NAMES {
        // Closed again before the watch, so that only touches are reported.
        let made = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(fs::openat(&folder, name, made, Mode::RUSR | Mode::WUSR)?);
    }
    let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&queue, path, inotify::WatchFlags::ATTRIB)?;
    let queued = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?;
    let queued: u64 = queued.trim().parse().map_err(std::io::Error::other)?;
    // Half of it: an overflow is then a fault, not a race.
    Ok(Ends::Inotify { queue, folder, most_outstanding: (queued / 2).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends until an event is accepted: a timer waits for its last to be read.
    fn send(source: &Source) {
        assert!(source.try_send().unwrap());
    }

    /// Drains until `events` have come, as a timer takes its time.
    fn drain(source: &Source, events: u64) {
        let mut buffer = Buffer::new();
        let mut taken = 0;
        while taken < events {
            let mut fds = [PollFd::from_borrowed_fd(source.watched(), PollFlags::IN)];
            assert_eq!(poll(&mut fds, None), Ok(1));
            taken += source.drain(&mut buffer).unwrap();
        }
        assert_eq!(taken, events);
        assert_eq!(source.drain(&mut buffer).unwrap(), 0, "drained means drained");
    }

    #[test]
    fn every_kind_gives_back_what_was_written() {
        for kind in
            [SourceKind::Eventfd, SourceKind::Pipe, SourceKind::Socketpair, SourceKind::Inotify]
        {
            let sources = Sources::create(kind, 2).unwrap();
            (0..10).for_each(|_| send(&sources[1]));
            drain(&sources[1], 10);
            assert_eq!((sources[1].written(), sources[1].read()), (10, 10), "{kind:?}");
            assert_eq!(sources[0].read(), 0, "{kind:?}");
        }
    }

    #[test]
    fn a_timer_is_armed_again_only_after_it_was_read() {
        let sources = Sources::create(SourceKind::Timerfd, 1).unwrap();
        for round in 1..=3 {
            send(&sources[0]);
            assert!(!sources[0].try_send().unwrap());
            drain(&sources[0], 1);
            assert_eq!((sources.written(), sources.read()), (round, round));
        }
    }

    #[test]
    fn a_full_pipe_has_no_room_and_loses_nothing() {
        let sources = Sources::create(SourceKind::Socketpair, 1).unwrap();
        let mut sent = 0;
        while sources[0].try_send().unwrap() {
            sent += 1;
        }
        assert_eq!(sources.written(), sent);
        drain(&sources[0], sent);
        assert!(sources[0].try_send().unwrap());
    }
}
