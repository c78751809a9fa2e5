//! Offloaded polling: a wake-up without poll flags queues a work, and the work
//! polls the file and calls back.

use uepoll_common::counter::{HostCounter, RingCounter, RingHistogram};
use uepoll_common::state::Phase;

use crate::atomic::{add, load};
use crate::fields::{self, Probed};
use crate::frames::{CallbackFrame, WorkerFrame};
use crate::{callback, life, maps, singles};

/// Insert only if the key is not there yet.
const BPF_NOEXIST: u64 = 1;

/// EPOLL_URING_WAKE: rides in the key, and says nothing of what happened.
const URING_WAKE: u32 = 1 << 27;

/// `ep_poll_wakeup` was entered; `key` holds its poll flags.
#[inline(always)]
pub fn wakeup_entry(wait: u64, key: u32) {
    if key & !URING_WAKE != 0 {
        return;
    }
    let Some(interval) = maps::counting() else { return };
    let Some(item) = fields::item_of_wait(wait) else { return };
    let Some(ep) = fields::ep_of_item::<Probed>(item) else { return };
    let Some(header) = fields::header_of::<Probed>(ep) else { return };
    let Some(ring) = life::met_by_waker(ep, header) else { return };
    if !life::selected(ring) {
        return;
    }
    maps::count_shared(ring, interval, RingCounter::WakeupsKeyless);
    // The first of several wake-ups is the one that queued the work; the
    // others find the key taken, and collapse into it. One that comes between
    // the work leaving its queue and its entry queues another run, whose delay
    // is then not known.
    const EEXIST: i32 = -17;
    match maps::OFFLOADS.insert(item, fields::now_ns(), BPF_NOEXIST) {
        Ok(()) | Err(EEXIST) => {}
        Err(_) => maps::count_host(HostCounter::ThreadMapFull),
    }
}

/// `ep_poll_wakeup` was entered where the callback that it makes cannot be
/// probed: with flags, it makes one for sure.
#[inline(always)]
pub fn arrival_entry(call: u64, wait: u64, key: u32) {
    if key & !URING_WAKE == 0 {
        return;
    }
    if let Some(item) = fields::item_of_wait(wait) {
        callback::entry::<Probed>(call, item, key);
    }
}

/// `ep_poll_callback_work` was entered.
#[inline(always)]
pub fn work_entry(work: u64) {
    let phase = maps::phase();
    if !phase.is(Phase::Counting) && !phase.is(Phase::Frames) {
        return;
    }
    let item = fields::item_of_work(work);
    let Some(ep) = fields::ep_of_item::<Probed>(item) else { return };
    let Some(header) = fields::header_of::<Probed>(ep) else { return };
    let Some(ring) = life::met_by_waker(ep, header) else { return };
    if !life::selected(ring) {
        return;
    }
    let counted = phase.is(Phase::Counting);
    let interval = phase.interval();
    let now_ns = fields::now_ns();
    let thread = life::thread();
    let missed_return = maps::WORKERS.get_ptr(thread).is_some();
    let frame = WorkerFrame {
        item,
        entry_ns: now_ns,
        ring,
        called_back: 0,
        counted: if counted { interval + 1 } else { 0 },
        bit: fields::bit_of_item(item).unwrap_or(u32::MAX),
        queued_ns: 0,
        callback: CallbackFrame::NONE,
    };
    if maps::WORKERS.insert(thread, frame, 0).is_err() {
        return maps::count_host(HostCounter::ThreadMapFull);
    }
    if missed_return {
        maps::count(ring, interval, RingCounter::PairsMismatched);
    } else if let Some(control) = maps::control() {
        // SAFETY: map memory.
        unsafe { add(&raw mut (*control).workers_active, 1) };
    }
    if !counted {
        return;
    }
    maps::count_shared(ring, interval, RingCounter::OffloadRuns);
    if let Some(queued_ns) = maps::OFFLOADS.get_ptr(item) {
        // SAFETY: map memory; a place that changed hands gives a clock of
        // another wake-up, never anything else.
        let queued_ns = load(queued_ns);
        // A later one has queued the next run, and is that run's to take.
        if queued_ns <= now_ns {
            let _ = maps::OFFLOADS.remove(item);
            maps::record_in(ring, interval, RingHistogram::OffloadDelay, now_ns - queued_ns);
            if let Some(place) = maps::WORKERS.get_ptr_mut(thread) {
                // SAFETY: map memory of this thread's worker.
                unsafe { (*place).queued_ns = queued_ns };
            }
        }
    }
}

/// `ep_poll_callback_work` returned in this thread.
#[inline(always)]
pub fn work_exit() {
    let thread = life::thread();
    let Some(place) = maps::WORKERS.get_ptr(thread) else { return };
    // SAFETY: map memory of this thread's worker.
    let frame = unsafe { *place };
    let WorkerFrame { ring, entry_ns, called_back, counted, .. } = frame;
    if maps::WORKERS.remove(thread).is_ok()
        && let Some(control) = maps::control()
    {
        // SAFETY: map memory.
        unsafe { add(&raw mut (*control).workers_active, u32::MAX) };
    }
    if counted == 0 {
        return;
    }
    // It may have run for longer than an interval is kept.
    let interval = maps::phase().interval();
    if called_back == 0 {
        maps::count_shared(ring, interval, RingCounter::OffloadEmptyRuns);
    }
    let end_ns = fields::now_ns();
    maps::record_in(ring, interval, RingHistogram::OffloadRun, end_ns.wrapping_sub(entry_ns));
    singles::worked(&frame, end_ns);
}
