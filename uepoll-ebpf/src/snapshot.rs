//! A snapshot of a ring: head and tail between two clocks. Every place that
//! sees a ring takes one, and every one narrows when sampled positions were
//! consumed.

use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::counter::{RING_COUNTERS, RingCounter};
use uepoll_common::state::RingState;

use crate::anomaly::{self, Anomaly};
use crate::atomic::{load, store};
use crate::fields::{self, Probed, Way};
use crate::{maps, pending};

/// What one look has shown.
#[derive(Clone, Copy)]
pub struct Seen {
    /// Clock before the read.
    pub before_ns: u64,
    /// Clock after the read.
    pub after_ns: u64,
    /// Head, as the program left it.
    pub head: u32,
    /// Tail, as the mapping shows it.
    pub tail: u32,
    /// Head neither went back nor is beyond tail: fit for latencies.
    pub sane: bool,
}

/// Looks at a ring. `before_ns` is a clock read no later than now.
#[inline(always)]
pub fn take<W: Way>(
    state: *mut RingState,
    counters: *mut [u64; RING_COUNTERS],
    ring: u32,
    header: u64,
    before_ns: u64,
) -> Option<Seen> {
    // SAFETY: map memory, from `maps::state`; fields are read and written whole.
    let (last_head, last_tail, max_items) =
        unsafe { (&raw mut (*state).last_head, &raw mut (*state).last_tail, (*state).max_items) };
    // Read before the ring is: whoever stored it had read the ring by then, so
    // a smaller head below has truly gone back.
    let previous = load(last_head);
    let (head, tail) = fields::head_and_tail::<W>(header)?;
    let after_ns = fields::now_ns();
    // Once closed, the header may have been freed under this read.
    // SAFETY: map memory, from `maps::state`.
    if unsafe { load(&raw const (*state).closing) } != 0 {
        return None;
    }
    maps::count_in(counters, RingCounter::Snapshots);
    let depth = tail.wrapping_sub(head);
    if depth == 0 {
        maps::count_in(counters, RingCounter::SnapshotsEmpty);
    }
    let mut sane = true;
    // A little more than the capacity is legal while consumers are between
    // clearing an item and moving head.
    if depth > max_items.wrapping_add(MAX_ITEMS) {
        maps::count_in(counters, RingCounter::HeadBeyondTail);
        anomaly::tell(Anomaly::HeadBeyondTail, ring, head);
        sane = false;
    }
    if (head.wrapping_sub(previous) as i32) < 0 {
        maps::count_in(counters, RingCounter::HeadBack);
        anomaly::tell(Anomaly::HeadBack, ring, head);
        sane = false;
    }
    store(last_head, head);
    store(last_tail, tail);
    if sane && pending::any(state) {
        pending::resolve(ring, head, before_ns, after_ns);
    }
    Some(Seen { before_ns, after_ns, head, tail, sane })
}

/// Looks at a ring from where nothing else is known of it.
#[inline(always)]
pub fn take_known(ring: u32, interval: u32) -> Option<Seen> {
    let state = maps::state(ring)?;
    let counters = maps::counters(ring, interval)?;
    // SAFETY: map memory, from `maps::state`.
    let (header, closing) = unsafe { ((*state).header, load(&raw const (*state).closing)) };
    // Once closed, the header may be freed at any moment.
    if closing != 0 || header == 0 {
        return None;
    }
    take::<Probed>(state, counters, ring, header, fields::now_ns())
}
