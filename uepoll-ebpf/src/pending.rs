//! Sampled positions that wait for their consumption to be seen: a small queue
//! for each ring, in the order of positions. Head moves without a system call,
//! so consumption is only ever bracketed, between the last snapshot that saw
//! head at or before the position and the first that saw it beyond.
//!
//! Many CPUs pass over a queue at once, without a lock. That is sound because
//! a place can be claimed only in exactly the state in which it was judged (its
//! state carries its number in the queue), and because a lower bound is only
//! ever set to a clock at which head had not passed the position, whichever
//! of two such clocks is stored last.

use uepoll_common::counter::{HostCounter, RingCounter};
use uepoll_common::record::{RecordKind, Resolved};
use uepoll_common::state::{PENDING, Pending, RingState};

use crate::atomic::{load, store, swap_if};
use crate::maps;

/// Places looked at in one pass.
const PASS: u32 = 8;

/// Wakes no reader: the tool must not be woken by a probe.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;

/// A sampled position at the moment of its publication.
pub struct Sample {
    pub position: u32,
    pub item: u32,
    pub sample_shift: u32,
    pub arrival_ns: u64,
    pub add_entry_ns: u64,
    pub add_exit_ns: u64,
    /// The interval in which it was published.
    pub interval: u32,
    /// See [`Pending`].
    pub waker: u32,
}

/// Counts what became of a sample, in the interval in which it was published.
/// Not once that has ended: there it stands as unconsumed at its end.
#[inline(always)]
fn count(ring: u32, sample: &Sample, which: RingCounter) {
    if maps::phase().interval() == sample.interval {
        maps::count_shared(ring, sample.interval, which);
    }
}

/// Whether head has passed a position.
#[inline(always)]
fn passed(head: u32, position: u32) -> bool {
    head.wrapping_sub(position) as i32 > 0
}

/// Whether any position of the ring is pending.
#[inline(always)]
pub fn any(state: *mut RingState) -> bool {
    // SAFETY: map memory, from `maps::state`.
    unsafe { load(&raw const (*state).pending_head) != load(&raw const (*state).pending_tail) }
}

#[inline(always)]
fn place(state: *mut RingState, at: u32) -> *mut Pending {
    // SAFETY: map memory, from `maps::state`; the index is masked.
    unsafe { &raw mut (*state).pending[at as usize & (PENDING - 1)] }
}

#[inline(always)]
fn later(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

/// Sends a position whose consumption lies in `[lo_ns, hi_ns]`.
#[inline(always)]
fn send(ring: u32, sample: &Sample, lo_ns: u64, hi_ns: u64) {
    let Some(mut entry) = maps::RECORDS.reserve::<Resolved>(0) else {
        count(ring, sample, RingCounter::SampledLost);
        maps::count_host(HostCounter::ReservesFailed);
        return;
    };
    entry.write(Resolved {
        kind: RecordKind::Resolved as u32,
        ring,
        position: sample.position,
        item: sample.item,
        arrival_ns: sample.arrival_ns,
        add_entry_ns: sample.add_entry_ns,
        add_exit_ns: sample.add_exit_ns,
        consumed_lo_ns: lo_ns,
        consumed_hi_ns: hi_ns,
        sample_shift: sample.sample_shift,
        interval: sample.interval,
        waker_tid: sample.waker & !Pending::BY_WORKER,
        flags: if sample.waker & Pending::BY_WORKER != 0 { Resolved::BY_WORKER } else { 0 },
    });
    entry.submit(NO_WAKEUP);
}

/// Judges the oldest pending positions by a snapshot that saw `head` between
/// the two clocks.
#[inline(never)]
pub fn resolve(ring: u32, head: u32, before_ns: u64, after_ns: u64) {
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`.
    let (oldest, next) =
        unsafe { (&raw mut (*state).pending_head, &raw mut (*state).pending_tail) };
    let first = load(oldest);
    let mut carried_ns = 0;
    let mut carried_position = 0;
    let mut step = 0;
    while step < PASS {
        let at = first.wrapping_add(step);
        step += 1;
        if at == load(next) {
            break;
        }
        let place = place(state, at);
        // SAFETY: map memory, from `place`.
        let (word, lo) = unsafe { (&raw mut (*place).state, &raw mut (*place).lo_ns) };
        if load(word) != Pending::ready(at) {
            continue;
        }
        // SAFETY: map memory, from `place`. The claim below fails if the place
        // changed hands after this read.
        let position = unsafe { load(&raw const (*place).position) };
        let mut lo_ns = load(lo);
        // A bound of a position holds for every later one.
        if carried_ns != 0 && position.wrapping_sub(carried_position) as i32 > 0 {
            lo_ns = later(lo_ns, carried_ns);
        }
        if !passed(head, position) {
            store(lo, later(lo_ns, before_ns));
            break;
        }
        if swap_if(word, Pending::ready(at), Pending::STATE_CLAIMED) {
            // SAFETY: map memory, from `place`, now ours.
            let sample = unsafe {
                Sample {
                    position,
                    item: (*place).item,
                    sample_shift: (*place).sample_shift,
                    arrival_ns: (*place).arrival_ns,
                    add_entry_ns: (*place).add_entry_ns,
                    add_exit_ns: (*place).add_exit_ns,
                    interval: (*place).interval,
                    waker: (*place).waker,
                }
            };
            send(ring, &sample, lo_ns, after_ns);
            swap_if(word, Pending::STATE_CLAIMED, Pending::STATE_FREE);
            carried_ns = lo_ns;
            carried_position = position;
        }
    }
    retire(state);
}

/// Gives the oldest places back once they are free.
#[inline(always)]
fn retire(state: *mut RingState) {
    // SAFETY: map memory, from `maps::state`.
    let (oldest, next) =
        unsafe { (&raw mut (*state).pending_head, &raw mut (*state).pending_tail) };
    let mut step = 0;
    while step < PASS {
        step += 1;
        let at = load(oldest);
        // SAFETY: map memory, from `place`.
        let word = unsafe { &raw const (*place(state, at)).state };
        if at == load(next) || load(word) != Pending::STATE_FREE {
            break;
        }
        swap_if(oldest, at, at.wrapping_add(1));
    }
}

/// Takes a position that was just published. `head` was read after it, with
/// the clock `after_ns` behind the read.
#[inline(never)]
pub fn offer(ring: u32, sample: &Sample, head: u32, after_ns: u64) {
    if passed(head, sample.position) {
        // Consumed before its add returned: after the add began, then.
        return send(ring, sample, sample.add_entry_ns, after_ns);
    }
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`.
    let (oldest, next) =
        unsafe { (&raw mut (*state).pending_head, &raw mut (*state).pending_tail) };
    let at = load(next);
    let place = place(state, at);
    // SAFETY: map memory, from `place`.
    let word = unsafe { &raw mut (*place).state };
    // One adder at a time per ring where ep->lock is a spinlock; where it is
    // not, the one that loses the place counts itself as not taken.
    if at.wrapping_sub(load(oldest)) >= PENDING as u32
        || !swap_if(word, Pending::STATE_FREE, Pending::STATE_WRITING)
    {
        return count(ring, sample, RingCounter::SampledPendingFull);
    }
    // Whoever holds the next place alone can move on. If somebody has, between
    // our read and our claim, this place is behind the queue.
    if load(next) != at {
        swap_if(word, Pending::STATE_WRITING, Pending::STATE_FREE);
        return count(ring, sample, RingCounter::SampledPendingFull);
    }
    // SAFETY: map memory, from `place`, ours while it is being written.
    unsafe {
        (*place).position = sample.position;
        (*place).item = sample.item;
        (*place).sample_shift = sample.sample_shift;
        (*place).arrival_ns = sample.arrival_ns;
        (*place).add_entry_ns = sample.add_entry_ns;
        (*place).add_exit_ns = sample.add_exit_ns;
        (*place).interval = sample.interval;
        (*place).waker = sample.waker;
    }
    // SAFETY: map memory, from `place`.
    store(unsafe { &raw mut (*place).lo_ns }, sample.add_exit_ns);
    swap_if(word, Pending::STATE_WRITING, Pending::ready(at));
    swap_if(next, at, at.wrapping_add(1));
}
