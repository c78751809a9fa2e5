//! The consumer's side of protocol v2, as the specification has it ("On
//! userside events the following code should be used"), over any memory.
//!
//! Whatever the ring says is taken as hostile: every loop has an end that the
//! ring cannot move, and every number is checked before it is an index.

use core::hint;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::os::fd::RawFd;

use super::memory::RingMemory;
use super::spin_probe::spin_end;
use crate::abi::EPOLLREMOVED;
use crate::position::Position;

/// One event taken from the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Where in the ring it was.
    pub position: Position,
    /// The item's number in the header's items.
    pub item: u32,
    /// Poll flags, without `EPOLLREMOVED`; never 0.
    pub events: u32,
    /// What the item's `epoll_ctl` gave as data.
    pub data: u64,
}

/// What one [`Consumer::drain`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a drain can stop before the ring is empty"]
pub struct Drained {
    /// Positions that head was moved over.
    pub consumed: u32,
    /// Those of them that gave no event: the item was removed while ready, or
    /// had nothing ready any more.
    pub skipped: u32,
    /// Times a slot was found empty although tail was already beyond it.
    pub slot_spins: u64,
    /// Why it ended.
    pub stop: Stop,
}

/// One spin episode: the polls of an empty ring, from when it was found empty
/// until an event is seen or the budget is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spun {
    /// Polls that found the ring empty. Without any there was no episode.
    pub polls: u64,
    /// Whether it ended because there is something to consume.
    pub event: bool,
}

/// Why a [`Consumer::drain`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Head reached the tail that was seen at the start.
    Emptied,
    /// The slot at this position stayed empty for the whole spin budget. The
    /// position is not consumed: draining again goes on where this stopped.
    SlotStayedEmpty(Position),
    /// The ring contradicts itself: it was not written by the kernel alone.
    /// Nothing more can be consumed from it.
    Corrupt(Corruption),
}

/// How a ring contradicts itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corruption {
    /// Tail is further from head than the ring has slots, or before it.
    TailBeyondRing {
        /// The consumer's own head.
        head: Position,
        /// The tail read from the header.
        tail: Position,
    },
    /// A slot names an item that the ring does not have.
    IndexBeyondItems {
        /// Position of the slot.
        position: Position,
        /// The item it names, from 0.
        item: u32,
        /// Items the ring was made for.
        items: u32,
    },
}

impl core::fmt::Display for Corruption {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TailBeyondRing { head, tail } => {
                write!(f, "tail {tail} is not within the ring from head {head}")
            }
            Self::IndexBeyondItems { position, item, items } => {
                write!(f, "the slot of position {position} names item {item} of {items}")
            }
        }
    }
}

/// The only consumer of one ring. It keeps its own head, and writes the one
/// in the header without ever reading it back.
#[derive(Debug)]
pub struct Consumer<M> {
    memory: M,
    head: Position,
}

impl<M: RingMemory> Consumer<M> {
    /// Goes on from the head that `memory` holds now (0 in a new ring).
    pub fn new(memory: M) -> Self {
        let head = Position(memory.load_head(Relaxed));
        Self { memory, head }
    }

    /// The next position to consume.
    #[inline]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Events published and not yet consumed.
    #[inline]
    pub fn depth(&self) -> u32 {
        self.head.distance_to(Position(self.memory.load_tail(Relaxed)))
    }

    /// Whether there is nothing to consume. One relaxed load: made for spinning.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.memory.load_tail(Relaxed) == self.head.0
    }

    /// Polls the ring while it is empty, at most `budget` times, and calls
    /// `polled` after each poll that found it so. The end of the episode is
    /// told to whoever listens at the probe `uepoll:spin_end`
    /// (docs/spin-probe.md), with `epfd` as the ring's name.
    #[inline]
    pub fn spin(&self, epfd: RawFd, budget: u64, mut polled: impl FnMut()) -> Spun {
        let mut spun = Spun::default();
        while spun.polls < budget {
            if !self.is_empty() {
                spun.event = true;
                break;
            }
            spun.polls += 1;
            polled();
            hint::spin_loop();
        }
        if spun.polls > 0 {
            spin_end(epfd, spun.polls);
        }
        spun
    }

    /// Consumes what is in the ring at the time of the call, each event given
    /// to `sink` after head has moved over it. No allocation, no system call.
    ///
    /// `slot_spin_budget` bounds how often one slot is read while it is empty:
    /// v2 shows tail before the slot, so that a producer that is interrupted
    /// in between (a virtual CPU that naps) leaves a gap for that long.
    ///
    /// `sink` must drain the event's source: what comes after this event's
    /// `ready_events` were cleared is a new event, what came before is not.
    #[inline]
    pub fn drain(&mut self, slot_spin_budget: u64, mut sink: impl FnMut(Event)) -> Drained {
        let mut drained = Drained { consumed: 0, skipped: 0, slot_spins: 0, stop: Stop::Emptied };
        // Relaxed: tail only bounds the loop; what an event carries is
        // ordered by the acquire of its slot.
        let tail = Position(self.memory.load_tail(Relaxed));
        // Between two drains no item is in mid-step, so each position holds
        // another item: more than the slots is not the kernel's doing.
        if self.head.distance_to(tail) > self.memory.slots() {
            drained.stop = Stop::Corrupt(Corruption::TailBeyondRing { head: self.head, tail });
            return drained;
        }
        while self.head != tail {
            let position = self.head;
            let item = match self.item_at(position, slot_spin_budget, &mut drained.slot_spins) {
                Ok(item) => item,
                Err(stop) => {
                    drained.stop = stop;
                    return drained;
                }
            };
            self.memory.store_slot(position.0, 0, Relaxed);
            let data = self.memory.load_data(item);
            // The exchange hands the item back to the kernel; both halves of
            // AcqRel carry weight.
            // Release: once the kernel sees 0 it may publish the item again,
            // and in a ring as large as its items the new slot is the one
            // emptied above: that store, and the read of data, must not sink
            // below, or they wipe (or tear) the new event.
            // Acquire: what `sink` reads from the source must not be read
            // before the exchange. With RELEASE alone those loads may rise
            // above it; an event written in between finds the item still
            // ready, merges, is cleared here, and is never seen again. It
            // also makes the writes before each merged flag visible.
            let events = self.memory.exchange_ready_events(item, 0, AcqRel);
            // Head last, as a Release store: whoever sees it moved (a snapshot,
            // the kernel's test in epoll_wait) sees the slot empty and the
            // item handed back.
            self.head = position + 1;
            self.memory.store_head(self.head.0, Release);
            drained.consumed += 1;

            let events = events & !EPOLLREMOVED;
            if events == 0 {
                drained.skipped += 1;
            } else {
                sink(Event { position, item, events, data });
            }
        }
        drained
    }

    /// The item that the slot of `position` names, waited for while empty.
    #[inline]
    fn item_at(&self, position: Position, budget: u64, spins: &mut u64) -> Result<u32, Stop> {
        let mut left = budget;
        let slot = loop {
            match self.memory.load_slot(position.0, Acquire) {
                0 if left == 0 => return Err(Stop::SlotStayedEmpty(position)),
                0 => {
                    left -= 1;
                    *spins += 1;
                    hint::spin_loop();
                }
                slot => break slot,
            }
        };
        let (item, items) = (slot - 1, self.memory.items());
        if item < items {
            Ok(item)
        } else {
            Err(Stop::Corrupt(Corruption::IndexBeyondItems { position, item, items }))
        }
    }
}
