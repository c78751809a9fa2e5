//! The ring itself: what `ep_add_event_to_uring` did (a new slot, or merged
//! into an item that was ready), and items removed from it. What a new slot
//! tells: `publish`.

use uepoll_common::abi::EPOLLREMOVED;
use uepoll_common::counter::{HostCounter, RingCounter};
use uepoll_common::state::{BANKS, RingState};

use crate::anomaly::{self, Anomaly};
use crate::atomic::{add, load, store};
use crate::fields::{self, Way};
use crate::frames::{AddFrame, CallbackFrame, CpuFrames, FRAMES, Origin, made_by};
use crate::publish::published;
use crate::{callback, life, maps};

const OP_ADD: u32 = 1;

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
pub fn begin_count<W: Way>(state: *mut RingState, header: u64, tail: u32, interval: u32) {
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
