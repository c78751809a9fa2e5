//! Control and wait, in the context of the thread that calls. Nothing is kept
//! on a stack of the CPU here: these calls sleep.

use uepoll_common::counter::{HostCounter, RingCounter, RingHistogram};
use uepoll_common::state::{Phase, WaitFrame};

use crate::atomic::{load, store};
use crate::frames::CtlFrame;
use crate::{fields, life, maps, owner, singles, snapshot};

const OP_ADD: u32 = 1;
const EINTR: i64 = -4;
const EAGAIN: i64 = -11;
const ENOSPC: i64 = -28;
const ESTALE: i64 = -116;

/// `do_epoll_ctl` was entered.
#[inline(always)]
pub fn ctl_entry(epfd: i32, op: u32) {
    let phase = maps::phase();
    if !phase.is(Phase::Counting) && !phase.is(Phase::Frames) {
        return;
    }
    let thread = life::thread();
    let Some((ep, ring)) = life::met_by_fd(epfd) else {
        // A call of io_uring leaves its frame behind, having no exit of its
        // own: it must not be taken for this call's. Absent is ordinary.
        let _ = maps::CTLS.remove(thread);
        return;
    };
    let counted = phase.is(Phase::Counting) && life::selected(ring);
    let counted = if counted { phase.interval() + 1 } else { 0 };
    let frame = CtlFrame { ep, ring, op, no_bit: 0, counted };
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

/// `do_epoll_ctl` returns, or epoll_ctl(2).
#[inline(always)]
pub fn ctl_exit(ret: i64) {
    let thread = life::thread();
    let Some(place) = maps::CTLS.get_ptr(thread) else { return };
    // SAFETY: map memory of this thread's own call.
    let frame = unsafe { *place };
    let _ = maps::CTLS.remove(thread);
    // An attempt of io_uring that would have had to sleep is made again.
    if frame.counted == 0 || frame.op != OP_ADD || ret == EAGAIN {
        return;
    }
    // It may have slept for longer than an interval is kept.
    let interval = maps::phase().interval();
    maps::count_shared(frame.ring, interval, RingCounter::Adds);
    if ret != ENOSPC {
        return;
    }
    let full = if fields::get_bit_probed() != 0 {
        frame.no_bit != 0
    } else {
        // The likelier of the two causes; the probe plan says so.
        let used = fields::items_used_of(frame.ep);
        match used.map(|used| used >= fields::max_items_of(frame.ep)) {
            Some(full) => full,
            None => fields::bitmap_full(frame.ep).unwrap_or(true),
        }
    };
    let which = if full { RingCounter::AddsNoSpaceFull } else { RingCounter::AddsNoSpaceWatches };
    maps::count_shared(frame.ring, interval, which);
    singles::refused(frame.ring, full, fields::get_bit_probed() == 0);
}

/// `do_epoll_wait` was entered.
#[inline(always)]
pub fn wait_entry(epfd: i32) {
    let phase = maps::phase();
    if !phase.is(Phase::Counting) && !phase.is(Phase::Frames) {
        return;
    }
    let thread = life::thread();
    // By kprobe, a 32-bit call leaves its frame behind, having no exit that is
    // traced: it must not be taken for this call's.
    if maps::WAITS.get_ptr(thread).is_some() {
        let _ = maps::WAITS.remove(thread);
    }
    let Some((_, ring)) = life::met_by_fd(epfd) else { return };
    if !life::selected(ring) {
        return;
    }
    owner::consumer(ring);
    if phase.is(Phase::Counting) {
        // Its failure is the ring being closed meanwhile.
        let _ = snapshot::take_known(ring, phase.interval());
    }
    let frame = WaitFrame {
        entry_ns: fields::now_ns(),
        switches: fields::voluntary_switches(),
        woken_ns: 0,
        ring,
        flags: 0,
    };
    if maps::WAITS.insert(thread, frame, 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
}

/// A task is made runnable. If it waits on a ring, that may end its wait; the
/// last of several wake-ups is the one that did.
#[inline(always)]
pub fn wakeup(task: u64) {
    if maps::counting().is_none() {
        return;
    }
    let Some(thread) = fields::thread_of_task(task) else { return };
    if let Some(place) = maps::WAITS.get_ptr_mut(thread) {
        // SAFETY: map memory. A place that changes hands gives another wait a
        // clock before its own entry or after it, which its exit sees.
        store(unsafe { &raw mut (*place).woken_ns }, fields::now_ns());
    }
}

/// epoll_wait(2) or one of its kin returns, of a thread that was met asleep in
/// it.
#[inline(always)]
pub fn wait_met_exit(ret: i64) {
    let Some(place) = maps::WAITS.get_ptr(life::thread()) else { return };
    // SAFETY: map memory of this thread's own call.
    if unsafe { (*place).flags } & WaitFrame::MET_ASLEEP != 0 {
        wait_exit(ret);
    }
}

/// `do_epoll_wait` returns, or epoll_wait(2) or one of its kin.
#[inline(always)]
pub fn wait_exit(ret: i64) {
    let thread = life::thread();
    let Some(place) = maps::WAITS.get_ptr(thread) else { return };
    // SAFETY: map memory of this thread's own call.
    let (frame, woken_ns) = unsafe { (*place, load(&raw const (*place).woken_ns)) };
    let _ = maps::WAITS.remove(thread);
    let phase = maps::phase();
    if phase.is(Phase::Off) || phase.is(Phase::Frames) {
        return;
    }
    let interval = phase.interval();
    let ring = frame.ring;
    let now_ns = fields::now_ns();
    let waited_ns = now_ns.wrapping_sub(frame.entry_ns);
    let met_asleep = frame.flags & WaitFrame::MET_ASLEEP != 0;
    if met_asleep {
        owner::consumer(ring);
    } else {
        maps::record_in(ring, interval, RingHistogram::Blocked, waited_ns);
    }
    let slept = met_asleep || fields::voluntary_switches() != frame.switches;
    if slept && woken_ns >= frame.entry_ns && woken_ns <= now_ns {
        maps::record_in(ring, interval, RingHistogram::WakeUp, now_ns - woken_ns);
    }
    maps::count_shared(ring, interval, RingCounter::Waits);
    maps::add_shared(ring, interval, RingCounter::WaitedNs, waited_ns);
    if slept {
        maps::count_shared(ring, interval, RingCounter::WaitsSlept);
    }
    let which = match (ret, slept) {
        (ESTALE, false) => RingCounter::WaitsStaleAtOnce,
        (ESTALE, true) => RingCounter::WaitsStaleSlept,
        (0, _) => RingCounter::WaitsTimedOut,
        (EINTR, _) => RingCounter::WaitsInterrupted,
        _ => RingCounter::WaitsOther,
    };
    maps::count_shared(ring, interval, which);
    singles::waited(&frame, woken_ns, now_ns, ret, slept);
    // Its failure is the ring being closed meanwhile.
    let _ = snapshot::take_known(ring, interval);
}

/// The consumer's own probe: an episode of polling an empty ring has ended.
#[inline(always)]
pub fn spin_end(epfd: i32, iterations: u64) {
    let Some(interval) = maps::counting() else { return };
    let Some((_, ring)) = life::met_by_fd(epfd) else { return };
    if !life::selected(ring) {
        return;
    }
    owner::consumer(ring);
    maps::count_shared(ring, interval, RingCounter::SpinEpisodes);
    // The program's own word: it may wrap, and harms its own figure alone.
    maps::add_shared(ring, interval, RingCounter::SpinIterations, iterations);
}
