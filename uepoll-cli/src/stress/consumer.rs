//! The one consumer: takes events from a ring or from an ordinary epoll, and
//! drains the source of each.
//!
//! The ring's protocol itself is in `uepoll_common::consumer`.

use std::hint;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::time::Timespec;
use uepoll_common::consumer::{Consumer, Mapping, RingMemory, Stop, UserPoll, WaitOutcome};

use super::config::Mode;
use super::error::StressError;
use super::outcome::Tally;
use super::shared::Shared;
use super::source::{Buffer, Sources};
use super::truth::Log;

/// Longest wait before a look at whether the run has ended.
const TICK: Duration = Duration::from_millis(200);
/// Looks at one empty slot before the consumer gives way: some milliseconds,
/// longer than any producer that is not itself kept off its CPU.
const SLOT_SPIN_BUDGET: u64 = 100_000;
/// Most events that one ordinary epoll_wait returns.
const MOST_EVENTS: usize = 1024;

/// What the consumer polls, with every source added.
pub enum Poller {
    /// A user-polled ring.
    Ring {
        /// The epoll file.
        poll: UserPoll,
        /// Its ring.
        mapping: Mapping,
    },
    /// An ordinary epoll file.
    Ordinary(OwnedFd),
}

impl Poller {
    /// Makes it, and adds all sources, each with its number as data. Nothing
    /// is written yet, so that every event comes from a wake-up.
    pub fn create(mode: Mode, sources: &Sources) -> Result<Self, StressError> {
        if mode == Mode::Ring {
            let poll = UserPoll::create(sources.len() as u32)?;
            let mapping = poll.map()?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            for (number, source) in sources.iter().enumerate() {
                poll.add(source.watched(), flags.bits(), number as u64)?;
            }
            return Ok(Self::Ring { poll, mapping });
        }
        let file = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|source| StressError::Epoll { call: "epoll_create1", source })?;
        let flags = match mode {
            Mode::EpollEt => epoll::EventFlags::IN | epoll::EventFlags::ET,
            _ => epoll::EventFlags::IN,
        };
        for (number, source) in sources.iter().enumerate() {
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&file, source.watched(), data, flags)
                .map_err(|source| StressError::Epoll { call: "epoll_ctl", source })?;
        }
        Ok(Self::Ordinary(file))
    }

    /// The ring, if it is one.
    pub fn ring(&self) -> Option<&Mapping> {
        match self {
            Self::Ring { mapping, .. } => Some(mapping),
            Self::Ordinary(_) => None,
        }
    }
}

/// Consumes until everything written has been read, or the run is given up. A
/// ring's truth goes to `log`.
pub fn consume(
    shared: &Shared<'_>,
    poller: &Poller,
    log: Option<Log>,
) -> Result<Tally, StressError> {
    let switches = voluntary_switches();
    let mut intake = Intake::new(shared);
    match poller {
        Poller::Ring { poll, mapping } => match &log {
            Some(log) => consume_ring(&mut intake, poll, log.watch(mapping), Some(log))?,
            None => consume_ring(&mut intake, poll, mapping, None)?,
        },
        Poller::Ordinary(file) => consume_ordinary(&mut intake, file)?,
    }
    let mut tally = intake.tally;
    tally.truth = log.map(Log::finish);
    tally.voluntary_switches =
        switches.zip(voluntary_switches()).map(|(before, after)| after.saturating_sub(before));
    Ok(tally)
}

fn consume_ring(
    intake: &mut Intake<'_>,
    poll: &UserPoll,
    memory: impl RingMemory,
    log: Option<&Log>,
) -> Result<(), StressError> {
    let mut ring = Consumer::new(memory);
    while !intake.finished() {
        if drain_ring(intake, &mut ring)? || spun_into_event(intake, &ring, poll, log) {
            continue;
        }
        match poll.wait(Some(TICK))? {
            WaitOutcome::Stale => intake.tally.waits.estale += 1,
            WaitOutcome::TimedOut => intake.idle(),
            WaitOutcome::Interrupted => intake.tally.waits.interrupted += 1,
        }
    }
    intake.wait_for_producers();
    // The last events can be wake-ups whose source was drained on behalf of
    // the one before: consumed as well, the ring ends empty.
    while drain_ring(intake, &mut ring)? {}
    intake.tally.left_in_ring = Some(ring.depth());
    Ok(())
}

/// Drains the ring once, and every source it names; whether there was anything.
fn drain_ring(
    intake: &mut Intake<'_>,
    ring: &mut Consumer<impl RingMemory>,
) -> Result<bool, StressError> {
    let mut fault = None;
    let drained = ring.drain(SLOT_SPIN_BUDGET, |event| {
        if let Err(error) = intake.take(event.data) {
            fault.get_or_insert(error);
        }
    });
    let tally = &mut intake.tally;
    tally.consumed += u64::from(drained.consumed);
    tally.skipped += u64::from(drained.skipped);
    tally.slot_spins += drained.slot_spins;
    if let Some(error) = fault {
        return Err(error);
    }
    match drained.stop {
        Stop::Emptied => Ok(drained.consumed > 0),
        Stop::SlotStayedEmpty(_) => {
            tally.slot_stalls += 1;
            // The producer in between needs a CPU; if it never comes back,
            // the watchdog sees that nothing moves.
            thread::yield_now();
            Ok(!intake.shared.aborted())
        }
        Stop::Corrupt(corruption) => Err(StressError::Corrupt(corruption)),
    }
}

/// Polls the empty ring within the budget; whether an event came.
fn spun_into_event(
    intake: &mut Intake<'_>,
    ring: &Consumer<impl RingMemory>,
    poll: &UserPoll,
    log: Option<&Log>,
) -> bool {
    let (epfd, budget) = (poll.as_raw_fd(), intake.shared.config.spin);
    let spun = match log {
        None => ring.spin(epfd, budget, || {}),
        Some(log) => {
            let mut episode = log.episode();
            let spun = ring.spin(epfd, budget, || episode.polled());
            episode.end(spun.polls);
            spun
        }
    };
    intake.tally.empty_polls += spun.polls;
    intake.tally.spin_episodes += u64::from(spun.polls > 0);
    spun.event
}

fn consume_ordinary(intake: &mut Intake<'_>, file: &OwnedFd) -> Result<(), StressError> {
    let mut room = [const { MaybeUninit::uninit() }; MOST_EVENTS];
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    while !intake.finished() {
        if !take_ordinary(intake, file, &mut room, &tick)? {
            intake.idle();
        }
    }
    intake.wait_for_producers();
    while take_ordinary(intake, file, &mut room, &none)? {}
    Ok(())
}

/// One epoll_wait, and every source it names drained; `false` if its time was
/// over without an event.
fn take_ordinary(
    intake: &mut Intake<'_>,
    file: &OwnedFd,
    room: &mut [MaybeUninit<epoll::Event>],
    timeout: &Timespec,
) -> Result<bool, StressError> {
    let events = match epoll::wait(file, room, Some(timeout)) {
        Ok((events, _)) => events,
        Err(Errno::INTR) => {
            intake.tally.waits.interrupted += 1;
            return Ok(true);
        }
        Err(source) => return Err(StressError::Epoll { call: "epoll_wait", source }),
    };
    if events.is_empty() {
        return Ok(false);
    }
    intake.tally.waits.with_events += 1;
    intake.tally.consumed += events.len() as u64;
    for event in events {
        intake.take(event.data.u64())?;
    }
    Ok(true)
}

/// Where delivered events go, whatever delivered them.
struct Intake<'a> {
    shared: &'a Shared<'a>,
    buffer: Buffer,
    /// Events read from all sources.
    read: u64,
    /// Whether the last wait ended without an event.
    idle: bool,
    tally: Tally,
}

impl<'a> Intake<'a> {
    fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, buffer: Buffer::new(), read: 0, idle: false, tally: Tally::default() }
    }

    /// Drains the source that `data` names, and does the consumer's work.
    #[inline]
    fn take(&mut self, data: u64) -> Result<(), StressError> {
        let sources = &self.shared.sources;
        let number = usize::try_from(data).unwrap_or(usize::MAX);
        let Some(source) = sources.get(number) else {
            return Err(StressError::UnknownData { data, sources: sources.len() });
        };
        let taken = source.drain(&mut self.buffer).map_err(|error| StressError::Drain {
            kind: source.kind(),
            number,
            source: error,
        })?;
        self.tally.deliveries += 1;
        self.tally.empty_deliveries += u64::from(taken == 0);
        self.read += taken;
        self.idle = false;
        let think = self.shared.config.think;
        if !think.is_zero() {
            let start = Instant::now();
            // Who stops the run does not wait for the rest of its work.
            while start.elapsed() < think && !self.shared.ended() {
                hint::spin_loop();
            }
        }
        Ok(())
    }

    /// A wait ended without an event.
    fn idle(&mut self) {
        self.idle = true;
        self.tally.waits.timed_out += 1;
    }

    /// Whether everything has been read, the moment of which is kept, or the
    /// run is given up.
    #[inline]
    fn finished(&mut self) -> bool {
        if self.read >= self.shared.target() {
            // A run that is stopped while its consumer sleeps was over when
            // the producers ended, not when the consumer looked.
            let produced = if self.idle { self.shared.produced_at() } else { None };
            self.tally.ended_at = produced.or_else(|| Some(Instant::now()));
            return true;
        }
        self.shared.aborted()
    }

    /// Producers that have written everything still have to end.
    fn wait_for_producers(&self) {
        while self.shared.producing() && !self.shared.aborted() {
            thread::yield_now();
        }
    }
}

/// How often the calling thread gave up its CPU of its own accord; `None`
/// where /proc does not say.
fn voluntary_switches() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}
