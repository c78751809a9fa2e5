//! Who a ring belongs to and who consumes from it: its owner, the filter by
//! owners, the sampler's way from a process to its rings, consumers.

use aya_ebpf::helpers::bpf_get_current_comm;
use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use uepoll_common::counter::HostCounter;
use uepoll_common::state::{NAMED_CONSUMER, WAITERS};

use crate::atomic::{add, load, store};
use crate::{fields, life, maps};

/// Notes that a thread uses a ring through `fd` (-1: not known).
#[inline(always)]
pub fn own(ring: u32, thread: u64, fd: i32, comm: &[u8; 16], in_wanted_cgroup: bool) {
    let Some(state) = maps::state(ring) else { return };
    let tgid = (thread >> 32) as u32;
    // SAFETY: map memory, from `maps::state`. Two threads that use a ring first
    // at the same moment belong to one process but for a race that only
    // decides which of two true owners is named.
    unsafe {
        let owner = (*state).owner_tgid;
        if owner == 0 || (owner == tgid && (*state).fd < 0 && fd >= 0) {
            (*state).owner_tgid = tgid;
            (*state).owner_tid = thread as u32;
            (*state).fd = fd;
            (*state).comm = *comm;
            if owner == 0 {
                add_to_process(tgid, ring);
            }
            life::seen(ring);
        }
        if (*state).selected == 0
            && (in_wanted_cgroup || wanted_name(comm) || wanted_process(tgid, fd))
        {
            store(&raw mut (*state).selected, 1);
        }
    }
}

/// Whether the ring is one of a process that is wanted: one that uses it, or has
/// it by the descriptor that is wanted. Its owner is only the first of these,
/// and who was first is chance where it was inherited or sent.
#[inline(always)]
fn wanted_process(tgid: u32, fd: i32) -> bool {
    let wanted_fd = fields::filter_fd();
    if wanted_fd != 0 && (fd < 0 || fd as u32 + 1 != wanted_fd) {
        return false;
    }
    maps::TARGETS.get_ptr(tgid).is_some()
}

/// Whether processes of this name are wanted.
#[inline(always)]
fn wanted_name(comm: &[u8; 16]) -> bool {
    let wanted = u128::from_ne_bytes(fields::filter_comm());
    wanted != 0 && wanted == u128::from_ne_bytes(*comm)
}

/// Whether the current process is in the cgroup that is wanted, or below it.
#[inline(always)]
pub fn in_wanted_cgroup() -> bool {
    let wanted = fields::filter_cgroup();
    // SAFETY: the helper has no preconditions.
    wanted != 0
        && unsafe { bpf_get_current_ancestor_cgroup_id(fields::filter_cgroup_level() as i32) }
            == wanted
}

/// Lets the sampler find the ring by its process. A process's fifth ring is
/// found through the active list only.
#[inline(always)]
fn add_to_process(tgid: u32, ring: u32) {
    let entry = ring + 1;
    if let Some(place) = maps::PROCESS_RINGS.get_ptr_mut(tgid) {
        let mut at = 0;
        while at < 4 {
            // SAFETY: map memory; the index is masked.
            let word = unsafe { &raw mut (*place)[at & 3] };
            if load(word) == 0 {
                return store(word, entry);
            }
            at += 1;
        }
        return;
    }
    if maps::PROCESS_RINGS.insert(tgid, [entry, 0, 0, 0], 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
}

#[inline(always)]
pub fn remove_from_process(tgid: u32, ring: u32) {
    let Some(place) = maps::PROCESS_RINGS.get_ptr_mut(tgid) else { return };
    let mut at = 0;
    let mut left = 0;
    while at < 4 {
        // SAFETY: map memory; the index is masked.
        let word = unsafe { &raw mut (*place)[at & 3] };
        if load(word) == ring + 1 {
            store(word, 0);
        }
        left |= load(word);
        at += 1;
    }
    if left == 0 {
        let _ = maps::PROCESS_RINGS.remove(tgid);
    }
}

/// Notes that the current thread consumes from a ring: it waits on it.
#[inline(always)]
pub fn consumer(ring: u32) {
    let tid = life::thread() as u32;
    let before = maps::CONSUMERS.get_ptr(tid).map_or(0, load);
    // What the user says holds whatever else the thread waits on.
    if before == ring + 1 || before & NAMED_CONSUMER != 0 {
        return;
    }
    if maps::CONSUMERS.insert(tid, ring + 1, 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
    let Some(state) = maps::state(ring) else { return };
    let mut at = 0;
    while at < WAITERS {
        // SAFETY: map memory; the index is masked.
        let place = unsafe { &raw mut (*state).waiters[at & (WAITERS - 1)] };
        // SAFETY: as above.
        let known = unsafe { load(&raw const (*place).tid) };
        if known == tid {
            return;
        }
        if known == 0 {
            // SAFETY: as above. Of two threads that take one place at once one
            // is told apart at its next wait.
            unsafe {
                (*place).comm = bpf_get_current_comm().unwrap_or([0; 16]);
                store(&raw mut (*place).tid, tid);
                add(&raw mut (*state).waiters_seen, 1);
            }
            return;
        }
        at += 1;
    }
    // Without a place it is only known to be another while it has waited on no
    // other ring.
    if before == 0 {
        // SAFETY: map memory, from `maps::state`.
        unsafe { add(&raw mut (*state).waiters_seen, 1) };
    }
}

/// A task was forked: the children of a target are targets.
#[inline(always)]
pub fn fork(parent: u64, child: u64) {
    if fields::follow_forks() == 0 {
        return;
    }
    let (Some(parent), Some(child)) = (fields::tgid_of_task(parent), fields::tgid_of_task(child))
    else {
        return;
    };
    if parent == child || maps::TARGETS.get_ptr(parent).is_none() {
        return;
    }
    if maps::TARGETS.insert(child, 1u32, 0).is_err() {
        maps::count_host(HostCounter::ThreadMapFull);
    }
}

/// A task is gone for good. Once the last of its process is, the number may be
/// given to a process that nobody asked for.
#[inline(always)]
pub fn process_free(task: u64) {
    if let Some(thread) = fields::thread_of_task(task) {
        let (tgid, tid) = ((thread >> 32) as u32, thread as u32);
        // A consumer that nobody named is learnt again when it waits.
        let _ = maps::CONSUMERS.remove(tid);
        // The first thread of a process goes last.
        if tgid == tid {
            let _ = maps::TARGETS.remove(tgid);
        }
    }
}
