//! Sees to it that a run ends: gives it up when nothing moves, and says what
//! is stuck.

use std::fmt;
use std::process;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use uepoll_common::consumer::RingView;
use uepoll_common::position::Position;

use super::consumer::Poller;
use super::shared::Shared;
use super::source::{Buffer, Sources};

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// How long the threads may take to notice that the run is given up.
const GRACE: Duration = Duration::from_secs(5);
/// Sources that are named; the others are counted.
const MOST_NAMED: usize = 8;

/// A run in which nothing moved any more.
#[derive(Debug)]
pub struct Stall {
    after: Duration,
    target: u64,
    written: u64,
    read: u64,
    ring: Option<RingState>,
    /// Threads that did not end when told to: they are inside the kernel.
    hung: bool,
    lagging: Vec<Lag>,
    lagging_more: usize,
}

/// Where the ring stood.
#[derive(Debug)]
struct RingState {
    head: Position,
    tail: Position,
    slot: u32,
}

/// A source with events written and not read.
#[derive(Debug)]
struct Lag {
    number: usize,
    written: u64,
    read: u64,
    /// What was still to be had from it after the run.
    unread: Option<u64>,
}

/// Watches until all threads have ended, or nothing has moved for as long as
/// the run's patience: then the run is given up and the stall returned.
pub fn watch(shared: &Shared<'_>, poller: &Poller) -> Option<Stall> {
    let patience = shared.config.patience();
    let mut seen = progress(shared);
    let mut since = Instant::now();
    while shared.running() {
        thread::park_timeout(TICK);
        let now = progress(shared);
        if now != seen || shared.aborted() {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() > patience {
            return Some(give_up(shared, poller, since.elapsed()));
        }
    }
    None
}

fn progress(shared: &Shared<'_>) -> (u64, u64) {
    (shared.sources.written(), shared.sources.read())
}

/// Ends the run; ends the process if a thread does not come back.
fn give_up(shared: &Shared<'_>, poller: &Poller, after: Duration) -> Stall {
    let mut stall = Stall::seen(shared, poller, after);
    shared.abort();
    let told = Instant::now();
    while shared.running() {
        thread::park_timeout(TICK);
        if told.elapsed() > GRACE {
            stall.hung = true;
            eprintln!("uepoll: {stall}");
            // The thread cannot be joined, and so nothing can be returned.
            process::exit(i32::from(crate::exit::FINDING));
        }
    }
    stall
}

impl Stall {
    fn seen(shared: &Shared<'_>, poller: &Poller, after: Duration) -> Self {
        let mut lagging: Vec<Lag> = shared
            .sources
            .iter()
            .enumerate()
            .filter(|(_, source)| source.written() != source.read())
            .map(|(number, source)| Lag {
                number,
                written: source.written(),
                read: source.read(),
                unread: None,
            })
            .collect();
        let lagging_more = lagging.len().saturating_sub(MOST_NAMED);
        lagging.truncate(MOST_NAMED);
        let ring = poller.ring().map(|ring| {
            let head = ring.load_head(Ordering::Relaxed);
            RingState {
                head: Position(head),
                tail: Position(ring.load_tail(Ordering::Relaxed)),
                slot: ring.load_slot(head, Ordering::Relaxed),
            }
        });
        let (written, read) = progress(shared);
        let target = shared.target();
        Self { after, target, written, read, ring, hung: false, lagging, lagging_more }
    }

    /// Looks, once no thread runs any more, whether the events are still in
    /// their sources: a wake-up was lost, or the event itself.
    pub fn look_into(&mut self, sources: &Sources) {
        let mut buffer = Buffer::new();
        for lag in &mut self.lagging {
            lag.unread = sources[lag.number].drain(&mut buffer).ok();
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, written, read, .. } = self;
        writeln!(f, "stalled: nothing moved for {:.1} s", self.after.as_secs_f64())?;
        write!(f, "  events    {target} due, {written} written, {read} read")?;
        if let Some(RingState { head, tail, slot }) = self.ring {
            let depth = head.distance_to(tail);
            write!(f, "\n  ring      head {head}, tail {tail}, depth {depth}; ")?;
            match (depth, slot) {
                (0, _) => write!(f, "empty")?,
                (_, 0) => write!(f, "the slot at head is empty")?,
                (_, slot) => write!(f, "the slot at head names item {}", slot - 1)?,
            }
        }
        for Lag { number, written, read, unread } in &self.lagging {
            write!(f, "\n  source {number:<5} {written} written, {read} read")?;
            match unread {
                Some(0) => write!(f, "; the rest is not in it any more")?,
                Some(unread) => write!(f, "; {unread} still in it: its wake-up was lost")?,
                None => {}
            }
        }
        if self.lagging_more > 0 {
            write!(f, "\n  and {} more sources", self.lagging_more)?;
        }
        if self.hung {
            write!(f, "\n  a thread does not end: see /proc/{}/task/*/stack", process::id())?;
        }
        write!(f, "\n  next      run it under `uepoll profile -- uepoll stress ...`")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::stress::config::{Config, Mode, SourceKind};

    #[test]
    fn a_run_that_does_not_move_ends_and_says_where_it_stood() {
        let mut config = Config::for_test(Mode::Epoll, SourceKind::Eventfd);
        (config.producers, config.items, config.events) = (1, 2, 5);
        config.stall_after = Duration::from_millis(1);
        let sources = Sources::create(config.source, config.items).unwrap();
        let poller = Poller::create(config.mode, &sources).unwrap();
        for _ in 0..3 {
            assert!(sources[1].try_send().unwrap());
        }
        let never = AtomicBool::new(false);
        let shared = Shared::new(&config, &sources, &never);
        let stall = thread::scope(|scope| {
            for _ in 0..config.producers + 1 {
                // A thread that does nothing until it is told to end.
                scope.spawn(|| {
                    while !shared.aborted() {
                        thread::yield_now();
                    }
                    shared.thread_ended();
                });
            }
            watch(&shared, &poller)
        });
        let mut stall = stall.unwrap();
        stall.look_into(&sources);
        let text = stall.to_string();
        assert!(text.starts_with("stalled: nothing moved for"), "{text}");
        assert!(text.contains("events    5 due, 3 written, 0 read"), "{text}");
        assert!(text.contains("source 1     3 written, 0 read; 3 still in it"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
