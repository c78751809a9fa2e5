//! The sampler: on every tick of a CPU's clock, a look at the rings of whoever
//! runs and at a few that have published of late. And the last look of a run,
//! at the request of user space.

use uepoll_common::counter::{HostCounter, RingCounter};
use uepoll_common::record::{RecordKind, Snapshot};
use uepoll_common::state::{ACTIVE_RINGS, Phase};

use crate::anomaly::{self, Anomaly};
use crate::atomic::{add, load, store};
use crate::snapshot::{self, Seen};
use crate::{fields, life, maps};

/// Wakes no reader: the tool must not be woken by a probe.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;

/// Rings of the active list looked at in one tick.
const ACTIVE_A_TICK: u32 = 4;

/// A ring on which nothing moves sends a record this often.
const QUIET_NS: u64 = 100_000_000;

/// A tick of this CPU's clock.
#[inline(always)]
pub fn tick() {
    if maps::phase() != Phase::Counting as u32 {
        return;
    }
    maps::count_host(HostCounter::SamplerTicks);
    let own = maps::PROCESS_RINGS.get_ptr(life::process()).map(|own| {
        // SAFETY: map memory; a torn read gives a ring that is no longer this
        // process's, which is a ring all the same.
        unsafe { own.read_volatile() }
    });
    let own = own.unwrap_or([0; 4]);
    let [a, b, c, d] = own;
    look_at(a);
    look_at(b);
    look_at(c);
    look_at(d);
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
        if entry != a && entry != b && entry != c && entry != d {
            look_at(entry);
        }
    }
}

/// Looks at the ring of an entry (its number plus one, 0 for none).
#[inline(never)]
fn look_at(entry: u32) -> u32 {
    if entry == 0 {
        return 0;
    }
    let ring = entry - 1;
    if !life::selected(ring) {
        return 0;
    }
    let Some(seen) = snapshot::take_known(ring) else { return 0 };
    let right = check_header(ring);
    send(ring, &seen, right);
    0
}

/// Compares the header with the kernel's own copies.
#[inline(always)]
fn check_header(ring: u32) -> bool {
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
        maps::count(ring, RingCounter::BadMagic);
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

/// The last look at a ring.
#[inline(always)]
pub fn look(ring: u32) {
    let Some(seen) = snapshot::take_known(ring) else { return };
    let _ = check_header(ring);
    life::set_final(ring, &seen);
}
