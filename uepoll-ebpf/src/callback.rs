//! Arrivals: `ep_poll_callback`, in whoever wakes, or in the offload worker.
//!
//! An arrival is booked together with what became of it, at one moment: by its
//! add, under ep->lock, or at the return where there was none. So the books
//! balance to the event however an interval, or the selection of a ring, begins
//! and ends in the middle of it.

use uepoll_common::counter::{HostCounter, RingCounter};
use uepoll_common::state::Phase;

use crate::atomic::load;
use crate::fields::{self, Probed, Way};
use crate::frames::{AddFrame, CallbackFrame, CpuFrames, FRAMES, Origin};
use crate::publish::published;
use crate::{life, maps};

/// EPOLLWAKEUP, EPOLLONESHOT, EPOLLET and EPOLLEXCLUSIVE: the bits of
/// `event.events` that are no poll flags.
const EP_PRIVATE_BITS: u32 = 0xf000_0000;

/// The innermost callback that this CPU is in.
#[inline(always)]
pub fn innermost(cpu: *mut CpuFrames) -> Option<*mut CallbackFrame> {
    // SAFETY: this CPU's own map memory; the index is masked.
    unsafe {
        let depth = (*cpu).callback_depth;
        if depth == 0 {
            return None;
        }
        Some(&raw mut (*cpu).callbacks[(depth - 1) as usize & (FRAMES - 1)])
    }
}

/// The callback that this thread's offload work has made, if it runs one.
#[inline(always)]
pub fn of_worker() -> Option<*mut CallbackFrame> {
    let control = maps::control()?;
    // SAFETY: map memory.
    if unsafe { load(&raw const (*control).workers_active) } == 0 {
        return None;
    }
    let worker = maps::WORKERS.get_ptr_mut(life::thread())?;
    // SAFETY: map memory of this thread's worker.
    Some(unsafe { &raw mut (*worker).callback })
}

/// `ep_poll_callback` was entered for `item`.
#[inline(always)]
pub fn entry<W: Way>(call: u64, item: u64, poll_flags: u32) {
    let phase = maps::phase();
    if !phase.is(Phase::Counting) && !phase.is(Phase::Frames) {
        return;
    }
    let Some(ep) = fields::ep_of_item::<W>(item) else { return };
    let Some(header) = fields::header_of::<W>(ep) else { return };
    let Some(ring) = life::met_by_waker(ep, header) else { return };
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`.
    let selected = unsafe { load(&raw const (*state).selected) } != 0;
    let mut frame =
        CallbackFrame { call, item, ep, header, ring, poll_flags, ..CallbackFrame::NONE };
    if selected {
        frame.entry_ns = fields::now_ns();
    } else {
        // Remembered all the same: the ring may be selected before the return.
        maps::count_host(HostCounter::Unselected);
    }
    if fields::add_probed() == 0 {
        frame.tail = fields::tail_of::<W>(ep, header).unwrap_or(0);
    }
    if !push_worker(&mut frame) {
        push_cpu(&frame);
    }
}

/// Keeps the frame with this thread's offload work, if that is who calls.
#[inline(always)]
fn push_worker(frame: &mut CallbackFrame) -> bool {
    let Some(control) = maps::control() else { return false };
    // SAFETY: map memory.
    if unsafe { load(&raw const (*control).workers_active) } == 0 {
        return false;
    }
    let Some(worker) = maps::WORKERS.get_ptr_mut(life::thread()) else { return false };
    // SAFETY: map memory of this thread's worker.
    unsafe {
        if (*worker).item != frame.item || (*worker).callback.call != 0 {
            return false;
        }
        frame.flags |= CallbackFrame::OFFLOADED;
        if frame.poll_flags != 0 {
            (*worker).called_back = 1;
        }
        (*worker).callback = *frame;
    }
    true
}

/// Keeps the frame on this CPU's stack: interrupts are off until the return.
#[inline(always)]
fn push_cpu(frame: &CallbackFrame) {
    let Some(cpu) = maps::cpu_frames() else { return };
    // SAFETY: this CPU's own map memory; the index is masked.
    unsafe {
        let mut depth = (*cpu).callback_depth;
        if depth >= FRAMES as u32 {
            // Returns were missed; what is left over belongs to no call.
            maps::count_host(HostCounter::StackOverflows);
            depth = 0;
        }
        (*cpu).callbacks[depth as usize & (FRAMES - 1)] = *frame;
        (*cpu).callback_depth = depth + 1;
    }
}

/// `ep_poll_callback` returned. `item` is known where arguments are.
#[inline(always)]
pub fn exit<W: Way>(call: u64, item: u64) {
    let Some(cpu) = maps::cpu_frames() else { return };
    if let Some(frame) = pop_cpu(cpu, call) {
        return finish::<W>(&frame, item);
    }
    if let Some(place) = of_worker() {
        // SAFETY: map memory of this thread's worker, from `of_worker`.
        unsafe {
            if (*place).call == call {
                let frame = *place;
                *place = CallbackFrame::NONE;
                finish::<W>(&frame, item);
            }
        }
    }
}

/// Takes the frame of this call off the stack, and with it whatever lies above
/// it: calls whose return was missed.
#[inline(always)]
fn pop_cpu(cpu: *mut CpuFrames, call: u64) -> Option<CallbackFrame> {
    // SAFETY: this CPU's own map memory; indexes are masked.
    unsafe {
        let mut depth = (*cpu).callback_depth;
        let mut step = 0;
        while step < FRAMES && depth > 0 {
            step += 1;
            depth -= 1;
            let frame = &raw const (*cpu).callbacks[depth as usize & (FRAMES - 1)];
            if (*frame).call == call {
                let found = *frame;
                if step > 1 {
                    let interval = maps::phase().interval();
                    maps::count(found.ring, interval, RingCounter::PairsMismatched);
                }
                (*cpu).callback_depth = depth;
                return Some(found);
            }
        }
    }
    None
}

/// Books an arrival, unless its add has.
#[inline(always)]
fn finish<W: Way>(frame: &CallbackFrame, item: u64) {
    if frame.flags & CallbackFrame::ADD_ENTERED != 0 {
        let counted = frame.flags & CallbackFrame::COUNTED != 0;
        if counted && frame.flags & CallbackFrame::ADD_RETURNED == 0 {
            // What became of it was missed, and the books say so.
            let interval = maps::phase().interval();
            maps::count_shared(frame.ring, interval, RingCounter::Arrivals);
            maps::count_shared(frame.ring, interval, RingCounter::PairsMismatched);
        }
        return;
    }
    let Some(interval) = life::counting(frame.ring) else { return };
    maps::count_shared(frame.ring, interval, RingCounter::Arrivals);
    if frame.flags & CallbackFrame::OFFLOADED != 0 {
        maps::count_shared(frame.ring, interval, RingCounter::ArrivalsOffloaded);
    }
    let events = if W::TYPED {
        fields::events_of_item::<W>(item)
    } else {
        fields::events_of_item::<Probed>(frame.item)
    };
    let events = events.unwrap_or(0) & !EP_PRIVATE_BITS;
    if fields::add_probed() == 0 {
        return infer(frame, interval, events);
    }
    let which = if events == 0 { RingCounter::Disarmed } else { RingCounter::Filtered };
    maps::count_shared(frame.ring, interval, which);
}

/// Infers what the inlined add did from the movement of tail between the entry
/// and the return of the callback.
#[inline(always)]
fn infer(frame: &CallbackFrame, interval: u32, events: u32) {
    let Some(tail) = fields::tail_of::<Probed>(frame.ep, frame.header) else { return };
    let Some(counters) = maps::counters(frame.ring, interval) else { return };
    if tail == frame.tail {
        let which = if events == 0 {
            RingCounter::Disarmed
        } else if frame.poll_flags & events == 0 {
            RingCounter::Filtered
        } else {
            RingCounter::MergedCallback
        };
        return maps::count_in(counters, which);
    }
    maps::count_in(counters, RingCounter::PublishedCallback);
    let Some(state) = maps::state(frame.ring) else { return };
    let offloaded = frame.flags & CallbackFrame::OFFLOADED != 0;
    let add = AddFrame {
        call: frame.call,
        item: frame.item,
        ep: frame.ep,
        header: frame.header,
        arrival_ns: frame.entry_ns,
        entry_ns: frame.entry_ns,
        ring: frame.ring,
        origin: if offloaded { Origin::Worker } else { Origin::Callback } as u32,
        tail: frame.tail,
        interval,
        by_callback: 1,
        reserved: 0,
    };
    published::<Probed>(&add, frame.ep, frame.header, state, counters);
}
