//! The truth of a run, as its consumer knows it: clocks around each store to
//! head, and what polling the empty ring took. Kept in memory that is known
//! beforehand; written at the end.
//!
//! Nothing here is run unless it was asked for.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::atomic::Ordering;

use serde::Serialize;
use uepoll_common::consumer::{RingMemory, RingView};
use uepoll_common::position::Position;

use super::clock::now_ns;
use super::error::StressError;

/// Version of the file: fields are only added within a major.
pub const SCHEMA: &str = "uepoll.truth/1";

/// Most positions that can be logged: 256 MiB of clocks.
pub const MOST_POSITIONS: u64 = 1 << 24;

/// Polls of the empty ring for each look at the clock: a look costs as much as
/// some polls.
const POLLS_PER_LOOK: u32 = 16;

/// Between two looks more than this was not polling: the thread was off its
/// CPU, or in an interrupt.
const MOST_POLLING_NS: u64 = 10_000;

/// The clocks around one store to head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Before it: the position was not yet consumed.
    pub before_ns: u64,
    /// After it: the position was consumed.
    pub after_ns: u64,
}

/// What polling the empty ring took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpinTruth {
    /// Episodes with a poll at least.
    pub spin_episodes: u64,
    /// Polls that found the ring empty.
    pub spin_iterations: u64,
    /// Time in user mode between polls: no less than this. Interrupts and time
    /// off the CPU are left out as far as they are longer than 10 us.
    pub spin_polled_ns: u64,
    /// From the first poll of each episode to its last: no more than this.
    pub spin_elapsed_ns: u64,
}

/// What a run's consumer knows.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Position of the first of `stores`; the others follow one by one.
    pub first: Position,
    /// The clocks of each position, in order.
    pub stores: Vec<Store>,
    /// Positions beyond the room there was.
    pub not_logged: u64,
    /// What polling took.
    pub spin: SpinTruth,
}

/// First line of the file.
#[derive(Serialize)]
struct Header {
    schema: &'static str,
    clock: &'static str,
    pid: u32,
    positions: usize,
    positions_not_logged: u64,
    #[serde(flatten)]
    spin: SpinTruth,
}

impl Truth {
    /// Writes it as JSON lines: first an object (`schema`, `clock`, `pid`,
    /// `positions`, `positions_not_logged`, and the fields of [`SpinTruth`]),
    /// then for each position, in the order of the ring, an array of the
    /// position (u32, wraps), the clock before the store to head that consumed
    /// it, and the clock after it; both CLOCK_MONOTONIC in nanoseconds.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let header = Header {
            schema: SCHEMA,
            clock: "CLOCK_MONOTONIC",
            pid: std::process::id(),
            positions: self.stores.len(),
            positions_not_logged: self.not_logged,
            spin: self.spin,
        };
        serde_json::to_writer(&mut *out, &header)?;
        out.write_all(b"\n")?;
        let mut position = self.first;
        for Store { before_ns, after_ns } in &self.stores {
            writeln!(out, "[{position},{before_ns},{after_ns}]")?;
            position = position + 1;
        }
        out.flush()
    }
}

/// The log while the consumer runs. Of one thread: it goes to it whole.
pub struct Log(RefCell<Truth>);

impl Log {
    /// Room for `positions` positions, touched, so that logging faults no page.
    ///
    /// # Errors
    /// [`StressError::TruthMemory`] if there is not enough memory.
    pub fn new(positions: u64) -> Result<Self, StressError> {
        let error = |source| StressError::TruthMemory { positions, source };
        let room = usize::try_from(positions).unwrap_or(usize::MAX);
        let mut stores = Vec::new();
        stores.try_reserve_exact(room).map_err(error)?;
        // Not zero: pages of zeroes may be given out untouched.
        stores.resize(room, Store { before_ns: u64::MAX, after_ns: u64::MAX });
        stores.clear();
        Ok(Self(RefCell::new(Truth { stores, ..Truth::default() })))
    }

    /// `ring`, each store to its head logged.
    pub fn watch<M>(&self, ring: M) -> Logged<'_, M> {
        Logged { ring, log: self }
    }

    /// A spin episode begins.
    pub fn episode(&self) -> Episode<'_> {
        let now_ns = now_ns();
        Episode { log: self, begun_ns: now_ns, looked_ns: now_ns, polls: 0, polled_ns: 0 }
    }

    /// What was logged.
    pub fn finish(self) -> Truth {
        self.0.into_inner()
    }

    fn push(&self, position: Position, store: Store) {
        let truth = &mut *self.0.borrow_mut();
        if truth.stores.is_empty() {
            truth.first = position;
        }
        if truth.stores.len() < truth.stores.capacity() {
            truth.stores.push(store);
        } else {
            truth.not_logged += 1;
        }
    }
}

/// One spin episode of the consumer.
pub struct Episode<'a> {
    log: &'a Log,
    begun_ns: u64,
    looked_ns: u64,
    polls: u32,
    polled_ns: u64,
}

impl Episode<'_> {
    /// The ring was polled and found empty.
    #[inline]
    pub fn polled(&mut self) {
        self.polls += 1;
        if self.polls == POLLS_PER_LOOK {
            self.polls = 0;
            self.look(now_ns());
        }
    }

    /// It has ended, after so many polls of the empty ring in all.
    pub fn end(mut self, iterations: u64) {
        if iterations == 0 {
            return;
        }
        let now_ns = now_ns();
        self.look(now_ns);
        let spin = &mut self.log.0.borrow_mut().spin;
        spin.spin_episodes += 1;
        spin.spin_iterations += iterations;
        spin.spin_polled_ns += self.polled_ns;
        spin.spin_elapsed_ns += now_ns.saturating_sub(self.begun_ns);
    }

    fn look(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.looked_ns);
        if since_ns <= MOST_POLLING_NS {
            self.polled_ns += since_ns;
        }
        self.looked_ns = now_ns;
    }
}

/// A ring whose stores to head are logged.
pub struct Logged<'a, M> {
    ring: M,
    log: &'a Log,
}

impl<M: RingView> RingView for Logged<'_, M> {
    #[inline]
    fn items(&self) -> u32 {
        self.ring.items()
    }

    #[inline]
    fn slots(&self) -> u32 {
        self.ring.slots()
    }

    #[inline]
    fn load_head(&self, order: Ordering) -> u32 {
        self.ring.load_head(order)
    }

    #[inline]
    fn load_tail(&self, order: Ordering) -> u32 {
        self.ring.load_tail(order)
    }

    #[inline]
    fn load_slot(&self, position: u32, order: Ordering) -> u32 {
        self.ring.load_slot(position, order)
    }

    #[inline]
    fn load_ready_events(&self, item: u32, order: Ordering) -> u32 {
        self.ring.load_ready_events(item, order)
    }

    #[inline]
    fn load_data(&self, item: u32) -> u64 {
        self.ring.load_data(item)
    }
}

impl<M: RingMemory> RingMemory for Logged<'_, M> {
    #[inline]
    fn store_head(&self, value: u32, order: Ordering) {
        let before_ns = now_ns();
        self.ring.store_head(value, order);
        // The clock is read in order on x86 (`rdtscp`, or a fence before
        // `rdtsc`): the store has been issued by then. That it may still be in
        // the CPU's store buffer, for some nanoseconds, is what a reader on
        // another CPU cannot tell from its own delay.
        let after_ns = now_ns();
        // Head has moved over the position before the new one.
        let position = Position(value.wrapping_sub(1));
        self.log.push(position, Store { before_ns, after_ns });
    }

    #[inline]
    fn store_slot(&self, position: u32, value: u32, order: Ordering) {
        self.ring.store_slot(position, value, order);
    }

    #[inline]
    fn exchange_ready_events(&self, item: u32, value: u32, order: Ordering) -> u32 {
        self.ring.exchange_ready_events(item, value, order)
    }
}

#[cfg(test)]
mod tests {
    use uepoll_common::consumer::Consumer;
    use uepoll_common::consumer::model::ModelRing;

    use super::*;

    /// Publishes and consumes `events` from `start` on, with room for `room`.
    fn consumed(start: Position, events: u32, room: u64) -> Truth {
        let ring = ModelRing::new(8, start);
        let log = Log::new(room).unwrap();
        let mut consumer = Consumer::new(log.watch(&ring));
        for event in 0..events {
            ring.publish(event % 8, 1);
            assert_eq!(consumer.drain(0, |_| {}).consumed, 1);
        }
        log.finish()
    }

    #[test]
    fn each_store_to_head_is_between_its_clocks_and_in_order() {
        let before_ns = now_ns();
        let truth = consumed(Position(0), 100, 100);
        let after_ns = now_ns();
        assert_eq!((truth.first, truth.stores.len(), truth.not_logged), (Position(0), 100, 0));
        let mut last_ns = before_ns;
        for store in truth.stores {
            assert!(last_ns <= store.before_ns && store.before_ns <= store.after_ns);
            last_ns = store.after_ns;
        }
        assert!(last_ns <= after_ns);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let truth = consumed(Position(7), 10, 4);
        assert_eq!((truth.first, truth.stores.len(), truth.not_logged), (Position(7), 4, 6));
    }

    #[test]
    fn an_episode_without_a_poll_is_none() {
        let log = Log::new(0).unwrap();
        log.episode().end(0);
        let mut episode = log.episode();
        (0..40).for_each(|_| episode.polled());
        episode.end(40);
        let SpinTruth { spin_episodes, spin_iterations, spin_polled_ns, spin_elapsed_ns } =
            log.finish().spin;
        assert_eq!((spin_episodes, spin_iterations), (1, 40));
        assert!(spin_polled_ns <= spin_elapsed_ns);
    }

    #[test]
    fn time_off_the_cpu_is_not_polling() {
        let log = Log::new(0).unwrap();
        let mut episode = log.episode();
        let begun_ns = episode.begun_ns;
        episode.look(begun_ns + 1_000);
        episode.look(begun_ns + 1_000 + MOST_POLLING_NS + 1);
        episode.look(begun_ns + 1_000 + MOST_POLLING_NS + 501);
        assert_eq!(episode.polled_ns, 1_500);
    }

    #[test]
    fn the_file_has_a_header_and_a_line_for_each_position_across_the_wrap() {
        let mut bytes = Vec::new();
        consumed(Position(u32::MAX), 2, 8).write(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["schema"], SCHEMA);
        assert_eq!(lines[0]["positions"], 2);
        assert_eq!(lines[0]["spin_episodes"], 0);
        assert_eq!((&lines[1][0], &lines[2][0]), (&u32::MAX.into(), &0.into()));
        assert!(lines[1][2].as_u64() <= lines[2][1].as_u64());
    }
}
