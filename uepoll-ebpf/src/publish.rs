//! What a new slot tells: its latency, its position, a look at the ring; and
//! which positions are followed until they are consumed.

use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::counter::{RING_COUNTERS, RingCounter, RingHistogram};
use uepoll_common::state::{ACTIVE_RINGS, Pending, RingState};

use crate::atomic::{add, load, store};
use crate::fields::{self, Way};
use crate::frames::{AddFrame, CpuFrames, Origin};
use crate::pending::{self, Sample};
use crate::{life, maps, ring, snapshot};

/// Length of the window in which sampled positions are held to their budget.
pub const WINDOW_NS: u64 = 100_000_000;

/// Largest sample shift.
pub const MAX_SHIFT: u32 = 31;

/// A new slot was made between the entry and the exit of `frame`. `ep` and
/// `header` are those of the frame, typed where they can be.
#[inline(always)]
pub fn published<W: Way>(
    frame: &AddFrame,
    ep: u64,
    header: u64,
    state: *mut RingState,
    counters: *mut [u64; RING_COUNTERS],
) {
    let exit_ns = fields::now_ns();
    let AddFrame { ring, interval, .. } = *frame;
    if frame.arrival_ns != 0 {
        let which = if frame.origin == Origin::Worker as u32 {
            RingHistogram::PublishOffloaded
        } else {
            RingHistogram::PublishDirect
        };
        maps::record_in(ring, interval, which, exit_ns.wrapping_sub(frame.arrival_ns));
    }
    if fields::add_probed() != 0 {
        let exposed_ns = exit_ns.wrapping_sub(frame.entry_ns);
        maps::record_in(ring, interval, RingHistogram::SlotExposure, exposed_ns);
    }
    mark_active(state, ring);
    if fields::add_probed() == 0 {
        ring::begin_count::<W>(state, header, frame.tail, interval);
    }
    let Some(cpu) = maps::cpu_frames() else { return };
    let Some(tail) = fields::tail_of::<W>(ep, header) else { return };
    // SAFETY: map memory, from `maps::state`.
    store(unsafe { &raw mut (*state).counted_tail }, tail);
    by_this_cpu(cpu, ring, frame.tail, tail, exit_ns);
    let Some(mut seen) = snapshot::take::<W>(state, counters, ring, header, exit_ns) else {
        return;
    };
    if seen.sane {
        let mut depth = tail.wrapping_sub(seen.head);
        // SAFETY: map memory, from `maps::state`.
        if depth > unsafe { (*state).max_items }.wrapping_add(MAX_ITEMS) {
            if fields::add_probed() != 0 {
                // Under ep->lock tail does not move: the program has forged
                // both words in the mapping.
                maps::count_in(counters, RingCounter::HeadBeyondTail);
                seen.sane = false;
            }
            // Without the lock others have published, and head has followed.
            depth = seen.tail.wrapping_sub(seen.head);
        }
        if seen.sane {
            maps::record_in(ring, interval, RingHistogram::Depth, u64::from(depth));
        }
    }
    let position = if tail.wrapping_sub(frame.tail) == 1 {
        tail.wrapping_sub(1)
    } else {
        // Others have published meanwhile: which slot is this item's?
        let ep = if W::TYPED { frame.ep } else { ep };
        let step = slot_of(ep, frame.tail, tail, fields::bit_of_item(frame.item).unwrap_or(0));
        if step == NO_SLOT {
            return maps::count_in(counters, RingCounter::PositionsAmbiguous);
        }
        frame.tail.wrapping_add(step)
    };
    // SAFETY: map memory, from `maps::state`.
    let sample_shift = unsafe { load(&raw const (*state).sample_shift) };
    if !chosen(position, sample_shift) {
        return;
    }
    maps::count_in(counters, RingCounter::SampledDue);
    hold_to_budget(state, exit_ns);
    if !seen.sane {
        return maps::count_in(counters, RingCounter::SampledDoubtful);
    }
    let sample = Sample {
        position,
        item: fields::bit_of_item(frame.item).unwrap_or(u32::MAX),
        sample_shift,
        arrival_ns: frame.arrival_ns,
        add_entry_ns: frame.entry_ns,
        add_exit_ns: exit_ns,
        interval,
        waker: waker_of(frame),
    };
    pending::offer(ring, &sample, seen.head, seen.after_ns);
}

/// The thread in whose context an add was made, and whether it is a worker.
#[inline(always)]
fn waker_of(frame: &AddFrame) -> u32 {
    let by_worker = frame.origin == Origin::Worker as u32;
    life::thread() as u32 & !Pending::BY_WORKER | if by_worker { Pending::BY_WORKER } else { 0 }
}

/// How many slots are looked into for an item.
const SLOTS: u32 = 16;

/// The item is in none of them.
const NO_SLOT: u32 = u32::MAX;

/// Which of the slots between two tails holds an item; [`NO_SLOT`] if none does,
/// or one cannot tell: its consumer has cleared it, or slots are never cleared.
#[inline(never)]
fn slot_of(ep: u64, from: u32, to: u32, bit: u32) -> u32 {
    if fields::slots_from_one() == 0 {
        return NO_SLOT;
    }
    let mut step = 0;
    while step < SLOTS {
        if step >= to.wrapping_sub(from) {
            break;
        }
        if fields::slot_at(ep, from.wrapping_add(step)) == Some(bit.wrapping_add(1)) {
            return step;
        }
        step += 1;
    }
    NO_SLOT
}

/// Remembers what this CPU published, for the sampler: a tick that comes in the
/// same interrupt finds a ring that was empty for whoever was interrupted.
#[inline(always)]
fn by_this_cpu(cpu: *mut CpuFrames, ring: u32, before: u32, after: u32, now_ns: u64) {
    // SAFETY: this CPU's own map memory.
    unsafe {
        let follows = (*cpu).published_in == ring + 1
            && (*cpu).published_to == before
            && now_ns.wrapping_sub((*cpu).published_ns) < CpuFrames::ONE_INTERRUPT_NS;
        if !follows {
            (*cpu).published_in = ring + 1;
            (*cpu).published_from = before;
        }
        (*cpu).published_to = after;
        (*cpu).published_ns = now_ns;
    }
}

/// Whether a position is sampled: 1 in `2^shift`, by a salted hash, so that
/// nothing periodic in the program falls in step with it.
#[inline(always)]
pub fn chosen(position: u32, shift: u32) -> bool {
    if shift == 0 {
        return true;
    }
    // Murmur's finalizer: a product alone would choose positions in steps of
    // three lengths only, and with an unlucky salt in runs.
    let mut hash = position ^ fields::salt();
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16) >> (32u32.wrapping_sub(shift) & 31) == 0
}

/// Raises the ring's sample shift when it has sampled more than its budget in
/// one window. Never lowers it: a run has few rates, each known by record.
#[inline(always)]
fn hold_to_budget(state: *mut RingState, now_ns: u64) {
    // SAFETY: map memory, from `maps::state`. Adders of one ring follow each
    // other; where they do not, a window may be counted twice, which only
    // moves the moment of the change.
    unsafe {
        if now_ns.wrapping_sub((*state).window_start_ns) > WINDOW_NS {
            (*state).window_start_ns = now_ns;
            (*state).window_due = 0;
        }
        (*state).window_due += 1;
        if (*state).window_due > fields::sample_budget() && (*state).sample_shift < MAX_SHIFT {
            (*state).sample_shift += 1;
            (*state).window_due = 0;
        }
    }
}

/// Gives the ring a place in the list that the sampler looks at; whoever had
/// that place loses it, and takes another when it publishes again.
#[inline(always)]
fn mark_active(state: *mut RingState, ring: u32) {
    // SAFETY: map memory, from `maps::state`.
    let mark = unsafe { &raw mut (*state).active };
    if load(mark) != 0 {
        return;
    }
    let (Some(control), Some(list)) = (maps::control(), maps::active()) else { return };
    store(mark, 1);
    // SAFETY: map memory; the index is masked.
    let place = unsafe {
        let at = add(&raw mut (*control).active_cursor, 1);
        &raw mut (*list)[at as usize & (ACTIVE_RINGS - 1)]
    };
    let before = load(place);
    store(place, ring + 1);
    if before != 0
        && before != ring + 1
        && let Some(other) = maps::state(before - 1)
    {
        // SAFETY: map memory, from `maps::state`.
        store(unsafe { &raw mut (*other).active }, 0);
    }
}
