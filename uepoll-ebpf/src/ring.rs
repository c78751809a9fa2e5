//! The ring itself: what `ep_add_event_to_uring` did (a new slot, or merged
//! into an item that was ready), at which position, and items removed from it.

use uepoll_common::abi::{EPOLLREMOVED, MAX_ITEMS};
use uepoll_common::counter::{HostCounter, RING_COUNTERS, RingCounter, RingHistogram};
use uepoll_common::state::{ACTIVE_RINGS, BANKS, RingState};

use crate::anomaly::{self, Anomaly};
use crate::atomic::{add, load, store};
use crate::fields::{self, Way};
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
pub fn add_entry<W: Way>(call: u64, item: u64) {
    let Some(ep) = fields::ep_of_item::<W>(item) else { return };
    let Some(header) = fields::header_of::<W>(ep) else { return };
    let Some(cpu) = maps::cpu_frames() else { return };
    let Some(cause) = cause_of::<W>(cpu, call, item, ep) else { return };
    let Cause { ring, interval, origin, arrival_ns, by_callback } = cause;
    let Some(tail) = fields::tail_of::<W>(ep, header) else { return };
    let Some(state) = maps::state(ring) else { return };
    begin_count::<W>(state, header, tail, interval);
    under_way(state, tail);
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
            call,
            item,
            ep,
            header,
            arrival_ns,
            entry_ns: fields::now_ns(),
            ring,
            origin: origin as u32,
            tail,
            interval,
            by_callback: u32::from(by_callback),
            reserved: 0,
        };
        (*cpu).add_depth = depth + 1;
    }
}

/// Notes that an add of this ring has begun.
#[inline(always)]
fn under_way(state: *mut RingState, tail: u32) {
    // SAFETY: map memory, from `maps::state`.
    unsafe {
        store(&raw mut (*state).adding_tail, tail);
        if fields::lock_is_spinlock() != 0 {
            // One at a time: an add whose return is missed spoils nothing.
            store(&raw mut (*state).adding, 1);
        } else {
            add(&raw mut (*state).adding, 1);
        }
    }
}

/// Notes that an add of this ring has ended.
#[inline(always)]
fn done(state: *mut RingState) {
    // SAFETY: map memory, from `maps::state`.
    unsafe {
        if fields::lock_is_spinlock() != 0 {
            store(&raw mut (*state).adding, 0);
        } else {
            add(&raw mut (*state).adding, u32::MAX);
        }
    }
}

/// Settles, at the first add that is counted in an interval, where the ring
/// stood when that began. ep->lock makes it exact: every later add of the ring
/// is counted in this interval or in a later one.
#[inline(always)]
fn begin_count<W: Way>(state: *mut RingState, header: u64, tail: u32, interval: u32) {
    // SAFETY: map memory, from `maps::state`; the index is masked.
    unsafe {
        let start = &raw mut (*state).starts[interval as usize & (BANKS - 1)];
        if load(&raw const (*start).interval) == interval + 1 {
            return;
        }
        if let Some((head, _)) = fields::head_and_tail::<W>(header) {
            (*start).head = head;
            (*start).tail = tail;
            store(&raw mut (*start).interval, interval + 1);
        }
    }
}

/// Where an add comes from, and where it is counted.
struct Cause {
    ring: u32,
    interval: u32,
    origin: Origin,
    /// Entry of the callback; 0 if it has none.
    arrival_ns: u64,
    /// The callback around it was seen to begin.
    by_callback: bool,
}

/// Where an add comes from; `None` if it is not to be counted.
#[inline(always)]
fn cause_of<W: Way>(cpu: *mut CpuFrames, call: u64, item: u64, ep: u64) -> Option<Cause> {
    if let Some(frame) = callback::innermost(cpu) {
        // SAFETY: this CPU's own map memory, from `innermost`.
        unsafe {
            if (*frame).item == item && made_by::<W>(call, (*frame).call) {
                return begun(frame, Origin::Callback);
            }
        }
    }
    if let Some(frame) = callback::of_worker() {
        // SAFETY: map memory of this thread's worker, from `of_worker`.
        unsafe {
            if (*frame).item == item && made_by::<W>(call, (*frame).call) {
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
                let interval = life::counting(ring)?;
                return Some(Cause { ring, interval, origin, arrival_ns: 0, by_callback: false });
            }
        }
    }
    let ring = life::number_of(ep)?;
    let interval = life::counting(ring)?;
    if fields::callback_probed() != 0 {
        // From a callback whose entry was missed. It is counted, so that
        // positions add up, and it is told that the books of arrivals do not.
        maps::count(ring, interval, RingCounter::PairsMismatched);
        anomaly::tell(Anomaly::PairsMismatched, ring, 0);
    }
    // Else from the worker: its calls are not seen to arrive.
    Some(Cause { ring, interval, origin: Origin::Callback, arrival_ns: 0, by_callback: false })
}

/// Marks a callback as having entered its add, and decides whether both count.
#[inline(always)]
fn begun(frame: *mut CallbackFrame, origin: Origin) -> Option<Cause> {
    // SAFETY: map memory of this CPU or of this thread's worker.
    unsafe {
        (*frame).flags |= CallbackFrame::ADD_ENTERED;
        let ring = (*frame).ring;
        let interval = life::counting(ring)?;
        (*frame).flags |= CallbackFrame::COUNTED;
        (*frame).interval = interval;
        Some(Cause { ring, interval, origin, arrival_ns: (*frame).entry_ns, by_callback: true })
    }
}

/// `ep_add_event_to_uring` returned: `new_slot`, or merged. `item` is known
/// where arguments are.
#[inline(always)]
pub fn add_exit<W: Way>(call: u64, item: u64, new_slot: bool) {
    let Some(cpu) = maps::cpu_frames() else { return };
    // SAFETY: this CPU's own map memory; the index is masked.
    let frame = unsafe {
        let depth = (*cpu).add_depth;
        if depth == 0 {
            return;
        }
        let frame = (*cpu).adds[(depth - 1) as usize & (FRAMES - 1)];
        if frame.call != call {
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
    let Some(counters) = maps::counters(frame.ring, frame.interval) else { return };
    let Some(state) = maps::state(frame.ring) else { return };
    done(state);
    maps::count_in(counters, outcome(origin, new_slot));
    // One by a callback whose entry was missed is no arrival that was seen.
    if frame.by_callback != 0 {
        maps::count_in(counters, RingCounter::Arrivals);
        if origin == Origin::Worker as u32 {
            maps::count_in(counters, RingCounter::ArrivalsOffloaded);
        }
    }
    if new_slot {
        if W::TYPED {
            let Some(ep) = fields::ep_of_item::<W>(item) else { return };
            let Some(header) = fields::header_of::<W>(ep) else { return };
            published::<W>(&frame, ep, header, state, counters);
        } else {
            published::<W>(&frame, frame.ep, frame.header, state, counters);
        }
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
        begin_count::<W>(state, header, frame.tail, interval);
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
    };
    pending::offer(ring, &sample, seen.head, seen.after_ns);
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
pub fn remove_entry<W: Way>(item: u64) {
    let Some(interval) = maps::counting() else { return };
    let Some(ep) = fields::ep_of_item::<W>(item) else { return };
    let Some(header) = fields::header_of::<W>(ep) else { return };
    // An item that dies takes its queued wake-up with it. Absent is ordinary.
    let _ = maps::OFFLOADS.remove(item);
    // Not met here if unknown: the file may be on its way out.
    let Some(ring) = life::number_of(ep) else { return };
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`.
    if unsafe { load(&raw const (*state).selected) } == 0 {
        return;
    }
    maps::count(ring, interval, RingCounter::Removed);
    let ready =
        fields::bit_of_item(item).and_then(|bit| fields::ready_events(header, bit)).unwrap_or(0);
    // EPOLLREMOVED alone is what an earlier item of this number left behind.
    if ready & !EPOLLREMOVED != 0 {
        maps::count(ring, interval, RingCounter::RemovedReady);
    }
}
