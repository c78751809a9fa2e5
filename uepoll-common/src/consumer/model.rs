//! A ring in plain memory, with the kernel's side of protocol v2 as the
//! specification describes it: what tests consume where there is no kernel.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::memory::{RingMemory, RingView};
use crate::abi::{self, EPOLLREMOVED};
use crate::position::Position;

/// What became of an event given to [`ModelRing::publish`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publication {
    /// It took a new slot, at this position.
    New(Position),
    /// The item was already ready: its flags were added, no slot was taken.
    Merged,
}

/// A ring that no kernel writes: several threads may publish, one consumes.
#[derive(Debug)]
pub struct ModelRing {
    head: AtomicU32,
    tail: AtomicU32,
    items: Box<[Item]>,
    slots: Box<[AtomicU32]>,
}

#[derive(Debug, Default)]
struct Item {
    ready_events: AtomicU32,
    data: AtomicU64,
}

impl ModelRing {
    /// An empty ring for `max_items`, whose head and tail start at `start`.
    /// As many slots as the kernel makes with pages of 4 KiB.
    pub fn new(max_items: u32, start: Position) -> Self {
        let slots = abi::index_length(max_items, 4096) / size_of::<u32>();
        Self {
            head: AtomicU32::new(start.0),
            tail: AtomicU32::new(start.0),
            items: (0..max_items).map(|_| Item::default()).collect(),
            slots: (0..slots).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The kernel's `epoll_ctl` for `item`: its data.
    pub fn set_data(&self, item: u32, data: u64) {
        self.items[item as usize].data.store(data, Ordering::Relaxed);
    }

    /// The kernel's step for an event: adds `flags` to the item, and gives it
    /// a slot if it had none, tail first, as v2 does.
    pub fn publish(&self, item: u32, flags: u32) -> Publication {
        match self.reserve(item, flags) {
            Some(position) => {
                self.fill(position, item);
                Publication::New(position)
            }
            None => Publication::Merged,
        }
    }

    /// The first half of [`publish`](Self::publish): tail moved, the slot of
    /// the returned position still empty. `None` if the event merged.
    pub fn reserve(&self, item: u32, flags: u32) -> Option<Position> {
        let ready = &self.items[item as usize].ready_events;
        let mut seen = ready.load(Ordering::Relaxed);
        while let Err(now) = ready.compare_exchange_weak(
            seen,
            (seen & !EPOLLREMOVED) | flags,
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        (seen == 0).then(|| Position(self.tail.fetch_add(1, Ordering::AcqRel)))
    }

    /// The second half of [`publish`](Self::publish): the slot is written.
    pub fn fill(&self, position: Position, item: u32) {
        self.store_slot(position.0, item + 1, Ordering::Release);
    }

    /// The kernel's step when an item goes: what is ready becomes removed.
    pub fn remove(&self, item: u32) {
        let ready = &self.items[item as usize].ready_events;
        // Only an item that is still ready has a slot to be skipped.
        let removed = |seen: u32| (seen != 0).then_some(EPOLLREMOVED);
        // An item that is not ready is left as it is: nothing to mark.
        let _not_ready = ready.fetch_update(Ordering::AcqRel, Ordering::Relaxed, removed);
    }

    /// Writes tail, as only a kernel (or an attacker) could.
    pub fn force_tail(&self, value: u32) {
        self.tail.store(value, Ordering::Relaxed);
    }

    fn slot(&self, position: u32) -> &AtomicU32 {
        &self.slots[position as usize & (self.slots.len() - 1)]
    }
}

impl RingView for ModelRing {
    fn items(&self) -> u32 {
        self.items.len() as u32
    }

    fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    fn load_head(&self, order: Ordering) -> u32 {
        self.head.load(order)
    }

    fn load_tail(&self, order: Ordering) -> u32 {
        self.tail.load(order)
    }

    fn load_slot(&self, position: u32, order: Ordering) -> u32 {
        self.slot(position).load(order)
    }

    fn load_ready_events(&self, item: u32, order: Ordering) -> u32 {
        self.items[item as usize].ready_events.load(order)
    }

    fn load_data(&self, item: u32) -> u64 {
        self.items[item as usize].data.load(Ordering::Relaxed)
    }
}

impl RingMemory for ModelRing {
    fn store_head(&self, value: u32, order: Ordering) {
        self.head.store(value, order);
    }

    fn store_slot(&self, position: u32, value: u32, order: Ordering) {
        self.slot(position).store(value, order);
    }

    fn exchange_ready_events(&self, item: u32, value: u32, order: Ordering) -> u32 {
        self.items[item as usize].ready_events.swap(value, order)
    }
}
