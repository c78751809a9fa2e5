//! The sampler: on every tick of a CPU's clock, a look at the rings of whoever
//! runs and at a few that have published of late; and whether it is a consumer
//! that runs, and what of. And the last look of an interval, at the request of
//! user space.

use uepoll_common::counter::{HostCounter, RingCounter, RingHistogram};
use uepoll_common::record::{RecordKind, Snapshot};
use uepoll_common::state::{ACTIVE_RINGS, NAMED_CONSUMER, Phase, RingState};

use crate::anomaly::{self, Anomaly};
use crate::atomic::{add, load, store};
use crate::fields::{self, Probed};
use crate::frames::CpuFrames;
use crate::snapshot::{self, Seen};
use crate::{life, maps};

/// Wakes no reader: the tool must not be woken by a probe.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;

/// Rings of the active list looked at in one tick.
const ACTIVE_A_TICK: u32 = 4;

/// A ring on which nothing moves sends a record this often.
const QUIET_NS: u64 = 100_000_000;

/// What a look is told of whoever runs on this CPU: nothing.
const ANYBODY: u32 = 0;
/// It is a consumer of the ring, and not in a wait.
const CONSUMER: u32 = 1;
/// It is one, and was in user mode.
const CONSUMER_IN_USER_MODE: u32 = 2;

/// A tick of this CPU's clock; `in_user_mode` is what it interrupted.
#[inline(always)]
pub fn tick(in_user_mode: bool) {
    let Some(interval) = maps::counting() else { return };
    maps::count_host(HostCounter::SamplerTicks);
    // SAFETY: a place that changes hands gives the ring of another consumer,
    // for one tick.
    let consumed = maps::CONSUMERS.get_ptr(life::thread() as u32).map(load);
    let consumed = consumed.unwrap_or(0) & !NAMED_CONSUMER;
    let who = if in_user_mode {
        CONSUMER_IN_USER_MODE
    } else if consumed != 0 && maps::WAITS.get_ptr(life::thread()).is_some() {
        // What runs inside the wait is waiting.
        ANYBODY
    } else {
        CONSUMER
    };
    look_at(consumed, interval, who);
    let own = maps::PROCESS_RINGS.get_ptr(life::process()).map(|own| {
        // SAFETY: map memory; a torn read gives a ring that is no longer this
        // process's, which is a ring all the same.
        unsafe { own.read_volatile() }
    });
    let [a, b, c, d] = own.unwrap_or([0; 4]);
    for entry in [a, b, c, d] {
        if entry != consumed {
            look_at(entry, interval, ANYBODY);
        }
    }
    let (Some(control), Some(list)) = (maps::control(), maps::active()) else { return };
    // SAFETY: map memory.
    let taken = unsafe { load(&raw const (*control).active_cursor) };
    let length = if taken > ACTIVE_RINGS as u32 { ACTIVE_RINGS as u32 } else { taken };
    let mut step = 0;
    while step < ACTIVE_A_TICK {
        if step >= length {
            break;
        }
        step += 1;
        // SAFETY: map memory; the index is masked.
        let entry = unsafe {
            let at = add(&raw mut (*control).sampler_cursor, 1) % length;
            // The compiler knows that this is below the length and would drop
            // the mask; the verifier does not, and needs it.
            let at = load(&raw const at);
            load(&raw const (*list)[at as usize & (ACTIVE_RINGS - 1)])
        };
        if entry != a && entry != b && entry != c && entry != d && entry != consumed {
            look_at(entry, interval, ANYBODY);
        }
    }
}

/// Looks at the ring of an entry (its number plus one, 0 for none).
#[inline(never)]
fn look_at(entry: u32, interval: u32, who: u32) -> u32 {
    if entry == 0 {
        return 0;
    }
    let ring = entry - 1;
    if !life::selected(ring) {
        return 0;
    }
    let Some(state) = maps::state(ring) else { return 0 };
    let Some(counters) = maps::counters(ring, interval) else { return 0 };
    let Some(seen) = snapshot::take_known(ring, interval) else { return 0 };
    maps::count_in(counters, RingCounter::SamplerLooks);
    if seen.sane {
        let depth = seen.tail.wrapping_sub(seen.head);
        maps::record_in(ring, interval, RingHistogram::Depth, u64::from(depth));
    }
    if who != ANYBODY {
        maps::count_in(counters, RingCounter::ConsumerTicks);
        if who == CONSUMER_IN_USER_MODE && (seen.head == seen.tail || was_empty(ring, &seen)) {
            maps::count_in(counters, RingCounter::ConsumerTicksEmpty);
        }
    }
    if slot_unwritten(state) {
        maps::count_in(counters, RingCounter::SlotSpinSightings);
    }
    let right = check_header(ring, interval);
    send(ring, &seen, right);
    0
}

/// Whether the ring was empty until the interrupt that this tick is a part of:
/// a timer that publishes is run before it. Counted as empty, since the share of
/// such ticks is an upper bound.
#[inline(always)]
fn was_empty(ring: u32, seen: &Seen) -> bool {
    let Some(cpu) = maps::cpu_frames() else { return false };
    // SAFETY: this CPU's own map memory.
    unsafe {
        (*cpu).published_in == ring + 1
            && (*cpu).published_from == seen.head
            && (*cpu).published_to == seen.tail
            && seen.after_ns.wrapping_sub((*cpu).published_ns) < CpuFrames::ONE_INTERRUPT_NS
    }
}

/// Whether the slot at head is empty because the add for that very position is
/// still under way: whoever would consume it spins. An empty slot alone means
/// no more than that the consumer has cleared it and not yet moved head.
#[inline(always)]
fn slot_unwritten(state: *mut RingState) -> bool {
    if fields::slots_from_one() == 0 {
        return false;
    }
    // SAFETY: map memory, from `maps::state`.
    let (ep, header, adding, from) = unsafe {
        ((*state).ep, (*state).header, &raw const (*state).adding, &raw const (*state).adding_tail)
    };
    if load(adding) == 0 {
        return false;
    }
    let position = load(from);
    // The slot is read between two looks at tail and head: it was empty while
    // tail had passed the position and head had not.
    let Some((_, tail)) = fields::head_and_tail::<Probed>(header) else { return false };
    let moved = tail.wrapping_sub(position);
    if moved == 0 || (moved != 1 && fields::lock_is_spinlock() != 0) {
        return false;
    }
    let Some(slot) = fields::slot_at(ep, position) else { return false };
    let Some((head, _)) = fields::head_and_tail::<Probed>(header) else { return false };
    slot == 0 && head == position && load(adding) != 0 && load(from) == position
}

/// Compares the header with the kernel's own copies.
#[inline(always)]
fn check_header(ring: u32, interval: u32) -> bool {
    let Some(state) = maps::state(ring) else { return false };
    // SAFETY: map memory, from `maps::state`. A ring that closed meanwhile may
    // have lost its header: what was read says nothing.
    let right = unsafe {
        fields::header_right((*state).ep, (*state).header) || load(&raw const (*state).closing) != 0
    };
    // SAFETY: as above.
    let wrong = unsafe { &raw mut (*state).header_wrong };
    if !right && load(wrong) == 0 {
        anomaly::tell(Anomaly::HeaderWrong, ring, 0);
    }
    store(wrong, u32::from(!right));
    if !right {
        maps::count(ring, interval, RingCounter::BadMagic);
    }
    right
}

#[inline(always)]
fn send(ring: u32, seen: &Seen, header_right: bool) {
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`. Two CPUs that both find the ring
    // changed send two records, both true.
    unsafe {
        let same = (*state).sent_head == seen.head && (*state).sent_tail == seen.tail;
        if same && seen.before_ns.wrapping_sub((*state).sent_ns) < QUIET_NS {
            return;
        }
        (*state).sent_head = seen.head;
        (*state).sent_tail = seen.tail;
        (*state).sent_ns = seen.before_ns;
    }
    let Some(mut entry) = maps::RECORDS.reserve::<Snapshot>(0) else {
        return maps::count_host(HostCounter::ReservesFailed);
    };
    entry.write(Snapshot {
        kind: RecordKind::Snapshot as u32,
        ring,
        before_ns: seen.before_ns,
        after_ns: seen.after_ns,
        head: seen.head,
        tail: seen.tail,
        flags: if header_right { Snapshot::HEADER_RIGHT } else { 0 },
        reserved: 0,
    });
    entry.submit(NO_WAKEUP);
}

/// The last look at a ring in an interval.
#[inline(always)]
pub fn look(ring: u32) {
    // Asked for when the next interval has begun, or counting has ended.
    let phase = maps::phase();
    let ended = if phase.is(Phase::Counting) { 1 } else { 0 };
    let interval = phase.interval().wrapping_sub(ended);
    let Some(seen) = snapshot::take_known(ring, interval) else { return };
    let _ = check_header(ring, interval);
    life::set_final(ring, &seen);
}
