//! The set of rings: when each was first seen, when it went away. Whose it is:
//! `owner`.
//! A ring is known by the address of its `struct eventpoll` and gets a number
//! that is never used again in a run.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use uepoll_common::counter::HostCounter;
use uepoll_common::record::{RecordKind, RingClosed, RingSeen};
use uepoll_common::state::{BANKS, Phase, RingState};

use crate::anomaly::{self, Anomaly};
use crate::atomic::{add, load, store};
use crate::fields::{self, Probed};
use crate::maps;
use crate::owner;
use crate::snapshot::{self, Seen};

/// Wakes no reader: the tool must not be woken by a probe.
const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;

/// Insert only if the key is not there yet.
const BPF_NOEXIST: u64 = 1;

/// No ring has this number.
const NO_RING: u32 = u32::MAX;

/// The current thread, and its process, in one word.
#[inline(always)]
pub fn thread() -> u64 {
    bpf_get_current_pid_tgid()
}

/// The current process.
#[inline(always)]
pub fn process() -> u32 {
    (thread() >> 32) as u32
}

/// Number of a ring that is known.
#[inline(always)]
pub fn number_of(ep: u64) -> Option<u32> {
    // SAFETY: a place that changes hands under this read gives the number of
    // another ring for an `ep` that has just gone: counted there, once.
    maps::RING_NUMBERS.get_ptr(ep).map(|number| unsafe { number.read_volatile() })
}

/// Whether a ring's owner passes the filter.
#[inline(always)]
pub fn selected(ring: u32) -> bool {
    // SAFETY: map memory, from `maps::state`.
    maps::state(ring).is_some_and(|state| unsafe { load(&raw const (*state).selected) } != 0)
}

/// The interval in which what happens to a ring now is counted, if it is.
#[inline(always)]
pub fn counting(ring: u32) -> Option<u32> {
    if selected(ring) { maps::counting() } else { None }
}

/// Number of a ring seen in the context of whoever wakes.
#[inline(always)]
pub fn met_by_waker(ep: u64, header: u64) -> Option<u32> {
    if let Some(ring) = number_of(ep) {
        return Some(ring);
    }
    let ring = meet(ep, header, RingSeen::MET);
    if ring == NO_RING {
        return None;
    }
    seen(ring);
    Some(ring)
}

/// The ring behind a descriptor of the current process, if it is one.
#[inline(always)]
pub fn met_by_fd(fd: i32) -> Option<(u64, u32)> {
    let ep = fields::ep_of_fd(fd)?;
    let ring = met_by_user(ep, fd, RingSeen::MET)?;
    Some((ep, ring))
}

/// Number of a ring seen in the context of a process that uses it.
#[inline(always)]
fn met_by_user(ep: u64, fd: i32, how: u32) -> Option<u32> {
    let header = fields::header_of::<Probed>(ep)?;
    let ring = meet(ep, header, how);
    if ring == NO_RING {
        return None;
    }
    let thread = thread();
    if !is_known(ring, (thread >> 32) as u32) {
        owner::own(ring, thread, fd, &fields::process_name(), owner::in_wanted_cgroup());
    }
    Some(ring)
}

/// Whether nothing more can be learnt of a ring from its use by a process.
#[inline(always)]
fn is_known(ring: u32, tgid: u32) -> bool {
    // SAFETY: map memory, from `maps::state`.
    maps::state(ring).is_some_and(|state| unsafe {
        (*state).owner_tgid == tgid && (*state).fd >= 0 && load(&raw const (*state).selected) != 0
    })
}

/// A descriptor of a ring in a process other than the current one; the ring's
/// number.
#[inline(always)]
pub fn met_in_files(ep: u64, task: u64, fd: i32) -> Option<(u32, u64)> {
    let header = fields::header_of::<Probed>(ep)?;
    let thread = fields::thread_of_task(task)?;
    let ring = meet(ep, header, RingSeen::MET);
    if ring == NO_RING {
        return None;
    }
    // Its cgroup was looked at by user space, which has made it a target.
    owner::own(ring, thread, fd, &fields::process_name_of(task), false);
    Some((ring, thread))
}

/// Number of a ring, given now if it has none.
#[inline(never)]
fn meet(ep: u64, header: u64, how: u32) -> u32 {
    if let Some(ring) = number_of(ep)
        && let Some(state) = maps::state(ring)
    {
        // SAFETY: map memory, from `maps::state`.
        let closing = unsafe { load(&raw const (*state).closing) };
        if closing == 0 {
            return ring;
        }
        // Only a new file can be used at the address of one that was closed:
        // the return of its release was missed.
        let _ = maps::RING_NUMBERS.remove(ep);
    }
    let Some(control) = maps::control() else { return NO_RING };
    // SAFETY: map memory.
    let next = unsafe { &raw mut (*control).next_ring };
    if load(next) >= fields::rings() {
        maps::count_host(HostCounter::RingTableFull);
        anomaly::tell(Anomaly::RingTableFull, 0, fields::rings());
        return NO_RING;
    }
    let ring = add(next, 1);
    let Some(state) = maps::state(ring) else {
        maps::count_host(HostCounter::RingTableFull);
        return NO_RING;
    };
    begin(state, ep, header, how);
    if maps::RING_NUMBERS.insert(ep, ring, BPF_NOEXIST).is_ok() {
        return ring;
    }
    // Another CPU met it at the same moment; this number stays without a ring.
    // SAFETY: map memory, from `maps::state`.
    unsafe { (*state).ep = 0 };
    number_of(ep).unwrap_or(NO_RING)
}

#[inline(always)]
fn begin(state: *mut RingState, ep: u64, header: u64, how: u32) {
    let max_items = fields::max_items_of(ep);
    let (head, tail) = fields::head_and_tail::<Probed>(header).unwrap_or((0, 0));
    // SAFETY: map memory, from `maps::state`; nobody else knows the number yet.
    unsafe {
        (*state).ep = ep;
        (*state).header = header;
        (*state).first_seen_ns = fields::now_ns();
        (*state).fd = -1;
        (*state).how = how;
        (*state).max_items = max_items;
        (*state).met_head = head;
        (*state).met_tail = tail;
        (*state).counted_tail = tail;
        (*state).last_head = head;
        (*state).last_tail = tail;
        (*state).sample_shift = first_shift(max_items);
        (*state).selected = u32::from(fields::filter_on() == 0);
        (*state).header_wrong = u32::from(!fields::header_right(ep, header));
    }
}

/// A ring that can hold many times more than the queue of pending positions
/// is sampled less from the start, else a deep ring would fill the queue.
#[inline(always)]
fn first_shift(max_items: u32) -> u32 {
    let mut shift = fields::sample_shift();
    let mut deep = 0;
    while deep < 11 && (32u32 << deep) < max_items {
        deep += 1;
    }
    if shift < deep {
        shift = deep;
    }
    if shift > 31 { 31 } else { shift }
}

/// Tells user space of a ring, or of its owner.
#[inline(never)]
pub fn seen(ring: u32) -> u32 {
    let Some(state) = maps::state(ring) else { return 0 };
    let Some(mut entry) = maps::RECORDS.reserve::<RingSeen>(0) else {
        maps::count_host(HostCounter::ReservesFailed);
        return 0;
    };
    // SAFETY: map memory, from `maps::state`.
    unsafe {
        entry.write(RingSeen {
            kind: RecordKind::RingSeen as u32,
            ring,
            time_ns: fields::now_ns(),
            tgid: (*state).owner_tgid,
            tid: (*state).owner_tid,
            fd: (*state).fd,
            max_items: (*state).max_items,
            head: (*state).met_head,
            tail: (*state).met_tail,
            comm: (*state).comm,
            how: (*state).how,
            reserved: 0,
        });
    }
    entry.submit(NO_WAKEUP);
    0
}

/// `do_epoll_create` returned a descriptor, or an error.
#[inline(always)]
pub fn create_exit(fd: i32) {
    let phase = maps::phase();
    if fd < 0 || (!phase.is(Phase::Counting) && !phase.is(Phase::Frames)) {
        return;
    }
    // Before counting begins it may see events that nobody counts.
    let counting = phase.is(Phase::Counting);
    let how = if counting { RingSeen::CREATED } else { RingSeen::MET };
    if let Some(ep) = fields::ep_of_fd(fd)
        && let Some(ring) = met_by_user(ep, fd, how)
        && let Some(interval) = self::counting(ring)
        && let Some(state) = maps::state(ring)
    {
        // Counted from its first event on.
        // SAFETY: map memory, from `maps::state`; the index is masked.
        unsafe {
            let start = &raw mut (*state).starts[interval as usize & (BANKS - 1)];
            if load(&raw const (*start).interval) != interval + 1 {
                (*start).head = (*state).met_head;
                (*start).tail = (*state).met_tail;
                store(&raw mut (*start).interval, interval + 1);
            }
        }
    }
}

/// `ep_eventpoll_mmap` was entered.
#[inline(always)]
pub fn mmap_entry(file: u64) {
    let phase = maps::phase();
    if !phase.is(Phase::Counting) && !phase.is(Phase::Frames) {
        return;
    }
    if let Some(ep) = fields::ep_of_file(file) {
        let _ = met_by_user(ep, -1, RingSeen::MET);
    }
}

/// Notes the last look at a ring.
#[inline(always)]
pub fn set_final(ring: u32, seen: &Seen) {
    let Some(state) = maps::state(ring) else { return };
    // SAFETY: map memory, from `maps::state`.
    unsafe {
        (*state).final_before_ns = seen.before_ns;
        (*state).final_after_ns = seen.after_ns;
        (*state).final_head = seen.head;
        (*state).final_tail = seen.tail;
        (*state).items_used = fields::items_used_of((*state).ep).unwrap_or(u32::MAX);
        (*state).final_known = 1;
    }
}

/// `ep_eventpoll_release` was entered: the last reference to the file is gone.
#[inline(always)]
pub fn release_entry(sp: u64, file: u64) {
    let phase = maps::phase();
    if phase.is(Phase::Off) {
        return;
    }
    let Some(ep) = fields::ep_of_file(file) else { return };
    let Some(ring) = number_of(ep) else { return };
    if let Some(seen) = snapshot::take_known(ring, phase.interval()) {
        set_final(ring, &seen);
    }
    let Some(state) = maps::state(ring) else { return };
    // Asked after the look: adds that it shows were entered before.
    let closing = if maps::phase().is(Phase::Counting) {
        RingState::CLOSING_COUNTED
    } else {
        RingState::CLOSING_UNCOUNTED
    };
    // SAFETY: map memory, from `maps::state`. From here on nobody reads the
    // header; callbacks may still come until the release returns.
    unsafe {
        store(&raw mut (*state).closing, closing);
        owner::remove_from_process((*state).owner_tgid, ring);
    }
    if maps::RELEASES.insert(sp, ep, 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
    closed(ring);
}

/// Tells user space that a ring is gone.
#[inline(never)]
fn closed(ring: u32) -> u32 {
    let Some(state) = maps::state(ring) else { return 0 };
    let Some(mut entry) = maps::RECORDS.reserve::<RingClosed>(0) else {
        maps::count_host(HostCounter::ReservesFailed);
        return 0;
    };
    // SAFETY: map memory, from `maps::state`.
    unsafe {
        entry.write(RingClosed {
            kind: RecordKind::RingClosed as u32,
            ring,
            time_ns: fields::now_ns(),
            head: (*state).final_head,
            tail: (*state).final_tail,
            items_used: (*state).items_used,
            reserved: 0,
        });
    }
    entry.submit(NO_WAKEUP);
    0
}

/// `ep_eventpoll_release` returned.
#[inline(always)]
pub fn release_exit(sp: u64) {
    let Some(place) = maps::RELEASES.get_ptr(sp) else { return };
    // SAFETY: map memory of this thread's own call.
    let ep = unsafe { place.read_volatile() };
    let _ = maps::RELEASES.remove(sp);
    let _ = maps::RING_NUMBERS.remove(ep);
}
