//! The ring itself: what `ep_add_event_to_uring` did (a new slot, or merged
//! into an item that was ready), at which position, and items removed from it.

use uepoll_common::abi::{EPOLLREMOVED, MAX_ITEMS};
use uepoll_common::counter::{HostCounter, RING_COUNTERS, RingCounter, RingHistogram};
use uepoll_common::state::{ACTIVE_RINGS, Phase, RingState};

use crate::anomaly::{self, Anomaly};
use crate::atomic::{add, load, store};
use crate::fields;
use crate::frames::{AddFrame, CallbackFrame, CpuFrames, FRAMES, Origin, made_by};
use crate::pending::{self, Sample};
use crate::{callback, life, maps, snapshot};

const OP_ADD: u32 = 1;

/// Length of the window in which sampled positions are held to their budget.
const WINDOW_NS: u64 = 100_000_000;

/// Largest sample shift.
const MAX_SHIFT: u32 = 31;

/// `ep_add_event_to_uring` was entered for `item`. Under ep->lock, interrupts
/// off.
#[inline(always)]
pub fn add_entry(sp: u64, item: u64) {
    let Some(ep) = fields::ep_of_item(item) else { return };
    let Some(header) = fields::header_of(ep) else { return };
    let Some(cpu) = maps::cpu_frames() else { return };
    let Some((ring, origin, arrival_ns)) = origin_of(cpu, sp, item, ep) else { return };
    let Some(tail) = fields::tail_of(ep, header) else { return };
    let Some(state) = maps::state(ring) else { return };
    begin_count(state, header, tail);
    // SAFETY: this CPU's own map memory; the index is masked.
    unsafe {
        let mut depth = (*cpu).add_depth;
        if depth >= FRAMES as u32 {
            // Returns were missed; what is left over belongs to no call.
            maps::count_host(HostCounter::StackOverflows);
            anomaly::tell(Anomaly::StackOverflow, 0, FRAMES as u32);
            depth = 0;
        }
        (*cpu).adds[depth as usize & (FRAMES - 1)] = AddFrame {
            sp,
            item,
            ep,
            header,
            arrival_ns,
            entry_ns: fields::now_ns(),
            ring,
            origin: origin as u32,
            tail,
            reserved: 0,
        };
        (*cpu).add_depth = depth + 1;
    }
}

/// Settles, at the first add that is counted, where counting began. ep->lock
/// makes it exact: every later add of the ring finds it selected.
#[inline(always)]
fn begin_count(state: *mut RingState, header: u64, tail: u32) {
    // SAFETY: map memory, from `maps::state`.
    unsafe {
        if load(&raw const (*state).first_known) != 0 {
            return;
        }
        if let Some((head, _)) = fields::head_and_tail(header) {
            (*state).first_head = head;
            (*state).first_tail = tail;
            store(&raw mut (*state).first_known, 1);
        }
    }
}

/// Where an add comes from: ring, origin and entry of the callback. `None` if
/// it is not to be counted.
#[inline(always)]
fn origin_of(cpu: *mut CpuFrames, sp: u64, item: u64, ep: u64) -> Option<(u32, Origin, u64)> {
    if let Some(frame) = callback::innermost(cpu) {
        // SAFETY: this CPU's own map memory, from `innermost`.
        unsafe {
            if (*frame).item == item && made_by(sp, (*frame).sp) {
                return begun(frame, Origin::Callback);
            }
        }
    }
    if let Some(frame) = callback::of_worker() {
        // SAFETY: map memory of this thread's worker, from `of_worker`.
        unsafe {
            if (*frame).item == item && made_by(sp, (*frame).sp) {
                return begun(frame, Origin::Worker);
            }
        }
    }
    if let Some(frame) = maps::CTLS.get_ptr(life::thread()) {
        // SAFETY: map memory of this thread's own call.
        unsafe {
            if (*frame).ep == ep {
                let origin = if (*frame).op == OP_ADD { Origin::Insert } else { Origin::Modify };
                let ring = (*frame).ring;
                return life::counts(ring).then_some((ring, origin, 0));
            }
        }
    }
    // From a callback whose entry was missed. It is counted, so that positions
    // add up, and it is told that the books of arrivals do not.
    let ring = life::number_of(ep)?;
    if !life::counts(ring) {
        return None;
    }
    maps::count(ring, RingCounter::PairsMismatched);
    anomaly::tell(Anomaly::PairsMismatched, ring, 0);
    Some((ring, Origin::Callback, 0))
}

/// Marks a callback as having entered its add, and decides whether both count.
#[inline(always)]
fn begun(frame: *mut CallbackFrame, origin: Origin) -> Option<(u32, Origin, u64)> {
    // SAFETY: map memory of this CPU or of this thread's worker.
    unsafe {
        (*frame).flags |= CallbackFrame::ADD_ENTERED;
        if !life::counts((*frame).ring) {
            return None;
        }
        (*frame).flags |= CallbackFrame::COUNTED;
        Some(((*frame).ring, origin, (*frame).entry_ns))
    }
}

/// `ep_add_event_to_uring` returned: `new_slot`, or merged.
#[inline(always)]
pub fn add_exit(sp: u64, new_slot: bool) {
    let Some(cpu) = maps::cpu_frames() else { return };
    // SAFETY: this CPU's own map memory; the index is masked.
    let frame = unsafe {
        let depth = (*cpu).add_depth;
        if depth == 0 {
            return;
        }
        let frame = (*cpu).adds[(depth - 1) as usize & (FRAMES - 1)];
        if frame.sp != sp {
            // An ordinary return, or the frame's own was missed: the overflow
            // of the stack tells of the latter.
            return;
        }
        (*cpu).add_depth = depth - 1;
        frame
    };
    let origin = frame.origin;
    if origin == Origin::Callback as u32 {
        if let Some(around) = callback::innermost(cpu) {
            returned(around, frame.item);
        }
    } else if origin == Origin::Worker as u32
        && let Some(around) = callback::of_worker()
    {
        returned(around, frame.item);
    }
    let Some(counters) = maps::counters(frame.ring) else { return };
    let Some(state) = maps::state(frame.ring) else { return };
    maps::count_in(counters, outcome(origin, new_slot));
    if new_slot {
        published(&frame, state, counters);
    } else {
        // SAFETY: map memory, from `maps::state`.
        store(unsafe { &raw mut (*state).counted_tail }, frame.tail);
    }
}

/// Marks a callback as having had the answer of its add.
#[inline(always)]
fn returned(frame: *mut CallbackFrame, item: u64) {
    // SAFETY: map memory of this CPU or of this thread's worker.
    unsafe {
        if (*frame).item == item {
            (*frame).flags |= CallbackFrame::ADD_RETURNED;
        }
    }
}

#[inline(always)]
fn outcome(origin: u32, new_slot: bool) -> RingCounter {
    if origin == Origin::Insert as u32 {
        if new_slot { RingCounter::PublishedInsert } else { RingCounter::MergedInsert }
    } else if origin == Origin::Modify as u32 {
        if new_slot { RingCounter::PublishedModify } else { RingCounter::MergedModify }
    } else if new_slot {
        RingCounter::PublishedCallback
    } else {
        RingCounter::MergedCallback
    }
}

/// A new slot was made between the entry and the exit of `frame`.
#[inline(always)]
pub fn published(frame: &AddFrame, state: *mut RingState, counters: *mut [u64; RING_COUNTERS]) {
    let exit_ns = fields::now_ns();
    let ring = frame.ring;
    if frame.arrival_ns != 0 {
        let which = if frame.origin == Origin::Worker as u32 {
            RingHistogram::PublishOffloaded
        } else {
            RingHistogram::PublishDirect
        };
        maps::record_in(ring, which, exit_ns.wrapping_sub(frame.arrival_ns));
    }
    mark_active(state, ring);
    let Some(tail) = fields::tail_of(frame.ep, frame.header) else { return };
    // SAFETY: map memory, from `maps::state`.
    store(unsafe { &raw mut (*state).counted_tail }, tail);
    let Some(mut seen) = snapshot::take(state, counters, ring, frame.header, exit_ns) else {
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
            maps::record_in(ring, RingHistogram::Depth, u64::from(depth));
        }
    }
    if tail.wrapping_sub(frame.tail) != 1 {
        return maps::count_in(counters, RingCounter::PositionsAmbiguous);
    }
    let position = tail.wrapping_sub(1);
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
    };
    pending::offer(ring, &sample, seen.head, seen.after_ns);
}

/// Whether a position is sampled: 1 in `2^shift`, by a salted hash, so that
/// nothing periodic in the program falls in step with it.
#[inline(always)]
fn chosen(position: u32, shift: u32) -> bool {
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

/// `ep_remove_user_item` was entered for `item`. Under ep->mtx.
#[inline(always)]
pub fn remove_entry(item: u64) {
    if maps::phase() != Phase::Counting as u32 {
        return;
    }
    let Some(ep) = fields::ep_of_item(item) else { return };
    let Some(header) = fields::header_of(ep) else { return };
    // An item that dies takes its queued wake-up with it. Absent is ordinary.
    let _ = maps::OFFLOADS.remove(item);
    // Not met here if unknown: the file may be on its way out.
    let Some(ring) = life::number_of(ep) else { return };
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`.
    if unsafe { load(&raw const (*state).selected) } == 0 {
        return;
    }
    maps::count(ring, RingCounter::Removed);
    let ready =
        fields::bit_of_item(item).and_then(|bit| fields::ready_events(header, bit)).unwrap_or(0);
    // EPOLLREMOVED alone is what an earlier item of this number left behind.
    if ready & !EPOLLREMOVED != 0 {
        maps::count(ring, RingCounter::RemovedReady);
    }
}
