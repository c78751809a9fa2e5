//! Control and wait, in the context of the thread that calls. Nothing is kept
//! on a stack of the CPU here: these calls sleep.

use uepoll_common::counter::{HostCounter, RingCounter, RingHistogram};
use uepoll_common::state::Phase;

use crate::frames::{CtlFrame, WaitFrame};
use crate::{fields, life, maps, snapshot};

const OP_ADD: u32 = 1;
const EINTR: i64 = -4;
const ENOSPC: i64 = -28;
const ESTALE: i64 = -116;

/// `do_epoll_ctl` was entered.
#[inline(always)]
pub fn ctl_entry(epfd: i32, op: u32) {
    let phase = maps::phase();
    if phase != Phase::Counting as u32 && phase != Phase::Frames as u32 {
        return;
    }
    let thread = life::thread();
    let Some((ep, ring)) = life::met_by_fd(epfd) else {
        // A call of io_uring leaves its frame behind, having no exit of its
        // own: it must not be taken for this call's. Absent is ordinary.
        let _ = maps::CTLS.remove(thread);
        return;
    };
    let counted = phase == Phase::Counting as u32 && life::selected(ring);
    let frame = CtlFrame { ep, ring, op, no_bit: 0, counted: u32::from(counted) };
    if maps::CTLS.insert(thread, frame, 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
}

/// `ep_get_bit` returned: a bit, or that there is none.
#[inline(always)]
pub fn get_bit_exit(ret: i32) {
    if i64::from(ret) != ENOSPC {
        return;
    }
    if let Some(frame) = maps::CTLS.get_ptr_mut(life::thread()) {
        // SAFETY: map memory of this thread's own call.
        unsafe { (*frame).no_bit = 1 };
    }
}

/// epoll_ctl(2) returns.
#[inline(always)]
pub fn ctl_exit(ret: i64) {
    let thread = life::thread();
    let Some(place) = maps::CTLS.get_ptr(thread) else { return };
    // SAFETY: map memory of this thread's own call.
    let frame = unsafe { *place };
    let _ = maps::CTLS.remove(thread);
    if frame.counted == 0 || frame.op != OP_ADD {
        return;
    }
    maps::count(frame.ring, RingCounter::Adds);
    if ret != ENOSPC {
        return;
    }
    let full = if fields::get_bit_probed() != 0 {
        frame.no_bit != 0
    } else {
        // Where the kernel does not count used items either, the likelier of
        // the two causes; the probe plan says so.
        fields::items_used_of(frame.ep).is_none_or(|used| used >= fields::max_items_of(frame.ep))
    };
    let which = if full { RingCounter::AddsNoSpaceFull } else { RingCounter::AddsNoSpaceWatches };
    maps::count(frame.ring, which);
}

/// `do_epoll_wait` was entered.
#[inline(always)]
pub fn wait_entry(epfd: i32) {
    if maps::phase() != Phase::Counting as u32 {
        return;
    }
    let thread = life::thread();
    // A 32-bit call leaves its frame behind, having no exit that is traced: it
    // must not be taken for this call's.
    if maps::WAITS.get_ptr(thread).is_some() {
        let _ = maps::WAITS.remove(thread);
    }
    let Some((_, ring)) = life::met_by_fd(epfd) else { return };
    if !life::selected(ring) {
        return;
    }
    life::waiter(ring);
    // Its failure is the ring being closed meanwhile.
    let _ = snapshot::take_known(ring);
    let frame = WaitFrame {
        entry_ns: fields::now_ns(),
        switches: fields::voluntary_switches(),
        ring,
        reserved: 0,
    };
    if maps::WAITS.insert(thread, frame, 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
}

/// epoll_wait(2) or one of its kin returns.
#[inline(always)]
pub fn wait_exit(ret: i64) {
    let thread = life::thread();
    let Some(place) = maps::WAITS.get_ptr(thread) else { return };
    // SAFETY: map memory of this thread's own call.
    let frame = unsafe { *place };
    let _ = maps::WAITS.remove(thread);
    let ring = frame.ring;
    maps::record_in(ring, RingHistogram::Blocked, fields::now_ns().wrapping_sub(frame.entry_ns));
    let slept = fields::voluntary_switches() != frame.switches;
    let Some(counters) = maps::counters(ring) else { return };
    maps::count_in(counters, RingCounter::Waits);
    if slept {
        maps::count_in(counters, RingCounter::WaitsSlept);
    }
    let which = match (ret, slept) {
        (ESTALE, false) => RingCounter::WaitsStaleAtOnce,
        (ESTALE, true) => RingCounter::WaitsStaleSlept,
        (0, _) => RingCounter::WaitsTimedOut,
        (EINTR, _) => RingCounter::WaitsInterrupted,
        _ => RingCounter::WaitsOther,
    };
    maps::count_in(counters, which);
    // Its failure is the ring being closed meanwhile.
    let _ = snapshot::take_known(ring);
}
