//! What the protocol needs of a ring's memory, and nothing else: the words of
//! header, items and index, each with the ordering that the caller names.
//!
//! No protocol here, and no address: see `protocol.rs` and `mapping.rs`.

use core::sync::atomic::Ordering;

/// A ring that can be looked at: all that a snapshot needs.
///
/// Every method takes any `u32` and stays within the ring: slots are masked,
/// and an item beyond [`items`](Self::items) is a panic of the caller's, never
/// a read outside. The protocol checks what it reads before it uses it.
pub trait RingView {
    /// Items the ring was made for (`max_items`), as we asked, not as the
    /// header says.
    fn items(&self) -> u32;

    /// Slots of the index ring: a power of two, at least [`items`](Self::items).
    fn slots(&self) -> u32;

    /// The word that the consumer moves.
    fn load_head(&self, order: Ordering) -> u32;

    /// The word that the kernel moves.
    fn load_tail(&self, order: Ordering) -> u32;

    /// The slot of `position` (taken modulo [`slots`](Self::slots)): 0 while
    /// it is empty, else the item's number plus one.
    fn load_slot(&self, position: u32, order: Ordering) -> u32;

    /// `ready_events` of `item`: poll flags not yet consumed.
    fn load_ready_events(&self, item: u32, order: Ordering) -> u32;

    /// `event.data` of `item`, as given to `epoll_ctl`. The kernel writes it
    /// as a plain word, so that it carries no ordering of its own.
    fn load_data(&self, item: u32) -> u64;
}

/// A ring that can be consumed.
pub trait RingMemory: RingView {
    /// Moves head.
    fn store_head(&self, value: u32, order: Ordering);

    /// Writes the slot of `position` (taken modulo the slots).
    fn store_slot(&self, position: u32, value: u32, order: Ordering);

    /// Puts `value` into `ready_events` of `item`; returns what was there.
    fn exchange_ready_events(&self, item: u32, value: u32, order: Ordering) -> u32;
}

impl<M: RingView + ?Sized> RingView for &M {
    #[inline]
    fn items(&self) -> u32 {
        (**self).items()
    }

    #[inline]
    fn slots(&self) -> u32 {
        (**self).slots()
    }

    #[inline]
    fn load_head(&self, order: Ordering) -> u32 {
        (**self).load_head(order)
    }

    #[inline]
    fn load_tail(&self, order: Ordering) -> u32 {
        (**self).load_tail(order)
    }

    #[inline]
    fn load_slot(&self, position: u32, order: Ordering) -> u32 {
        (**self).load_slot(position, order)
    }

    #[inline]
    fn load_ready_events(&self, item: u32, order: Ordering) -> u32 {
        (**self).load_ready_events(item, order)
    }

    #[inline]
    fn load_data(&self, item: u32) -> u64 {
        (**self).load_data(item)
    }
}

impl<M: RingMemory + ?Sized> RingMemory for &M {
    #[inline]
    fn store_head(&self, value: u32, order: Ordering) {
        (**self).store_head(value, order);
    }

    #[inline]
    fn store_slot(&self, position: u32, value: u32, order: Ordering) {
        (**self).store_slot(position, value, order);
    }

    #[inline]
    fn exchange_ready_events(&self, item: u32, value: u32, order: Ordering) -> u32 {
        (**self).exchange_ready_events(item, value, order)
    }
}
